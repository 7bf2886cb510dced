/**
 * The life of one run: providers, body, after-run, outcome, finalizers.
 *
 * A run is one hand-made pull over mutable state, not a composition of stream operators. Such a composition costs ten
 * times as much, and ends with Success when its consumer leaves early. The phases follow the run contract:
 *
 * start -> (before-run) -> body -> (after-run) -> completed -> ended
 *
 * Every end goes through `finalize`, once, with the outcome.
 *
 * @since 0.1.0
 */
import * as Prompt from "effect/ai/Prompt"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as AgentError from "../../AgentError.ts"
import * as AgentRun from "../../AgentRun.ts"
import type * as Approval from "../../Approval.ts"
import type * as Middleware from "../../Middleware.ts"
import type * as Steering from "../../Steering.ts"
import { bounded } from "../words/bounded.ts"
import type { RunSpan } from "../telemetry/instrumentation.ts"
import * as Origin from "../approval/origin.ts"
import * as Waiting from "../approval/waiting.ts"
import { RunJournal } from "../journal/run.ts"
import * as OwnModel from "../model/ownModel.ts"
import * as CurrentRun from "../words/currentRun.ts"
import type { ParentRun } from "../words/parentRun.ts"
import * as Replacements from "../words/replacements.ts"
import * as RunId from "../words/runId.ts"
import * as AfterRun from "./afterRun.ts"
import * as Contributions from "./contributions.ts"
import type { Body, Definition, PartPull } from "./definition.ts"
import * as Finalizers from "./finalizers.ts"
import * as Started from "./started.ts"
import * as Surroundings from "./surroundings.ts"
import * as Steered from "./steered.ts"
import * as Input from "./input.ts"
import type * as Layered from "./layered.ts"
import * as LiveSpan from "./liveSpan.ts"
import * as Partial from "./partial.ts"
import * as Promised from "./promised.ts"
import * as Recorded from "./recorded.ts"
import { Turns } from "./turns.ts"

export type {
  /**
   * @category models
   * @since 0.1.0
   */
  Body,
  /**
   * @category models
   * @since 0.1.0
   */
  Definition,
  /**
   * @category models
   * @since 0.1.0
   */
  PartPull
} from "./definition.ts"

/**
 * The state of one run.
 *
 * @category models
 * @since 0.1.0
 */
export class Run {
  readonly definition: Definition
  /** Its id; empty until the run begins, if no id was given. */
  id: string
  readonly session: string | undefined
  readonly answers: ReadonlyArray<Approval.Answer> | undefined
  readonly steering: Steering.Steering | undefined
  readonly continues: true | undefined
  readonly sessionRun: CurrentRun.SessionRun | undefined
  /** The knowledge about the conversation of its answers, and about where its approvals are kept. */
  readonly origin: Origin.Origin["Service"] | undefined
  private readonly within: Layered.Within | undefined
  readonly journal: RunJournal | undefined
  span: RunSpan | undefined = undefined
  onSpan: ((span: RunSpan) => void) | undefined = undefined
  readonly surroundings: Surroundings.Surroundings
  /** The context that everything of the run runs in: the caller's, with the run's span as the parent. */
  context: Context.Context<never>
  prompt: Prompt.Prompt = Prompt.empty
  outcome: AgentRun.Outcome | undefined = undefined
  private phase: "start" | "before-run" | "body" | "after-run" | "completed" | "ended" = "start"
  private body: Body | undefined = undefined
  readonly turns = new Turns()
  private nestedUsage: AgentRun.Usage = AgentRun.emptyUsage
  private readonly input: Prompt.RawInput
  /** The scope of its consumer, if others may close it. */
  private readonly scope: Scope.Closeable | undefined
  private isClosed = false
  private readonly parent: ParentRun["Service"] | undefined
  private started: ReadonlyArray<Started.Started> = []
  private readonly contributions = Contributions.empty()

  constructor(
    definition: Definition,
    request: Middleware.AgentRequest,
    scope: Scope.Closeable | undefined,
    fiber: Fiber.Fiber<unknown, unknown>,
    within: Layered.Within | undefined
  ) {
    this.definition = definition
    this.within = within
    this.id = request.runId ?? ""
    this.session = request.session
    this.answers = request.answers
    this.steering = request.steering
    this.continues = request.continues
    this.input = request.prompt
    this.scope = scope
    const { context, isRecorded, origin, parent } = this.surroundings = Surroundings.of(
      definition,
      fiber.context
    )
    this.parent = parent
    this.origin = origin
    this.journal = isRecorded ? RunJournal.of(context, definition.name) : undefined
    this.context = this.journal?.provide(context) ?? context
    const known = this.sessionRun = CurrentRun.make(this.session, fiber, () => this.turns.isIdle)
    if (known !== undefined) this.context = Context.add(this.context, CurrentRun.CurrentRun, known)
  }

