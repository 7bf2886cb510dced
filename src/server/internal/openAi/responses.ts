/**
 * The endpoints of responses.
 *
 * @since 0.1.0
 */

import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Agent from "../../../Agent.ts"
import type * as AgentRun from "../../../AgentRun.ts"
import * as NestedTools from "../../../internal/tool/nested.ts"
import * as AgentApi from "../../AgentApi.ts"
import type * as RunHub from "../../RunHub.ts"
import type * as OwnedRuns from "../ownedRuns.ts"
import * as Sse from "../sse.ts"
import * as Continuing from "./continuing.ts"
import * as Failures from "./failures.ts"
import * as Kept from "./kept.ts"
import * as Parameters from "./parameters.ts"
import * as ResponseParts from "./responseParts.ts"
import * as ResponseRequest from "./responseRequest.ts"
import type { InputItem, InputItems, OutputItem } from "./responseModels.ts"
import * as Served from "./served.ts"
import * as Stored from "./stored.ts"
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
    }, created).pipe(Served.withSettings(served, ResponseRequest.toSampling(request)))
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
    if (request.stream === true) return this.stream(partsOf(run), options, -1)
    return background
      ? toJson(ResponseParts.begun(options))
      : toJson(yield* ResponseParts.response(partsOf(run), options))
  })

  /** A response of the owner, as far as it has come. */
  readonly retrieve = (id: string): Answer<never> =>
    Effect.gen({ self: this }, function*() {
      const { isRunning, options, parts } = yield* this.find(id)
      const query = yield* queryOf
      if (query.get("stream") === "true") {
        const after = Number.parseInt(query.get("starting_after") ?? "", 10)
        return this.stream(parts, options, Number.isNaN(after) ? -1 : after)
      }
      return toJson(isRunning ? ResponseParts.begun(options) : yield* ResponseParts.ended(parts, options))
    })

  readonly cancel = (id: string): Answer<never> =>
    Effect.gen({ self: this }, function*() {
      const { live, options, parts } = yield* this.find(id)
      if (live !== undefined) yield* live.stop
      return toJson(yield* ResponseParts.ended(parts, options))
    })

  /** Stops the response if it is being made. The responses that have gone on with it stay as they are. */
  readonly remove = (id: string): Answer<never> =>
    Effect.gen({ self: this }, function*() {
      const { runs } = this.served
      const { id: owner } = yield* AgentApi.Owner
      const { live } = yield* this.find(id)
      if (live !== undefined) {
        yield* live.stop
        this.options.delete(live)
      }
      const kept = Kept.fromText(id)
      const session = kept && Kept.sessionOf(kept.conversation)
      if (kept !== undefined && session !== undefined) {
        const { running, state } = yield* Effect.mapError(runs.session(owner, session), Failures.ofRun)
        if (Kept.find(state, kept.own) !== undefined) {
          // it could not save what it has not seen, and is not stopped for this
          if (running !== undefined) return yield* Effect.fail(inUse)
          const rest = Kept.without(state, kept.own)
          const changed = rest === undefined ? runs.forget(owner, session) : runs.setState(owner, session, rest)
          yield* Effect.mapError(changed, Failures.ofRun)
        }
      }
      return HttpServerResponse.jsonUnsafe({ id, object: "response", deleted: true })
    })

  /** What a response has seen, the last item first. Only a response that is kept tells it. */
  readonly inputItems = (id: string): Answer<never> =>
    Effect.gen({ self: this }, function*() {
      const { id: owner } = yield* AgentApi.Owner
      const stored = yield* this.stored(owner, id)
      if (stored.length === 0) return yield* Effect.fail(unknownResponse(id))
      const items = (yield* Effect.forEach(stored, (one, index) =>
        Effect.zipWith(
          Stored.toInput(one),
          index === stored.length - 1
            ? Effect.succeed([])
            : Effect.map(ResponseParts.ended(one.parts, one.options), ({ output }) => output),
          (input, output) => [...input, ...output]
        ))).flat()
      const page = yield* Effect.fromResult(pageOf(items, yield* queryOf))
      return HttpServerResponse.jsonUnsafe(page)
    })

  private find(id: string): Effect.Effect<Found, Failures.Failure, AgentApi.Owner> {
    return Effect.gen({ self: this }, function*() {
      const { runs } = this.served
      const { id: owner } = yield* AgentApi.Owner
      const found = yield* Effect.result(runs.find(owner, id))
      const options = Result.isSuccess(found) ? this.options.get(found.success.live) : undefined
      if (Result.isSuccess(found) && options !== undefined) {
        const { live } = found.success
        return { live, options, parts: partsOf(found.success), isRunning: yield* runs.isRunning(live) }
      }
      const stored = (yield* this.stored(owner, id)).at(-1)
      if (stored === undefined) return yield* Effect.fail(unknownResponse(id))
      return { live: undefined, options: stored.options, parts: stored.parts, isRunning: false }
    })
  }

  private stored(owner: string, id: string): Effect.Effect<ReadonlyArray<Stored.Stored>, Failures.Failure> {
    const kept = Kept.fromText(id)
    return kept === undefined ? Effect.succeed([]) : Effect.mapBoth(
      this.served.runs.session(owner, Kept.sessionOf(kept.conversation)),
      { onFailure: (failure) => Failures.ofRun(failure), onSuccess: (session) => Stored.upTo(session, kept) }
    )
  }

  private stream(
    parts: Stream.Stream<AgentRun.Part, unknown>,
    options: ResponseParts.ResponseOptions,
    after: number
  ): HttpServerResponse.HttpServerResponse {
    const events = ResponseParts.events(parts, options)
    return Sse.response(
      Sse.named(after < 0 ? events : Stream.filter(events, ({ sequence_number }) => sequence_number > after)),
      { keepAlive: this.served.keepAlive, headers: { "x-request-id": options.id } }
    )
  }
}

