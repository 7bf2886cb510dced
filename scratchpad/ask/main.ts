/**
 * `npm start`: runs the program with the model that the flags and the environment name, or with the offline planner.
 */
import * as OfflinePlanner from "./planner/OfflinePlanner.ts"
import * as Models from "./Models.ts"
import { program } from "./program.ts"
import { start } from "./start.ts"

const offline = {
  title: "offline planner (deterministic, no network; counts 4 characters as a token)",
  layer: OfflinePlanner.model,
  isOffline: true
}

start(program((input) => Models.select(input, offline)))
