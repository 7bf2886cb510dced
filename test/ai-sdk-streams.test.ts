/**
 * Responses of real providers that were cut, doubled, put in another order or changed on their way: whatever comes, a run
 * has one outcome, a closed transcript and a usage that can be added up, and no call of a response that was cut is made.
 */
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Context, Effect, ExecutionPlan, Exit, Schema } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { Agent, AgentOutput, AgentRun, ContextProvider, ModelFallback } from "../src/index.ts"
import { AiSdk } from "../src/ai-sdk/index.ts"
import { beginnings, type ProviderName, providerNames, providers, rawServer, sdkModel } from "./fixtures/ai-sdk.ts"
import { showExit } from "./utils.ts"

// -----------------------------------------------------------------------------
// What providers say
// -----------------------------------------------------------------------------

type Chunk = Readonly<Record<string, unknown>>

const chat = (delta: Chunk, finish_reason: string | null = null): Chunk => ({
  id: "c1",
  object: "chat.completion.chunk",
  created: 1,
  model: "m",
  choices: [{ index: 0, delta, finish_reason }]
})

const chatUsage: Chunk = {
  ...chat({}),
  choices: [],
  usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 }
}

const chatCall = (index: number, id: string, n: number): Chunk =>
  chat({ tool_calls: [{ index, id, type: "function", function: { name: "note", arguments: `{"n":${n}}` } }] })

const chatResponse: ReadonlyArray<Chunk> = [
  chat({ role: "assistant", content: "I will " }),
  chat({ content: "note it." }),
  chatCall(0, "call_1", 1),
  chatCall(1, "call_2", 2),
  chat({}, "tool_calls"),
  chatUsage
]

const item = (output_index: number, n: number): ReadonlyArray<Chunk> => {
  const call = { id: `fc_${n}`, type: "function_call", call_id: `call_${n}`, name: "note" }
  return [
    { type: "response.output_item.added", output_index, item: { ...call, arguments: "", status: "in_progress" } },
    { type: "response.function_call_arguments.delta", item_id: call.id, output_index, delta: `{"n":${n}}` },
    { type: "response.function_call_arguments.done", item_id: call.id, output_index, arguments: `{"n":${n}}` },
    {
      type: "response.output_item.done",
      output_index,
      item: { ...call, arguments: `{"n":${n}}`, status: "completed" }
    }
  ]
}

const block = (index: number, content_block: Chunk, ...deltas: ReadonlyArray<Chunk>): ReadonlyArray<Chunk> => [
  { type: "content_block_start", index, content_block },
  ...deltas.map((delta) => ({ type: "content_block_delta", index, delta })),
  { type: "content_block_stop", index }
]

const use = (index: number, n: number): ReadonlyArray<Chunk> =>
  block(
    index,
    { type: "tool_use", id: `toolu_${n}`, name: "note", input: {} },
    { type: "input_json_delta", partial_json: "{\"n\":" },
    { type: "input_json_delta", partial_json: `${n}}` }
  )

const gemini = (parts: ReadonlyArray<Chunk>, finishReason?: string): Chunk => ({
  candidates: [{ content: { role: "model", parts }, ...(finishReason === undefined ? undefined : { finishReason }) }],
  usageMetadata: { promptTokenCount: 10, candidatesTokenCount: 5, totalTokenCount: 15 }
})

/** A whole response of each API: a text and two calls. */
const responses: Readonly<Record<ProviderName, ReadonlyArray<Chunk>>> = {
  "openai chat": chatResponse,
  "openai-compatible": chatResponse,
  "openai responses": [
    { type: "response.created", response: { id: "r", object: "response", created_at: 1, model: "m" } },
    { type: "response.output_item.added", output_index: 0, item: { id: "m", type: "message", role: "assistant" } },
    { type: "response.output_text.delta", item_id: "m", output_index: 0, content_index: 0, delta: "I will note it." },
    { type: "response.output_item.done", output_index: 0, item: { id: "m", type: "message", role: "assistant" } },
    ...item(1, 1),
    ...item(2, 2),
    {
      type: "response.completed",
      response: {
        id: "r",
        object: "response",
        created_at: 1,
        model: "m",
        usage: { input_tokens: 10, output_tokens: 5, total_tokens: 15 }
      }
    }
  ],
  anthropic: [
    {
      type: "message_start",
      message: {
        id: "m",
        type: "message",
        role: "assistant",
        model: "c",
        content: [],
        usage: { input_tokens: 10, output_tokens: 1 }
      }
    },
    ...block(0, { type: "text", text: "" }, { type: "text_delta", text: "I will note it." }),
    ...use(1, 1),
    ...use(2, 2),
    { type: "message_delta", delta: { stop_reason: "tool_use", stop_sequence: null }, usage: { output_tokens: 5 } },
    { type: "message_stop" }
  ],
  google: [
    gemini([{ text: "I will note it." }]),
    gemini([{ functionCall: { name: "note", args: { n: 1 } } }, { functionCall: { name: "note", args: { n: 2 } } }]),
    gemini([{ text: "" }], "STOP")
  ]
}

