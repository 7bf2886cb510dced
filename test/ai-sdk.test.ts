import { assert, describe, it } from "@effect/vitest"
import type * as Sdk from "@ai-sdk/provider"
import { Effect, Logger, Schema, Stream } from "effect"
import { EmbeddingModel, LanguageModel, Model, Prompt, type Response, Tool, Toolkit } from "effect/ai"
import { AiSdk } from "../src/ai-sdk/index.ts"
import { Agent } from "../src/index.ts"
import {
  handlers,
  modelServer,
  type ProviderName,
  providerNames,
  providers,
  recording,
  sdkModel,
  type Sent,
  toolkit
} from "./fixtures/ai-sdk.ts"

/** The text of a part without what the server makes up. */
const show = (part: Response.AnyPart): string => {
  switch (part.type) {
    case "text-delta":
    case "reasoning-delta":
      return `${part.type} ${part.delta}`
    case "tool-call":
      return `tool-call ${part.id} ${part.name} ${JSON.stringify(part.params)}`
    case "finish":
      return `finish ${part.reason}`
    default:
      return part.type
  }
}

/** Parts with neighbouring deltas joined: where the server cuts them is its own affair. */
const showAll = (parts: Iterable<Response.AnyPart>): ReadonlyArray<string> => {
  const lines: Array<string> = []
  for (const part of parts) {
    const line = show(part)
    const last = lines.at(-1)
    if (part.type.endsWith("-delta") && last?.startsWith(part.type) === true) {
      lines.push(lines.pop() + line.slice(part.type.length + 1))
    } else lines.push(line)
  }
  return lines
}

/** The parts of one call, with the tools that the agent loop would send. */
const call = (
  model: AiSdk.SdkLanguageModel,
  prompt: Prompt.RawInput,
  settings?: AiSdk.Settings
) =>
  LanguageModel.streamText({
    prompt,
    toolkit,
    disableToolCallResolution: true,
    toolCallValidation: "deferred"
  }).pipe(Stream.runCollect, Effect.provide([AiSdk.layer(model, settings), handlers]))

/** The parts of one call without a tool. */
const answer = (model: AiSdk.SdkLanguageModel, settings?: AiSdk.Settings) =>
  LanguageModel.streamText({ prompt: "hi" }).pipe(Stream.runCollect, Effect.provide(AiSdk.layer(model, settings)))

const finish = (usage: unknown = {}, finishReason: unknown = { unified: "stop", raw: "stop" }) => ({
  type: "finish",
  usage,
  finishReason
})

const noUsage = {
  inputTokens: { uncached: undefined, total: undefined, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: undefined, text: undefined, reasoning: undefined }
}

