import { assert, describe, it } from "@effect/vitest"
import { NodeFileSystem } from "@effect/platform-node"
import { Deferred, Effect, Fiber, FileSystem, type Layer, Logger, type PlatformError } from "effect"
import { KeyValueStore } from "effect/persistence"
import { Agent, Budget } from "../src/index.ts"
import { Eval, Report, Scorer, TrialStore } from "../src/evals/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"

const cases = ["a", "b", "c"].map((id) => ({ id, input: id }))

/** Runs an experiment, and returns its report with the trials that were tried. */
const tried = (layer: Layer.Layer<TrialStore.TrialStore, unknown, FileSystem.FileSystem>, options: {
  readonly hangsAt?: string
  readonly scorers?: ReadonlyArray<Scorer.Scorer<unknown, unknown, unknown>>
  readonly cases?: typeof cases
} = {}) =>
  Effect.gen(function*() {
    const log: Array<string> = []
    const reached = yield* Deferred.make<void>()
    const experiment = Eval.make("stored", {
      cases: options.cases ?? cases,
      task: (prompt: string) => {
        log.push(prompt)
        return prompt === options.hangsAt
          ? Effect.andThen(Deferred.succeed(reached, undefined), Effect.never)
          : Effect.provide(
            Agent.run(Agent.make("agent"), { prompt }),
            ScriptedModel.layer([ScriptedModel.text(prompt)])
          )
      },
      scorers: options.scorers ?? [Scorer.matches(/a|b/)]
    })
    const run = Effect.provide(Eval.run(experiment, { concurrency: 1, trials: 2 }), layer, { local: true })
    if (options.hangsAt === undefined) return { log, report: yield* run }
    const fiber = yield* Effect.forkChild(run)
    yield* Deferred.await(reached)
    yield* Fiber.interrupt(fiber)
    return { log, report: undefined }
  })

const file = Effect.gen(function*() {
  const fileSystem = yield* FileSystem.FileSystem
  return `${yield* fileSystem.makeTempDirectoryScoped()}/trials.jsonl`
})

const onDisk = <A, E>(effect: Effect.Effect<A, E, FileSystem.FileSystem | Effect.Services<typeof file>>) =>
  effect.pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer))

