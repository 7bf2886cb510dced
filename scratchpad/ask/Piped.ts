/**
 * What other programs have written to standard input.
 */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"

/** Standard input was longer than the limit. */
export class InputTooLong extends Schema.Error<InputTooLong>("ask/Piped/InputTooLong")({
  _tag: Schema.tag("InputTooLong")
}) {
  override get message(): string {
    return `Standard input is longer than ${maxSize / 1024} kB; give a part of it`
  }
}

/** The longest input that is read, in bytes. */
export const maxSize = 256 * 1024

/**
 * After this time without any input the program goes on without it. Whoever starts it from a program often leaves a pipe
 * open into which nobody writes.
 */
const patience = "3 seconds"

/** Returns the whole text of standard input, or an empty text if it is a terminal or nothing comes. */
export const read = Effect.gen(function*() {
  const stdio = yield* Stdio.Stdio
  if (yield* stdio.stdinIsTerminal) return ""
  const pull = yield* Stream.toPull(stdio.stdin)
  const chunk = Effect.asSome(pull).pipe(Effect.catch(() => Effect.succeedNone))
  const first = yield* Effect.timeoutOption(chunk, patience)
  if (Option.isNone(first)) {
    yield* Console.error("Nothing came from standard input in 3 seconds; going on without it")
    return ""
  }
  const chunks: Array<Uint8Array> = []
  let size = 0
  let next = first.value
  while (Option.isSome(next)) {
    for (const bytes of next.value) {
      chunks.push(bytes)
      size += bytes.length
    }
    if (size > maxSize) return yield* new InputTooLong()
    next = yield* chunk
  }
  const all = new Uint8Array(size)
  let at = 0
  for (const bytes of chunks) {
    all.set(bytes, at)
    at += bytes.length
  }
  return new TextDecoder().decode(all).trim()
}).pipe(Effect.scoped)