  /** The next parts for this fiber. */
  take(fiber: Fiber.Fiber<unknown, unknown>): PartPull {
    if (this.sessionRun !== undefined) CurrentRun.pulledBy(this.sessionRun, fiber)
    return this.turns.take(fiber, this.advancing)
  }

  private readonly advancing = (): PartPull => this.advance()

  private advance(): PartPull {
    switch (this.phase) {
      case "body":
        return this.body!.advance()
      case "start":
        return this.begin()
      case "completed":
        return this.deliver()
      case "ended":
        return this.end()
      default:
        // the pull before this one was interrupted while a provider worked
        return this.outcome === undefined ? this.fail(Cause.interrupt()) : this.closeFailed()
    }
  }

  // --- start and before-run -------------------------------------------------

  private begin(): PartPull {
    this.phase = "before-run"
    const { id: given, journal, surroundings } = this
    const id = given !== "" ? given : journal === undefined ? surroundings.makeId() : RunId.make(this.context)
    if (typeof id === "string") return this.beginAs(id)
    return Effect.matchCauseEffect(id, {
      onFailure: (cause) => this.fail(cause),
      onSuccess: (id) => this.beginAs(id)
    })
  }

  private beginAs(id: string): PartPull {
    this.id = id
    if (this.surroundings.isTraced && this.journal === undefined) {
      this.context = LiveSpan.start(this, this.context)?.context ?? this.context
    }
    const { answers, session } = this
    const read = Input.read({ prompt: this.input, session, answers, remote: this.definition.remote }, this.context)
    return Result.isFailure(read) ? this.fail(Cause.fail(this.error(read.failure))) : this.startWith(read.success)
  }

  /** The span of the run. With a journal it begins with the first action that is not read from a record. */
  liveSpan(): RunSpan | undefined {
    return this.journal === undefined ? this.span : LiveSpan.begin(this, this.journal)
  }

  /** Calls `onSpan` with the span, at once or when the span begins. */
  observe(onSpan: (span: RunSpan) => void): void {
    if (this.span === undefined) this.onSpan = onSpan
    else onSpan(this.span)
  }

  /**
   * A prompt neither asks for approvals nor answers any: answers are given in `answers`, and requests are known
   * otherwise.
   */
  private startWith(prompt: Prompt.Prompt): PartPull {
    const seen = this.answers === undefined ? Waiting.forModel(prompt.content) : prompt.content
    this.prompt = seen === prompt.content ? prompt : Prompt.fromMessages(seen)
    return this.startProvider(0)
  }

  private startProvider(index: number): PartPull {
    const { providers } = this.definition
    if (index === providers.length) return this.openBody()
    const provider = providers[index]
    const started = Started.make(provider, this.request())
    this.started = [...this.started, started]
    const beforeRun = Effect.suspend(() => provider.beforeRun(started.request))
    const scoped = Context.add(this.context, Scope.Scope, started.scope)
    const context = this.isKeptByCaller() ? Context.add(scoped, Origin.Origin, this.origin!) : scoped
    return Effect.matchCauseEffect(Effect.updateContext(beforeRun, () => context), {
      onFailure: (cause) => this.fail(cause),
      onSuccess: (contribution) => {
        if (contribution !== undefined) {
          started.contribution = contribution
          Contributions.add(
            this.contributions,
            provider,
            contribution,
            this.isKeptByCaller() ? undefined : this.session
          )
        }
        return this.startProvider(index + 1)
      }
    })
  }

  private isKeptByCaller(): boolean {
    return this.origin?.keeper === "caller" && this.origin.session === this.session
  }

  private openBody(): PartPull {
    if (Steered.isSteered(this)) return this.enterBody(Steered.body(this))
    const made = Result.try(() => this.definition.body(this, this.contributions))
    if (Result.isFailure(made)) return this.fail(Cause.die(made.failure))
    if (!Effect.isEffect(made.success)) return this.enterBody(made.success)
    return Effect.matchCauseEffect(made.success, {
      onFailure: (cause) => this.fail(cause),
      onSuccess: (body) => this.enterBody(body)
    })
  }

  private enterBody(body: Body): PartPull {
    this.body = body
    this.phase = "body"
    this.turns.end()
    const { definition: { name: agent }, id: runId, parent, session } = this
    const start: AgentRun.RunStart = { type: "run-start", agent, runId, session }
    return Exit.succeed([
      parent === undefined ? start : { ...start, parentRunId: parent.runId },
      ...body.opening
    ])
  }

  // --- after-run ------------------------------------------------------------

