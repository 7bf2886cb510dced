import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, DateTime, Effect, Exit, Redacted, Schema, Stream } from "effect"
import { AiError, Prompt, Response, Tool, Toolkit } from "effect/ai"
import { isDeepStrictEqual } from "node:util"
import {
  Agent,
  AgentOutput,
  AgentRun,
  AgentTool,
  type Approval,
  type ContextProvider,
  Guardrail,
  SessionHistory,
  SessionStore,
  Steering
} from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { Boom, collectAll } from "./utils.ts"

const canary = "canary-of-the-handler"

const Seen = Schema.Struct({ at: Schema.Date, size: Schema.BigInt, from: Schema.URL, bytes: Schema.Uint8Array })
const seen = { at: new Date(0), size: 5n, from: new URL("https://a.test/b"), bytes: new Uint8Array([1, 2]) }

const parameters = Schema.Struct({ n: Schema.Int })
const See = Tool.make("see", { parameters, success: Seen })
const Nothing = Tool.make("nothing", { parameters, success: Schema.Void })
const Fails = Tool.make("fails", { parameters, failure: Boom, failureMode: "return" })
const Remove = Tool.make("remove", { parameters, success: Schema.NullOr(Schema.String), needsApproval: true })
const toolkit = Toolkit.make(See, Nothing, Fails, Remove)
const handlers = toolkit.toLayer({
  // more than its schema knows
  see: (_, { preliminary }) => Effect.as(preliminary({ ...seen, canary } as typeof seen), { ...seen, canary }),
  nothing: () => Effect.void,
  fails: () => Effect.fail(Object.assign(new Boom({ of: "here" }), { canary })),
  remove: () => Effect.succeed(null)
})

const Answer = Schema.Struct({ when: Schema.Date, count: Schema.BigInt, where: Schema.URL, raw: Schema.Uint8Array })
const answer = {
  when: "2026-01-02T03:04:05.000Z",
  count: "12345678901234567890",
  where: "https://a.test/",
  raw: "AQI="
}

type Codec = Schema.Codec<AgentRun.Part, AgentRun.PartEncoded>

/** Sends parts as a server does, each as a text. */
const send = (codec: Codec, parts: Iterable<AgentRun.Part>) => {
  const encode = Schema.encodeEffect(Schema.fromJsonString(codec))
  return Effect.forEach(parts, (part) => encode(part))
}

const receive = (codec: Codec, texts: Iterable<string>) => {
  const decode = Schema.decodeEffect(Schema.fromJsonString(codec))
  return Effect.forEach(texts, (text) => decode(text))
}

const cross = (codec: Codec, parts: Iterable<AgentRun.Part>) =>
  Effect.flatMap(send(codec, parts), (texts) => receive(codec, texts))

const assertSame = (actual: unknown, expected: unknown) => {
  // also prototypes and keys that hold `undefined`
  if (!isDeepStrictEqual(actual, expected)) assert.deepStrictEqual(actual, expected)
  assert.isTrue(isDeepStrictEqual(actual, expected))
}

const metadata = { provider: { itemId: "i" } }
const usage = new Response.Usage({
  inputTokens: { uncached: 1, total: 3, cacheRead: 2, cacheWrite: 0 },
  outputTokens: { total: 4, text: 3, reasoning: 1 }
})
const step: AgentRun.Step = {
  index: 0,
  text: "a",
  finishReason: "stop",
  toolCalls: [{ id: "c", name: "see", params: { n: 1 }, executed: true, isFailure: false }],
  usage: AgentRun.emptyUsage,
  provider: "here",
  model: "small"
}
const approval: Approval.Approval = { approvalId: "a", toolCallId: "c", tool: "remove", params: { n: 1 }, path: ["x"] }
const message = Prompt.userMessage({
  content: [
    Prompt.textPart({ text: "look" }),
    Prompt.filePart({ mediaType: "image/png", data: new Uint8Array([1, 2, 3]) }),
    Prompt.filePart({ mediaType: "image/png", data: new URL("https://a.test/i.png") }),
    Prompt.filePart({ mediaType: "image/png", data: "AQID" })
  ]
})
const result: AgentRun.Result = {
  agent: "a",
  runId: "r",
  session: undefined,
  text: "a",
  value: undefined,
  usage: AgentRun.emptyUsage,
  totalUsage: AgentRun.emptyUsage,
  steps: [step],
  stopReason: "stop",
  approvals: [approval],
  transcript: Prompt.fromMessages([message])
}
const aiError = AiError.make({ module: "m", method: "f", reason: new AiError.RateLimitError({}) })

