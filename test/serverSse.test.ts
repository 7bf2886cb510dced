/** Signs of life on quiet streams. */
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Cause, Effect, Exit, Fiber, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { keepAlive } from "../src/server/internal/sse.ts"

const comment = ": keep-alive\n\n"

describe("keepAlive", () => {
  it.effect("says that it is there each time that nothing has come, and nothing more", () =>
    Effect.gen(function*() {
      const texts = Stream.fromIterable([0, 10, 35, 0, 20]).pipe(
        Stream.mapEffect((seconds) => Effect.delay(Effect.succeed(`${seconds}`), `${seconds} seconds`))
      )
      const fiber = yield* Effect.forkChild(Stream.runCollect(keepAlive(texts, "15 seconds")))
      yield* TestClock.adjust("100 seconds")
      assert.deepStrictEqual(yield* Fiber.join(fiber), ["0", "10", comment, comment, "35", "0", comment, "20"])
    }))

  it.effect.prop("changes neither the texts nor their end, however they come and are read", {
    delays: Arbitrary.array(Arbitrary.schema(Schema.Literals([0, 0, 1, 20])), { maxLength: 8 }),
    end: Arbitrary.schema(Schema.Literals(["done", "fail", "die", "interrupt"])),
    reader: Arbitrary.schema(Schema.Literals([0, 3, 40]))
  }, ({ delays, end, reader }) =>
    Effect.gen(function*() {
      const last = end === "done"
        ? Stream.empty
        : Stream.fromEffect(end === "fail" ? Effect.fail("no") : end === "die" ? Effect.die("no") : Effect.interrupt)
      const texts = Stream.fromIterable(delays.entries()).pipe(
        Stream.mapEffect(([index, delay]) => Effect.delay(Effect.succeed(`${index}`), delay)),
        Stream.concat(last)
      )
      const seen: Array<string> = []
      const fiber = yield* Effect.forkChild(Effect.exit(Stream.runForEach(keepAlive(texts, 10), (text) =>
        Effect.andThen(
          Effect.sleep(reader),
          Effect.sync(() => seen.push(text))
        ))))
      yield* TestClock.adjust("10 seconds")
      const exit = yield* Fiber.join(fiber)
      assert.deepStrictEqual(
        seen.filter((text) => text !== comment),
        delays.map((_, index) => `${index}`)
      )
      const ends = {
        done: Exit.isSuccess,
        fail: (exit: Exit.Exit<void, string>) => Exit.isFailure(exit) && Cause.hasFails(exit.cause),
        die: (exit: Exit.Exit<void, string>) => Exit.isFailure(exit) && Cause.hasDies(exit.cause),
        interrupt: (exit: Exit.Exit<void, string>) => Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)
      }
      assert.isTrue(ends[end](exit))
    }))

  it.effect("reads one array ahead of a reader that stops, and nothing when it has left", () =>
    Effect.gen(function*() {
      let read = 0
      let released = false
      const texts = Stream.forever(Stream.fromEffect(Effect.sync(() => `${read++}`))).pipe(
        Stream.rechunk(1),
        Stream.ensuring(Effect.sync(() => {
          released = true
        }))
      )
      const fiber = yield* Effect.forkChild(
        Stream.runForEach(keepAlive(texts, "15 seconds"), (text) => text === "2" ? Effect.never : Effect.void)
      )
      yield* TestClock.adjust("1 minute")
      assert.isAtMost(read, 5)
      yield* Fiber.interrupt(fiber)
      assert.isTrue(released)
      const before = read
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(read, before)
    }))
})
