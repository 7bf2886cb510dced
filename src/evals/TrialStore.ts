/**
 * Stores of finished trials: an experiment that was cut goes on with what is missing.
 *
 * Where `Eval.run` finds a `TrialStore` in its context, it saves each trial when it has ended, and takes the trials that
 * are there already from the store. A trial belongs to an experiment by its name, to a case by its id, its input and its
 * reference, to its scorers and their thresholds, and to its `timeout` and `budget`; when one of these changes the trial
 * is tried again. A change of the task is not seen: give the experiment a new name, or begin with an empty store.
 *
 * **Example** (Two runs of one experiment)
 *
 * ```ts
 * import { Console, Effect } from "effect"
 * import { Eval, TrialStore } from "effect-agents/evals"
 *
 * const experiment = Eval.make("slow", {
 *   cases: [{ id: "a", input: 1 }, { id: "b", input: 2 }],
 *   task: (n: number) => Effect.as(Console.log(`trying ${n}`), n),
 *   scorers: []
 * })
 *
 * const program = Effect.gen(function*() {
 *   yield* Eval.run(experiment)
 *   const report = yield* Eval.run(experiment)
 *   yield* Console.log(`${report.cases.length} cases`)
 * })
 *
 * Effect.runPromise(Effect.provide(program, TrialStore.layerMemory))
 * // => trying 1
 * // => trying 2
 * // => 2 cases
 * ```
 *
 * @since 0.1.0
 */

import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import type * as PlatformError from "effect/PlatformError"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import * as Trial from "./Trial.ts"

// =============================================================================
// Errors
// =============================================================================

/**
 * A trial could not be saved or loaded. `Eval.run` logs it, and goes on without the store.
 *
 * @category errors
 * @since 0.1.0
 */
export class TrialStoreError extends Schema.Error<TrialStoreError>("effect-agents/evals/TrialStore/TrialStoreError")({
  _tag: Schema.tag("TrialStoreError"),
  operation: Schema.Literals(["load", "save"]),
  cause: Schema.Defect()
}) {
  override get message(): string {
    return `The store of trials cannot ${this.operation} a trial`
  }
}

/**
 * A file is not a store of trials, or is damaged before its last line.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidTrialStore extends Schema.Error<InvalidTrialStore>(
  "effect-agents/evals/TrialStore/InvalidTrialStore"
)({
  _tag: Schema.tag("InvalidTrialStore"),
  path: Schema.String,
  /** The first line is 1. */
  line: Schema.Int,
  description: Schema.String
}) {
  override get message(): string {
    return `\`${this.path}\`, line ${this.line}: ${this.description}`
  }
}

// =============================================================================
// Service
// =============================================================================

/**
 * Service that keeps finished trials by their keys.
 *
 * @category services
 * @since 0.1.0
 */
export class TrialStore extends Context.Service<TrialStore, {
  readonly load: (key: string) => Effect.Effect<Option.Option<Trial.Record>, TrialStoreError>
  readonly save: (key: string, record: Trial.Record) => Effect.Effect<void, TrialStoreError>
}>()("effect-agents/evals/TrialStore") {}

// =============================================================================
// Layers
// =============================================================================

/**
 * Layer that keeps trials in memory.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory: Layer.Layer<TrialStore> = Layer.sync(TrialStore)(() => {
  const records = new Map<string, Trial.Record>()
  return TrialStore.of({
    load: (key) => Effect.sync(() => Option.fromUndefinedOr(records.get(key))),
    save: (key, record) => Effect.sync(() => void records.set(key, record))
  })
})

/**
 * Layer that keeps trials in a `KeyValueStore`. A record that cannot be read is tried again.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerKeyValueStore: Layer.Layer<TrialStore, never, KeyValueStore.KeyValueStore> = Layer.effect(
  TrialStore,
  Effect.map(KeyValueStore.KeyValueStore, (store) =>
    TrialStore.of({
      load: (key) =>
        Effect.mapError(store.get(key), (cause) => new TrialStoreError({ operation: "load", cause })).pipe(
          Effect.map((text) => text === undefined ? Option.none() : Result.getSuccess(decodeRecord(text)))
        ),
      save: (key, record) =>
        Effect.flatMap(Effect.orDie(encodeRecord(record)), (text) => store.set(key, text)).pipe(
          Effect.mapError((cause) => new TrialStoreError({ operation: "save", cause }))
        )
    }))
)

/**
 * Layer that keeps trials in a file, a line for each. The directory of the file must exist. A last line that is
 * incomplete, because the process ended while it wrote it, is removed; damage anywhere else is an error.
 *
 * **Gotchas**
 *
 * One process at a time: two that write to one file try every case twice.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerFile = (
  path: string
): Layer.Layer<TrialStore, InvalidTrialStore | PlatformError.PlatformError, FileSystem.FileSystem> =>
  Layer.effect(TrialStore, makeFile(path))

const makeFile = Effect.fnUntraced(function*(path: string) {
  const fileSystem = yield* FileSystem.FileSystem
  const records = new Map<string, Trial.Record>()
  const writing = yield* Semaphore.make(1)
  // a file that cannot be written is told before the first trial
  yield* fileSystem.writeFileString(path, "", { flag: "a" })
  const lines = (yield* fileSystem.readFileString(path)).split("\n")
  for (let index = 0; index < lines.length - 1; index++) {
    const line = decodeLine(lines[index])
    if (Result.isFailure(line)) {
      return yield* new InvalidTrialStore({ path, line: index + 1, description: line.failure.message })
    }
    records.set(line.success.key, line.success.record)
  }
  if (lines.at(-1) !== "") {
    yield* fileSystem.writeFileString(`${path}.tmp`, lines.slice(0, -1).map((line) => `${line}\n`).join(""))
    yield* fileSystem.rename(`${path}.tmp`, path)
  }
  return TrialStore.of({
    load: (key) => Effect.sync(() => Option.fromUndefinedOr(records.get(key))),
    save: (key, record) =>
      Effect.orDie(encodeLine({ key, record })).pipe(
        Effect.flatMap((line) => fileSystem.writeFileString(path, `${line}\n`, { flag: "a" })),
        Effect.mapError((cause) => new TrialStoreError({ operation: "save", cause })),
        Effect.tap(() => Effect.sync(() => records.set(key, record))),
        // a line is written as a whole, also when the experiment is interrupted now
        Effect.uninterruptible,
        writing.withPermit
      )
  })
})

const RecordJson = Schema.fromJsonString(Schema.toCodecJson(Trial.Record))

const LineJson = Schema.fromJsonString(Schema.toCodecJson(Schema.Struct({ key: Schema.String, record: Trial.Record })))

const encodeRecord = Schema.encodeEffect(RecordJson)
const decodeRecord = Schema.decodeResult(RecordJson)
const encodeLine = Schema.encodeEffect(LineJson)
const decodeLine = Schema.decodeResult(LineJson)
