/**
 * Failures in the words of OpenAI.
 *
 * @since 0.1.0
 */

import type * as Cause from "effect/Cause"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Predicate from "effect/Predicate"
import * as AgentApi from "../../AgentApi.ts"
import type { ErrorBody } from "./chatModels.ts"

/**
 * Why a request or a run has no answer.
 *
 * @category models
 * @since 0.1.0
 */
export interface Failure extends ErrorBody {
  readonly status: number
  readonly retryable: boolean
}

/**
 * Creates a failure of the request. `param` is the field that is wrong.
 *
 * @category constructors
 * @since 0.1.0
 */
export const refused = (
  message: string,
  options?: {
    /** Default: 400. */
    readonly status?: number | undefined
    /** Default: none. */
    readonly code?: string | undefined
    /** Default: none. */
    readonly param?: string | undefined
  }
): Failure => ({
  status: options?.status ?? 400,
  retryable: false,
  error: { message, type: "invalid_request_error", code: options?.code ?? null, param: options?.param ?? null }
})

/**
 * Returns the failure of a run. The codes that clients know have their names, the others are those of
 * `AgentError.describe`. `param` is the field of the request that is wrong.
 *
 * @category conversions
 * @since 0.1.0
 */
export const ofRun = ({ code, message, retryable, status }: AgentApi.RunFailed, param?: string): Failure => {
  const known = names[code]
  return {
    status: known?.status ?? status,
    retryable,
    error: { message, type: typeOf(status), code: known?.code ?? code.replaceAll("-", "_"), param: param ?? null }
  }
}

/**
 * Returns the failure of a run from its cause.
 *
 * @category conversions
 * @since 0.1.0
 */
export const ofCause = (cause: Cause.Cause<unknown>): Failure => ofRun(AgentApi.describe(cause))

/** The names of OpenAI for what has one. */
const names: Readonly<Record<string, { readonly code: string; readonly status: number }>> = {
  "rate-limited": { code: "rate_limit_exceeded", status: 429 },
  "budget-exceeded": { code: "insufficient_quota", status: 429 },
  "prompt-too-long": { code: "context_length_exceeded", status: 400 },
  "content-refused": { code: "content_policy_violation", status: 400 },
  "content-blocked": { code: "content_policy_violation", status: 400 },
  internal: { code: "server_error", status: 500 }
}

const typeOf = (status: number): string =>
  status === 429 ? "rate_limit_error" : status < 500 && status !== 499 ? "invalid_request_error" : "server_error"

const formatIssues = SchemaIssue.makeFormatterStandardSchemaV1()

/**
 * Returns the failure of a request that its schema refuses. It names the first field that is wrong. `place` is the field
 * that the schema is for.
 *
 * @category conversions
 * @since 0.1.0
 */
export const ofSchema = ({ issue }: Schema.SchemaError, place = ""): Failure => {
  const [first] = formatIssues(issue).issues
  const param = (first?.path ?? []).reduce((path: string, segment) => {
    const key = Predicate.isObject(segment) && "key" in segment ? segment.key : segment
    return typeof key === "number" ? `${path}[${key}]` : path === "" ? String(key) : `${path}.${String(key)}`
  }, place)
  const reason = shorten(first?.message ?? "it is not valid")
  return param === ""
    ? refused(`Invalid request: ${reason}`)
    : refused(`Invalid value for '${shorten(param)}': ${reason}`, { param: shorten(param), code: "invalid_value" })
}

/**
 * The failure of a request that names a stored file. A server of agents stores none.
 *
 * @category constructors
 * @since 0.1.0
 */
export const noFiles = (param: string): Failure =>
  refused("Files are not stored here: send the data of the file.", { param, code: "unsupported_value" })

/**
 * Returns a text of the client as a message may repeat it.
 *
 * @category conversions
 * @since 0.1.0
 */
export const shorten = (text: string): string => text.length <= 200 ? text : `${text.slice(0, 200).toWellFormed()}...`

/**
 * Creates the response for a failure. It tells the clients whether to try again, which otherwise they decide by the
 * status.
 *
 * @category constructors
 * @since 0.1.0
 */
export const toResponse = ({ error, retryable, status }: Failure): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.jsonUnsafe({ error } satisfies ErrorBody, {
    status,
    headers: { "x-should-retry": String(retryable) }
  })
