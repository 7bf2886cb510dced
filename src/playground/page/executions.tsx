/** The executions of a durable agent, and what a person can do about them. */
import { useEffect, useRef, useState } from "preact/hooks"
import { json, request } from "./client.tsx"
import { Approval, Problem, Value } from "./conversation.tsx"
import type { Failure, Json } from "./model.tsx"
import { failureOf, once } from "./state.tsx"

const kinds = ["all", "queued", "running", "waiting", "parked", "ended"] as const
const kindOf = (status: string): string => (kinds as ReadonlyArray<string>).includes(status) ? status : "ended"

const parsed = (text: string): Json => {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** A button for what cannot be undone. It asks once more. */
const Final = ({ does, name }: { does: () => void; name: string }) => {
  const [asks, setAsks] = useState(false)
  const forget = () => setAsks(false)
  return (
    <button
      onClick={once(() => {
        setAsks(!asks)
        if (asks) does()
      })}
      onBlur={forget}
      onMouseLeave={forget}
      onKeyDown={(event) => {
        if (event.key !== "Escape" || !asks) return
        event.stopPropagation()
        forget()
      }}
    >
      {asks ? `${name} for good` : name}
    </button>
  )
}

export const ExecutionsView = ({ place }: { place: string }) => {
  const [all, setAll] = useState<ReadonlyArray<Json> | undefined>(undefined)
  const [next, setNext] = useState<string | undefined>(undefined)
  const [kind, setKind] = useState<(typeof kinds)[number]>("all")
  const [failure, setFailure] = useState<Failure | undefined>(undefined)
  const pages = useRef(1)
  const asked = useRef(0)
  const stale = useRef<Failure | undefined>(undefined)
  /** Reads the pages that were asked for. */
  const load = async () => {
    const own = ++asked.current
    const found: Array<Json> = []
    let after: string | undefined
    for (let page = 0; page === 0 || page < pages.current && after !== undefined; page++) {
      const { executions, next } = await json(`${place}${page === 0 ? "" : `?after=${encodeURIComponent(after!)}`}`)
      found.push(...executions)
      after = next ?? undefined
    }
    // what was asked later may have been faster
    if (own !== asked.current) return
    setAll(found)
    setNext(after)
  }
  /** Takes no failure away but its own. */
  const refresh = () =>
    load().then(
      () => setFailure((now) => now === stale.current ? undefined : now),
      (error) => setFailure(stale.current = failureOf(error))
    )
  const attempt = async (work: () => Promise<unknown>) => {
    try {
      await work()
      await load()
      setFailure(undefined)
    } catch (error) {
      setFailure(failureOf(error))
    }
  }
  const change = (path: string, method = "POST", body?: Json) =>
    attempt(() => request(`${place}${path}`, { method, ...(body !== undefined && { body }) }))
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined
    let isOver = false
    const poll = async () => {
      // what somebody reads or writes stays as it is
      if (document.querySelector(".executions [open]") === null) await refresh()
      if (!isOver) timer = setTimeout(poll, 2000)
    }
    void poll()
    return () => {
      isOver = true
      clearTimeout(timer)
    }
  }, [])
  const shown = all?.filter(({ status }) => kind === "all" || kindOf(status) === kind) ?? []
  return (
    <div class="executions">
      <div class="row">
        {kinds.map((one) => (
          <button key={one} class="chip" aria-pressed={kind === one} onClick={() => setKind(one)}>
            {one} {one === "all" ? all?.length ?? 0 : all?.filter(({ status }) => kindOf(status) === one).length ?? 0}
          </button>
        ))}
      </div>
      {failure !== undefined && <Problem failure={failure} />}
      {all !== undefined && shown.length === 0 && <p class="empty">No executions.</p>}
      <ul>
        {shown.map(({ approvals, cause, createdAt, failure, id, status }) => (
          <li key={id} data-execution={id} data-status={status} tabIndex={-1}>
            <div class="row">
              <i class={`dot ${status}`} />
              <code class="name">{id}</code>
              <span class="state">{status}</span>
            </div>
            <p class="note">{new Date(createdAt).toLocaleString()}</p>
            {status === "queued" && <p class="note">No process that knows the agent has begun to work on it.</p>}
            {cause != null && <pre tabIndex={0}>{cause}</pre>}
            {failure != null && <Value label="Failure" value={parsed(failure)} />}
            {approvals.map((approval: Json) => (
              <details key={approval.approvalId}>
                <summary>
                  <b>{approval.tool}</b> asks for an answer
                </summary>
                <Approval
                  approval={approval}
                  give={(given) =>
                    void change(`/${encodeURIComponent(id)}/answers`, "POST", {
                      answers: [{ approvalId: approval.approvalId, ...given }]
                    })}
                />
              </details>
            ))}
            <div class="row">
              {status === "parked" && (
                <button onClick={() => void change(`/${encodeURIComponent(id)}/resume`)}>Resume</button>
              )}
              {kindOf(status) !== "ended" && (
                <button
                  class="danger"
                  onClick={once(() => void change(`/${encodeURIComponent(id)}/interrupt`))}
                >
                  Interrupt
                </button>
              )}
              {/^(queued|ended)$/.test(kindOf(status)) && (
                <Final
                  name="Delete"
                  does={() => void change(`/${encodeURIComponent(id)}`, "DELETE")}
                />
              )}
            </div>
          </li>
        ))}
      </ul>
      <div class="row">
        {next !== undefined && (
          <button
            onClick={() => {
              pages.current++
              void refresh()
            }}
          >
            More
          </button>
        )}
        <button onClick={() => void refresh()}>Refresh</button>
        <Final
          name="Purge all that have ended"
          does={() => void change("/purge", "POST", { endedBefore: Date.now() })}
        />
      </div>
    </div>
  )
}