const isChat = (provider: ProviderName) => provider === "openai chat" || provider === "openai-compatible"

const written = (provider: ProviderName, chunks: ReadonlyArray<unknown>, hasEnd = true): string =>
  chunks.map((chunk) => {
    const data = `data: ${JSON.stringify(chunk)}\n\n`
    const event = (chunk as { readonly type?: unknown } | null)?.type
    return provider === "anthropic" || provider === "openai responses" ? `event: ${String(event)}\n${data}` : data
  }).join("") + (hasEnd && isChat(provider) ? "data: [DONE]\n\n" : "")

// -----------------------------------------------------------------------------
// What becomes of it on its way
// -----------------------------------------------------------------------------

const Place = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 30 }))
const Mutation = Schema.Union([
  Schema.Struct({ how: Schema.Literal("cut"), at: Place }),
  Schema.Struct({
    how: Schema.Literal("cut-bytes"),
    at: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3000 }))
  }),
  Schema.Struct({ how: Schema.Literals(["double", "drop", "to-front", "to-end"]), at: Place }),
  Schema.Struct({ how: Schema.Literal("swap"), at: Place, with: Place }),
  Schema.Struct({
    how: Schema.Literal("change"),
    at: Place,
    path: Place,
    value: Schema.Literals([
      "null",
      "-1",
      "1e300",
      "0.5",
      "\"\"",
      "\"x\"",
      "{}",
      "[]",
      "true",
      "\"call_1\"",
      "undefined"
    ])
  })
])

/** The paths to all the values in a chunk. */
const paths = (value: unknown, path: ReadonlyArray<string> = []): Array<ReadonlyArray<string>> =>
  typeof value === "object" && value !== null
    ? Object.entries(value).flatMap(([key, inner]) => [[...path, key], ...paths(inner, [...path, key])])
    : []

const changed = (value: any, [key, ...path]: ReadonlyArray<string>, to: unknown): unknown => {
  const copy = Array.isArray(value) ? value.slice() : { ...value }
  copy[key] = path.length === 0 ? to : changed(copy[key], path, to)
  return copy
}

const mutate = (chunks: ReadonlyArray<unknown>, mutation: typeof Mutation.Type): ReadonlyArray<unknown> => {
  if (chunks.length === 0 || mutation.how === "cut-bytes") return chunks
  const at = mutation.at % chunks.length
  switch (mutation.how) {
    case "cut":
      return chunks.slice(0, at)
    case "double":
      return [...chunks.slice(0, at), chunks[at], ...chunks.slice(at)]
    case "drop":
      return chunks.toSpliced(at, 1)
    case "to-front":
      return [chunks[at], ...chunks.toSpliced(at, 1)]
    case "to-end":
      return [...chunks.toSpliced(at, 1), chunks[at]]
    case "swap": {
      const other = mutation.with % chunks.length
      return chunks.with(at, chunks[other]).with(other, chunks[at])
    }
    case "change": {
      const all = paths(chunks[at])
      const to = mutation.value === "undefined" ? undefined : JSON.parse(mutation.value)
      return all.length === 0 ? chunks : chunks.with(at, changed(chunks[at], all[mutation.path % all.length]!, to))
    }
  }
}

// -----------------------------------------------------------------------------
// What a run makes of it
// -----------------------------------------------------------------------------

const toolkit = Toolkit.make(
  Tool.make("note", { parameters: Schema.Struct({ n: Schema.Int }), success: Schema.Int })
)

const serve = (answers: ReadonlyArray<string>) => {
  let asked = 0
  return rawServer((_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" })
    response.end(answers[Math.min(asked++, answers.length - 1)])
  })
}

