import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Schema } from "effect"
import { EmbeddingModel, LanguageModel } from "effect/ai"
import { createOpenAI } from "@ai-sdk/openai"
import type { IncomingMessage } from "node:http"
import { AiSdk } from "../src/ai-sdk/index.ts"
import * as Secrets from "../src/ai-sdk/internal/secrets.ts"
import { key, providerNames, providers, rawServer } from "./fixtures/ai-sdk.ts"

describe("a key", () => {
  const base64 = (text: string) => Buffer.from(text).toString("base64")
  const forms: Readonly<Record<string, (key: string) => string>> = {
    "as it is": (key) => key,
    "in upper case": (key) => key.toUpperCase(),
    "in a URL": encodeURIComponent,
    "twice in a URL": (key) => encodeURIComponent(encodeURIComponent(key)),
    "in a form": (key) => String(new URLSearchParams({ key })),
    "in base64": base64,
    "in base64 for URLs": (key) => Buffer.from(key).toString("base64url"),
    "in base64 of a pair": (key) => base64(`u:${key}`),
    "in base64 of a longer pair": (key) => base64(`user:${key}`),
    "in base64 of a header": (key) => base64(`Bearer ${key}, and more`),
    "in JSON": (key) => JSON.stringify({ key }),
    "in JSON in JSON": (key) => JSON.stringify(JSON.stringify({ headers: { authorization: `Bearer ${key}` } })),
    "in PHP's JSON": (key) => JSON.stringify({ key }).replaceAll("/", "\\/"),
    "in a page": (key) => key.replaceAll("&", "&amp;").replaceAll("/", "&#x2F;").replaceAll("<", "&lt;"),
    "in hexadecimal": (key) => Buffer.from(key).toString("hex"),
    "its first half": (key) => `${key.slice(0, key.length / 2)}***`,
    "its second half": (key) => `...${key.slice(key.length / 2)}`,
    "in a header dump": (key) => JSON.stringify({ error: { request: { headers: { "x-api-key": key } } } }),
    "in a path": (key) => `GET https://example.com/v1/${encodeURIComponent(key)}/chat?key=${encodeURIComponent(key)}`
  }
  const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./+=&<:".split("")
  const Key = Schema.Array(Schema.Literals(letters)).check(Schema.isMinLength(16), Schema.isMaxLength(60))

  for (const [form, write] of Object.entries(forms)) {
    it.effect.prop(`is taken out: ${form}`, { letters: Arbitrary.schema(Key) }, ({ letters }) =>
      Effect.sync(() => {
        const secret = letters.join("")
        const text = `It begins ${write(secret)} and ends.`
        const out = Secrets.redact(text, [secret]).replaceAll("<redacted>", "")
        for (const seen of [secret, encodeURIComponent(secret), base64(secret).replaceAll("=", "")]) {
          for (let i = 0; i + 9 <= seen.length; i++) assert.notInclude(out, seen.slice(i, i + 9))
        }
        assert.match(out, /^It begins/)
      }))
  }

  const inBytes = (write: (byte: number) => string, between = "") => (key: string) =>
    Array.from(Buffer.from(key), write).join(between)
  const inHex = (byte: number) => byte.toString(16).padStart(2, "0")
  const spelled: Readonly<Record<string, (key: string) => string>> = {
    "each byte in a URL": inBytes((byte) => `%${inHex(byte)}`),
    "each byte in a URL, in upper case": inBytes((byte) => `%${inHex(byte).toUpperCase()}`),
    "each letter in JSON": inBytes((byte) => `\\u00${inHex(byte)}`),
    "each letter in a page": inBytes((byte) => `&#${byte};`),
    "each letter in a page, in hexadecimal": inBytes((byte) => `&#x${inHex(byte)};`),
    "in an escaped text": inBytes((byte) => `\\x${inHex(byte)}`),
    "as a buffer": (key) => JSON.stringify(Buffer.from(key).toJSON().data),
    "as an array": inBytes(String, ", "),
    "as a buffer that Node shows": inBytes(inHex, " ")
  }
  for (const [form, write] of Object.entries(spelled)) {
    it.effect.prop(
      `is taken out, spelled: ${form}`,
      { letters: Arbitrary.schema(Key) },
      ({ letters }) =>
        Effect.sync(() => {
          const secret = letters.join("")
          const out = Secrets.redact(`It begins ${write(secret)} and ends.`, [secret])
          assert.match(out, /^It begins/)
          for (let i = 0; i + 9 <= secret.length; i++) {
            assert.notInclude(out, write(secret.slice(i, i + 9)).slice(1, -1))
          }
        }),
      { arbitrary: { runs: 30 } }
    )
  }

  it("that was masked is taken out, whatever is left of it", () => {
    for (const text of ["Kq9z****cret", "Kq...et", "Kq9z…", "••••cret"]) {
      assert.strictEqual(Secrets.redact(`key ${text} no`, ["Kq9zT4711wxy-secret"]), "key <redacted> no", text)
    }
    for (const text of ["sk-...abcd", "sk-proj-abc****wxyz", "AbCd1234****"]) {
      assert.strictEqual(Secrets.redact(`key ${text} no`, []), "key <redacted> no", text)
    }
  })

  it("is not seen where there is none", () => {
    const text =
      "The model `gpt-4o-mini-2024-07-18` has a context of 128000 tokens... **Not** a *key*: x. See https://a.b/c?d=e"
    assert.strictEqual(Secrets.redact(text, ["Kq9zT4711wxy-secret", "short"]), text)
    const url = "https://example.com/v1beta/models/gemini-2.5-flash:streamGenerateContent"
    assert.strictEqual(Secrets.safeUrl(`${url}?key=x`), url)
    const model = "https://example.com/models/claude-sonnet-4-5-20250929/invoke"
    assert.strictEqual(Secrets.safeUrl(model), model)
    assert.strictEqual(
      Secrets.safeUrl("https://u:p@example.com/v1/3c59dc048e8850243be8079a5c74d079/gateway"),
      "https://example.com/v1/<redacted>/gateway"
    )
  })
})

