/**
 * Durable agents behind the wires of `effect-agents/server`: `AgentHttp`, `AgentRpc`, `UiMessages`, `AgUi`, `OpenAiApi`.
 *
 * `agent` is what a wire serves. Its runs are executions, so a run outlives the process that serves it. `layer` is for
 * the next process, and for the others: it gives the executions that have not ended to the hub, and clients join them
 * again by the id of the run or by its session, also at a process that did not start them.
 *
 * - A stop of a run ends its execution: the stop button, a run that is replaced, and with `whenLeft: "stop"` the last
 *   client that goes away. Most durable agents are served with `whenLeft: "continue"`.
 * - A hub that is closed, or that dies, leaves its executions. They go on in the next process. While it is being closed,
 *   a client that goes away leaves them too; the stop button still ends them.
 * - The id of a run that a client starts is that of its execution. After a restart a run that goes on with answers has
 *   the id that its execution gave it, so a client finds it by its session.
 * - The owner of a run is that of its session. After a restart a run without a session is found by nobody, and ends by
 *   itself.
 *
 * **Example** (A process that goes on with the executions of the one before)
 *
 * ```ts
 * import { Console, Effect, Layer, Stream } from "effect"
 * import { Agent } from "effect-agents"
 * import { Durable, DurableHub, SqliteRunner } from "effect-agents/durable"
 * import { RunHub } from "effect-agents/server"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const assistant = Durable.make(Agent.make("assistant"), { version: 1 })
 *
 * const services = Layer.mergeAll(Durable.layer(assistant), DurableHub.layer(assistant)).pipe(
 *   Layer.provideMerge([SqliteRunner.layer({ filename: ":memory:" }), RunHub.layer()]),
 *   Layer.provide(ScriptedModel.layer([ScriptedModel.text("Hello!")]))
 * )
 *
 * const program = Effect.gen(function*() {
 *   const hub = yield* RunHub.RunHub
 *   const run = yield* hub.start(DurableHub.agent(assistant), { prompt: "Hi", runId: "r", session: "ann/chat" })
 *   yield* Stream.runDrain(run.parts())
 *   yield* Console.log((yield* Durable.result(assistant, "r")).text)
 * })
 *
 * Effect.runPromise(Effect.provide(program, services))
 * // => Hello!
 * ```
 *
 * @since 0.1.0
 */

import type * as Tool from "effect/ai/Tool"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as WorkflowEngine from "effect/workflow/WorkflowEngine"
import * as Agent from "../Agent.ts"
import type * as AgentRun from "../AgentRun.ts"
import * as Sessions from "../server/internal/sessions.ts"
import * as RunHub from "../server/RunHub.ts"
import * as Durable from "./Durable.ts"
import * as ExecutionStore from "./ExecutionStore.ts"
import * as Executions from "./internal/executions.ts"
import * as PartLog from "./internal/partLog.ts"

/**
 * The failures of an execution besides those of its agent.
 *
 * @category models
 * @since 0.1.0
 */
export type Failure =
  | Durable.AgentUnknown
  | Durable.AnswerRefused
  | Durable.ExecutionConflict
  | Durable.ExecutionParked
  | Durable.ExecutionUnknown
  | ExecutionStore.ExecutionStoreError

type Services = WorkflowEngine.WorkflowEngine | ExecutionStore.ExecutionStore | RunHub.RunHub

/**
 * Returns a durable agent as an agent for the runs of a hub. A run starts an execution under its id, or goes on with the
 * execution that has asked for its answers. An interrupt of the run ends the execution, unless the hub is being closed.
 *
 * @category conversions
 * @since 0.1.0
 */
export const agent = <Tools extends Record<string, Tool.Any>, E, R, A, P>(
  self: Durable.Durable<Tools, E, R, A, P>
): Agent.Agent<Tools, E | Failure, Services, A, P> =>
  Agent.fromStream(self.agent.name, {
    description: self.agent.description,
    stream: (input) => runOf(self, Executions.opened(self[Durable.TypeId], input), input.runId)
  })