describe("AiSdk", () => {
  describe("a provider over HTTP", () => {
    const answers = (mock: Parameters<Parameters<typeof modelServer>[0]>[0]) => {
      mock.onMessage("think", { content: "Fine weather.", reasoning: "Look outside.", reasoningSignature: "c2ln" })
      mock.on({ userMessage: "trip", hasToolResult: false }, {
        toolCalls: [
          { name: "weather", arguments: { city: "Oslo" }, id: "call_a" },
          { name: "weather", arguments: { city: "Rome" }, id: "call_b" }
        ]
      })
      mock.on({ userMessage: "trip", hasToolResult: true }, { content: "Go to Rome." })
    }
    // a finish reason of this server is wrong for Gemini's tool calls
    const calling = (name: ProviderName) => name === "google" ? "finish other" : "finish tool-calls"
    const reasoning = ["reasoning-start", "reasoning-delta Look outside.", "reasoning-end"]
    const text = ["text-start", "text-delta Fine weather.", "text-end", "finish stop"]

    for (const name of providerNames) {
      it.effect(`streams text and reasoning: ${name}`, () =>
        Effect.gen(function*() {
          const mock = yield* modelServer(answers)
          const parts = yield* call(providers(mock.url)[name], "think")
          assert.deepStrictEqual(
            showAll(parts).filter((line) => line !== "response-metadata"),
            // there is no reasoning in the API of Chat Completions
            name === "openai chat" ? text : [...reasoning, ...text]
          )
        }))

      it.effect(`streams tool calls that are made together: ${name}`, () =>
        Effect.gen(function*() {
          const mock = yield* modelServer(answers)
          const parts = yield* call(providers(mock.url)[name], "trip")
          assert.deepStrictEqual(
            parts.filter((part) => part.type === "tool-call" || part.type === "finish").map(show),
            [
              "tool-call call_a weather {\"city\":\"Oslo\"}",
              "tool-call call_b weather {\"city\":\"Rome\"}",
              calling(name)
            ]
          )
        }))

      it.effect(`runs an agent with tools: ${name}`, () =>
        Effect.gen(function*() {
          const mock = yield* modelServer(answers)
          const agent = Agent.make("guide", { toolkit })
          const result = yield* Agent.run(agent, { prompt: "trip" }).pipe(
            Effect.provide([AiSdk.model(providers(mock.url)[name]), handlers])
          )
          assert.deepStrictEqual(
            [
              result.text,
              result.stopReason,
              result.steps.map((step) =>
                step.toolCalls.map(({ executed, id, isFailure }) => ({ executed, id, isFailure }))
              )
            ],
            ["Go to Rome.", "stop", [[
              { executed: true, id: "call_a", isFailure: false },
              { executed: true, id: "call_b", isFailure: false }
            ], []]]
          )
        }))

      it.effect(`generates text and calls: ${name}`, () =>
        Effect.gen(function*() {
          const mock = yield* modelServer(answers)
          const layer = AiSdk.layer(providers(mock.url)[name])
          const text = yield* Effect.provide(LanguageModel.generateText({ prompt: "think" }), layer)
          const { toolCalls } = yield* LanguageModel.generateText({
            prompt: "trip",
            toolkit,
            disableToolCallResolution: true
          }).pipe(Effect.provide([layer, handlers]))
          assert.deepStrictEqual(
            [text.text, text.finishReason, toolCalls.map(({ id, params }) => [id, params])],
            ["Fine weather.", "stop", [["call_a", { city: "Oslo" }], ["call_b", { city: "Rome" }]]]
          )
        }))

      it.effect(`generates an object: ${name}`, () =>
        Effect.gen(function*() {
          const mock = yield* modelServer((mock) => void mock.onMessage("who", { content: { name: "Ann", age: 7 } }))
          const sent: Array<Sent> = []
          const { value } = yield* LanguageModel.generateObject({
            prompt: "who",
            objectName: "person",
            schema: Schema.Struct({ name: Schema.String, age: Schema.Int })
          }).pipe(Effect.provide(AiSdk.layer(providers(mock.url, recording(sent))[name])))
          assert.deepStrictEqual(value, { name: "Ann", age: 7 })
          assert.include(JSON.stringify(sent[0].body), "\"age\"")
        }))
    }

    it.effect("keeps the signature of a thought over the steps of a run", () =>
      Effect.gen(function*() {
        const mock = yield* modelServer((mock) => {
          mock.on({ userMessage: "trip", hasToolResult: false }, {
            toolCalls: [{ name: "weather", arguments: { city: "Oslo" }, id: "call_a" }],
            reasoning: "Ask first.",
            reasoningSignature: "c2lnbmF0dXJl"
          })
          mock.on({ userMessage: "trip", hasToolResult: true }, { content: "Go." })
        })
        const sent: Array<Sent> = []
        yield* Agent.run(Agent.make("guide", { toolkit }), { prompt: "trip" }).pipe(
          Effect.provide([AiSdk.layer(providers(mock.url, recording(sent)).anthropic), handlers])
        )
        assert.deepStrictEqual(sent[1].body.messages, [
          { role: "user", content: [{ type: "text", text: "trip" }] },
          {
            role: "assistant",
            content: [
              { type: "thinking", thinking: "Ask first.", signature: "c2lnbmF0dXJl" },
              { type: "tool_use", id: "call_a", name: "weather", input: { city: "Oslo" } }
            ]
          },
          {
            role: "user",
            content: [{ type: "tool_result", tool_use_id: "call_a", content: "{\"sky\":\"Oslo: clear\"}" }]
          }
        ])
      }))

    it.effect("reads the usage with its cached and its reasoning tokens", () =>
      Effect.gen(function*() {
        const mock = yield* modelServer((mock) =>
          void mock.onMessage("hi", {
            content: "Hi.",
            usage: {
              prompt_tokens: 100,
              completion_tokens: 20,
              total_tokens: 120,
              prompt_tokens_details: { cached_tokens: 60 },
              completion_tokens_details: { reasoning_tokens: 5 }
            }
          })
        )
        // the server gives these details only in the shape of OpenRouter
        const model = providers(`${mock.url}/api`)["openai chat"]
        const parts = yield* call(model, "hi")
        assert.deepStrictEqual({ ...parts.find((part) => part.type === "finish")?.usage }, {
          inputTokens: { uncached: 40, total: 100, cacheRead: 60, cacheWrite: undefined },
          outputTokens: { total: 20, text: 15, reasoning: 5 }
        })
      }))
  })

  describe("the request", () => {
    const everything = Prompt.make([
      { role: "system", content: "Be terse.", options: { anthropic: { cacheControl: { type: "ephemeral" } } } },
      {
        role: "user",
        content: [
          { type: "text", text: "Look." },
          { type: "file", mediaType: "image/png", data: new Uint8Array([1, 2, 3]) },
          { type: "file", mediaType: "image/png", data: new URL("https://example.com/a.png") }
        ]
      },
      {
        role: "assistant",
        content: [
          { type: "reasoning", text: "Hmm.", options: { anthropic: { signature: "sig" } } },
          { type: "text", text: "I look." },
          { type: "text", text: "" },
          { type: "tool-call", id: "call_a", name: "weather", params: { city: "Oslo" } },
          { type: "tool-call", id: "call_b", name: "weather", params: "{oops" }
        ]
      },
      {
        role: "tool",
        content: [
          {
            type: "tool-result",
            id: "call_a",
            name: "weather",
            isFailure: false,
            result: { sky: "blue" },
            modelOutput: [{ type: "text", text: "see" }, { type: "file", mediaType: "image/png", data: "AQID" }]
          },
          { type: "tool-result", id: "call_b", name: "weather", isFailure: true, result: "not JSON" }
        ]
      },
      { role: "user", content: "hello" }
    ])

    it.effect("carries the whole prompt, the tools and the settings", () =>
      Effect.gen(function*() {
        const mock = yield* modelServer((mock) => void mock.onMessage("hello", { content: "hi" }))
        const sent: Array<Sent> = []
        yield* call(providers(mock.url, recording(sent)).anthropic, everything, {
          maxOutputTokens: 100,
          temperature: 0.5,
          topP: 0.9,
          stopSequences: ["END"],
          headers: { "x-team": "blue" },
          providerOptions: { anthropic: { disableParallelToolUse: true } }
        })
        const image = { type: "image", source: { type: "base64", media_type: "image/png", data: "AQID" } }
        assert.strictEqual(sent[0].headers["x-team"], "blue")
        assert.deepStrictEqual(sent[0].body, {
          model: "claude-sonnet-4-5",
          max_tokens: 100,
          temperature: 0.5,
          stop_sequences: ["END"],
          stream: true,
          system: [{ type: "text", text: "Be terse.", cache_control: { type: "ephemeral" } }],
          messages: [
            {
              role: "user",
              content: [
                { type: "text", text: "Look." },
                image,
                { type: "image", source: { type: "url", url: "https://example.com/a.png" } }
              ]
            },
            {
              role: "assistant",
              content: [
                { type: "thinking", thinking: "Hmm.", signature: "sig" },
                { type: "text", text: "I look." },
                { type: "tool_use", id: "call_a", name: "weather", input: { city: "Oslo" } },
                // arguments that were no JSON are not sent again, only the error that they got
                { type: "tool_use", id: "call_b", name: "weather", input: { rawInvalidInput: "{oops" } }
              ]
            },
            {
              role: "user",
              content: [
                { type: "tool_result", tool_use_id: "call_a", content: [{ type: "text", text: "see" }, image] },
                { type: "tool_result", tool_use_id: "call_b", content: "not JSON", is_error: true },
                { type: "text", text: "hello" }
              ]
            }
          ],
          tools: [{
            name: "weather",
            description: "The weather of a city",
            input_schema: {
              type: "object",
              properties: { city: { type: "string" } },
              required: ["city"],
              additionalProperties: true
            },
            eager_input_streaming: true
          }],
          tool_choice: { type: "auto", disable_parallel_tool_use: true }
        })
      }))

    it.effect("is closed where a tool is strict, and has the tools of the provider", () =>
      Effect.gen(function*() {
        const asked: Array<Sdk.LanguageModelV4CallOptions> = []
        const strict = Tool.make("strict", { parameters: Schema.Struct({ a: Schema.String }) }).annotate(
          Tool.Strict,
          true
        )
        const search = Tool.providerDefined({
          id: "acme.search",
          customName: "search",
          providerName: "web_search",
          args: Schema.Struct({ depth: Schema.Int })
        })({ depth: 2 })
        const kit = Toolkit.make(strict, search)
        yield* LanguageModel.streamText({
          prompt: "hi",
          toolkit: kit,
          toolChoice: { tool: "strict" },
          disableToolCallResolution: true,
          toolCallValidation: "deferred"
        }).pipe(
          Stream.runDrain,
          Effect.provide([AiSdk.layer(sdkModel([finish()], { asked })), kit.toLayer({ strict: () => Effect.void })])
        )
        assert.deepStrictEqual([asked[0].tools, asked[0].toolChoice], [
          [
            {
              type: "function",
              name: "strict",
              strict: true,
              inputSchema: {
                type: "object",
                properties: { a: { type: "string" } },
                required: ["a"],
                additionalProperties: false
              }
            },
            { type: "provider", id: "acme.search", name: "search", args: { depth: 2 } }
          ],
          { type: "tool", toolName: "strict" }
        ])
      }))

    it.effect("says no word of tools when there are none, and `none` when they may not be called", () =>
      Effect.gen(function*() {
        const asked: Array<Sdk.LanguageModelV4CallOptions> = []
        const layer = AiSdk.layer(sdkModel([finish()], { asked }))
        yield* Effect.provide(Stream.runDrain(LanguageModel.streamText({ prompt: "hi" })), layer)
        yield* LanguageModel.streamText({
          prompt: "hi",
          toolkit,
          toolChoice: "none",
          disableToolCallResolution: true,
          toolCallValidation: "deferred"
        }).pipe(Stream.runDrain, Effect.provide([layer, handlers]))
        assert.deepStrictEqual(
          asked.map(({ toolChoice, tools }) => [tools?.length, toolChoice]),
          [[undefined, undefined], [1, { type: "none" }]]
        )
      }))

    it.effect("has files as version 3 of the specification wants them", () =>
      Effect.gen(function*() {
        const asked: Array<Sdk.LanguageModelV4CallOptions> = []
        const parts = yield* call(
          sdkModel([
            { type: "file", mediaType: "text/plain", data: new Uint8Array([104, 105]) },
            finish()
          ], { asked, version: "v3" }),
          everything
        )
        const [, user, , tool] = asked[0].prompt as ReadonlyArray<any>
        assert.deepStrictEqual([user.content.slice(1), tool.content[0].output, parts.map(show)], [
          [
            { type: "file", mediaType: "image/png", data: new Uint8Array([1, 2, 3]) },
            { type: "file", mediaType: "image/png", data: new URL("https://example.com/a.png") }
          ],
          {
            type: "content",
            value: [{ type: "text", text: "see" }, { type: "file-data", mediaType: "image/png", data: "AQID" }]
          },
          ["file", "finish stop"]
        ])
      }))

    it.effect("has the settings of a part of the program above those of the model", () =>
      Effect.gen(function*() {
        const asked: Array<Sdk.LanguageModelV4CallOptions> = []
        yield* LanguageModel.streamText({ prompt: "hi" }).pipe(
          Stream.runDrain,
          Effect.provideService(AiSdk.CurrentSettings, {
            temperature: 1,
            topK: undefined,
            headers: { b: "2" },
            providerOptions: { acme: { y: 2 } }
          }),
          Effect.provide(AiSdk.layer(sdkModel([finish()], { asked }), {
            temperature: 0,
            topK: 5,
            headers: { a: "1" },
            providerOptions: { acme: { x: 1 } }
          }))
        )
        const { abortSignal, prompt, ...settings } = asked[0]
        assert.deepStrictEqual([abortSignal instanceof AbortSignal, prompt, settings as unknown], [
          true,
          [{ role: "user", content: [{ type: "text", text: "hi" }] }],
          {
            temperature: 1,
            topK: 5,
            headers: { a: "1", b: "2" },
            providerOptions: { acme: { x: 1, y: 2 } }
          }
        ])
      }))

    it.effect("has the settings of the model as they are when it is made", () =>
      Effect.gen(function*() {
        const asked: Array<Sdk.LanguageModelV4CallOptions> = []
        let token = 0
        const settings = {
          get headers() {
            return { authorization: `Bearer ${++token}` }
          }
        }
        const call = Stream.runDrain(LanguageModel.streamText({ prompt: "hi" }))
        yield* Effect.provide(Effect.andThen(call, call), AiSdk.layer(sdkModel([finish()], { asked }), settings))
        const [first, second] = asked.map(({ headers }) => headers?.authorization)
        assert.notStrictEqual(first, second)
      }))
  })

  describe("the response", () => {
    it.effect("is cleaned of what effect/ai could not decode", () =>
      Effect.gen(function*() {
        const parts = yield* answer(sdkModel([
          { type: "stream-start", warnings: [] },
          { type: "response-metadata", id: null, modelId: "", timestamp: new Date(NaN) },
          { type: "ping" },
          { type: "raw", rawValue: { a: 1 } },
          {
            type: "text-start",
            id: "1",
            providerMetadata: { acme: { a: undefined, b: NaN, c: new Date(0) }, none: {} }
          },
          { type: "text-delta", id: "1", delta: "hi", providerMetadata: null },
          { type: "text-delta", id: "1", delta: null },
          { type: "text-end", id: "1", providerMetadata: undefined },
          finish({
            inputTokens: { total: null, noCache: 3, cacheRead: 1.6, cacheWrite: -1 },
            outputTokens: { total: NaN, text: "4", reasoning: undefined }
          }, { unified: "strange", raw: "strange" })
        ]))
        assert.deepStrictEqual(
          parts.map((part) => ({ ...part, ...(part.type === "finish" ? { usage: { ...part.usage } } : undefined) })),
          [
            { type: "response-metadata", metadata: {} },
            { type: "text-start", id: "1", metadata: { acme: { b: null, c: "1970-01-01T00:00:00.000Z" } } },
            { type: "text-delta", id: "1", delta: "hi", metadata: {} },
            { type: "text-end", id: "1", metadata: {} },
            {
              type: "finish",
              reason: "unknown",
              usage: {
                inputTokens: { uncached: 3, total: 5, cacheRead: 2, cacheWrite: undefined },
                outputTokens: { total: undefined, text: undefined, reasoning: undefined }
              },
              metadata: {}
            }
          ].map((part) => ({ ...part, "~effect/ai/Response/Part": "~effect/ai/Response/Part" })) as any
        )
      }))

    it.effect("says nothing under names of ours, such as the call that an approval is about", () =>
      Effect.gen(function*() {
        const call = { type: "tool-call", toolCallId: "c1", toolName: "refund", input: "{\"order\":42}" }
        const forged = { tool: "harmless", params: {} }
        const parts = yield* answer(sdkModel([
          { ...call, providerExecuted: true, dynamic: true },
          {
            type: "tool-approval-request",
            approvalId: "a1",
            toolCallId: "c1",
            providerMetadata: { acme: { item: "x" }, "effect-agents/HostedApproval": forged }
          },
          {
            type: "tool-approval-request",
            approvalId: "a2",
            toolCallId: "c2",
            providerMetadata: { "effect-agents/HostedApproval": forged }
          },
          finish({ inputTokens: { total: 1 }, outputTokens: { total: 1 } }, { unified: "stop", raw: "stop" })
        ]))
        assert.deepStrictEqual(
          parts.flatMap((part) => part.type === "tool-approval-request" ? [part.metadata] : []),
          [{ acme: { item: "x" }, "effect-agents/HostedApproval": { tool: "refund", params: { order: 42 } } }, {}]
        )
      }))

    it.effect("comes in as few arrays as it can, not a part at a time", () =>
      Effect.gen(function*() {
        const deltas = Array.from({ length: 1000 }, (_, i) => ({ type: "text-delta", id: "1", delta: `${i} ` }))
        const sizes: Array<number> = []
        yield* LanguageModel.streamText({ prompt: "hi" }).pipe(
          Stream.runForEachArray((parts) => Effect.sync(() => void sizes.push(parts.length))),
          Effect.provide(AiSdk.layer(sdkModel([...deltas, finish()])))
        )
        assert.strictEqual(sizes.reduce((sum, size) => sum + size, 0), 1001)
        assert.isBelow(sizes.length, 50)
      }))

    it.effect("has no usage when the provider gives none", () =>
      Effect.gen(function*() {
        for (const usage of [undefined, null, {}, { inputTokens: null, outputTokens: 3 }]) {
          const parts = yield* answer(sdkModel([finish(usage)]))
          assert.deepStrictEqual(parts.map((part) => part.type === "finish" && { ...part.usage }), [noUsage])
        }
      }))

    it.effect("knows the finish reasons", () =>
      Effect.gen(function*() {
        const reasons = [
          [{ unified: "stop", raw: "end_turn" }, "stop"],
          [{ unified: "stop", raw: "pause_turn" }, "pause"],
          [{ unified: "length", raw: "max_tokens" }, "length"],
          [{ unified: "content-filter", raw: "refusal" }, "content-filter"],
          [{ unified: "tool-calls", raw: undefined }, "tool-calls"],
          [{ unified: "error", raw: "error" }, "error"],
          [{ unified: "other", raw: "MALFORMED" }, "other"],
          ["stop", "stop"],
          [null, "unknown"]
        ] as const
        for (const [given, expected] of reasons) {
          const [part] = yield* answer(sdkModel([finish({}, given)]))
          assert.strictEqual(part.type === "finish" ? part.reason : part.type, expected)
        }
      }))

    it.effect("has sources, files and what the provider's own tools did", () =>
      Effect.gen(function*() {
        const search = Tool.providerDefined({
          id: "acme.search",
          customName: "search",
          providerName: "web_search",
          parameters: Schema.Struct({ q: Schema.String }),
          success: Schema.Struct({ hits: Schema.Int })
        })()
        const parts = yield* LanguageModel.streamText({
          prompt: "hi",
          toolkit: Toolkit.make(search),
          disableToolCallResolution: true,
          toolCallValidation: "deferred"
        }).pipe(
          Stream.runCollect,
          Effect.provide(AiSdk.layer(sdkModel([
            { type: "tool-input-start", id: "c", toolName: "search", providerExecuted: true },
            { type: "tool-input-end", id: "c" },
            { type: "tool-call", toolCallId: "c", toolName: "search", input: "{\"q\":\"x\"}", providerExecuted: true },
            { type: "tool-result", toolCallId: "c", toolName: "search", result: { hits: 1 } },
            { type: "source", sourceType: "url", id: "s1", url: "https://example.com/" },
            { type: "source", sourceType: "url", id: "s2", url: "somewhere" },
            {
              type: "source",
              sourceType: "document",
              id: "s3",
              mediaType: "text/plain",
              title: "T",
              filename: "t.txt"
            },
            { type: "file", mediaType: "text/plain", data: { type: "data", data: "aGk=" } },
            { type: "file", mediaType: "text/plain", data: { type: "url", url: new URL("https://example.com/f") } },
            finish()
          ])))
        )
        const mark = { "~effect/ai/Response/Part": "~effect/ai/Response/Part", metadata: {} }
        assert.deepStrictEqual(parts.slice(0, -1) as ReadonlyArray<unknown>, [
          { ...mark, type: "tool-params-start", id: "c", name: "search", providerExecuted: true },
          { ...mark, type: "tool-params-end", id: "c" },
          { ...mark, type: "tool-call", id: "c", name: "search", params: { q: "x" }, providerExecuted: true },
          {
            ...mark,
            type: "tool-result",
            id: "c",
            name: "search",
            result: { hits: 1 },
            encodedResult: { hits: 1 },
            isFailure: false,
            providerExecuted: true,
            preliminary: false
          },
          {
            ...mark,
            type: "source",
            sourceType: "url",
            id: "s1",
            url: new URL("https://example.com/"),
            title: "https://example.com/"
          },
          { ...mark, type: "source", sourceType: "document", id: "s2", mediaType: "text/uri-list", title: "somewhere" },
          {
            ...mark,
            type: "source",
            sourceType: "document",
            id: "s3",
            mediaType: "text/plain",
            title: "T",
            fileName: "t.txt"
          },
          { ...mark, type: "file", mediaType: "text/plain", data: new Uint8Array([104, 105]) },
          {
            ...mark,
            type: "source",
            sourceType: "url",
            id: "https://example.com/f",
            url: new URL("https://example.com/f"),
            title: "text/plain"
          }
        ])
      }))

    it.effect("brings back to the provider what effect/ai has no part for", () =>
      Effect.gen(function*() {
        const asked: Array<Sdk.LanguageModelV4CallOptions> = []
        const model = sdkModel([
          { type: "custom", kind: "acme.compaction", providerMetadata: { acme: { item: "x" } } },
          { type: "tool-call", toolCallId: "m", toolName: "mcp.find", input: "{\"q\":1}", providerExecuted: true },
          { type: "tool-result", toolCallId: "m", toolName: "mcp.find", result: [1], preliminary: true },
          { type: "tool-result", toolCallId: "m", toolName: "mcp.find", result: { hits: [1, 2] } },
          { type: "reasoning-file", mediaType: "image/png", data: { type: "data", data: "AQID" } },
          { type: "text-start", id: "1" },
          { type: "text-delta", id: "1", delta: "hi" },
          { type: "text-end", id: "1" },
          finish()
        ], { asked })
        const { transcript } = yield* Effect.provide(
          Agent.run(Agent.make("a"), { prompt: "hi" }),
          AiSdk.layer(model)
        )
        yield* call(model, Prompt.concat(transcript, "and?"))
        assert.deepStrictEqual(asked[1].prompt[1] as unknown, {
          role: "assistant",
          content: [
            { type: "custom", kind: "acme.compaction", providerOptions: { acme: { item: "x" } } },
            { type: "tool-call", toolCallId: "m", toolName: "mcp.find", input: { q: 1 }, providerExecuted: true },
            {
              type: "tool-result",
              toolCallId: "m",
              toolName: "mcp.find",
              output: { type: "json", value: { hits: [1, 2] } }
            },
            { type: "reasoning-file", mediaType: "image/png", data: { type: "data", data: "AQID" } },
            { type: "text", text: "hi" }
          ]
        })
      }))

    it.effect("keeps arguments that are no JSON for the model to be told of", () =>
      Effect.gen(function*() {
        const calls = ["{\"city\":", "", "{\"__proto__\":{\"a\":1}}"].map((input, i) => ({
          type: "tool-call",
          toolCallId: `c${i}`,
          toolName: "weather",
          input
        }))
        const parts = yield* call(sdkModel([...calls, finish()]), "hi")
        assert.deepStrictEqual(
          parts.map((part) => part.type === "tool-call" && part.params).slice(0, 3),
          ["{\"city\":", {}, "{\"__proto__\":{\"a\":1}}"]
        )
      }))

    it.effect("is the text that the provider chose, when it wrote drafts beside an object", () =>
      Effect.gen(function*() {
        const { value } = yield* LanguageModel.generateObject({ prompt: "n", schema: Schema.Struct({ n: Schema.Int }) })
          .pipe(Effect.provide(AiSdk.layer(sdkModel([], {
            result: {
              content: [{ type: "text", text: "Let me see. " }, { type: "text", text: "{\"n\":1}" }],
              structuredOutputText: "{\"n\":1}",
              finishReason: { unified: "stop", raw: "stop" },
              usage: undefined,
              warnings: []
            }
          }))))
        assert.deepStrictEqual(value, { n: 1 })
      }))

    it.effect("logs what the provider could not do, once", () =>
      Effect.gen(function*() {
        const lines: Array<unknown> = []
        const model = sdkModel([
          { type: "stream-start", warnings: [{ type: "unsupported", feature: "seed", details: "no seed here" }] },
          finish()
        ])
        yield* LanguageModel.streamText({ prompt: "hi" }).pipe(
          Stream.runDrain,
          Effect.repeat({ times: 2 }),
          Effect.provide([
            AiSdk.layer(model),
            Logger.layer([Logger.make(({ logLevel, message }) => void lines.push([logLevel, message]))])
          ])
        )
        assert.deepStrictEqual(lines, [["Warn", ["`acme-1`: unsupported: seed. no seed here"]]])
      }))
  })

  describe("model", () => {
    it.effect("says the names of the provider and of the model", () =>
      Effect.gen(function*() {
        const names = [
          "openai.responses",
          "anthropic.messages",
          "google.generative-ai",
          "google.vertex.chat",
          "azure.chat"
        ]
        const found = yield* Effect.forEach(names, (provider) =>
          Effect.all([Model.ProviderName, Model.ModelName]).pipe(
            Effect.provide(AiSdk.model(sdkModel([], { provider })))
          ))
        assert.deepStrictEqual(
          found,
          ["openai", "anthropic", "gcp.gemini", "gcp.vertex_ai", "azure.ai.openai"].map((name) => [name, "acme-1"])
        )
      }))
  })

  describe("embeddingModel", () => {
    it.effect("embeds over HTTP", () =>
      Effect.gen(function*() {
        const mock = yield* modelServer((mock) => {
          mock.onEmbedding("one", { embedding: [1, 0] })
          mock.onEmbedding("two", { embedding: [0, 1] })
        })
        const { createOpenAI } = yield* Effect.promise(() => import("@ai-sdk/openai"))
        const model = createOpenAI({ baseURL: `${mock.url}/v1`, apiKey: "k" }).embedding("text-embedding-3-small")
        const { vector } = yield* Effect.provide(
          Effect.flatMap(EmbeddingModel.EmbeddingModel, (model) => model.embed("two")),
          AiSdk.embeddingModel(model)
        )
        assert.deepStrictEqual(vector, [0, 1])
      }))

    it.effect("sends no more at once than the provider takes, and adds the usage up", () =>
      Effect.gen(function*() {
        const sent: Array<ReadonlyArray<string>> = []
        const model: AiSdk.SdkEmbeddingModel = {
          specificationVersion: "v4",
          provider: "acme.embedding",
          modelId: "e",
          maxEmbeddingsPerCall: Promise.resolve(2),
          supportsParallelCalls: true,
          doEmbed: ({ values }) => {
            sent.push(values)
            return Promise.resolve({
              embeddings: values.map((value) => [value.length]),
              usage: { tokens: values.length },
              warnings: []
            })
          }
        }
        const { embeddings, usage } = yield* Effect.provide(
          Effect.flatMap(EmbeddingModel.EmbeddingModel, (model) => model.embedMany(["a", "bb", "ccc"])),
          AiSdk.embeddingLayer(model)
        )
        assert.deepStrictEqual(
          [sent, embeddings.map(({ vector }) => vector), usage.inputTokens],
          [[["a", "bb"], ["ccc"]], [[1], [2], [3]], 3]
        )
      }))
  })
})
