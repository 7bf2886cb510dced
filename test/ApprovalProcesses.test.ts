import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Layer } from "effect"
import { Approval, Session, SessionStore } from "../src/index.ts"
import { SqliteSessionStore } from "../src/sqlite/index.ts"
import { racing, start } from "./fixtures/approvalProcesses.ts"
import { showPrompt } from "./utils.ts"

const said = (mode: "ask" | "answer" | "crash", file: string) => Effect.flatMap(start(mode, file), ({ rest }) => rest)

const stored = (file: string) =>
  Effect.flatMap(SessionStore.SessionStore, (store) => Effect.map(store.load("s"), ({ history }) => history)).pipe(
    Effect.provide(
      file.endsWith(".sqlite")
        ? Layer.orDie(SqliteSessionStore.layerFile({ filename: file }))
        : Layer.orDie(Layer.provide(SessionStore.layerFileSystem(file), NodeFileSystem.layer)),
      { local: true }
    )
  )

const inFileOf = (name: string) => <A, E, R>(f: (file: string) => Effect.Effect<A, E, R>) =>
  Effect.scoped(
    Effect.flatMap(
      Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped()),
      (folder) => f(`${folder}/${name}`)
    )
  ).pipe(Effect.provide(NodeFileSystem.layer))

const open = "assistant: pay#c1({\"to\":\"Ada\"}), tool-approval-request"

const rejected = /^failed Agent `payer`: The answer to approval `\w+` was rejected: answered$/

describe.each(["sessions.sqlite", "sessions"])("approvals and processes, in `%s`", (name) => {
  const inFile = inFileOf(name)

  it.live("what one process has asked another one answers, once", () =>
    inFile((file) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* said("ask", file), ["completed approval-required "])
        const waiting = yield* stored(file)
        assert.deepStrictEqual(showPrompt(waiting), ["user: Pay everyone", open])
        assert.deepStrictEqual(Approval.pending(waiting).map(({ params, tool }) => [tool, params]), [["pay", {
          to: "Ada"
        }]])
        assert.deepStrictEqual(yield* said("answer", file), ["paying Ada", "completed stop All is paid"])
        assert.deepStrictEqual(showPrompt(yield* stored(file)), [
          "user: Pay everyone",
          open,
          "tool: tool-approval-response",
          "tool: pay#c1 = \"paid Ada\"",
          "assistant: All is paid"
        ])
        assert.match((yield* said("answer", file)).join(), rejected)
      })
    ), 60_000)

  it.live(
    "of two processes that answer at the same time one runs the tool, the other one has a conflict",
    () =>
      inFile((file) =>
        Effect.gen(function*() {
          yield* said("ask", file)
          const lines = yield* racing(file)
          const [won, lost] = lines[0]!.length > 1 ? lines : [...lines].reverse()
          assert.deepStrictEqual(won, ["paying Ada", "completed stop All is paid"])
          assert.match(
            lost!.join(),
            /^failed Session `s`: the save was made from version 1, but version [234] is stored; load it again$/
          )
        })
      ),
    60_000
  )

  it.live(
    "a process that ends in the middle of the tool leaves an interrupted call, and nobody runs it again",
    () =>
      inFile((file) =>
        Effect.gen(function*() {
          yield* said("ask", file)
          assert.deepStrictEqual(yield* said("crash", file), ["paying Ada"])
          const left = yield* stored(file)
          assert.deepStrictEqual(showPrompt(left), ["user: Pay everyone", open, "tool: tool-approval-response"])
          assert.deepStrictEqual(Approval.pending(left), [])
          assert.deepStrictEqual(
            Session.close(left.content).flatMap((message) =>
              message.role === "tool" ? message.content.map((part) => part.type) : []
            ),
            ["tool-approval-response", "tool-result"]
          )
          assert.match((yield* said("answer", file)).join(), rejected)
        })
      ),
    60_000
  )
})
