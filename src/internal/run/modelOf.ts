/**
 * Makes an agent whose tools are called by a model.
 *
 * @since 0.1.0
 */

import type * as Schema from "effect/Schema"
// this makes agents, whose types are in that module
import type * as Agent from "../../Agent.ts"
import * as AgentOutput from "../../AgentOutput.ts"
import { prepare } from "../output/output.ts"
import type * as Misuse from "../words/misuse.ts"
import { fromBody, toolkitOf, toolsOf } from "./agentOf.ts"
import type * as Given from "./given.ts"
import * as LoopBody from "./loopBody.ts"

/**
 * Creates an agent that runs a model in a tool loop.
 *
 * @category constructors
 * @since 0.1.0
 */
export const modelOf = (
  name: string,
  options: Given.Options<any, any, any, any, any, any, any, any, any>
): Agent.Agent<any, any, any, any, any> => {
  const { description, instructions, output, settings, stopWhen = [], toolChoice, toolkit } = options
  const prepared = outputOf(output)
  const loop = {
    instructions,
    toolkit: toolkitOf(name, toolkit),
    stopWhen,
    output: prepared,
    settings,
    toolChoice
  }
  const parts = {
    middleware: options.middleware ?? [],
    providers: options.providers ?? [],
    model: options.model,
    value: prepared === undefined ? undefined : valueOf(prepared.output)
  }
  return fromBody({ name, description }, parts, (middleware, providers) => ({
    name,
    description,
    remote: false,
    providers,
    promisesValue: prepared?.output.mayWait === false,
    body: LoopBody.body({ ...loop, middleware })
  }), toolkit === undefined ? {} : toolsOf(toolkit))
}

const outputOf = (
  output: AgentOutput.Any | Schema.Codec<unknown, unknown, any, unknown> | Misuse.Fields | undefined
): LoopBody.Options["output"] =>
  output === undefined
    ? undefined
    // the compiler has refused plain fields
    : prepare(AgentOutput.isAgentOutput(output) ? output : AgentOutput.tool(output as Schema.Codec<unknown>))

const valueOf = ({ isWrapped, schema }: AgentOutput.Any): Schema.Constraint =>
  isWrapped ? (schema as unknown as Schema.Struct<{ readonly value: Schema.Constraint }>).fields.value : schema
