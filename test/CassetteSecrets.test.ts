import { NodeFileSystem } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, FileSystem, Layer, Redacted, Schema, Stream } from "effect"
import { AiError, EmbeddingModel, LanguageModel, Tool, Toolkit } from "effect/ai"
import type { IncomingMessage, ServerResponse } from "node:http"
import { AiSdk } from "../src/ai-sdk/index.ts"
import { AgentRun } from "../src/index.ts"
import { Cassette, ScriptedModel } from "../src/testing/index.ts"
import { key, modelServer, providerNames, providers, rawServer } from "./fixtures/ai-sdk.ts"

const account = "acme-4712"

const secrets = [key, account, "x-account", "canary-cause"]

const temporary = Effect.flatMap(
  FileSystem.FileSystem,
  (files) => Effect.map(files.makeTempDirectoryScoped(), (directory) => `${directory}/cassette.jsonl`)
)

const assertNoSecret = Effect.fnUntraced(function*(path: string) {
  const files = yield* FileSystem.FileSystem
  const text = yield* files.readFileString(path)
  assert.include(text, "{\"call\"")
  for (const secret of secrets) assert.notInclude(text, secret)
})

/** Every way to ask a model, and how each ended. */
const everyWay: Effect.Effect<ReadonlyArray<Exit.Exit<unknown, unknown>>, never, LanguageModel.LanguageModel> = Effect
  .all([
    Effect.exit(Stream.runCollect(LanguageModel.streamText({ prompt: "hello" }))),
    Effect.exit(Effect.map(LanguageModel.generateText({ prompt: "hello" }), ({ content }) => content)),
    Effect.exit(
      Effect.map(
        LanguageModel.generateObject({ prompt: "hello", schema: Schema.Struct({ a: Schema.String }) }),
        ({ value }) => value
      )
    )
  ])

const recordAndReplay = Effect.fnUntraced(function*(model: Layer.Layer<LanguageModel.LanguageModel>) {
  const path = yield* temporary
  const recorded = yield* Effect.provide(everyWay, Layer.provide(Cassette.layer({ path, mode: "record" }), model))
  const replayed = yield* Effect.provide(everyWay, Cassette.layer({ path, mode: "replay" }))
  assert.deepStrictEqual(replayed.map(withoutSpans), recorded.map(withoutSpans))
  yield* assertNoSecret(path)
  return recorded
})

/** What a program can see of an end, without the spans of the call. */
const withoutSpans = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.isSuccess(exit) ?
    exit.value :
    exit.cause.reasons.map((reason) =>
      reason._tag === "Fail" ? reason.error : reason._tag === "Die" ? String(reason.defect) : reason._tag
    )

