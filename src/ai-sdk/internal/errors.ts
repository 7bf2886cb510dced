/**
 * Translates the failures of an AI SDK model to the reasons of effect's `AiError`.
 *
 * Errors are distinguished by their name and their fields, because several versions of `@ai-sdk/provider` may be
 * installed side by side. The request is never kept, and texts that look like a key are removed from messages.
 *
 * @since 0.1.0
 */
import * as AiError from "effect/ai/AiError"
import * as Tool from "effect/ai/Tool"
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as RetryAfter from "../../internal/model/retryAfter.ts"
import * as Text from "../../internal/words/text.ts"
import { redact, safeUrl } from "./secrets.ts"

/**
 * The place of an error.
 *
 * @category models
 * @since 0.1.0
 */
export interface Origin {
  readonly method: string
  /** The provider, as it is named in the metadata of the error. */
  readonly provider: string
  /** Values that must not be shown: those of the headers of the request. */
  readonly secrets: Iterable<string>
  /** The address of the request, if the error does not hold it. */
  readonly url: string | undefined
  /** Whether the model has begun to answer. */
  readonly answering: boolean
  /** The current time, for a `retry-after` that is a date. */
  readonly now: number
}

/**
 * Creates the `AiError` for a value that was thrown, rejected, or sent as an error.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (error: unknown, origin: Origin): AiError.AiError =>
  // a provider may send any JSON; JSON that looks like an error is not one
  !(error instanceof Error)
    ? fail(origin, reason(error, origin))
    : AiError.isAiError(error)
    ? error
    : fail(origin, AiError.isAiErrorReason(error) ? error : reason(error, origin))

/**
 * The failure of a response that ended before the model said why it stopped.
 *
 * @category constructors
 * @since 0.1.0
 */
export const truncated = (origin: Origin): AiError.AiError =>
  fail(origin, cut(origin, "The response ended before the model said why it stopped"))

/** A response that was cut may be complete the next time. A response without content is not one of a model. */
const cut = (origin: Origin, description: string): AiError.AiErrorReason =>
  origin.answering
    ? network(origin.url, description)
    : new AiError.InvalidResponseError({ description: `There is no answer in the response. ${description}` })

const fail = ({ method }: Origin, reason: AiError.AiErrorReason): AiError.AiError =>
  AiError.make({ module: "AiSdk", method, reason })

// =============================================================================
// What happened
// =============================================================================

/** What is known about an error, from any of its fields. */
interface Facts {
  readonly name: string | undefined
  readonly status: number | undefined
  /** Every code and type of the error, in lower case, the most specific first. */
  readonly codes: ReadonlyArray<string>
  readonly description: string
  readonly parameter: string | undefined
  readonly url: string | undefined
  readonly headers: Readonly<Record<string, string>>
  readonly body: unknown
}

const reason = (error: unknown, origin: Origin): AiError.AiErrorReason => {
  const refused = causesOf(error).find(AiError.isAiErrorReason)
  if (refused !== undefined) return refused
  const facts = read(error, origin)
  const { status } = facts
  if (status !== undefined && status >= 400) return fromProvider(facts, status, origin)
  if (isNetworkError(error)) return network(facts.url, facts.description)
  const byName = fromName(facts, origin)
  if (byName !== undefined) return byName
  if (facts.codes.length > 0) return fromProvider(facts, undefined, origin)
  // A response came that could not be read, or no readable response came.
  if (facts.name === "AI_APICallError") {
    return get(error, "isRetryable") === true && status === undefined
      ? network(facts.url, facts.description)
      : new AiError.InvalidResponseError({ description: facts.description })
  }
  return new AiError.UnknownError({ description: facts.description })
}

const read = (error: unknown, origin: Origin): Facts => {
  const body = bodyOf(error)
  const inner = Predicate.isObject(get(body, "error")) ? get(body, "error") : body
  const status = [get(error, "statusCode"), get(error, "status"), get(inner, "code"), get(inner, "status_code")]
    .find((status) => typeof status === "number" && status >= 100 && status < 600)
  const codes = [
    get(inner, "code"),
    get(inner, "type"),
    get(inner, "status"),
    get(error, "code"),
    get(error, "type"),
    get(error, "errorCode"),
    get(error, "errorType")
  ]
  const message = firstText(
    get(inner, "message"),
    typeof get(body, "error") === "string" ? get(body, "error") : undefined,
    get(error, "message"),
    typeof error === "string" ? error : undefined
  )
  const { secrets } = origin
  const parameter = text(get(inner, "param"))
  return {
    name: text(get(error, "name")),
    status: status as number | undefined,
    codes: codes.filter((code) => typeof code === "string").map((code) => redact(code, secrets).toLowerCase()),
    description: redact(message ?? "The model reported an error and said nothing about it", secrets),
    parameter: parameter === undefined ? undefined : redact(parameter, secrets),
    url: safeUrl(get(error, "url"), secrets) ?? origin.url,
    headers: headersOf(get(error, "responseHeaders"), secrets),
    body
  }
}