const source = { sourceType: "url", id: "s", title: "A" }
const document = { sourceType: "document", id: "s", mediaType: "text/plain", title: "A", fileName: "a.txt" }

const deep = (levels: number): Schema.Json => JSON.parse(`${"{\"a\":".repeat(levels)}1${"}".repeat(levels)}`)

/** Of each type at least one, with metadata and without. */
const overHttp: NonNullable<Response.FinishPart["response"]> = {
  status: 200,
  headers: { "x-account": canary }
}

const samples: ReadonlyArray<AgentRun.Part> = [
  ...[{}, metadata].flatMap((metadata): Array<AgentRun.Part> => [
    Response.makePart("text-start", { id: "t", metadata }),
    Response.makePart("text-delta", { id: "t", delta: "a\ud800b", metadata }),
    Response.makePart("text-end", { id: "t", metadata }),
    Response.makePart("reasoning-start", { id: "t", metadata }),
    Response.makePart("reasoning-delta", { id: "t", delta: "", metadata }),
    Response.makePart("reasoning-end", { id: "t", metadata }),
    Response.makePart("tool-params-start", { id: "t", name: "see", providerExecuted: false, metadata }),
    Response.makePart("tool-params-delta", { id: "t", delta: "{", metadata }),
    Response.makePart("tool-params-end", { id: "t", metadata }),
    Response.makePart("tool-call", { id: "c", name: "see", params: { n: 1 }, providerExecuted: false, metadata }),
    Response.makePart("tool-call", { id: "c", name: "hosted", params: null, providerExecuted: true, metadata }),
    Response.makePart("tool-approval-request", { approvalId: "a", toolCallId: "c", metadata }),
    { ...Response.makePart("tool-approval-request", { approvalId: "a", toolCallId: "c", metadata }), approval },
    Response.makePart("file", { mediaType: "image/png", data: new Uint8Array([0, 255]), metadata }),
    Response.makePart("source", { ...source, url: new URL("https://a.test/"), metadata } as never),
    Response.makePart("source", { ...document, metadata } as never),
    Response.makePart("response-metadata", { id: "r", modelId: "m", timestamp: DateTime.makeUnsafe(0), metadata }),
    Response.makePart("finish", { reason: "stop", usage, response: undefined, metadata }),
    Response.makePart("finish", { reason: "stop", usage, response: overHttp, metadata }),
    Response.makePart("error", { error: aiError, metadata }),
    Response.makePart("error", { error: { code: 1, is: false }, metadata }),
    Response.makePart("error", { error: false, metadata })
  ]),
  { type: "run-start", agent: "a", runId: "r", session: undefined },
  { type: "run-start", agent: "a", runId: "r", parentRunId: "p", session: "s" },
  { type: "step-start", index: 0 },
  { type: "steering", message },
  { type: "step-end", step },
  { type: "output-partial", value: { when: "2026" } },
  { type: "output-partial", value: false },
  { type: "run-end", result }
]

const nested = samples.map((part): AgentRun.Part => ({
  type: "agent-part",
  path: ["sub", "below"],
  toolCallId: "c",
  runId: "r2",
  parentRunId: "r",
  part: part as AgentRun.AgentPart["part"]
}))

