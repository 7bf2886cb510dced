#!/usr/bin/env node
import { Effect, Fiber } from "effect"
import { run } from "../dist/playground/internal/command.js"

const fiber = Effect.runFork(Effect.scoped(run(process.argv.slice(2))))

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, () => Effect.runPromise(Fiber.interrupt(fiber)).then(() => process.exit(130)))
}

fiber.addObserver((exit) => {
  if (exit._tag === "Success") process.exit(0)
  const [reason] = exit.cause.reasons
  if (reason?._tag === "Interrupt") return
  const isKnown = reason?._tag === "Fail" && reason.error._tag === "CommandError"
  console.error(isKnown ? reason.error.message : exit.cause)
  process.exit(isKnown && reason.error.problem === "usage" ? 2 : 1)
})
