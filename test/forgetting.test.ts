/** Sessions that are deleted, and those that the agents behind their tools have. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer, Logger, Stream } from "effect"
import type { LanguageModel, Tool } from "effect/ai"
import { Agent, AgentTool, ContextProvider, SessionHistory, SessionStore } from "../src/index.ts"
import { RunHub } from "../src/server/index.ts"
import * as OwnedRuns from "../src/server/internal/ownedRuns.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { Boom } from "./utils.ts"

const { text, toolCalls } = ScriptedModel

/** An agent that asks an agent, which asks another one. Each of them has a memory. */
const nested = () => {
  const providers = [SessionHistory.provider] as const
  const leaf = Agent.make("leaf", { providers })
  const leaves = AgentTool.toolkit(AgentTool.make(leaf, { session: "own" }))
  const middle = Agent.make("middle", { providers, toolkit: leaves })
  return Agent.make("top", { providers, toolkit: AgentTool.toolkit(AgentTool.make(middle, { session: "own" })) })
}

const turn = [
  toolCalls({ name: "middle", params: { prompt: "m" } }),
  toolCalls({ name: "leaf", params: { prompt: "l" } }),
  text("leaf"),
  text("middle"),
  text("top")
]

const serve = <Tools extends Record<string, Tool.Any>, E>(
  agent: Agent.Agent<Tools, E, SessionStore.SessionStore | LanguageModel.LanguageModel>,
  script: ReadonlyArray<ScriptedModel.Step>
) =>
  Effect.gen(function*() {
    const services = yield* Layer.build(
      Layer.mergeAll(RunHub.layer({ grace: 0 }), SessionStore.layerMemory, ScriptedModel.layer(script))
    )
    const runs = yield* Effect.provide(
      OwnedRuns.make<SessionStore.SessionStore | LanguageModel.LanguageModel>({
        whenLeft: "continue",
        whenBusy: "start"
      }),
      services
    )
    const store = Context.get(services, SessionStore.SessionStore)
    const start = (session: string, prompt: string, options?: OwnedRuns.StartOptions) =>
      Effect.provide(runs.start(agent, "ann", { prompt, session }, options), services)
    const ended = (run: OwnedRuns.OwnedRun) => Effect.asVoid(run.live.exit)
    const ids = Effect.map(store.list(), ({ sessions }) => sessions.map(({ id }) => id).toSorted())
    return { runs, start, ended, ids, store }
  })

describe("a session that is deleted", () => {
  it.effect("is forgotten by the agents behind its tools, and behind theirs, and no other is", () =>
    Effect.gen(function*() {
      const agent = nested()
      const { ended, ids, runs, start } = yield* serve(agent, [...turn, ...turn, ...turn])
      for (const session of ["one", "two"]) yield* Effect.flatMap(start(session, "hi"), ended)
      assert.lengthOf(yield* ids, 6)
      yield* runs.forget("ann", "one", agent)
      const left = yield* ids
      assert.lengthOf(left, 3)
      assert.isTrue(left.every((id) => id.endsWith("ann/two")))
      // a run whose session is only kept while it waits leaves nothing
      yield* Effect.flatMap(start("three", "hi", { keep: "waiting" }), ended)
      assert.deepStrictEqual(yield* ids, left)
    }).pipe(Effect.scoped))

  it.effect("is deleted after what its run saves when it is stopped", () =>
    Effect.gen(function*() {
      const agent = Agent.make("agent", { providers: [SessionHistory.make({ keep: "always" })] })
      const { ended, ids, start } = yield* serve(agent, [[text("partly"), ScriptedModel.hang]])
      const failures: Array<unknown> = []
      const logger = Logger.make(({ message }) => failures.push(message))
      const run = yield* start("chat", "hi", { keep: "waiting" }).pipe(Effect.provide(Logger.layer([logger])))
      yield* Stream.runDrain(Stream.takeUntil(run.parts(), ({ part }) => part.type === "text-delta"))
      assert.deepStrictEqual(yield* ids, ["ann/chat"])
      yield* run.live.stop
      yield* ended(run)
      assert.deepStrictEqual([yield* ids, failures], [[], []])
    }).pipe(Effect.scoped))

  it.effect("is not one that another run works on, or that the run has not begun with", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const waits = ContextProvider.make("waits", {
        beforeRun: ({ prompt }) => {
          const said = JSON.stringify(prompt.content)
          if (said.includes("refused")) return Effect.fail(new Boom({ of: "waits" }))
          return Effect.void
        },
        afterRun: ({ result }) =>
          JSON.stringify(result.transcript.content).includes("slow") ? Deferred.await(gate) : Effect.void
      })
      const agent = Agent.make("agent", {
        providers: [SessionHistory.make({ keep: "every-step", whenHeld: "reject" }), waits]
      })
      const { ended, ids, start, store } = yield* serve(agent, [text("1"), text("2"), text("3")])
      yield* Effect.flatMap(start("chat", "hi"), ended)
      const slow = yield* start("chat", "slow")
      const reading = yield* Effect.forkChild(Stream.runDrain(slow.parts()), { startImmediately: true })
      // it is refused by the session, whose run still works
      const busy = yield* Effect.flip(start("chat", "beside", { keep: "waiting" }))
      assert.strictEqual(busy.code, "session-in-use")
      assert.deepStrictEqual(yield* ids, ["ann/chat"])
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(reading)
      const refused = yield* Effect.flip(start("chat", "refused", { keep: "waiting" }))
      assert.strictEqual(refused.code, "failed")
      assert.strictEqual((yield* store.load("ann/chat")).history.content.length, 4)
      yield* Effect.flatMap(start("chat", "last", { keep: "waiting" }), ended)
      assert.deepStrictEqual(yield* ids, [])
    }).pipe(Effect.scoped))
})
