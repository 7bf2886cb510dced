/**
 * The JSON-RPC transport of the SDK behind effect's HTTP server.
 *
 * @since 0.1.0
 */
import * as Sdk from "@a2a-js/sdk"
import * as SdkErrors from "@a2a-js/sdk/errors"
import * as SdkServer from "@a2a-js/sdk/server"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerRespondable from "effect/http/HttpServerRespondable"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import * as Json from "../../internal/words/json.ts"
import * as Sse from "../../server/internal/sse.ts"
import * as Requests from "./requests.ts"
import { Bringing } from "./requestHandler.ts"

interface Options<Request> {
  readonly keepAlive: Duration.Input | undefined
  /** The services that the agent takes from each request. */
  readonly fromRequest: ReadonlyArray<Context.Key<Request, any>>
}

/**
 * Creates the handler of requests for an owner.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <Request>(
  handler: SdkServer.A2ARequestHandler,
  card: Sdk.AgentCard,
  options: Options<Request>
) => {
  const transport = new SdkServer.JsonRpcTransportHandler(handler)
  return Effect.fnUntraced(function*(
    request: HttpServerRequest.HttpServerRequest,
    owner: string
  ): Effect.fn.Return<HttpServerResponse.HttpServerResponse, never, Request | Scope.Scope> {
    // a page of another origin can send text without being asked for permission, but no JSON
    if (!isJson(request.headers["content-type"])) return HttpServerResponse.empty({ status: 415 })
    const read = yield* Effect.result(request.text)
    if (Result.isFailure(read)) return yield* HttpServerRespondable.toResponse(read.failure)
    const body = read.success
    const unreadable = refusalOf(body)
    if (unreadable !== undefined) return HttpServerResponse.jsonUnsafe({ jsonrpc: "2.0", id: null, error: unreadable })
    const version = request.headers[Sdk.A2A_VERSION_HEADER.toLowerCase()] ?? ""
    const refusal = versionRefusal(version, card)
    if (refusal !== undefined) return HttpServerResponse.jsonUnsafe(toError(body, refusal))
    const services = Context.pick(Tracer.ParentSpan, ...options.fromRequest)(yield* Effect.context<Request>())
    const bringing = new Bringing(services)
    const context = new SdkServer.ServerCallContext({
      user: { isAuthenticated: true, userName: owner },
      requestedVersion: version,
      state: bringing.state
    })
    const answer = yield* Effect.promise(() => transport.handle(body, context))
    if (bringing.opening !== undefined) return yield* streamed(body, bringing.opening, options.keepAlive)
    // without updates it is one answer
    const whole = answer as object
    return HttpServerResponse.jsonUnsafe(isUnread(whole) ? toError(body, unread) : whole)
  })
}

const decodeBody = Schema.decodeUnknownResult(Schema.fromJsonString(Schema.Unknown))

/** In the words of JSON-RPC: the SDK would tell what its parser says. It knows no batches. */
const refusalOf = (body: string) => {
  const decoded = decodeBody(body)
  if (Result.isFailure(decoded)) return { code: -32700, message: "The request is not JSON." }
  const request = decoded.success
  if (!Predicate.isObject(request) || Array.isArray(request)) {
    return { code: -32600, message: "The request is no object." }
  }
  // what is said about the parameters has the id of the request; the SDK would repeat an id that nobody can write
  return Json.isTooDeep({ ...request, params: undefined })
    ? { code: -32600, message: `${Json.tooDeep}.` }
    : undefined
}

const isJson = (type: string | undefined): boolean => /^\s*application\/(a2a\+)?json\s*(;|$)/i.test(type ?? "")

/** The SDK did not expect this request. What it says about that is its own matter. */
const isUnread = ({ error }: { readonly error?: unknown }): boolean =>
  Predicate.hasProperty(error, "code") && error.code === SdkErrors.A2A_ERROR_CODE.INTERNAL_ERROR &&
  !Predicate.hasProperty(error, "data")

const unread = Requests.malformed("The request could not be read.")

const versionRefusal = (version: string, card: Sdk.AgentCard): Requests.Refusal | undefined => {
  const checked = Result.try({
    try: () => SdkServer.validateVersion(version === "" ? unnamed : version, card, "JSONRPC"),
    catch: toRefusal
  })
  return Result.isFailure(checked) ? checked.failure : undefined
}

/** The version of a client that names none. */
const unnamed = "0.3"

/** A refusal is no stream of events. */
const streamed = (
  body: string,
  opening: NonNullable<Bringing["opening"]>,
  keepAlive: Duration.Input | undefined
) =>
  Effect.match(opening, {
    onFailure: (refusal) => HttpServerResponse.jsonUnsafe(toError(body, refusal)),
    onSuccess: (updates) => {
      const id = idOf(body)
      const answers = Stream.map(
        updates,
        (update) => ({ jsonrpc: "2.0", id, result: Sdk.StreamResponse.toJSON(update) })
      )
      return Sse.response(Sse.data(answers), { keepAlive })
    }
  })

/** The handler fails with refusals alone. */
const toRefusal = (error: unknown): Requests.Refusal =>
  error instanceof SdkErrors.A2AError ? error : Requests.internal()

const toError = (body: string, error: Requests.Refusal) => ({
  jsonrpc: "2.0",
  id: idOf(body),
  error: SdkServer.JsonRpcTransportHandler.mapToJSONRPCError(error)
})

const idOf = (body: string): string | number | null =>
  Result.getOrElse(Result.map(decodeId(body), ({ id }) => id), () => null)

const decodeId = Schema.decodeUnknownResult(
  Schema.fromJsonString(Schema.Struct({ id: Schema.Union([Schema.String, Schema.Int]) }))
)
