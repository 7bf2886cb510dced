import type * as Sdk from "@ai-sdk/provider"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Stream } from "effect"
import { LanguageModel } from "effect/ai"
import type { ServerResponse } from "node:http"
import { AiSdk } from "../src/ai-sdk/index.ts"
import { Agent, AgentRun, ContextProvider } from "../src/index.ts"
import {
  beginnings,
  handlers,
  modelServer,
  providerNames,
  providers,
  rawServer,
  sdkModel,
  toolkit
} from "./fixtures/ai-sdk.ts"
import { exporters, lines, spanNamed } from "./fixtures/telemetry.ts"

const sse = (event: unknown) => `data: ${JSON.stringify(event)}\n\n`

const delta = (content: string) => sse({ id: "1", choices: [{ index: 0, delta: { content } }] })

const end = sse({ id: "1", choices: [{ index: 0, delta: {}, finish_reason: "stop" }] }) + "data: [DONE]\n\n"

/** A server that begins to answer, or not even that, and holds the line until the client hangs up. */
const holding = (events: ReadonlyArray<unknown> | undefined) =>
  Effect.gen(function*() {
    const opened = yield* Deferred.make<void>()
    const closed = yield* Deferred.make<void>()
    const url = yield* rawServer((_request, response) => {
      Deferred.doneUnsafe(opened, Effect.void)
      response.on("close", () => Deferred.doneUnsafe(closed, Effect.void))
      if (events === undefined) return
      response.writeHead(200, { "content-type": "text/event-stream" })
      response.write(events.map(sse).join(""))
    })
    return { url, opened: Deferred.await(opened), closed: Deferred.await(closed) }
  })

const agent = Agent.make("agent")

