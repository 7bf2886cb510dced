/**
 * What stands before the handlers of an `HttpApi` group: the size of bodies, requests of other sites, and requests that
 * are not valid, each refused in the form of the API.
 *
 * @since 0.1.0
 */

import * as ByteSize from "effect/ByteSize"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as HttpServerError from "effect/http/HttpServerError"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import type * as HttpServerResponse from "effect/http/HttpServerResponse"
import type * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiError from "effect/http-api/HttpApiError"
import type * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
import type * as Schema from "effect/Schema"
import type * as AgentError from "../../AgentError.ts"
import * as CrossSite from "./crossSite.ts"
import * as Malformed from "./malformed.ts"

/**
 * The largest body of a request where nobody has said another size.
 *
 * @category constants
 * @since 0.1.0
 */
export const defaultMaximum: ByteSize.ByteSize = ByteSize.fromInputUnsafe("20 MiB")

/**
 * Runs an effect with a limit for the body that it reads: `maximum`, or that of the context, or the default.
 *
 * @category combinators
 * @since 0.1.0
 */
export const bounded = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  maximum?: ByteSize.ByteSize
): Effect.Effect<A, E, R> =>
  Effect.flatMap(
    HttpIncomingMessage.MaxBodySize,
    (known) => Effect.provideService(self, HttpIncomingMessage.MaxBodySize, maximum ?? known ?? defaultMaximum)
  )

/**
 * Returns the refusal of a body that could not be read.
 *
 * @category conversions
 * @since 0.1.0
 */
export const ofBody = (error: unknown): AgentError.Description | undefined => {
  if (!HttpServerError.isHttpServerError(error) || error.reason._tag !== "RequestParseError") return undefined
  return error.reason.reason === "BodyTooLarge" ? tooLarge : unreadable
}

const tooLarge = { code: "request-too-large", status: 413, retryable: false, message: "The request is too large." }
const unreadable = { code: "invalid-request", status: 400, retryable: false, message: "The request cannot be read." }
const notJson = { ...unreadable, status: 415, message: "The request is not JSON (`content-type: application/json`)." }

/** A response that cannot be encoded is a fault of the server. */
const isOfRequest = (error: unknown): error is HttpApiError.HttpApiSchemaError =>
  HttpApiError.HttpApiSchemaError.is(error) && error.kind !== "Body" && error.kind !== "ResponseHeaders"

type Handler = Effect.Effect<HttpServerResponse.HttpServerResponse, unknown, HttpServerRequest.HttpServerRequest>

/**
 * Creates the middleware of a group. It needs no layer: every group of an agent has it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (fail: (refusal: AgentError.Description) => unknown): HttpApiMiddleware.AnyService => {
  const refuse = (refusal: AgentError.Description) => Effect.fail(fail(refusal))
  const apply = (handler: Handler, { endpoint }: { readonly endpoint: HttpApiEndpoint.Top }): Handler => {
    const guarded = bounded(handler).pipe(
      Effect.catchIf(
        isOfRequest,
        ({ cause }) => refuse({ ...unreadable, message: Malformed.messageOf(cause.issue) })
      ),
      // a body that cannot be read is a defect for effect
      Effect.catchDefect((defect) => {
        const refusal = ofBody(defect)
        return refusal === undefined ? Effect.die(defect) : refuse(refusal)
      })
    )
    const checked = Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
      const type = request.headers["content-type"]
      // effect takes a body without a type for JSON
      return endpoint.payload.size > 0 && type !== undefined && !/^application\/json\s*(;|$)/i.test(type)
        ? refuse(notJson)
        : guarded
    })
    const crossSite = refuse(CrossSite.refusal)
    return Effect.flatMap(
      HttpServerRequest.HttpServerRequest,
      (request) => Effect.andThen(CrossSite.check(request, crossSite), checked)
    )
  }
  return Object.assign(
    Context.Reference<typeof apply>("effect-agents/server/Guard", { defaultValue: () => apply }),
    {
      "~effect/http-api/HttpApiMiddleware": "~effect/http-api/HttpApiMiddleware",
      error: new Set<Schema.Top>(),
      requiredForClient: false
    } as const
    // a key with a default, where effect expects a service that somebody has to provide
  ) as unknown as HttpApiMiddleware.AnyService
}
