/** What all wires refuse before an agent sees it: requests of other sites, bodies without end, and what is not valid. */
import { assert, describe, it } from "@effect/vitest"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Context, Effect, Layer, Random, Redacted, Schema } from "effect"
import { HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import { HttpApi, HttpApiBuilder, HttpApiMiddleware, HttpApiSecurity } from "effect/http-api"
import { RpcMiddleware, RpcSerialization } from "effect/rpc"
import { createServer } from "node:http"
import { A2aServer } from "../src/a2a/index.ts"
import { Agent, SessionHistory, SessionStore } from "../src/index.ts"
import { AgentApi, AgentHttp, AgentRpc, AgUi, LocalServer, OpenAiApi, RunHub, UiMessages } from "../src/server/index.ts"
import * as CrossSite from "../src/server/internal/crossSite.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"

// -----------------------------------------------------------------------------
// A server whose users have a login by cookie
// -----------------------------------------------------------------------------

const Cookie = HttpRouter.middleware<{ provides: AgentApi.Owner }>()((handler) =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ cookies: { login } }) =>
    login === undefined
      ? Effect.succeed(HttpServerResponse.empty({ status: 401 }))
      : Effect.provideService(handler, AgentApi.Owner, { id: login }))
)

class Unauthorized extends Schema.TaggedError<Unauthorized>()("Unauthorized", {}, { httpApiStatus: 401 }) {}

class HttpCookie extends HttpApiMiddleware.Service<HttpCookie, { provides: AgentApi.Owner }>()("test/HttpCookie", {
  security: { cookie: HttpApiSecurity.apiKey({ key: "login", in: "cookie" }) },
  error: Unauthorized
}) {
  static readonly layer = Layer.succeed(this, {
    cookie: (effect, { credential }) =>
      Effect.provideService(effect, AgentApi.Owner, { id: Redacted.value(credential) })
  })
}

class RpcCookie extends RpcMiddleware.Service<RpcCookie, { provides: AgentApi.Owner }>()("test/RpcCookie") {
  static readonly layer = Layer.succeed(
    this,
    (effect, { headers }) =>
      Effect.provideService(effect, AgentApi.Owner, { id: /login=(\w+)/.exec(headers.cookie ?? "")?.[1] ?? "nobody" })
  )
}

class Api extends HttpApi.make("agents").add(AgentApi.group("agent").middleware(HttpCookie)) {}

class Rpcs extends AgentRpc.group("agent").middleware(RpcCookie) {}

interface Options {
  readonly maximumBody?: number
  /** The origins that the server trusts, and those of its routes. */
  readonly trusted?: ReadonlyArray<string>
  readonly routesTrust?: ReadonlyArray<string>
  readonly local?: Layer.Layer<never, never, HttpRouter.HttpRouter>
  /** Whether runs end. Default: they work until somebody stops them. */
  readonly ends?: boolean
}

const trust = (origins?: ReadonlyArray<string>) =>
  origins === undefined ? Layer.empty : Layer.succeed(AgentApi.TrustedOrigins, origins)

