import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Cause, Deferred, Effect, Exit, Fiber, References, Schema, Stream } from "effect"
import { AiError, LanguageModel, Prompt, type Response } from "effect/ai"
import { Agent, DirectLanguageModel } from "../src/index.ts"
import { type Log, logged, showExit } from "./utils.ts"

const { fromAsyncIterable } = DirectLanguageModel

const failed = (error: unknown): string => error instanceof Error ? error.message : String(error)

/** Counts what is asked of an iterable. */
const counted = <A>(elements: Iterable<A>) => {
  const seen = { iterators: 0, reads: 0, returns: 0 }
  const iterable: AsyncIterable<A> = {
    [Symbol.asyncIterator]: () => {
      seen.iterators++
      const iterator = elements[Symbol.iterator]()
      return {
        next: () => {
          seen.reads++
          return Promise.resolve(iterator.next())
        },
        return: () => {
          seen.returns++
          return Promise.resolve({ done: true, value: undefined })
        }
      }
    }
  }
  return { iterable, seen }
}

async function* through<A>(elements: Iterable<A>, error?: unknown) {
  for (const element of elements) yield element
  if (error !== undefined) throw error
}

/** An async iterable that is told from outside what comes next. */
const pushed = <A>() => {
  const waiting: Array<(result: IteratorResult<A>) => void> = []
  const queued: Array<IteratorResult<A>> = []
  let returns = 0
  const push = (result: IteratorResult<A>) => {
    const resume = waiting.shift()
    if (resume === undefined) queued.push(result)
    else resume(result)
  }
  return {
    iterable: {
      [Symbol.asyncIterator]: (): AsyncIterator<A> => ({
        next: () => {
          const result = queued.shift()
          return result === undefined ? new Promise((resume) => waiting.push(resume)) : Promise.resolve(result)
        },
        return: () => {
          returns++
          return Promise.resolve({ done: true, value: undefined })
        }
      })
    },
    offer: (value: A) => push({ done: false, value }),
    end: () => push({ done: true, value: undefined }),
    get returns() {
      return returns
    }
  }
}

const naturals = function*() {
  for (let n = 0;; n++) yield n
}

