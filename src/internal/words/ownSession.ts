/**
 * The sessions that agents have beside those of their callers. Who names a session cannot name one of these.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"

/**
 * The session that the agent of a tool is run with.
 *
 * @category services
 * @since 0.1.0
 */
export class OwnSession extends Context.Service<OwnSession, string>()("effect-agents/internal/OwnSession") {}

const prefix = "effect-agents/own:"

/**
 * Returns the id of the session of a tool's agent. With the length of the name two pairs never have one id.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toId = (session: string, tool: string): string => `${prefix}${tool.length}:${tool}/${session}`

/**
 * Returns whether a run may not have this session: it is that of a tool's agent, and the run is not the tool's.
 *
 * @category guards
 * @since 0.1.0
 */
export const isForeign = (session: string, context: Context.Context<never>): boolean =>
  session.startsWith(prefix) && Context.getOrUndefined(context, OwnSession) !== session
