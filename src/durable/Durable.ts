/**
 * Runs that survive the death of their process.
 *
 * A durable agent is the same agent value: its loop runs unchanged in a workflow of `effect/workflow`, and a journal in its
 * context records each model call, each tool call, everything that it loads and saves, and each `afterRun`. A process
 * that continues an execution makes only those calls that have no record. The parts are kept in the `ExecutionStore`, so that
 * any process can read them, from any number on.
 *
 * **Example** (An execution from its start to its end)
 *
 * ```ts
 * import { Console, Effect, Layer } from "effect"
 * import { Tool, Toolkit } from "effect/ai"
 * import { WorkflowEngine } from "effect/workflow"
 * import { Agent } from "effect-agents"
 * import { Durable, ExecutionStore } from "effect-agents/durable"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const toolkit = Toolkit.make(Tool.make("pay"))
 * const cashier = Durable.make(Agent.make("cashier", { toolkit }), { version: 1 })
 *
 * const model = ScriptedModel.layer([
 *   ScriptedModel.toolCalls({ id: "c1", name: "pay", params: {} }),
 *   ScriptedModel.text("The bill is paid")
 * ])
 *
 * const program = Effect.gen(function*() {
 *   const execution = yield* Durable.start(cashier, { id: "bill-1", prompt: "Pay the bill" })
 *   const { text } = yield* Durable.result(cashier, execution)
 *   yield* Console.log(text, (yield* Durable.status(cashier, execution)).status)
 * })
 *
 * const runner = Durable.layer(cashier).pipe(
 *   Layer.provideMerge([WorkflowEngine.layerMemory, ExecutionStore.layerMemory]),
 *   Layer.provide([model, toolkit.toLayer({ pay: () => Console.log("paid") })])
 * )
 *
 * Effect.runPromise(Effect.provide(program, runner))
 * // => paid
 * // => The bill is paid completed
 * ```
 *
 * **What is promised**
 *
 * - A call with a record is never made again. A call that was in progress when its process ended is made again, so a tool
 *   should accept that it is called twice with the same id. A failure or a defect of a process is not the end of an execution.
 * - `run-end` comes once, with the result that the run would have had without an interruption.
 * - A reader gets each number once, without gaps. A model call that begins again is told by a `step-start` with
 *   `restarted`: the parts of that step before it do not count.
 * - An approval has one answer: the first.
 * - A defect, a record that cannot be read and another version park the execution with its cause. Nothing is lost;
 *   `resume` tries again.
 *
 * @since 0.1.0
 */

import type * as AiError from "effect/ai/AiError"
import type * as Prompt from "effect/ai/Prompt"
import type * as Tool from "effect/ai/Tool"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as WorkflowEngine from "effect/workflow/WorkflowEngine"
import * as Agent from "../Agent.ts"
import type * as AgentError from "../AgentError.ts"
import type * as AgentRun from "../AgentRun.ts"
import type * as Approval from "../Approval.ts"
import type * as Journal from "../Journal.ts"
import type * as Session from "../Session.ts"
import type * as ExecutionStore from "./ExecutionStore.ts"
import { Definition } from "./internal/definition.ts"
import type {
  AgentUnknown,
  AnswerRefused,
  ExecutionConflict,
  ExecutionParked,
  ExecutionUnknown
} from "./internal/errors.ts"
import * as Executions from "./internal/executions.ts"
import * as Reading from "./internal/reading.ts"
import * as Retention from "./internal/retention.ts"
import * as Worker from "./internal/worker.ts"

/**
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: TypeId = "~effect-agents/durable/Durable"

/**
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = "~effect-agents/durable/Durable"

/**
 * An agent whose runs are durable.
 *
 * @category models
 * @since 0.1.0
 */
export interface Durable<
  Tools extends Record<string, Tool.Any> = {},
  out E = never,
  out R = never,
  out A = undefined,
  out P = never
> {
  readonly [TypeId]: Definition
  readonly agent: Agent.Agent<Tools, E, R, A, P>
  readonly version: number
}

/**
 * Any durable agent.
 *
 * @category models
 * @since 0.1.0
 */
