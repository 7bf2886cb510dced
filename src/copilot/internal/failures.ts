/**
 * The runtime's failures, as reasons of a `CopilotError`.
 *
 * @since 0.1.0
 */
import type * as Sdk from "@github/copilot-sdk"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as CopilotError from "../CopilotError.ts"

type Event<Type extends Sdk.SessionEvent["type"]> = Extract<Sdk.SessionEvent, { readonly type: Type }>["data"]

/**
 * A call of the model has failed. The runtime may try it again.
 *
 * @category conversions
 * @since 0.1.0
 */
export const callFailed = (data: Event<"model.call_failure">): CopilotError.ModelFailed =>
  new CopilotError.ModelFailed({
    kind: data.failureKind ?? "query",
    description: data.errorMessage === undefined ? "there was no answer" : readable(data.errorMessage),
    ...(data.statusCode === undefined ? undefined : { statusCode: data.statusCode })
  })

/**
 * The runtime has given up. `last` is the failed call before that.
 *
 * @category conversions
 * @since 0.1.0
 */
export const sessionFailed = (
  data: Event<"session.error">,
  last: CopilotError.ModelFailed | undefined
): CopilotError.ModelFailed => {
  const statusCode = data.statusCode ?? last?.statusCode
  return new CopilotError.ModelFailed({
    kind: data.errorType,
    description: data.message.replaceAll(/\s*\n\s*/g, " "),
    ...(statusCode === undefined ? undefined : { statusCode }),
    ...(last === undefined || data.message.includes(last.description) ? undefined : { detail: last.description })
  })
}

/** The message is the body of a response, a JSON string, or plain text. */
const readable = (message: string): string => {
  const value = Option.getOrElse(fromJson(message), () => message)
  if (Predicate.isString(value)) return value
  return Predicate.hasProperty(value, "message") && Predicate.isString(value.message) ? value.message : message
}

const fromJson = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Unknown))
