/**
 * Records calls whose answer comes at once: embeddings and tool calls.
 *
 * @since 0.1.0
 */
import type * as AiError from "effect/ai/AiError"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Pull from "effect/Pull"
import type * as Schema from "effect/Schema"
import type * as Opened from "./opened.ts"
import * as Playing from "./playing.ts"
import type * as Tape from "./tape.ts"

/**
 * How answers are written as parts and read back. `failed` writes a failure, as a part or as the error of a model.
 *
 * @category models
 * @since 0.1.0
 */
export interface Answer<A, E> {
  readonly encode: (answer: A) => Effect.Effect<ReadonlyArray<Schema.Json>>
  readonly decode: (parts: ReadonlyArray<Schema.Json>) => Effect.Effect<Exit.Exit<A, E>, Schema.SchemaError>
  readonly failed: (error: E) => Effect.Effect<{ readonly parts: ReadonlyArray<Schema.Json>; readonly end: Tape.End }>
}

/**
 * Returns the recorded answer, or asks for it and records it.
 *
 * @category running
 * @since 0.1.0
 */
export const answer = <R, A, E>(
  opened: Opened.Opened<R>,
  request: R,
  live: Effect.Effect<A, E>,
  { decode, encode, failed }: Answer<A, E>
): Effect.Effect<A, E | AiError.AiError> =>
  Effect.flatMap(opened.find(request), (found): Effect.Effect<A, E | AiError.AiError> => {
    if (found._tag === "Recorded") return play(found.entry, opened, decode)
    const { recorder } = found
    const add = (parts: ReadonlyArray<Schema.Json>) =>
      Effect.forEach(parts, (part) => recorder.add([part]), { discard: true })
    const asked = Effect.matchCauseEffect(live, {
      onSuccess: (answer) =>
        Effect.flatMap(encode(answer), add).pipe(
          Effect.andThen(recorder.end({ end: "done" })),
          Effect.as(answer)
        ),
      onFailure: (cause): Effect.Effect<never, E | AiError.AiError> => {
        const error = cause.reasons.find(Cause.isFailReason)
        const died = cause.reasons.find(Cause.isDieReason)
        const ended = error !== undefined
          ? Effect.flatMap(failed(error.error), ({ end, parts }) => Effect.andThen(add(parts), recorder.end(end)))
          : died !== undefined
          ? recorder.end({ end: "died", defect: Playing.toldDefect(died.defect) })
          : Effect.void
        return Effect.andThen(ended, Effect.failCause(cause))
      }
    })
    return Effect.andThen(recorder.ask, asked).pipe(Effect.onExit((exit) => Playing.leave(recorder, exit)))
  })

const play = <R, A, E>(
  entry: Tape.Entry,
  { path, timing }: Opened.Opened<R>,
  decode: Answer<A, E>["decode"]
): Effect.Effect<A, E | AiError.AiError> =>
  Effect.forEach(entry.arrived, ({ after, parts }) => Effect.as(Playing.wait(timing, after), parts)).pipe(
    Effect.flatMap((arrays) =>
      Pull.matchEffect(Playing.end(entry, timing, path), {
        onSuccess: (never): Effect.Effect<A, E | AiError.AiError> => never,
        onFailure: (cause): Effect.Effect<A, E | AiError.AiError> => Effect.failCause(cause),
        // the schema of a tool may have changed since
        onDone: (): Effect.Effect<A, E | AiError.AiError> =>
          Effect.matchEffect(decode(arrays.flat()), {
            onSuccess: (exit): Effect.Effect<A, E | AiError.AiError> => exit,
            onFailure: ({ message }) => Playing.unreadable(entry, path, message)
          })
      })
    )
  )
