/**
 * The messages of a step that did not end.
 *
 * @since 0.1.0
 */
import type * as Prompt from "effect/ai/Prompt"
import type * as Middleware from "../../Middleware.ts"
import * as Session from "../../Session.ts"
import * as ToolHandler from "../tool/handler.ts"
import * as Cut from "../words/cut.ts"
import * as Parts from "../words/responseParts.ts"
import type { Call, StepBuilder } from "../words/stepBuilder.ts"
import { toPromptResult } from "./step.ts"

/**
 * Creates the messages of a step that did not end, closed and marked: the text and calls of the model, and the results
 * that the calls have.
 *
 * **Details**
 *
 * An unfinished response is kept as plain text and calls. The provider's data (ids, signatures, reasoning) is dropped,
 * because it belongs to a response that the provider may not know.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toMessages = (
  builder: StepBuilder,
  resultOf: (call: Call) => Middleware.ToolResult | undefined
): ReadonlyArray<Prompt.Message> => {
  const { calls = [], finishReason } = builder
  const said = builder.content()
  const content = finishReason === undefined || finishReason === "error" ? said.flatMap(plain) : said
  const answered = new Set(content.flatMap((part) => part.type === "tool-result" ? part.id : []))
  const closed = content.filter((part) => part.type !== "tool-call" || !part.providerExecuted || answered.has(part.id))
  const messages: Array<Prompt.Message> = []
  if (closed.length > 0) messages.push(Cut.assistantMessage(closed))
  if (calls.length > 0) messages.push(toResults(calls, resultOf))
  return messages
}

const plain = (part: Prompt.AssistantMessagePart): ReadonlyArray<Prompt.AssistantMessagePart> => {
  switch (part.type) {
    case "text":
      // a provider may refuse an empty text
      return part.text.trim() === "" ? [] : [Parts.promptText(part.text, Parts.empty)]
    case "reasoning":
    // the provider does not wait for the answer any more
    case "tool-approval-request":
      return []
    case "tool-call":
      return [part.providerExecuted ? part : Parts.promptToolCall(part, Parts.empty)]
    default:
      return [part]
  }
}

/**
 * Creates the message with the results of the calls in a step that did not end. A call without a result, or one that
 * waits for an approval, gets an interrupted one.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toResults = (
  calls: ReadonlyArray<Call>,
  resultOf: (call: Call) => Middleware.ToolResult | undefined
): Prompt.ToolMessage =>
  Cut.toolMessage(calls.map((call) => {
    const result = resultOf(call)
    return result === undefined || ToolHandler.requestsOf(result) !== undefined
      ? Session.interruptedResult(call)
      : toPromptResult(result)
  }))
