/**
 * Agents that hand a conversation over to one another.
 *
 * At any time one of the members has the conversation; at first it is the first member. It either answers, or hands the
 * conversation over to another member with a tool (`transfer_to_billing`), which then answers in the same run. In a
 * session the next run begins with the member that had the conversation at the end of the last run.
 *
 * **Example** (A desk that sends its callers on)
 *
 * ```ts
 * import { Console, Effect, Layer } from "effect"
 * import { Agent, SessionHistory, SessionStore } from "effect-agents"
 * import { Handoff } from "effect-agents/orchestration"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const triage = Agent.make("triage", { description: "Knows who can help" })
 * const billing = Agent.make("billing", { description: "Invoices and refunds" })
 *
 * const desk = Handoff.make("desk", [triage, billing], { routes: { triage: ["billing"] } }).pipe(
 *   Agent.withProvider(SessionHistory.provider)
 * )
 *
 * const program = Effect.gen(function*() {
 *   for (const prompt of ["I was charged twice", "Thank you"]) {
 *     const { text } = yield* Agent.run(desk, { prompt, session: "ada" })
 *     yield* Console.log(text)
 *   }
 *   const { history } = yield* Effect.flatMap(SessionStore.SessionStore, (store) => store.load("ada"))
 *   yield* Console.log(Handoff.holder(history))
 * })
 *
 * const model = ScriptedModel.layer([
 *   ScriptedModel.toolCalls({ name: "transfer_to_billing", params: {} }),
 *   ScriptedModel.text("You have your money back."),
 *   ScriptedModel.text("You are welcome.")
 * ])
 *
 * Effect.runPromise(Effect.provide(program, Layer.mergeAll(model, SessionStore.layerMemory)))
 * // => You have your money back.
 * // => You are welcome.
 * // => billing
 * ```
 *
 * A member sees the messages of the user, its own work with its tool calls, and as much of the other members' work as
 * `view` allows. It also learns about each handover: who has handed over to whom, and with which note. A request never
 * contains the same message twice.
 *
 * A handover needs no model call of its own: the member that hands over is not asked again, whatever its limits and its
 * `output` are. If one step has several transfers, the first one that runs is taken. That is the first in the order of
 * the calls, unless a rule or a middleware stops it. The others get a failure as their result. Other calls of such a
 * step run to their end. A step that waits for approvals hands over after they are answered.
 *
 * After `maximumTransfers` in one run the current member is offered no more transfers: it has to answer, and the run
 * stops with `"transfer-limit"`.
 *
 * The transcript of the run and the history of its session tell which member has the conversation. A prompt with
 * messages of another run does not: the first member begins.
 *
 * @since 0.1.0
 */

import * as Prompt from "effect/ai/Prompt"
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Agent from "../Agent.ts"
import type * as AgentRun from "../AgentRun.ts"
import * as AgentTool from "../AgentTool.ts"
import * as ContextProvider from "../ContextProvider.ts"
import { programOf } from "../internal/program/agentOf.ts"
import { makingOf } from "../internal/run/agentOf.ts"
import * as Stopping from "../internal/run/stopping.ts"
import * as ToolHandler from "../internal/tool/handler.ts"
import * as Json from "../internal/words/json.ts"
import * as JsonCodec from "../internal/words/jsonCodec.ts"
import { ParentRun } from "../internal/words/parentRun.ts"
import * as Middleware from "../Middleware.ts"
import type * as Program from "../Program.ts"
import * as StopCondition from "../StopCondition.ts"
import * as Conversation from "./internal/conversation.ts"
import * as Member from "./internal/members.ts"
import { InvalidOrchestration } from "./internal/models.ts"
import type * as Orchestration from "./Orchestration.ts"

// -----------------------------------------------------------------------------
// Models
// -----------------------------------------------------------------------------

/**
 * The work of one member while it had the conversation.
 *
 * - `by`: the name of the member; `undefined` for messages of another agent in the session.
 * - `text`: the text of its answer. For a value this is its JSON.
 * - `messages`: its messages, with its tool calls and their results.
 * - `to`: the member that it has handed over to; `undefined` if it has answered.
 * - `note`: its note to that member; `undefined` if there is none.
 *
 * @category models
 * @since 0.1.0
 */
