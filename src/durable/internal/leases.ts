/**
 * The leases of a process on its share of the executions.
 *
 * @since 0.1.0
 */

import * as Clock from "effect/Clock"
import type * as ClusterError from "effect/cluster/ClusterError"
import type * as RunnerAddress from "effect/cluster/RunnerAddress"
import * as RunnerStorage from "effect/cluster/RunnerStorage"
import type * as ShardId from "effect/cluster/ShardId"
import type * as ShardingConfig from "effect/cluster/ShardingConfig"
import * as SqlRunnerStorage from "effect/cluster/SqlRunnerStorage"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as SqlClient from "effect/sql/SqlClient"
import type * as SqlError from "effect/sql/SqlError"
import { quiet } from "./departure.ts"

type Storage = RunnerStorage.RunnerStorage["Service"]

/**
 * Returns a storage that knows how long the leases of this process hold.
 *
 * - The engine asks before it stores a record whether this process still has the execution, on the one connection that
 *   renews all leases. In the first half of a lease nobody else can have it, so then the database is not asked; later all
 *   leases are renewed, with one statement for all who ask.
 * - A renewal that is late is no loss, as long as the next one is in time.
 * - What another process had is asked for once more at once, because its leases end one after the other.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  storage: Storage,
  lease: Duration.Input
): Effect.fn.Return<Storage, never, Scope.Scope> {
  const scope = yield* Effect.scope
  /** The engine renews all leases, and gives a renewal up, in this time. */
  const interval = Duration.toMillis(lease) / 3
  /** When each share of the executions was renewed last, by its name. */
  const renewed = new Map<string, { readonly share: ShardId.ShardId; readonly at: Moment }>()
  let renewal: Fiber.Fiber<ReadonlyArray<ShardId.ShardId>, ClusterError.PersistenceError> | undefined
  const isYounger = (shares: ReadonlyArray<ShardId.ShardId>, now: Moment, age: number): boolean =>
    shares.every((share) => {
      const at = renewed.get(share.toString())?.at
      return at !== undefined &&
        [now.wall - at.wall, now.steady - at.steady].every((passed) => passed >= 0 && passed < age)
    })
  const asking = (
    shares: ReadonlyArray<ShardId.ShardId>,
    ask: Effect.Effect<Array<ShardId.ShardId>, ClusterError.PersistenceError>
  ) =>
    // it holds since the question was sent, not since the answer came
    Effect.flatMap(moment, (at) =>
      Effect.map(ask, (held) => {
        for (const share of shares) renewed.delete(share.toString())
        for (const share of held) renewed.set(share.toString(), { share, at })
        return held
      }))
  /** Renews these leases and all others. There is one renewal at a time. */
  const renewing = (address: RunnerAddress.RunnerAddress, shares: ReadonlyArray<ShardId.ShardId>) =>
    Effect.suspend(() => {
      if (renewal !== undefined) return Fiber.join(renewal)
      const known = [...renewed.values()].map(({ share }) => share)
      const all = [...new Map([...known, ...shares].map((share) => [share.toString(), share])).values()]
      return Effect.flatMap(
        Effect.forkIn(asking(all, storage.refresh(address, all)), scope, { startImmediately: true }),
        (fiber) => {
          if (fiber.pollUnsafe() === undefined) {
            renewal = fiber
            fiber.addObserver(() => {
              renewal = undefined
            })
          }
          return Fiber.join(fiber)
        }
      )
    })
  return {
    ...quiet(storage),
    acquire: (address, some) =>
      Effect.gen(function*() {
        const shares = [...some]
        const held = yield* asking([], storage.acquire(address, shares))
        if (held.length === shares.length) return held
        // the engine would ask again a second later
        yield* Effect.sleep("200 millis")
        const rest = shares.filter((share) => !held.some((one) => one.toString() === share.toString()))
        return [...held, ...yield* Effect.orElseSucceed(asking([], storage.acquire(address, rest)), () => [])]
      }),
    refresh: (address, some) =>
      Effect.gen(function*() {
        const shares = [...some]
        if (shares.length === 0) return yield* storage.refresh(address, shares)
        // one alone is the question before a record; all at once are the renewal
        const isQuestion = shares.length === 1 && renewed.size > 1
        if (isQuestion && isYounger(shares, yield* moment, interval * 1.5)) return shares
        const isOf = (held: ReadonlyArray<ShardId.ShardId>) =>
          shares.filter((share) => held.some((one) => one.toString() === share.toString()))
        const renews = Effect.map(renewing(address, shares), isOf)
        const inTime = yield* Effect.exit(Effect.timeoutOption(renews, interval * 0.7))
        if (Exit.isSuccess(inTime) && Option.isSome(inTime.value)) return inTime.value.value
        // the next renewal is given up before a lease of this age ends
        return isYounger(shares, yield* moment, interval * 1.8) ? shares : yield* renews
      }),
    release: (address, share) =>
      Effect.suspend(() => {
        renewed.delete(share.toString())
        return storage.release(address, share)
      }),
    releaseAll: (address) =>
      Effect.suspend(() => {
        renewed.clear()
        return storage.releaseAll(address)
      })
  }
})

/**
 * Keeps the leases in the SQL database.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (lease: Duration.Input): Layer.Layer<
  RunnerStorage.RunnerStorage,
  SqlError.SqlError,
  SqlClient.SqlClient | ShardingConfig.ShardingConfig
> =>
  Layer.effect(RunnerStorage.RunnerStorage)(
    Effect.flatMap(RunnerStorage.RunnerStorage, (storage) => make(storage, lease))
  ).pipe(Layer.provide(SqlRunnerStorage.layer))

/** A clock that somebody sets, and one that stands still while the machine sleeps. */
interface Moment {
  readonly wall: number
  readonly steady: number
}

const moment: Effect.Effect<Moment> = Effect.zipWith(
  Clock.currentTimeMillis,
  Clock.currentTimeNanos,
  (wall, steady) => ({ wall, steady: Number(steady) / 1e6 })
)
