/** The requests of the page. They go to the host that served it, and nowhere else. */
import type { Failure, Json } from "./model.tsx"

const base = location.pathname.replace(/\/+$/, "")

/** The token comes in the fragment, which no request carries, and leaves the address at once. */
const takeToken = (): string => {
  const given = new URLSearchParams(location.hash.slice(1)).get("token")
  if (given !== null) {
    sessionStorage.setItem("token", given)
    history.replaceState(null, "", location.pathname + location.search)
  }
  return given ?? sessionStorage.getItem("token") ?? ""
}

const token = takeToken()

export class RequestFailed extends Error {
  readonly failure: Failure
  readonly status: number
  constructor(status: number, failure: Failure) {
    super(failure.message)
    this.status = status
    this.failure = failure
  }
}

export const request = async (path: string, init: { method?: string; body?: Json; signal?: AbortSignal } = {}) => {
  const response = await fetch(`${base}/api/${path}`, {
    method: init.method ?? "GET",
    headers: {
      ...(token !== "" && { authorization: `Bearer ${token}` }),
      ...(init.body !== undefined && { "content-type": "application/json" })
    },
    ...(init.body !== undefined && { body: JSON.stringify(init.body) }),
    ...(init.signal !== undefined && { signal: init.signal })
  })
  if (response.ok) return response
  const text = await response.text()
  let said: Json
  try {
    said = JSON.parse(text)
  } catch {}
  throw new RequestFailed(response.status, {
    code: said?.code ?? String(response.status),
    message: said?.message ?? (response.status === 401
      ? "This page needs a token. Open the address that the program has printed."
      : `The server has answered with status ${response.status}.`),
    retryable: said?.retryable === true,
    details: said?.details
  })
}

export const json = async (path: string): Promise<Json> => (await request(path)).json()

const failureEvent = "effect/http-api/stream/failure"

/** How a stream of parts has ended: with its last part, with a failure, stopped, or cut. */
export type End = { readonly type: "complete" | "stopped" | "cut" } | {
  readonly type: "failed"
  readonly failure: Failure
}

/** Reads the parts of a run until it ends or the connection is lost. */
export const read = async (response: Response, onPart: (part: Json, seq: number) => void): Promise<End> => {
  const reader = response.body!.pipeThrough(new TextDecoderStream() as never)
    .getReader() as ReadableStreamDefaultReader<string>
  let pieces: Array<string> = []
  let complete = false
  try {
    while (true) {
      const { done, value } = await reader.read()
      if (done) return { type: complete ? "complete" : "cut" }
      // a large part comes in many pieces: they are joined once
      if (!value.includes("\n") && !(value === "")) {
        pieces.push(value)
        continue
      }
      const events = (pieces.join("") + value).split("\n\n")
      pieces = [events.pop()!]
      for (const text of events) {
        const event = eventOf(text)
        if (event.data === "") continue
        const data = JSON.parse(event.data)
        if (event.name === failureEvent) return endOf(data)
        onPart(data, Number(event.id))
        complete ||= data.type === "run-end"
      }
    }
  } catch {
    return { type: complete ? "complete" : "cut" }
  } finally {
    reader.cancel().catch(() => {})
  }
}

const eventOf = (text: string): { id: string; name: string; data: string } => {
  const event = { id: "", name: "", data: "" }
  for (const line of text.split("\n")) {
    if (line.startsWith("data:")) event.data += (event.data === "" ? "" : "\n") + line.slice(5).trimStart()
    else if (line.startsWith("id:")) event.id = line.slice(3).trim()
    else if (line.startsWith("event:")) event.name = line.slice(6).trim()
  }
  return event
}

const endOf = (cause: Json): End => {
  const reasons: ReadonlyArray<Json> = Array.isArray(cause) ? cause : cause?.reasons ?? []
  const failure = reasons.find((reason) => reason._tag === "Fail")?.error
  return failure === undefined ? { type: "stopped" } : { type: "failed", failure }
}
