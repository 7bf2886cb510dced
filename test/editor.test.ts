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

  describe("shows", () => {
    const hovers = join(folder, "hovers.ts")
    const hover = async (text: string) => {
      const shown = await server.hover(hovers, text)
      const [, type, rest] = /^```typescript\n([\s\S]*?)\n```([\s\S]*)$/.exec(shown) ?? []
      // the plugin for Effect adds a block of its own
      return { type, doc: rest?.replace(/```ts\n[\s\S]*?\n```/, "").trim() }
    }

    it("no error in a program that is right", async () => {
      assert.deepStrictEqual(await server.errors(hovers), [])
    })

    it.each([
      ["Failures", "type Failures = AgentError | AiError"],
      ["Needs =", "type Needs = Handler<\"get_time\"> | Handler<\"get_weather\"> | LanguageModel"],
      ["LeadNeeds", "type LeadNeeds = Handler<\"get_time\"> | Handler<\"get_weather\"> | LanguageModel"],
      [
        "oneRun",
        "const oneRun: Effect<Result<undefined>, AgentError | AiError, " +
        "Handler<\"get_time\"> | Handler<\"get_weather\"> | LanguageModel>"
      ],
      [
        "typed =",
        "const typed: Agent.Agent<{}, AgentError | AiError, LanguageModel, {\n    readonly city: string;\n} | undefined, {\n" +
        "    readonly city?: string;\n}>"
      ],
      [
        "asked =",
        "const asked: ToolCallPart<\"get_time\", unknown> | ToolCallPart<\"get_weather\", unknown> | " +
        "ToolCallPart<string, unknown>"
      ],
      ["weather =", "const weather: string"]
    ])("the type of %s", async (text, expected) => {
      assert.strictEqual((await hover(text)).type, expected)
    })

    it("an agent with two tools on one screen", async () => {
      const { type = "" } = await hover("twoTools =")
      assert.isAtMost(type.split("\n").length, 20)
      assert.isAtMost(Math.max(...type.split("\n").map((line) => line.length)), 100)
      assert.match(type, /^const twoTools: Agent\.Agent<\{/)
    })

    it.each([
      [
        "description: \"d\"",
        "The description that a calling model reads when this agent is a tool, and that telemetry reports. Default: none."
      ],
      [
        "instructions: \"i\"",
        "The system message. The instructions of context providers are appended to it. Default: none."
      ],
      ["toolChoice:", "Default: `\"auto\"`."],
      ["stopWhen:", "Default: `StopCondition.defaults` alone."],
      ["output: Schema.String", "Default: text, and a `value` that is `undefined`."],
      ["toolkit,\n  providers", "Default: no tools."],
      [
        "session: \"s\"",
        "The id of the conversation that the run belongs to. Default: none, and nothing is loaded or saved."
      ],
      ["failureMode:", "Default: `\"error\"`."],
      ["tokens:", "Input and output tokens together. Default: no limit."],
      ["state:", "A value that this provider's `afterRun` receives. Default: `undefined`."],
      ["model: (request", "A function around each model call. Default: nothing is around it."]
    ])("what %s is, and its default", async (text, expected) => {
      const { doc = "" } = await hover(text)
      assert.isTrue(doc.endsWith(expected), doc)
    })
  })
})
