/** Effects that are one transaction with their records: what a killed process has written in them is not there. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawnSync } from "node:child_process"
import { bundled } from "./fixtures/bundled.ts"
import { make, work } from "./fixtures/durableTransactions.ts"
import { inFile } from "./fixtures/programKills.ts"

const fixture = await bundled("./durableTransactions.ts")

const expected = {
  text: "done",
  // the tool that fails writes nothing
  writes: ["a step of afterRun: 1", "afterRun: 1", "fiber one: 1", "fiber two: 1", "paid: 1", "save: 1"],
  versions: [1]
}

describe("Durable.transaction, and the option `transactions`", () => {
  it.live(
    "tools, `afterRun`s and saves happen exactly once, whatever kills their process before the record",
    () =>
      inFile((filename) =>
        Effect.gen(function*() {
          for (const point of ["tool", "afterRun", "save"]) {
            const { signal } = spawnSync(process.execPath, [fixture, filename, point], { timeout: 60_000 })
            assert.strictEqual(signal, "SIGKILL", point)
          }
          assert.deepStrictEqual(yield* work(make(filename)), expected)
        })
      ),
    120_000
  )

  it.live("without an end of a process they happen once, too", () =>
    Effect.map(work(make(":memory:")), (told) => assert.deepStrictEqual(told, expected)))
})
