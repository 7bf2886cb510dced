/**
 * Runs a program as this process. Ctrl-C and SIGTERM interrupt it, and it decides the exit code. A second Ctrl-C ends
 * it without waiting for the end of the run.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Runtime from "effect/Runtime"
import * as Interrupts from "./Interrupts.ts"

const signals = { SIGINT: 130, SIGTERM: 143 } as const

/**
 * In a terminal one Ctrl-C comes twice, from the terminal and from npm. Within this many milliseconds it counts as one.
 */
const sameSignal = 100

/** After this many milliseconds the user is told how to end the program at once. */
const patience = 2000

/** Starts the program. */
export const start = <A, E>(program: Effect.Effect<A, E, NodeServices.NodeServices>): void => {
  let interruptedWith: number | undefined
  let guard: (isGuarding: boolean) => void = () => {}
  const runMain = Runtime.makeRunMain(({ fiber, teardown }) => {
    const onSignal = (signal: keyof typeof signals) => {
      if (interruptedWith !== undefined) return
      interruptedWith = signals[signal]
      setTimeout(() => {
        // From here on the system ends this process by itself, whatever a tool or a finalizer does
        process.removeListener("SIGINT", onSignal)
        process.removeListener("SIGTERM", onSignal)
        setTimeout(() => process.stderr.write("Still ending; Ctrl-C again ends it at once\n"), patience).unref()
        fiber.interruptUnsafe(fiber.id)
      }, sameSignal)
    }
    process.on("SIGINT", onSignal)
    process.on("SIGTERM", onSignal)
    guard = (isGuarding) => {
      for (const signal of ["SIGINT", "SIGTERM"] as const) {
        process.removeListener(signal, onSignal)
        if (isGuarding) process.on(signal, onSignal)
      }
    }
    fiber.addObserver((exit) => {
      process.removeListener("SIGINT", onSignal)
      process.removeListener("SIGTERM", onSignal)
      // Nobody waits for an input that is never closed
      process.stdin.unref?.()
      teardown(exit, (code) => {
        if (interruptedWith !== undefined || code !== 0) process.exit(code)
      })
    })
  })
  const unguarded = Effect.acquireRelease(
    Effect.sync(() => {
      guard(false)
      // In raw mode the terminal gives Ctrl-C to the program
      const { isRaw } = process.stdin
      if (isRaw) process.stdin.setRawMode(false)
      return isRaw
    }),
    (wasRaw) =>
      Effect.sync(() => {
        guard(interruptedWith === undefined)
        if (wasRaw) process.stdin.setRawMode(true)
      })
  )
  let isRead = true
  // When the reader has gone (`| head`) there is no more output, and no stack trace
  process.stdout.on("error", () => {
    isRead = false
  })

  runMain(
    Effect.provideService(Effect.provide(program, NodeServices.layer), Interrupts.Unguarded, Effect.asVoid(unguarded)),
    {
      disableErrorReporting: true,
      teardown: (exit, onExit) => {
        if (Exit.isSuccess(exit)) return onExit(0)
        if (!Cause.hasInterruptsOnly(exit.cause)) return onExit(1)
        // The output tells last that nobody reads it
        setImmediate(() => onExit(isRead ? interruptedWith ?? 130 : 141))
      }
    }
  )
}
