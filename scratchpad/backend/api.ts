/**
 * The HTTP API, as a client needs it: `HttpApiClient.make(Api)` is typed by it, and `/openapi.json` describes it.
 */
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiMiddleware, HttpApiSecurity } from "effect/http-api"
import { type BudgetAccount, BudgetStore } from "../../src/index.ts"
import { AgentApi } from "../../src/server/index.ts"
import { toolkit } from "./agent.ts"
import { type CurrentUser, Order, OrderNotFound, OrdersUnavailable } from "./domain.ts"

export class Unauthorized extends Schema.TaggedError<Unauthorized>()("Unauthorized", {}, { httpApiStatus: 401 }) {}

/** The accounts of tenants cannot be read now. */
export class AccountUnavailable extends Schema.TaggedError<AccountUnavailable>()(
  "AccountUnavailable",
  {},
  { httpApiStatus: 503 }
) {}

/** Finds out who asks, and who pays. Sessions and runs belong to the user. */
export class Authorization extends HttpApiMiddleware.Service<Authorization, {
  provides: AgentApi.Owner | CurrentUser | BudgetAccount.BudgetAccount
}>()("backend/Authorization", {
  security: { bearer: HttpApiSecurity.bearer },
  error: [Unauthorized, AccountUnavailable],
  requiredForClient: true
}) {}

const orders = HttpApiGroup.make("orders").add(
  HttpApiEndpoint.get("list", "/orders", { success: Schema.Array(Order), error: OrdersUnavailable }),
  HttpApiEndpoint.get("get", "/orders/:id", {
    params: { id: Schema.String },
    success: Order,
    error: [OrderNotFound, OrdersUnavailable]
  })
)

const account = HttpApiGroup.make("account").add(
  HttpApiEndpoint.get("balance", "/account", { success: BudgetStore.Balance, error: AccountUnavailable })
)

export class Unhealthy extends Schema.TaggedError<Unhealthy>()("Unhealthy", {}, { httpApiStatus: 503 }) {}

/**
 * Whether this process can work: its database answers, and it was not told to end. It is for those who watch the
 * process, and needs no token.
 */
const health = HttpApiGroup.make("health").add(
  HttpApiEndpoint.get("get", "/health", { success: Schema.Struct({ status: Schema.tag("ok") }), error: Unhealthy })
)

export class Api extends HttpApi.make("backend")
  .add(AgentApi.group("support", { toolkit }))
  .add(orders, account)
  .middleware(Authorization)
  .add(health)
{}
