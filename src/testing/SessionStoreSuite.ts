/**
 * The rules for every `SessionStore`, as test cases for any test runner.
 *
 * A case is an `Effect`. It succeeds if the store behaves correctly, and fails with a `SuiteFailure` that says what the
 * store did instead. Each case uses its own ids, so one store can run them all.
 *
 * With vitest a case is a test: `for (const { effect, name } of cases) it.effect(name, () => Effect.provide(effect, layer))`.
 *
 * **Example** (Checking a store)
 *
 * ```ts
 * import { Effect } from "effect"
 * import * as SessionStore from "effect-agents/SessionStore"
 * import { SessionStoreSuite } from "effect-agents/testing"
 *
 * const check = Effect.forEach(SessionStoreSuite.cases, ({ effect }) => effect, { discard: true }).pipe(
 *   Effect.as("the store behaves"),
 *   Effect.provide(SessionStore.layerMemory)
 * )
 *
 * Effect.runPromise(check).then(console.log) // => the store behaves
 * ```
 *
 * @since 0.1.0
 */

import * as Prompt from "effect/ai/Prompt"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as Session from "../Session.ts"
import * as SessionStore from "../SessionStore.ts"
import * as Checks from "./internal/sessionChecks.ts"
import {
  expect,
  expectBegun,
  expectConflict,
  expectSession,
  expectTexts,
  make,
  openedWith
} from "./internal/sessionChecks.ts"
import * as Damaged from "./internal/sessionDamaged.ts"
import * as Expiring from "./internal/sessionExpiring.ts"
import * as Many from "./internal/sessionMany.ts"
import { everyMessage, everyState, oddIds, text } from "./internal/sessionSamples.ts"
import * as Versions from "./internal/sessionVersions.ts"

/**
 * The store broke a rule.
 *
 * @category errors
 * @since 0.1.0
 */
export const SuiteFailure: typeof Checks.SuiteFailure = Checks.SuiteFailure

/**
 * The store broke a rule. `what` says which value was wrong.
 *
 * @category errors
 * @since 0.1.0
 */
export type SuiteFailure = Checks.SuiteFailure

/**
 * A rule for stores.
 *
 * @category models
 * @since 0.1.0
 */
export interface Case<E = never, R = SessionStore.SessionStore> {
  readonly name: string
  readonly effect: Effect.Effect<void, SuiteFailure | Session.SessionError | E, R>
}

/**
 * The cases for every store.
 *
 * @category cases
 * @since 0.1.0
 */
