/**
 * The journal of one run, which records the run's effects on the outside.
 *
 * @since 0.1.0
 */

import * as IdGenerator from "effect/ai/IdGenerator"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Prompt from "effect/ai/Prompt"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Tracer from "effect/Tracer"
import * as AgentError from "../../AgentError.ts"
import type * as AgentRun from "../../AgentRun.ts"
import type * as Middleware from "../../Middleware.ts"
import * as Session from "../../Session.ts"
import type { ModelSpan, ToolEnd, ToolSpan } from "../telemetry/instrumentation.ts"
import type * as ToolHandler from "../tool/handler.ts"
import * as NestedTools from "../tool/nested.ts"
import { FailsRun } from "../words/failsRun.ts"
import * as JsonCodec from "../words/jsonCodec.ts"
import type { JournalError } from "../words/journalError.ts"
import * as Outcomes from "../words/outcome.ts"
import * as Models from "./models.ts"
import * as Scope from "./scope.ts"
import * as Sessions from "./sessions.ts"
import * as Step from "./step.ts"
import * as Tools from "./tools.ts"

/**
 * The external input of a run between two of its steps.
 *
 * @category models
 * @since 0.1.0
 */
export interface Told {
  readonly messages: ReadonlyArray<Prompt.UserMessage>
  readonly isStopping: boolean
}

const Told: Schema.Codec<Told, unknown> = Schema.Struct({
  messages: Schema.Array(Prompt.UserMessage),
  isStopping: Schema.Boolean
})

/**
 * The recorded end of an `afterRun`. Without an exit it took too long.
 *
 * @category models
 * @since 0.1.0
 */
export interface AfterRunEnd {
  readonly exit: Exit.Exit<unknown, unknown> | undefined
  readonly isLive: boolean
}

/**
 * Returns whether a record is that of an `afterRun`.
 *
 * @category guards
 * @since 0.1.0
 */
export const isAfterRun = (record: string): boolean => /(^|\/)afterRun\/[^/]+$/.test(record)

/**
 * The journal of one run.
 *
 * @category models
 * @since 0.1.0
 */
export class RunJournal {
  readonly scope: Scope.Scope
  /** The last external input of the run. */
  told: Told = { messages: [], isStopping: false }
  /** Whether the model was really called in the current step, and not only read from a record. */
  private isLive = true
  private readonly around: Scope.Scope
  private readonly agent: string

  constructor(around: Scope.Scope, agent: string) {
    this.around = around
    this.agent = agent
    this.scope = around.run(agent)
  }

  /** Returns the journal of a run that begins in this context, or `undefined` if there is none. */
  static of(context: Context.Context<never>, agent: string): RunJournal | undefined {
    const around = Scope.of(context)
    return around === undefined ? undefined : new RunJournal(around, agent)
  }

  /** The context that the run works in. */
  provide(context: Context.Context<never>): Context.Context<never> {
    const model = Context.getOrUndefined(context, LanguageModel.LanguageModel)
    const store = Context.getOrUndefined(context, Sessions.key)
    let own = Context.add(
      Context.add(context, Scope.Current, this.scope),
      IdGenerator.IdGenerator,
      this.scope.ids
    ) as Context.Context<never>
    if (model !== undefined && Models.unwrap(model) === model) {
      own = Context.add(own, LanguageModel.LanguageModel, Models.wrap(model, Models.beside)) as Context.Context<never>
    }
    if (store !== undefined) own = Context.add(own, Sessions.key, Sessions.wrap(store))
    return own
  }

  /** The error of this attempt, if a record could not be used. */
  get failure(): JournalError | undefined {
    return this.scope.attempt.failure
  }

  /** Whether the attempt ends. A call that was interrupted has then not interrupted itself. */
  get isOver(): boolean {
    return this.scope.attempt.isOver
  }

  /** How long the run has worked, in milliseconds: from its first record to its last one. */
  get elapsed(): number {
    return this.scope.elapsed
  }

  /** Begins the span of the call that the run is nested in, if it has not begun. */
  parentSpan(): Tracer.AnySpan | undefined {
    return this.around.onLive?.()
  }

