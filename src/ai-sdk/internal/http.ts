/**
 * The HTTP requests of a model call.
 *
 * A provider receives an abort signal with every call, and passes it on to `fetch`. The signal identifies the call of a
 * request.
 *
 * @since 0.1.0
 */

import * as AiError from "effect/ai/AiError"
import * as Context from "effect/Context"
import * as HttpTraceContext from "effect/http/HttpTraceContext"
import * as Tracer from "effect/Tracer"
import * as Spans from "../../internal/telemetry/span.ts"
import * as Secrets from "./secrets.ts"

/**
 * A call of a model, from the view of its requests.
 *
 * @category models
 * @since 0.1.0
 */
export class Call {
  /** Values of headers that must not be shown in an error. */
  readonly secrets = new Set<string>()
  /** The address of the last request. */
  url: string | undefined = undefined
  private readonly context: Context.Context<never>
  private readonly span: Tracer.Span

  constructor(context: Context.Context<never>, span: Tracer.Span, headers?: Readonly<Record<string, string>>) {
    this.context = context
    this.span = span
    if (headers !== undefined) this.addSecrets(Secrets.ofHeaders(headers))
  }

  /** Begins the span of a request, and writes the address on the span of the call. */
  startRequest(method: string, url: URL, headers: Headers): Tracer.Span | undefined {
    this.addSecrets(Secrets.ofHeaders(Object.fromEntries(headers)))
    this.addSecrets(Secrets.ofUrl(url))
    this.setAddress(url)
    const span = Spans.start(Context.add(this.context, Tracer.ParentSpan, this.span), method, "client", {
      "http.request.method": method,
      "url.full": Secrets.safeUrl(url.href, this.secrets),
      ...address(url)
    })
    if (span !== undefined) {
      const { traceparent } = HttpTraceContext.toHeaders(span)
      if (traceparent !== undefined && !headers.has("traceparent")) headers.set("traceparent", traceparent)
    }
    return span
  }

  endRequest(span: Tracer.Span | undefined, status: number | undefined, errorType: string | undefined): void {
    if (span === undefined) return
    Spans.end(
      span,
      this.context,
      { "http.response.status_code": status },
      errorType === undefined ? undefined : { type: errorType, description: "The HTTP request failed" }
    )
  }

  setAddress(url: URL): void {
    this.url = Secrets.safeUrl(url.href, this.secrets)
    const attributes = address(url)
    for (const key of Object.keys(attributes)) this.span.attribute(key, attributes[key])
  }

  private addSecrets(values: ReadonlyArray<string>): void {
    for (const value of values) this.secrets.add(value)
  }
}

const address = (url: URL): Record<string, unknown> => ({
  "server.address": url.hostname,
  "server.port": url.port === "" ? (url.protocol === "http:" ? 80 : 443) : Number(url.port)
})

// A signal of a call is made here, and no data has this key. Every collection would walk over a `WeakMap` of all calls.
const callKey: unique symbol = Symbol("effect-agents/internal/ai-sdk/Call")

/**
 * Connects requests that use this signal with a call.
 *
 * @category running
 * @since 0.1.0
 */
export const register = (signal: AbortSignal & { [callKey]?: Call }, call: Call): void => {
  signal[callKey] = call
}

/**
 * Creates a `fetch` that traces the requests of model calls, and that sends neither a key nor a prompt to another
 * origin than that of the request.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeFetch = (fetch: typeof globalThis.fetch): typeof globalThis.fetch => {
  const safeFetch = withoutForeignRedirects(fetch)
  return (input, init) => {
    const signal: (AbortSignal & { readonly [callKey]?: Call }) | null | undefined = init?.signal
    const call = signal?.[callKey]
    if (call === undefined || input instanceof Request || !URL.canParse(String(input))) return safeFetch(input, init)
    const headers = new Headers(init?.headers)
    const span = call.startRequest(init?.method?.toUpperCase() ?? "GET", new URL(input), headers)
    return safeFetch(input, { ...init, headers }).then(
      (response) => {
        call.endRequest(span, response.status, response.ok ? undefined : String(response.status))
        return response
      },
      (error) => {
        call.endRequest(span, undefined, signal?.aborted === true ? "cancelled" : nameOf(error))
        return Promise.reject(error)
      }
    )
  }
}

const nameOf = (error: unknown): string =>
  AiError.isAiErrorReason(error) ? error._tag : error instanceof Error ? error.name : "_OTHER"

// =============================================================================
// Redirects
// =============================================================================

const maximumRedirects = 20

/**
 * A `fetch` that follows redirects itself, and only to the same origin. A request that asks for another treatment of
 * redirects gets it, and so does a request without secret content.
 */
