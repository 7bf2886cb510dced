/** Ranges of texts in a database that compares the bytes of UTF-8. */
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"
import * as Ranges from "../src/internal/session/ranges.ts"

// the borders of the planes and of the surrogates, and what SQL, JSON and patterns give a meaning
const characters = [
  ..."a%_\\\"'\0\n\u001f\u007f\u0080\ud7ff\ue000\uffff\ud800\udbff\udc00\udfff",
  "\u{10000}",
  "\u{103ff}",
  "\u{10ffff}"
]
const texts = Arbitrary.map(
  Arbitrary.array(Arbitrary.schema(Schema.Literals(characters)), { maxLength: 4 }),
  (characters) => characters.join("")
)

const isIn = (text: string) => ({ before, from }: Ranges.Range) => {
  const compare = (other: string) => Buffer.compare(Buffer.from(text), Buffer.from(other))
  return compare(from) >= 0 && (before === undefined || compare(before) < 0)
}

const ends = [...characters, ""]

describe("ranges", () => {
  it.prop("hold exactly the texts that begin with the prefix", { prefix: texts, rest: texts, other: texts }, ({
    other,
    prefix,
    rest
  }) => {
    const ids = [...ends.flatMap((end) => [prefix + end, prefix + end + rest, prefix.slice(0, -1) + end, end]), other]
    const range = Ranges.ofTexts(prefix)
    for (const id of ids) {
      const begins = id.startsWith(prefix)
      assert.strictEqual(Ranges.ofJson(prefix).some(isIn(JSON.stringify(id))), begins, JSON.stringify([prefix, id]))
      if (!id.isWellFormed()) continue
      assert.strictEqual(range !== undefined && isIn(id)(range), begins, JSON.stringify([prefix, id]))
    }
  })
})
