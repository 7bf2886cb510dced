/**
 * Shows a run in a terminal: its parts as they come, how it ended, and its trace.
 */
import * as Cause from "effect/Cause"
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stdio from "effect/Stdio"
import * as Terminal from "effect/Terminal"
import type * as Tracer from "effect/Tracer"
import * as AgentRun from "../../src/AgentRun.ts"
import * as Style from "./Style.ts"
import * as Text from "./Text.ts"
import * as Waterfall from "./Waterfall.ts"

/**
 * Service that prints. When nobody reads the output any more (`| head`), `heading` and `part` interrupt like Ctrl-C,
 * and nothing is printed after the run.
 */
export class Screen extends Context.Service<Screen, {
  readonly heading: (lines: ReadonlyArray<string>) => Effect.Effect<void>
  readonly part: (part: AgentRun.Part) => Effect.Effect<void>
  readonly notice: (text: string) => Effect.Effect<void>
  readonly outcome: (outcome: AgentRun.Outcome) => Effect.Effect<void>
  readonly trace: (spans: ReadonlyArray<Tracer.NativeSpan>, now: bigint) => Effect.Effect<void>
}>()("ask/Screen") {}

/** Layer that prints to standard output, with colours and a progress line only if that is a terminal. */
export const layer: Layer.Layer<Screen, Config.ConfigError, Terminal.Terminal | Stdio.Stdio> = Layer.effect(Screen)(
  Effect.gen(function*() {
    const terminal = yield* Terminal.Terminal
    const stdio = yield* Stdio.Stdio
    const isTerminal = yield* stdio.stdoutIsTerminal
    const noColor = yield* Config.withDefault(Config.String("NO_COLOR"), "")
    const style = isTerminal && noColor === "" ? Style.colours : Style.plain
    const columns = Effect.map(terminal.columns, (columns) => columns > 0 ? columns : 100)
    const printer = makePrinter(style)
    const print = (text: string) => terminal.display(text).pipe(Effect.catch(() => Effect.interrupt))
    const printLast = (text: string) => Effect.ignore(terminal.display(text))

    return Screen.of({
      heading: (lines) => print(`${lines.map((line) => style.dim(Text.oneLine(line))).join("\n")}\n\n`),
      part: (part) =>
        Effect.flatMap(columns, (columns) => {
          const text = printer(part, isTerminal ? columns : undefined)
          return text === "" ? Effect.void : print(text)
        }),
      notice: (text) => print(`${printer("end", undefined)}${style.yellow("?")} ${text}`),
      outcome: (outcome) => printLast(`${printer("end", undefined)}\n${describe(outcome, style)}\n`),
      trace: Effect.fnUntraced(function*(spans, now) {
        const lines = trace(spans, { columns: yield* columns, style, now })
        if (lines.length > 0) yield* printLast(`\n${lines.join("\n")}\n`)
      })
    })
  })
)

/**
 * Layer that prints each part as a line of JSON, and everything that is not a part to standard error.
 */
export const layerJson: Layer.Layer<Screen, never, Terminal.Terminal> = Layer.effect(Screen)(
  Effect.gen(function*() {
    const terminal = yield* Terminal.Terminal
    const encode = Schema.encodeEffect(AgentRun.parts())
    return Screen.of({
      heading: () => Effect.void,
      // A part that came from this process can be encoded
      part: (part) =>
        Effect.flatMap(
          Effect.orDie(encode(part)),
          (encoded) =>
            terminal.display(`${Text.escaped(JSON.stringify(encoded))}\n`).pipe(Effect.catch(() => Effect.interrupt))
        ),
      notice: (text) => Console.error(text.trimEnd()),
      outcome: (outcome) => outcome._tag === "Completed" ? Effect.void : Console.error(describe(outcome)),
      trace: () => Effect.void
    })
  })
)

/**
 * The trace of a run as lines, none of them longer than `columns`. It shows the run; spans of its session store and
 * others are in the file of `--spans`.
 */
export const trace = (
  spans: ReadonlyArray<Tracer.NativeSpan>,
  options: { readonly columns: number; readonly style: Style.Style; readonly now: bigint }
): ReadonlyArray<string> => {
  const shown = spans.filter((span) => span.attributes.has("gen_ai.operation.name"))
  if (shown.length === 0) return []
  const others = spans.length - shown.length
  const more = others === 0 ? "" : `, and ${others} more span${others === 1 ? "" : "s"}`
  return [options.style.dim(`trace ${shown[0].traceId}${more}`), ...Waterfall.render(shown, options)]
}

