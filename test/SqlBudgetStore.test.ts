import { assert, describe, it, layer } from "@effect/vitest"
import { Context, Effect, Layer, Schema } from "effect"
import { spawn } from "node:child_process"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { Budget, BudgetAccount, BudgetStore } from "../src/index.ts"
import { SqlBudgetStore } from "../src/sql/index.ts"
import { SqliteClient } from "../src/sqlite/index.ts"
import { bundled } from "./fixtures/bundled.ts"
import * as Postgres from "./fixtures/postgres.ts"
import { client } from "./fixtures/postgresClient.ts"

const fixture = await bundled("./budgetProcess.ts")

/** Starts processes on one account, lets them go together, and returns what each has said: its calls and its runs. */
const race = (kind: "sqlite" | "postgres", path: string, count: number) =>
  Effect.promise(async () => {
    const processes = Array.from({ length: count }, () => {
      const child = spawn(process.execPath, [fixture, kind, path], { stdio: ["pipe", "pipe", "inherit"] })
      return { child, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator]() }
    })
    try {
      for (const { lines } of processes) assert.strictEqual((await lines.next()).value, "ready")
      for (const { child } of processes) child.stdin.write("\n")
      const said = await Promise.all(processes.map(async ({ lines }) => String((await lines.next()).value)))
      return said.map((line) => line.split(" ").map(Number) as [number, number])
    } finally {
      for (const { child } of processes) child.kill("SIGKILL")
    }
  })

/** Two processes draw from an account of 60 model calls until nothing is left. */
const shared = <E>(kind: "sqlite" | "postgres", path: string, store: Layer.Layer<BudgetStore.BudgetStore, E>) =>
  Effect.gen(function*() {
    const said = yield* race(kind, path, 2)
    assert.isAbove(Math.min(...said.map(([calls]) => calls)), 0)
    assert.strictEqual(said.reduce((sum, [calls]) => sum + calls, 0), 60)
    assert.strictEqual(said.reduce((sum, [, runs]) => sum + runs, 0), 60)
    const account = BudgetAccount.layer(Budget.make({}), { id: "shared", refuse: "call", seed: { tokens: 1 } })
    const { spent } = yield* Effect.provide(
      Effect.flatMap(BudgetAccount.BudgetAccount, (account) => account.balance),
      Layer.provide(account, store)
    )
    assert.deepStrictEqual(spent, { tokens: 60 * 30, money: 0, modelCalls: 60, toolCalls: 0 })
  })

const amount = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 4 }))
const Amounts = Schema.Struct({ tokens: amount, money: amount, modelCalls: amount, toolCalls: amount })
const Operation = Schema.Struct({
  what: Schema.Literals(["open", "charge", "charge", "charge", "topUp", "balance"]),
  id: Schema.Literals(["a", "b"]),
  window: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 })),
  amounts: Amounts,
  limits: Schema.UndefinedOr(Schema.Struct({ tokens: Schema.UndefinedOr(amount), money: Schema.UndefinedOr(amount) }))
})
type Operation = typeof Operation.Type

const apply = (store: BudgetStore.BudgetStore["Service"], { amounts, id, limits, what, window }: Operation) => {
  const day = window * 86_400_000_000
  switch (what) {
    case "open":
      return store.open(id, day, amounts)
    case "charge":
      return store.charge({
        id,
        window: day,
        amounts: { ...amounts, money: amounts.money / 2 },
        limits: limits && {
          ...limits.tokens !== undefined && { tokens: limits.tokens * 3 },
          ...limits.money !== undefined && { money: limits.money + 0.5 }
        }
      })
    case "topUp":
      return store.topUp(id, day, amounts)
    case "balance":
      return store.balance(id, day)
  }
}

/** Does the same in memory and in the database. */
const same = <E>(operations: ReadonlyArray<Operation>, database: Layer.Layer<BudgetStore.BudgetStore, E>) =>
  Effect.scoped(Effect.gen(function*() {
    const memory = Context.get(yield* Layer.build(Layer.fresh(BudgetStore.layerMemory)), BudgetStore.BudgetStore)
    const sql = Context.get(yield* Layer.build(Layer.fresh(database)), BudgetStore.BudgetStore)
    for (const operation of operations) {
      assert.deepStrictEqual(yield* apply(sql, operation), yield* apply(memory, operation))
    }
  }))

const operations = Schema.Array(Operation).check(Schema.isMaxLength(30))

