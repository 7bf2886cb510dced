/**
 * Records the answer of a model while it comes, and plays it again.
 *
 * @since 0.1.0
 */
import type * as AiError from "effect/ai/AiError"
import type * as Response from "effect/ai/Response"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import * as Pull from "effect/Pull"
import * as Schema from "effect/Schema"
import * as Parts from "../../internal/wire/parts.ts"
import * as Fields from "../../internal/words/fields.ts"
import * as TellableError from "../../internal/words/tellableError.ts"
import type * as Live from "./live.ts"
import * as Opened from "./opened.ts"
import * as Tape from "./tape.ts"

/**
 * Whether a replay waits as long as the recorded call did.
 *
 * @category models
 * @since 0.1.0
 */
export type Timing = "recorded" | "none"

/**
 * Parts as a provider gives them.
 *
 * @category models
 * @since 0.1.0
 */
export type Encoded = readonly [Response.StreamPartEncoded, ...Array<Response.StreamPartEncoded>]

/**
 * Returns a pull with the same parts and the same end, which are recorded.
 *
 * @category conversions
 * @since 0.1.0
 */
export const record = (
  recorder: Opened.Recorder,
  pull: Pull.Pull<Live.Recorded, AiError.AiError>
): Pull.Pull<Encoded, AiError.AiError> =>
  Effect.andThen(
    recorder.ask,
    Pull.matchEffect(pull, {
      onSuccess: (parts) =>
        Effect.gen(function*() {
          const sent = yield* Effect.orDie(Effect.forEach(parts, encodePart))
          // a part is JSON
          if (sent.length > 0) yield* recorder.add(sent as unknown as Tape.Arrived["parts"])
          return yield* Effect.orDie(toProvider(sent))
        }),
      onDone: () => Effect.flatMap(recorder.end({ end: "done" }), () => Cause.done()),
      onFailure: (cause): Pull.Pull<never, AiError.AiError> => {
        const failed = cause.reasons.find(Cause.isFailReason)
        const died = cause.reasons.find(Cause.isDieReason)
        if (failed !== undefined) {
          const error = TellableError.of(failed.error)
          return Effect.andThen(recorder.end({ end: "failed", error }), Effect.fail(error))
        }
        const end = died === undefined ? Effect.void : recorder.end({ end: "died", defect: toldDefect(died.defect) })
        return Effect.andThen(end, Effect.failCause(cause as Cause.Cause<never>))
      }
    })
  )

/**
 * Returns a defect as it is recorded: an object that is no error may be anything, such as a response with its headers.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toldDefect = (defect: unknown): unknown =>
  typeof defect !== "object" || defect === null || defect instanceof Error
    ? defect
    : new Error("The defect was an object that is no error")

/**
 * Records that a call has ended before its answer has: its consumer left, or its fiber was interrupted.
 *
 * @category running
 * @since 0.1.0
 */
export const leave = (recorder: Opened.Recorder, exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> => {
  const isInterrupted = Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)
  return Effect.orDie(recorder.end({ end: isInterrupted ? "interrupted" : "cut" }))
}

/**
 * Returns a pull with the parts and the end of a recorded call.
 *
 * @category conversions
 * @since 0.1.0
 */
export const play = (entry: Tape.Entry, timing: Timing, path: string): Pull.Pull<Encoded, AiError.AiError> => {
  let index = 0
  return Effect.suspend((): Pull.Pull<Encoded, AiError.AiError> => {
    const array = entry.arrived[index++]
    return array === undefined
      ? end(entry, timing, path)
      : Effect.andThen(wait(timing, array.after), readParts(entry, array.parts, path))
  })
}

/**
 * Waits as long as the recorded call did, if that is asked for.
 *
 * @category running
 * @since 0.1.0
 */
export const wait = (timing: Timing, after: number | undefined): Effect.Effect<void> =>
  timing === "none" || after === undefined ? Effect.void : Effect.sleep(after)