export interface Work extends Conversation.Work {}

/**
 * What a member sees of the work of another one: the messages that stand for it in the prompt. If there are none, or if
 * the last one is an assistant's, a message about the handover follows.
 *
 * @category models
 * @since 0.1.0
 */
export interface View {
  (work: Work): ReadonlyArray<Prompt.Message>
}

/**
 * The names of members: the keys of a record. For a list they are known only when the handoff is made.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Names<Of extends Orchestration.Members> = Of extends ReadonlyArray<Agent.Any> ? string
  : Extract<keyof Of, string>

/**
 * The options of a handoff.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<in out Name extends string> extends Orchestration.Options {
  /**
   * The members that each member may hand over to. A member without an entry may hand over to nobody. Other transfers
   * are not offered to it, and calling one is a mistake that the model is told. Default: every member may hand over to
   * every other.
   */
  readonly routes?: { readonly [N in Name]?: ReadonlyArray<Name> } | undefined
  /**
   * What a member sees of the work of others: their texts, everything except their reasoning (`"full"`), nothing, or
   * the result of a function. Default: `"texts"`.
   */
  readonly view?: "texts" | "full" | "none" | View | undefined
  /** How often one run may hand over, as a positive integer. Default: 8. */
  readonly maximumTransfers?: number | undefined
}

/**
 * A handoff of these members. Its value is that of the member that has the conversation at the end.
 *
 * @category models
 * @since 0.1.0
 */
export type Handoff<Of extends Orchestration.Members> = Orchestration.Orchestration<
  Of,
  Orchestration.Value<Orchestration.MemberOf<Of>>
>

// -----------------------------------------------------------------------------
// Constructors
// -----------------------------------------------------------------------------

/**
 * Creates an agent whose members hand the conversation over to one another.
 *
 * **Details**
 *
 * The texts of all members that have the conversation in a run are streamed as the text of the run, in their order. The
 * `value` is that of the last member, or its text. A run that continues another one (`Agent.resume`, `Agent.continue`)
 * does not repeat the texts from before a handover.
 *
 * It throws `InvalidOrchestration` if it has no members or two members of the same name, if a route has an unknown
 * name, if `maximumTransfers` is not a positive integer, or if a member has a tool of its own with the name of a
 * transfer. If only a run knows of such a tool, the run fails with `AgentError` (`DuplicateTool`).
 *
 * An agent that runs outside of this package (`Agent.fromStream`) may receive the conversation, but cannot hand it
 * over.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <const Of extends Orchestration.Members>(
  name: string,
  members: Of,
  options: Options<Names<Of>> = {}
): Handoff<Of> => {
  const { description, maximumTransfers = 8, routes, view = "texts" } = options
  const named = Member.named(name, members)
  const [first, ...others] = named.keys()
  const refuse = (problem: string) => new InvalidOrchestration({ orchestration: name, problem })
  if (!Number.isInteger(maximumTransfers) || maximumTransfers < 1) {
    throw refuse(`its \`maximumTransfers\` is ${maximumTransfers}, and no positive integer`)
  }
  const targetsOf = routing(named, routes, refuse)
  const see = typeof view === "function" ? view : Conversation.views[view]
  const values = [...named.values()].map(Member.valueOf)
  const toolOf = (member: string, agent: Agent.Any): AgentTool.Any => {
    const transfers = new Map(targetsOf(member).map((target) => [transferTo(target), target]))
    const textOfValue = writing(Member.valueOf(agent))
    return AgentTool.make(handing(name, agent, named, transfers), {
      name: member,
      parameters: Called,
      success: Conversation.resultOf(makingOf(agent).value ?? Schema.Json),
      prompt: (_, conversation) => {
        const course = Conversation.read(conversation.content)
        const isLast = course.transfers >= maximumTransfers
        return Conversation.toPrompt(Conversation.seenBy(member, course, see), isLast)
      },
      result: (result: AgentRun.Result) => resultOf(result, transfers, textOfValue)
    } as AgentTool.Options<any, string, typeof Called, Schema.Constraint, "error">)
  }
  return programOf(name, {
    description,
    toolkit: AgentTool.toolkit(...[...named].map(([member, agent]) => toolOf(member, agent))),
    providers: [limiting],
    middleware: [receiving],
    run: Effect.fnUntraced(function*({ conversation }: Program.Input, calls: any) {
      const progress = yield* Progress
      const { holder } = Conversation.read(conversation.content)
      let member = holder !== undefined && named.has(holder) ? holder : first
      let from: string | undefined
      for (let transfers = 0;; transfers++) {
        progress.isLast = transfers >= maximumTransfers
        // what they give is in the schemas of their tools
        const call: Call = calls[member]
        const { text, to, value } = yield* call({ from }, { answer: textOf })
        if (to === undefined) return value ?? text
        from = member
        member = to
      }
    })
  }, others.length === 0 ? values[0] : Schema.Union(values))
}

/**
 * Returns the name of the member that has the conversation after these messages, which are those of a session or of the
 * transcript of a run. Returns `undefined` if no member has had it yet.
 *
 * @category accessors
 * @since 0.1.0
 */
