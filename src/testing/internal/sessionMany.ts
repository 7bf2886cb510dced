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
import { expect, expectReason, expectSession, later, make } from "./sessionChecks.ts"
import { everyMessage, oddIds, text } from "./sessionSamples.ts"

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

/**
 * Returns the entry of a session in the lists of a store.
 *
 * @category accessors
 * @since 0.1.0
 */
export const find = (store: Store, id: string) =>
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
