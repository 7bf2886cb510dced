import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Exit, Schema } from "effect"
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
  budget: Schema.Literals(["none", "none", "tools", "models"])
})

const Cuts = Schema.Array(Schema.Struct({
  how: Schema.Literals(["killed", "killed", "dies"]),
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

const sessionOf = ({ store }: World) => Effect.map(store!.load("s"), ({ history, version }) => ({ history, version }))

describe("a run with a journal", () => {
  it.effect.prop(
    "gives the result of an undisturbed run, wherever it was cut, and repeats only what was in flight",
    { plan: Arbitrary.schema(Plan), cuts: Arbitrary.schema(Cuts) },
    Effect.fnUntraced(function*({ cuts, plan }) {
      // what a handler spends by a run of its own is known to a budget as tokens and money only
      if (plan.budget !== "none" && plan.steps.flat().includes("byHand")) return
      const { attempts, last, undisturbed, whole, world } = yield* play(plan, cuts)
      assert.strictEqual(showExit(last.exit), showExit(undisturbed.exit))
      if (Exit.isSuccess(undisturbed.exit)) assert.deepStrictEqual(last.exit, undisturbed.exit)
      assert.deepStrictEqual(yield* sessionOf(world), yield* sessionOf(whole))

      // what was recorded was not done again, and what is done again was in flight
      const recorded = [...world.records.keys()]
      assert.deepStrictEqual(recorded.toSorted(), [...whole.records.keys()].toSorted())
      const made = [...attempts, last].flatMap(({ made }) => made)
      for (const name of recorded) {
        const times = made.filter((each) => each === name).length
        assert.isAtMost(times - 1, attempts.filter(({ made, wasCut }) => wasCut && made.includes(name)).length, name)
      }
      const isOnce = (name: string) => made.filter((each) => each === name).length === 1
      if (made.every(isOnce)) assert.deepStrictEqual(world.done.toSorted(), whole.done.toSorted())

      // all of it is in the records
      const before = world.done.length
      const replayed = yield* attempt(world)
      assert.strictEqual(showExit(replayed.exit), showExit(undisturbed.exit))
      assert.strictEqual(world.done.length, before)
      assert.deepStrictEqual(replayed.made, [])
    }),
    { timeout: 60_000, arbitrary: { runs: 60, seed: "a run with a journal" } }
  )
})
