import { assert, describe, it } from "@effect/vitest"
import { NodeServices } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import * as vitest from "vitest"
import * as Folder from "../scratchpad/ask/Folder.ts"
import * as FolderTools from "../scratchpad/ask/FolderTools.ts"
import * as Library from "../scratchpad/evals/Library.ts"
import * as Repository from "../scratchpad/evals/Repository.ts"
import { Comparison, Eval, EvalSuite, Report } from "../src/evals/index.ts"

const [experiment, baseline] = await Effect.runPromise(
  Effect.provide(Effect.all([Repository.experiment, Report.read(Repository.baseline)]), NodeServices.layer)
)

// the main job at 20 questions on this repository: what it cannot answer yet is in the baseline. If a change of the
// repository moves an answer rightly, `npm run evals -- --update-baselines` writes the baseline anew
EvalSuite.register(vitest, experiment, {
  layer: Repository.layer.pipe(Layer.provide(NodeServices.layer)),
  baseline
})

describe("the evals of scratchpad", () => {
  it("the baseline is that of all questions", () => {
    assert.deepStrictEqual(baseline.cases.map(({ id }) => id), experiment.cases.map(({ id }) => id))
    assert.strictEqual(experiment.cases.length, 20)
    const failures = baseline.cases.filter(({ trials }) => !trials[0].passed).map(({ id }) => id)
    assert.isTrue(failures.length > 0 && failures.length < 8, failures.join())
  })

  it.effect("two versions of an agent on a cassette: the one that cannot search is worse", () =>
    Effect.gen(function*() {
      const services = yield* Layer.build(Layer.merge(
        FolderTools.layer.pipe(Layer.provideMerge(Folder.layer(Library.folder))),
        Library.model("replay")
      ))
      const [searching, other] = (yield* Library.experiments).map(Eval.provide(services))
      const before = yield* Eval.run(searching)
      const now = yield* Eval.run(other)
      // the folder did not change since the cassette was recorded
      assert.deepStrictEqual(Report.summary(before).outcomes.completed + Report.summary(now).outcomes.completed, 20)
      const { difference, p, worse } = Comparison.make(now, before)
      assert.isTrue(difference < -0.3 && worse > 3 && p < 0.1, `${difference} ${worse} ${p}`)
      assert.deepStrictEqual(Comparison.regressions(now, before).map(({ kind }) => kind), ["experiment"])
      assert.deepStrictEqual(Comparison.regressions(before, before, { rule: "every-case" }), [])
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
})
