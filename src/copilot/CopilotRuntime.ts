/**
 * The process of the GitHub Copilot runtime, and its sessions.
 *
 * The layer starts the process and ends it. One process serves many runs; each run opens its session in its own scope.
 * When the process dies, operations that wait for it fail with `RuntimeExited`, and the next session starts another
 * process.
 *
 * **Example** (One process for many runs)
 *
 * ```ts no-run
 * import { Effect } from "effect"
 * import { Agent } from "effect-agents"
 * import { CopilotAgent, CopilotRuntime } from "effect-agents/copilot"
 *
 * const helper = CopilotAgent.make("helper", { model: "gpt-5" })
 *
 * export const program = Effect.forEach(
 *   ["What is in src?", "What is in test?"],
 *   (prompt) => Agent.run(helper, { prompt }),
 *   { concurrency: 2 }
 * ).pipe(Effect.provide(CopilotRuntime.layer({ workingDirectory: "/srv/project" })))
 * ```
 *
 * @since 0.1.0
 */
import * as Sdk from "@github/copilot-sdk"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as RcMap from "effect/RcMap"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type * as Tracer from "effect/Tracer"
import { access, constants } from "node:fs/promises"
import * as AgentRun from "../AgentRun.ts"
import * as CopilotError from "./CopilotError.ts"
import { heartbeat, watch } from "./internal/processExit.ts"

/**
 * The options of the SDK's client: `connection`, `baseDirectory`, `workingDirectory`, `gitHubToken`, `mode`, ...
 *
 * In mode `"empty"` the runtime offers no tools of its own, and reads nothing from the machine that it was not told to
 * read. It needs a `baseDirectory`, where it keeps its sessions. In mode `"copilot-cli"`, the SDK's default, it is the
 * coding agent of the command line.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends Sdk.CopilotClientOptions {}

/**
 * The request of a run for a session.
 *
 * - `id`: the session to continue. Scopes that use the same session wait for each other. Without an id a new session is
 *   begun; nobody can continue it, and it is deleted when its scope closes.
 * - `missing`: what to do if the runtime does not know the `id`.
 *
 * @category models
 * @since 0.1.0
 */
export interface SessionRequest {
  readonly id: string | undefined
  readonly missing: "create" | "fail"
  readonly config: Omit<Sdk.SessionConfig, "sessionId">
}

/**
 * A session that is open in a scope.
 *
 * `call` waits for a promise of the SDK, but no longer than the process lives. Work that the runtime does for a request
 * made in `inTrace` belongs to the trace of that span, unless the options of the runtime say otherwise.
 *
 * @category models
 * @since 0.1.0
 */
export interface OpenSession {
  readonly session: Sdk.CopilotSession
  /** Whether the session existed before, and so stays when its scope closes. */
  readonly resumed: boolean
  readonly kept: boolean
  readonly exited: Effect.Effect<never, CopilotError.CopilotError>
  readonly call: <A>(operation: string, f: () => Promise<A>) => Effect.Effect<A, CopilotError.CopilotError>
  readonly inTrace: <A>(span: Tracer.AnySpan | undefined, f: () => A) => A
}

/**
 * Service for the sessions of a runtime.
 *
 * @category services
 * @since 0.1.0
 */
export class CopilotRuntime extends Context.Service<CopilotRuntime, {
  readonly mode: Sdk.CopilotClientMode
  /** Opens a session until the scope closes. If the session has an id, its history then stays in the runtime. */
  readonly open: (request: SessionRequest) => Effect.Effect<OpenSession, CopilotError.CopilotError, Scope.Scope>
  /** Deletes a session and its history. */
  readonly remove: (id: string) => Effect.Effect<void, CopilotError.CopilotError>
  /** The id of the current process; `undefined` when the runtime is not a child of this process. */
  readonly processId: Effect.Effect<number | undefined, CopilotError.CopilotError>
}>()("effect-agents/copilot/CopilotRuntime") {}

/**
 * Starts a runtime that lives as long as its scope.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: (
  options?: Options
) => Effect.Effect<CopilotRuntime["Service"], CopilotError.CopilotError, Scope.Scope> = Effect.fnUntraced(
  function*(options: Options = {}) {
    const scope = yield* Effect.scope
    const starting = Semaphore.makeUnsafe(1)
    const turns = yield* RcMap.make({ lookup: (_id: string) => Semaphore.make(1) })
    let current: Running | undefined
    const running = starting.withPermit(
      Effect.suspend(() =>
        current !== undefined && !Deferred.isDoneUnsafe(current.exited)
          ? Effect.succeed(current)
          : Effect.tap(start(options, scope), (started) => Effect.sync(() => void (current = started)))
      )
    )
    yield* running
    return CopilotRuntime.of({
      mode: options.mode ?? "copilot-cli",
      open: Effect.fnUntraced(function*(request) {
        const { id } = request
        if (id !== undefined) yield* Effect.flatMap(RcMap.get(turns, id), Semaphore.takeScoped(1))
        return yield* openSession(yield* running, request)
      }),
      remove: (id) =>
        Effect.flatMap(running, ({ call, client }) => call("deleteSession", () => client.deleteSession(id))),
      processId: Effect.map(running, ({ processId }) => processId)
    })
  }
)

/**
 * Layer that starts a runtime.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<CopilotRuntime, CopilotError.CopilotError> =>
  Layer.effect(CopilotRuntime)(make(options))

// -----------------------------------------------------------------------------
// The process
// -----------------------------------------------------------------------------

interface Running extends Pick<OpenSession, "call" | "inTrace"> {
  readonly client: Sdk.CopilotClient
  readonly processId: number | undefined
  readonly exited: Deferred.Deferred<never, CopilotError.CopilotError>
}

/** Starts a process in a scope of its own, which closes with the parent's scope, or when the process cannot be used. */
const start = Effect.fnUntraced(function*(options: Options, parent: Scope.Scope) {
  yield* checkExecutable(options)
  const scope = yield* Scope.fork(parent)
  return yield* Effect.onExit(
    Scope.provide(connect(options), scope),
    (exit) => Exit.isFailure(exit) ? Scope.close(scope, exit) : Effect.void
  )
})

