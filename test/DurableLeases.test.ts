/** The leases of a process, over a storage that answers as it is told to. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { RunnerAddress, type RunnerStorage, ShardId } from "effect/cluster"
import { TestClock } from "effect/testing"
import * as Leases from "../src/durable/internal/leases.ts"

const address = RunnerAddress.make("a", 0)
const [one, two] = [ShardId.make("default", 1), ShardId.make("default", 2)]

const names = (shares: ReadonlyArray<ShardId.ShardId>) => shares.map((share) => share.id)

const unused = Effect.die("unused")

/** `held` are the shares that the storage gives to whoever asks, and `late` is how long its next answer takes. */
const make = Effect.gen(function*() {
  const asked: Array<string> = []
  const state = { held: [1, 2], late: 0 }
  const answer = (what: string) => (_: RunnerAddress.RunnerAddress, shares: Iterable<ShardId.ShardId>) =>
    Effect.suspend(() => {
      asked.push(`${what} ${names([...shares]).join()}`)
      return Effect.delay(
        Effect.sync(() => [...shares].filter(({ id }) => state.held.includes(id))),
        state.late
      )
    })
  const storage: RunnerStorage.RunnerStorage["Service"] = {
    register: () => unused,
    unregister: () => Effect.void,
    getRunners: Effect.succeed([]),
    setRunnerHealth: () => unused,
    acquire: answer("acquire"),
    refresh: answer("refresh"),
    release: () => Effect.void,
    releaseAll: () => Effect.void
  }
  return { asked, state, leases: yield* Leases.make(storage, "3 seconds") }
})

describe("the leases of a process", () => {
  it.effect("are not asked for before a record in their first half, and then all at once", () =>
    Effect.gen(function*() {
      const { asked, leases, state } = yield* make
      const isHeld = Effect.map(leases.refresh(address, [one]), names)
      yield* leases.acquire(address, [one, two])
      yield* TestClock.adjust("1499 millis")
      assert.deepStrictEqual(yield* isHeld, [1])
      assert.deepStrictEqual(asked, ["acquire 1,2"])
      // somebody else has taken one
      state.held = [2]
      state.late = 100
      yield* TestClock.adjust("1 millis")
      const asking = yield* Effect.forkChild(
        Effect.all([isHeld, Effect.map(leases.refresh(address, [two]), names), isHeld], { concurrency: 3 }),
        { startImmediately: true }
      )
      yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual(yield* Fiber.join(asking), [[], [2], []])
      assert.deepStrictEqual(asked, ["acquire 1,2", "refresh 1,2"])
    }))

  it.effect("are asked for once they were given away", () =>
    Effect.gen(function*() {
      const { asked, leases, state } = yield* make
      yield* leases.acquire(address, [one, two])
      yield* leases.release(address, one)
      state.held = [2]
      assert.deepStrictEqual(yield* leases.refresh(address, [one]), [])
      assert.deepStrictEqual(asked, ["acquire 1,2", "refresh 2,1"])
    }))

  it.effect("hold while one renewal is late, and not while two are", () =>
    Effect.gen(function*() {
      const { leases, state } = yield* make
      yield* leases.acquire(address, [one, two])
      state.late = 10_000
      yield* TestClock.adjust("1 second")
      const first = yield* Effect.forkChild(leases.refresh(address, [one, two]), { startImmediately: true })
      yield* TestClock.adjust("700 millis")
      assert.deepStrictEqual(names(yield* Fiber.join(first)), [1, 2])
      yield* TestClock.adjust("300 millis")
      const second = yield* Effect.forkChild(leases.refresh(address, [one, two]), { startImmediately: true })
      yield* TestClock.adjust("3 seconds")
      assert.isUndefined(second.pollUnsafe())
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(names(yield* Fiber.join(second)), [1, 2])
    }))

  it.effect("are no matter for a process that has left: it is not told that nobody is there", () =>
    Effect.gen(function*() {
      const { leases } = yield* make
      assert.deepStrictEqual(yield* leases.getRunners, [])
      yield* leases.unregister(address)
      const asking = yield* Effect.forkChild(leases.getRunners, { startImmediately: true })
      yield* TestClock.adjust("1 minute")
      assert.isUndefined(asking.pollUnsafe())
    }))

  it.effect("that another process had are asked for twice", () =>
    Effect.gen(function*() {
      const { asked, leases, state } = yield* make
      state.held = [1]
      const acquiring = yield* Effect.forkChild(leases.acquire(address, [one, two]), { startImmediately: true })
      yield* TestClock.adjust("100 millis")
      state.held = [1, 2]
      yield* TestClock.adjust("100 millis")
      assert.deepStrictEqual(names(yield* Fiber.join(acquiring)), [1, 2])
      assert.deepStrictEqual(asked, ["acquire 1,2", "acquire 2"])
    }))
})