describe("Cassette", () => {
  describe("a recording has no key and no header", () => {
    for (const name of providerNames) {
      it.effect(`of ${name} that answers`, () =>
        Effect.gen(function*() {
          const mock = yield* modelServer((mock) => mock.onMessage("hello", { content: "{\"a\":\"hi\"}" }))
          const recorded = yield* recordAndReplay(AiSdk.layer(providers(mock.url)[name]))
          assert.isTrue(recorded.every(Exit.isSuccess))
        }).pipe(Effect.provide(NodeFileSystem.layer)))

      it.effect(`of ${name} that refuses, is overloaded, sends what is no JSON, or closes the connection`, () =>
        Effect.gen(function*() {
          const answer = (status: number, body: string) => (request: IncomingMessage, response: ServerResponse) => {
            response.writeHead(status, { "content-type": "application/json", "x-account": account })
            // some servers send back what they got
            response.end(body.replace("HEADERS", JSON.stringify(JSON.stringify(request.headers)).slice(1, -1)))
          }
          const error = JSON.stringify({ error: { message: "Wrong: HEADERS", type: "a", code: 1, status: "x" } })
          const cases = [
            answer(401, error),
            answer(429, error),
            answer(200, "no JSON"),
            (_: IncomingMessage, response: ServerResponse) => response.destroy()
          ]
          for (const [index, reply] of cases.entries()) {
            const url = yield* rawServer(reply)
            // a refusal is not tried again
            const settings = { maxRetries: 0 } as AiSdk.Settings
            const recorded = yield* recordAndReplay(AiSdk.layer(providers(url)[name], settings))
            assert.isTrue(recorded.every(Exit.isFailure), `case ${index}`)
          }
        }).pipe(Effect.provide(NodeFileSystem.layer)))
    }

    const http = {
      response: { status: 429, headers: { "x-account": account, authorization: Redacted.make(key) } },
      body: `{"key":"${key}"}`
    }
    const cause = Object.assign(new Error(`canary-cause ${key}`), { requestHeaders: { authorization: key } })
    const errors = [
      new AiError.RateLimitError({ http, metadata: {} }),
      new AiError.InternalProviderError({ description: "down", http, metadata: {} }),
      new AiError.NetworkError({
        reason: "TransportError",
        method: "POST",
        url: `https://user:${key}@host/v1?key=${key}`,
        cause
      })
    ]

    it.effect("of errors with requests, responses and causes, in a stream, at its end, and as defects", () =>
      Effect.gen(function*() {
        const made = errors.flatMap((reason) => {
          const error = AiError.make({ module: "m", method: "n", reason })
          return [
            [ScriptedModel.text("half"), ScriptedModel.fail(error)],
            [ScriptedModel.parts([{ type: "error", error }])]
          ]
        })
        const defects = [
          Object.assign(new Error("broken", { cause }), { headers: http.response.headers }),
          { headers: { authorization: key } },
          new Map([["authorization", key]])
        ].map((defect) => [ScriptedModel.text("half"), ScriptedModel.die(defect)])
        for (const step of [...made, ...defects]) {
          const path = yield* temporary
          const ask = Effect.exit(Stream.runCollect(LanguageModel.streamText({ prompt: "a" })))
          yield* Effect.provide(
            ask,
            Layer.provide(Cassette.layer({ path, mode: "record" }), ScriptedModel.layer([step]))
          )
          yield* assertNoSecret(path)
        }
      }).pipe(Effect.provide(NodeFileSystem.layer)))

    it.effect("of a finished answer whose provider passes on its HTTP response", () =>
      Effect.gen(function*() {
        const path = yield* temporary
        const finish = {
          type: "finish",
          reason: "stop",
          usage: ScriptedModel.usage(1, 1),
          response: { status: 200, headers: http.response.headers }
        } as const
        yield* Effect.provide(
          Effect.exit(Stream.runCollect(LanguageModel.streamText({ prompt: "a" }))),
          Layer.provide(
            Cassette.layer({ path, mode: "record" }),
            ScriptedModel.layer([[
              ScriptedModel.text("1"),
              ScriptedModel.parts([{ ...finish, response: { status: 200, headers: { "x-account": account, key } } }])
            ]])
          )
        )
        yield* assertNoSecret(path)
      }).pipe(Effect.provide(NodeFileSystem.layer)))

    it.effect("of embeddings and tools that fail", () =>
      Effect.gen(function*() {
        const path = yield* temporary
        const error = AiError.make({ module: "m", method: "n", reason: errors[0] })
        const model = Layer.effect(EmbeddingModel.EmbeddingModel)(
          EmbeddingModel.make({ embedMany: () => Effect.fail(error) })
        )
        yield* Effect.flatMap(EmbeddingModel.EmbeddingModel, (model) => Effect.exit(model.embed("a"))).pipe(
          Effect.provide(Layer.provide(Cassette.layerEmbeddingModel({ path, mode: "record" }), model))
        )
        const toolkit = Toolkit.make(
          Tool.make("fails", { parameters: Schema.Struct({ way: Schema.String }), success: Schema.String })
        )
        const ways: Record<string, Effect.Effect<never, never>> = {
          error: Effect.fail(error as never),
          reason: Effect.fail(errors[0] as never),
          other: Effect.fail(cause as never),
          defect: Effect.die(cause.requestHeaders)
        }
        yield* Effect.flatMap(toolkit, (tools) =>
          Effect.forEach(Object.keys(ways), (way) =>
            Effect.exit(Effect.flatMap(tools.handle("fails", { way }), Stream.runDrain)))).pipe(
            Effect.provide(Layer.provide(
              Cassette.layerTools(toolkit, { path, mode: "record" }),
              toolkit.toLayer({
                fails: ({ way }) =>
                  ways[way]
              })
            ))
          )
        yield* assertNoSecret(path)
      }).pipe(Effect.provide(NodeFileSystem.layer)))
  })

  it.effect("a copy of a run has no header of its provider's errors", () =>
    Effect.gen(function*() {
      const part = yield* Schema.encodeEffect(AgentRun.parts())(
        {
          type: "error",
          error: AiError.make({
            module: "m",
            method: "n",
            reason: new AiError.RateLimitError({
              http: { response: { status: 429, headers: { "x-account": account } }, body: key },
              metadata: {}
            })
          })
        } as AgentRun.Part
      )
      const text = Cassette.fromParts([{ type: "step-start", index: 0 }, part])
      for (const secret of secrets) assert.notInclude(text, secret)
    }))
})
