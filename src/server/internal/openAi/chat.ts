/**
 * The endpoint of chat completions.
 *
 * @since 0.1.0
 */

import * as Prompt from "effect/ai/Prompt"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Agent from "../../../Agent.ts"
import * as RunId from "../../../internal/words/runId.ts"
import * as AgentApi from "../../AgentApi.ts"
import * as Sse from "../sse.ts"
import * as ChatParts from "./chatParts.ts"
import * as ChatRequest from "./chatRequest.ts"
import * as Conversation from "./conversation.ts"
import * as Failures from "./failures.ts"
import * as Instructing from "./instructing.ts"
import * as Parameters from "./parameters.ts"
import * as Served from "./served.ts"
import * as Tools from "./tools.ts"
import * as Unapproved from "../unapproved.ts"
import * as Words from "./words.ts"

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
    const equipped = yield* Effect.fromResult(Tools.equip(agent, {
      tools: (request.tools ?? []).map((tool) => tool.function),
      choice: request.tool_choice,
      parallel: request.parallel_tool_calls
    }))
    const said = yield* Effect.fromResult(ChatRequest.toSaid(request.messages))
    const { instructions, messages } = yield* Effect.fromResult(Conversation.make(said, equipped.isClientTool))
    const prompt = Prompt.fromMessages(messages)
    const runId = yield* RunId.next
    const created = Math.floor((yield* Clock.currentTimeMillis) / 1000)
    const run = served.runs.start(agentFor(served, equipped.agent, instructions), owner, { prompt, runId })
    const { live, parts } = yield* run.pipe(
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
  served: Pick<Served.Served<R, never>, "approvals" | "systemMessages">,
  agent: Agent.Agent<any, any, R, any, any>,
  instructions: ReadonlyArray<string>
): Agent.Agent<any, any, R, any, any> => {
  const told = Instructing.withInstructions(served, agent, instructions)
  return served.approvals === "deny" ? Unapproved.denying(told, Words.isAnswerable) : told
}
