/**
 * The routes that `useChat` of the AI SDK talks to. A page needs no more than this:
 *
 * ```ts
 * useChat({
 *   id,
 *   messages, // from GET /api/chat/:id/messages
 *   resume: true,
 *   transport: new DefaultChatTransport({ headers: { authorization: `Bearer ${token}` } }),
 *   sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses
 * })
 * ```
 */
import { Effect, Layer, Redacted } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { type BudgetAccount } from "../../src/index.ts"
import { type AgentApi, UiMessages } from "../../src/server/index.ts"
import { support } from "./agent.ts"
import { type CurrentUser } from "./domain.ts"
import { options, Sessions } from "./http.ts"

/** As `Authorization` of the API: the user, who owns chats, and the account of the tenant, who pays. */
const Authorization = HttpRouter.middleware<{
  provides: AgentApi.Owner | CurrentUser | BudgetAccount.BudgetAccount
}>()(
  Effect.map(Sessions, (sessions) => (handler) =>
    Effect.gen(function*() {
      const { headers } = yield* HttpServerRequest.HttpServerRequest
      const token = /^Bearer (.+)$/.exec(headers.authorization ?? "")?.[1] ?? ""
      return yield* Effect.matchEffect(sessions.of(Redacted.make(token)), {
        onFailure: ({ _tag }) =>
          Effect.succeed(HttpServerResponse.empty({ status: _tag === "Unauthorized" ? 401 : 503 })),
        onSuccess: (services) => Effect.provideContext(handler, services)
      })
    }))
)

export const ChatLive = UiMessages.layer(support, { ...options, maximumBody: "5 MiB" }).pipe(
  Layer.provide(Authorization.layer)
)
