/**
 * The cases of the suite for stores with the sessions of many users.
 *
 * @since 0.1.0
 */

import * as Prompt from "effect/ai/Prompt"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Base64Url from "effect/encoding/Base64Url"
import * as Session from "../../Session.ts"
import type * as SessionStore from "../../SessionStore.ts"
import type * as Suite from "../SessionStoreSuite.ts"
import {
  expect,
  expectBegun,
  expectConflict,
  expectReason,
  expectSession,
  expectTexts,
  later,
  make
} from "./sessionChecks.ts"
import { everyMessage, everyState, oddIds, text } from "./sessionSamples.ts"

type Store = SessionStore.SessionStore["Service"]

/** All pages, each with the one before it as its beginning. */
const pages = Effect.fnUntraced(function*(store: Store, pageSize: number, prefix?: string) {
  const found: Array<ReadonlyArray<SessionStore.Summary>> = []
  let cursor: string | undefined
  do {
    const page: SessionStore.Page = yield* store.list({ pageSize, cursor, prefix })
    found.push(page.sessions)
    cursor = page.next
  } while (cursor !== undefined)
  return found
})

const all = (store: Store) => Effect.map(pages(store, 1000), (found) => found.flat())

const find = (store: Store, id: string) =>
  Effect.map(all(store), (summaries) => summaries.find((summary) => summary.id === id))

/** Prefixes that SQL, an index, a pattern or an escape of a store could take for something else. */
const oddPrefixes = [
  "%",
  "_",
  "a_",
  "\\",
  "'",
  "\"",
  "[a]*",
  "\0",
  "\ud83d\ude00",
  "\ud83d",
  "\ude00",
  "\uffff",
  "\udbff\udfff",
  "\ud7ff",
  "~",
  "~utf16:",
  "~sha256-",
  "long".repeat(150)
]

/** Texts that are no cursors, and cursors of times and forms that no list gives out. */
const noCursors = [
  ..."|x|!!|WzEsMl0|bnVsbA|WyJhIiwiYiJd|\0|\ud800|[1,\"a\"]".split("|"),
  "x".repeat(100_000),
  ...[
    "[1, \"a\"]",
    "[1,\"a\"]\n",
    "[1,\"\\u0061\"]",
    "[1,\"a\",2]",
    "[1]",
    "[-0,\"a\"]",
    "[1.5,\"a\"]",
    "[1e3,\"a\"]",
    "[1e400,\"a\"]",
    "[9000000000000000,\"a\"]",
    "[-9000000000000000,\"a\"]",
    "[9007199254740993,\"a\"]",
    "[null,\"a\"]",
    "{\"0\":1,\"1\":\"a\"}"
  ].map((text) => Base64Url.encode(text))
]

