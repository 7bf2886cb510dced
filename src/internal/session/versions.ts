/**
 * A session with its versions, for stores that write it as a whole, and its entry in a list.
 *
 * @since 0.1.0
 */

import * as Prompt from "effect/ai/Prompt"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Session from "../../Session.ts"
import type * as SessionStore from "../../SessionStore.ts"
import * as Text from "../words/text.ts"
import { extend, unknownVersion } from "./change.ts"

/**
 * One version of a session: the number of its messages, and the other changes of its save. Only versions that can be
 * restored are kept.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Version = Schema.Struct({
  version: Schema.Int,
  length: Schema.Int,
  state: Schema.optional(Session.State),
  title: Schema.optional(Schema.String)
})

/**
 * One version of a session.
 *
 * @category models
 * @since 0.1.0
 */
export type Version = typeof Version.Type

/**
 * A stored session with its versions. `updated` is the time of its last save, in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Kept {
  readonly session: Session.Session
  readonly versions: ReadonlyArray<Version>
  readonly updated: number
}

/**
 * A session that was never saved.
 *
 * @category constructors
 * @since 0.1.0
 */
export const nothing = (id: string): Kept => ({ session: Session.empty(id), versions: [], updated: 0 })

/**
 * A session whose earlier versions are unknown, because it was saved before versions were kept.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromSession = (session: Session.Session, updated: number): Kept => ({
  session,
  versions: [{
    version: session.version,
    length: session.history.content.length,
    state: session.state,
    title: titleOf(session.history.content)
  }],
  updated
})

/**
 * Returns the session after a save.
 *
 * @category combinators
 * @since 0.1.0
 */
export const save = (kept: Kept, change: SessionStore.Change, now: number): Kept => {
  const session = extend(kept.session, change)
  const title = titleToSave(change, lastTitle(kept.versions) !== undefined)
  return {
    session,
    versions: [...kept.versions, toVersion(session, change.state, title)],
    updated: now
  }
}

/**
 * Returns a session with another id, as the given one was at a version. Fails if the version is unknown.
 *
 * @category combinators
 * @since 0.1.0
 */
export const fork = (
  kept: Kept,
  { length, to: id, version = versionOf(kept, length) }: SessionStore.ForkOptions,
  now: number
): Effect.Effect<Kept, Session.SessionError> => {
  if (version === 0) return Effect.succeed(nothing(id))
  const versions = upTo(kept.versions, version)
  const last = versions?.at(-1)
  if (versions === undefined || last === undefined) return Effect.fail(unknownVersion(kept.session.id, version))
  const { incarnation } = extend(Session.empty(id), { append: [] })
  return Effect.succeed({
    session: {
      id,
      history: Prompt.fromMessages(kept.session.history.content.slice(0, last.length)),
      state: stateOf(versions),
      version,
      ...(incarnation === undefined ? {} : { incarnation })
    },
    versions,
    updated: now
  })
}

/**
 * Returns the latest version before the given one that is in none of these ranges, which are in order.
 *
 * @category accessors
 * @since 0.1.0
 */
export const before = (version: number, ranges: ReadonlyArray<readonly [from: number, to: number]>): number =>
  ranges.reduceRight((found, [from, to]) => found >= from && found <= to ? from - 1 : found, version - 1)

/** The latest version with at most so many messages. */
const versionOf = ({ session, versions }: Kept, length = Infinity): number =>
  session.history.content.length <= length
    ? session.version
    : versions.findLast((each) => each.length <= length)?.version ?? 0

/**
 * Returns the session as it was at a version. Fails if the version is unknown.
 *
 * @category accessors
 * @since 0.1.0
 */
export const at = (
  { session, versions }: Kept,
  version: number
): Effect.Effect<Session.Session, Session.SessionError> => {
  if (version === session.version) return Effect.succeed(session)
  const kept = version === 0 ? [] : upTo(versions, version)
  return kept === undefined
    ? Effect.fail(unknownVersion(session.id, version))
    : Effect.succeed({ ...contentOf(session, kept), version })
}