export const cases: ReadonlyArray<Case> = [
  make("an unknown id is the empty session", (store, id) =>
    Effect.gen(function*() {
      yield* expectSession("the loaded session", yield* store.load(id), Session.empty(id))
    })),

  make("a saved session is loaded as it was saved", (store, id) =>
    Effect.gen(function*() {
      const saved = yield* store.save(yield* store.load(id), { append: everyMessage, state: everyState })
      yield* expectBegun("the saved session", saved, {
        id,
        history: Prompt.fromMessages(everyMessage),
        state: everyState,
        version: 1
      })
      yield* expectSession("the loaded session", yield* store.load(id), saved)
    })),

  make(
    "a tool call without parameters and a result without a value can be saved",
    (store, id) =>
      Effect.gen(function*() {
        const call = Prompt.toolCallPart({ id: "c1", name: "ping", params: undefined, providerExecuted: false })
        const result = Prompt.toolResultPart({
          id: "c1",
          name: "ping",
          isFailure: false,
          result: undefined,
          providerExecuted: false
        })
        yield* store.save(yield* store.load(id), {
          append: [Prompt.assistantMessage({ content: [call] }), Prompt.toolMessage({ content: [result] })]
        })
        const loaded = yield* store.load(id)
        yield* expect(
          "the parts of the loaded session",
          loaded.history.content.flatMap((message) =>
            message.role === "system" ? [] : message.content.map((part) => part.type)
          ),
          ["tool-call", "tool-result"]
        )
      })
  ),

  make("saves append in order, and each counts the version up", (store, id) =>
    Effect.gen(function*() {
      let session = yield* store.load(id)
      for (let version = 1; version <= 4; version++) {
        const append = Array.from({ length: version }, (_, index) => text(`${version}.${index}`))
        session = yield* store.save(session, { append })
        yield* expect("the version", session.version, version)
      }
      yield* expectTexts("the history", session, ["1.0", "2.0", "2.1", "3.0", "3.1", "3.2", "4.0", "4.1", "4.2", "4.3"])
      yield* expectSession("the loaded session", yield* store.load(id), session)
    })),

  make("a save without messages is a save", (store, id) =>
    Effect.gen(function*() {
      const saved = yield* store.save(yield* store.load(id), { append: [] })
      yield* expectBegun("the saved session", saved, { ...Session.empty(id), version: 1 })
      yield* expectSession("the loaded session", yield* store.load(id), saved)
    })),

  make("a save replaces the state it names and keeps the rest", (store, id) =>
    Effect.gen(function*() {
      const first = yield* store.save(yield* store.load(id), { append: [], state: { one: [1], two: "kept" } })
      const second = yield* store.save(first, { append: [text("hello")] })
      const third = yield* store.save(second, { append: [], state: { one: null, three: { deep: true } } })
      yield* expect("the state after the second save", second.state, { one: [1], two: "kept" })
      yield* expect("the state after the third save", third.state, { one: null, two: "kept", three: { deep: true } })
      yield* expectSession("the loaded session", yield* store.load(id), third)
    })),

  make("a save from an old version is a conflict and writes nothing", (store, id) =>
    Effect.gen(function*() {
      const empty = yield* store.load(id)
      const first = yield* store.save(empty, { append: [text("first")] })
      const second = yield* store.save(first, { append: [text("second")] })
      yield* expectConflict(store.save(empty, { append: [text("lost")], state: { lost: true } }), 0, 2)
      yield* expectConflict(store.save(first, { append: [text("lost")], state: { lost: true } }), 1, 2)
      yield* expectSession("the loaded session", yield* store.load(id), second)
    })),

  make("a save from a version that was never reached is a conflict", (store, id) =>
    Effect.gen(function*() {
      yield* expectConflict(store.save({ ...Session.empty(id), version: 3 }, { append: [text("lost")] }), 3, 0)
      yield* expectSession("the loaded session", yield* store.load(id), Session.empty(id))
    })),

  make("of saves made from one version at once exactly one succeeds", (store, id) =>
    Effect.gen(function*() {
      let session = yield* store.load(id)
      for (let round = 0; round < 3; round++) {
        const from = session
        const results = yield* Effect.forEach(
          Array.from({ length: 8 }, (_, index) => `${round}.${index}`),
          (name) => Effect.result(store.save(from, { append: [text(`${name} a`), text(`${name} b`)] })),
          { concurrency: "unbounded" }
        )
        const [won, ...others] = results.flatMap((result) => Result.isSuccess(result) ? [result.success] : [])
        const conflicts = results.filter((result) =>
          Result.isFailure(result) && result.failure.reason._tag === "SessionConflict"
        )
        yield* expect("the saves that succeeded", won === undefined ? 0 : 1 + others.length, 1)
        yield* expect("the saves that were conflicts", conflicts.length, 7)
        session = yield* store.load(id)
        yield* expectSession("the loaded session", session, won!)
      }
      yield* expect("the length of the history", session.history.content.length, 6)
    })),

  make(
    "an interrupted save has written everything or nothing, and writes nothing afterwards",
    (store, id) =>
      Effect.gen(function*() {
        const yields = (count: number) => Effect.repeat(Effect.yieldNow, { times: count })
        for (let round = 0; round < 40; round++) {
          const before = yield* store.load(id)
          const append = [text(`${round} a`), text(`${round} b`)]
          const saving = yield* Effect.forkChild(store.save(before, { append, state: { round } }))
          yield* yields(round)
          yield* Fiber.interrupt(saving)
          const stored = yield* store.load(id)
          const exit = yield* Fiber.await(saving)
          if (Exit.isSuccess(exit)) yield* expectSession("the session after the save", stored, exit.value)
          // the first save begins an incarnation, which nobody can know before it
          const from = before.version === 0 ? { ...before, incarnation: stored.incarnation } : before
          const after = { ...SessionStore.extend(from, { append, state: { round } }), incarnation: from.incarnation }
          yield* expectSession("the stored session", stored, stored.version === before.version ? before : after)
          yield* yields(10)
          yield* expectSession("the session a while later", yield* store.load(id), stored)
        }
      })
  ),

  make(
    "JSON that is nested very deeply is saved or refused, and the session can be read",
    (store, id) =>
      Effect.gen(function*() {
        const first = yield* store.save(yield* store.load(id), { append: [text("first")] })
        let deep: Schema.Json = []
        for (let depth = 0; depth < 100_000; depth++) deep = [deep]
        const result = Prompt.toolResultPart({
          id: "c1",
          name: "read",
          isFailure: false,
          result: deep,
          providerExecuted: false
        })
        const changes: ReadonlyArray<SessionStore.Change> = [
          { append: [Prompt.toolMessage({ content: [result] })] },
          { append: [], state: { deep } }
        ]
        for (const change of changes) {
          const before = yield* store.load(id)
          const saved = yield* Effect.result(store.save(before, change))
          if (Result.isFailure(saved)) {
            yield* expect("the reason of the refusal", saved.failure.reason._tag, "SessionRecordInvalid")
          }
          const { version } = yield* store.load(id)
          yield* expect("the version", version, Result.isSuccess(saved) ? before.version + 1 : before.version)
        }
        yield* expectTexts("the history", first, ["first"])
      })
  ),

  make("sessions with similar ids are apart", (store, id) =>
    Effect.gen(function*() {
      const ids = oddIds.map((odd) => `${id}${odd}`).concat(oddIds)
      for (const each of ids) {
        yield* store.remove(each)
        yield* store.save(yield* store.load(each), { append: [text(each)], state: { id: each } })
      }
      for (const each of ids) {
        yield* expectBegun("the loaded session", yield* store.load(each), {
          id: each,
          history: Prompt.fromMessages([text(each)]),
          state: { id: each },
          version: 1
        })
      }
    })),

  make("a removed session is an unknown one, and can begin again", (store, id) =>
    Effect.gen(function*() {
      const other = yield* store.save(yield* store.load(`${id}-other`), { append: [text("stays")] })
      const first = yield* store.save(yield* store.load(id), { append: [text("first")], state: { gone: true } })
      const second = yield* store.save(first, { append: [text("second")] })
      yield* store.remove(id)
      yield* expectSession("the removed session", yield* store.load(id), Session.empty(id))
      yield* expectConflict(store.save(second, { append: [text("lost")] }), 2, 0)
      const again = yield* store.save(yield* store.load(id), { append: [text("again")] })
      yield* expectTexts("the history", again, ["again"])
      yield* expectSession("the loaded session", yield* store.load(id), again)
      yield* expectSession("the other session", yield* store.load(`${id}-other`), other)
      yield* store.remove(`${id}-unknown`)
    })),

  make(
    "a session that begins again after its removal accepts no save from before it",
    (store, id) =>
      Effect.gen(function*() {
        const saves = (count: number, name: string) =>
          Effect.gen(function*() {
            const versions = [yield* store.load(id)]
            for (let version = 0; version < count; version++) {
              versions.push(yield* store.save(versions[version]!, { append: [text(`${name} ${version}`)] }))
            }
            return versions
          })
        const old = yield* saves(3, "old")
        for (const round of [1, 2]) {
          yield* store.remove(id)
          const again = yield* saves(2, `again ${round}`)
          const last = again[2]!
          for (const { version, ...session } of old.slice(1)) {
            yield* expectConflict(
              store.save({ version, ...session }, { append: [text("lost")], state: { lost: true } }),
              version,
              2
            )
          }
          yield* expectSession("the loaded session", yield* store.load(id), last)
          const { incarnation: _, ...without } = last
          yield* expectConflict(store.save(without, { append: [text("lost")] }), 2, 2)
          const longer = yield* store.save(last, { append: [text("more")] })
          yield* expectConflict(store.save(old[3]!, { append: [text("lost")] }), 3, 3)
          yield* expectSession("the loaded session", yield* store.load(id), longer)
          old.push(longer)
        }
      })
  ),

  make("a long session is loaded as it was saved", (store, id) =>
    Effect.gen(function*() {
      const messages = Array.from({ length: 600 }, (_, index) => text(`${index} ${"long ".repeat(index % 50)}`))
      const first = yield* store.save(yield* store.load(id), { append: messages })
      const second = yield* store.save(first, { append: [text("last")] })
      yield* expectSession("the loaded session", yield* store.load(id), second)
    })),

  make("serialize lets one scope after the other hold a session", (store, id) =>
    Effect.gen(function*() {
      const release = yield* Deferred.make<void>()
      const log: Array<string> = []
      const holder = (name: string, hold: Effect.Effect<void>) =>
        Effect.scoped(Effect.gen(function*() {
          yield* store.serialize(id)
          log.push(`${name} in`)
          yield* hold
          log.push(`${name} out`)
        }))
      const first = yield* Effect.forkChild(holder("first", Deferred.await(release)), { startImmediately: true })
      const second = yield* Effect.forkChild(holder("second", Effect.yieldNow), { startImmediately: true })
      const third = yield* Effect.forkChild(holder("third", Effect.yieldNow), { startImmediately: true })
      yield* Effect.scoped(store.serialize(`${id}-other`))
      yield* Deferred.succeed(release, undefined)
      yield* Fiber.joinAll([first, second, third])
      yield* expect("the order", log, ["first in", "first out", "second in", "second out", "third in", "third out"])
    })),

  make("serialize can be interrupted while it waits, and then holds nothing", (store, id) =>
    Effect.gen(function*() {
      const release = yield* Deferred.make<void>()
      const hold = Effect.scoped(Effect.andThen(store.serialize(id), Deferred.await(release)))
      const holder = yield* Effect.forkChild(hold, { startImmediately: true })
      const waiter = yield* Effect.forkChild(Effect.scoped(store.serialize(id)), { startImmediately: true })
      yield* Fiber.interrupt(waiter)
      const exit = yield* Fiber.await(waiter)
      yield* expect("the waiting fiber was interrupted", Exit.hasInterrupts(exit), true)
      yield* Deferred.succeed(release, undefined)
      yield* Fiber.join(holder)
      yield* Effect.scoped(store.serialize(id))
    }))
]

