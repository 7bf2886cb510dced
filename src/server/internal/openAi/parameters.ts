/**
 * The parameters that both wires have: which are read, which are refused, and which are ignored.
 *
 * @since 0.1.0
 */

import * as Schema from "effect/Schema"
import { maybe } from "./content.ts"
import * as Failures from "./failures.ts"

/**
 * The largest number of messages or items in a request.
 *
 * @category constants
 * @since 0.1.0
 */
export const maximumItems = 2048

/**
 * The name of an agent.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Model = Schema.NonEmptyString.check(Schema.isMaxLength(256))

/**
 * What a request says about the way in which a model writes. An agent ignores it, unless the `settings` of the server
 * give it to the model.
 *
 * @category models
 * @since 0.1.0
 */
export interface Sampling {
  readonly temperature: number | undefined
  readonly topP: number | undefined
  readonly maxOutputTokens: number | undefined
  readonly presencePenalty: number | undefined
  readonly frequencyPenalty: number | undefined
  readonly seed: number | undefined
  readonly stop: ReadonlyArray<string> | undefined
  readonly reasoningEffort: string | undefined
}

/**
 * The fields of a request for `Sampling` that both wires share.
 *
 * @category schemas
 * @since 0.1.0
 */
export const sampling = {
  temperature: maybe(Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 2 }))),
  top_p: maybe(Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 })))
}

/**
 * A number of tokens.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Count = Schema.Int.check(Schema.isGreaterThan(0))

/**
 * A penalty for tokens that were used.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Penalty = Schema.Finite.check(Schema.isBetween({ minimum: -2, maximum: 2 }))

/**
 * How much a model reasons.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Effort = Schema.String.check(Schema.isMaxLength(20))

/** A value of a parameter that asks for nothing. */
type Harmless = (value: unknown) => boolean

const never: Harmless = () => false
const falsy: Harmless = (value) => value === false || value === 0
const empty: Harmless = (value) => typeof value === "object" && value !== null && Object.keys(value).length === 0

/** The agent decides about the form of its answers. */
const isText: Harmless = (value) =>
  typeof value === "object" && value !== null && "type" in value && value.type === "text"

/**
 * The parameters of chat completions that change what a client receives, and that an agent does not have. Ignoring them
 * would be a wrong answer.
 *
 * @category constants
 * @since 0.1.0
 */
export const refusedByChat: Readonly<Record<string, Harmless>> = {
  n: (value) => value === 1,
  response_format: isText,
  logprobs: falsy,
  top_logprobs: falsy,
  logit_bias: empty,
  modalities: (value) => Array.isArray(value) && value.every((one) => one === "text"),
  audio: never,
  functions: never,
  function_call: never,
  web_search_options: never,
  moderation: never
}

/**
 * The same of responses.
 *
 * @category constants
 * @since 0.1.0
 */
export const refusedByResponses: Readonly<Record<string, Harmless>> = {
  conversation: never,
  prompt: never,
  max_tool_calls: never,
  top_logprobs: falsy,
  moderation: never,
  text: (value) =>
    typeof value !== "object" || value === null || !("format" in value) || value.format == null || isText(value.format)
}

/**
 * Returns why a request is refused that has one of these parameters.
 *
 * @category accessors
 * @since 0.1.0
 */
export const refusalOf = (
  body: unknown,
  parameters: Readonly<Record<string, Harmless>>,
  hasSettings: boolean
): Failures.Failure | undefined => {
  // the schema has accepted it as an object
  const given = body as Readonly<Record<string, unknown>>
  // the model would go on after the text
  if (!hasSettings && given.stop != null && String(given.stop) !== "") return unsupported("stop")
  const param = Object.keys(parameters).find((key) =>
    Object.hasOwn(given, key) && given[key] != null && !parameters[key](given[key])
  )
  return param === undefined ? undefined : unsupported(param)
}

/**
 * Creates the failure of a request with a parameter that an agent does not have.
 *
 * @category constructors
 * @since 0.1.0
 */
export const unsupported = (param: string): Failures.Failure =>
  Failures.refused(`Unsupported parameter: '${param}' is not supported with this model.`, {
    param,
    code: "unsupported_parameter"
  })