describe("SqlBudgetStore on SQLite", () => {
  it.effect.prop(
    "says what the store in memory says",
    { operations },
    ({ operations }) =>
      same(operations, Layer.provide(SqlBudgetStore.layer, SqliteClient.layer({ filename: ":memory:" }))),
    { arbitrary: { runs: 60, seed: "sql" } }
  )

  it.live("lets two processes have no more calls than there are", () =>
    Effect.acquireUseRelease(
      Effect.promise(() => mkdtemp(join(tmpdir(), "effect-agents-budget-"))),
      (folder) => {
        const filename = join(folder, "budgets.db")
        return shared("sqlite", filename, Layer.provide(SqlBudgetStore.layer, SqliteClient.layer({ filename })))
      },
      (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
    ), 60_000)

  it.live("keeps what a process has drawn that was killed in a call, and nothing else", () =>
    Effect.acquireUseRelease(
      Effect.promise(() => mkdtemp(join(tmpdir(), "effect-agents-budget-"))),
      (folder) =>
        Effect.gen(function*() {
          const filename = join(folder, "budgets.db")
          const signal = yield* Effect.promise(async () => {
            const child = spawn(process.execPath, [fixture, "sqlite", filename, "hang"], {
              stdio: ["ignore", "pipe", "inherit"]
            })
            const ended = new Promise((resolve) => child.once("exit", (_code, signal) => resolve(signal)))
            const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
            assert.strictEqual((await lines.next()).value, "in flight")
            child.kill("SIGKILL")
            return ended
          })
          assert.strictEqual(signal, "SIGKILL")
          const store = Layer.provide(SqlBudgetStore.layer, SqliteClient.layer({ filename }))
          const balance = Effect.flatMap(BudgetStore.BudgetStore, (store) => store.balance("shared", 0))
          const drawn = { tokens: 30, money: 0, modelCalls: 2, toolCalls: 1 }
          assert.deepStrictEqual((yield* Effect.provide(balance, store)).spent, drawn)
          // nobody is kept waiting: another process has what is left
          const [[calls]] = (yield* race("sqlite", filename, 1)) as [[number, number]]
          assert.strictEqual(calls, 58)
          assert.deepStrictEqual((yield* Effect.provide(balance, store)).spent, {
            ...drawn,
            tokens: 30 + 58 * 30,
            modelCalls: 60
          })
        }),
      (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
    ), 60_000)

  it.effect("says which account it could not charge", () =>
    Effect.gen(function*() {
      const sql = Context.get(
        yield* Layer.build(Layer.provide(SqlBudgetStore.layer, SqliteClient.layer({ filename: ":memory:" }))),
        BudgetStore.BudgetStore
      )
      const amounts = { ...BudgetStore.nothing, money: NaN }
      const error = yield* Effect.flip(sql.charge({ id: "acme", window: 0, amounts }))
      assert.deepStrictEqual([error._tag, error.account, error.operation], ["BudgetStoreError", "acme", "charge"])
    }))
})

layer(Postgres.Server.layer, { timeout: "2 minutes", excludeTestServices: true })(
  "SqlBudgetStore on PostgreSQL",
  (it) => {
    it.effect("says what the store in memory says", () =>
      Effect.gen(function*() {
        const port = yield* Postgres.Server
        const database = yield* Postgres.createDatabase(port)
        const random = (seed: number, count: number) => (seed * 7919 + 104_729) % count
        const operations = Array.from({ length: 200 }, (_, index): Operation => ({
          what: (["open", "charge", "charge", "charge", "topUp", "balance"] as const)[random(index, 6)]!,
          id: index % 3 === 0 ? "a" : "b",
          window: Math.floor(index / 70),
          amounts: {
            tokens: random(index, 5),
            money: random(index, 4),
            modelCalls: random(index, 3),
            toolCalls: random(index, 2)
          },
          limits: index % 2 === 0 ? undefined : { tokens: random(index, 5) * 4, money: random(index, 9) }
        }))
        yield* same(operations, Layer.provide(SqlBudgetStore.layer, client(port, database)))
      }))

    it.effect("lets two processes have no more calls than there are", () =>
      Effect.gen(function*() {
        const port = yield* Postgres.Server
        const database = yield* Postgres.createDatabase(port)
        yield* shared(
          "postgres",
          `${port}/${database}`,
          Layer.provide(SqlBudgetStore.layer, client(port, database))
        )
      }), 60_000)
  }
)
