import { assert, describe, it } from "@effect/vitest"
import { Context, Cron, Deferred, Duration, Effect, Exit, Fiber, Layer, Schema, Stream } from "effect"
import { AiError, Tool, Toolkit } from "effect/ai"
import { TestClock } from "effect/testing"
import { Agent, AgentRun, AgentTool, Budget, BudgetAccount, BudgetStore, ContextProvider } from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { showExit } from "./utils.ts"

const { delay, fail, finish, hang, layer: script, model: namedScript, step, text, toolCalls, usage } = ScriptedModel

const Note = Tool.make("note", { success: Schema.String })
const Exact = Tool.make("exact", { parameters: Schema.Struct({ a: Schema.Int }), success: Schema.String })
const toolkit = Toolkit.make(Note, Exact)
const handlers = toolkit.toLayer({ note: () => Effect.succeed("noted"), exact: () => Effect.succeed("exactly") })
const note = { name: "note", params: {} }
const spending = (input: number, output: number, ...calls: ReadonlyArray<ScriptedModel.ToolCall>) =>
  step(
    calls.length === 0 ? text("done") : toolCalls(...calls),
    finish(calls.length === 0 ? "stop" : "tool-calls", usage(input, output))
  )

const agent = Agent.make("agent", { toolkit, middleware: [BudgetAccount.middleware] })

const opened = (budget: Budget.Budget<unknown>, options: Partial<BudgetAccount.Options> = {}) =>
  BudgetAccount.layer(budget, { id: "acme", refuse: "call", ...options })

const inMemory = (budget: Budget.Budget<unknown>, options: Partial<BudgetAccount.Options> = {}) =>
  Layer.provide(opened(budget, options), BudgetStore.layerMemory)

/** The end of a run in short. */
const go = Effect.map(Effect.exit(Agent.run(agent, { prompt: "go" })), (exit) =>
  Exit.isSuccess(exit)
    ? `${exit.value.text} ${exit.value.steps.length} ${exit.value.stopReason}`
    : showExit(exit).split(" after")[0])

const balance = Effect.flatMap(BudgetAccount.BudgetAccount, (account) => account.balance)
const spent = Effect.map(balance, ({ spent }) => spent)
const calls = Effect.flatMap(
  ScriptedModel.ScriptedModel,
  ({ requests }) => Effect.map(requests, ({ length }) => length)
)

const amounts = (given: Partial<BudgetStore.Amounts>): BudgetStore.Amounts => ({ ...BudgetStore.nothing, ...given })

