/**
 * What the service is about: the users of shops and their orders. Nothing here knows agents.
 */
import { Context, Effect, Layer, Schema } from "effect"
import { SqlClient, SqlSchema } from "effect/sql"

/** Who asks. A middleware finds it by the token of a request. */
export class CurrentUser extends Context.Service<CurrentUser, {
  readonly id: string
  /** The company that pays. */
  readonly tenant: string
}>()("backend/CurrentUser") {}

export const Order = Schema.Struct({
  id: Schema.String,
  item: Schema.String,
  status: Schema.Literals(["open", "shipped", "refunded"])
})

export class OrderNotFound extends Schema.TaggedError<OrderNotFound>()(
  "OrderNotFound",
  { id: Schema.String },
  { httpApiStatus: 404 }
) {}

/** The database did not answer. The reason is in the log, not in the response. */
export class OrdersUnavailable extends Schema.TaggedError<OrdersUnavailable>()(
  "OrdersUnavailable",
  {},
  { httpApiStatus: 503 }
) {}

/** The orders of each user. For a user, those of somebody else do not exist. */
export class Orders extends Context.Service<Orders, {
  readonly all: (user: string) => Effect.Effect<ReadonlyArray<typeof Order.Type>, OrdersUnavailable>
  readonly find: (user: string, id: string) => Effect.Effect<typeof Order.Type, OrderNotFound | OrdersUnavailable>
  /** An order that was refunded stays so, however often it is asked for. */
  readonly refund: (user: string, id: string) => Effect.Effect<typeof Order.Type, OrderNotFound | OrdersUnavailable>
}>()("backend/Orders") {
  static readonly layer = Layer.effect(
    Orders,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE TABLE IF NOT EXISTS orders (
        id VARCHAR(64) PRIMARY KEY, owner VARCHAR(255) NOT NULL, item VARCHAR(255) NOT NULL, status VARCHAR(16) NOT NULL
      )`
      for (const [id, owner, item, status] of samples) {
        yield* sql`INSERT INTO orders (id, owner, item, status) VALUES (${id}, ${owner}, ${item}, ${status})
          ON CONFLICT (id) DO NOTHING`
      }

      const ofUser = SqlSchema.findAll({
        Request: Schema.String,
        Result: Order,
        execute: (user) => sql`SELECT id, item, status FROM orders WHERE owner = ${user} ORDER BY id`
      })
      const all = (user: string) => available(ofUser(user))
      const find = Effect.fn(function*(user: string, id: string) {
        const order = (yield* all(user)).find((order) => order.id === id)
        return order ?? (yield* new OrderNotFound({ id }))
      })
      const refund = Effect.fn(function*(user: string, id: string) {
        const order = yield* find(user, id)
        yield* available(sql`UPDATE orders SET status = 'refunded' WHERE id = ${id}`)
        return { ...order, status: "refunded" as const }
      })
      return { all, find, refund }
    })
  )
}

const samples = [
  ["o-1", "ada", "a teapot", "shipped"],
  ["o-2", "ada", "two cups", "open"],
  ["o-3", "bob", "a kettle", "shipped"]
] as const

const available = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, OrdersUnavailable, R> =>
  self.pipe(
    Effect.tapCause((cause) => Effect.logError("The orders cannot be read", cause)),
    Effect.mapError(() => new OrdersUnavailable())
  )
