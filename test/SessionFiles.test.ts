import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import { Clock, DateTime, Effect, FileSystem, Layer, Option, PlatformError, Result } from "effect"
import { Prompt } from "effect/ai"
import { TestClock } from "effect/testing"
import * as Names from "../src/internal/session/names.ts"
import * as Session from "../src/Session.ts"
import * as SessionStore from "../src/SessionStore.ts"
import * as SessionStoreSuite from "../src/testing/SessionStoreSuite.ts"
import { files, inFolder, keyValueFiles, Platform, texts } from "./fixtures/sessions.ts"

const user = (text: string) => Prompt.userMessage({ content: [Prompt.textPart({ text })] })

const store = SessionStore.SessionStore

/** The entries of the folder and of those in it, with `<hash>` and `<token>` for what is never the same. */
const entries = (folder: string) =>
  Effect.flatMap(
    FileSystem.FileSystem,
    (fs) =>
      Effect.map(fs.readDirectory(folder, { recursive: true }), (names) =>
        names.map((name) =>
          name.replace(/[0-9a-f]{64}/, "<hash>").replace(/[0-9a-f]{8}-[0-9a-f-]{27}/, "<token>")
        ).sort())
  )

/** A file system whose nth change fails, or does not come to its end: as if the process had died in it. */
const stopping = (change: number, how: "fail" | "die") =>
  Layer.effect(FileSystem.FileSystem)(
    Effect.map(FileSystem.FileSystem, (fs) => {
      let left = change
      const stop = <A>(effect: Effect.Effect<A, PlatformError.PlatformError>) =>
        Effect.suspend(() => {
          if (left-- > 0) return effect
          // a dead process does nothing more; a full disk is full for all that follows
          return how === "die"
            ? Effect.die("dead")
            : Effect.fail(PlatformError.systemError({ _tag: "WriteZero", module: "FileSystem", method: "write" }))
        })
      return FileSystem.FileSystem.of({
        ...fs,
        makeDirectory: (path, options) =>
          options?.recursive === true ? fs.makeDirectory(path, options) : stop(fs.makeDirectory(path, options)),
        open: (path, options) => {
          const opened = fs.open(path, options)
          return Effect.map(
            options?.flag === "wx" ? Effect.andThen(stop(Effect.void), opened) : opened,
            (file) => ({
              ...file,
              writeAll: (bytes) => stop(file.writeAll(bytes)),
              sync: stop(Effect.suspend(() => file.sync))
            } as FileSystem.File)
          )
        },
        rename: (from, to) => stop(fs.rename(from, to)),
        remove: (path, options) => stop(fs.remove(path, options))
      })
    })
  ).pipe(Layer.provide(NodeFileSystem.layer))

const stoppingFiles = (folder: string, change: number, how: "fail" | "die") =>
  Layer.provide(SessionStore.layerFileSystem(folder), stopping(change, how))

