/** The run beside the conversation: its waterfall, its parts, and the agent. */
import { useState } from "preact/hooks"
import { money, Problem, Value } from "./conversation.tsx"
import { type Json, type Span, type Turn, usageOf } from "./model.tsx"
import { type AgentInfo, chat, copy, inspect, inspected, knownOf, ms, runs, seen } from "./state.tsx"

const flat = (
  own: Span,
  depth = 0
): Array<readonly [Span, number]> => [[own, depth] as const, ...own.children.flatMap((child) => flat(child, depth + 1))]

export const RunView = ({ turn }: { turn: Turn | undefined }) => {
  seen()
  const root = turn?.root.span
  if (turn === undefined || root === undefined) {
    return (
      <>
        <p class="empty">
          {turn === undefined
            ? "Send a message to see how the agent works on it."
            : "This turn was stored without its times. Its run is in the journal, if it is below."}
        </p>
        {turn !== undefined && turn.runIds.length > 0 && (
          <button onClick={() => void inspect(chat, turn.runIds)}>Show its run</button>
        )}
        <Runs />
      </>
    )
  }
  const rows = flat(root)
  const now = root.end ?? Math.max(root.start + 1, ...turn.parts.slice(-1).map(({ at }) => at))
  const whole = Math.max(1, now - root.start)
  const known = knownOf(turn)
  // a run that has failed tells the journal alone what it has used
  const used = turn.usage ?? usageOf(known.last?.usage)
  const facts: ReadonlyArray<readonly [string, string]> = [
    ["Outcome", turn.state === "done" ? turn.stopReason ?? "done" : turn.state],
    ["Time", ms(whole)],
    ["First text", turn.firstText === undefined ? "–" : ms(turn.firstText - root.start)],
    ["Tokens in", used?.input.toLocaleString() ?? "–"],
    ["Tokens out", used?.output.toLocaleString() ?? "–"],
    ["From cache", used?.cached.toLocaleString() ?? "–"],
    ...(known.cost === undefined ? [] : [["Cost", money(known.cost)] as const]),
    ...(known.traceId === undefined ? [] : [["Trace", known.traceId] as const])
  ]
  return (
    <>
      <dl class="facts">
        {facts.map(([name, value]) => (
          <div key={name} class={name === "Trace" ? "wide" : ""}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {turn.failure !== undefined && <Problem failure={turn.failure} isTold />}
      <ol class="waterfall" aria-label="Waterfall of the run">
        {rows.slice(0, 500).map(([own, depth], key) => {
          const end = own.end ?? now
          return (
            <li key={key} class={`${own.kind} ${own.state}`}>
              <span class="name" style={{ paddingLeft: `${Math.min(depth, 8) * 12}px` }}>{own.name}</span>
              <span class="time">
                {own.input === undefined ? "" : `${own.input} in, ${own.output ?? 0} out · `}
                {ms(end - own.start)}
              </span>
              <span class="track">
                <i
                  style={{
                    left: `${Math.min(99.4, (own.start - root.start) / whole * 100)}%`,
                    width: `${Math.max(0.6, (end - own.start) / whole * 100)}%`
                  }}
                />
              </span>
            </li>
          )
        })}
      </ol>
      {turn.state !== "running" && turn.runId !== undefined && (
        <div class="row">
          <Copy turn={turn} what="test" />
          <Copy turn={turn} what="cassette" />
        </div>
      )}
      <Runs />
    </>
  )
}

const Copy = ({ turn, what }: { turn: Turn; what: "test" | "cassette" }) => {
  const [done, setDone] = useState(false)
  const take = () =>
    void copy(turn, what).then((copied) => {
      setDone(copied)
      setTimeout(() => setDone(false), 1500)
    })
  return <button onClick={take}>{done ? "Copied" : `Copy as ${what}`}</button>
}

/** The runs of the session that the journal has. */
const Runs = () =>
  runs.value.length === 0 ? null : (
    <section class="runs" aria-label="Runs of this session">
      <h3>Runs of this session</h3>
      <ul>
        {runs.value.map((run) => (
          <li key={run.runId}>
            <button
              aria-current={(inspected.value ?? chat.last)?.runIds.includes(run.runId) === true}
              onClick={() => void inspect(chat, [run.runId])}
            >
              <i class={`dot ${run.outcome}`} />
              <span class="name">{run.prompt ?? "goes on with answers"}</span>
              <span class="time">
                {run.endedAt == null ? run.outcome : ms(run.endedAt - run.startedAt)}
                {run.cost != null && ` · ${money(run.cost)}`}
              </span>
              <span class="time when">
                {run.failure?.details?.[0]?.tags.join(" › ") || (run.failure?.code ?? run.outcome)} ·{" "}
                {new Date(run.startedAt).toLocaleTimeString()}
                {run.isCut && " · parts were left out"}
              </span>
            </button>
          </li>
        ))}
      </ul>
    </section>
  )

/** Deltas that follow each other are one line. */
export const PartsView = ({ turn }: { turn: Turn | undefined }) => {
  seen()
  const groups: Array<{ type: string; at: number; parts: Array<Json> }> = []
  for (const { at, part } of turn?.parts ?? []) {
    const type = part.type === "agent-part" ? `${part.path.join(" › ")} › ${part.part.type}` : part.type
    const group = groups.at(-1)
    if (group !== undefined && group.type === type && type.endsWith("-delta")) group.parts.push(part)
    else groups.push({ type, at, parts: [part] })
  }
  if (groups.length === 0) return <p class="empty">No parts yet.</p>
  return (
    <div class="parts">
      {groups.slice(-300).map((group, key) => <PartView key={key} start={turn!.parts[0].at} group={group} />)}
    </div>
  )
}
const PartView = ({ group, start }: { group: { type: string; at: number; parts: Array<Json> }; start: number }) => {
  const [shown, setShown] = useState(false)
  return (
    <details onToggle={(event) => setShown(event.currentTarget.open)}>
      <summary>
        <code>{group.type}</code>
        {group.parts.length > 1 && ` × ${group.parts.length}`}
        <span class="time">{ms(group.at - start)}</span>
      </summary>
      {shown && <Value label="JSON" value={group.parts.length === 1 ? group.parts[0] : group.parts.slice(0, 200)} />}
    </details>
  )
}

export const AgentView = ({ agent }: { agent: AgentInfo | undefined }) => (
  <>
    <h3>{agent?.name}</h3>
    <p>{agent?.description}</p>
    {agent?.tools === undefined
      ? <p class="empty">The tools of this agent are known only in a run.</p>
      : agent.tools.map((tool) => (
        <div key={tool.name} class="offered">
          <b>{tool.name}</b>
          {tool.approval && <span class="state">asks first</span>}
          <p>{tool.description}</p>
          <Schema value={tool.parameters} />
        </div>
      ))}
  </>
)

const Schema = ({ value }: { value: Json }) => {
  const [shown, setShown] = useState(false)
  return (
    <details onToggle={(event) => setShown(event.currentTarget.open)}>
      <summary>Parameters</summary>
      {shown && <Value label="JSON schema" value={value} />}
    </details>
  )
}
