/**
 * The main job at 20 questions on this repository, with the offline planner as its model.
 */
import { Effect, type FileSystem, Layer, type Path, Schema, Stream } from "effect"
import type { LanguageModel, Tool } from "effect/ai"
import { join } from "node:path"
import { Dataset, Eval, Scorer } from "../../src/evals/index.ts"
import { Agent, SessionStore } from "../../src/index.ts"
import * as Folder from "../ask/Folder.ts"
import * as FolderAgent from "../ask/FolderAgent.ts"
import * as FolderTools from "../ask/FolderTools.ts"
import * as OfflinePlanner from "../ask/planner/OfflinePlanner.ts"

/** The root of the repository. */
export const root = join(import.meta.dirname, "..", "..")

/** The baseline of the experiment: which questions are answered, and which are not yet. */
export const baseline = join(import.meta.dirname, "baselines", "repository.baseline.json")

/** These questions and their answers, and what is kept in hidden folders. */
const hidden = /^(\.[^/]+|scratchpad\/evals)(\/|$)/

/** The repository without what is hidden. It is read once: it does not change between two questions. */
const folder = Layer.effect(Folder.Folder)(
  Effect.map(Folder.Folder, (folder) => {
    const walks = new Map<string, ReadonlyArray<Folder.Entry>>()
    return {
      ...folder,
      walk: (from, depth) =>
        Stream.suspend(() => {
          const key = `${depth} ${from}`
          const known = walks.get(key)
          if (known !== undefined) return Stream.fromIterable(known)
          const entries: Array<Folder.Entry> = []
          return folder.walk(from, depth).pipe(
            Stream.filter(({ path }) => !hidden.test(path)),
            Stream.map(readOnce),
            Stream.tap((entry) => Effect.sync(() => entries.push(entry))),
            Stream.onEnd(Effect.sync(() => walks.set(key, entries)))
          )
        })
    }
  })
).pipe(Layer.provide(Folder.layer(root)))

const readOnce = (entry: Folder.Entry): Folder.Entry => {
  let known: string | undefined
  return {
    ...entry,
    text: Effect.suspend(() =>
      known === undefined ? Effect.tap(entry.text, (text) => Effect.sync(() => known = text)) : Effect.succeed(known)
    )
  }
}

const agent = FolderAgent.make("completed")

/** Reads the questions, and makes the experiment. */
export const experiment = Effect.map(
  Dataset.read(join(import.meta.dirname, "questions.yaml"), {
    input: Schema.String,
    expected: Schema.Union([Schema.String, Schema.Array(Schema.String)])
  }),
  (cases) =>
    Eval.make("repository", {
      cases,
      task: (prompt) => Agent.run(agent, { prompt }),
      scorers: [Scorer.includes(), Scorer.outcome("completed")]
    })
)

/** What the experiment needs. */
export const layer: Layer.Layer<
  | LanguageModel.LanguageModel
  | Tool.HandlersFor<typeof FolderTools.toolkit.tools>
  | Folder.Folder
  | SessionStore.SessionStore,
  Folder.FolderUnusable,
  FileSystem.FileSystem | Path.Path
> = Layer.mergeAll(
  FolderTools.layer.pipe(Layer.provideMerge(folder)),
  SessionStore.layerMemory,
  OfflinePlanner.model
)
