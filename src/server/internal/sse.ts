/**
 * Server-sent events: the parts of a run as the clients of effect's `HttpApi` read them, whose own encoder costs twice as
 * much a part, and the objects of other wires.
 *
 * @since 0.1.0
 */

import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Sse from "effect/encoding/Sse"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import type * as Pull from "effect/Pull"
import * as Schema from "effect/Schema"
import * as SchemaParser from "effect/SchemaParser"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Stream from "effect/Stream"
import * as AgentRun from "../../AgentRun.ts"
import * as AgentApi from "../AgentApi.ts"
import type * as RunHub from "../RunHub.ts"
import * as JsonText from "./jsonText.ts"

const encodePart = SchemaParser.encodeUnknownEffect(AgentRun.parts())

const encodeCause = Schema.encodeUnknownEffect(
  Schema.fromJsonString(Schema.toCodecJson(Schema.Cause(AgentApi.RunFailed, Schema.Defect())))
)

/** The name that the clients of `HttpApi` know a failure by. */
const failureEvent = "effect/http-api/stream/failure"

/**
 * Returns the events of a run as text. It never fails: a run that fails or is interrupted ends with an event that says
 * so.
 *
 * @category conversions
 * @since 0.1.0
 */
export const events = <E, R>(parts: Stream.Stream<RunHub.Numbered, E, R>): Stream.Stream<string, never, R> =>
  encoded(parts).pipe(
    written(({ part, seq }) => JsonText.pieces(`id: ${seq}\ndata: `, part, "\n\n")),
    Stream.catchCause((cause) => Stream.fromEffect(failure(cause)))
  )

/** A part as JSON with its number. */
type Numbered = RunHub.Numbered<unknown>

/** The stream ends with a part that is not JSON. All parts before it come first, also those of its own array. */
const encoded = <E, R>(parts: Stream.Stream<RunHub.Numbered, E, R>) =>
  Stream.transformPull(parts, (upstream) =>
    Effect.sync(() => {
      let broken: Exit.Exit<never, unknown> | undefined
      const pull: Pull.Pull<Arr.NonEmptyReadonlyArray<Numbered>, unknown, void, R> = Effect.suspend(() =>
        broken ?? Effect.flatMap(upstream, (numbered) => {
          const encoded: Array<Numbered> = []
          const from = (start: number): typeof pull => {
            for (let index = start; index < numbered.length; index++) {
              const { part, seq } = numbered[index]
              const exit = encodePart(part)
              // a part that needs no more than its schema is encoded at once
              if (!Exit.isExit(exit)) return Effect.flatMap(Effect.exit(exit), (exit) => after(index, exit))
              if (Exit.isFailure(exit)) return after(index, exit)
              encoded.push({ seq, part: exit.value })
            }
            return Arr.isArrayNonEmpty(encoded) ? Effect.succeed(encoded) : pull
          }
          const after = (index: number, exit: Exit.Exit<unknown, unknown>): typeof pull => {
            if (Exit.isSuccess(exit)) {
              encoded.push({ seq: numbered[index].seq, part: exit.value })
              return from(index + 1)
            }
            broken = Exit.failCause(exit.cause)
            return Arr.isArrayNonEmpty(encoded) ? Effect.succeed(encoded) : broken
          }
          return from(0)
        })
      )
      return pull
    }))

/**
 * Writes values as text: those of an array together, up to `size` characters, and the rest when it is pulled. So a
 * consumer that stops holds no more than that of what it has not read.
 */
const written = <A>(write: (value: A) => Iterable<string>) => <E, R>(self: Stream.Stream<A, E, R>) =>
  Stream.transformPull(self, (upstream) =>
    Effect.sync(() => {
      let texts: Iterator<string> = [].values()
      const pull: Pull.Pull<Arr.NonEmptyReadonlyArray<string>, E, void, R> = Effect.suspend(() => {
        let text = ""
        for (let next = texts.next(); next.done !== true; next = texts.next()) {
          text += next.value
          if (text.length >= size) break
        }
        return text === "" ? more : Effect.succeed([text] as const)
      })
      const more = Effect.flatMap(upstream, (values) => {
        texts = writeEach(values, write)
        return pull
      })
      return pull
    }))

function* writeEach<A>(values: ReadonlyArray<A>, write: (value: A) => Iterable<string>): Generator<string> {
  for (const value of values) yield* write(value)
}

const size = 16 * 1024

const failure = (cause: Cause.Cause<unknown>): Effect.Effect<string> =>
  encodeCause(Cause.hasInterruptsOnly(cause) ? Cause.interrupt() : Cause.fail(AgentApi.describe(cause))).pipe(
    Effect.orDie,
    Effect.map((data) => Sse.encoder.write({ _tag: "Event", event: failureEvent, id: undefined, data }))
  )

/**
 * Returns JSON values as text, one event without a name for each.
 *
 * @category conversions
 * @since 0.1.0
 */
export const data = <E, R>(values: Stream.Stream<unknown, E, R>): Stream.Stream<string, E, R> =>
  written((value) => JsonText.pieces("data: ", value, "\n\n"))(values)

