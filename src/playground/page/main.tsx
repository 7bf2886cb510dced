/** The page as a whole. */
import { render } from "preact"
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks"
import { json } from "./client.tsx"
import { Problem, TurnView } from "./conversation.tsx"
import { AgentView, PartsView, RunView } from "./details.tsx"
import { ExecutionsView } from "./executions.tsx"
import { enterOverlay, hasOverlay, keepFocus } from "./focus.tsx"
import { GraphView } from "./graph.tsx"
import { Icon } from "./icon.tsx"
import type { Turn } from "./model.tsx"
import {
  agents,
  ask,
  attempt,
  begin,
  type Chat,
  chat,
  chats,
  clear,
  compare,
  draw,
  drawer,
  forget,
  fork,
  inspected,
  knownOf,
  list,
  more,
  once,
  open,
  problem,
  remember,
  rename,
  restore,
  search,
  second,
  seen,
  sessions,
  steer,
  stop,
  tab,
  theme
} from "./state.tsx"
import "./style.css"

let typed: ReturnType<typeof setTimeout> | undefined

/** Moves the focus with an arrow key. */
const moveTo = (event: KeyboardEvent, element: Element | null): void => {
  event.preventDefault()
  if (element instanceof HTMLElement) element.focus()
}

const Sessions = () => (
  <>
    <input
      id="search"
      type="search"
      aria-label="Search sessions"
      placeholder="Search sessions"
      value={search.value}
      onKeyDown={(event) => {
        // it empties the field
        if (event.key === "Escape" && search.value !== "") event.stopPropagation()
        if (event.key === "ArrowDown") moveTo(event, document.querySelector(".sessions .title"))
      }}
      onInput={(event) => {
        search.value = event.currentTarget.value
        clearTimeout(typed)
        typed = setTimeout(() => void list(), 120)
      }}
    />
    <ul
      class="sessions"
      onKeyDown={(event) => {
        const own = (event.target as Element).closest("li")
        const to = event.key === "ArrowDown"
          ? own?.nextElementSibling
          : event.key === "ArrowUp"
          ? own?.previousElementSibling
          : undefined
        if (to !== undefined) moveTo(event, to?.querySelector(".title") ?? null)
      }}
    >
      {sessions.value.map((one) => (
        <SessionView key={one.id} id={one.id} title={one.title || one.id} isOpen={one.id === chat.session.value} />
      ))}
    </ul>
    {sessions.value.length === 0 && (
      <p class="empty">{search.value.trim() === "" ? "No sessions yet." : "No session has these words."}</p>
    )}
    {more.value !== undefined && <button onClick={() => void list(more.value)}>More</button>}
  </>
)

const SessionView = ({ id, isOpen, title }: { id: string; isOpen: boolean; title: string }) => {
  const [mode, setMode] = useState<"title" | "rename" | "delete">("title")
  const name = useRef<HTMLInputElement>(null)
  const last = useRef<HTMLButtonElement>(null)
  // what is typed at once goes in the place of the title
  useLayoutEffect(() => {
    name.current?.focus()
    name.current?.select()
    last.current?.focus()
  }, [mode])
  const leave = (event: KeyboardEvent) => {
    // it is not meant for a run that works
    event.stopPropagation()
    setMode("title")
  }
  if (mode === "rename") {
    const save = () => {
      const given = name.current!.value.trim()
      setMode("title")
      if (given !== "" && given !== title) void rename(id, given)
    }
    return (
      <li>
        <input
          ref={name}
          aria-label={`Title of ${title}`}
          defaultValue={title}
          maxLength={80}
          onBlur={() => setMode("title")}
          onKeyDown={(event) => {
            if (event.key === "Enter") {
              // what has the focus next is not pressed with it
              event.preventDefault()
              save()
            } else if (event.key === "Escape") leave(event)
            else if (event.key.startsWith("Arrow")) event.stopPropagation()
          }}
        />
      </li>
    )
  }
  return (
    <li class={isOpen ? "open" : ""} onMouseLeave={() => setMode("title")}>
      <button class="title" aria-current={isOpen} title={title} onClick={() => void open(id)}>{title}</button>
      {mode === "delete"
        ? (
          <button
            class="danger"
            ref={last}
            onBlur={() => setMode("title")}
            onKeyDown={(event) => {
              if (event.key === "Escape") leave(event)
            }}
            onClick={once(() => void forget(id))}
          >
            Delete for good
          </button>
        )
        : (
          <>
            <button class="icon" aria-label={`Rename ${title}`} title="Rename" onClick={() => setMode("rename")}>
              <Icon name="edit" />
            </button>
            <button class="icon" aria-label={`Fork ${title}`} title="Fork" onClick={() => void fork(id)}>
              <Icon name="fork" />
            </button>
            <button class="icon" aria-label={`Delete ${title}`} title="Delete" onClick={() => setMode("delete")}>
              <Icon name="remove" />
            </button>
          </>
        )}
    </li>
  )
}

