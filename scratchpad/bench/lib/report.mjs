// Results as Markdown and as a picture.

export const COLUMNS = [
  { key: "text", title: "text" },
  { key: "stream", title: "streamed text" },
  { key: "tools", title: "10-step tool loop" },
  { key: "tools100", title: "100 concurrent, per run" },
  { key: "deltas", title: "10k deltas", scale: 1e3, unit: "ms" },
  { key: "pulls", title: "10k deltas, one a pull", scale: 1e3, unit: "ms", against: "deltas" },
  { key: "arrays", title: "10k deltas, in arrays of 64", scale: 1e3, unit: "ms", against: "deltas" }
]

export const median = (xs) => {
  const sorted = xs.filter((x) => !Number.isNaN(x)).sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

const number = (x) => x >= 1e5 ? `${Math.round(x / 1e3)}k` : x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x.toFixed(2)

const row = (cells) => `| ${cells.join(" | ")} |`
const grid = (head, rows) => [row(head), row(head.map(() => "---")), ...rows.map(row)].join("\n")

const withRange = (xs) => `${number(median(xs))} [${number(Math.min(...xs))}-${number(Math.max(...xs))}]`

/** The median over the rounds of one variant's time against another's in the same round. */
export const ratio = (us, other) => median(us.map((x, i) => x / other[i]))

const isPeer = (entry) => entry.peer !== "ours" && entry.peer !== "floor"

const timesOf = (entry, column) => entry.us[column.key]?.length > 0 ? entry.us[column.key] : undefined

const rivalsOf = (entries, column) => {
  const against = { key: column.against ?? column.key }
  return entries.filter((entry) => isPeer(entry) && timesOf(entry, against) !== undefined)
    .sort((a, b) => median(a.us[against.key]) - median(b.us[against.key]))
}

const ratios = (entries, base) =>
  entries.map((entry) => [
    entry.name,
    ...COLUMNS.map((column) => {
      const times = timesOf(entry, column)
      const other = base(column)
      return times === undefined || other === undefined ? "-" : number(ratio(times, other))
    })
  ])

const timesTable = (entries) =>
  grid(
    ["", ...COLUMNS.map(({ title, unit = "µs" }) => `${title}, ${unit}`)],
    entries.map((entry) => [
      entry.name,
      ...COLUMNS.map((column) => {
        const times = timesOf(entry, column)
        return times === undefined ? "-" : withRange(times.map((us) => us / (column.scale ?? 1)))
      })
    ])
  )

export const markdown = (results) => {
  const { curves, table: entries, telemetry } = results
  const head = ["", ...COLUMNS.map(({ title }) => title)]
  const named = (name) => (column) => {
    const entry = entries.find(({ peer }) => peer === name)
    return entry === undefined ? undefined : timesOf(entry, { key: column.against ?? column.key })
  }
  const best = (column) => {
    const [rival] = rivalsOf(entries, column)
    return rival === undefined ? undefined : timesOf(rival, { key: column.against ?? column.key })
  }
  const sections = [
    "# Benchmark results",
    [
      `- Date: ${results.date}`,
      `- Machine: ${results.machine}`,
      `- Node: ${results.node}`,
      `- Version: effect-agents ${results.version}`,
      `- Command: \`${results.command}\``
    ].join("\n")
  ]
  if (entries.length > 0) {
    sections.push(
      "Every variant does the same work with an in-process model, in a process of its own; they take turns. " +
        `Cell: median [min-max] of ${results.rounds} rounds, ${results.clock} of one run. What is not the agent (network, model) is not in it. ` +
        "effect-agents runs with a context provider that has all its hooks, spans off.",
      "## Time",
      timesTable(entries),
      "## Times the floor",
      "The floor is a bare async generator: no validation, no hooks, no errors. Median of the rounds' ratios.",
      grid(head, ratios(entries.filter(({ peer }) => peer !== "floor"), named("floor"))),
      "## Times the best peer",
      grid(head, [
        ["best peer", ...COLUMNS.map((column) => rivalsOf(entries, column)[0]?.name ?? "-")],
        ...ratios(entries.filter((entry) => entry.peer === "ours"), best)
      ])
    )
    if (named("pi")({ key: "tools" }) !== undefined) {
      sections.push("## Times pi-agent-core", grid(head, ratios(entries.filter((entry) => entry.peer !== "pi"), named("pi"))))
    }
    sections.push(
      "`10k deltas`: from an async iterable, one by one. `one a pull` and `in arrays of 64`: from a stream of such arrays, compared with the others' `10k deltas`."
    )
  }
  if (telemetry.length > 0) {
    sections.push(
      "## Telemetry on, 10-step tool loop",
      "A real tracer provider with an in-memory exporter, content capture off; with it and without it in turn.",
      grid(
        ["", "off, µs", "on, µs", "adds, µs", "times", "spans of a run"],
        telemetry.map(({ name, off, on, ratio, spans }) => [
          name,
          number(off),
          number(on),
          number(on - off),
          withRange(ratio),
          Object.entries(spans).map(([span, count]) => `${count} ${span}`).join(", ")
        ])
      )
    )
  }
  if (results.spans.length > 0) {
    const [{ us: off }] = results.spans
    sections.push(
      "## What the spans cost",
      "The tool loop of effect-agents (direct), in turn: what is ours, what is effect's, what is OpenTelemetry's.",
      grid(["", "µs", "times"], results.spans.map(({ name, us }) => [name, withRange(us), number(ratio(us, off))]))
    )
  }
  for (const section of [...results.serving, ...curves]) sections.push(...sectionOf(section))
  return sections.join("\n\n") + "\n"
}

const sectionOf = ({ head, note, rows, title }) => [`## ${title}`, ...(note === undefined ? [] : [note]), grid(head, rows)]

/** The results of a whole run, with the sections about servers of a later one. */
export const withSections = (text, { command, date, machine, serving }) => {
  const others = text.split(/\n(?=## )/).filter((section) =>
    !serving.some(({ title }) => section.startsWith(`## ${title}\n`))
  ).map((section) => section.trimEnd())
  const at = others.findIndex((section) => section.startsWith("## Steps\n"))
  const ours = serving.map((section) =>
    sectionOf({ ...section, note: `${section.note} Run of ${date}, ${machine}: \`${command}\`.` }).join("\n\n")
  )
  return [...others.slice(0, at), ...ours, ...others.slice(at)].join("\n\n") + "\n"
}

// -----------------------------------------------------------------------------
// picture
// -----------------------------------------------------------------------------

const PICTURED = ["text", "stream", "tools", "tools100", "deltas"]

const escape = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;")

/** Bars on a logarithmic scale, fastest first; readable on a light and on a dark page. */
export const svg = ({ command, date, machine, table: entries }) => {
  const width = 860, label = 230, barHeight = 14, gap = 5, panelGap = 38, top = 48
  let y = top
  const out = []
  for (const column of COLUMNS.filter(({ key }) => PICTURED.includes(key))) {
    const bars = entries.flatMap((entry) => {
      const times = timesOf(entry, column)
      return times === undefined ? [] : [{ entry, us: median(times) }]
    }).sort((a, b) => a.us - b.us)
    if (bars.length === 0) continue
    const low = Math.log10(bars[0].us) - 0.3, high = Math.log10(bars[bars.length - 1].us)
    const scale = (us) => (Math.log10(us) - low) / (high - low || 1) * (width - label - 110)
    const { scale: divisor = 1, title, unit = "µs" } = column
    out.push(`<text class="t" x="0" y="${y}">${escape(title)}, ${unit} a run (logarithmic)</text>`)
    y += 10
    for (const { entry, us } of bars) {
      const kind = entry.peer === "ours" ? "ours" : entry.peer === "floor" ? "floor" : "peer"
      const length = Math.max(2, scale(us))
      out.push(
        `<text class="l" x="${label - 8}" y="${y + 11}" text-anchor="end">${escape(entry.name)}</text>` +
          `<rect class="${kind}" x="${label}" y="${y}" width="${length.toFixed(1)}" height="${barHeight}" rx="2"/>` +
          `<text class="l" x="${(label + length + 6).toFixed(1)}" y="${y + 11}">${number(us / divisor)}</text>`
      )
      y += barHeight + gap
    }
    y += panelGap - gap
  }
  const height = y
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="Time of one agent run, by framework">
<style>
text { font-family: system-ui, sans-serif; fill: #1f2328 }
.t { font-size: 13px; font-weight: 600 } .l { font-size: 11px } .h { font-size: 11px; fill: #59636e }
.ours { fill: #2f6feb } .peer { fill: #a7b0ba } .floor { fill: #d9a441 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .h { fill: #9198a1 } .ours { fill: #58a6ff } .peer { fill: #59636e } .floor { fill: #bb8009 }
}
</style>
<text class="h" x="0" y="16">${escape(`${date}, ${machine}. ${command}. Overhead of the agent alone: the model is in the process and answers at once.`)}</text>
${out.join("\n")}
</svg>
`
}
