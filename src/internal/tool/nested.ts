/**
 * The tools of the agents that a tool calls, if they are known before a run. Edited parameters for such a tool are
 * decoded before anything runs.
 *
 * @since 0.1.0
 */
import type * as Tool from "effect/ai/Tool"
import * as Context from "effect/Context"
import * as Option from "effect/Option"
import type * as AgentRun from "../../AgentRun.ts"

type Tools = Readonly<Record<string, Tool.Any>>

/**
 * Annotation of a tool that calls an agent. It returns the agent.
 *
 * @category annotations
 * @since 0.1.0
 */
export class CalledAgent extends Context.Service<CalledAgent, () => { readonly name: string }>()(
  "effect-agents/internal/CalledAgent"
) {}

/**
 * Returns whether a tool calls an agent.
 *
 * @category guards
 * @since 0.1.0
 */
export const isNested = (tool: Tool.Any | undefined): boolean =>
  tool !== undefined && Option.isSome(Context.getOption(tool.annotations, CalledAgent))

// The key is an agent, or an effect that gives a toolkit.
const known = new WeakMap<object, Tools>()

/**
 * Remembers the tools of an agent, or of an effect that gives a toolkit.
 *
 * @category accessors
 * @since 0.1.0
 */
export const remember = <A extends object>(self: A, tools: Tools | undefined): A => {
  if (tools !== undefined) known.set(self, tools)
  return self
}

/**
 * Returns the tools of an agent, or of an effect that gives a toolkit, if they are known.
 *
 * @category accessors
 * @since 0.1.0
 */
export const of = (self: object): Tools | undefined => known.get(self)

/**
 * Finds a tool by the names of the agents on the way to it. Tools that only a run knows, such as those of a context
 * provider, are not found.
 *
 * @category accessors
 * @since 0.1.0
 */
export const find = (tools: Tools, path: ReadonlyArray<string>, name: string): Tool.Any | undefined => {
  const own = along(tools, path)
  return own !== undefined && Object.hasOwn(own, name) ? own[name] : undefined
}

/**
 * Finds the tools of an agent by the names of the agents on the way to it. Returns `undefined` if they are not known.
 *
 * @category accessors
 * @since 0.1.0
 */
export const along = (tools: Tools, path: ReadonlyArray<string>): Tools | undefined => {
  const [next, ...rest] = path
  if (next === undefined) return tools
  for (const tool of Object.values(tools)) {
    const called = Option.map(Context.getOption(tool.annotations, CalledAgent), (agent) => agent())
    if (Option.isSome(called) && called.value.name === next) {
      const own = of(called.value)
      return own && along(own, rest)
    }
  }
  return undefined
}

/**
 * Creates the function that turns the parts of a nested run into parts of the run that called it. `called` is the call,
 * with the id that was given to the nested run; its `run-start` has the id that it really has.
 *
 * @category parts
 * @since 0.1.0
 */
export const toAgentParts = (
  called: Pick<AgentRun.AgentPart, "toolCallId" | "runId" | "parentRunId"> & { readonly agent: string }
): (parts: ReadonlyArray<AgentRun.Part>) => ReadonlyArray<AgentRun.AgentPart> => {
  const { agent, parentRunId, toolCallId } = called
  let { runId } = called
  return (parts) =>
    parts.map((part) => {
      if (part.type === "agent-part") return { ...part, path: [agent, ...part.path] }
      if (part.type === "run-start") runId = part.runId
      return { type: "agent-part", path: [agent], toolCallId, runId, parentRunId, part }
    })
}
