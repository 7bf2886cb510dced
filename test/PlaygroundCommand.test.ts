import { assert, describe, it } from "@effect/vitest"
import { Console, Deferred, Effect } from "effect"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
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

  it.effect("says what is wrong with a module, without the control characters that it may hold", () =>
    Effect.gen(function*() {
      const folder = mkdtempSync(join(import.meta.dirname, "../node_modules/.playground-"))
      const from = JSON.stringify(join(import.meta.dirname, "../src/Agent.ts"))
      const agent = `import * as Agent from ${from}\nexport const one = Agent.make("same")\n`
      const cases = [
        ["same.ts", `${agent}export const two = [Agent.make("same")]`, "same-name", /two agents with the name `same`/],
        ["throws.ts", `throw new Error("no key\\x1b[31m here\\u202e")`, "not-loaded", /no key\uFFFD\[31m here\uFFFD/],
        ["layer.ts", `${agent}export const layer = "none"`, "not-loaded", /The export `layer` of `.*` is not a Layer/],
        ["none.ts", `export const none = 1`, "no-agents", /exports no agent\. It exports `none`\./]
      ] as const
      for (const [name, text, problem, message] of cases) {
        writeFileSync(join(folder, name), text)
        const error = yield* Effect.flip(Effect.scoped(Command.run(["playground", join(folder, name), "--no-open"])))
        assert.strictEqual(error.problem, problem, name)
        assert.match(error.message, message)
      }
      rmSync(folder, { recursive: true })
    }))

  it.live("prints the address of the page, also of one with a path of its own", () =>
    Effect.gen(function*() {
      const said = yield* Deferred.make<string>()
      const log = (text: string) => Deferred.doneUnsafe(said, Effect.succeed(text))
      yield* Effect.forkScoped(
        Command.run(["playground", join(import.meta.dirname, "fixtures/playgroundAgents.ts"), "--no-open"]).pipe(
          Effect.provideService(Console.Console, { ...globalThis.console, log })
        )
      )
      const [address] = /http:\S+/.exec(yield* Deferred.await(said)) ?? [""]
      assert.match(address, /^http:\/\/127\.0\.0\.1:\d+\/talk#token=\w+$/)
      const page = yield* Effect.promise(() => fetch(address))
      assert.strictEqual(page.status, 200)
      assert.include(yield* Effect.promise(() => page.text()), "<!doctype html>")
    }))
})
