/**
 * What a workflow does for an execution: the runs of its agent, one after the other, until none waits for an approval.
 *
 * @since 0.1.0
 */

import * as Prompt from "effect/ai/Prompt"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as ClusterSchema from "effect/cluster/ClusterSchema"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import * as DurableDeferred from "effect/workflow/DurableDeferred"
import * as WorkflowEngine from "effect/workflow/WorkflowEngine"
import * as Agent from "../../Agent.ts"
import type * as AgentRun from "../../AgentRun.ts"
import * as Approval from "../../Approval.ts"
import * as Origin from "../../internal/approval/origin.ts"
import { isAfterRun } from "../../internal/journal/run.ts"
import * as Sessions from "../../internal/journal/sessions.ts"
import * as Rewound from "../../internal/session/rewound.ts"
import * as JsonCodec from "../../internal/words/jsonCodec.ts"
import * as Journal from "../../Journal.ts"
import * as ExecutionStore from "../ExecutionStore.ts"
import type { Definition } from "./definition.ts"
import * as ExecutionJournal from "./executionJournal.ts"
import * as Trace from "./trace.ts"
import { PartLog } from "./partLog.ts"
import type { Encoded } from "./places.ts"
import type { ExecutionStoreError } from "./storeError.ts"

/**
 * The input of an execution, as it is stored.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Payload = Schema.fromJsonString(Schema.toCodecJson(Schema.Struct({
  prompt: Prompt.Prompt,
  session: Schema.optionalKey(Schema.String),
  runId: Schema.optionalKey(Schema.String),
  /** The version of the session that the run goes on from. */
  rewind: Schema.optionalKey(Schema.Int)
})))

/**
 * An answer, as it is stored.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Answer = Schema.fromJsonString(JsonCodec.make<Approval.Answer, unknown, never, never>(Approval.Answer))

/**
 * All approvals of the n-th run of an execution have an answer.
 *
 * @category constructors
 * @since 0.1.0
 */
export const answered = (run: number) => DurableDeferred.make(`answered/${run}`)

/** Why an execution is parked, for an operator. */
class Parked extends Schema.Error<Parked>("effect-agents/durable/Parked")({
  _tag: Schema.tag("Parked"),
  description: Schema.String
}) {
  override get message(): string {
    return this.description
  }
}

/**
 * Works on an execution.
 *
 * @category running
 * @since 0.1.0
 */
export const run = (definition: Definition, { id, instance }: Pick<ExecutionStore.Execution, "id" | "instance">) =>
  Effect.gen(function*() {
    const store = patient(yield* ExecutionStore.ExecutionStore)
    // the spans in the run are those of the run
    const context = Context.omit(Tracer.ParentSpan)(
      yield* Effect.context<WorkflowEngine.WorkflowEngine | WorkflowEngine.WorkflowInstance>()
    ) as ExecutionJournal.EngineContext
    // it was removed
    if ((yield* Effect.orDie(store.get(id)))?.instance !== instance) return
    const begun = yield* Effect.orDie(store.begin(id))
    if (begun === undefined || begun.endedAt !== undefined) return
    return yield* Trace.within(begun.trace, new Attempt(definition, store, begun, context).run)
  })

/** A database that is away for a while is no reason to park an execution. */
const patience = Schedule.max([Schedule.exponential("100 millis", 1.5), Schedule.recurs(15)])

const patient = (store: ExecutionStore.Options): ExecutionStore.Options => {
  const retried =
    <Args extends ReadonlyArray<any>, A>(operation: (...args: Args) => Effect.Effect<A, ExecutionStoreError>) =>
    (...args: Args) => Effect.retry(operation(...args), patience)
  return {
    ...store,
    get: retried(store.get),
    begin: retried(store.begin),
    change: retried(store.change),
    append: retried(store.append),
    ask: retried(store.ask),
    asked: retried(store.asked),
    rows: retried(store.rows)
  }
}

/** The interrupt by which the engine knows that another process goes on. */
const abandon: Effect.Effect<never> = Effect.interruptible(Effect.withFiber((fiber) => {
  fiber.interruptUnsafe(fiber.id, ClusterSchema.Abandon.annotation)
  return Effect.never
}))

class Attempt {
  private readonly definition: Definition
  private readonly store: ExecutionStore.Options
  private readonly execution: ExecutionStore.Execution
  private readonly context: ExecutionJournal.EngineContext
  private hasProgressed = false
  /** The defect of a call, for which the engine has interrupted the attempt. */
  private defect: Cause.Cause<unknown> | undefined = undefined

  constructor(
    definition: Definition,
    store: ExecutionStore.Options,
    execution: ExecutionStore.Execution,
    context: ExecutionJournal.EngineContext
  ) {
    this.definition = definition
    this.store = store
    this.execution = execution
    this.context = context
  }

