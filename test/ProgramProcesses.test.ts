import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Agent } from "../src/index.ts"
import { inFile, killAt, run, sqlite } from "./fixtures/programKills.ts"
import * as Programs from "./fixtures/programs.ts"

describe("a program in several processes", () => {
  it.live(
    "fan-in is lost on resume: killed anywhere, only calls without a saved result are made again, and the answer is one",
    () => Effect.map(killAt([2, 9, 15]), (killed) => assert.strictEqual(killed, 3)),
    60_000
  )

  it.live(
    "subgraph restarts: approvals two deep in two members are answered one by one, each in a process of its own",
    () =>
      inFile((file) =>
        Effect.gen(function*() {
          const ran: Array<string> = []
          const { approvals } = yield* Agent.run(Programs.asking, { prompt: "go", session: "s" }).pipe(
            Effect.provide(Layer.merge(sqlite(file), Programs.tools({ onBegin: (x) => void ran.push(x) })))
          )
          assert.deepStrictEqual(approvals.map(({ path, tool }) => [...path, tool]), [
            ["left", "deep", "gate"],
            ["right", "deep", "gate"]
          ])
          assert.deepStrictEqual(ran, [])
          assert.deepStrictEqual((yield* run("answer", file, "s")).said, "ran left\n1 wait, null\n")
          assert.deepStrictEqual(
            (yield* run("answer", file, "s")).said,
            "ran right\n0 wait, [\"[left]\",\"[right]\"]\n"
          )
        })
      ),
    60_000
  )
})
