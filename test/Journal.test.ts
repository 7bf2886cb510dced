import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Layer, Schema, Stream, Tracer } from "effect"
import { AiError, IdGenerator, LanguageModel, type Response, Tool, Toolkit } from "effect/ai"
import { TestClock } from "effect/testing"
import {
  Agent,
  AgentError,
  AgentRun,
  AgentTelemetry,
  AgentTool,
  Approval,
  Budget,
  Compaction,
  ContextProvider,
  DirectLanguageModel,
  Guardrail,
  Journal,
  Middleware,
  ModelFallback,
  SessionHistory,
  SessionStore,
  Steering,
  StopCondition,
  ToolLoop
} from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { collecting } from "./fixtures/spans.ts"
import { Boom, type Log, showExit } from "./utils.ts"

const { fail, hang, layer: script, step, text, toolCalls } = ScriptedModel

type Records = Map<string, string>

const withJournal = (records: Records, options?: Parameters<typeof Journal.layerMemory>[1]) =>
  Effect.provide(Journal.layerMemory(records, options))

const Pay = Tool.make("pay", {
  parameters: Schema.Struct({ n: Schema.Finite }),
  success: Schema.Struct({ at: Schema.Date })
})
const paying = Toolkit.make(Pay)

const tools = (log: Log) =>
  paying.toLayer({ pay: ({ n }) => Effect.sync(() => (log.push(`pay ${n}`), { at: new Date(n) })) })

const pay = (n: number, id = `c${n}`) => ({ id, name: "pay", params: { n } })

const payer = Agent.make("payer", { toolkit: paying })

/** Runs an agent twice over one journal; the second time there is nothing that it could call. */
const twice = <A, E, R>(run: Effect.Effect<A, E, R | Journal.Journal>, records: Records = new Map()) =>
  Effect.gen(function*() {
    const first = yield* Effect.exit(withJournal(records)(run))
    const second = yield* Effect.exit(withJournal(records)(run))
    return { first, second, names: [...records.keys()] }
  })

const reasonOf = (exit: Exit.Exit<unknown, unknown>): AgentError.AgentErrorReason | undefined => {
  const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
  return AgentError.isAgentError(error) ? error.reason : undefined
}

