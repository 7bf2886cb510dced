/**
 * The cases of the suite for the versions of sessions: reading them, going back to them, and forks that begin with them.
 *
 * @since 0.1.0
 */

import * as Prompt from "effect/ai/Prompt"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Session from "../../Session.ts"
import type * as SessionStore from "../../SessionStore.ts"
import type * as Suite from "../SessionStoreSuite.ts"
import { expect, expectBegun, expectConflict, expectReason, expectSession, expectTexts, make } from "./sessionChecks.ts"
import { find } from "./sessionMany.ts"
import { everyMessage, everyState, text } from "./sessionSamples.ts"

type Store = SessionStore.SessionStore["Service"]

/** Saves one message after the other, one millisecond after the other, and returns every version. */
const versions = Effect.fnUntraced(function*(store: Store, id: string, count: number) {
  const found: Array<Session.Session> = [yield* store.load(id)]
  for (let version = 1; version <= count; version++) {
    found.push(
      yield* store.save(found[version - 1]!, {
        append: version === 3 ? [] : [text(`${version} a`), text(`${version} b`)],
        state: version % 2 === 0 ? { [`even${version}`]: version, last: version } : undefined,
        title: version === 4 ? "Renamed" : undefined
      })
    )
  }
  return found
})

/**
 * The cases.
 *
 * @category cases
 * @since 0.1.0
 */
