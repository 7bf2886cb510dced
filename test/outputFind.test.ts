import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"
import { vi } from "vitest"
import { find } from "../src/internal/output/find.ts"

const json = "{\"a\":[1,{\"b\":\"x\"}],\"c\":\"}\"}"
const value = { a: [1, { b: "x" }], c: "}" }

describe("find", () => {
  for (
    const [what, text] of [
      ["alone", json],
      ["with a BOM", `\ufeff${json}`],
      ["in a fence", `\`\`\`json\n${json}\n\`\`\``],
      ["in a fence without a name", `\`\`\`\n${json}\n\`\`\``],
      ["in a fence with words", `Here you are:\n\n\`\`\`json\n${json}\n\`\`\`\n\nAnything else?`],
      ["in a fence that is not closed", `\`\`\`json\n${json}`],
      ["after a thought", `<think>Is it {"a":2}? No, [1].</think>\n${json}`],
      ["after a thought that began in the prompt", `Is it {"a":2}? No.\n</think>\n\n${json}`],
      ["after thoughts of other names", `<thinking>{"a":2}</thinking><Reasoning>[]</Reasoning>${json}`],
      ["before a thought", `${json}\n<think>{"a":2}</think>`],
      ["in words", `The answer is ${json}. It is "final" [sic], isn't it?`],
      ["in quotes", `"${json}"`],
      ["after a bracket in words", `See [the "docs": {${json}`],
      ["after what looks like an object", `{note: ${json}}`],
      ["after a string that is not closed", `["${json}`],
      ["after numbers and marks", `1) <b>done</b> \\ ${json} -- :-]`]
    ] as const
  ) {
    it(`finds a value ${what}`, () => assert.deepStrictEqual(find(text), [value]))
  }

  it("finds a value of any kind when there is nothing else", () => {
    for (const alone of [null, true, 4, "Oslo", [], {}, [1, [2]]]) {
      const text = JSON.stringify(alone)
      for (const around of [text, ` ${text}\n`, `\`\`\`json\n${text}\n\`\`\``, `<think>hm</think> ${text}`]) {
        assert.deepStrictEqual(find(around), [alone], around)
      }
    }
    for (
      const none of [
        "",
        " ",
        "Oslo",
        "4 degrees",
        "```\n```",
        "{",
        "}",
        "[1,",
        "{\"a\":01}",
        "{'a':1}",
        "<think>{}</think>"
      ]
    ) {
      assert.deepStrictEqual(find(none), [], none)
    }
  })

  it("finds several in their order, and not what is in them", () => {
    assert.deepStrictEqual(find(`${json} or [{"a":1}] or {"d":{}}`), [value, [{ a: 1 }], { d: {} }])
    assert.deepStrictEqual(find("[{\"a\":1},{\"b\":2},x"), [{ a: 1 }, { b: 2 }])
  })

  const Words = Schema.Array(
    Schema.Literals([
      "a",
      "Here: ",
      " ",
      "\n",
      "\"",
      "'",
      "{",
      "[",
      "\\",
      "\\\"",
      ":",
      ",",
      "```",
      "<b>",
      "<",
      "1.",
      "true",
      "é",
      "😀"
    ])
  )
  const Container = Schema.Union([Schema.Record(Schema.String, Schema.Json), Schema.Array(Schema.Json)])

  it.prop(
    "finds the one value in any words",
    { before: Arbitrary.schema(Words), after: Arbitrary.schema(Words), value: Arbitrary.schema(Container) },
    ({ after, before, value }) => {
      const written = JSON.stringify(value)
      // words after the value may not end what brackets before it have begun: then that would be the value
      const text = `${before.join("")}${written}|${after.join("")}`
      const found = find(text)
      const read = JSON.parse(written) as unknown
      assert.isTrue(found.some((one) => JSON.stringify(one) === JSON.stringify(read)), text)
      assert.lengthOf(found, 1, text)
    },
    { arbitrary: { runs: 500, seed: "in words" } }
  )

  const Fragments = Schema.Array(Schema.Literals([
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\",
    ":",
    ",",
    "1",
    "a",
    " ",
    "\"a\":",
    "{\"a\":",
    "[1,",
    "\"[\",",
    "\\\"",
    "<think>",
    "</think>"
  ]))

  it.prop(
    "finds what looking at every bracket finds",
    { fragments: Arbitrary.schema(Fragments) },
    ({ fragments }) => {
      const text = fragments.join("")
      if (text.includes("think") || isJson(text.trim())) return
      assert.deepStrictEqual(find(text).filter(isContainer), slowly(text), text)
    },
    { arbitrary: { runs: 1000, seed: "every bracket" } }
  )

  for (
    const [name, make] of [
      ["open brackets", (n: number) => "[".repeat(n)],
      ["open objects", (n: number) => "{\"a\":".repeat(n)],
      ["open brackets with strings", (n: number) => "[\"".repeat(n)],
      ["strings with brackets", (n: number) => `[${"\"[\",".repeat(n)}`],
      ["strings with brackets, the other way round", (n: number) => `["[","${",[\",\"".repeat(n)}`],
      ["a broken list of values", (n: number) => `[${"{},".repeat(n)}x`],
      ["broken lists in one another", (n: number) => `${"[[1],".repeat(n)}x`],
      ["values", (n: number) => "{} ".repeat(n)],
      ["one long string", (n: number) => `{"a":"${"x".repeat(n)}`],
      ["escapes", (n: number) => `["${"\\\"[".repeat(n)}`],
      ["line breaks in strings", (n: number) => "[\"\n".repeat(n)],
      ["spaces", (n: number) => `[${" ".repeat(n)}`],
      ["thoughts that do not end", (n: number) => "<think>".repeat(n)],
      ["ends of thoughts", (n: number) => "</think>".repeat(n)],
      ["thoughts", (n: number) => "<think>{</think>".repeat(n)],
      ["fences", (n: number) => "```json\n".repeat(n)],
      ["digits", (n: number) => `[${"1".repeat(n)}`]
    ] as const
  ) {
    it(`looks at a text in proportion to its length: ${name}`, () => {
      const small = execs(() => find(make(1_000)))
      const large = execs(() => find(make(10_000)))
      // ten times the text; up to twice as often where more was found than is remembered
      assert.isAtMost(large, 20 * small + 100, `${small}, then ${large}`)
    })
  }

  it("reads a value after a million brackets", () => {
    assert.deepStrictEqual(find(`${"[".repeat(1e6)} ${json}`), [value])
    assert.lengthOf(find(`${"[".repeat(1e6)}${"]".repeat(1e6)} is deep`), 1)
  })
})

const isContainer = (value: unknown): boolean => typeof value === "object" && value !== null

const isJson = (text: string): boolean => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** Tries every end for every bracket. */
const slowly = (text: string): Array<unknown> => {
  const found: Array<unknown> = []
  for (let start = 0; start < text.length; start++) {
    if (text[start] !== "{" && text[start] !== "[") continue
    for (let end = start + 1; end <= text.length; end++) {
      const part = text.slice(start, end)
      if (!isJson(part)) continue
      found.push(JSON.parse(part))
      start = end - 1
      break
    }
  }
  return found
}

/** Counts how often a regular expression looks, which is a bound on the steps between. */
const execs = (run: () => void): number => {
  const exec = vi.spyOn(RegExp.prototype, "exec")
  const test = vi.spyOn(RegExp.prototype, "test")
  run()
  const count = exec.mock.calls.length + test.mock.calls.length
  exec.mockRestore()
  test.mockRestore()
  return count
}
