import { assert, describe, it, layer } from "@effect/vitest"
import { type Cause, Effect, FileSystem, Layer, Queue, Random, Stream } from "effect"
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import * as Session from "../src/Session.ts"
import * as SessionStore from "../src/SessionStore.ts"
import { SqliteClient, SqliteSessionStore } from "../src/sqlite/index.ts"
import { bundled } from "./fixtures/bundled.ts"
import * as Postgres from "./fixtures/postgres.ts"
import * as PostgresClient from "./fixtures/postgresClient.ts"
import { files, inFolder, keyValueFiles, texts } from "./fixtures/sessions.ts"

const fixture = await bundled("./sessionProcess.ts")

type Kind = "files" | "keyValue" | "sqlite" | "postgres"

/** A process of the fixture, killed when the scope closes. Its lines end when its output does. */
const start = (mode: "save" | "race" | "contend" | "lock", kind: Kind, path: string) =>
  Effect.gen(function*() {
    const lines = yield* Queue.unbounded<string, Cause.Done>()
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => spawn(process.execPath, [fixture, mode, kind, path], { stdio: ["pipe", "pipe", "inherit"] })),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    const reader = createInterface({ input: child.stdout })
    reader.on("line", (line) => Queue.offerUnsafe(lines, line))
    reader.on("close", () => Queue.endUnsafe(lines))
    return {
      pid: child.pid!,
      line: Queue.take(lines),
      go: Effect.sync(() => child.stdin.write("\n")),
      /** Ends the process without a word, and returns what it had said. */
      kill: Effect.andThen(Effect.sync(() => child.kill("SIGKILL")), Stream.runCollect(Stream.fromQueue(lines)))
    }
  })

const sqlite = (filename: string) => SqliteSessionStore.layerFile({ filename, busyTimeout: "20 millis" })

const load = <E, R>(layer: Layer.Layer<SessionStore.SessionStore, E, R>, id = "shared") =>
  Effect.provide(Effect.flatMap(SessionStore.SessionStore, (store) => store.load(id)), Layer.fresh(layer))

const chains = 3
const kills = 5
const rounds = 500
const roundsOfSession = 50

/** Kills one process after the other at random moments, each going on with what the one before has left. */
const chain = <E, R>(
  kind: Kind,
  path: string,
  layer: Layer.Layer<SessionStore.SessionStore, E, R>
) =>
  Effect.gen(function*() {
    let version = 0
    for (let kill = 0; kill < kills; kill++) {
      const process = yield* start("save", kind, path)
      const said: Array<string> = []
      const moment = yield* Random.nextIntBetween(1, 20)
      while (said.length < moment) said.push(yield* process.line)
      said.push(...yield* process.kill)
      const saved = said.flatMap((line) => line.startsWith("saved ") ? [Number(line.slice(6))] : [])
      const last = saved.at(-1) ?? version

      const session = yield* load(layer)
      assert.include([last, last + 1], session.version)
      const versions = Array.from({ length: session.version }, (_, index) => index + 1)
      assert.deepStrictEqual(
        texts(session),
        versions.flatMap((each) => [`${each} ask`, `${each} answer ${"x".repeat(each * 50)}`])
      )
      assert.deepStrictEqual(session.state, session.version === 0 ? {} : { last: session.version })
      version = session.version
    }
    assert.isAbove(version, 0)
  })

/** Two processes save one version at once, again and again. */
const race = <E, R>(kind: Kind, path: string, layer: Layer.Layer<SessionStore.SessionStore, E, R>) =>
  Effect.gen(function*() {
    const one = yield* start("race", kind, path)
    const two = yield* start("race", kind, path)
    const winners: Array<number> = []
    for (let round = 0; round < rounds; round++) {
      const version = round % roundsOfSession
      assert.deepStrictEqual([yield* one.line, yield* two.line], [`loaded ${version}`, `loaded ${version}`])
      yield* one.go
      yield* two.go
      const outcomes = [[one.pid, yield* one.line], [two.pid, yield* two.line]] as const
      const [won, lost] = outcomes[0][1].startsWith("saved") ? outcomes : [outcomes[1], outcomes[0]]
      assert.deepStrictEqual([won[1], lost[1]], [`saved ${version + 1}`, `conflict ${version} ${version + 1}`])
      winners.push(won[0])
    }
    const ids = Array.from({ length: rounds / roundsOfSession }, (_, index) => `shared ${index}`)
    const sessions = yield* Effect.forEach(ids, (id) => load(layer, id))
    assert.deepStrictEqual(
      sessions.flatMap(texts),
      winners.flatMap((pid) => [`${pid} ask`, `${pid} answer`])
    )
  })

/** Two processes save as fast as they can, while one after the other is killed. */
const contend = <E, R>(kind: Kind, path: string, layer: Layer.Layer<SessionStore.SessionStore, E, R>) =>
  Effect.gen(function*() {
    const saved: Array<string> = []
    const before = texts(yield* load(layer)).length
    const take = (line: string) => saved.push(line.slice("saved ".length))
    let running = yield* start("contend", kind, path)
    const kills = 5
    for (let kill = 0; kill < kills; kill++) {
      const next = yield* start("contend", kind, path)
      const moment = yield* Random.nextIntBetween(1, 20)
      for (let line = 0; line < moment; line++) take(yield* running.line)
      take(yield* next.line)
      for (const line of yield* running.kill) take(line)
      running = next
    }
    for (const line of yield* running.kill) take(line)

    const session = yield* load(layer)
    const found = texts(session)
    assert.strictEqual(found.length - before, session.version * 2)
    const answers = found.filter((_, index) => index % 2 === 1)
    assert.deepStrictEqual(found, answers.flatMap((answer) => [`${answer} ask`, answer]))
    assert.strictEqual(new Set(answers).size, answers.length)
    assert.deepStrictEqual(saved.filter((save) => !answers.includes(save)), [])
    // what was not said any more is at most one save for each kill
    assert.isAtMost(answers.length - saved.length, kills + 1)
  })