const serve = ({ ends, local = Layer.empty, maximumBody, ...trusted }: Options = {}) =>
  Effect.gen(function*() {
    const agent = Agent.make("agent", { providers: [SessionHistory.provider] })
    const model = ScriptedModel.layer(
      Array.from(
        { length: ends ? 100 : 10 },
        () => ScriptedModel.step(() => [ScriptedModel.text("a"), ...ends ? [] : [ScriptedModel.hang]])
      )
    )
    const options = { whenLeft: "continue" } as const
    const http = HttpApiBuilder.group(
      Api,
      "agent",
      Effect.fn(function*(handlers) {
        return handlers.handleAll(yield* AgentHttp.handlers(agent, options))
      })
    ).pipe(Layer.provide([
      HttpCookie.layer,
      maximumBody === undefined ? Layer.empty : AgentHttp.layerBodyLimit(maximumBody)
    ]))
    const rpcs = Layer.merge(RpcCookie.layer, Rpcs.toLayer(AgentRpc.handlers("agent", agent, options)))
    const routes = Layer.mergeAll(
      UiMessages.layer(agent, { ...options, maximumBody }).pipe(Layer.provide(Cookie.layer)),
      OpenAiApi.layer({ agent }, { maximumBody }).pipe(Layer.provide(Cookie.layer)),
      AgUi.layer(agent, { maximumBody }).pipe(Layer.provide(Cookie.layer)),
      A2aServer.layer(agent, { maximumBody }).pipe(Layer.provide(Cookie.layer)),
      HttpApiBuilder.layer(Api).pipe(Layer.provide(http)),
      AgentRpc.layerHttp({ group: Rpcs, path: "/rpc", protocol: "http", maximumBody }).pipe(Layer.provide(rpcs)),
      AgentRpc.layerHttp({ group: Rpcs, path: "/socket", protocol: "websocket" }).pipe(Layer.provide(rpcs)),
      local
    ).pipe(Layer.provide(trust(trusted.routesTrust)))
    const services = yield* Layer.build(
      HttpRouter.serve(routes, { disableListenLog: true, disableLogger: true }).pipe(
        Layer.provide(trust(trusted.trusted)),
        Layer.provideMerge(Layer.mergeAll(
          RunHub.layer({ grace: 0 }),
          SessionStore.layerMemory,
          RpcSerialization.layerNdjson,
          model
        )),
        Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
      )
    )
    const url = HttpServer.formatAddress(Context.get(services, HttpServer.HttpServer).address)
    const send = (path: string, headers: Record<string, string>, body?: string, method = "POST") =>
      Effect.promise(async (signal) => {
        const response = await fetch(url + path, { method, headers, signal, ...(body !== undefined && { body }) })
        const text = await response.text()
        return { status: response.status, code: /"code":"([^"]*)"/.exec(text)?.[1], text }
      })
    const hub = Context.get(services, RunHub.RunHub)
    /** A run that works for ann until somebody stops it. */
    const begin = (session: string) =>
      Effect.gen(function*() {
        const input = { prompt: "hi", session: `ann/${session}` }
        return yield* Effect.provide(hub.start(agent, input, { owner: "ann" }), services)
      })
    return { url, send, hub, begin }
  })

const rpc = (procedure: string, payload: unknown, headers: ReadonlyArray<readonly [string, string]> = []) =>
  `${JSON.stringify({ _tag: "Request", id: "1", tag: `agent.${procedure}`, payload, headers })}\n`

/** What a WebSocket with these headers answers that asks for the end of a run. */
const ask = (url: string, runId: string, headers: Record<string, string>) =>
  Effect.callback<string>((resume) => {
    // the browser adds them
    const socket = new WebSocket(`${url.replace("http", "ws")}/socket`, { headers } as never)
    socket.binaryType = "arraybuffer"
    socket.onopen = () => socket.send(rpc("stop", { runId }))
    socket.onmessage = ({ data }) => {
      resume(Effect.succeed(typeof data === "string" ? data : new TextDecoder().decode(data)))
      // a server that stops waits for it
      socket.close()
    }
    socket.onerror = () => resume(Effect.succeed("closed"))
    return Effect.sync(() => socket.close())
  })

/** What browsers add to a `fetch` without CORS, and to a form, of a page of another site, and a login by cookie. */
const foreign = { cookie: "login=ann", origin: "https://evil.example", "sec-fetch-site": "cross-site" }

