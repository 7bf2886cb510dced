/**
 * Copies of an answer that need no model: a cassette, and the source of a test.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import type * as PlatformError from "effect/PlatformError"
import * as Schema from "effect/Schema"
import * as AgentRun from "../../../src/AgentRun.ts"
import * as Cassette from "../../../src/testing/Cassette.ts"
import * as ScriptedModel from "../../../src/testing/ScriptedModel.ts"
import * as Folder from "../Folder.ts"
import * as Sessions from "../Sessions.ts"

/** The paths of the two files. */
export interface Files {
  readonly cassette: string
  readonly test: string
}

const encode = Schema.encodeEffect(AgentRun.parts())

/** Writes both files. A file that is there already is not changed. */
export const write = Effect.fnUntraced(function*(
  name: string,
  parts: ReadonlyArray<AgentRun.Part>,
  question: string
) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const files: Files = { cassette: path.resolve(`${name}.jsonl`), test: path.resolve(`${name}.test.ts`) }
  const encoded = yield* Effect.forEach(parts, (part) => encode(part))
  // A run that completed tells its prompt
  const options = parts.some(({ type }) => type === "run-end") ? {} : { prompt: question }
  for (const file of [files.cassette, files.test]) {
    if (yield* Effect.mapError(fs.exists(file), unusable(file))) return yield* taken(file)
  }
  const create = (file: string, text: string) =>
    Effect.mapError(fs.writeFileString(file, text, { flag: "wx" }), unusable(file))
  yield* create(files.cassette, Cassette.fromParts(encoded, options))
  yield* create(files.test, ScriptedModel.toTest(encoded, options))
  return files
})

const taken = (file: string) => new Sessions.FileUnusable({ file, problem: "it is there already" })

const unusable = (file: string) => (error: PlatformError.PlatformError) =>
  error.reason._tag === "AlreadyExists"
    ? taken(file)
    : new Sessions.FileUnusable({ file, problem: Folder.reasonOf(error, "folder") })