export interface Any extends Durable<any, any, any, any, any> {}

/**
 * A part with its number in the execution. The first part has number 0, and there are no gaps.
 *
 * @category models
 * @since 0.1.0
 */
export interface Numbered<out Part = AgentRun.Part> {
  readonly seq: number
  readonly part: Part
}

export {
  /**
   * This process does not know the agent, and reaches none that does: the layer of the agent is not there.
   *
   * @category errors
   * @since 0.1.0
   */
  AgentUnknown,
  /**
   * An answer was refused, and the execution waits on. Nobody asked for the approval (`unknown`), it has another answer
   * already (`answered`), or the edited parameters are not those of its tool (`invalid-params`).
   *
   * @category errors
   * @since 0.1.0
   */
  AnswerRefused,
  /**
   * There is an execution with this id, and it was started with something else: another prompt, session or version.
   *
   * @category errors
   * @since 0.1.0
   */
  ExecutionConflict,
  /**
   * An execution cannot go on until somebody has done something about its cause. `resume` tries again.
   *
   * @category errors
   * @since 0.1.0
   */
  ExecutionParked,
  /**
   * There is no execution with this id, or it is not one of this agent.
   *
   * @category errors
   * @since 0.1.0
   */
  ExecutionUnknown
} from "./internal/errors.ts"

// -----------------------------------------------------------------------------
// Constructors
// -----------------------------------------------------------------------------

type Known = AgentError.AgentError | AiError.AiError | Session.SessionError

/**
 * The options of a durable agent. An agent with failures of its own needs their schema, because they are stored.
 *
 * @category options
 * @since 0.1.0
 */
export type Options<E> =
  & {
    /** The version of the agent's code. An execution is continued only by the version that started it. */
    readonly version: number
    /** How often a process may end with nothing recorded before the execution is parked. Default: 10. */
    readonly maximumAttempts?: number | undefined
    /**
     * What is one transaction with its record, and so happens exactly once: each save of a session, each `afterRun`. It
     * has to use the `SqlClient` of the engine, and holds its connection: SQLite has only one. Default: none.
     */
    readonly transactions?: ReadonlyArray<"session" | "afterRun"> | undefined
  }
  & ([Exclude<E, Known>] extends [never] ? {
      /** The schema of the agent's own failures. Default: none, for an agent without. */
      readonly failure?: undefined
    }
    : { readonly failure: Schema.Codec<Exclude<E, Known>, any> })

/**
 * Makes an agent durable. Its name and its `version` belong to what is stored.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <Tools extends Record<string, Tool.Any>, E, R, A, P>(
  agent: Agent.Agent<Tools, E, R, A, P>,
  options: Options<E>
): Durable<Tools, E, R, A, P> => ({
  [TypeId]: new Definition(agent, {
    version: options.version,
    maximumAttempts: options.maximumAttempts ?? 10,
    transactions: options.transactions ?? [],
    failure: options.failure
  }),
  agent,
  version: options.version
})

/**
 * Works on the executions of an agent in this process, with the services of the agent. Executions that other processes
 * have left are continued, as the engine finds them.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <Tools extends Record<string, Tool.Any>, E, R, A, P>(
  self: Durable<Tools, E, R, A, P>
): Layer.Layer<
  never,
  never,
  | WorkflowEngine.WorkflowEngine
  | ExecutionStore.ExecutionStore
  | Exclude<R, Journal.Journal | WorkflowEngine.WorkflowInstance | Scope.Scope>
> =>
  // the agent is erased inside
  Worker.layer(self[TypeId]) as Layer.Layer<never, never, any>

// -----------------------------------------------------------------------------
// Executions
// -----------------------------------------------------------------------------

/**
 * Starts an execution, and returns its id. The same id with the same input is the same execution, so a request that is
 * sent twice starts one. A process that works on executions has to know the agent. A client may start it before any
 * process knows it: `status` says then that it is queued.
 *
 * @category running
 * @since 0.1.0
 */
