import { signal } from "@preact/signals"
import { render } from "preact"
import { useEffect, useRef, useState } from "preact/hooks"
import { type End, json, read, request, RequestFailed } from "./client.tsx"
import { Link, Markdown } from "./markdown.tsx"
import { type Block, type CallBlock, type Failure, type Frame, type Json, type Span, Turn, turnsOf } from "./model.tsx"
import "./style.css"

interface AgentInfo {
  readonly name: string
  readonly description?: string
  readonly tools?: ReadonlyArray<{ readonly name: string; readonly description?: string; readonly approval: boolean }>
}

const agents = signal<ReadonlyArray<AgentInfo>>([])
const chosen = signal(0)
const sessions = signal<ReadonlyArray<Json>>([])
const more = signal<string | undefined>(undefined)
const session = signal<string>(crypto.randomUUID())
const turns = signal<ReadonlyArray<Turn>>([])
/** Grows once in a frame in which parts have come. */
const drawn = signal(0)
const problem = signal<Failure | undefined>(undefined)
const drawer = signal<"none" | "sessions" | "details">("none")
const tab = signal<"run" | "parts" | "agent">("run")
const theme = signal(localStorage.getItem("theme") ?? "auto")

const last = (): Turn | undefined => turns.value.at(-1)
const isRunning = (): boolean => last()?.state === "running"
const api = (path: string): string => `agents/${chosen.value}/${path}`

let frame = 0
const draw = (): void => {
  frame ||= requestAnimationFrame(() => {
    frame = 0
    drawn.value++
  })
}

const failureOf = (error: unknown): Failure =>
  error instanceof RequestFailed
    ? error.failure
    : { code: "no-connection", message: "The server does not answer.", retryable: true }

const attempt = async (work: () => Promise<void>): Promise<void> => {
  try {
    await work()
    problem.value = undefined
  } catch (error) {
    problem.value = failureOf(error)
  }
}

const remember = (text?: string): void =>
  sessionStorage.setItem("open", JSON.stringify({ agent: chosen.value, session: session.value, text }))

const list = (cursor?: string): Promise<void> =>
  attempt(async () => {
    const page = await json(api(`sessions${cursor === undefined ? "" : `?cursor=${encodeURIComponent(cursor)}`}`))
    sessions.value = cursor === undefined ? page.sessions : [...sessions.value, ...page.sessions]
    more.value = page.next
  })

