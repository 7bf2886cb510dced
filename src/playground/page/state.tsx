/** What the page shows, and what its buttons do. */
import { signal } from "@preact/signals"
import { type End, json, read, request, RequestFailed } from "./client.tsx"
import { type Failure, type Json, link, lost, Turn, turnOfRuns, turnsOf } from "./model.tsx"

export interface AgentInfo {
  readonly name: string
  readonly description?: string
  readonly tools?: ReadonlyArray<
    { readonly name: string; readonly description?: string; readonly approval: boolean; readonly parameters: Json }
  >
  readonly graph?: Picture
  readonly hasExecutions: boolean
}

export interface Picture {
  readonly nodes: ReadonlyArray<{ readonly name: string; readonly kind: string }>
  readonly edges: ReadonlyArray<
    { readonly from: number; readonly to: number; readonly isConditional?: boolean; readonly loop?: number }
  >
}

/** A conversation with an agent. */
export class Chat {
  readonly agent = signal(0)
  readonly session = signal<string>(crypto.randomUUID())
  readonly turns = signal<ReadonlyArray<Turn>>([])
  /** How many messages the session has. */
  size = 0
  /** Whether a fork is being made, into which the conversation moves. */
  readonly forking = signal(false)
  /** What the user has said to the run that works. */
  said: string | undefined

  get last(): Turn | undefined {
    return this.turns.value.at(-1)
  }
  get isRunning(): boolean {
    return this.last?.state === "running"
  }
  path(path: string): string {
    return `agents/${this.agent.value}/${path}`
  }
  get place(): string {
    return this.path(`sessions/${encodeURIComponent(this.session.value)}`)
  }
}

/** The conversation of the page, and the one beside it. */
export const second = signal<Chat | undefined>(undefined)
export const chats = (): ReadonlyArray<Chat> => second.value === undefined ? [chat] : [chat, second.value]

export const agents = signal<ReadonlyArray<AgentInfo>>([])
export const chat = new Chat()
export const sessions = signal<ReadonlyArray<Json>>([])
export const search = signal("")
export const more = signal<string | undefined>(undefined)
/** Grows once in a frame in which parts have come. */
export const drawn = signal(0)
export const problem = signal<Failure | undefined>(undefined)
export const drawer = signal<"none" | "sessions" | "details">("none")
export const tab = signal<"run" | "parts" | "graph" | "agent" | "executions">("run")
/** The runs of the session that the journal has, the last first. */
export const runs = signal<ReadonlyArray<Json>>([])
/** What the details show, if it is not the last turn. */
export const inspected = signal<Turn | undefined>(undefined)
export const theme = signal(localStorage.getItem("theme") ?? "auto")

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

/** Does what the user wants. The problem of what was wanted before is over. */
export const attempt = async (work: () => Promise<void>): Promise<void> => {
  problem.value = undefined
  try {
    await work()
  } catch (error) {
    problem.value = failureOf(error)
  }
}

let stale: Failure | undefined

/** Reads again what the page shows. It takes no problem away but its own. */
const refresh = async (work: () => Promise<void>): Promise<void> => {
  try {
    await work()
    if (problem.value === stale) problem.value = undefined
  } catch (error) {
    problem.value = stale = failureOf(error)
  }
}

/** What is open, for the page that is loaded again. */
export const remember = (): void =>
  sessionStorage.setItem(
    "open",
    JSON.stringify(chats().map(({ agent, said, session }) => ({ agent: agent.value, session: session.value, said })))
  )

/** Opens again what was open, as far as its agents are there. */
export const restore = (): Promise<void> =>
  attempt(async () => {
    const stored: Json = JSON.parse(sessionStorage.getItem("open") ?? "[]")
    const open: ReadonlyArray<Json> = Array.isArray(stored) ? stored.filter(({ agent }) => agent in agents.value) : []
    if (open.length > 1) second.value = new Chat()
    await Promise.all(
      chats().slice(0, open.length).map((own, index) => {
        own.agent.value = open[index].agent
        return load(own, open[index].session, open[index].said)
      })
    )
  })

let asked = 0
export const list = (cursor?: string): Promise<void> =>
  refresh(async () => {
    const own = ++asked
    const query = new URLSearchParams({
      limit: "100",
      ...(search.value.trim() !== "" && { search: search.value }),
      ...(cursor !== undefined && { cursor })
    })
    const page = await json(chat.path(`sessions?${query}`))
    // a later search may have been faster
    if (own !== asked) return
    sessions.value = cursor === undefined ? page.sessions : [...sessions.value, ...page.sessions]
    more.value = page.next ?? undefined
  })

/** A session that was never saved has nothing in it. */
const view = (own: Chat): Promise<Json> =>
  json(own.place).catch((error) => {
    if (error instanceof RequestFailed && error.status === 404) return { messages: [], approvals: [] }
    throw error
  })