const withoutForeignRedirects = (fetch: typeof globalThis.fetch): typeof globalThis.fetch => (input, init) => {
  const mode = init?.redirect ?? (input instanceof Request ? input.redirect : "follow")
  if (mode !== "follow" || !(input instanceof Request || URL.canParse(String(input)))) return fetch(input, init)
  // The body of a request can be read only once, so a body that may be sent again has to be kept.
  const request = input instanceof Request ? new Request(input.clone(), init) : undefined
  const url = new URL(request?.url ?? String(input))
  const headers = new Headers(request?.headers ?? init?.headers)
  const method = (request?.method ?? init?.method ?? "GET").toUpperCase()
  if (isHarmless(method, url, headers)) return fetch(input, init)
  const follow = (to: URL, init: RequestInit, left: number, response: Response): Promise<Response> | Response => {
    const place = response.headers.get("location")
    if (response.type === "opaqueredirect") return refuse(method, to, "a place that cannot be seen")
    if (response.redirected && URL.canParse(response.url) && new URL(response.url).origin !== to.origin) {
      return refuse(method, to, `\`${new URL(response.url).origin}\``)
    }
    if (!isRedirect(response.status) || place === null) return response
    const target = URL.canParse(place, to.href) ? new URL(place, to) : undefined
    const dropped = response.body?.cancel().catch(() => {}) ?? Promise.resolve()
    return dropped.then(() => {
      if (target === undefined) return refuse(method, to, "what is no URL")
      if (target.origin !== to.origin) return refuse(method, to, `\`${target.origin}\``)
      if (left === 0) return refuse(method, to, "itself again and again")
      const again = redirected(init, response.status)
      if (again.body instanceof ReadableStream) return refuse(method, to, "another place, with a body that was read")
      return fetch(target, again).then((response) => follow(target, again, left - 1, response))
    })
  }
  const first: RequestInit = { ...init, redirect: "manual" }
  if (request === undefined) {
    return fetch(input, first).then((response) => follow(url, first, maximumRedirects, response))
  }
  return request.clone().arrayBuffer().then((body) => {
    const { signal } = request
    const again: RequestInit = {
      method,
      headers,
      signal,
      redirect: "manual",
      ...(body.byteLength > 0 ? { body } : undefined)
    }
    return fetch(new Request(request, { redirect: "manual" })).then((response) =>
      follow(url, again, maximumRedirects, response)
    )
  })
}

const isRedirect = (status: number): boolean => [301, 302, 303, 307, 308].includes(status)

/** Whether a request may go to another server: it only reads, and neither its URL nor its headers hold a secret. */
const isHarmless = (method: string, url: URL, headers: Headers): boolean =>
  (method === "GET" || method === "HEAD") && Secrets.ofUrl(url).length === 0 && url.username === "" &&
  [...headers.keys()].every((name) => harmlessHeaders.test(name))

const harmlessHeaders = /^(accept(-.+)?|content-type|user-agent|range|if-.+|cache-control|traceparent|tracestate|b3)$/

/** The redirected request, as browsers make it: a POST becomes a GET, unless the status asks for the same request. */
const redirected = (init: RequestInit, status: number): RequestInit => {
  const method = (init.method ?? "GET").toUpperCase()
  const isAskedFor = status === 303 ? method !== "HEAD" : (status === 301 || status === 302) && method === "POST"
  if (!isAskedFor) return init
  const { body: _, ...rest } = init
  const headers = new Headers(init.headers)
  for (const name of ["content-encoding", "content-language", "content-length", "content-location", "content-type"]) {
    headers.delete(name)
  }
  return { ...rest, method: "GET", headers }
}

const refuse = (method: string, url: URL, to: string): Promise<never> =>
  Promise.reject(
    new AiError.NetworkError({
      reason: "InvalidUrlError",
      method,
      url: Secrets.safeUrl(url.href, Secrets.ofUrl(url)) ?? "",
      description: `The server redirects to ${to}: neither a key nor a prompt is sent there. ` +
        "Make the model with the address that answers"
    })
  )
