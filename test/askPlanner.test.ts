import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema, Stream } from "effect"
import { type AiError, LanguageModel, Model, Prompt, Tool, Toolkit } from "effect/ai"
import * as OfflinePlanner from "../scratchpad/ask/planner/OfflinePlanner.ts"

const files: Readonly<Record<string, string>> = {
  "README.md": "# Parcel\n\nParcel delivers things. It has a tool loop.\n\n## Install\n\nnpm ci",
  "src/ToolLoop.ts": [
    "import * as Limits from \"./Limits.ts\"",
    "",
    "/**",
    " * Asks the model and answers its calls.",
    " */",
    "export const runToolLoop = (limit: number) => {",
    "  return Limits.check(limit)",
    "}"
  ].join("\n"),
  "src/Limits.ts": [
    "/** Whether a limit is reached. */",
    "export const check = (limit: number) => limit > 3",
    "",
    "export class BudgetExhausted extends Error {}"
  ].join("\n"),
  "test/ToolLoop.test.ts":
    "import { runToolLoop } from \"../src/ToolLoop.ts\"\n\nit(\"stops the tool loop\", () => runToolLoop(1))",
  "docs/retry-policy.txt": "the retry-policy of Parcel\nis to try three times"
}

const Missing = Schema.Struct({ path: Schema.String, problem: Schema.String })

// Tools that answer with text, as those of a shell do.
const ListFiles = Tool.make("list_files", {
  description: "Lists the files and folders in a folder",
  parameters: Schema.Struct({
    path: Schema.optionalKey(Schema.String.annotate({ description: "Folder to list" })),
    glob: Schema.optionalKey(Schema.String.annotate({ description: "Glob pattern for the paths" }))
  }),
  success: Schema.String
})
const SearchText = Tool.make("search_text", {
  description: "Searches the text of all files and returns the matching lines",
  parameters: Schema.Struct({ query: Schema.String, limit: Schema.optionalKey(Schema.Int) }),
  success: Schema.String
})
const ReadFile = Tool.make("read_file", {
  description: "Reads a text file, or a part of it, with line numbers",
  parameters: Schema.Struct({
    path: Schema.String.annotate({ description: "File to read" }),
    from_line: Schema.optionalKey(Schema.Int),
    line_count: Schema.optionalKey(Schema.Int)
  }),
  success: Schema.String,
  failure: Missing,
  failureMode: "return"
})
const textual = Toolkit.make(ListFiles, SearchText, ReadFile)

const search = (query: string) =>
  Object.entries(files).flatMap(([path, content]) =>
    content.split("\n").flatMap((text, index) =>
      text.toLowerCase().includes(query.toLowerCase()) ? [{ path, line: index + 1, text }] : []
    )
  )

const numbered = (path: string, from: number, count: number) =>
  files[path]!.split("\n").slice(from - 1, from - 1 + count).map((text, index) => `${from + index}\t${text}`).join("\n")

const textualLayer = (unreadable: ReadonlyArray<string> = []) =>
  textual.toLayer({
    list_files: ({ glob, path = "" }) => {
      const part = glob?.replace(/[*/]/g, "").toLowerCase()
      return Effect.succeed(
        Object.keys(files).filter((file) =>
          file.startsWith(path) && (part === undefined || file.toLowerCase().includes(part))
        )
          .join("\n") || "no file"
      )
    },
    search_text: ({ query }) =>
      Effect.succeed(search(query).map(({ line, path, text }) => `${path}:${line}: ${text}`).join("\n") || "no match"),
    read_file: ({ from_line = 1, line_count = 100, path }) =>
      path in files && !unreadable.includes(path)
        ? Effect.succeed(numbered(path, from_line, line_count))
        : Effect.fail({ path, problem: "cannot be read" })
  })

