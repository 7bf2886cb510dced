/** Graphs: that of an agent that was made from one, or what calls what in a run. */
import type { CallBlock, Turn } from "./model.tsx"
import { type AgentInfo, type Picture, seen } from "./state.tsx"

const [width, height, gapX, gapY] = [132, 40, 20, 46]

/** How far a node has come in a run. The node of a graph in a graph is as far as its nodes. */
const statusOf = (name: string, turn: Turn | undefined, calls: ReadonlyArray<CallBlock>): string => {
  const own = calls.filter((call) => call.name === name || call.name.startsWith(`${name}/`))
  const states = own.map(({ state }) => state === "writing" ? "running" : state === "denied" ? "failed" : state)
  // a node that runs again is as far as its last run
  const last = own.some((call) => call.name === name) ? [states.at(-1)!] : states
  return ["failed", "waiting", "running", "done"].find((state) => last.includes(state as never)) ??
    (turn?.state === "done" ? "skipped" : "pending")
}

/** The calls of a run, those that worked at the same time beside each other. */
const pictureOf = (agent: string, calls: ReadonlyArray<CallBlock>): Picture => {
  const nodes = [{ name: agent, kind: "start" }, ...calls.map(({ name }) => ({ name, kind: "call" }))]
  const edges: Array<{ from: number; to: number }> = []
  let before = [0]
  let wave: Array<number> = []
  let end = Infinity
  calls.forEach(({ span }, index) => {
    if (wave.length > 0 && (span === undefined || span.start >= end)) {
      before = wave
      wave = []
      end = Infinity
    }
    wave.push(index + 1)
    end = Math.min(end, span?.end ?? Infinity)
    for (const from of before) edges.push({ from, to: index + 1 })
  })
  return { nodes, edges }
}

const ranksOf = ({ edges, nodes }: Picture): Array<number> => {
  const ranks = nodes.map(() => 0)
  for (let round = 0; round < nodes.length; round++) {
    for (const { from, loop, to } of edges) {
      if (loop == null && from !== to) ranks[to] = Math.max(ranks[to], Math.min(nodes.length, ranks[from] + 1))
    }
  }
  return ranks
}

const short = (text: string): string => text.length > 17 ? `${text.slice(0, 16)}…` : text

export const GraphView = ({ agent, turn }: { agent: AgentInfo | undefined; turn: Turn | undefined }) => {
  seen()
  const calls = [...turn?.root.calls.values() ?? []].slice(-80)
  const given = agent?.graph ?? undefined
  const picture = given ?? pictureOf(agent?.name ?? "", calls)
  if (given === undefined && calls.length === 0) {
    return <p class="empty">The graph of the calls is drawn when the agent calls a tool.</p>
  }
  const ranks = ranksOf(picture)
  const rows: Array<Array<number>> = []
  ranks.forEach((rank, index) => (rows[rank] ??= []).push(index))
  const widest = Math.max(...rows.map((row) => row?.length ?? 0))
  const hasLoop = picture.edges.some(({ loop }) => loop != null)
  const whole = widest * (width + gapX) + (hasLoop ? 60 : 0)
  const places = picture.nodes.map((_, index) => {
    const row = rows[ranks[index]]
    const left = (widest - row.length) * (width + gapX) / 2
    return { x: left + row.indexOf(index) * (width + gapX) + gapX / 2, y: ranks[index] * (height + gapY) + 6 }
  })
  const states = picture.nodes.map(({ kind, name }, index) =>
    kind === "start"
      ? turn?.state ?? "pending"
      : given === undefined
      ? statusOf("", undefined, [{ ...calls[index - 1], name: "" }])
      : statusOf(name, turn, calls)
  )
  const tall = rows.length * (height + gapY) - gapY + 12
  return (
    <>
      <div class="graph" tabIndex={0}>
        <svg
          viewBox={`0 0 ${whole} ${tall}`}
          style={{ width: `${whole}px` }}
          role="img"
          aria-label={`Graph: ${picture.nodes.map(({ name }, index) => `${name} ${states[index]}`).join(", ")}`}
        >
          <marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
            <path d="M0 0l8 4-8 4z" />
          </marker>
          {picture.edges.map(({ from, isConditional, loop, to }, key) => {
            const [a, b] = [places[from], places[to]]
            const right = Math.max(a.x, b.x) + width
            const path = loop == null
              ? `M${a.x + width / 2} ${a.y + height}C${a.x + width / 2} ${a.y + height + gapY / 2} ${b.x + width / 2} ${
                b.y - gapY / 2
              } ${b.x + width / 2} ${b.y - 1}`
              : `M${a.x + width} ${a.y + height / 2}C${right + 50} ${a.y + height / 2} ${right + 50} ${
                b.y + height / 2
              } ${b.x + width + 1} ${b.y + height / 2}`
            return (
              <g key={key} class={isConditional ? "edge maybe" : "edge"}>
                <path d={path} marker-end="url(#arrow)" />
                {loop != null && <text x={right + 30} y={(a.y + b.y + height) / 2 + 4}>{`≤ ${loop}`}</text>}
              </g>
            )
          })}
          {picture.nodes.map(({ kind, name }, index) => {
            const { x, y } = places[index]
            const count = given === undefined ? 0 : calls.filter((call) => call.name === name).length
            return (
              <g key={index} class={`node ${states[index]}`} data-node={name}>
                <title>{`${name}: ${states[index]}`}</title>
                <rect x={x} y={y} width={width} height={height} rx={kind === "agent" || kind === "start" ? 20 : 8} />
                <circle cx={x + 16} cy={y + height / 2} r="4" />
                <text x={x + 27} y={y + height / 2 + 4}>{short(name)}</text>
                {count > 1 && <text class="count" x={x + width - 10} y={y - 3}>{`×${count}`}</text>}
              </g>
            )
          })}
        </svg>
      </div>
      <p class="note legend">
        {["pending", "running", "waiting", "done", "failed", "skipped"].map((state) => (
          <span key={state} class={state}>
            <i class="dot" />
            {state}
          </span>
        ))}
      </p>
    </>
  )
}