describe("requests of other sites", () => {
  it("are those that a browser sends without asking the server, from a page of another origin", () => {
    const host = "agents.example"
    const refused: ReadonlyArray<Record<string, string>> = [
      { "sec-fetch-site": "cross-site" },
      { "sec-fetch-site": "same-site" },
      { origin: "https://evil.example" },
      { origin: "https://agents.example.evil.example" },
      { origin: "https://agents.example:8443" },
      { origin: "null" },
      { origin: "" },
      { ...foreign, "content-type": "text/plain" },
      { ...foreign, "content-type": "text/plain;application/json" },
      { ...foreign, "content-type": "application/x-www-form-urlencoded" },
      { ...foreign, "content-type": "multipart/form-data; boundary=application/json" },
      { ...foreign, "content-type": "text/ping" },
      { ...foreign, "content-type": "application/csp-report" },
      { ...foreign, "content-type": "" },
      { ...foreign, authorization: "Basic YW5uOmFubg==" },
      { ...foreign, authorization: "Negotiate YW5u" },
      { ...foreign, authorization: "" },
      { ...foreign, "x-forwarded-host": "evil.example" },
      { origin: "https://evil.example", "x-forwarded-host": "agents.example, proxy.example" },
      { origin: "https://agents.example.", host: "" },
      { origin: "https://agents.example", host: "agents.example:80" }
    ]
    const accepted: ReadonlyArray<Record<string, string>> = [
      {},
      { cookie: "login=ann" },
      { "sec-fetch-site": "same-origin", origin: "https://agents.example" },
      { "sec-fetch-site": "none" },
      // a proxy may give the server another name than the page has
      { "sec-fetch-site": "same-origin", origin: "https://public.example" },
      { origin: "https://agents.example" },
      { ...foreign, "content-type": "application/json" },
      { ...foreign, "content-type": "application/json; charset=utf-8" },
      { ...foreign, "content-type": "application/a2a+json" },
      { ...foreign, authorization: "Bearer ann" },
      { ...foreign, authorization: "DPoP ann" },
      // what the clients of Rpc send: a browser asks before these, too
      ...[
        RpcSerialization.json.contentType,
        RpcSerialization.ndjson.contentType,
        RpcSerialization.jsonRpc().contentType,
        "application/vnd.effect.rpc+schema-binary"
      ].map((type) => ({ ...foreign, "content-type": type })),
      // a proxy that tells the name that the page knows, also without TLS, where browsers say less
      { origin: "https://public.example", "x-forwarded-host": "public.example" },
      { origin: "http://public.example", "x-forwarded-host": "proxy.example, PUBLIC.example:80" },
      { origin: "https://agents.example", host: "agents.example:443" },
      { origin: "https://[::1]:3000", host: "[::1]:3000" },
      { ...foreign, "x-requested-with": "fetch" }
    ]
    for (const headers of refused) {
      assert.isTrue(CrossSite.isForged({ method: "POST", headers: { host, ...headers } }), JSON.stringify(headers))
    }
    for (const headers of accepted) {
      assert.isFalse(CrossSite.isForged({ method: "POST", headers: { host, ...headers } }), JSON.stringify(headers))
    }
    // these change nothing, or a browser asks before
    for (const method of ["GET", "HEAD", "OPTIONS", "DELETE", "PATCH", "PUT"]) {
      assert.isFalse(CrossSite.isForged({ method, headers: { host, ...foreign } }), method)
    }
    const upgrade = { host, upgrade: "WebSocket" }
    assert.isTrue(CrossSite.isForged({ method: "GET", headers: { ...upgrade, ...foreign } }))
    assert.isFalse(CrossSite.isForged({ method: "GET", headers: { ...upgrade, cookie: "login=ann" } }))
    assert.isFalse(CrossSite.isForged({ method: "GET", headers: { ...upgrade, origin: foreign.origin } }))
    const trusted = ["https://app.example"]
    const ofApp = { ...foreign, "sec-fetch-site": "same-site", origin: "https://app.example" }
    for (const request of [{ method: "POST", headers: ofApp }, { method: "GET", headers: { ...upgrade, ...ofApp } }]) {
      assert.isTrue(CrossSite.isForged(request))
      assert.isFalse(CrossSite.isForged(request, trusted))
      for (const origin of [undefined, "null", "https://app.example.evil.example", "https://app.example:8443"]) {
        assert.isTrue(
          CrossSite.isForged({ ...request, headers: { ...request.headers, origin } }, trusted),
          String(origin)
        )
      }
    }
  })

  const ways = [
    ["/api/chat/chat/stop", "cross-site", () => undefined],
    ["/agents/agent/runs/:run/stop", "cross-site", () => undefined],
    ["/v1/responses/:run/cancel", "cross_site", () => undefined],
    // a text that is sent by any page may have headers in it
    ["/rpc", "cross-site", (runId: string) => rpc("stop", { runId }, [["sec-fetch-site", "same-origin"]])]
  ] as const

  it.live("stop nothing, on every wire, and those of the own page do", () =>
    Effect.gen(function*() {
      const { begin, hub, send, url } = yield* serve()
      const own = { cookie: "login=ann", origin: url, "sec-fetch-site": "same-origin" }
      for (const [path, code, body] of ways) {
        const { runId } = yield* begin("chat")
        const at = path.replace(":run", path.startsWith("/v1") ? `resp_${runId}` : runId)
        const refused = yield* send(at, { ...foreign, "content-type": "text/plain" }, body(runId))
        assert.deepStrictEqual([refused.status, refused.code], [path === "/rpc" ? 200 : 403, code], path)
        assert.deepStrictEqual((yield* hub.running).map((live) => live.runId), [runId], path)
        const accepted = yield* send(at, own, body(runId))
        assert.notInclude(accepted.text, "cross", path)
        if (!path.startsWith("/v1")) assert.deepStrictEqual(yield* hub.running, [], path)
        yield* hub.stopSession("ann/chat")
      }
    }).pipe(Effect.scoped))

  it.live("open no WebSocket that does anything", () =>
    Effect.gen(function*() {
      const { begin, hub, url } = yield* serve()
      const { runId } = yield* begin("chat")
      const { origin, cookie } = foreign
      assert.include(yield* ask(url, runId, { origin, cookie }), "cross-site")
      assert.lengthOf(yield* hub.running, 1)
      assert.include(yield* ask(url, runId, { origin: url, cookie }), "Success")
      assert.deepStrictEqual(yield* hub.running, [])
    }).pipe(Effect.scoped))

  for (
    const [name, options] of [
      ["the server trusts", { trusted: ["https://app.example"] }],
      ["its routes trust", { trusted: [], routesTrust: ["https://app.example"] }],
      ["a local server lets through", { trusted: [], local: LocalServer.layer({ origins: ["https://app.example"] }) }]
    ] as const
  ) {
    it.live(`of an origin that ${name} are answered, on every wire`, () =>
      Effect.gen(function*() {
        const { begin, hub, send, url } = yield* serve(options)
        const { cookie } = foreign
        const app = { cookie, origin: "https://app.example", "sec-fetch-site": "same-site" }
        for (const [path, , body] of ways) {
          const { runId } = yield* begin("chat")
          const at = path.replace(":run", path.startsWith("/v1") ? `resp_${runId}` : runId)
          const { status, text } = yield* send(
            at,
            { ...app, ...path === "/rpc" && { "content-type": "text/plain" } },
            body(runId)
          )
          assert.notInclude(text, "cross", path)
          if (!path.startsWith("/v1")) assert.deepStrictEqual([status < 300, yield* hub.running], [true, []], path)
          yield* hub.stopSession("ann/chat")
        }
        const { runId } = yield* begin("chat")
        const evil = { cookie, origin: "https://app.example.evil.example" }
        assert.notInclude(yield* ask(url, runId, evil), "Success")
        assert.lengthOf(yield* hub.running, 1)
        assert.include(yield* ask(url, runId, { cookie, origin: app.origin }), "Success")
        assert.deepStrictEqual(yield* hub.running, [])
      }).pipe(Effect.scoped))
  }
})

