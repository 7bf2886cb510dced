/**
 * What an editor shows, asked of the language server of the compiler: the errors of typical mistakes, and what is over a
 * name.
 */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { readdirSync, readFileSync } from "node:fs"
import { basename, join } from "node:path"
import { afterAll, beforeAll } from "vitest"
import { Agent, AgentTool } from "../src/index.ts"
import * as LanguageServer from "./fixtures/languageServer.ts"

const folder = join(import.meta.dirname, "fixtures/editor")
const filesIn = (name: string) => readdirSync(join(folder, name)).map((file) => join(folder, name, file))

const Weather = Tool.make("get_weather", { success: Schema.String })

let server: LanguageServer.LanguageServer
beforeAll(async () => {
  server = await LanguageServer.start()
}, 60_000)
afterAll(() => server.close())

/** What is in a tool is not what its error is about. */
const withoutTools = (message: string) =>
  message.replaceAll(/Tool<"(\w+)", (\{(?:[^{}]|\{[^{}]*\})*\}), never>/g, "Tool<\"$1\", ...>")

/** The comments that stand below a mistake: the message, as the compiler writes it. */
const expectedIn = (file: string): ReadonlyArray<LanguageServer.Reported> => {
  const expected: Array<LanguageServer.Reported> = []
  readFileSync(file, "utf8").split("\n").forEach((text, index) => {
    const [, isFirst, message] = /^\s*\/\/( error:)? (.*)$/.exec(text) ?? []
    if (message === undefined) return
    if (isFirst !== undefined) expected.push({ line: index, message })
    else {
      const last = expected.pop()!
      expected.push({ line: last.line, message: `${last.message}\n${message}` })
    }
  })
  return expected
}

describe("an editor", () => {
  it("is not needed: what is no toolkit is refused when the agent is made, too", () => {
    const agent = Agent.make("assistant")
    for (
      const toolkit of [Weather, [Weather], Toolkit.make(Weather).toLayer({} as any), AgentTool.make(agent), agent]
    ) {
      assert.throws(
        () => Agent.make("agent", { toolkit: toolkit as any }),
        "The toolkit of agent `agent` is none: it is a `Toolkit`, or an effect that gives one"
      )
    }
    const parameters = { city: Schema.String }
    assert.throws(() => Agent.make("agent", { output: parameters as any }))
  })

  describe("says what is wrong, and what to write", () => {
    for (const file of filesIn("mistakes")) {
      it(basename(file, ".ts"), async () => {
        const reported = await server.errors(file)
        const shown = reported.map(({ line, message }) => ({ line, message: withoutTools(message) }))
        assert.deepStrictEqual(shown, expectedIn(file))
        assert.isAbove(shown.length, 0)
      })
    }
  })
})
