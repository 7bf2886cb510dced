import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Layer, Schema } from "effect"
import { Prompt } from "effect/ai"
import * as Names from "../src/internal/session/names.ts"
import * as SessionStore from "../src/SessionStore.ts"
import { SqliteSessionStore } from "../src/sqlite/index.ts"
import { files, inFolder, keyValueFiles, texts } from "./fixtures/sessions.ts"

/** What ids are made of here: what file systems, SQL, UTF-8 or an escape of ours could take for something else. */
const pieces = [
  "",
  "a",
  "A",
  "i",
  "I",
  "İ",
  "ı",
  "ſ",
  "s",
  "K",
  "\u212a",
  "é",
  "e\u0301",
  "e",
  "ﬁ",
  "\ud800",
  "\udbff",
  "\udc00",
  "\udfff",
  "\ufffd",
  "\0",
  "/",
  "\\",
  ".",
  "..",
  ":",
  "*",
  "%",
  "%41",
  "~",
  "~41",
  "~ud800",
  "~utf16:",
  "~utf16:d800",
  "~sha256-",
  ".head",
  " ",
  "'",
  "\n",
  "\u202e",
  "日",
  "x".repeat(111),
  "X".repeat(80)
] as const

const Ids = Arbitrary.array(Arbitrary.array(Arbitrary.schema(Schema.Literals(pieces)), { maxLength: 4 }), {
  minLength: 2,
  maxLength: 24
})

const distinct = (ids: ReadonlyArray<ReadonlyArray<string>>) => [...new Set(ids.map((id) => id.join("")))]

const bytes = (text: string) => Buffer.from(text, "utf8").toString("hex")

describe("session ids", () => {
  it.effect.prop("have a name each, whatever is in them", { ids: Ids }, ({ ids }) =>
    Effect.gen(function*() {
      const all = distinct(ids)
      const hashes = yield* Effect.forEach(all, Names.toHash)
      assert.strictEqual(new Set(hashes).size, all.length)
      for (const hash of hashes) assert.match(hash, /^[0-9a-f]{64}$/)

      const escaped = yield* Effect.forEach(all, Names.toEscaped)
      // where case does not matter, and where forms of one letter are the same
      assert.strictEqual(new Set(escaped.map((name) => name.toUpperCase().normalize("NFKC"))).size, all.length)
      for (const name of escaped) assert.match(name, /^[a-z0-9_~-]{0,220}$/)

      const unicode = all.map(Names.toUnicode)
      assert.strictEqual(new Set(unicode.map(bytes)).size, all.length)
      for (const id of all) {
        if (id.isWellFormed() && !id.startsWith("~utf16:")) assert.strictEqual(Names.toUnicode(id), id)
      }
    }), { timeout: 30_000, arbitrary: { runs: 300, seed: "names" } })

  const stores: Readonly<Record<string, (folder: string) => Layer.Layer<SessionStore.SessionStore, unknown>>> = {
    memory: () => SessionStore.layerMemory,
    files,
    keyValue: keyValueFiles,
    sqlite: (folder: string) => SqliteSessionStore.layerFile({ filename: `${folder}/s.db`, synchronous: "NORMAL" })
  }
  for (const [name, layer] of Object.entries(stores)) {
    it.effect.prop(`never meet in ${name}`, { ids: Ids }, ({ ids }) =>
      inFolder((folder) =>
        Effect.gen(function*() {
          const store = yield* SessionStore.SessionStore
          const all = distinct(ids)
          for (const [index, id] of all.entries()) {
            const session = yield* store.load(id)
            assert.strictEqual(session.version, 0)
            yield* store.save(session, { append: Prompt.make(`session ${index}`).content, state: { index } })
          }
          for (const [index, id] of all.entries()) {
            const session = yield* store.load(id)
            assert.deepStrictEqual<ReadonlyArray<unknown>>([session.id, texts(session), session.state], [id, [
              `session ${index}`
            ], { index }])
          }
          const [removed = "", ...others] = all
          yield* store.remove(removed)
          assert.strictEqual((yield* store.load(removed)).version, 0)
          for (const id of others) assert.strictEqual((yield* store.load(id)).version, 1)
        }).pipe(Effect.provide(Layer.orDie(layer(folder))))
      ), { timeout: 60_000, arbitrary: { runs: 5, seed: "stores" } })
  }
})