  /** Ends as the execution ends; a defect parks it, and an interrupt gives it to another process. */
  get run(): Effect.Effect<void, never, never> {
    return Effect.scoped(Effect.flatMap(Effect.scope, (scope) => this.work(scope))).pipe(
      Effect.onExit((exit) => Exit.isSuccess(exit) ? Effect.void : this.left(exit.cause)),
      Effect.catchCause((cause) => this.instance.abandoned ? abandon : Effect.failCause(cause)),
      // what an agent needs is in the context of the layer
      Effect.orDie
    ) as Effect.Effect<void>
  }

  private work(scope: Scope.Scope) {
    return Effect.gen({ self: this }, function*() {
      const { agent, maximumAttempts, version } = this.definition
      // the engine begins an execution once more that was asked to end
      if (yield* this.isInterrupted) return yield* this.end({ status: "interrupted" })
      if (this.execution.version !== version) {
        return yield* new Parked({
          description:
            `It was started by version ${this.execution.version} of \`${agent.name}\`, and this is version ` +
            `${version}: resume it in a process that has its version`
        })
      }
      if (this.execution.attempts > maximumAttempts) {
        return yield* new Parked({
          description: `Its process has ended ${maximumAttempts} times before anything was recorded`
        })
      }
      const log = new PartLog(this.store, this.execution.id, this.execution.epoch, this.definition.codec, scope)
      yield* log.open
      const { prompt, rewind, runId, session } = yield* Schema.decodeEffect(Payload)(this.execution.payload)
      let parts = rewound(Agent.stream(agent, { prompt, session, runId }), session, rewind)
      for (let n = 0;; n++) {
        const result = yield* this.ended(log, n, parts)
        if (result === undefined) return
        if (!Arr.isReadonlyArrayNonEmpty(result.approvals)) return yield* this.end({ status: "completed" })
        const answers = yield* this.answers(n, result.approvals)
        // it was given out by this execution, whichever process has read it
        Origin.remember(result, false, undefined)
        parts = Agent.resumeStream(agent, { result }, answers)
      }
    })
  }