/**
 * Gives the executions of an agent to the hub: those that work when the layer is built, and later those that somebody
 * asks the hub for, by the id of the run or by its session, which other processes have started. Clients read them from
 * their first part on, as if the hub had started them. Those that wait for approvals are answered through their sessions.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <Tools extends Record<string, Tool.Any>, E, R, A, P>(
  self: Durable.Durable<Tools, E, R, A, P>,
  options?: Pick<RunHub.StartOptions, "whenLeft" | "reconnect">
): Layer.Layer<never, ExecutionStore.ExecutionStoreError, Services> =>
  Layer.effectDiscard(Effect.gen(function*() {
    const hub = yield* RunHub.RunHub
    const store = yield* ExecutionStore.ExecutionStore
    const services = yield* Effect.context<Services | Scope.Scope>()
    const enter = ({ after, execution, runId, session }: Working) => {
      const found = Agent.fromStream(self.agent.name, {
        stream: () => runOf(self, Effect.succeed({ execution, after }), runId ?? execution)
      })
      const joined = hub.start(found, { prompt: "", runId: runId ?? execution, session }, {
        ...options,
        whenBusy: "start",
        owner: session === undefined ? undefined : Sessions.ownerOf(session)
      })
      // its readers are told why it failed, and a run that the hub has is the same one
      const ignored = Effect.ignore(joined)
      // one that has told nothing yet may wait for its turn
      return runId === undefined ? Effect.forkScoped(ignored) : ignored
    }
    yield* Effect.forEach(yield* working(self), enter, { concurrency: 10, discard: true })
    const find: RunHub.Find = (asked) =>
      Effect.gen(function*() {
        const one = "runId" in asked ? yield* store.get(Executions.keyOf(self.agent, asked.runId)) : undefined
        const some = "session" in asked ? yield* store.ofSession(self.agent.name, asked.session) : []
        for (const execution of one === undefined ? some : [one]) {
          const found = yield* workOf(self, execution)
          if (found !== undefined) yield* enter(found)
        }
      }).pipe(
        Effect.catchCause((cause) => Effect.logWarning("The executions of other processes cannot be found", cause)),
        Effect.provideContext(services)
      )
    yield* hub.findWith(find)
  }))

/** Reads an execution to the next end of a run, which is told under the id `runId`. */
const runOf = <Tools extends Record<string, Tool.Any>, E, R, A, P, E1, R1>(
  self: Durable.Durable<Tools, E, R, A, P>,
  opened: Effect.Effect<{ readonly execution: string; readonly after: number | undefined }, E1, R1>,
  runId: string
): Stream.Stream<AgentRun.Part<Tools, A, P>, E | E1 | Failure, R1 | Services> =>
  Stream.scoped(Stream.unwrap(Effect.gen(function*() {
    const hub = yield* RunHub.RunHub
    const { after, execution } = yield* Effect.acquireRelease(
      opened,
      ({ execution }, exit) =>
        Exit.isFailure(exit) && Cause.hasInterrupts(exit.cause)
          ? Effect.flatMap(isLeftToNext(hub, runId), (isLeft) =>
            isLeft ? Effect.void : Effect.ignore(Durable.interrupt(self, execution)))
          : Effect.void
    )
    return Durable.attach(self, execution, { after }).pipe(
      Stream.map(({ part }) => named(part, runId)),
      Stream.takeUntil((part) => part.type === "run-end")
    )
  })))

/** A hub that is being closed leaves an execution to the next process, unless somebody has stopped the run. */
const isLeftToNext = (hub: RunHub.RunHub["Service"], runId: string) =>
  Effect.gen(function*() {
    if (!(yield* hub.isClosing)) return false
    const live = yield* hub.get(runId)
    return live === undefined || !(yield* live.isStopped)
  })

const named = <Tools extends Record<string, Tool.Any>, A, P>(
  part: AgentRun.Part<Tools, A, P>,
  runId: string
): AgentRun.Part<Tools, A, P> => {
  switch (part.type) {
    case "run-start":
      return part.runId === runId ? part : { ...part, runId }
    case "run-end":
      return part.result.runId === runId ? part : { ...part, result: { ...part.result, runId } }
    default:
      return part
  }
}

interface Working {
  readonly execution: string
  /** The last part of the run before, if there was one. */
  readonly after: number | undefined
  /** Unknown as long as the run has told nothing. */
  readonly runId: string | undefined
  readonly session: string | undefined
}

const pageSize = 100

const working = Effect.fnUntraced(function*(
  self: Durable.Any
): Effect.fn.Return<ReadonlyArray<Working>, ExecutionStore.ExecutionStoreError, ExecutionStore.ExecutionStore> {
  const store = yield* ExecutionStore.ExecutionStore
  const found: Array<Working> = []
  let page: ReadonlyArray<ExecutionStore.Listed>
  let last = ""
  do {
    page = yield* store.list(self.agent.name, last, pageSize)
    for (const execution of page) {
      last = execution.id
      const work = yield* workOf(self, execution)
      if (work !== undefined) found.push(work)
    }
  } while (page.length === pageSize)
  return found
})

/** Returns nothing for an execution that has ended, or waits for answers. */
const workOf = Effect.fnUntraced(function*(
  self: Durable.Any,
  { id, session, status }: ExecutionStore.Listed
): Effect.fn.Return<Working | undefined, ExecutionStore.ExecutionStoreError, ExecutionStore.ExecutionStore> {
  const store = yield* ExecutionStore.ExecutionStore
  if (status !== "running" && !(status === "waiting" && (yield* isAnswered(store, id)))) return undefined
  const after = (yield* PartLog.ends(store, id)).at(-1)?.seq
  let runId: string | undefined
  const reading = PartLog.forEach(store, id, (part) => {
    if (part.type === "run-start" && runId === undefined) runId = String(part.runId)
  }, after)
  yield* Effect.catchTag(reading, "SchemaError", Effect.die)
  return { execution: id.slice(Executions.keyOf(self.agent, "").length), after, runId, session }
})

/** A process may end between the last answer and what follows from it. */
const isAnswered = (store: ExecutionStore.Options, id: string) =>
  Effect.map(store.asked(id), (asked) => asked.every(({ answer }) => answer !== undefined))
