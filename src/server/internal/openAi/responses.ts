/**
 * The endpoints of responses.
 *
 * @since 0.1.0
 */

import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Agent from "../../../Agent.ts"
import * as NestedTools from "../../../internal/tool/nested.ts"
import * as AgentApi from "../../AgentApi.ts"
import type * as RunHub from "../../RunHub.ts"
import type * as OwnedRuns from "../ownedRuns.ts"
import * as Sse from "../sse.ts"
import * as Continuing from "./continuing.ts"
import * as Failures from "./failures.ts"
import * as Parameters from "./parameters.ts"
import * as ResponseParts from "./responseParts.ts"
import * as ResponseRequest from "./responseRequest.ts"
import * as Served from "./served.ts"
import * as Tools from "./tools.ts"

const decode = Served.decoding(ResponseRequest.ResponseRequest)

type Answer<Request> = Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  Failures.Failure,
  AgentApi.Owner | HttpServerRequest.HttpServerRequest | Request | Scope.Scope
>

/**
 * @category models
 * @since 0.1.0
 */
export class Responses<R, Request> {
  private readonly served: Served.Served<R, Request>
  /** How the runs are told, as long as the hub knows them. */
  private readonly options = new WeakMap<RunHub.Live, ResponseParts.ResponseOptions>()

  constructor(served: Served.Served<R, Request>) {
    this.served = served
  }

  readonly create: Answer<Request> = Effect.gen({ self: this }, function*() {
    const { served } = this
    const { id: owner } = yield* AgentApi.Owner
    const body = yield* Served.readBody(served.maximumBody)
    const request = yield* decode(ResponseRequest.typed(body))
    const agent = yield* Served.agentOf(served, request.model)
    const refusal = Parameters.refusalOf(body, Parameters.refusedByResponses, served.settings !== undefined)
    if (refusal !== undefined) return yield* Effect.fail(refusal)
    const equipped = yield* Effect.fromResult(Tools.equip(agent, {
      tools: request.tools ?? [],
      choice: request.tool_choice,
      parallel: request.parallel_tool_calls
    }))
    const created = Math.floor((yield* Clock.currentTimeMillis) / 1000)
    const background = request.background === true
    const { earlier, previous, run } = yield* Continuing.start(served, owner, request, equipped, {
      whenLeft: background ? "continue" : "stop"
    }).pipe(Served.withSettings(served, ResponseRequest.toSampling(request)))
    const options: ResponseParts.ResponseOptions = {
      id: run.live.runId,
      model: request.model,
      created,
      store: request.store !== false,
      background,
      previous,
      metadata: request.metadata ?? undefined,
      mayWait: mayWait(agent),
      earlier
    }
    this.options.set(run.live, options)
    if (request.stream === true) return this.stream(run, options, -1)
    return background
      ? toJson(ResponseParts.begun(options))
      : toJson(yield* ResponseParts.response(partsOf(run), options))
  })

  /** A response that is being made, or that has ended a short time ago. */
  readonly retrieve = (id: string): Answer<never> =>
    Effect.gen({ self: this }, function*() {
      const { options, run } = yield* this.find(id)
      const { url } = yield* HttpServerRequest.HttpServerRequest
      const query = new URLSearchParams(url.split("?")[1] ?? "")
      if (query.get("stream") === "true") {
        const after = Number.parseInt(query.get("starting_after") ?? "", 10)
        return this.stream(run, options, Number.isNaN(after) ? -1 : after)
      }
      const isRunning = yield* this.served.runs.isRunning(run.live)
      return toJson(isRunning ? ResponseParts.begun(options) : yield* ResponseParts.ended(partsOf(run), options))
    })

  readonly cancel = (id: string): Answer<never> =>
    Effect.gen({ self: this }, function*() {
      const { options, run } = yield* this.find(id)
      yield* run.live.stop
      return toJson(yield* ResponseParts.ended(partsOf(run), options))
    })

  private find(id: string) {
    return Effect.gen({ self: this }, function*() {
      const { id: owner } = yield* AgentApi.Owner
      const run = yield* Effect.mapError(this.served.runs.find(owner, id), () => unknownResponse(id))
      const options = this.options.get(run.live)
      return options === undefined ? yield* Effect.fail(unknownResponse(id)) : { options, run }
    })
  }

  private stream(
    run: OwnedRuns.OwnedRun,
    options: ResponseParts.ResponseOptions,
    after: number
  ): HttpServerResponse.HttpServerResponse {
    const events = ResponseParts.events(partsOf(run), options)
    return Sse.response(
      Sse.named(after < 0 ? events : Stream.filter(events, ({ sequence_number }) => sequence_number > after)),
      { keepAlive: this.served.keepAlive, headers: { "x-request-id": options.id } }
    )
  }
}

const partsOf = (run: OwnedRuns.OwnedRun) => Stream.map(run.parts(), ({ part }) => part)

const toJson = (response: { readonly id: string }): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.jsonUnsafe(response, { headers: { "x-request-id": response.id } })

const unknownResponse = (id: string): Failures.Failure =>
  Failures.refused(`Response with id '${Failures.shorten(id)}' not found.`, { status: 404 })

/** Only of a tool that is known it is known that it never waits. */
const mayWait = (agent: Agent.Any) => {
  const tools = Agent.tools(agent) ?? {}
  return (name: string): boolean => {
    const tool = Object.hasOwn(tools, name) ? tools[name] : undefined
    return tool === undefined || Boolean(tool.needsApproval) || NestedTools.isNested(tool)
  }
}