/**
 * Ends as the recorded call has ended. A call whose consumer left fails, because more is asked for than was recorded. So
 * does a call that was interrupted, after it has waited as long as the recorded call did.
 *
 * @category running
 * @since 0.1.0
 */
export const end = (
  entry: Tape.Entry,
  timing: Timing,
  path: string
): Pull.Pull<never, AiError.AiError> => {
  const { after } = entry.end
  switch (entry.end.end) {
    case "done":
      return Effect.andThen(wait(timing, after), Cause.done())
    case "failed":
      return Effect.andThen(wait(timing, after), Effect.fail(entry.end.error))
    case "died":
      return Effect.andThen(wait(timing, after), Effect.die(entry.end.defect))
    case "cut":
      return failMore(entry, "its consumer left", path)
    case "interrupted":
      // what has interrupted the recorded call at this moment comes first
      return Effect.andThen(
        after === undefined ? Effect.void : Effect.sleep(after + 1),
        failMore(entry, "it was interrupted", path)
      )
  }
}

const failMore = (entry: Tape.Entry, why: string, path: string): Effect.Effect<never, AiError.AiError> => {
  const description = `More is asked for than was recorded of call ${Tape.nameOf(entry)}: ${why} here. ` +
    `Record it again to have the rest (\`${path}\`)`
  return Opened.failed(entry.request.method, description)
}

/**
 * Fails a call whose recorded answer cannot be read.
 *
 * @category errors
 * @since 0.1.0
 */
export const unreadable = (entry: Tape.Entry, path: string, message: string): Effect.Effect<never, AiError.AiError> => {
  const description = `The recorded answer of call ${Tape.nameOf(entry)} cannot be read: ${message} (\`${path}\`)`
  return Opened.failed(entry.request.method, description)
}

/** A file may have been changed by hand. */
const readParts = (entry: Tape.Entry, parts: ReadonlyArray<Schema.Json>, path: string) =>
  Effect.forEach(parts, decodePart, { discard: true }).pipe(
    Effect.andThen(toProvider(parts as ReadonlyArray<unknown> as ReadonlyArray<Parts.PartEncoded>)),
    Effect.catch((error) => unreadable(entry, path, String(error)))
  )

const Text = Schema.decodeUnknownEffect(
  Schema.Struct({ type: Schema.Literals(["text", "reasoning"]), text: Schema.String })
)

const decodePart = (part: Schema.Json): Effect.Effect<unknown, unknown> =>
  Predicate.hasProperty(part, "type") && (part.type === "text" || part.type === "reasoning")
    ? Text(part)
    : Predicate.hasProperty(part, "type") && typeof part.type === "string"
    // the parts of a response need no services
    ? Parts.untyped.decode(part as Parts.PartEncoded) as Effect.Effect<unknown, unknown>
    : Effect.fail("a part has no type")

const encodePart = (part: Live.Recorded[number]): Effect.Effect<Parts.PartEncoded, unknown> =>
  part.type === "text" || part.type === "reasoning"
    ? Effect.succeed({
      type: part.type,
      text: part.text,
      metadata: (Fields.toJson(part.metadata) ?? {}) as Schema.Json
    })
    // the parts of a response need no services
    : Parts.untyped.encode(part) as Effect.Effect<Parts.PartEncoded, unknown>

/** The parts as a provider gives them: a recorded error has its class beside it, a result its encoded form only. */
const toProvider = (sent: ReadonlyArray<Parts.PartEncoded>): Effect.Effect<Encoded, unknown> =>
  Effect.map(
    Effect.forEach(sent, (part): Effect.Effect<unknown, unknown> => {
      if (part.type === "error") return Parts.untyped.decode(part) as Effect.Effect<unknown, unknown>
      if (part.type !== "tool-result") return Effect.succeed(part)
      const { encodedResult, isFailure, ...rest } = part
      return Effect.succeed({ ...rest, result: encodedResult ?? null, isFailure: isFailure ?? false })
    }),
    (parts) => parts as unknown as Encoded
  )