  /**
   * The model of a step. `startSpan` is called when the model is called, but not for calls that are read from records.
   */
  model(
    model: LanguageModel.LanguageModel,
    step: number,
    startSpan: () => ModelSpan | undefined
  ): LanguageModel.LanguageModel {
    return Models.wrap(model, (method, { prompt }) => ({
      scope: this.scope,
      name: this.scope.unique(`model/${step}`),
      kind: `${method} of ${Prompt.make(prompt).content.length} messages`,
      before: this.scope.settle,
      onLive: (context) => {
        this.isLive = true
        const span = startSpan()
        span?.onCall(context)
        return span === undefined
          ? context
          : Context.merge(context, Context.pick(Tracer.ParentSpan, Tracer.Tracer)(span.context))
      },
      onReplay: () => {
        this.isLive = false
      }
    }))
  }

  /** One tool call of a step. */
  call(
    step: number,
    id: string,
    options: Pick<CallJournal, "startSpan" | "timeoutOf" | "waitsFor" | "onSlow"> & { readonly now: number | undefined }
  ): CallJournal {
    const name = this.scope.unique(`tool/${step}/${Scope.segment(id)}`)
    return new CallJournal(this.scope, name, options, this.isLive)
  }

  /** Records the external input of the run between two steps. */
  listen(take: () => Told): Effect.Effect<void, JournalError> {
    const told = Step.inScope(this.scope, this.scope.next("steering"), { success: Told }, Effect.sync(take))
    return Effect.map(told, (told) => {
      this.told = told
    })
  }

  /** Takes the messages that the run was told. */
  taken(): ReadonlyArray<Prompt.UserMessage> {
    const { messages } = this.told
    this.told = { ...this.told, messages: [] }
    return messages
  }

  /** Runs an `afterRun`, with its time limit, once. */
  afterRun(provider: string, run: Effect.Effect<AfterRunEnd["exit"]>): Effect.Effect<AfterRunEnd, JournalError> {
    let live: AfterRunEnd | undefined
    const execute = Effect.map(run, (exit): typeof AfterRun.Type => {
      live = { exit, isLive: true }
      return exit === undefined ? { is: "overran" } : Exit.isSuccess(exit) ? { is: "done" } : failedOf(exit.cause)
    })
    const recorded = Step.inScope(
      this.scope,
      this.scope.unique(`afterRun/${Scope.segment(provider)}`),
      { success: AfterRun },
      execute
    )
    return Effect.andThen(
      this.scope.settle,
      Effect.map(recorded, (end) => live ?? { exit: exitOf(end), isLive: false })
    )
  }

  /**
   * Returns the cause with which the run ends, marked if another attempt continues the run. If a record could not be
   * used, the run fails with that error, even if it was caught on the way.
   */
  ending(cause: Cause.Cause<unknown>): Effect.Effect<Cause.Cause<unknown>> {
    const { failure } = this
    if (failure !== undefined) {
      const { description, record } = failure
      return this.marked(Cause.fail(AgentError.make(this.agent, new AgentError.InvalidRecord({ description, record }))))
    }
    return this.marked(cause)
  }

  private marked(cause: Cause.Cause<unknown>): Effect.Effect<Cause.Cause<unknown>> {
    return Effect.uninterruptible(Effect.map(
      // a record that could not be used ends everything in the attempt
      this.failure === undefined ? this.scope.attempt.journal.isSuspended(cause) : Effect.succeed(true),
      (isSuspended) => isSuspended ? Cause.annotate(cause, Context.make(Outcomes.SuspendedRun, true)) : cause
    ))
  }

  /** Returns how the consumer has left the run. A run that goes on elsewhere counts as interrupted here. */
  leaving(exit: Exit.Exit<unknown, unknown>): Effect.Effect<Exit.Exit<unknown, unknown>> {
    const cause = Exit.isSuccess(exit) ? Cause.interrupt() : exit.cause
    return Effect.map(this.marked(cause), (ending) => {
      const failure = Exit.failCause(ending)
      if (!Outcomes.isSuspended(failure)) return exit
      return Cause.hasInterruptsOnly(ending)
        ? failure
        : Exit.failCause(Cause.annotate(Cause.interrupt(), Context.make(Outcomes.SuspendedRun, true)))
    })
  }

  /** The run has ended and is finalized, so nothing more is recorded. */
  close(): void {
    this.scope.isClosed = true
  }

  /** Everything in the run has stopped. Calls that were left in a nested run are passed to the run around it. */
  end(outcome: AgentRun.Outcome): Effect.Effect<void> {
    this.scope.end()
    if (!this.around.isRoot) return Effect.void
    // a consumer that has left leaves again at the same part
    return outcome._tag === "Interrupted" ? this.around.discard : this.around.settle
  }
}

