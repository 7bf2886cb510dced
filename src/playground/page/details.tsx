/** The run beside the conversation: its waterfall, its parts, and the agent. */
import { useState } from "preact/hooks"
import { Value } from "./conversation.tsx"
import type { Json, Span, Turn } from "./model.tsx"
import { type AgentInfo, seen } from "./state.tsx"

const ms = (value: number): string =>
  value < 1000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(value < 10_000 ? 2 : 1)} s`
const flat = (
  own: Span,
  depth = 0
): Array<readonly [Span, number]> => [[own, depth] as const, ...own.children.flatMap((child) => flat(child, depth + 1))]

export const RunView = ({ turn }: { turn: Turn | undefined }) => {
  seen()
  const root = turn?.root.span
  if (turn === undefined || root === undefined) {
    return <p class="empty">Send a message to see how the agent works on it.</p>
  }
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
  return (
    <>
      <dl class="facts">
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
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
                    left: `${(own.start - root.start) / whole * 100}%`,
                    width: `${Math.max(0.6, (end - own.start) / whole * 100)}%`
                  }}
                />
              </span>
            </li>
          )
        })}
      </ol>
    </>
  )
}

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
        </div>
      ))}
  </>
)
