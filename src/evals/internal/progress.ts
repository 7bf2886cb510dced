/**
 * How far an experiment is, on one line of a terminal.
 *
 * @since 0.1.0
 */

import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import type * as Eval from "../Eval.ts"
import { oneLine } from "./plain.ts"

/** The line is written again at most this often, in milliseconds. */
const pause = 100

/**
 * Creates a function that shows the progress. The line is removed when the scope closes. Where the standard error is no
 * terminal it shows nothing, so that a log has no such lines.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  name: string
): Effect.Effect<(progress: Eval.Progress) => Effect.Effect<void>, never, Stdio.Stdio | Scope.Scope> =>
  Effect.gen(function*() {
    const stdio = yield* Stdio.Stdio
    if (!(yield* stdio.stderrIsTerminal)) return () => Effect.void
    const write = (text: string) => Effect.ignore(Stream.run(Stream.succeed(text), stdio.stderr()))
    yield* Effect.addFinalizer(() => write("\r\u001b[K"))
    let last = -Infinity
    return ({ finished, passed, trials }: Eval.Progress) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        if (now - last < pause && finished < trials) return Effect.void
        last = now
        const failed = finished - passed
        return write(
          `\r\u001b[K${bar(finished / trials)} ${finished}/${trials} ${
            oneLine(name, 30)
          }: ${passed} pass, ${failed} do not`
        )
      })
  })

const bar = (part: number): string => "#".repeat(Math.round(20 * part)).padEnd(20, ".")
