import { NodeFileSystem, NodePath } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Layer } from "effect"
import { TestClock } from "effect/testing"
import { execFile, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import * as SqliteSessionStore from "../src/sqlite/SqliteSessionStore.ts"
import * as Folder from "../scratchpad/ask/Folder.ts"
import * as FolderAgent from "../scratchpad/ask/FolderAgent.ts"
import * as FolderTools from "../scratchpad/ask/FolderTools.ts"
import * as Agent from "../src/Agent.ts"
import * as AgentRun from "../src/AgentRun.ts"
import * as SessionStore from "../src/SessionStore.ts"
import * as Cassette from "../src/testing/Cassette.ts"
import { modelServer } from "./fixtures/ai-sdk.ts"
import * as TestTerminal from "./fixtures/terminal.ts"

const main = fileURLToPath(new URL("../scratchpad/ask/main.ts", import.meta.url))
const scripted = fileURLToPath(new URL("fixtures/ask-scripted.ts", import.meta.url))

const makeProject = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const folder = yield* fs.realPath(yield* fs.makeTempDirectoryScoped({ prefix: "ask-chat-" }))
  yield* fs.writeFileString(`${folder}/README.md`, "# Kiln\n\nKiln fires clay pots on a schedule.\n")
  yield* fs.writeFileString(`${folder}/glaze.ts`, "export const glaze = \"celadon\"\n")
  return folder
})

const envOf = (folder: string): Record<string, string> => ({
  PATH: process.env["PATH"] ?? "",
  HOME: folder,
  XDG_STATE_HOME: `${folder}/state`,
  TERM: "xterm-256color",
  // so that a process does not compile all modules again
  NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"] ?? ""
})

/** Starts a chat, with the offline planner or a script, and waits until it can be typed into. */
const open = Effect.fnUntraced(function*(
  folder: string,
  args: ReadonlyArray<string> = [],
  options: { readonly columns?: number; readonly rows?: number; readonly env?: Record<string, string> } = {}
) {
  const script = args[0] === "--script" ? [scripted, ...args.slice(1)] : [main, ...args]
  const env = { ...envOf(folder), ...options.env }
  const terminal = yield* TestTerminal.open({ args: script, cwd: folder, ...options, env })
  yield* terminal.see("/help")
  return terminal
})

const ctrl = (letter: string): string => String.fromCharCode(letter.charCodeAt(0) - 96)

/** The number of answers that have ended. */
const answers = (text: string): number => text.match(/^\d+ steps? · /gm)?.length ?? 0

const lastLines = (terminal: TestTerminal.TestTerminal, count: number): ReadonlyArray<string> =>
  terminal.screen().map((line) => line.trimEnd()).filter((line) => line !== "").slice(-count)

