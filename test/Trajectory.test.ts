import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Schema } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { Agent } from "../src/index.ts"
import { Eval, type Scorer, Trajectory } from "../src/evals/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"

const parameters = Schema.Struct({ x: Schema.optionalKey(Schema.Int), in: Schema.optionalKey(Schema.Json) })
const toolkit = Toolkit.make(Tool.make("a", { parameters }), Tool.make("b", { parameters }))
const handlers = toolkit.toLayer({ a: () => Effect.void, b: () => Effect.void })

type Made = { readonly name: string; readonly params: unknown }

/** The verdicts of scorers on an agent that makes these calls: for each step those that it makes at once. */
const verdicts = (
  steps: ReadonlyArray<ReadonlyArray<Made>>,
  ...scorers: ReadonlyArray<Scorer.Scorer<unknown, unknown, unknown>>
) =>
  Effect.forEach(scorers, (scorer) =>
    Eval.run(Eval.make("calls", {
      cases: [{ id: "one", input: "go", expected: ["a"] }],
      task: (prompt: string) => Agent.run(Agent.make("caller", { toolkit }), { prompt }),
      scorers: [scorer]
    })).pipe(
      Effect.map(({ cases: [{ trials: [{ scores: [{ explanation, passed }] }] }] }) => explanation ?? passed),
      Effect.provide([
        ScriptedModel.layer([
          ...steps.map((calls) => ScriptedModel.step(ScriptedModel.toolCalls(...calls))),
          ScriptedModel.text("done")
        ]),
        handlers
      ])
    ))

const a = (params: unknown = {}): Made => ({ name: "a", params })
const b = (params: unknown = {}): Made => ({ name: "b", params })

describe("Trajectory", () => {
  it.effect("has the four modes of agentevals", () =>
    Effect.gen(function*() {
      const { strict, subset, superset, unordered } = Trajectory
      const all = (expected: ReadonlyArray<string>) =>
        [strict(expected), unordered(expected), subset(expected), superset(expected)] as const
      assert.deepStrictEqual(yield* verdicts([[a()], [b()]], ...all(["a", "b"])), [true, true, true, true])
      assert.deepStrictEqual(yield* verdicts([[b()], [a()]], ...all(["a", "b"])), [
        "in another order: b {}, a {}",
        true,
        true,
        true
      ])
      assert.deepStrictEqual(yield* verdicts([[a()]], ...all(["a", "b"])), [
        "missing: b",
        "missing: b",
        true,
        "missing: b"
      ])
      assert.deepStrictEqual(yield* verdicts([[a(), b(), a({ x: 1 })]], ...all(["a", "b"])), [
        `not expected: a {"x":1}`,
        `not expected: a {"x":1}`,
        `not expected: a {"x":1}`,
        true
      ])
      assert.deepStrictEqual(yield* verdicts([], ...all([])), [true, true, true, true])
    }))

  it.effect("compares arguments as it is told", () =>
    Effect.gen(function*() {
      const call = a({ x: 1, in: { deep: { one: 1, two: [2] } } })
      const only = (expected: Trajectory.Call) => Trajectory.strict([expected])
      const passed = yield* verdicts(
        [[call]],
        only(Trajectory.call("a")),
        only(Trajectory.exactly("a", { in: { deep: { two: [2], one: 1 } }, x: 1 })),
        only(Trajectory.exactly("a", { x: 1 })),
        only(Trajectory.including("a", { x: 1 })),
        only(Trajectory.including("a", { in: { deep: { two: [2] } } })),
        only(Trajectory.including("a", { in: { deep: { two: [] } } })),
        only(Trajectory.including("a", { toString: undefined })),
        only(Trajectory.matching("a", Schema.Struct({ x: Schema.Int }))),
        only(Trajectory.matching("a", Schema.Struct({ x: Schema.String }))),
        only(Trajectory.where("a", (params) => JSON.stringify(params).includes("deep")))
      )
      assert.deepStrictEqual(passed.map((_) => _ === true), [
        true,
        true,
        false,
        true,
        true,
        false,
        false,
        true,
        false,
        true
      ])
    }))

  it.effect("asks each case for its calls", () =>
    Effect.gen(function*() {
      const expected = Trajectory.strict<unknown, unknown>((of) => of.expected as ReadonlyArray<string>)
      assert.deepStrictEqual(yield* verdicts([[a()]], expected), [true])
    }))

  it.effect("finds calls for conditions that overlap, in any order", () =>
    Effect.gen(function*() {
      // the first condition holds for both calls, the second only for the first one
      const expected = [Trajectory.call("a"), Trajectory.exactly("a", { x: 1 })]
      assert.deepStrictEqual(
        yield* verdicts([[a({ x: 1 }), a({ x: 2 })]], Trajectory.unordered(expected), Trajectory.superset(expected)),
        [true, true]
      )
    }))

  const Calls = Schema.Array(Schema.Literals(["a", "b"])).check(Schema.isMaxLength(4))

  it.effect.prop(
    "unordered is subset and superset, and strict is unordered in order",
    { made: Arbitrary.schema(Calls), expected: Arbitrary.schema(Calls) },
    ({ expected, made }) =>
      Effect.gen(function*() {
        const [strict, unordered, subset, superset] = (yield* verdicts(
          made.length === 0 ? [] : [made.map((name) => ({ name, params: {} }))],
          Trajectory.strict(expected),
          Trajectory.unordered(expected),
          Trajectory.subset(expected),
          Trajectory.superset(expected)
        )).map((_) => _ === true)
        assert.strictEqual(unordered, subset && superset)
        assert.strictEqual(unordered, made.toSorted().join() === expected.toSorted().join())
        assert.strictEqual(strict, made.join() === expected.join())
      }),
    { arbitrary: { runs: 20, seed: "trajectory" } }
  )
})
