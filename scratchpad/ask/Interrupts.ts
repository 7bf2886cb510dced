/**
 * Who answers Ctrl-C: the program, or the system.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/**
 * Leaves Ctrl-C and SIGTERM to the system until the scope closes: they end the process at once, whatever a tool or a
 * finalizer does. Default: nothing changes.
 */
export const Unguarded = Context.Reference<Effect.Effect<void, never, Scope.Scope>>("ask/Interrupts/Unguarded", {
  defaultValue: () => Effect.void
})
