/**
 * One call of a model: its abort signal, its span, and the translation of its errors.
 *
 * @since 0.1.0
 */
import type * as AiError from "effect/ai/AiError"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Tracer from "effect/Tracer"
import * as Errors from "./errors.ts"
import * as Http from "./http.ts"
import * as Secrets from "./secrets.ts"

/**
 * A call in progress.
 *
 * @category models
 * @since 0.1.0
 */
export class Call {
  /** Whether the model has begun to answer. */
  answering = false
  private readonly controller = new AbortController()
  private readonly provider: string
  private readonly method: string
  private readonly context: Context.Context<never>
  private readonly http: Http.Call
  private readonly model: unknown

  constructor(options: {
    readonly model: { readonly provider: string }
    readonly method: string
    readonly context: Context.Context<never>
    readonly span: Tracer.Span
    readonly headers: Readonly<Record<string, string>> | undefined
  }) {
    // the name that the provider uses in its metadata
    this.provider = options.model.provider.split(".")[0]
    this.model = options.model
    this.method = options.method
    this.context = options.context
    this.http = new Http.Call(options.context, options.span, options.headers)
    Http.register(this.signal, this.http)
  }

  /** The signal for the provider, which passes it on to its requests. */
  get signal(): AbortSignal {
    return this.controller.signal
  }

  /** Aborts the call. */
  abort(): void {
    this.controller.abort()
  }

  /** Records the address of the request, if the provider reports it. */
  setUrl(url: string | undefined): void {
    if (url !== undefined && URL.canParse(url)) this.http.setAddress(new URL(url))
  }

  /** Waits for a promise of the provider. The caller has to abort the call. */
  wait<A>(promise: () => PromiseLike<A>): Effect.Effect<A, AiError.AiError> {
    return Effect.callback((resume) => {
      promise().then(
        (value) => resume(Effect.succeed(value)),
        (error) => resume(Effect.suspend(() => Effect.fail(this.error(error))))
      )
    })
  }

  /** Translates an error of the provider. */
  error(error: unknown): AiError.AiError {
    return Errors.make(error, this.origin())
  }

  /** The failure of a response that was cut. */
  truncated(): AiError.AiError {
    return Errors.truncated(this.origin())
  }

  /** Removes keys from a text. */
  redact(text: string): string {
    return Secrets.redact(text, this.secrets())
  }

  private secrets(): ReadonlyArray<string> {
    return [...this.http.secrets, ...Secrets.ofModel(this.model)]
  }

  private origin(): Errors.Origin {
    return {
      method: this.method,
      provider: this.provider,
      secrets: this.secrets(),
      url: this.http.url,
      answering: this.answering,
      now: Context.get(this.context, Clock.Clock).currentTimeMillisUnsafe()
    }
  }
}

/**
 * Turns the result of a provider's function into a promise, also when the function throws.
 *
 * @category running
 * @since 0.1.0
 */
export const promise = <A>(f: () => PromiseLike<A>): Promise<A> => {
  const made = Result.try(f)
  return Result.isSuccess(made) ? Promise.resolve(made.success) : Promise.reject(made.failure)
}
