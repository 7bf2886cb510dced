/**
 * A server of Node for a handler of web requests, on this machine alone.
 *
 * @since 0.1.0
 */

import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { platform as platformOf } from "node:os"
import { Readable } from "node:stream"
import { pipeline } from "node:stream/promises"
import type { ReadableStream as NodeReadableStream } from "node:stream/web"

/**
 * @category constants
 * @since 0.1.0
 */
export const platform: string = platformOf()

/**
 * Listens on the loopback address until the scope closes, and returns the origin.
 *
 * @category constructors
 * @since 0.1.0
 */
export const listen = (
  handler: (request: Request) => Promise<Response>,
  port: number
): Effect.Effect<string, Error, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.callback<ReturnType<typeof createServer>, Error>((resume) => {
        const server = createServer((request, response) => {
          // a client that goes away is no failure
          Effect.runFork(Effect.ignoreCause(respond(handler, request, response)))
        })
        server.once("error", (error) => resume(Effect.fail(error)))
        server.listen(port, "127.0.0.1", () => resume(Effect.succeed(server)))
      }),
      (server) =>
        Effect.sync(() => {
          server.close()
          server.closeAllConnections()
        })
    ),
    (server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  )

const respond = Effect.fnUntraced(function*(
  handler: (request: Request) => Promise<Response>,
  request: IncomingMessage,
  response: ServerResponse
) {
  const { headers: { host = "" }, method = "GET", url = "/" } = request
  const headers = new Headers()
  for (let index = 0; index < request.rawHeaders.length; index += 2) {
    headers.append(request.rawHeaders[index]!, request.rawHeaders[index + 1]!)
  }
  const address = `http://${URL.canParse(`http://${host}`) ? host : "invalid"}${url.startsWith("/") ? url : "/"}`
  const init = { method, headers, signal: leavingOf(response), duplex: "half" }
  const body = method === "GET" || method === "HEAD" ? undefined : Readable.toWeb(request) as unknown as ReadableStream
  const answered = yield* Effect.promise(() =>
    handler(new Request(address, (body === undefined ? init : { ...init, body }) as RequestInit))
  )
  response.writeHead(answered.status, Object.fromEntries(answered.headers))
  const { body: said } = answered
  if (said === null) response.end()
  else yield* Effect.promise(() => pipeline(Readable.fromWeb(said as unknown as NodeReadableStream), response))
})

/** Aborts when the client goes away. */
const leavingOf = (response: ServerResponse): AbortSignal => {
  const leaving = new AbortController()
  response.once("close", () => leaving.abort())
  return leaving.signal
}
