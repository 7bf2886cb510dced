/**
 * What all stores need: how a save changes a session, and the errors of stores.
 *
 * @since 0.1.0
 */

import * as Prompt from "effect/ai/Prompt"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import * as Session from "../../Session.ts"
import type * as SessionStore from "../../SessionStore.ts"

/**
 * The operation that a store was asked for.
 *
 * @category models
 * @since 0.1.0
 */
export type Operation = Session.SessionStoreUnavailable["operation"]

/**
 * Returns the session as it is after a save of the change. The first save begins an incarnation.
 *
 * @category combinators
 * @since 0.1.0
 */
export const extend = (session: Session.Session, change: SessionStore.Change): Session.Session => {
  const incarnation = session.version === 0 ? SecureRandom.uuidV4Unsafe() : session.incarnation
  return {
    id: session.id,
    history: change.append.length === 0
      ? session.history
      : Prompt.fromMessages([...session.history.content, ...change.append]),
    state: change.state === undefined ? session.state : { ...session.state, ...change.state },
    version: session.version + 1,
    ...(incarnation === undefined ? {} : { incarnation })
  }
}

/**
 * Returns whether a save that was made from one session may be added to another: it is the same version of the same
 * incarnation.
 *
 * @category guards
 * @since 0.1.0
 */
export const isCurrent = (session: Session.Session, stored: Session.Session): boolean =>
  session.version === stored.version && (stored.version === 0 || session.incarnation === stored.incarnation)

/**
 * Creates the error of a save that came too late.
 *
 * @category errors
 * @since 0.1.0
 */
export const conflict = (session: Session.Session, actualVersion: number): Session.SessionError =>
  new Session.SessionError({
    sessionId: session.id,
    reason: new Session.SessionConflict({ expectedVersion: session.version, actualVersion })
  })

/**
 * Creates the error of a version that the session does not have.
 *
 * @category errors
 * @since 0.1.0
 */
export const unknownVersion = (sessionId: string, version: number): Session.SessionError =>
  new Session.SessionError({ sessionId, reason: new Session.SessionVersionUnknown({ version }) })

/**
 * Creates the error of a record that cannot be read, or of a session that cannot be written as one.
 *
 * @category errors
 * @since 0.1.0
 */
export const invalid = (sessionId: string | undefined, record: string, description: string): Session.SessionError =>
  new Session.SessionError({ sessionId, reason: new Session.SessionRecordInvalid({ record, description }) })

/**
 * Turns a failure of a store's medium into the error of the store.
 *
 * @category errors
 * @since 0.1.0
 */
export const unavailable = <A, E>(
  operation: Operation,
  sessionId: string | undefined,
  effect: Effect.Effect<A, E>
): Effect.Effect<A, Session.SessionError> =>
  Effect.mapError(
    effect,
    (cause) =>
      new Session.SessionError({ sessionId, reason: new Session.SessionStoreUnavailable({ operation, cause }) })
  )

/**
 * The error of a store that does not support an operation.
 *
 * @category errors
 * @since 0.1.0
 */
export const unsupported = (
  operation: Operation,
  sessionId: string | undefined
): Effect.Effect<never, Session.SessionError> =>
  Effect.fail(
    new Session.SessionError({
      ...(sessionId === undefined ? {} : { sessionId }),
      reason: new Session.SessionStoreUnavailable({ operation, cause: new Error("this store cannot do that") })
    })
  )

/**
 * Returns the message in a form that JSON can hold: a result or parameters that are `undefined` become `null`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const toStorable = (message: Prompt.Message): Prompt.Message => {
  if (message.role === "tool") {
    return message.content.some(hasNothing) ? { ...message, content: message.content.map(withNull) } : message
  }
  if (message.role === "assistant") {
    return message.content.some(hasNothing) ? { ...message, content: message.content.map(withNull) } : message
  }
  return message
}

const hasNothing = (part: Prompt.Part): boolean =>
  (part.type === "tool-result" && part.result === undefined) || (part.type === "tool-call" && part.params === undefined)

const withNull = <Part extends Prompt.Part>(part: Part): Part => {
  if (!hasNothing(part)) return part
  return part.type === "tool-call" ? { ...part, params: null } : { ...part, result: null }
}