/** What becomes of a cursor on the way. */
const damagedCursors = (cursor: string): ReadonlyArray<string> => [
  `${cursor}=`,
  `${cursor}\n`,
  ` ${cursor}`,
  `${cursor}\0`,
  cursor + cursor,
  ...Array.from({ length: cursor.length }, (_, length) => cursor.slice(0, length))
]

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
  make(
    "a list has every session once, the one saved last first, in pages of any size",
    (store, id) =>
      Effect.gen(function*() {
        const ids = Array.from({ length: 7 }, (_, index) => `${id}-${index}`)
        const saved = new Map<string, Session.Session>()
        for (const [index, each] of ids.entries()) {
          const first = yield* later(index * 10)(
            store.save(yield* store.load(each), { append: [text(`I am ${index}`)] })
          )
          saved.set(each, first)
        }
        const third = yield* later(1000)(store.save(saved.get(ids[3]!)!, { append: [text("again"), text("and")] }))
        const expected = [3, 6, 5, 4, 2, 1, 0].map((index) => ids[index]!)
        for (const pageSize of [1, 2, 3, 7, 100]) {
          const found = yield* pages(store, pageSize)
          const ours = found.flat().filter((summary) => summary.id.startsWith(id))
          yield* expect(`the ids in pages of ${pageSize}`, ours.map((summary) => summary.id), expected)
          yield* expect("a page that is too long", found.filter((page) => page.length > pageSize).length, 0)
        }
        const summary = yield* find(store, third.id)
        yield* expect(
          "the title, the version and the size",
          [summary?.title ?? null, summary!.version, summary!.size],
          [
            "I am 3",
            2,
            3
          ]
        )
        yield* store.remove(ids[3]!)
        yield* expect("whether a removed session is listed", (yield* find(store, ids[3]!)) === undefined, true)
      })
  ),

  make(
    "sessions that are saved while the pages are read do not move the others",
    (store, id) =>
      Effect.gen(function*() {
        const ids = Array.from({ length: 6 }, (_, index) => `${id}-${index}`)
        for (const [index, each] of ids.entries()) {
          yield* later(5000 + index)(store.save(yield* store.load(each), { append: [text("first")] }))
        }
        const seen: Array<string> = []
        let cursor: string | undefined
        let round = 0
        do {
          const page: SessionStore.Page = yield* store.list({ pageSize: 2, cursor })
          seen.push(...page.sessions.map((summary) => summary.id))
          // what was seen goes to the front, what is new comes there, what was seen is removed
          if (round === 0) {
            yield* later(6000)(store.save(yield* store.load(ids[5]!), { append: [text("second")] }))
            yield* later(6001)(store.save(yield* store.load(`${id}-new`), { append: [text("new")] }))
            yield* store.remove(ids[4]!)
          }
          round++
          cursor = page.next
        } while (cursor !== undefined)
        yield* expect(
          "the ids that were seen",
          seen.filter((each) => each.startsWith(id)),
          [5, 4, 3, 2, 1, 0].map((index) => ids[index]!)
        )
      })
  ),

  make(
    "sessions that are saved in one moment are listed once each, with any id",
    (store, id) =>
      Effect.gen(function*() {
        const ids = [...oddIds.map((odd) => `${id}${odd}`), ...oddIds.filter((odd) => odd.length < 300)]
        for (const each of ids) {
          yield* store.remove(each)
          yield* later(-5000)(store.save(Session.empty(each), { append: [text("hello")] }))
        }
        const found = (yield* pages(store, 5)).flat().map((summary) => summary.id)
        const ours = new Set(ids)
        yield* expect("how often ids of ours are listed", found.filter((each) => ours.has(each)).length, ours.size)
        yield* expect("how many of them", new Set(found.filter((each) => ours.has(each))).size, ours.size)
        for (const each of ids) yield* store.remove(each)
      })
  ),

  make(
    "a list with a prefix has exactly the sessions whose ids begin with it, whatever is in it, in pages of any size",
    (store, id) =>
      Effect.gen(function*() {
        const ids = oddPrefixes.flatMap((odd) => [`${odd}${id}`, `${id}/${odd}`, `${id}/${odd}/b`])
        for (const [index, each] of ids.entries()) {
          // several in one moment
          yield* later(index >> 2)(store.save(yield* store.load(each), { append: [] }))
        }
        const listed = yield* all(store)
        for (const prefix of [...oddPrefixes, ...oddPrefixes.map((odd) => `${id}/${odd}`), id, `${id}/`, `${id}x`]) {
          const expected = listed.flatMap((summary) => summary.id.startsWith(prefix) ? [summary.id] : [])
          // what fits into the smaller page is the same in both
          for (const pageSize of expected.length < 3 ? [3] : [3, 1000]) {
            const found = (yield* pages(store, pageSize, prefix)).flat().map((summary) => summary.id)
            yield* expect(`the sessions of ${JSON.stringify(prefix)} in pages of ${pageSize}`, found, expected)
          }
        }
        yield* expect("how many sessions there are", ids.filter((each) => !listed.some((_) => _.id === each)), [])
        for (const each of ids) yield* store.remove(each)
      })
  ),

  make(
    "a cursor that no list has returned is a typed error",
    (store, id) =>
      Effect.gen(function*() {
        for (const each of ["a", "b"]) yield* store.save(yield* store.load(`${id}-${each}`), { append: [] })
        const next = (yield* store.list({ pageSize: 1 })).next ?? ""
        yield* expect("whether there is a second page", next === "", false)
        for (const cursor of [...noCursors, ...damagedCursors(next)]) {
          yield* expectReason(store.list({ cursor }), "SessionCursorInvalid")
        }
        // where a session may have been: a page, or a text that no session of the store has
        for (
          const key of [
            ...oddIds,
            "\0",
            "a\0b",
            "\ud800",
            "~",
            `~sha256-${"0".repeat(64)}`,
            "~utf16:0",
            "x".repeat(9000)
          ]
        ) {
          for (const updated of [0, -1, 8.64e15, -8.64e15]) {
            const cursor = Base64Url.encode(`[${updated},${JSON.stringify(key)}]`)
            const found = yield* Effect.result(store.list({ cursor }))
            if (Result.isFailure(found)) {
              yield* expect("the reason of the failure", found.failure.reason._tag, "SessionCursorInvalid")
            }
          }
        }
      })
  ),

  make(
    "a session has the text of its first user message as its title, on one line and cut between characters",
    (store, id) =>
      Effect.gen(function*() {
        const family = "👨‍👩‍👧‍👦"
        const titles: ReadonlyArray<readonly [messages: ReadonlyArray<Prompt.Message>, title: string | null]> = [
          [[], null],
          [[text("  Will it\r\n\train?\u0000 ")], "Will it rain?"],
          [[Prompt.systemMessage({ content: "Be brief." }), text(" "), text("Second")], "Second"],
          [everyMessage, "look at these"],
          [[text("x".repeat(5000))], `${"x".repeat(79)}…`],
          [[text(`${"x".repeat(75)}${family}`)], `${"x".repeat(75)}…`],
          [[text(`${" ".repeat(100_000)}far`)], "far"],
          [[text("lone \ud800 half")], "lone \ufffd half"]
        ]
        for (const [index, [append, title]] of titles.entries()) {
          yield* store.save(yield* store.load(`${id}-${index}`), { append })
          const summary = yield* find(store, `${id}-${index}`)
          yield* expect(`the title of session ${index}`, summary?.title ?? null, title)
        }
        const empty = yield* store.load(`${id}-0`)
        yield* store.save(empty, { append: [text("late")] })
        yield* expect("the title of a later save", (yield* find(store, `${id}-0`))?.title ?? null, "late")
        yield* store.save(yield* store.load(`${id}-0`), { append: [text("later")] })
        yield* expect("the title that stays", (yield* find(store, `${id}-0`))?.title ?? null, "late")
        yield* store.save(yield* store.load(`${id}-0`), { append: [text("latest")], title: " Set\nby hand " })
        yield* expect("the title that is set", (yield* find(store, `${id}-0`))?.title ?? null, "Set by hand")
        yield* store.save(yield* store.load(`${id}-0`), { append: [], title: " " })
        yield* expect("the title that is no title", (yield* find(store, `${id}-0`))?.title ?? null, "Set by hand")
      })
  ),

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
  ),

  make("without a time to live nothing expires", (store, id) =>
    Effect.gen(function*() {
      const saved = yield* store.save(yield* store.load(id), { append: [text("old")] })
      const inACentury = later(100 * 365 * 24 * 60 * 60 * 1000)
      yield* expect("the sessions that were swept", yield* inACentury(store.sweep), 0)
      yield* expectSession("the session", yield* inACentury(store.load(id)), saved)
      const summary = yield* find(store, id)
      const now = yield* DateTime.now
      yield* expect("whether it was saved by now", DateTime.isLessThanOrEqualTo(summary!.updated, now), true)
    }))
]
