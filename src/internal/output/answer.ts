/**
 * The final answer of an agent, decoded or rejected.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import type * as AgentError from "../../AgentError.ts"
import type * as AgentOutput from "../../AgentOutput.ts"
import * as Mistakes from "../tool/mistakes.ts"
import * as Json from "../words/json.ts"
import * as JsonCodec from "../words/jsonCodec.ts"
import { find } from "./find.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface Accepted {
  readonly _tag: "Accepted"
  readonly value: unknown
}

/**
 * An answer that is not valid. `message` is what the model is told, unless the result of the call tells it. With
 * `isFinal` the model is not asked again.
 *
 * @category models
 * @since 0.1.0
 */
export interface Rejected {
  readonly _tag: "Rejected"
  readonly issues: AgentError.InvalidOutput["issues"]
  readonly raw: string
  readonly message: string | undefined
  readonly isFinal: boolean
}

/**
 * Rejects an answer for one reason.
 *
 * @category decoding
 * @since 0.1.0
 */
export const rejected = (
  message: string,
  raw: string,
  options?: { readonly message?: string | undefined; readonly isFinal?: boolean | undefined }
): Rejected => ({
  _tag: "Rejected",
  issues: [{ path: [], message }],
  raw,
  message: options?.message,
  isFinal: options?.isFinal ?? false
})

/**
 * Takes the value out of a decoded answer.
 *
 * @category decoding
 * @since 0.1.0
 */
export const unwrap = (output: AgentOutput.Any, decoded: unknown): Accepted => ({
  _tag: "Accepted",
  value: output.isWrapped ? (decoded as { readonly value: unknown }).value : decoded
})

// the services of the decoder are in the type of the agent and in the context of the run
const decoderOf = ({ schema }: AgentOutput.Any) =>
  Schema.decodeUnknownEffect(JsonCodec.make(schema), { errors: "all" }) as (
    u: unknown
  ) => Effect.Effect<unknown, Schema.SchemaError>

/**
 * Decodes an answer.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = (output: AgentOutput.Any, params: unknown): Effect.Effect<Accepted, Schema.SchemaError> =>
  Effect.map(
    Json.bounded(decoderOf(output))(params),
    (decoded) => unwrap(output, decoded)
  )

/**
 * Decodes an answer that is text: the one valid JSON value in it. If it has several different ones, the model has to
 * choose.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decodeText = (output: AgentOutput.Any, text: string): Effect.Effect<Accepted | Rejected> =>
  Effect.suspend(() => {
    const values = find(text)
    if (values.length === 0) return Exit.succeed(invalid("Expected a JSON value", text))
    if (values.length > maximumValues) return Exit.succeed(invalid(several(values.length), text))
    return Effect.map(
      Effect.forEach(values, (value) => Effect.map(decodeValue(output, value), (answer) => ({ value, answer }))),
      (decoded) => choose(output, decoded, text)
    )
  })

/** With more values than this none is chosen. */
const maximumValues = 16

const several = (count: number): string => `Expected one JSON value, got ${count} that may be meant`

const choose = (
  output: AgentOutput.Any,
  decoded: ReadonlyArray<{ readonly value: unknown; readonly answer: Accepted | Schema.SchemaError }>,
  text: string
): Accepted | Rejected => {
  const valid = decoded.filter(({ answer }) => answer._tag === "Accepted")
  const [first] = valid
  if (first !== undefined) {
    return valid.every(({ value }) => Json.isSame(value, first.value))
      ? first.answer as Accepted
      : invalid(several(valid.length), text)
  }
  // the last value is what the model has concluded with
  const error = decoded[decoded.length - 1]!.answer as Schema.SchemaError
  return { ...invalid(error.message, text), issues: issuesOf(output, error) }
}

/** The answer to a wrapped schema often comes without the wrapper. */
const decodeValue = (output: AgentOutput.Any, value: unknown): Effect.Effect<Accepted | Schema.SchemaError> =>
  Effect.matchEffect(decode(output, value), {
    onSuccess: Effect.succeed<Accepted>,
    onFailure: (error) =>
      output.isWrapped && !Predicate.hasProperty(value, "value")
        ? Effect.orElseSucceed(decode(output, { value }), () => error)
        : Effect.succeed(error)
  })

const notValid = (description: string): string =>
  `The answer is not valid. Answer again, with JSON only.\n${description}`

/**
 * Rejects an answer in JSON mode that the model's own codec has refused.
 *
 * @category decoding
 * @since 0.1.0
 */
export const invalid = (description: string, text: string): Rejected =>
  rejected(description, text, { message: notValid(Mistakes.shorten(description)) })

const formatIssues = SchemaIssue.makeFormatterStandardSchemaV1()

/**
 * Returns the places and reasons of the errors in an answer.
 *
 * @category decoding
 * @since 0.1.0
 */
export const issuesOf = (output: AgentOutput.Any, error: Schema.SchemaError): Rejected["issues"] =>
  formatIssues(error.issue).issues.map(({ message, path = [] }) => {
    const keys = path.map((segment) => {
      const key = Predicate.isObject(segment) && "key" in segment ? segment.key : segment
      return typeof key === "number" ? key : String(key)
    })
    return { path: output.isWrapped && keys[0] === "value" ? keys.slice(1) : keys, message }
  })

/**
 * Returns the refusal of a schema. Anything else is a defect of the schema, or an interruption.
 *
 * @category decoding
 * @since 0.1.0
 */
export const schemaErrorOf = (exit: Exit.Failure<unknown, Schema.SchemaError>): Effect.Effect<Schema.SchemaError> => {
  const error = Exit.findErrorOption(exit)
  return error._tag === "Some" ? Exit.succeed(error.value) : Exit.failCause(exit.cause as never)
}
