/**
 * Runs that survive the death of their process.
 *
 * A durable agent is the same agent value: its loop runs unchanged in a workflow of `effect/workflow`, and a journal in its
 * context records each model call, each tool call, everything that it loads and saves, and each `afterRun`. A process
 * that continues an execution makes only those calls that have no record. The parts are kept in the `ExecutionStore`, so that
 * any process can read them, from any number on.
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
 * **Example** (A process that ends in the middle)
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
 * @since 0.1.0
 */

import type * as AiError from "effect/ai/AiError"
import * as Prompt from "effect/ai/Prompt"
import type * as Tool from "effect/ai/Tool"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as DurableDeferred from "effect/workflow/DurableDeferred"
import * as WorkflowEngine from "effect/workflow/WorkflowEngine"
import * as Agent from "../Agent.ts"
import type * as AgentError from "../AgentError.ts"
import * as AgentRun from "../AgentRun.ts"
import type * as Approval from "../Approval.ts"
import type * as Journal from "../Journal.ts"
import type * as Session from "../Session.ts"
import * as ExecutionStore from "./ExecutionStore.ts"
import * as Body from "./internal/body.ts"
import { Definition } from "./internal/definition.ts"
import * as EngineRows from "./internal/engineRows.ts"
import * as PartLog from "./internal/partLog.ts"

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
 * A part with its number in the execution. The first part has number 0, and there are no gaps.
 *
 * @category models
 * @since 0.1.0
 */
export interface Numbered<out Part = AgentRun.Part> {
  readonly seq: number
  readonly part: Part
}

// -----------------------------------------------------------------------------
// Errors
// -----------------------------------------------------------------------------

/**
 * There is an execution with this id, and it was started with something else: another prompt, session or version.
 *
 * @category errors
 * @since 0.1.0
 */
export class ExecutionConflict extends Schema.Error<ExecutionConflict>("effect-agents/durable/ExecutionConflict")({
  _tag: Schema.tag("ExecutionConflict"),
  execution: Schema.String
}) {
  override get message(): string {
    return `There is an execution \`${this.execution}\` that was started with another input`
  }
}

/**
 * There is no execution with this id, or it is not one of this agent.
 *
 * @category errors
 * @since 0.1.0
 */
export class ExecutionUnknown extends Schema.Error<ExecutionUnknown>("effect-agents/durable/ExecutionUnknown")({
  _tag: Schema.tag("ExecutionUnknown"),
  execution: Schema.String
}) {
  override get message(): string {
    return `There is no execution \`${this.execution}\` of this agent`
  }
}

/**
 * An execution cannot go on until somebody has done something about its cause. `resume` tries again.
 *
 * @category errors
 * @since 0.1.0
 */
export class ExecutionParked extends Schema.Error<ExecutionParked>("effect-agents/durable/ExecutionParked")({
  _tag: Schema.tag("ExecutionParked"),
  execution: Schema.String,
  description: Schema.String
}) {
  override get message(): string {
    return `The execution \`${this.execution}\` is parked: ${this.description}`
  }
}

/**
 * An answer was refused, and the execution waits on. Nobody asked for the approval (`unknown`), it has another answer
 * already (`answered`), or the edited parameters are not those of its tool (`invalid-params`).
 *
 * @category errors
 * @since 0.1.0
 */
export class AnswerRefused extends Schema.Error<AnswerRefused>("effect-agents/durable/AnswerRefused")({
  _tag: Schema.tag("AnswerRefused"),
  approvalId: Schema.String,
  problem: Schema.Literals(["unknown", "answered", "invalid-params"]),
  description: Schema.optional(Schema.String)
}) {
  override get message(): string {
    return `The answer to approval \`${this.approvalId}\` was refused: ${this.description ?? this.problem}`
  }
}

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
    /**
     * How often a process may end with nothing recorded before the execution is parked. Default: 10.
     */
    readonly maximumAttempts?: number | undefined
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
> => {
  const definition = self[TypeId]
  return definition.workflow.toLayer(({ id }) => Body.run(definition, id)) as Layer.Layer<
    never,
    never,
    // the agent is erased inside
    any
  >
}

