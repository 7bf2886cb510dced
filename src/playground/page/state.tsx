/** What the page shows, and what its buttons do. */
import { signal } from "@preact/signals"
import { type End, json, read, request, RequestFailed } from "./client.tsx"
import { type Failure, type Json, Turn, turnsOf } from "./model.tsx"

export interface AgentInfo {
  readonly name: string
  readonly description?: string
  readonly tools?: ReadonlyArray<{ readonly name: string; readonly description?: string; readonly approval: boolean }>
}

export const agents = signal<ReadonlyArray<AgentInfo>>([])
export const chosen = signal(0)
export const sessions = signal<ReadonlyArray<Json>>([])
export const more = signal<string | undefined>(undefined)
export const session = signal<string>(crypto.randomUUID())
export const turns = signal<ReadonlyArray<Turn>>([])
/** Grows once in a frame in which parts have come. */
export const drawn = signal(0)
export const problem = signal<Failure | undefined>(undefined)
export const drawer = signal<"none" | "sessions" | "details">("none")
export const tab = signal<"run" | "parts" | "agent">("run")
export const theme = signal(localStorage.getItem("theme") ?? "auto")

export const last = (): Turn | undefined => turns.value.at(-1)
export const isRunning = (): boolean => last()?.state === "running"
export const api = (path: string): string => `agents/${chosen.value}/${path}`

let frame = 0
export const draw = (): void => {
  frame ||= requestAnimationFrame(() => {
    frame = 0
    drawn.value++
  })
}

export const failureOf = (error: unknown): Failure =>
  error instanceof RequestFailed
    ? error.failure
    : { code: "no-connection", message: "The server does not answer.", retryable: true }

export const attempt = async (work: () => Promise<void>): Promise<void> => {
  try {
    await work()
    problem.value = undefined
  } catch (error) {
    problem.value = failureOf(error)
  }
}

export const remember = (text?: string): void =>
  sessionStorage.setItem("open", JSON.stringify({ agent: chosen.value, session: session.value, text }))

export const list = (cursor?: string): Promise<void> =>
  attempt(async () => {
    const page = await json(api(`sessions${cursor === undefined ? "" : `?cursor=${encodeURIComponent(cursor)}`}`))
    sessions.value = cursor === undefined ? page.sessions : [...sessions.value, ...page.sessions]
    more.value = page.next ?? undefined
  })

/** Reads a run to its end. A connection that is lost is made again after the last part that came. */
export const follow = async (turn: Turn, runId: string, start: () => Promise<Response>): Promise<void> => {
  turn.runId = runId
  let seq = -1
  let end: End = { type: "cut" }
  try {
    let response = await start()
    for (let attempts = 0; attempts < 5; attempts++) {
      const before = seq
      end = await read(response, (part, next) => {
        seq = next
        turn.add(part, performance.now())
        draw()
      })
      if (end.type !== "cut") break
      if (seq > before) attempts = 0
      response = await request(api(`runs/${runId}?after=${seq}`))
    }
    if (end.type === "cut") {
      turn.fail({ code: "connection-lost", message: "The connection was lost.", retryable: true }, performance.now())
    } else if (end.type !== "complete") {
      turn.fail(end.type === "failed" ? end.failure : undefined, performance.now())
    }
  } catch (error) {
    turn.fail(failureOf(error), performance.now())
  }
  remember()
  draw()
  await list()
}

export const runIdOf = (): string => `play-${crypto.randomUUID()}`

export const ask = (text: string, files: Turn["files"] = []): Promise<void> => {
  const runId = runIdOf()
  const turn = new Turn(text, files, performance.now(), turns.value)
  turns.value = [...turns.value, turn]
  remember(text)
  const prompt = files.length === 0 ? text : [
    ...(text === "" ? [] : [{ type: "text", text }]),
    ...files.map((file) => ({ type: "file", ...file }))
  ]
  return follow(
    turn,
    runId,
    () => request(api("runs"), { method: "POST", body: { prompt, session: session.value, runId } })
  )
}

export const answer = (turn: Turn, answers: ReadonlyArray<Json>): Promise<void> => {
  const runId = runIdOf()
  turn.resume(performance.now())
  draw()
  const path = api(`sessions/${encodeURIComponent(session.value)}/answers`)
  return follow(turn, runId, () => request(path, { method: "POST", body: { answers, runId } }))
}

export const stop = (): Promise<void> =>
  attempt(async () => {
    await request(api(`runs/${last()!.runId}/stop`), { method: "POST" })
  })

export const steer = (message: string): Promise<void> =>
  attempt(async () => {
    await request(api(`runs/${last()!.runId}/messages`), { method: "POST", body: { message } })
  })

export const retry = (turn: Turn): void => {
  turns.value = turns.value.filter((other) => other !== turn)
  void ask(turn.text, turn.files)
}

export const begin = (): void => {
  session.value = crypto.randomUUID()
  turns.value = []
  drawer.value = "none"
  remember()
  document.getElementById("message")?.focus()
}

export const open = (id: string, text?: string): Promise<void> =>
  attempt(async () => {
    session.value = id
    drawer.value = "none"
    const view = await json(api(`sessions/${encodeURIComponent(id)}`)).catch((error) => {
      if (error instanceof RequestFailed && error.status === 404) return { messages: [], approvals: [] }
      throw error
    })
    turns.value = turnsOf(view.messages, view.approvals)
    if (view.runId != null) {
      // its own messages are stored at its end
      const turn = new Turn(text ?? "", [], performance.now(), turns.value)
      turns.value = [...turns.value, turn]
      void follow(turn, view.runId, () => request(api(`runs/${view.runId}`)))
    }
    remember(view.runId == null ? undefined : text)
  })

export const forget = (id: string): Promise<void> =>
  attempt(async () => {
    await request(api(`sessions/${encodeURIComponent(id)}`), { method: "DELETE" })
    if (id === session.value) begin()
    await list()
  })

export const fork = (id: string): Promise<void> =>
  attempt(async () => {
    const to = crypto.randomUUID()
    await request(api(`sessions/${encodeURIComponent(id)}/fork`), { method: "POST", body: { to } })
    await list()
    await open(to)
  })

/** Draws the caller again when parts have come. */
export const seen = (): number => drawn.value
