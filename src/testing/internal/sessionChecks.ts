/**
 * The assertions of the suite for session stores.
 *
 * @since 0.1.0
 */

import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Session from "../../Session.ts"
import * as SessionStore from "../../SessionStore.ts"
// the public module has a list of these
import type * as Suite from "../SessionStoreSuite.ts"

/**
 * The store broke a rule.
 *
 * @category errors
 * @since 0.1.0
 */
export class SuiteFailure extends Schema.Error<SuiteFailure>("effect-agents/testing/SessionStoreSuite/SuiteFailure")({
  _tag: Schema.tag("SuiteFailure"),
  what: Schema.String,
  expected: Schema.Json,
  actual: Schema.Json
}) {
  override get message(): string {
    return `${this.what}: expected ${JSON.stringify(this.expected)}, but got ${JSON.stringify(this.actual)}`
  }
}

/**
 * Checks that two values are equal.
 *
 * @category checks
 * @since 0.1.0
 */
export const expect = (what: string, actual: Schema.Json, expected: Schema.Json): Effect.Effect<void, SuiteFailure> =>
  Equal.equals(actual, expected) ? Effect.void : new SuiteFailure({ what, expected, actual })

const toJson = Schema.encodeSync(Schema.toCodecJson(Session.Session))

/**
 * Checks that this is the expected session.
 *
 * @category checks
 * @since 0.1.0
 */
export const expectSession = (
  what: string,
  actual: Session.Session,
  expected: Session.Session
): Effect.Effect<void, SuiteFailure> => expect(what, toJson(actual), toJson(expected))

/**
 * Checks that this is the expected session, in an incarnation of its own.
 *
 * @category checks
 * @since 0.1.0
 */
export const expectBegun = (
  what: string,
  actual: Session.Session,
  expected: Session.Session
): Effect.Effect<void, SuiteFailure> =>
  actual.incarnation === undefined
    ? Effect.fail(new SuiteFailure({ what: `the incarnation of ${what}`, expected: "a token", actual: null }))
    : expectSession(what, actual, { ...expected, incarnation: actual.incarnation })

/**
 * Checks that the user messages of the session have these texts.
 *
 * @category checks
 * @since 0.1.0
 */
export const expectTexts = (
  what: string,
  session: Session.Session,
  expected: ReadonlyArray<string>
): Effect.Effect<void, SuiteFailure> =>
  expect(
    what,
    session.history.content.flatMap((message) =>
      message.role === "user" ? message.content.map((part) => part.type === "text" ? part.text : part.type) : []
    ),
    expected
  )

/**
 * Checks that a save is refused with a conflict of these versions.
 *
 * @category checks
 * @since 0.1.0
 */
export const expectConflict = <E, R>(
  save: Effect.Effect<Session.Session, E, R>,
  expectedVersion: number,
  actualVersion: number
): Effect.Effect<void, SuiteFailure | E, R> =>
  Effect.matchEffect(save, {
    onSuccess: (session) => new SuiteFailure({ what: "a save", expected: "SessionConflict", actual: toJson(session) }),
    onFailure: (error): Effect.Effect<void, SuiteFailure | E> => {
      if (!(error instanceof Session.SessionError) || error.reason._tag !== "SessionConflict") return Effect.fail(error)
      const versions = [error.reason.expectedVersion, error.reason.actualVersion]
      return expect("the versions of the conflict", versions, [expectedVersion, actualVersion])
    }
  })

/**
 * Checks that an operation fails for this reason.
 *
 * @category checks
 * @since 0.1.0
 */
export const expectReason = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  reason: Session.SessionErrorReason["_tag"]
): Effect.Effect<void, SuiteFailure | E, R> =>
  Effect.matchEffect(effect, {
    onSuccess: () => new SuiteFailure({ what: "an operation", expected: reason, actual: "success" }),
    onFailure: (error): Effect.Effect<void, SuiteFailure | E> =>
      error instanceof Session.SessionError
        ? expect("the reason of the failure", error.reason._tag, reason)
        : Effect.fail(error)
  })

/**
 * Runs an effect at a later time.
 *
 * @category running
 * @since 0.1.0
 */
export const later = (millis: number) => <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(Clock.Clock, (clock) =>
    Effect.provideService(effect, Clock.Clock, {
      currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + millis,
      currentTimeMillis: Effect.map(clock.currentTimeMillis, (now) => now + millis),
      currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe(),
      currentTimeNanos: clock.currentTimeNanos,
      monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
      monotonicTimeNanos: clock.monotonicTimeNanos,
      sleep: (duration) => clock.sleep(duration)
    }))

/**
 * Runs an effect with a store of its own.
 *
 * @category running
 * @since 0.1.0
 */
export const openedWith =
  <E, R>(layer: Layer.Layer<SessionStore.SessionStore, E, R>) =>
  <A, E2, R2>(f: (store: SessionStore.SessionStore["Service"]) => Effect.Effect<A, E2, R2>) =>
    Effect.provide(Effect.flatMap(SessionStore.SessionStore, f), Layer.fresh(layer))

/**
 * Creates a case whose ids begin with its name.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  name: string,
  f: (
    store: SessionStore.SessionStore["Service"],
    id: string
  ) => Effect.Effect<void, SuiteFailure | Session.SessionError>
): Suite.Case => {
  const id = name.replace(/[^a-z]+/g, "-")
  return { name, effect: Effect.flatMap(SessionStore.SessionStore, (store) => f(store, id)) }
}
