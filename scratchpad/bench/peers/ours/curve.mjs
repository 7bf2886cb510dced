// node --expose-gc peers/ours/curve.mjs <curve> [json]: how the cost of effect-agents grows; prints one line of JSON.
//
// The models are made with DirectLanguageModel and produce as they are pulled: what is measured
// is not in a list beforehand.
import assert from "node:assert/strict"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Agent from "effect-agents/Agent"
import * as AgentTool from "effect-agents/AgentTool"
import * as AgentRun from "effect-agents/AgentRun"
import * as ContextProvider from "effect-agents/ContextProvider"
import * as DirectLanguageModel from "effect-agents/DirectLanguageModel"
import * as Session from "effect-agents/Session"
import * as SessionStore from "effect-agents/SessionStore"
import * as StopCondition from "effect-agents/StopCondition"
import { Cause, Effect, Fiber, Layer, ManagedRuntime, References, Schema, Stream } from "effect"
import { AiError, LanguageModel, Prompt, Tool, Toolkit } from "effect/ai"

const [curve, json = "{}"] = process.argv.slice(2)
const options = JSON.parse(json)

const gc = () => {
  for (let i = 0; i < 3; i++) globalThis.gc()
}
const median = (xs) => [...xs].sort((a, b) => a - b)[xs.length >> 1]

const finish = (reason) => ({ type: "finish", reason, usage: { inputTokens: { total: 10 }, outputTokens: { total: 5 } } })

const Tools = Toolkit.make(
  Tool.make("add", { parameters: Schema.Struct({ a: Schema.Number, b: Schema.Number }), success: Schema.String })
)

const provider = ContextProvider.make("hooks", {
  beforeRun: () => AgentRun.addFinalizer(() => Effect.void),
  afterRun: () => Effect.void
})

const agentOf = (extra) => Agent.make("bench", { providers: [provider], ...extra })

const runnerOf = async (pulls, ...layers) => {
  const model = DirectLanguageModel.make({
    generateText: () => Effect.die("not used"),
    streamText: (call) => Stream.fromPull(Effect.sync(() => pulls(call)))
  })
  const layer = Layer.mergeAll(
    Layer.effect(LanguageModel.LanguageModel, model),
    Tools.toLayer({ add: ({ a, b }) => Effect.succeed(String(a + b)) }),
    Layer.succeed(References.TracerEnabled, false),
    ...layers
  )
  return Effect.runPromiseWith(await ManagedRuntime.make(layer).context())
}

/** Pulls these arrays, then is done. */
const arrays = (...parts) => {
  let next = 0
  return Effect.suspend(() => next < parts.length ? Effect.succeed(parts[next++]) : Cause.done())
}

const hello = () =>
  arrays([
    { type: "text-start", id: "t" },
    { type: "text-delta", id: "t", delta: "hello" },
    { type: "text-end", id: "t" },
    finish("stop")
  ])

const timed = async (times, body) => {
  const ms = []
  for (let i = 0; i < times; i++) {
    const start = performance.now()
    await body()
    ms.push(performance.now() - start)
  }
  return median(ms)
}

