/**
 * Effects that are one transaction with their records.
 *
 * @since 0.1.0
 */

import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import * as Journal from "../../Journal.ts"
import { InTransaction } from "./executionJournal.ts"

/**
 * Runs an effect in one transaction with its record.
 *
 * @category running
 * @since 0.1.0
 */
export const transaction = <A, E, R>(
  name: string,
  codecs: Journal.Codecs<A, E>,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E | Journal.JournalError, R | SqlClient.SqlClient> =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => {
    // a transaction that cannot begin or end is no failure of the effect
    const own = Effect.matchEffect(sql.withTransaction(Effect.mapError(effect, (error) => new Own(error))), {
      onFailure: (error) => error instanceof Own ? Effect.fail(error.error as E) : Effect.die(error),
      onSuccess: Effect.succeed
    })
    return Effect.provideService(Journal.step(name, codecs, own), InTransaction, true)
  })

/** A failure of the effect, which may be an `SqlError` itself. */
class Own {
  readonly error: unknown

  constructor(error: unknown) {
    this.error = error
  }
}