/** Reads a run to its end. A connection that is lost is made again after the last part that came. */
export const follow = async (
  own: Chat,
  turn: Turn,
  runId: string,
  start: () => Promise<Response>
): Promise<void> => {
  const { agent, session } = own
  const place = [agent.value, session.value]
  turn.runId = runId
  if (!turn.runIds.includes(runId)) turn.runIds.push(runId)
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
      response = await again(() => request(`agents/${place[0]}/runs/${runId}?after=${seq}`))
    }
    if (end.type === "cut") {
      turn.fail({ code: "connection-lost", message: "The connection was lost.", retryable: true }, performance.now())
    } else if (end.type !== "complete") {
      turn.fail(end.type === "failed" ? end.failure : undefined, performance.now())
    }
  } catch (error) {
    turn.fail(await whyGone(own, runId, failureOf(error)), performance.now())
  }
  draw()
  // a session that was opened meanwhile is another one
  if (place[0] !== agent.value || place[1] !== session.value) return
  own.said = undefined
  remember()
  await refresh(async () => {
    if (end.type === "complete") own.size = turn.before + turn.added
    else {
      // a run that did not complete may have been saved, and is the first of the list then
      const [saved] = (await json(own.path("sessions?limit=1"))).sessions
      own.size = saved?.id === own.session.value ? saved.size : turn.before
    }
  })
  if (own === chat) await list()
  await listRuns(own)
}

/** A server that was started again does not know the run, and its journal does. */
const whyGone = async (own: Chat, runId: string, failure: Failure): Promise<Failure> => {
  if (failure.code !== "run-unknown") return failure
  const found = await json(own.path(`journal/${runId}`)).catch(() => undefined)
  return found?.run.outcome === "lost" ? lost : failure
}

