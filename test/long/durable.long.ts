/** The proofs about durable executions in their whole size: `npm run test:long`. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Random } from "effect"
import { killAt } from "../fixtures/durableKills.ts"

describe("Durable", () => {
  it.live("is killed at 100 random points", () =>
    Effect.gen(function*() {
      let kills = 0
      while (kills < 100) {
        const points = yield* Effect.replicateEffect(Random.nextIntBetween(1, 14), 10)
        kills += (yield* killAt(points)).kills
      }
      assert.isAtLeast(kills, 100)
    }).pipe(Random.withSeed("durable")), 3_600_000)
})
