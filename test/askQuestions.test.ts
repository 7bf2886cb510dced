import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Layer } from "effect"
import * as Folder from "../scratchpad/ask/Folder.ts"
import * as FolderAgent from "../scratchpad/ask/FolderAgent.ts"
import * as FolderTools from "../scratchpad/ask/FolderTools.ts"
import * as OfflinePlanner from "../scratchpad/ask/planner/OfflinePlanner.ts"
import * as Question from "../scratchpad/ask/Question.ts"
import { Agent, SessionStore } from "../src/index.ts"

const project: Readonly<Record<string, string>> = {
  "README.md": "# Kiln\n\nKiln fires clay pots on a schedule.\n\n## Setup\n\n```bash\nnpm install kiln\n```\n",
  "CHANGELOG.md": "# Changelog\n\n## 2.1.0\n\n- The lid closes by itself.\n",
  "package.json":
    `{\n  "name": "kiln",\n  "version": "2.1.0",\n  "license": "MIT",\n  "scripts": {\n    "test": "vitest"\n  },\n` +
    `${"  \"x\": 1,\n".repeat(120)}  "dependencies": {\n    "effect": "4.1.0"\n  }\n}\n`,
  "Pot.ts": "/** Makes a pot of clay. */\nexport const make = (clay: string) => clay\n\nexport const install = 1\n",
  "shop.ts": Array.from({ length: 60 }, (_, index) => `const pot${index} = Pot.make("clay")`).join("\n"),
  "server.ts": "// the port of the server\nexport const port = 80\n"
}

/** Questions of somebody who sees the demo for the first time; each conversation is a session of its own. */
const conversations: ReadonlyArray<ReadonlyArray<readonly [question: string, ...answers: ReadonlyArray<RegExp>]>> = [
  [["hello", /^I am an offline planner/, /You can try:\n- /]],
  [["?", /^I am an offline planner/]],
  [["can you help me?", /You can try:/]],
  [["what can I do here?", /You can try:/]],
  [["ok", /^There is nothing in this for me to look up\. You can try:/]],
  [["thanks a lot!", /^You are welcome\.$/]],
  [["what is my name?", /^You have not told me your name/], ["I am Ada", /You told me/], [
    "who am I?",
    /Your name is Ada/
  ]],
  [["what is this?", /README\.md says:\n\nKiln: Kiln fires clay pots/]],
  [["summarize the architecture", /README\.md says:/]],
  [["how do I install it?", /README\.md:8/, /npm install kiln/]],
  [["what version is this?", /package\.json:3\b/, /"version": "2\.1\.0"/]],
  [["is there a license?", /"license": "MIT"/]],
  [["what dependencies does it have?", /"dependencies": \{\n.*"effect": "4\.1\.0"/]],
  [["what's new?", /The lid closes by itself/]],
  [["which file defines Pot.make?", /^The best match for "Pot\.make" is Pot\.ts:2, where make is defined/]],
  [["what is the capital of the server?", /^Nothing that I found mentions "capital"\. The nearest is server\.ts/]],
  [["asdf qwer", /found nothing about "asdf qwer"/]],
  [["fix the bug in Pot.ts", /^I cannot do this: none of my tools can fix/]],
  [["what's the biggest file?", /^I cannot know this: none of my tools tells sizes/]],
  [["who wrote this?", /^I cannot know this/]],
  [["write me a poem", /^I cannot answer this/]]
]

const run = (prompt: string | Question.Question, session: string | undefined) =>
  Agent.run(FolderAgent.make("always"), { prompt: typeof prompt === "string" ? prompt : prompt.prompt, session })

describe("questions of strangers", () => {
  it.effect("have a useful or an honest answer", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const folder = yield* fs.makeTempDirectoryScoped({ prefix: "ask-questions-" })
      for (const [name, text] of Object.entries(project)) yield* fs.writeFileString(`${folder}/${name}`, text)
      const program = Effect.gen(function*() {
        for (const [index, questions] of conversations.entries()) {
          for (const [question, ...answers] of questions) {
            const { text } = yield* run(question, `s${index}`)
            for (const answer of answers) assert.match(text, answer, question)
          }
        }
        const log = "1 lit\n2 the thermocouple broke\n3 off"
        const about = yield* run(Question.make("what broke?", log), undefined)
        assert.match(about.text, /standard input is line 2:\n\n {4}[12] \| /)
        assert.deepStrictEqual(about.steps.flatMap(({ toolCalls }) => toolCalls), [])
        const note = yield* run("take a note: buy clay", undefined)
        assert.deepStrictEqual(note.approvals.map(({ params }) => params), [{ name: "buy-clay.md", text: "buy clay" }])
      })
      yield* Effect.provide(program, [
        FolderTools.layer.pipe(Layer.provideMerge(Folder.layer(folder))),
        SessionStore.layerMemory,
        OfflinePlanner.model
      ])
    }).pipe(Effect.provide(NodeServices.layer)))
})