describe("SessionStore.layerFileSystem", () => {
  for (const { effect, name } of [...SessionStoreSuite.cases, ...SessionStoreSuite.casesMany]) {
    it.effect(name, () => inFolder((folder) => Effect.provide(effect, files(folder))))
  }
  for (
    const cases of [SessionStoreSuite.casesDurable, SessionStoreSuite.casesShared, SessionStoreSuite.casesExpiring]
  ) {
    cases(files("")).forEach(({ name }, index) => {
      it.effect(name, () => inFolder((folder) => cases(files(folder))[index]!.effect))
    })
  }

  it.effect("keeps one record and one head for a session, below its folder, under names of one length", () =>
    inFolder((folder) =>
      Effect.gen(function*() {
        const inner = `${folder}/a/sessions`
        yield* Effect.gen(function*() {
          const sessions = yield* store
          for (const id of ["..", "../x", "/etc/x", "a\0b", "l".repeat(100_000)]) {
            const first = yield* sessions.save(Session.empty(id), { append: [user("one")] })
            yield* sessions.save(first, { append: [user("two")] })
          }
        }).pipe(Effect.provide(files(inner)))
        const fs = yield* FileSystem.FileSystem
        assert.deepStrictEqual(yield* fs.readDirectory(folder), ["a"])
        const one = ["<hash>", "<hash>/2.<token>.head", "<hash>/2.<token>.json"]
        assert.deepStrictEqual(yield* entries(inner), [one, one, one, one, one].flat().sort())
      })
    ))

  it.effect("writes the whole session as JSON, and whose it is into the head", () =>
    inFolder((folder) =>
      Effect.gen(function*() {
        const { incarnation } = yield* Effect.provide(
          Effect.flatMap(store, (sessions) =>
            sessions.save(Session.empty("user-7"), { append: [user("hi")], state: { notes: 1 } })),
          files(folder)
        )
        const fs = yield* FileSystem.FileSystem
        const [hash] = yield* fs.readDirectory(folder)
        assert.match(hash!, /^[0-9a-f]{64}$/)
        const names = yield* fs.readDirectory(`${folder}/${hash}`)
        const contents = yield* Effect.forEach(names.sort(), (name) =>
          fs.readFileString(`${folder}/${hash}/${name}`))
        assert.deepStrictEqual(contents.map((content): unknown => JSON.parse(content)), [
          { id: "user-7" },
          {
            format: "effect-agents/session/3",
            id: "user-7",
            version: 1,
            incarnation,
            updated: 0,
            title: "hi",
            size: 1,
            versions: [{ version: 1, length: 1, state: { notes: 1 }, title: "hi" }],
            history: [{ role: "user", content: "hi", options: {} }]
          }
        ])
      })
    ))

  for (const how of ["fail", "die"] as const) {
    it.effect(`a save whose process ${how === "fail" ? "has no more space" : "dies"} at any change leaves the old or the new session, and nobody is held up`, () =>
      Effect.gen(function*() {
        for (const before of [0, 1, 3]) {
          const outcomes: Array<string> = []
          for (let change = 0; change < 12; change++) {
            outcomes.push(
              yield* inFolder((folder) =>
                Effect.gen(function*() {
                  const whole = yield* store
                  let old = yield* whole.load("x")
                  while (old.version < before) old = yield* whole.save(old, { append: [user(`m${old.version}`)] })
                  const exit = yield* Effect.flatMap(store, (sessions) => sessions.save(old, { append: [user("new")] }))
                    .pipe(
                      Effect.provide(stoppingFiles(folder, change, how), { local: true }),
                      Effect.exit
                    )
                  const found = yield* whole.load("x")
                  if (exit._tag === "Success") assert.strictEqual(found.version, before + 1)
                  if (found.version === before) assert.deepStrictEqual(found, old)
                  else assert.deepStrictEqual([found.version, texts(found)], [before + 1, [...texts(old), "new"]])
                  // it goes on, and takes away what was left
                  const saved = yield* whole.save(found, { append: [user("on")] })
                  assert.deepStrictEqual(texts(yield* whole.load("x")), [...texts(found), "on"])
                  const left = (yield* entries(folder)).filter((name) => name.startsWith("<hash>/"))
                  assert.deepStrictEqual(left, [
                    `<hash>/${saved.version}.<token>.head`,
                    `<hash>/${saved.version}.<token>.json`
                  ])
                  return found.version === before ? "old" : "new"
                }).pipe(Effect.provide(files(folder)))
              )
            )
          }
          // first nothing has happened, then everything, and never the other way round
          assert.deepStrictEqual([...outcomes].sort().reverse(), outcomes)
          assert.include(outcomes, "old")
          assert.include(outcomes, "new")
        }
      }))
  }

  it.effect("a removal that stops anywhere leaves the session or none, and what is left goes when the store is opened", () =>
    Effect.gen(function*() {
      for (let change = 0; change < 3; change++) {
        yield* inFolder((folder) =>
          Effect.gen(function*() {
            const old = yield* Effect.provide(
              Effect.flatMap(store, (sessions) => sessions.save(Session.empty("x"), { append: [user("m")] })),
              files(folder)
            )
            yield* Effect.flatMap(store, (sessions) => sessions.remove("x")).pipe(
              Effect.provide(stoppingFiles(folder, change, "die")),
              Effect.exit
            )
            const found = yield* Effect.provide(Effect.flatMap(store, (sessions) => sessions.load("x")), files(folder))
            assert.deepStrictEqual(found, change === 0 ? old : Session.empty("x"))
            assert.strictEqual((yield* entries(folder)).length, change === 0 ? 3 : 0)
          })
        )
      }
    }))

  it.live("what a first save has left is removed when it is a day old, and not before", () =>
    inFolder((folder) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        yield* Effect.flatMap(store, (sessions) => sessions.save(Session.empty("x"), { append: [] })).pipe(
          Effect.provide(stoppingFiles(folder, 2, "die")),
          Effect.exit
        )
        const open = Effect.scoped(Layer.build(files(folder)))
        // a dead process does not tidy up
        const [made] = yield* fs.readDirectory(folder)
        assert.match(made!, /^new\.1\./)
        yield* open
        assert.deepStrictEqual(yield* fs.readDirectory(folder), [made])
        const old = new Date((yield* Clock.currentTimeMillis) - 25 * 60 * 60 * 1000)
        yield* fs.utimes(`${folder}/${made}`, old, old)
        yield* open
        assert.deepStrictEqual(yield* fs.readDirectory(folder), [])
      })
    ))

  it.effect("a save that was stopped in the middle fails when it goes on after others have saved", () =>
    inFolder((folder) =>
      Effect.gen(function*() {
        const others = yield* store
        let session = yield* others.save(Session.empty("x"), { append: [user("m1")] })
        // while it renames, others save twice, or remove the session and begin it again
        for (const meanwhile of ["save", "again"] as const) {
          const before = session
          const Late = Layer.effect(FileSystem.FileSystem)(
            Effect.map(FileSystem.FileSystem, (fs) =>
              FileSystem.FileSystem.of({
                ...fs,
                rename: (from, to) =>
                  Effect.gen(function*() {
                    if (meanwhile === "again") yield* others.remove("x")
                    session = yield* others.save(yield* others.load("x"), { append: [user("other 1")] })
                    session = yield* others.save(session, { append: [user("other 2")] })
                  }).pipe(Effect.orDie, Effect.andThen(fs.rename(from, to)))
              }))
          ).pipe(Layer.provide(NodeFileSystem.layer))
          const late = Layer.provide(SessionStore.layerFileSystem(folder), Late)
          const error = yield* Effect.flatMap(store, (sessions) => sessions.save(before, { append: [user("late")] }))
            .pipe(
              Effect.provide(late, { local: true }),
              Effect.flip
            )
          assert.deepStrictEqual(error, SessionStore.conflict(before, session.version))
          assert.deepStrictEqual(yield* others.load("x"), session)
          assert.strictEqual((yield* entries(folder)).length, 3)
        }
      }).pipe(Effect.provide(files(folder)))
    ))

  it.live("reads records that older versions have written, and saves to them", () =>
    inFolder((folder) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const sessions = yield* store
        const written = yield* sessions.save(Session.empty("x"), { append: [user("m1")], state: { notes: 1 } })
        const [hash] = yield* fs.readDirectory(folder)
        const record = (yield* fs.readDirectory(`${folder}/${hash}`)).find((name) => name.endsWith(".json"))
        const path = `${folder}/${hash}/${record}`
        const { incarnation: _, ...old } = written
        yield* fs.writeFileString(
          path,
          JSON.stringify({
            format: "effect-agents/session/2",
            id: "x",
            version: 1,
            state: { notes: 1 },
            history: [{ role: "user", content: "m1" }]
          })
        )
        assert.deepStrictEqual(yield* sessions.load("x"), old)
        const hour = 60 * 60 * 1000
        // file systems keep seconds
        const yesterday = Math.floor(((yield* Clock.currentTimeMillis) - 24 * hour) / 1000) * 1000
        yield* fs.utimes(path, new Date(yesterday), new Date(yesterday))
        assert.deepStrictEqual((yield* sessions.list()).sessions, [
          { id: "x", title: "m1", updated: DateTime.makeUnsafe(yesterday), version: 1, size: 1 }
        ])
        const next = yield* sessions.save(old, { append: [user("m2")] })
        assert.deepStrictEqual(yield* sessions.load("x"), next)
        assert.deepStrictEqual(texts(yield* sessions.truncate(next, 1)), ["m1"])
        yield* sessions.remove("x")
        const again = yield* sessions.save(Session.empty("x"), { append: [user("again")] })
        const late = yield* Effect.flip(sessions.save(old, { append: [user("late")] }))
        assert.deepStrictEqual(late, SessionStore.conflict(old, 1))
        assert.strictEqual(
          late.message,
          "Session `x`: the save was made from version 1 of a session that was removed and has begun again; load it again"
        )
        assert.deepStrictEqual(yield* sessions.load("x"), again)
      }).pipe(Effect.provide(files(folder)))
    ))

  it.effect("lists long sessions by the first line of their records", () =>
    inFolder((folder) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        let read = 0
        const Counting = Layer.succeed(FileSystem.FileSystem, {
          ...fs,
          readFileString: () => Effect.die("a whole record is read"),
          open: (path, options) =>
            Effect.map(fs.open(path, options), (file) => ({
              ...file,
              readAlloc: (size) =>
                Effect.tap(file.readAlloc(size), (bytes) =>
                  Effect.sync(() => {
                    read += Option.isSome(bytes) ? bytes.value.length : 0
                  }))
            } as FileSystem.File))
        })
        const append = Array.from({ length: 1000 }, () => user("x".repeat(1000)))
        yield* Effect.flatMap(store, (sessions) =>
          Effect.forEach(["a", "b", "c"], (id) => sessions.save(Session.empty(id), { append }))).pipe(
            Effect.provide(files(folder))
          )
        const { sessions } = yield* Effect.flatMap(store, (sessions) =>
          sessions.list()).pipe(
            Effect.provide(Layer.provide(SessionStore.layerFileSystem(folder), Counting))
          )
        assert.deepStrictEqual(sessions.map(({ id, size }) => [id, size]), [["c", 1000], ["b", 1000], ["a", 1000]])
        assert.isAtMost(read, 100_000)
      })
    ))

  const inFiles = (
    folder: string,
    ending: string,
    f: (fs: FileSystem.FileSystem, path: string) => Effect.Effect<void, PlatformError.PlatformError>
  ) =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const name = (yield* fs.readDirectory(folder)).find((each) => each.endsWith(ending))
      yield* f(fs, `${folder}/${name}`)
    }).pipe(Effect.provide(Platform))
  const inRecord = (folder: string, f: Parameters<typeof inFiles>[2]) => inFiles(folder, ".json", f)
  const rewrite = (folder: string, f: (text: string) => string) =>
    inRecord(folder, (fs, path) =>
      Effect.flatMap(fs.readFileString(path), (text) => {
        assert.notStrictEqual(f(text), text)
        return fs.writeFileString(path, f(text))
      }))
  const unreadable: ReadonlyArray<
    readonly [name: string, damage: (folder: string) => Effect.Effect<void, PlatformError.PlatformError>]
  > = [
    ["torn", (folder) => rewrite(folder, () => "{\"format\":")],
    ["of another session", (folder) => rewrite(folder, (text) => text.replace("\"id\":\"damaged", "\"id\":\"other"))],
    ["of another version", (folder) => rewrite(folder, (text) => text.replace("\"version\":1", "\"version\":2"))],
    [
      "of a time that there is not",
      (folder) => rewrite(folder, (text) => text.replace(/"updated":\d+/, "\"updated\":9000000000000000"))
    ],
    ["missing", (folder) => inRecord(folder, (fs, path) => fs.remove(path))],
    [
      "a folder",
      (folder) => inRecord(folder, (fs, path) => Effect.andThen(fs.remove(path), fs.makeDirectory(path)))
    ],
    [
      "without its head",
      (folder) => inFiles(folder, ".head", (fs, path) => fs.remove(path))
    ],
    [
      "in a folder that is a file",
      (folder) =>
        Effect.flatMap(
          FileSystem.FileSystem,
          (fs) => Effect.andThen(fs.remove(folder, { recursive: true }), fs.writeFileString(folder, ""))
        )
          .pipe(Effect.provide(Platform))
    ]
  ]
  for (const [name, damage] of unreadable) {
    const casesOf = (folder: string) =>
      SessionStoreSuite.casesDamaged(
        files(folder),
        (id) => Effect.flatMap(Names.toHash(id), (hash) => damage(`${folder}/${hash}`))
      )
    casesOf("").forEach((each, index) => {
      it.effect(`${each.name}: ${name}`, () => inFolder((folder) => casesOf(folder)[index]!.effect))
    })
  }

  it.effect("a sweep and a session that begins again at the same moment leave the new session", () =>
    inFolder((folder) =>
      Effect.gen(function*() {
        const sessions = yield* store
        for (let round = 0; round < 20; round++) {
          yield* sessions.save(Session.empty("x"), { append: [user("old")] })
          yield* TestClock.adjust("2 minutes")
          const [saved] = yield* Effect.all([
            Effect.result(sessions.save(Session.empty("x"), { append: [user(`new ${round}`)] })),
            sessions.sweep
          ], { concurrency: 2 })
          const found = texts(yield* sessions.load("x"))
          assert.deepStrictEqual(found, Result.isSuccess(saved) ? [`new ${round}`] : [])
          yield* sessions.remove("x")
        }
      }).pipe(
        Effect.provide(Layer.provide(files(folder), Layer.succeed(SessionStore.TimeToLive, "1 minute")))
      )
    ))

  const damaged: ReadonlyArray<
    readonly [name: string, file: "head" | "json", damage: (text: string) => string | undefined, description: RegExp]
  > = [
    ["a torn record", "json", (text) => text.slice(0, -1), /JSON/],
    ["a missing record", "json", () => undefined, /^it is missing$/],
    ["a record of another session", "json", (text) => text.replace("\"x\"", "\"y\""), /it belongs to the session `y`/],
    ["a record of another version", "json", (text) => text.replace(":2,", ":1,"), /it has version 1, not 2/],
    ["a record of a newer format", "json", (text) => text.replace("session/3", "session/4"), /session\/3/],
    ["a missing head", "head", () => undefined, /it has no head/]
  ]
  for (const [name, file, damage, description] of damaged) {
    it.effect(`${name} is a typed error that names it, until the session is removed`, () =>
      inFolder((folder) =>
        Effect.gen(function*() {
          const fs = yield* FileSystem.FileSystem
          const sessions = yield* store
          const first = yield* sessions.save(Session.empty("x"), { append: [user("m1")] })
          const session = yield* sessions.save(first, { append: [user("m2")] })
          const [hash] = yield* fs.readDirectory(folder)
          const found = (yield* fs.readDirectory(`${folder}/${hash}`)).find((each) => each.endsWith(file))
          const path = `${folder}/${hash}/${found}`
          const text = damage(yield* fs.readFileString(path))
          yield* text === undefined ? fs.remove(path) : fs.writeFileString(path, text)
          for (const effect of [sessions.load("x"), sessions.save(session, { append: [user("m3")] })]) {
            const { reason } = yield* Effect.flip(effect)
            assert.strictEqual(reason._tag, "SessionRecordInvalid")
            if (reason._tag !== "SessionRecordInvalid") return
            assert.strictEqual(reason.record, name === "a missing head" ? `${folder}/${hash}` : path)
            assert.match(reason.description, description)
          }
          yield* sessions.remove("x")
          assert.deepStrictEqual(yield* sessions.load("x"), Session.empty("x"))
        }).pipe(Effect.provide(files(folder)))
      ))
  }

  it.effect("a session that was saved through a KeyValueStore is refused by name, with the way out", () =>
    inFolder((folder) =>
      Effect.gen(function*() {
        const old = yield* Effect.provide(
          Effect.flatMap(store, (sessions) => sessions.save(Session.empty("User"), { append: [user("m")] })),
          keyValueFiles(folder)
        )
        const sessions = yield* store
        for (
          const effect of [sessions.load("User"), sessions.save(old, { append: [] }), sessions.remove("User")]
        ) {
          const { reason } = yield* Effect.flip(Effect.asVoid(effect))
          assert.deepStrictEqual(reason.message.split(": ").slice(0, 2), [
            "the stored record `effect-agents.session.~55ser.head` is not valid",
            "it was saved through a `KeyValueStore`, which this store does not read"
          ])
        }
        assert.deepStrictEqual(yield* sessions.load("user"), Session.empty("user"))
      }).pipe(Effect.provide(files(folder)))
    ))

  it.effect("a folder that is gone is a typed error, not an empty store", () =>
    inFolder((folder) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const sessions = yield* store
        yield* fs.remove(`${folder}/sessions`, { recursive: true })
        for (
          const [operation, effect] of [
            ["load", sessions.load("x")],
            ["save", sessions.save(Session.empty("x"), { append: [] })],
            ["remove", sessions.remove("x")]
          ] as const
        ) {
          const error = yield* Effect.flip(Effect.asVoid(effect))
          assert.strictEqual(error.reason._tag, "SessionStoreUnavailable")
          assert.include(error.reason, { operation })
        }
      }).pipe(Effect.provide(files(`${folder}/sessions`)))
    ))

  it.effect("a folder that cannot be made is an error when the layer is built", () =>
    inFolder((folder) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        yield* fs.writeFileString(`${folder}/file`, "")
        const error = yield* Effect.flip(Effect.scoped(Layer.build(files(`${folder}/file/sessions`))))
        assert.strictEqual(error._tag, "PlatformError")
      })
    ))
})