const maximumFiles = 12_000_000
const Composer = () => {
  seen()
  const [text, setText] = useState("")
  const [files, setFiles] = useState<ReadonlyArray<Turn["files"][number]>>([])
  const running = chats().some((own) => own.isRunning)
  const waiting = chats().some((own) => own.last?.state === "waiting")
  const forking = chats().some((own) => own.forking.value)
  const send = () => {
    if (waiting || forking || (text.trim() === "" && (files.length === 0 || running))) return
    for (const own of chats()) {
      if (!running) void ask(own, text, files)
      else if (own.isRunning) void steer(own, text).then((sent) => sent || setText((now) => now === "" ? text : now))
    }
    if (!running) setFiles([])
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
  useEffect(() => {
    // a file that is dropped beside the message would take the place of the page
    const over = (event: DragEvent) => {
      if (event.dataTransfer?.types.includes("Files")) event.preventDefault()
    }
    const drop = (event: DragEvent) => {
      if (!event.dataTransfer?.files.length) return
      event.preventDefault()
      attach(event.dataTransfer.files)
    }
    addEventListener("dragover", over)
    addEventListener("drop", drop)
    return () => {
      removeEventListener("dragover", over)
      removeEventListener("drop", drop)
    }
  }, [])
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault()
        send()
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
        {running && (
          <button
            type="button"
            class="danger"
            onClick={() => {
              stopAll()
              // the button goes when the run ends, and the message is where one goes on
              document.getElementById("message")?.focus()
            }}
          >
            Stop
          </button>
        )}
        <button class="primary" disabled={waiting || forking}>{running ? "Steer" : "Send"}</button>
      </div>
    </form>
  )
}

const stopAll = (): void => {
  for (const own of chats()) if (own.isRunning) void stop(own)
}

const Lane = ({ own }: { own: Chat }) => {
  const log = useRef<HTMLDivElement>(null)
  const atEnd = useRef(true)
  seen()
  useEffect(() => {
    if (atEnd.current) log.current?.scrollTo(0, log.current.scrollHeight)
  })
  const info = agents.value[own.agent.value]
  return (
    <div class="lane">
      {second.value !== undefined && (
        <div class="lane-head">
          {own === chat ? <b>{info?.name}</b> : (
            <>
              <AgentPicker own={own} label="Agent beside it" />
              <button class="icon" aria-label="Close the comparison" title="Close" onClick={compare}>
                <Icon name="remove" />
              </button>
            </>
          )}
        </div>
      )}
      <div
        class="log"
        role="log"
        aria-label={own === chat ? "Conversation" : "Conversation beside it"}
        aria-live="off"
        tabIndex={0}
        ref={log}
        onScroll={({ currentTarget: own }) => atEnd.current = own.scrollHeight - own.scrollTop - own.clientHeight < 60}
      >
        {own.turns.value.length === 0 && (
          <div class="welcome">
            <h3>{info?.name}</h3>
            <p>{info?.description ?? "Send a message to begin."}</p>
          </div>
        )}
        {own.turns.value.map((turn, key, all) => (
          <TurnView
            key={key}
            own={own}
            turn={turn}
            live={key === all.length - 1}
            known={knownOf(turn).last}
            isInspected={inspected.value !== undefined && turn.runIds.includes(inspected.value.runIds[0])}
          />
        ))}
      </div>
    </div>
  )
}

