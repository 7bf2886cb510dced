#!/usr/bin/env node
import { Effect, Fiber } from "effect"
import { run } from "../dist/playground/internal/command.js"

const fiber = Effect.runFork(Effect.scoped(run(process.argv.slice(2))))

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, () => Effect.runPromise(Fiber.interrupt(fiber)).then(() => process.exit(130)))
}

// nothing is left that could end what the command waits for
process.once("beforeExit", () => {
  console.error("The module cannot be loaded: it waits for something that never comes, such as a top-level `await`.")
  process.exit(1)
})

fiber.addObserver((exit) => {
  if (exit._tag === "Success") process.exit(0)
  const [reason] = exit.cause.reasons
  if (reason?._tag === "Interrupt") return
  const isKnown = reason?._tag === "Fail" && reason.error._tag === "CommandError"
  console.error(isKnown ? reason.error.message : exit.cause)
  process.exit(isKnown && reason.error.problem === "usage" ? 2 : 1)
})
