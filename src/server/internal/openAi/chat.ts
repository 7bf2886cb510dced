/**
 * The endpoint of chat completions.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Agent from "../../../Agent.ts"
import * as ContextProvider from "../../../ContextProvider.ts"
import * as RunId from "../../../internal/words/runId.ts"
import * as AgentApi from "../../AgentApi.ts"
import * as Sse from "../sse.ts"
import * as ChatParts from "./chatParts.ts"
import * as ChatRequest from "./chatRequest.ts"
import * as Failures from "./failures.ts"
import * as Parameters from "./parameters.ts"
import * as Served from "./served.ts"
import * as Unapproved from "./unapproved.ts"

const decode = Served.decoding(ChatRequest.ChatRequest)

/**
 * Answers a request. A run that fails before its first part, and any failure of an answer that is not streamed, has a
 * status.
 *
 * @category running
 * @since 0.1.0
 */
export const answer = <R, Request>(served: Served.Served<R, Request>): Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  Failures.Failure,
  AgentApi.Owner | HttpServerRequest.HttpServerRequest | Request | Scope.Scope
> =>
  Effect.gen(function*() {
    const { id: owner } = yield* AgentApi.Owner
    const body = yield* Served.readBody(served.maximumBody)
    const request = yield* decode(body)
    const agent = yield* Served.agentOf(served, request.model)
    const refusal = Parameters.refusalOf(body, Parameters.refusedByChat, served.settings !== undefined)
    if (refusal !== undefined) return yield* Effect.fail(refusal)
    const { instructions, prompt } = yield* Effect.fromResult(ChatRequest.toConversation(request.messages, new Set()))
    const runId = yield* RunId.next
    const created = Math.floor((yield* Clock.currentTimeMillis) / 1000)
    const { live, parts } = yield* served.runs.start(agentFor(served, agent, instructions), owner, { prompt, runId })
      .pipe(
        Served.withSettings(served, ChatRequest.toSampling(request)),
        Effect.mapError(Failures.ofRun)
      )
    const options: ChatParts.ChatOptions = {
      id: `chatcmpl-${live.runId}`,
      model: request.model,
      created,
      includeUsage: request.stream_options?.include_usage === true
    }
    const headers = { "x-request-id": live.runId }
    const told = Stream.map(parts(), ({ part }) => part)
    if (request.stream === true) {
      const events = Sse.data(ChatParts.chunks(told, options))
      return Sse.response(Stream.concat(events, done), { keepAlive: served.keepAlive, headers })
    }
    return HttpServerResponse.jsonUnsafe(yield* ChatParts.completion(told, options), { headers })
  })

const done = Stream.succeed("data: [DONE]\n\n")

const agentFor = <R>(
  { approvals, systemMessages }: Pick<Served.Served<R, never>, "approvals" | "systemMessages">,
  agent: Agent.Agent<any, any, R, any, any>,
  instructions: ReadonlyArray<string>
): Agent.Agent<any, any, R, any, any> => {
  const told = systemMessages === "append" && instructions.length > 0
    ? Agent.withProvider(agent, instructing(instructions.join("\n\n")))
    : agent
  return approvals === "deny" ? Unapproved.denying(told, () => false) : told
}

const instructing = (instructions: string) =>
  ContextProvider.make("openai-system-messages", { beforeRun: () => Effect.succeed({ instructions }) })