const AgentPicker = ({ label, own }: { label: string; own: Chat }) => (
  <label class="pick">
    <span class={own === chat ? "" : "hidden"}>{label}</span>
    <select
      value={own.agent.value}
      onChange={(event) => {
        own.agent.value = Number(event.currentTarget.value)
        // whoever chooses with arrow keys is not at the end yet, so the focus stays
        if (own === chat) {
          for (const each of chats()) clear(each)
          if (tab.value === "executions" && !agents.value[own.agent.value].hasExecutions) tab.value = "run"
          void list()
        } else clear(own)
        remember()
      }}
    >
      {agents.value.map((agent, index) => <option key={index} value={index}>{agent.name}</option>)}
    </select>
  </label>
)

const names = { run: "Run", parts: "Parts", graph: "Graph", agent: "Agent", executions: "Executions" }

const App = () => {
  seen()
  useEffect(enterOverlay, [drawer.value])
  const info = agents.value[chat.agent.value]
  const turn = inspected.value ?? chat.last
  const tabs = (Object.keys(names) as Array<keyof typeof names>).filter((name) =>
    name !== "executions" || info?.hasExecutions === true
  )
  return (
    <div class="app" data-drawer={drawer.value}>
      <aside class="left" aria-label="Agents and sessions">
        <h1>effect-agents</h1>
        <AgentPicker own={chat} label="Agent" />
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
          <button aria-pressed={second.value !== undefined} onClick={compare}>Compare</button>
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
        <div class="lanes">
          {chats().map((own, key) => <Lane key={key} own={own} />)}
        </div>
        {problem.value !== undefined && <Problem failure={problem.value} />}
        <Composer />
      </main>
      <aside class="right" aria-label="Details of the run">
        <div
          class="tabs"
          role="tablist"
          aria-label="Details"
          onKeyDown={(event) => {
            const at = tabs.indexOf(tab.value)
            const keys: Record<string, number> = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1 }
            const to = keys[event.key]
            if (to === undefined) return
            event.preventDefault()
            tab.value = tabs.at(to % tabs.length)!
            document.getElementById(`tab-${tab.value}`)?.focus()
          }}
        >
          {tabs.map((name) => (
            <button
              key={name}
              role="tab"
              id={`tab-${name}`}
              aria-controls="details"
              aria-selected={tab.value === name}
              tabIndex={tab.value === name ? 0 : -1}
              onClick={() => tab.value = name}
            >
              {names[name]}
            </button>
          ))}
        </div>
        <div id="details" role="tabpanel" tabIndex={0} aria-labelledby={`tab-${tab.value}`}>
          {inspected.value !== undefined && inspected.value !== chat.last && (
            <div class="row inspected">
              <span class="note">An earlier run</span>
              <button onClick={() => inspected.value = undefined}>Back to the last one</button>
            </div>
          )}
          {tab.value === "run"
            ? <RunView turn={turn} />
            : tab.value === "parts"
            ? <PartsView turn={turn} />
            : tab.value === "graph"
            ? <GraphView agent={info} turn={turn} />
            : tab.value === "agent"
            ? <AgentView agent={info} />
            : <ExecutionsView key={chat.agent.value} place={chat.path("executions")} />}
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
  if (event.isComposing) return
  if (event.key === "Escape" && hasOverlay()) drawer.value = "none"
  else if (event.key === "Escape") stopAll()
  else if (event.key === "/" && !writing) {
    event.preventDefault()
    document.getElementById("message")?.focus()
  }
})
const root = document.getElementById("app")!
keepFocus(root)
render(<App />, root)
void attempt(async () => {
  agents.value = await json("agents")
  await restore()
  await list()
  document.getElementById("message")?.focus()
})