/** How a run ended, in one line. */
export const describe = (outcome: AgentRun.Outcome, style: Style.Style = Style.plain): string => {
  switch (outcome._tag) {
    case "Completed": {
      const { steps, stopReason, usage } = outcome.result
      const reason = stopReason === "stop" ? "" : ` (${Text.oneLine(stopReason)})`
      return `${style.green("Completed")}${reason}: ${spent(steps, usage)}`
    }
    case "Failed":
      return `${style.red("Failed")}: ${messageOf(outcome.cause)}\n${
        spent(outcome.partial.steps, outcome.partial.usage)
      }`
    case "Interrupted":
      return `${style.yellow("Interrupted")}: the session is unchanged, ` +
        spent(outcome.partial.steps, outcome.partial.usage)
    case "Abandoned":
      return `${style.yellow("Abandoned")}: the session is unchanged, ` +
        spent(outcome.partial.steps, outcome.partial.usage)
  }
}

/** What went wrong, without the stack. */
export const messageOf = (cause: Cause.Cause<unknown>): string => {
  const failed = cause.reasons.find(Cause.isFailReason)
  if (failed !== undefined) return errorMessage(failed.error)
  const died = cause.reasons.find(Cause.isDieReason)
  return died === undefined ? "interrupted" : `a defect of this program: ${errorMessage(died.defect)}`
}

const errorMessage = (error: unknown): string =>
  Text.printable(error instanceof Error ? error.message || error.name : String(error))

const spent = (steps: ReadonlyArray<AgentRun.Step>, { inputTokens, outputTokens }: AgentRun.Usage): string => {
  const tokens = (n: number | undefined) => (n ?? 0).toLocaleString("en-US")
  const used = inputTokens.total === undefined && outputTokens.total === undefined
    ? "no tokens"
    : `${tokens(inputTokens.total)} tokens in, ${tokens(outputTokens.total)} out`
  return `${steps.length} finished step${steps.length === 1 ? "" : "s"}, ${used}`
}

/** Returns the function that gives the text for a part. `columns` is `undefined` if there is no progress line. */
const makePrinter = (style: Style.Style) => {
  let hasProgress = false
  let atLineStart = true
  let held = ""

  const clear = (): string => {
    if (!hasProgress) return ""
    hasProgress = false
    return "\r\x1b[K"
  }
  const line = (text: string): string => {
    const before = clear() + release() + (atLineStart ? "" : "\n")
    atLineStart = true
    return `${before}${text}\n`
  }
  /** A character or a line break that is spread over two deltas is still one. */
  const spoken = (delta: string): string => {
    const text = held + delta
    const end = /[\r\ud800-\udbff]$/.test(text) ? text.length - 1 : text.length
    held = text.slice(end)
    const shown = Text.printable(text.slice(0, end))
    if (shown !== "") atLineStart = shown.endsWith("\n")
    return shown
  }
  const release = (): string => {
    const shown = Text.printable(held)
    held = ""
    if (shown !== "") atLineStart = false
    return shown
  }

  return (part: AgentRun.Part | "end", columns: number | undefined): string => {
    if (part === "end") return clear() + release() + (atLineStart ? "" : "\n")
    switch (part.type) {
      case "text-start":
        return line("")
      case "text-delta":
        return clear() + spoken(part.delta)
      case "reasoning-delta":
        return clear() + style.dim(spoken(part.delta))
      case "tool-call":
        return line(`${style.yellow("→")} ${named(part.name, style)} ${shortened(argumentsOf(part.params), 200)}`)
      case "tool-result": {
        if (!part.preliminary) return line(resultOf(part, style))
        if (columns === undefined) return ""
        hasProgress = true
        const before = release() + (atLineStart ? "" : "\n")
        atLineStart = true
        return `${before}\r\x1b[K${style.dim(shortened(`  … ${textOf(part.encodedResult)}`, columns - 1))}`
      }
      default:
        return ""
    }
  }
}

const shownLines = 6

const resultOf = (
  part: { readonly name: string; readonly encodedResult: unknown; readonly isFailure: boolean },
  style: Style.Style
): string => {
  const lines = textOf(part.encodedResult).split("\n")
  const shown = lines.slice(0, shownLines).map((line) => `  ${shortened(line, 160)}`)
  const more = lines.length > shownLines ? [`  … ${lines.length - shownLines} more lines`] : []
  const head = part.isFailure
    ? `${style.red("✗")} ${named(part.name, style)}`
    : `${style.green("←")} ${named(part.name, style)}`
  return [head, ...[...shown, ...more].map(style.dim)].join("\n")
}

const named = (name: string, style: Style.Style): string => style.bold(shortened(name, 80))

const argumentsOf = (params: unknown): string => JSON.stringify(params) ?? ""

/** A result of a tool as a text without unprintable characters. */
export const textOf = (result: unknown): string => {
  if (typeof result === "string") return Text.printable(result)
  if (isRefusal(result)) return Text.printable(`${result.path}: ${result.problem}; ${result.advice}`)
  return Text.escaped(JSON.stringify(result) ?? "")
}

const isRefusal = (
  u: unknown
): u is { readonly path: string; readonly problem: string; readonly advice: string } =>
  typeof u === "object" && u !== null && "path" in u && "problem" in u && "advice" in u

const shortened = (text: string, width: number): string => Text.clip(Text.oneLine(text), width)
