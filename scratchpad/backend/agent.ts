/**
 * The agent of the support desk: it finds orders by itself, and asks the user before it refunds one.
 */
import { Effect, Schema } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { Agent, BudgetAccount, ContextProvider, SessionHistory } from "../../src/index.ts"
import { CurrentUser, Order, OrderNotFound, Orders, OrdersUnavailable } from "./domain.ts"

const parameters = Schema.Struct({ id: Schema.String })

// a database that is down ends the run: a client is told, and the model does not guess
const failure = OrdersUnavailable

const dependencies = [CurrentUser]

export const toolkit = Toolkit.make(
  Tool.make("list_orders", {
    description: "Lists the orders of the user",
    parameters: Schema.Struct({}),
    success: Schema.Array(Order),
    failure,
    dependencies
  }),
  Tool.make("find_order", {
    description: "Finds an order of the user by its id. The result is null if there is none",
    parameters,
    success: Schema.NullOr(Order),
    failure,
    dependencies
  }),
  Tool.make("refund_order", {
    description: "Pays the price of an order back",
    parameters,
    success: Schema.NullOr(Order),
    failure,
    needsApproval: true,
    dependencies
  })
)

export const ToolkitLive = toolkit.toLayer(Effect.gen(function*() {
  const orders = yield* Orders
  const ifFound = <A, E, R>(self: Effect.Effect<A, E | OrderNotFound, R>) =>
    Effect.catchIf(self, Schema.is(OrderNotFound), () => Effect.succeed(null))
  return toolkit.of({
    list_orders: () => Effect.flatMap(CurrentUser, (user) => orders.all(user.id)),
    find_order: ({ id }) => Effect.flatMap(CurrentUser, (user) => ifFound(orders.find(user.id, id))),
    refund_order: ({ id }) => Effect.flatMap(CurrentUser, (user) => ifFound(orders.refund(user.id, id)))
  })
}))

const personal = ContextProvider.make("personal", {
  beforeRun: () => Effect.map(CurrentUser, ({ id, tenant }) => ({ instructions: `You talk to ${id} of ${tenant}.` }))
})

export const support = Agent.make("support", {
  description: "Answers questions about orders, and refunds them",
  instructions: "You work at the support desk of a shop. Be brief.",
  toolkit,
  // a page that is loaded again also shows what was stopped
  providers: [personal, SessionHistory.make({ keep: "always" })],
  // the account is that of the tenant: see `Tenants`
  middleware: [BudgetAccount.middleware]
})
