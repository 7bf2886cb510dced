import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Exit, Schema } from "effect"
import type { AgentRun } from "../src/index.ts"
import { attempt, type Cut, kinds, type Plan, World } from "./fixtures/journal.ts"
import { showExit } from "./utils.ts"

const Plan = Schema.Struct({
  steps: Schema.Array(
    // most calls do not end the run
    Schema.Array(Schema.Literals([...kinds, ...kinds.filter((kind) => kind !== "fails")])).check(Schema.isMaxLength(4))
  ).check(Schema.isMaxLength(3)),
  flaky: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 }))).check(Schema.isMaxLength(2)),
  output: Schema.Literals(["none", "none", "tool", "json"]),
  keep: Schema.Literals(["completed", "every-step", "always"]),
  compacts: Schema.Boolean,
  guards: Schema.Boolean,
  budget: Schema.Literals(["none", "none", "tools", "models"]),
  account: Schema.Literals(["none", "run", "call"]),
  leaves: Schema.UndefinedOr(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60 })))
})

const Cuts = Schema.Array(Schema.Struct({
  how: Schema.Literals(["interrupted", "interrupted", "dies", "killed"]),
  at: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 80 }))
})).check(Schema.isMaxLength(4))

const play = Effect.fnUntraced(function*(plan: Plan, cuts: ReadonlyArray<Cut>) {
  const whole = new World(plan)
  const undisturbed = yield* attempt(whole)
  const world = new World(plan)
  const attempts = []
  for (const cut of cuts) attempts.push(yield* attempt(world, cut))
  const last = yield* attempt(world)
  return { whole, undisturbed, world, attempts, last }
})

/** The results of parallel calls come as they end, and preliminary ones are not recorded. */
const inOrder = (parts: ReadonlyArray<AgentRun.Part>) =>
  parts.flatMap(({ type }) => type === "tool-result" || type === "agent-part" ? [] : [type])

const spentIn = ({ budgets }: World) => Effect.map(budgets!.balance("acme", 0), ({ spent }) => spent)

const sessionOf = ({ store }: World) => Effect.map(store!.load("s"), ({ history, version }) => ({ history, version }))

describe("a run with a journal", () => {
  it.effect.prop(
    "gives the result of an undisturbed run, wherever it was cut, and repeats only what was in flight",
    { plan: Arbitrary.schema(Plan), cuts: Arbitrary.schema(Cuts) },
    Effect.fnUntraced(function*({ cuts, plan }) {
      const { attempts, last, undisturbed, whole, world } = yield* play(plan, cuts)
      assert.strictEqual(showExit(last.exit), showExit(undisturbed.exit))
      if (Exit.isSuccess(undisturbed.exit)) assert.deepStrictEqual(last.exit, undisturbed.exit)
      assert.deepStrictEqual(inOrder(last.parts), inOrder(undisturbed.parts))
      assert.deepStrictEqual(yield* sessionOf(world), yield* sessionOf(whole))

      // what was recorded was not done again, and what is done again was in flight
      const recorded = [...world.records.keys()]
      // a call beside one that fails the run may not have begun when that fails from its record
      const isWhole = Exit.isSuccess(undisturbed.exit) || plan.leaves !== undefined
      const names = [...whole.records.keys()]
      assert.deepStrictEqual(
        recorded.toSorted(),
        (isWhole ? names : names.filter((name) => world.records.has(name))).toSorted()
      )
      const made = [...attempts, last].flatMap(({ made }) => made)
      for (const name of recorded) {
        const times = made.filter((each) => each === name).length
        assert.isAtMost(times - 1, attempts.filter(({ made, wasCut }) => wasCut && made.includes(name)).length, name)
      }
      const isOnce = (name: string) => made.filter((each) => each === name).length === 1
      if (made.every(isOnce)) assert.deepStrictEqual(world.done.toSorted(), whole.done.toSorted())

      // an account has what the calls have cost, and counts them once unless it died between the count and its record
      const again = (what: string) =>
        recorded.reduce(
          (sum, name) => sum + (name.includes(what) ? made.filter((each) => each === name).length - 1 : 0),
          0
        )
      const [spent, least] = [yield* spentIn(world), yield* spentIn(whole)]
      const lives = attempts.some(({ wasCut }, index) => wasCut && cuts[index]!.how !== "killed")
      for (
        const [count, what] of [
          ["modelCalls", "/model-call"],
          ["toolCalls", "/tool-call"],
          // an attempt that lives on is charged for the calls that it leaves
          ...lives ? [] : [["tokens", "/cost"] as const]
        ] as const
      ) {
        assert.isAtLeast(spent[count], least[count], count)
        // a call is taken back after that is recorded, or not at all
        const kept = attempts.flatMap(({ made, wasCut }) =>
          wasCut && count === "toolCalls" ? made.filter((name) => name.endsWith("-back")) : []
        )
        assert.isAtMost(spent[count], least[count] + kept.length + again(what) * (count === "tokens" ? 30 : 1), count)
      }
      assert.isAtLeast(spent.tokens, least.tokens)

      // all of it is in the records
      const before = world.done.length
      const replayed = yield* attempt(world)
      assert.strictEqual(showExit(replayed.exit), showExit(undisturbed.exit))
      assert.strictEqual(world.done.length, before)
      assert.deepStrictEqual(replayed.made, [])
      assert.deepStrictEqual(yield* spentIn(world), spent)
    }),
    { timeout: 60_000, arbitrary: { runs: 60, seed: "a run with a journal" } }
  )
})
