/**
 * The accounts of `BudgetAccount` in a SQL database: SQLite or PostgreSQL, over any `SqlClient`.
 *
 * Many processes may share the database. One statement checks whether something is left and takes it, so if two
 * processes want the last call of an account, one of them gets it. An account is one row, however much was spent.
 *
 * **Example** (An account in SQLite)
 *
 * ```ts
 * import { Console, Effect, Layer } from "effect"
 * import { Budget, BudgetAccount } from "effect-agents"
 * import { SqlBudgetStore } from "effect-agents/sql"
 * import { SqliteClient } from "effect-agents/sqlite"
 *
 * const program = Effect.gen(function*() {
 *   const account = yield* BudgetAccount.BudgetAccount
 *   yield* account.charge({ tokens: 400 })
 *   const { spent } = yield* account.charge({ tokens: 20 })
 *   yield* Console.log(spent.tokens)
 * })
 *
 * const account = BudgetAccount.layer(Budget.make({ tokens: 1000 }), { id: "acme", refuse: "run" }).pipe(
 *   Layer.provide(SqlBudgetStore.layer),
 *   Layer.provide(SqliteClient.layer({ filename: ":memory:" }))
 * )
 *
 * Effect.runPromise(Effect.provide(program, account))
 * // => 420
 * ```
 *
 * @since 0.1.0
 */

import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import type * as SqlError from "effect/sql/SqlError"
import * as BudgetStore from "../BudgetStore.ts"

/**
 * Layer that keeps accounts in the table `effect_agents_budgets` of the `SqlClient`'s database. It creates the table if
 * it does not exist.
 *
 * **Details**
 *
 * A transaction that the database rolls back, because of a serialization failure or a deadlock, is tried again, at most
 * 10 times.
 *
 * **Gotchas**
 *
 * In a transaction of the caller a charge is rolled back with that transaction, so do not run agents in one.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<BudgetStore.BudgetStore, SqlError.SqlError, SqlClient.SqlClient> = Layer.effect(
  BudgetStore.BudgetStore
)(Effect.gen(function*() {
  // the columns have exactly the names that are written here
  const sql = (yield* SqlClient.SqlClient).withoutTransforms()
  yield* createTable(sql)

  const find = (id: string) =>
    Effect.map(sql<Row>`SELECT ${sql.literal(columns)} FROM effect_agents_budgets WHERE id = ${id}`, (rows) => rows[0])

  const balance = (id: string, window: number) => Effect.map(find(id), (row) => toBalance(row, window))

  const begin = (id: string, window: number, seed: BudgetStore.Amounts) =>
    sql`
      INSERT INTO effect_agents_budgets (id, window_start, tokens, money, model_calls, tool_calls)
      VALUES (${id}, ${window}, ${seed.tokens}, ${seed.money}, ${seed.modelCalls}, ${seed.toolCalls})
      ON CONFLICT (id) DO NOTHING
    `

  /**
   * Adds to an account in one statement if the limits allow it. Returns `undefined` if they do not, or if there is no
   * account.
   */
  const change = (
    id: string,
    window: number,
    spent: BudgetStore.Amounts,
    added: BudgetStore.Amounts,
    limits: Partial<BudgetStore.Amounts>
  ) => {
    const isNew = sql`window_start < ${window}`
    const sum = (column: string, amount: number) =>
      sql`${sql.literal(column)} = CASE WHEN ${isNew} THEN 0 ELSE ${sql.literal(column)} END + ${real(amount)}`
    const real = (amount: number) => sql`CAST(${amount} AS DOUBLE PRECISION)`
    const resources = Object.entries(names) as ReadonlyArray<[keyof BudgetStore.Amounts, string]>
    const changes = resources.flatMap(([key, name]) => [sum(name, spent[key]), sum(`added_${name}`, added[key])])
    const granted = resources.flatMap(([key, name]) => {
      const limit = limits[key]
      if (limit === undefined) return []
      const left = sql`${sql.literal(name)} < ${real(limit)} + ${sql.literal(`added_${name}`)}`
      return [sql`CASE WHEN ${isNew} THEN ${real(limit)} > 0 ELSE ${left} END`]
    })
    return Effect.map(
      sql<Row>`
        UPDATE effect_agents_budgets
        SET ${sql.csv(changes)}, window_start = CASE WHEN ${isNew} THEN ${window} ELSE window_start END
        WHERE ${sql.and([sql`id = ${id}`, ...granted])}
        RETURNING ${sql.literal(columns)}
      `,
      (rows) => rows[0] && toBalance(rows[0], window)
    )
  }

  const charge = (
    request: BudgetStore.Charge
  ): Effect.Effect<BudgetStore.Charged, SqlError.SqlError> =>
    Effect.gen(function*() {
      const { amounts, id, limits = {}, window } = request
      const after = yield* change(id, window, amounts, BudgetStore.nothing, limits)
      if (after !== undefined) return { granted: true, balance: after }
      const row = yield* find(id)
      const balance = toBalance(row, window)
      if (!BudgetStore.hasLeft(balance, limits)) return { granted: false, balance }
      if (row === undefined) yield* begin(id, window, BudgetStore.nothing)
      // the account was created, refilled or topped up in between
      return yield* charge(request)
    })

  const topUp = (id: string, window: number, amounts: BudgetStore.Amounts) =>
    Effect.gen(function*() {
      yield* begin(id, window, BudgetStore.nothing)
      return (yield* change(id, window, BudgetStore.nothing, amounts, {})) ?? (yield* balance(id, window))
    })

  return {
    open: (id, window, seed) => told("open", id, Effect.andThen(begin(id, window, seed), balance(id, window))),
    charge: (request) => told("charge", request.id, charge(request)),
    topUp: (id, window, amounts) => told("topUp", id, topUp(id, window, amounts)),
    balance: (id, window) => told("balance", id, balance(id, window))
  }
}))

