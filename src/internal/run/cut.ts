/**
 * What is left of a step that did not end.
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
 * Creates the messages of a step that did not end, closed and marked: what the model has
 * said, and the results of its calls as far as there are any.
 *
 * **Details**
 *
 * A response that was not finished is kept as plain text and calls. What a provider says of
 * it (ids, signatures, reasoning) is about a response that it may not know.
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
      // a provider may refuse a text without a word
      return part.text.trim() === "" ? [] : [Parts.promptText(part.text, Parts.empty)]
    case "reasoning":
    // the provider waits for no answer any more
    case "tool-approval-request":
      return []
    case "tool-call":
      return [part.providerExecuted ? part : Parts.promptToolCall(part, Parts.empty)]
    default:
      return [part]
  }
}

/**
 * Creates the message with the results of the calls of a step that did not end. A call
 * that has none, or that waits for an approval, was interrupted.
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