export const holder = (history: Prompt.Prompt): string | undefined => Conversation.read(history.content).holder

/** The member that has handed over to this one. */
const Called = Schema.Struct({ from: Schema.optional(Schema.String) })

interface Answered {
  readonly text: string
  readonly to?: string
  readonly value?: unknown
}

/** The failures of a member are in the type of the handoff. */
type Call = (
  params: typeof Called.Type,
  options: Program.CallOptions<Answered>
) => Effect.Effect<Answered, any>

/** The text from before a handover was already streamed in the run that has handed over. */
const textOf = ({ text, to }: Answered): string => to === undefined ? text : ""

const transferTo = (member: string): string => `transfer_to_${member}`

const routing = (
  named: Member.Named,
  routes: Readonly<Record<string, ReadonlyArray<string> | undefined>> | undefined,
  refuse: (problem: string) => InvalidOrchestration
): (member: string) => ReadonlyArray<string> => {
  for (const [from, targets = []] of Object.entries(routes ?? {})) {
    const stranger = [from, ...targets].find((name) => !named.has(name))
    if (stranger !== undefined) throw refuse(`its \`routes\` have \`${stranger}\`, which is none of its members`)
    if (targets.includes(from)) throw refuse(`its \`routes\` have one from \`${from}\` to itself`)
  }
  return (member) => {
    const own = routes !== undefined && Object.hasOwn(routes, member) ? routes[member] : undefined
    const targets = routes === undefined ? named.keys() : new Set(own)
    return [...targets].filter((target) => target !== member)
  }
}

// -----------------------------------------------------------------------------
// A member
// -----------------------------------------------------------------------------

/** An agent that may hand over with these tools. A tool of its own with the name of a transfer is refused. */
const handing = (
  handoff: string,
  agent: Agent.Any,
  named: Member.Named,
  transfers: ReadonlyMap<string, string>
): Agent.Any => {
  const own = Object.keys(Agent.tools(agent) ?? {}).find((tool) => [...named.keys()].map(transferTo).includes(tool))
  if (own !== undefined) {
    const problem = `its member \`${agent.name}\` has a tool of its own with the name of a transfer, \`${own}\``
    throw new InvalidOrchestration({ orchestration: handoff, problem })
  }
  return transfers.size === 0 ? agent : Agent.withProvider(agent, handingOver(handoff, named, transfers))
}

const stopReason = "handoff"