export const start = (
  self: Any,
  input: {
    /** The id of the execution among those of the agent. */
    readonly id: string
    readonly prompt: Prompt.RawInput
    /** The conversation that the run belongs to. Default: none. */
    readonly session?: string | undefined
    /** The id of the first run. Default: made from the id of the execution. */
    readonly runId?: string | undefined
  }
): Effect.Effect<
  string,
  AgentUnknown | ExecutionConflict | ExecutionStore.ExecutionStoreError,
  WorkflowEngine.WorkflowEngine | ExecutionStore.ExecutionStore
> => Executions.start(self[TypeId], input)

/**
 * Returns what an execution does, and how it has ended.
 *
 * @category accessors
 * @since 0.1.0
 */
export const status = (
  self: Any,
  execution: string
): Effect.Effect<
  ExecutionStore.Overview,
  ExecutionUnknown | ExecutionStore.ExecutionStoreError,
  ExecutionStore.ExecutionStore
> => Effect.map(Executions.find(self[TypeId], execution), Executions.told)

/**
 * Reads an execution: the parts that are stored, and then those that come. The stream ends when the execution has
 * completed, fails with its failure, and is interrupted if it was. It goes on while the execution waits for approvals.
 * Leaving it changes nothing.
 *
 * @category running
 * @since 0.1.0
 */
export const attach = <Tools extends Record<string, Tool.Any>, E, R, A, P>(
  self: Durable<Tools, E, R, A, P>,
  execution: string,
  options?: {
    /** The number of the last part that was seen. Default: none was seen. */
    readonly after?: number | undefined
    /** How often the store is asked for what other processes have written. Default: 50 milliseconds. */
    readonly poll?: Duration.Input | undefined
  }
): Stream.Stream<
  Numbered<AgentRun.Part<Tools, A, P>>,
  E | ExecutionUnknown | ExecutionParked | ExecutionStore.ExecutionStoreError,
  ExecutionStore.ExecutionStore
> => Reading.read(self[TypeId], execution, options) as Stream.Stream<any, any, ExecutionStore.ExecutionStore>

/**
 * Waits until an execution has ended, and returns the result of its last run.
 *
 * @category running
 * @since 0.1.0
 */
export const result = <Tools extends Record<string, Tool.Any>, E, R, A, P>(
  self: Durable<Tools, E, R, A, P>,
  execution: string
): Effect.Effect<
  AgentRun.Result<A>,
  E | ExecutionUnknown | ExecutionParked | ExecutionStore.ExecutionStoreError,
  ExecutionStore.ExecutionStore
> => Reading.result(self[TypeId], execution) as Effect.Effect<any, any, ExecutionStore.ExecutionStore>

/**
 * Returns the approvals that an execution waits for.
 *
 * @category accessors
 * @since 0.1.0
 */
export const approvals = (
  self: Any,
  execution: string
): Effect.Effect<
  ReadonlyArray<Approval.Approval>,
  ExecutionUnknown | ExecutionStore.ExecutionStoreError,
  ExecutionStore.ExecutionStore
> => Effect.map(Executions.waiting(self[TypeId], execution), ({ open }) => open)

/**
 * Answers approvals that an execution waits for, from any process. When all of them have an answer, the execution goes
 * on. The same answer may be given again. A refused answer changes nothing, and those before it in the list are kept.
 *
 * @category running
 * @since 0.1.0
 */
export const answer = (
  self: Any,
  execution: string,
  answers: ReadonlyArray<Approval.Answer>
): Effect.Effect<
  void,
  AgentUnknown | AnswerRefused | ExecutionUnknown | ExecutionStore.ExecutionStoreError,
  WorkflowEngine.WorkflowEngine | ExecutionStore.ExecutionStore
> => Executions.answer(self[TypeId], execution, answers)

/**
 * Ends an execution: its calls are aborted, and nothing starts afterwards, whatever happens to the process. Returns when
 * that is stored. An execution that has ended stays as it is.
 *
 * @category running
 * @since 0.1.0
 */
export const interrupt = (
  self: Any,
  execution: string
): Effect.Effect<
  void,
  AgentUnknown | ExecutionUnknown | ExecutionStore.ExecutionStoreError,
  WorkflowEngine.WorkflowEngine | ExecutionStore.ExecutionStore
> => Executions.interrupt(self[TypeId], execution)