const strange: ReadonlyArray<unknown> = [
  null,
  true,
  -1,
  1.5,
  1e300,
  "",
  " ",
  "\u0000",
  "\ud800",
  "x".repeat(10_000),
  "../../../etc/passwd",
  [],
  [[]],
  {},
  JSON.parse("{\"__proto__\": {\"toString\": 1}, \"constructor\": null, \"toJSON\": 1}"),
  "<deep>"
]

/** Returns the JSON of a body with one strange value, without one of its fields, or with something else in its text. */
const change = (body: string) =>
  Effect.gen(function*() {
    const below = (length: number) => Effect.map(Random.next, (next) => Math.floor(next * length))
    const value = strange[yield* below(strange.length)]
    const kind = yield* below(8)
    if (kind === 0) return body.slice(0, yield* below(body.length))
    if (kind === 1) return body.replaceAll(/[0-9]/g, "\u2028")
    const whole = { body: JSON.parse(body) }
    const places: Array<readonly [any, string]> = []
    const walk = (parent: any): void => {
      for (const [key, child] of Object.entries(parent)) {
        places.push([parent, key])
        if (typeof child === "object" && child !== null) walk(child)
      }
    }
    walk(whole)
    const [parent, key] = places[yield* below(places.length)]
    if (kind === 2 && parent !== whole) delete parent[key]
    else if (kind === 3) parent[key] = [parent[key], value]
    else if (kind === 4) parent[key] = { [key]: parent[key], more: value }
    else parent[key] = value
    return `${JSON.stringify(whole.body).replaceAll("\"<deep>\"", `${"[".repeat(5000)}${"]".repeat(5000)}`)}\n`
  })

