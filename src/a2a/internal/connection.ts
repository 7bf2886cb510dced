/**
 * A task of another agent, as a client of the SDK follows it.
 *
 * @since 0.1.0
 */
import type * as Sdk from "@a2a-js/sdk"
import type * as SdkClient from "@a2a-js/sdk/client"
import * as SdkErrors from "@a2a-js/sdk/errors"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as A2aError from "../A2aError.ts"

/**
 * The updates of a task. They come one by one, and `undefined` after the last one.
 *
 * @category models
 * @since 0.1.0
 */
export class Connection {
  private readonly abort = new AbortController()
  private readonly updates: AsyncIterator<Sdk.StreamResponse>
  /** The request for the next update, which goes on when nobody waits for it any more. */
  private pending: Promise<IteratorResult<Sdk.StreamResponse>> | undefined = undefined

  /** `open` begins to follow the task. */
  constructor(open: (signal: AbortSignal) => AsyncIterable<Sdk.StreamResponse>) {
    this.updates = open(this.abort.signal)[Symbol.asyncIterator]()
  }

  readonly next: Effect.Effect<Sdk.StreamResponse | undefined, A2aError.A2aError> = Effect.tryPromise({
    try: () => this.pending ??= this.updates.next(),
    catch: toError
  }).pipe(
    Effect.map((result) => {
      this.pending = undefined
      return result.done === true ? undefined : result.value
    })
  )

  /** Waits until the other end has nothing more to say, so that the connection can be used again. */
  readonly drain: Effect.Effect<void> = Effect.ignore(
    Effect.repeat(this.next, { until: (update) => update === undefined })
  )

  /** Closes the connection. The task goes on. */
  readonly close: Effect.Effect<void> = Effect.sync(() => this.abort.abort())
}

/**
 * Calls the client, and stops the request when it is interrupted.
 *
 * @category running
 * @since 0.1.0
 */
export const call = <A>(
  use: (options: SdkClient.RequestOptions) => Promise<A>
): Effect.Effect<A, A2aError.A2aError> => Effect.tryPromise({ try: (signal) => use({ signal }), catch: toError })

/**
 * Returns the reason of a failed request. The SDK tells most of them by their text alone.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toError = (error: unknown): A2aError.A2aError => {
  if (error instanceof SdkErrors.A2AError) return A2aError.make(refused(error))
  const cause = Predicate.isError(error) ? error.cause : undefined
  if (cause instanceof SdkErrors.A2AError) return A2aError.make(refused(cause))
  const message = Predicate.isError(error) ? error.message : String(error)
  const [, status] = /^(?:HTTP error|Failed to fetch Agent Card).*?: ?([45]\d\d)\b/s.exec(message) ?? []
  if (status !== undefined) {
    const description = `The agent answered with the status ${status}.`
    return A2aError.make(new A2aError.RequestRefused({ code: `HTTP_${status}`, description }))
  }
  // `fetch` fails with a `TypeError`, also while the body is read
  return isLost(error, message)
    ? A2aError.make(new A2aError.ConnectionLost({ cause: error }))
    : A2aError.make(new A2aError.InvalidResponse({ description: "it could not be read", cause: error }))
}

const isLost = (error: unknown, message: string): boolean =>
  error instanceof TypeError ? /fetch|terminated|network|aborted/i.test(message) : /aborted|socket|ECONN/i.test(message)

const refused = (error: InstanceType<typeof SdkErrors.A2AError>): A2aError.RequestRefused =>
  new A2aError.RequestRefused({ code: codeOf(error), description: error.message })

/** The agents of this package have codes of their own, which say more. */
const codeOf = (error: InstanceType<typeof SdkErrors.A2AError>): string => {
  const details = SdkErrors.isJsonRpcError(error) && Array.isArray(error.data) ? error.data : [error]
  for (const detail of details) {
    const metadata = Predicate.hasProperty(detail, "metadata") ? detail.metadata : undefined
    if (Predicate.hasProperty(metadata, "code") && Predicate.isString(metadata.code)) return metadata.code
  }
  return error.reason
}