/** The parsed body of an error: of a response, or of an error in a stream. */
const bodyOf = (error: unknown): unknown => {
  const data = get(error, "data")
  if (Predicate.isObject(data)) return data
  const body = get(error, "responseBody")
  if (typeof body === "string") {
    return Result.getOrElse(Result.try(() => Tool.unsafeSecureJsonParse(body)), () => undefined)
  }
  return error instanceof Error ? undefined : error
}

// =============================================================================
// Reasons
// =============================================================================

const contextLength =
  /context[_ -]?(length|window)|prompt is too long|maximum context|too many tokens|token count.*exceed|input is too long/i
const contentPolicy =
  /content[_ -]?(policy|filter)|content_policy_violation|safety|moderation|prohibited_content|responsible_?ai/
const quota = /insufficient_quota|quota_exceeded|billing|credit balance|insufficient_(funds|balance)|payment_required/
const rateLimit = /rate_?limit|resource_exhausted|too_many_requests|throttl/
const authentication = /invalid_api_key|authentication|unauthenticated|invalid_authentication|unauthorized/
const permission = /permission|forbidden/
// Google has neither a status nor a code for it
const badKey = /api[ _]key (not valid|expired)|api_key_invalid/i
const overloaded = /overloaded|unavailable|capacity/
const internal = /server_?error|internal|api_error|timeout|deadline_exceeded|bad_gateway/
const invalid = /invalid|not_found|unsupported|failed_precondition|too_large|bad_request/

/** The reason from a provider's report. Its code comes first, because a status may have several meanings. */
const fromProvider = (facts: Facts, status: number | undefined, origin: Origin): AiError.AiErrorReason => {
  const { description, parameter } = facts
  const code = facts.codes.join(" ")
  const common = {
    metadata: { [origin.provider]: details(facts) },
    ...(status === undefined ? undefined : { http: { response: { status, headers: facts.headers } } })
  }
  // These two reasons have no field for a description.
  const withMessage = { ...common, metadata: { [origin.provider]: { ...details(facts), message: description } } }
  // Most status codes mean a mistake of the caller, so a code is used only if it may contradict the status.
  const isOpen = status === undefined || status === 400 || status === 403 || status === 413 || status === 422
  if (isOpen && (status === 413 || contextLength.test(code) || contextLength.test(description))) {
    return new AiError.InvalidRequestError({
      parameter: parameter ?? "prompt",
      constraint: "context length",
      description,
      ...common
    })
  }
  if (isOpen && contentPolicy.test(code)) return new AiError.ContentPolicyError({ description, ...common })
  if (status === 402 || (!is5xx(status) && quota.test(`${code} ${description.toLowerCase()}`))) {
    return new AiError.QuotaExhaustedError(withMessage)
  }
  if (status === 429 || (status === undefined && rateLimit.test(code))) {
    const retryAfter = retryAfterOf(facts, origin.now)
    return new AiError.RateLimitError({ ...withMessage, ...(retryAfter === undefined ? undefined : { retryAfter }) })
  }
  const isBadKey = status === 400 && badKey.test(description)
  if (status === 401 || isBadKey || (status === undefined && authentication.test(code))) {
    const kind = /expired/i.test(description) ? "ExpiredKey" : "InvalidKey"
    return new AiError.AuthenticationError({ kind, description, ...common })
  }
  if (status === 403 || (status === undefined && permission.test(code))) {
    return new AiError.AuthenticationError({ kind: "InsufficientPermissions", description, ...common })
  }
  if (
    is5xx(status) || isTransient(status) || (status === undefined && (overloaded.test(code) || internal.test(code)))
  ) {
    const prefix = status === 529 || overloaded.test(code) ? "Overloaded: " : ""
    return new AiError.InternalProviderError({ description: `${prefix}${description}`, ...common })
  }
  if (status !== undefined || invalid.test(code)) {
    return new AiError.InvalidRequestError({
      ...(parameter === undefined ? undefined : { parameter }),
      description,
      ...common
    })
  }
  return new AiError.UnknownError({ description, ...common })
}

const is5xx = (status: number | undefined): boolean => status !== undefined && status >= 500

