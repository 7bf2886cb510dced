import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, Schema, Stream } from "effect"
import { AiError, LanguageModel, type Response, Toolkit } from "effect/ai"
import * as Arbitrary from "effect/Arbitrary"
import { Cassette, ScriptedModel } from "../src/testing/index.ts"
import { memoryFiles } from "./fixtures/memoryFiles.ts"

const path = "folder/cassette.jsonl"

const Id = Schema.Literals(["a", "b", ""])
const Metadata = Schema.optionalKey(Schema.Record(Schema.String, Schema.Record(Schema.String, Schema.Json)))
const Hosted = Schema.optionalKey(Schema.Boolean)
const block = (name: string) => [
  Schema.Struct({ type: Schema.Literal(`${name}-start`), id: Id, metadata: Metadata }),
  Schema.Struct({ type: Schema.Literal(`${name}-delta`), id: Id, delta: Schema.String, metadata: Metadata }),
  Schema.Struct({ type: Schema.Literal(`${name}-end`), id: Id, metadata: Metadata })
]
const Count = Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1e9 })))

/** Every kind of part that a provider can send. */
const AnyPart = Schema.Union([
  ...block("text"),
  ...block("reasoning"),
  Schema.Struct({ type: Schema.Literal("tool-params-start"), id: Id, name: Schema.String, providerExecuted: Hosted }),
  Schema.Struct({ type: Schema.Literal("tool-params-delta"), id: Id, delta: Schema.String }),
  Schema.Struct({ type: Schema.Literal("tool-params-end"), id: Id }),
  Schema.Struct({
    type: Schema.Literal("tool-call"),
    id: Id,
    name: Schema.String,
    params: Schema.Json,
    providerExecuted: Hosted,
    metadata: Metadata
  }),
  Schema.Struct({
    type: Schema.Literal("tool-result"),
    id: Id,
    name: Schema.String,
    result: Schema.Json,
    isFailure: Schema.Boolean,
    providerExecuted: Schema.Literal(true)
  }),
  Schema.Struct({ type: Schema.Literal("tool-approval-request"), approvalId: Id, toolCallId: Id }),
  Schema.Struct({
    type: Schema.Literal("file"),
    mediaType: Schema.String,
    data: Schema.Literals(["", "AAEC/w=="]),
    metadata: Metadata
  }),
  Schema.Struct({
    type: Schema.Literal("source"),
    sourceType: Schema.Literal("document"),
    id: Id,
    mediaType: Schema.String,
    title: Schema.String,
    fileName: Schema.optionalKey(Schema.String)
  }),
  Schema.Struct({
    type: Schema.Literal("source"),
    sourceType: Schema.Literal("url"),
    id: Id,
    url: Schema.Literals(["http://a/", "https://b/c?d=e#f"]),
    title: Schema.String
  }),
  Schema.Struct({
    type: Schema.Literal("response-metadata"),
    id: Schema.optionalKey(Schema.String),
    modelId: Schema.optionalKey(Schema.String),
    timestamp: Schema.optionalKey(Schema.Literal("2026-01-02T03:04:05.678Z"))
  }),
  Schema.Struct({
    type: Schema.Literal("finish"),
    reason: Schema.Literals(["stop", "length", "content-filter", "tool-calls", "error", "pause", "other", "unknown"]),
    usage: Schema.Struct({
      inputTokens: Schema.Struct({ total: Count, uncached: Count, cacheRead: Count, cacheWrite: Count }),
      outputTokens: Schema.Struct({ total: Count, text: Count, reasoning: Count })
    })
  }),
  Schema.Struct({ type: Schema.Literal("error"), error: Schema.Json })
])

/** The arrays in which parts come. */
const AnyAnswer = Schema.Array(Schema.Array(AnyPart))

// JSON has no negative zero
const plain = (arrays: typeof AnyAnswer.Type): ReadonlyArray<ReadonlyArray<Response.StreamPartEncoded>> =>
  JSON.parse(JSON.stringify(arrays))

const endings = {
  finish: [],
  cut: [ScriptedModel.end],
  fail: [ScriptedModel.fail(new AiError.RateLimitError({ metadata: {} }))],
  die: [ScriptedModel.die(new TypeError("broken"))]
}

const Ending = Schema.Literals(["finish", "cut", "fail", "die"])

const ask = (prompt: string) => {
  const heard: Array<unknown> = []
  return LanguageModel.streamText({
    prompt,
    toolkit: Toolkit.empty,
    disableToolCallResolution: true,
    toolCallValidation: "deferred"
  }).pipe(
    Stream.runForEachArray((array) => Effect.sync(() => heard.push(array))),
    Effect.exit,
    Effect.map((exit) => [heard, exit] as const)
  )
}

