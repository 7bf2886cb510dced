/**
 * A fiber that decides to wait begins to wait an operation later, and may yield in between. Nothing that comes then is
 * missed: each place that waits is tried with fibers that yield after any small number of operations.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, References, Schema, Scope, Stream } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { Agent, type AgentRun, SessionHistory, SessionStore } from "../src/index.ts"
import * as RunTurns from "../src/internal/run/turns.ts"
import * as SessionTurns from "../src/internal/session/turns.ts"
import type { PartPull } from "../src/internal/words/partPull.ts"
import { keepAlive } from "../src/server/internal/sse.ts"
import { approveAll } from "./fixtures/approvals.ts"

const turns = (count: number) => count === 0 ? Effect.void : Effect.repeat(Effect.yieldNow, { times: count - 1 })

/** Forks a fiber that yields after so many operations. */
const forkYielding = (operations: number) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.forkChild(Effect.provideService(effect, References.MaxOpsBeforeYield, operations), { startImmediately: true })

/** The value of a fiber that ends within so many turns, because nothing that it waits for takes longer. */
const ends = <A, E>(fiber: Fiber.Fiber<A, E>, what: string) =>
  Effect.gen(function*() {
    for (let turn = 0; turn < 10_000 && fiber.pollUnsafe() === undefined; turn++) yield* Effect.yieldNow
    return yield* fiber.pollUnsafe() ?? assert.fail(`${what} waits for ever`)
  })

/** Each small number of operations, with each number of turns that another fiber takes before it does its part. */
const sweep = <E, R>(body: (operations: number, later: number) => Effect.Effect<unknown, E, R>) =>
  Effect.gen(function*() {
    for (let operations = 4; operations <= 24; operations++) {
      for (let later = 0; later < 6; later++) yield* body(operations, later)
    }
  })

describe("what comes between the decision to wait and the wait is not missed by", () => {
  it.effect("a run that waits for its session", () =>
    sweep((operations, later) =>
      Effect.gen(function*() {
        const take = SessionTurns.make()
        const scope = yield* Scope.make()
        yield* Scope.provide(take("s"), scope)
        const waiting = yield* forkYielding(operations)(Effect.scoped(take("s")))
        yield* turns(later)
        yield* Scope.close(scope, Exit.void)
        yield* ends(waiting, "a run")
      })
    ))

  it.effect("a fiber that waits for the pull of another one", () =>
    sweep((operations, later) =>
      Effect.gen(function*() {
        const run = new RunTurns.Turns()
        const parts = [{} as AgentRun.Part] as const
        const taken = Deferred.makeUnsafe<typeof parts>()
        const pull = (advance: () => PartPull) => Effect.withFiber((fiber) => run.take(fiber, advance))
        const first = yield* forkYielding(2048)(pull(() => Deferred.await(taken)).pipe(Effect.andThen(Effect.never)))
        const second = yield* forkYielding(operations)(pull(() => Effect.succeed(parts)))
        yield* turns(later)
        run.end()
        yield* ends(second, "a pull")
        yield* Fiber.interrupt(first)
      })
    ))

  it.effect("a program and its calls, the first time and when it is run again", () => {
    const parameters = Schema.Struct({ x: Schema.Int })
    const toolkit = Toolkit.make(
      Tool.make("echo", { success: Schema.Int, parameters }),
      Tool.make("gate", { success: Schema.Int, parameters, needsApproval: true })
    )
    const agent = Agent.program("program", {
      toolkit,
      providers: [SessionHistory.providerEveryStep],
      run: (_, call) =>
        Effect.gen(function*() {
          const numbers = yield* Effect.forEach([3, 1, 2], (x) => call.echo({ x }), { concurrency: 3 })
          return (yield* call.gate({ x: 4 })) + numbers.reduce((a, b) => a + b)
        })
    })
    return sweep((operations, later) =>
      Effect.gen(function*() {
        const run = Agent.run(agent, { prompt: "add", session: "s" })
        const asked = yield* ends(yield* forkYielding(operations)(run), "a program")
        const again = Agent.resume(agent, { session: "s" }, approveAll(asked))
        assert.strictEqual((yield* ends(yield* forkYielding(operations)(again), "a program run again")).value, 10)
      }).pipe(
        Effect.provide(Layer.merge(
          SessionStore.layerMemory,
          toolkit.toLayer({
            echo: ({ x }) => Effect.as(turns(later * x), x),
            gate: ({ x }) => Effect.succeed(x)
          })
        ))
      )
    )
  })

  it.effect("the reader of a stream with signs of life", () =>
    sweep((operations, later) =>
      Effect.gen(function*() {
        const texts = Stream.fromIterable(["a", "b", "c"]).pipe(
          Stream.rechunk(1),
          Stream.tap(() => turns(later))
        )
        const read = yield* forkYielding(operations)(Stream.runCollect(keepAlive(texts, "15 seconds")))
        assert.deepStrictEqual(yield* ends(read, "a reader"), ["a", "b", "c"])
      })
    ))
})