  /** Runs the n-th run, or reads its end. Returns nothing if the execution has ended with it. */
  private ended(log: PartLog, n: number, parts: Stream.Stream<AgentRun.Part, unknown, unknown>) {
    return Effect.gen({ self: this }, function*() {
      const logged = log.ends[n]
      if (logged !== undefined) {
        log.pass(logged)
        return yield* this.resultOf(logged)
      }
      let result: AgentRun.Result | undefined
      const told = Effect.fnUntraced(function*(this: Attempt, parts: Arr.NonEmptyReadonlyArray<AgentRun.Part>) {
        const last = Arr.lastNonEmpty(parts)
        if (last.type === "run-end") {
          result = last.result
          // whoever reads the end of the run may answer
          yield* this.ask(result.approvals)
        }
        yield* log.append(parts)
      })
      const { transactions } = this.definition
      let isLost = false
      let isStopped = false
      const stopped = Deferred.makeUnsafe<void>()
      let isFenced = false
      const journal = ExecutionJournal.make(this.context, {
        id: `${this.execution.id}/${n}`,
        prefix: n === 0 ? "" : `r${n}/`,
        onLive: this.onLive,
        onDefect: (cause) => {
          this.defect ??= cause
        },
        isInterrupted: this.isInterrupted,
        stopped,
        isLeft: (cause) =>
          isFenced ||
          Cause.hasInterruptsOnly(cause) &&
            (isStopped || isLost || this.instance.suspended || this.defect !== undefined),
        onFenced: () => {
          isFenced = true
        },
        onLost: () => {
          isLost = true
        },
        isTransaction: (name) =>
          transactions.includes("session") && Sessions.isSave(name) ||
          transactions.includes("afterRun") && isAfterRun(name)
      })
      const running = parts.pipe(
        Stream.runForEachArray((parts) => told.call(this, parts)),
        Effect.provideService(Journal.Journal, journal),
        Effect.onExit(() => log.flush)
      ) as Effect.Effect<void, unknown>
      // the finalizers of a run have to know whether it ends because this attempt is interrupted
      const exit = yield* Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(
          Effect.forkChild(restore(running), { startImmediately: true }),
          (fiber) =>
            Effect.onInterrupt(restore(Fiber.await(fiber)), () => {
              isStopped = true
              Deferred.doneUnsafe(stopped, Exit.void)
              return Fiber.interrupt(fiber)
            })
        )
      )
      if (Exit.isSuccess(exit)) return result!
      // an `afterRun` that was cut fails its run, and that is not the end of the execution
      if (isFenced) return yield* Effect.interrupt
      const { cause } = exit
      const failure = cause.reasons.find(Cause.isFailReason)
      // an interrupt of this fiber does not come here: the code of the run has interrupted itself, and would do so again
      if (Cause.hasInterruptsOnly(cause) && !isLost && !this.instance.suspended) {
        yield* this.end({ status: "interrupted" })
        return undefined
      }
      if (ExecutionJournal.isParked(cause) || failure === undefined) return yield* Effect.failCause(cause)
      // a failure that is none of the agent's, or that its schema does not know, is for an operator
      const encoded = yield* Schema.encodeEffect(this.definition.failure)(failure.error).pipe(
        Effect.catch(() => Effect.failCause(cause))
      )
      yield* this.end({ status: "failed", failure: encoded })
      return undefined
    })
  }

  private resultOf(end: Encoded): Effect.Effect<AgentRun.Result, unknown> {
    return Effect.map(
      this.definition.codec.decode(end as never) as Effect.Effect<AgentRun.Part, unknown>,
      (part) => (part as AgentRun.RunEnd).result
    )
  }

  /** Waits until the approvals of the n-th run have answers. Meanwhile no process holds the execution. */
  private answers(n: number, approvals: Arr.NonEmptyReadonlyArray<Approval.Approval>) {
    return Effect.gen({ self: this }, function*() {
      yield* this.ask(approvals)
      yield* DurableDeferred.await(answered(n)).pipe(
        Effect.withTracerEnabled(false),
        Effect.provideContext(this.context)
      )
      yield* this.store.change(this.execution.id, this.execution.epoch, { status: "running" })
      const asked = yield* this.store.asked(this.execution.id)
      const texts = asked.flatMap(({ answer, approvalId }) =>
        answer !== undefined && approvals.some((approval) => approval.approvalId === approvalId) ? [answer] : []
      )
      return yield* Effect.forEach(texts, (text) => Schema.decodeEffect(Answer)(text))
    })
  }

  private ask(approvals: ReadonlyArray<Approval.Approval>) {
    const ids = approvals.map(({ approvalId }) => approvalId)
    return Arr.isReadonlyArrayNonEmpty(ids)
      ? Effect.asVoid(this.store.ask(this.execution.id, this.execution.epoch, ids))
      : Effect.void
  }

  /** Something was recorded, so whatever ends this process now is not what ended the one before. */
  private readonly onLive: Effect.Effect<void> = Effect.suspend(() => {
    if (this.hasProgressed) return Effect.void
    this.hasProgressed = true
    return Effect.ignore(this.store.change(this.execution.id, this.execution.epoch, { attempts: 0 }))
  })

  private left(interrupted: Cause.Cause<unknown>) {
    return Effect.gen({ self: this }, function*() {
      if (yield* this.isInterrupted) return yield* this.end({ status: "interrupted" })
      const cause = Cause.hasInterruptsOnly(interrupted) ? this.defect : interrupted
      if (cause === undefined) {
        // it waits for an answer, or this process has lost it: then the engine must not wait for somebody to wake it
        if (!this.instance.suspended) this.instance.abandoned = true
        return
      }
      const change = { status: "parked", cause: Cause.pretty(cause) } as const
      yield* this.store.change(this.execution.id, this.execution.epoch, change)
    })
  }

  private get instance(): WorkflowEngine.WorkflowInstance["Service"] {
    return Context.get(this.context, WorkflowEngine.WorkflowInstance)
  }

  private get isInterrupted(): Effect.Effect<boolean> {
    return Effect.map(
      Effect.orDie(this.store.get(this.execution.id)),
      (execution) => execution?.instance !== this.execution.instance || execution.isInterrupted
    )
  }

  private end(change: { readonly status: ExecutionStore.Status; readonly failure?: string }) {
    return Effect.flatMap(
      Clock.currentTimeMillis,
      (endedAt) => Effect.asVoid(this.store.change(this.execution.id, this.execution.epoch, { ...change, endedAt }))
    )
  }
}

/** The run goes on from a version of its session. What it saves is recorded as with any other. */
const rewound = <A, E, R>(
  parts: Stream.Stream<A, E, R>,
  session: string | undefined,
  version: number | undefined
): Stream.Stream<A, E, R> =>
  session === undefined || version === undefined ? parts : Stream.unwrap(
    Effect.map(Effect.serviceOption(Sessions.key), (store) =>
      store._tag === "None"
        ? parts
        : Stream.provideService(parts, Sessions.key, Rewound.wrap(store.value, { session, version })))
    // the service that is replaced is one that the agent may need
  ) as Stream.Stream<A, E, R>