describe("a redirect", () => {
  interface Seen {
    readonly method: string | undefined
    readonly url: string | undefined
    readonly headers: IncomingMessage["headers"]
    readonly body: string
  }

  const server = (
    seen: Array<Seen>,
    answer: (url: string) => { readonly status: number; readonly location?: string }
  ) =>
    rawServer((request, response) => {
      let body = ""
      request.on("data", (chunk) => body += chunk).on("end", () => {
        seen.push({ method: request.method, url: request.url, headers: request.headers, body })
        const { location, status } = answer(request.url!)
        response.writeHead(status, location === undefined ? {} : { location }).end("{}")
      })
    })

  for (const status of [301, 302, 303, 307, 308]) {
    it.effect(`to another origin is a failure, and nothing is sent there: ${status}`, () =>
      Effect.gen(function*() {
        const there: Array<Seen> = []
        const other = yield* server(there, () => ({ status: 500 }))
        const places = [`${other}/stolen`, other.replace("http://", "//"), `https://${new URL(other).host}/`, "data:,x"]
        for (const location of places) {
          const url = yield* server([], () => ({ status, location }))
          for (const name of providerNames) {
            const failure = yield* LanguageModel.generateText({ prompt: "my diary" }).pipe(
              Effect.flip,
              Effect.provide(AiSdk.layer(providers(url, AiSdk.fetch)[name]))
            )
            assert.deepInclude(failure.reason, { _tag: "NetworkError", reason: "InvalidUrlError" })
            assert.strictEqual(failure.isRetryable, false)
            assert.notInclude(JSON.stringify(failure), "stolen")
          }
        }
        assert.deepStrictEqual(there, [])
      }))

    it.effect(`to the same origin is followed: ${status}`, () =>
      Effect.gen(function*() {
        const seen: Array<Seen> = []
        const url = yield* server(seen, (path) =>
          path === "/moved" ? { status: 200 } : { status, location: path === "/v1/chat" ? "/on" : "/moved" })
        const response = yield* Effect.promise(() =>
          AiSdk.fetch(`${url}/v1/chat`, {
            method: "POST",
            headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
            body: "{\"a\":1}"
          })
        )
        assert.strictEqual(response.status, 200)
        const kept = status === 307 || status === 308
        assert.deepStrictEqual(
          seen.map(({ body, headers, method, url }) => [method, url, body, headers.authorization]),
          [
            ["POST", "/v1/chat", "{\"a\":1}", `Bearer ${key}`],
            [kept ? "POST" : "GET", "/on", kept ? "{\"a\":1}" : "", `Bearer ${key}`],
            [kept ? "POST" : "GET", "/moved", kept ? "{\"a\":1}" : "", `Bearer ${key}`]
          ]
        )
      }))
  }

  it.effect("is refused whoever makes the request, and however", () =>
    Effect.gen(function*() {
      const there: Array<Seen> = []
      const other = yield* server(there, () => ({ status: 200 }))
      const url = yield* server([], () => ({ status: 307, location: `${other}/stolen` }))
      const requests: ReadonlyArray<() => Promise<Response>> = [
        () => AiSdk.fetch(url, { headers: { "x-team": "blue" } }),
        () => AiSdk.fetch(url, { method: "POST", body: "my diary" }),
        () => AiSdk.fetch(`${url}/?api_key=abc`),
        () => AiSdk.fetch(new URL(url), { headers: [["authorization", "x"]] }),
        () => AiSdk.fetch(new Request(url, { method: "PUT", body: "my diary" })),
        () => AiSdk.fetch(new Request(url), { headers: { cookie: "a=b" } })
      ]
      for (const request of requests) {
        const failure = yield* Effect.flip(Effect.tryPromise({ try: request, catch: (reason) => ({ reason }) }))
        assert.deepInclude(failure.reason, { _tag: "NetworkError" })
      }
      const embedding = createOpenAI({ baseURL: `${url}/v1`, apiKey: key, fetch: AiSdk.fetch }).embedding("e")
      const failure = yield* Effect.flip(
        Effect.provide(
          Effect.flatMap(EmbeddingModel.EmbeddingModel, (model) => model.embed("my diary")),
          AiSdk.embeddingLayer(embedding)
        )
      )
      assert.deepInclude(failure.reason, { _tag: "NetworkError" })
      assert.deepStrictEqual(there, [])
      // there is nothing in it
      yield* Effect.promise(() => AiSdk.fetch(`${url}/picture.png`))
      assert.deepStrictEqual(there.map(({ headers, url }) => [url, headers.authorization]), [["/stolen", undefined]])
      const manual = yield* Effect.promise(() => AiSdk.fetch(url, { method: "POST", body: "x", redirect: "manual" }))
      assert.strictEqual(manual.status, 307)
    }))

  it.effect("that never ends is a failure", () =>
    Effect.gen(function*() {
      const seen: Array<Seen> = []
      const url = yield* server(seen, () => ({ status: 308, location: "/again" }))
      const failure = yield* Effect.flip(Effect.tryPromise(() => AiSdk.fetch(url, { method: "POST", body: "x" })))
      assert.include(String(failure.cause), "again and again")
      assert.strictEqual(seen.length, 21)
    }))
})
