/**
 * Two versions of the agent of the main job, at questions on a small folder: one with all of its tools, and one that
 * cannot search. Its model is on a cassette, which was recorded of the offline planner.
 */
import { Effect, Schema } from "effect"
import { Toolkit } from "effect/ai"
import { join } from "node:path"
import { Dataset, Eval, Scorer, Trajectory } from "../../src/evals/index.ts"
import { Agent } from "../../src/index.ts"
import { Cassette } from "../../src/testing/index.ts"
import * as FolderTools from "../ask/FolderTools.ts"

/** The folder that the questions are on. */
export const folder = join(import.meta.dirname, "library")

/**
 * The model: a cassette with the calls of both versions, recorded of the offline planner. Of a tool it keeps the name, so
 * that another description does not make another request.
 */
export const model = <const M extends Cassette.Mode>(mode: M) =>
  Cassette.layer({
    path: join(import.meta.dirname, "library.cassette.jsonl"),
    mode,
    normalise: (request) => ({ ...request, tools: Array.isArray(request.tools) ? request.tools.map(nameOf) : [] })
  })

const nameOf = (tool: Schema.Json): string =>
  typeof tool === "object" && tool !== null && "name" in tool ? String(tool.name) : ""

const instructions = "You answer questions about the files in one folder. Look before you answer."

const withSearch = Agent.make("librarian", {
  instructions,
  toolkit: Toolkit.make(FolderTools.ListFiles, FolderTools.SearchText, FolderTools.ReadFile)
})

const withoutSearch = Agent.make("librarian", {
  instructions,
  toolkit: Toolkit.make(FolderTools.ListFiles, FolderTools.ReadFile)
})

/** Reads the questions, and makes the experiments of both versions. */
export const experiments = Effect.gen(function*() {
  const cases = yield* Dataset.read(join(import.meta.dirname, "library.yaml"), { input: Schema.String })
  const scorers = [
    Scorer.includes(),
    Scorer.matches(/:\d+/).pipe(Scorer.withName("names a line")),
    Trajectory.superset(["read_file"]),
    Scorer.steps(),
    Scorer.tokens()
  ] as const
  return [
    Eval.make("library with search", {
      cases,
      task: (prompt: string) => Agent.run(withSearch, { prompt }),
      scorers
    }),
    Eval.make("library without search", {
      cases,
      task: (prompt: string) => Agent.run(withoutSearch, { prompt }),
      scorers
    })
  ] as const
})