  /** The body has finished. The providers' `afterRun`s decide whether the run completes. */
  complete(
    result: Omit<AgentRun.Result, "agent" | "runId" | "session" | "totalUsage" | "value" | "approvals"> & {
      readonly value?: unknown
      readonly approvals?: ReadonlyArray<Approval.Approval>
    }
  ): PartPull {
    const broken = this.definition.promisesValue === true ? Promised.broken(result) : undefined
    if (broken !== undefined) return this.fail(Cause.fail(this.error(broken)))
    this.phase = "after-run"
    const { approvals = [], steps, stopReason, text, transcript, usage, value } = result
    const whole: AfterRun.Deciding = {
      agent: this.definition.name,
      runId: this.id,
      session: this.session,
      text,
      value,
      usage,
      totalUsage: AgentRun.addUsage(usage, this.nestedUsage),
      steps,
      stopReason,
      approvals,
      transcript
    }
    if (approvals.length > 0) Origin.remember(whole, this.contributions.kept !== undefined, this.origin)
    const pending = AfterRun.inOrder(this.started)
    if (pending.length === 0 && this.journal?.failure === undefined) {
      this.completed(whole)
      return this.deliver()
    }
    return Effect.matchCauseEffect(
      // the outcome is decided in here, even if the fiber is interrupted meanwhile
      Effect.uninterruptible(Effect.suspend(() => this.afterRuns(pending, whole))),
      {
        // only a journal fails here
        onFailure: (cause) => this.fail(cause),
        onSuccess: () => this.phase === "completed" ? this.deliver() : this.closeFailed()
      }
    )
  }

  private afterRuns(pending: ReadonlyArray<Started.Started>, result: AfterRun.Deciding): Effect.Effect<void, unknown> {
    const failures: Array<Cause.Reason<unknown>> = []
    const { context, definition, journal } = this
    const run: AfterRun.Completing = {
      agent: definition.name,
      result,
      budget: this.budget(),
      context,
      journal,
      record: (provider, cause) => this.record(provider, "afterRun", cause)
    }
    const decide = () => {
      if (journal?.failure !== undefined) return Effect.fail(journal.failure)
      if (failures.length > 0) this.failed(Cause.fromReasons(failures))
      // an `afterRun` may have stopped runs that had something to add; one that waits is known by its identity
      else {
        result.totalUsage = AgentRun.addUsage(result.usage, this.nestedUsage)
        this.completed(result)
      }
      return Effect.void
    }
    const rest = AfterRun.runAll(run, pending, failures)
    return rest === undefined ? decide() : Effect.flatMap(rest, decide)
  }

  private completed(result: AgentRun.Result): void {
    this.outcome = { _tag: "Completed", result }
    this.phase = "completed"
  }

  private deliver(): PartPull {
    this.phase = "ended"
    this.turns.end()
    return Exit.succeed([{ type: "run-end", result: (this.outcome as AgentRun.Completed).result }])
  }

  // --- the end --------------------------------------------------------------

  /** A pull after the last part: done, or the same failure again. */
  private end(): PartPull {
    this.turns.end()
    const outcome = this.outcome
    return outcome?._tag === "Completed"
      ? Finalizers.closedBy(() => this.close(Exit.void), Cause.done())
      : AgentRun.toExit(outcome ?? { _tag: "Abandoned", partial: this.partial() }) as Exit.Exit<never, any>
  }

  /** Ends the run with this cause. Everything is finalized first, and then the stream fails with the cause. */
  fail(cause: Cause.Cause<unknown>): PartPull {
    const fail = (cause: Cause.Cause<unknown>) => {
      this.failed(cause)
      return this.closeFailed()
    }
    return this.journal === undefined ? fail(cause) : Effect.flatMap(this.journal.ending(cause), fail)
  }

  private failed(cause: Cause.Cause<unknown>): void {
    const partial = this.partial()
    this.outcome = Cause.hasInterruptsOnly(cause)
      ? { _tag: "Interrupted", cause: cause as Cause.Cause<never>, partial }
      : { _tag: "Failed", cause, partial }
  }

  private closeFailed(): PartPull {
    return Effect.flatMap(
      Finalizers.closedBy(() => this.close(AgentRun.toExit(this.outcome!)), Exit.void),
      () => this.end()
    )
  }

  /** Finalizes the run, once. */
  close(exit: Exit.Exit<unknown, unknown>): Effect.Effect<unknown> | undefined {
    if (this.scope !== undefined) return Scope.closeUnsafe(this.scope, exit)
    if (this.isClosed) return undefined
    this.isClosed = true
    return this.finalize(exit)
  }

  /**
   * Called once, when the scope of the run closes: by the run itself at its end, or by the code that runs the stream.
   * Without an outcome the consumer has left, by an interrupt or otherwise.
   */
  finalize(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    const { journal } = this
    if (journal === undefined) return this.finalizeWith(exit)
    journal.close()
    const left = this.outcome === undefined ? journal.leaving(exit) : Effect.succeed(exit)
    const finalized = Effect.flatMap(left, (exit) => this.finalizeWith(exit))
    return Effect.andThen(finalized, Effect.suspend(() => journal.end(this.outcome!)))
  }

