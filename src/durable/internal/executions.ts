/**
 * What the operations on executions share.
 *
 * @since 0.1.0
 */

import * as Prompt from "effect/ai/Prompt"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Tracer from "effect/Tracer"
import * as DurableDeferred from "effect/workflow/DurableDeferred"
import * as WorkflowEngine from "effect/workflow/WorkflowEngine"
import type * as Agent from "../../Agent.ts"
import * as AgentRun from "../../AgentRun.ts"
import type * as Approval from "../../Approval.ts"
import * as Rewound from "../../internal/session/rewound.ts"
import * as ExecutionStore from "../ExecutionStore.ts"
import * as Body from "./body.ts"
import type { Definition } from "./definition.ts"
import { AnswerRefused, ExecutionConflict, ExecutionUnknown } from "./errors.ts"
import * as PartLog from "./partLog.ts"
import * as Registry from "./registry.ts"
import * as Trace from "./trace.ts"

/**
 * Returns the id in the store. Two agents may have executions of the same id.
 *
 * @category conversions
 * @since 0.1.0
 */
export const keyOf = (agent: Agent.Any, id: string): string => `${agent.name.length}:${agent.name}:${id}`

/**
 * Returns the id of a stored execution among those of its agent.
 *
 * @category conversions
 * @since 0.1.0
 */
export const idOf = (agent: Agent.Any, { id }: Pick<ExecutionStore.Execution, "id">): string =>
  id.slice(keyOf(agent, "").length)

/**
 * Runs an effect of the engine without the engine's own spans, which are not those of the run.
 *
 * @category combinators
 * @since 0.1.0
 */
export const untraced = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withTracerEnabled(self, false)

/**
 * Returns a stored execution.
 *
 * @category accessors
 * @since 0.1.0
 */
export const find = ({ agent }: Definition, id: string) =>
  Effect.gen(function*() {
    const store = yield* ExecutionStore.ExecutionStore
    const execution = yield* store.get(keyOf(agent, id))
    return execution ?? (yield* new ExecutionUnknown({ execution: id }))
  })

/**
 * Returns what an execution does, for its user. No process has begun to work on one that is queued.
 *
 * @category accessors
 * @since 0.1.0
 */
export const told = <Found extends ExecutionStore.Listed>(found: Found) => ({ ...found, status: statusOf(found) })

const statusOf = ({ epoch, instance, status }: ExecutionStore.Listed): ExecutionStore.Overview["status"] =>
  status === "running" && epoch === instance ? "queued" : status

/**
 * Returns what an execution waits for.
 *
 * - `found`: the execution.
 * - `run`: the number of the last run that has ended.
 * - `all`: all approvals that it has ever asked for, each with the number of the part that ended its run.
 * - `known`: their answers, by id.
 * - `open`: those that it waits for.
 *
 * @category accessors
 * @since 0.1.0
 */
export const waiting = (self: Definition, execution: string) =>
  Effect.gen(function*() {
    const store = yield* ExecutionStore.ExecutionStore
    const found = yield* find(self, execution)
    const { id, status } = found
    const asked = yield* store.asked(id)
    const known = new Map(asked.map(({ answer, approvalId }) => [approvalId, answer]))
    const ends = yield* PartLog.ends(store, id)
    const all = (yield* Effect.forEach(ends, ({ part, seq }) =>
      Effect.map(
        // written by this codec
        self.codec.decode(part as never) as Effect.Effect<AgentRun.RunEnd>,
        ({ result }) => result.approvals.map((approval) => ({ approval, seq }))
      ))).flat()
    const open = status === "waiting"
      ? all.flatMap(({ approval }) => known.get(approval.approvalId) === undefined ? [approval] : [])
      : []
    return { found, run: ends.length - 1, all, known, open }
  })

/**
 * Stores answers, and lets the execution go on if it waits for no other.
 *
 * @category running
 * @since 0.1.0
 */
