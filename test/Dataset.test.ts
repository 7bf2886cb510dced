import { assert, describe, it } from "@effect/vitest"
import { NodeFileSystem } from "@effect/platform-node"
import { Arbitrary, Effect, FileSystem, Layer, Schema } from "effect"
import { Prompt, Tool, Toolkit } from "effect/ai"
import { Agent, SessionHistory, SessionStore } from "../src/index.ts"
import { Dataset, Eval, Report, Scorer } from "../src/evals/index.ts"
import { Cassette, ScriptedModel } from "../src/testing/index.ts"

const failure = (format: Dataset.Format, text: string, schemas: Dataset.Schemas<unknown, unknown> = texts) =>
  Effect.map(Effect.flip(Dataset.parse(text, { ...schemas, format, path: "a" })), ({ message }) => message)

const texts = { input: Schema.String }
const numbers = { input: Schema.Finite, expected: Schema.Finite }

describe("Dataset", () => {
  describe("parse", () => {
    it.effect("reads the same cases from every format", () =>
      Effect.gen(function*() {
        const schemas = { input: Schema.Finite, expected: Schema.DateFromString }
        const cases = [
          { id: "a", input: 1.5, expected: new Date("2026-01-01T00:00:00.000Z"), tags: ["x", "y"], split: "test" },
          { id: "b", input: -2 }
        ]
        const json = cases.map((one) => JSON.stringify(one))
        const read = (format: Dataset.Format, text: string) => Dataset.parse(text, { ...schemas, format })
        assert.deepStrictEqual(yield* read("jsonl", `\ufeff${json[0]}\r\n\r\n${json[1]}\n`), cases)
        assert.deepStrictEqual(yield* read("json", `\ufeff[${json.join()}]`), cases)
        assert.deepStrictEqual(
          yield* read(
            "yaml",
            "\ufeff# two cases\n- id: a\n  input: 1.5\n  expected: 2026-01-01T00:00:00.000Z\n  tags: [x, y]\n  split: test\n" +
              "-\n  id: b\n  input: -2\n"
          ),
          cases
        )
        assert.deepStrictEqual(
          yield* read(
            "csv",
            "\ufeffid, input ,expected, tags,split\r\na,1.5,2026-01-01T00:00:00.000Z,x y,test\r\n\r\nb,-2,,,\r\n"
          ),
          cases
        )
      }))

    it.effect("names the line of what is wrong", () =>
      Effect.gen(function*() {
        const messages = yield* Effect.all({
          json: failure("jsonl", `{"id":"a","input":"x"}\n\n{"id":`),
          field: failure("jsonl", `{"id":"a","input":"x"}\n{"id":"b","input":1}`),
          twice: failure("jsonl", `{"id":"a","input":"x"}\n{"id":"b","input":"x"}\n{"id":"a","input":"y"}`),
          nameless: failure("jsonl", `{"id":"","input":"x"}`),
          list: failure("json", `{"id":"a"}`),
          yaml: failure("yaml", "- id: a\n  input: x\n- id: b\n   input: [\n"),
          yamlField: failure("yaml", "\n- id: a\n  input: |\n    - not a case\n    text\n- id: b\n  input: 1\n"),
          csv: failure("csv", `id,input\na,"x\ny"\nb,"z`),
          cells: failure("csv", `id,input\na,"x\ny"\nb\n`),
          cell: failure("csv", "id,input,expected\na,1,2\n\nb,1,two\n", numbers),
          columns: failure("csv", "id,input, id\n")
        }, { concurrency: 1 })
        const starts: Record<keyof typeof messages, string> = {
          json: "`a`, line 3: This is not JSON",
          field: "`a`, line 2: Expected string",
          twice: "`a`, line 3: The id `a` is there already, as in line 1",
          nameless: "`a`, line 1: ",
          list: "`a`: Expected a list of cases",
          yaml: "`a`, line 4: ",
          yamlField: "`a`, line 6: Expected string",
          csv: "`a`, line 4: ",
          cells: "`a`, line 4: The row has 1 cells, and there are 2 columns",
          cell: "`a`, line 4: ",
          columns: "`a`, line 1: Two columns are called `id`"
        }
        for (const [key, message] of Object.entries(messages)) {
          assert.isTrue(message.startsWith(starts[key as keyof typeof messages]), `${key}: ${message}`)
        }
      }))

    const Cases = Schema.Array(Schema.Struct({
      input: Schema.String,
      expected: Schema.optionalKey(Schema.NonEmptyString),
      tags: Schema.Array(Schema.Literals(["x", "y", "z"]))
    })).check(Schema.isMaxLength(5))

    it.effect.prop(
      "reads any texts back from JSONL and CSV",
      { cases: Arbitrary.schema(Cases) },
      ({ cases }) =>
        Effect.gen(function*() {
          const all = cases.map((one, index) => ({ id: `${index}`, ...one }))
          const jsonl = all.map((one) => JSON.stringify(one)).join("\n")
          assert.deepStrictEqual(yield* Dataset.parse(jsonl, { ...texts, format: "jsonl" }), all)
          const cell = (text: string) => `"${text.replaceAll("\"", "\"\"")}"`
          const rows = all.map(({ expected, id, input, tags }) =>
            [id, input, expected ?? "", tags.join(" ")].map(cell).join()
          )
          const read = yield* Dataset.parse(["id,input,expected,tags", ...rows].join("\n"), { ...texts, format: "csv" })
          assert.deepStrictEqual(read.map((one) => ({ ...one, tags: one.tags ?? [] })), all)
        }),
      { arbitrary: { runs: 50, seed: "datasets" } }
    )
  })

  it.effect("read chooses the format by the name of the file, and rows takes any schema", () =>
    Effect.gen(function*() {
      const fileSystem = yield* FileSystem.FileSystem
      const folder = yield* fileSystem.makeTempDirectoryScoped()
      yield* fileSystem.writeFileString(`${folder}/a.YML`, "- { id: a, input: x }\n")
      assert.deepStrictEqual(yield* Dataset.read(`${folder}/a.YML`, texts), [{ id: "a", input: "x" }])
      yield* fileSystem.writeFileString(`${folder}/a.csv`, "question,year\nWhen?,1850\n")
      const Row = Schema.Struct({ question: Schema.String, year: Schema.Int })
      assert.deepStrictEqual(yield* Dataset.rows(`${folder}/a.csv`, Row), [{ question: "When?", year: 1850 }])
      assert.include((yield* Effect.flip(Dataset.read(`${folder}/a.txt`, texts))).message, "ends with none of")
      assert.strictEqual((yield* Effect.flip(Dataset.read(`${folder}/none.csv`, texts)))._tag, "PlatformError")
    }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer)))

  it("select takes ids, tags and a split together", () => {
    const cases = [
      { id: "a", input: 1, tags: ["x"], split: "test" },
      { id: "b", input: 2, tags: ["x", "y"], split: "train" },
      { id: "c", input: 3 }
    ]
    const ids = (options: Parameters<typeof Dataset.select>[1]) => Dataset.select(cases, options).map(({ id }) => id)
    assert.deepStrictEqual(
      [
        ids({}),
        ids({ tags: ["x"] }),
        ids({ tags: ["y", "z"] }),
        ids({ tags: ["x"], split: "test" }),
        ids({ ids: ["c"] })
      ],
      [["a", "b", "c"], ["a", "b"], ["b"], ["a"], ["c"]]
    )
  })

  it.effect("fromSessions makes a case of each question of a conversation", () =>
    Effect.gen(function*() {
      const agent = Agent.make("assistant", { instructions: "short", providers: [SessionHistory.provider] })
      for (const prompt of ["One?", "Two?"]) yield* Agent.run(agent, { prompt, session: "s" })
      const cases = yield* Dataset.fromSessions(["s", "none"])
      assert.deepStrictEqual(
        cases.map(({ expected, id, input }) => [id, input.content.map(({ role }) => role).join(), expected]),
        [["s#1", "user", "1"], ["s#2", "user,assistant,user", "2"]]
      )
      // the case is a prompt, and can be tried again
      const report = yield* Eval.run(
        Eval.make("again", {
          cases,
          task: (prompt) => Agent.run(Agent.make("assistant"), { prompt }),
          scorers: [Scorer.exact()]
        }),
        { concurrency: 1 }
      )
      assert.deepStrictEqual(Report.trials(report).map(({ passed }) => passed), [true, false])
    }).pipe(Effect.provide([
      SessionStore.layerMemory,
      ScriptedModel.layer(["1", "2", "1", "3"].map((answer) => ScriptedModel.text(answer)))
    ])))

  it.effect("fromCassette takes the first of several runs with one prompt", () =>
    Effect.gen(function*() {
      const fileSystem = yield* FileSystem.FileSystem
      const path = `${yield* fileSystem.makeTempDirectoryScoped()}/runs.jsonl`
      const Roll = Tool.make("roll", { success: Schema.Finite })
      const dice = Agent.make("dice", { toolkit: Toolkit.make(Roll) })
      let rolled = 0
      const model = ScriptedModel.layer([
        ScriptedModel.toolCalls({ name: "roll", params: {} }),
        ScriptedModel.text("one"),
        ScriptedModel.toolCalls({ name: "roll", params: {} }),
        ScriptedModel.text("two"),
        ScriptedModel.text("hello"),
        ScriptedModel.text("hello again")
      ])
      const recording = Effect.gen(function*() {
        yield* Agent.run(dice, { prompt: "Roll" })
        yield* Agent.run(dice, { prompt: "Roll" })
        yield* Agent.run(dice, { prompt: "Hello?" })
        yield* Agent.run(dice, { prompt: "Hello?" })
      })
      yield* Effect.provide(recording, [
        Cassette.layer({ path, mode: "record" }).pipe(Layer.provide(model)),
        Toolkit.make(Roll).toLayer({ roll: () => Effect.sync(() => ++rolled) })
      ])
      const cases = yield* Dataset.fromCassette(path)
      assert.deepStrictEqual(cases.map(({ expected }) => expected), ["one", "hello"])
    }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer)))

  it.effect("fromCassette makes a case of each recorded run", () =>
    Effect.gen(function*() {
      const fileSystem = yield* FileSystem.FileSystem
      const path = `${yield* fileSystem.makeTempDirectoryScoped()}/runs.jsonl`
      const agent = Agent.make("assistant", { instructions: "short" })
      const recording = Effect.gen(function*() {
        yield* Agent.run(agent, { prompt: "One?" })
        yield* Agent.run(agent, {
          prompt: Prompt.fromMessages([
            Prompt.userMessage({ content: [Prompt.textPart({ text: "One?" })] }),
            Prompt.assistantMessage({ content: [Prompt.textPart({ text: "1" })] }),
            Prompt.userMessage({ content: [Prompt.textPart({ text: "Two?" })] })
          ])
        })
      })
      const model = ScriptedModel.layer([ScriptedModel.text(["1"]), ScriptedModel.text(["2", "!"])])
      yield* Effect.provide(recording, Cassette.layer({ path, mode: "record" }).pipe(Layer.provide(model)))
      const cases = yield* Dataset.fromCassette(path)
      assert.deepStrictEqual(
        cases.map(({ expected, input }) => [input.content.map(({ role }) => role).join(), expected]),
        [["user", "1"], ["user,assistant,user", "2!"]]
      )
      assert.strictEqual(new Set(cases.map(({ id }) => id)).size, 2)
      const again = Eval.run(Eval.make("again", {
        cases,
        task: (prompt) => Agent.run(agent, { prompt }),
        scorers: [Scorer.exact()]
      }))
      const replayed = yield* Effect.provide(again, Cassette.layer({ path, mode: "replay" }))
      assert.strictEqual(Report.summary(replayed).passed, 2)
      yield* fileSystem.writeFileString(path, "{}\n")
      assert.match((yield* Effect.flip(Dataset.fromCassette(path))).message, /line 1: This file is not a cassette/)
    }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer)))
})
