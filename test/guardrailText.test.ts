import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"
import { vi } from "vitest"
import { Sentences } from "../src/internal/guardrail/text.ts"

describe("Sentences", () => {
  const cut = (deltas: ReadonlyArray<string>): Array<string> => {
    const sentences = new Sentences()
    const pieces: Array<string> = []
    for (const delta of deltas) {
      sentences.push(delta)
      for (let piece = sentences.next(false); piece !== undefined; piece = sentences.next(false)) pieces.push(piece)
    }
    for (let piece = sentences.next(true); piece !== undefined; piece = sentences.next(true)) pieces.push(piece)
    return pieces
  }

  for (
    const [name, ...pieces] of [
      ["words and marks", "Hello! ", "\"Is it you?\" ", "Yes… ", "No."],
      ["numbers, initials and abbreviations", "Dr. J. Doe paid 3.14, i.e. 3. ", "At 5 p.m. we left."],
      ["soft line breaks", "One line\nand its end. ", "Then"],
      ["paragraphs", "No mark\n\n", "here\n \n", "end"],
      ["lists", "These:\n", "- one\n", "- two. ", "Yes\n", "1. three\n", "2) four"],
      ["headings", "Text\n", "# Title\n\n", "More"],
      ["code", "Code:\n", "```ts\na. B\n\nc()\n```\n", "~~~\n``` A. B. No end"],
      ["Chinese and Japanese", "今日は。", "元気ですか？", "「はい。」", "よし"],
      ["Arabic and Hindi", "مرحبا؟ ", "نعم. ", "क्या। ", "हाँ"]
    ] as const
  ) {
    it(`end rightly in ${name}`, () => {
      assert.deepStrictEqual(cut([pieces.join("")]), pieces)
      assert.deepStrictEqual(cut(Array.from(pieces.join(""))), pieces)
    })
  }

  it("are as long as they have to be", () => {
    const code = `\`\`\`ts\n${"a. B\n".repeat(2_000)}\`\`\`\n`
    const long = `${"word ".repeat(3_000)}end. `
    assert.deepStrictEqual(cut(Array.from(`Code:\n${code}${long}Then`)), ["Code:\n", code, long, "Then"])
  })

  const exec = RegExp.prototype.exec

  /** Counts what regular expressions are given to look at: never less than what they do look at. */
  const execs = (run: () => void): { readonly calls: number; readonly characters: number } => {
    let calls = 0
    let characters = 0
    const spy = vi.spyOn(RegExp.prototype, "exec")
    spy.mockImplementation(function(this: RegExp, text: string) {
      calls++
      characters += text.length - this.lastIndex + 1
      return exec.call(this, text)
    })
    run()
    spy.mockRestore()
    return { calls, characters }
  }
  const looked = (first: string, delta: string, count: number): number =>
    execs(() => cut([first, ...Array.from({ length: count }, () => delta)])).characters

  for (
    const [name, first, delta] of [
      ["spaces at the start of a line", "", " "],
      ["spaces after a sentence", "Hello there.", " "],
      ["line breaks", "Hello", "\n"],
      ["dots", "Hello", "."],
      ["quotes after a dot", "Hello.", "\""],
      ["backticks at the start of a line", "", "`"],
      ["tildes at the start of a line", "", "~"],
      ["digits at the start of a line", "", "1"],
      ["hashes at the start of a line", "", "#"],
      ["one line of a block of code", "```\n", "x"],
      ["spaces in a block of code", "```\n", " "],
      ["words without an end", "", "word "],
      ["sentences", "", "One. "],
      ["lines of a list", "", "- a\n"],
      ["a sentence that goes on in lowercase", "", "e. "],
      ["80 spaces a delta", "", " ".repeat(80)]
    ] as const
  ) {
    it(`look at all in proportion to its length: ${name}`, () => {
      const small = looked(first, delta, 2_000)
      const large = looked(first, delta, 20_000)
      // ten times the text; twice that leaves room for the beginning
      assert.isAtMost(large, 20 * small, `${small} characters, then ${large}`)
    })

    it(`do not look more often when all comes at once: ${name}`, () => {
      const count = (n: number) => execs(() => cut([first + delta.repeat(n)])).calls
      assert.isAtMost(count(20_000), 20 * count(2_000) + 20)
    })
  }

  const delta = Arbitrary.map(
    Arbitrary.array(
      Arbitrary.schema(
        Schema.Literals(["a", "B", "3", ".", "!", "。", " ", "\n", "- ", "1.", "`", "```", "#", "\"", "e.g.", "é"])
      ),
      { maxLength: 6 }
    ),
    (pieces) => pieces.join("")
  )
  it.prop("are the text, however it arrives", { deltas: Arbitrary.array(delta, { maxLength: 12 }) }, ({ deltas }) => {
    const whole = deltas.join("")
    const pieces = cut(deltas)
    assert.strictEqual(pieces.join(""), whole)
    assert.deepStrictEqual(pieces, cut([whole]))
  }, { arbitrary: { seed: "however it arrives" } })
})
