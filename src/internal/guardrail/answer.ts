/**
 * The text of a guardrail in place of a model's answer.
 *
 * @since 0.1.0
 */

import * as Response from "effect/ai/Response"
import * as Stream from "effect/Stream"
import * as Parts from "../words/responseParts.ts"
import type { StreamPart } from "../words/stepBuilder.ts"
import * as Usage from "../words/usage.ts"

/**
 * Creates the parts that a model would stream for this text.
 *
 * @category constructors
 * @since 0.1.0
 */
export const answer = (text: string): Stream.Stream<StreamPart> =>
  Stream.fromIterable([
    Parts.textStart("guardrail"),
    Parts.textDelta("guardrail", text),
    Parts.textEnd("guardrail"),
    Parts.finish("stop", new Response.Usage(Usage.empty))
  ])
