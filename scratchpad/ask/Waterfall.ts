/**
 * The trace of a run as a picture: one line for each span, with a bar that shows its time.
 */
import * as Option from "effect/Option"
import type * as Tracer from "effect/Tracer"
import type * as Style from "./Style.ts"
import * as Text from "./Text.ts"

/**
 * Returns the lines of the picture, none of them longer than `columns`: name, bar,
 * duration, outcome, tokens in→out, what went wrong.
 */
export const render = (spans: ReadonlyArray<Tracer.NativeSpan>, options: {
  readonly columns: number
  readonly style: Style.Style
  readonly now: bigint
}): ReadonlyArray<string> => {
  const { columns, now, style } = options
  const rows = rowsOf(spans, now)
  if (rows.length === 0) return []
  const start = rows.reduce((min, row) => row.start < min ? row.start : min, rows[0].start)
  const end = rows.reduce((max, row) => row.end > max ? row.end : max, rows[0].end)

  const labelWidth = Math.min(Math.max(...rows.map((row) => row.label.length)), Math.max(16, Math.floor(columns * 0.4)))
  const notesWidth = Math.max(...rows.map((row) => row.notes.length))
  // The bar gets the remaining width; a terminal that is too narrow has no bars
  const barWidth = Math.min(60, columns - labelWidth - durationWidth - notesWidth - 6)
  return rows.map((row) => {
    const label = Text.clip(row.label, labelWidth).padEnd(labelWidth)
    const bar = barWidth < 6 ? [] : [style[row.colour](barOf(row, { start, end, width: barWidth }))]
    const duration = formatDuration(row.end - row.start).padStart(durationWidth)
    const used = labelWidth + durationWidth + (bar.length === 0 ? 2 : barWidth + 4)
    const notes = Text.clip(row.notes, Math.max(0, columns - used - 2))
    return [label, ...bar, duration, row.failed ? style.red(notes) : style.dim(notes)].join("  ").trimEnd()
  })
}

/** A duration in nanoseconds as a readable text. */
export const formatDuration = (nanos: bigint): string => {
  const millis = Number(nanos) / 1e6
  if (millis < 10) return `${millis.toFixed(1)} ms`
  return millis < 1000 ? `${millis.toFixed(0)} ms` : `${(millis / 1000).toFixed(2)} s`
}

interface Row {
  readonly label: string
  readonly start: bigint
  readonly end: bigint
  readonly notes: string
  readonly failed: boolean
  readonly colour: "cyan" | "blue" | "yellow" | "dim"
}

const durationWidth = 8

const rowsOf = (spans: ReadonlyArray<Tracer.NativeSpan>, now: bigint): ReadonlyArray<Row> => {
  const ids = new Set(spans.map((span) => span.spanId))
  const parentOf = (span: Tracer.NativeSpan): string =>
    Option.isSome(span.parent) && ids.has(span.parent.value.spanId) ? span.parent.value.spanId : ""
  const children = Map.groupBy(spans, parentOf)
  const rows: Array<Row> = []
  const visit = (span: Tracer.NativeSpan, depth: number): void => {
    rows.push(rowOf(span, depth, now))
    for (const child of children.get(span.spanId) ?? []) visit(child, depth + 1)
  }
  for (const root of children.get("") ?? []) visit(root, 0)
  return rows
}

const rowOf = (span: Tracer.NativeSpan, depth: number, now: bigint): Row => {
  const outcome = span.attributes.get("effect_agents.outcome")
  const errorType = span.attributes.get("error.type")
  const input = span.attributes.get("gen_ai.usage.input_tokens")
  const output = span.attributes.get("gen_ai.usage.output_tokens")
  const isEnded = span.status._tag === "Ended"
  return {
    label: `${"  ".repeat(depth)}${Text.oneLine(span.name)}`,
    start: span.status.startTime,
    end: span.status._tag === "Ended" ? span.status.endTime : now,
    notes: Text.oneLine([
      ...(outcome === undefined ? [] : [String(outcome)]),
      ...(input === undefined && output === undefined ? [] : [`${input ?? "?"}→${output ?? "?"}`]),
      ...(errorType === undefined || outcome === "Interrupted" ? [] : [String(errorType)]),
      ...(isEnded ? [] : ["not ended"])
    ].join("  ")),
    failed: errorType !== undefined || !isEnded,
    colour: colours[String(span.attributes.get("gen_ai.operation.name"))] ?? "dim"
  }
}

const colours: Record<string, Row["colour"]> = { invoke_agent: "cyan", chat: "blue", execute_tool: "yellow" }

const barOf = (row: Row, scale: { readonly start: bigint; readonly end: bigint; readonly width: number }): string => {
  const total = Math.max(1, Number(scale.end - scale.start))
  const from = Math.min(scale.width - 1, Math.floor((Number(row.start - scale.start) / total) * scale.width))
  const length = Math.max(1, Math.round((Number(row.end - row.start) / total) * scale.width))
  return `${"·".repeat(from)}${"█".repeat(Math.min(length, scale.width - from))}`.padEnd(scale.width, "·")
}