describe("TrialStore", () => {
  it.effect("an experiment that was cut goes on with what is missing, and has the same report", () =>
    onDisk(Effect.gen(function*() {
      const path = yield* file
      const store = TrialStore.layerFile(path)
      const cut = yield* tried(store, { hangsAt: "c" })
      assert.deepStrictEqual(cut.log, ["a", "b", "c"])
      const { log, report } = yield* tried(store)
      assert.deepStrictEqual(log, ["c", "a", "b", "c"])
      const again = yield* tried(store)
      assert.deepStrictEqual(again.log, [])
      const bare = (of: Report.Report | undefined) => of && { ...of, started: "", milliseconds: 0 }
      assert.deepStrictEqual(bare(again.report), bare(report))
      assert.deepStrictEqual(Report.summary(again.report!).passed, 4)
    })))

  it.effect("a trial is tried again when its case or its scorers have changed", () =>
    onDisk(Effect.gen(function*() {
      const store = TrialStore.layerFile(yield* file)
      yield* tried(store)
      assert.deepStrictEqual((yield* tried(store, { cases: [...cases.slice(1), { id: "a", input: "A" }] })).log, [
        "A",
        "A"
      ])
      assert.deepStrictEqual((yield* tried(store, { scorers: [Scorer.latency()] })).log.length, 6)
      assert.deepStrictEqual((yield* tried(store, { scorers: [Scorer.latency({ atMost: 5 })] })).log.length, 6)
    })))

  it.effect("a trial is tried again when its time or its budget has changed, and not otherwise", () =>
    Effect.gen(function*() {
      let tries = 0
      const experiment = Eval.make("limits", {
        cases: [{ id: "one", input: 1 }],
        task: () => Effect.sync(() => ++tries),
        scorers: []
      })
      const limits: ReadonlyArray<Eval.TrialOptions> = [
        {},
        { timeout: "1 second" },
        { timeout: "2 seconds" },
        { budget: Budget.make({ tokens: 10 }) },
        { budget: Budget.make({ tokens: 20 }) }
      ]
      for (const options of [...limits, ...limits, { timeout: 1000 }]) yield* Eval.run(experiment, options)
      assert.strictEqual(tries, limits.length)
    }).pipe(Effect.provide(TrialStore.layerMemory)))

  it.effect("inputs that are the same as JSON are told apart", () =>
    Effect.gen(function*() {
      const log: Array<unknown> = []
      const tried = (input: unknown) =>
        Eval.run(Eval.make("maps", {
          cases: [{ id: "one", input }],
          task: (input) => Effect.sync(() => log.push(input)),
          scorers: []
        }))
      const inputs = [new Map([[1, 2]]), new Map([[1, 3]]), new Set([1]), new Set([2]), { at: new Set([3]) }, {}]
      for (const input of [...inputs, ...inputs]) yield* tried(input)
      assert.deepStrictEqual(log, inputs)
    }).pipe(Effect.provide(TrialStore.layerMemory)))

  it.effect("a file that cannot be written is an error before the first trial", () =>
    onDisk(Effect.gen(function*() {
      const error = yield* Effect.flip(tried(TrialStore.layerFile(`${yield* file}/in/no/folder`)))
      assert.strictEqual((error as PlatformError.PlatformError)._tag, "PlatformError")
    })))

  it.effect("a last line that is torn is tried again; damage before it is an error", () =>
    onDisk(Effect.gen(function*() {
      const fileSystem = yield* FileSystem.FileSystem
      const path = yield* file
      const store = TrialStore.layerFile(path)
      yield* tried(store)
      const text = yield* fileSystem.readFileString(path)
      yield* fileSystem.writeFileString(path, text.slice(0, -100))
      assert.deepStrictEqual((yield* tried(store)).log, ["c"])
      assert.deepStrictEqual((yield* fileSystem.readFileString(path)).split("\n").length, 7)
      yield* fileSystem.writeFileString(path, text.replace(`"record"`, `"recorded"`))
      const error = yield* Effect.flip(tried(store))
      assert.match((error as TrialStore.InvalidTrialStore).message, /trials\.jsonl`, line 1: /)
    })))

  it.effect("works on a KeyValueStore, and a record that cannot be read is tried again", () =>
    onDisk(
      Effect.gen(function*() {
        const store = yield* KeyValueStore.KeyValueStore
        const layer = TrialStore.layerKeyValueStore
        const run = (options?: Parameters<typeof tried>[1]) =>
          tried(layer as Layer.Layer<TrialStore.TrialStore>, options).pipe(
            Effect.provideService(KeyValueStore.KeyValueStore, store)
          )
        yield* run()
        assert.deepStrictEqual((yield* run()).log, [])
        const [key] = (yield* store.keys).filter((key) => key.includes(`"b",2`))
        yield* store.set(key, "{}")
        assert.deepStrictEqual((yield* run()).log, ["b"])
      }).pipe(Effect.provide(KeyValueStore.layerMemory))
    ))

  it.effect("a store that fails costs no trial, and is logged", () =>
    Effect.gen(function*() {
      const logged: Array<unknown> = []
      const failing = (operation: "load" | "save") =>
        Effect.fail(new TrialStore.TrialStoreError({ operation, cause: new Error("disk") }))
      const experiment = Eval.make("failing", { cases, task: (id) => Effect.succeed(id), scorers: [] })
      const report = yield* Eval.run(experiment).pipe(
        Effect.provideService(TrialStore.TrialStore, { load: () => failing("load"), save: () => failing("save") }),
        Effect.provide(Logger.layer([Logger.make(({ logLevel }) => logged.push(logLevel))]))
      )
      assert.deepStrictEqual([Report.summary(report).passed, logged], [3, Array.from({ length: 6 }, () => "Warn")])
    }))
})