describe("the chat", () => {
  it.layer(Layer.merge(NodeFileSystem.layer, NodePath.layer))((it) => {
    it.effect("answers, folds tool calls and opens them, remembers, and keeps its commands and history", () =>
      Effect.gen(function*() {
        const folder = yield* makeProject
        const chat = yield* open(folder, [], { columns: 90, rows: 40 })
        yield* chat.type("where is celadon?\r")
        const first = yield* chat.until("first answer", (text) => answers(text) === 1)
        assert.match(first, /^❯ where is celadon\?$/m)
        assert.match(first, /^● search_text query "celadon" {2}glaze\.ts:1: export const glaze = "celadon"$/m)
        assert.match(first, /^The best match for "celadon" is glaze\.ts:1, where glaze is defined:$/m)
        assert.match(first, /^ {2}1 \| export const glaze = "celadon"$/m)

        // Ctrl-O opens what is folded, on a page of its own
        yield* chat.type(ctrl("o"))
        const opened = yield* chat.see("q goes back")
        assert.match(opened, /^ {2}\{\n {4}"query": "celadon"\n {2}\}$/m)
        yield* chat.type("q")
        yield* chat.until("first screen", (text) => !text.includes("q goes back") && answers(text) === 1)

        // A paste of two lines is one text; the line editor works in it
        yield* chat.type("\u001b[200~my name\ris Ada\u001b[201~")
        yield* chat.see("❯ my name\n  is Ada")
        yield* chat.type(`${ctrl("u")}\u007f is Ida${"\u001b[D".repeat(3)}\u001b[3~A\r`)
        yield* chat.until("second answer", (text) => answers(text) === 2)
        yield* chat.type("what is my name?\r")
        const third = yield* chat.until("third answer", (text) => answers(text) === 3)
        assert.include(third, "Your name is Ada: you told me \"my name is Ada\".")

        yield* chat.type("/bud")
        yield* chat.see("/budget [TOKENS | off]")
        yield* chat.type("\t5\r")
        yield* chat.see("5 of 5 tokens are left")
        yield* chat.type("\u001b[A")
        yield* chat.see("❯ /budget 5")
        yield* chat.type("\u001b[A\r")
        yield* chat.until("answer at the limit", (text) => answers(text) === 4)
        yield* chat.type("and now?\r")
        yield* chat.see("The budget is used up.")
        yield* chat.type("/trace\r")
        yield* chat.until("trace", (text) => /^invoke_agent ask +·*█+·* .* Completed/m.test(text))
        yield* chat.type("/nothing\r")
        yield* chat.see("There is no command /nothing.")
        yield* chat.type("/session pots\r")
        yield* chat.see("The session pots goes on. The last question was: what is my name?")
        yield* chat.type("/model none\r")
        yield* chat.see("--model none needs OPENAI_API_KEY")

        // The screen becomes narrower and wider: nothing is lost, nothing is there twice
        yield* chat.resize(50, 30)
        yield* chat.until("narrow screen", () => lastLines(chat, 2)[0] === "❯")
        yield* chat.resize(90, 40)
        yield* chat.until("wide screen", () => /session pots/.test(lastLines(chat, 1)[0]))
        assert.strictEqual(chat.text().split("The budget is used up.").length, 2)

        yield* chat.type(ctrl("d"))
        assert.deepStrictEqual((yield* chat.exit).code, 0)
        assert.include(chat.raw().slice(-40), "\u001b[?2004l")
        const { history } = yield* Effect.flatMap(SessionStore.SessionStore, (store) => store.load("pots")).pipe(
          Effect.provide(SqliteSessionStore.layerFile({ filename: `${folder}/state/effect-agents/sessions.sqlite` }))
        )
        assert.strictEqual(history.content.filter(({ role }) => role === "user").length, 4)
      }))

    it.effect("copies an answer as a cassette and as a test", () =>
      Effect.gen(function*() {
        const folder = yield* makeProject
        const fs = yield* FileSystem.FileSystem
        const chat = yield* open(folder, [], { columns: 120 })
        yield* chat.type("/copy celadon\r")
        yield* chat.see("Nothing was asked yet.")
        yield* chat.type("where is celadon?\r")
        yield* chat.until("answer", (text) => answers(text) === 1)
        yield* chat.type("/copy celadon\r")
        yield* chat.see("a test.")
        yield* chat.type("/copy celadon\r")
        yield* chat.see("celadon.jsonl: it is there already")
        yield* chat.type("/copy no/celadon\r")
        yield* chat.see("there is no such folder")
        yield* chat.type(ctrl("d"))
        yield* chat.exit
        // The cassette answers as the model has, in a folder with the same files
        const replay = Cassette.layer({ path: `${folder}/celadon.jsonl`, mode: "replay" })
        const { steps, text } = yield* Agent.run(FolderAgent.make("completed"), { prompt: "where is celadon?" }).pipe(
          Effect.provide([
            replay,
            SessionStore.layerMemory,
            FolderTools.layer.pipe(Layer.provideMerge(Folder.layer(yield* makeProject)))
          ])
        )
        assert.deepStrictEqual(
          steps.map(({ toolCalls }) => toolCalls.map(({ name }) => name)),
          [["search_text", "list_files"], ["read_file"], []]
        )
        assert.include(text, "The best match for \"celadon\" is glaze.ts:1")
        const test = yield* fs.readFileString(`${folder}/celadon.test.ts`)
        assert.include(test, "where is celadon?")
        assert.include(test, "ScriptedModel.toolCalls")
      }))

    it.effect("opens reasoning, changes its model, and goes on with a shorter history, with a server of models", () =>
      Effect.gen(function*() {
        const folder = yield* makeProject
        const server = yield* modelServer((mock) => {
          mock.on({ userMessage: /^first$/ }, { content: "clay pots ".repeat(300), reasoning: "They ask\nfor words." })
          mock.on({ userMessage: /^again$/ }, ({ messages, model }) => ({
            content: `${model} read ${messages.filter(({ role }) => role !== "system").length} messages`
          }))
          mock.on({}, { content: "The user has asked for clay pots." })
        })
        const args = ["--base-url", `${server.url}/v1`, "--model", "clay", "--session", "pots"]
        const chat = yield* open(folder, args, { columns: 100, rows: 40 })
        yield* chat.type("first\r")
        const first = yield* chat.until("first answer", (text) => answers(text) === 1)
        assert.match(first, /^∴ They ask for words\.\n\nclay pots clay pots/m)
        yield* chat.type(ctrl("o"))
        const opened = yield* chat.see("q goes back")
        assert.match(opened, /^∴ reasoning\n {2}They ask\n {2}for words\.$/m)
        // No character of a paste is a key of the page; all are in the message
        yield* chat.type("\u001b[200~q\r/quit\u001b[201~")
        yield* chat.type("q")
        yield* chat.see("❯ q\n  /quit")
        yield* chat.type(ctrl("u") + "\u007f\u007f")
        yield* chat.until("empty line", () => lastLines(chat, 2)[0] === "❯")

        yield* chat.type("/model glaze\r")
        yield* chat.see(`glaze (${new URL(server.url).host}) answers from now on.`)
        yield* chat.type("again\r")
        // the question, the answer, what the program has collected, and the question
        yield* chat.see("glaze read 4 messages")
        yield* chat.type("/model offline\r")
        yield* chat.see(
          "offline planner (deterministic, no network; counts 4 characters as a token) answers from now on."
        )
        yield* chat.type("/model clay\r")
        yield* chat.see(`clay (${new URL(server.url).host}) answers from now on.`)
        yield* chat.type("/compact\r")
        assert.match(
          yield* chat.see("everything.\n"),
          /^The history had about \d{3} tokens, and now has about \d{2,3}\. This is the session pots-2; pots still has/m
        )
        yield* chat.type("again\r")
        yield* chat.until("third answer", (text) => answers(text) === 3)
        yield* chat.type("/session pots\r")
        yield* chat.see("The session pots goes on. The last question was: again")
        yield* chat.type(ctrl("d"))
        assert.deepStrictEqual((yield* chat.exit).code, 0)

        // another process goes on with the shorter history
        const next = yield* open(folder, [...args.slice(0, -1), "pots-2"], { columns: 100 })
        yield* next.type("again\r")
        yield* next.until("answer", (text) => answers(text) === 1)
        yield* next.type(ctrl("d"))
        yield* next.exit
        const sent = server.getRequests().map(({ body }) => JSON.stringify(body))
        const [longer, summary, shorter, last] = sent.slice(1)
        assert.lengthOf(sent, 5)
        assert.include(longer, "clay pots clay pots")
        assert.include(summary, "clay pots clay pots")
        for (const body of [shorter, last]) {
          assert.notInclude(body, "clay pots clay pots")
          assert.include(body, "The user has asked for clay pots.")
        }
      }))

    it.effect("asks before it writes: no with a reason, other arguments, and yes", () =>
      Effect.gen(function*() {
        const folder = yield* makeProject
        const fs = yield* FileSystem.FileSystem
        const chat = yield* open(folder, [], { columns: 100 })
        yield* chat.type("write a note that the pots are glazed\r")
        const asked = yield* chat.see("Allow it?")
        assert.match(asked, /^\? write_note wants to be called with$/m)
        assert.match(asked, /^ {4}"name": "pots-glazed\.md",$/m)
        yield* chat.type("n")
        yield* chat.see("Why not?")
        yield* chat.type("not yet\r")
        const refused = yield* chat.until("first answer", (text) => answers(text) === 1)
        assert.match(refused, /^○ write_note .* {2}not allowed: not yet$/m)
        assert.deepStrictEqual(yield* fs.readDirectory(folder), ["README.md", "glaze.ts"])

        yield* chat.type("write a note that the pots are glazed\r")
        yield* chat.until("second question", () => lastLines(chat, 1)[0].startsWith("Allow it?"))
        yield* chat.type("e")
        yield* chat.see("The arguments:")
        yield* chat.type(`\u001b[A\u001b[A${ctrl("e")}\u007f\u007f\u007f\u007f\u007f.txt",\r`)
        yield* chat.until("problem", () => /pattern|match|Expected/i.test(lastLines(chat, 1)[0]))
        yield* chat.type("\u007f\u007f\u007f\u007f\u007f\u007f2.md\",\r")
        const allowed = yield* chat.until("second answer", (text) => answers(text) === 2)
        assert.match(allowed, /^Allowed with$/m)
        assert.strictEqual(yield* fs.readFileString(`${folder}/pots-glazed2.md`), "the pots are glazed")

        yield* chat.type("write a note that the pots are glazed\r")
        yield* chat.until("third question", () => lastLines(chat, 1)[0].startsWith("Allow it?"))
        yield* chat.type("y")
        yield* chat.until("third answer", (text) => answers(text) === 3)
        assert.strictEqual(yield* fs.readFileString(`${folder}/pots-glazed.md`), "the pots are glazed")

        // Ctrl-C leaves the question open, and the call is not made
        yield* chat.type("write a note that the pots are broken\r")
        yield* chat.until("fourth question", () => lastLines(chat, 1)[0].startsWith("Allow it?"))
        yield* chat.type(ctrl("c"))
        yield* chat.see("Ctrl-C again leaves.")
        yield* chat.type(ctrl("c"))
        assert.strictEqual((yield* chat.exit).code, 0)
        assert.isFalse(yield* fs.exists(`${folder}/pots-broken.md`))
      }))

    it.effect("takes what the user is writing or pasting for text, and not for an answer to a question", () =>
      Effect.gen(function*() {
        const folder = yield* makeProject
        const fs = yield* FileSystem.FileSystem
        const chat = yield* open(folder, ["--script", "writes"], { columns: 100 })
        const held = "A call waits for your answer. Enter goes to it; what you have written stays."
        // The user was writing when the question came
        yield* chat.type("write it\rsay yes")
        yield* chat.see(held)
        yield* chat.type(" to them")
        yield* chat.see("❯ say yes to them")
        yield* chat.type("\r")
        yield* chat.until("question", () => lastLines(chat, 1)[0].startsWith("Allow it?"))
        yield* chat.type("\u001b[200~y\r\u001b[201~")
        yield* chat.see("❯ say yes to themy")
        yield* chat.type("\r")
        yield* chat.until("question again", () => lastLines(chat, 1)[0].startsWith("Allow it?"))
        assert.deepStrictEqual(yield* fs.readDirectory(folder), ["README.md", "glaze.ts"])
        yield* chat.type("y")
        yield* chat.see("pots.md is written")
        assert.strictEqual(yield* fs.readFileString(`${folder}/pots.md`), "Nine pots.\n")
        // The script asks once more, and what was written is still there
        yield* chat.until("second question", () => lastLines(chat, 1)[0] === held)
        assert.include(lastLines(chat, 3), "❯ say yes to themy")
      }))

    it.effect("takes the keys of a paste for text, and is not stuck if it never ends", () =>
      Effect.gen(function*() {
        const folder = yield* makeProject
        const chat = yield* open(folder, ["--script", "hangs"], { columns: 100 })
        yield* chat.type("go\r")
        yield* chat.see("It is here, and")
        yield* chat.type(`\u001b[200~a${ctrl("c")}b${ctrl("o")}c${ctrl("d")}d\u001b[201~`)
        yield* chat.see("❯ a\ufffdb\ufffdc\ufffdd")
        assert.notInclude(chat.text(), "Interrupted")
        yield* chat.type(ctrl("u"))
        yield* chat.until("empty line", () => lastLines(chat, 2)[0] === "❯")

        // A long one is not drawn character by character
        const before = chat.raw().length
        yield* chat.type(`\u001b[200~${"clay pots ".repeat(500)}\u001b[201~`)
        yield* chat.see("clay pots")
        assert.isBelow(chat.raw().slice(before).split("\u001b[?2026h").length, 250)
        yield* chat.type(ctrl("u"))
        yield* chat.until("empty line", () => lastLines(chat, 2)[0] === "❯")

        yield* chat.type("\u001b[200~never ends\r")
        // Until the paste is over, Ctrl-C belongs to it
        const end = yield* Effect.race(
          chat.exit,
          Effect.forever(Effect.delay(chat.type(ctrl("c")), 300)).pipe(TestClock.withLive)
        )
        assert.strictEqual(end.code, 0)
        assert.include(chat.text(), "Interrupted")
      }))

    it.effect("is left by two Ctrl-C that come at once", () =>
      Effect.gen(function*() {
        const folder = yield* makeProject
        const chat = yield* open(folder, ["--script", "hangs"])
        yield* chat.type("go\r")
        yield* chat.see("It is here, and")
        yield* chat.type(ctrl("c") + ctrl("c"))
        assert.strictEqual((yield* chat.exit).code, 0)
      }))

    it.effect("is interrupted by Ctrl-C, keeps the partial answer, and is left by the second one", () =>
      Effect.gen(function*() {
        const folder = yield* makeProject
        const file = `${folder}/s.sqlite`
        const args = ["--script", "hangs", "--session-file", file, "--session", "pots"]
        const chat = yield* open(folder, args, { env: { NO_COLOR: "1" } })
        yield* chat.type("where?\r")
        yield* chat.see("It is here, and")
        const running = yield* chat.see("Ctrl-C interrupts")
        assert.match(running, /[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] answering · \d+ s · Ctrl-C interrupts/)
        yield* chat.type("and why?\r")
        yield* chat.see("The model reads it before its next step.")
        yield* chat.type(ctrl("c"))
        const ended = yield* chat.see("Ctrl-C again leaves.")
        assert.match(ended, /\n\nIt is here, and\n\nInterrupted\n1 step · 10 tokens in, 5 out/m)
        // What the model has not read is there to be sent again
        assert.match(ended, /^❯ and why\?$/m)
        yield* chat.type(ctrl("c"))
        yield* chat.until("empty line", () => lastLines(chat, 2)[0] === "❯")
        yield* chat.type(ctrl("c"))
        assert.strictEqual((yield* chat.exit).code, 0)
        // No colours: the cursor moves, and nothing has a style
        assert.isFalse(chat.raw().split("\u001b[").some((text) => /^[\d;]*m/.test(text)))
        assert.include(chat.raw(), "\u001b[J")
        const { history } = yield* Effect.flatMap(SessionStore.SessionStore, (store) => store.load("pots")).pipe(
          Effect.provide(SqliteSessionStore.layerFile({ filename: file }))
        )
        const last = history.content.at(-1)!
        assert.isTrue(AgentRun.isCut(last))
        assert.include(JSON.stringify(last), "It is here, and")
      }))

    it.effect("is left by a second Ctrl-C though a finalizer keeps the process busy", () =>
      Effect.gen(function*() {
        const folder = yield* makeProject
        const chat = yield* open(folder, ["--script", "spins"])
        yield* chat.type("where?\r")
        yield* chat.see("It is here, and")
        yield* chat.type(ctrl("c"))
        yield* chat.see("Ctrl-C again leaves at once.")
        // The terminal makes a signal of the key as soon as the program has left it to the system
        yield* chat.until("end of raw input", () => chat.raw().includes("\u001b[?2004l"))
        yield* chat.type(ctrl("c"))
        assert.deepStrictEqual(yield* chat.exit, { code: 0, signal: 2 })
      }))
  })
})

