import { assert, describe, it } from "@effect/vitest"
import { Cause, Duration, Effect, Exit, Stream } from "effect"
import { type AiError, LanguageModel } from "effect/ai"
import type { IncomingMessage, ServerResponse } from "node:http"
import { AiSdk } from "../src/ai-sdk/index.ts"
import { Agent } from "../src/index.ts"
import { beginnings, key, modelServer, providerNames, providers, rawServer, sdkModel } from "./fixtures/ai-sdk.ts"

/** The failure of one call. */
const failureOf = (model: AiSdk.SdkLanguageModel, settings?: AiSdk.Settings, prompt = "hi") =>
  LanguageModel.streamText({ prompt }).pipe(
    Stream.runDrain,
    Effect.flip,
    Effect.provide(AiSdk.layer(model, settings))
  )

const generateFailureOf = (model: AiSdk.SdkLanguageModel, prompt = "hi") =>
  LanguageModel.generateText({ prompt }).pipe(Effect.flip, Effect.provide(AiSdk.layer(model)))

/** What matters to who catches an error. */
const summary = ({ isRetryable, reason, retryAfter }: AiError.AiError) => ({
  reason: reason._tag,
  isRetryable,
  ...(retryAfter === undefined ? undefined : { retryAfter: Duration.toMillis(retryAfter) })
})

const json = (
  status: number,
  body: unknown,
  headers: Record<string, string> = {}
) =>
(_request: IncomingMessage, response: ServerResponse) => {
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body))
}

/** The body of an error, as the API of a provider writes it. */
const bodies = {
  openai: (message: string, type: string, code: string | null = null, param: string | null = null) => ({
    error: { message, type, code, param }
  }),
  anthropic: (message: string, type: string) => ({ type: "error", error: { type, message }, request_id: "req_1" }),
  google: (message: string, code: number, status: string, details: ReadonlyArray<unknown> = []) => ({
    error: { code, message, status, details }
  })
}

