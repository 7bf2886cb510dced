/**
 * Runs a program as this process: Ctrl-C and SIGTERM interrupt it, and it decides
 * the exit code.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

/** Starts the program. */
export const start = <A, E>(program: Effect.Effect<A, E, NodeServices.NodeServices>): void => {
  let first = Number.POSITIVE_INFINITY
  let interruptedWith = 130
  const onSignal = (code: number) => () => {
    interruptedWith = code
    // Whoever asks again does not want to wait for the end of the run. (In a terminal one Ctrl-C
    // comes twice: from the terminal, and forwarded by npm.)
    if (performance.now() - first > 500) process.exit(code)
    first = Math.min(first, performance.now())
  }
  process.on("SIGINT", onSignal(130))
  process.on("SIGTERM", onSignal(143))
  // A reader that has gone (`| head`) needs no more output, and no stack trace
  process.stdout.on("error", () => {
    interruptedWith = 141
  })

  NodeRuntime.runMain(Effect.provide(program, NodeServices.layer), {
    disableErrorReporting: true,
    teardown: (exit, onExit) =>
      onExit(Exit.isSuccess(exit) ? 0 : Cause.hasInterruptsOnly(exit.cause) ? interruptedWith : 1)
  })
}
