/**
 * Any schema of a generated set, all the way: what is offered, a call of a model, the handler, the result, the store, and
 * what goes back to the provider. ajv says what the offered schema admits.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema, SchemaAST } from "effect"
import { type Prompt, Tool, Toolkit } from "effect/ai"
import { Ajv2020 } from "ajv/dist/2020.js"
import { Agent, Session, SessionHistory, SessionStore } from "../src/index.ts"
import * as ToolCodec from "../src/internal/model/toolCodec.ts"
import * as JsonCodec from "../src/internal/words/jsonCodec.ts"
import * as Text from "../src/internal/words/text.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { encode, overTheWire, Sample, schemaOf } from "./fixtures/schemas.ts"

const ajv = new Ajv2020({ strict: false, validateFormats: false })

/** The same JSON with one of its keys taken away, or set to null. */
function* variants(json: unknown): Generator<unknown> {
  if (typeof json !== "object" || json === null) return
  for (const [name, value] of Object.entries(json)) {
    const replaced = (other: unknown) =>
      Array.isArray(json)
        ? json.map((item, index) => String(index) === name ? other : item)
        : { ...json, [name]: other }
    if (!Array.isArray(json)) {
      const { [name]: _, ...rest } = json as Record<string, unknown>
      yield rest
    }
    yield replaced(null)
    for (const inner of variants(value)) yield replaced(inner)
  }
}

describe("any tool", () => {
  it.effect.prop(
    "takes what it offers and gives what it took, from the offer to the wire",
    { sample: Sample },
    Effect.fnUntraced(function*({ sample: { fields, value } }) {
      const schema = schemaOf(fields)
      const tool = Tool.make("take", { parameters: schema, success: schema })
      const kit = Toolkit.make(tool)
      const admits = ajv.compile(ToolCodec.of(tool).jsonSchema)
      const written = yield* encode(schema, value)
      assert.isTrue(admits(written), `${ajv.errorsText(admits.errors)} ${JSON.stringify(written)}`)

      let received: unknown
      const requests: Array<Prompt.Prompt> = []
      const program = Effect.gen(function*() {
        const agent = Agent.make("agent", { toolkit: kit, providers: [SessionHistory.provider] })
        yield* Agent.run(agent, { prompt: "go", session: "s" })
        const { requests: asked } = yield* ScriptedModel.ScriptedModel
        for (const { prompt } of yield* asked) requests.push(prompt)
        return yield* (yield* SessionStore.SessionStore).load("s")
      })
      const handlers = kit.toLayer({
        take: (params: unknown) =>
          Effect.sync(() => {
            received = params
            return params
          })
      } as never)
      const session = yield* Effect.provide(
        program,
        Layer.mergeAll(
          handlers,
          SessionStore.layerMemory,
          ScriptedModel.layer([
            ScriptedModel.toolCalls({ name: "take", params: written as never }),
            ScriptedModel.text("ok")
          ])
        )
      )
      // the handler has a value of the schema that says the same
      assert.isTrue(Schema.is(Schema.make<Schema.Codec<unknown>>(SchemaAST.toType(schema.ast)))(received))
      assert.deepStrictEqual(yield* encode(schema, received), written)

      // the store, read back
      const stored = overTheWire(yield* Schema.encodeEffect(Schema.toCodecJson(Session.Session))(session))
      const back = yield* Schema.decodeUnknownEffect(Schema.toCodecJson(Session.Session))(stored)
      const resultsOf = (prompt: Prompt.Prompt) =>
        prompt.content.flatMap((message) =>
          message.role === "tool"
            ? message.content.flatMap((part) => part.type === "tool-result" ? [part.result] : [])
            : []
        )
      assert.deepStrictEqual(resultsOf(back.history), [written])
      // the wire, which has no half of a surrogate pair
      assert.deepStrictEqual(resultsOf(requests[1]), [Text.wellFormedValue(written)])
      // and once more, as a value
      const read = yield* Schema.decodeUnknownEffect(JsonCodec.make(schema))(resultsOf(back.history)[0])
      assert.deepStrictEqual(yield* encode(schema, read), written)
    })
  )

  it.effect.prop(
    "takes whatever the schema that it offers admits",
    { sample: Sample },
    Effect.fnUntraced(function*({ sample: { fields, value } }) {
      const schema = schemaOf(fields)
      for (const strict of [undefined, true]) {
        const tool = Tool.make("take", { parameters: schema }).annotate(Tool.Strict, strict)
        const { decodeParams, jsonSchema, refusal } = ToolCodec.of(tool as Tool.Any)
        assert.strictEqual(refusal, undefined, JSON.stringify(fields))
        const admits = ajv.compile(jsonSchema)
        const written = yield* encode(schema, value)
        for (const variant of [written, ...variants(written)]) {
          if (admits(variant)) yield* decodeParams(variant)
        }
      }
    })
  )
})
