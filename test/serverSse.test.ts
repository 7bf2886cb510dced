/** The text of events: in pieces, and with signs of life on quiet streams. */
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Cause, Effect, Exit, Fiber, Schema, Stream } from "effect"
import { Response } from "effect/ai"
import { TestClock } from "effect/testing"
import { Agent } from "../src/index.ts"
import { RunHub } from "../src/server/index.ts"
import * as Valued from "../src/server/internal/valued.ts"
import * as JsonText from "../src/server/internal/jsonText.ts"
import { data, events, keepAlive } from "../src/server/internal/sse.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"

const comment = ": keep-alive\n\n"
const ended = (text: string) => text === comment ? text : `${text}\n\n`

describe("keepAlive", () => {
  it.effect("says that it is there each time that nothing has come, and nothing more", () =>
    Effect.gen(function*() {
      const texts = Stream.fromIterable([0, 10, 35, 0, 20]).pipe(
        Stream.mapEffect((seconds) => Effect.delay(Effect.succeed(`${seconds}\n\n`), `${seconds} seconds`))
      )
      const fiber = yield* Effect.forkChild(Stream.runCollect(keepAlive(texts, "15 seconds")))
      yield* TestClock.adjust("100 seconds")
      assert.deepStrictEqual(
        yield* Fiber.join(fiber),
        ["0", "10", comment, comment, "35", "0", comment, "20"].map(ended)
      )
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
  it.effect("stands between two events, never within one that comes in pieces", () =>
    Effect.gen(function*() {
      const texts = Stream.make("data: 1", "\n\n").pipe(
        Stream.rechunk(1),
        Stream.tap((text) => text === "\n\n" ? Effect.sleep("1 minute") : Effect.void)
      )
      const fiber = yield* Effect.forkChild(Stream.mkString(keepAlive(texts, "15 seconds")))
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual(yield* Fiber.join(fiber), "data: 1\n\n")
    }))
})

describe("pieces", () => {
  const long = "\u00fc\ud83d\ude00\ud800\n\"".repeat(20_000)
  const values: ReadonlyArray<unknown> = [
    long,
    { a: long, b: undefined, c: [undefined, long, () => 1, { d: new Date(0), e: long }], "f\"": null },
    { toJSON: () => ({ long }) },
    { a: { b: { c: { d: { e: { f: { g: { h: { i: [long] } } } } } } } } }
  ]

  it("are the text that `JSON.stringify` writes", () => {
    for (const value of values) {
      assert.isTrue(Array.from(JsonText.pieces("<", value, ">")).join("") === `<${JSON.stringify(value)}>`)
    }
  })

  it.effect.prop(
    "are one text for a value of usual size",
    { value: Arbitrary.schema(Schema.MutableJson) },
    ({ value }) =>
      Effect.sync(() => assert.deepStrictEqual(Array.from(JsonText.pieces("", value, "")), [JSON.stringify(value)]))
  )
})

describe("events", () => {
  it.effect("are written as they are read: neither many parts nor a large one are one text", () =>
    Effect.gen(function*() {
      const run = yield* (yield* RunHub.RunHub).start(Agent.make("agent"), { prompt: "hi" })
      yield* run.exit
      let pulled = 0
      const parts = Stream.tap(Stream.rechunk(run.parts(), 1), () => Effect.sync(() => pulled++))
      const some = yield* Stream.runCollect(Stream.take(events(parts), 3))
      assert.isBelow(pulled, 6)
      assert.isBelow(some.join("").length, 100_000)
      const texts = yield* Stream.runCollect(events(run.parts()))
      assert.isBelow(Math.max(...texts.map(({ length }) => length)), 100_000)
      const seen = texts.join("").split("\n\n").slice(0, -1).map((event) => event.split("\ndata: "))
      const all = yield* Stream.runCollect(run.parts())
      assert.deepStrictEqual(seen.map(([id]) => id), all.map(({ seq }) => `id: ${seq}`))
      assert.isTrue(JSON.parse(seen[seen.length - 1]![1]!).result.text === "x".repeat(500_000))
    }).pipe(Effect.provide([
      RunHub.layer({ grace: 0 }),
      ScriptedModel.layer([ScriptedModel.text(Array.from({ length: 50 }, () => "x".repeat(10_000)))])
    ])))

  it.effect.prop("end with a part that is not JSON, after all that came before it", {
    sizes: Arbitrary.array(Arbitrary.schema(Schema.Literals([1, 2, 7])), { minLength: 1, maxLength: 6 }),
    at: Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 41 })))
  }, ({ at, sizes }) =>
    Effect.gen(function*() {
      const total = sizes.reduce((sum, size) => sum + size, 0)
      const parts: Array<RunHub.Numbered> = Array.from({ length: total }, (_, seq) => ({
        seq,
        part: seq === at
          ? { type: "output-partial", value: 1n }
          : Response.makePart("text-delta", { id: "t", delta: "a" })
      }))
      let from = 0
      const arrays = sizes.map((size) => parts.slice(from, from += size))
      const together = Stream.flatMap(Stream.fromIterable(arrays), Stream.fromIterable)
      for (const stream of [together, Valued.apart(together)]) {
        const texts = yield* Stream.runCollect(events(stream))
        const ids = texts.join("").split("\n\n").flatMap((event) => /^id: (\d+)/.exec(event)?.[1] ?? [])
        assert.deepStrictEqual(ids, Array.from({ length: Math.min(at, total) }, (_, seq) => String(seq)))
        assert.strictEqual(texts.join("").includes("event: effect/http-api/stream/failure"), at < total)
      }
      const apart = yield* Stream.runCollect(Stream.chunks(Valued.apart(together)))
      assert.deepStrictEqual(apart.flat(), parts)
      assert.isTrue(apart.every((parts) => parts.every(({ part }, index) => index === 0 || Valued.isPlain(part))))
    }))

  it.effect("of other values are one text for those that come together", () =>
    Effect.gen(function*() {
      const texts = yield* Stream.runCollect(data(Stream.make(1, "a", { b: undefined })))
      assert.deepStrictEqual(texts, ["data: 1\n\ndata: \"a\"\n\ndata: {}\n\n"])
    }))
})
