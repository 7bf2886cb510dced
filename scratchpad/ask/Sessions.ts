/**
 * The SQLite file in which conversations are kept.
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import * as SessionStore from "../../src/SessionStore.ts"
import * as Folder from "./Folder.ts"

/** A file that was named on the command line cannot be used. */
export class FileUnusable extends Schema.Error<FileUnusable>("ask/Sessions/FileUnusable")({
  _tag: Schema.tag("FileUnusable"),
  file: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `Cannot use ${this.file}: ${this.problem}`
  }
}

/** Layer of the store in the named file, or in the file of this user. */
export const layer = (named: string | undefined) => Layer.unwrap(make(named))

const make = Effect.fnUntraced(function*(named: string | undefined) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const file = named ?? path.join(yield* stateFolder, "effect-agents", "sessions.sqlite")
  if (named === undefined) {
    yield* Effect.mapError(
      fs.makeDirectory(path.dirname(file), { recursive: true, mode: 0o700 }),
      (error) => new FileUnusable({ file, problem: Folder.reasonOf(error, "folder") })
    )
  }
  // Loaded here, because most runs need no database
  const { layerFile } = yield* Effect.promise(() => import("../../src/sqlite/SqliteSessionStore.ts"))
  return layerFile({ filename: file }).pipe(
    Layer.catch((error) => Layer.effect(SessionStore.SessionStore)(new FileUnusable({ file, problem: error.message })))
  )
})

const stateFolder = Effect.gen(function*() {
  const path = yield* Path.Path
  const state = yield* Config.withDefault(Config.String("XDG_STATE_HOME"), "")
  if (state !== "") return state
  const home = yield* Config.withDefault(Config.String("HOME"), ".")
  return path.join(home, ".local", "state")
})
