/**
 * Retries of model calls, with the same model or with another one.
 *
 * Everything here is a `Middleware` around one model call of a run. A call that is tried again is still one step. Tools
 * that ran are not repeated. Telemetry shows one operation, with the requests of every attempt below it.
 *
 * A failed attempt is tried again only if the model had not begun to answer. After that the consumer has already seen
 * parts of the answer, so the failure is the failure of the run, unless `afterParts` says otherwise. The usage of a
 * failed attempt is counted.
 *
 * A run that is interrupted during the wait between two attempts ends as Interrupted.
 *
 * **Example** (Three attempts, then another model)
 *
 * ```ts
 * import { Console, Context, Effect, ExecutionPlan } from "effect"
 * import { AiError } from "effect/ai"
 * import { Agent, ModelFallback } from "effect-agents"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const plan = ExecutionPlan.make(
 *   // the model of the agent
 *   { provide: Context.empty(), attempts: 3, schedule: ModelFallback.backoff({ base: "1 milli" }) },
 *   { provide: ScriptedModel.layer([ScriptedModel.text("Hello from the second.")]) }
 * )
 *
 * const assistant = Agent.make("assistant", { middleware: [ModelFallback.make(plan)] })
 *
 * const overloaded = ScriptedModel.fail(new AiError.InternalProviderError({ description: "Overloaded" }))
 *
 * const program = Effect.gen(function*() {
 *   const { text } = yield* Agent.run(assistant, { prompt: "Hello?" })
 *   yield* Console.log(text)
 * })
 *
 * Effect.runPromise(Effect.provide(program, ScriptedModel.layer([overloaded, overloaded, overloaded])))
 * // => Hello from the second.
 * ```
 *
 * @since 0.1.0
 */
import * as AiError from "effect/ai/AiError"
import type * as LanguageModel from "effect/ai/LanguageModel"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ExecutionPlan from "effect/ExecutionPlan"
import * as Exit from "effect/Exit"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Pull from "effect/Pull"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import type * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import * as GenAi from "./internal/telemetry/genAi.ts"
import { Instrumentation } from "./internal/telemetry/instrumentation.ts"
import * as Parts from "./internal/words/responseParts.ts"
import * as RetryAfter from "./internal/model/retryAfter.ts"
import type { StreamPart } from "./internal/words/stepBuilder.ts"
import * as Middleware from "./Middleware.ts"

// -----------------------------------------------------------------------------
// Models
// -----------------------------------------------------------------------------

/**
 * How attempts are made.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * Also tries again after parts of the answer were emitted. They are not taken back: the consumer has seen them, the
   * transcript keeps them, and the next attempt begins anew after them. Tool calls, and everything after the first tool
   * call, are held back until the attempt has ended well; the tool calls of a failed attempt are not made. Default:
   * `false`.
   */
  readonly afterParts?: boolean | undefined
}

/**
 * How long to wait between two attempts.
 *
 * @category models
 * @since 0.1.0
 */
export interface BackoffOptions {
  /** The first wait. It doubles with each attempt, and varies a little. Default: half a second. */
  readonly base?: Duration.Input | undefined
  /** The longest wait, unless the provider asks for a longer one. Default: half a minute. */
  readonly maximum?: Duration.Input | undefined
  /** The longest wait that a provider may ask for. If it asks for more, the schedule ends. Default: one minute. */
  readonly patience?: Duration.Input | undefined
}

/**
 * A rate, in the form of effect's `RateLimiter`. A call beyond the rate waits, or fails with `onExceeded: "fail"`.
 *
 * @category models
 * @since 0.1.0
 */
export type Rate = Parameters<RateLimiter.RateLimiter["consume"]>[0]

// -----------------------------------------------------------------------------
// Constructors
// -----------------------------------------------------------------------------

