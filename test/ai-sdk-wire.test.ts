import { assert, describe, it } from "@effect/vitest"
import type * as Sdk from "@ai-sdk/provider"
import { Arbitrary, Context, Effect, Option, Schema, Stream, Tracer } from "effect"
import { LanguageModel, Prompt, Tool, Toolkit } from "effect/ai"
import { AiSdk } from "../src/ai-sdk/index.ts"
import * as Sending from "../src/ai-sdk/internal/conversation.ts"
import * as Names from "../src/ai-sdk/internal/names.ts"
import * as Request from "../src/ai-sdk/internal/request.ts"
import * as Target from "../src/ai-sdk/internal/target.ts"
import { Agent } from "../src/index.ts"
import * as Text from "../src/internal/words/text.ts"
import {
  type ProviderName,
  providerNames,
  providers,
  rawServer,
  recording,
  sdkModel,
  type Sent,
  streamOf
} from "./fixtures/ai-sdk.ts"
import { complaints } from "./fixtures/wireRules.ts"

const toolOf = (name: string) =>
  Tool.make(name, { parameters: Schema.Struct({ city: Schema.String }), success: Schema.String })

const noSpan = (): Tracer.Span =>
  new Tracer.NativeSpan({
    name: "none",
    parent: Option.none(),
    annotations: Context.empty(),
    links: [],
    startTime: BigInt(0),
    kind: "client",
    sampled: false
  })

const unresolved = { disableToolCallResolution: true, toolCallValidation: "deferred" } as const

/** The body of the request for a prompt. The server refuses each: what was sent is all that is looked at. */
const bodyOf = (name: ProviderName, prompt: Prompt.RawInput, toolkit: Toolkit.Any = Toolkit.empty) =>
  Effect.scoped(Effect.gen(function*() {
    const url = yield* rawServer((request, response) => {
      request.resume().on("end", () => response.writeHead(422, { "content-type": "application/json" }).end("{}"))
    })
    const sent: Array<Sent> = []
    const call = LanguageModel.streamText({
      prompt,
      toolkit: toolkit as Toolkit.Toolkit<{}>,
      ...unresolved
    })
    yield* call.pipe(Stream.runDrain, Effect.exit, Effect.provide(AiSdk.layer(providers(url, recording(sent))[name])))
    assert.strictEqual(sent.length, 1)
    return sent[0].body
  }))

const finish = { type: "finish", usage: {}, finishReason: { unified: "stop", raw: "stop" } }

/** What a model of the specification is asked for a prompt. */
const askedFor = (prompt: Prompt.RawInput, provider: string, modelId = "acme-1") =>
  Effect.gen(function*() {
    const asked: Array<Sdk.LanguageModelV4CallOptions> = []
    const model = { ...sdkModel([finish], { asked, provider }), modelId }
    yield* LanguageModel.streamText({ prompt }).pipe(Stream.runDrain, Effect.provide(AiSdk.layer(model)))
    return asked[0].prompt
  })

const turn = (id: string, name: string, more: { readonly options?: Prompt.ProviderOptions } = {}) => [
  {
    role: "assistant" as const,
    content: [{ type: "tool-call" as const, id, name, params: { city: "Oslo" }, ...more }]
  },
  {
    role: "tool" as const,
    content: [{ type: "tool-result" as const, id, name, isFailure: false, result: "clear" }]
  }
]

