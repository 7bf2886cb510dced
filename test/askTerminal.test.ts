import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Option, Schema } from "effect"
import type { Terminal } from "effect"
import xterm from "@xterm/headless"
import type * as AgentRun from "../src/AgentRun.ts"
import * as Answer from "../scratchpad/ask/chat/Answer.ts"
import * as Editor from "../scratchpad/ask/chat/Editor.ts"
import * as Live from "../scratchpad/ask/chat/Live.ts"
import * as Markdown from "../scratchpad/ask/chat/Markdown.ts"
import * as Style from "../scratchpad/ask/Style.ts"
import * as Text from "../scratchpad/ask/Text.ts"

/** `C-` is Ctrl, `M-` is Alt; one character is itself. */
const key = (name: string): Terminal.UserInput => {
  const ctrl = name.startsWith("C-")
  const meta = name.startsWith("M-")
  const bare = ctrl || meta ? name.slice(2) : name
  const isText = !ctrl && !meta && Array.from(bare).length === 1
  return {
    input: isText ? Option.some(bare) : Option.none(),
    key: { name: bare, ctrl, meta, shift: false }
  }
}

const pressed = (keys: ReadonlyArray<string>, editor = Editor.make()): Editor.Editor =>
  keys.reduce((editor, name) => Editor.press(editor, key(name)), editor)

/** The text with a bar at the cursor. */
const shown = ({ cursor, text }: Editor.Editor): string => `${text.slice(0, cursor)}|${text.slice(cursor)}`

describe("the line editor", () => {
  const cases: ReadonlyArray<readonly [name: string, keys: ReadonlyArray<string>, expected: string]> = [
    ["inserts at the cursor", [..."ac", "left", "b"], "ab|c"],
    ["moves by characters, not by code units", [..."a👩‍💻", "é", "left", "left", "x"], "ax|👩‍💻é"],
    ["deletes to both sides", [..."abcd", "left", "left", "backspace", "delete"], "a|d"],
    ["moves by words", [..."one two three", "C-left", "M-b", "x"], "one x|two three"],
    ["kills a word and yanks it", [..."one two", "C-w", "home", "C-y"], "two|one "],
    ["kills to the beginning and to the end", [..."abc", "left", "C-u", "x", "C-k"], "x|"],
    ["goes to the beginning and the end of a line", [..."ab", "enter", ..."cd", "C-a", "x", "C-e", "y"], "ab\nxcdy|"],
    [
      "goes up and down between lines",
      [..."abc", "M-return", ..."d", "up", "x", "down", "y"],
      "ax|bc\nd".replace("|", "") + "y|"
    ],
    ["ignores keys without a meaning", [..."a", "C-t", "f5", "M-x"], "a|"]
  ]
  for (const [name, keys, expected] of cases) {
    it(name, () => assert.strictEqual(shown(pressed(keys)), expected))
  }

  it("takes a paste as one text, whatever it contains", () => {
    const paste = [...`a\tb`, "return", ..."\u001b[2J\u202e", "up"]
    assert.strictEqual(shown(pressed(["x", "paste-start", ...paste, "paste-end", "y"])), "xa    b\n\ufffd[2J\ufffdy|")
  })

  it("goes through the history, and comes back to the own text", () => {
    const editor = Editor.make(["first", "second"])
    assert.deepStrictEqual(
      [["x", "up"], ["x", "up", "up", "up"], ["x", "up", "up", "down", "down"], ["x", "up", "!", "down", "up"]].map((
        keys
      ) => shown(pressed(keys, editor))),
      ["second|", "first|", "x|", "second|"]
    )
    const submitted = Editor.submit(pressed([..."third"], editor))
    assert.deepStrictEqual([submitted.text, submitted.history], ["", ["first", "second", "third"]])
    assert.strictEqual(Editor.submit(pressed([..."third"], submitted)).history.length, 3)
  })

  const keys = [..."ab 日é\n", "👩‍💻", "left", "right", "up", "down", "home", "end", "backspace", "delete", "enter"]
  const Keys = Schema.Array(Schema.Literals([...keys, "C-w", "C-u", "C-k", "C-y", "M-b", "M-f", "M-d"])).check(
    Schema.isMaxLength(40)
  )

  it.effect.prop(
    "keeps the cursor between characters, and no row of it wider than the screen",
    {
      keys: Arbitrary.schema(Keys),
      columns: Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 2, maximum: 12 })))
    },
    ({ columns, keys }) =>
      Effect.sync(() => {
        const editor = pressed(keys)
        const graphemes = [...new Intl.Segmenter("en", { granularity: "grapheme" }).segment(editor.text)]
        assert.include([...graphemes.map(({ index }) => index), editor.text.length], editor.cursor)
        const { column, row, rows } = Editor.view(editor, columns)
        assert.isTrue(rows.every((text) => Text.width(text) <= columns))
        assert.strictEqual(rows.join(""), editor.text.replaceAll("\n", ""))
        const before = rows.slice(0, row).join("") + prefix(rows[row], column)
        assert.strictEqual(before, editor.text.slice(0, editor.cursor).replaceAll("\n", ""))
      }),
    { arbitrary: { runs: 50 } }
  )

  /** The part of a row before a column. */
  const prefix = (row: string, column: number): string => {
    let width = 0
    return Array.from(new Intl.Segmenter("en", { granularity: "grapheme" }).segment(row), ({ segment }) => segment)
      .filter((segment) => (width += Text.width(segment)) <= column).join("")
  }
})