const done: Readonly<Record<ProviderName, ReadonlyArray<unknown>>> = {
  "openai chat": [chat({ role: "assistant", content: "done" }), chat({}, "stop")],
  "openai-compatible": [chat({ role: "assistant", content: "done" }), chat({}, "stop")],
  "openai responses": [...beginnings("done", 1)["openai responses"], responses["openai responses"].at(-1)],
  anthropic: [
    ...beginnings("done", 1).anthropic,
    { type: "content_block_stop", index: 0 },
    { type: "message_delta", delta: { stop_reason: "end_turn", stop_sequence: null }, usage: { output_tokens: 1 } },
    { type: "message_stop" }
  ],
  google: [gemini([{ text: "done" }], "STOP")]
}

const play = Effect.fnUntraced(function*(provider: ProviderName, first: string) {
  const url = yield* serve([first, written(provider, done[provider])])
  const ran: Array<number> = []
  const outcomes: Array<AgentRun.Outcome> = []
  const agent = Agent.make("agent", {
    toolkit,
    providers: [ContextProvider.make("seen", {
      beforeRun: () => AgentRun.addFinalizer((exit) => Effect.sync(() => outcomes.push(AgentRun.outcome(exit))))
    })]
  })
  const exit = yield* Agent.run(agent, { prompt: "go" }).pipe(
    Effect.provide([
      AiSdk.layer(providers(url)[provider]),
      toolkit.toLayer({ note: ({ n }) => Effect.sync(() => (ran.push(n), n)) })
    ]),
    Effect.exit
  )
  return { exit, outcomes, ran }
}, Effect.scoped)

/** The ids of calls that have no result, or not just one. */
const unclosed = ({ content }: AgentRun.Result["transcript"]): ReadonlyArray<string> => {
  const open = new Map<string, number>()
  for (const message of content) {
    if (message.role !== "assistant" && message.role !== "tool") continue
    for (const part of message.content) {
      if (part.type === "tool-call" && !part.providerExecuted) open.set(part.id, (open.get(part.id) ?? 0) + 1)
      if (part.type === "tool-result" && !part.providerExecuted) open.set(part.id, (open.get(part.id) ?? 0) - 1)
    }
  }
  return [...open].flatMap(([id, count]) => count === 0 ? [] : [id])
}

