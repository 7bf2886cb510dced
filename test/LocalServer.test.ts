/** A server that only its own machine may use, over real HTTP with every header that a request can make up. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Redacted } from "effect"
import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { createServer, request } from "node:http"
import { LocalServer } from "../src/server/index.ts"

const serve = (options?: LocalServer.Options) =>
  Effect.gen(function*() {
    const routes = Layer.mergeAll(
      HttpRouter.add("GET", "/", HttpServerResponse.text("hello")),
      LocalServer.layer(options)
    )
    const services = yield* Layer.build(
      HttpRouter.serve(routes, { disableListenLog: true, disableLogger: true }).pipe(
        Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
      )
    )
    const { port } = new URL(HttpServer.formatAddress(Context.get(services, HttpServer.HttpServer).address))
    // a browser does not let a page choose its host and its origin, but a name that resolves to this machine does
    const get = (headers: Record<string, string>, path = "/") =>
      Effect.callback<number>((resume) => {
        const sent = request({ port, host: "127.0.0.1", path, headers, agent: false }, (response) => {
          response.resume()
          resume(Effect.succeed(response.statusCode ?? 0))
        })
        sent.end()
      })
    return { get, port }
  })

const statuses = <E>(
  get: (headers: Record<string, string>) => Effect.Effect<number, E>,
  all: ReadonlyArray<Record<string, string>>
) => Effect.forEach(all, (headers) => get(headers))

describe("LocalServer", () => {
  it.live("answers requests for this machine, and no others", () =>
    Effect.gen(function*() {
      const { get, port } = yield* serve()
      assert.deepStrictEqual(
        yield* statuses(
          get,
          ["localhost", "LOCALHOST", `localhost:${port}`, "127.0.0.1:1", "[::1]:80"].map((host) => ({ host }))
        ),
        [200, 200, 200, 200, 200]
      )
      const others = [
        "example.com",
        "localhost.example.com",
        "127.0.0.1.nip.io",
        "localhost@example.com",
        "localhost/x",
        "localhost#x",
        "0.0.0.0",
        "169.254.169.254",
        " "
      ]
      assert.deepStrictEqual(yield* statuses(get, others.map((host) => ({ host }))), others.map(() => 421))
    }).pipe(Effect.scoped))

  it.live("answers no page of another origin, not even of another port", () =>
    Effect.gen(function*() {
      const { get, port } = yield* serve({ origins: ["http://localhost:5173"] })
      const host = `localhost:${port}`
      const origins = [
        [`http://localhost:${port}`, 200],
        ["http://localhost:5173", 200],
        ["http://localhost:1", 403],
        ["https://example.com", 403],
        [`http://127.0.0.1:${port}`, 403],
        ["null", 403],
        ["", 403]
      ] as const
      assert.deepStrictEqual(
        yield* statuses(get, origins.map(([origin]) => ({ host, origin }))),
        origins.map(([, status]) => status)
      )
    }).pipe(Effect.scoped))

  it.live("answers nobody without the token, also where there is no route", () =>
    Effect.gen(function*() {
      const { get } = yield* serve({ token: Redacted.make("t0ken"), hosts: ["agents.local"] })
      const host = "agents.local"
      const tokens = ["Bearer t0ken", "bearer t0ken", "Bearer t0ke", "Bearer t0kenn", "Bearer ", "Basic t0ken", "t0ken"]
      assert.deepStrictEqual(
        yield* statuses(get, tokens.map((authorization) => ({ host, authorization }))),
        [200, 200, 401, 401, 401, 401, 401]
      )
      assert.strictEqual(yield* get({ host }, "/other"), 401)
      const empty = yield* serve({ token: Redacted.make("") })
      assert.strictEqual(yield* empty.get({ host: "localhost", authorization: "Bearer " }), 401)
    }).pipe(Effect.scoped))

  it.live("lets a page of another origin ask first whether it may send the token, where `cors` answers that", () =>
    Effect.gen(function*() {
      const origin = "http://localhost:5173"
      const route = HttpRouter.add("POST", "/", HttpServerResponse.text("hello"))
      const cors = HttpRouter.cors({ allowedOrigins: [origin] })
      const local = LocalServer.layer({ token: Redacted.make("t0ken"), origins: [origin] })
      const orders = [Layer.mergeAll(route, cors, local), route.pipe(Layer.provide(local), Layer.provide(cors))]
      for (const routes of orders) {
        const { handler } = HttpRouter.toWebHandler(Layer.provide(routes, HttpServer.layerServices), {
          disableLogger: true
        })
        const send = (method: string, headers: Record<string, string>) =>
          Effect.map(
            Effect.promise(() =>
              handler(new Request("http://localhost/", { method, headers: { host: "localhost", origin, ...headers } }))
            ),
            ({ headers, status }) => [status, headers.get("access-control-allow-origin")]
          )
        const asks = { "access-control-request-method": "POST", "access-control-request-headers": "authorization" }
        assert.deepStrictEqual(yield* send("OPTIONS", asks), [204, origin])
        assert.deepStrictEqual(yield* send("POST", { authorization: "Bearer t0ken" }), [200, origin])
        assert.deepStrictEqual(yield* send("POST", {}), [401, origin])
      }
    }))
})
