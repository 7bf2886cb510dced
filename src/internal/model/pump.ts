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
 * What is read one by one: an async iterator, or the reader of a web stream.
 *
 * @category models
 * @since 0.1.0
 */
export interface Source<A> {
  readonly next: () => PromiseLike<Item<A>>
}

type Item<A> = { readonly done?: false | undefined; readonly value: A } | { readonly done: true }

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
  private readonly giveUp: () => Promise<unknown>

  /** The promise of `giveUp` is settled when whatever is behind the source has been told that no more is wanted. */
  constructor(source: Source<A>, giveUp: () => Promise<unknown>) {
    this.source = source
    this.giveUp = giveUp
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
    return this.giveUp()
  }

  private readonly arrival = Effect.callback<void>((resume) => {
    if (this.buffer.length > 0 || this.ended) resume(Effect.void)
    else this.wake = () => resume(Effect.void)
  })

  private async fill(): Promise<void> {
    const { source } = this
    this.isReading = true
    while (!this.ended && this.buffer.length < highWaterMark) {
      const item = await source.next()
      if (item.done) this.ended = true
      else this.buffer.push(item.value)
      if (this.wake !== undefined) this.signal()
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

/**
 * Reads a web stream.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromReadableStream = <A>(stream: ReadableStream<A>): Pump<A> => {
  const reader = stream.getReader()
  return new Pump({ next: () => reader.read() as Promise<Item<A>> }, () => reader.cancel())
}

/**
 * Reads an async iterable from its beginning.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromAsyncIterable = <A>(iterable: AsyncIterable<A>): Pump<A> => {
  const iterator = iterable[Symbol.asyncIterator]()
  return new Pump(iterator as Source<A>, () => Promise.resolve().then(() => iterator.return?.()))
}