describe("a conversation on the wire", () => {
  const odd = [
    "",
    " ",
    "a.b",
    "a_b",
    "a:b",
    "a b",
    "functions.note:0",
    "tool",
    "天気",
    "時間",
    "café",
    "9lives",
    "-",
    "constructor",
    "__proto__",
    "cut \ud83d",
    "x".repeat(64),
    "x".repeat(65),
    "x".repeat(80),
    "call_1",
    "AbCdEfGh9",
    "toolu_01",
    "chatcmpl-tool-0123456789abcdef0123456789abcdef"
  ] as const
  const Odd = Schema.Union([Schema.Literals(odd), Schema.Literals(odd), Schema.String])
  const Call = Schema.Struct({
    id: Odd,
    name: Odd,
    result: Schema.Union([Schema.String, Schema.Literals(["bytes", "url", "blank", "json"])]),
    origin: Schema.Literals(["openai", "anthropic", "google", "none"]),
    hosted: Schema.Literals([false, false, false, true])
  })
  const Conversation = Schema.Array(Schema.Struct({
    text: Schema.Union([Schema.String, Schema.Literals(["", "  ", "half \ude00"])]),
    thought: Schema.Boolean,
    calls: Schema.Array(Call).check(Schema.isMaxLength(3))
  })).check(Schema.isMaxLength(4))
  const Declared = Schema.UniqueArray(Odd).check(Schema.isMaxLength(4))

  const metadata = {
    openai: { openai: { itemId: "fc_1" } },
    anthropic: { anthropic: { caller: { type: "direct" } } },
    google: { google: { thoughtSignature: "sig" } },
    none: {}
  }
  const hosted = { openai: "ws_1", anthropic: "srvtoolu_1", google: "g-1", none: "h-1" }
  type Call = typeof Call.Type

  const resultOf = ({ id, name, origin, result }: Call): Prompt.ToolResultPartEncoded => ({
    type: "tool-result",
    id,
    name,
    isFailure: false,
    result: result === "json" ? { nested: ["\ud83d", { "\ude00": 1 }] } : result,
    options: origin === "none" ? {} : { [origin]: { marked: true } },
    ...(result === "bytes" || result === "url" || result === "blank"
      ? {
        modelOutput: result === "blank" ? [{ type: "text", text: "" }] : [
          { type: "text", text: "look" },
          {
            type: "file",
            mediaType: "image/png",
            data: result === "bytes" ? new Uint8Array([1, 2, 3]) : new URL("https://example.com/a.png")
          },
          { type: "text", text: "and \ud83d" },
          { type: "file", mediaType: "text/csv", data: new Uint8Array([97]) },
          { type: "file", mediaType: "application/zip", data: "AQID" }
        ]
      }
      : undefined)
  })

  const promptOf = (conversation: typeof Conversation.Type): Prompt.RawInput =>
    [
      { role: "system", content: "be \ud83d" },
      { role: "user", content: "hi" },
      ...conversation.flatMap(({ calls, text, thought }) => {
        const own = calls.filter(({ hosted }) => !hosted)
        return [
          {
            role: "assistant",
            content: [
              ...(thought ? [{ type: "reasoning", text: "hm", options: metadata.google }] : []),
              { type: "text", text },
              ...calls.flatMap((call) => {
                const about = { options: metadata[call.origin], name: call.name, providerExecuted: call.hosted }
                const id = call.hosted ? hosted[call.origin] : call.id
                const asked = { type: "tool-call", id, params: { city: "\ud83d" }, ...about }
                return call.hosted
                  ? [asked, { type: "tool-result", id, isFailure: false, result: { hits: 1 }, ...about }]
                  : [asked]
              })
            ]
          },
          ...(own.length === 0 ? [] : [{ role: "tool", content: own.map(resultOf) }]),
          { role: "user", content: [{ type: "text", text: "" }, { type: "text", text: "go on" }] }
        ]
      })
    ] as Prompt.RawInput

  for (const name of providerNames) {
    it.effect.prop(
      `is what its API accepts, wherever it began: ${name}`,
      { conversation: Arbitrary.schema(Conversation), declared: Arbitrary.schema(Declared) },
      ({ conversation, declared }) =>
        Effect.gen(function*() {
          // what its own server has run is known to it: here it has run nothing
          const family = name.startsWith("openai") ? "openai" : name
          const foreign = conversation.map((step) => ({
            ...step,
            calls: step.calls.filter((call) => !call.hosted || (call.origin !== family && call.origin !== "none"))
          }))
          const toolkit = Toolkit.make(...declared.map(toolOf))
          const body = yield* bodyOf(name, promptOf(foreign), toolkit)
          assert.deepStrictEqual(complaints(name, body), [])
        })
    )
  }

  /** Writes where functions around a provider write: into messages, parts, their options and results, and tools. */
  const scribble = (value: any): void => {
    if (value === undefined || typeof value === "string") return
    for (const one of Object.values<any>(value)) {
      if (typeof one !== "object" || one === null) continue
      scribble(one.content)
      if (one.providerOptions !== undefined) one.providerOptions.written = {}
      one.providerOptions = { ...one.providerOptions, anthropic: { cacheControl: { type: "ephemeral" } } }
      if (one.output?.type === "content") scribble(one.output.value)
      if (one.output !== undefined) one.output.value = "written"
      if (one.args !== undefined) one.args.written = true
    }
    if (Array.isArray(value)) value.unshift({ role: "system", content: "written" })
  }

  it.effect.prop(
    "is converted once: a call that goes on with it sends what a call sends that begins with all of it",
    { conversation: Arbitrary.schema(Conversation), declared: Arbitrary.schema(Declared) },
    ({ conversation, declared }) =>
      Effect.sync(() => {
        const tools = declared.map(toolOf)
        const { content } = Text.wellFormedPrompt(Prompt.make(promptOf(conversation)))
        for (const provider of ["openai.chat", "anthropic.messages", "google.generative-ai"]) {
          const target = Target.of({ provider, modelId: "m" })
          const namesOf = Names.maker(target)
          const send = (messages: ReadonlyArray<Prompt.Message>, kept: { value: unknown }) => {
            const report = { usage: () => {}, failure: () => {}, kept }
            const begun = Sending.take(report, target, tools, messages, namesOf)
            const { prompt, tools: offered } = Request.make({
              prompt: Prompt.fromMessages(messages),
              tools,
              toolChoice: "auto",
              responseFormat: { type: "text" },
              span: noSpan(),
              previousResponseId: undefined,
              incrementalPrompt: undefined
            }, {
              settings: {},
              conversation: begun,
              version: "v4",
              codecTransformer: undefined,
              abortSignal: new AbortController().signal
            })
            Sending.keep(report, begun)
            return { prompt, offered }
          }
          const kept = { value: undefined }
          let begun: unknown
          for (let length = 1; length <= content.length; length++) {
            const messages = content.slice(0, length)
            const sent = send(messages, kept)
            assert.deepStrictEqual(sent, send(messages, { value: undefined }))
            assert.strictEqual(kept.value, begun ?? kept.value)
            begun = kept.value
            // a function around the provider writes into what it was given
            scribble(sent.prompt)
            scribble(sent.offered)
          }
        }
      }),
    { arbitrary: { runs: 50 } }
  )

  it.effect.prop(
    "has one name for each tool, and knows the way back",
    { declared: Arbitrary.schema(Declared), said: Arbitrary.schema(Schema.Array(Odd)) },
    ({ declared, said }) =>
      Effect.sync(() => {
        for (const provider of ["openai.chat", "google.generative-ai"]) {
          const target = Target.of({ provider, modelId: "m" })
          const names = new Names.ToolNames(target, declared.map(toolOf))
          const offered = declared.map((name) => names.wire(name))
          const wire = [...new Set([...declared, ...said])].map((name) => [name, names.wire(name)] as const)
          assert.deepStrictEqual(declared.map((name) => names.wire(name)), offered)
          assert.strictEqual(new Set(wire.map(([, onWire]) => onWire)).size, wire.length)
          for (const [name, onWire] of wire) assert.strictEqual(names.ours(onWire), name)
          // another conversation changes no name of a tool that is offered
          assert.deepStrictEqual(
            declared.map((name) => new Names.ToolNames(target, declared.map(toolOf)).wire(name)),
            offered
          )
        }
      })
  )

  it.effect("brings the name of a tool back from the model", () =>
    Effect.gen(function*() {
      const asked: Array<Sdk.LanguageModelV4CallOptions> = []
      const model = sdkModel([], { asked })
      const calling: Sdk.LanguageModelV4 = {
        ...model,
        doStream: (call) => {
          asked.push(call)
          const [dotted, plain] = call.tools!.map(({ name }) => name)
          const parts = asked.length > 1 ? [finish] : [
            { type: "tool-input-start", id: "1", toolName: dotted },
            { type: "tool-input-end", id: "1" },
            { type: "tool-call", toolCallId: "1", toolName: dotted, input: "{\"city\":\"Oslo\"}" },
            { type: "tool-call", toolCallId: "2", toolName: plain, input: "{\"city\":\"Rome\"}" },
            { ...finish, finishReason: { unified: "tool-calls", raw: "tool_calls" } }
          ]
          return Promise.resolve({
            stream: streamOf(parts)
          })
        }
      }
      const kit = Toolkit.make(toolOf("weather.now"), toolOf("weather_now"))
      const { steps } = yield* Agent.run(Agent.make("a", { toolkit: kit }), {
        prompt: "hi"
      }).pipe(
        Effect.provide([
          AiSdk.layer(calling),
          kit.toLayer({
            "weather.now": ({ city }) => Effect.succeed(`now ${city}`),
            weather_now: ({ city }) => Effect.succeed(`then ${city}`)
          })
        ])
      )
      assert.deepStrictEqual(steps[0].toolCalls.map(({ name }) => name), ["weather.now", "weather_now"])
      const [renamed, plain] = asked[0].tools!.map(({ name }) => name)
      assert.match(renamed, /^weather_now_\w{7}$/)
      assert.strictEqual(plain, "weather_now")
      yield* LanguageModel.streamText({
        prompt: "hi",
        toolkit: kit,
        toolChoice: { tool: "weather.now" },
        ...unresolved
      })
        .pipe(Stream.runDrain, Effect.provide(AiSdk.layer(calling)))
      assert.deepStrictEqual(asked[2].toolChoice, { type: "tool", toolName: renamed })
      assert.deepStrictEqual(
        asked[1].prompt.slice(1).flatMap(({ content }) => (content as ReadonlyArray<any>)).map((part) => [
          part.type,
          part.toolCallId,
          part.toolName,
          part.output?.value
        ]),
        [
          ["tool-call", "1", renamed, undefined],
          ["tool-call", "2", plain, undefined],
          ["tool-result", "1", renamed, "now Oslo"],
          ["tool-result", "2", plain, "then Rome"]
        ]
      )
    }))

  it.effect("has the ids that a model wants", () =>
    Effect.gen(function*() {
      const id = "functions.note:0"
      const idsOn = (provider: string, modelId?: string) =>
        Effect.map(
          askedFor([{ role: "user", content: "hi" }, ...turn(id, "note"), ...turn(id, "note")], provider, modelId),
          (prompt) => prompt.slice(1).map(({ content }) => (content[0] as Sdk.LanguageModelV4ToolResultPart).toolCallId)
        )
      for (
        const [provider, modelId, pattern] of [
          ["openai.chat", "gpt-4o", /^functions_note_0_\w{9}$/],
          ["mistral.chat", "large", /^[a-z0-9]{9}$/],
          ["local.chat", "Devstral-Small", /^[a-z0-9]{9}$/]
        ] as const
      ) {
        const [first, ofFirst, second, ofSecond] = yield* idsOn(provider, modelId)
        assert.match(first, pattern)
        assert.match(second, pattern)
        assert.notStrictEqual(first, second)
        assert.deepStrictEqual([ofFirst, ofSecond], [first, second])
      }
      // it reads the name of the function in its id
      assert.strictEqual((yield* idsOn("local.chat", "moonshotai/Kimi-K2"))[0], id)
    }))

  it.effect("has the metadata of a call on its result, and of no other provider's", () =>
    Effect.gen(function*() {
      const options = {
        openai: { itemId: "fc_1", promptCacheBreakpoint: { mode: "explicit" } },
        google: { thoughtSignature: "sig" },
        mine: { x: 1 }
      }
      const on = (provider: string) =>
        Effect.map(
          askedFor([{ role: "user", content: "hi" }, ...turn("1", "note", { options })], provider),
          (prompt) =>
            prompt.slice(1).map(({ content }) => (content[0] as Sdk.LanguageModelV4ToolResultPart).providerOptions)
        )
      assert.deepStrictEqual(yield* on("openai.responses"), [
        { openai: options.openai, mine: { x: 1 } },
        { openai: { itemId: "fc_1" }, mine: { x: 1 } }
      ])
      assert.deepStrictEqual(yield* on("local.chat"), [{ mine: { x: 1 } }, { mine: { x: 1 } }])
      assert.deepStrictEqual(yield* on("openrouter.chat"), [
        options,
        { openai: { itemId: "fc_1" }, google: options.google, mine: { x: 1 } }
      ])
    }))

  it.effect("has the bytes of a tool's files as base64 or in a message of their own", () =>
    Effect.gen(function*() {
      const bytes = new Uint8Array(3000).fill(200)
      const base64 = Buffer.from(bytes).toString("base64")
      for (const name of providerNames) {
        const body = yield* bodyOf(name, [
          { role: "user", content: "hi" },
          {
            role: "assistant",
            content: [{ type: "tool-call", id: "1", name: "shot", params: {} }]
          },
          {
            role: "tool",
            content: [{
              type: "tool-result",
              id: "1",
              name: "shot",
              isFailure: false,
              result: "x",
              modelOutput: [{ type: "file", mediaType: "image/png", data: bytes }]
            }]
          }
        ])
        const text = JSON.stringify(body)
        assert.strictEqual(text.split(base64).length, 2, name)
        assert.isBelow(text.length, base64.length + 1500, name)
        assert.deepStrictEqual(complaints(name, body), [], name)
      }
    }))

  it.effect("has a URL for each text that is one", () =>
    Effect.gen(function*() {
      const data = [
        "gs://bucket/a b.pdf",
        "HTTPS://example.test/a.pdf",
        "s3://bucket/key",
        "data:text/plain,h%C3%A9llo%",
        "DATA:application/pdf;Base64,QUJD\nREVG",
        "data:application/pdf;base64,QUJD%2B%3D",
        new URL("data:text/plain,h%C3%A9llo"),
        new URL("https://example.test/b"),
        "QUJD",
        "C:\\a.pdf"
      ]
      const prompt = yield* askedFor([{
        role: "user",
        content: data.map((data) => ({ type: "file" as const, mediaType: "application/pdf", data }))
      }], "acme")
      assert.deepStrictEqual(
        (prompt[0].content as ReadonlyArray<Sdk.LanguageModelV4FilePart>).map(({ data }) =>
          data.type === "url" ? [data.url.href, data.originalUrl] : data.type === "data" ? data.data : data.type
        ),
        [
          ["gs://bucket/a%20b.pdf", "gs://bucket/a b.pdf"],
          ["https://example.test/a.pdf", "HTTPS://example.test/a.pdf"],
          ["s3://bucket/key", undefined],
          Buffer.from("héllo%").toString("base64"),
          "QUJDREVG",
          "QUJD+=",
          Buffer.from("héllo").toString("base64"),
          ["https://example.test/b", undefined],
          "QUJD",
          "C:\\a.pdf"
        ]
      )
    }))

  it.effect("a key `__proto__` of a result is sent like any other", () =>
    Effect.gen(function*() {
      const result: unknown = JSON.parse("{\"__proto__\":{\"x\":1},\"y\":2}")
      const prompt = yield* askedFor([
        { role: "user", content: [{ type: "text", text: "go" }] },
        {
          role: "assistant",
          content: [{ type: "tool-call", id: "c", name: "note", params: {}, providerExecuted: false }]
        },
        {
          role: "tool",
          content: [{ type: "tool-result", id: "c", name: "note", isFailure: false, result, providerExecuted: false }]
        }
      ], "acme")
      const [part] = prompt[2].content as ReadonlyArray<Sdk.LanguageModelV4ToolResultPart>
      assert.strictEqual(JSON.stringify(part.output), "{\"type\":\"json\",\"value\":{\"__proto__\":{\"x\":1},\"y\":2}}")
    }))
})
