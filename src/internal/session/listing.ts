/**
 * Lists of sessions: newest first, page by page. Each page begins where the one before has ended.
 *
 * @since 0.1.0
 */

import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Base64Url from "effect/encoding/Base64Url"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Session from "../../Session.ts"
import type * as SessionStore from "../../SessionStore.ts"

/**
 * The latest time that a date can hold, in milliseconds. The earliest is as far before 1970.
 *
 * @category models
 * @since 0.1.0
 */
export const latest = 8.64e15

/**
 * The place of the last session on a page. The next page has the sessions that were saved before it; of those saved at
 * the same time it has those with a smaller key.
 *
 * @category models
 * @since 0.1.0
 */
export interface Place {
  readonly updated: number
  readonly key: string
}

/**
 * The query of a caller with its defaults. `after` is `undefined` for the first page.
 *
 * @category models
 * @since 0.1.0
 */
export interface Query {
  readonly pageSize: number
  readonly prefix: string
  readonly after: Place | undefined
}

/**
 * Schema for the time of a save, in milliseconds: one that a date can hold.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Updated: Schema.Int = Schema.Int.check(Schema.isBetween({ minimum: -latest, maximum: latest }))

const PlaceFromJson = Schema.fromJsonString(Schema.Tuple([Updated, Schema.String]))

/**
 * Reads the options of a caller. Fails if no list can have given out the cursor: it is written differently, or has a
 * time or a key that no session of the store can have (`isKey`).
 *
 * @category conversions
 * @since 0.1.0
 */
export const toQuery = (
  options: SessionStore.ListOptions | undefined,
  isKey: (key: string) => boolean = () => true
): Effect.Effect<Query, Session.SessionError> => {
  const asked = options?.pageSize ?? 50
  const pageSize = Math.min(Math.max(Number.isNaN(asked) ? 50 : Math.floor(asked), 1), largestPage)
  const cursor = options?.cursor
  const prefix = options?.prefix ?? ""
  if (cursor === undefined) return Effect.succeed({ pageSize, prefix, after: undefined })
  const place = Result.map(
    Result.flatMap(Base64Url.decodeString(cursor), Schema.decodeResult(PlaceFromJson)),
    ([updated, key]): Place => ({ updated, key })
  )
  return Result.isSuccess(place) && toCursor(place.success) === cursor && isKey(place.success.key)
    ? Effect.succeed({ pageSize, prefix, after: place.success })
    : Effect.fail(new Session.SessionError({ reason: new Session.SessionCursorInvalid({ cursor }) }))
}

const largestPage = 1000

/** The key is written with escapes, so that half of a surrogate pair is kept. */
const toCursor = ({ key, updated }: Place): string => Base64Url.encode(`[${updated},${JSON.stringify(key)}]`)

/**
 * A session at its place in the list. A session that cannot be read has no summary.
 *
 * @category models
 * @since 0.1.0
 */
export interface Entry extends Place {
  readonly summary: SessionStore.Summary | undefined
}

/**
 * Creates the page of a query from entries that are in order and begin after the place of the query. One entry more
 * than the page size means that another page follows.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toPage = ({ pageSize }: Query, entries: ReadonlyArray<Entry>): SessionStore.Page => {
  const found = entries.slice(0, pageSize)
  const last = found.at(-1)
  return {
    sessions: found.flatMap(({ summary }) => summary === undefined ? [] : [summary]),
    ...(last === undefined || entries.length <= pageSize ? {} : { next: toCursor(last) })
  }
}

/**
 * Leaves out a session whose record cannot be read, and logs the name of the record. All other sessions are listed and
 * swept.
 *
 * @category combinators
 * @since 0.1.0
 */
export const readable = <A>(
  operation: "list" | "sweep",
  read: Effect.Effect<A, Session.SessionError>
): Effect.Effect<A | undefined, Session.SessionError> =>
  Effect.catchReason(
    read,
    "SessionError",
    "SessionRecordInvalid",
    ({ record }) => Effect.as(leftOut(operation, record), undefined)
  )

/**
 * Logs that a record is left out. The content of the record is not logged, because it may be private.
 *
 * @category logging
 * @since 0.1.0
 */
export const leftOut = (operation: "list" | "sweep", record: string): Effect.Effect<void> =>
  Effect.logWarning(
    `Sessions: ${operation} leaves out the stored record ${JSON.stringify(record)}, which cannot be read`
  )

/**
 * Creates the page of a query from all sessions.
 *
 * @category conversions
 * @since 0.1.0
 */
export const pageOf = (query: Query, summaries: Iterable<SessionStore.Summary>): SessionStore.Page => {
  const { after, pageSize, prefix } = query
  const entries = Array.from(summaries, (summary) => ({
    key: summary.id,
    updated: DateTime.toEpochMillis(summary.updated),
    summary
  }))
    .filter((entry) => entry.key.startsWith(prefix) && (after === undefined || compare(after, entry) < 0))
    .sort(compare)
  return toPage(query, entries.slice(0, pageSize + 1))
}

const compare = (one: Place, other: Place): number =>
  one.updated !== other.updated ? other.updated - one.updated : one.key < other.key ? 1 : one.key > other.key ? -1 : 0