describe("streams of real providers", () => {
  for (const provider of providerNames) {
    describe(provider, () => {
      it.effect("whole: both calls are made, and the run completes", () =>
        Effect.gen(function*() {
          const { exit, ran } = yield* play(provider, written(provider, responses[provider]))
          assert.deepStrictEqual([showExit(exit), ran], ["Completed \"done\"", [1, 2]])
        }))

      it.effect("cut after any chunk but the last: the run fails with an `AiError`, and no call is made", () =>
        Effect.forEach(responses[provider].slice(0, isChat(provider) ? -2 : -1).keys(), (at) =>
          Effect.gen(function*() {
            // Anthropic has said all of it with the last but one
            if (provider === "anthropic" && at === responses.anthropic.length - 2) return
            const cut = written(provider, responses[provider].slice(0, at + 1), false)
            const { exit, ran } = yield* play(provider, cut)
            assert.match(showExit(exit), /^Failed Fail AiError\.NetworkError|InvalidResponseError/)
            assert.deepStrictEqual(ran, [])
          })))

      it.effect.prop(
        "mutated: one outcome, a closed transcript, a usage that can be added up, and only calls of whole steps",
        { mutations: Arbitrary.schema(Schema.Array(Mutation).check(Schema.isMaxLength(3))) },
        ({ mutations }) =>
          Effect.gen(function*() {
            const text = written(provider, mutations.reduce(mutate, responses[provider]))
            const bytes = mutations.find(({ how }) => how === "cut-bytes")
            const { exit, outcomes, ran } = yield* play(
              provider,
              bytes === undefined ? text : text.slice(0, bytes.at % (text.length + 1))
            )
            assert.deepStrictEqual(outcomes.map(({ _tag }) => _tag), [Exit.isSuccess(exit) ? "Completed" : "Failed"])
            const [outcome] = outcomes
            const end = outcome!._tag === "Completed" ? outcome.result : outcome!.partial
            assert.deepStrictEqual(unclosed(end.transcript), [])
            const { inputTokens, outputTokens } = end.usage
            for (const count of [...Object.values(inputTokens), ...Object.values(outputTokens)]) {
              assert.isTrue(count === undefined || (Number.isSafeInteger(count) && count >= 0), String(count))
            }
            const ids = end.steps.map(({ toolCalls }) => toolCalls.map(({ id }) => id))
            for (const inStep of ids) assert.strictEqual(new Set(inStep).size, inStep.length)
            const made = end.steps.flatMap(({ toolCalls }) => toolCalls.filter(({ executed }) => executed))
            assert.strictEqual(ran.length, made.length)
          }),
        { timeout: 60_000, arbitrary: { runs: 60, seed: `mutated ${provider}` } }
      )
    })
  }

  describe("the end of a response", () => {
    const half = written("openai-compatible", [chat({ role: "assistant", content: "all of it" })])

    it.effect.each(["fail", "accept"] as const)(
      "without a finish reason: with the setting `%s`",
      (missingFinishReason) =>
        Effect.gen(function*() {
          const url = yield* serve([half])
          const exit = yield* Agent.run(Agent.make("agent"), { prompt: "go" }).pipe(
            Effect.provide(AiSdk.layer(providers(url)["openai-compatible"], { missingFinishReason })),
            Effect.exit
          )
          assert.strictEqual(
            showExit(exit),
            missingFinishReason === "fail"
              ? "Failed Fail AiError.NetworkError after \"all of it\""
              : "Completed \"all of it\""
          )
        })
    )

    it.effect.each(["fail", "accept"] as const)(
      "of a provider that gives no finish at all, in JSON mode and as a stream: with the setting `%s`",
      (missingFinishReason) =>
        Effect.gen(function*() {
          const text = [{ type: "text-start", id: "t" }, { type: "text-delta", id: "t", delta: "{\"n\":1}" }]
          const model = sdkModel(text, {
            result: {
              content: [{ type: "text", text: "{\"n\":1}" }],
              finishReason: { unified: "other", raw: undefined },
              usage: {},
              warnings: []
            }
          })
          const output = AgentOutput.json(Schema.Struct({ n: Schema.Int }))
          const layer = AiSdk.layer(model, { missingFinishReason })
          const streamed = yield* Agent.run(Agent.make("agent"), { prompt: "go" }).pipe(
            Effect.provide(layer),
            Effect.exit
          )
          const whole = yield* Agent.run(Agent.make("agent", { output }), { prompt: "go" }).pipe(
            Effect.provide(layer),
            Effect.exit
          )
          const expected = missingFinishReason === "fail" ? "Failure" : "Success"
          assert.deepStrictEqual([streamed._tag, whole._tag], [expected, expected])
        })
    )

    const malformed: Chunk = {
      candidates: [{ finishReason: "MALFORMED_FUNCTION_CALL", finishMessage: "Malformed function call: print(x)" }],
      usageMetadata: { promptTokenCount: 9, totalTokenCount: 9 }
    }

    it.effect("with Gemini's reason for a call that it could not write is retryable, and says it", () =>
      Effect.gen(function*() {
        const url = yield* serve([written("google", [malformed])])
        const error = yield* Effect.flip(Agent.run(Agent.make("agent"), { prompt: "go" })).pipe(
          Effect.provide(AiSdk.layer(providers(url).google))
        )
        assert.isTrue(error._tag === "AiError" && error.isRetryable)
        assert.match(error.message, /MALFORMED_FUNCTION_CALL/)
      }))

    it.effect("with that reason is tried again, and both answers are paid", () =>
      Effect.gen(function*() {
        const url = yield* serve([written("google", [malformed]), written("google", done.google)])
        const middleware = [ModelFallback.make(ExecutionPlan.make({ provide: Context.empty(), attempts: 2 }))]
        const run = yield* Agent.run(Agent.make("agent", { middleware }), { prompt: "go" }).pipe(
          Effect.provide(AiSdk.layer(providers(url).google))
        )
        assert.deepStrictEqual([run.text, run.usage.inputTokens.total], ["done", 19])
      }))

    it.effect("that was cut has cost what Anthropic said as it began", () =>
      Effect.gen(function*() {
        const outcomes: Array<AgentRun.Outcome> = []
        const url = yield* serve([written("anthropic", beginnings("half", 70).anthropic)])
        const agent = Agent.make("agent", {
          providers: [ContextProvider.make("seen", {
            beforeRun: () => AgentRun.addFinalizer((exit) => Effect.sync(() => outcomes.push(AgentRun.outcome(exit))))
          })]
        })
        yield* Effect.exit(Agent.run(agent, { prompt: "go" })).pipe(
          Effect.provide(AiSdk.layer(providers(url).anthropic))
        )
        assert.deepStrictEqual(
          outcomes.map((outcome) => outcome._tag === "Failed" && outcome.partial.usage.inputTokens.total),
          [70]
        )
      }))
  })
})
