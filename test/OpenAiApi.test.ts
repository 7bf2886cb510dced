/** Agents as models of the OpenAI API: chat completions and models, with the clients that people use. */
import { createOpenAI } from "@ai-sdk/openai"
import { createOpenAICompatible } from "@ai-sdk/openai-compatible"
import { assert, describe, it } from "@effect/vitest"
import { generateText, streamText } from "ai"
import { Effect, Fiber, Schema, Stream } from "effect"
import OpenAI from "openai"
import { Agent, AgentOutput, Middleware } from "../src/index.ts"
import { AiSdk } from "../src/ai-sdk/index.ts"
import { OpenAiApi } from "../src/server/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import * as EveryPart from "./fixtures/everyPart.ts"
import { serve } from "./fixtures/openAiServer.ts"

const say = (content: string) => ({ model: "assistant", messages: [{ role: "user" as const, content }] })

const failing = (request: Promise<unknown>): Effect.Effect<any> =>
  Effect.promise(() => request.then(() => assert.fail("it succeeds"), (error: unknown) => error))

const shown = ({ code, message, param, status, type }: InstanceType<typeof OpenAI.APIError>) => ({
  status,
  code,
  type,
  param,
  message
})

describe("OpenAiApi, chat completions", () => {
  it.live("an answer has the texts, the reasoning and the sources of a run, and its usage", () =>
    Effect.gen(function*() {
      const { client } = yield* serve()
      const ann = client()
      const create = (word: string) => Effect.promise(() => ann.chat.completions.create(say(word)))
      const { choices, created, id, usage, ...weather } = yield* create("weather")
      assert.match(id, /^chatcmpl-run_/)
      assert.isTrue(Number.isInteger(created) && Math.abs(Date.now() / 1000 - created) < 60)
      assert.deepStrictEqual(weather, { object: "chat.completion", model: "assistant" })
      assert.deepStrictEqual(choices, [{
        index: 0,
        message: {
          role: "assistant",
          content: "Let me look. \n\nDone.",
          refusal: null,
          reasoning_content: "look it up"
        },
        finish_reason: "stop",
        logprobs: null
      }] as never)
      assert.deepStrictEqual(usage, {
        prompt_tokens: 20,
        completion_tokens: 10,
        total_tokens: 30,
        prompt_tokens_details: { cached_tokens: 0 },
        completion_tokens_details: { reasoning_tokens: 0 }
      })
      const sources = yield* create("sources")
      assert.deepStrictEqual(sources.choices[0]!.message.annotations, [
        {
          type: "url_citation",
          url_citation: { start_index: 0, end_index: 0, title: "A", url: "https://example.com/a" }
        }
      ])
      // the agent that was called has used tokens too
      assert.strictEqual((yield* create("researches")).usage?.total_tokens, 45)
      assert.strictEqual((yield* create("is cut")).choices[0]!.finish_reason, "length")
    }).pipe(Effect.scoped))

  it.live("a streamed answer is the whole one, for every kind of run", () =>
    Effect.gen(function*() {
      const { client, outcomes } = yield* serve()
      const ann = client()
      for (const word of EveryPart.completing) {
        const whole = yield* Effect.promise(() => ann.chat.completions.create(say(word)))
        const streamed = yield* Effect.promise(() =>
          ann.chat.completions.stream({ ...say(word), stream_options: { include_usage: true } }).finalChatCompletion()
        )
        const [{ message, ...choice }] = streamed.choices as any
        const { parsed: _, reasoning_content: __, ...told } = message
        const { reasoning_content: ___, ...expected } = whole.choices[0]!.message as any
        assert.deepStrictEqual(told, expected, word)
        assert.deepStrictEqual(choice.finish_reason, whole.choices[0]!.finish_reason)
        assert.deepStrictEqual(streamed.usage, whole.usage)
      }
      assert.deepStrictEqual(new Set(outcomes), new Set(["Completed"]))
    }).pipe(Effect.scoped))

  it.live("the wire is data events, with the usage only if it is asked for, and [DONE]", () =>
    Effect.gen(function*() {
      const { post } = yield* serve()
      const lines = (body: object) =>
        Effect.gen(function*() {
          const response = yield* post("/chat/completions", { ...say("reasons"), stream: true, ...body })
          assert.strictEqual(response.headers.get("content-type"), "text/event-stream")
          assert.match(response.headers.get("x-request-id") ?? "", /^run_/)
          const text = yield* Effect.promise(() => response.text())
          assert.isTrue(text.endsWith("\n\ndata: [DONE]\n\n"))
          return text.split("\n\n").slice(0, -2).map((line) => JSON.parse(line.replace(/^data: /, "")))
        })
      const plain = yield* lines({})
      assert.deepStrictEqual(plain.map(({ choices: [{ delta, finish_reason }] }) => finish_reason ?? delta), [
        { role: "assistant", content: "" },
        { reasoning_content: "I think, " },
        { reasoning_content: "so" },
        { content: "I" },
        { content: " am" },
        "stop"
      ])
      assert.isTrue(plain.every((chunk) => !("usage" in chunk) && chunk.id === plain[0].id))
      const counted = yield* lines({ stream_options: { include_usage: true } })
      assert.deepStrictEqual(counted.map(({ choices, usage }) => [choices.length, usage?.total_tokens]), [
        ...plain.map(() => [1, undefined]),
        [0, 15]
      ])
    }).pipe(Effect.scoped))

  it.live("a run that fails is a status, or the error that ends the stream, and reveals nothing", () =>
    Effect.gen(function*() {
      const { client, outcomes, post } = yield* serve()
      const ann = client()
      const limited = {
        code: "rate_limit_exceeded",
        type: "rate_limit_error",
        param: null,
        message: "The model gets too many requests. Try again later."
      }
      const broken = { code: "server_error", type: "server_error", param: null, message: "Something went wrong." }
      for (
        const [word, status, failure, retry] of [
          ["fails", 429, limited, "true"],
          ["fails at once", 429, limited, "true"],
          ["dies", 500, broken, "false"]
        ] as const
      ) {
        const error = yield* failing(ann.chat.completions.create(say(word)))
        assert.instanceOf(error, status === 429 ? OpenAI.RateLimitError : OpenAI.InternalServerError)
        assert.deepStrictEqual(shown(error), { status, ...failure, message: `${status} ${failure.message}` })
        assert.strictEqual(error.headers.get("x-should-retry"), retry)
        const chunks: Array<string> = []
        const streamed = yield* failing(
          (async () => {
            for await (const chunk of await ann.chat.completions.create({ ...say(word), stream: true })) {
              chunks.push(chunk.choices[0]!.delta.content ?? "")
            }
          })()
        )
        assert.instanceOf(streamed, OpenAI.APIError)
        assert.deepStrictEqual(shown(streamed), { status: undefined, ...failure } as never)
        assert.strictEqual(chunks.join(""), word === "fails at once" ? "" : "in the middle")
        const raw = yield* Effect.flatMap(
          post("/chat/completions", { ...say(word), stream: true }),
          (response) => Effect.promise(() => response.text())
        )
        assert.isFalse(raw.includes(EveryPart.secret) || raw.includes("finish_reason\":\"stop"), raw)
      }
      assert.deepStrictEqual(outcomes, Array.from({ length: 9 }, () => "Failed"))
    }).pipe(Effect.scoped))

  it.live("a client that goes away interrupts its run at once, streamed or not", () =>
    Effect.gen(function*() {
      const { client, ended, outcomes, hub } = yield* serve()
      const ann = client()
      const timed = (leave: () => void) =>
        Effect.gen(function*() {
          const before = performance.now()
          leave()
          yield* ended
          assert.isBelow(performance.now() - before, 200)
        })
      const stream = yield* Effect.promise(() => ann.chat.completions.create({ ...say("hangs"), stream: true }))
      yield* Effect.promise(async () => {
        for await (const { choices } of stream) if (choices[0]!.delta.content === "middle") break
      })
      yield* timed(() => stream.controller.abort())
      const whole = yield* Effect.forkChild(
        Effect.promise((signal) => ann.chat.completions.create(say("hangs"), { signal })),
        { startImmediately: true }
      )
      yield* Effect.repeat(Effect.andThen(Effect.yieldNow, hub.running), { until: (runs) => runs.length === 1 })
      yield* timed(() => whole.interruptUnsafe())
      assert.deepStrictEqual(outcomes, ["Interrupted", "Interrupted"])
    }).pipe(Effect.scoped))

  it.live("a run that is stopped from elsewhere does not look like an answer", () =>
    Effect.gen(function*() {
      const { client, hub, outcomes } = yield* serve()
      const ann = client()
      const stream = yield* Effect.promise(() => ann.chat.completions.create({ ...say("hangs"), stream: true }))
      const run = Effect.runForkWith(yield* Effect.context<never>())
      const stop = () => run(Effect.flatMap(hub.running, Effect.forEach(({ stop }) => stop)))
      const error = yield* failing(
        (async () => {
          for await (const { choices } of stream) if (choices[0]!.delta.content === "middle") stop()
        })()
      )
      assert.deepStrictEqual([error.code, error.message], ["interrupted", "The run was stopped before it ended."])
      assert.deepStrictEqual(outcomes, ["Interrupted"])
    }).pipe(Effect.scoped))

  it.live("calls that need an approval are denied, or fail the completion", () =>
    Effect.gen(function*() {
      const denying = yield* serve()
      const asked = yield* Effect.promise(() => denying.client().chat.completions.create(say("removes")))
      assert.deepStrictEqual(asked.choices[0]!.message.content, "I remove it. \n\nDone.")
      assert.strictEqual(asked.usage?.total_tokens, 30)
      const failingServer = yield* serve({ approvals: "fail" })
      const error = yield* failing(failingServer.client().chat.completions.create(say("removes")))
      assert.deepStrictEqual(shown(error), {
        status: 422,
        code: "approval_required",
        type: "invalid_request_error",
        param: null,
        message: "422 The agent needs the approval of a person, which cannot be given here."
      })
      assert.deepStrictEqual([denying.done, failingServer.done], [[], []])
    }).pipe(Effect.scoped))

  it.live("a model that asks for approvals again and again ends with a failure", () =>
    Effect.gen(function*() {
      let calls = 0
      const stubborn = ScriptedModel.model(Array.from({ length: 100 }, () =>
        ScriptedModel.step(() => [
          ScriptedModel.toolCalls({ name: "remove_file", params: { file: "x" }, id: `again-${calls++}` })
        ])))
      const { client, done } = yield* serve({ agent: (agent) => Agent.provide(agent, stubborn) })
      const error = yield* failing(client().chat.completions.create(say("please")))
      assert.deepStrictEqual([error.status, error.code], [422, "approval_required"])
      assert.deepStrictEqual([calls, done], [9, []])
    }).pipe(Effect.scoped))

  it.live("a request that an agent cannot answer as it is asked is refused, and names the field", () =>
    Effect.gen(function*() {
      const { outcomes, post } = yield* serve()
      const user = { role: "user", content: "reasons" }
      const call = { id: "c1", type: "function", function: { name: "remove_file", arguments: "{}" } }
      const cases: ReadonlyArray<readonly [body: unknown, status: number, code: string | null, param: string | null]> =
        [
          ["{", 400, null, null],
          ["[]", 400, null, null],
          [{}, 400, "invalid_value", "model"],
          [{ model: "assistant" }, 400, "invalid_value", "messages"],
          [{ model: "assistant", messages: [] }, 400, "invalid_value", "messages"],
          [{ model: "nobody", messages: [user] }, 404, "model_not_found", "model"],
          [{ model: "__proto__", messages: [user] }, 404, "model_not_found", "model"],
          [{ ...say("x"), messages: [{ role: "wizard", content: "x" }] }, 400, "invalid_value", "messages[0]"],
          [
            { ...say("x"), messages: [user, { role: "user", content: 3 }] },
            400,
            "invalid_value",
            "messages[1].content"
          ],
          [{ ...say("x"), messages: [{ role: "user", content: "" }] }, 400, "invalid_prompt", null],
          [{ ...say("x"), messages: Array.from({ length: 2049 }, () => user) }, 400, "invalid_value", "messages"],
          [{ ...say("x"), n: 2 }, 400, "unsupported_parameter", "n"],
          [{ ...say("x"), stop: ["."] }, 400, "unsupported_parameter", "stop"],
          [
            { ...say("x"), tools: [{ type: "function", function: { name: "__proto__" } }] },
            400,
            "invalid_value",
            "tools[0].name"
          ],
          [{ ...say("x"), logprobs: true }, 400, "unsupported_parameter", "logprobs"],
          [{ ...say("x"), modalities: ["text", "audio"] }, 400, "unsupported_parameter", "modalities"],
          [{ ...say("x"), response_format: { type: "json_object" } }, 400, "unsupported_parameter", "response_format"],
          [{ ...say("x"), temperature: 3 }, 400, "invalid_value", "temperature"],
          [{ ...say("x"), max_tokens: 0 }, 400, "invalid_value", "max_tokens"],
          // what the agent has called is not for a client to say
          [
            { ...say("x"), messages: [user, { role: "assistant", tool_calls: [call] }] },
            400,
            null,
            "messages[1].tool_calls[0]"
          ],
          [
            { ...say("x"), messages: [user, { role: "tool", tool_call_id: "c1", content: "{}" }] },
            400,
            null,
            "messages[1]"
          ],
          [
            {
              ...say("x"),
              messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "file:///etc/passwd" } }] }]
            },
            400,
            "invalid_value",
            "messages[0].content"
          ],
          [
            { ...say("x"), messages: [{ role: "user", content: [{ type: "file", file: { file_id: "file-1" } }] }] },
            400,
            "unsupported_value",
            "messages[0].content[0].file"
          ]
        ]
      for (const [body, status, code, param] of cases) {
        const response = yield* post("/chat/completions", body)
        const { error } = (yield* Effect.promise(() => response.json())) as OpenAiApi.ErrorBody
        const about = JSON.stringify(body).slice(0, 200)
        assert.deepStrictEqual([response.status, error.code, error.param], [status, code, param], about + error.message)
        assert.strictEqual(error.type, "invalid_request_error")
        assert.isBelow(error.message.length, 600)
      }
      // only the empty prompt has begun a run
      assert.isBelow(outcomes.length, 2)
      for (
        const harmless of [
          {
            n: 1,
            logprobs: false,
            response_format: { type: "text" },
            stop: null,
            temperature: 1,
            max_tokens: 5,
            user: "u"
          },
          { modalities: ["text"], store: true, metadata: { a: "b" }, seed: 1, unheard_of: [1] }
        ]
      ) {
        assert.strictEqual((yield* post("/chat/completions", { ...say("reasons"), ...harmless })).status, 200)
      }
    }).pipe(Effect.scoped))

  it.live("bodies are bounded", () =>
    Effect.gen(function*() {
      const { post } = yield* serve({ maximumBody: "2 KiB" })
      const large = yield* post("/chat/completions", say("x".repeat(3000)))
      assert.strictEqual(large.status, 413)
      const deep = `{"model":"assistant","messages":${"[".repeat(600)}${"]".repeat(600)}}`
      assert.strictEqual((yield* post("/chat/completions", deep)).status, 400)
    }).pipe(Effect.scoped))

  it.live("a body that is not JSON is refused: a page of another origin can send any text", () =>
    Effect.gen(function*() {
      const { outcomes, post } = yield* serve()
      const statusOf = (path: string, type: string) =>
        Effect.map(
          post(path, { ...say("hello"), input: "hello" }, {
            headers: { authorization: "Bearer ann", "content-type": type }
          }),
          ({ status }) => status
        )
      for (const path of ["/chat/completions", "/responses"]) {
        for (const type of ["text/plain", "application/x-www-form-urlencoded", "text/plain; application/json"]) {
          assert.strictEqual(yield* statusOf(path, type), 415, type)
        }
      }
      assert.deepStrictEqual(outcomes, [])
      assert.strictEqual(yield* statusOf("/chat/completions", "Application/JSON; charset=utf-8"), 200)
    }).pipe(Effect.scoped))

  it.live("the model sees the conversation of the request, and system messages only where the server wants it", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const spy = Middleware.make("spy", {
        model: (request, next) => {
          seen.push(request.prompt.content.map(({ content, role }) => [
            role,
            typeof content === "string"
              ? content
              : content.map((part: any) => part.text ?? [part.mediaType, String(part.data)])
          ]))
          return next(request)
        }
      })
      const messages: Array<OpenAI.ChatCompletionMessageParam> = [
        { role: "system", content: "You are a pirate." },
        { role: "user", content: "one" },
        { role: "assistant", content: "two" },
        { role: "developer", content: [{ type: "text", text: "Say arr." }] },
        {
          role: "user",
          content: [
            { type: "text", text: "reasons" },
            { type: "image_url", image_url: { url: "https://example.com/a.png" } },
            { type: "image_url", image_url: { url: "data:image/png;base64,iVBORw0KGgo=" } },
            { type: "input_audio", input_audio: { data: "AAAA", format: "wav" } },
            { type: "file", file: { file_data: "data:application/pdf;base64,AAAA", filename: "d.pdf" } }
          ]
        }
      ]
      const talk = [
        ["user", ["one"]],
        ["assistant", ["two"]],
        ["user", [
          "reasons",
          ["image/*", "https://example.com/a.png"],
          ["image/png", "data:image/png;base64,iVBORw0KGgo="],
          ["audio/wav", "0,0,0"],
          ["application/pdf", "data:application/pdf;base64,AAAA"]
        ]]
      ]
      const agent = (agent: Agent.Any) => agent.withMiddleware(spy)
      const ignoring = yield* serve({ agent })
      yield* Effect.promise(() => ignoring.client().chat.completions.create({ model: "assistant", messages }))
      const appending = yield* serve({ agent, systemMessages: "append" })
      yield* Effect.promise(() => appending.client().chat.completions.create({ model: "other/agent", messages }))
      assert.deepStrictEqual(seen, [
        [["system", "Be brief."], ...talk],
        [["system", "Be brief.\n\nYou are a pirate.\n\nSay arr."], ...talk]
      ])
    }).pipe(Effect.scoped))

  it.live("sampling reaches the model where the server wants it", () =>
    Effect.gen(function*() {
      const seen: Array<OpenAiApi.Sampling> = []
      const { client } = yield* serve({
        settings: (sampling) => {
          seen.push(sampling)
          return AiSdk.settings({ temperature: sampling.temperature })
        }
      })
      yield* Effect.promise(() =>
        client().chat.completions.create({ ...say("reasons"), temperature: 0.5, stop: "x", max_tokens: 7, seed: 1 })
      )
      assert.deepStrictEqual(seen, [{
        temperature: 0.5,
        topP: undefined,
        maxOutputTokens: 7,
        presencePenalty: undefined,
        frequencyPenalty: undefined,
        seed: 1,
        stop: ["x"],
        reasoningEffort: undefined
      }])
    }).pipe(Effect.scoped))

  it.live("the value of an agent with an output is its answer", () =>
    Effect.gen(function*() {
      const output = AgentOutput.tool(
        Schema.Struct({ when: Schema.DateFromString, secret: Schema.optional(Schema.String) })
      )
      const planner = Agent.make("planner", { output })
      const model = ScriptedModel.layer([
        ScriptedModel.step((request) => [
          ScriptedModel.toolCalls({ name: request.tools[0]!, params: { when: "2026-11-29T00:00:00.000Z", more: 1 } })
        ])
      ])
      const parts = Agent.stream(planner, { prompt: "when?" })
      const told = yield* OpenAiApi.chatFromParts(parts, { id: "c", model: "planner", created: 0 }).pipe(
        Effect.provide(model)
      )
      assert.deepStrictEqual(
        "choices" in told ? told.choices[0]!.message.content : told,
        "{\"when\":\"2026-11-29T00:00:00.000Z\"}"
      )
    }))

  it.live("a quiet stream shows that it lives, and clients read on", () =>
    Effect.gen(function*() {
      const slow = ScriptedModel.model([
        [ScriptedModel.text("a"), ScriptedModel.delay("400 millis"), ScriptedModel.text("b")]
      ].flatMap((step) => [step, step]))
      const { client, post } = yield* serve({ keepAlive: "10 millis", agent: (agent) => Agent.provide(agent, slow) })
      const response = yield* post("/chat/completions", { ...say("x"), stream: true })
      const raw = yield* Effect.promise(() => response.text())
      assert.include(raw, ": keep-alive\n\n")
      const told = yield* Effect.promise(() => client().chat.completions.stream(say("x")).finalChatCompletion())
      assert.strictEqual(told.choices[0]!.message.content, "ab")
    }).pipe(Effect.scoped))

  it.live("the models are the agents, for those who have a key", () =>
    Effect.gen(function*() {
      const { client } = yield* serve()
      const { data } = yield* Effect.promise(() => client().models.list())
      assert.deepStrictEqual(data.map(({ id, object }) => [id, object]), [["assistant", "model"], [
        "other/agent",
        "model"
      ]])
      assert.strictEqual((yield* Effect.promise(() => client().models.retrieve("other/agent"))).id, "other/agent")
      const missing = yield* failing(client().models.retrieve("nobody"))
      assert.instanceOf(missing, OpenAI.NotFoundError)
      assert.deepStrictEqual(shown(missing), {
        status: 404,
        code: "model_not_found",
        type: "invalid_request_error",
        param: "model",
        message: "404 The model `nobody` does not exist or you do not have access to it."
      })
      const nobody = yield* failing(client("nobody").chat.completions.create(say("reasons")))
      assert.instanceOf(nobody, OpenAI.AuthenticationError)
      assert.strictEqual(nobody.code, "invalid_api_key")
    }).pipe(Effect.scoped))
})

