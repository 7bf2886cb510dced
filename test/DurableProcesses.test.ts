/** Durable executions in processes that are killed. In its whole size: `npm run test:long`. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { killAt } from "./fixtures/durableKills.ts"

describe("Durable, in processes", () => {
  it.live("a process that is killed anywhere is continued by the next one, to the result of one that was not", () =>
    // in a stream, in a tool, between tools, in nested runs, in `afterRun`, in a save
    Effect.map(killAt([2, 4, 3, 6, 11, 9, 5, 2]), ({ kills, repeats }) => {
      assert.strictEqual(kills, 8)
      assert.isAbove(repeats, 0)
    }), 120_000)
})