  private finalizeWith(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    const outcome = this.outcome ??= Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)
      ? { _tag: "Interrupted", cause: exit.cause as Cause.Cause<never>, partial: this.partial() }
      : { _tag: "Abandoned", partial: this.partial() }
    this.phase = "ended"
    const ended = AgentRun.toExit(outcome)
    const stop = this.body?.stop(ended)
    if (stop === undefined && this.started.length === 0) {
      this.ended(outcome)
      return Effect.void
    }
    if (stop === undefined) return this.closeProviders(ended)
    const rest = this.closing(this.definition.name, stop)
    return rest === undefined ? this.closeStopped() : Effect.flatMap(rest, () => this.closeStopped())
  }

  /** The interruption may have stopped nested runs, whose usage still has to be added. */
  private closeStopped(): Effect.Effect<void> {
    this.outcome = Partial.withTotal(this.outcome!, this.nestedUsage, this.body?.afterwards)
    return this.closeProviders(AgentRun.toExit(this.outcome))
  }

  /** Providers whose finalizers do not have to wait are closed at once. */
  private closeProviders(
    exit: Exit.Exit<AgentRun.Result, unknown>,
    from = this.started.length - 1
  ): Effect.Effect<void> {
    for (let index = from; index >= 0; index--) {
      const { provider, scope } = this.started[index]
      const rest = Finalizers.closeEach(scope, exit, (finalizer) => this.closing(provider.name, finalizer))
      if (rest !== undefined) return Effect.flatMap(rest, () => this.closeProviders(exit, index - 1))
    }
    this.ended(this.outcome!)
    return Effect.void
  }

  /**
   * Starts an effect that ends a part of the run. Its result never changes how the run ended. Returns `undefined` if it
   * has ended at once, otherwise an effect that waits for it.
   */
  closing(name: string, close: Effect.Effect<unknown>): Effect.Effect<void> | undefined {
    return bounded(
      close,
      this.budget(),
      this.context,
      (exit) => exit !== undefined && Exit.isSuccess(exit) ? undefined : this.record(name, "finalizer", exit?.cause)
    )
  }

  private ended(before: AgentRun.Outcome): void {
    const outcome = this.outcome = Partial.withTotal(before, this.nestedUsage)
    this.within?.onEnd(AgentRun.toExit(outcome))
    if (this.sessionRun !== undefined) CurrentRun.leave(this.sessionRun)
    // a run that read nothing from records has a span, whatever it did
    const span = this.journal?.scope.isReplayed === false ? this.liveSpan() : this.span
    span?.end(outcome)
    this.parent?.addNestedUsage(
      outcome._tag === "Completed" ? outcome.result.totalUsage : outcome.partial.totalUsage
    )
  }

  // --- what the body may use --------------------------------------------------

  /** Adds the usage of a run that is nested in a tool of this run. */
  addNestedUsage(usage: AgentRun.Usage): void {
    this.nestedUsage = AgentRun.addUsage(this.nestedUsage, usage)
  }

  error(reason: AgentError.AgentErrorReason): AgentError.AgentError {
    return AgentError.make(this.definition.name, reason)
  }

  /** The context with the model of the agent's caller, if the agent brings its own. */
  get outside(): Context.Context<never> | undefined {
    const caller = this.within?.caller
    if (caller === undefined) return undefined
    const outside = OwnModel.withModelOf(this.context, caller)
    return this.journal?.provide(outside) ?? outside
  }

  private budget(): Duration.Input {
    return this.surroundings.finalizationBudget
  }

  /** The request that providers receive. */
  request(): Started.Told {
    const { answers, continues, definition, prompt, session } = this
    return { agent: definition.name, session, prompt, answers, continues }
  }

  /** A guardrail has refused the prompt, so a note replaces it, also in the requests that providers have received. */
  refuse(guardrail: string): void {
    this.prompt = Replacements.refusePrompt(this.prompt, guardrail)
    for (const { request } of this.started) request.prompt = this.prompt
  }

  private partial(): AgentRun.Partial {
    const partial = this.body?.partial()
    const runId = this.id === "" ? undefined : this.id
    return partial === undefined
      ? Partial.beforeBody(runId, this.prompt, this.nestedUsage)
      : { runId, ...partial, totalUsage: AgentRun.addUsage(partial.usage, this.nestedUsage) }
  }

  private record(name: string, what: string, cause: Cause.Cause<unknown> | undefined): Effect.Effect<void> {
    this.span?.onFinalizerFailure(name, cause)
    return Recorded.log(`The ${what} of \`${name}\``, cause, this.span?.capturesContent === false, this.context)
  }
}