const connect = Effect.fnUntraced(function*(options: Options) {
  const exited = Deferred.makeUnsafe<never, CopilotError.CopilotError>()
  // the SDK reads it when a request is made, before anything else can happen
  let trace: Sdk.TraceContext = {}
  const client = yield* Effect.acquireRelease(
    Effect.try({
      try: () => new Sdk.CopilotClient({ onGetTraceContext: () => trace, ...options }),
      catch: unavailable
    }),
    // `stop` asks the process to end, and kills it if it does not; a process that has ended would not answer
    (client) => Effect.promise<unknown>(() => Deferred.isDoneUnsafe(exited) ? client.forceStop() : client.stop())
  )
  yield* Effect.tryPromise({ try: () => client.start(), catch: unavailable })
  const onExit = (reason: CopilotError.RuntimeExited) =>
    Deferred.doneUnsafe(exited, Exit.fail(CopilotError.make(reason)))
  const { observed, processId } = watch(client, onExit)
  if (!observed) yield* Effect.forkScoped(Effect.map(heartbeat(client), onExit))
  const running: Running = {
    client,
    processId,
    exited,
    call: (operation, f) =>
      Effect.raceFirst(Effect.tryPromise({ try: f, catch: rejected(operation) }), Deferred.await(exited)),
    inTrace: (span, f) => {
      trace = span === undefined ? {} : { traceparent: traceparent(span) }
      const result = f()
      trace = {}
      return result
    }
  }
  return running
})

const traceparent = ({ sampled, spanId, traceId }: Tracer.AnySpan): string =>
  `00-${traceId}-${spanId}-${sampled ? "01" : "00"}`

/** The SDK would write to the pipe of a process that does not exist, and nobody could catch that exception. */
const checkExecutable = ({ connection }: Options): Effect.Effect<void, CopilotError.CopilotError> => {
  const path = connection?.kind === "stdio" || connection?.kind === "tcp" ? connection.path : undefined
  if (path === undefined || path.endsWith(".js")) return Effect.void
  return Effect.tryPromise({ try: () => access(path, constants.X_OK), catch: unavailable })
}

const unavailable = (cause: unknown): CopilotError.CopilotError =>
  CopilotError.make(new CopilotError.RuntimeUnavailable({ description: messageOf(cause), cause }))

const rejected = (operation: string) => (cause: unknown): CopilotError.CopilotError =>
  CopilotError.make(
    isAnswer(cause)
      ? new CopilotError.RequestRejected({ operation, description: messageOf(cause), cause })
      : new CopilotError.RuntimeExited({})
  )

/** Whether the runtime itself has answered with this error of JSON-RPC. Otherwise there was no runtime to answer. */
const isAnswer = (cause: unknown): boolean => {
  if (!Predicate.hasProperty(cause, "code") || !Predicate.isNumber(cause.code)) return !isConnectionError(cause)
  return cause.code < 0 && cause.code !== pendingResponseRejected && cause.code !== messageWriteError
}

const pendingResponseRejected = -32097
const messageWriteError = -32099

const isConnectionError = (cause: unknown): boolean => /connect|closed|disposed/i.test(messageOf(cause))

const messageOf = (cause: unknown): string => cause instanceof Error ? cause.message : String(cause)

// -----------------------------------------------------------------------------
// Sessions
// -----------------------------------------------------------------------------

const openSession = Effect.fnUntraced(function*(
  { call, client, exited, inTrace }: Running,
  { config, id, missing }: SessionRequest
) {
  const known = id === undefined ? undefined : yield* call("getSessionMetadata", () => client.getSessionMetadata(id))
  if (id !== undefined && known === undefined && missing === "fail") {
    return yield* CopilotError.make(new CopilotError.SessionNotFound({ sessionId: id }))
  }
  const close = (session: Sdk.CopilotSession) =>
    call("disconnect", () => session.disconnect()).pipe(
      Effect.andThen(
        id === undefined ? call("deleteSession", () => client.deleteSession(session.sessionId)) : Effect.void
      ),
      // a runtime that has ended has closed its sessions
      Effect.catchReason("CopilotError", "RuntimeExited", () => Effect.void)
    )
  const opening = id === undefined
    ? client.createSession(config)
    : known === undefined
    ? client.createSession({ ...config, sessionId: id })
    : client.resumeSession(id, config)
  const budget = yield* AgentRun.FinalizationBudget
  const opened = call(known === undefined ? "createSession" : "resumeSession", () => opening)
  const session = yield* Effect.acquireRelease(
    // a session that opens after the interruption is closed too
    Effect.onInterrupt(opened, () => Effect.ignore(Effect.timeout(Effect.flatMap(opened, close), budget))),
    (session) => Effect.orDie(close(session)),
    { interruptible: true }
  )
  const open: OpenSession = {
    session,
    resumed: known !== undefined,
    kept: id !== undefined,
    exited: Deferred.await(exited),
    call,
    inTrace
  }
  return open
})