describe("AiSdk over HTTP", () => {
  describe("a request", () => {
    for (const name of providerNames) {
      it.effect(`is aborted when the run is interrupted in the middle of the answer: ${name}`, () =>
        Effect.gen(function*() {
          const { closed, url } = yield* holding(beginnings("word", 1)[name])
          const heard = yield* Deferred.make<void>()
          const fiber = yield* Agent.stream(agent, { prompt: "hi" }).pipe(
            Stream.runForEach((part) => part.type === "text-delta" ? Deferred.succeed(heard, void 0) : Effect.void),
            Effect.provide(AiSdk.layer(providers(url)[name])),
            Effect.forkChild
          )
          yield* Deferred.await(heard)
          yield* Fiber.interrupt(fiber)
          yield* closed
        }))

      it.effect(`is aborted when the consumer leaves: ${name}`, () =>
        Effect.gen(function*() {
          const { closed, url } = yield* holding(beginnings("word", 1)[name])
          const parts = yield* LanguageModel.streamText({ prompt: "hi" }).pipe(
            Stream.takeUntil((part) => part.type === "text-delta"),
            Stream.runCollect,
            Effect.provide(AiSdk.layer(providers(url)[name]))
          )
          assert.strictEqual(parts.at(-1)?.type, "text-delta")
          yield* closed
        }))

      it.effect(`is aborted before there is an answer, in a stream or not: ${name}`, () =>
        Effect.gen(function*() {
          for (
            const call of [
              Stream.runDrain(LanguageModel.streamText({ prompt: "hi" })),
              LanguageModel.generateText({ prompt: "hi" })
            ]
          ) {
            const { closed, opened, url } = yield* holding(undefined)
            const fiber = yield* Effect.forkChild(Effect.provide(call, AiSdk.layer(providers(url)[name])))
            yield* opened
            yield* Fiber.interrupt(fiber)
            yield* closed
          }
        }))
    }

    // the others tell it at the end only
    for (const name of ["anthropic", "google"] as const) {
      it.effect(`has cost what the provider has said until it was left: ${name}`, () =>
        Effect.gen(function*() {
          const { url } = yield* holding(beginnings("word", 7)[name])
          const spent: Array<unknown> = []
          const watch = ContextProvider.make("watch", {
            beforeRun: () =>
              Effect.as(
                AgentRun.addFinalizer((exit) =>
                  Effect.sync(() => {
                    const outcome = AgentRun.outcome(exit)
                    if (outcome._tag === "Completed") return
                    const { inputTokens, outputTokens } = outcome.partial.usage
                    spent.push([outcome._tag, inputTokens.total, outputTokens.total])
                  })
                ),
                {}
              )
          })
          yield* Agent.stream(Agent.make("agent", { providers: [watch] }), { prompt: "hi" }).pipe(
            Stream.takeUntil((part) => part.type === "text-delta"),
            Stream.runDrain,
            Effect.provide(AiSdk.layer(providers(url)[name]))
          )
          assert.deepStrictEqual(spent, [["Abandoned", 7, 1]])
        }))
    }

    it.effect("is given up only when the provider has let go of it", () =>
      Effect.gen(function*() {
        const log: Array<string> = []
        const slow = Promise.withResolvers<void>()
        const model = {
          ...sdkModel([]),
          doStream: (options: Sdk.LanguageModelV4CallOptions) => {
            options.abortSignal?.addEventListener("abort", () => log.push("aborted"))
            return Promise.resolve({
              stream: new ReadableStream<any>({
                start: (controller) => controller.enqueue({ type: "text-start", id: "1" }),
                cancel: () => {
                  setImmediate(() => {
                    log.push("let go")
                    slow.resolve()
                  })
                  return slow.promise
                }
              })
            })
          }
        }
        yield* LanguageModel.streamText({ prompt: "hi" }).pipe(
          Stream.take(1),
          Stream.runDrain,
          Effect.provide(AiSdk.layer(model))
        )
        log.push("next statement")
        assert.deepStrictEqual(log, ["aborted", "let go", "next statement"])
      }))

    it.effect("that was answered in spite of its abort is closed too", () =>
      Effect.gen(function*() {
        const log: Array<string> = []
        const answer = Promise.withResolvers<{ readonly stream: ReadableStream<any> }>()
        const asked = yield* Deferred.make<void>()
        const model = {
          ...sdkModel([]),
          doStream: (options: Sdk.LanguageModelV4CallOptions) => {
            Deferred.doneUnsafe(asked, Effect.void)
            // a provider that does not listen
            options.abortSignal?.addEventListener("abort", () =>
              answer.resolve({ stream: new ReadableStream({ cancel: () => void log.push("cancelled") }) }))
            return answer.promise
          }
        }
        const fiber = yield* LanguageModel.streamText({ prompt: "hi" }).pipe(
          Stream.runDrain,
          Effect.provide(AiSdk.layer(model)),
          Effect.forkChild
        )
        yield* Deferred.await(asked)
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual(log, ["cancelled"])
      }))

    it.effect("that was answered after its call had waited for it is closed too, and nothing of it is read", () =>
      Effect.gen(function*() {
        const log: Array<string> = []
        const answer = Promise.withResolvers<{ readonly stream: ReadableStream<any> }>()
        const asked = yield* Deferred.make<void>()
        const stream = new ReadableStream<any>({
          pull: (controller) => {
            log.push("read")
            controller.enqueue({ type: "text-start", id: "1" })
          },
          cancel: () => void log.push("cancelled")
        }, { highWaterMark: 0 })
        const model = {
          ...sdkModel([]),
          doStream: ({ abortSignal }: Sdk.LanguageModelV4CallOptions) => {
            Deferred.doneUnsafe(asked, Effect.void)
            abortSignal?.addEventListener("abort", () => setImmediate(() => answer.resolve({ stream })))
            return answer.promise
          }
        }
        const fiber = yield* LanguageModel.streamText({ prompt: "hi" }).pipe(
          Stream.runDrain,
          Effect.provide(AiSdk.layer(model)),
          Effect.forkChild
        )
        yield* Deferred.await(asked)
        // now the call waits for the answer
        yield* Effect.yieldNow
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual(log, ["cancelled"])
      }))

    it.effect("that was answered to its end is not aborted", () =>
      Effect.gen(function*() {
        let signal: AbortSignal | undefined
        const model = sdkModel([{ type: "finish", usage: {}, finishReason: { unified: "stop", raw: "stop" } }])
        yield* LanguageModel.streamText({ prompt: "hi" }).pipe(
          Stream.runDrain,
          Effect.provide(AiSdk.layer({
            ...model,
            doStream: (options: Sdk.LanguageModelV4CallOptions) => {
              signal = options.abortSignal
              return model.doStream(options)
            }
          }))
        )
        assert.strictEqual(signal?.aborted, false)
      }))
  })

  it.live("a slow consumer slows the server, and misses nothing", () =>
    Effect.gen(function*() {
      const total = 4000
      const piece = "x".repeat(16_000)
      let written = 0
      const url = yield* rawServer((_request, response) => {
        response.writeHead(200, { "content-type": "text/event-stream" })
        const write = (response: ServerResponse): void => {
          while (written < total) {
            written++
            if (!response.write(delta(piece))) {
              response.once("drain", () => write(response))
              return
            }
          }
          response.end(end)
        }
        write(response)
      })
      const turn = Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void)))
      // the server has written all there is, or has been standing still for many turns of the event loop
      const standing = Effect.gen(function*() {
        let seen = -1
        let turns = 0
        while (written < total && turns < 1000) {
          turns = written === seen ? turns + 1 : 0
          seen = written
          yield* turn
        }
        return written
      })
      let length = 0
      let stood: number | undefined
      yield* LanguageModel.streamText({ prompt: "hi" }).pipe(
        Stream.runForEach((part) => {
          if (part.type !== "text-delta") return Effect.void
          length += part.delta.length
          return stood === undefined ? Effect.map(standing, (written) => void (stood = written)) : Effect.void
        }),
        Effect.provide(AiSdk.layer(providers(url)["openai-compatible"]))
      )
      assert.isBelow(stood!, total / 2)
      assert.strictEqual(length, total * piece.length)
    }), 30_000)

  describe.each(exporters)("a trace exported by $name", (exporter) => {
    it.effect("has the HTTP requests below their calls, and the address on both", () =>
      Effect.gen(function*() {
        const traceparents: Array<unknown> = []
        const mock = yield* modelServer((mock) => {
          mock.on({ userMessage: "trip", hasToolResult: false }, {
            toolCalls: [{ name: "weather", arguments: { city: "Oslo" }, id: "call_a" }]
          })
          mock.on({ userMessage: "trip", hasToolResult: true }, { content: "Go." })
        })
        const fetch = AiSdk.makeFetch((input, init) => {
          traceparents.push(new Headers(init?.headers).get("traceparent"))
          return globalThis.fetch(input, init)
        })
        const model = AiSdk.model(providers(mock.url, fetch)["openai chat"], { temperature: 0.2, maxOutputTokens: 50 })
        const [exit, exported] = yield* exporter.run(
          Agent.run(Agent.make("guide", { toolkit }), { prompt: "trip" }).pipe(Effect.provide([model, handlers]))
        )
        assert.isTrue(Exit.isSuccess(exit))
        // each with its parent, in the order in which they end
        assert.deepStrictEqual(lines(exported).map((line) => line.replace(/ \(.*?(?=( < |$))/, "")), [
          "POST < chat gpt-4o",
          "chat gpt-4o < invoke_agent guide",
          "execute_tool weather < invoke_agent guide",
          "POST < chat gpt-4o",
          "chat gpt-4o < invoke_agent guide",
          "invoke_agent guide"
        ])
        const { hostname, port } = new URL(mock.url)
        const request = exported.spans[0]
        assert.deepStrictEqual([request.kind, request.attributes as unknown], ["client", {
          "http.request.method": "POST",
          "url.full": `${mock.url}/v1/chat/completions`,
          "server.address": hostname,
          "server.port": Number(port),
          "http.response.status_code": 200
        }])
        assert.strictEqual(traceparents[0], `00-${request.traceId}-${request.id}-01`)
        const { attributes } = exported.spans[1]
        assert.deepInclude(attributes, {
          "gen_ai.provider.name": "openai",
          "gen_ai.request.model": "gpt-4o",
          "gen_ai.request.temperature": 0.2,
          "gen_ai.request.max_tokens": 50,
          "server.address": hostname,
          "server.port": Number(port)
        })
      }))

    it.effect("has a failed request as an error of its own and of its call", () =>
      Effect.gen(function*() {
        const mock = yield* modelServer((mock) =>
          void mock.onMessage("hi", { error: { message: "No", type: "x" }, status: 503 })
        )
        const [, exported] = yield* exporter.run(
          Effect.exit(Agent.run(agent, { prompt: "hi" })).pipe(
            Effect.provide(AiSdk.model(providers(mock.url, AiSdk.fetch)["anthropic"]))
          )
        )
        assert.deepStrictEqual(
          ["POST", "chat claude-sonnet-4-5"].map((name) => {
            const { attributes, status } = spanNamed(exported, name)
            return [status, attributes["error.type"], attributes["http.response.status_code"]]
          }),
          [["ERROR", "503", 503], ["ERROR", "InternalProviderError", undefined]]
        )
      }))

    it.effect("has the address of a server that nobody answered at", () =>
      Effect.gen(function*() {
        const url = yield* Effect.scoped(rawServer(() => {}))
        const [, exported] = yield* exporter.run(
          Effect.exit(Agent.run(agent, { prompt: "hi" })).pipe(
            Effect.provide(AiSdk.model(providers(url, AiSdk.fetch)["openai-compatible"]))
          )
        )
        const request = spanNamed(exported, "POST")
        assert.deepStrictEqual(
          [request.status, request.attributes["error.type"], request.attributes["server.port"]],
          ["ERROR", "TypeError", Number(new URL(url).port)]
        )
      }))

    it.effect("has a request that was cut short as cancelled", () =>
      Effect.gen(function*() {
        const { closed, opened, url } = yield* holding(undefined)
        const [, exported] = yield* exporter.run(Effect.gen(function*() {
          const fiber = yield* Agent.run(agent, { prompt: "hi" }).pipe(
            Effect.provide(AiSdk.model(providers(url, AiSdk.fetch)["openai-compatible"])),
            Effect.forkChild
          )
          yield* opened
          yield* Fiber.interrupt(fiber)
          yield* closed
        }))
        assert.deepStrictEqual(
          ["POST", "chat llama", "invoke_agent agent"].map((name) =>
            spanNamed(exported, name).attributes["error.type"]
          ),
          ["cancelled", "cancelled", "cancelled"]
        )
      }))
  })

  it.effect("the span of a call outside of an agent says what was asked and what came", () =>
    Effect.gen(function*() {
      const mock = yield* modelServer((mock) => {
        mock.onMessage("hi", {
          content: "Hi.",
          id: "chatcmpl-1",
          model: "gpt-4o-2024",
          usage: { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 }
        })
      })
      const layer = AiSdk.layer(providers(mock.url, AiSdk.fetch)["openai chat"], { topP: 0.5, seed: 7 })
      const expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.request.top_p": 0.5,
        "gen_ai.request.seed": 7,
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.model": "gpt-4o-2024",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
        "server.port": Number(new URL(mock.url).port)
      }
      const [, exported] = yield* exporters[0].run(
        Effect.andThen(
          Stream.runDrain(LanguageModel.streamText({ prompt: "hi" })),
          LanguageModel.generateText({ prompt: "hi" })
        ).pipe(Effect.provide(layer))
      )
      for (const name of ["LanguageModel.streamText", "LanguageModel.generateText"]) {
        const { attributes } = spanNamed(exported, name)
        assert.deepInclude(attributes, expected)
        assert.strictEqual(attributes["gen_ai.request.stream"], name === "LanguageModel.streamText" ? true : undefined)
      }
      assert.deepStrictEqual(
        exported.spans.filter(({ name }) => name === "POST").map(({ parentId }) => parentId),
        ["LanguageModel.streamText", "LanguageModel.generateText"].map((name) => spanNamed(exported, name).id)
      )
    }))

  it.effect("a fetch that is given a request of somebody else passes it on", () =>
    Effect.gen(function*() {
      const url = yield* rawServer((request, response) => response.end(String(request.headers["traceparent"])))
      const text = yield* Effect.promise(() => AiSdk.fetch(url).then((response) => response.text()))
      assert.strictEqual(text, "undefined")
    }))

  it.effect("without telemetry a run makes no span, and the outcome is the same", () =>
    Effect.gen(function*() {
      const mock = yield* modelServer((mock) => void mock.onMessage("hi", { content: "Hi." }))
      const exit = yield* Effect.exit(Agent.run(agent, { prompt: "hi" })).pipe(
        Effect.provide(AiSdk.model(providers(mock.url, AiSdk.fetch)["openai chat"])),
        Effect.withTracerEnabled(false)
      )
      const outcome = AgentRun.outcome(exit)
      assert.strictEqual(outcome._tag === "Completed" && outcome.result.text, "Hi.")
    }))
})
