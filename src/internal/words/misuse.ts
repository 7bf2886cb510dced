/**
 * Types for wrong values of an option. No value has these types. The compiler reports the property that a value lacks,
 * and the name of that property says what to write.
 *
 * @since 0.1.0
 */
import type * as Tool from "effect/ai/Tool"
import type * as Layer from "effect/Layer"

/**
 * Values that are not the toolkit of an agent.
 *
 * @category misuse
 * @since 0.1.0
 */
export type NotAToolkit = ATool | AList | ALayer | AnAgentTool | AnAgent

interface ATool extends Tool.Any {
  readonly "A tool is no toolkit: write `toolkit: Toolkit.make(tool)`": never
}

interface AList extends ReadonlyArray<any> {
  readonly "A list is no toolkit: write `toolkit: Toolkit.make(...tools)`, or `AgentTool.toolkit(...agentTools)`": never
}

interface ALayer extends Layer.Layer<any, any, any> {
  readonly "A layer is no toolkit: write `toolkit: toolkit`, and provide the layer to the program that runs the agent":
    never
}

interface AnAgentTool {
  readonly tool: Tool.Any
  readonly handler: (params: any, context: any) => unknown
  readonly "An agent's tool is no toolkit: write `toolkit: AgentTool.toolkit(agentTool)`": never
}

interface AnAgent {
  readonly name: string
  readonly description: string | undefined
  readonly stream: (input: any) => unknown
  readonly withMiddleware: (middleware: any) => unknown
  readonly "An agent is no toolkit: write `toolkit: AgentTool.toolkit(AgentTool.make(agent))`": never
}

/**
 * Values that are not the schema of an output.
 *
 * @category misuse
 * @since 0.1.0
 */
export interface Fields {
  readonly [field: string]: unknown
  readonly "Fields are no schema: write `output: Schema.Struct({ ... })`": never
}
