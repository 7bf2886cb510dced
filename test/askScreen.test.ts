import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Context, Effect, Exit, Layer, Option, Stdio, Terminal, Tracer } from "effect"
import { Response } from "effect/ai"
import * as Screen from "../scratchpad/ask/Screen.ts"
import * as Style from "../scratchpad/ask/Style.ts"
import * as Text from "../scratchpad/ask/Text.ts"
import * as Waterfall from "../scratchpad/ask/Waterfall.ts"
import type * as AgentRun from "../src/AgentRun.ts"

/** What a terminal gets to see of these parts. */
const shown = Effect.fnUntraced(function*(parts: ReadonlyArray<AgentRun.Part>, options: {
  readonly isTerminal: boolean
  readonly env?: Record<string, string>
}) {
  const output: Array<string> = []
  const terminal = Terminal.make({
    columns: Effect.succeed(30),
    rows: Effect.succeed(24),
    size: Effect.die("not asked for"),
    readInput: Effect.die("not asked for"),
    readLine: Effect.die("not asked for"),
    display: (text) => Effect.sync(() => output.push(text))
  })
  const services = Layer.mergeAll(
    Layer.succeed(Terminal.Terminal, terminal),
    Stdio.layerTest({ stdoutIsTerminal: Effect.succeed(options.isTerminal) }),
    ConfigProvider.layer(ConfigProvider.fromUnknown(options.env ?? {}))
  )
  yield* Effect.gen(function*() {
    const screen = yield* Screen.Screen
    yield* Effect.forEach(parts, screen.part)
  }).pipe(Effect.provide(Screen.layer.pipe(Layer.provide(services))))
  return output.join("")
})

const result = (encodedResult: unknown, options: { readonly preliminary?: boolean; readonly isFailure?: boolean }) =>
  Response.makePart("tool-result", {
    id: "1",
    name: "search_text",
    result: encodedResult as never,
    encodedResult,
    providerExecuted: false,
    preliminary: options.preliminary ?? false,
    isFailure: options.isFailure ?? false
  }) as AgentRun.Part

const parts: ReadonlyArray<AgentRun.Part> = [
  Response.makePart("tool-call", { id: "1", name: "search_text", params: { query: "x" }, providerExecuted: false }),
  result("searched 50 files, and it takes long", { preliminary: true }),
  result("a.txt:1: \u001b[31mx\n2\n3\n4\n5\n6\n7\n8", {}),
  result({ _tag: "Refused", path: "..", problem: "outside", advice: "stay" }, { isFailure: true }),
  Response.makePart("text-start", { id: "t" }),
  Response.makePart("text-delta", { id: "t", delta: "It is " }),
  Response.makePart("text-delta", { id: "t", delta: "there." })
]

const plain = [
  `→ search_text {"query":"x"}`,
  "← search_text",
  "  a.txt:1: \ufffd[31mx",
  "  2",
  "  3",
  "  4",
  "  5",
  "  6",
  "  … 2 more lines",
  "✗ search_text",
  "  ..: outside; stay",
  "",
  "It is there."
].join("\n")

describe("Screen", () => {
  it.effect("prints calls, results and text without colours when it is not a terminal", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* shown(parts, { isTerminal: false }), plain)
    }))

  it.effect("shows colours, and progress in a line of its own that it takes back, on a terminal", () =>
    Effect.gen(function*() {
      const output = yield* shown(parts, { isTerminal: true })
      const clear = "\r\u001b[K"
      const progress = `${clear}\u001b[2m  … searched 50 files, and i…\u001b[0m${clear}`
      assert.isTrue(output.startsWith(`\u001b[33m→\u001b[0m \u001b[1msearch_text\u001b[0m {"query":"x"}\n${progress}`))
      // oxlint-disable-next-line no-control-regex
      assert.strictEqual(output.replace(progress, "").replace(/\u001b\[\d*m/g, ""), plain)
    }))

  it.effect("shows nothing that moves the cursor, turns text or breaks a line, wherever it comes from", () =>
    Effect.gen(function*() {
      const evil = "x\u001b[2J\u009b31m\u202e\u2066\u200f\u061c\u2028\u2029\u0007\r\u{e0041}\ud800y"
      const output = yield* shown([
        Response.makePart("tool-call", {
          id: "1",
          name: `${evil}\nz`,
          params: { [evil]: evil },
          providerExecuted: false
        }),
        result(evil, {}),
        result({ [evil]: evil }, { isFailure: true }),
        result({ path: `${evil}\n`, problem: evil, advice: evil }, { isFailure: true }),
        result(`${evil}\n`, { preliminary: true }),
        Response.makePart("reasoning-delta", { id: "r", delta: evil }),
        Response.makePart("text-delta", { id: "t", delta: evil })
      ], { isTerminal: false })
      assert.notMatch(output.replaceAll("\n", ""), Text.unprintable)
      assert.strictEqual(output.split("\n")[0].startsWith("→ x\ufffd[2J"), true)
      assert.include(output.split("\n")[0], "y z {")
    }))

  it.effect("shows a character and a line break that are spread over two deltas as one", () =>
    Effect.gen(function*() {
      const deltas = ["a\ud83d", "\udc4db\r", "\nc\ud83d"]
      const output = yield* shown(
        deltas.map((delta) => Response.makePart("text-delta", { id: "t", delta })),
        { isTerminal: false }
      )
      assert.strictEqual(output, "a👍b\nc")
    }))

  it.effect("honours NO_COLOR", () =>
    Effect.gen(function*() {
      const output = yield* shown(parts, { isTerminal: true, env: { NO_COLOR: "1" } })
      const progress = "\r\u001b[K  … searched 50 files, and i…\r\u001b[K"
      assert.strictEqual(output.replace(progress, ""), plain)
    }))
})

