/** Durable executions in processes that are killed. In its whole size: `npm run test:durable`. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawnSync } from "node:child_process"
import { readFile } from "node:fs/promises"
import { execPath } from "node:process"
import { Durable } from "../src/durable/index.ts"
import { bundled } from "./fixtures/bundled.ts"
import * as DurableApprovals from "./fixtures/durableApprovals.ts"
import { killAt, readThrough } from "./fixtures/durableKills.ts"
import { inFile } from "./fixtures/programKills.ts"

const approvals = await bundled("./durableApprovals.ts")

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
  it.live(
    "approvals: one process asks, another one answers, a third one goes on; wrong answers change nothing",
    () =>
      inFile((filename) =>
        Effect.gen(function*() {
          const process = (phase: string) => {
            const { signal, stdout } = spawnSync(execPath, [approvals, filename, phase], {
              encoding: "utf8",
              timeout: 60_000
            })
            assert.strictEqual(signal, "SIGKILL", phase)
            return stdout
          }
          process("ask")
          assert.deepStrictEqual(JSON.parse(process("answer")), {
            asked: ["pay", "pay", "clerk/refund"],
            refused: ["unknown", "invalid-params", "invalid-params", "answered"],
            status: "waiting"
          })
          const { durable, layer } = DurableApprovals.make(filename)
          const { text, usage } = yield* Effect.provide(Durable.result(durable, "day"), layer)
          assert.strictEqual(text, "the day is closed")
          assert.isDefined(usage)
          const done = yield* Effect.promise(() => readFile(`${filename}.log`, "utf8"))
          assert.deepStrictEqual(done.trim().split("\n").toSorted(), ["pay 2", "refund 5"])
        })
      ),
    120_000
  )

  it.live(
    "a reader that breaks 20 times while its processes are killed has each part once",
    () =>
      Effect.map(readThrough(["middle lead model 0", "begin lead tool 2 B"], 20), ({ breaks, ends, isWhole }) => {
        assert.isAtLeast(breaks, 20)
        assert.deepStrictEqual({ isWhole, ends }, { isWhole: true, ends: 1 })
      }),
    120_000
  )
})
