/** One process works on a SQLite file. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { SqliteRunner } from "../src/durable/index.ts"
import { bundled } from "./fixtures/bundled.ts"
import { inFile } from "./fixtures/programKills.ts"

const server = await bundled("./sqliteRunner.ts")

describe("SqliteRunner", () => {
  it.live("refuses a second process on its file, and accepts it when the first one was killed", () =>
    inFile((filename) =>
      Effect.gen(function*() {
        const first = spawn(process.execPath, [server, filename], { stdio: ["ignore", "pipe", "inherit"] })
        yield* Effect.addFinalizer(() => Effect.sync(() => first.kill("SIGKILL")))
        yield* Effect.promise(() => once(first.stdout, "data"))
        const here = Effect.scoped(Layer.build(SqliteRunner.layer({ filename })))
        const refused = yield* Effect.flip(here)
        assert.strictEqual(refused._tag, "RunnerExists")
        assert.include(refused.message, filename)
        const exited = once(first, "exit")
        first.kill("SIGKILL")
        yield* Effect.promise(() => exited)
        yield* here
      }).pipe(Effect.scoped)
    ))

  it.live("the same process may open its file again when it has closed it, and files do not know each other", () =>
    inFile((filename) =>
      Effect.gen(function*() {
        const open = (name: string) => Layer.build(Layer.fresh(SqliteRunner.layer({ filename: name })))
        yield* Effect.scoped(open(filename))
        yield* Effect.scoped(Effect.gen(function*() {
          yield* open(filename)
          const refused = yield* Effect.flip(open(filename))
          assert.strictEqual(refused._tag, "RunnerExists")
          yield* open(`${filename}-other`)
        }))
      })
    ))
})
