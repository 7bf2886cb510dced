/**
 * `npm run evals`: compares two versions of an agent on a cassette, and asks the main job 20 questions on this
 * repository. `npm run evals -- --help` shows the flags.
 */
import type { NodeServices } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { Eval, EvalCommand } from "../../src/evals/index.ts"
import * as Folder from "../ask/Folder.ts"
import * as FolderTools from "../ask/FolderTools.ts"
import * as OfflinePlanner from "../ask/planner/OfflinePlanner.ts"
import { start } from "../ask/start.ts"
import * as Library from "./Library.ts"
import * as Repository from "./Repository.ts"

const program = Effect.gen(function*() {
  const library = yield* Layer.build(Layer.merge(
    FolderTools.layer.pipe(Layer.provideMerge(Folder.layer(Library.folder))),
    // calls that are not on the cassette are recorded of the planner
    Library.model("auto").pipe(Layer.provide(OfflinePlanner.model))
  ))
  const repository = yield* Layer.build(Repository.layer)
  yield* EvalCommand.run({
    name: "evals",
    experiments: [
      ...(yield* Library.experiments).map(Eval.provide(library)),
      (yield* Repository.experiment).pipe(Eval.provide(repository))
    ],
    // all of them always do the same
    rule: "every-case"
  })
}).pipe(
  Effect.scoped,
  Effect.tapError((error) => Effect.logError(error.message))
)

start(program as Effect.Effect<void, unknown, NodeServices.NodeServices>)