describe("AgentRun.parts", () => {
  it.effect("brings back every part, also that of a nested run", () =>
    Effect.gen(function*() {
      const withoutUndefined = (part: AgentRun.Part): AgentRun.Part => {
        if (part.type === "agent-part") return { ...part, part: withoutUndefined(part.part) } as AgentRun.AgentPart
        if (part.type !== "finish") return part
        const { response: _, ...finish } = part
        return finish
      }
      for (const part of [...samples, ...nested]) {
        const [back] = yield* cross(AgentRun.parts(), [part])
        assertSame(back, withoutUndefined(part))
      }
    }))

  it.effect("sends nothing of what was said over HTTP", () =>
    Effect.gen(function*() {
      const finish = Response.makePart("finish", { reason: "stop", usage, response: overHttp, metadata })
      const texts = yield* send(AgentRun.parts(), [finish])
      assert.notInclude(texts[0], canary)
    }))

  it.effect("brings back an error that is no `AiError` by its name and its message", () =>
    Effect.gen(function*() {
      const error = Object.assign(new TypeError("overloaded", { cause: canary }), { canary })
      const texts = yield* send(AgentRun.parts(), [Response.makePart("error", { error })])
      assert.notInclude(texts[0], canary)
      const [back] = yield* receive(AgentRun.parts(), texts)
      assert(back.type === "error" && back.error instanceof Error)
      assert.deepStrictEqual([back.error.name, back.error.message], ["TypeError", "overloaded"])
    }))

  it.effect("tells of the error of a provider neither headers, bodies nor causes, and no key in an address", () =>
    Effect.gen(function*() {
      const headers = { "set-cookie": canary, authorization: Redacted.make(canary) }
      const http = { response: { status: 500, headers }, body: canary }
      const url = `https://user:${canary}@a.test/v1?key=${canary}#${canary}`
      const reasons: ReadonlyArray<AiError.AiErrorReason> = [
        new AiError.RateLimitError({ http }),
        new AiError.QuotaExhaustedError({ http }),
        new AiError.AuthenticationError({ kind: "InvalidKey", http }),
        new AiError.ContentPolicyError({ description: "d", http }),
        new AiError.InvalidRequestError({ description: "d", http }),
        new AiError.InternalProviderError({ description: "d", http }),
        new AiError.UnknownError({ description: "d", http }),
        new AiError.NetworkError({ reason: "TransportError", method: "POST", url, cause: new Error(canary) })
      ]
      for (const reason of reasons) {
        const error = AiError.make({ module: "m", method: "x", reason })
        const result = Response.makePart("tool-result", {
          id: "c",
          name: "see",
          result: error,
          encodedResult: "failed",
          isFailure: true,
          preliminary: false,
          providerExecuted: false
        })
        const texts = yield* send(AgentRun.parts(), [Response.makePart("error", { error }), result])
        for (const text of texts) assert.notInclude(text, canary)
        const [sent, answered] = yield* receive(AgentRun.parts(), texts)
        for (const back of [sent.type === "error" && sent.error, answered.type === "tool-result" && answered.result]) {
          assert(AiError.isAiError(back))
          assert.strictEqual(back.reason._tag, reason._tag)
          assert.strictEqual(back.isRetryable, error.isRetryable)
          if (back.reason._tag === "NetworkError") assert.strictEqual(back.reason.url, "https://a.test/v1")
        }
      }
    }))

  it.effect("has null for a value that is undefined", () =>
    Effect.gen(function*() {
      const call = Response.makePart("tool-call", { id: "c", name: "see", params: undefined, providerExecuted: true })
      const answered = Response.makePart("tool-result", {
        id: "c",
        name: "see",
        result: undefined,
        encodedResult: undefined,
        isFailure: false,
        preliminary: false,
        providerExecuted: true
      })
      for (const codec of [AgentRun.parts(), AgentRun.parts(toolkit) as Codec]) {
        assertSame(yield* cross(codec, [call, answered, { type: "output-partial", value: undefined }]), [
          { ...call, params: null },
          { ...answered, result: null, encodedResult: null },
          { type: "output-partial", value: null }
        ])
      }
    }))

  it.effect("is small", () =>
    Effect.gen(function*() {
      const texts = yield* send(AgentRun.parts(), samples.slice(0, 11))
      assert.deepStrictEqual(texts, [
        "{\"type\":\"text-start\",\"id\":\"t\"}",
        "{\"type\":\"text-delta\",\"id\":\"t\",\"delta\":\"a\\ud800b\"}",
        "{\"type\":\"text-end\",\"id\":\"t\"}",
        "{\"type\":\"reasoning-start\",\"id\":\"t\"}",
        "{\"type\":\"reasoning-delta\",\"id\":\"t\",\"delta\":\"\"}",
        "{\"type\":\"reasoning-end\",\"id\":\"t\"}",
        "{\"type\":\"tool-params-start\",\"id\":\"t\",\"name\":\"see\"}",
        "{\"type\":\"tool-params-delta\",\"id\":\"t\",\"delta\":\"{\"}",
        "{\"type\":\"tool-params-end\",\"id\":\"t\"}",
        "{\"type\":\"tool-call\",\"id\":\"c\",\"name\":\"see\",\"params\":{\"n\":1}}",
        "{\"type\":\"tool-call\",\"id\":\"c\",\"name\":\"hosted\",\"params\":null,\"providerExecuted\":true}"
      ])
    }))

  it.effect("has of a result what the model reads, and decodes it with the schemas of its tool", () =>
    Effect.gen(function*() {
      const codec = AgentRun.parts(toolkit)
      const parts = yield* Stream.runCollect(Agent.stream(Agent.make("a", { toolkit }), { prompt: "go" }))
      const texts = yield* send(codec, parts)
      assert.notInclude(texts.join(), canary)
      assert.notInclude(texts.join(), "\"result\":{\"at\":1")
      const results = (yield* receive(codec, texts)).filter((part) => part.type === "tool-result")
      const encoded = { at: "1970-01-01T00:00:00.000Z", size: "5", from: "https://a.test/b", bytes: "AQI=" }
      assertSame(
        results.map(({ encodedResult, isFailure, name, preliminary, result }) =>
          [name, preliminary, isFailure, result, encodedResult] as const
        ),
        [
          ["see", true, false, seen, encoded],
          ["see", false, false, seen, encoded],
          ["nothing", false, false, undefined, null],
          ["fails", false, true, new Boom({ of: "here" }), { _tag: "Boom", of: "here" }],
          ...results.slice(4).map(({ encodedResult, name, result }) => [name, false, true, result, encodedResult])
        ]
      )
      // the mistakes of the model, which reads their messages
      const mistakes = results.slice(4).map(({ encodedResult, result }) => {
        assert(AiError.isAiError(result))
        assert.strictEqual(encodedResult, result.reason.message)
        return result.reason._tag
      })
      assert.deepStrictEqual(mistakes, ["ToolParameterValidationError", "ToolNotFoundError"])
      assertSame(
        results.slice(4),
        parts.filter((part) => part.type === "tool-result" && AiError.isAiError(part.result))
      )
    }).pipe(Effect.provide([
      handlers,
      ScriptedModel.layer([
        ScriptedModel.toolCalls(
          ...["see", "nothing", "fails"].map((name, n) => ({ name, params: { n } })),
          { name: "see", params: { n: "x" } },
          { name: "nobody", params: {} }
        ),
        ScriptedModel.text("done")
      ])
    ])))

  it.effect("gives the encoded result of a tool that it does not know", () =>
    Effect.gen(function*() {
      const part = Response.makePart("tool-result", {
        id: "c",
        name: "see",
        result: seen,
        encodedResult: { at: "1970" },
        isFailure: false,
        preliminary: false,
        providerExecuted: false,
        modelOutput: [Prompt.textPart({ text: "seen" })]
      })
      const [back] = yield* cross(AgentRun.parts(), [part])
      assertSame(back, { ...part, result: { at: "1970" } })
    }))

  it.effect("refuses the result that the schema of its tool does not know, unless it came in place of another", () =>
    Effect.gen(function*() {
      const codec = AgentRun.parts(toolkit)
      const hidden = Guardrail.tool("hidden", { after: () => Effect.succeed(Guardrail.replace("hidden")) })
      const agent = Agent.make("a", { toolkit, middleware: [hidden] })
      const parts = yield* Stream.runCollect(Agent.stream(agent, { prompt: "go" }))
      assertSame(yield* cross(codec, parts), parts)
      const other = { type: "tool-result", id: "c", name: "see", encodedResult: { at: 1 } }
      const exit = yield* Effect.exit(Schema.decodeEffect(codec)(other))
      assert.include(String(exit), "encodedResult")
    }).pipe(Effect.provide([
      handlers,
      ScriptedModel.layer([ScriptedModel.toolCalls({ name: "see", params: { n: 1 } }), ScriptedModel.text("done")])
    ])))

  it.effect("decodes the results in nested runs with the schemas of the tools of their agents", () =>
    Effect.gen(function*() {
      const sub = AgentTool.toolkit(AgentTool.make(Agent.make("sub", { toolkit })))
      const mid = AgentTool.toolkit(AgentTool.make(Agent.make("mid", { toolkit: sub })))
      const parts = yield* Stream.runCollect(Agent.stream(Agent.make("top", { toolkit: mid }), { prompt: "go" }))
      const back = yield* cross(AgentRun.parts(mid), parts)
      const results = back.flatMap((part) =>
        part.type === "agent-part" && part.part.type === "tool-result" ? [[part.path.join(), part.part.result]] : []
      )
      assertSame(results, [["mid,sub", seen], ["mid,sub", seen], ["mid", "done"]])
    }).pipe(Effect.provide([
      handlers,
      ScriptedModel.layer([
        ScriptedModel.toolCalls({ name: "mid", params: { prompt: "x" } }),
        ScriptedModel.toolCalls({ name: "sub", params: { prompt: "x" } }),
        ScriptedModel.toolCalls({ name: "see", params: { n: 1 } }),
        ScriptedModel.text("done"),
        ScriptedModel.text("done"),
        ScriptedModel.text("done")
      ])
    ])))

  it.effect("decodes the parameters of a call as its handler gets them, and fails with the mistakes of a model", () =>
    Effect.gen(function*() {
      const Book = Tool.make("book", {
        parameters: Schema.Struct({ day: Schema.Date, note: Schema.optionalKey(Schema.String) })
      })
      const kit = Toolkit.make(Book)
      const seen: Array<unknown> = []
      const parts = yield* Stream.runCollect(Agent.stream(Agent.make("a", { toolkit: kit }), { prompt: "go" })).pipe(
        Effect.provide([
          ScriptedModel.layer([
            ScriptedModel.toolCalls(
              { name: "book", params: { day: "2026-06-01T00:00:00.000Z", note: null } },
              { name: "book", params: { day: "soon" } },
              { name: "book", params: [] }
            ),
            ScriptedModel.text("done")
          ]),
          kit.toLayer({ book: (params) => Effect.sync(() => void seen.push(params)) })
        ])
      )
      const back = yield* cross(AgentRun.parts(kit), parts)
      const decoded = yield* Effect.forEach(
        back.filter((part) => part.type === "tool-call"),
        (part) => Effect.exit(AgentRun.decodeParams(Book, part))
      )
      assertSame(decoded.map((exit) => Exit.isSuccess(exit)), [true, false, false])
      assertSame(decoded.flatMap((exit) => Exit.isSuccess(exit) ? [exit.value] : []), seen)
      assertSame(seen, [{ day: new Date("2026-06-01") }])
    }))

  it.effect("has a schema of the results of an agent, with its value or without", () =>
    Effect.gen(function*() {
      const Trip = Schema.Struct({ start: Schema.Date, kronor: Schema.BigInt })
      const outputs = [
        [Trip, { start: new Date(5).toISOString(), kronor: "7" }],
        [Schema.Date, { value: new Date(5).toISOString() }]
      ] as const
      for (const [output, params] of outputs) {
        const result = yield* Agent.run(Agent.make("a", { output: output as Schema.Codec<unknown, unknown> }), {
          prompt: "go"
        }).pipe(Effect.provide(ScriptedModel.layer([ScriptedModel.toolCalls({ name: "final_answer", params })])))
        const codec = AgentRun.resultOf(output as Schema.Codec<unknown, unknown>)
        const text = JSON.stringify(yield* Schema.encodeEffect(codec)(result))
        assertSame(yield* Schema.decodeUnknownEffect(codec)(JSON.parse(text)), result)
        const waiting = { ...result, value: undefined }
        const sent = JSON.parse(JSON.stringify(yield* Schema.encodeEffect(codec)(waiting)))
        assertSame(yield* Schema.decodeUnknownEffect(codec)(sent), waiting)
      }
      const exit = yield* Effect.exit(Schema.decodeEffect(AgentRun.resultOf(Trip))({ text: "no result" }))
      assert.isTrue(Exit.isFailure(exit))
    }))

  it.effect("decodes the values of nested runs with the schemas of their agents, and of what calls them", () =>
    Effect.gen(function*() {
      const Trip = Schema.Struct({ start: Schema.Date, kronor: Schema.BigInt })
      const modelled = Agent.make("modelled", { output: Trip })
      const wrapped = Agent.make("wrapped", { output: Schema.Date })
      const program = Agent.program("program", {
        toolkit: AgentTool.toolkit(AgentTool.make(modelled, { success: Trip })),
        run: (_, call) => Effect.map(call.modelled({ prompt: "x" }), ({ start }) => start)
      })
      const kit = AgentTool.toolkit(
        AgentTool.make(program, { success: Schema.Date }),
        AgentTool.make(wrapped, { name: "asked", result: ({ value }) => value.toISOString() })
      )
      const parts = yield* Stream.runCollect(Agent.stream(Agent.make("top", { toolkit: kit }), { prompt: "go" }))
      const valuesOf = (parts: ReadonlyArray<AgentRun.Part>) =>
        parts.flatMap((part) =>
          part.type === "agent-part" && part.part.type === "run-end" ? [[part.path.join(), part.part.result.value]] : []
        )
      const values = valuesOf(parts)
      assertSame(values, [
        ["program,modelled", { start: new Date(5), kronor: 7n }],
        ["program", new Date(5)],
        ["wrapped", new Date(6)]
      ])
      assertSame(valuesOf(yield* cross(AgentRun.parts(kit), parts)), values)
    }).pipe(Effect.provide(ScriptedModel.layer([
      ScriptedModel.toolCalls({ name: "program", params: { prompt: "x" } }),
      ScriptedModel.toolCalls({ name: "final_answer", params: { start: new Date(5).toISOString(), kronor: "7" } }),
      ScriptedModel.toolCalls({ name: "asked", params: { prompt: "x" } }),
      ScriptedModel.toolCalls({ name: "final_answer", params: { value: new Date(6).toISOString() } }),
      ScriptedModel.text("done")
    ]))))

  it.effect("refuses what is no part, and what an older version does not know", () =>
    Effect.gen(function*() {
      const decode = Schema.decodeUnknownEffect(AgentRun.parts())
      const inNested = { type: "agent-part", path: ["a"], toolCallId: "c", runId: "r", parentRunId: "p" }
      const refused: ReadonlyArray<readonly [unknown, string]> = [
        [undefined, "a part of a run as JSON"],
        ["text", "a part of a run as JSON"],
        [{ type: 1 }, "a part of a run as JSON"],
        [{ type: "later" }, "`later`: it may be one of a newer version"],
        [{ type: "toString" }, "`toString`"],
        [{ type: "text-delta", id: 1, delta: "" }, "id"],
        [{ type: "text-delta", id: "1" }, "delta"],
        [{ type: "text-delta", id: "1", delta: "", metadata: 1 }, "metadata"],
        [{ type: "run-end" }, "result"],
        [{ type: "steering", message: { role: "system", content: "x" } }, "message"],
        [{ ...inNested, path: [] }, "path"],
        [{ ...inNested, part: { type: "later" } }, "[\"part\"]"],
        [{ ...inNested, part: { ...inNested, part: { type: "step-start", index: 0 } } }, "part"],
        [{ ...inNested, part: { type: "step-start", index: 0.5 } }, "[\"part\"][\"index\"]"]
      ]
      for (const [input, text] of refused) {
        const exit = yield* Effect.exit(decode(input))
        assert(Exit.isFailure(exit))
        const failure = exit.cause.reasons[0]
        assert(failure._tag === "Fail" && Schema.isSchemaError(failure.error), String(exit))
        assert.include(String(failure.error), text)
      }
      const exit = yield* Effect.exit(Schema.encodeUnknownEffect(AgentRun.parts())({ type: "later" }))
      assert.include(String(exit), "`later`")
      const later = AgentRun.parts(Effect.map(toolkit, (toolkit) => toolkit)) as Codec
      const unread = { type: "tool-result", id: "c", name: "see", encodedResult: 1 }
      assert.include(String(yield* Effect.exit(Schema.decodeEffect(later)(unread))), "give a `Toolkit`")
    }))

  for (
    const [name, output] of [
      ["a schema", Answer],
      ["a tool", AgentOutput.tool(Answer)],
      ["JSON mode", AgentOutput.json(Answer)]
    ] as const
  ) {
    it.effect(`decodes the value of an output that is ${name}`, () =>
      Effect.gen(function*() {
        const result = yield* Agent.run(Agent.make("a", { output }), { prompt: "go" })
        const value = {
          when: new Date(answer.when),
          count: BigInt(answer.count),
          where: new URL(answer.where),
          raw: new Uint8Array([1, 2])
        }
        assertSame(result.value, value)
        const [text] = yield* send(AgentRun.parts(undefined, { output }), [{ type: "run-end", result }])
        const [typed] = yield* receive(AgentRun.parts(undefined, { output }), [text])
        assertSame(typed, { type: "run-end", result })
        // what does not know the output reads and writes the same JSON
        assert.deepStrictEqual(yield* send(AgentRun.parts(), [{ type: "run-end", result }]), [text])
        const [plain] = yield* receive(AgentRun.parts(), [text])
        assertSame(plain, { type: "run-end", result: { ...result, value: answer } })
        const json = Schema.fromJsonString(AgentRun.Result)
        const alone = yield* Schema.decodeEffect(json)(yield* Schema.encodeEffect(json)(result))
        assertSame(alone, { ...result, value: answer })
      }).pipe(Effect.provide(ScriptedModel.layer([
        name === "JSON mode"
          ? ScriptedModel.text(JSON.stringify(answer))
          : ScriptedModel.toolCalls({ name: "final_answer", params: answer })
      ]))))
  }

  it.effect("decodes the value of an output that is no object, and knows a result that has none", () =>
    Effect.gen(function*() {
      const output = AgentOutput.tool(Schema.Date)
      const result = yield* Agent.run(Agent.make("a", { output }), { prompt: "go" })
      assertSame(result.value, new Date(answer.when))
      for (const value of [result.value, undefined]) {
        const part = { type: "run-end", result: { ...result, value } } as AgentRun.Part
        for (const own of [output, Schema.Date]) {
          assertSame(yield* cross(AgentRun.parts(undefined, { output: own }) as Codec, [part]), [part])
        }
      }
    }).pipe(Effect.provide(ScriptedModel.layer([
      ScriptedModel.toolCalls({ name: "final_answer", params: { value: answer.when } })
    ]))))

  it.effect("writes a value as the output would, also where the output is not known", () =>
    Effect.gen(function*() {
      const output = Schema.Struct({
        // @effect-diagnostics-next-line schemaNumber:off
        numbers: Schema.Array(Schema.Number),
        times: Schema.ReadonlyMap(Schema.String, Schema.Date),
        sizes: Schema.ReadonlySet(Schema.BigInt)
      })
      const value: typeof output.Type = {
        numbers: [1, Number.NaN, -Infinity],
        times: new Map([["a", new Date(0)]]),
        sizes: new Set([1n])
      }
      const end = { type: "run-end", result: { ...result, value } } as const
      const known = AgentRun.parts(undefined, { output }) as Codec
      const texts = yield* send(known, [end])
      assertSame(yield* receive(known, texts), [end])
      assert.deepStrictEqual(yield* send(AgentRun.parts(), [end]), texts)
    }))

  it.effect("refuses a value that has no JSON", () =>
    Effect.gen(function*() {
      const cycle: Record<string, unknown> = {}
      cycle["self"] = cycle
      const throws = {
        toJSON: () => {
          throw new Error("no")
        }
      }
      for (const value of [cycle, throws, Symbol.iterator, () => 1, new Map([[1, cycle]])]) {
        const exit = yield* Effect.exit(send(AgentRun.parts(), [{ type: "run-end", result: { ...result, value } }]))
        assert(Exit.isFailure(exit) && exit.cause.reasons[0]._tag === "Fail", String(exit))
      }
    }))

  it.effect("brings what a model nests too deeply, as it goes back to the model", () =>
    Effect.gen(function*() {
      const codec = AgentRun.parts(toolkit) as Codec
      const parts = yield* Stream.runCollect(Agent.stream(Agent.make("a", { toolkit }), { prompt: "go" }))
      assert.strictEqual(parts.at(-1)?.type, "run-end")
      assertSame(yield* cross(codec, parts), parts)
    }).pipe(Effect.provide([
      handlers,
      ScriptedModel.layer([
        ScriptedModel.step(
          ScriptedModel.parts([{ type: "text-start", id: "t", metadata: { provider: { deep: deep(1000) } } }]),
          ScriptedModel.toolCalls(
            { name: "see", params: deep(512) },
            { name: "see", params: deep(1000) },
            { name: "see", params: deep(100_000) }
          )
        ),
        ScriptedModel.text("done")
      ])
    ])))

  const Features = Schema.Struct({
    output: Schema.Literals(["none", "tool", "json"]),
    calls: Schema.Array(Schema.Literals(["see", "nothing", "fails", "remove", "ghost", "bad", "sub"])).check(
      Schema.isMaxLength(4)
    ),
    session: Schema.Boolean,
    steered: Schema.Boolean,
    guarded: Schema.Boolean,
    files: Schema.Boolean,
    hosted: Schema.Boolean,
    typed: Schema.Boolean
  })

  it.effect.prop(
    "brings any run to the other side: its fold is the result, and nothing is there that was stripped",
    { features: Arbitrary.schema(Features) },
    Effect.fnUntraced(function*({ features }) {
      const { calls, files, guarded, hosted, output, session, steered, typed } = features
      const sub = AgentTool.make(Agent.make("sub", { toolkit }), { name: "sub" })
      const kit = Toolkit.make(See, Nothing, Fails, Remove, sub.tool)
      const layer = kit.toLayer({
        see: () => Effect.succeed({ ...seen, canary }),
        nothing: () => Effect.void,
        fails: () => Effect.fail(new Boom({ of: "here" })),
        remove: () => Effect.succeed(null),
        sub: sub.handler
      })
      const providers: Array<ContextProvider.ContextProvider<any, any>> = session ? [SessionHistory.provider] : []
      const agent = Agent.make("a", {
        toolkit: kit,
        providers,
        middleware: guarded
          ? [Guardrail.tool("g", { after: () => Effect.succeed(Guardrail.replace("hidden")) })]
          : [],
        ...output !== "none" && { output: output === "tool" ? AgentOutput.tool(Answer) : AgentOutput.json(Answer) }
      })
      const steering = yield* Steering.make
      if (steered) yield* steering.send(message)
      const last = output === "none" ? [ScriptedModel.text("done")] : output === "tool"
        ? [ScriptedModel.toolCalls({ name: "final_answer", params: answer })]
        : [ScriptedModel.text(JSON.stringify(answer))]
      const asked = calls.map((name, index) => ({
        name: name === "bad" ? "see" : name,
        id: `c${index}`,
        params: name === "sub" ? { prompt: "x" } : { n: name === "bad" ? "x" : 1 }
      }))
      const first = ScriptedModel.step(
        ScriptedModel.reasoning("hm"),
        ScriptedModel.text(["o", "ne"]),
        ScriptedModel.parts([
          ...files ? [{ type: "file", mediaType: "image/png", data: "AQI=" } as const] : [],
          ...hosted ? [{ type: "tool-approval-request", approvalId: "h", toolCallId: "h" } as const] : []
        ]),
        ...asked.length > 0 ? [ScriptedModel.toolCalls(...asked)] : []
      )
      // a nested run takes its answers of this model as well
      const model = ScriptedModel.layer([first, ...Array.from({ length: 12 }, () => last)])
      const run = { prompt: [message], steering, ...session && { session: "s" } }
      const { exit, parts } = yield* collectAll(Agent.stream(agent, run)).pipe(
        Effect.provide([layer, model, SessionStore.layerMemory])
      )
      const codec = (output === "none"
        ? typed ? AgentRun.parts(kit) : AgentRun.parts()
        : AgentRun.parts(typed ? kit : undefined, { output: Answer })) as Codec
      const texts = yield* send(codec, parts)
      assert.notInclude(texts.join(), canary)
      const back = yield* receive(codec, texts)
      if (typed) assert.deepStrictEqual(yield* send(codec, back), texts)
      assert.deepStrictEqual(back.map(({ type }) => type), parts.map(({ type }) => type))
      if (Exit.isFailure(exit)) return
      const own = yield* AgentRun.fold(Stream.fromIterable(parts))
      assertSame(yield* AgentRun.fold(Stream.fromIterable(back)), own)
    }),
    { timeout: 60_000, arbitrary: { runs: 100, seed: "parts" } }
  )

  it("a path through an agent that calls itself makes no more codecs than there are agents", () => {
    const tool = AgentTool.make((): Agent.Any => self, { name: "self", description: "itself" }).tool
    const self: Agent.Any = Agent.make("self", { toolkit: Toolkit.make(tool) })
    const codec = AgentRun.parts(Toolkit.make(tool)) as Schema.Codec<AgentRun.Part, AgentRun.PartEncoded>
    const decode = Schema.decodeUnknownSync(codec)
    const part = (length: number) => ({
      type: "agent-part",
      path: Array.from({ length }, () => "self"),
      toolCallId: "c",
      runId: "r",
      parentRunId: "p",
      part: { type: "text-delta", id: "1", delta: "x" }
    })
    decode(part(1))
    const before = process.memoryUsage().heapUsed
    for (let length = 100_000; length < 100_010; length++) decode(part(length))
    // a codec for each name on the way took about 500 bytes: 500 MB in all
    assert.isBelow(process.memoryUsage().heapUsed - before, 100_000_000)
  })
})
