/**
 * The values in the parts of a run as JSON.
 *
 * @since 0.1.0
 */

import * as Prompt from "effect/ai/Prompt"
import * as Effect from "effect/Effect"
import * as SchemaParser from "effect/SchemaParser"
import * as AgentRun from "../../../AgentRun.ts"

/**
 * A part, with its JSON form if it has values that a tool, a model or an output has made.
 *
 * @category models
 * @since 0.1.0
 */
export type Coded = readonly [part: AgentRun.Part, encoded: AgentRun.PartEncoded | undefined]

const encodePart = SchemaParser.encodeUnknownEffect(AgentRun.parts())

/**
 * Returns the JSON form of a part that needs one. It fails if a value is not JSON.
 *
 * @category conversions
 * @since 0.1.0
 */
export const encode = (part: AgentRun.Part): Effect.Effect<Coded, unknown> => {
  const valued = part.type === "agent-part" ? part.part : part
  switch (valued.type) {
    case "tool-call":
    case "tool-result":
    case "output-partial":
      return coded(part, valued)
    case "run-end": {
      const { result } = valued
      if (result.value === undefined) return Effect.succeed([part, undefined])
      // the message has the transcript already
      return coded(part, { ...valued, result: { ...result, steps: [], transcript: Prompt.empty, approvals: [] } })
    }
    default:
      return Effect.succeed([part, undefined])
  }
}

const coded = (part: AgentRun.Part, valued: AgentRun.Part): Effect.Effect<Coded, unknown> =>
  Effect.map(encodePart(valued) as Effect.Effect<AgentRun.PartEncoded, unknown>, (encoded) => [part, encoded])