// The same tools under other names, with other parameters, and answers that have structure.
const Directory = Tool.make("directory_tree", {
  description: "Shows the tree of directories",
  success: Schema.Array(Schema.Struct({ path: Schema.String, size: Schema.Int }))
})
const Grep = Tool.make("grep", {
  description: "Find a pattern in source code",
  parameters: Schema.Struct({
    pattern: Schema.String,
    ignoreCase: Schema.Boolean,
    maxResults: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 10 }))
  }),
  success: Schema.Struct({
    matches: Schema.Array(Schema.Struct({ file: Schema.String, lineNumber: Schema.Int, preview: Schema.String }))
  })
})
const OpenFile = Tool.make("open_file", {
  description: "Opens a file and shows its content",
  parameters: Schema.Struct({ file: Schema.String, startLine: Schema.Int, endLine: Schema.NullOr(Schema.Int) }),
  success: Schema.Struct({ file: Schema.String, startLine: Schema.Int, content: Schema.String })
})
const structured = Toolkit.make(Directory, Grep, OpenFile)
const structuredLayer = structured.toLayer({
  directory_tree: () =>
    Effect.succeed(Object.entries(files).map(([path, content]) => ({ path, size: content.length }))),
  grep: ({ pattern }) =>
    Effect.succeed({
      matches: search(pattern).map(({ line, path, text }) => ({ file: path, lineNumber: line, preview: text }))
    }),
  open_file: ({ endLine, file, startLine }) =>
    Effect.succeed({
      file,
      startLine,
      content: files[file]!.split("\n").slice(startLine - 1, endLine ?? undefined).join("\n")
    })
})

interface Answer {
  readonly text: string
  readonly calls: ReadonlyArray<readonly [name: string, params: unknown]>
  readonly steps: number
  readonly prompt: Prompt.Prompt
}

/** Asks until there is an answer, as an agent does. */
const ask = <Tools extends Record<string, Tool.Any>>(
  question: string,
  toolkit: Toolkit.Toolkit<Tools>,
  history: Prompt.Prompt = Prompt.empty
) =>
  Effect.gen(function*() {
    let prompt = Prompt.concat(history, question)
    const calls: Array<readonly [string, unknown]> = []
    for (let steps = 1; steps < 20; steps++) {
      // The tools of these tests need no services and fail with nothing but an `AiError`.
      const generate = LanguageModel.generateText as unknown as (options: unknown) => Effect.Effect<
        LanguageModel.GenerateTextResponse<Record<string, Tool.Any>>,
        AiError.AiError,
        LanguageModel.LanguageModel | Tool.HandlersFor<Tools>
      >
      const response = yield* generate({ prompt, toolkit })
      prompt = Prompt.concat(prompt, Prompt.fromResponseParts(response.content))
      for (const call of response.toolCalls) calls.push([call.name, call.params])
      if (response.toolCalls.length === 0) return { text: response.text, calls, steps, prompt } satisfies Answer
    }
    return yield* Effect.die("no answer after 20 steps")
  })

const names = (answer: Answer) => answer.calls.map(([name]) => name)

const onText = Effect.provide(Layer.merge(OfflinePlanner.layer, textualLayer()))

const notes = Toolkit.make(Tool.make("write_note", {
  description: "Writes a note into a new Markdown file in the folder. The user is asked first.",
  parameters: Schema.Struct({
    name: Schema.String.check(Schema.isPattern(/^[A-Za-z0-9][A-Za-z0-9 _-]{0,63}\.md$/)).annotate({
      description: "Name of the new file, such as summary.md, without a folder"
    }),
    text: Schema.String.annotate({ description: "What the note says" })
  }),
  success: Schema.String
}))

const notesLayer = notes.toLayer({ write_note: ({ name }) => Effect.succeed(`${name} is written`) })