describe("bodies", () => {
  const json = { cookie: "login=ann", "content-type": "application/json" }
  const bodies = (text: string, index = 0) =>
    [
      [
        "/api/chat",
        JSON.stringify({ id: `c${index}`, message: { id: "m", role: "user", parts: [{ type: "text", text }] } })
      ],
      ["/agents/agent/runs", JSON.stringify({ prompt: text })],
      ["/agents/agent/sessions/s/fork", JSON.stringify({ to: "x", text })],
      ["/v1/chat/completions", JSON.stringify({ model: "agent", messages: [{ role: "user", content: text }] })],
      ["/v1/responses", JSON.stringify({ model: "agent", input: text })],
      ["/rpc", rpc("steer", { runId: "none", message: text })],
      [
        "/ag-ui",
        JSON.stringify({
          threadId: "t",
          runId: `run-${index}-of-a-page`,
          messages: [{ id: "m", role: "user", content: text }],
          tools: [],
          context: [],
          state: {},
          forwardedProps: {}
        })
      ],
      [
        "/agents/agent/a2a",
        JSON.stringify({
          jsonrpc: "2.0",
          id: 1,
          method: "SendMessage",
          params: { message: { messageId: "1", role: "ROLE_USER", parts: [{ text }] } }
        })
      ]
    ] as const

  it.live("are bounded on every wire, by 20 MiB where nobody says how much", () =>
    Effect.gen(function*() {
      const bounded = yield* serve({ maximumBody: 1000 })
      for (const [path, body] of bodies("x".repeat(1000))) {
        const { code, status, text } = yield* bounded.send(path, json, body)
        assert.strictEqual(status, 413, path)
        // what is no message of JSON-RPC has an empty answer
        if (path.endsWith("a2a")) continue
        assert.strictEqual(code, path.startsWith("/v1") ? undefined : "request-too-large", path)
        assert.match(text, /too large/, path)
      }
      const { hub, send } = yield* serve()
      // it is refused by its size, before anybody looks at it
      const huge = "x".repeat(20 * 1024 * 1024 + 1)
      for (const path of ["/agents/agent/runs", "/rpc"]) {
        const { code, status } = yield* send(path, json, huge)
        assert.deepStrictEqual([status, code], [413, "request-too-large"], path)
      }
      assert.deepStrictEqual(yield* hub.running, [])
    }).pipe(Effect.scoped))

  it.live("that are not valid are refused with what is wrong, and nothing else", () =>
    Effect.gen(function*() {
      const { send } = yield* serve()
      const secret = "s3cret"
      const runs = "/agents/agent/runs"
      for (
        const [path, body, status, told] of [
          [runs, "{", 400, "JSON"],
          [runs, "", 400, "The request is not valid."],
          [runs, "null", 400, "The request is not valid."],
          [runs, JSON.stringify({ prompt: 5 }), 400, "prompt"],
          [runs, JSON.stringify({ prompt: "a", runId: "x" }), 400, "runId"],
          [runs, JSON.stringify({ prompt: [{ type: "file", mediaType: "x", data: "y" }] }), 400, "prompt.0"],
          [runs, JSON.stringify({ prompt: { [secret]: "x".repeat(100_000) } }), 400, "prompt"],
          ["/agents/agent/sessions/s/answers", JSON.stringify({ answers: [] }), 400, "answers"],
          ["/agents/agent/sessions/s/answers", JSON.stringify({ answers: [{ approvalId: 1 }] }), 400, "approvalId"]
        ] as const
      ) {
        const refused = yield* send(path, json, body)
        assert.deepStrictEqual([refused.status, refused.code], [status, "invalid-request"], body.slice(0, 100))
        const { _tag, message, ...rest } = JSON.parse(refused.text)
        assert.deepStrictEqual([_tag, rest], ["RunFailed", { code: "invalid-request", retryable: false, status }])
        assert.include(message, told)
        assert.isBelow(message.length, 1200)
        assert.notMatch(message, /\/src\/|node_modules|at .*:\d+/)
      }
      const text = yield* send(runs, { ...json, "content-type": "text/plain" }, "hi")
      assert.deepStrictEqual([text.status, text.code], [415, "invalid-request"])
      const query = yield* send(`${runs}/none?after=x`, json, undefined, "GET")
      assert.deepStrictEqual([query.status, query.code], [400, "invalid-request"])

      for (
        const [procedure, payload, told] of [
          ["run", { prompt: 5 }, "prompt"],
          ["run", null, "The request is not valid."],
          ["run", undefined, "The request is not valid."],
          ["run", { prompt: "a", keep: "for ever" }, "keep"],
          ["answer", { session: "s", answers: [] }, "answers"],
          ["join", { runId: "x", after: -7 }, "after"],
          ["stop", {}, "runId"],
          ["steer", { runId: "x", message: "" }, "message"],
          ["sessions", { limit: 0 }, "limit"],
          ["session", { session: "" }, "session"],
          ["rename", { session: "s" }, "title"],
          ["fork", { session: "s", to: 1 }, "to"],
          ["forget", [], "The request is not valid."]
        ] as const
      ) {
        const { text } = yield* send("/rpc", json, rpc(procedure, payload))
        const { cause } = JSON.parse(text).exit
        assert.deepStrictEqual([cause[0]._tag, cause[0].error?.code, cause[0].error?.status], [
          "Fail",
          "invalid-request",
          400
        ], text)
        assert.include(cause[0].error.message, told)
      }
    }).pipe(Effect.scoped))

  it.live("that were changed anywhere end no request with a failure of the server, and tell nothing about it", () =>
    Effect.gen(function*() {
      const { hub, send } = yield* serve({ ends: true })
      const tries = Array.from({ length: 12 }, (_, index) => bodies("hi", index)).flat()
      yield* Effect.forEach(
        tries,
        ([path, body]) =>
          Effect.gen(function*() {
            const changed = yield* change(body)
            const { status, text } = yield* send(path, { ...json, "a2a-version": "1.0" }, changed)
            assert.isBelow(status, 500, `${path} ${changed.slice(0, 300)}: ${text}`)
            assert.notMatch(text, /node_modules|\.[jt]s:\d|"internal/, `${path} ${changed.slice(0, 300)}`)
          }),
        { concurrency: 8 }
      )
      yield* Effect.eventually(Effect.filterOrFail(hub.running, ({ length }) => length === 0))
    }).pipe(Effect.scoped, Random.withSeed("refusals")))
})