/** Reads a run to its end. A connection that is lost is made again after the last part that came. */
const follow = async (turn: Turn, runId: string, start: () => Promise<Response>): Promise<void> => {
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

const runIdOf = (): string => `play-${crypto.randomUUID()}`

const ask = (text: string, files: Turn["files"] = []): Promise<void> => {
  const runId = runIdOf()
  const turn = new Turn(text, files, performance.now(), turns.value)
  turns.value = [...turns.value, turn]
  remember(text)
  const prompt = files.length === 0 ? text : [
    ...(text === "" ? [] : [{ type: "text", text }]),
    ...files.map((file) => ({ type: "file", ...file }))
  ]
  return follow(turn, runId, () => request(api("runs"), { method: "POST", body: { prompt, session: session.value, runId } }))
}

const answer = (turn: Turn, answers: ReadonlyArray<Json>): Promise<void> => {
  const runId = runIdOf()
  turn.resume(performance.now())
  draw()
  const path = api(`sessions/${encodeURIComponent(session.value)}/answers`)
  return follow(turn, runId, () => request(path, { method: "POST", body: { answers, runId } }))
}

const stop = (): Promise<void> =>
  attempt(async () => {
    await request(api(`runs/${last()!.runId}/stop`), { method: "POST" })
  })

const steer = (message: string): Promise<void> =>
  attempt(async () => {
    await request(api(`runs/${last()!.runId}/messages`), { method: "POST", body: { message } })
  })

const retry = (turn: Turn): void => {
  turns.value = turns.value.filter((other) => other !== turn)
  void ask(turn.text, turn.files)
}

const begin = (): void => {
  session.value = crypto.randomUUID()
  turns.value = []
  drawer.value = "none"
  remember()
  document.getElementById("message")?.focus()
}

const open = (id: string, text?: string): Promise<void> =>
  attempt(async () => {
    session.value = id
    drawer.value = "none"
    const view = await json(api(`sessions/${encodeURIComponent(id)}`)).catch((error) => {
      if (error instanceof RequestFailed && error.status === 404) return { messages: [], approvals: [] }
      throw error
    })
    turns.value = turnsOf(view.messages, view.approvals)
    if (view.runId !== undefined) {
      // its own messages are stored at its end
      const turn = new Turn(text ?? "", [], performance.now(), turns.value)
      turns.value = [...turns.value, turn]
      void follow(turn, view.runId, () => request(api(`runs/${view.runId}`)))
    }
    remember(view.runId === undefined ? undefined : text)
  })

const forget = (id: string): Promise<void> =>
  attempt(async () => {
    await request(api(`sessions/${encodeURIComponent(id)}`), { method: "DELETE" })
    if (id === session.value) begin()
    await list()
  })

const fork = (id: string): Promise<void> =>
  attempt(async () => {
    const to = crypto.randomUUID()
    await request(api(`sessions/${encodeURIComponent(id)}/fork`), { method: "POST", body: { to } })
    await list()
    await open(to)
  })

// -----------------------------------------------------------------------------

const longest = 20_000
const written = (value: Json): string => (typeof value === "string" ? value : JSON.stringify(value, null, 2) ?? "")
const oneLine = (value: Json): string => {
  const text = typeof value === "string" ? value : JSON.stringify(value) ?? ""
  return text.length > 200 ? `${text.slice(0, 200)}…` : text
}
const Value = ({ label, value }: { label: string; value: Json }) => {
  const text = written(value)
  const [whole, setWhole] = useState(false)
  const cut = !whole && text.length > longest
  return (
    <div class="value">
      <div class="label">{label}</div>
      <pre tabIndex={0}>{cut ? text.slice(0, longest) : text.slice(0, 50 * longest)}</pre>
      {cut && <button onClick={() => setWhole(true)}>Show all {text.length.toLocaleString()} characters</button>}
    </div>
  )
}

const words = {
  writing: "writing arguments",
  running: "running",
  waiting: "needs approval",
  done: "done",
  failed: "failed",
  denied: "denied"
}

const Call = ({ call }: { call: CallBlock }) => (
  <details class={`call ${call.state}`} data-tool={call.name} data-state={call.state}>
    <summary>
      <i class="dot" />
      <b>{call.name}</b>
      <code class="brief">{oneLine(call.params ?? call.written)}</code>
      <span class="state">{words[call.state]}</span>
    </summary>
    <Value label="Arguments" value={call.params ?? call.written} />
    {call.result !== undefined && <Value label={call.preliminary ? "Preliminary result" : "Result"} value={call.result} />}
  </details>
)

const Nested = ({ own }: { own: Frame }) => (
  <details class="nested" open>
    <summary>{own.agent}<span class="state">{own.ended ? "finished" : "working"}</span></summary>
    <Blocks blocks={own.blocks} />
  </details>
)

const Problem = ({ failure }: { failure: Failure }) => (
  <div class="failure" role="alert"><b>{failure.code}</b> {failure.message}</div>
)

const Blocks = ({ blocks }: { blocks: ReadonlyArray<Block> }) => <>{blocks.map((block, key) => {
  switch (block.kind) {
    case "text":
      return <Markdown key={key} text={block.text} done={block.done} />
    case "reasoning":
      return (
        <details key={key} class="reasoning">
          <summary>{block.done ? "Reasoning" : "Reasoning…"}</summary>
          <p>{block.text}</p>
        </details>
      )
    case "call":
      return <div key={key}><Call call={block} />{block.nested.map((own, index) => <Nested key={index} own={own} />)}</div>
    case "steering":
      return <div key={key} class="said steering">{block.text}</div>
    case "source":
      return <div key={key} class="source">Source: <Link href={block.url ?? ""}>{block.title}</Link></div>
    case "file":
      return /^image\/(png|jpeg|gif|webp)$/.test(block.mediaType)
        ? <img key={key} src={block.url} alt={block.name ?? "image of the answer"} />
        : <a key={key} class="file" href={block.url} download={block.name ?? "file"}>{block.name ?? block.mediaType}</a>
    case "output":
      return <Value key={key} label="Output" value={block.value} />
    case "failure":
      return <Problem key={key} failure={block.failure} />
  }
})}</>

const Approvals = ({ turn }: { turn: Turn }) => {
  const [answers, setAnswers] = useState<Record<string, Json>>({})
  const give = (id: string, given: Json) => {
    const next = { ...answers, [id]: { approvalId: id, ...given } }
    setAnswers(next)
    const all = turn.approvals.map(({ approvalId }) => next[approvalId])
    if (all.every((one) => one !== undefined)) void answer(turn, all)
  }
  return <>{turn.approvals.filter(({ approvalId }) => answers[approvalId] === undefined).map((approval) => (
    <Approval key={approval.approvalId} approval={approval} give={(given) => give(approval.approvalId, given)} />
  ))}</>
}

const Approval = ({ approval, give }: { approval: Json; give: (answer: Json) => void }) => {
  const inClient = approval.runsIn === "client"
  const original = inClient ? "" : written(approval.params)
  const [text, setText] = useState(original)
  const [reason, setReason] = useState("")
  const [bad, setBad] = useState("")
  const approve = () => {
    let value: Json
    try {
      value = JSON.parse(text)
    } catch (error) {
      setBad(`This is no JSON: ${(error as Error).message}`)
      return
    }
    give(inClient ? { approved: true, result: value } : { approved: true, ...(text !== original && { params: value }) })
  }
  const name = [...approval.path, approval.tool].join(" › ")
  return (
    <section class="approval" aria-label={`Approval of ${approval.tool}`}>
      <h3>{inClient ? <>Give the result of <b>{name}</b></> : <><b>{name}</b> asks for your approval</>}</h3>
      {inClient && <Value label="Arguments" value={approval.params} />}
      <label>
        {inClient ? "Result as JSON" : "Arguments, which you may edit"}
        <textarea class="mono" rows={Math.min(12, original.split("\n").length + 1)} value={text} spellcheck={false}
          onInput={(event) => { setText(event.currentTarget.value); setBad("") }} />
      </label>
      {bad !== "" && <div class="failure" role="alert">{bad}</div>}
      <div class="row">
        <button class="primary" onClick={approve}>
          {inClient ? "Give result" : text === original ? "Approve" : "Approve with edits"}
        </button>
        <input aria-label="Reason for a denial" placeholder="Reason (optional)" value={reason}
          onInput={(event) => setReason(event.currentTarget.value)} />
        <button class="danger" onClick={() => give({ approved: false, ...(reason !== "" && { reason }) })}>Deny</button>
      </div>
    </section>
  )
}

const TurnView = ({ turn }: { turn: Turn }) => {
  drawn.value
  return (
    <article data-state={turn.state}>
      {(turn.text !== "" || turn.files.length > 0) && (
        <div class="said">{turn.text}{turn.files.map((file, key) => <span key={key} class="file">{file.fileName}</span>)}</div>
      )}
      <div class="answer">
        <Blocks blocks={turn.root.blocks} />
        {turn.state === "running" && <div class="working" role="status"><i /><i /><i /><span>working</span></div>}
        {turn.state === "waiting" && turn === last() && <Approvals turn={turn} />}
        {turn.state === "stopped" && <div class="note">Stopped. Nothing of this run was saved.</div>}
        {(turn.state === "failed" || turn.state === "stopped") && turn === last() &&
          <button onClick={() => retry(turn)}>Retry</button>}
        {turn.usage !== undefined && <div class="note">{summary(turn)}</div>}
      </div>
    </article>
  )
}

const ms = (value: number): string => value < 1000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(value < 10_000 ? 2 : 1)} s`
const summary = (turn: Turn): string =>
  [turn.stopReason, `${turn.usage!.input.toLocaleString()} tokens in`, `${turn.usage!.output.toLocaleString()} out`]
    .join(" · ")

const flat = (own: Span, depth = 0): Array<readonly [Span, number]> =>
  [[own, depth] as const, ...own.children.flatMap((child) => flat(child, depth + 1))]

const RunView = ({ turn }: { turn: Turn | undefined }) => {
  drawn.value
  const root = turn?.root.span
  if (turn === undefined || root === undefined) return <p class="empty">Send a message to see how the agent works on it.</p>
  const rows = flat(root)
  const now = root.end ?? Math.max(root.start + 1, ...turn.parts.slice(-1).map(({ at }) => at))
  const whole = Math.max(1, now - root.start)
  const facts: ReadonlyArray<readonly [string, string]> = [
    ["Outcome", turn.state === "done" ? turn.stopReason ?? "done" : turn.state],
    ["Time", ms(whole)],
    ["First text", turn.firstText === undefined ? "–" : ms(turn.firstText - root.start)],
    ["Tokens in", turn.usage?.input.toLocaleString() ?? "–"],
    ["Tokens out", turn.usage?.output.toLocaleString() ?? "–"],
    ["From cache", turn.usage?.cached.toLocaleString() ?? "–"]
  ]
  return <>
    <dl class="facts">{facts.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}</dl>
    <ol class="waterfall" aria-label="Waterfall of the run">{rows.slice(0, 500).map(([own, depth], key) => {
      const end = own.end ?? now
      return (
        <li key={key} class={`${own.kind} ${own.state}`}>
          <span class="name" style={{ paddingLeft: `${Math.min(depth, 8) * 12}px` }}>{own.name}</span>
          <span class="time">{own.input === undefined ? "" : `${own.input}→${own.output ?? 0} · `}{ms(end - own.start)}</span>
          <span class="track"><i style={{
            left: `${(own.start - root.start) / whole * 100}%`,
            width: `${Math.max(0.6, (end - own.start) / whole * 100)}%`
          }} /></span>
        </li>
      )
    })}</ol>
  </>
}

/** Deltas that follow each other are one line. */
const PartsView = ({ turn }: { turn: Turn | undefined }) => {
  drawn.value
  const groups: Array<{ type: string; at: number; parts: Array<Json> }> = []
  for (const { at, part } of turn?.parts ?? []) {
    const type = part.type === "agent-part" ? `${part.path.join(" › ")} › ${part.part.type}` : part.type
    const group = groups.at(-1)
    if (group !== undefined && group.type === type && type.endsWith("-delta")) group.parts.push(part)
    else groups.push({ type, at, parts: [part] })
  }
  if (groups.length === 0) return <p class="empty">No parts yet.</p>
  return <div class="parts">{groups.slice(-300).map((group, key) => <PartView key={key} start={turn!.parts[0].at} group={group} />)}</div>
}
const PartView = ({ group, start }: { group: { type: string; at: number; parts: Array<Json> }; start: number }) => {
  const [shown, setShown] = useState(false)
  return (
    <details onToggle={(event) => setShown(event.currentTarget.open)}>
      <summary><code>{group.type}</code>{group.parts.length > 1 && ` × ${group.parts.length}`}<span class="time">{ms(group.at - start)}</span></summary>
      {shown && <Value label="JSON" value={group.parts.length === 1 ? group.parts[0] : group.parts.slice(0, 200)} />}
    </details>
  )
}

const AgentView = ({ agent }: { agent: AgentInfo | undefined }) => <>
  <h3>{agent?.name}</h3>
  <p>{agent?.description}</p>
  {agent?.tools === undefined
    ? <p class="empty">The tools of this agent are known only in a run.</p>
    : agent.tools.map((tool) => (
      <div key={tool.name} class="tool"><b>{tool.name}</b>{tool.approval && <span class="state">asks first</span>}<p>{tool.description}</p></div>
    ))}
</>

const Sessions = () => {
  const [search, setSearch] = useState("")
  const wanted = search.trim().toLowerCase()
  const found = sessions.value.filter(({ title, id }) => `${title ?? ""} ${id}`.toLowerCase().includes(wanted))
  return <>
    <input id="search" type="search" aria-label="Search sessions" placeholder="Search sessions" value={search}
      onInput={(event) => setSearch(event.currentTarget.value)} />
    <ul class="sessions">{found.map((one) => (
      <li key={one.id} class={one.id === session.value ? "open" : ""}>
        <button class="title" aria-current={one.id === session.value} onClick={() => void open(one.id)}>{one.title || one.id}</button>
        <button class="icon" aria-label={`Fork ${one.title || one.id}`} title="Fork" onClick={() => void fork(one.id)}>⑂</button>
        <button class="icon" aria-label={`Delete ${one.title || one.id}`} title="Delete" onClick={() => void forget(one.id)}>✕</button>
      </li>
    ))}</ul>
    {found.length === 0 && <p class="empty">{wanted === "" ? "No sessions yet." : "No session has these words."}</p>}
    {more.value !== undefined && <button onClick={() => void list(more.value)}>More</button>}
  </>
}

const maximumFiles = 12_000_000
const Composer = () => {
  drawn.value
  const [text, setText] = useState("")
  const [files, setFiles] = useState<ReadonlyArray<Turn["files"][number]>>([])
  const running = isRunning()
  const waiting = last()?.state === "waiting"
  const send = () => {
    if (waiting || (text.trim() === "" && (files.length === 0 || running))) return
    if (running) void steer(text)
    else {
      void ask(text, files)
      setFiles([])
    }
    setText("")
  }
  const attach = (given: FileList | null | undefined) => {
    for (const file of given ?? []) {
      if (file.size > maximumFiles) {
        problem.value = { code: "file-too-large", message: `${file.name} is larger than 12 MB.`, retryable: false }
        continue
      }
      const reader = new FileReader()
      reader.onload = () => {
        const data = String(reader.result).replace(/^[^,]*,/, "")
        setFiles((before) => [...before, { mediaType: file.type || "application/octet-stream", fileName: file.name, data }])
      }
      reader.readAsDataURL(file)
    }
  }
  return (
    <form onSubmit={(event) => { event.preventDefault(); send() }}
      onDragOver={(event) => event.preventDefault()}
      onDrop={(event) => { event.preventDefault(); attach(event.dataTransfer?.files) }}>
      {files.length > 0 && <div class="row">{files.map((file, key) => (
        <button key={key} type="button" class="file" aria-label={`Remove ${file.fileName}`}
          onClick={() => setFiles(files.filter((other) => other !== file))}>{file.fileName} ✕</button>
      ))}</div>}
      <textarea id="message" rows={Math.min(8, Math.max(2, text.split("\n").length))} aria-label="Message" value={text}
        placeholder={waiting ? "Answer the approval first" : running ? "Steer the run while it works" : "Message"}
        onInput={(event) => setText(event.currentTarget.value)}
        onPaste={(event) => { if (event.clipboardData?.files.length) attach(event.clipboardData.files) }}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || event.shiftKey || event.isComposing) return
          event.preventDefault()
          send()
        }} />
      <div class="row">
        <label class="attach">Attach<input type="file" multiple onChange={(event) => { attach(event.currentTarget.files); event.currentTarget.value = "" }} /></label>
        <span class="keys"><kbd>Enter</kbd> send · <kbd>/</kbd> write · <kbd>Esc</kbd> stop</span>
        {running && <button type="button" class="danger" onClick={() => void stop()}>Stop</button>}
        <button class="primary" disabled={waiting}>{running ? "Steer" : "Send"}</button>
      </div>
    </form>
  )
}

const App = () => {
  const log = useRef<HTMLDivElement>(null)
  const atEnd = useRef(true)
  drawn.value
  useEffect(() => {
    if (atEnd.current) log.current?.scrollTo(0, log.current.scrollHeight)
  })
  const info = agents.value[chosen.value]
  const inspect = last()
  return (
    <div class="app" data-drawer={drawer.value}>
      <aside class="left" aria-label="Agents and sessions">
        <h1>effect-agents</h1>
        <label class="pick">Agent
          <select value={chosen.value} onChange={(event) => { chosen.value = Number(event.currentTarget.value); begin(); void list() }}>
            {agents.value.map((agent, index) => <option key={index} value={index}>{agent.name}</option>)}
          </select>
        </label>
        <button class="primary" onClick={begin}>New session</button>
        <Sessions />
      </aside>
      <main>
        <header>
          <button class="for-left" aria-label="Sessions" aria-expanded={drawer.value === "sessions"}
            onClick={() => drawer.value = drawer.value === "sessions" ? "none" : "sessions"}>☰</button>
          <h2>{info?.name ?? "Playground"}</h2>
          <label class="theme"><span class="hidden">Theme</span>
            <select value={theme.value} onChange={(event) => { theme.value = event.currentTarget.value; localStorage.setItem("theme", theme.value) }}>
              <option value="auto">System</option><option value="light">Light</option><option value="dark">Dark</option>
            </select>
          </label>
          <button class="for-right" aria-expanded={drawer.value === "details"}
            onClick={() => drawer.value = drawer.value === "details" ? "none" : "details"}>Details</button>
        </header>
        <div class="log" role="log" aria-label="Conversation" aria-live="off" tabIndex={0} ref={log}
          onScroll={({ currentTarget: own }) => atEnd.current = own.scrollHeight - own.scrollTop - own.clientHeight < 60}>
          {turns.value.length === 0 && <div class="welcome"><h3>{info?.name}</h3><p>{info?.description ?? "Send a message to begin."}</p></div>}
          {turns.value.map((turn, key) => <TurnView key={key} turn={turn} />)}
        </div>
        {problem.value !== undefined && <Problem failure={problem.value} />}
        <Composer />
      </main>
      <aside class="right" aria-label="Details of the run">
        <div class="tabs" role="tablist">{(["run", "parts", "agent"] as const).map((name) => (
          <button key={name} role="tab" id={`tab-${name}`} aria-controls="details" aria-selected={tab.value === name} onClick={() => tab.value = name}>
            {{ run: "Run", parts: "Parts", agent: "Agent" }[name]}
          </button>
        ))}</div>
        <div id="details" role="tabpanel" tabIndex={0} aria-labelledby={`tab-${tab.value}`}>
          {tab.value === "run" ? <RunView turn={inspect} /> : tab.value === "parts" ? <PartsView turn={inspect} /> : <AgentView agent={info} />}
        </div>
      </aside>
    </div>
  )
}

theme.subscribe((value) => document.documentElement.dataset.theme = value)
addEventListener("keydown", (event) => {
  const writing = event.target instanceof HTMLElement && /^(TEXTAREA|INPUT|SELECT)$/.test(event.target.tagName)
  if (event.key === "Escape" && isRunning()) void stop()
  else if (event.key === "Escape") drawer.value = "none"
  else if (event.key === "/" && !writing) {
    event.preventDefault()
    document.getElementById("message")?.focus()
  }
})
render(<App />, document.getElementById("app")!)
void attempt(async () => {
  agents.value = await json("agents")
  const stored = JSON.parse(sessionStorage.getItem("open") ?? "null")
  if (stored !== null && stored.agent < agents.value.length) {
    chosen.value = stored.agent
    await open(stored.session, stored.text)
  }
  await list()
  document.getElementById("message")?.focus()
})