/** The end of a run is in the journal a moment after the page has seen it. */
export const listRuns = async (own: Chat): Promise<void> => {
  for (let attempts = 0; attempts < 8; attempts++) {
    const found: ReadonlyArray<Json> = await json(`${own.place}/runs`).then(({ runs }) => runs, () => [])
    for (const run of found) known.set(run.runId, run)
    link(own.turns.value, found)
    if (own === chat) runs.value = found
    if (own.isRunning || found[0]?.outcome !== "running") return draw()
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

const known = new Map<string, Json>()

/** What the journal says of the runs of a turn: their costs together, and the trace of the last. */
export const knownOf = (turn: Turn): { last: Json; cost: number | undefined; traceId: string | undefined } => {
  const found = turn.runIds.flatMap((runId) => known.get(runId) ?? [])
  const costs = found.flatMap(({ cost }) => cost ?? [])
  return {
    last: found.at(-1),
    cost: costs.length === 0 ? undefined : costs.reduce((sum, cost) => sum + cost, 0),
    traceId: found.at(-1)?.traceId ?? undefined
  }
}

let inspectedIn: Chat = chat

/** Shows a run of the journal, with those that went on with answers. */
export const inspect = (own: Chat, runIds: ReadonlyArray<string>): Promise<void> =>
  attempt(async () => {
    inspectedIn = own
    inspected.value = turnOfRuns(
      await Promise.all(runIds.map((runId) => json(own.path(`journal/${encodeURIComponent(runId)}`))))
    )
  })

/** Shows one of the tabs beside the conversation. */
export const show = (name: typeof tab.value): void => {
  tab.value = name
  drawer.value = "details"
}

/** Shows the run of a turn beside the conversation. */
export const look = (own: Chat, turn: Turn): void => {
  show(tab.value === "executions" || tab.value === "agent" ? "run" : tab.value)
  if (turn.timed) inspected.value = turn
  else void inspect(own, turn.runIds)
}

/** Whether it was copied. */
export const copy = async (turn: Turn, what: "test" | "cassette"): Promise<boolean> => {
  await attempt(async () => {
    const own = chats().find(({ turns }) => turns.value.includes(turn)) ?? inspectedIn
    const runId = turn.runIds[0] ?? turn.runId
    const { text } = await json(own.path(`journal/${encodeURIComponent(runId)}/${what}`))
    await navigator.clipboard.writeText(text)
  })
  return problem.value === undefined
}

/** The server may be away for a moment. */
const again = async (ask: () => Promise<Response>): Promise<Response> => {
  for (const pause of [250, 1000, 3000]) {
    try {
      return await ask()
    } catch (error) {
      if (error instanceof RequestFailed) throw error
      await new Promise((resolve) => setTimeout(resolve, pause))
    }
  }
  return ask()
}

export const runIdOf = (): string => `play-${crypto.randomUUID()}`

export const ask = (own: Chat, text: string, files: Turn["files"] = []): Promise<void> => {
  const runId = runIdOf()
  const turn = new Turn(text, files, performance.now(), own.turns.value, own.size)
  own.turns.value = [...own.turns.value, turn]
  inspected.value = undefined
  problem.value = undefined
  own.said = text
  remember()
  const prompt = files.length === 0 ? text : [
    ...(text === "" ? [] : [{ type: "text", text }]),
    ...files.map((file) => ({ type: "file", ...file }))
  ]
  const body = { prompt, session: own.session.value, runId }
  return follow(own, turn, runId, () => request(own.path("runs"), { method: "POST", body }))
}

/** Goes on with answers. If they are refused, the turn waits on. */
export const answer = async (
  own: Chat,
  turn: Turn,
  answers: ReadonlyArray<Json>
): Promise<Failure | undefined> => {
  const runId = runIdOf()
  let response: Response
  try {
    response = await request(`${own.place}/answers`, { method: "POST", body: { answers, runId } })
  } catch (error) {
    const failure = failureOf(error)
    if (/^(approval-(unknown|answered)|session-in-use)$/.test(failure.code)) {
      // somebody else has answered, in another window for example, and the run that goes on is joined
      await load(own, own.session.value).catch(() => {})
      problem.value = failure
    }
    return failure
  }
  turn.resume(performance.now())
  draw()
  void follow(own, turn, runId, async () => response)
  return undefined
}

export const stop = (own: Chat): Promise<void> =>
  attempt(async () => {
    await request(own.path(`runs/${own.last!.runId}/stop`), { method: "POST" })
  })

/** Does what only a click of its own may do: the second of two may meet what has come in the place of the first. */
export const once = (does: () => void) => (event: MouseEvent): void => {
  if (event.detail < 2) does()
}

/** Whether the message was taken. A run that has just ended takes none. */
export const steer = async (own: Chat, message: string): Promise<boolean> => {
  let sent = false
  await attempt(async () => {
    await request(own.path(`runs/${own.last!.runId}/messages`), { method: "POST", body: { message } })
    sent = true
  })
  return sent
}

/** Asks once more. What the session has of the turn and of those after it stays in the session that it was said in. */
export const branch = async (own: Chat, turn: Turn, text = turn.text): Promise<void> => {
  if (own.forking.value) return
  own.forking.value = true
  await attempt(async () => {
    if (own.size > turn.before) {
      const to = crypto.randomUUID()
      await request(`${own.place}/fork`, { method: "POST", body: { to, length: turn.before } })
      own.session.value = to
    }
    own.turns.value = own.turns.value.slice(0, own.turns.value.indexOf(turn))
    own.size = turn.before
    void ask(own, text, turn.files)
  })
  own.forking.value = false
}

export const begin = (): void => {
  for (const own of chats()) clear(own)
  drawer.value = "none"
  remember()
  document.getElementById("message")?.focus()
}

export const clear = (own: Chat): void => {
  own.session.value = crypto.randomUUID()
  own.turns.value = []
  own.size = 0
  own.said = undefined
  inspected.value = undefined
  if (own === chat) runs.value = []
}

/** Reads a session, and joins the run that works on it. */
const load = async (own: Chat, id: string, said?: string): Promise<void> => {
  const [session, turns, size, saidBefore, found] = [own.session.value, own.turns.value, own.size, own.said, runs.value]
  clear(own)
  own.session.value = id
  const { approvals, messages, runId } = await view(own).catch((error) => {
    // one that cannot be read leaves what was there
    if (own.session.value === id) {
      own.session.value = session
      own.turns.value = turns
      own.size = size
      own.said = saidBefore
      if (own === chat) runs.value = found
    }
    throw error
  })
  if (own.session.value !== id) return
  own.turns.value = turnsOf(messages, approvals)
  own.size = messages.length
  if (runId != null) {
    // its own messages are stored at its end
    const turn = new Turn(said ?? "", [], performance.now(), own.turns.value, own.size)
    own.turns.value = [...own.turns.value, turn]
    own.said = said
    void follow(own, turn, runId, () => request(own.path(`runs/${runId}`)))
  }
  remember()
  await listRuns(own)
}

export const open = (id: string): Promise<void> =>
  attempt(async () => {
    drawer.value = "none"
    await load(chat, id)
  })

/** Puts a conversation with another agent beside the one of the page, or takes it away. */
export const compare = (): void => {
  if (second.value !== undefined) second.value = undefined
  else {
    const own = new Chat()
    own.agent.value = (chat.agent.value + 1) % agents.value.length
    second.value = own
  }
  remember()
}

const change = (id: string, work: (path: string) => Promise<unknown>): Promise<void> =>
  attempt(async () => {
    await work(chat.path(`sessions/${encodeURIComponent(id)}`))
    await list()
  })

export const rename = (id: string, title: string): Promise<void> =>
  change(id, (path) => request(path, { method: "PATCH", body: { title } }))

export const forget = (id: string): Promise<void> =>
  change(id, async (path) => {
    await request(path, { method: "DELETE" })
    for (const own of chats()) if (own.agent.value === chat.agent.value && own.session.value === id) clear(own)
    remember()
  })

export const fork = (id: string): Promise<void> =>
  change(id, async (path) => {
    const to = crypto.randomUUID()
    await request(`${path}/fork`, { method: "POST", body: { to } })
    await open(to)
  })

/** Draws the caller again when parts have come. */
export const seen = (): number => drawn.value

export const ms = (value: number): string =>
  value < 1000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(value < 10_000 ? 2 : 1)} s`