/** Looks before it writes, so that opening a database in use does not have to wait. */
const createTable = Effect.fnUntraced(function*(sql: SqlClient.SqlClient) {
  const found = yield* sql.onDialectOrElse({
    pg: () => sql`SELECT 1 WHERE to_regclass('effect_agents_budgets') IS NOT NULL`,
    orElse: () => sql`SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'effect_agents_budgets'`
  })
  if (found.length > 0) return
  const text = sql.literal(sql.onDialectOrElse({ pg: () => "TEXT COLLATE \"C\"", orElse: () => "TEXT" }))
  yield* sql.withTransaction(Effect.gen(function*() {
    // if two clients create a table at the same time, PostgreSQL fails one of them
    yield* sql.onDialectOrElse({ pg: () => sql`SELECT pg_advisory_xact_lock(${lock})`, orElse: () => Effect.void })
    yield* sql`
      CREATE TABLE IF NOT EXISTS effect_agents_budgets (
        id ${text} NOT NULL PRIMARY KEY,
        window_start BIGINT NOT NULL,
        tokens DOUBLE PRECISION NOT NULL,
        money DOUBLE PRECISION NOT NULL,
        model_calls DOUBLE PRECISION NOT NULL,
        tool_calls DOUBLE PRECISION NOT NULL,
        added_tokens DOUBLE PRECISION NOT NULL DEFAULT 0,
        added_money DOUBLE PRECISION NOT NULL DEFAULT 0,
        added_model_calls DOUBLE PRECISION NOT NULL DEFAULT 0,
        added_tool_calls DOUBLE PRECISION NOT NULL DEFAULT 0
      )
    `
  }))
})

const lock = 776_190_412

type Row = Readonly<Record<string, unknown>>

const names = { tokens: "tokens", money: "money", modelCalls: "model_calls", toolCalls: "tool_calls" } as const

const columns = [
  "window_start",
  ...Object.values(names),
  ...Object.values(names).map((name) => `added_${name}`)
].join(", ")

/** PostgreSQL's client returns large integers as text. */
const toBalance = (row: Row | undefined, window: number): BudgetStore.Balance => {
  if (row === undefined || Number(row.window_start) < window) return BudgetStore.emptyBalance(window)
  const amounts = (prefix: string): BudgetStore.Amounts => ({
    tokens: Number(row[`${prefix}tokens`]),
    money: Number(row[`${prefix}money`]),
    modelCalls: Number(row[`${prefix}model_calls`]),
    toolCalls: Number(row[`${prefix}tool_calls`])
  })
  return { window: Number(row.window_start), spent: amounts(""), added: amounts("added_") }
}

const told = <A>(
  operation: BudgetStore.BudgetStoreError["operation"],
  account: string,
  effect: Effect.Effect<A, SqlError.SqlError>
): Effect.Effect<A, BudgetStore.BudgetStoreError> =>
  effect.pipe(
    Effect.retry({ times: 10, while: isUndone }),
    Effect.mapError((cause) => new BudgetStore.BudgetStoreError({ account, operation, cause }))
  )

const isUndone = ({ reason }: SqlError.SqlError): boolean =>
  reason._tag === "SerializationError" || reason._tag === "DeadlockError"
