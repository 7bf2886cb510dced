/**
 * Sees when a server says that its tools have changed. Effect's client reads no notifications, so they are seen where its
 * transports read them: in the responses of an `HttpClient`, and in the output of a process.
 *
 * @since 0.1.0
 */

import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Option from "effect/Option"
import * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/**
 * Returns the services of a transport, whose servers are listened to until the scope closes. `changed` is called for each
 * change, and may be called more often.
 *
 * @category combinators
 * @since 0.1.0
 */
export const watch = <R>(
  services: Context.Context<R>,
  changed: () => void
): Effect.Effect<Context.Context<R>, never, Scope.Scope> =>
  Effect.map(Effect.scope, (scope) => {
    const own: Context.Context<never> = services as Context.Context<unknown> as Context.Context<never>
    const client = Context.getOrUndefined(own, HttpClient.HttpClient)
    const spawner = Context.getOrUndefined(own, ChildProcessSpawner.ChildProcessSpawner)
    let watched: Context.Context<any> = services
    if (client !== undefined) {
      const http = new Listening(client, changed, scope)
      watched = Context.add(watched, HttpClient.HttpClient, http.client)
    }
    if (spawner !== undefined) {
      const spawn: typeof spawner.spawn = (command) =>
        Effect.map(spawner.spawn(command), (handle) =>
          ChildProcessSpawner.makeHandle({ ...handle, stdout: heard(handle.stdout, changed) }))
      watched = Context.add(
        watched,
        ChildProcessSpawner.ChildProcessSpawner,
        ChildProcessSpawner.make(spawn)
      )
    }
    return watched
  })

/** Within a text of JSON its quotes have backslashes, so that only a key and its value are found. */
const isChange = /"method"\s*:\s*"notifications\/tools\/list_changed"/

/** The longest part of it that may come in the bytes before. */
const overlap = 100

/** Hears a change in bytes that pass. */
const heard = <E, R>(bytes: Stream.Stream<Uint8Array, E, R>, changed: () => void): Stream.Stream<Uint8Array, E, R> =>
  Stream.suspend(() => {
    const decoder = new TextDecoder()
    let before = ""
    return Stream.mapArray(bytes, (chunks) => {
      for (const chunk of chunks) {
        const text = before + decoder.decode(chunk, { stream: true })
        const isHeard = isChange.test(text)
        before = isHeard ? "" : text.slice(-overlap)
        if (isHeard) changed()
      }
      return chunks
    })
  })

const decodeMetadata = Schema.decodeUnknownOption(
  Schema.fromJsonString(Schema.Struct({ params: Schema.Struct({ _meta: Schema.Unknown }) }))
)

/** The responses of a server, and what it says beside them. */
class Listening {
  readonly client: HttpClient.HttpClient
  private readonly own: HttpClient.HttpClient
  private readonly changed: () => void
  private readonly scope: Scope.Scope
  private isListening = false

  constructor(own: HttpClient.HttpClient, changed: () => void, scope: Scope.Scope) {
    this.own = own
    this.changed = changed
    this.scope = scope
    this.client = HttpClient.transformResponse(
      own,
      Effect.flatMap((response) => Effect.as(this.listen(response), this.hear(response)))
    )
  }

  private hear(response: HttpClientResponse.HttpClientResponse): HttpClientResponse.HttpClientResponse {
    return isEvents(response)
      ? Object.create(response, { stream: { value: heard(response.stream, this.changed) } })
      : response
  }

  /** A server with sessions is asked for its own stream, and one without them for a subscription. */
  private listen(response: HttpClientResponse.HttpClientResponse): Effect.Effect<void> {
    if (this.isListening || response.status >= 300) return Effect.void
    const { request } = response
    const session = response.headers["mcp-session-id"]
    const asked = session !== undefined
      ? HttpClientRequest.get(request.url, { headers: { ...headersOf(request), "mcp-session-id": session } })
      : subscription(request)
    if (asked === undefined) return Effect.void
    this.isListening = true
    const listening = Effect.flatMap(
      this.own.execute(asked),
      (response) =>
        response.status === 200 && isEvents(response)
          ? Effect.andThen(
            Stream.runDrain(heard(response.stream, this.changed)),
            // what comes after the end of the stream is not heard
            Effect.sync(this.changed)
          )
          : Effect.void
    )
    return Effect.asVoid(Effect.forkIn(Effect.ignore(Effect.scoped(listening)), this.scope))
  }
}

const isEvents = ({ headers }: HttpClientResponse.HttpClientResponse): boolean =>
  headers["content-type"]?.startsWith("text/event-stream") === true

const headersOf = ({ headers }: HttpClientRequest.HttpClientRequest): Record<string, string> => {
  const { "content-length": _length, "content-type": _type, ...rest } = headers
  return { ...rest, accept: "text/event-stream" }
}

const subscription = (
  request: HttpClientRequest.HttpClientRequest
): HttpClientRequest.HttpClientRequest | undefined => {
  const { body, headers } = request
  if (headers["mcp-method"] === undefined || body._tag !== "Uint8Array") return undefined
  const sent = Option.getOrUndefined(decodeMetadata(new TextDecoder().decode(body.body)))
  if (sent === undefined) return undefined
  const message = {
    jsonrpc: "2.0",
    id: "effect-agents/tools",
    method: "subscriptions/listen",
    params: { _meta: sent.params._meta, notifications: { toolsListChanged: true } }
  }
  const { "mcp-name": _name, ...own } = headersOf(request)
  return HttpClientRequest.post(request.url, {
    headers: { ...own, accept: "application/json, text/event-stream", "mcp-method": "subscriptions/listen" }
  }).pipe(HttpClientRequest.bodyText(JSON.stringify(message), "application/json"))
}
