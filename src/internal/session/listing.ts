/**
 * How the sessions of a store are listed: newest first, page by page, each page from where the one before has ended.
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
 * The last session of a page: the next page has those that were saved before it, and of one moment those with a smaller
 * key.
 *
 * @category models
 * @since 0.1.0
 */
export interface Place {
  readonly updated: number
  readonly key: string
}

/**
 * What is asked for, with the defaults in their places. `after` is undefined for the first page.
 *
 * @category models
 * @since 0.1.0
 */
export interface Query {
  readonly pageSize: number
  readonly after: Place | undefined
}

const PlaceFromJson = Schema.fromJsonString(Schema.Tuple([Schema.Int, Schema.String]))

/**
 * Reads what a caller asks for. Fails when the cursor is none of ours.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toQuery = (
  options: SessionStore.ListOptions | undefined
): Effect.Effect<Query, Session.SessionError> => {
  const asked = options?.pageSize ?? 50
  const pageSize = Math.min(Math.max(Number.isNaN(asked) ? 50 : Math.floor(asked), 1), largestPage)
  const cursor = options?.cursor
  if (cursor === undefined) return Effect.succeed({ pageSize, after: undefined })
  const place = Result.flatMap(Base64Url.decodeString(cursor), Schema.decodeResult(PlaceFromJson))
  return Result.isFailure(place)
    ? Effect.fail(new Session.SessionError({ reason: new Session.SessionCursorInvalid({ cursor }) }))
    : Effect.succeed({ pageSize, after: { updated: place.success[0], key: place.success[1] } })
}

const largestPage = 1000

/** The key is written with escapes, so that half of a surrogate pair survives. */
const toCursor = ({ key, updated }: Place): string => Base64Url.encode(`[${updated},${JSON.stringify(key)}]`)

/**
 * The page that a query asks for, of entries that are in order and begin behind the place of the query. One entry more
 * than the page has says that another page follows.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toPage = (
  { pageSize }: Query,
  entries: ReadonlyArray<{ readonly key: string; readonly summary: SessionStore.Summary }>
): SessionStore.Page => {
  const sessions = entries.slice(0, pageSize)
  const last = sessions.at(-1)
  return {
    sessions: sessions.map(({ summary }) => summary),
    ...(last === undefined || entries.length <= pageSize
      ? {}
      : { next: toCursor({ updated: DateTime.toEpochMillis(last.summary.updated), key: last.key }) })
  }
}

/**
 * The page that a query asks for, of all the sessions that there are.
 *
 * @category conversions
 * @since 0.1.0
 */
export const pageOf = (query: Query, summaries: Iterable<SessionStore.Summary>): SessionStore.Page => {
  const { after, pageSize } = query
  const entries = Array.from(summaries, (summary) => ({
    key: summary.id,
    updated: DateTime.toEpochMillis(summary.updated),
    summary
  }))
    .filter((entry) => after === undefined || compare(after, entry) < 0)
    .sort(compare)
  return toPage(query, entries.slice(0, pageSize + 1))
}

const compare = (one: Place, other: Place): number =>
  one.updated !== other.updated ? other.updated - one.updated : one.key < other.key ? 1 : one.key > other.key ? -1 : 0