const curves = {
  // µs of a step, in runs of so many steps with one tool call each
  async steps() {
    const rows = []
    for (const steps of [10, 100, 1_000]) {
      const run = await runnerOf(({ prompt }) => {
        const index = (prompt.content.length - 1) / 2
        return index < steps
          ? arrays([
            { type: "tool-call", id: `call-${index}`, name: "add", params: { a: index, b: 1 } },
            finish("tool-calls")
          ])
          : hello()
      })
      const agent = agentOf({ toolkit: Tools, stopWhen: [StopCondition.stepCount(steps + 1)] })
      const body = async () => {
        const result = await run(Agent.run(agent, { prompt: "go" }))
        assert.equal(result.steps.length, steps + 1)
        assert.equal(result.usage.inputTokens.total, 10 * (steps + 1))
      }
      await timed(Math.ceil(options.steps / steps), body)
      rows.push({ steps, us: await timed(Math.ceil(options.steps / steps), body) * 1e3 / steps })
    }
    return rows
  },

  // µs of work of a call, warm, in runs of ten calls: what the same run costs without calls is taken off. A program is
  // compared with one that repeats nothing, because `Effect.repeat` works and yields between two calls; a model with a
  // program that does nothing at all.
  async program() {
    const calls = 10
    const member = Agent.make("member")
    const members = AgentTool.toolkit({ member })
    const program = (toolkit, make) => Agent.program("bench", { toolkit, providers: [provider], run: make })
    const tenTimes = (call) => Effect.repeat(call, { times: calls - 1 })
    const lead = (toolkit) =>
      agentOf({ toolkit, stopWhen: [StopCondition.stepCount(calls + 1)] })
    const run = await runnerOf(({ prompt }) => {
      const index = (prompt.content.length - 1) / 2
      const isLead = prompt.content[0].content[0].text.startsWith("lead")
      const [name, params] = prompt.content[0].content[0].text === "lead add" ? ["add", { a: index, b: 1 }] : ["member", {
        prompt: "hello"
      }]
      return isLead && index < calls
        ? arrays([{ type: "tool-call", id: `call-${index}`, name, params }, finish("tool-calls")])
        : hello()
    })
    const cases = [
      ["a tool, by a program", program(Tools, (_, call) => tenTimes(call.add({ a: 1, b: 1 }))), "go"],
      ["a tool, by a model", lead(Tools), "lead add"],
      ["an agent, by a program", program(members, (_, call) => tenTimes(call.member({ prompt: "hello" }))), "go"],
      ["an agent, by a model", lead(members), "lead member"]
    ]
    const nothing = program(Tools, () => Effect.void)
    const loop = program(Tools, () => tenTimes(Effect.void))
    const cpu = async (agent, prompt) => {
      const us = []
      for (let round = 0; round < 20; round++) {
        const before = process.threadCpuUsage()
        const runs = Math.ceil(options.runs / 20)
        for (let i = 0; i < runs; i++) await run(Agent.run(agent, { prompt }))
        const { system, user } = process.threadCpuUsage(before)
        if (round >= 10) us.push((system + user) / runs)
      }
      return median(us)
    }
    const ofNothing = await cpu(nothing, "go")
    const ofLoop = await cpu(loop, "go")
    const rows = []
    for (const [call, agent, prompt] of cases) {
      const result = await run(Agent.run(agent, { prompt }))
      assert.equal(result.steps.length, calls + 1)
      const base = prompt === "go" ? ofLoop : ofNothing
      rows.push({ call, us: (await cpu(agent, prompt) - base) / calls })
    }
    return rows
  },

  // µs of a delta, and the bytes a run holds for each when it has seen them all, for a consumer that keeps nothing
  async deltas() {
    const rows = []
    for (const size of [1, 64]) {
      for (const count of [10_000, 100_000, 1_000_000]) {
        let atEnd
        const run = await runnerOf(() => {
          let sent = -1
          return Effect.suspend(() => {
            if (sent === -1) {
              sent = 0
              return Effect.succeed([{ type: "text-start", id: "t" }])
            }
            if (sent < count) {
              const parts = []
              // strings of their own, as a parser makes them
              for (let i = 0; i < size && sent < count; i++, sent++) {
                parts.push({ type: "text-delta", id: "t", delta: "t".concat(sent % 900 + 100) })
              }
              return Effect.succeed(parts)
            }
            if (sent === count) {
              sent++
              atEnd?.()
              return Effect.succeed([{ type: "text-end", id: "t" }, finish("stop")])
            }
            return Cause.done()
          })
        })
        const agent = agentOf()
        const body = () =>
          run(Effect.suspend(() => {
            let seen = 0
            return Effect.map(
              Stream.runForEachArray(Agent.stream(agent, { prompt: "go" }), (parts) => {
                for (const part of parts) if (part.type === "text-delta") seen++
                return Effect.void
              }),
              () => assert.equal(seen, count)
            )
          }))
        const times = Math.max(1, Math.ceil(options.deltas / count))
        await timed(times, body)
        const us = await timed(times, body) * 1e3 / count
        gc()
        const before = process.memoryUsage().heapUsed
        let held = 0
        atEnd = () => {
          gc()
          held = process.memoryUsage().heapUsed - before
        }
        await body()
        rows.push({ size, count, us, heldBytes: held / count, textBytes: 4 })
      }
    }
    return rows
  },

  // µs of a 10-step tool loop, when so many run at once
  async concurrent() {
    const run = await runnerOf(({ prompt }) => {
      const index = (prompt.content.length - 1) / 2
      return index < 10
        ? arrays([{ type: "tool-call", id: `call-${index}`, name: "add", params: { a: index, b: 1 } }, finish("tool-calls")])
        : hello()
    })
    const agent = agentOf({ toolkit: Tools })
    const rows = []
    for (const count of [1, 10, 100, 1_000]) {
      const body = async () => {
        const results = await run(Effect.all(Array.from({ length: count }, () => Agent.run(agent, { prompt: "go" })), {
          concurrency: "unbounded"
        }))
        for (const result of results) assert.equal(result.steps.length, 11)
      }
      const times = Math.ceil(options.runs / count)
      await timed(times, body)
      rows.push({ count, us: await timed(times, body) * 1e3 / count })
    }
    return rows
  },

  // ms to load a session of so many messages, and to append two to it and save
  async session() {
    const { SqliteSessionStore } = await import("effect-agents/sqlite")
    const folder = mkdtempSync(join(tmpdir(), "effect-agents-bench-"))
    const rows = []
    try {
      const layer = SqliteSessionStore.layerFile({ filename: join(folder, "sessions.db") })
      const run = Effect.runPromiseWith(await ManagedRuntime.make(layer).context())
      const pair = Prompt.make([
        { role: "user", content: "What is in the folder that this program was started in?" },
        { role: "assistant", content: "A package.json, a source folder, its tests, and a README that explains them." }
      ]).content
      await run(Effect.gen(function*() {
        const store = yield* SessionStore.SessionStore
        for (const messages of [10, 100, 1_000, 10_000]) {
          const append = Array.from({ length: messages / 2 }, () => pair).flat()
          let session = yield* store.save(Session.empty(`s-${messages}`), { append })
          const saves = []
          for (let i = 0; i < options.saves; i++) {
            const start = performance.now()
            session = yield* store.save(session, { append: pair })
            saves.push(performance.now() - start)
          }
          const start = performance.now()
          const loaded = yield* store.load(`s-${messages}`)
          const load = performance.now() - start
          assert.equal(loaded.history.content.length, messages + 2 * options.saves)
          rows.push({ messages, saveMs: median(saves), loadMs: load })
        }
      }))
    } finally {
      rmSync(folder, { recursive: true })
    }
    return rows
  },

  // bytes that a run leaves behind, on each way in which it can end
  async leak() {
    const deltas = [
      [{ type: "text-start", id: "t" }, { type: "text-delta", id: "t", delta: "one" }],
      [{ type: "text-delta", id: "t", delta: "two" }]
    ]
    const pulls = {
      Completed: hello,
      Failed: () => {
        const head = arrays(...deltas)
        return Effect.catchCause(head, () =>
          Effect.fail(AiError.make({
            module: "bench",
            method: "streamText",
            reason: new AiError.UnknownError({ description: "no" })
          })))
      },
      Interrupted: () => {
        const head = arrays(...deltas)
        return Effect.catchCause(head, () => Effect.never)
      },
      Abandoned: () => arrays(...deltas)
    }
    const rows = []
    for (const outcome of Object.keys(pulls)) {
      const run = await runnerOf(pulls[outcome])
      let seen
      const agent = Agent.make("bench", {
        providers: [ContextProvider.make("outcome", {
          beforeRun: () =>
            AgentRun.addFinalizer((exit) => Effect.sync(() => { seen = AgentRun.outcome(exit)._tag })),
          afterRun: () => Effect.void
        })]
      })
      const stream = Agent.stream(agent, { prompt: "go" })
      const consume = {
        Completed: Stream.runDrain(stream),
        Failed: Stream.runDrain(stream),
        Interrupted: Effect.gen(function*() {
          const fiber = yield* Effect.forkChild(Stream.runDrain(stream), { startImmediately: true })
          yield* Fiber.interrupt(fiber)
        }),
        Abandoned: Stream.runDrain(Stream.take(stream, 4))
      }[outcome]
      const body = async () => {
        seen = undefined
        await run(Effect.exit(consume))
        assert.equal(seen, outcome)
      }
      const warm = options.leak / 10
      for (let i = 0; i < warm; i++) await body()
      gc()
      const before = process.memoryUsage().heapUsed
      for (let i = 0; i < options.leak; i++) await body()
      gc()
      rows.push({ outcome, runs: options.leak, bytes: (process.memoryUsage().heapUsed - before) / options.leak })
    }
    return rows
  }
}

console.log(JSON.stringify(await curves[curve]()))
process.exit(0)
