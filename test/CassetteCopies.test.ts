import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Layer, Schema, Stream } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { Agent, AgentRun, AgentTool, Approval, StopCondition } from "../src/index.ts"
import { Cassette, ScriptedModel } from "../src/testing/index.ts"
import { fromSources } from "./docs/examples.ts"
import { collected } from "./fixtures/collected.ts"

const Now = Tool.make("now", {
  parameters: Schema.Struct({ zone: Schema.String }),
  success: Schema.Struct({ time: Schema.String }),
  failure: Schema.String,
  failureMode: "return"
})
const Remove = Tool.make("remove", {
  parameters: Schema.Struct({ path: Schema.String }),
  success: Schema.String,
  needsApproval: true
})
const toolkit = Toolkit.make(Now, Remove)
const tools = toolkit.toLayer({
  now: ({ zone }) => zone === "Mars" ? Effect.fail("no such zone") : Effect.succeed({ time: `12:00 ${zone}` }),
  remove: ({ path }) => Effect.succeed(`removed ${path}`)
})

const clock = Agent.make("clock", { toolkit, instructions: "You are a clock." })
const lead = Agent.make("lead", {
  instructions: "You ask clocks.",
  toolkit: AgentTool.toolkit(AgentTool.make(clock, { name: "clock" }))
})
const called = Agent.make("called", { toolkit, stopWhen: [StopCondition.toolCalled("now")] })
const dated = Agent.make("dated", { toolkit, output: Schema.Struct({ day: Schema.String }) })

type Runnable = Agent.Any

const encode = Schema.encodeEffect(AgentRun.parts())

/** The parts of a stream as JSON. What they need is a model and the tools. */
const partsOf = <E, R>(stream: Stream.Stream<AgentRun.Part, E, R>) =>
  Stream.runCollect(Stream.mapEffect(stream, (part) => encode(part)))

type Run = Effect.Effect<ReadonlyArray<AgentRun.PartEncoded>, unknown, Layer.Success<ReturnType<typeof replay>>>

// the agents of the samples need no more than that
const run = (agent: Runnable, prompt: string) => partsOf(Agent.stream(agent, { prompt })) as Run

const live = (script: ReadonlyArray<ScriptedModel.Step>) => Layer.merge(ScriptedModel.layer(script), tools)

const replay = (text: string) =>
  Layer.merge(
    Layer.provide(
      Cassette.layer({ path: "copy.jsonl", mode: "replay" }),
      FileSystem.layerNoop({ readFileString: () => Effect.succeed(text) })
    ),
    tools
  )

/** Each run has ids of its own. */
const withoutIds = (value: unknown): unknown => JSON.parse(JSON.stringify(value).replace(/(run|id)_\w+/g, "$1"))

const calls = (...calls: ReadonlyArray<ScriptedModel.ToolCall>) => ScriptedModel.toolCalls(...calls)

const samples: ReadonlyArray<{
  readonly name: string
  readonly agent: Runnable
  readonly prompt: string
  readonly script: ReadonlyArray<ScriptedModel.Step>
}> = [
  {
    name: "a text with reasoning, a source and a usage of its own",
    agent: Agent.make("a", { instructions: "Be brief." }),
    prompt: "a \"quoted\"\n`${text}` \u2028 \ud800 '",
    script: [[
      ScriptedModel.reasoning(["h", "m"]),
      ScriptedModel.parts([{ type: "source", sourceType: "url", id: "1", url: "http://a/", title: "A" }]),
      ScriptedModel.text(["1 ", "", "2 \\ \n \ud83d"]),
      ScriptedModel.text("3"),
      ScriptedModel.finish("stop", ScriptedModel.usage(3, 4))
    ]]
  },
  {
    name: "nested runs, failures of tools, and mistakes of the model",
    agent: lead,
    prompt: "What is the time in Oslo?",
    script: [
      calls({ name: "clock", params: { prompt: "Oslo" } }),
      calls(
        { name: "now", params: { zone: "Oslo" } },
        { name: "now", params: { zone: "Mars" } },
        { name: "now", params: { wrong: true } },
        { name: "unknown", params: {} }
      ),
      ScriptedModel.text(["noon ", "in Oslo"]),
      ScriptedModel.text("It is noon.")
    ]
  },
  {
    name: "ids of calls that are used again in the next step, and odd names",
    agent: clock,
    prompt: "twice",
    script: [
      calls({ id: "same", name: "now", params: { zone: "Oslo" } }),
      calls({ id: "same", name: "now", params: { zone: "__proto__", ["__proto__"]: [1] } }),
      ScriptedModel.text("done")
    ]
  },
  {
    name: "an answer with a schema, after one that was rejected",
    agent: dated,
    prompt: "Which day is it?",
    script: [
      calls({ name: "now", params: { zone: "Oslo" } }),
      calls({ name: "final_answer", params: { day: 3 } }),
      calls({ name: "final_answer", params: { day: "Friday" } })
    ]
  },
  {
    name: "a run that was stopped after a tool call",
    agent: called,
    prompt: "now",
    script: [calls({ name: "now", params: { zone: "Oslo" } })]
  },
  {
    name: "a run that waits for an approval",
    agent: clock,
    prompt: "Remove it",
    script: [calls({ name: "remove", params: { path: "a" } }, { name: "now", params: { zone: "Oslo" } })]
  }
]

