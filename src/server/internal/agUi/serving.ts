/**
 * The requests of AG-UI clients, answered with the runs of their owners.
 *
 * @since 0.1.0
 */

import * as Prompt from "effect/ai/Prompt"
import type * as ByteSize from "effect/ByteSize"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Agent from "../../../Agent.ts"
import type * as Approval from "../../../Approval.ts"
import * as Json from "../../../internal/words/json.ts"
import * as Steering from "../../../Steering.ts"
import * as AgentApi from "../../AgentApi.ts"
import * as ClientTools from "../../ClientTools.ts"
import type * as RunHub from "../../RunHub.ts"
import { failed } from "../failures.ts"
import * as Unapproved from "../unapproved.ts"
import type { OwnedRun, OwnedRuns } from "../ownedRuns.ts"
import * as Sse from "../sse.ts"
import { CallIds } from "./callIds.ts"
import type * as Events from "./events.ts"
import type * as Models from "./models.ts"
import * as Outcome from "./outcome.ts"
import * as Parts from "./parts.ts"
import * as Request from "./request.ts"
import * as Snapshot from "./snapshot.ts"

/**
 * What a request says beside the conversation.
 *
 * @category models
 * @since 0.1.0
 */
export interface ClientInput {
  readonly threadId: string
  readonly context: ReadonlyArray<{ readonly description: string; readonly value: string }>
  readonly state: unknown
  readonly forwardedProps: unknown
}

/**
 * @category references
 * @since 0.1.0
 */
export const CurrentInput = Context.Reference<ClientInput | undefined>("effect-agents/server/AgUi/CurrentInput", {
  defaultValue: () => undefined
})

/**
 * An agent, and how it is served.
 *
 * @category models
 * @since 0.1.0
 */
export interface Served<R, Request> {
  readonly agent: Agent.Agent<any, any, R, any, any>
  readonly runs: OwnedRuns<R, Request>
  readonly history: "server" | "client"
  readonly clientTools: "accept" | "refuse"
  readonly keepAlive: Duration.Input | undefined
  readonly maximumBody: ByteSize.ByteSize
}

type Response<Request> = Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  AgentApi.RunFailed,
  AgentApi.Owner | HttpServerRequest.HttpServerRequest | Request | Scope.Scope
>

/** How the client of a run knows it. */
interface Told {
  readonly options: Events.Options
  /** The number of messages that the session had before the run. */
  readonly before: number
  /** The messages with which the user began the run. */
  readonly prompt: ReadonlyArray<Prompt.Message>
}

/**
 * The endpoints of one agent.
 *
 * @category models
 * @since 0.1.0
 */
export class Serving<R, Request> {
  private readonly served: Served<R, Request>
  /** What the other readers of a run have to know, as long as the hub knows the run. */
  private readonly told = new WeakMap<RunHub.Live, Told>()

  constructor(served: Served<R, Request>) {
    this.served = served
  }

  /** Runs the agent, or continues a run that waits. */
  readonly run: Response<Request> = Effect.suspend(() =>
    Effect.gen({ self: this }, function*() {
      const { id: owner } = yield* AgentApi.Owner
      const input = yield* Effect.flatMap(readBody(this.served.maximumBody), Request.decode)
      const agent = yield* this.agentFor(input)
      const started = this.served.history === "client"
        ? yield* this.startStateless(agent, owner, input)
        : yield* this.start(agent, owner, input)
      return this.respond(started.run, Parts.events(partsOf(started.run), started.options))
    })
  )

  private agentFor(
    { tools = [] }: Request.RunInput
  ): Effect.Effect<Agent.Agent<any, any, R, any, any>, AgentApi.RunFailed> {
    if (tools.length > 0 && this.served.clientTools === "refuse") return Effect.fail(noTools)
    return Effect.fromResult(ClientTools.withDeclared(this.served.agent, tools))
  }

