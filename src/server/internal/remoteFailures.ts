/**
 * The failures between a client and the server of a remote agent, in the words of `RunFailed`.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import type * as Sse from "effect/encoding/Sse"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as Predicate from "effect/Predicate"
import type * as RpcClientError from "effect/rpc/RpcClientError"
import * as Schema from "effect/Schema"
import * as AgentApi from "../AgentApi.ts"
import { failed } from "./failures.ts"

/**
 * The failures of a connection over HTTP.
 *
 * @category models
 * @since 0.1.0
 */
export type Http = HttpClientError.HttpClientError | Schema.SchemaError | Sse.SseError | Sse.Retry

/**
 * The failures of a connection of effect's `Rpc`.
 *
 * @category models
 * @since 0.1.0
 */
export type Rpc = RpcClientError.RpcClientError

/**
 * Returns the cause of a run that failed over HTTP. An interrupt on the server is one here.
 *
 * @category conversions
 * @since 0.1.0
 */
export const ofHttp = <E>(cause: Cause.Cause<E>): Cause.Cause<AgentApi.RunFailed | Exclude<E, Http>> => {
  // the failure to decode an error response comes after the failure itself
  const first = cause.reasons.find(Cause.isFailReason)
  return first === undefined ? Cause.map(cause, ofHttpError) : interruptOr(ofHttpError(first.error))
}

/**
 * Returns the cause of a run that failed over `Rpc`. An interrupt on the server is one here. Effect reports what cannot be
 * decoded, and what a server says about its defects, as defects of the call.
 *
 * @category conversions
 * @since 0.1.0
 */
export const ofRpc = <E>(cause: Cause.Cause<E>): Cause.Cause<AgentApi.RunFailed | Exclude<E, Rpc>> => {
  const first = cause.reasons.find(Cause.isFailReason)
  if (first !== undefined) return interruptOr(ofRpcError(first.error))
  const defect = cause.reasons.find(Cause.isDieReason)
  return defect === undefined ? Cause.map(cause, ofRpcError) : interruptOr(ofDefect(defect.defect))
}

const interruptOr = <E>(error: E): Cause.Cause<E> =>
  error instanceof AgentApi.RunFailed && error.code === "interrupted" && error.status === 499
    ? Cause.interrupt()
    : Cause.fail(error)

const ofDefect = (defect: unknown): AgentApi.RunFailed => {
  if (defect instanceof AgentApi.RunFailed) return defect
  return Schema.isSchemaError(defect) ? invalidResponse : AgentApi.describe(Cause.die(defect))
}

const ofHttpError = <E>(error: E): AgentApi.RunFailed | Exclude<E, Http> => {
  if (!isHttp(error)) return error as Exclude<E, Http>
  switch (error._tag) {
    case "HttpClientError":
      return ofReason(error.reason)
    case "SseError":
      return responseTooLarge
    default:
      return invalidResponse
  }
}

const isHttp = (error: unknown): error is Http => Predicate.hasProperty(error, "_tag") && https.has(error._tag)

const https: ReadonlySet<unknown> = new Set(["HttpClientError", "SchemaError", "SseError", "Retry"])

const ofReason = (reason: HttpClientError.HttpClientErrorReason): AgentApi.RunFailed => {
  switch (reason._tag) {
    case "StatusCodeError":
      return ofStatus(reason.response.status)
    case "TransportError":
      return lost
    case "DecodeError":
    case "EmptyBodyError":
      // a body that was cut is one of these
      return reason.response.status < 300 ? lost : ofStatus(reason.response.status)
    default:
      return invalidRequest
  }
}

const ofStatus = (status: number): AgentApi.RunFailed =>
  status >= 400 && status < 500
    ? failed("request-refused", status, status === 408 || status === 429, "The server does not accept the request.")
    : failed("unavailable", status, status === 429 || status >= 502, "The agent is not available now.")

const ofRpcError = <E>(error: E): AgentApi.RunFailed | Exclude<E, Rpc> => {
  if (!Predicate.isTagged(error, "RpcClientError")) return error as Exclude<E, Rpc>
  const { reason } = error as E & Rpc
  switch (reason._tag) {
    case "HttpError":
      return ofReason(reason.cause as HttpClientError.HttpClientErrorReason)
    case "RpcClientDefect":
      return ofClientDefect(reason.cause)
    default:
      return lost
  }
}

/** Effect names the request that a response did not answer, and the error of what it could not read. */
const ofClientDefect = (cause: unknown): AgentApi.RunFailed => {
  if (Predicate.isTagged(cause, "Request")) return lost
  return Predicate.isTagged(cause, "MaxBufferSizeExceeded") ? responseTooLarge : invalidResponse
}

/**
 * The connection ended before the run did.
 *
 * @category failures
 * @since 0.1.0
 */
export const lost = failed("connection-lost", 503, true, "The connection was lost before the run ended.")

/**
 * The server does not send the parts of the run.
 *
 * @category failures
 * @since 0.1.0
 */
export const invalidResponse = failed(
  "invalid-response",
  502,
  false,
  "The server sent something other than the parts of this run."
)

const responseTooLarge = failed("response-too-large", 502, false, "The server sent a part that is too large.")

/**
 * The ids of a request cannot be sent.
 *
 * @category failures
 * @since 0.1.0
 */
export const invalidRequest = failed(
  "invalid-request",
  400,
  false,
  "The id of the run or of the session is invalid: see `AgentApi.RunId` and `AgentApi.SessionId`."
)

/**
 * The input of a run cannot be sent.
 *
 * @category failures
 * @since 0.1.0
 */
export const unsupported = failed(
  "invalid-prompt",
  400,
  false,
  "A remote agent takes messages of a user, within the bounds of `AgentApi.Message`, or answers for a session."
)