// -----------------------------------------------------------------------------
// Executions
// -----------------------------------------------------------------------------

/**
 * Starts an execution, and returns its id. The same id with the same input is the same execution, so a request that is
 * sent twice starts one.
 *
 * @category running
 * @since 0.1.0
 */
export const start = <Tools extends Record<string, Tool.Any>, E, R, A, P>(
  self: Durable<Tools, E, R, A, P>,
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
  ExecutionConflict | ExecutionStore.ExecutionStoreError,
  WorkflowEngine.WorkflowEngine | ExecutionStore.ExecutionStore
> =>
  Effect.gen(function*() {
    const { agent, version, workflow } = self[TypeId]
    const store = yield* ExecutionStore.ExecutionStore
    const { id, runId, session } = input
    const payload = yield* Effect.orDie(
      Schema.encodeEffect(Body.Payload)({
        prompt: Prompt.make(input.prompt),
        ...(session === undefined ? {} : { session }),
        ...(runId === undefined ? {} : { runId })
      })
    )
    const stored = yield* Effect.flatMap(
      ExecutionStore.created({ id: keyOf(agent, id), agent: agent.name, version, payload }),
      store.create
    )
    if (stored.payload !== payload || stored.version !== version) return yield* new ExecutionConflict({ execution: id })
    yield* untraced(workflow.execute({ id: stored.id }, { discard: true }))
    return id
  })

/** Two agents may have executions of the same id. */
const keyOf = (agent: Agent.Any, id: string): string => `${agent.name.length}:${agent.name}:${id}`

/** The engine's own spans are not those of the run. */
const untraced = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withTracerEnabled(self, false)

const find = (self: Durable<any, any, any, any, any>, id: string) =>
  Effect.gen(function*() {
    const store = yield* ExecutionStore.ExecutionStore
    const execution = yield* store.get(keyOf(self.agent, id))
    return execution ?? (yield* new ExecutionUnknown({ execution: id }))
  })

/**
 * Returns what an execution does, and how it has ended.
 *
 * @category accessors
 * @since 0.1.0
 */
export const status = <Tools extends Record<string, Tool.Any>, E, R, A, P>(
  self: Durable<Tools, E, R, A, P>,
  execution: string
): Effect.Effect<
  Pick<ExecutionStore.Execution, "status" | "cause" | "version" | "createdAt" | "endedAt">,
  ExecutionUnknown | ExecutionStore.ExecutionStoreError,
  ExecutionStore.ExecutionStore
> => find(self, execution)

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
> => {
  const { codec, failure } = self[TypeId]
  return Stream.scoped(Stream.unwrap(Effect.gen(function*() {
    const store = yield* ExecutionStore.ExecutionStore
    const changes = yield* store.changes
    const id = keyOf(self.agent, execution)
    let after = options?.after ?? -1
    const decode = Effect.fnUntraced(function*(row: ExecutionStore.Row) {
      const read = yield* Effect.orDie(PartLog.readRow(row))
      const parts = yield* Effect.forEach(read, ({ part, seq }) =>
        // written by this codec; the agent's types are those that were encoded
        Effect.map(codec.decode(part as never) as Effect.Effect<AgentRun.Part>, (part) => ({ seq, part })))
      return parts.filter(({ seq }) => seq > after)
    })
    const next: Effect.Effect<
      readonly [ReadonlyArray<Numbered>, undefined] | undefined,
      unknown
    > = Effect.gen(function*() {
      while (true) {
        // how it has ended is read first: what it has told before that is there then
        const { cause, endedAt, failure: failed, status } = yield* Effect.provideService(
          find(self, execution),
          ExecutionStore.ExecutionStore,
          store
        )
        const rows = yield* store.rows(id, after, 100)
        const parts = (yield* Effect.forEach(rows, decode)).flat()
        const last = parts[parts.length - 1]
        if (last !== undefined) {
          after = last.seq
          return [parts, undefined] as const
        }
        if (failed !== undefined) return yield* Effect.fail(yield* Effect.orDie(Schema.decodeEffect(failure)(failed)))
        if (status === "interrupted") return yield* Effect.interrupt
        if (status === "parked") return yield* new ExecutionParked({ execution, description: cause ?? "" })
        if (endedAt !== undefined) return undefined
        yield* Effect.timeoutOption(untilChanged(changes, id), options?.poll ?? "50 millis")
      }
    })
    return Stream.flattenIterable(Stream.unfold(undefined, () => next))
  }))) as Stream.Stream<any, any, ExecutionStore.ExecutionStore>
}

const untilChanged = (changes: PubSub.Subscription<string>, id: string): Effect.Effect<void> =>
  Effect.asVoid(Effect.repeat(PubSub.take(changes), { until: (changed) => changed === id }))

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
> => AgentRun.fold(Stream.map(attach(self, execution), ({ part }) => part))

/**
 * Returns the approvals that an execution waits for.
 *
 * @category accessors
 * @since 0.1.0
 */
export const approvals = <Tools extends Record<string, Tool.Any>, E, R, A, P>(
  self: Durable<Tools, E, R, A, P>,
  execution: string
): Effect.Effect<
  ReadonlyArray<Approval.Approval>,
  ExecutionUnknown | ExecutionStore.ExecutionStoreError,
  ExecutionStore.ExecutionStore
> => Effect.map(waiting(self, execution), ({ open }) => open)

/** The last run of an execution that waits: its number, and its approvals without an answer. */
const waiting = (self: Durable<any, any, any, any, any>, execution: string) =>
  Effect.gen(function*() {
    const store = yield* ExecutionStore.ExecutionStore
    const { id, status } = yield* find(self, execution)
    const asked = yield* store.asked(id)
    const known = new Map(asked.map(({ answer, approvalId }) => [approvalId, answer]))
    let run = -1
    const all: Array<Approval.Approval> = []
    let after = -1
    while (true) {
      const rows = yield* store.rows(id, after, 500)
      if (rows.length === 0) break
      for (const row of rows) {
        for (const { part, seq } of yield* Effect.orDie(PartLog.readRow(row))) {
          after = seq
          if (part.type !== "run-end") continue
          run++
          const end = yield* self[TypeId].codec.decode(part as never) as Effect.Effect<AgentRun.Part>
          all.push(...(end as AgentRun.RunEnd).result.approvals)
        }
      }
    }
    const open = status === "waiting" ? all.filter(({ approvalId }) => known.get(approvalId) === undefined) : []
    return { id, run, all, known, open, last: after }
  })

/**
 * Answers approvals that an execution waits for, from any process. When all of them have an answer, the execution goes
 * on. The same answer may be given again. A refused answer changes nothing, and those before it in the list are kept.
 *
 * @category running
 * @since 0.1.0
 */
export const answer = <Tools extends Record<string, Tool.Any>, E, R, A, P>(
  self: Durable<Tools, E, R, A, P>,
  execution: string,
  answers: ReadonlyArray<Approval.Answer>
): Effect.Effect<
  void,
  AnswerRefused | ExecutionUnknown | ExecutionStore.ExecutionStoreError,
  WorkflowEngine.WorkflowEngine | ExecutionStore.ExecutionStore
> =>
  Effect.gen(function*() {
    const store = yield* ExecutionStore.ExecutionStore
    const { all, id, known, open, run } = yield* waiting(self, execution)
    for (const answer of answers) {
      const { approvalId } = answer.approval
      const refuse = (problem: AnswerRefused["problem"], description: string) =>
        new AnswerRefused({ approvalId, problem, description })
      const approval = all.find((_) => _.approvalId === approvalId)
      if (approval === undefined) return yield* refuse("unknown", "nobody asks for it")
      if (known.get(approvalId) === undefined && !open.includes(approval)) {
        return yield* refuse("unknown", "the execution does not wait for it")
      }
      yield* checkParams(self.agent, approval, answer, (description) => refuse("invalid-params", description))
      // the call is the one that was asked for, whatever the answer says of it
      const text = yield* Effect.orDie(Schema.encodeEffect(Body.Answer)({ ...answer, approval }))
      const stored = yield* store.answer(id, approvalId, text)
      if (stored === undefined) return yield* refuse("unknown", "nobody asks for it")
      if (stored !== text) return yield* refuse("answered", "it has another answer")
    }
    const asked = yield* store.asked(id)
    if (asked.some(({ answer }) => answer === undefined) || run < 0) return
    const { workflow } = self[TypeId]
    const deferred = Body.answered(run)
    const executionId = yield* workflow.executionId({ id })
    yield* untraced(DurableDeferred.succeed(deferred, {
      token: DurableDeferred.tokenFromExecutionId(deferred, { workflow, executionId }),
      value: undefined
    }))
  })

/** The parameters of a nested agent's call are checked by its run. */
const checkParams = (
  agent: Agent.Any,
  approval: Approval.Approval,
  answer: Approval.Answer,
  refuse: (description: string) => AnswerRefused
): Effect.Effect<void, AnswerRefused> => {
  const params = (answer as { readonly params?: unknown }).params
  const tool = approval.path.length === 0 ? Agent.tools(agent)?.[approval.tool] : undefined
  if (params === undefined || tool === undefined) return Effect.void
  return Effect.asVoid(Effect.mapError(
    AgentRun.decodeParams(tool, { name: approval.tool, params }) as Effect.Effect<unknown, Schema.SchemaError>,
    ({ message }) => refuse(message)
  ))
}

/**
 * Ends an execution: its calls are aborted, and nothing starts afterwards, whatever happens to the process. Returns when
 * that is stored. An execution that has ended stays as it is.
 *
 * @category running
 * @since 0.1.0
 */
export const interrupt = <Tools extends Record<string, Tool.Any>, E, R, A, P>(
  self: Durable<Tools, E, R, A, P>,
  execution: string
): Effect.Effect<
  void,
  ExecutionUnknown | ExecutionStore.ExecutionStoreError,
  WorkflowEngine.WorkflowEngine | ExecutionStore.ExecutionStore
> =>
  Effect.gen(function*() {
    const store = yield* ExecutionStore.ExecutionStore
    const { id } = yield* find(self, execution)
    // a process that ends before it hears of it ends the execution when it begins again
    yield* store.interrupt(id)
    yield* onEngine(self, execution, (engine, workflow, id) => engine.interruptUnsafe(workflow, id))
  })

/**
 * Lets a parked execution go on. Any other one stays as it is.
 *
 * @category running
 * @since 0.1.0
 */
export const resume = <Tools extends Record<string, Tool.Any>, E, R, A, P>(
  self: Durable<Tools, E, R, A, P>,
  execution: string
): Effect.Effect<
  void,
  ExecutionUnknown | ExecutionStore.ExecutionStoreError,
  WorkflowEngine.WorkflowEngine | ExecutionStore.ExecutionStore
> =>
  Effect.gen(function*() {
    const store = yield* ExecutionStore.ExecutionStore
    const { epoch, id, status } = yield* find(self, execution)
    if (status !== "parked") return
    yield* store.change(id, epoch, { status: "running", attempts: 0 })
    yield* onEngine(self, execution, (engine, workflow, id) => engine.resume(workflow, id))
  })

const onEngine = (
  self: Durable<any, any, any, any, any>,
  execution: string,
  use: (
    engine: WorkflowEngine.WorkflowEngine["Service"],
    workflow: Definition["workflow"],
    id: string
  ) => Effect.Effect<void>
) =>
  Effect.gen(function*() {
    const { id } = yield* find(self, execution)
    const { workflow } = self[TypeId]
    const engine = yield* WorkflowEngine.WorkflowEngine
    yield* untraced(use(engine, workflow, yield* workflow.executionId({ id })))
  })

/**
 * Deletes an execution: its parts, its records, and what the engine keeps of it. One that has not ended is interrupted
 * first.
 *
 * @category running
 * @since 0.1.0
 */
export const remove = <Tools extends Record<string, Tool.Any>, E, R, A, P>(
  self: Durable<Tools, E, R, A, P>,
  execution: string
): Effect.Effect<
  void,
  ExecutionUnknown | ExecutionStore.ExecutionStoreError,
  WorkflowEngine.WorkflowEngine | ExecutionStore.ExecutionStore
> =>
  Effect.gen(function*() {
    const store = yield* ExecutionStore.ExecutionStore
    const { endedAt, id } = yield* find(self, execution)
    if (endedAt === undefined) {
      yield* interrupt(self, execution)
      // a process that works on it writes its end
      yield* Effect.repeat(store.get(id), {
        until: (now) => now === undefined || now.endedAt !== undefined || now.status === "parked",
        schedule: Schedule.spaced("50 millis")
      })
    }
    const { workflow } = self[TypeId]
    yield* EngineRows.remove(workflow, yield* workflow.executionId({ id }))
    yield* store.remove(id)
  })

/**
 * Deletes the executions of an agent that have ended before a moment, and returns how many there were. An id that was
 * purged can be used again.
 *
 * @category running
 * @since 0.1.0
 */
export const purge = <Tools extends Record<string, Tool.Any>, E, R, A, P>(
  self: Durable<Tools, E, R, A, P>,
  options: {
    /** The moment, in milliseconds since 1970. */
    readonly endedBefore: number
  }
): Effect.Effect<
  number,
  ExecutionStore.ExecutionStoreError,
  WorkflowEngine.WorkflowEngine | ExecutionStore.ExecutionStore
> =>
  Effect.gen(function*() {
    const store = yield* ExecutionStore.ExecutionStore
    const { agent, workflow } = self[TypeId]
    let count = 0
    let after = ""
    while (true) {
      const some = yield* store.list(agent.name, after, 100)
      if (some.length === 0) return count
      for (const { endedAt, id } of some) {
        after = id
        if (endedAt === undefined || endedAt >= options.endedBefore) continue
        yield* EngineRows.remove(workflow, yield* workflow.executionId({ id }))
        yield* store.remove(id)
        count++
      }
    }
  })

/**
 * Returns the executions of an agent in the order of their ids, a page at a time.
 *
 * @category accessors
 * @since 0.1.0
 */
export const list = <Tools extends Record<string, Tool.Any>, E, R, A, P>(
  self: Durable<Tools, E, R, A, P>,
  options?: {
    /** The id after which the page begins. Default: the page begins with the first execution. */
    readonly after?: string | undefined
    /** The largest number of executions in the page. Default: 100. */
    readonly limit?: number | undefined
  }
): Effect.Effect<
  ReadonlyArray<Pick<ExecutionStore.Execution, "id" | "status" | "cause" | "version" | "createdAt" | "endedAt">>,
  ExecutionStore.ExecutionStoreError,
  ExecutionStore.ExecutionStore
> =>
  Effect.gen(function*() {
    const store = yield* ExecutionStore.ExecutionStore
    const prefix = keyOf(self.agent, "")
    const after = options?.after === undefined ? "" : keyOf(self.agent, options.after)
    const page = yield* store.list(self.agent.name, after, options?.limit ?? 100)
    return page.map((execution) => ({ ...execution, id: execution.id.slice(prefix.length) }))
  })

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
      Stream.unwrap(Effect.map(opened(self, input), ({ after, execution }) =>
        attach(self, execution, { after }).pipe(
          Stream.map(({ part }) => part),
          Stream.takeUntil((part) => part.type === "run-end")
        )))
  })

const opened = (self: Durable<any, any, any, any, any>, input: Agent.Input & { readonly runId: string }) =>
  Effect.gen(function*() {
    const { answers = [], prompt, runId, session } = input
    const [first] = answers
    if (first === undefined) {
      return { execution: yield* start(self, { id: runId, prompt, session, runId }), after: undefined }
    }
    const store = yield* ExecutionStore.ExecutionStore
    const { approvalId } = first.approval
    const id = yield* store.ofApproval(self.agent.name, approvalId)
    if (id === undefined) return yield* new AnswerRefused({ approvalId, problem: "unknown" })
    const execution = id.slice(keyOf(self.agent, "").length)
    const { last } = yield* waiting(self, execution)
    yield* answer(self, execution, answers)
    return { execution, after: last }
  })
