/**
 * The JSON-RPC transport of the SDK behind effect's HTTP server.
 *
 * @since 0.1.0
 */
import * as Sdk from "@a2a-js/sdk"
import * as SdkErrors from "@a2a-js/sdk/errors"
import * as SdkServer from "@a2a-js/sdk/server"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerRespondable from "effect/http/HttpServerRespondable"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Sse from "../../server/internal/sse.ts"
import * as Requests from "./requests.ts"
import { bringing } from "./requestHandler.ts"

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
    const version = request.headers[Sdk.A2A_VERSION_HEADER.toLowerCase()] ?? ""
    const refusal = versionRefusal(version, card)
    if (refusal !== undefined) return HttpServerResponse.jsonUnsafe(toError(body, refusal))
    // a client that has left reads nothing more, also when nothing comes
    const left = yield* Effect.acquireRelease(Deferred.make<void>(), (left) => Deferred.succeed(left, undefined))
    const context = new SdkServer.ServerCallContext({
      user: { isAuthenticated: true, userName: owner },
      requestedVersion: version,
      state: bringing({ left, services: Context.pick(...options.fromRequest)(yield* Effect.context<Request>()) })
    })
    const answer = yield* Effect.promise(() => transport.handle(body, context))
    if (!isStream(answer)) return HttpServerResponse.jsonUnsafe(answer)
    return yield* streamed(body, answer, options.keepAlive)
  })
}

const isJson = (type: string | undefined): boolean => /^\s*application\/(a2a\+)?json\s*(;|$)/i.test(type ?? "")

const isStream = (answer: object): answer is AsyncGenerator<unknown, void, undefined> => Symbol.asyncIterator in answer

const versionRefusal = (version: string, card: Sdk.AgentCard): Requests.Refusal | undefined => {
  const checked = Result.try({
    try: () => SdkServer.validateVersion(version === "" ? unnamed : version, card, "JSONRPC"),
    catch: toRefusal
  })
  return Result.isFailure(checked) ? checked.failure : undefined
}

/** The version of a client that names none. */
const unnamed = "0.3"

/** A refusal comes before the first event, and is then no stream of events. */
const streamed = (
  body: string,
  answers: AsyncGenerator<unknown, void, undefined>,
  keepAlive: Duration.Input | undefined
) =>
  Effect.gen(function*() {
    const first = yield* Effect.result(Effect.tryPromise({ try: () => answers.next(), catch: toRefusal }))
    if (Result.isFailure(first)) return HttpServerResponse.jsonUnsafe(toError(body, first.failure))
    const rest = Stream.fromAsyncIterable(answers, toRefusal)
    const all = first.success.done === true ? Stream.empty : Stream.concat(Stream.succeed(first.success.value), rest)
    const events = Sse.data(all).pipe(
      Stream.catch((error) => Stream.succeed(`event: error\ndata: ${JSON.stringify(toError(body, error))}\n\n`))
    )
    return Sse.response(events, { keepAlive })
  })

/** The handler fails with refusals alone. */
const toRefusal = (error: unknown): Requests.Refusal =>
  error instanceof SdkErrors.A2AError ? error : Requests.internal()

const toError = (body: string, error: Requests.Refusal) => ({
  jsonrpc: "2.0",
  id: Result.getOrElse(Result.map(decodeId(body), ({ id }) => id), () => null),
  error: SdkServer.JsonRpcTransportHandler.mapToJSONRPCError(error)
})

const decodeId = Schema.decodeUnknownResult(
  Schema.fromJsonString(Schema.Struct({ id: Schema.Union([Schema.String, Schema.Int]) }))
)
