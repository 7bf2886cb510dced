import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"
import { JsonReader } from "../src/internal/output/json.ts"

const values = (deltas: Iterable<string>): Array<unknown> => {
  const reader = new JsonReader()
  const seen: Array<unknown> = []
  for (const delta of deltas) {
    reader.push(delta)
    const taken = reader.take()
    if (taken !== undefined) seen.push(taken.value)
  }
  const last = reader.take(true)
  if (last !== undefined) seen.push(last.value)
  return seen
}

const last = (text: string): unknown => values([...text]).at(-1)

describe("JsonReader", () => {
  it("gives the value as it grows: strings from the first character, numbers and literals when they are whole", () => {
    assert.deepStrictEqual(
      values(["{\"a", "\":\"O", "slo\",\"n\":1", "2,\"b\":tru", "e,\"c\":[1,", "{\"d\":nul", "l}]}"]),
      [
        {},
        { a: "O" },
        { a: "Oslo" },
        { a: "Oslo", n: 12 },
        { a: "Oslo", n: 12, b: true, c: [1] },
        { a: "Oslo", n: 12, b: true, c: [1, {}] },
        { a: "Oslo", n: 12, b: true, c: [1, { d: null }] }
      ]
    )
  })

  it("never changes a value that it has given", () => {
    const seen = values([..."{\"a\":[{\"b\":\"xy\"},2],\"c\":\"z\"}"])
    const copies = values([..."{\"a\":[{\"b\":\"xy\"},2],\"c\":\"z\"}"]).map((value) => structuredClone(value))
    assert.deepStrictEqual(seen, copies)
    assert.deepStrictEqual(seen.slice(0, 4), [{}, { a: [] }, { a: [{}] }, { a: [{ b: "" }] }])
  })

  it("never splits a character", () => {
    assert.deepStrictEqual(values(["\"a\ud83d", "\ude00\""]), ["a", "a😀"])
    assert.deepStrictEqual(values(["\"a\\ud83d", "\\ude00", "\""]), ["a", "a😀"])
    assert.strictEqual(last("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\""), "\"\\/\b\f\n\r\té")
  })

  it("keeps what it has when the text is wrong as JSON", () => {
    for (const wrong of ["{\"a\":1]", "{\"a\":1,}", "{\"a\":1,\"b\" 2}", "{\"a\":1,\"b\":+2}"]) {
      assert.deepStrictEqual(last(wrong), { a: 1 }, wrong)
    }
    assert.deepStrictEqual(last("{\"a\":1,\"b\":\"c\\x\"}"), { a: 1, b: "c" })
    assert.strictEqual(last("nul"), undefined)
    assert.strictEqual(last("01 "), undefined)
  })

  it("sets no prototype", () => {
    assert.deepStrictEqual(last("{\"__proto__\":{\"x\":1},\"y\":2}"), { y: 2 })
    assert.strictEqual(({} as { readonly x?: number }).x, undefined)
  })

  const Cuts = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 7 })))

  it.prop(
    "reads any JSON to what JSON.parse reads it to, however it is cut",
    { value: Arbitrary.schema(Schema.Json), cuts: Arbitrary.schema(Cuts) },
    ({ cuts, value }) => {
      const deltas: Array<string> = []
      let rest = JSON.stringify(value)
      const json = rest
      for (const cut of cuts) {
        deltas.push(rest.slice(0, cut))
        rest = rest.slice(cut)
      }
      // a number alone is whole when something follows it
      const read = values([...deltas, rest, " "]).at(-1)
      assert.deepStrictEqual(read, JSON.parse(json, (key, inner) => key === "__proto__" ? undefined : inner))
    },
    { arbitrary: { runs: 300, seed: "any JSON" } }
  )

  it("copies in proportion to the text, and not to its square", () => {
    // counted, not measured: every copy of the array adds its length
    const copied = (items: number): number => {
      const deltas = ["[", ...Array.from({ length: items }, (_, i) => `"item ${i % 10}",`), "0]"]
      let entries = 0
      for (const value of values(deltas)) entries += (value as ReadonlyArray<unknown>).length
      return entries
    }
    const small = copied(1_000)
    const large = copied(10_000)
    assert.isBelow(large, 11 * small + 200_000)
    assert.isBelow(large, 16 * 10_000 * 9 + 10_001)
  })
})
