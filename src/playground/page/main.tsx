/** The page as a whole. */
import { render } from "preact"
import { useEffect, useRef, useState } from "preact/hooks"
import { json } from "./client.tsx"
import { Problem, TurnView } from "./conversation.tsx"
import { AgentView, PartsView, RunView } from "./details.tsx"
import { Icon } from "./icon.tsx"
import type { Turn } from "./model.tsx"
import {
  agents,
  ask,
  attempt,
  begin,
  chosen,
  draw,
  drawer,
  forget,
  fork,
  isRunning,
  last,
  list,
  more,
  open,
  problem,
  seen,
  session,
  sessions,
  steer,
  stop,
  tab,
  theme,
  turns
} from "./state.tsx"
import "./style.css"

const Sessions = () => {
  const [search, setSearch] = useState("")
  const wanted = search.trim().toLowerCase()
  const found = sessions.value.filter(({ title, id }) => `${title ?? ""} ${id}`.toLowerCase().includes(wanted))
  return (
    <>
      <input
        id="search"
        type="search"
        aria-label="Search sessions"
        placeholder="Search sessions"
        value={search}
        onInput={(event) => setSearch(event.currentTarget.value)}
      />
      <ul class="sessions">
        {found.map((one) => (
          <li key={one.id} class={one.id === session.value ? "open" : ""}>
            <button
              class="title"
              aria-current={one.id === session.value}
              onClick={() => void open(one.id)}
            >
              {one.title || one.id}
            </button>
            <button
              class="icon"
              aria-label={`Fork ${one.title || one.id}`}
              title="Fork"
              onClick={() => void fork(one.id)}
            >
              <Icon name="fork" />
            </button>
            <button
              class="icon"
              aria-label={`Delete ${one.title || one.id}`}
              title="Delete"
              onClick={() => void forget(one.id)}
            >
              <Icon name="remove" />
            </button>
          </li>
        ))}
      </ul>
      {found.length === 0 && <p class="empty">{wanted === "" ? "No sessions yet." : "No session has these words."}</p>}
      {more.value !== undefined && <button onClick={() => void list(more.value)}>More</button>}
    </>
  )
}

const maximumFiles = 12_000_000
const Composer = () => {
  seen()
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
        setFiles((
          before
        ) => [...before, { mediaType: file.type || "application/octet-stream", fileName: file.name, data }])
      }
      reader.readAsDataURL(file)
    }
  }
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault()
        send()
      }}
      onDragOver={(event) => event.preventDefault()}
      onDrop={(event) => {
        event.preventDefault()
        attach(event.dataTransfer?.files)
      }}
    >
      {files.length > 0 && (
        <div class="row">
          {files.map((file, key) => (
            <button
              key={key}
              type="button"
              class="file"
              aria-label={`Remove ${file.fileName}`}
              onClick={() => setFiles(files.filter((other) => other !== file))}
            >
              {file.fileName} <Icon name="remove" />
            </button>
          ))}
        </div>
      )}
      <textarea
        id="message"
        rows={Math.min(8, Math.max(2, text.split("\n").length))}
        aria-label="Message"
        value={text}
        placeholder={waiting ? "Answer the approval first" : running ? "Steer the run while it works" : "Message"}
        onInput={(event) => setText(event.currentTarget.value)}
        onPaste={(event) => {
          if (event.clipboardData?.files.length) attach(event.clipboardData.files)
        }}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || event.shiftKey || event.isComposing) return
          event.preventDefault()
          send()
        }}
      />
      <div class="row">
        <label class="attach">
          Attach<input
            type="file"
            multiple
            onChange={(event) => {
              attach(event.currentTarget.files)
              event.currentTarget.value = ""
            }}
          />
        </label>
        <span class="keys">
          <kbd>Enter</kbd> send · <kbd>/</kbd> write · <kbd>Esc</kbd> stop
        </span>
        {running && <button type="button" class="danger" onClick={() => void stop()}>Stop</button>}
        <button class="primary" disabled={waiting}>{running ? "Steer" : "Send"}</button>
      </div>
    </form>
  )
}

const App = () => {
  const log = useRef<HTMLDivElement>(null)
  const atEnd = useRef(true)
  seen()
  useEffect(() => {
    if (atEnd.current) log.current?.scrollTo(0, log.current.scrollHeight)
  })
  const info = agents.value[chosen.value]
  const inspect = last()
  return (
    <div class="app" data-drawer={drawer.value}>
      <aside class="left" aria-label="Agents and sessions">
        <h1>effect-agents</h1>
        <label class="pick">
          Agent
          <select
            value={chosen.value}
            onChange={(event) => {
              chosen.value = Number(event.currentTarget.value)
              begin()
              void list()
            }}
          >
            {agents.value.map((agent, index) => <option key={index} value={index}>{agent.name}</option>)}
          </select>
        </label>
        <button class="primary" onClick={begin}>New session</button>
        <Sessions />
      </aside>
      <main>
        <header>
          <button
            class="for-left"
            aria-label="Sessions"
            aria-expanded={drawer.value === "sessions"}
            onClick={() => drawer.value = drawer.value === "sessions" ? "none" : "sessions"}
          >
            <Icon name="menu" />
          </button>
          <h2>{info?.name ?? "Playground"}</h2>
          <label class="theme">
            <span class="hidden">Theme</span>
            <select
              value={theme.value}
              onChange={(event) => {
                theme.value = event.currentTarget.value
                localStorage.setItem("theme", theme.value)
              }}
            >
              <option value="auto">System</option>
              <option value="light">Light</option>
              <option value="dark">Dark</option>
            </select>
          </label>
          <button
            class="for-right"
            aria-expanded={drawer.value === "details"}
            onClick={() => drawer.value = drawer.value === "details" ? "none" : "details"}
          >
            Details
          </button>
        </header>
        <div
          class="log"
          role="log"
          aria-label="Conversation"
          aria-live="off"
          tabIndex={0}
          ref={log}
          onScroll={({ currentTarget: own }) =>
            atEnd.current = own.scrollHeight - own.scrollTop - own.clientHeight < 60}
        >
          {turns.value.length === 0 && (
            <div class="welcome">
              <h3>{info?.name}</h3>
              <p>{info?.description ?? "Send a message to begin."}</p>
            </div>
          )}
          {turns.value.map((turn, key) => <TurnView key={key} turn={turn} live={key === turns.value.length - 1} />)}
        </div>
        {problem.value !== undefined && <Problem failure={problem.value} />}
        <Composer />
      </main>
      <aside class="right" aria-label="Details of the run">
        <div class="tabs" role="tablist">
          {(["run", "parts", "agent"] as const).map((name) => (
            <button
              key={name}
              role="tab"
              id={`tab-${name}`}
              aria-controls="details"
              aria-selected={tab.value === name}
              onClick={() => tab.value = name}
            >
              {{ run: "Run", parts: "Parts", agent: "Agent" }[name]}
            </button>
          ))}
        </div>
        <div id="details" role="tabpanel" tabIndex={0} aria-labelledby={`tab-${tab.value}`}>
          {tab.value === "run"
            ? <RunView turn={inspect} />
            : tab.value === "parts"
            ? <PartsView turn={inspect} />
            : <AgentView agent={info} />}
        </div>
      </aside>
    </div>
  )
}

theme.subscribe((value) => document.documentElement.dataset.theme = value)
// a window that changes keeps the end in view
addEventListener("resize", draw)
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