describe("BudgetAccount", () => {
  describe("refuse", () => {
    it.effect("run lets the run finish that works, and refuses a new one before its model is called", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual([yield* go, yield* go, yield* calls], ["done 3 stop", "Failed Fail BudgetExceeded", 3])
        assert.deepStrictEqual(yield* spent, amounts({ tokens: 90, modelCalls: 3, toolCalls: 2 }))
      }).pipe(Effect.provide([
        script([spending(20, 10, note), spending(20, 10, note), spending(20, 10)]),
        handlers,
        inMemory(Budget.make({ tokens: 50 }), { refuse: "run" })
      ])))

    const cases: ReadonlyArray<readonly [Budget.Resource, Budget.Budget<unknown>, used: number, limit: number]> = [
      ["tokens", Budget.make({ tokens: 50 }), 90, 50],
      ["money", Budget.make({ money: 3, prices: { input: 50_000, output: 100_000 } }), 6, 3],
      ["model-calls", Budget.make({ modelCalls: 2 }), 3, 2],
      ["tool-calls", Budget.make({ toolCalls: 2 }), 2, 2]
    ]
    it.effect.each(cases)("call asks for a final answer when %s are used up, and refuses new runs", ([
      resource,
      budget,
      used,
      limit
    ]) =>
      Effect.gen(function*() {
        assert.strictEqual(yield* go, `done 3 budget-${resource}`)
        const error = yield* Effect.flip(Agent.run(agent, { prompt: "go" }))
        assert.deepStrictEqual(error, new Budget.BudgetExceeded({ budget: "budget", resource, limit, used }))
        assert.strictEqual(yield* calls, 3)
      }).pipe(Effect.provide([
        script([spending(20, 10, note), spending(20, 10, note), spending(20, 10)]),
        handlers,
        inMemory(budget)
      ])))

    it.effect("call fails the run when the budget is made with orFail: calls are never more than the limit", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual([yield* go, yield* calls], ["Failed Fail BudgetExceeded", 2])
        assert.deepStrictEqual(yield* spent, amounts({ tokens: 60, modelCalls: 2, toolCalls: 2 }))
      }).pipe(Effect.provide([
        script([spending(20, 10, note), spending(20, 10, note), spending(20, 10)]),
        handlers,
        inMemory(Budget.orFail(Budget.make({ modelCalls: 2 })))
      ])))

    it.effect("call answers for the tool calls of a step that are beyond the limit; others are not counted", () =>
      Effect.gen(function*() {
        const result = yield* Agent.run(agent, { prompt: "go" })
        assert.deepStrictEqual(result.steps[0]!.toolCalls.map(({ executed }) => executed).toSorted(), [
          false,
          false,
          true
        ])
        assert.strictEqual((yield* spent).toolCalls, 1)
      }).pipe(Effect.provide([
        script([spending(1, 1, note, note, { name: "ghost", params: {} }), spending(1, 1)]),
        handlers,
        inMemory(Budget.make({ toolCalls: 1 }))
      ])))

    it.effect("call does not count a tool call that does not reach its tool", () =>
      Effect.gen(function*() {
        assert.strictEqual(yield* go, "done 2 stop")
        assert.strictEqual((yield* spent).toolCalls, 0)
      }).pipe(Effect.provide([
        script([spending(1, 1, { name: "exact", params: {} }), spending(1, 1)]),
        handlers,
        inMemory(Budget.make({ toolCalls: 5 }))
      ])))
  })

  describe("nested runs", () => {
    const inner = Agent.make("inner", { toolkit, middleware: [BudgetAccount.middleware] })
    const asking = AgentTool.make(inner, { name: "ask", failureMode: "return" })
    const outer = Agent.make("outer", {
      toolkit: AgentTool.toolkit(asking),
      middleware: [BudgetAccount.middleware, Budget.middleware(Budget.make({ name: "own", modelCalls: 50 }))]
    })
    const ask = { name: "ask", params: { prompt: "x" } }

    it.effect("draw from the account once, beside a budget of the run", () =>
      Effect.gen(function*() {
        const { text } = yield* Agent.run(outer, { prompt: "go" })
        assert.strictEqual(text, "done")
        assert.deepStrictEqual(yield* spent, amounts({ tokens: 12, modelCalls: 4, toolCalls: 2 }))
      }).pipe(Effect.provide([
        script([spending(2, 1, ask), spending(2, 1, note), spending(2, 1), spending(2, 1)]),
        handlers,
        inMemory(Budget.make({ modelCalls: 50 }))
      ])))

    it.effect("that may not go on fail the run that has the account, not the tool", () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(Agent.run(outer, { prompt: "go" }))
        assert.strictEqual((error as Budget.BudgetExceeded)._tag, "BudgetExceeded")
        assert.strictEqual((yield* spent).modelCalls, 2)
      }).pipe(Effect.provide([
        script([spending(2, 1, ask), spending(2, 1, note), spending(2, 1), spending(2, 1)]),
        handlers,
        inMemory(Budget.orFail(Budget.make({ modelCalls: 2 })))
      ])))
  })

  describe("refill", () => {
    const answers = script(Array.from({ length: 9 }, () => spending(20, 10)))
    const one = Budget.make({ modelCalls: 1 })

    it.effect("begins a window at each multiple of a duration", () =>
      Effect.gen(function*() {
        yield* TestClock.setTime(Date.UTC(2026, 0, 31, 23, 59, 59))
        assert.deepStrictEqual([yield* go, yield* go], ["done 1 stop", "Failed Fail BudgetExceeded"])
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual([yield* go, yield* go], ["done 1 stop", "Failed Fail BudgetExceeded"])
        assert.deepStrictEqual(yield* balance, {
          window: Date.UTC(2026, 1, 1),
          spent: amounts({ tokens: 30, modelCalls: 1 }),
          added: BudgetStore.nothing
        })
      }).pipe(Effect.provide([answers, handlers, inMemory(one, { refill: "1 day" })])))

    const berlin = (expression: string) => Cron.parseUnsafe(expression, "Europe/Berlin")
    const schedules: ReadonlyArray<readonly [string, Cron.Cron, number, number]> = [
      ["the day that has 23 hours", berlin("0 0 * * *"), Date.UTC(2026, 2, 28, 23), 23],
      ["the day that has 25 hours", berlin("0 0 * * *"), Date.UTC(2026, 9, 24, 22), 25],
      ["February", berlin("0 0 1 * *"), Date.UTC(2026, 0, 31, 23), 28 * 24],
      ["a month with the change of the clock", berlin("0 0 1 * *"), Date.UTC(2026, 1, 28, 23), 31 * 24 - 1]
    ]
    it.effect.each(schedules)("follows a schedule: %s", ([, refill, begin, hours]) =>
      Effect.gen(function*() {
        const account = yield* BudgetAccount.BudgetAccount
        const at = (millis: number) =>
          Effect.andThen(TestClock.setTime(millis), Effect.map(account.charge({ tokens: 1 }), (now) => now))
        const end = begin + hours * 3_600_000
        const tokens = (window: number, tokens: number) => ({
          window,
          spent: amounts({ tokens }),
          added: BudgetStore.nothing
        })
        assert.notStrictEqual((yield* at(begin - 1)).window, begin)
        assert.deepStrictEqual(yield* at(begin), tokens(begin, 1))
        assert.deepStrictEqual(yield* at(begin + 500), tokens(begin, 2))
        assert.deepStrictEqual(yield* at(end - 1), tokens(begin, 3))
        assert.deepStrictEqual(yield* at(end), tokens(end, 1))
      }).pipe(Effect.provide(inMemory(one, { refill }))))

    it.effect("never happens without one; topUp adds to the limits of the window", () =>
      Effect.gen(function*() {
        const account = yield* BudgetAccount.BudgetAccount
        yield* TestClock.adjust("1000 days")
        assert.deepStrictEqual([yield* go, yield* go], ["done 1 stop", "Failed Fail BudgetExceeded"])
        yield* account.topUp({ modelCalls: 2 })
        assert.deepStrictEqual([yield* go, yield* go, yield* go], [
          "done 1 stop",
          "done 1 stop",
          "Failed Fail BudgetExceeded"
        ])
        assert.deepStrictEqual(yield* balance, {
          window: 0,
          spent: amounts({ tokens: 90, modelCalls: 3 }),
          added: amounts({ modelCalls: 2 })
        })
      }).pipe(Effect.provide([answers, handlers, inMemory(one)])))
  })

  describe("layer", () => {
    it.effect("seeds an account that the store does not know, once", () =>
      Effect.gen(function*() {
        const budget = Budget.make({ modelCalls: 9 })
        const seeded = opened(budget, { seed: { modelCalls: 4 }, refill: "1 day" })
        const store = yield* Layer.build(BudgetStore.layerMemory)
        const charged = Effect.flatMap(BudgetAccount.BudgetAccount, (account) => account.charge({ modelCalls: 1 }))
          .pipe(
            Effect.provide(Layer.fresh(seeded)),
            Effect.provide(store),
            Effect.map(({ spent }) => spent.modelCalls)
          )
        assert.deepStrictEqual([yield* charged, yield* charged], [5, 6])
        yield* TestClock.adjust("1 day")
        assert.deepStrictEqual([yield* charged, yield* charged], [1, 2])
      }))

    const senseless: ReadonlyArray<readonly [string, Partial<BudgetAccount.Options>]> = [
      ["a refill of nothing", { refill: 0 }],
      ["a refill of less than nothing", { refill: -5 }],
      ["a refill of no number", { refill: NaN }],
      ["a refill of nothing in words", { refill: "0 days" }],
      ["a refill of less than nothing in words", { refill: "-1 day" }],
      // settings are read from anywhere
      ["a refill of other words", { refill: "daily" as "1 day" }],
      ["a refill of a duration of nothing", { refill: Duration.zero }],
      ["a refill of parts that are nothing", { refill: { days: 0 } }],
      ["a seed of no number", { seed: { tokens: NaN } }],
      ["a seed without an end", { seed: { money: Infinity } }]
    ]
    it.effect.each(senseless)("refuses %s", ([, options]) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(Effect.provide(balance, inMemory(Budget.make({ tokens: 5 }), options)))
        assert.instanceOf(error, BudgetAccount.InvalidAccount)
        assert.include(error.message, "The account `acme` cannot be opened")
      }))

    it.effect("takes any time that is longer than nothing", () =>
      Effect.forEach(
        [1, "1 milli", "Infinity", Duration.infinity, [1, 0], { hours: 1 }] as const,
        (refill) => Effect.provide(balance, inMemory(Budget.make({ tokens: 5 }), { refill }))
      ))

    it.effect("charges and adds numbers only", () =>
      Effect.gen(function*() {
        const account = yield* BudgetAccount.BudgetAccount
        for (const amount of [NaN, Infinity, -Infinity]) {
          for (const operation of ["charge", "topUp"] as const) {
            const error = yield* Effect.flip(account[operation]({ tokens: amount }))
            assert.deepStrictEqual([error._tag, error.operation], ["BudgetStoreError", operation])
          }
        }
        assert.deepStrictEqual(yield* spent, BudgetStore.nothing)
      }).pipe(Effect.provide(inMemory(Budget.make({ tokens: 5 })))))

    it.effect("refuses a wall time, which no account has", () =>
      Effect.gen(function*() {
        const exit = yield* Effect.exit(Effect.provide(balance, inMemory(Budget.make({ wallTime: "1 day" }))))
        assert.isTrue(Exit.hasDies(exit))
      }))
  })

  describe("prices", () => {
    it.effect("that do not know a model let its call use up the money of the window", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual([yield* go, yield* go], ["done 2 budget-money", "Failed Fail BudgetExceeded"])
        assert.deepStrictEqual(yield* spent, amounts({ tokens: 60, money: 10, modelCalls: 2, toolCalls: 1 }))
      }).pipe(Effect.provide([
        namedScript([spending(20, 10, note), spending(20, 10)], { name: "unheard-of" }),
        handlers,
        inMemory(Budget.make({
          money: 5,
          prices: (model) => model === "unheard-of" ? undefined : { input: 1, output: 1 }
        }))
      ])))
  })

  describe("a store that fails", () => {
    const broken = (operations: () => boolean) =>
      Layer.effect(BudgetStore.BudgetStore)(Effect.gen(function*() {
        const store = Context.get(yield* Layer.build(BudgetStore.layerMemory), BudgetStore.BudgetStore)
        const failing = <A>(operation: "charge" | "balance", effect: Effect.Effect<A, BudgetStore.BudgetStoreError>) =>
          Effect.suspend(() =>
            operations()
              ? Effect.fail(new BudgetStore.BudgetStoreError({ account: "acme", operation, cause: "down" }))
              : effect
          )
        return {
          ...store,
          charge: (charge) => failing("charge", store.charge(charge)),
          balance: (id, window) => failing("balance", store.balance(id, window))
        }
      }))

    it.effect("lets no run and no call begin; what was used in the meantime is charged when it is back", () => {
      let down = true
      // the store breaks while the first model call of the second run is in flight
      let steps = 0
      const breaking = () => {
        down = ++steps === 1
        return [toolCalls(note), finish("tool-calls", usage(20, 10))]
      }
      return Effect.gen(function*() {
        assert.deepStrictEqual([yield* go, yield* calls], ["Failed Fail BudgetStoreError", 0])
        down = false
        assert.deepStrictEqual([yield* go, yield* calls], ["Failed Fail BudgetStoreError", 1])
        down = false
        assert.deepStrictEqual(yield* spent, amounts({ tokens: 30, modelCalls: 1, toolCalls: 1 }))
        assert.strictEqual(yield* go, "done 1 stop")
        assert.deepStrictEqual(yield* spent, amounts({ tokens: 60, modelCalls: 2, toolCalls: 1 }))
      }).pipe(Effect.provide([
        script([breaking, spending(20, 10)]),
        handlers,
        Layer.provide(opened(Budget.make({ tokens: 500 })), broken(() => down))
      ]))
    })

    it.effect("does not take the answer from a run that may finish", () => {
      let down = false
      const last = () => {
        down = true
        return [text("done"), finish("stop", usage(20, 10))]
      }
      return Effect.gen(function*() {
        assert.deepStrictEqual([yield* go, yield* go], ["done 1 stop", "Failed Fail BudgetStoreError"])
        down = false
        assert.deepStrictEqual(yield* spent, amounts({ tokens: 30, modelCalls: 1 }))
      }).pipe(Effect.provide([
        script([last]),
        handlers,
        Layer.provide(opened(Budget.make({ tokens: 500 }), { refuse: "run" }), broken(() => down))
      ]))
    })

    it.effect("by not answering fails in time, also in a run that is interrupted", () => {
      let silent = false
      const mute = Layer.effect(BudgetStore.BudgetStore)(Effect.gen(function*() {
        const store = Context.get(yield* Layer.build(BudgetStore.layerMemory), BudgetStore.BudgetStore)
        return {
          ...store,
          charge: (charge) => Effect.suspend(() => silent ? Effect.never : store.charge(charge))
        }
      }))
      return Effect.gen(function*() {
        silent = true
        const fiber = yield* Effect.forkChild(go)
        yield* TestClock.adjust("4 seconds")
        assert.isUndefined(fiber.pollUnsafe())
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* Fiber.join(fiber), "Failed Fail BudgetStoreError")
        const cut = yield* Effect.forkChild(Agent.run(agent, { prompt: "go" }))
        yield* TestClock.adjust("1 second")
        const interrupting = yield* Effect.forkChild(Fiber.interrupt(cut))
        yield* TestClock.adjust("4 seconds")
        yield* Fiber.join(interrupting)
        silent = false
      }).pipe(Effect.provide([
        script([spending(1, 1), spending(1, 1)]),
        handlers,
        Layer.provide(opened(Budget.make({ tokens: 500 })), mute)
      ]))
    })
  })

  describe("property", () => {
    const count = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
    const World = Schema.Struct({
      runs: Schema.Array(Schema.Struct({
        outcome: Schema.Literals(["Completed", "Failed", "Interrupted", "Abandoned"]),
        steps: Schema.Array(Schema.Struct({ tokens: count(0, 40), takes: count(0, 9), notes: count(1, 3) })).check(
          Schema.isMaxLength(4)
        )
      })).check(Schema.isMinLength(1), Schema.isMaxLength(6)),
      refuse: Schema.Literals(["run", "call"]),
      tokens: Schema.UndefinedOr(count(0, 200)),
      modelCalls: Schema.UndefinedOr(count(0, 12)),
      fails: Schema.Boolean
    })

    it.effect.prop(
      "the account is charged what the runs have used, however they end, and calls never exceed a hard limit",
      { world: World },
      ({ world }) =>
        Effect.gen(function*() {
          let tokens = 0
          let begun = 0
          let ran = 0
          const usages = ContextProvider.make("usages", {
            beforeRun: () =>
              Effect.as(
                Effect.addFinalizer((exit) =>
                  Effect.sync(() => {
                    const end = AgentRun.outcome(exit as Exit.Exit<AgentRun.Result, unknown>)
                    const { inputTokens, outputTokens } = (end._tag === "Completed" ? end.result : end.partial).usage
                    tokens += (inputTokens.total ?? 0) + (outputTokens.total ?? 0)
                  })
                ),
                {}
              )
          })
          const noting = Agent.make("noting", {
            toolkit: Toolkit.make(Note),
            providers: [usages],
            middleware: [BudgetAccount.middleware]
          })
          const notes = Toolkit.make(Note).toLayer({
            note: () =>
              Effect.sync(() => {
                ran++
                return "noted"
              })
          })
          const budget = Budget.make({ tokens: world.tokens, modelCalls: world.modelCalls })
          const body = Effect.gen(function*() {
            yield* Effect.forEach(world.runs, (run) => {
              const steps = run.steps.map(({ notes, takes, tokens }): ScriptedModel.Step => () => {
                begun++
                return [
                  delay(takes),
                  toolCalls(...Array.from({ length: notes }, () => note)),
                  finish("tool-calls", usage(tokens, 1))
                ]
              })
              const last = (): ReadonlyArray<ScriptedModel.Piece> => {
                begun++
                switch (run.outcome) {
                  case "Failed":
                    return [text("x"), fail(new AiError.RateLimitError({}))]
                  case "Completed":
                    return [text("x"), finish("stop", usage(5, 5))]
                  default:
                    return [text("x"), hang]
                }
              }
              const consumed = Effect.gen(function*() {
                const reached = yield* Deferred.make<void>()
                const stream = Stream.tap(
                  Agent.stream(noting, { prompt: "go" }),
                  (part) => part.type === "text-delta" ? Deferred.succeed(reached, undefined) : Effect.void
                )
                if (run.outcome === "Abandoned") {
                  return yield* Stream.runDrain(Stream.takeUntil(stream, (part) => part.type === "text-delta"))
                }
                if (run.outcome !== "Interrupted") return yield* Stream.runDrain(stream)
                const fiber = yield* Effect.forkChild(Stream.runDrain(stream))
                yield* Effect.raceFirst(Deferred.await(reached), Effect.exit(Fiber.join(fiber)))
                return yield* Fiber.interrupt(fiber)
              })
              return Effect.exit(consumed).pipe(
                Effect.provide(script([...steps, last]))
              )
            }, { concurrency: "unbounded" })
            return yield* spent
          }).pipe(Effect.provide([
            notes,
            inMemory(world.fails ? Budget.orFail(budget) : budget, { refuse: world.refuse })
          ]))
          const fiber = yield* Effect.forkChild(body)
          yield* TestClock.adjust("1 minute")
          const charged = yield* Fiber.join(fiber)
          assert.deepStrictEqual(charged, { tokens, money: 0, modelCalls: begun, toolCalls: ran })
          if (world.fails && world.refuse === "call" && world.modelCalls !== undefined) {
            assert.isAtMost(charged.modelCalls, world.modelCalls)
          }
        }),
      { arbitrary: { runs: 100, seed: "accounts" } }
    )
  })
})