describe("sessions and processes", () => {
  describe("kill -9 in the middle of a save", () => {
    const repeat = <E, R>(f: (folder: string) => Effect.Effect<void, E, R>) =>
      Effect.forEach(Array.from({ length: chains }), () => inFolder((folder) => Effect.scoped(f(folder))), {
        concurrency: 3,
        discard: true
      })

    it.live(
      `SQLite has the old session or the new one, ${chains * kills} times`,
      () => repeat((folder) => chain("sqlite", `${folder}/s.db`, sqlite(`${folder}/s.db`))),
      90_000
    )

    it.live(
      `files have the old session or the new one, ${chains * kills} times`,
      () => repeat((folder) => chain("files", folder, files(folder))),
      90_000
    )

    it.live(
      `a KeyValueStore in files has the old session or the new one, ${chains * kills} times`,
      () => repeat((folder) => chain("keyValue", folder, keyValueFiles(folder))),
      90_000
    )
  })

  const shared = [
    { kind: "sqlite", path: (folder: string) => `${folder}/s.db`, layer: (path: string) => Layer.orDie(sqlite(path)) },
    { kind: "files", path: (folder: string) => folder, layer: (path: string) => Layer.orDie(files(path)) }
  ] as const

  for (const { kind, layer, path } of shared) {
    it.live(
      `${kind}: of two processes that save one version exactly one succeeds, ${rounds} times`,
      () => inFolder((folder) => race(kind, path(folder), layer(path(folder)))),
      90_000
    )

    it.live(
      `${kind}: two processes save as fast as they can, are killed and start again, and no save is lost`,
      () => inFolder((folder) => contend(kind, path(folder), layer(path(folder)))),
      90_000
    )
  }

  layer(Postgres.Server.layer, { timeout: "2 minutes", excludeTestServices: true })("on PostgreSQL", (it) => {
    const inDatabase = <A, E, R>(
      f: (path: string, layer: ReturnType<typeof PostgresClient.sessions>) => Effect.Effect<A, E, R>
    ) =>
      Effect.flatMap(Postgres.Server, (port) =>
        Effect.flatMap(
          Postgres.createDatabase(port),
          (database) => Effect.scoped(f(`${port}/${database}`, PostgresClient.sessions(port, database)))
        ))

    it.effect(
      `has the old session or the new one when a process is killed in a save, ${chains * kills} times`,
      () =>
        Effect.forEach(
          Array.from({ length: chains }),
          () => inDatabase((path, layer) => chain("postgres", path, layer)),
          { concurrency: 3, discard: true }
        ),
      240_000
    )

    it.effect(
      `of two processes that save one version exactly one succeeds, ${rounds} times`,
      () => inDatabase((path, layer) => race("postgres", path, layer)),
      240_000
    )

    it.effect(
      "two processes save as fast as they can, are killed and start again, and no save is lost",
      () => inDatabase((path, layer) => contend("postgres", path, layer)),
      240_000
    )
  })

  it.live("a lock held longer than the busy timeout is a typed error, and is over when it is released", () =>
    inFolder((folder) =>
      Effect.gen(function*() {
        const filename = `${folder}/s.db`
        const store = yield* SessionStore.SessionStore
        const first = yield* store.save(Session.empty("shared"), { append: [] })
        const other = yield* start("lock", "sqlite", filename)
        assert.strictEqual(yield* other.line, "locked")

        const error = yield* Effect.flip(store.save(first, { append: [] }))
        assert.strictEqual(error.reason._tag, "SessionStoreUnavailable")
        assert.strictEqual(
          error.message,
          "Session `shared`: the session store is not available for `save`: database is locked"
        )
        assert.deepStrictEqual(yield* store.load("shared"), first)

        yield* other.go
        assert.strictEqual(yield* other.line, "released")
        assert.strictEqual((yield* store.save(first, { append: [] })).version, 2)
      }).pipe(Effect.provide(sqlite(`${folder}/s.db`)))
    ))

  it.live("a folder that cannot be written is an error when the layer is built", () =>
    inFolder((folder) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        // The superuser may write everywhere but in a file system that cannot be written
        const readOnly = process.getuid?.() === 0 ? "/proc" : folder
        if (readOnly === folder) yield* fs.chmod(folder, 0o555)
        const error = yield* Effect.flip(
          Effect.scoped(Layer.build(SqliteClient.layer({ filename: `${readOnly}/s.db` })))
        )
        assert.strictEqual(error._tag, "SqlError")
        assert.strictEqual(error.reason._tag, "ConnectionError")
        assert.strictEqual(
          error.message,
          `Could not open the database \`${readOnly}/s.db\`: unable to open database file`
        )
      })
    ))
})