/** The session with the messages and the state that it has after these versions. */
const contentOf = (session: Session.Session, versions: ReadonlyArray<Version>): Session.Session => ({
  ...session,
  history: Prompt.fromMessages(session.history.content.slice(0, versions.at(-1)?.length ?? 0)),
  state: stateOf(versions)
})

/**
 * Returns the session as it was at a version, as its next version, after a change if there is one. The versions in between
 * are forgotten. Fails if the version is unknown.
 *
 * @category combinators
 * @since 0.1.0
 */
export const truncate = (
  kept: Kept,
  version: number,
  now: number,
  change?: SessionStore.Change
): Effect.Effect<Kept, Session.SessionError> => {
  const versions = version === 0 ? [] : upTo(kept.versions, version)
  if (versions === undefined) return Effect.fail(unknownVersion(kept.session.id, version))
  // there is nothing to remove
  if (kept.session.version === 0) return Effect.succeed(change === undefined ? kept : save(kept, change, now))
  const back = contentOf(kept.session, versions)
  if (change !== undefined) return Effect.succeed(save({ ...kept, session: back, versions }, change, now))
  const session = { ...back, version: kept.session.version + 1 }
  return Effect.succeed({
    session,
    versions: [...versions, toVersion(session, undefined, undefined)],
    updated: now
  })
}

/**
 * Returns the list entry of the session.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toSummary = ({ session, updated, versions }: Kept): SessionStore.Summary => {
  const title = lastTitle(versions)
  return {
    id: session.id,
    ...(title === undefined ? {} : { title }),
    updated: DateTime.makeUnsafe(updated),
    version: session.version,
    size: session.history.content.length
  }
}

/**
 * Returns the title that a save gives to a session: the title that it sets, or the text of the first user message if
 * the session has none.
 *
 * @category conversions
 * @since 0.1.0
 */
export const titleToSave = ({ append, title }: SessionStore.Change, hasTitle: boolean): string | undefined =>
  (title === undefined ? undefined : toTitle(title)) ?? (hasTitle ? undefined : titleOf(append))

/**
 * Returns the text of the first user message with text, as a title.
 *
 * @category conversions
 * @since 0.1.0
 */
export const titleOf = (messages: ReadonlyArray<Prompt.Message>): string | undefined => {
  for (const message of messages) {
    if (message.role !== "user") continue
    for (const part of message.content) {
      const title = part.type === "text" ? toTitle(part.text) : undefined
      if (title !== undefined) return title
    }
  }
  return undefined
}

/** Returns one line of at most `longestTitle` UTF-16 units, or `undefined` if nothing remains. */
const toTitle = (text: string): string | undefined => {
  // only the beginning of a long text is searched for a title, after leading white space
  const line = Text.cut(text.trimStart().slice(0, longestTitle * 20), longestTitle * 10).replace(/[\s\p{Cc}]+/gu, " ")
    .trim()
  return line === "" ? undefined : Text.wellFormed(Text.shorten(line, longestTitle))
}

const longestTitle = 80

/** A key for each entry, so that the version and undefined values are not written. */
const toVersion = (
  { history, version }: Session.Session,
  state: Session.State | undefined,
  title: string | undefined
): Version => ({
  version,
  length: history.content.length,
  ...(state === undefined ? {} : { state }),
  ...(title === undefined ? {} : { title })
})

const upTo = (versions: ReadonlyArray<Version>, version: number): ReadonlyArray<Version> | undefined => {
  const index = versions.findLastIndex((each) => each.version === version)
  return index === -1 ? undefined : versions.slice(0, index + 1)
}

/**
 * Returns the state after the saves of these versions.
 *
 * @category conversions
 * @since 0.1.0
 */
export const stateOf = (saves: ReadonlyArray<{ readonly state?: Session.State | undefined }>): Session.State =>
  Object.fromEntries(saves.flatMap(({ state }) => state === undefined ? [] : Object.entries(state)))

const lastTitle = (versions: ReadonlyArray<Version>): string | undefined =>
  versions.findLast(({ title }) => title !== undefined)?.title