describe("Markdown", () => {
  const plain = { columns: 30, style: Style.plain }

  it("shows each kind of block", () => {
    const text = [
      "# Title",
      "Some **bold *both*** and `code`, [a link](https://a.example) and a line\nbreak that goes on and on",
      "- one\n- two\n  1. inner\n  2. [x] not a task",
      "> a quotation that is longer than a line is wide",
      "| name | n |\n| --- | --: |\n| a | 1 |\n| bc | 22 |",
      "```ts\nconst long = \"a line of code that is not broken\"\n\n  indented\n```",
      "    1 | quoted\n    2 | lines",
      "---",
      "<b>not HTML</b> \u001b[31mred\u202e"
    ].join("\n\n")
    assert.deepStrictEqual(Markdown.render(text, plain), [
      "Title",
      "",
      "Some bold both and code, a",
      "link (https://a.example) and a",
      "line",
      "break that goes on and on",
      "",
      "• one",
      "• two",
      "  1. inner",
      "  2. [x] not a task",
      "",
      "│ a quotation that is longer",
      "│ than a line is wide",
      "",
      "name │  n",
      "─────┼───",
      "a    │  1",
      "bc   │ 22",
      "",
      "  const long = \"a line of code that is not broken\"",
      "",
      "    indented",
      "",
      "  1 | quoted",
      "  2 | lines",
      "",
      "──────────────────────────────",
      "",
      "<b>not HTML</b> \ufffd[31mred\ufffd"
    ])
  })

  it("shows a table that is too wide row by row", () => {
    const text = "| name | what it is |\n| --- | --- |\n| a | a long description of it |\n| b | short |"
    assert.deepStrictEqual(Markdown.render(text, plain), [
      "name: a",
      "what it is: a long description",
      "of it",
      "",
      "name: b",
      "what it is: short"
    ])
  })

  const Block = Schema.Literals([
    "# A title",
    "Some **bold** text that is longer than a line, and *more* of it",
    "- one\n- two\n  - inner",
    "1. first\n2. second",
    "```ts\nconst x = 1\n\nconst y = 2\n```",
    "> quoted",
    "| a | b |\n| - | - |\n| 1 | 2 |",
    "日本語の文章。👩‍💻"
  ])
  it.effect.prop(
    "comes to the same lines piece by piece, wherever the pieces are cut",
    {
      chosen: Arbitrary.schema(Schema.Array(Block).check(Schema.isMaxLength(5))),
      sizes: Arbitrary.schema(Schema.NonEmptyArray(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 9 }))))
    },
    ({ chosen, sizes }) =>
      Effect.sync(() => {
        // Two lists one after the other are one list
        const text = chosen.filter((block, index) => block !== chosen[index - 1]).join("\n\nAnd then:\n\n")
        const stream = Markdown.stream()
        const lines: Array<string> = []
        for (let at = 0, turn = 0; at < text.length; turn++) {
          const size = sizes[turn % sizes.length]
          stream.push(text.slice(at, at + size))
          at += size
          lines.push(...stream.take(plain))
          stream.rest(plain)
        }
        assert.deepStrictEqual([...lines, ...stream.end(plain)], Markdown.render(text, plain))
      }),
    { arbitrary: { runs: 50 } }
  )

  it("prints a long list and a long piece of code in parts, each line once", () => {
    for (
      const [lines, expected] of [
        [
          Array.from({ length: 200 }, (_, index) => `${index + 1}. item`),
          Array.from({ length: 200 }, (_, index) => `${index + 1}. item`)
        ],
        [
          ["```", ...Array.from({ length: 200 }, (_, index) => `line ${index}`), "```"],
          Array.from({ length: 200 }, (_, index) => `  line ${index}`)
        ]
      ]
    ) {
      const stream = Markdown.stream()
      const printed: Array<string> = []
      let most = 0
      for (const line of lines) {
        stream.push(`${line}\n`)
        printed.push(...stream.take(plain))
        most = Math.max(most, stream.rest(plain).length)
      }
      printed.push(...stream.end(plain))
      assert.deepStrictEqual(printed, expected)
      assert.isBelow(most, 40)
    }
  })
})

