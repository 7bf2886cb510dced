import { NodeFileSystem, NodePath } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, FileSystem, Layer, Stdio, Terminal } from "effect"
import * as Consent from "../scratchpad/ask/Consent.ts"
import * as Folder from "../scratchpad/ask/Folder.ts"
import * as Screen from "../scratchpad/ask/Screen.ts"
import { Approval } from "../src/index.ts"

const approval: Approval.Approval = {
  approvalId: "a1",
  toolCallId: "c1",
  tool: "write_note",
  params: { name: "pots.md", text: "\u001b[31mred\u202e" },
  path: []
}

/** Asks a person who types these lines, or ends the program; gives the answer and what was shown. */
const ask = (line: string | undefined, isTerminal = true) =>
  Effect.gen(function*() {
    let shown = ""
    const terminal = Terminal.make({
      columns: Effect.succeed(80),
      rows: Effect.succeed(24),
      size: Effect.never,
      readInput: Effect.never,
      readLine: line === undefined ? Effect.fail(new Terminal.QuitError({})) : Effect.succeed(line),
      display: (text) => Effect.sync(() => void (shown += text))
    })
    const console = Layer.merge(
      Layer.succeed(Terminal.Terminal, terminal),
      Stdio.layerTest({ stdinIsTerminal: Effect.succeed(isTerminal) })
    )
    const answer = yield* Effect.exit(Consent.ask(approval)).pipe(
      Effect.provide(Screen.layer.pipe(Layer.provideMerge(console)))
    )
    return { answer, shown }
  })

describe("consent in the terminal", () => {
  const cases: ReadonlyArray<readonly [line: string, answer: Approval.Answer]> = [
    ["y", Approval.approve(approval)],
    [" YES ", Approval.approve(approval)],
    ["n", Approval.deny(approval, "The user said no")],
    ["", Approval.deny(approval, "The user said no")],
    ["no, not today", Approval.deny(approval, "not today")],
    ["yesterday was better", Approval.deny(approval, "yesterday was better")],
    ["nothing for me", Approval.deny(approval, "nothing for me")]
  ]
  for (const [line, expected] of cases) {
    it.effect(`\`${line}\` is ${expected._tag}`, () =>
      Effect.gen(function*() {
        const { answer, shown } = yield* ask(line)
        assert.deepStrictEqual(answer, Exit.succeed(expected))
        assert.include(shown, "write_note wants to write:")
        assert.include(shown, "pots.md")
        // What is allowed is what is seen
        assert.include(shown, String.raw`"text": "\u001b[31mred\u202e"`)
      }))
  }

  it.effect("whoever ends the program has not answered", () =>
    Effect.gen(function*() {
      const { answer } = yield* ask(undefined)
      assert.isTrue(Exit.hasInterrupts(answer))
    }))

  it.effect("without a terminal nobody is asked, and the call is denied", () =>
    Effect.gen(function*() {
      const { answer, shown } = yield* ask("y", false)
      assert.deepStrictEqual(
        answer,
        Exit.succeed(Approval.deny(approval, "There is nobody to ask: standard input is not a terminal"))
      )
      assert.include(shown, "write_note was not allowed")
    }))
})

describe("the note", () => {
  it.layer(Layer.merge(NodeFileSystem.layer, NodePath.layer))((it) => {
    it.effect("is a new file in the folder: nothing is overwritten, no link is followed, no other folder is written", () =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const base = yield* fs.makeTempDirectoryScoped()
        yield* fs.makeDirectory(`${base}/in`)
        yield* fs.writeFileString(`${base}/in/there.md`, "old")
        yield* fs.symlink(`${base}/outside.md`, `${base}/in/link.md`)
        const { create } = yield* Folder.Folder.pipe(Effect.provide(Folder.layer(`${base}/in`)))
        yield* create("new.md", "new")
        assert.strictEqual(yield* fs.readFileString(`${base}/in/new.md`), "new")
        const problems: Array<string> = []
        for (const name of ["there.md", "link.md", "../outside.md", "sub/new.md", "..", "a\0.md"]) {
          problems.push((yield* Effect.flip(create(name, "x"))).problem)
        }
        assert.deepStrictEqual(problems, [
          "there is such a file already",
          "there is such a file already",
          "not the name of a file",
          "not the name of a file",
          "not the name of a file",
          "not the name of a file"
        ])
        assert.strictEqual(yield* fs.readFileString(`${base}/in/there.md`), "old")
        assert.isFalse(yield* fs.exists(`${base}/outside.md`))
      }))
  })
})