const span = (
  name: string,
  from: number,
  to: number | undefined,
  parent: Tracer.NativeSpan | undefined,
  attributes: Record<string, unknown> = {}
) => {
  const millis = (n: number) => BigInt(n) * 1_000_000n
  const made = new Tracer.NativeSpan({
    name,
    parent: Option.fromUndefinedOr(parent),
    annotations: Context.empty(),
    links: [],
    startTime: millis(from),
    kind: "internal",
    sampled: true
  })
  for (const [key, value] of Object.entries(attributes)) made.attribute(key, value)
  if (to !== undefined) made.end(millis(to), Exit.void)
  return made
}

describe("Waterfall", () => {
  const root = span("invoke_agent ask", 0, 1000, undefined, {
    "gen_ai.usage.input_tokens": 30,
    "gen_ai.usage.output_tokens": 12,
    "effect_agents.outcome": "Completed"
  })
  const spans = [
    root,
    span("chat offline", 0, 250, root, { "gen_ai.usage.input_tokens": 30, "gen_ai.usage.output_tokens": 12 }),
    span("execute_tool search", 250, 1000, root, { "error.type": "Refused" }),
    span("execute_tool read", 500, undefined, root)
  ]
  const options = { columns: 67, style: Style.plain, now: 750_000_000n }

  it("draws every span where it was in time, under its parent", () => {
    assert.deepStrictEqual(Waterfall.render(spans, options), [
      "invoke_agent ask       ████████████████    1.00 s  Completed  30→12",
      "  chat offline         ████············    250 ms  30→12",
      "  execute_tool search  ····████████████    750 ms  Refused",
      "  execute_tool read    ········████····    250 ms  not ended"
    ])
  })

  it("is never wider than the terminal", () => {
    for (let columns = 30; columns < 200; columns += 7) {
      const lines = Waterfall.render(spans, { ...options, columns })
      assert.strictEqual(lines.length, 4)
      assert.isTrue(Math.max(...lines.map((line) => line.length)) <= columns, `${columns} columns`)
    }
    assert.deepStrictEqual(Waterfall.render(spans, { ...options, columns: 40 }), [
      "invoke_agent ask    1.00 s  Completed  …",
      "  chat offline      250 ms  30→12",
      "  execute_tool …    750 ms  Refused",
      "  execute_tool …    250 ms  not ended"
    ])
  })

  it("draws names without control characters", () => {
    const lines = Waterfall.render([span("execute_tool x\u001b[2J\n\u202ey", 0, 1, undefined)], options)
    assert.isTrue(lines[0].startsWith("execute_tool x\ufffd[2J \ufffdy "))
  })

  it("draws nothing for no spans", () => {
    assert.deepStrictEqual(Waterfall.render([], options), [])
  })
})

describe("Text", () => {
  it("cuts between characters as people see them", () => {
    const text = "a👍🏽e\u0301🏳️‍🌈z"
    const all = Array.from({ length: text.length + 1 }, (_, length) => Text.cut(text, length))
    assert.deepStrictEqual([...new Set(all)], ["", "a", "a👍🏽", "a👍🏽e\u0301", "a👍🏽e\u0301🏳️‍🌈", text])
    assert.strictEqual(Text.cut(`a${"\u0301".repeat(1000)}`, 500).length, 500)
    assert.strictEqual(Text.cut("👍".repeat(100), 99), "👍".repeat(49))
    assert.strictEqual(Text.clip("abc", 2), "a…")
  })

  it("escapes JSON to the same value", () => {
    const value = { "a\u202e": "\u0085\u2028\u{e0041}\n\u001b" }
    const json = Text.escaped(JSON.stringify(value, undefined, 2))
    assert.notMatch(json.replaceAll("\n", ""), Text.unprintable)
    assert.deepStrictEqual(JSON.parse(json), value)
  })
})