describe("Journal", () => {
  describe("step", () => {
    const dated = (log: Log) => Effect.sync(() => (log.push("ran"), new Date(5)))

    it.effect("is the effect where there is no journal", () =>
      Effect.gen(function*() {
        const log: Log = []
        const run = Journal.step("dated", { success: Schema.Date }, dated(log))
        yield* run
        assert.deepStrictEqual(yield* run, new Date(5))
        assert.deepStrictEqual(log, ["ran", "ran"])
      }))

    it.effect("runs once, and gives what it gave", () =>
      Effect.gen(function*() {
        const log: Log = []
        const { first, names, second } = yield* twice(Journal.step("a/b", { success: Schema.Date }, dated(log)))
        assert.deepStrictEqual([first, second], [Exit.succeed(new Date(5)), Exit.succeed(new Date(5))])
        assert.deepStrictEqual([log, names], [["ran"], ["a%2Fb"]])
      }))

    it.effect("numbers a name that is used again", () =>
      Effect.gen(function*() {
        const log: Log = []
        const one = Journal.step("one", { success: Schema.Date }, dated(log))
        const { names } = yield* twice(Effect.andThen(one, one))
        assert.deepStrictEqual([log, names], [["ran", "ran"], ["one", "one~2"]])
      }))

    it.effect("keeps a failure, and neither a defect nor an interruption", () =>
      Effect.gen(function*() {
        const log: Log = []
        const failing = <E>(effect: Effect.Effect<never, E>) =>
          Effect.suspend(() => {
            log.push("ran")
            return effect
          })
        const codecs = { success: Schema.Never, failure: Schema.Date }
        const failed = yield* twice(Journal.step("fails", codecs, failing(Effect.fail(new Date(1)))))
        assert.deepStrictEqual([failed.first, failed.second], [Exit.fail(new Date(1)), Exit.fail(new Date(1))])
        assert.strictEqual(log.length, 1)
        const died = yield* twice(Journal.step("dies", { success: Schema.Never }, failing(Effect.die("boom"))))
        assert.deepStrictEqual([died.second, died.names], [Exit.die("boom"), []])
        const left = yield* twice(Journal.step("leaves", { success: Schema.Never }, failing(Effect.interrupt)))
        assert.deepStrictEqual(left.names, [])
        assert.strictEqual(log.length, 5)
      }))

    it.effect("has a value that is nothing, and an optional key that is undefined", () =>
      Effect.gen(function*() {
        const nothing = yield* twice(Journal.step("nothing", { success: Schema.Void }, Effect.void))
        assert.deepStrictEqual(nothing.second, Exit.void)
        const optional = Schema.Struct({ a: Schema.optional(Schema.String), b: Schema.Unknown })
        const value = { a: undefined, b: [1, { c: null }] }
        const run = Journal.step("optional", { success: optional }, Effect.succeed(value))
        const { second } = yield* twice(run)
        assert.deepStrictEqual(second, Exit.succeed({ b: [1, { c: null }] }) as typeof second)
      }))

    it.effect("fails typed with a record that cannot be used, and so does everything after it", () =>
      Effect.gen(function*() {
        const log: Log = []
        const two = Effect.andThen(
          Effect.exit(Journal.step("one", { success: Schema.Date }, dated(log))),
          Journal.step("two", { success: Schema.Date }, dated(log))
        )
        for (const text of ["", "{", "null", `{"from":0,"to":0,"for":"step","value":{"success":7}}`]) {
          const exit = yield* Effect.exit(withJournal(new Map([["one", text]]))(two))
          const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
          assert.instanceOf(error, Journal.JournalError)
          assert.strictEqual(error.record, "one")
        }
        assert.deepStrictEqual(log, [])
        const unwritable = Journal.step("bad", { success: Schema.Unknown }, Effect.succeed({ f: () => 1, n: 1n }))
        const { first, names } = yield* twice(unwritable)
        assert.isTrue(Exit.isFailure(first))
        assert.deepStrictEqual(names, [])
      }))
  })

  describe("currentTimeMillis", () => {
    it.effect("is the clock, and in a journal the moment of the last record", () =>
      Effect.gen(function*() {
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* Journal.currentTimeMillis, 1000)
        const run = Effect.gen(function*() {
          const begun = yield* Journal.currentTimeMillis
          yield* TestClock.adjust("1 second")
          const same = yield* Journal.currentTimeMillis
          yield* Journal.step("work", { success: Schema.Void }, TestClock.adjust("3 seconds"))
          return [begun, same, yield* Journal.currentTimeMillis]
        })
        const { first, second } = yield* twice(run)
        assert.deepStrictEqual([first, second], [Exit.succeed([1000, 1000, 5000]), Exit.succeed([1000, 1000, 5000])])
      }))
  })

  describe("a run", () => {
    it.effect("names its records, those of nested runs below their call, and those of its segments apart", () =>
      Effect.gen(function*() {
        const log: Log = []
        const toolkit = AgentTool.toolkit(AgentTool.make(payer))
        const provider = ContextProvider.make("notes", {
          beforeRun: () => Effect.succeed({}),
          afterRun: () => Effect.void
        })
        const agent = Agent.make("main", { toolkit, providers: [SessionHistory.provider, provider] })
        const ask = (n: number) => toolCalls({ id: "d/1", name: "payer", params: { prompt: `pay ${n}` } })
        const model = script([ask(1), toolCalls(pay(1)), text("leaf"), text("one"), ask(2), text("leaf"), text("two")])
        const run = (prompt: string) => Agent.run(agent, { prompt, session: "s" })
        const { first, names, second } = yield* twice(
          Effect.all([run("first"), run("second")]).pipe(
            Effect.provide([model, tools(log), SessionStore.layerMemory])
          )
        )
        assert(Exit.isSuccess(first))
        assert.deepStrictEqual(second, first)
        assert.deepStrictEqual(first.value.map(({ text }) => text), ["one", "two"])
        assert.deepStrictEqual(log, ["pay 1"])
        assert.deepStrictEqual(names, [
          "session/load/0",
          "model/0",
          "tool/0/d%2F1/payer/model/0",
          "tool/0/d%2F1/payer/tool/0/c1",
          "tool/0/d%2F1/payer/model/1",
          "model/1",
          "afterRun/notes",
          "session/save/0",
          "afterRun/session-history",
          "r1/session/load/0",
          "r1/model/0",
          "r1/tool/0/d%2F1/payer/model/0",
          "r1/model/1",
          "r1/afterRun/notes",
          "r1/session/save/0",
          "r1/afterRun/session-history"
        ])
      }))

    it.effect("has the parts of its first time, deltas one by one, without the preliminary results", () =>
      Effect.gen(function*() {
        const records: Records = new Map()
        const parts = (model: ReadonlyArray<ScriptedModel.Step>) =>
          Stream.runCollect(Agent.stream(payer, { prompt: "Pay" })).pipe(
            Effect.provide([script(model), tools([])]),
            withJournal(records)
          )
        const first = yield* parts([step(text(["I ", "pay"]), toolCalls(pay(1))), text(["done", "!"])])
        assert.deepStrictEqual(yield* parts([]), first)
      }))

    it.effect("has ids that are the same each time", () =>
      Effect.gen(function*() {
        const named = Tool.make("named", { success: Schema.String })
        const toolkit = Toolkit.make(named)
        const ids: Array<string> = []
        const layer = toolkit.toLayer({
          named: () =>
            Effect.gen(function*() {
              const { generateId } = yield* IdGenerator.IdGenerator
              ids.push(yield* generateId())
              return yield* Effect.interrupt
              // a run in a journal has one
            }) as Effect.Effect<never>
        })
        const agent = Agent.make("agent", { toolkit })
        const run = Agent.run(agent, { prompt: "hi" }).pipe(
          Effect.provide([layer, Layer.succeed(IdGenerator.IdGenerator)(IdGenerator.defaultIdGenerator)])
        )
        const once = (records: Records) =>
          run.pipe(
            Effect.provide(script([toolCalls({ id: "c", name: "named", params: {} }), text("done")])),
            withJournal(records)
          )
        const first = yield* once(new Map())
        const second = yield* once(new Map())
        assert.strictEqual(second.runId, first.runId)
        assert.strictEqual(ids[0], ids[1])
        assert.notStrictEqual(ids[0], first.runId)
      }))

    it.effect("fails with `InvalidRecord` when a record of a model, a tool or a session cannot be used", () =>
      Effect.gen(function*() {
        const log: Log = []
        const nested = AgentTool.make(payer, { failureMode: "return" })
        const agent = Agent.make("main", {
          toolkit: AgentTool.toolkit(nested),
          providers: [SessionHistory.provider]
        })
        const records: Records = new Map()
        const run = (records: Records, model: ReadonlyArray<ScriptedModel.Step>) =>
          Agent.run(agent, { prompt: "hi", session: "s" }).pipe(
            Effect.provide([script(model), tools(log), SessionStore.layerMemory]),
            withJournal(records),
            Effect.exit
          )
        const call = toolCalls({ id: "d", name: "payer", params: { prompt: "pay" } })
        yield* run(records, [call, toolCalls(pay(1)), text("leaf"), text("main")])
        assert.deepStrictEqual(log, ["pay 1"])
        for (const [name, text] of records) {
          const torn = [
            text.slice(0, -3),
            text.replace(/"for":"[^"]*"/, `"for":"something else"`),
            text.replace(/"value":.*/, `"value":{"success":{"id":7}}}`)
          ]
          for (const each of torn) {
            const copy = new Map([...records, [name, each]])
            // it is asked for when its `afterRun` is not known to have ended
            if (name === "session/save/0") copy.delete("afterRun/session-history")
            const exit = yield* run(copy, [])
            const reason = reasonOf(exit)
            assert(reason?._tag === "InvalidRecord", `${name} ${showExit(exit)}`)
            assert.strictEqual(reason.record, name)
          }
        }
        assert.deepStrictEqual(log, ["pay 1"])
      }))
  })

  describe("a tool call", () => {
    const kinds = {
      failing: Tool.make("failing", { failure: Schema.Struct({ _tag: Schema.tag("No"), at: Schema.Date }) }),
      returning: Tool.make("returning", { failure: Schema.Struct({ at: Schema.Date }), failureMode: "return" }),
      interrupting: Tool.make("interrupting"),
      slow: Tool.make("slow").annotate(ToolLoop.ToolTimeout, "5 seconds")
    }
    const toolkit = Toolkit.make(kinds.failing, kinds.returning, kinds.interrupting, kinds.slow)
    const call = (name: string) => ({ id: name, name, params: {} })

    const run = (log: Log, calls: ReadonlyArray<string>) => {
      const did = <A>(name: string, value: A): A => {
        log.push(name)
        return value
      }
      const layer = toolkit.toLayer({
        failing: () => Effect.suspend(() => Effect.fail(did("failing", { _tag: "No" as const, at: new Date(3) }))),
        returning: () => Effect.suspend(() => Effect.fail(did("returning", { at: new Date(4) }))),
        interrupting: () => Effect.suspend(() => did("interrupting", Effect.interrupt)),
        slow: () => Effect.suspend(() => did("slow", Effect.never))
      })
      return Agent.run(Agent.make("agent", { toolkit }), { prompt: "hi" }).pipe(
        Effect.provide([script([toolCalls(...calls.map(call)), text("done")]), layer])
      )
    }

    it.effect("keeps a failure for the model, an interruption of itself, and that it took too long", () =>
      Effect.gen(function*() {
        const log: Log = []
        const fiber = yield* Effect.forkChild(twice(run(log, ["returning", "interrupting", "slow"])))
        yield* TestClock.adjust("5 seconds")
        const { first, second } = yield* Fiber.join(fiber)
        assert(Exit.isSuccess(first))
        assert.deepStrictEqual(second, first)
        assert.strictEqual(first.value.text, "done")
        assert.deepStrictEqual(log, ["returning", "interrupting", "slow"])
      }))

    it.effect("keeps a typed failure of the run", () =>
      Effect.gen(function*() {
        const log: Log = []
        const { first, second } = yield* twice(run(log, ["failing"]))
        assert(Exit.isFailure(first) && Exit.isFailure(second))
        const expected = { _tag: "No", at: new Date(3) }
        assert.deepStrictEqual(
          [Cause.squash(first.cause), Cause.squash(second.cause)] as Array<unknown>,
          [expected, expected]
        )
        assert.deepStrictEqual(log, ["failing"])
      }))

    it.effect("asks for its approval once, in a segment of its own it is answered", () =>
      Effect.gen(function*() {
        const log: Log = []
        const asking = Toolkit.make(Tool.make("pay", {
          parameters: Schema.Struct({ n: Schema.Finite }),
          success: Schema.Struct({ at: Schema.Date }),
          needsApproval: () => {
            log.push("asked")
            return true
          }
        }))
        const leaf = Agent.make("leaf", { toolkit: asking })
        const agent = Agent.make("main", { toolkit: AgentTool.toolkit(AgentTool.make(leaf)) })
        const layer = asking.toLayer({ pay: ({ n }) => Effect.sync(() => (log.push(`pay ${n}`), { at: new Date(n) })) })
        const run = Effect.gen(function*() {
          const waiting = yield* Agent.run(agent, { prompt: "Pay" })
          const answers = waiting.approvals.map((approval) => Approval.approve(approval))
          return [waiting, yield* Agent.resume(agent, { result: waiting }, answers)] as const
        }).pipe(Effect.provide([
          script([
            toolCalls({ id: "d", name: "leaf", params: { prompt: "pay" } }),
            toolCalls(pay(1)),
            text("leaf"),
            text("main")
          ]),
          layer
        ]))
        const { first, names, second } = yield* twice(run)
        assert(Exit.isSuccess(first))
        assert.deepStrictEqual(second, first)
        assert.strictEqual(first.value[1].text, "main")
        assert.deepStrictEqual(log, ["asked", "pay 1"])
        assert.deepStrictEqual(names, [
          "model/0",
          "tool/0/d/leaf/model/0",
          "tool/0/d/leaf/tool/0/c1",
          "r1/tool/0/d/leaf/tool/0/c1",
          "r1/tool/0/d/leaf/model/1",
          "r1/model/1"
        ])
      }))
  })

  describe("an `afterRun`", () => {
    const agent = (log: Log, afterRun: Effect.Effect<void, unknown>, kind: "critical" | "best-effort" = "critical") => {
      const provider = ContextProvider.make("after", {
        beforeRun: () => Effect.succeed({}),
        afterRun: () => Effect.andThen(Effect.sync(() => log.push("after")), afterRun)
      })
      return Agent.make("agent", { providers: [kind === "critical" ? provider : ContextProvider.bestEffort(provider)] })
    }
    const run = (agent: Agent.Agent<any, unknown, LanguageModel.LanguageModel>) =>
      Effect.provide(Agent.run(agent, { prompt: "hi" }), script([text("done")]))

    it.effect("runs once, also when it fails", () =>
      Effect.gen(function*() {
        const log: Log = []
        const { first, second } = yield* twice(run(agent(log, Effect.fail(new Boom({ of: "after" })))))
        assert.deepStrictEqual([reasonOf(first)?._tag, reasonOf(second)?._tag], ["AfterRunFailed", "AfterRunFailed"])
        assert.strictEqual(showExit(second), showExit(first))
        const lenient = yield* twice(run(agent(log, Effect.fail(new Boom({ of: "after" })), "best-effort")))
        assert.deepStrictEqual(lenient.second, lenient.first)
        assert.isTrue(Exit.isSuccess(lenient.first))
        assert.deepStrictEqual(log, ["after", "after"])
      }))

    it.effect("overruns its budget once", () =>
      Effect.gen(function*() {
        const log: Log = []
        const fiber = yield* Effect.forkChild(twice(run(agent(log, Effect.never))))
        yield* TestClock.adjust("10 seconds")
        const { first, second } = yield* Fiber.join(fiber)
        assert.deepStrictEqual([reasonOf(first)?._tag, reasonOf(second)?._tag], ["AfterRunFailed", "AfterRunFailed"])
        assert.deepStrictEqual(log, ["after"])
      }))
  })

  describe("a model call", () => {
    it.effect("that fails is made again by who tries again, each time once", () =>
      Effect.gen(function*() {
        const records: Records = new Map()
        const agent = Agent.make("agent", { middleware: [ModelFallback.retry(ModelFallback.backoff())] })
        const overloaded = fail(new AiError.RateLimitError({}))
        const run = (model: ReadonlyArray<ScriptedModel.Step>) =>
          Agent.run(agent, { prompt: "hi" }).pipe(Effect.provide(script(model)), withJournal(records), Effect.forkChild)
        const first = yield* run([step(overloaded), step(overloaded), text("done")])
        yield* TestClock.adjust("10 seconds")
        const second = yield* run([])
        yield* TestClock.adjust("10 seconds")
        assert.deepStrictEqual(yield* Fiber.join(second), yield* Fiber.join(first))
        assert.deepStrictEqual([...records.keys()], ["model/0", "model/0~2", "model/0~3"])
      }))

    it.effect("that a middleware leaves is left again, and not made again", () =>
      Effect.gen(function*() {
        const records: Records = new Map()
        const impatient = Middleware.make("impatient", {
          model: (request, next) => {
            if (request.finalAnswer !== undefined) return next(request)
            const first = next(request).pipe(Stream.takeUntil((part) => part.type === "text-delta"))
            return Stream.concat(
              Stream.drain(first),
              Stream.suspend(() => next(request))
            )
          }
        })
        const agent = Agent.make("agent", { toolkit: paying, middleware: [impatient] })
        const run = (model: ReadonlyArray<ScriptedModel.Step>) =>
          Agent.run(agent, { prompt: "hi" }).pipe(Effect.provide([script(model), tools([])]), withJournal(records))
        const first = yield* run([
          step(text(["he", "llo"]), hang),
          toolCalls(pay(1)),
          step(text("x"), hang),
          text("done")
        ])
        assert.strictEqual(first.text, "done")
        assert.deepStrictEqual([...records.keys()], ["model/0", "model/0~2", "tool/0/c1", "model/1", "model/1~2"])
        assert.deepStrictEqual(yield* run([]), first)
      }))

    it.effect("gives from its record all that a provider has said", () =>
      Effect.gen(function*() {
        const records: Records = new Map()
        const search = Tool.make("search", {
          parameters: Schema.Struct({ q: Schema.String }),
          success: Schema.Struct({ at: Schema.FiniteFromString }),
          failure: Schema.Struct({ until: Schema.FiniteFromString }),
          failureMode: "return"
        })
        const toolkit = Toolkit.make(search)
        const agent = Agent.make("agent", { toolkit })
        const call = (id: string) =>
          ({ type: "tool-call", id, name: "search", params: { q: "x" }, providerExecuted: true }) as const
        const result = (id: string, result: unknown, isFailure: boolean) =>
          ({ type: "tool-result", id, name: "search", result, isFailure, providerExecuted: true }) as const
        const said: ReadonlyArray<Response.StreamPartEncoded> = [
          { type: "response-metadata", id: "r", modelId: "m", timestamp: "2026-01-01T00:00:00.000Z" },
          { type: "reasoning-start", id: "r", metadata: { test: { signature: "s" } } },
          { type: "reasoning-delta", id: "r", delta: "hm" },
          { type: "reasoning-delta", id: "r", delta: "", metadata: { test: { signature: "t" } } },
          { type: "reasoning-end", id: "r" },
          call("s1"),
          result("s1", { at: "5" }, false),
          call("s2"),
          result("s2", { until: "6" }, true),
          { type: "source", sourceType: "url", id: "u", url: "https://example.com/a", title: "A" },
          { type: "file", mediaType: "image/png", data: "AAEC" },
          { type: "text-start", id: "t" },
          { type: "text-delta", id: "t", delta: "do" },
          { type: "text-delta", id: "t", delta: "ne" },
          { type: "text-end", id: "t" },
          { type: "finish", reason: "stop", usage: { inputTokens: { total: 3 }, outputTokens: { total: 2 } } }
        ]
        const model = (parts: ReadonlyArray<Response.StreamPartEncoded>) =>
          DirectLanguageModel.make({
            generateText: () => Effect.die("unused"),
            streamText: () => Stream.fromArray(parts)
          })
        const run = (parts: ReadonlyArray<Response.StreamPartEncoded>) =>
          Stream.runCollect(Agent.stream(agent, { prompt: "hi" })).pipe(
            Effect.provideServiceEffect(LanguageModel.LanguageModel, model(parts)),
            Effect.provide(toolkit.toLayer({ search: () => Effect.die("the provider runs it") })),
            withJournal(records)
          )
        const first = yield* run(said)
        assert.deepStrictEqual(
          first.flatMap((part) => part.type === "tool-result" ? [part.result] : []) as ReadonlyArray<unknown>,
          [{ at: 5 }, { until: 6 }]
        )
        assert.deepStrictEqual(yield* run([]), first)
      }))

    it.effect("beside the run is recorded by what it asks", () =>
      Effect.gen(function*() {
        const records: Records = new Map()
        const compaction = Compaction.make({ maxTokens: 60, strategies: [Compaction.summarise()] })
        const judge = Guardrail.inputBefore("judge", () =>
          Effect.map(
            LanguageModel.generateObject({ prompt: "Is it fine?", schema: Schema.Struct({ fine: Schema.Boolean }) }),
            ({ value }) => value.fine ? Guardrail.pass : Guardrail.trip()
          ))
        const agent = Agent.make("agent", { providers: [compaction], middleware: [judge] })
        const history = Array.from({ length: 6 }, (_, index) => [
          { role: "user" as const, content: `A long question with the number ${index} and many words` },
          { role: "assistant" as const, content: [{ type: "text" as const, text: `An answer to ${index}` }] }
        ]).flat()
        const run = (model: ReadonlyArray<ScriptedModel.Step>) =>
          Agent.run(agent, { prompt: [...history, { role: "user", content: "And now?" }] }).pipe(
            Effect.provide(script(model)),
            withJournal(records)
          )
        const first = yield* run([text(`{"fine":true}`), ...Array.from({ length: 5 }, () => text("a summary"))])
        assert.deepStrictEqual(yield* run([]), first)
        const names = [...records.keys()]
        assert.isTrue(names.slice(0, -1).every((name) => name.startsWith("aux/")), String(names))
        assert.isAtLeast(names.length, 3)
        assert.strictEqual(names.at(-1), "model/0")
      }))
  })

  describe("what comes from outside", () => {
    it.effect("messages and a stop are told again where they were told", () =>
      Effect.gen(function*() {
        const records: Records = new Map()
        const run = Effect.fnUntraced(function*(model: ReadonlyArray<ScriptedModel.Step>, message: string | undefined) {
          const steering = yield* Steering.make
          const layer = paying.toLayer({
            pay: ({ n }) => Effect.as(n === 1 && message ? steering.send(message) : steering.stop, { at: new Date(n) })
          })
          return yield* Agent.run(payer, { prompt: "hi", steering }).pipe(
            Effect.provide([script(model), layer]),
            withJournal(records)
          )
        })
        const first = yield* run([toolCalls(pay(1)), text("one"), toolCalls(pay(2)), text("never")], "wait")
        assert.strictEqual(first.stopReason, "stop")
        const user = first.transcript.content.filter(({ role }) => role === "user")
        assert.strictEqual(user.length, 2)
        assert.deepStrictEqual(yield* run([], undefined), first)
      }))

    it.effect("time counts as it was recorded", () =>
      Effect.gen(function*() {
        const records: Records = new Map()
        const agent = Agent.make("agent", { toolkit: paying, stopWhen: [StopCondition.duration("10 seconds")] })
        const slow = paying.toLayer({ pay: ({ n }) => Effect.as(Effect.sleep("20 seconds"), { at: new Date(n) }) })
        const run = (model: ReadonlyArray<ScriptedModel.Step>) =>
          Agent.run(agent, { prompt: "hi" }).pipe(
            Effect.provide([script(model), slow]),
            withJournal(records),
            Effect.forkChild
          )
        const first = yield* run([toolCalls(pay(1)), text("in short")])
        yield* TestClock.adjust("1 minute")
        const second = yield* run([])
        assert.deepStrictEqual(yield* Fiber.join(second), yield* Fiber.join(first))
        assert.strictEqual((yield* Fiber.join(first)).stopReason, "duration-limit")
      }))
  })

  describe("a run of a program", () => {
    const run = (
      log: Log,
      model: ReadonlyArray<ScriptedModel.Step>,
      end: Effect.Effect<number, Boom> = Effect.succeed(7)
    ) => {
      const agent = Agent.program("payments", {
        toolkit: AgentTool.toolkit(AgentTool.make(payer), AgentTool.make(Agent.make("leaf"))),
        run: ({ prompt }, call) =>
          Effect.gen(function*() {
            const paid = yield* Effect.all([call.payer({ prompt: "1" }), call.payer({ prompt: "2" })])
            yield* Journal.step("noted", { success: Schema.Void }, Effect.sync(() => log.push("noted")))
            yield* call.leaf({ prompt: `${prompt} ${paid.join()}` })
            return yield* end
          })
      })
      return Agent.run(agent, { prompt: "Pay" }).pipe(Effect.provide([script(model), tools(log)]))
    }

    const steps = [toolCalls(pay(1)), text("one"), toolCalls(pay(2)), text("two"), text("leaf")]

    it.effect("does only what no record has, wherever it was cut", () =>
      Effect.gen(function*() {
        const log: Log = []
        const whole: Records = new Map()
        const first = yield* withJournal(whole)(run(log, steps))
        assert.deepStrictEqual(log, ["pay 1", "pay 2", "noted"])
        assert.deepStrictEqual(yield* withJournal(whole)(run(log, [])), first)
        assert.strictEqual(log.length, 3)
        const names = [...whole.keys()]
        for (let length = 0; length < names.length; length++) {
          const records = new Map([...whole].slice(0, length))
          const done: Log = []
          const models = names.slice(0, length).filter((name) => name.includes("model")).length
          assert.deepStrictEqual(yield* withJournal(records)(run(done, steps.slice(models))), first, names[length])
          assert.deepStrictEqual([...records.keys()], names)
          const begun = names.slice(0, length).filter((name) =>
            name === "noted" || name.endsWith("/c1") || name.endsWith("/c2")
          )
          assert.deepStrictEqual(done, log.slice(begun.length), names[length])
        }
      }))

    it.effect("fails again as it has failed, and keeps nothing of what was in flight", () =>
      Effect.gen(function*() {
        const log: Log = []
        const failed = yield* twice(run(log, steps, Effect.fail(new Boom({ of: "program" }))))
        assert.isTrue(Exit.isFailure(failed.first))
        assert.strictEqual(showExit(failed.second), showExit(failed.first))
        const records: Records = new Map()
        const hanging = run([], [...steps.slice(0, 2), hang])
        const cut = yield* Effect.forkChild(Effect.timeoutOption(withJournal(records)(hanging), "1 second"))
        yield* Effect.forEach(Array.from({ length: 500 }), () => Effect.yieldNow, { discard: true })
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(cut)
        const done: Log = []
        assert.strictEqual((yield* withJournal(records)(run(done, steps.slice(2)))).value, 7)
        assert.deepStrictEqual(done, ["pay 2", "noted"])
      }))
  })

  describe("the time of a budget", () => {
    const budgets = [Budget.make({ wallTime: "10 seconds" }), Budget.orFail(Budget.make({ wallTime: "10 seconds" }))]
    it.effect.each(budgets)(
      "is that of the records, and not that in which nobody worked",
      (budget) =>
        Effect.gen(function*() {
          const records: Records = new Map()
          const agent = Agent.make("agent", { toolkit: paying, middleware: [Budget.middleware(budget)] })
          const slow = paying.toLayer({ pay: ({ n }) => Effect.as(Effect.sleep(`${n} seconds`), { at: new Date(n) }) })
          const run = (model: ReadonlyArray<ScriptedModel.Step>, limit: number) =>
            Agent.run(agent, { prompt: "hi" }).pipe(
              Effect.provide([script(model), slow]),
              withJournal(records),
              Effect.timeoutOption(`${limit} seconds`),
              Effect.exit,
              Effect.forkChild
            )
          const cut = yield* run([toolCalls(pay(6)), step(text("half"), hang)], 7)
          yield* TestClock.adjust("7 seconds")
          yield* Fiber.join(cut)
          // a day later
          yield* TestClock.adjust("1 day")
          const second = yield* run([toolCalls(pay(1)), toolCalls(pay(5)), text("in short")], 60)
          yield* Effect.forEach(Array.from({ length: 15 }), () => TestClock.adjust("1 second"), { discard: true })
          const end = yield* Fiber.join(second)
          assert.strictEqual([...records.keys()].filter((name) => name.startsWith("tool/")).length, 3)
          // it fails at the end of its time, or answers after the call that was in flight
          if (budget.atLimit === "fail") {
            const error = Exit.isFailure(end) ? Cause.squash(end.cause) : undefined
            assert.deepStrictEqual(
              error,
              new Budget.BudgetExceeded({ budget: "budget", resource: "wall-time", limit: 10_000, used: 10_000 })
            )
          } else {
            assert(Exit.isSuccess(end) && end.value._tag === "Some")
            assert.deepStrictEqual([end.value.value.text, end.value.value.stopReason], ["in short", "budget-wall-time"])
            // and so it does from its records
            yield* TestClock.adjust("1 day")
            const replayed = yield* run([], 60)
            assert.deepStrictEqual(yield* Fiber.join(replayed), end)
          }
        })
    )

    it.effect("begins anew with a run that goes on after an approval", () =>
      Effect.gen(function*() {
        const asking = Toolkit.make(Tool.make("sign", { needsApproval: true }))
        const agent = Agent.make("agent", {
          toolkit: asking,
          stopWhen: [StopCondition.duration("10 seconds")],
          middleware: [Budget.middleware(Budget.make({ wallTime: "10 seconds" }))]
        })
        const run = Effect.gen(function*() {
          const waiting = yield* Agent.run(agent, { prompt: "hi" })
          yield* TestClock.adjust("1 day")
          return yield* Agent.resume(
            agent,
            { result: waiting },
            waiting.approvals.map((each) => Approval.approve(each))
          )
        }).pipe(Effect.provide([
          script([toolCalls({ id: "c", name: "sign", params: {} }), text("signed")]),
          asking.toLayer({ sign: () => Effect.void })
        ]))
        const { first, second } = yield* twice(run)
        assert(Exit.isSuccess(first))
        assert.deepStrictEqual([first.value.text, first.value.stopReason], ["signed", "stop"])
        assert.deepStrictEqual(second, first)
      }))
  })

  describe("telemetry", () => {
    it.effect("has the spans of what is done, and none of what is read from records", () =>
      Effect.gen(function*() {
        const records: Records = new Map()
        const agent = Agent.make("main", { toolkit: AgentTool.toolkit(AgentTool.make(payer)) })
        const run = Effect.fnUntraced(function*(model: ReadonlyArray<ScriptedModel.Step>) {
          const { spans, tracer } = collecting()
          yield* Agent.run(agent, { prompt: "hi" }).pipe(
            Effect.provide([script(model), tools([]), AgentTelemetry.layer()]),
            Effect.provideService(Tracer.Tracer, tracer),
            withJournal(records),
            Effect.timeoutOption("1 second"),
            Effect.forkChild,
            Effect.tap(() => Effect.forEach(Array.from({ length: 500 }), () => Effect.yieldNow, { discard: true })),
            Effect.tap(() => TestClock.adjust("1 second")),
            Effect.flatMap(Fiber.join)
          )
          assert.deepStrictEqual(spans.filter(({ status }) => status._tag !== "Ended"), [])
          const nameOf = (span: Tracer.Span): string =>
            span.parent._tag === "Some" && span.parent.value._tag === "Span"
              ? `${nameOf(span.parent.value)} > ${span.name}`
              : span.name
          return spans.map(nameOf).toSorted()
        })
        const call = toolCalls({ id: "d", name: "payer", params: { prompt: "pay" } })
        const leaf = "invoke_agent main > execute_tool payer > invoke_agent payer"
        assert.deepStrictEqual(yield* run([call, toolCalls(pay(1)), step(text("le"), hang)]), [
          "invoke_agent main",
          "invoke_agent main > chat",
          "invoke_agent main > execute_tool payer",
          leaf,
          `${leaf} > chat`,
          `${leaf} > chat`,
          `${leaf} > execute_tool pay`
        ])
        assert.deepStrictEqual(yield* run([text("leaf"), text("done")]), [
          "invoke_agent main",
          "invoke_agent main > chat",
          "invoke_agent main > execute_tool payer",
          leaf,
          `${leaf} > chat`
        ])
        assert.deepStrictEqual(yield* run([]), [])
      }))
  })

  describe("AgentRun.isSuspended", () => {
    const ends = Effect.fnUntraced(function*(isSuspended: boolean, leave: "interrupt" | "take" | "die") {
      const seen: Array<string> = []
      const provider = ContextProvider.make("watch", {
        beforeRun: () =>
          Effect.as(
            AgentRun.addFinalizer((exit) =>
              Effect.sync(() => {
                seen.push(`${AgentRun.outcome(exit)._tag} ${AgentRun.isSuspended(exit)}`)
              })
            ),
            {}
          )
      })
      const agent = Agent.make("agent", { providers: [provider, SessionHistory.make({ keep: "always" })] })
      const begun = yield* Deferred.make<void>()
      const stream = Agent.stream(agent, { prompt: "hi", session: "s" })
      const consumed = Stream.runForEach(
        leave === "take" ? Stream.take(stream, 3) : stream,
        (part) =>
          part.type !== "text-delta"
            ? Effect.void
            : leave === "die"
            ? Effect.die("consumer")
            : Effect.andThen(Deferred.succeed(begun, undefined), Effect.never)
      )
      const store = yield* SessionStore.SessionStore
      const fiber = yield* consumed.pipe(
        Effect.provide(script([step(text("half"), hang)])),
        withJournal(new Map(), { isSuspended: () => isSuspended }),
        Effect.forkChild
      )
      if (leave === "interrupt") yield* Effect.andThen(Deferred.await(begun), Fiber.interrupt(fiber))
      else yield* Fiber.await(fiber)
      const { history } = yield* store.load("s")
      return [...seen, history.content.length]
    }, Effect.provide(SessionStore.layerMemory))

    it.effect("tells a finalizer that the run goes on elsewhere, and its session waits for that", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* ends(false, "interrupt"), ["Interrupted false", 2])
        assert.deepStrictEqual(yield* ends(true, "interrupt"), ["Interrupted true", 1])
        assert.deepStrictEqual(yield* ends(false, "take"), ["Abandoned false", 2])
        assert.deepStrictEqual(yield* ends(true, "take"), ["Interrupted true", 1])
        assert.deepStrictEqual(yield* ends(false, "die"), ["Abandoned false", 2])
        assert.deepStrictEqual(yield* ends(true, "die"), ["Interrupted true", 1])
      }))
  })
})