describe("DirectLanguageModel.fromAsyncIterable", () => {
  it.effect("emits all elements in order, most of them in arrays", () =>
    Effect.gen(function*() {
      const elements = Array.from({ length: 2_000 }, (_, n) => n)
      const arrays: Array<ReadonlyArray<number>> = []
      yield* Stream.runForEachArray(fromAsyncIterable(through(elements), failed), (array) =>
        Effect.sync(() => {
          arrays.push(array)
        }))
      assert.deepStrictEqual(arrays.flat(), elements)
      assert.isBelow(arrays.length, 20)
    }))

  it.effect("emits what comes in one task as one array", () =>
    Effect.gen(function*() {
      const arrays: Array<ReadonlyArray<number>> = []
      yield* Stream.runForEachArray(fromAsyncIterable(through([1, 2, 3, 4, 5]), failed), (array) =>
        Effect.sync(() => {
          arrays.push(array)
        }))
      assert.deepStrictEqual(arrays, [[1, 2, 3, 4, 5]])
    }))

  it.effect("emits nothing of an iterable that has nothing", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* Stream.runCollect(fromAsyncIterable(through([]), failed)), [])
    }))

  it.effect("asks for an iterator when it is pulled, one for each time that it is run", () =>
    Effect.gen(function*() {
      const { iterable, seen } = counted([1, 2])
      const stream = fromAsyncIterable(iterable, failed)
      assert.strictEqual(seen.iterators, 0)
      assert.deepStrictEqual(yield* Stream.runCollect(stream), [1, 2])
      assert.deepStrictEqual(yield* Stream.runCollect(stream), [1, 2])
      assert.deepStrictEqual(seen, { iterators: 2, reads: 6, returns: 0 })
    }))

  it.effect("emits an element when it has come, without waiting for the next one", () =>
    Effect.gen(function*() {
      const source = pushed<number>()
      const seen: Array<number> = []
      let arrived = yield* Deferred.make<void>()
      const fiber = yield* Effect.forkChild(
        Stream.runForEach(fromAsyncIterable(source.iterable, failed), (n) => {
          seen.push(n)
          return Deferred.succeed(arrived, undefined)
        })
      )
      // more than it takes to be taken for a source that may be let run ahead
      for (let n = 0; n < 20; n++) {
        source.offer(n)
        yield* Deferred.await(arrived)
        assert.strictEqual(seen.length, n + 1)
        arrived = yield* Deferred.make<void>()
      }
      source.end()
      yield* Fiber.join(fiber)
      assert.strictEqual(source.returns, 0)
    }))

  describe("what the iterable throws", () => {
    it.effect("fails the stream, after all that came before it", () =>
      Effect.gen(function*() {
        const seen: Array<number> = []
        const stream = fromAsyncIterable(through([1, 2, 3], new Error("no more")), failed)
        const exit = yield* Effect.exit(Stream.runForEach(stream, (n) => Effect.sync(() => seen.push(n))))
        assert.deepStrictEqual(exit, Exit.fail("no more"))
        assert.deepStrictEqual(seen, [1, 2, 3])
      }))

    it.effect("may be thrown by next itself, or when it is asked for an iterator", () =>
      Effect.gen(function*() {
        const next = (): never => {
          throw new Error("next")
        }
        const noNext = { [Symbol.asyncIterator]: () => ({ next }) }
        const noIterator = { [Symbol.asyncIterator]: next }
        assert.strictEqual(yield* Effect.flip(Stream.runDrain(fromAsyncIterable(noNext, failed))), "next")
        assert.strictEqual(yield* Effect.flip(Stream.runDrain(fromAsyncIterable(noIterator, failed))), "next")
      }))

    it.effect("is not asked for more", () =>
      Effect.gen(function*() {
        let reads = 0
        const iterable = {
          [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(new Error(`read ${++reads}`)) })
        }
        assert.strictEqual(yield* Effect.flip(Stream.runDrain(fromAsyncIterable(iterable, failed))), "read 1")
        assert.strictEqual(reads, 1)
      }))
  })

  describe("a stream that ends before its iterable", () => {
    it.effect("gives the iterator up when it is left early", () =>
      Effect.gen(function*() {
        const { iterable, seen } = counted(naturals())
        const taken = yield* Stream.runCollect(Stream.take(fromAsyncIterable(iterable, failed), 3))
        assert.deepStrictEqual([taken, seen.returns], [[0, 1, 2], 1])
      }))

    it.effect("gives the iterator up when its consumer fails", () =>
      Effect.gen(function*() {
        const { iterable, seen } = counted(naturals())
        const stream = fromAsyncIterable(iterable, failed)
        const error = yield* Effect.flip(Stream.runForEach(stream, () => Effect.fail("enough")))
        assert.deepStrictEqual([error, seen.returns], ["enough", 1])
      }))

    it.effect("gives the iterator up when it is interrupted while it waits", () =>
      Effect.gen(function*() {
        const source = pushed<number>()
        const fiber = yield* Effect.forkChild(Stream.runDrain(fromAsyncIterable(source.iterable, failed)), {
          startImmediately: true
        })
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(source.returns, 1)
      }))

    it.effect("does not wait for an element that does not come", () =>
      Effect.gen(function*() {
        let returned = false
        const iterable = {
          [Symbol.asyncIterator]: () => {
            let asked = 0
            return {
              next: () => ++asked === 1 ? Promise.resolve({ done: false, value: 1 }) : new Promise<never>(() => {}),
              return: () => {
                returned = true
                return Promise.reject(new Error("not yet"))
              }
            }
          }
        }
        const stream = fromAsyncIterable(iterable, failed)
        assert.deepStrictEqual(yield* Stream.runCollect(Stream.take(stream, 1)), [1])
        assert.isTrue(returned)
        const fiber = yield* Effect.forkChild(Stream.runDrain(stream), { startImmediately: true })
        yield* Fiber.interrupt(fiber)
        const exit = yield* Fiber.await(fiber)
        assert(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      }))

    it.effect("runs the finally of a generator before the consumer goes on", () =>
      Effect.gen(function*() {
        let closed = false
        async function* numbers() {
          try {
            yield* naturals()
          } finally {
            closed = true
          }
        }
        yield* Stream.runDrain(Stream.take(fromAsyncIterable(numbers(), failed), 1))
        assert.isTrue(closed)
      }))
  })

  it.effect("reads no more than 512 elements ahead of a consumer that does not pull", () =>
    Effect.gen(function*() {
      const { iterable, seen } = counted(naturals())
      const left = yield* Deferred.make<void>()
      const first = yield* Deferred.make<void>()
      const fiber = yield* Effect.forkChild(
        Stream.runForEachArray(fromAsyncIterable(iterable, failed), () =>
          Effect.andThen(Deferred.succeed(first, undefined), Deferred.await(left)))
      )
      yield* Deferred.await(first)
      // as many turns of the event loop as an eager reader could want
      yield* Effect.repeat(Effect.yieldNow, { times: 1_000 })
      assert.isAtMost(seen.reads, 1 + 512)
      yield* Fiber.interrupt(fiber)
    }))

  it.effect.prop(
    "emits what Stream.fromAsyncIterable emits, and ends as it does",
    {
      elements: Arbitrary.array(Arbitrary.schema(Schema.Int)),
      pauses: Arbitrary.array(Arbitrary.schema(Schema.Boolean)),
      fails: Arbitrary.schema(Schema.Boolean)
    },
    ({ elements, fails, pauses }) =>
      Effect.gen(function*() {
        const iterable = {
          async *[Symbol.asyncIterator]() {
            for (let i = 0; i < elements.length; i++) {
              if (pauses[i] === true) await new Promise((resume) => setImmediate(resume))
              yield elements[i]
            }
            if (fails) throw new Error("failed")
          }
        }
        const ended = (stream: Stream.Stream<number, string>) => {
          const seen: Array<number> = []
          return Effect.map(
            Effect.exit(Stream.runForEach(stream, (n) => Effect.sync(() => seen.push(n)))),
            (exit) => ({ seen, exit })
          )
        }
        assert.deepStrictEqual(
          yield* ended(fromAsyncIterable(iterable, failed)),
          yield* ended(Stream.fromAsyncIterable(iterable, failed))
        )
      })
  )
})

