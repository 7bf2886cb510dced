/**
 * Tools in effect's own loop, outside of a run: the model writes the JSON that it was offered, the handler has the value
 * of the schema, and what goes back to the model is JSON again.
 */
import type * as Sdk from "@ai-sdk/provider"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Result, Schema, Stream } from "effect"
import { Chat, LanguageModel, Prompt, Tool, Toolkit } from "effect/ai"
import { AiSdk } from "../src/ai-sdk/index.ts"
import * as Text from "../src/internal/words/text.ts"
import { sdkModel } from "./fixtures/ai-sdk.ts"
import { encode, Sample, schemaOf } from "./fixtures/schemas.ts"

const usage = { inputTokens: { total: 1 }, outputTokens: { total: 1 } }
const finishReason = { unified: "tool-calls", raw: "tool_calls" }

const calling = (input: unknown, asked: Array<Sdk.LanguageModelV4CallOptions> = []) => {
  const call = { type: "tool-call", toolCallId: "c1", toolName: "take", input: JSON.stringify(input) }
  return AiSdk.layer(sdkModel([{ type: "stream-start", warnings: [] }, call, { type: "finish", usage, finishReason }], {
    asked,
    result: { content: [call], usage, finishReason, warnings: [] }
  }))
}

/** What a model is told of its call and of the result. */
const told = ({ prompt }: Sdk.LanguageModelV4CallOptions) =>
  prompt.flatMap((message) =>
    typeof message.content === "string" ? [] : message.content.flatMap((part) => {
      switch (part.type) {
        case "tool-call":
          return [part.input]
        case "tool-result":
          return ["value" in part.output ? part.output.value : part.output]
        default:
          return []
      }
    })
  )

const toolkitOf = (schema: Schema.Codec<unknown>, strict: boolean | undefined) =>
  Toolkit.make(Tool.make("take", { parameters: schema, success: schema }).annotate(Tool.Strict, strict))

type Kit = Toolkit.WithHandler<Toolkit.Tools<ReturnType<typeof toolkitOf>>>

const methods = {
  generateText: (prompt: Prompt.Prompt, toolkit: Kit) =>
    Effect.map(LanguageModel.generateText({ prompt, toolkit }), ({ content }) => content),
  streamText: (prompt: Prompt.Prompt, toolkit: Kit) => Stream.runCollect(LanguageModel.streamText({ prompt, toolkit }))
}

describe("AiSdk", () => {
  for (const [method, ask] of Object.entries(methods)) {
    it.effect.prop(
      `${method} gives the handler of any tool its value, and the model its JSON`,
      { sample: Sample },
      Effect.fnUntraced(function*({ sample: { fields, value } }) {
        const schema = schemaOf(fields)
        const written = yield* encode(schema, value)
        // effect reads no JSON with a key `__proto__`
        if (Result.isFailure(Result.try(() => Tool.unsafeSecureJsonParse(JSON.stringify(written))))) return
        for (const strict of [undefined, true]) {
          const kit = toolkitOf(schema, strict)
          let received: unknown
          const handlers = kit.toLayer({
            take: (params: unknown) =>
              Effect.sync(() => {
                received = params
                return params
              })
          })
          const asked: Array<Sdk.LanguageModelV4CallOptions> = []
          yield* Effect.gen(function*() {
            const toolkit = yield* kit
            const prompt = Prompt.make("go")
            const parts = yield* ask(prompt, toolkit)
            const next = Prompt.concat(prompt, Prompt.fromResponseParts(parts))
            yield* ask(next, toolkit)
          }).pipe(Effect.provide([handlers, calling(written, asked)]))
          assert.deepStrictEqual(yield* encode(schema, received), written)
          // the wire has no half of a surrogate pair
          const wire = Text.wellFormedValue(written)
          assert.deepStrictEqual(told(asked[1]), [wire, wire])
        }
      })
    )
  }

  const When = Schema.Struct({
    at: Schema.Date,
    who: Schema.Option(Schema.String),
    many: Schema.optionalKey(Schema.BigInt)
  })
  const input = { at: "2026-11-28T00:00:00.000Z", who: { _tag: "Some", value: "me" }, many: null }
  const value = { at: new Date("2026-11-28T00:00:00.000Z"), who: Option.some("me") }

  it.effect("gives a caller that runs the tools itself parameters of the bare schema", () =>
    Effect.gen(function*() {
      const toolkit = Toolkit.make(Tool.make("take", { parameters: When, success: When }))
      const options = { prompt: "go", toolkit, disableToolCallResolution: true } as const
      const { toolCalls } = yield* Effect.provide(
        LanguageModel.generateText(options),
        [calling(input), toolkit.toLayer({ take: Effect.succeed })]
      )
      assert.deepStrictEqual(toolCalls.map(({ params }) => params), [value] as never)
      const deferred = yield* Effect.provide(
        LanguageModel.generateText({ ...options, toolCallValidation: "deferred" }),
        [calling(input), toolkit.toLayer({ take: Effect.succeed })]
      )
      assert.deepStrictEqual(deferred.toolCalls.map(({ params }) => params), [input])
    }))

  it.effect("leaves a call that the schema refuses to effect", () =>
    Effect.gen(function*() {
      const tool = Tool.make("take", { parameters: When, success: When, failureMode: "return" })
      const toolkit = Toolkit.make(tool)
      const { toolCalls, toolResults } = yield* Effect.provide(
        LanguageModel.generateText({ prompt: "go", toolkit }),
        [calling({ at: "never" }), toolkit.toLayer({ take: Effect.succeed })]
      )
      assert.deepStrictEqual(toolCalls.map(({ params }) => params), [{ at: "never" }] as never)
      assert.deepStrictEqual(toolResults.map(({ isFailure }) => isFailure), [true])
    }))

  it.effect("works in a chat, whose next request has the failure as JSON", () => {
    const Refused = Schema.Struct({ until: Schema.Date })
    const toolkit = Toolkit.make(
      Tool.make("take", { parameters: When, success: When, failure: Refused, failureMode: "return" })
    )
    const asked: Array<Sdk.LanguageModelV4CallOptions> = []
    return Effect.gen(function*() {
      const chat = yield* Chat.empty
      yield* chat.generateText({ prompt: "go", toolkit })
      yield* chat.generateText({ prompt: "go on", toolkit })
      assert.deepStrictEqual(told(asked[1]), [
        { at: "2026-11-28T00:00:00.000Z", who: { _tag: "Some", value: "me" } },
        { until: "1970-01-01T00:00:00.000Z" }
      ])
    }).pipe(Effect.provide([
      calling(input, asked),
      toolkit.toLayer({ take: () => Effect.fail({ until: new Date(0) }) })
    ]))
  })
})
