/**
 * Which run a piece of code belongs to.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Fiber from "effect/Fiber"
import type * as Schema from "effect/Schema"
import type * as Session from "../../Session.ts"
import type * as InLine from "../session/inLine.ts"

/**
 * A run with a session, as those who wait for it know it: `caller` is the run with a session that it is nested in, and
 * `fiber` the one that pulled it last.
 *
 * @category models
 * @since 0.1.0
 */
export interface SessionRun {
  readonly caller: SessionRun | undefined
  fiber: Fiber.Fiber<unknown, unknown> | undefined
  /** The state of the session, once it is loaded. */
  state: OpenState | undefined
  /** Its place in the line for the session, when it offers its prompt there and takes those of others. */
  inLine: InLine.InLine | undefined
}

/**
 * The state of a session in a run: what is stored, what the run has written, and whose each name is.
 *
 * @category models
 * @since 0.1.0
 */
export interface OpenState {
  readonly sessionId: string
  readonly stored: Session.State
  readonly written: Map<string, Schema.Json>
  readonly owners: Map<string, object>
}

/**
 * The innermost run with a session that a fiber belongs to: a provider, a middleware, a tool, a run nested in it.
 *
 * @category services
 * @since 0.1.0
 */
export class CurrentRun extends Context.Service<CurrentRun, SessionRun>()("effect-agents/internal/CurrentRun") {}

/**
 * Creates a run with a session that is begun in this context.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (context: Context.Context<never>): SessionRun => ({
  caller: Context.getOrUndefined(context, CurrentRun),
  fiber: undefined,
  state: undefined,
  inLine: undefined
})