export const answer = (self: Definition, execution: string, answers: ReadonlyArray<Approval.Answer>) =>
  Effect.gen(function*() {
    const store = yield* ExecutionStore.ExecutionStore
    const { all, found, known, open, run } = yield* waiting(self, execution)
    const { id } = found
    for (const answer of answers) {
      const { approvalId } = answer.approval
      const refuse = (problem: AnswerRefused["problem"], description: string) =>
        new AnswerRefused({ approvalId, problem, description })
      const approval = all.find((_) => _.approval.approvalId === approvalId)?.approval
      if (approval === undefined) return yield* refuse("unknown", "nobody asks for it")
      if (known.get(approvalId) === undefined && !open.includes(approval)) {
        return yield* refuse("unknown", "the execution does not wait for it")
      }
      yield* checkParams(self, approval, answer, (description) => refuse("invalid-params", description))
      // the call is the one that was asked for, whatever the answer says of it
      const text = yield* Effect.orDie(Schema.encodeEffect(Body.Answer)({ ...answer, approval }))
      const stored = yield* store.answer(id, approvalId, text)
      if (stored === undefined) return yield* refuse("unknown", "nobody asks for it")
      if (stored !== text) return yield* refuse("answered", "it has another answer")
    }
    const asked = yield* store.asked(id)
    if (asked.some(({ answer }) => answer === undefined) || run < 0) return
    yield* goOn(self, found, run)
  })

/**
 * Lets an execution go on whose last approvals, those of its n-th run, have answers.
 *
 * @category running
 * @since 0.1.0
 */
export const goOn = (self: Definition, found: ExecutionStore.Listed, run: number) =>
  Effect.gen(function*() {
    const { workflow } = self
    const deferred = Body.answered(run)
    const executionId = yield* workflow.executionId(found)
    yield* Registry.reaching(
      self,
      untraced(DurableDeferred.succeed(deferred, {
        token: DurableDeferred.tokenFromExecutionId(deferred, { workflow, executionId }),
        value: undefined
      }))
    )
  })

const checkParams = (
  { codec }: Definition,
  approval: Approval.Approval,
  answer: Approval.Answer,
  refuse: (description: string) => AnswerRefused
): Effect.Effect<void, AnswerRefused> => {
  const params = (answer as { readonly params?: unknown }).params
  const tool = codec.toolOf(approval.path, approval.tool)
  // the run knows the tools that its providers contribute, and checks their parameters
  if (params === undefined || tool === undefined) return Effect.void
  return Effect.asVoid(Effect.mapError(
    AgentRun.decodeParams(tool, { name: approval.tool, params }) as Effect.Effect<unknown, Schema.SchemaError>,
    ({ message }) => refuse(message)
  ))
}

/**
 * Asks the engine for something about an execution.
 *
 * @category running
 * @since 0.1.0
 */
export const onEngine = (
  self: Definition,
  execution: string,
  use: (
    engine: WorkflowEngine.WorkflowEngine["Service"],
    workflow: Definition["workflow"],
    id: string
  ) => Effect.Effect<void>
) =>
  Effect.gen(function*() {
    const found = yield* find(self, execution)
    const { workflow } = self
    const engine = yield* WorkflowEngine.WorkflowEngine
    yield* Registry.reaching(self, untraced(use(engine, workflow, yield* workflow.executionId(found))))
  })

/**
 * Asks for the end of an execution.
 *
 * @category running
 * @since 0.1.0
 */
export const interrupt = (self: Definition, execution: string) =>
  Effect.gen(function*() {
    const store = yield* ExecutionStore.ExecutionStore
    const { id } = yield* find(self, execution)
    // a process that ends before it hears of it ends the execution when it begins again
    yield* store.interrupt(id)
    yield* onEngine(self, execution, (engine, workflow, id) => engine.interruptUnsafe(workflow, id))
  })

/**
 * Lets a parked execution go on.
 *
 * @category running
 * @since 0.1.0
 */
export const resume = (self: Definition, execution: string) =>
  Effect.gen(function*() {
    const store = yield* ExecutionStore.ExecutionStore
    const { endedAt, epoch, id, status } = yield* find(self, execution)
    if (endedAt !== undefined) return
    if (status === "parked") yield* store.change(id, epoch, { attempts: 0 })
    yield* onEngine(self, execution, (engine, workflow, id) => {
      // the engine notes a little later that it has stopped, and has nothing to resume until then
      const hasStopped = Effect.repeat(engine.poll(workflow, id), {
        until: Option.isSome,
        schedule: Schedule.spaced("10 millis")
      })
      const resumes = engine.resume(workflow, id)
      return status === "parked" ? Effect.andThen(Effect.timeoutOption(hasStopped, "5 seconds"), resumes) : resumes
    })
    // unless a process has begun already
    if (status === "parked") yield* store.change(id, epoch, { status: "running" })
  })

