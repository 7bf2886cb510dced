/** The proofs about durable executions in their whole size: `npm run test:durable`. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Random } from "effect"
import { killAt, readThrough } from "../fixtures/durableKills.ts"

/** One after the other, as an execution comes to them. */
const named = [
  // before a model call, in its stream, before its record
  "begin lead model 0",
  "middle lead model 0",
  "end lead model 0",
  // in a tool, and in those of nested agents that work at the same time
  "begin lead tool 0 A",
  "begin leaf-p tool 0 leaf-p1",
  "middle leaf-q model 1",
  "begin lead tool 2 B",
  // in `afterRun`, before the save, after it, and after `run-end`
  "begin lead after 8 run",
  "end lead after 8 run",
  "begin lead save 9 session",
  "end lead save 9 session",
  "end lead over 10 run"
]

describe("Durable, on one machine", () => {
  it.live("is killed at each named point", () =>
    Effect.map(killAt(named), ({ kills, repeats }) => {
      assert.strictEqual(kills, named.length)
      assert.isAbove(repeats, 0)
    }), 300_000)

  it.live("is killed at 100 random points", () =>
    Effect.gen(function*() {
      let kills = 0
      let repeats = 0
      while (kills < 100) {
        const points = yield* Effect.replicateEffect(Random.nextIntBetween(1, 14), 10)
        const killed = yield* killAt(points)
        kills += killed.kills
        repeats += killed.repeats
      }
      assert.isAtLeast(kills, 100)
      yield* Effect.log(`${kills} processes were killed, ${repeats} calls were in flight and made again`)
    }).pipe(Random.withSeed("durable")), 600_000)

  it.live("a program is killed at 20 points", () =>
    Effect.gen(function*() {
      let kills = 0
      for (const points of [[1, 2, 3, 1, 2], [4, 3, 1, 1, 2], [2, 2, 2, 1, 1], [5, 1, 2, 1, 1]]) {
        kills += (yield* killAt(points, "article")).kills
      }
      assert.isAtLeast(kills, 12)
    }), 300_000)

  it.live(
    "a reader that breaks 60 times while 20 processes are killed has each part once",
    () =>
      Effect.gen(function*() {
        for (const points of [named.slice(0, 6), [3, 9, 4, 1, 7, 2], named.slice(5)]) {
          const { breaks, ends, isWhole } = yield* readThrough(points, 20)
          assert.isAtLeast(breaks, 20)
          assert.deepStrictEqual({ isWhole, ends }, { isWhole: true, ends: 1 })
        }
      }),
    600_000
  )
})