describe("one question", () => {
  it.layer(Layer.merge(NodeFileSystem.layer, NodePath.layer))((it) => {
    /** Runs the program with this text as its standard input. */
    const run = (folder: string, args: ReadonlyArray<string>, input: string) =>
      Effect.callback<{ readonly code: number; readonly stdout: string; readonly stderr: string }>((resume) => {
        const child = execFile(
          process.execPath,
          [main, ...args],
          { cwd: folder, env: envOf(folder) },
          (error, stdout, stderr) =>
            resume(Effect.succeed({ code: error === null ? 0 : Number(error.code), stdout, stderr }))
        )
        child.stdin?.end(input)
      })

    it.effect("comes from a pipe, and goes out as lines of JSON that are the parts of the run", () =>
      Effect.gen(function*() {
        const folder = yield* makeProject
        const { code, stderr, stdout } = yield* run(folder, ["--json"], "where is celadon?\n")
        assert.deepStrictEqual([code, stderr], [0, ""])
        const parts = stdout.trimEnd().split("\n").map((line) => JSON.parse(line))
        assert.deepStrictEqual([parts[0].type, parts.at(-1).type], ["run-start", "run-end"])
        assert.include(parts.at(-1).result.text, "glaze.ts:1")
      }))

    it.effect("does not wait for ever for a pipe into which nobody writes, and ends when nobody reads", () =>
      Effect.gen(function*() {
        const folder = yield* makeProject
        const end = (isRead: boolean) =>
          Effect.callback<readonly [code: number | null, stderr: string]>((resume) => {
            const child = spawn(process.execPath, [main, "--no-trace", "what is this?"], {
              cwd: folder,
              env: envOf(folder)
            })
            let stderr = ""
            child.stderr.on("data", (text) => {
              stderr += String(text)
            })
            child.stdout.once("data", () => {
              if (!isRead) child.stdout.destroy()
            }).resume()
            child.on("close", (code) => resume(Effect.succeed([code, stderr])))
            if (!isRead) child.stdin.end()
            return Effect.sync(() => child.kill("SIGKILL"))
          })
        const ends = yield* Effect.all([end(true), end(false)], { concurrency: 2 })
        assert.deepStrictEqual(ends, [
          [0, "Nothing came from standard input in 3 seconds; going on without it\n"],
          [141, ""]
        ])
      }))

    it.effect("has its data from a pipe, without any colour", () =>
      Effect.gen(function*() {
        const folder = yield* makeProject
        const log = "12:00 the kiln is lit\n12:07 fault: the thermocouple broke\n12:09 the kiln is off\n"
        const { code, stdout } = yield* run(folder, ["--no-trace", "where is the thermocouple?"], log)
        assert.strictEqual(code, 0)
        assert.include(stdout, "2 | 12:07 fault: the thermocouple broke")
        assert.notInclude(stdout, "\u001b")
      }))
  })
})