describe("the end of the terminal", () => {
  const Step = Schema.Struct({
    printed: Schema.Array(Schema.Literals(["a", "a longer line that is printed", ""])).check(Schema.isMaxLength(3)),
    rows: Schema.Array(Schema.Literals(["x", "y y y y y y y y y"])).check(
      Schema.isBetweenLength(1, 4)
    ),
    cursor: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 }))
  })
  it.effect.prop(
    "shows what was printed, once, and below it the last frame",
    { steps: Arbitrary.schema(Schema.NonEmptyArray(Step).check(Schema.isMaxLength(8))) },
    ({ steps }) =>
      Effect.promise(async () => {
        const emulator = new xterm.Terminal({ cols: 40, rows: 10, allowProposedApi: true, scrollback: 1000 })
        const live = Live.make()
        for (const { cursor, printed, rows } of steps) {
          const row = Math.min(cursor, rows.length - 1)
          const text = live.draw(printed, { rows, cursor: { row, column: 1 } }, 40)
          await new Promise<void>((resolve) => emulator.write(text, resolve))
          assert.strictEqual(emulator.buffer.active.cursorX, 1)
        }
        const { active } = emulator.buffer
        const lines = Array.from({ length: active.length }, (_, row) => active.getLine(row)!.translateToString(true))
        const expected = [...steps.flatMap(({ printed }) => printed), ...steps.at(-1)!.rows]
        assert.strictEqual(lines.join("\n").trimEnd(), expected.join("\n").trimEnd())
        emulator.dispose()
      }),
    { arbitrary: { runs: 50 } }
  )

  it("is drawn again in a terminal that becomes narrower, also with wide characters", async () => {
    for (let columns = 8; columns < 40; columns++) {
      const emulator = new xterm.Terminal({ cols: 40, rows: 12, allowProposedApi: true, scrollback: 1000 })
      const live = Live.make()
      const draw = (line: string, columns: number) => {
        emulator.resize(columns, 12)
        const rows = ["日".repeat(19), "a クレイ b クレイ c クレイ", "x"].map((row) => Text.fit(row, columns - 1))
        const text = live.draw([line], { rows, cursor: { row: 2, column: 1 } }, columns)
        return new Promise<ReadonlyArray<string>>((resolve) => emulator.write(text, () => resolve(rows)))
      }
      await draw("first", 40)
      const rows = await draw("second", columns)
      const { active } = emulator.buffer
      const lines = Array.from({ length: active.length }, (_, row) => active.getLine(row)!.translateToString(true))
      assert.strictEqual(lines.join("\n").trim(), ["first", "second", ...rows].join("\n"), `${columns} columns`)
      emulator.dispose()
    }
  })

  it("counts the rows of a line as a terminal breaks it", () => {
    const cases: ReadonlyArray<readonly [line: string, columns: number, rows: number]> = [
      ["", 5, 1],
      ["abcde", 5, 1],
      ["abcdef", 5, 2],
      ["日本語", 5, 2],
      ["日本語日本", 5, 3],
      ["\u001b[1m日本\u001b[22m", 4, 1]
    ]
    for (const [line, columns, rows] of cases) {
      assert.strictEqual(Text.rows(line, columns), rows, line)
    }
  })
})

