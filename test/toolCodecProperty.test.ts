/**
 * Any schema of a generated set, all the way: what is offered, a call of a model, the handler, the result, the store, and
 * what goes back to the provider. ajv says what the offered schema admits.
 */
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Layer, Schema, SchemaAST } from "effect"
import { type Prompt, Tool, Toolkit } from "effect/ai"
import { Ajv2020 } from "ajv/dist/2020.js"
import { Agent, Session, SessionHistory, SessionStore } from "../src/index.ts"
import * as ToolCodec from "../src/internal/model/toolCodec.ts"
import * as JsonCodec from "../src/internal/words/jsonCodec.ts"
import * as Text from "../src/internal/words/text.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"

const leaves = {
  string: Schema.String,
  int: Schema.Int,
  // @effect-diagnostics-next-line schemaNumber:off
  number: Schema.Number,
  boolean: Schema.Boolean,
  literal: Schema.Literals(["a", "b"]),
  null: Schema.Null,
  bigint: Schema.BigInt,
  date: Schema.Date,
  dateTime: Schema.DateTimeUtc,
  url: Schema.URL,
  duration: Schema.Duration,
  bytes: Schema.Uint8Array,
  transformed: Schema.FiniteFromString,
  json: Schema.Json
} satisfies Record<string, Schema.Top>

type Leaf = keyof typeof leaves

class Place extends Schema.Class<Place>("Place")({
  at: Schema.Date,
  note: Schema.optionalKey(Schema.String)
}) {}

interface Tree {
  readonly n: number
  readonly kid?: Tree | undefined
}
const Tree = Schema.Struct({
  n: Schema.Int,
  kid: Schema.optional(Schema.suspend((): Schema.Codec<Tree> => Tree))
}).annotate({ identifier: "Tree" })

const wrap: Record<string, (schema: Schema.Top) => Schema.Top> = {
  itself: (schema) => schema,
  array: (schema) => Schema.Array(schema),
  set: (schema) => Schema.ReadonlySet(schema),
  map: (schema) => Schema.ReadonlyMap(Schema.String, schema),
  record: (schema) => Schema.Record(Schema.String, schema),
  tuple: (schema) => Schema.Tuple([schema, Schema.Int]),
  option: (schema) => Schema.Option(schema),
  nullOr: (schema) => Schema.NullOr(schema),
  struct: (schema) => Schema.Struct({ in: schema, maybe: Schema.optionalKey(schema) }),
  union: (schema) =>
    Schema.Union([Schema.Struct({ tag: Schema.Literal("x"), in: schema }), Schema.Struct({ b: Schema.Int })]),
  class: () => Place,
  recursive: () => Tree
}

const key: Record<string, (schema: Schema.Top) => Schema.Top> = {
  required: (schema) => schema,
  optional: (schema) => Schema.optional(schema),
  optionalKey: (schema) => Schema.optionalKey(schema),
  undefinedOr: (schema) => Schema.UndefinedOr(schema),
  option: (schema) => Schema.OptionFromOptionalKey(schema),
  nullable: (schema) => Schema.optional(Schema.NullOr(schema))
}

const Field = Schema.Struct({
  leaf: Schema.Literals(Object.keys(leaves) as [Leaf, ...Array<Leaf>]),
  wraps: Schema.Array(Schema.Literals(Object.keys(wrap) as [string, ...Array<string>])).check(Schema.isMaxLength(2)),
  key: Schema.Literals(Object.keys(key) as [string, ...Array<string>])
})

const Fields = Schema.Array(Field).check(Schema.isMaxLength(4))

const schemaOf = (fields: typeof Fields.Type): Schema.Codec<unknown> =>
  Schema.Struct(Object.fromEntries(fields.map(({ key: kind, leaf, wraps }, index) => [
    `k${index}`,
    key[kind](wraps.reduce<Schema.Top>((schema, name) => wrap[name](schema), leaves[leaf]))
  ]))) as never

/** A schema and a value of it. */
const Sample = Arbitrary.flatMap(Arbitrary.schema(Fields), (fields) => {
  // what fails is shown: the fields say what the schema is
  return Arbitrary.map(Arbitrary.schema(schemaOf(fields)), (value) => ({ fields, value }))
})

const ajv = new Ajv2020({ strict: false, validateFormats: false })

const overTheWire = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

const encode = (schema: Schema.Codec<unknown>, value: unknown) =>
  Effect.map(Schema.encodeUnknownEffect(JsonCodec.make(schema))(value), overTheWire)

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
