/**
 * The HTTP requests of a model call.
 *
 * A provider is given an abort signal with every call and hands it on to `fetch`:
 * by it a request is known to belong to its call.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as HttpTraceContext from "effect/http/HttpTraceContext"
import * as Tracer from "effect/Tracer"
import * as Spans from "../../internal/telemetry/span.ts"
import { safeUrl } from "./errors.ts"

/**
 * A call of a model, as far as its requests are concerned.
 *
 * @category models
 * @since 0.1.0
 */
export class Call {
  /** Values of headers that must not be seen in an error. */
  readonly secrets = new Set<string>()
  /** Where the last request went. */
  url: string | undefined = undefined
  private readonly context: Context.Context<never>
  private readonly span: Tracer.Span

  constructor(context: Context.Context<never>, span: Tracer.Span, headers: Readonly<Record<string, string>> = {}) {
    this.context = context
    this.span = span
    for (const name of Object.keys(headers)) if (isSecret(name)) this.addSecret(headers[name])
  }

  /** Begins the span of a request and puts its address on the span of the call. */
  startRequest(method: string, url: URL, headers: Headers): Tracer.Span | undefined {
    headers.forEach((value, name) => {
      if (isSecret(name)) this.addSecret(value)
    })
    this.setAddress(url)
    const span = Spans.start(Context.add(this.context, Tracer.ParentSpan, this.span), method, "client", {
      "http.request.method": method,
      "url.full": safeUrl(url.href),
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
    this.url = safeUrl(url.href)
    const attributes = address(url)
    for (const key of Object.keys(attributes)) this.span.attribute(key, attributes[key])
  }

  private addSecret(value: string): void {
    this.secrets.add(value.replace(/^(bearer|basic)\s+/i, ""))
  }
}

const isSecret = (header: string): boolean => /authorization|key|token|secret|cookie/i.test(header)

const address = (url: URL): Record<string, unknown> => ({
  "server.address": url.hostname,
  "server.port": url.port === "" ? (url.protocol === "http:" ? 80 : 443) : Number(url.port)
})

// Signals live as long as their calls: nothing is kept here.
const calls = new WeakMap<AbortSignal, Call>()

/**
 * Makes the requests that are given this signal known as those of a call.
 *
 * @category running
 * @since 0.1.0
 */
export const register = (signal: AbortSignal, call: Call): void => {
  calls.set(signal, call)
}

/**
 * Creates a `fetch` that traces the requests of model calls.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeFetch = (fetch: typeof globalThis.fetch): typeof globalThis.fetch => (input, init) => {
  const signal = init?.signal
  const call = signal == null ? undefined : calls.get(signal)
  if (call === undefined || input instanceof Request || !URL.canParse(String(input))) return fetch(input, init)
  const headers = new Headers(init?.headers)
  const span = call.startRequest(init?.method?.toUpperCase() ?? "GET", new URL(input), headers)
  return fetch(input, { ...init, headers }).then(
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

const nameOf = (error: unknown): string => error instanceof Error ? error.name : "_OTHER"
