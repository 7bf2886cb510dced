/** A run that goes on from an earlier version of its session, also when another process ends it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Prompt } from "effect/ai"
import * as Rewound from "../src/internal/session/rewound.ts"
import { SessionStore } from "../src/index.ts"

const said = (text: string) => ({ append: Prompt.make(text).content })

describe("rewound", () => {
  it.effect("sets the session back with the first save, and with no other", () =>
    Effect.gen(function*() {
      const store = yield* SessionStore.SessionStore
      let last = yield* store.load("chat")
      for (const text of ["a", "b", "c"]) last = yield* store.save(last, said(text))
      const texts = Effect.map(store.load("chat"), ({ history, version }) => [
        version,
        ...history.content.flatMap((message) =>
          message.role === "user" ? message.content.map((part) => part.type === "text" ? part.text : "") : []
        )
      ])
      const rewind = { session: "chat", version: 1 }
      const run = Rewound.wrap(store, rewind)
      const loaded = yield* run.load("chat")
      assert.deepStrictEqual([loaded.version, loaded.history.content.length], [3, 1])
      assert.deepStrictEqual(yield* texts, [3, "a", "b", "c"])

      // the process ends, and another one saves what it has recorded as loaded
      const next = yield* Rewound.wrap(store, rewind).save(loaded, said("d"))
      assert.deepStrictEqual(yield* texts, [4, "a", "d"])
      // the first one is too late, and finds what was saved
      const late = yield* Effect.flip(run.save(loaded, said("d")))
      assert.strictEqual(late.reason._tag, "SessionConflict")
      assert.deepStrictEqual((yield* run.load("chat")).history.content.length, 2)
      // a third one goes on after the save
      yield* Rewound.wrap(store, rewind).save(next, said("e"))
      assert.deepStrictEqual(yield* texts, [5, "a", "d", "e"])
      // other sessions are what they are
      yield* run.save(yield* run.load("other"), said("x"))
      assert.strictEqual((yield* store.load("other")).version, 1)
    }).pipe(Effect.provide(SessionStore.layerMemory)))

  it.effect("does not set back what somebody else has saved since it was loaded", () =>
    Effect.gen(function*() {
      const store = yield* SessionStore.SessionStore
      const one = yield* store.save(yield* store.load("chat"), said("a"))
      const two = yield* store.save(one, said("b"))
      const run = Rewound.wrap(store, { session: "chat", version: 1 })
      const loaded = yield* run.load("chat")
      yield* store.save(two, said("c"))
      const error = yield* Effect.flip(run.save(loaded, said("d")))
      assert.strictEqual(error.reason._tag, "SessionConflict")
      assert.strictEqual((yield* store.load("chat")).history.content.length, 3)
      yield* store.remove("chat")
      const gone = yield* Effect.flip(Rewound.wrap(store, { session: "chat", version: 1 }).load("chat"))
      assert.strictEqual(gone.reason._tag, "SessionVersionUnknown")
    }).pipe(Effect.provide(SessionStore.layerMemory)))
})
