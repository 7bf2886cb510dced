/** Any run, cut anywhere, in the words of OpenAI: what the real client makes of it. */
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Cause, Effect, Exit, Layer, Schema, Stream } from "effect"
import { AiError, type Response as Parts } from "effect/ai"
import OpenAI from "openai"
import { Agent, type AgentRun } from "../src/index.ts"
import { ClientTools, OpenAiApi } from "../src/server/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import * as EveryPart from "./fixtures/everyPart.ts"

const Piece = Schema.Literals([
  "text",
  "empty text",
  "two texts",
  "open text",
  "reasoning",
  "page",
  "document",
  "file",
  "get_weather",
  "remove_file",
  "count_slowly",
  "broken",
  "researcher",
  "cleaner",
  "nothing",
  "paint",
  "wrong params"
])

const Script = Schema.Array(Schema.Struct({
  pieces: Schema.Array(Piece).check(Schema.isMaxLength(5)),
  end: Schema.Literals(["stop", "stop", "stop", "stop", "length", "content-filter", "fail", "die"])
})).check(Schema.isMinLength(1), Schema.isMaxLength(4))

const Cut = Schema.Struct({
  at: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60 })),
  how: Schema.Literals(["whole", "whole", "fails", "dies", "is interrupted", "just ends"])
})

const toParts = (piece: typeof Piece.Type, id: string): ScriptedModel.Piece => {
  const parts = (...parts: ReadonlyArray<unknown>) =>
    ScriptedModel.parts(parts as ReadonlyArray<Parts.StreamPartEncoded>)
  const call = (name: string, params: unknown) => ({ type: "tool-call", id, name, params })
  switch (piece) {
    case "text":
      return ScriptedModel.text(["so ", "much \"text\"\n"])
    case "empty text":
      return parts({ type: "text-start", id }, { type: "text-end", id })
    case "two texts":
      return parts(
        { type: "text-start", id },
        { type: "reasoning-start", id },
        { type: "text-start", id: "other" },
        { type: "text-delta", id, delta: "a" },
        { type: "reasoning-delta", id, delta: "r" },
        { type: "text-delta", id: "other", delta: "b" },
        { type: "text-end", id },
        { type: "source", sourceType: "url", id: "s", url: "https://example.com/", title: "T" },
        { type: "text-delta", id: "other", delta: "c" },
        { type: "reasoning-end", id },
        { type: "text-end", id: "other" },
        { type: "text-start", id },
        { type: "text-delta", id, delta: "again" },
        { type: "text-end", id }
      )
    case "open text":
      return parts({ type: "text-start", id }, { type: "text-delta", id, delta: "open" })
    case "reasoning":
      return ScriptedModel.reasoning(["hm", "m"])
    case "page":
      return parts({ type: "source", sourceType: "url", id, url: "https://example.com/p", title: "P" })
    case "document":
      return parts({ type: "source", sourceType: "document", id, mediaType: "text/plain", title: "D" })
    case "file":
      return parts({ type: "file", mediaType: "image/png", data: "iVBORw0KGgo=" })
    case "wrong params":
      return parts(call("get_weather", { town: 1 }))
    case "remove_file":
      return parts(call(piece, { file: "f" }))
    case "count_slowly":
      return parts(call(piece, { to: 2 }))
    case "researcher":
    case "cleaner":
      return parts(call(piece, { prompt: "p" }))
    default:
      return parts(call(piece, piece === "get_weather" ? { city: "c" } : {}))
  }
}

const toSteps = (script: typeof Script.Type): ReadonlyArray<ScriptedModel.Step> => [
  ...script.map(({ end, pieces }) => [
    // ids are those of the step, so that other steps have them too
    ...pieces.map((piece, index) => toParts(piece, `id-${index}`)),
    end === "fail"
      ? ScriptedModel.fail(new AiError.RateLimitError({}))
      : end === "die"
      ? ScriptedModel.die(new Error(EveryPart.secret))
      : ScriptedModel.finish(
        end === "stop" && pieces.some((piece) => /_|er$|nothing|paint|wrong/.test(piece)) ? "tool-calls" : end
      )
  ]),
  ...Array.from({ length: 20 }, () => [ScriptedModel.text("the end")])
]

