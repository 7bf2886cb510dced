/**
 * The runs that a fork of a session has from it.
 *
 * @since 0.1.0
 */

import type * as RunJournal from "../RunJournal.ts"

/**
 * Returns the ids of those runs that began when their session had less messages than the fork begins with, in their order.
 *
 * @category accessors
 * @since 0.1.0
 */
export const inheritedFrom = (runs: ReadonlyArray<RunJournal.Run>, length: number): ReadonlyArray<string> =>
  runs.flatMap(({ before, runId }) => before !== undefined && before < length ? [runId] : [])
