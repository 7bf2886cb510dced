/** Durable executions in processes that are killed. In its whole size: `npm run test:durable`. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { killAt } from "./fixtures/durableKills.ts"

/** In a stream, in a tool of a nested agent, in `afterRun`, after the save: as an execution comes to them. */
const points = [
  "middle lead model 0",
  "begin leaf-p tool 0 leaf-p1",
  "begin lead after 8 run",
  "end lead save 9 session"
]

describe("Durable, in processes", () => {
  it.live(
    "a process that is killed at any point is continued by the next one, to the result of one that was not",
    () =>
      Effect.map(killAt(points), ({ kills, repeats }) => {
        assert.strictEqual(kills, points.length)
        assert.isAbove(repeats, 0)
      }),
    120_000
  )

  it.live(
    "a program of agents and effects that is killed goes on, with the values of the nodes that have run",
    () =>
      Effect.map(
        killAt(["end article tool 1 writer", "begin article tool 2 words"], "article"),
        ({ kills, repeats }) => {
          assert.strictEqual(kills, 2)
          assert.isAbove(repeats, 0)
        }
      ),
    120_000
  )
})
