import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Exit, Schema } from "effect"
import * as JsonCodec from "../src/internal/words/jsonCodec.ts"
import * as PlainJson from "../src/internal/words/plainJson.ts"
import { encode, schemaOf } from "./fixtures/schemas.ts"

const Fields = Schema.Array(Schema.Struct({
  leaf: Schema.Literals(["string", "number", "boolean", "literal"]),
  wraps: Schema.Array(Schema.Literals(["array", "nullOr", "struct"])).check(Schema.isMaxLength(2)),
  key: Schema.Literals(["required", "optional", "optionalKey", "undefinedOr", "nullable"])
})).check(Schema.isMinLength(1), Schema.isMaxLength(4))

const Sample = Arbitrary.flatMap(
  Arbitrary.schema(Fields),
  (fields) => Arbitrary.map(Arbitrary.schema(schemaOf(fields)), (value) => ({ fields, value }))
)

/** The same value with one thing in it taken away or replaced. */
function* variants(value: unknown): Generator<unknown> {
  yield* [null, undefined, "NaN", "a", 1, Infinity, [], {}]
  if (typeof value !== "object" || value === null) return
  for (const [name, item] of Object.entries(value)) {
    const replaced = (other: unknown) =>
      Array.isArray(value)
        ? value.map((item, index) => String(index) === name ? other : item)
        : { ...value, [name]: other }
    if (!Array.isArray(value)) {
      const { [name]: _, ...rest } = value as Record<string, unknown>
      yield rest
      yield { ...value, more: item }
    }
    for (const inner of variants(item)) yield replaced(inner)
  }
}

const readerOf = (schema: Schema.Top) => PlainJson.readerOf(schema.ast)

describe("plainJson", () => {
  it.effect.prop(
    "what a reader has read is what the codec decodes and encodes",
    { sample: Sample },
    Effect.fnUntraced(function*({ sample: { fields, value } }) {
      const schema = schemaOf(fields)
      const read = readerOf(schema)
      assert(read !== undefined, JSON.stringify(fields))
      const decode = Schema.decodeUnknownExit(JsonCodec.make(schema))
      const encodeExit = Schema.encodeUnknownExit(JsonCodec.make(schema))
      const written = yield* encode(schema, value)
      for (const variant of [written, value, ...variants(written), ...variants(value)]) {
        const plain = read(variant)
        if (plain === PlainJson.unread) continue
        assert.deepStrictEqual(decode(variant), Exit.succeed(plain))
        assert.deepStrictEqual(encodeExit(variant), Exit.succeed(plain))
      }
    })
  )

  it("reads what tools are called with, and leaves what is not plain", () => {
    const read = readerOf(Schema.Struct({
      a: Schema.Finite.pipe(Schema.optionalKey),
      path: Schema.String
    }))
    // it has a check
    assert.strictEqual(read, undefined)
    const plain = readerOf(Schema.Struct({
      path: Schema.String,
      // @effect-diagnostics-next-line schemaNumber:off
      line: Schema.optionalKey(Schema.Number),
      mode: Schema.Literals(["r", "w"])
    }))!
    assert.deepStrictEqual(plain({ mode: "r", path: "x", line: 1 }), { path: "x", line: 1, mode: "r" })
    assert.deepStrictEqual(plain({ mode: "w", path: "x" }), { path: "x", mode: "w" })
    for (
      const other of [
        { mode: "w" },
        { mode: "x", path: "x" },
        { mode: "w", path: "x", line: "NaN" },
        { mode: "w", path: "x", line: Infinity },
        { mode: "w", path: "x", line: null },
        { mode: "w", path: "x", more: [] },
        [],
        null,
        "x"
      ]
    ) assert.strictEqual(plain(other), PlainJson.unread)
  })

  it("has no reader for a schema that says more than what is plain", () => {
    for (
      const schema of [
        Schema.Date,
        Schema.Unknown,
        Schema.Struct({}),
        Schema.Record(Schema.String, Schema.String),
        Schema.Tuple([Schema.String]),
        Schema.FiniteFromString,
        Schema.Struct({ a: Schema.String.check(Schema.isMinLength(1)) }),
        Schema.Union([Schema.String, Schema.Boolean]),
        Schema.Struct({ a: Schema.Option(Schema.String) })
      ]
    ) assert.strictEqual(readerOf(schema), undefined)
  })
})