describe("an answer as it comes", () => {
  const options = { columns: 60, style: Style.plain }
  const evil = "x\u001b[2J\u009b31m\u202e\u2066\u2028\u0007\r\ny"
  const call = { type: "tool-call", id: "1", name: `find${evil}`, params: { query: evil } }
  const result = (more: object) => ({
    type: "tool-result",
    id: "1",
    name: `find${evil}`,
    preliminary: false,
    isFailure: false,
    ...more
  })
  // The chat reads nothing else of these parts
  const parts = [
    call,
    result({ encodedResult: `searched ${evil}`, preliminary: true }),
    { type: "agent-part", path: ["helper"], part: { ...call, id: "2" } },
    result({ encodedResult: `a\n${evil}` }),
    { type: "agent-part", path: ["helper"], part: { type: "reasoning-delta", id: "r", delta: evil } },
    { type: "reasoning-start", id: "r" },
    { type: "reasoning-delta", id: "r", delta: "a\n" },
    { type: "reasoning-delta", id: "r", delta: "b" },
    { type: "reasoning-end", id: "r" },
    // A provider may tell only that there was one
    { type: "reasoning-start", id: "r" },
    { type: "reasoning-end", id: "r" },
    { type: "text-start", id: "t" },
    { type: "text-delta", id: "t", delta: `# ${evil}\n\nmore` },
    {
      type: "agent-part",
      path: ["helper"],
      part: result({ id: "2", encodedResult: { path: evil, problem: "gone", advice: "leave" }, isFailure: true })
    }
  ] as unknown as ReadonlyArray<AgentRun.Part>

  it("has one line for a call and its result, and for reasoning, also for those of another agent", () => {
    const answer = Answer.make()
    const lines: Array<string> = []
    const live: Array<string> = []
    for (const part of parts) {
      answer.part(part, options)
      lines.push(...answer.take(options))
      live.push(...answer.rest(options, "*"))
    }
    answer.end(options)
    lines.push(...answer.take(options))
    const bad = "\ufffd[2J\ufffd31m\ufffd\ufffd\ufffd\ufffd y"
    assert.deepStrictEqual(
      lines.filter((line) => line.startsWith("●") || line.startsWith("✗")).map((line) => line.slice(0, 12)),
      [
        `● findx${bad}`.slice(0, 12),
        "✗ helper › f"
      ]
    )
    assert.deepStrictEqual(
      lines.filter((line) => line.startsWith("∴")),
      ["∴ a b", `∴ helper › x${bad}`]
    )
    assert.isTrue(live.some((line) => line.startsWith("* find")))
    assert.deepStrictEqual(
      answer.folded.map((one) => "name" in one ? [one.path, one.result?.isFailure] : [one.path, one.text]),
      [[[], false], [["helper"], true], [["helper"], evil], [[], "a\nb"]]
    )
    const all = [...lines, ...live, ...Answer.opened(answer.folded, options), ...Answer.said(evil, options)]
    assert.deepStrictEqual(all.filter((line) => line.search(Text.unprintable) !== -1), [])
    assert.isTrue(all.every((line) => Text.width(line) <= 60))
  })
})