/** A response that the hub has, or a session. */
interface Found {
  readonly live: RunHub.Live | undefined
  readonly options: ResponseParts.ResponseOptions
  readonly parts: Stream.Stream<AgentRun.Part, unknown>
  readonly isRunning: boolean
}

const queryOf = Effect.map(
  HttpServerRequest.HttpServerRequest,
  ({ url }) => new URLSearchParams(url.split("?")[1] ?? "")
)

const pageOf = (
  items: ReadonlyArray<InputItem | OutputItem>,
  query: URLSearchParams
): Result.Result<InputItems, Failures.Failure> => {
  const order = query.get("order") ?? "desc"
  const limit = Number(query.get("limit") ?? 20)
  const after = query.get("after")
  const ordered = order === "asc" ? items : items.toReversed()
  const start = after === null ? 0 : ordered.findIndex(({ id }) => id === after) + 1
  const wrong = order !== "asc" && order !== "desc"
    ? "order"
    : !Number.isInteger(limit) || limit < 1 || limit > 100
    ? "limit"
    : after !== null && start === 0
    ? "after"
    : undefined
  if (wrong !== undefined) {
    return Result.fail(Failures.refused(`Invalid value for '${wrong}'.`, { param: wrong, code: "invalid_value" }))
  }
  const data = ordered.slice(start, start + limit)
  return Result.succeed({
    object: "list",
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: start + limit < ordered.length
  })
}

const partsOf = (run: OwnedRuns.OwnedRun) => Stream.map(run.parts(), ({ part }) => part)

const toJson = (response: { readonly id: string }): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.jsonUnsafe(response, { headers: { "x-request-id": response.id } })

const inUse: Failures.Failure = {
  ...Failures.refused("Another response is being made in the conversation. Delete this one afterwards.", {
    status: 409,
    code: "session_in_use"
  }),
  retryable: true
}

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
