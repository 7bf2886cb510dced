/**
 * `npm start`: the program on the offline planner.
 */
import * as OfflinePlanner from "../../src/testing/OfflinePlanner.ts"
import { program } from "./program.ts"
import { start } from "./start.ts"

start(
  program({
    title: "offline planner (deterministic, no network; counts 4 characters as a token)",
    layer: OfflinePlanner.model
  })
)
