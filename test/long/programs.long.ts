/** The proofs about programs in their whole size: `npm run test:long`. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { assertAllOutcomes, cancelAtRandom } from "../fixtures/programCancels.ts"
import { killAt } from "../fixtures/programKills.ts"

describe("programs", () => {
  it.effect(
    "are stopped at 10,000 random points",
    () => Effect.map(cancelAtRandom(11, 10_000), assertAllOutcomes),
    3_600_000
  )

  it.live(
    "are killed at 100 points of a diamond",
    () =>
      Effect.map(
        killAt(Array.from({ length: 100 }, (_, index) => 1 + index % 20)),
        (killed) => assert.isAtLeast(killed, 90)
      ),
    3_600_000
  )
})
