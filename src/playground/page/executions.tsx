/** The executions of a durable agent, and what a person can do about them. */
import { useEffect, useState } from "preact/hooks"
import { json, request } from "./client.tsx"
import { Approval, Problem, Value } from "./conversation.tsx"
import type { Failure, Json } from "./model.tsx"
import { chat, failureOf } from "./state.tsx"

const kinds = ["all", "running", "waiting", "parked", "ended"] as const
const kindOf = (status: string): string => /^(running|waiting|parked)$/.test(status) ? status : "ended"

const parsed = (text: string): Json => {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

export const ExecutionsView = () => {
  const [all, setAll] = useState<ReadonlyArray<Json> | undefined>(undefined)
  const [next, setNext] = useState<string | undefined>(undefined)
  const [kind, setKind] = useState<(typeof kinds)[number]>("all")
  const [failure, setFailure] = useState<Failure | undefined>(undefined)
  const attempt = async (work: () => Promise<void>) => {
    try {
      await work()
      setFailure(undefined)
    } catch (error) {
      setFailure(failureOf(error))
    }
  }
  const place = chat.path("executions")
  const load = (after?: string) =>
    attempt(async () => {
      const page = await json(`${place}${after === undefined ? "" : `?after=${encodeURIComponent(after)}`}`)
      setAll((before) => after === undefined ? page.executions : [...before ?? [], ...page.executions])
      setNext(page.next ?? undefined)
    })
  const change = (path: string, method = "POST", body?: Json) =>
    attempt(async () => {
      await request(`${place}${path}`, { method, ...(body !== undefined && { body }) })
      await load()
    })
  useEffect(() => {
    setAll(undefined)
    void load()
    // pages that were asked for stay as they are
    const timer = setInterval(() => document.querySelector(".executions [open]") ?? void load(), 2000)
    return () => clearInterval(timer)
  }, [place])
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
          <li key={id} data-execution={id} data-status={status}>
            <div class="row">
              <i class={`dot ${status}`} />
              <code class="name">{id}</code>
              <span class="state">{status}</span>
            </div>
            <p class="note">{new Date(createdAt).toLocaleString()}</p>
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
              {kindOf(status) === "ended"
                ? (
                  <button onClick={() => void change(`/${encodeURIComponent(id)}`, "DELETE")}>Delete</button>
                )
                : (
                  <button
                    class="danger"
                    onClick={() => void change(`/${encodeURIComponent(id)}/interrupt`)}
                  >
                    Interrupt
                  </button>
                )}
            </div>
          </li>
        ))}
      </ul>
      <div class="row">
        {next !== undefined && <button onClick={() => void load(next)}>More</button>}
        <button onClick={() => void load()}>Refresh</button>
        <button onClick={() => void change("/purge", "POST", { endedBefore: Date.now() })}>
          Purge all that have ended
        </button>
      </div>
    </div>
  )
}
