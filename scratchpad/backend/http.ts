/**
 * The handlers of the API.
 */
import { Config, Context, Effect, Layer, Redacted, type Scope } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { SqlClient } from "effect/sql"
import { type AgentError, BudgetAccount } from "../../src/index.ts"
import { AgentApi, AgentHttp, RunHub } from "../../src/server/index.ts"
import { support } from "./agent.ts"
import { AccountUnavailable, Api, Authorization, Unauthorized, Unhealthy } from "./api.ts"
import { CurrentUser, Orders } from "./domain.ts"
import { Tenants } from "./tenants.ts"

// -----------------------------------------------------------------------------
// Who asks
// -----------------------------------------------------------------------------

/** `TOKENS=secret-1=ada@acme,secret-2=bob@globex`: replace this by the sessions or the JWTs that you have. */
const tokens = Config.Redacted("TOKENS").pipe(
  Config.map((text) =>
    new Map(
      Redacted.value(text).split(",").map((entry) => {
        const [token = "", user = ""] = entry.trim().split("=")
        const [id = "", tenant = ""] = user.split("@")
        return [token, { id, tenant }] as const
      })
    )
  )
)

/** Finds the services of a request by its token. Both the API and the routes of `useChat` ask it. */
export class Sessions extends Context.Service<Sessions, {
  readonly of: (token: Redacted.Redacted) => Effect.Effect<
    Context.Context<AgentApi.Owner | CurrentUser | BudgetAccount.BudgetAccount>,
    Unauthorized | AccountUnavailable,
    Scope.Scope
  >
}>()("backend/Sessions") {
  static readonly layer = Layer.effect(
    Sessions,
    Effect.gen(function*() {
      const known = yield* tokens
      const tenants = yield* Tenants
      return {
        of: Effect.fn(function*(token) {
          const user = known.get(Redacted.value(token))
          if (user === undefined || user.id === "") return yield* new Unauthorized()
          // for as long as the request; `Tenants` keeps it longer, because a run may go on for a while
          const account = yield* tenants.contextEffect(user.tenant).pipe(
            Effect.tapCause((cause) => Effect.logError("An account cannot be opened", cause)),
            Effect.mapError(() => new AccountUnavailable())
          )
          return Context.mergeAll(
            account,
            Context.make(CurrentUser, user),
            Context.make(AgentApi.Owner, { id: user.id })
          )
        })
      }
    })
  )
}

const AuthorizationLive = Layer.effect(
  Authorization,
  Effect.map(Sessions, (sessions) => ({
    bearer: (effect, { credential }) =>
      Effect.flatMap(sessions.of(credential), (services) => Effect.provideContext(effect, services))
  }))
)

// -----------------------------------------------------------------------------
// What it does
// -----------------------------------------------------------------------------

/** The failures that are ours, as a client learns them. All others have their fixed texts. */
export const describe = (error: { readonly _tag: string }): AgentError.Description | undefined =>
  error._tag === "OrdersUnavailable"
    ? { code: "orders-unavailable", message: "The orders cannot be read now.", retryable: true, status: 503 }
    : undefined

/** How runs are served: a run goes on for ten seconds when its last reader has gone, so that a reload finds it. */
export const options = {
  reconnect: "10 seconds",
  fromRequest: [CurrentUser, BudgetAccount.BudgetAccount],
  describe
} as const

const SupportLive = HttpApiBuilder.group(
  Api,
  "support",
  Effect.fn(function*(handlers) {
    return handlers.handleAll(yield* AgentHttp.handlers(support, options))
  })
)

const OrdersLive = HttpApiBuilder.group(
  Api,
  "orders",
  Effect.fn(function*(handlers) {
    const orders = yield* Orders
    return handlers.handleAll({
      list: () => Effect.flatMap(CurrentUser, (user) => orders.all(user.id)),
      get: ({ params }) => Effect.flatMap(CurrentUser, (user) => orders.find(user.id, params.id))
    })
  })
)

const AccountLive = HttpApiBuilder.group(Api, "account", (handlers) =>
  handlers.handleAll({
    balance: () =>
      Effect.flatMap(BudgetAccount.BudgetAccount, ({ balance }) =>
        Effect.mapError(balance, () => new AccountUnavailable()))
  }))

const HealthLive = HttpApiBuilder.group(
  Api,
  "health",
  Effect.fn(function*(handlers) {
    const sql = yield* SqlClient.SqlClient
    const hub = yield* RunHub.RunHub
    return handlers.handleAll({
      get: Effect.fn(function*() {
        if (yield* hub.isClosing) return yield* new Unhealthy()
        yield* sql`SELECT 1`.pipe(Effect.timeout("2 seconds"), Effect.mapError(() => new Unhealthy()))
        return { status: "ok" as const }
      })
    })
  })
)

export const ApiLive = HttpApiBuilder.layer(Api, { openapiPath: "/openapi.json" }).pipe(
  Layer.provide([SupportLive, OrdersLive, AccountLive, HealthLive]),
  Layer.provide([AuthorizationLive, AgentHttp.layerBodyLimit("5 MiB")])
)
