/**
 * The conversation of a chat: its model, its session, what it may spend, and its questions.
 */
import * as IdGenerator from "effect/ai/IdGenerator"
import type * as LanguageModel from "effect/ai/LanguageModel"
import type * as Prompt from "effect/ai/Prompt"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as Agent from "../../../src/Agent.ts"
import * as AgentRun from "../../../src/AgentRun.ts"
import * as AgentTelemetry from "../../../src/AgentTelemetry.ts"
import type * as Approval from "../../../src/Approval.ts"
import * as Budget from "../../../src/Budget.ts"
import * as Compaction from "../../../src/Compaction.ts"
import type * as Session from "../../../src/Session.ts"
import * as SessionStore from "../../../src/SessionStore.ts"
import type * as Steering from "../../../src/Steering.ts"
import * as FolderAgent from "../FolderAgent.ts"
import * as Sessions from "../Sessions.ts"
import * as SpanRecorder from "../SpanRecorder.ts"
import * as Copy from "./Copy.ts"

/** A conversation. */
export interface Conversation {
  /** The title of the model that answers. */
  readonly model: () => string
  /** Lets another model answer from now on. */
  readonly setModel: (name: string) => Effect.Effect<void, unknown>
  /** The name of the session, and whether it outlives the chat. */
  readonly session: () => { readonly name: string; readonly isKept: boolean }
  /**
   * Continues the session with this name, or begins it. What was said so far goes into a session that begins, if it was
   * not kept yet.
   */
  readonly setSession: (name: string) => Effect.Effect<Session.Session, unknown>
  /** The sessions that were used last. */
  readonly sessions: Effect.Effect<ReadonlyArray<SessionStore.Summary>, unknown>
  /** Everything that was said. */
  readonly history: Effect.Effect<ReadonlyArray<Prompt.Message>, unknown>
  /** Goes on in a new session with a shorter history. Returns `None` if there is nothing to make shorter. */
  readonly compact: Effect.Effect<Option.Option<Compacted>, unknown>
  /** Asks a question, and gives each part of the run to `emit`. */
  readonly ask: (question: string, steering: Steering.Steering, emit: Emit) => Effect.Effect<AgentRun.Outcome>
  /** Continues the run that waits for these answers. */
  readonly answer: (
    result: AgentRun.Result,
    answers: ReadonlyArray<Approval.Answer>,
    emit: Emit
  ) => Effect.Effect<AgentRun.Outcome>
  /** The spans and metrics of the last question. */
  readonly recorder: () => SpanRecorder.SpanRecorder["Service"] | undefined
  /** Writes the last answer into two files: a cassette and a test. `None` if nothing was asked yet. */
  readonly copy: (name: string) => Effect.Effect<Option.Option<Copy.Files>, unknown>
  readonly spent: () => Spent
  readonly budget: () => number | undefined
  /** Sets how many tokens the conversation may spend from now on. */
  readonly setBudget: (tokens: number | undefined) => void
}

/** Receives the parts of a run. */
export type Emit = (part: AgentRun.Part) => Effect.Effect<void>

/** The steps and tokens of the last question, the tokens of the chat, and those that are left of its budget. */
export interface Spent {
  readonly steps: number
  readonly input: number
  readonly output: number
  readonly total: number
  readonly left: number | undefined
}

/** The name of the shorter session, and the tokens before and after. */
export interface Compacted {
  readonly name: string
  readonly before: number
  readonly after: number
}