describe("OfflinePlanner", () => {
  describe("questions about a folder", () => {
    it.effect("searches, reads around the best place and quotes it", () =>
      Effect.gen(function*() {
        const answer = yield* ask("Where is the budget exhausted error?", textual)
        assert.deepStrictEqual(answer.calls.slice(0, 3), [
          ["search_text", { query: "budget exhausted error" }],
          ["search_text", { query: "BudgetExhaustedError" }],
          ["list_files", { glob: "**/*BudgetExhaustedError*" }]
        ])
        assert.deepStrictEqual(answer.calls.at(-1), [
          "read_file",
          { path: "src/Limits.ts", from_line: 1, line_count: 34 }
        ])
        assert.strictEqual(
          answer.text,
          `The best match for "budget exhausted error" is src/Limits.ts:4, where BudgetExhausted is defined:\n\n` +
            `    4 | export class BudgetExhausted extends Error {}`
        )
      }).pipe(onText))

    it.effect("prefers a definition in the source to tests, documents and imports", () =>
      Effect.gen(function*() {
        const answer = yield* ask("What does `runToolLoop` do?", textual)
        assert.strictEqual(
          answer.text,
          [
            `The best match for "runToolLoop" is src/ToolLoop.ts:6, where runToolLoop is defined:`,
            ``,
            `    3 | /**`,
            `    4 |  * Asks the model and answers its calls.`,
            `    5 |  */`,
            `    6 | export const runToolLoop = (limit: number) => {`,
            `    7 |   return Limits.check(limit)`,
            `    8 | }`,
            ``,
            `Also: test/ToolLoop.test.ts:3, test/ToolLoop.test.ts:1`
          ].join("\n")
        )
      }).pipe(onText))

    it.effect("finds the file that is named after the topic", () =>
      Effect.gen(function*() {
        const answer = yield* ask("where is the tool loop?", textual)
        assert.deepStrictEqual(answer.calls, [
          ["search_text", { query: "tool loop" }],
          ["search_text", { query: "ToolLoop" }],
          ["list_files", { glob: "**/*ToolLoop*" }],
          ["read_file", { path: "src/ToolLoop.ts", from_line: 1, line_count: 40 }]
        ])
        assert.match(answer.text, /^src\/ToolLoop\.ts:1 is the beginning of a file named after "tool loop"/)
      }).pipe(onText))

    it.effect("tries other ways of writing a name when the first finds nothing", () =>
      Effect.gen(function*() {
        const answer = yield* ask("what is the retry policy?", textual)
        assert.deepStrictEqual(
          answer.calls.flatMap(([name, params]) => name === "search_text" ? [(params as { query: string }).query] : []),
          ["retry policy", "RetryPolicy", "retry-policy", "retry_policy"]
        )
        assert.include(answer.text, "docs/retry-policy.txt:1")
      }).pipe(onText))

    it.effect("works with other names, parameters and shapes of results", () =>
      Effect.gen(function*() {
        const answer = yield* ask("Where is `runToolLoop` defined?", structured)
        assert.deepStrictEqual(answer.calls, [
          ["grep", { pattern: "runToolLoop", ignoreCase: false, maxResults: 10 }],
          ["open_file", { file: "src/ToolLoop.ts", startLine: 1, endLine: 36 }]
        ])
        assert.include(answer.text, "src/ToolLoop.ts:6, where runToolLoop is defined")
        assert.include(answer.text, "    6 | export const runToolLoop = (limit: number) => {")
        const listed = yield* ask("list the files", structured)
        assert.deepStrictEqual(names(listed), ["directory_tree"])
        assert.include(listed.text, "5 entries")
        assert.include(listed.text, "docs/retry-policy.txt")
      }).pipe(Effect.provide(Layer.merge(OfflinePlanner.layer, structuredLayer))))

    it.effect("reads the lines that are asked for", () =>
      Effect.gen(function*() {
        const answer = yield* ask("Show me lines 2-3 of src/Limits.ts", textual)
        assert.deepStrictEqual(answer.calls, [["read_file", { path: "src/Limits.ts", from_line: 2, line_count: 2 }]])
        assert.strictEqual(
          answer.text,
          "src/Limits.ts, lines 2 to 3:\n\n    2 | export const check = (limit: number) => limit > 3\n    3 |"
        )
      }).pipe(onText))

    it.effect("lists and counts files", () =>
      Effect.gen(function*() {
        const all = yield* ask("list the files", textual)
        assert.deepStrictEqual(all.calls, [["list_files", {}]])
        assert.include(all.text, `${Object.keys(files).length} entries:`)
        assert.deepStrictEqual((yield* ask("what files are in src/?", textual)).calls, [["list_files", {
          path: "src/"
        }]])
        assert.deepStrictEqual((yield* ask("how many files are in test?", textual)).calls, [
          ["list_files", { path: "test" }]
        ])
        const count = yield* ask("How many markdown files are there?", textual)
        assert.deepStrictEqual(count.calls, [["list_files", { glob: "**/*.md" }]])
        assert.strictEqual(count.text, "1 file:\n\n    README.md")
      }).pipe(onText))

    it.effect("does not count a listing that leaves something out as if it were whole", () =>
      Effect.gen(function*() {
        const { text } = yield* ask("how many files are there?", Toolkit.make(ListFiles))
        assert.strictEqual(
          text,
          "At least 2 files:\n\n    a.md\n    b.md\n\nThe listing is not whole: (57 more entries not shown: give a path)"
        )
      }).pipe(Effect.provide(Layer.merge(
        OfflinePlanner.layer,
        Toolkit.make(ListFiles).toLayer({
          list_files: () => Effect.succeed("a.md\nb.md\n(57 more entries not shown: give a path)")
        })
      ))))

    it.effect("says what the folder is about from its README", () =>
      Effect.gen(function*() {
        const answer = yield* ask("What is this project about?", textual)
        assert.deepStrictEqual(names(answer), ["list_files", "read_file"])
        assert.strictEqual(answer.text, "README.md says:\n\nParcel: Parcel delivers things. It has a tool loop.")
      }).pipe(onText))

    it.effect("tells where something is used", () =>
      Effect.gen(function*() {
        const answer = yield* ask("Where is `Limits.check` used?", textual)
        assert.notInclude(names(answer), "read_file")
        assert.strictEqual(
          answer.text,
          "1 line in 1 file with \"Limits.check\":\n\n    src/ToolLoop.ts:7  return Limits.check(limit)"
        )
      }).pipe(onText))

    it.effect("reads the next best place when the best cannot be read, and says so", () =>
      Effect.gen(function*() {
        const answer = yield* ask("Where is `runToolLoop`?", textual)
        assert.deepStrictEqual(
          answer.calls.flatMap(([name, params]) => name === "read_file" ? [(params as { path: string }).path] : []),
          ["src/ToolLoop.ts", "test/ToolLoop.test.ts"]
        )
        assert.include(answer.text, "(read_file failed: src/ToolLoop.ts; cannot be read)")
        assert.include(answer.text, "test/ToolLoop.test.ts:3")
      }).pipe(Effect.provide(Layer.merge(OfflinePlanner.layer, textualLayer(["src/ToolLoop.ts"])))))

    it.effect("says that it cannot do what none of its tools does", () =>
      Effect.gen(function*() {
        const answer = yield* ask("Please delete the tool loop", textual)
        assert.deepStrictEqual(answer.calls, [])
        assert.match(answer.text, /^I cannot do this: none of my tools can delete\. I am an offline planner/)
        assert.deepStrictEqual((yield* ask("what is 2 + 2?", textual)).calls, [])
      }).pipe(onText))

    it.effect("says that it found nothing, and what it tried", () =>
      Effect.gen(function*() {
        const answer = yield* ask("Where is the zeppelin?", textual)
        assert.include(answer.text, "I cannot answer this. I am an offline planner")
        assert.include(answer.text, `search_text("zeppelin")`)
        assert.include(answer.text, `found nothing about "zeppelin"`)
      }).pipe(onText))
  })

  describe("conversations", () => {
    it.effect("follows up on the question before", () =>
      Effect.gen(function*() {
        const first = yield* ask("where is the tool loop?", textual)
        const second = yield* ask("and where is it tested?", textual, first.prompt)
        assert.deepStrictEqual(second.calls.at(-1), [
          "read_file",
          { path: "test/ToolLoop.test.ts", from_line: 1, line_count: 40 }
        ])
        assert.match(second.text, /^test\/ToolLoop\.test\.ts:1 is a test named after "tool loop"/)
        const more = yield* ask("show me more", textual, first.prompt)
        assert.deepStrictEqual(more.calls, [["read_file", { path: "src/ToolLoop.ts", from_line: 1, line_count: 31 }]])
        const last = yield* ask("and how is it tested?", textual, more.prompt)
        assert.match(last.text, /^test\/ToolLoop\.test\.ts:1 is a test named after "tool loop"/)
        const third = yield* ask("show me that file", textual, second.prompt)
        assert.deepStrictEqual(third.calls, [
          ["read_file", { path: "test/ToolLoop.test.ts", from_line: 1, line_count: 31 }]
        ])
      }).pipe(onText))

    it.effect("knows what was asked and answered", () =>
      Effect.gen(function*() {
        const none = yield* ask("What did I ask before?", textual)
        assert.strictEqual(none.text, "Nothing was asked before: this is the first question of the conversation.")
        const first = yield* ask("list the files in src", textual)
        const second = yield* ask("what is the retry policy?", textual, first.prompt)
        const asked = yield* ask("what did I ask you before?", textual, second.prompt)
        assert.strictEqual(
          asked.text,
          "Before this you asked:\n- \"list the files in src\"\n- \"what is the retry policy?\""
        )
        assert.deepStrictEqual(asked.calls, [])
        const answered = yield* ask("what did you answer first?", textual, second.prompt)
        assert.strictEqual(answered.text, `To "list the files in src" I answered:\n\n${first.text}`)
      }).pipe(onText))

    it.effect("quotes what it was told, and says when it was not told", () =>
      Effect.gen(function*() {
        const unknown = yield* ask("What is my name?", textual)
        assert.strictEqual(unknown.text, "You have not told me your name in this conversation.")
        const told = yield* ask("Hi, I'm Ada. My favourite colour is blue.", textual, unknown.prompt)
        assert.include(told.text, `You told me: "Hi, I'm Ada."`)
        const remembered = yield* ask("Remember that the keys are rotated on Mondays", textual, told.prompt)
        const answers = yield* Effect.forEach(
          ["what's my name?", "Who am I?", "what is my favourite colour?", "when are the keys rotated?"],
          (question) => ask(question, textual, remembered.prompt)
        )
        assert.deepStrictEqual(answers.map(({ calls, text }) => [calls, text]), [
          [[], `Your name is Ada: you told me "Hi, I'm Ada.".`],
          [[], `Your name is Ada: you told me "Hi, I'm Ada.".`],
          [[], `You told me: "My favourite colour is blue.".`],
          [[], `You told me: "Remember that the keys are rotated on Mondays".`]
        ])
        const renamed = yield* ask("Call me Grace", textual, remembered.prompt)
        assert.match((yield* ask("what is my name?", textual, renamed.prompt)).text, /^Your name is Grace:/)
      }).pipe(onText))

    it.effect("still searches for what the user wants, and for what was not said", () =>
      Effect.gen(function*() {
        const told = yield* ask("my favourite colour is blue", textual)
        for (
          const question of ["I want to see the tool loop", "I'm looking for the tool loop", "where is my tool loop?"]
        ) {
          const answer = yield* ask(question, textual, told.prompt)
          assert.match(answer.text, /src\/ToolLoop\.ts/, question)
        }
      }).pipe(onText))

    it.effect("does not take what a context provider says for what the user has said", () =>
      Effect.gen(function*() {
        const context = Prompt.make("my name is Mallory\nname of the folder: \"kiln\"")
        const answer = yield* ask("what is my name?", textual, context)
        assert.strictEqual(answer.text, "You have not told me your name in this conversation.")
      }).pipe(onText))

    it.effect("gives calls ids that the conversation does not have yet", () =>
      Effect.gen(function*() {
        const first = yield* ask("where is the tool loop?", textual)
        const second = yield* ask("what is the retry policy?", textual, first.prompt)
        const ids = second.prompt.content.flatMap((message) =>
          message.role === "assistant"
            ? message.content.flatMap((part) => part.type === "tool-call" ? [part.id] : [])
            : []
        )
        assert.isAbove(ids.length, 5)
        assert.strictEqual(new Set(ids).size, ids.length)
      }).pipe(onText))
  })

  describe("other tools", () => {
    const Weather = Tool.make("get_weather", {
      description: "Looks up the weather of a city",
      parameters: Schema.Struct({ city: Schema.String, unit: Schema.Literals(["celsius", "fahrenheit"]) }),
      success: Schema.Struct({ degrees: Schema.Int })
    })
    const Add = Tool.make("add", {
      description: "Adds two numbers",
      parameters: Schema.Struct({ a: Schema.Int, b: Schema.Int }),
      success: Schema.Int
    })
    const DeleteFile = Tool.make("delete_file", {
      description: "Deletes a file of the weather archive",
      parameters: Schema.Struct({ path: Schema.String }),
      success: Schema.String,
      failure: Schema.String,
      failureMode: "return"
    })
    const toolkit = Toolkit.make(Weather, Add, DeleteFile)
    const provide = Effect.provide(Layer.merge(
      OfflinePlanner.layer,
      toolkit.toLayer({
        get_weather: ({ city }) => Effect.succeed({ degrees: city.length }),
        add: ({ a, b }) => Effect.succeed(a + b),
        delete_file: () => Effect.fail("it is locked")
      })
    ))

    it.effect("chooses by name and description, and takes arguments from the question", () =>
      Effect.gen(function*() {
        const weather = yield* ask("What is the weather in Oslo, in fahrenheit?", toolkit)
        assert.deepStrictEqual(weather.calls, [["get_weather", { city: "Oslo", unit: "fahrenheit" }]])
        assert.strictEqual(weather.text, "get_weather says: {\"degrees\":4}")
        const sum = yield* ask("please add 19 and 23", toolkit)
        assert.deepStrictEqual(sum.calls, [["add", { a: 19, b: 23 }]])
        assert.strictEqual(sum.text, "add says: 42")
      }).pipe(provide))

    it.effect("does not call what it has no arguments for", () =>
      Effect.gen(function*() {
        const answer = yield* ask("add them up", toolkit)
        assert.deepStrictEqual(answer.calls, [])
        assert.include(answer.text, "None of my tools fits the question: get_weather, add, delete_file.")
      }).pipe(provide))

    it.effect("calls a tool that changes something only when it is told to, and says how it failed", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual((yield* ask("what is in the archive a/b.csv?", toolkit)).calls, [])
        const answer = yield* ask("delete a/b.csv", toolkit)
        assert.deepStrictEqual(answer.calls, [["delete_file", { path: "a/b.csv" }]])
        assert.include(answer.text, "Each tool that I tried has failed. delete_file failed: it is locked.")
      }).pipe(provide))

    it.effect("writes a note when it is told to, under a name that the tool takes, and not when it is asked about", () =>
      Effect.gen(function*() {
        const written = (question: string) =>
          Effect.map(ask(question, notes), ({ calls }) => calls.map(([, params]) => params))
        const cases: ReadonlyArray<readonly [question: string, name: string, text: string]> = [
          ["write a note that the build is green", "build-green.md", "the build is green"],
          ["Please take a note: release on Friday, 10:00", "release-friday-10-00.md", "release on Friday, 10:00"],
          ["can you make a note about the kiln", "kiln.md", "the kiln"],
          ["write \"nine pots\" into pots.md", "pots.md", "nine pots"],
          ["save a note called todo that says buy clay", "todo.md", "buy clay"],
          ["note down that ../../x must not be read", "x-read.md", "../../x must not be read"]
        ]
        for (const [question, name, text] of cases) {
          assert.deepStrictEqual(yield* written(question), [{ name, text }], question)
        }
        for (const question of ["where is write_note defined?", "what does write note do?", "how are notes written?"]) {
          assert.deepStrictEqual(yield* written(question), [], question)
        }
      }).pipe(Effect.provide(Layer.merge(OfflinePlanner.layer, notesLayer))))

    it.effect("says what it is and which tools it has", () =>
      Effect.gen(function*() {
        const answer = yield* ask("What can you do?", toolkit)
        assert.deepStrictEqual(answer.calls, [])
        assert.include(answer.text, "I do not understand language")
        assert.include(answer.text, "- add: Adds two numbers")
        assert.include((yield* ask("Where is Oslo?", Toolkit.empty)).text, "I have no tools here.")
      }).pipe(provide))
  })

  describe("requests", () => {
    const history = Effect.map(ask("where is `runToolLoop`?", textual), ({ prompt }) =>
      // The conversation up to the results of the search.
      Prompt.fromMessages(prompt.content.slice(0, 3)))

    it.effect("answers from what it has when it may not call tools", () =>
      Effect.gen(function*() {
        const response = yield* LanguageModel.generateText({
          prompt: yield* history,
          toolkit: textual,
          toolChoice: "none"
        })
        assert.deepStrictEqual(response.toolCalls, [])
        assert.include(response.text, "src/ToolLoop.ts:6")
        assert.strictEqual(response.finishReason, "stop")
      }).pipe(onText))

    it.effect("calls the tool it is told to call", () =>
      Effect.gen(function*() {
        const response = yield* LanguageModel.generateText({
          prompt: "Parcel",
          toolkit: textual,
          toolChoice: { tool: "search_text" }
        })
        assert.deepStrictEqual(response.toolCalls.map((call) => call.name), ["search_text"])
        assert.strictEqual(response.finishReason, "tool-calls")
        const limited = yield* LanguageModel.generateText({
          prompt: "Where is Parcel?",
          toolkit: textual,
          toolChoice: { oneOf: ["list_files"] }
        })
        assert.deepStrictEqual(limited.toolCalls.map((call) => call.name), ["list_files"])
      }).pipe(onText))

    it.effect("quotes its instructions when no tool knows better", () =>
      Effect.gen(function*() {
        const prompt = Prompt.setSystem(Prompt.make("Who is the maintainer?"), "Be brief. The maintainer is Ada.")
        const response = yield* LanguageModel.generateText({ prompt })
        assert.strictEqual(response.text, "My instructions say: The maintainer is Ada.")
      }).pipe(Effect.provide(OfflinePlanner.layer)))

    it.effect("streams its text word by word, the same as without a stream", () =>
      Effect.gen(function*() {
        const parts = yield* Stream.runCollect(LanguageModel.streamText({ prompt: "hello" }))
        const words = parts.flatMap((part) => part.type === "text-delta" ? [part.delta] : [])
        assert.isAbove(words.length, 20)
        for (const word of words) assert.match(word, /^\s*\S+$/)
        const { text } = yield* LanguageModel.generateText({ prompt: "hello" })
        assert.strictEqual(words.join(""), text)
        assert.deepStrictEqual(
          parts.map((part) => part.type).filter((type) => type !== "text-delta"),
          ["response-metadata", "text-start", "text-end", "finish"]
        )
      }).pipe(Effect.provide(OfflinePlanner.layer)))

    it.effect("gives every response an id, and the name of the model", () =>
      Effect.gen(function*() {
        const ids: Array<string | undefined> = []
        for (const question of ["hello", "hello"]) {
          const parts = yield* Stream.runCollect(LanguageModel.streamText({ prompt: question }))
          const { content } = yield* LanguageModel.generateText({ prompt: question })
          for (const part of [...parts, ...content]) {
            if (part.type !== "response-metadata") continue
            assert.strictEqual(part.modelId, "offline-planner")
            ids.push(part.id)
          }
        }
        assert.strictEqual(ids.length, 4)
        assert.strictEqual(new Set(ids).size, 4)
      }).pipe(Effect.provide(OfflinePlanner.layer)))

    it.effect("counts four characters as a token", () =>
      Effect.gen(function*() {
        const alone = yield* LanguageModel.generateText({ prompt: "hello" })
        assert.strictEqual(alone.usage.inputTokens.total, 2)
        assert.strictEqual(alone.usage.outputTokens.total, Math.ceil(alone.text.length / 4))
        assert.isUndefined(alone.usage.inputTokens.cacheRead)
        const small = Toolkit.make(Tool.make("clock", { description: "The time", success: Schema.String }))
        const schema = JSON.stringify(Tool.getJsonSchema(small.tools.clock))
        const call = yield* LanguageModel.generateText({
          prompt: Prompt.setSystem(Prompt.make("clock?"), "Be brief"),
          toolkit: small,
          disableToolCallResolution: true
        })
        assert.deepStrictEqual(call.toolCalls.map((part) => part.params), [{}])
        assert.strictEqual(
          call.usage.inputTokens.total,
          Math.ceil(["clock?", "Be brief", "clock", "The time", schema].join("").length / 4)
        )
        assert.strictEqual(call.usage.outputTokens.total, Math.ceil("clock{}".length / 4))
      }).pipe(Effect.provide(OfflinePlanner.layer)))

    it.effect("refuses to make objects", () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(
          LanguageModel.generateObject({ prompt: "hi", schema: Schema.Struct({ a: Schema.String }) })
        )
        assert.strictEqual(error.reason._tag, "InvalidRequestError")
        assert.include(error.message, "text, not objects")
      }).pipe(Effect.provide(OfflinePlanner.layer)))

    it.effect("has the names of a model", () =>
      Effect.gen(function*() {
        assert.strictEqual(yield* Model.ProviderName, "effect-agents")
        assert.strictEqual(yield* Model.ModelName, "offline-planner")
        assert.include((yield* LanguageModel.generateText({ prompt: "" })).text, "There is no question to answer.")
      }).pipe(Effect.provide(OfflinePlanner.model)))

    const Word = Schema.Literals([
      "where",
      "is",
      "the",
      "tool",
      "loop",
      "ToolLoop",
      "`check`",
      "src/Limits.ts",
      "src/Nope.ts",
      "list",
      "files",
      "how many",
      "read",
      "used",
      "it",
      "tested",
      "README.md",
      "lines 2-3",
      "zeppelin",
      "**/*.ts",
      "and",
      "?"
    ])

    it.effect.prop(
      "ends for any question, never makes a call twice, and does the same again",
      { first: Schema.Array(Word), second: Schema.Array(Word) },
      ({ first, second }) =>
        Effect.gen(function*() {
          const once = yield* ask(first.join(" "), textual)
          const then = yield* ask(second.join(" "), textual, once.prompt)
          for (const answer of [once, then]) {
            const keys = answer.calls.map((call) => JSON.stringify(call))
            assert.strictEqual(new Set(keys).size, keys.length, keys.join("\n"))
            assert.isAtMost(answer.steps, 7)
            assert.isAbove(answer.text.length, 0)
          }
          assert.strictEqual((yield* ask(second.join(" "), textual, once.prompt)).text, then.text)
        }).pipe(onText),
      { arbitrary: { seed: 7, runs: 100, size: 8 }, timeout: 60_000 }
    )
  })
})
