/**
 * The sessions that agents have beside those of their callers. A run cannot be given one of them by name.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"

/**
 * The session that the agent of a tool runs with.
 *
 * @category services
 * @since 0.1.0
 */
export class OwnSession extends Context.Service<OwnSession, string>()("effect-agents/internal/OwnSession") {}

const prefix = "effect-agents/own:"

/**
 * Returns the id of the session of a tool's agent. It contains the length of the name, so that no two pairs have the
 * same id.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toId = (session: string, tool: string): string => `${prefix}${tool.length}:${tool}/${session}`

/**
 * Returns whether a run may not use this session, because it belongs to a tool's agent and the run is not that agent's.
 *
 * @category guards
 * @since 0.1.0
 */
export const isForeign = (session: string, context: Context.Context<never>): boolean =>
  session.startsWith(prefix) && Context.getOrUndefined(context, OwnSession) !== session
