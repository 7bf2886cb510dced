/**
 * Reads a web stream in a plain promise loop, so that a fiber is not suspended for
 * every part of a response.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"

/**
 * How many parts are read ahead of the consumer.
 *
 * Beyond it nothing is read, the stream fills up, and at last the socket.
 *
 * @category constants
 * @since 0.1.0
 */
export const highWaterMark = 128

// A source that gives its parts one at a time is left to run ahead after so many pulls that found a single part.
const patience = 4

/**
 * The parts of a stream that have come and were not taken yet.
 *
 * @category models
 * @since 0.1.0
 */
export class Pump<A> {
  /** Whether the stream has ended or failed: nothing more will be read. */
  ended = false
  /** What the stream failed with. */
  failure: { readonly error: unknown } | undefined = undefined
  private buffer: Array<A> = []
  private reading = false
  private singles = 0
  private wake: (() => void) | undefined = undefined
  private readonly reader: ReadableStreamDefaultReader<A>

  constructor(stream: ReadableStream<A>) {
    this.reader = stream.getReader()
  }

  /** Returns all that has come, and reads on. */
  take(): ReadonlyArray<A> {
    const taken = this.buffer
    if (taken.length > 0) {
      this.buffer = []
      this.singles = taken.length === 1 ? this.singles + 1 : 0
    }
    if (!this.reading && !this.ended) this.read()
    return taken
  }

  /** Waits until there is something to take, or the stream has ended. */
  readonly wait: Effect.Effect<void> = Effect.suspend(() =>
    this.singles > patience ? Effect.andThen(this.arrival, Effect.yieldNow) : this.arrival
  )

  /** Gives the stream up. The promise is settled when whatever is behind the stream has been told. */
  cancel(): Promise<unknown> {
    this.ended = true
    return this.reader.cancel()
  }

  private readonly arrival = Effect.callback<void>((resume) => {
    if (this.buffer.length > 0 || this.ended) resume(Effect.void)
    else this.wake = () => resume(Effect.void)
  })

  private read(): void {
    this.reading = true
    this.reader.read().then(this.onRead, this.onFailure)
  }

  private readonly onRead = (result: ReadableStreamReadResult<A>): void => {
    if (result.done) {
      this.ended = true
    } else {
      this.buffer.push(result.value)
    }
    if (this.ended || this.buffer.length >= highWaterMark) this.reading = false
    else this.read()
    this.signal()
  }

  private readonly onFailure = (error: unknown): void => {
    this.failure = { error }
    this.ended = true
    this.reading = false
    this.signal()
  }

  private signal(): void {
    const { wake } = this
    this.wake = undefined
    wake?.()
  }
}
