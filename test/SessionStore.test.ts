import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Layer, Path } from "effect"
import { Prompt } from "effect/ai"
import { KeyValueStore } from "effect/persistence"
import * as Session from "../src/Session.ts"
import * as SessionStore from "../src/SessionStore.ts"
import { SqliteClient } from "../src/sqlite/index.ts"
import * as SessionStoreSuite from "../src/testing/SessionStoreSuite.ts"
import { inFolder, keyValueFiles, texts } from "./fixtures/sessions.ts"

const user = (text: string) => Prompt.userMessage({ content: [Prompt.textPart({ text })] })

describe("SessionStore", () => {
  it.effect("in memory, a save from before a removal takes nothing from the session that came after it", () =>
    Effect.gen(function*() {
      const store = yield* SessionStore.SessionStore
      const old = yield* store.save(yield* store.load("s"), { append: Prompt.make("old").content })
      yield* store.remove("s")
      yield* store.save(yield* store.load("s"), { append: Prompt.make("new").content })
      yield* Effect.exit(store.save(old, { append: Prompt.make("late").content }))
      const { history } = yield* store.load("s")
      assert.include(JSON.stringify(history.content[0]), "\"new\"")
    }).pipe(Effect.provide(SessionStore.layerMemory)))

  describe("layerMemory", () => {
    for (const { effect, name } of [...SessionStoreSuite.cases, ...SessionStoreSuite.casesMany]) {
      it.effect(name, () => Effect.provide(effect, SessionStore.layerMemory))
    }
    for (const { effect, name } of SessionStoreSuite.casesExpiring(SessionStore.layerMemory)) {
      it.effect(name, () => effect)
    }
  })

  describe("layerKeyValueStoreSingleProcess in memory", () => {
    const layer = Layer.provide(SessionStore.layerKeyValueStoreSingleProcess(), KeyValueStore.layerMemory)
    for (const { effect, name } of [...SessionStoreSuite.cases, ...SessionStoreSuite.casesMany]) {
      it.effect(name, () => Effect.provide(effect, layer))
    }
    for (const { effect, name } of SessionStoreSuite.casesExpiring(layer)) it.effect(name, () => effect)
  })

  describe("layerKeyValueStoreSingleProcess in files", () => {
    for (const { effect, name } of [...SessionStoreSuite.cases, ...SessionStoreSuite.casesMany]) {
      it.effect(name, () => inFolder((folder) => Effect.provide(effect, keyValueFiles(folder))))
    }
    for (const cases of [SessionStoreSuite.casesDurable, SessionStoreSuite.casesExpiring]) {
      cases(keyValueFiles("")).forEach(({ name }, index) => {
        it.effect(name, () => inFolder((folder) => cases(keyValueFiles(folder))[index]!.effect))
      })
    }

    it.effect("writes only below its folder, under names that no id can leave", () =>
      inFolder((folder) =>
        Effect.gen(function*() {
          const fs = yield* FileSystem.FileSystem
          const path = yield* Path.Path
          const inner = path.join(folder, "sessions")
          yield* Effect.gen(function*() {
            const store = yield* SessionStore.SessionStore
            for (const id of ["..", "../x", "/etc/x", "Upper", "a\0b"]) {
              yield* store.save(Session.empty(id), { append: [] })
            }
          }).pipe(Effect.provide(keyValueFiles(inner)))
          assert.deepStrictEqual(yield* fs.readDirectory(folder), ["sessions"])
          assert.deepStrictEqual((yield* fs.readDirectory(inner)).sort(), [
            "effect-agents.session.a~00b.a",
            "effect-agents.session.a~00b.head",
            "effect-agents.session.~2e~2e.a",
            "effect-agents.session.~2e~2e.head",
            "effect-agents.session.~2e~2e~2fx.a",
            "effect-agents.session.~2e~2e~2fx.head",
            "effect-agents.session.~2fetc~2fx.a",
            "effect-agents.session.~2fetc~2fx.head",
            "effect-agents.session.~55pper.a",
            "effect-agents.session.~55pper.head"
          ])
        })
      ))

    it.effect("says that the store is not available when a file cannot be read or written", () =>
      inFolder((folder) =>
        Effect.gen(function*() {
          const fs = yield* FileSystem.FileSystem
          const path = yield* Path.Path
          // A folder where the record should be: it can be neither read nor written, whoever the user is
          yield* fs.makeDirectory(path.join(folder, "effect-agents.session.x.head"))
          const store = yield* SessionStore.SessionStore
          for (
            const [operation, effect] of [
              ["load", store.load("x")],
              ["save", store.save(Session.empty("x"), { append: [] })],
              ["remove", store.remove("x")]
            ] as const
          ) {
            const error = yield* Effect.flip(Effect.asVoid(effect))
            assert.strictEqual(error.sessionId, "x")
            assert.strictEqual(error.reason._tag, "SessionStoreUnavailable")
            assert.include(error.reason, { operation })
          }
        }).pipe(Effect.provide(keyValueFiles(folder)))
      ))
  })

  describe("layerKeyValueStoreSingleProcess in SQLite", () => {
    const sqlite = (filename: string) =>
      SessionStore.layerKeyValueStoreSingleProcess().pipe(
        Layer.provide(KeyValueStore.layerSql()),
        Layer.provide(SqliteClient.layer({ filename, synchronous: "NORMAL" })),
        Layer.orDie
      )
    for (const { effect, name } of [...SessionStoreSuite.cases, ...SessionStoreSuite.casesMany]) {
      it.effect(name, () => Effect.provide(effect, sqlite(":memory:")))
    }
    for (const { name } of SessionStoreSuite.casesDurable(sqlite(""))) {
      it.effect(
        name,
        () =>
          inFolder((folder) =>
            SessionStoreSuite.casesDurable(sqlite(`${folder}/kv.db`)).find((each) => each.name === name)!.effect
          )
      )
    }
  })

  describe("layerKeyValueStoreSingleProcess", () => {
    const layer = Layer.provideMerge(
      SessionStore.layerKeyValueStoreSingleProcess({ prefix: "s." }),
      KeyValueStore.layerMemory
    )
    const saves = (count: number) =>
      Effect.gen(function*() {
        const store = yield* SessionStore.SessionStore
        let session = yield* store.load("x")
        for (let version = 1; version <= count; version++) {
          session = yield* store.save(session, { append: [user(`m${version}`)] })
        }
        return session
      })
    const records = Effect.gen(function*() {
      const kvs = yield* KeyValueStore.KeyValueStore
      const keys = Array.from(yield* kvs.keys).sort()
      return yield* Effect.forEach(keys, (key) => Effect.map(kvs.get(key), (value) => [key, value!] as const))
    })

    it.effect("keeps a head and two slots", () =>
      Effect.gen(function*() {
        yield* saves(1)
        const { incarnation } = yield* Effect.flatMap(SessionStore.SessionStore, (store) => store.load("x"))
        const parse = (value: string): unknown => JSON.parse(value)
        assert.deepStrictEqual((yield* records).map(([key, value]) => [key, parse(value)]), [
          ["s.x.a", {
            format: "effect-agents/session/3",
            id: "x",
            version: 1,
            incarnation,
            updated: 0,
            title: "m1",
            size: 1,
            versions: [{ version: 1, length: 1, title: "m1" }],
            history: [{ role: "user", content: "m1", options: {} }]
          }],
          ["s.x.head", { format: "effect-agents/session-head/1", slot: "a", version: 1 }]
        ])
        const store = yield* SessionStore.SessionStore
        yield* store.save(yield* store.load("x"), { append: [user("m2")] })
        assert.deepStrictEqual((yield* records).map(([key]) => key), ["s.x.a", "s.x.b", "s.x.head"])
        yield* store.remove("x")
        assert.deepStrictEqual(yield* records, [])
      }).pipe(Effect.provide(layer)))

    it.effect("reads records that an older version has written, and saves to them", () =>
      Effect.gen(function*() {
        const store = yield* SessionStore.SessionStore
        const kvs = yield* KeyValueStore.KeyValueStore
        const history = [{ role: "user", content: "m1" }, { role: "user", content: "m2" }]
        const record = { format: "effect-agents/session/1", id: "x", version: 2, state: { notes: 1 }, history }
        yield* kvs.set("s.x.b", JSON.stringify(record))
        yield* kvs.set("s.x.head", JSON.stringify({ format: "effect-agents/session-head/1", slot: "b", version: 2 }))
        const old: Session.Session = {
          id: "x",
          history: Prompt.fromMessages([user("m1"), user("m2")]),
          state: { notes: 1 },
          version: 2
        }
        assert.deepStrictEqual(yield* store.load("x"), old)
        assert.deepStrictEqual((yield* store.list()).sessions.map(({ size, title }) => [title, size]), [["m1", 2]])
        const next = yield* store.save(old, { append: [user("m3")] })
        assert.deepStrictEqual(yield* store.load("x"), next)
        const fork = yield* store.fork("x", { to: "y", version: 2 })
        assert.deepStrictEqual([texts(fork), fork.state], [["m1", "m2"], { notes: 1 }])
        assert.strictEqual(
          (yield* Effect.flip(store.fork("x", { to: "z", version: 1 }))).message,
          "Session `x`: version 1 is not known"
        )
        yield* store.remove("x")
        const again = yield* saves(2)
        assert.deepStrictEqual(
          yield* Effect.flip(store.save(old, { append: [user("late")] })),
          SessionStore.conflict(old, 2)
        )
        assert.deepStrictEqual(yield* store.load("x"), again)
      }).pipe(Effect.provide(layer)))

    // A store that stops in the middle of the nth write from now on, having written the first `length` characters of it
    const stopping = Effect.gen(function*() {
      const kvs = yield* KeyValueStore.KeyValueStore
      let left = Infinity
      let length = 0
      const stop = (key: string) => new KeyValueStore.KeyValueStoreError({ message: "stopped", method: "set", key })
      const torn = {
        ...kvs,
        set: (key: string, value: string | Uint8Array) =>
          Effect.suspend(() => {
            if (left < 0) return Effect.fail(stop(key))
            if (left-- > 0) return kvs.set(key, value)
            return Effect.andThen(kvs.set(key, (value as string).slice(0, length)), Effect.fail(stop(key)))
          }),
        remove: (key: string) =>
          Effect.suspend(() => {
            if (left < 0) return Effect.fail(stop(key))
            if (left-- > 0) return kvs.remove(key)
            return Effect.fail(stop(key))
          })
      }
      const store = yield* Layer.build(Layer.provide(
        SessionStore.layerKeyValueStoreSingleProcess({ prefix: "s." }),
        Layer.succeed(KeyValueStore.KeyValueStore, torn)
      ))
      return {
        store: Effect.provide(SessionStore.SessionStore, store),
        stopAt: (write: number, characters: number) =>
          Effect.sync(() => {
            left = write
            length = characters
          })
      }
    })

    for (const before of [0, 1, 2, 3]) {
      it.effect(`a save that stops anywhere after ${before} saves leaves the old or the new session`, () =>
        Effect.gen(function*() {
          for (let write = 0; write < 3; write++) {
            for (const characters of [0, 1, 20, 40, 60, 65, 70, 75, 80, 100, 150]) {
              const outcome = yield* Effect.gen(function*() {
                const { stopAt, store } = yield* stopping
                const whole = yield* SessionStore.SessionStore
                const old = yield* saves(before)
                yield* stopAt(write, characters)
                yield* Effect.exit(Effect.flatMap(store, (store) => store.save(old, { append: [user("new")] })))

                const found = yield* whole.load("x")
                const oldTexts = texts(old)
                if (found.version === before) assert.deepStrictEqual(texts(found), oldTexts)
                else assert.deepStrictEqual([found.version, texts(found)], [before + 1, [...oldTexts, "new"]])

                // The next save may stop as well, in any write, and after it the conversation still goes on
                for (let second = 0; second < 4; second++) {
                  const from = yield* whole.load("x")
                  yield* stopAt(second, characters)
                  yield* Effect.exit(Effect.flatMap(store, (store) => store.save(from, { append: [user("again")] })))
                  const to = yield* whole.load("x")
                  if (to.version === from.version) assert.deepStrictEqual(texts(to), texts(from))
                  else assert.deepStrictEqual([to.version, texts(to)], [from.version + 1, [...texts(from), "again"]])
                }
                const last = yield* whole.load("x")
                const saved = yield* whole.save(last, { append: [user("last")] })
                assert.deepStrictEqual(texts(yield* whole.load("x")), [...texts(last), "last"])
                assert.strictEqual(saved.version, last.version + 1)
                return found.version === before ? "old" : "new"
              }).pipe(Effect.scoped, Effect.provide(Layer.fresh(layer)))
              // The first write is the slot: without it nothing happened
              const slotWrite = before === 0 ? 1 : 0
              if (write <= slotWrite) assert.strictEqual(outcome, "old")
              if (write === slotWrite + 1) assert.strictEqual(outcome, "new")
            }
          }
        }))
    }

    it.effect("a remove that stops anywhere leaves the old session or none", () =>
      Effect.gen(function*() {
        for (let write = 0; write < 6; write++) {
          for (const characters of [0, 30, 60, 66, 70, 100]) {
            yield* Effect.gen(function*() {
              const { stopAt, store } = yield* stopping
              const whole = yield* SessionStore.SessionStore
              const old = yield* saves(3)
              yield* stopAt(write, characters)
              yield* Effect.exit(Effect.flatMap(store, (store) => store.remove("x")))
              const found = yield* whole.load("x")
              if (found.version === 0) assert.deepStrictEqual(texts(found), [])
              else assert.deepStrictEqual([found.version, texts(found)], [3, texts(old)])
              const saved = yield* whole.save(found, { append: [user("on")] })
              assert.deepStrictEqual(texts(yield* whole.load("x")), texts(saved))
              yield* whole.remove("x")
              assert.deepStrictEqual(yield* records, [])
            }).pipe(Effect.scoped, Effect.provide(Layer.fresh(layer)))
          }
        }
      }))

    const damaged: ReadonlyArray<
      readonly [name: string, record: string, damage: (value: string) => string | undefined]
    > = [
      ["torn slot in force", "s.x.b", (value) => value.slice(0, -1)],
      ["missing slot in force", "s.x.b", () => undefined],
      ["slot with a changed type", "s.x.b", (value) => value.replace("\"user\"", "\"usur\"")],
      ["slot of another session", "s.x.b", (value) => value.replace("\"id\":\"x\"", "\"id\":\"y\"")],
      ["slot of another version", "s.x.b", (value) => value.replace("\"version\":2", "\"version\":1")],
      ["slot of another program", "s.x.b", () => "<xml/>"],
      ["slot of a newer format", "s.x.b", (value) => value.replace("session/3", "session/4")],
      ["head of another program", "s.x.head", () => "42"],
      ["head of a newer format", "s.x.head", (value) => value.replace("session-head/1", "session-head/2")],
      ["head with a piece cut out", "s.x.head", (value) => value.slice(0, 10) + value.slice(12)],
      ["missing head", "s.x.head", () => undefined]
    ]
    for (const [name, record, damage] of damaged) {
      it.effect(`${name}: a typed error that names the record, until it is removed`, () =>
        Effect.gen(function*() {
          const kvs = yield* KeyValueStore.KeyValueStore
          const store = yield* SessionStore.SessionStore
          const session = yield* saves(2)
          const value = damage((yield* kvs.get(record))!)
          yield* value === undefined ? kvs.remove(record) : kvs.set(record, value)
          for (const effect of [store.load("x"), store.save(session, { append: [user("m3")] })]) {
            const error = yield* Effect.flip(effect)
            assert.strictEqual(error.sessionId, "x")
            assert.strictEqual(error.reason._tag, "SessionRecordInvalid")
            assert.include(error.reason, { record })
          }
          yield* store.remove("x")
          assert.deepStrictEqual(yield* store.load("x"), Session.empty("x"))
        }).pipe(Effect.provide(layer)))
    }

    const unreadable: ReadonlyArray<readonly [name: string, record: string, damage: (value: string) => string]> = [
      ["torn slot", "a", (value) => value.slice(0, 20)],
      ["slot of another session", "a", (value) => value.replace("damaged-2", "damaged-9")],
      ["slot of another version", "a", (value) => value.replace("\"version\":1", "\"version\":2")],
      [
        "slot of a time that there is not",
        "a",
        (value) => value.replace(/"updated":\d+/, "\"updated\":9000000000000000")
      ],
      ["head of another program", "head", () => "42"],
      ["head of another slot", "head", (value) => value.replace("\"a\"", "\"b\"")]
    ]
    for (const [name, record, damage] of unreadable) {
      const cases = SessionStoreSuite.casesDamaged(layer, (id) =>
        Effect.gen(function*() {
          const kvs = yield* KeyValueStore.KeyValueStore
          const key = `s.${id}.${record}`
          const value = (yield* kvs.get(key))!
          assert.notStrictEqual(damage(value), value)
          yield* kvs.set(key, damage(value))
        }))
      for (const each of cases) it.effect(`${each.name}: ${name}`, () => each.effect)
    }

    it.effect("reads again when another process saves while it reads", () =>
      Effect.gen(function*() {
        const kvs = yield* KeyValueStore.KeyValueStore
        const writer = yield* SessionStore.SessionStore
        yield* saves(1)
        let overtaken = 0
        const overtake = (key: string) =>
          Effect.gen(function*() {
            if (key !== "s.x.a" || overtaken++ > 0) return
            for (const text of ["m2", "m3"]) yield* writer.save(yield* writer.load("x"), { append: [user(text)] })
          })
        const reader = yield* Layer.build(Layer.provide(
          SessionStore.layerKeyValueStoreSingleProcess({ prefix: "s." }),
          Layer.succeed(KeyValueStore.KeyValueStore, {
            ...kvs,
            get: (key: string) => Effect.andThen(Effect.orDie(overtake(key)), kvs.get(key))
          })
        ))
        const read = Effect.flatMap(SessionStore.SessionStore, (store) => store.load("x"))
        assert.deepStrictEqual(texts(yield* Effect.provide(read, reader)), ["m1", "m2", "m3"])
        assert.isAbove(overtaken, 1)
      }).pipe(Effect.provide(layer)))

    it.effect("a message that JSON cannot hold is a typed error, and nothing is written", () =>
      Effect.gen(function*() {
        const store = yield* SessionStore.SessionStore
        const session = yield* saves(1)
        const part = Prompt.toolResultPart({
          id: "c",
          name: "t",
          isFailure: false,
          result: { big: 1n },
          providerExecuted: false
        })
        const error = yield* Effect.flip(store.save(session, { append: [Prompt.toolMessage({ content: [part] })] }))
        assert.strictEqual(error.reason._tag, "SessionRecordInvalid")
        assert.deepStrictEqual(texts(yield* store.load("x")), ["m1"])
      }).pipe(Effect.provide(layer)))
  })
})