/**
 * Stores an execution and starts it, unless it is there already.
 *
 * @category running
 * @since 0.1.0
 */
export const start = (
  self: Definition,
  input: {
    readonly id: string
    readonly prompt: Prompt.RawInput
    readonly session?: string | undefined
    readonly runId?: string | undefined
    readonly rewind?: number | undefined
  }
) =>
  Effect.gen(function*() {
    const { agent, version } = self
    const store = yield* ExecutionStore.ExecutionStore
    const { id, rewind, runId, session } = input
    const payload = yield* Effect.orDie(
      Schema.encodeEffect(Body.Payload)({
        prompt: Prompt.make(input.prompt),
        ...(session === undefined ? {} : { session }),
        ...(runId === undefined ? {} : { runId }),
        ...(rewind === undefined ? {} : { rewind })
      })
    )
    const created = yield* ExecutionStore.created({
      id: keyOf(agent, id),
      agent: agent.name,
      version,
      session,
      payload,
      trace: Trace.toText(yield* Effect.serviceOption(Tracer.ParentSpan))
    })
    const isOwn = ({ instance }: Pick<ExecutionStore.Execution, "instance">) => instance === created.instance
    // an input that cannot be read back is none
    const stored = yield* Effect.tapError(
      store.create(created),
      () =>
        Effect.flatMap(
          store.get(created.id),
          (found) => found !== undefined && isOwn(found) ? store.remove(created.id) : Effect.void
        )
    )
    if (stored.payload !== payload || stored.version !== version) return yield* new ExecutionConflict({ execution: id })
    yield* Effect.tapError(
      Registry.starting(self, execute(self, stored)),
      () => isOwn(stored) ? store.remove(stored.id) : Effect.void
    )
    return id
  })

/**
 * Gives an execution to the engine, which knows it afterwards.
 *
 * @category running
 * @since 0.1.0
 */
export const execute = ({ workflow }: Definition, { id, instance }: ExecutionStore.Listed) =>
  untraced(workflow.execute({ id, instance }, { discard: true }))

/**
 * Starts the execution of a run, or answers the one that its answers are for. Returns where to read it.
 *
 * @category running
 * @since 0.1.0
 */
export const opened = (self: Definition, input: Agent.Input & { readonly runId: string }) =>
  Effect.gen(function*() {
    const { answers = [], prompt, runId, session } = input
    const [first] = answers
    if (first === undefined) {
      const rewind = yield* Rewound.Current
      const version = rewind?.session === session ? rewind?.version : undefined
      const execution = yield* start(self, { id: runId, prompt, session, runId, rewind: version })
      return { execution, after: undefined }
    }
    const store = yield* ExecutionStore.ExecutionStore
    const { approvalId } = first.approval
    const id = yield* store.ofApproval(self.agent.name, approvalId)
    if (id === undefined) return yield* new AnswerRefused({ approvalId, problem: "unknown" })
    const execution = idOf(self.agent, { id })
    yield* answer(self, execution, answers)
    const { all } = yield* waiting(self, execution)
    return { execution, after: all.find(({ approval }) => approval.approvalId === approvalId)?.seq }
  })

/**
 * Returns a page of the executions of an agent, by id.
 *
 * @category accessors
 * @since 0.1.0
 */
export const list = (
  { agent }: Definition,
  options: { readonly after?: string | undefined; readonly limit?: number | undefined } = {}
) =>
  Effect.gen(function*() {
    const store = yield* ExecutionStore.ExecutionStore
    const after = options.after === undefined ? "" : keyOf(agent, options.after)
    const page = yield* store.list(agent.name, after, Math.max(0, whole(options.limit ?? 100, 100)))
    return page.map((execution) => ({ ...told(execution), id: idOf(agent, execution) }))
  })

/**
 * Returns a number that a database takes as the place or the number of rows: `other`, if it is none.
 *
 * @category conversions
 * @since 0.1.0
 */
export const whole = (value: number, other: number): number =>
  Number.isNaN(Number(value)) ? other : Math.min(Math.max(Math.floor(Number(value)), -1), largest)

/** The largest integer of a column. */
const largest = 2 ** 31 - 1
