/**
 * Reads what comes one by one in a plain promise loop, so that a fiber is not
 * suspended for every part of a response.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"

/**
 * How many parts are read ahead of the consumer.
 *
 * Beyond it nothing is read, what is behind the source fills up, and at last the socket.
 *
 * @category constants
 * @since 0.1.0
 */
export const highWaterMark = 512

// A source that gives its elements one at a time is left a turn of the event loop before each pull, after so many
// pulls that found a single one.
const patience = 8

/**
 * What is read one by one: the reader of a web stream, or an async iterator.
 *
 * @category models
 * @since 0.1.0
 */
export interface Source<A> {
  readonly read: () => PromiseLike<Item<A>>
  /** Settled when whatever is behind the source has been told that no more is wanted. */
  readonly cancel: () => Promise<unknown>
}

type Item<A> = { readonly done?: false | undefined; readonly value: A } | { readonly done: true }

/**
 * The source that is a web stream.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromReadableStream = <A>(stream: ReadableStream<A>): Source<A> => {
  const reader = stream.getReader()
  return { read: () => reader.read() as Promise<Item<A>>, cancel: () => reader.cancel() }
}

/**
 * The source that is an async iterable, from its beginning.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromAsyncIterable = <A>(iterable: AsyncIterable<A>): Source<A> => {
  const iterator = iterable[Symbol.asyncIterator]()
  return {
    read: () => iterator.next() as Promise<Item<A>>,
    cancel: () => Promise.resolve().then(() => iterator.return?.())
  }
}

/**
 * What has come from a source and was not taken yet.
 *
 * @category models
 * @since 0.1.0
 */
export class Pump<A> {
  /** Whether the source has ended or failed: nothing more will be read. */
  ended = false
  /** What the source failed with. */
  failure: { readonly error: unknown } | undefined = undefined
  /** Whether the source has been asked for an element that has not come yet. */
  isReading = false
  private buffer: Array<A> = []
  /** How many pulls one after the other found a single element. */
  private singles = 0
  private wake: (() => void) | undefined = undefined
  private readonly source: Source<A>

  constructor(source: Source<A>) {
    this.source = source
  }

  /** Returns all that has come, and reads on. */
  take(): ReadonlyArray<A> {
    const taken = this.buffer
    if (taken.length > 0) {
      this.buffer = []
      if (this.singles <= patience) this.singles = taken.length === 1 ? this.singles + 1 : 0
      // the turn was left for nothing
      else if (taken.length === 1) this.singles = 0
    }
    if (!this.isReading && !this.ended) this.fill().then(undefined, this.onFailure)
    return taken
  }

  /** Waits until there is something to take, or the source has ended. */
  readonly wait: Effect.Effect<void> = Effect.suspend(() =>
    this.singles > patience ? Effect.andThen(Effect.yieldNow, this.arrival) : this.arrival
  )

  /** Gives the source up. */
  cancel(): Promise<unknown> {
    this.ended = true
    return this.source.cancel()
  }

  private readonly arrival = Effect.callback<void>((resume) => {
    if (this.buffer.length > 0 || this.ended) resume(Effect.void)
    else this.wake = () => resume(Effect.void)
  })

  private async fill(): Promise<void> {
    const { read } = this.source
    this.isReading = true
    while (!this.ended && this.buffer.length < highWaterMark) {
      const item = await read()
      if (item.done) this.ended = true
      else this.buffer.push(item.value)
      this.signal()
    }
    this.isReading = false
  }

  private readonly onFailure = (error: unknown): void => {
    this.failure = { error }
    this.ended = true
    this.isReading = false
    this.signal()
  }

  private signal(): void {
    const { wake } = this
    this.wake = undefined
    wake?.()
  }
}