describe("Cassette", () => {
  describe("fromParts", () => {
    for (const { agent, name, prompt, script } of samples) {
      it.effect(`replays ${name}`, () =>
        Effect.gen(function*() {
          const parts = yield* Effect.provide(run(agent, prompt), live(script))
          const again = yield* Effect.provide(run(agent, prompt), replay(Cassette.fromParts(parts)))
          assert.deepStrictEqual(withoutIds(again), withoutIds(parts))
        }))
    }

    it.effect("replays parallel nested runs in another order, under other instructions", () =>
      Effect.gen(function*() {
        const both = Agent.make("both", {
          toolkit: AgentTool.toolkit(AgentTool.make(clock, { name: "clock" }))
        })
        const parts = yield* Effect.provide(
          run(both, "Oslo and Rome"),
          live([
            calls({ name: "clock", params: { prompt: "Oslo" } }, { name: "clock", params: { prompt: "Rome" } }),
            ({ prompt }) => ScriptedModel.text(JSON.stringify(prompt).includes("Rome") ? "Rome" : "Oslo"),
            ({ prompt }) => ScriptedModel.text(JSON.stringify(prompt).includes("Rome") ? "Rome" : "Oslo"),
            ScriptedModel.text("noon in both")
          ])
        )
        const text = Cassette.fromParts(parts)
        const ask = (prompt: string) =>
          Effect.map(
            Agent.run(Agent.make("other", { instructions: "Other.", toolkit }), { prompt }),
            ({ text }) => text
          )
        assert.deepStrictEqual(
          yield* Effect.provide(Effect.forEach(["Rome", "Oslo"], ask), replay(text)),
          ["Rome", "Oslo"]
        )
      }))

    it.effect("replays a run that went on after an approval", () =>
      Effect.gen(function*() {
        const both = Effect.gen(function*() {
          const parts = yield* Stream.runCollect(Agent.stream(clock, { prompt: "Remove it" }))
          const waiting = parts.flatMap((part) => part.type === "run-end" ? [part.result] : [])[0]
          const answers = waiting.approvals.map((approval: Approval.Approval) => Approval.approve(approval))
          const rest = yield* Stream.runCollect(Agent.resumeStream(clock, { result: waiting }, answers))
          return yield* Effect.forEach([...parts, ...rest], (part) => encode(part))
        })
        const parts = yield* Effect.provide(
          both,
          live([calls({ name: "remove", params: { path: "a" } }), ScriptedModel.text("It is gone.")])
        )
        const again = yield* Effect.provide(both, replay(Cassette.fromParts(parts)))
        assert.deepStrictEqual(withoutIds(again), withoutIds(parts))
      }))

    it.effect("has the model calls alone of a run that goes on after approvals, however it ends", () =>
      Effect.gen(function*() {
        const [now, remove] = [
          { name: "now", params: { zone: "Oslo" } },
          { name: "remove", params: { path: "a" } }
        ] as const
        const script = [calls(now, remove), ScriptedModel.text("That is it.")]
        const both = (answer: (approval: Approval.Approval) => Approval.Answer, isCut = false) =>
          Effect.gen(function*() {
            const parts = yield* Stream.runCollect(Agent.stream(clock, { prompt: "Remove it" }))
            const waiting = parts.flatMap((part) => part.type === "run-end" ? [part.result] : [])[0]
            const going = Agent.resumeStream(clock, { result: waiting }, waiting.approvals.map(answer))
            const rest = yield* Stream.runCollect(isCut ? Stream.take(going, 2) : going)
            const encoded = (some: ReadonlyArray<AgentRun.Part>) => Effect.forEach(some, (part) => encode(part))
            return [yield* encoded(parts), yield* encoded(rest)] as const
          })
        const roles = (text: string) =>
          text.trimEnd().split("\n").map((line) => JSON.parse(line)).flatMap(({ request }) =>
            request === undefined ? [] : [request.turn.map(({ role }: { readonly role: string }) => role).join()]
          )
        for (const answer of [Approval.approve, (approval: Approval.Approval) => Approval.deny(approval, "no")]) {
          const [parts, rest] = yield* Effect.provide(both(answer), live(script))
          const text = Cassette.fromParts([...parts, ...rest])
          assert.deepStrictEqual(roles(text).length, 2)
          assert.notInclude(roles(text), "")
          // the results that came before the approval are in the turn, too
          const again = yield* Effect.provide(both(answer), replay(text))
          assert.deepStrictEqual(withoutIds(again[1]), withoutIds(rest))
          const alone = Cassette.fromParts(rest)
          assert.deepStrictEqual(roles(alone).length, 1)
          assert.notInclude(roles(alone), "")
          const other = yield* Effect.flip(Effect.provide(run(clock, "Rome?"), replay(alone)))
          assert.include((other as Error).message, "No recorded call has this request")
        }
        const [parts, cut] = yield* Effect.provide(both(Approval.approve, true), live(script))
        assert.deepStrictEqual(cut.map(({ type }) => type), ["run-start", "step-start"])
        assert.deepStrictEqual(roles(Cassette.fromParts([...parts, ...cut])), ["user"])
      }))

    it.effect("replays a run that was cut as far as it came", () =>
      Effect.gen(function*() {
        const script = [calls({ name: "now", params: { zone: "Oslo" } }), ScriptedModel.text(["noon ", "in Oslo"])]
        const parts = yield* Effect.provide(run(clock, "Oslo?"), live(script))
        const cut = parts.slice(0, parts.findIndex(({ type }) => type === "text-delta") + 1)
        for (const options of [undefined, { prompt: "Oslo?" }]) {
          const seen = yield* partsOf(Stream.take(Agent.stream(clock, { prompt: "Oslo?" }), cut.length)).pipe(
            Effect.provide(replay(Cassette.fromParts(cut, options)))
          )
          assert.deepStrictEqual(withoutIds(seen), withoutIds(cut))
        }
        const other = yield* Effect.flip(
          Effect.provide(run(clock, "Rome?"), replay(Cassette.fromParts(cut, { prompt: "Oslo?" })))
        )
        assert.include((other as Error).message, "No recorded call has this request")
      }))

    it.effect("takes the second attempt at a step whose process has died", () =>
      Effect.gen(function*() {
        const parts = yield* Effect.provide(run(clock, "a"), live([ScriptedModel.text("whole")]))
        const at = parts.findIndex(({ type }) => type === "step-start")
        const log = [
          ...parts.slice(0, at + 1),
          { type: "text-start", id: "lost" },
          { type: "text-delta", id: "lost", delta: "ha" },
          { ...parts[at], restarted: true },
          ...parts.slice(at + 1)
        ]
        assert.strictEqual(Cassette.fromParts(log), Cassette.fromParts(parts))
      }))
  })
})