  private start(agent: Agent.Agent<any, any, R, any, any>, owner: string, input: Request.RunInput) {
    return Effect.gen({ self: this }, function*() {
      const { runs } = this.served
      const tools = Agent.tools(this.served.agent)
      const { approvals, history } = yield* runs.session(owner, input.threadId)
      const decisions = yield* Effect.fromResult(Request.decisions(input.resume))
      const results = yield* Effect.fromResult(Request.results(input, approvals, tools))
      const prompt = yield* Effect.fromResult(Request.added(input, history.content))
      const answers = [...decisions, ...results]
      const runId = runIdOf(input)
      const options = { ...optionsOf(input, tools, Snapshot.callsOf(history.content)), runId }
      const session = input.threadId
      if (answers.length === 0) {
        // what waits for something else cannot go on with a result
        const isResult = prompt.length === 0 && input.messages.at(-1)?.role === "tool"
        if (isResult && approvals.length > 0) return yield* callUnknown
        const given = prompt.length > 0
          ? { prompt: Prompt.fromMessages(prompt), session, runId }
          // the last message is one that no model has answered, or there is nothing to do
          : { prompt: Prompt.empty, continues: true as const, session, runId }
        const run = yield* this.within(input, runs.start(agent, owner, given))
        return this.keep(run, { options, before: history.content.length, prompt })
      }
      // a run that still waits would not read what the user has said in the meantime
      if (prompt.length > 0 && !isComplete(approvals, answers)) return yield* stillWaiting
      const steering = yield* Steering.make
      for (const message of prompt) yield* steering.send(message)
      const run = yield* this.within(input, runs.answer(agent, owner, session, answers, { runId, steering }))
      const ownMessages = prompt.length
      return this.keep(run, { options: { ...options, ownMessages }, before: history.content.length, prompt })
    })
  }

  /** The client keeps the conversation, and the server believes nothing of it but what the user has said. */
  private startStateless(agent: Agent.Agent<any, any, R, any, any>, owner: string, input: Request.RunInput) {
    return Effect.gen({ self: this }, function*() {
      if ((input.resume ?? []).length > 0) return yield* noApprovals
      const own = Agent.tools(this.served.agent) ?? {}
      const declared = new Set(input.tools?.map(({ name }) => name))
      const isInClient = (name: string) =>
        Object.hasOwn(own, name) ? ClientTools.isClientTool(own[name]!) : declared.has(name)
      const prompt = yield* Effect.fromResult(Request.toPrompt(input.messages, isInClient))
      const runId = runIdOf(input)
      const denying = Unapproved.denying(agent, ({ runsIn }) => runsIn === "client")
      const run = yield* this.within(input, this.served.runs.start(denying, owner, { prompt, runId }))
      return this.keep(run, { options: { ...optionsOf(input, own, []), runId }, before: 0, prompt: [] })
    })
  }

  private within<A, E, R1>(
    { context = [], forwardedProps, state, threadId }: Request.RunInput,
    self: Effect.Effect<A, E, R1>
  ): Effect.Effect<A, E, R1> {
    return Effect.provideService(self, CurrentInput, { threadId, context, state, forwardedProps })
  }

  private keep(run: OwnedRun, told: Told) {
    this.told.set(run.live, told)
    return { run, options: told.options }
  }

  /**
   * Shows a conversation: its messages, then the run that works on it from its beginning, or what it waits for. A run that
   * was started over another wire is shown without the message with which it began.
   */
  readonly connect: Response<Request> = Effect.suspend(() =>
    Effect.gen({ self: this }, function*() {
      const { id: owner } = yield* AgentApi.Owner
      const input = yield* Effect.flatMap(readBody(this.served.maximumBody), Request.decode)
      const { threadId } = input
      const { approvals, history, running } = yield* this.served.runs.session(owner, threadId)
      if (running !== undefined) {
        const told = this.told.get(running.live)
        const before = history.content.slice(0, told?.before)
        const messages = Snapshot.fromHistory(threadId, [...before, ...told?.prompt ?? []])
        const options: Events.Options = {
          threadId,
          tools: Agent.tools(this.served.agent),
          knownCalls: Snapshot.callsOf(history.content),
          ...told?.options,
          runId: running.live.runId
        }
        const shown = Stream.flatMap(
          Parts.events(partsOf(running), options),
          (event) =>
            event.type === "RUN_STARTED"
              ? Stream.make<ReadonlyArray<Models.Event>>(event, { type: "MESSAGES_SNAPSHOT", messages })
              : Stream.succeed(event)
        )
        return this.respond(running, shown)
      }
      const messages = Snapshot.fromHistory(threadId, history.content)
      return Sse.response(
        Sse.data(Stream.fromIterable(this.waiting(input, messages, Snapshot.callsOf(history.content), approvals)))
      )
    })
  )