describe("Cassette", () => {
  it.effect.prop("replays any parts in their arrays, and any end", {
    answer: Arbitrary.schema(AnyAnswer),
    ending: Arbitrary.schema(Ending)
  }, ({ answer, ending }) =>
    Effect.gen(function*() {
      const pieces = plain(answer).flatMap((array) => [ScriptedModel.parts(array), ScriptedModel.delay(0)])
      const model = ScriptedModel.layer([[...pieces, ...endings[ending]]], { chunking: "all" })
      const recorded = yield* Effect.provide(ask("a"), Layer.provide(Cassette.layer({ path, mode: "record" }), model))
      const replayed = yield* Effect.provide(ask("a"), Cassette.layer({ path, mode: "replay" }))
      assert.deepStrictEqual(replayed, recorded)
    }).pipe(Effect.provide(memoryFiles())), { arbitrary: { runs: 60 } })

  const Damage = Schema.Struct({
    kind: Schema.Literals(["cut", "remove", "insert", "replace", "remove line", "double line", "swap lines"]),
    at: Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 0.999 })),
    text: Schema.Union([Schema.String, Schema.Literals(["{", "}", "\"", "\n", "null", "[]", "1e999", "\\ud800", "\0"])])
  })

  const damage = (file: string, { at, kind, text }: typeof Damage.Type): string => {
    const place = Math.floor(at * file.length)
    const lines = file.split("\n")
    const line = Math.floor(at * (lines.length - 1))
    switch (kind) {
      case "cut":
        return file.slice(0, place)
      case "remove":
        return file.slice(0, place) + file.slice(place + 1 + text.length)
      case "insert":
        return file.slice(0, place) + text + file.slice(place)
      case "replace":
        return file.slice(0, place) + text + file.slice(place + text.length)
      case "remove line":
        return lines.toSpliced(line, 1).join("\n")
      case "double line":
        return lines.toSpliced(line, 0, lines[line]).join("\n")
      case "swap lines":
        return [...lines.slice(0, line), ...lines.slice(line, line + 2).reverse(), ...lines.slice(line + 2)].join("\n")
    }
  }

  const prompts = ["one", "two", "one", "three"]

  const program = Effect.forEach(prompts, ask)

  const recordedFile = Effect.gen(function*() {
    const files = new Map<string, string>()
    const script: ReadonlyArray<ScriptedModel.Step> = [
      [ScriptedModel.reasoning("hm"), ScriptedModel.text(["1", "2"])],
      [
        ScriptedModel.toolCalls({ name: "a", params: { b: [1] } }),
        ScriptedModel.parts([{ type: "error", error: { a: 1 } }])
      ],
      [ScriptedModel.text("half"), ScriptedModel.fail(new AiError.RateLimitError({ metadata: {} }))],
      [ScriptedModel.text("half"), ScriptedModel.die("broken")]
    ]
    const answers = yield* Effect.provide(
      program,
      Layer.provide(Cassette.layer({ path, mode: "record" }), [ScriptedModel.layer(script), memoryFiles(files)])
    )
    return { file: files.get(path)!, answers }
  })

  it.effect.prop("of a damaged file tells where, answers with what is whole, and loses nothing", {
    damages: Arbitrary.schema(Schema.NonEmptyArray(Damage))
  }, ({ damages }) =>
    Effect.gen(function*() {
      const { answers, file } = yield* recordedFile
      const damaged = damages.slice(0, 3).reduce(damage, file)
      // an empty file is a new one
      if (damaged === "") return
      const files = new Map([[path, damaged]])
      const exit = yield* Effect.exit(
        Effect.provide(program, Layer.provide(Cassette.layer({ path, mode: "replay" }), memoryFiles(files)))
      )
      if (Exit.isFailure(exit)) {
        const { error } = exit.cause.reasons.find(Cause.isFailReason)!
        assert.instanceOf(error, Cassette.InvalidCassette)
        const invalid = error as Cassette.InvalidCassette
        assert.strictEqual(invalid.path, path)
        assert.isTrue(invalid.line >= 1 && invalid.line <= damaged.split("\n").length)
        assert.include(invalid.message, path)
        // nothing is recorded over a file that cannot be read
        const tried = yield* Effect.exit(Effect.provide(
          ask("new"),
          Layer.provide(Cassette.layer({ path, mode: "auto", isCI: false }), [
            ScriptedModel.layer([ScriptedModel.text("n")]),
            memoryFiles(files)
          ])
        ))
        assert.isTrue(Exit.isFailure(tried))
        assert.deepStrictEqual([...files], [[path, damaged]])
        return
      }
      for (const [index, [, end]] of exit.value.entries()) {
        const reason = Exit.isFailure(end) ? end.cause.reasons[0] : undefined
        // the only defect is the recorded one
        if (reason?._tag === "Die") assert.strictEqual(index, prompts.length - 1)
        if (reason?._tag === "Fail") assert.isTrue(AiError.isAiError(reason.error))
      }
      if (damaged === file) assert.deepStrictEqual(exit.value, answers)
    }), { arbitrary: { runs: 40 } })

  it.effect("names the file and the call whose answer was changed into what is none", () =>
    Effect.gen(function*() {
      const { file } = yield* recordedFile
      const call = /"call":"([0-9a-f]{16})"/.exec(file)![1]
      for (
        const part of [
          "{}",
          "1",
          "{\"type\":\"text-delta\"}",
          "{\"type\":\"unheard of\"}",
          "{\"type\":\"text\",\"text\":1}"
        ]
      ) {
        const lines = file.split("\n").with(2, `{"parts":[${part}]}`)
        const [, exit] = yield* Effect.provide(
          ask("one"),
          Layer.provide(Cassette.layer({ path, mode: "replay" }), memoryFiles(new Map([[path, lines.join("\n")]])))
        )
        const reason = Exit.isFailure(exit) ? exit.cause.reasons.find(Cause.isFailReason) : undefined
        const message = (reason?.error as Error | undefined)?.message ?? "no failure"
        assert.include(message, `The recorded answer of call ${call} cannot be read`)
        assert.include(message, path)
      }
    }))
})
