/**
 * The tools of the client that a request declares.
 *
 * @since 0.1.0
 */

import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Agent from "../../../Agent.ts"
import * as ClientTools from "../../ClientTools.ts"
import { maybe } from "./content.ts"
import * as Failures from "./failures.ts"
import * as Parameters from "./parameters.ts"

/**
 * The schema of a function. `ClientTools.Declaration` checks what is in it.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Function = Schema.Struct({
  name: Schema.String,
  description: maybe(Schema.String),
  parameters: maybe(Schema.Unknown)
})

/**
 * An agent with the tools of the client.
 *
 * @category models
 * @since 0.1.0
 */
export interface Equipped<R> {
  readonly agent: Agent.Agent<any, any, R, any, any>
  /** Whether a call of this name may be a call of the client. */
  readonly isClientTool: (name: string) => boolean
}

const decode = Schema.decodeUnknownResult(ClientTools.Declarations)

/**
 * Returns the agent with the tools of a request. With the choice `"none"` no tool is offered. An agent cannot be made to
 * call a tool of the client, nor to call only one.
 *
 * @category combinators
 * @since 0.1.0
 */
export const equip = <R>(
  agent: Agent.Agent<any, any, R, any, any>,
  request: {
    readonly tools: ReadonlyArray<typeof Function.Type>
    readonly choice: unknown
    readonly parallel: unknown
  }
): Result.Result<Equipped<R>, Failures.Failure> => {
  const { choice, parallel, tools } = request
  if (choice != null && choice !== "auto" && choice !== "none") {
    return Result.fail(Parameters.unsupported("tool_choice"))
  }
  if (parallel === false && tools.length > 0) return Result.fail(Parameters.unsupported("parallel_tool_calls"))
  const declared = decode(tools.map(({ description, name, parameters }) => ({
    name,
    ...description != null && { description },
    ...parameters != null && { parameters }
  })))
  if (Result.isFailure(declared)) return Result.fail(Failures.ofSchema(declared.failure, "tools"))
  const equipped = ClientTools.withDeclared(agent, choice === "none" ? [] : declared.success)
  if (Result.isFailure(equipped)) return Result.fail(Failures.ofRun(equipped.failure, "tools"))
  const names = new Set(declared.success.map(({ name }) => name))
  const own = Agent.tools(agent)
  return Result.succeed({
    agent: equipped.success,
    isClientTool: (name) =>
      names.has(name) || (own !== undefined && Object.hasOwn(own, name) && ClientTools.isClientTool(own[name]!))
  })
}
