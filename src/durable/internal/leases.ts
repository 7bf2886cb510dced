/**
 * The leases of a process on its share of the executions.
 *
 * @since 0.1.0
 */

import * as Clock from "effect/Clock"
import * as RunnerStorage from "effect/cluster/RunnerStorage"
import type * as ShardId from "effect/cluster/ShardId"
import type * as ShardingConfig from "effect/cluster/ShardingConfig"
import * as SqlRunnerStorage from "effect/cluster/SqlRunnerStorage"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as SqlClient from "effect/sql/SqlClient"
import type * as SqlError from "effect/sql/SqlError"

/**
 * The engine asks before it stores a record whether this process still has the execution: with two statements, on the one
 * connection that renews the lease of everything else. Within a third of the lease after it was renewed nobody else can
 * have it, so then the database is not asked.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (lease: Duration.Input): Layer.Layer<
  RunnerStorage.RunnerStorage,
  SqlError.SqlError,
  SqlClient.SqlClient | ShardingConfig.ShardingConfig
> =>
  Layer.effect(RunnerStorage.RunnerStorage)(Effect.gen(function*() {
    const storage = yield* RunnerStorage.RunnerStorage
    const certain = Duration.toMillis(lease) / 3
    /** When each share of the executions was renewed last, by its name. */
    const renewed = new Map<string, Moment>()
    const isCertain = (share: string, now: Moment): boolean => {
      const then = renewed.get(share)
      return then !== undefined &&
        [now.wall - then.wall, now.steady - then.steady].every((age) => age >= 0 && age < certain)
    }
    const renewing = <E>(shares: ReadonlyArray<ShardId.ShardId>, ask: Effect.Effect<Array<ShardId.ShardId>, E>) =>
      // it holds since the question was sent, not since the answer came
      Effect.flatMap(moment, (now) =>
        Effect.map(ask, (held) => {
          for (const share of shares) renewed.delete(share.toString())
          for (const share of held) renewed.set(share.toString(), now)
          return held
        }))
    return {
      ...storage,
      acquire: (address, some) =>
        Effect.gen(function*() {
          const shares = [...some]
          const held = yield* renewing([], storage.acquire(address, shares))
          if (held.length === shares.length) return held
          // the leases of a process end a moment after its sign of life, and the engine asks again a whole second later
          yield* Effect.sleep("200 millis")
          const rest = shares.filter((share) => !held.some((one) => one.toString() === share.toString()))
          return [...held, ...yield* Effect.orElseSucceed(renewing([], storage.acquire(address, rest)), () => [])]
        }),
      refresh: (address, some) => {
        const shares = [...some]
        const [share] = shares
        const renews = renewing(shares, storage.refresh(address, shares))
        // all at once is the renewal itself
        if (share === undefined || shares.length > 1 || renewed.size < 2) return renews
        return Effect.flatMap(moment, (now) => isCertain(share.toString(), now) ? Effect.succeed(shares) : renews)
      },
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
  })).pipe(Layer.provide(SqlRunnerStorage.layer))

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