describe("DirectLanguageModel.make", () => {
  const answer: ReadonlyArray<Response.StreamPartEncoded> = [
    { type: "text-delta", id: "t", delta: "hello" },
    { type: "finish", reason: "stop", usage: { inputTokens: {}, outputTokens: {} } }
  ]

  it.effect("gives an agent the parts of an async iterable", () =>
    Effect.gen(function*() {
      const model = yield* DirectLanguageModel.make({
        generateText: () => Effect.die("not used"),
        streamText: () => fromAsyncIterable(through(answer), (error) => error as never)
      })
      const { text } = yield* Effect.provideService(
        Agent.run(Agent.make("agent"), { prompt: "hi" }),
        LanguageModel.LanguageModel,
        model
      )
      assert.strictEqual(text, "hello")
    }))

  it.effect("a method that was put in the place of its own is called", () =>
    Effect.gen(function*() {
      const model = yield* DirectLanguageModel.make({
        generateText: () => Effect.die("not used"),
        streamText: () => Stream.fromIterable(answer)
      })
      const { streamText } = model
      let calls = 0
      Object.assign(model, {
        streamText: (call: never) => {
          calls++
          return streamText(call)
        }
      })
      yield* Effect.provideService(
        Agent.run(Agent.make("agent"), { prompt: "hi" }),
        LanguageModel.LanguageModel,
        model
      )
      assert.strictEqual(calls, 1)
    }).pipe(Effect.provideService(References.TracerEnabled, false)))

  it.effect("a part that cannot be read fails the run", () =>
    Effect.gen(function*() {
      const unreadable: Response.StreamPartEncoded = {
        type: "text-delta",
        id: "t",
        get delta(): string {
          throw new Error("unreadable")
        }
      }
      const model = yield* DirectLanguageModel.make({
        generateText: () => Effect.die("not used"),
        streamText: () => Stream.make(unreadable)
      })
      const log: Log = []
      const exit = yield* Effect.exit(Effect.provideService(
        Agent.run(Agent.make("agent", { providers: [logged("p", log)] }), { prompt: "hi" }),
        LanguageModel.LanguageModel,
        model
      ))
      assert.strictEqual(showExit(exit), `Failed Die unreadable after ""`)
      assert.deepStrictEqual(log, ["p before", `p end: Failed Die unreadable after ""`])
    }).pipe(Effect.provideService(References.TracerEnabled, false)))

  it.effect("sees an approval that somebody between the run and the model has put in", () =>
    Effect.gen(function*() {
      let calls = 0
      const model = yield* DirectLanguageModel.make({
        generateText: () => Effect.die("not used"),
        streamText: () => {
          calls++
          return Stream.fromIterable(answer)
        }
      })
      const approved = Prompt.make([
        { role: "user", content: "hi" },
        {
          role: "assistant",
          content: [
            { type: "tool-call", id: "call", name: "work", params: {}, providerExecuted: false },
            { type: "tool-approval-request", approvalId: "approval", toolCallId: "call" }
          ]
        },
        { role: "tool", content: [{ type: "tool-approval-response", approvalId: "approval", approved: true }] }
      ])
      const streamText = model.streamText as (call: object) => Stream.Stream<any>
      const between: LanguageModel.LanguageModel = Object.assign({ ...model }, {
        streamText: (call: object) => streamText({ ...call, prompt: approved })
      })
      const error = yield* Effect.flip(Effect.provideService(
        Agent.run(Agent.make("agent"), { prompt: "hi" }),
        LanguageModel.LanguageModel,
        between
      ))
      // effect's answer: who approves a call has to bring the tool
      assert(AiError.isAiError(error))
      assert.deepStrictEqual([error.reason._tag, calls], ["ToolkitRequiredError", 0])
    }))
})