/** The parts of a run, and how the stream of them ends. */
const play = (script: typeof Script.Type, { at, how }: typeof Cut.Type) =>
  Effect.gen(function*() {
    const { agent, layer } = EveryPart.make()
    const painter = ClientTools.withDeclared(agent, [{ name: "paint" }])
    if (painter._tag === "Failure") return yield* Effect.die(painter.failure)
    const parts: Array<AgentRun.Part> = []
    const model = ScriptedModel.layer(toSteps(script))
    const exit = yield* Agent.stream(painter.success, { prompt: "go" }).pipe(
      Stream.runForEach((part) => Effect.sync(() => parts.push(part))),
      Effect.provide(Layer.merge(layer, model)),
      Effect.exit
    )
    if (how === "whole") {
      return { parts, end: Exit.isSuccess(exit) ? Stream.empty : Stream.failCause(exit.cause), isCut: false }
    }
    const end = {
      fails: Stream.fail(new AiError.AiError({ module: "m", method: "m", reason: new AiError.RateLimitError({}) })),
      dies: Stream.die(new Error(EveryPart.secret)),
      "is interrupted": Stream.failCause(Cause.interrupt()),
      "just ends": Stream.empty
    }[how]
    // the receipt of the run is whole
    const before = parts.slice(0, Math.min(at, parts.at(-1)?.type === "run-end" ? parts.length - 1 : parts.length))
    return { parts: before, end, isCut: true }
  })

/** The real client, which reads these events. */
const reading = (events: ReadonlyArray<unknown>, last: string) => {
  const body = [...events.map((event) => `data: ${JSON.stringify(event)}\n\n`), last].join(": keep-alive\n\n")
  return new OpenAI({
    apiKey: "x",
    maxRetries: 0,
    fetch: () => Promise.resolve(new Response(body, { headers: { "content-type": "text/event-stream" } }))
  })
}

/** The client adds what it has parsed. */
const withoutParsed = (key: string, value: unknown) => key.startsWith("parsed") ? undefined : value

const textOf = (parts: ReadonlyArray<AgentRun.Part>) =>
  parts.map((part) => part.type === "text-delta" ? part.delta : "").join("")

const expected = (parts: ReadonlyArray<AgentRun.Part>, isCut: boolean, how: string) => {
  const last = parts.at(-1)
  if (last?.type === "run-end") {
    const { stopReason } = last.result
    return stopReason === "length" || stopReason === "content-filter" ? "incomplete" : "completed"
  }
  return isCut && how === "is interrupted" ? "cancelled" : "failed"
}

const sample = { script: Arbitrary.schema(Script), cut: Arbitrary.schema(Cut) }

