/**
 * JSON of a model that is nested without end: it goes back to the model, and what is kept of it can be stored and sent.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import { type Response, Tool, Toolkit } from "effect/ai"
import { Agent, AgentTelemetry, Compaction, Guardrail, SessionHistory, SessionStore } from "../src/index.ts"
import { SqliteSessionStore } from "../src/sqlite/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"

interface Tree {
  readonly children: ReadonlyArray<Tree>
}

const Tree: Schema.Codec<Tree> = Schema.Struct({ children: Schema.Array(Schema.suspend(() => Tree)) }).annotate({
  identifier: "Tree"
})

const toolkit = Toolkit.make(
  Tool.make("any", { parameters: Schema.Struct({ v: Schema.Unknown }), success: Schema.String }),
  Tool.make("tree", { parameters: Schema.Struct({ v: Tree }), success: Schema.String }),
  Tool.make("ask", { parameters: Schema.Struct({ v: Schema.Unknown }), success: Schema.String, needsApproval: true })
)

const ok = () => Effect.succeed("ok")
const handlers = toolkit.toLayer({ any: ok, tree: ok, ask: ok })

const list = (depth: number): unknown => JSON.parse(`${"[".repeat(depth)}1${"]".repeat(depth)}`)
const tree = (depth: number): unknown => JSON.parse(`${"{\"children\":[".repeat(depth)}${"]}".repeat(depth)}`)

const stores = {
  memory: SessionStore.layerMemory,
  SQLite: SqliteSessionStore.layerFile({ filename: ":memory:" })
}

const finish = (reason: Response.FinishReason) =>
  ({ type: "finish", reason, usage: ScriptedModel.usage(1, 1) }) as const

/** Every place of a part that holds JSON of a model. */
const deepParts = (depth: number): Record<string, ReadonlyArray<Response.StreamPartEncoded>> => {
  const v = list(depth) as never
  const metadata = { test: { v } }
  return {
    "arguments": [
      { type: "tool-call", id: "c", name: "any", params: { v }, providerExecuted: false },
      finish("tool-calls")
    ],
    "metadata of a call": [
      { type: "tool-call", id: "c", name: "any", params: { v: 1 }, providerExecuted: false, metadata },
      finish("tool-calls")
    ],
    "metadata of text": [
      { type: "text-start", id: "t", metadata },
      { type: "text-delta", id: "t", delta: "x", metadata },
      { type: "text-end", id: "t", metadata },
      finish("stop")
    ],
    "metadata of reasoning": [
      { type: "reasoning-start", id: "r", metadata },
      { type: "reasoning-delta", id: "r", delta: "x", metadata },
      { type: "reasoning-end", id: "r", metadata },
      finish("stop")
    ],
    "metadata of the end": [{ ...finish("stop"), metadata }]
  }
}

describe("a model's JSON", () => {
  for (const depth of [1e2, 1e3, 1e5]) {
    for (const [place, encoded] of Object.entries(deepParts(depth))) {
      it.effect(`of ${depth} levels in the ${place} can be written by who consumes the parts, and stored`, () =>
        Effect.gen(function*() {
          const agent = Agent.make("agent", { toolkit, providers: [SessionHistory.make({ keep: "always" })] })
          const parts = yield* Stream.runCollect(Agent.stream(agent, { prompt: "go", session: "s" }))
          assert.strictEqual(parts.at(-1)?.type, "run-end")
          const written = JSON.stringify(parts)
          assert.strictEqual(written.includes("[nested too deeply]"), depth > 512)
          yield* Agent.run(agent, { prompt: "again", session: "s" })
        }).pipe(Effect.provide([
          ScriptedModel.layer([ScriptedModel.parts(encoded), ScriptedModel.text("done"), ScriptedModel.text("next")]),
          handlers,
          SessionStore.layerMemory
        ])))
    }
  }

  for (const depth of [1e2, 1e3, 1e4, 1e5, 1e6]) {
    for (const name of ["any", "tree", "ask", "nobody"]) {
      for (const [kind, store] of Object.entries(stores)) {
        const isMistake = depth > 100 || name === "nobody"
        it.effect(`of ${depth} levels, for the tool ${name}, in ${kind}`, () =>
          Effect.gen(function*() {
            const agent = Agent.make("agent", {
              toolkit,
              middleware: [Guardrail.tool("g", { before: () => Effect.succeed(Guardrail.pass) })],
              providers: [
                SessionHistory.provider,
                Compaction.make({ maxTokens: 1e9, strategies: [Compaction.dropOldest] })
              ]
            })
            const result = yield* Agent.run(agent, { prompt: "go", session: "s" })
            const isWaiting = name === "ask" && !isMistake
            assert.strictEqual(result.stopReason, isWaiting ? "approval-required" : "stop")
            assert.deepStrictEqual(result.steps[0]!.toolCalls.map(({ isFailure }) => isFailure), [isMistake])
            assert.isString(JSON.stringify(result.transcript))
            // what was kept can be loaded, and the conversation goes on
            yield* Agent.run(agent, { prompt: "again", session: "s" })
          }).pipe(Effect.provide([
            ScriptedModel.layer([
              ScriptedModel.toolCalls({ name, params: { v: name === "tree" ? tree(depth) : list(depth) } }),
              ScriptedModel.text("done"),
              ScriptedModel.text("next")
            ]),
            handlers,
            store,
            AgentTelemetry.layer({ captureContent: true })
          ])))
      }
    }
  }
})
