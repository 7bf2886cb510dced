/**
 * What clients ask about the sessions of their owner, and what they are told.
 *
 * @since 0.1.0
 */

import * as Prompt from "effect/ai/Prompt"
import * as Schema from "effect/Schema"
import * as Approval from "../../Approval.ts"
import * as SessionStore from "../../SessionStore.ts"

/**
 * Schema for the id of a session in the API: between 1 and 100 UTF-16 units that the path of a URL can hold. `.` and
 * `..` are not allowed.
 *
 * @category schemas
 * @since 0.1.0
 */
export const SessionId = Schema.NonEmptyString.check(
  // the router accepts no longer parameter in a path
  Schema.isMaxLength(100),
  Schema.makeFilter((id) => id !== "." && id !== ".." && id.isWellFormed(), {
    expected: "a text that a path of a URL can hold"
  })
)

/**
 * Schema for the session of a conversation, as a client sees it.
 *
 * - `version`: how often it was saved.
 * - `messages`: the conversation, without the metadata of providers.
 * - `approvals`: the approvals that it waits for.
 * - `runId`: the run that works on it, if there is one. Join that run to follow it.
 *
 * @category schemas
 * @since 0.1.0
 */
export const SessionView = Schema.Struct({
  id: Schema.String,
  version: Schema.Int,
  messages: Schema.Array(Prompt.Message),
  approvals: Schema.Array(Approval.Approval),
  runId: Schema.optional(Schema.String)
})

/**
 * @category models
 * @since 0.1.0
 */
export type SessionView = typeof SessionView.Type

/**
 * Schema for an entry in the list of an owner's sessions.
 *
 * - `title`: the title of the conversation, which begins as the first text of its user.
 * - `updated`, `version`, `size`: when it was last saved, how often, and how many messages it has.
 * - `runId`: the run that works on it, if there is one.
 *
 * @category schemas
 * @since 0.1.0
 */
export const SessionSummary = Schema.Struct({
  ...SessionStore.Summary.fields,
  runId: Schema.optional(Schema.String)
})

/**
 * @category models
 * @since 0.1.0
 */
export type SessionSummary = typeof SessionSummary.Type

/**
 * Schema for a page of the list. `next` is the cursor of the next page; the last page has none.
 *
 * @category schemas
 * @since 0.1.0
 */
export const SessionPage = Schema.Struct({
  sessions: Schema.Array(SessionSummary),
  next: Schema.optional(Schema.String)
})

/**
 * @category models
 * @since 0.1.0
 */
export type SessionPage = typeof SessionPage.Type

/**
 * The largest number of sessions on a page.
 *
 * @category constants
 * @since 0.1.0
 */
export const maximumSessions = 1000

/**
 * The checks of the largest number of sessions on a page.
 *
 * @category schemas
 * @since 0.1.0
 */
export const isLimit = [Schema.isInt(), Schema.isBetween({ minimum: 1, maximum: maximumSessions })] as const

/**
 * Schema for the request of a page: the `next` of the page before, and the largest number of sessions (50 if absent).
 *
 * With `search` it has the sessions whose title has this text, in capitals or not. Such a page may have fewer sessions than
 * `limit` although there is a next one, and none if many do not have the text.
 *
 * @category schemas
 * @since 0.1.0
 */
export const SessionQuery = Schema.Struct({
  cursor: Schema.optional(Schema.String),
  search: Schema.optional(Schema.String.check(Schema.isMaxLength(200))),
  limit: Schema.optional(Schema.Finite.check(...isLimit))
})

/**
 * @category models
 * @since 0.1.0
 */
export type SessionQuery = typeof SessionQuery.Type

/**
 * Schema for the new title of a session. A title is one line of at most 80 UTF-16 units: a longer one is cut.
 *
 * @category schemas
 * @since 0.1.0
 */
export const RenameRequest = Schema.Struct({
  title: Schema.String.check(
    Schema.isMaxLength(1000),
    Schema.makeFilter((title) => title.trim() !== "", { expected: "a text that is not blank" })
  )
})

/**
 * @category models
 * @since 0.1.0
 */
export type RenameRequest = typeof RenameRequest.Type

/**
 * Schema for the request of a fork: the id of the new session, and what it begins with.
 *
 * - `version`: the version of the session. By default, the latest that has no more messages than `length`.
 * - `length`: the largest number of messages. To edit message 4, fork with the 4 messages before it, and run on the fork.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ForkRequest = Schema.Struct({
  to: SessionId,
  version: Schema.optional(Schema.Int),
  length: Schema.optional(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)))
})

/**
 * @category models
 * @since 0.1.0
 */
export type ForkRequest = typeof ForkRequest.Type