/**
 * Creates a middleware that makes each model call according to an `ExecutionPlan`.
 *
 * **Details**
 *
 * A step of the plan provides its own model. With `Context.empty()` it uses the model of the agent. The plan sees the
 * failures of the model, including a failure that comes as an `error` part. A failure of an inner middleware is not
 * tried again.
 *
 * A failed attempt that was billed leaves a `finish` part with reason `unknown` and its usage, whatever comes after it.
 *
 * **Gotchas**
 *
 * As in every `ExecutionPlan`, the `while` and the `schedule` of a later step are evaluated for the failure before it.
 * With `isRetryable` as its `while` a second model is not called after the first has refused its key. With a `schedule`
 * it is called after a wait.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <Provides, Input, E, R>(
  plan:
    & ExecutionPlan.ExecutionPlan<{ provides: Provides; input: Input; error: E; requirements: R }>
    // The type of a plan says which failures its conditions and schedules can look at: those of a model must be among
    // them.
    & ([AiError.AiError] extends [Input] ? unknown : never),
  options: Options = {}
): Middleware.Middleware<AiError.AiError | E, LanguageModel.LanguageModel | R> =>
  Middleware.make("model-fallback", {
    model: (request, next) =>
      Stream.unwrap(Effect.map(Effect.context<never>(), (context) => {
        // The plan accepts an `AiError`, see its type.
        const attempts = attempt(next(request), options.afterParts === true) as Stream.Stream<
          StreamPart | Broken,
          AiError.AiError & Input,
          LanguageModel.LanguageModel | Middleware.InnerServices
        >
        const observe = observer(context)
        const planned = Stream.withExecutionPlan(attempts, plan, observe === undefined ? {} : { onEvent: observe })
        // The causes that went past the plan are those of an inner middleware or of the model.
        return whole(planned) as Stream.Stream<
          StreamPart,
          AiError.AiError | E | Middleware.InnerError,
          LanguageModel.LanguageModel | R | Middleware.InnerServices
        >
      }))
  })

/**
 * Creates a middleware that tries a model call again with the same model, following a schedule. A failure that is not
 * retryable is not tried again. A provider's `retry-after` is respected by schedules that look at it, such as
 * `backoff`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const retry = <Output, E, R>(
  schedule: Schedule.Schedule<Output, AiError.AiError, E, R>,
  options?: Options
): Middleware.Middleware<AiError.AiError | E, LanguageModel.LanguageModel | R> =>
  make(
    ExecutionPlan.make({
      provide: Context.empty(),
      schedule,
      while: (error: AiError.AiError) => error.isRetryable
    }),
    options
  )

/**
 * Creates a schedule for failed model calls. Its waits grow exponentially, and are never shorter than the provider asks
 * for (`retryAfter`, or the `retry-after` header of its response). It ends at a failure that is not retryable. It does
 * not limit the number of attempts: do that in a plan, or with `Schedule.upTo`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const backoff = (options: BackoffOptions = {}): Schedule.Schedule<Duration.Duration, AiError.AiError> => {
  const maximum = Duration.fromInputUnsafe(options.maximum ?? "30 seconds")
  const patience = Duration.fromInputUnsafe(options.patience ?? "1 minute")
  return Schedule.exponential(options.base ?? "500 millis").pipe(
    Schedule.setInputType<AiError.AiError>(),
    Schedule.while(({ input, now }) => input.isRetryable && Duration.isLessThanOrEqualTo(wish(input, now), patience)),
    Schedule.jittered,
    Schedule.modifyDelay(({ duration, input, now }) =>
      Effect.succeed(Duration.max(Duration.min(duration, maximum), wish(input, now)))
    )
  )
}

/** Overloaded providers ask for a wait in a header. Only the reason of a rate limit has a field for it. */
const wish = ({ reason, retryAfter }: AiError.AiError, now: number): Duration.Duration => {
  const headers = "http" in reason ? reason.http?.response?.headers : undefined
  return retryAfter ?? RetryAfter.fromHeaders(headers ?? {}, now) ?? Duration.zero
}

/**
 * Creates a middleware that keeps model calls within a rate. Placed after `make` in the list of an agent it counts
 * every attempt, placed before `make` it counts every call.
 *
 * @category constructors
 * @since 0.1.0
 */
export const limitRate = (
  rate: Rate
): Middleware.Middleware<
  AiError.AiError | RateLimiter.RateLimiterError,
  LanguageModel.LanguageModel | RateLimiter.RateLimiter
> =>
  Middleware.make("model-rate", {
    model: (request, next) =>
      Stream.unwrap(Effect.gen(function*() {
        const limiter = yield* RateLimiter.RateLimiter
        const { delay } = yield* limiter.consume({ onExceeded: "delay", ...rate })
        if (!Duration.isZero(delay)) yield* Effect.sleep(delay)
        return next(request)
      }))
  })

/**
 * Creates a middleware that holds a permit of a semaphore while a model answers. All agents with the same semaphore
 * share it. Tools run without the permit.
 *
 * @category constructors
 * @since 0.1.0
 */
export const limitConcurrency = (
  semaphore: Semaphore.Semaphore
): Middleware.Middleware<AiError.AiError, LanguageModel.LanguageModel> =>
  Middleware.make("model-concurrency", {
    model: (request, next) =>
      Stream.fromChannel(
        // The scope of the channel ends with the call; the scope of `Stream.unwrap` may end later.
        Channel.fromTransformBracket((_upstream, _outer, scope) =>
          Effect.uninterruptibleMask((restore) =>
            restore(semaphore.take(1)).pipe(
              Effect.andThen(Scope.addFinalizer(scope, semaphore.release(1))),
              Effect.andThen(restore(Channel.toPullScoped(Stream.toChannel(next(request)), scope)))
            )
          )
        )
      )
  })

// -----------------------------------------------------------------------------
// Attempts
// -----------------------------------------------------------------------------

/** A failure that the plan must not see. It passes the plan as an element of the stream. */
class Broken {
  readonly cause: Cause.Cause<unknown>

  constructor(cause: Cause.Cause<unknown>) {
    this.cause = cause
  }
}

type Attempt = Pull.Pull<
  Arr.NonEmptyReadonlyArray<StreamPart | Broken>,
  AiError.AiError,
  void,
  LanguageModel.LanguageModel | Middleware.InnerServices
>

/**
 * One attempt. Its parts are held back until the answer begins, so that a failed attempt leaves nothing but its usage.
 * Its resources are closed when it ends, before the next attempt begins.
 */