describe("any run", () => {
  it.effect.prop(
    "is a response that the client accepts, with one end",
    sample,
    Effect.fnUntraced(function*({ cut, script }) {
      const { end, isCut, parts } = yield* play(script, cut)
      const mayWait = (tool: string) => /^(remove_file|cleaner|paint)$/.test(tool)
      const options = { id: "resp_a_b", model: "assistant", created: 0, mayWait }
      const run = Stream.concat(Stream.fromIterable(parts), end as Stream.Stream<never, unknown>)
      const events = yield* Stream.runCollect(OpenAiApi.responseEventsFromParts(run, options))
      assert.deepStrictEqual(events.map((event) => event.sequence_number), events.map((_, index) => index))
      assert.isFalse(JSON.stringify(events).includes(EveryPart.secret))
      const ends = events.filter(({ type }) => /^response\.(completed|incomplete|failed)$/.test(type))
      assert.deepStrictEqual(ends, events.slice(-1))
      const status = expected(parts, isCut, cut.how)
      // a run that has not begun has nothing but its failure
      if (parts.length > 0) {
        const stream = reading(events, "").responses.stream({ model: "assistant", input: "x" })
        const response = yield* Effect.promise(() => stream.finalResponse())
        assert.strictEqual(response.status, status)
        assert.strictEqual(response.output_text, textOf(parts))
        const statuses = response.output.flatMap((item) => "status" in item ? [item.status] : [])
        assert.notInclude(statuses, "in_progress")
        if (status === "completed" || status === "incomplete") {
          assert.isTrue(statuses.every((one) => one === "completed" || one === "failed"), statuses.join(" "))
        }
        const whole = yield* OpenAiApi.responseFromParts(run, options)
        assert.deepStrictEqual(whole.output, JSON.parse(JSON.stringify(response.output, withoutParsed)))
      }
    }),
    { timeout: 30_000, arbitrary: { runs: 60, seed: "openai" } }
  )

  it.effect.prop(
    "is a chat completion that the client accepts, or its error",
    sample,
    Effect.fnUntraced(function*({ cut, script }) {
      const { end, isCut, parts } = yield* play(script, cut)
      const run = Stream.concat(Stream.fromIterable(parts), end as Stream.Stream<never, unknown>)
      const options = { id: "c", model: "assistant", created: 0, includeUsage: true }
      const chunks = yield* Stream.runCollect(OpenAiApi.chatChunksFromParts(run, options))
      assert.isFalse(JSON.stringify(chunks).includes(EveryPart.secret))
      const whole = yield* OpenAiApi.chatFromParts(run, options)
      const stream = reading(chunks, "data: [DONE]\n\n").chat.completions.stream({
        model: "assistant",
        messages: [{ role: "user", content: "x" }]
      })
      const read = yield* Effect.promise(() => stream.finalChatCompletion().catch((error: unknown) => error))
      const last = parts.at(-1)
      const answered = last?.type === "run-end" &&
        last.result.approvals.every((approval) => approval.runsIn === "client")
      if (!answered) {
        assert.instanceOf(read, OpenAI.APIError)
        assert.isTrue("error" in whole)
        const { error } = whole as OpenAiApi.ErrorBody
        assert.deepStrictEqual([read.code, read.message], [error.code, error.message] as never)
        if (isCut) assert.strictEqual(error.code === "interrupted", cut.how === "is interrupted")
        return
      }
      const { choices: [told], usage } = read as OpenAI.ChatCompletion
      const { choices: [choice], usage: used } = whole as OpenAiApi.ChatCompletion
      assert.deepStrictEqual(
        [told!.finish_reason, told!.message.content ?? "", usage],
        [choice!.finish_reason, choice!.message.content ?? "", used] as never
      )
      assert.deepStrictEqual(
        (told!.message.tool_calls ?? []).map((call) => call.id),
        (choice!.message.tool_calls ?? []).map((call) => call.id)
      )
      assert.strictEqual(
        (choice!.message.content ?? "").replaceAll("\n\n", "").replaceAll("\n", ""),
        textOf(parts).replaceAll("\n", "")
      )
    }),
    { timeout: 30_000, arbitrary: { runs: 60, seed: "openai" } }
  )

  it.effect("a step that begins again is in a whole answer once", () => {
    const everyPart = EveryPart.make()
    const options = { id: "resp_a_b", model: "assistant", created: 0 }
    return Effect.gen(function*() {
      for (const word of ["weather", "reasons", "sources"]) {
        const parts = yield* Stream.runCollect(Agent.stream(everyPart.agent, { prompt: word }))
        const first = parts.findIndex(({ type }) => type === "step-start") + 1
        const again: AgentRun.Part = { type: "step-start", index: 0, restarted: true }
        const cut = parts.findIndex(({ type }) => type === "finish")
        const restarted = Stream.fromIterable<AgentRun.Part>([...parts.slice(0, cut), again, ...parts.slice(first)])
        const whole = Stream.fromIterable(parts)
        assert.deepStrictEqual(
          yield* OpenAiApi.chatFromParts(restarted, options),
          yield* OpenAiApi.chatFromParts(whole, options),
          word
        )
        const said = (
          { output, status }: OpenAiApi.ResponseObject
        ) => [status, output.map((item) => ({ ...item, id: "" }))]
        assert.deepStrictEqual(
          said(yield* OpenAiApi.responseFromParts(restarted, options)),
          said(yield* OpenAiApi.responseFromParts(whole, options)),
          word
        )
      }
    }).pipe(Effect.provide(everyPart.layer))
  })
})
