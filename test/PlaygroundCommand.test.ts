import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Command from "../src/playground/internal/command.ts"

// test/package.test.ts runs the command, from the tarball
describe("effect-agents playground", () => {
  it.effect("says what is wrong with its arguments", () =>
    Effect.gen(function*() {
      const cases: ReadonlyArray<readonly [args: ReadonlyArray<string>, problem: string, message: RegExp]> = [
        [["other"], "usage", /^There is no command `other`\.\n\neffect-agents playground <module>/],
        [["playground"], "usage", /^Which module\? For example: effect-agents playground \.\/agents\.ts$/],
        [["playground", "a.ts", "b.ts"], "usage", /^`b\.ts` is not understood/],
        [["playground", "a.ts", "--unknown"], "usage", /^`--unknown` is not understood/],
        [["playground", "a.ts", "--port"], "usage", /^`--port` needs a number from 0 to 65535, not ``\.$/],
        [["playground", "a.ts", "--port", "65536"], "usage", /not `65536`/],
        [["playground", "a.ts", "--port=-1"], "usage", /not `-1`/],
        [["playground", "test/none.ts", "--no-open"], "no-file", /^There is no file `.*none\.ts`\.$/],
        [["playground", "test"], "no-file", /^There is no file `.*test`\.$/]
      ]
      for (const [args, problem, message] of cases) {
        const error = yield* Effect.flip(Effect.scoped(Command.run(args)))
        assert.strictEqual(error.problem, problem, args.join(" "))
        assert.match(error.message, message)
      }
    }))
})