/**
 * Returns JSON values as text, one event with the name of its `type` for each.
 *
 * @category conversions
 * @since 0.1.0
 */
export const named = <E, R>(
  values: Stream.Stream<{ readonly type: string }, E, R>
): Stream.Stream<string, E, R> =>
  written((value: { readonly type: string }) => JsonText.pieces(`event: ${value.type}\ndata: `, value, "\n\n"))(values)

/**
 * Returns the header that names a run. A program may have given the run an id that no header can hold, so the id is
 * encoded as in the path of a URL.
 *
 * @category constructors
 * @since 0.1.0
 */
export const runHeader = (runId: string): { readonly "x-run-id": string } => ({
  "x-run-id": encodeURIComponent(runId.toWellFormed())
})

/**
 * Creates the response whose body is a stream of events.
 *
 * @category constructors
 * @since 0.1.0
 */
export const response = <E>(text: Stream.Stream<string, E>, options?: {
  /** The time after which a quiet stream sends a sign of life. Default: 15 seconds. */
  readonly keepAlive?: Duration.Input | undefined
  /** Default: none. */
  readonly headers?: Readonly<Record<string, string>> | undefined
}): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.stream(Stream.encodeText(keepAlive(text, options?.keepAlive ?? "15 seconds")), {
    contentType: "text/event-stream",
    headers: { "cache-control": "no-cache, no-transform", "x-accel-buffering": "no", ...options?.headers }
  })

/**
 * Says `comment` between two events whenever nothing has come for a time, so that nobody on the way takes the
 * connection for a dead one. One fiber reads, and is at most one array ahead of a slow consumer; another one looks at the
 * clock.
 *
 * @category combinators
 * @since 0.1.0
 */
export const keepAlive = <E, R>(
  self: Stream.Stream<string, E, R>,
  every: Duration.Input
): Stream.Stream<string, E, R> =>
  Stream.transformPull(self, (upstream, scope) =>
    Effect.flatMap(Clock.Clock, (clock) => {
      const handover = new Handover<E>(clock)
      return Effect.forkIn(handover.read(upstream), scope, { startImmediately: true }).pipe(
        Effect.andThen(Effect.forkIn(handover.watch(Math.max(1, Duration.toMillis(every))), scope)),
        Effect.as(handover.take)
      )
    }))

type Given<E> = Exit.Exit<readonly [string, ...Array<string>], E | Cause.Done>

/** From the fiber that reads to the one that consumes. A fiber for each pull would cost four times as much. */
class Handover<E> {
  private readonly clock: Clock.Clock
  private readonly isEmpty = Latch.makeUnsafe(true)
  private ready: Given<E> | undefined = undefined
  private resume: ((given: Given<E>) => void) | undefined = undefined
  private last: number
  private isBetween = true

  constructor(clock: Clock.Clock) {
    this.clock = clock
    this.last = clock.currentTimeMillisUnsafe()
  }

  read<R>(upstream: Pull.Pull<readonly [string, ...Array<string>], E, void, R>): Effect.Effect<void, never, R> {
    const one = Effect.flatMap(upstream, (texts) => {
      this.isBetween = texts[texts.length - 1].endsWith("\n\n")
      this.give(Exit.succeed(texts))
      return this.ready === undefined ? Effect.void : this.isEmpty.await
    })
    return Effect.catchCause(
      Effect.forever(one, { disableYield: true }),
      (cause) => Effect.sync(() => this.give(Exit.failCause(cause)))
    )
  }

  /** Says the comment when the consumer has waited so many milliseconds. */
  watch(every: number): Effect.Effect<never> {
    return Effect.forever(Effect.suspend(() => {
      const now = this.clock.currentTimeMillisUnsafe()
      if (now - this.last < every) return Effect.sleep(every - (now - this.last))
      // a comment stands between two events, never within one that comes in pieces
      if (this.resume === undefined || !this.isBetween) this.last = now
      else this.give(Exit.succeed([comment]))
      return Effect.sleep(every)
    }))
  }

  readonly take: Effect.Effect<readonly [string, ...Array<string>], E | Cause.Done> = Effect.suspend(() =>
    this.taken ?? Effect.callback((resume) => {
      const given = this.taken
      if (given !== undefined) return resume(given)
      this.resume = resume
      return Effect.sync(() => {
        this.resume = undefined
      })
    })
  )

  /** Looked at twice, because the fiber that reads may come before this one waits. */
  private get taken(): Given<E> | undefined {
    const { ready } = this
    if (ready !== undefined) {
      this.ready = undefined
      this.isEmpty.openUnsafe()
    }
    return ready
  }

  private give(given: Given<E>): void {
    const { resume } = this
    this.last = this.clock.currentTimeMillisUnsafe()
    if (resume === undefined) {
      this.ready = given
      this.isEmpty.closeUnsafe()
    } else {
      this.resume = undefined
      resume(given)
    }
  }
}

const comment = ": keep-alive\n\n"
