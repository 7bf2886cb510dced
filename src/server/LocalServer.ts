/**
 * What a server on the machine of its user has to check, because every page that the user has open in a browser can send
 * it requests: the host that a request names, the origin that it comes from, and a token.
 *
 * A page of one of the `origins` needs the answers of `HttpRouter.cors` too. A browser asks without the token whether it
 * may send one, so `cors` has to look at a request first: `Layer.mergeAll(HttpRouter.cors(...), LocalServer.layer(...))`
 * in this order, or `Layer.provide(LocalServer.layer(...))` before `Layer.provide(HttpRouter.cors(...))`.
 *
 * **Example** (A server that only this machine may use)
 *
 * ```ts
 * import { Effect, Layer, Redacted } from "effect"
 * import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
 * import { LocalServer } from "effect-agents/server"
 *
 * const { handler } = HttpRouter.toWebHandler(
 *   HttpRouter.add("GET", "/", HttpServerResponse.text("hello")).pipe(
 *     Layer.provide(LocalServer.layer({ token: Redacted.make("t0ken") })),
 *     Layer.provide(HttpServer.layerServices)
 *   ),
 *   { disableLogger: true }
 * )
 *
 * const program = Effect.gen(function*() {
 *   const get = (url: string, headers: Record<string, string>) =>
 *     Effect.promise(() => handler(new Request(url, { headers })))
 *   const authorization = "Bearer t0ken"
 *   const answers = [
 *     yield* get("http://localhost:3000/", { host: "localhost:3000", authorization }),
 *     yield* get("http://evil.example/", { host: "evil.example", authorization }),
 *     yield* get("http://localhost:3000/", { host: "localhost:3000", origin: "https://evil.example", authorization }),
 *     yield* get("http://localhost:3000/", { host: "localhost:3000" })
 *   ]
 *   console.log(answers.map(({ status }) => status).join(" "))
 * })
 *
 * Effect.runPromise(program)
 * // => 200 421 403 401
 * ```
 *
 * @since 0.1.0
 */

import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import * as CrossSite from "./internal/crossSite.ts"
import * as Local from "./internal/local.ts"

/**
 * What is let through.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /**
   * The token that a request has to have, as `Authorization: Bearer`. Without one, every program on this machine may use
   * the server. Default: none.
   */
  readonly token?: Redacted.Redacted | undefined
  /** The names of hosts that a request may name beside `localhost` and the addresses of loopback. Default: none. */
  readonly hosts?: ReadonlyArray<string> | undefined
  /** The origins that a page may have beside that of the server itself, such as `http://localhost:5173`. Default: none. */
  readonly origins?: ReadonlyArray<string> | undefined
}

/**
 * Creates a layer that looks at every request of the router before its handler does. One for another host is answered with
 * 421, one of a page with another origin with 403, and one without the token with 401, each without a word more.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<never, never, HttpRouter.HttpRouter> =>
  HttpRouter.middleware(
    (handler) =>
      Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers }) => {
        const status = Local.refusal(headers, options)
        return status === undefined
          ? Effect.provideService(handler, CrossSite.LocalOrigins, options.origins ?? [])
          : Effect.succeed(HttpServerResponse.empty({ status }))
      }),
    { global: true }
  )
