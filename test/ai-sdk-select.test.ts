import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Option } from "effect"
import { Model } from "effect/ai"
import { execFile } from "node:child_process"
import { join } from "node:path"
import * as Models from "../scratchpad/ask/Models.ts"
import { Agent } from "../src/index.ts"
import * as OfflinePlanner from "../scratchpad/ask/planner/OfflinePlanner.ts"
import { modelServer, rawServer } from "./fixtures/ai-sdk.ts"

const offline: Models.Selected = { title: "offline", layer: OfflinePlanner.model }

const select = (
  env: Readonly<Record<string, string>>,
  input: { readonly model?: string; readonly baseUrl?: string } = {}
) =>
  Models.select(
    { model: Option.fromUndefinedOr(input.model), baseUrl: Option.fromUndefinedOr(input.baseUrl) },
    offline
  ).pipe(Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env })))

const problemOf = (...args: Parameters<typeof select>) =>
  Effect.map(Effect.flip(select(...args)), (error) => error.message)

const keys = { OPENAI_API_KEY: "a", ANTHROPIC_API_KEY: "b", GOOGLE_GENERATIVE_AI_API_KEY: "c" }

describe("the model of the main job", () => {
  it.effect("is the offline planner when nothing is given", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* select({}), offline)
      assert.strictEqual(yield* select({ OPENAI_API_KEY: "" }), offline)
    }))

  it.effect("is the one of the key that is there, and the first of several", () =>
    Effect.gen(function*() {
      const { ANTHROPIC_API_KEY, GOOGLE_GENERATIVE_AI_API_KEY } = keys
      const titles = yield* Effect.forEach(
        [keys, { ANTHROPIC_API_KEY, GOOGLE_GENERATIVE_AI_API_KEY }, { GOOGLE_GENERATIVE_AI_API_KEY }],
        (env) => Effect.map(select(env), ({ title }) => title)
      )
      assert.deepStrictEqual(titles, [
        "gpt-5.4-mini (OpenAI)",
        "claude-sonnet-5 (Anthropic)",
        "gemini-flash-latest (Google)"
      ])
    }))

  it.effect("is the one that is named", () =>
    Effect.gen(function*() {
      const titles = yield* Effect.forEach(
        [{ model: "gpt-9" }, { model: "anthropic/claude-9" }, { model: "google/gemini-9" }, {
          model: "openai/gpt-oss",
          baseUrl: "http://127.0.0.1:11434/v1"
        }],
        (input) => Effect.map(select(keys, input), ({ title }) => title)
      )
      assert.deepStrictEqual(titles, [
        "gpt-9 (OpenAI)",
        "claude-9 (Anthropic)",
        "gemini-9 (Google)",
        "openai/gpt-oss (127.0.0.1:11434)"
      ])
    }))

  it.effect("is refused with a reason", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        [
          yield* problemOf({}, { baseUrl: "http://127.0.0.1:1/v1" }),
          yield* problemOf({}, { baseUrl: "localhost", model: "m" }),
          yield* problemOf({}, { model: "gpt-9" }),
          yield* problemOf({ OPENAI_API_KEY: "a" }, { model: "anthropic/claude-9" })
        ],
        [
          "--base-url needs --model: the name of a model that the server has",
          "--base-url localhost is no URL of a server, such as http://127.0.0.1:11434/v1",
          "--model gpt-9 needs OPENAI_API_KEY or ANTHROPIC_API_KEY or GOOGLE_GENERATIVE_AI_API_KEY in the environment, " +
          "or --base-url",
          "--model anthropic/claude-9 needs ANTHROPIC_API_KEY in the environment, or --base-url"
        ]
      )
    }))

  it.effect("answers, over HTTP", () =>
    Effect.gen(function*() {
      const mock = yield* modelServer((mock) => void mock.onMessage("hi", { content: "Hello." }))
      const v1 = `${mock.url}/v1`
      const cases = [
        [{ ...keys, OPENAI_BASE_URL: v1 }, {}, ["openai", "gpt-5.4-mini"]],
        [{ ...keys, ANTHROPIC_BASE_URL: v1 }, { model: "anthropic/claude-9" }, ["anthropic", "claude-9"]],
        [{ ...keys, GOOGLE_GENERATIVE_AI_BASE_URL: `${mock.url}/v1beta` }, { model: "google/gemini-9" }, [
          "gcp.gemini",
          "gemini-9"
        ]],
        [{ ...keys, OPENAI_COMPATIBLE_API_KEY: "d" }, { baseUrl: v1, model: "llama" }, ["openai-compatible", "llama"]],
        [keys, { baseUrl: v1, model: "llama" }, ["openai-compatible", "llama"]]
      ] as const
      for (const [env, input, names] of cases) {
        const { layer } = yield* select(env, input)
        const [result, ...said] = yield* Effect.all([
          Agent.run(Agent.make("a"), { prompt: "hi" }),
          Model.ProviderName,
          Model.ModelName
        ]).pipe(Effect.provide(layer))
        assert.deepStrictEqual([result.text, said], ["Hello.", names] as any)
      }
    }))

  it.effect("gives its own key to another server, and no other", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const url = yield* rawServer((request, response) => {
        seen.push(request.headers.authorization)
        response.writeHead(500).end()
      })
      for (const env of [keys, { ...keys, OPENAI_COMPATIBLE_API_KEY: "d" }]) {
        const { layer } = yield* select(env, { baseUrl: url, model: "llama" })
        yield* Effect.exit(Agent.run(Agent.make("a"), { prompt: "hi" })).pipe(Effect.provide(layer))
      }
      assert.deepStrictEqual(seen, [undefined, "Bearer d"])
    }))

  it.live("answers `npm start` on a server, and says which one", () =>
    Effect.gen(function*() {
      const mock = yield* modelServer((mock) => {
        mock.on({ userMessage: "lake", hasToolResult: false }, {
          toolCalls: [{ name: "search_text", arguments: { query: "lake" }, id: "call_a" }]
        })
        mock.on({ userMessage: "lake", hasToolResult: true }, { content: "There is no lake here." })
      })
      const main = join(import.meta.dirname, "../scratchpad/ask/main.ts")
      const { code, output } = yield* Effect.callback<{ readonly code: unknown; readonly output: string }>((resume) => {
        execFile(
          process.execPath,
          [
            main,
            "--no-trace",
            "--folder",
            import.meta.dirname,
            "--base-url",
            `${mock.url}/v1`,
            "--model",
            "llama",
            "lake"
          ],
          { env: { PATH: process.env["PATH"], NO_COLOR: "1" } },
          (error, stdout, stderr) => resume(Effect.succeed({ code: error?.code ?? 0, output: stdout + stderr }))
        )
      })
      assert.strictEqual(code, 0, output)
      assert.include(output, `llama (${new URL(mock.url).host})`)
      assert.include(output, "There is no lake here.")
      assert.deepStrictEqual(mock.getRequests().length, 2)
    }), 30_000)
})