/**
 * Lets a parked execution go on. One that has ended stays as it is.
 *
 * @category running
 * @since 0.1.0
 */
export const resume = (
  self: Any,
  execution: string
): Effect.Effect<
  void,
  AgentUnknown | ExecutionUnknown | ExecutionStore.ExecutionStoreError,
  WorkflowEngine.WorkflowEngine | ExecutionStore.ExecutionStore
> => Executions.resume(self[TypeId], execution)

/**
 * Deletes an execution: its parts, its records, and what the engine keeps of it. One that has not ended is interrupted
 * first. A process that works on it has 5 seconds to end it; no process is needed, and what a process writes later is
 * refused.
 *
 * @category running
 * @since 0.1.0
 */
export const remove = (
  self: Any,
  execution: string
): Effect.Effect<
  void,
  ExecutionUnknown | ExecutionStore.ExecutionStoreError,
  WorkflowEngine.WorkflowEngine | ExecutionStore.ExecutionStore
> => Retention.remove(self[TypeId], execution)

/**
 * Deletes the executions of an agent that have ended before a moment, and returns how many there were. An id that was
 * purged can be used again.
 *
 * @category running
 * @since 0.1.0
 */
export const purge = (
  self: Any,
  options: {
    /** The moment, in milliseconds since 1970. */
    readonly endedBefore: number
  }
): Effect.Effect<
  number,
  ExecutionStore.ExecutionStoreError,
  WorkflowEngine.WorkflowEngine | ExecutionStore.ExecutionStore
> => Retention.purge(self[TypeId], options.endedBefore)

/**
 * Returns the executions of an agent in the order of their ids, a page at a time.
 *
 * @category accessors
 * @since 0.1.0
 */
export const list = (
  self: Any,
  options?: {
    /** The id after which the page begins. Default: the page begins with the first execution. */
    readonly after?: string | undefined
    /** The largest number of executions in the page. Default: 100. */
    readonly limit?: number | undefined
  }
): Effect.Effect<
  ReadonlyArray<ExecutionStore.Overview & { readonly id: string }>,
  ExecutionStore.ExecutionStoreError,
  ExecutionStore.ExecutionStore
> => Executions.list(self[TypeId], options)

export {
  /**
   * Runs an effect in a transaction of the `SqlClient`. In a durable run the record of the effect is in it, too, so the
   * effect happens exactly once. It is a `Journal.step`; nothing in the effect has a record of its own.
   *
   * The client has to be that of the engine. A failure rolls the effect back and is recorded; a defect rolls it back, and
   * the next attempt runs it again. SQLite has one connection: a statement of another fiber waits for the end.
   *
   * @category running
   * @since 0.1.0
   */
  transaction
} from "./internal/transaction.ts"

// -----------------------------------------------------------------------------
// As an agent
// -----------------------------------------------------------------------------

/**
 * Returns a durable agent as an agent: a run of it starts an execution under the run's id, and reads it to its next
 * `run-end`. A run with answers goes on with the execution that has asked for them.
 *
 * Leaving the stream, or interrupting its fiber, detaches from the execution, which goes on. Use `interrupt` to end it.
 *
 * @category conversions
 * @since 0.1.0
 */
export const asAgent = <Tools extends Record<string, Tool.Any>, E, R, A, P>(
  self: Durable<Tools, E, R, A, P>
): Agent.Agent<
  Tools,
  | E
  | AgentUnknown
  | AnswerRefused
  | ExecutionConflict
  | ExecutionUnknown
  | ExecutionParked
  | ExecutionStore.ExecutionStoreError,
  WorkflowEngine.WorkflowEngine | ExecutionStore.ExecutionStore,
  A,
  P
> =>
  Agent.fromStream(self.agent.name, {
    description: self.agent.description,
    stream: (input) =>
      Stream.unwrap(Effect.map(Executions.opened(self[TypeId], input), ({ after, execution }) =>
        Reading.withPartial(
          input,
          Stream.takeUntil(
            Stream.map(attach(self, execution, { after }), ({ part }) => part),
            (part) => part.type === "run-end"
          )
        )))
  })
