/**
 * Server-sent events: the parts of a run as the clients of effect's `HttpApi` read them, whose own encoder costs twice as
 * much a part, and the objects of other wires.
 *
 * @since 0.1.0
 */

import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Sse from "effect/encoding/Sse"
import * as Fiber from "effect/Fiber"
import type * as Pull from "effect/Pull"
import * as Schema from "effect/Schema"
import * as SchemaParser from "effect/SchemaParser"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Stream from "effect/Stream"
import * as AgentRun from "../../AgentRun.ts"
import * as AgentApi from "../AgentApi.ts"
import type * as RunHub from "../RunHub.ts"

const encodePart = SchemaParser.encodeUnknownEffect(AgentRun.parts())

const encodeCause = Schema.encodeUnknownEffect(
  Schema.fromJsonString(Schema.toCodecJson(Schema.Cause(AgentApi.RunFailed, Schema.Defect())))
)

/** The name that the clients of `HttpApi` know a failure by. */
const failureEvent = "effect/http-api/stream/failure"

const event = (name: string, id: string | undefined, data: string): string =>
  Sse.encoder.write({ _tag: "Event", event: name, id, data })

/**
 * Returns the events of a run as text. It never fails: a run that fails or is interrupted ends with an event that says
 * so. One array of parts is one text.
 *
 * @category conversions
 * @since 0.1.0
 */
export const events = <E, R>(parts: Stream.Stream<RunHub.Numbered, E, R>): Stream.Stream<string, never, R> =>
  parts.pipe(
    Stream.mapArrayEffect((numbered) =>
      Effect.map(
        Effect.forEach(numbered, ({ part, seq }) =>
          Effect.map(encodePart(part), (encoded) =>
            event("message", String(seq), JSON.stringify(encoded)))),
        (texts) =>
          [texts.join("")] as const
      )
    ),
    Stream.catchCause((cause) => Stream.fromEffect(failure(cause)))
  )

const failure = (cause: Cause.Cause<unknown>): Effect.Effect<string> =>
  encodeCause(Cause.hasInterruptsOnly(cause) ? Cause.interrupt() : Cause.fail(AgentApi.describe(cause))).pipe(
    Effect.orDie,
    Effect.map((data) => event(failureEvent, undefined, data))
  )

/**
 * Returns JSON values as text, one event without a name for each. One array of values is one text.
 *
 * @category conversions
 * @since 0.1.0
 */
export const data = <E, R>(values: Stream.Stream<unknown, E, R>): Stream.Stream<string, E, R> =>
  Stream.mapArray(values, (values) => [values.map((value) => `data: ${JSON.stringify(value)}\n\n`).join("")] as const)

/**
 * Returns JSON values as text, one event with the name of its `type` for each.
 *
 * @category conversions
 * @since 0.1.0
 */
export const named = <E, R>(
  values: Stream.Stream<{ readonly type: string }, E, R>
): Stream.Stream<string, E, R> =>
  Stream.mapArray(
    values,
    (values) => [values.map((value) => `event: ${value.type}\ndata: ${JSON.stringify(value)}\n\n`).join("")] as const
  )

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
 * Says `comment` whenever nothing has come for a time, so that nobody on the way takes the connection for a dead one. What
 * comes at once costs nothing more.
 *
 * @category combinators
 * @since 0.1.0
 */
export const keepAlive = <E, R>(
  self: Stream.Stream<string, E, R>,
  every: Duration.Input
): Stream.Stream<string, E, R> =>
  Stream.transformPull(self, (upstream, scope) =>
    Effect.sync(() => {
      // the pull that has not answered yet: it goes on while we say that we are there
      let waiting: Fiber.Fiber<readonly [string, ...Array<string>], E | Cause.Done> | undefined = undefined
      const next = Effect.suspend(() =>
        waiting === undefined
          ? Effect.forkIn(upstream, scope, { startImmediately: true })
          : Effect.succeed(waiting)
      )
      return Effect.flatMap(next, (fiber): Pull.Pull<readonly [string, ...Array<string>], E, void, R> => {
        const done = fiber.pollUnsafe()
        if (done !== undefined) {
          waiting = undefined
          return done
        }
        waiting = fiber
        return Effect.flatMap(Effect.timeoutOption(Fiber.await(fiber), every), (exit) => {
          if (exit._tag === "None") return Effect.succeed([comment] as const)
          waiting = undefined
          return exit.value
        })
      })
    }))

const comment = ": keep-alive\n\n"