const AfterRun = JsonCodec.make<AfterRunRecord, unknown, never, never>(Schema.Union([
  Schema.Struct({ is: Schema.Literals(["done", "overran"]) }),
  Schema.Struct({ is: Schema.Literal("session-failed"), error: Session.SessionError }),
  Schema.Struct({ is: Schema.Literal("failed"), error: Schema.Defect() })
]))

type AfterRunRecord =
  | { readonly is: "done" | "overran" }
  | { readonly is: "session-failed"; readonly error: Session.SessionError }
  | { readonly is: "failed"; readonly error: unknown }

const failedOf = (cause: Cause.Cause<unknown>): AfterRunRecord => {
  const error = Cause.squash(cause)
  return error instanceof FailsRun && error.error instanceof Session.SessionError
    ? { is: "session-failed", error: error.error }
    : { is: "failed", error: error instanceof FailsRun ? error.error : error }
}

const exitOf = (end: AfterRunRecord): AfterRunEnd["exit"] => {
  switch (end.is) {
    case "done":
      return Exit.void
    case "overran":
      return undefined
    case "session-failed":
      return Exit.fail(new FailsRun(end.error))
    case "failed":
      return Exit.fail(end.error)
  }
}

/**
 * One tool call of a run.
 *
 * - `timeoutOf`: the time limit of a tool.
 * - `waitsFor`: what the runs nested in the call wait for, if they have interrupted it.
 * - `onSlow`: called with a handler that did not end in time and was interrupted.
 *
 * @category models
 * @since 0.1.0
 */
export class CallJournal implements ToolSpan {
  readonly startSpan: (() => ToolSpan | undefined) | undefined
  readonly timeoutOf: (tool: Parameters<ToolHandler.Keep>[1]) => Duration.Duration | undefined
  readonly waitsFor: Tools.Call["waitsFor"]
  readonly onSlow: (fiber: Fiber.Fiber<unknown, unknown>) => void
  readonly scope: Scope.Scope
  private readonly name: string
  private readonly isStepLive: boolean
  private span: ToolSpan | undefined = undefined
  private count = 0

  constructor(
    run: Scope.Scope,
    name: string,
    { now, onSlow, startSpan, timeoutOf, waitsFor }: Parameters<RunJournal["call"]>[2],
    isStepLive: boolean
  ) {
    this.name = name
    this.startSpan = startSpan
    this.timeoutOf = timeoutOf
    this.waitsFor = waitsFor
    this.onSlow = onSlow
    this.isStepLive = isStepLive
    this.scope = run.child(name, () => this.begin())
    // the same in each attempt, whichever other calls have ended
    this.scope.now = now
  }

  /** The context that the call and its middleware run in. */
  provide(context: Context.Context<never>): Context.Context<never> {
    return Context.add(Context.add(context, Scope.Current, this.scope), IdGenerator.IdGenerator, this.scope.ids)
  }

  /** Records what happens below the middleware. A nested run records itself. */
  readonly keep: ToolHandler.Keep = (request, tool, handled) => {
    if (NestedTools.isRecorded(tool)) return handled
    // a middleware may make the call again
    const count = ++this.count
    const own = Effect.andThen(
      this.scope.settle,
      Tools.run({
        scope: this.scope,
        name: count === 1 ? this.name : `${this.name}~${count}`,
        request,
        tool,
        timeout: this.timeoutOf(tool),
        waitsFor: this.waitsFor,
        onSlow: this.onSlow,
        onLive: (context) => {
          const parent = this.begin()
          return parent === undefined ? context : Context.add(context, Tracer.ParentSpan, parent)
        }
      }, handled)
    )
    return own as Effect.Effect<Middleware.ToolResult, unknown>
  }

  private begin(): Tracer.AnySpan | undefined {
    this.span ??= this.startSpan?.()
    return this.span && Context.getOrUndefined(this.span.context, Tracer.ParentSpan)
  }

  get context(): Context.Context<never> {
    return this.span?.context ?? Context.empty()
  }

  /** The call has ended. A call taken from its record has no span; a call that was not run at all has one. */
  end(end: ToolEnd): void {
    this.scope.end()
    if (this.span === undefined && this.isStepLive && !this.scope.isReplayed && end._tag !== "Cancelled") this.begin()
    this.span?.end(end)
  }
}