describe("AiSdk errors", () => {
  describe("what a provider answers", () => {
    const cases: ReadonlyArray<
      readonly [
        name: string,
        provider: typeof providerNames[number],
        status: number,
        body: unknown,
        expected: object,
        headers?: Record<string, string>
      ]
    > = [
      ["a rate limit", "openai chat", 429, bodies.openai("Slow down", "requests", "rate_limit_exceeded"), {
        reason: "RateLimitError",
        isRetryable: true,
        retryAfter: 20_000
      }, { "retry-after": "20" }],
      ["a rate limit in milliseconds", "openai responses", 429, bodies.openai("Slow down", "tokens"), {
        reason: "RateLimitError",
        isRetryable: true,
        retryAfter: 1500
      }, { "retry-after-ms": "1500", "retry-after": "2" }],
      // the clock of a test stands at the beginning of time
      ["a rate limit until a date", "anthropic", 429, bodies.anthropic("Slow down", "rate_limit_error"), {
        reason: "RateLimitError",
        isRetryable: true,
        retryAfter: 90_000
      }, { "retry-after": new Date(90_000).toUTCString() }],
      [
        "a rate limit in the body",
        "google",
        429,
        bodies.google("Slow down", 429, "RESOURCE_EXHAUSTED", [
          { "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: "12.5s" }
        ]),
        { reason: "RateLimitError", isRetryable: true, retryAfter: 12_500 }
      ],
      ["a rate limit without a word of when", "openai-compatible", 429, bodies.openai("Slow down", "x"), {
        reason: "RateLimitError",
        isRetryable: true
      }],
      [
        "a spent quota",
        "openai chat",
        429,
        bodies.openai("You exceeded your quota", "insufficient_quota", "insufficient_quota"),
        {
          reason: "QuotaExhaustedError",
          isRetryable: false
        }
      ],
      [
        "an empty account",
        "anthropic",
        400,
        bodies.anthropic("Your credit balance is too low", "invalid_request_error"),
        {
          reason: "QuotaExhaustedError",
          isRetryable: false
        }
      ],
      ["a bill", "openai-compatible", 402, { error: "pay first" }, {
        reason: "QuotaExhaustedError",
        isRetryable: false
      }],
      [
        "a wrong key",
        "openai chat",
        401,
        bodies.openai("Incorrect API key", "invalid_request_error", "invalid_api_key"),
        {
          reason: "AuthenticationError",
          isRetryable: false
        }
      ],
      [
        "a wrong key",
        "google",
        400,
        bodies.google("API key not valid. Please pass a valid API key.", 400, "INVALID_ARGUMENT", [
          { "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason: "API_KEY_INVALID" }
        ]),
        { reason: "AuthenticationError", isRetryable: false }
      ],
      ["a key of somebody else", "anthropic", 403, bodies.anthropic("Not yours", "permission_error"), {
        reason: "AuthenticationError",
        isRetryable: false
      }],
      [
        "a prompt that is too long",
        "openai responses",
        400,
        bodies.openai(
          "Your input exceeds the context window",
          "invalid_request_error",
          "context_length_exceeded",
          "input"
        ),
        { reason: "InvalidRequestError", isRetryable: false }
      ],
      [
        "a prompt that is too long",
        "anthropic",
        400,
        bodies.anthropic("prompt is too long: 9 tokens > 8", "invalid_request_error"),
        {
          reason: "InvalidRequestError",
          isRetryable: false
        }
      ],
      [
        "a body that is too long",
        "anthropic",
        413,
        bodies.anthropic("Request exceeds the maximum size", "request_too_large"),
        {
          reason: "InvalidRequestError",
          isRetryable: false
        }
      ],
      [
        "a refused content",
        "openai chat",
        400,
        bodies.openai("Rejected", "image_generation_user_error", "content_policy_violation"),
        {
          reason: "ContentPolicyError",
          isRetryable: false
        }
      ],
      [
        "a model that is not there",
        "openai chat",
        404,
        bodies.openai("No model", "invalid_request_error", "model_not_found"),
        {
          reason: "InvalidRequestError",
          isRetryable: false
        }
      ],
      ["a setting that is wrong", "google", 400, bodies.google("Bad temperature", 400, "INVALID_ARGUMENT"), {
        reason: "InvalidRequestError",
        isRetryable: false
      }],
      ["a fault of its own", "openai chat", 500, bodies.openai("Oops", "server_error"), {
        reason: "InternalProviderError",
        isRetryable: true
      }],
      ["an overload", "anthropic", 529, bodies.anthropic("Overloaded", "overloaded_error"), {
        reason: "InternalProviderError",
        isRetryable: true
      }],
      ["an overload", "google", 503, bodies.google("The model is overloaded", 503, "UNAVAILABLE"), {
        reason: "InternalProviderError",
        isRetryable: true
      }],
      ["a timeout", "openai-compatible", 408, { error: { message: "too slow" } }, {
        reason: "InternalProviderError",
        isRetryable: true
      }]
    ]

    for (const [name, provider, status, body, expected, headers] of cases) {
      it.effect(`${name}: ${provider}, ${status}`, () =>
        Effect.gen(function*() {
          const url = yield* rawServer(json(status, body, headers))
          const model = providers(url)[provider]
          assert.deepStrictEqual(summary(yield* failureOf(model)), expected as any)
          assert.deepStrictEqual(summary(yield* generateFailureOf(model)), expected as any)
        }))
    }

    it.effect("keeps the provider's message, its code, the status and the id of the request", () =>
      Effect.gen(function*() {
        const url = yield* rawServer(
          json(
            400,
            bodies.openai("Unknown parameter: 'colour'.", "invalid_request_error", "unknown_parameter", "colour"),
            { "x-request-id": "req_7", "set-cookie": "session=1", "openai-organization": "acme" }
          )
        )
        const { reason } = yield* failureOf(providers(url)["openai chat"])
        assert.deepStrictEqual({ ...reason } as unknown, {
          "~effect/ai/AiError/Reason": "~effect/ai/AiError/Reason",
          _tag: "InvalidRequestError",
          parameter: "colour",
          description: "Unknown parameter: 'colour'.",
          metadata: { openai: { status: 400, code: "unknown_parameter", requestId: "req_7" } },
          http: { response: { status: 400, headers: { "content-type": "application/json", "x-request-id": "req_7" } } }
        })
      }))

    it.effect("keeps the message of a rate limit and of a quota, which have no description", () =>
      Effect.gen(function*() {
        const said = (status: number, code: string) =>
          Effect.flatMap(
            rawServer(json(status, bodies.openai("5 requests a minute, sk-abcdef123456", "x", code))),
            (url) =>
              Effect.map(failureOf(providers(url)["openai chat"]), ({ reason }) =>
                "metadata" in reason ? [reason._tag, reason.metadata["openai"]] : [])
          )
        const message = "5 requests a minute, <redacted>"
        assert.deepStrictEqual([yield* said(429, "a"), yield* said(429, "insufficient_quota")] as unknown, [
          ["RateLimitError", { status: 429, code: "a", message }],
          ["QuotaExhaustedError", { status: 429, code: "insufficient_quota", message }]
        ])
      }))

    it.effect("names the limit when a prompt is too long", () =>
      Effect.gen(function*() {
        const url = yield* rawServer(json(400, bodies.anthropic("prompt is too long: 9 > 8", "invalid_request_error")))
        const { reason } = yield* failureOf(providers(url).anthropic)
        assert.deepStrictEqual(
          reason._tag === "InvalidRequestError" && [reason.parameter, reason.constraint, reason.description],
          ["prompt", "context length", "prompt is too long: 9 > 8"]
        )
      }))

    it.effect("reads a page that is no JSON", () =>
      Effect.gen(function*() {
        const url = yield* rawServer((_request, response) => {
          response.writeHead(502, { "content-type": "text/html" }).end("<h1>Bad Gateway</h1>")
        })
        for (const name of providerNames) {
          assert.deepStrictEqual(summary(yield* failureOf(providers(url)[name])), {
            reason: "InternalProviderError",
            isRetryable: true
          })
        }
      }))
  })

  describe("what a provider says in the middle of its answer", () => {
    const begun = { type: "text-start", id: "1" }
    const cases: ReadonlyArray<readonly [name: string, error: unknown, expected: object]> = [
      ["an overload", { type: "error", error: { type: "overloaded_error", message: "Overloaded" } }, {
        reason: "InternalProviderError",
        isRetryable: true
      }],
      ["a rate limit", { message: "Slow down", code: "rate_limit_exceeded", type: "tokens" }, {
        reason: "RateLimitError",
        isRetryable: true
      }],
      ["a server error", { message: "Oops", type: "server_error", code: null }, {
        reason: "InternalProviderError",
        isRetryable: true
      }],
      ["a refused content", { message: "Flagged", code: "content_filter" }, {
        reason: "ContentPolicyError",
        isRetryable: false
      }],
      ["a status", { message: "Gone", statusCode: 503 }, { reason: "InternalProviderError", isRetryable: true }],
      ["a sentence", "it did not work", { reason: "UnknownError", isRetryable: false }],
      ["an error", new Error("it did not work"), { reason: "UnknownError", isRetryable: false }],
      ["nothing", null, { reason: "UnknownError", isRetryable: false }]
    ]
    for (const [name, error, expected] of cases) {
      it.effect(name, () =>
        Effect.gen(function*() {
          const seen: Array<string> = []
          const failure = yield* LanguageModel.streamText({ prompt: "hi" }).pipe(
            Stream.runForEach((part) => Effect.sync(() => seen.push(part.type))),
            Effect.flip,
            Effect.provide(AiSdk.layer(sdkModel([begun, { type: "error", error }, { type: "text-end", id: "1" }])))
          )
          assert.deepStrictEqual([seen, summary(failure)] as unknown, [["text-start"], expected])
        }))
    }

    it.effect("from the server of a real provider", () =>
      Effect.gen(function*() {
        const url = yield* rawServer((_request, response) => {
          response.writeHead(200, { "content-type": "text/event-stream" })
          response.write(
            "data: {\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"Hel\"}}]}\n\n"
          )
          response.end("data: {\"error\":{\"message\":\"The server is overloaded\",\"type\":\"overloaded_error\"}}\n\n")
        })
        for (const name of ["openai chat", "openai-compatible"] as const) {
          assert.deepStrictEqual(summary(yield* failureOf(providers(url)[name])), {
            reason: "InternalProviderError",
            isRetryable: true
          })
        }
      }))
  })

  describe("a connection", () => {
    it.effect("that cannot be made", () =>
      Effect.gen(function*() {
        // the server is gone when its scope is closed
        const url = yield* Effect.scoped(rawServer(() => {}))
        for (const name of providerNames) {
          const model = providers(url)[name]
          for (const failure of [yield* failureOf(model), yield* generateFailureOf(model)]) {
            assert.deepStrictEqual(summary(failure), { reason: "NetworkError", isRetryable: true })
            assert.include(failure.message, "ECONNREFUSED")
          }
        }
      }))

    it.effect("that breaks in the middle of an answer", () =>
      Effect.gen(function*() {
        const url = yield* rawServer((_request, response) => {
          response.writeHead(200, { "content-type": "text/event-stream" })
          response.write("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hel\"}}]}\n\n", () => {
            response.destroy()
          })
        })
        for (const name of ["openai chat", "openai-compatible"] as const) {
          assert.deepStrictEqual(summary(yield* failureOf(providers(url)[name])), {
            reason: "NetworkError",
            isRetryable: true
          })
        }
      }))

    // Each API has its own word for the end: none of them was said.
    const halves = beginnings("Hel", 7)
    for (const name of providerNames) {
      it.effect(`that ends politely before the answer does: ${name}`, () =>
        Effect.gen(function*() {
          const url = yield* rawServer((_request, response) => {
            response.writeHead(200, { "content-type": "text/event-stream" })
            response.end(halves[name].map((event) => `data: ${JSON.stringify(event)}\n\n`).join(""))
          })
          const exit = yield* Agent.run(Agent.make("a"), { prompt: "hi" }).pipe(
            Effect.exit,
            Effect.provide(AiSdk.layer(providers(url)[name]))
          )
          assert.isTrue(Exit.isFailure(exit))
          const failure = Exit.isFailure(exit) ? Cause.squash(exit.cause) as AiError.AiError : undefined
          assert.deepStrictEqual(failure && summary(failure), { reason: "NetworkError", isRetryable: true })
        }))
    }

    it.effect("that answers with what is no answer", () =>
      Effect.gen(function*() {
        const mock = yield* modelServer((mock) => {
          mock.onMessage("hi", { content: "x" }, { chaos: { malformedRate: 1 } })
        })
        for (const name of providerNames) {
          const model = providers(mock.url)[name]
          const expected = { reason: "InvalidResponseError", isRetryable: false }
          assert.deepStrictEqual(summary(yield* failureOf(model)), expected)
          assert.deepStrictEqual(summary(yield* generateFailureOf(model)), expected)
        }
      }))
  })

  describe("a call that cannot be made", () => {
    it.effect("for want of a key", () =>
      Effect.gen(function*() {
        const { createOpenAI } = yield* Effect.promise(() => import("@ai-sdk/openai"))
        const before = process.env["OPENAI_API_KEY"]
        delete process.env["OPENAI_API_KEY"]
        const failure = yield* failureOf(createOpenAI({ baseURL: "http://127.0.0.1:1" })("gpt-5")).pipe(
          Effect.ensuring(Effect.sync(() => {
            if (before !== undefined) process.env["OPENAI_API_KEY"] = before
          }))
        )
        const { reason } = failure
        assert.deepStrictEqual(reason._tag === "AuthenticationError" && reason.kind, "MissingKey")
        assert.include(failure.message, "OPENAI_API_KEY")
      }))

    it.effect("for a version of the specification that is not known", () =>
      Effect.gen(function*() {
        const model = sdkModel([], { version: "v2" as "v3" })
        for (const failure of [yield* failureOf(model), yield* generateFailureOf(model)]) {
          assert.strictEqual(
            failure.reason._tag === "InvalidRequestError" && failure.reason.description,
            "`acme-1` implements the specification `v2` of the AI SDK; use a version of its package that implements v4 or v3"
          )
        }
      }))

    it.effect("because the provider throws", () =>
      Effect.gen(function*() {
        const model = {
          ...sdkModel([]),
          doStream: () => {
            throw Object.assign(new Error("no video here"), { name: "AI_UnsupportedFunctionalityError" })
          }
        }
        assert.deepStrictEqual(summary(yield* failureOf(model)), { reason: "InvalidRequestError", isRetryable: false })
      }))
  })

  it.effect("an answer that is not of the specification is a failure, not a defect", () =>
    Effect.gen(function*() {
      const expected = { reason: "InvalidResponseError", isRetryable: false }
      for (const part of [null, { type: "custom" }]) {
        assert.deepStrictEqual(summary(yield* failureOf(sdkModel([part]))), expected)
      }
      const none = { ...sdkModel([]), doStream: () => Promise.resolve(undefined as any) }
      assert.deepStrictEqual(summary(yield* failureOf(none)), expected)
      for (const result of [null, {}, { content: [null] }]) {
        assert.deepStrictEqual(summary(yield* generateFailureOf(sdkModel([], { result }))), expected)
      }
    }))

  describe("a secret", () => {
    const stored = (failure: AiError.AiError) =>
      JSON.stringify([failure, failure.message, String(failure.stack), failure.reason.message])

    it.effect("is not kept when the provider repeats it", () =>
      Effect.gen(function*() {
        const echo = (request: IncomingMessage, response: ServerResponse) => {
          const { authorization, "x-team-secret": team } = request.headers
          json(
            401,
            bodies.openai(
              `Bad key ${authorization ?? request.headers["x-api-key"]} for ${team} and sk-proj-abcdef123456`,
              "x"
            ),
            {
              "x-ratelimit-key": "fine"
            }
          )(request, response)
        }
        const url = yield* rawServer(echo)
        for (const name of providerNames) {
          const failure = yield* failureOf(providers(url, AiSdk.fetch)[name], {
            headers: { "x-team-secret": "blue-42-blue" }
          })
          for (const secret of [key, "blue-42-blue", "abcdef123456"]) assert.notInclude(stored(failure), secret)
          assert.include(failure.message, "Bad key")
        }
      }))

    it.effect("of a header that the provider was made with is not kept without our fetch either", () =>
      Effect.gen(function*() {
        const url = yield* rawServer((request, response) => {
          json(
            401,
            bodies.openai(`Incorrect API key provided: ${String(request.headers.authorization).slice(7)}.`, "x")
          )(
            request,
            response
          )
        })
        assert.notInclude(stored(yield* failureOf(providers(url)["openai chat"])), key)
      }))

    it.effect("and the prompt are not in the error of a failed request", () =>
      Effect.gen(function*() {
        const url = yield* rawServer(json(400, bodies.openai("No.", "invalid_request_error")))
        for (const name of providerNames) {
          assert.notInclude(stored(yield* failureOf(providers(url)[name], {}, "my diary")), "diary")
        }
      }))
  })
})