export const cases: ReadonlyArray<Suite.Case> = [
  make("a fork is what the session was at a version, and goes on by itself", (store, id) =>
    Effect.gen(function*() {
      const found = yield* versions(store, id, 6)
      for (const at of [1, 2, 3, 4, 5, 6]) {
        const fork = yield* store.fork(id, { to: `${id}-${at}`, version: at })
        const { incarnation: _, ...session } = found[at]!
        yield* expectBegun("the fork", fork, { ...session, id: `${id}-${at}` })
        yield* expectSession("the loaded fork", yield* store.load(`${id}-${at}`), fork)
        const title = (yield* find(store, `${id}-${at}`))?.title ?? null
        yield* expect("the title of the fork", title, at < 4 ? "1 a" : "Renamed")
      }
      const last = yield* store.fork(id, { to: `${id}-last` })
      yield* expect("the version of a fork of the last version", last.version, 6)
      const fork = yield* store.save(yield* store.load(`${id}-2`), { append: [text("forked")], state: { last: "f" } })
      yield* expectTexts("the history of the fork", fork, ["1 a", "1 b", "2 a", "2 b", "forked"])
      yield* expectSession("the fork", yield* store.load(`${id}-2`), fork)
      yield* expectSession("the session", yield* store.load(id), found[6]!)
      yield* store.remove(id)
      yield* expectSession("the fork of a removed session", yield* store.load(`${id}-2`), fork)
      // a fork has the versions before it
      const again = yield* store.fork(`${id}-2`, { to: `${id}-again`, version: 1 })
      yield* expectTexts("the fork of a fork", again, ["1 a", "1 b"])
    })),

  make("a fork begins with no more messages than it may have", (store, id) =>
    Effect.gen(function*() {
      const found = yield* versions(store, id, 6)
      const versionOf = (from: string, length: number) =>
        Effect.map(store.fork(from, { to: `${from}-of-${length}`, length }), ({ history, version }) => [
          version,
          history.content.length
        ])
      const all = yield* Effect.forEach([0, 1, 2, 3, 4, 5, 9, 10, 99], (length) => versionOf(id, length))
      yield* expect("versions and lengths", all, [
        [0, 0],
        [0, 0],
        [1, 2],
        [1, 2],
        [3, 4],
        [3, 4],
        [5, 8],
        [6, 10],
        [6, 10]
      ])
      const both = yield* store.fork(id, { to: `${id}-both`, version: 2, length: 9 })
      yield* expect("the version that is asked for", both.version, 2)
      // versions that are forgotten are passed over
      yield* store.truncate(found[6]!, 2)
      yield* store.save(yield* store.load(id), { append: [text("8 a"), text("8 b")] })
      const again = `${id}-again`
      yield* store.fork(id, { to: again })
      const kept = yield* Effect.forEach([3, 4, 5, 6], (length) => versionOf(again, length))
      yield* expect("versions and lengths", kept, [[1, 2], [7, 4], [7, 4], [8, 6]])
    })),

  make("a fork of every kind of message and state is whole", (store, id) =>
    Effect.gen(function*() {
      const saved = yield* store.save(yield* store.load(id), { append: everyMessage, state: everyState })
      const { incarnation: _, ...session } = saved
      yield* expectBegun("the fork", yield* store.fork(id, { to: `${id}-2` }), { ...session, id: `${id}-2` })
    })),

  make(
    "a fork never replaces a session, and its source has to have the version",
    (store, id) =>
      Effect.gen(function*() {
        const found = yield* versions(store, id, 2)
        const other = yield* store.save(yield* store.load(`${id}-other`), { append: [text("other")] })
        yield* expectConflict(store.fork(id, { to: `${id}-other` }), 0, 1)
        yield* expectConflict(store.fork(id, { to: id }), 0, 2)
        yield* expectConflict(store.fork(id, { to: `${id}-other`, version: 0 }), 0, 1)
        yield* expectSession("the other session", yield* store.load(`${id}-other`), other)
        for (const version of [3, -1, 1.5, Number.NaN]) {
          yield* expectReason(store.fork(id, { to: `${id}-none`, version }), "SessionVersionUnknown")
        }
        yield* expectReason(store.fork(`${id}-unknown`, { to: `${id}-none`, version: 1 }), "SessionVersionUnknown")
        yield* expectSession("no fork", yield* store.load(`${id}-none`), Session.empty(`${id}-none`))
        const nothing = yield* store.fork(id, { to: `${id}-none`, version: 0 })
        yield* expectSession("a fork of nothing", nothing, Session.empty(`${id}-none`))
        yield* expectSession("the session", yield* store.load(id), found[2]!)
      })
  ),

  make("of forks to one id at once exactly one succeeds", (store, id) =>
    Effect.gen(function*() {
      yield* versions(store, id, 4)
      const results = yield* Effect.forEach(
        [1, 2, 3, 4],
        (version) => Effect.result(store.fork(id, { to: `${id}-to`, version })),
        { concurrency: "unbounded" }
      )
      const won = results.flatMap((result) => Result.isSuccess(result) ? [result.success] : [])
      yield* expect("the forks that succeeded", won.length, 1)
      yield* expectSession("the fork", yield* store.load(`${id}-to`), won[0]!)
    })),

  make("a truncation is a save after which the session is what it was", (store, id) =>
    Effect.gen(function*() {
      const found = yield* versions(store, id, 6)
      const cut = yield* store.truncate(found[6]!, 2)
      yield* expectSession("the session", cut, { ...found[2]!, version: 7 })
      yield* expectSession("the loaded session", yield* store.load(id), cut)
      const summary = yield* find(store, id)
      yield* expect("its summary", [summary?.title ?? null, summary!.version, summary!.size], ["1 a", 7, 4])
      // the session that was cut away accepts no save
      yield* expectConflict(store.save(found[6]!, { append: [text("lost")] }), 6, 7)
      const next = yield* store.save(cut, { append: [text("on")], state: { last: "on" } })
      yield* expectTexts("the history", next, ["1 a", "1 b", "2 a", "2 b", "on"])
      yield* expectSession("the loaded session", yield* store.load(id), next)
      // what was cut away is forgotten, what was not is known
      for (const version of [3, 4, 5, 6]) {
        yield* expectReason(store.truncate(next, version), "SessionVersionUnknown")
        yield* expectReason(store.fork(id, { to: `${id}-none`, version }), "SessionVersionUnknown")
      }
      for (const [version, expected] of [[1, found[1]!], [2, found[2]!], [7, cut]] as const) {
        const fork = yield* store.fork(id, { to: `${id}-${version}`, version })
        yield* expectBegun("a fork of what is left", fork, { ...expected, version, id: `${id}-${version}` })
      }
      // also in a fork
      yield* store.fork(id, { to: `${id}-fork` })
      yield* expectReason(store.fork(`${id}-fork`, { to: `${id}-none`, version: 4 }), "SessionVersionUnknown")
      const whole = yield* store.truncate(next, 8)
      yield* expectSession("a truncation at the last version", whole, { ...next, version: 9 })
      const nothing = yield* store.truncate(whole, 0)
      yield* expectSession("a truncation at version 0", nothing, {
        ...Session.empty(id),
        version: 10,
        incarnation: next.incarnation
      })
      yield* expect("the title of nothing", (yield* find(store, id))?.title ?? null, null)
      yield* store.save(nothing, { append: [text("new")] })
      yield* expect("the title", (yield* find(store, id))?.title ?? null, "new")
      yield* expectReason(store.fork(id, { to: `${id}-none`, version: 8 }), "SessionVersionUnknown")
    })),

  make("a version is read as it was", (store, id) =>
    Effect.gen(function*() {
      const found = yield* versions(store, id, 4)
      for (const version of [0, 1, 2, 3, 4]) {
        yield* expectSession(`version ${version}`, yield* store.loadVersion(id, version), {
          ...found[version]!,
          version,
          incarnation: found[4]!.incarnation
        })
      }
      yield* expectConflict(store.save(yield* store.loadVersion(id, 2), { append: [text("lost")] }), 2, 4)
      for (const version of [5, -1, 0.5, Number.NaN]) {
        yield* expectReason(store.loadVersion(id, version), "SessionVersionUnknown")
      }
      yield* expectSession("the session", yield* store.load(id), found[4]!)
      yield* store.truncate(found[4]!, 2)
      yield* expectReason(store.loadVersion(id, 3), "SessionVersionUnknown")
      yield* expectReason(store.loadVersion(`${id}-unknown`, 1), "SessionVersionUnknown")
    })),

  make("a truncation with a change is one save", (store, id) =>
    Effect.gen(function*() {
      const found = yield* versions(store, id, 4)
      const change = { append: [text("on")], state: { last: "on" } }
      const next = yield* store.truncate(found[4]!, 2, change)
      yield* expectSession("the session", next, {
        ...found[2]!,
        version: 5,
        history: Prompt.concat(found[2]!.history, [text("on")]),
        state: { ...found[2]!.state, ...change.state }
      })
      yield* expectSession("the loaded session", yield* store.load(id), next)
      // what was refused has changed nothing
      yield* expectConflict(store.truncate(found[4]!, 1, change), 4, 5)
      for (const version of [3, 4, 6]) {
        yield* expectReason(store.truncate(next, version, change), "SessionVersionUnknown")
      }
      yield* expectSession("the loaded session", yield* store.load(id), next)
      // it has no version in between
      for (const [version, expected] of [[2, found[2]!], [5, next]] as const) {
        yield* expectSession(`version ${version}`, yield* store.loadVersion(id, version), { ...expected, version })
      }
      for (const version of [3, 4]) yield* expectReason(store.loadVersion(id, version), "SessionVersionUnknown")

      const again = yield* store.truncate(next, 0, { append: [text("new")], title: "A title" })
      yield* expectTexts("the history", again, ["new"])
      yield* expectSession("the loaded session", yield* store.load(id), again)
      const summary = yield* find(store, id)
      yield* expect("its summary", [summary?.title ?? null, summary!.version, summary!.size], ["A title", 6, 1])
      const unknown = yield* store.truncate(Session.empty(`${id}-unknown`), 0, change)
      yield* expectTexts("a session that begins", unknown, ["on"])
      yield* expectSession("the loaded session", yield* store.load(unknown.id), unknown)
    })),

  make(
    "a truncation from an old version, or to one that never was, changes nothing",
    (store, id) =>
      Effect.gen(function*() {
        const found = yield* versions(store, id, 3)
        yield* expectConflict(store.truncate(found[2]!, 1), 2, 3)
        yield* expectConflict(store.truncate({ ...found[3]!, incarnation: "another" }, 1), 3, 3)
        for (const version of [4, -1, 0.5, Number.NaN]) {
          yield* expectReason(store.truncate(found[3]!, version), "SessionVersionUnknown")
        }
        yield* expectSession("the session", yield* store.load(id), found[3]!)
        const unknown = Session.empty(`${id}-unknown`)
        yield* expectSession("a truncation of nothing", yield* store.truncate(unknown, 0), unknown)
        yield* expectReason(store.truncate(unknown, 1), "SessionVersionUnknown")
        yield* expect("whether it is listed", (yield* find(store, unknown.id)) === undefined, true)
      })
  )
]
