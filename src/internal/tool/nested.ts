/**
 * The tools of the agents that a tool calls, if they are known before a run. Edited parameters for such a tool are
 * decoded before anything runs.
 *
 * @since 0.1.0
 */
import type * as Tool from "effect/ai/Tool"
import * as Context from "effect/Context"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
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
 * Annotation of a tool that answers with the value of its agent: the schema of that value.
 *
 * @category annotations
 * @since 0.1.0
 */
export class CalledValue extends Context.Service<CalledValue, Schema.Constraint>()(
  "effect-agents/internal/CalledValue"
) {}

/**
 * The annotations of a tool that calls an agent and answers with the agent's value, or with what `result` makes of it.
 *
 * @category annotations
 * @since 0.1.0
 */
export const annotations = (
  agent: CalledAgent["Service"],
  { result, success }: { readonly result?: unknown; readonly success?: Schema.Constraint | undefined }
): Context.Context<never> => {
  const own = Context.make(CalledAgent, agent)
  // the keys of annotations are in no type
  return (result === undefined && success !== undefined
    ? Context.add(own, CalledValue, success)
    : own) as Context.Context<unknown> as Context.Context<never>
}

/**
 * Returns whether a tool calls an agent.
 *
 * @category guards
 * @since 0.1.0
 */
export const isNested = (tool: Tool.Any | undefined): boolean =>
  tool !== undefined && Option.isSome(Context.getOption(tool.annotations, CalledAgent))

const whole = new WeakSet<object>()

/**
 * The runs of an agent leave no records in a journal, because its work is done by something else. A call of it is recorded
 * like that of any tool.
 *
 * @category accessors
 * @since 0.1.0
 */
export const rememberWhole = <A extends object>(agent: A): A => {
  whole.add(agent)
  return agent
}

/**
 * Returns whether the runs of an agent leave no records in a journal.
 *
 * @category guards
 * @since 0.1.0
 */
export const isWhole = (agent: object): boolean => whole.has(agent)

/**
 * Returns whether a tool calls an agent whose runs record themselves, so that the call has no record of its own.
 *
 * @category guards
 * @since 0.1.0
 */
export const isRecorded = (tool: Tool.Any | undefined): boolean => {
  const agent = tool && Context.getOrUndefined(tool.annotations, CalledAgent)
  return agent !== undefined && !isWhole(agent())
}

// The key is an agent, or an effect that gives a toolkit.
const known = new WeakMap<object, Tools>()

const values = new WeakMap<object, Schema.Constraint>()

/**
 * Remembers the tools of an agent, or of an effect that gives a toolkit. `value` is the schema of the agent's value.
 *
 * @category accessors
 * @since 0.1.0
 */
export const remember = <A extends object>(self: A, tools: Tools | undefined, value?: Schema.Constraint): A => {
  if (tools !== undefined) known.set(self, tools)
  if (value !== undefined) values.set(self, value)
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
  const own = called(tools, next)?.tools
  return own && along(own, rest)
}

/**
 * Finds an agent that one of the tools calls, by its name: its tools, and the schema of its value, as far as they are
 * known.
 *
 * @category accessors
 * @since 0.1.0
 */
export const called = (
  tools: Tools,
  name: string
): { readonly tools: Tools | undefined; readonly value: Schema.Constraint | undefined } | undefined => {
  for (const tool of Object.values(tools)) {
    const agent = Context.getOrUndefined(tool.annotations, CalledAgent)?.()
    if (agent?.name !== name) continue
    return { tools: of(agent), value: values.get(agent) ?? Context.getOrUndefined(tool.annotations, CalledValue) }
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