/** The tools with which a member hands over, and the condition that then ends its run. */
const handingOver = (
  handoff: string,
  named: Member.Named,
  transfers: ReadonlyMap<string, string>
): ContextProvider.ContextProvider => {
  const tools = [...transfers].map(([name, target]) => toTool(name, target, named.get(target)?.description))
  const kit = Toolkit.make(...tools)
  // only one transfer of a run is taken
  const taken = new WeakMap<ParentRun["Service"], string>()
  const take = (target: string) =>
    Effect.contextWith((context: Context.Context<never>) => {
      const run = Context.getOrUndefined(context, ParentRun)
      const before = run === undefined ? undefined : taken.get(run)
      if (before !== undefined) return Effect.fail(`Not handed over: the conversation goes to \`${before}\``)
      if (run !== undefined) taken.set(run, target)
      return Effect.succeed(`Handed over: \`${target}\` has the conversation now`)
    })
  const handlers = Object.fromEntries([...transfers].map(([name, target]) => [name, () => take(target)]))
  const toolkit = Effect.runSync(ToolHandler.withHandlers(kit, handlers))
  return ContextProvider.make(`handoff of ${handoff}`, {
    beforeRun: ({ answers, prompt }) =>
      Effect.sync(() => {
        if (!Conversation.mayHandOver(prompt.content)) return undefined
        // the handover was in the step that continues with these answers
        const hasTaken = answers !== undefined &&
          Conversation.transferIn(Conversation.ownOf(prompt.content), transfers) !== undefined
        const leave = Stopping.leave(stopReason, ({ steps }) => hasTaken || hasTransfer(steps, transfers))
        return { toolkit, stopWhen: [leave] }
      })
  })
}

const toTool = (name: string, target: string, description: string | undefined) =>
  Tool.make(name, {
    description: `Hands the conversation over to \`${target}\`, which answers the user in your place.${
      description === undefined ? "" : ` ${target}: ${description}`
    }`,
    parameters: Schema.Struct({
      message: Schema.optional(Schema.String.annotate({
        description: "What the other one has to know and cannot see: what you have found out, and what you have done"
      }))
    }),
    success: Schema.String,
    failure: Schema.String,
    failureMode: "return"
  })

const hasTransfer = (steps: ReadonlyArray<AgentRun.Step>, transfers: ReadonlyMap<string, string>): boolean =>
  steps[steps.length - 1].toolCalls.some(({ executed, isFailure, name }) =>
    executed && !isFailure && transfers.has(name)
  )

const resultOf = (
  { text, transcript, value }: AgentRun.Result,
  transfers: ReadonlyMap<string, string>,
  textOfValue: (value: unknown) => string
) => {
  const own = Conversation.ownOf(transcript.content)
  const transfer = Conversation.transferIn(own, transfers)
  return {
    text: text === "" && value !== undefined ? textOfValue(value) : text,
    transcript: Prompt.fromMessages(own),
    ...transfer !== undefined && { to: transfer.to },
    ...transfer?.note !== undefined && { note: transfer.note },
    ...value !== undefined && { value }
  }
}

/** The text of a value: its JSON. */
const writing = (schema: Schema.Constraint): (value: unknown) => string => {
  const encode = Schema.encodeUnknownExit(JsonCodec.make(schema) as Schema.Codec<unknown>)
  return (value) => {
    const exit = encode(value)
    return Json.toText(Exit.isSuccess(exit) ? exit.value : value)
  }
}

// -----------------------------------------------------------------------------
// The run of a handoff
// -----------------------------------------------------------------------------

/** The progress of a run. */
const Progress = Context.Reference<{ isLast: boolean }>("effect-agents/orchestration/Handoff/Progress", {
  defaultValue: () => ({ isLast: false })
})

const receiving = Middleware.make("handoff", {
  agent: (request, next) =>
    Stream.suspend(() => {
      const isGoingOn = request.answers !== undefined || request.continues === true
      const received = isGoingOn ? request : { ...request, prompt: Conversation.received(request.prompt) }
      return Stream.provideService(next(received), Progress, { isLast: false })
    })
})

/** Gives the stop reason to a run that has used all of its transfers. */
const limiting = ContextProvider.make("handoff", {
  beforeRun: () =>
    Effect.map(Progress, (progress) => ({
      stopWhen: [StopCondition.when("transfer-limit", () => progress.isLast)]
    }))
})
