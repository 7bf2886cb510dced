/** The proof about killed recordings in its whole size: `npm run test:long`. */
import { NodeFileSystem } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem } from "effect"
import { killAtRandom } from "../fixtures/cassetteProcesses.ts"

describe("cassettes", () => {
  it.live(
    "keep every call that has ended in 100 processes that are killed",
    () =>
      Effect.gen(function*() {
        const files = yield* FileSystem.FileSystem
        const directory = yield* files.makeTempDirectoryScoped()
        assert.isAtLeast(yield* killAtRandom(`${directory}/killed.jsonl`, 100), 100)
      }).pipe(Effect.provide(NodeFileSystem.layer)),
    3_600_000
  )
})
