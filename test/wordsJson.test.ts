import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Exit, Schema } from "effect"
import * as Json from "../src/internal/words/json.ts"
import * as Text from "../src/internal/words/text.ts"

/** A value of so many levels, in two forms. */
const list = (depth: number): unknown => {
  let value: unknown = "x"
  for (let i = 0; i < depth; i++) value = [value]
  return value
}

const record = (depth: number): unknown => {
  let value: unknown = "x"
  for (let i = 0; i < depth; i++) value = { a: value, b: 1 }
  return value
}

const depths = [1e2, 1e3, 1e4, 1e5, 1e6]

describe("json", () => {
  it("a value is too deep from one level on, of whatever it is made", () => {
    for (const nested of [list, record]) {
      assert.isFalse(Json.isTooDeep(nested(Json.maximumDepth)))
      assert.isTrue(Json.isTooDeep(nested(Json.maximumDepth + 1)))
      for (const depth of depths) assert.strictEqual(Json.isTooDeep(nested(depth)), depth > Json.maximumDepth)
    }
    const itself: Array<unknown> = []
    itself.push(itself, itself)
    assert.isTrue(Json.isTooDeep(itself))
  })

  it("what is cut can be walked over, and is too deep still", () => {
    for (const nested of [list, record]) {
      for (const depth of depths.slice(1)) {
        const cut = Json.shallow(nested(depth))
        assert.isTrue(Json.isTooDeep(cut))
        assert.deepStrictEqual(JSON.parse(JSON.stringify(cut)), cut)
        assert.strictEqual(Json.shallow(cut), cut)
      }
      const whole = nested(100)
      assert.strictEqual(Json.shallow(whole), whole)
    }
    const hostile = Json.shallow(JSON.parse(`{"__proto__":{"evil":1},"deep":${"[".repeat(600)}${"]".repeat(600)}}`))
    assert.deepStrictEqual(Object.keys(hostile), ["__proto__", "deep"])
    assert.isUndefined((hostile as { readonly evil?: unknown }).evil)
  })

  it("anything is told as text", () => {
    const itself: Record<string, unknown> = { a: 1 }
    itself.again = itself
    const throwing = { toJSON: () => assert.fail("asked") }
    assert.deepStrictEqual(
      ["a\"b", { a: [1, null] }, undefined, 1n, { n: 1n }, throwing, Symbol.for("s"), itself].map(Json.toText),
      [
        "a\"b",
        "{\"a\":[1,null]}",
        "undefined",
        "\"1\"",
        "{\"n\":\"1\"}",
        "[not JSON]",
        "Symbol(s)",
        "{\"a\":1,\"again\":\"[nested too deeply]\"}"
      ]
    )
    for (const depth of depths) assert.isAtLeast(Json.toText(record(depth)).length, 100)
  })

  it.effect("a bounded decoder refuses before it decodes, at any depth", () =>
    Effect.gen(function*() {
      interface Tree {
        readonly children: ReadonlyArray<Tree>
      }
      const Tree: Schema.Codec<Tree> = Schema.Struct({ children: Schema.Array(Schema.suspend(() => Tree)) })
      const decode = Json.bounded(Schema.decodeUnknownEffect(Tree))
      for (const depth of depths) {
        let tree: Tree = { children: [] }
        for (let i = 0; i < depth; i++) tree = { children: [tree] }
        const exit = yield* Effect.exit(decode(tree))
        assert.strictEqual(Exit.isSuccess(exit), depth === 100)
        if (Exit.isFailure(exit)) {
          const error = yield* Effect.flip(decode(tree))
          assert.strictEqual(error.message, Json.tooDeep)
        }
      }
    }))

  it.prop(
    "a copy says the same, anything else does not",
    { one: Arbitrary.schema(Schema.Json), other: Arbitrary.schema(Schema.Json) },
    ({ one, other }) => {
      assert.isTrue(Json.isSame(one, structuredClone(one)))
      assert.strictEqual(Json.isSame(one, other), sorted(one) === sorted(other))
    },
    { arbitrary: { runs: 300, seed: "same" } }
  )

  it("says of bytes, dates and addresses whether they are the same, and of what is too deep that it is not", () => {
    const bytes = new Uint8Array([1, 2])
    assert.isTrue(Json.isSame({ bytes, at: new Date(5), url: new URL("https://a.b/c") }, {
      bytes: new Uint8Array([1, 2]),
      at: new Date(5),
      url: new URL("https://a.b/c")
    }))
    assert.isFalse(Json.isSame(bytes, new Uint8Array([1, 3])))
    assert.isFalse(Json.isSame(new Date(5), new Date(6)))
    assert.isFalse(Json.isSame(new URL("https://a.b/c"), new URL("https://a.b/d")))
    assert.isFalse(Json.isSame([], {}))
    assert.isTrue(Json.isSame({ a: -0, b: undefined }, { a: 0 }))
    assert.isFalse(Json.isSame([undefined], []))
    assert.isFalse(Json.isSame(list(1e6), list(1e6)))
  })

  it("a key `__proto__` stays a key when a text beside it is made well formed", () => {
    const value: unknown = JSON.parse("{\"__proto__\":{\"a\":\"\\ud800\"},\"b\":1}")
    assert.strictEqual(JSON.stringify(Text.wellFormedValue(value)), "{\"__proto__\":{\"a\":\"\ufffd\"},\"b\":1}")
  })

  it("a value that throws when it is read has a text", () => {
    const boom = () => {
      throw new Error("not readable")
    }
    for (const target of [{}, () => {}]) {
      assert.strictEqual(
        Json.toText(new Proxy(target, { get: boom, getPrototypeOf: boom, ownKeys: boom })),
        "[not JSON]"
      )
    }
  })
})

/** JSON whose keys are in order. */
const sorted = (value: unknown): string => {
  if (typeof value !== "object" || value === null) return Object.is(value, -0) ? "-0" : JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(sorted).join()}]`
  return `{${Object.entries(value).map(([key, inner]) => `${JSON.stringify(key)}:${sorted(inner)}`).sort().join()}}`
}
