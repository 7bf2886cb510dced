/** The log of a run: a reader that is about to wait misses nothing that comes in between. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, References, Stream } from "effect"
import { RunLog } from "../src/server/internal/runLog.ts"

describe("RunLog", () => {
  it.effect("a reader takes each part when it comes, wherever the reader and the writer yield", () =>
    Effect.gen(function*() {
      for (let reader = 4; reader <= 24; reader++) {
        for (let turns = 0; turns < 6; turns++) {
          const log = new RunLog<string, never>()
          const taken: Array<string> = []
          const fiber = yield* Stream.runForEach(log.read(), ({ part }) => Effect.sync(() => taken.push(part))).pipe(
            Effect.provideService(References.MaxOpsBeforeYield, reader),
            Effect.forkChild({ startImmediately: true })
          )
          for (const part of ["a", "b", "c"]) {
            for (let turn = 0; turn < turns; turn++) yield* Effect.yieldNow
            yield* log.append([part])
            for (let turn = 0; turn < 100 && taken.at(-1) !== part; turn++) yield* Effect.yieldNow
            assert.strictEqual(taken.at(-1), part, `after every ${reader} operations, ${turns} turns later`)
          }
          yield* log.end(Exit.void)
          yield* Fiber.join(fiber)
          assert.deepStrictEqual(taken, ["a", "b", "c"])
        }
      }
    }))
})