/** Begins a conversation. Without the name of a session it is forgotten when the scope closes. */
export const make = Effect.fnUntraced(function*<E>(options: {
  readonly model: FolderAgent.Model
  /** Finds a model by its name. */
  readonly select: (name: string) => Effect.Effect<FolderAgent.Model, E>
  readonly session: string | undefined
  readonly sessionFile: string | undefined
}) {
  const services = yield* Effect.context<
    | Exclude<Agent.Services<FolderAgent.FolderAgent>, LanguageModel.LanguageModel | SessionStore.SessionStore>
    | Layer.Services<ReturnType<typeof Sessions.layer>>
    | Scope.Scope
  >()
  const build = <A, E2, R2>(layer: Layer.Layer<A, E2, R2>) => Layer.build(Layer.fresh(layer))
  const storeOf = <E2, R2>(layer: Layer.Layer<SessionStore.SessionStore, E2, R2>) =>
    Effect.map(build(layer), (context) => Context.get(context, SessionStore.SessionStore))

  const agent = FolderAgent.make("always")
  const file = yield* Effect.cached(Effect.provide(storeOf(Sessions.layer(options.sessionFile)), services))
  let model = options.model
  let session = options.session === undefined
    ? { name: "chat", isKept: false, store: yield* storeOf(SessionStore.layerMemory) }
    : { name: options.session, isKept: true, store: yield* file }
  let telemetry = Option.none<Context.Context<SpanRecorder.SpanRecorder>>()
  let budget: { readonly tokens: number; readonly from: number } | undefined
  const spent = { steps: 0, input: 0, output: 0, total: 0 }
  let last: { readonly question: string; readonly parts: Array<AgentRun.Part> } | undefined

  const left = () => budget === undefined ? undefined : Math.max(0, budget.tokens - (spent.total - budget.from))

  const count = (part: AgentRun.Part): void => {
    const inner = part.type === "agent-part" ? part.part : part
    if (part.type === "step-end") spent.steps++
    if (inner.type !== "finish") return
    const input = inner.usage.inputTokens.total ?? 0
    const output = inner.usage.outputTokens.total ?? 0
    spent.input += input
    spent.output += output
    spent.total += input + output
  }

  const run = <E2, R2>(start: (agent: FolderAgent.FolderAgent) => Stream.Stream<AgentRun.Part, E2, R2>, emit: Emit) => {
    const tokens = left()
    const running = FolderAgent.run(agent, start, (part) =>
      Effect.suspend(() => {
        count(part)
        last?.parts.push(part)
        return emit(part)
      }))
    return (tokens === undefined ? running : Budget.provide(Budget.make({ tokens }))(running)).pipe(
      Effect.provideService(SessionStore.SessionStore, session.store),
      Effect.provide(Option.getOrElse(telemetry, () => Context.empty())),
      Effect.provide(model.layer),
      Effect.exit,
      // A model that cannot be built is a run that fails
      Effect.map((exit) => Exit.isSuccess(exit) ? exit.value : AgentRun.outcome(exit as Exit.Exit<never, unknown>))
    )
  }

  const ask = Effect.fnUntraced(function*(question: string, steering: Steering.Steering, emit: Emit) {
    Object.assign(spent, { steps: 0, input: 0, output: 0 })
    last = { question, parts: [] }
    telemetry = Option.some(yield* build(AgentTelemetry.layer().pipe(Layer.provideMerge(SpanRecorder.layer))))
    return yield* run((agent) => Agent.stream(agent, { prompt: question, session: session.name, steering }), emit)
  })

  const setSession = Effect.fnUntraced(function*(name: string) {
    const store = yield* file
    const found = yield* store.load(name)
    const said = session.isKept ? [] : (yield* session.store.load(session.name)).history.content
    const opened = found.version === 0 && said.length > 0 ? yield* store.save(found, { append: said }) : found
    session = { name, isKept: true, store }
    return opened
  })

  const history = Effect.suspend(() => Effect.map(session.store.load(session.name), (loaded) => loaded.history.content))

  const compact = Effect.gen(function*() {
    const { name, store } = session
    const loaded = yield* store.load(name)
    const count = (messages: ReadonlyArray<Prompt.Message>) =>
      Effect.sync(() => messages.map((message) => Compaction.estimate([message])))
    const sum = Effect.fnUntraced(function*(messages: ReadonlyArray<Prompt.Message>) {
      return (yield* count(messages)).reduce((total, tokens) => total + tokens, 0)
    })
    const before = yield* sum(loaded.history.content)
    let messages = loaded.history.content
    for (const strategy of [Compaction.collapseToolResults({ keep: 0 }), Compaction.summarise()]) {
      const tokens = yield* sum(messages)
      const target = Math.max(enough, Math.floor(before / 4))
      if (tokens <= target) break
      // The offline planner writes no summaries
      if (strategy.name === "summarise" && model.isOffline === true) break
      messages = yield* strategy.apply({
        messages,
        tokens,
        // The whole history was in a call before, with tools and an answer: one call sums it up
        maxTokens: before + 2000,
        targetTokens: target,
        count,
        generateId: IdGenerator.defaultIdGenerator.generateId(),
        addUsage: (usage) => {
          spent.total += (usage.inputTokens.total ?? 0) + (usage.outputTokens.total ?? 0)
        }
      })
    }
    const after = yield* sum(messages)
    if (after >= before) return Option.none<Compacted>()
    let number = 2
    let next = yield* store.load(`${name}-${number}`)
    while (next.version > 0) next = yield* store.load(`${name}-${++number}`)
    yield* store.save(next, { append: messages })
    session = { ...session, name: next.id }
    return Option.some<Compacted>({ name: next.id, before, after })
  })

  const self: Conversation = {
    model: () => model.title,
    setModel: (name) =>
      Effect.map(options.select(name), (selected) => {
        model = selected
      }),
    session: () => session,
    setSession: (name) => setSession(name),
    sessions: Effect.suspend(() => session.isKept ? Effect.succeed(session.store) : file).pipe(
      Effect.flatMap((store) => store.list({ pageSize: 10 })),
      Effect.map((page) => page.sessions)
    ),
    history,
    compact: Effect.suspend(() => Effect.provide(compact, model.layer)).pipe(Effect.provide(services)),
    ask: (question, steering, emit) => Effect.provide(ask(question, steering, emit), services),
    answer: (result, answers, emit) =>
      Effect.provide(run((agent) => Agent.resumeStream(agent, { result }, answers), emit), services),
    recorder: () => Option.getOrUndefined(Option.map(telemetry, Context.get(SpanRecorder.SpanRecorder))),
    copy: (name) =>
      Effect.suspend(() =>
        last === undefined ? Effect.succeedNone : Effect.asSome(Copy.write(name, last.parts, last.question))
      ).pipe(Effect.provide(services)),
    spent: () => ({ ...spent, left: left() }),
    budget: () => budget?.tokens,
    setBudget: (tokens) => {
      budget = tokens === undefined ? undefined : { tokens, from: spent.total }
    }
  }
  return self
})

/** A history of so many tokens is short. */
const enough = 500
