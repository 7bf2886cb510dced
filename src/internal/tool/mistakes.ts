/**
 * Mistakes of a model in its calls. The result of the call tells the model what it wrote, and everything that is wrong
 * with it.
 *
 * @since 0.1.0
 */
import * as AiError from "effect/ai/AiError"
import * as Tool from "effect/ai/Tool"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import type * as Middleware from "../../Middleware.ts"
import * as Json from "../words/json.ts"
import * as Parts from "../words/responseParts.ts"
import * as Text from "../words/text.ts"
import { asMistake } from "./gate.ts"

/**
 * Creates a failure result that tells the model in words what was wrong with its call.
 *
 * @category results
 * @since 0.1.0
 */
export const mistake = (
  call: { readonly id: string; readonly name: string },
  reason: AiError.ToolNotFoundError | AiError.ToolParameterValidationError
): Middleware.ToolResult =>
  asMistake(Parts.toolResult({
    id: call.id,
    name: call.name,
    result: AiError.make({ module: "ToolLoop", method: call.name, reason }),
    encodedResult: reason.message,
    isFailure: true,
    preliminary: false
  }))

/**
 * Answers a call whose parameters do not decode.
 *
 * @category results
 * @since 0.1.0
 */
export const invalidParameters = (
  call: { readonly id: string; readonly name: string },
  description: string
): Middleware.ToolResult =>
  mistake(call, new AiError.ToolParameterValidationError({ toolName: call.name, description: shorten(description) }))

/** The maximum length of the excerpt from the model's text, and of the list of issues. */
const maximumExcerpt = 1000
const maximumIssues = 4000

/**
 * Returns the issues in a length that a model can read.
 *
 * @category mistakes
 * @since 0.1.0
 */
export const shorten = (issues: string): string => Text.shorten(issues, maximumIssues)

/**
 * Returns what is wrong with the arguments of a call before a schema is used: they are not a JSON object. Absent
 * arguments and `null` count as an object without keys.
 *
 * @category mistakes
 * @since 0.1.0
 */
export const notAnObject = (params: unknown): string | undefined => {
  if (params === undefined || params === null) return undefined
  if (typeof params === "object" && !Array.isArray(params)) return undefined
  const text = Json.toText(params)
  const isCut = text.length > maximumExcerpt
  const written = isCut ? `${Text.shorten(text, maximumExcerpt)} (${text.length} characters in all)` : text
  if (typeof params !== "string") return `The arguments have to be a JSON object. They were: ${written}`
  const parsed = Result.try(() => Tool.unsafeSecureJsonParse(params))
  const reason = Result.isFailure(parsed)
    ? ` (${Predicate.isError(parsed.failure) ? parsed.failure.message : String(parsed.failure)})`
    : ""
  return `The arguments have to be a JSON object, and are no valid JSON${reason}. They were: ${written}`
}

/**
 * Returns everything that a schema finds wrong with the arguments of a call.
 *
 * @category mistakes
 * @since 0.1.0
 */
export const issuesOf = (params: unknown, error: Schema.SchemaError): string =>
  params === null ? `The arguments have to be a JSON object. They were: null\n${error.message}` : error.message