/**
 * The cases for stores that keep sessions longer than the layer lives. Each builds the layer more than once.
 *
 * @category cases
 * @since 0.1.0
 */
export const casesDurable = <E, R>(layer: Layer.Layer<SessionStore.SessionStore, E, R>): ReadonlyArray<Case<E, R>> => {
  const opened = openedWith(layer)
  return [
    {
      name: "a session is there when the store is opened again",
      effect: Effect.gen(function*() {
        const id = "durable"
        const first = yield* opened((store) =>
          store.save(Session.empty(id), { append: everyMessage, state: everyState })
        )
        yield* expectSession("the session opened again", yield* opened((store) => store.load(id)), first)
        const second = yield* opened((store) => store.save(first, { append: [text("more")] }))
        yield* expectConflict(opened((store) => store.save(first, { append: [text("lost")] })), 1, 2)
        yield* expectSession("the session opened again", yield* opened((store) => store.load(id)), second)
        yield* opened((store) => store.remove(id))
        yield* expectSession("the removed session", yield* opened((store) => store.load(id)), Session.empty(id))
      })
    }
  ]
}

/**
 * The cases for stores that layers and processes may share. Each uses two layers over the same sessions.
 *
 * @category cases
 * @since 0.1.0
 */
export const casesShared = <E, R>(layer: Layer.Layer<SessionStore.SessionStore, E, R>): ReadonlyArray<Case<E, R>> => {
  const opened = openedWith(layer)
  return [
    {
      name: "of the saves that two stores make from one version at once exactly one succeeds",
      effect: opened((one) =>
        opened((two) =>
          Effect.gen(function*() {
            const id = "raced"
            for (let version = 0; version < 30; version++) {
              const saves = [one, two, one, two].map((store, index) =>
                Effect.flatMap(
                  store.load(id),
                  (session) => Effect.result(store.save(session, { append: [text(`${version}.${index}`)] }))
                )
              )
              const results = yield* Effect.all(saves, { concurrency: "unbounded" })
              const conflicts = results.filter((result) =>
                Result.isFailure(result) && result.failure.reason._tag === "SessionConflict"
              )
              yield* expect("the saves that succeeded or were conflicts", [
                results.filter(Result.isSuccess).length + conflicts.length
              ], [4])
            }
            const last = yield* one.load(id)
            yield* expect("the length of the history", last.history.content.length, last.version)
            yield* expectSession("the session seen by the other", yield* two.load(id), last)
          })
        )
      )
    },
    {
      name: "a save and a removal by two stores at once leave the saved session or none",
      effect: opened((one) =>
        opened((two) =>
          Effect.gen(function*() {
            const id = "removed"
            for (let round = 0; round < 30; round++) {
              const before = yield* one.load(id)
              const save = Effect.result(one.save(before, { append: [text(`${round}`)] }))
              const remove = round % 3 === 0 ? Effect.void : two.remove(id)
              const [saved] = yield* Effect.all([save, remove], { concurrency: 2 })
              const after = yield* two.load(id)
              if (Result.isFailure(saved)) {
                yield* expect("the reason of the failure", saved.failure.reason._tag, "SessionConflict")
                yield* expectSession("the removed session", after, Session.empty(id))
              } else if (after.version !== 0) {
                yield* expectSession("the saved session", after, saved.success)
              }
            }
          })
        )
      )
    },
    {
      name: "two stores over the same sessions see each other's saves",
      effect: opened((one) =>
        opened((two) =>
          Effect.gen(function*() {
            const id = "shared"
            const first = yield* one.save(yield* one.load(id), { append: [text("one")] })
            yield* expectSession("the session seen by the other", yield* two.load(id), first)
            const second = yield* two.save(first, { append: [text("two")] })
            yield* expectConflict(one.save(first, { append: [text("lost")] }), 1, 2)
            yield* expectSession("the session seen by the first", yield* one.load(id), second)
            yield* one.remove(id)
          })
        )
      )
    }
  ]
}

/**
 * The cases for stores that can list, fork, truncate and sweep.
 *
 * @category cases
 * @since 0.1.0
 */
export const casesMany: ReadonlyArray<Case> = [...Many.cases, ...Versions.cases]

/**
 * The cases for stores whose sessions expire. Each builds the layer with a `SessionStore.TimeToLive`.
 *
 * @category cases
 * @since 0.1.0
 */
export const casesExpiring: <E, R>(
  layer: Layer.Layer<SessionStore.SessionStore, E, R>
) => ReadonlyArray<Case<E, R>> = Expiring.cases

/**
 * The cases for stores in which a record can be damaged. `damage` makes it impossible to read when a session was saved:
 * it overwrites the record with something else, as a crash or another program does. The layer has what `damage` needs.
 *
 * @category cases
 * @since 0.1.0
 */
export const casesDamaged: <D, E, R, E2 = never>(
  layer: Layer.Layer<SessionStore.SessionStore | D, E, R>,
  damage: (id: string) => Effect.Effect<void, E2, D>
) => ReadonlyArray<Case<E | E2, R>> = Damaged.cases