const attempt = <E>(
  stream: Stream.Stream<StreamPart, E, LanguageModel.LanguageModel | Middleware.InnerServices>,
  afterParts: boolean
): Stream.Stream<StreamPart | Broken, AiError.AiError, LanguageModel.LanguageModel | Middleware.InnerServices> =>
  Stream.fromChannel(
    Channel.fromTransformBracket((_upstream, _outer, scope) =>
      Effect.map(Channel.toPullScoped(Stream.toChannel(stream), scope), (upstream) => {
        let held: Array<StreamPart> = []
        let begun = false
        let end: Attempt | undefined

        const last = (elements: ReadonlyArray<StreamPart | Broken>, then: Attempt): Attempt => {
          end = then
          return Arr.isReadonlyArrayNonEmpty(elements) ? Exit.succeed(elements) : then
        }

        const onFailure = (cause: Cause.Cause<unknown>): Attempt => {
          if (Pull.isDoneCause(cause)) return last(held, Cause.done())
          if (!isOfModel(cause) || (begun && !afterParts)) {
            return last([...spent(held), new Broken(cause)], Cause.done())
          }
          return last(spent(held), Exit.failCause(cause))
        }

        const onParts = (parts: Arr.NonEmptyReadonlyArray<StreamPart>): Attempt => {
          if (begun && !afterParts) return Exit.succeed(parts)
          if (begun ? held.length > 0 : parts.every(isNoAnswer)) {
            for (const part of parts) held.push(part)
            return pull
          }
          begun = true
          const all = [...held, ...parts]
          held = []
          if (!afterParts) return Exit.succeed(all as [StreamPart, ...Array<StreamPart>])
          const call = all.findIndex(isOwnCall)
          const shown = call === -1 ? all : all.slice(0, call)
          held = all.slice(shown.length)
          return Arr.isReadonlyArrayNonEmpty(shown) ? Exit.succeed(shown) : pull
        }

        const handlers = { onSuccess: onParts, onFailure }
        const pull: Attempt = Effect.suspend(() => end ?? Effect.matchCauseEffect(upstream, handlers))
        return pull
      })
    )
  )

/** A tool call that the run would execute, in an attempt that may still fail. */
const isOwnCall = (part: StreamPart): boolean => part.type === "tool-call" && !part.providerExecuted

/** Parts that may come before an answer. An attempt with only these has said nothing. */
const isNoAnswer = (part: StreamPart): boolean => part.type === "response-metadata" || part.type === "finish"

const isOfModel = (cause: Cause.Cause<unknown>): cause is Cause.Cause<AiError.AiError> =>
  cause.reasons.length > 0 &&
  cause.reasons.every((reason) => Cause.isFailReason(reason) && AiError.isAiError(reason.error))

/** The usage of a failed attempt. */
const spent = (held: ReadonlyArray<StreamPart>): ReadonlyArray<StreamPart> =>
  held.flatMap((part) => part.type === "finish" ? [Parts.finish("unknown", part.usage, part.metadata)] : [])

/** The stream of all attempts, including the failures that went past the plan. */
const whole = <E, R>(stream: Stream.Stream<StreamPart | Broken, E, R>): Stream.Stream<StreamPart, unknown, R> =>
  Stream.transformPull(stream, (pull) => {
    let failure: Exit.Exit<never, unknown> | undefined
    const onParts = (
      elements: Arr.NonEmptyReadonlyArray<StreamPart | Broken>
    ): Pull.Pull<Arr.NonEmptyReadonlyArray<StreamPart>, unknown> => {
      const broken = elements[elements.length - 1]
      // An element of this kind comes alone, as the last one.
      if (!(broken instanceof Broken)) return Exit.succeed(elements as Arr.NonEmptyReadonlyArray<StreamPart>)
      failure = Exit.failCause(broken.cause)
      const parts = elements.slice(0, -1) as ReadonlyArray<StreamPart>
      return Arr.isReadonlyArrayNonEmpty(parts) ? Exit.succeed(parts) : failure
    }
    const given = Effect.flatMap(pull, onParts)
    return Effect.succeed(Effect.suspend(() => failure ?? given))
  })

// -----------------------------------------------------------------------------
// Telemetry
// -----------------------------------------------------------------------------

/** Records failed attempts on the span of their call, if the run has telemetry. */
const observer = (
  context: Context.Context<never>
): ((event: ExecutionPlan.Event<unknown>) => Effect.Effect<void>) | undefined => {
  const span = Context.getOrUndefined(context, Tracer.ParentSpan)
  if (span?._tag !== "Span" || Context.getOrUndefined(context, Instrumentation) === undefined) return undefined
  const clock = Context.get(context, Clock.Clock)
  return (event) =>
    Effect.sync(() => {
      if (event._tag !== "AttemptFailure") return
      span.event("effect_agents.attempt_failed", clock.currentTimeNanosUnsafe(), {
        "effect_agents.attempt": event.attempt,
        [GenAi.Attribute.errorType]: GenAi.errorTypeOfCause(event.cause)
      })
    })
}
