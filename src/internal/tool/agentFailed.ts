/**
 * The failures of agents that are called as tools, as their callers read them.
 *
 * @since 0.1.0
 */

import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
// the failures are told in the words of the module that makes the tools
import type * as AgentTool from "../../AgentTool.ts"
import * as Message from "../words/message.ts"

/**
 * Returns whether a value is the failure of an agent whose tool returns failures.
 *
 * @category guards
 * @since 0.1.0
 */
export const isAgentFailed = (u: unknown): u is AgentTool.AgentFailed<unknown> => Predicate.isTagged(u, "AgentFailed")

/**
 * Creates the failure of an agent whose tool returns failures.
 *
 * @category constructors
 * @since 0.1.0
 */
export const failed = <E>(agent: string, error: E): AgentTool.AgentFailed<E> => ({
  _tag: "AgentFailed",
  agent,
  message: Message.of(error, "The agent failed"),
  error
})

const Encoded = Schema.Struct({ agent: Schema.String, message: Schema.String })

/**
 * The failures of an agent whose tool returns them.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Failed: Schema.Codec<AgentTool.AgentFailed<unknown>, AgentTool.AgentFailedEncoded> = Encoded.pipe(
  Schema.decodeTo(
    Schema.declare(isAgentFailed),
    SchemaTransformation.transform({
      decode: ({ agent, message }): AgentTool.AgentFailed<unknown> => ({
        _tag: "AgentFailed",
        agent,
        message,
        error: undefined
      }),
      encode: ({ agent, message }) => ({ agent, message })
    })
  )
)

/**
 * The failures of an agent in failure mode `"error"`, which are the run's own. They are encoded only if `ToolFailure`
 * returns them to the model.
 *
 * @category schemas
 * @since 0.1.0
 */
export const failing = (agent: () => { readonly name: string }): Schema.Codec<unknown, AgentTool.AgentFailedEncoded> =>
  Encoded.pipe(Schema.decodeTo(
    Schema.declare((_): _ is unknown => true),
    SchemaTransformation.transform({
      decode: ({ agent, message }): unknown => ({ _tag: "AgentFailed", agent, message, error: undefined }),
      encode: (error) => ({ agent: agent().name, message: Message.of(error, "The agent failed") })
    })
  ))