describe("OpenAiApi, as a model of others", () => {
  it.live("the AI SDK reads chat completions, with both of its providers", () =>
    Effect.gen(function*() {
      const { url } = yield* serve()
      const options = { baseURL: `${url}/v1`, apiKey: "ann" }
      const compatible = createOpenAICompatible({ name: "agents", ...options, includeUsage: true })
      for (const model of [createOpenAI(options).chat("assistant"), compatible("assistant")]) {
        const whole = yield* Effect.promise(() => generateText({ model, prompt: "weather", maxRetries: 0 }))
        assert.deepStrictEqual([whole.text, whole.finishReason, whole.usage.totalTokens], [
          "Let me look. \n\nDone.",
          "stop",
          30
        ])
        const streamed = streamText({ model, prompt: "weather", maxRetries: 0 })
        assert.strictEqual(yield* Effect.promise(async () => await streamed.text), whole.text)
        assert.strictEqual(yield* Effect.promise(async () => (await streamed.usage).totalTokens), 30)
        const error = yield* failing(generateText({ model, prompt: "dies", maxRetries: 0 }))
        assert.deepStrictEqual([error.statusCode, error.message], [500, "Something went wrong."])
        const types: Array<string> = []
        const broken = streamText({ model, prompt: "dies", maxRetries: 0, onError: () => {} })
        yield* Effect.promise(async () => {
          for await (const part of broken.stream) types.push(part.type)
          assert.strictEqual(await broken.finishReason, "error")
        })
        assert.include(types, "error")
      }
    }).pipe(Effect.scoped))

  it.live("an agent is the model of an agent", () =>
    Effect.gen(function*() {
      const { ended, outcomes, url } = yield* serve()
      const { chat } = createOpenAI({ baseURL: `${url}/v1`, apiKey: "ann" })
      const outer = Agent.make("outer", { model: AiSdk.model(chat("assistant")), instructions: "Ask the other one." })
      const { stopReason, text, usage } = yield* Agent.run(outer, { prompt: "weather" })
      assert.deepStrictEqual([text, stopReason, usage.inputTokens.total, usage.outputTokens.total], [
        "Let me look. \n\nDone.",
        "stop",
        20,
        10
      ])
      const failed = yield* Effect.flip(Agent.run(outer, { prompt: "fails" }))
      assert.deepStrictEqual([failed._tag, failed.reason._tag], ["AiError", "RateLimitError"])
      // the interrupt goes through to the other agent
      const interrupted = yield* Effect.forkChild(ended, { startImmediately: true })
      yield* Agent.stream(outer, { prompt: "hangs" }).pipe(
        Stream.takeUntil((part) => part.type === "text-delta" && part.delta === "middle"),
        Stream.runDrain
      )
      yield* Fiber.join(interrupted)
      assert.deepStrictEqual(outcomes, ["Completed", "Failed", "Interrupted"])
    }).pipe(Effect.scoped))
})