describe("ScriptedModel", () => {
  describe("toTest", () => {
    /** Runs the tests in a text. */
    const execute = (name: string, text: string) =>
      Effect.gen(function*() {
        const folder = mkdtempSync(join(import.meta.dirname, "copied-"))
        yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(folder, { recursive: true })))
        const file = join(folder, `${name.replace(/\W+/g, "-")}.ts`)
        writeFileSync(
          file,
          fromSources(text, "../../src", ["testing"]).replace("\"@effect/vitest\"", "\"../fixtures/collected.ts\"")
        )
        const tests = yield* collected(() => import(pathToFileURL(file).href))
        assert.strictEqual(tests.length, 1)
        yield* tests[0].effect
      })

    for (const { agent, name, prompt, script } of samples) {
      it.effect(`is a test of ${name}, whole and cut`, () =>
        Effect.gen(function*() {
          const parts = yield* Effect.provide(run(agent, prompt), live(script))
          yield* execute(name, ScriptedModel.toTest(parts))
          for (const length of [0, 2, 4, parts.length - 1]) {
            yield* execute(`${name} ${length}`, ScriptedModel.toTest(parts.slice(0, length), { prompt }))
          }
        }))
    }

    it.effect("is the text of a test of this package", () =>
      Effect.gen(function*() {
        const script = [
          calls({ name: "now", params: { zone: "Oslo" } }, { name: "now", params: { zone: "Mars" } }),
          ScriptedModel.text(["noon ", "in Oslo"])
        ]
        const parts = yield* Effect.provide(run(clock, "What is the time in Oslo?"), live(script))
        const text = ScriptedModel.toTest(parts)
        const file = join(import.meta.dirname, "copiedRun.test.ts")
        assert.strictEqual(fromSources(text, "../src", ["testing"]), readFileSync(file, "utf8"))
      }))
  })
})
