/**
 * Reads single elements in a plain promise loop, so that a fiber is not suspended for every part of a response.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"

/**
 * The number of parts that are read ahead of the consumer.
 *
 * When it is reached nothing is read, so the buffers behind the source fill up, and finally the socket.
 *
 * @category constants
 * @since 0.1.0
 */
export const highWaterMark = 512

// After this many microtasks without an element, those that have come are taken together: what one read of a socket
// holds comes in the same task, one element every few microtasks. A fast source gives them in arrays of this size.
const quietTicks = 8
const arraySize = 128

// A source that gave so many elements at once gets one turn of the event loop before each pull.
const fast = 16

// After this many pulls that found a single element, a slow source gets one turn of the event loop before each pull.
const patience = 8

const tick = Promise.resolve()

/**
 * A source of single elements: an async iterator, or the reader of a web stream.
 *
 * @category models
 * @since 0.1.0
 */
export interface Source<A> {
  readonly next: () => PromiseLike<Item<A>>
}

type Item<A> = { readonly done?: false | undefined; readonly value: A } | { readonly done: true }

/**
 * The elements that have come from a source and were not taken yet.
 *
 * @category models
 * @since 0.1.0
 */
export class Pump<A> {
  /** Whether the source has ended or failed, so that nothing more is read. */
  ended = false
  /** The failure of the source. */
  failure: { readonly error: unknown } | undefined = undefined
  /** Whether an element was requested from the source that has not come yet. */
  isReading = false
  private buffer: Array<A> = []
  /** The number of elements that were taken last, and that the consumer may not have read yet. */
  private given = 0
  private isFast = false
  /** The number of consecutive pulls that found a single element. */
  private singles = 0
  private wake: (() => void) | undefined = undefined
  /** The number of microtasks since the last element, while somebody waits. */
  private quiet = 0
  private isSettling = false
  private readonly source: Source<A>
  private readonly giveUp: () => Promise<unknown>

  /** The promise of `giveUp` settles when the source knows that nothing more is wanted. */
  constructor(source: Source<A>, giveUp: () => Promise<unknown>) {
    this.source = source
    this.giveUp = giveUp
  }

  /** Returns all elements that have come, and reads on. */
  take(): ReadonlyArray<A> {
    const taken = this.buffer
    this.given = taken.length
    if (taken.length > 0) {
      this.buffer = []
      this.isFast = taken.length >= fast
      if (this.singles <= patience) this.singles = taken.length === 1 ? this.singles + 1 : 0
      // the extra turn has brought nothing
      else if (taken.length === 1) this.singles = 0
    }
    if (!this.isReading && !this.ended) this.fill().then(undefined, this.onFailure)
    return taken
  }

  /** Waits until there is something to take, or until the source has ended. */
  readonly wait: Effect.Effect<void> = Effect.suspend(() =>
    this.isFast || this.singles > patience ? Effect.andThen(Effect.yieldNow, this.arrival) : this.arrival
  )

  /** Gives up the source. */
  cancel(): Promise<unknown> {
    this.ended = true
    return this.giveUp()
  }

  /** Calls the function once, when there is something to take or the source has ended. */
  onArrival(wake: () => void): void {
    if (this.buffer.length > 0 || this.ended) wake()
    else this.wake = wake
  }

  private readonly arrival = Effect.callback<void>((resume) => this.onArrival(() => resume(Effect.void)))

  private async fill(): Promise<void> {
    const { source } = this
    this.isReading = true
    while (!this.ended && this.given + this.buffer.length < highWaterMark) {
      const item = await source.next()
      if (item.done) this.ended = true
      else this.buffer.push(item.value)
      this.quiet = 0
      if (this.wake !== undefined && !this.isSettling) this.settle()
    }
    this.isReading = false
  }

  private readonly settle = (): void => {
    const isReady = this.ended || this.buffer.length >= arraySize || this.quiet++ >= quietTicks
    this.isSettling = !isReady
    if (isReady) this.signal()
    else tick.then(this.settle)
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
