/**
 * JSON of a model that is nested without end: it goes back to the model, and what is kept of it can be stored and sent.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Tool, Toolkit } from "effect/ai"
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

describe("a model's JSON", () => {
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