// request timeout, conflict, too early: the same request may succeed the next time
const isTransient = (status: number | undefined): boolean => status === 408 || status === 409 || status === 425

/** The reason of an error of the AI SDK itself. */
const fromName = ({ description, name }: Facts, origin: Origin): AiError.AiErrorReason | undefined => {
  switch (name) {
    case "AI_LoadAPIKeyError":
      return new AiError.AuthenticationError({ kind: "MissingKey", description })
    case "AI_NoSuchModelError":
      return new AiError.InvalidRequestError({ parameter: "model", description })
    case "AI_InvalidPromptError":
      return new AiError.InvalidRequestError({ parameter: "prompt", description })
    case "AI_LoadSettingError":
    case "AI_InvalidArgumentError":
    case "AI_UnsupportedFunctionalityError":
    case "AI_NoSuchProviderReferenceError":
    case "AI_TooManyEmbeddingValuesForCallError":
      return new AiError.InvalidRequestError({ description })
    case "AI_InvalidResponseDataError":
      // The AI SDK's words for a stream that was cut without a fault of its transport.
      return /ended without/i.test(description)
        ? cut(origin, description)
        : new AiError.InvalidResponseError({ description })
    case "AI_EmptyResponseBodyError":
    case "AI_JSONParseError":
    case "AI_NoContentGeneratedError":
    case "AI_TypeValidationError":
      // The message contains the whole text that could not be read.
      return new AiError.InvalidResponseError({ description: Text.cut(description, 300) })
    default:
      return undefined
  }
}

const network = (url: string | undefined, description: string): AiError.NetworkError =>
  new AiError.NetworkError({ reason: "TransportError", method: "POST", url: url ?? "", description })

const networkCodes =
  /^(E(CONN|HOST|NET|PIPE|AI_)|ENOTFOUND|ETIMEDOUT|EPIPE|UND_ERR|ERR_(STREAM|SSL|TLS|HTTP2)|CERT_|DEPTH_ZERO)/

/** A failure of the connection, in the error itself or in one of its causes. */
const isNetworkError = (error: unknown): boolean =>
  causesOf(error).some((error) => {
    const code = get(error, "code")
    if (typeof code === "string" && networkCodes.test(code)) return true
    if (error.name === "TimeoutError" || error.name === "AbortError") return true
    return error instanceof TypeError && /fetch failed|terminated|network|other side closed/i.test(error.message)
  })

/** An error, its cause, and so on. */
const causesOf = (error: unknown): ReadonlyArray<Error> => {
  const errors: Array<Error> = []
  for (let next = error; next instanceof Error && errors.length <= 5; next = next.cause) errors.push(next)
  return errors
}

// =============================================================================
// Details
// =============================================================================

const details = ({ codes: [code], headers, status }: Facts): Record<string, Schema.MutableJson> => {
  const requestId = headers["x-request-id"] ?? headers["request-id"]
  return {
    ...(status === undefined ? undefined : { status }),
    ...(code === undefined ? undefined : { code }),
    ...(requestId === undefined ? undefined : { requestId })
  }
}

/**
 * The headers that say when to try again, and what to report to the provider. Cookies and accounts are not among them.
 */
const headersOf = (headers: unknown, secrets: Iterable<string>): Record<string, string> => {
  const out: Record<string, string> = {}
  if (!Predicate.isObject(headers)) return out
  for (const [key, value] of Object.entries(headers)) {
    const name = key.toLowerCase()
    if (typeof value === "string" && /^(retry-after(-ms)?|(x-)?request-id|content-type|.*ratelimit.*)$/.test(name)) {
      out[name] = redact(value, secrets)
    }
  }
  return out
}

const retryAfterOf = ({ body, headers }: Facts, now: number): Duration.Duration | undefined => {
  const said = RetryAfter.fromHeaders(headers, now)
  if (said !== undefined) return said
  // Google reports it in the body.
  const info = get(get(body, "error"), "details")
  const delay = Array.isArray(info)
    ? info.map((detail) => get(detail, "retryDelay")).find(Predicate.isString)
    : undefined
  const delaySeconds = delay === undefined ? undefined : RetryAfter.toNumber(delay.replace(/s$/, ""))
  return delaySeconds === undefined ? undefined : Duration.seconds(delaySeconds)
}

const get = (value: unknown, key: string): unknown => Predicate.hasProperty(value, key) ? value[key] : undefined

const text = (value: unknown): string | undefined => typeof value === "string" && value !== "" ? value : undefined

const firstText = (...values: ReadonlyArray<unknown>): string | undefined =>
  values.map(text).find(Predicate.isNotUndefined)