  private waiting(
    { runId, threadId }: Request.RunInput,
    messages: Array<Models.Message>,
    calls: ReadonlyArray<string>,
    approvals: ReadonlyArray<Approval.Approval>
  ): Array<Models.Event> {
    const ids = new CallIds(calls)
    const tools = Agent.tools(this.served.agent)
    return [
      { type: "RUN_STARTED", threadId, runId, protocolVersion: "1.0" },
      { type: "MESSAGES_SNAPSHOT", messages },
      {
        type: "RUN_FINISHED",
        threadId,
        runId,
        ...Outcome.of(
          approvals.map((approval) => ({ approval, toolCallId: ids.before(approval.toolCallId), tag: undefined })),
          tools
        )
      }
    ]
  }

  /** Stops a run of the owner. */
  readonly stop: Response<Request> = Effect.suspend(() =>
    Effect.gen({ self: this }, function*() {
      const { id: owner } = yield* AgentApi.Owner
      const { runId } = yield* Effect.flatMap(readBody(this.served.maximumBody), decodeStop)
      yield* this.served.runs.stop(owner, runId, this.served.agent.name)
      return HttpServerResponse.empty({ status: 204 })
    })
  )

  private respond(run: OwnedRun, events: Stream.Stream<Models.Event>): HttpServerResponse.HttpServerResponse {
    return Sse.response(Sse.data(events), {
      keepAlive: this.served.keepAlive,
      headers: Sse.runHeader(run.live.runId)
    })
  }
}

const partsOf = (run: OwnedRun) => Stream.map(run.parts(), ({ part }) => part)

const isRunId = Schema.is(AgentApi.RunId)

/** An id that the hub cannot take is replaced by one of the server, which the events tell. */
const runIdOf = ({ runId }: Request.RunInput): string | undefined => isRunId(runId) ? runId : undefined

const optionsOf = (
  { messages, state, threadId }: Request.RunInput,
  tools: Events.Options["tools"],
  stored: ReadonlyArray<string>
): Events.Options => ({ threadId, tools, state, knownCalls: [...stored, ...Request.knownCalls(messages)] })

const isComplete = (
  approvals: ReadonlyArray<Approval.Approval>,
  answers: ReadonlyArray<AgentApi.Answer>
): boolean => approvals.every(({ approvalId }) => answers.some((answer) => answer.approvalId === approvalId))

const noTools = failed("tools-refused", 400, false, "The agent takes no tools from its clients.")
const noApprovals = failed("approval-unsupported", 400, false, "The agent asks for no approvals.")
const callUnknown = failed("call-unknown", 404, false, "No call waits for this result.")
const stillWaiting = failed(
  "approval-required",
  409,
  false,
  "The conversation waits for more answers. Send them before, or together with, the next message."
)

const decodeStop = (body: unknown): Effect.Effect<{ readonly runId: string }, AgentApi.RunFailed> =>
  Effect.mapError(decodeStopInput(body), () => unreadable)

const decodeStopInput = Schema.decodeUnknownEffect(Schema.Struct({ runId: Schema.String }))

const unreadable = failed("invalid-request", 400, false, "The request is not valid.")
const notJson = failed("invalid-request", 415, false, "The request is not JSON (`content-type`).")
const tooLarge = failed("request-too-large", 413, false, "The request is too large.")

const readBody = (
  maximum: ByteSize.ByteSize
): Effect.Effect<unknown, AgentApi.RunFailed, HttpServerRequest.HttpServerRequest> =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
    // a page of another site may send any text, but no JSON
    if (!/^application\/json\b/i.test(request.headers["content-type"] ?? "")) return Effect.fail(notJson)
    return request.json.pipe(
      Effect.provideService(HttpIncomingMessage.MaxBodySize, maximum),
      Effect.mapError(({ reason }) => "reason" in reason && reason.reason === "BodyTooLarge" ? tooLarge : unreadable),
      Effect.filterOrFail((body) => !Json.isTooDeep(body), () => unreadable)
    )
  })
