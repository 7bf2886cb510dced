/**
 * An answer as it comes: the lines that are printed, the rows that still change, and what is folded to one line: tool calls
 * and reasoning.
 */
import type * as AgentRun from "../../../src/AgentRun.ts"
import * as Screen from "../Screen.ts"
import type * as Style from "../Style.ts"
import * as Text from "../Text.ts"
import * as Markdown from "./Markdown.ts"

/** A tool call. It has a result when it has ended. */
export interface Call {
  readonly id: string
  readonly name: string
  readonly params: unknown
  /** The names of the agents between the run and the one that made the call. */
  readonly path: ReadonlyArray<string>
  progress: string
  result: { readonly value: unknown; readonly isFailure: boolean } | undefined
}

/** What a model has thought, in a run or in that of an agent below it. */
export interface Thought {
  readonly path: ReadonlyArray<string>
  text: string
}

/** What has one line, and is opened on a page. */
export type Folded = Call | Thought

/** An answer in progress. */
export interface Answer {
  /** Takes in a part of the run. */
  readonly part: (part: AgentRun.Part, options: Markdown.Options) => void
  /** Returns the lines that will not change any more. They are not returned again. */
  readonly take: (options: Markdown.Options) => ReadonlyArray<string>
  /** Returns the rows that still change: the block being written, then the running calls. */
  readonly rest: (options: Markdown.Options, spinner: string) => ReadonlyArray<string>
  /** Returns what the run is doing now. */
  readonly now: () => string
  /** Ends the answer; `take` then has all that is left. A call without a result was interrupted. */
  readonly end: (options: Markdown.Options) => void
  /** The calls and the reasoning, in the order in which they began. */
  readonly folded: ReadonlyArray<Folded>
}

/** Creates an answer without parts. */
export const make = (): Answer => {
  const lines: Array<string> = []
  const all: Array<Folded> = []
  const running = new Map<string, Call>()
  const thoughts = new Map<string, Thought>()
  let text: ReturnType<typeof Markdown.stream> | undefined
  let now = "thinking"
  let last: Kind | undefined

  const print = (kind: Kind, more: ReadonlyArray<string>): void => {
    if (more.length === 0) return
    // A blank line between the calls and the text
    if (last !== undefined && last !== kind) lines.push("")
    lines.push(...more)
    last = kind
  }
  const endText = (options: Markdown.Options): void => {
    if (text === undefined) return
    print("text", text.end(options))
    text = undefined
  }
  const take = (options: Markdown.Options): ReadonlyArray<string> => {
    if (text !== undefined) print("text", text.take(options))
    return lines.splice(0)
  }
  const call = (
    part: { readonly id: string; readonly name: string; readonly params: unknown },
    path: ReadonlyArray<string>
  ): void => {
    const made: Call = { ...part, path, progress: "", result: undefined }
    all.push(made)
    running.set(keyOf(part.id, path), made)
    now = `${Text.oneLine(made.name)} is running`
  }
  const result = (
    part: Extract<AgentRun.Part, { readonly type: "tool-result" }>,
    path: ReadonlyArray<string>,
    options: Markdown.Options
  ): void => {
    const made = running.get(keyOf(part.id, path)) ??
      { id: part.id, name: part.name, params: undefined, path, progress: "", result: undefined }
    if (part.preliminary) {
      made.progress = Text.oneLine(Screen.textOf(part.encodedResult))
      return
    }
    made.result = { value: part.encodedResult, isFailure: part.isFailure }
    running.delete(keyOf(part.id, path))
    print("call", [folded(made, options)])
    now = "thinking"
  }

  const thought = (id: string, path: ReadonlyArray<string>): Thought => {
    const key = keyOf(id, path)
    const known = thoughts.get(key)
    if (known !== undefined) return known
    const made = { path, text: "" }
    thoughts.set(key, made)
    all.push(made)
    return made
  }
  const endThought = (key: string, options: Markdown.Options): void => {
    const ended = thoughts.get(key)
    thoughts.delete(key)
    if (ended === undefined) return
    // Some providers tell only that there was one
    if (ended.text.trim() === "") all.splice(all.indexOf(ended), 1)
    else print("call", [shortThought(ended, options)])
  }

  const take1 = (part: AgentRun.Part, path: ReadonlyArray<string>, options: Markdown.Options): void => {
    switch (part.type) {
      case "agent-part":
        return take1(part.part, [...path, ...part.path], options)
      case "text-start":
        if (path.length > 0) return
        endText(options)
        text = Markdown.stream()
        now = "answering"
        return
      case "text-delta":
        if (path.length === 0) text?.push(part.delta)
        return
      case "text-end":
        return path.length === 0 ? endText(options) : undefined
      case "reasoning-start":
        now = "thinking"
        thought(part.id, path)
        return
      case "reasoning-delta":
        now = "thinking"
        thought(part.id, path).text += part.delta
        return
      case "reasoning-end":
        return endThought(keyOf(part.id, path), options)
      case "tool-params-start":
        endText(options)
        now = `writing a call of ${Text.oneLine(part.name)}`
        return
      case "tool-call":
        endText(options)
        return call(part, path)
      case "tool-result":
        return result(part, path, options)
      case "file":
        endText(options)
        return print("line", [options.style.dim(`file ${Text.oneLine(part.mediaType)}, ${part.data.length} bytes`)])
      case "source":
        endText(options)
        return print("line", [
          options.style.dim(
            `source ${Text.oneLine(part.title ?? "")} ${
              part.sourceType === "url" ? Text.oneLine(String(part.url)) : ""
            }`.trim()
          )
        ])
      case "steering":
        endText(options)
        return print("line", said(textOfMessage(part.message), options))
    }
  }

  return {
    part: (part, options) => take1(part, [], options),
    take,
    rest: (options, spinner) => {
      const written = text?.rest(options) ?? []
      const rows = Array.from(running.values(), (call) => `${spinner} ${heading(call, options)}`)
      const between = written.length > 0 && last === "call" ||
        written.length === 0 && rows.length > 0 && last === "text"
      return [...(between ? [""] : []), ...written, ...(written.length > 0 && rows.length > 0 ? [""] : []), ...rows]
    },
    now: () => now,
    end: (options) => {
      endText(options)
      for (const key of thoughts.keys()) endThought(key, options)
      for (const call of running.values()) print("call", [folded(call, options)])
      running.clear()
    },
    folded: all
  }
}

type Kind = "text" | "call" | "line"

/** What the user has said, as it is printed. */
export const said = (text: string, { columns, style }: Markdown.Options): ReadonlyArray<string> =>
  Text.printable(text).split("\n").flatMap((line) => Text.wrap(line, columns - 2)).map((line, index) =>
    `${index === 0 ? style.cyan("❯") : " "} ${style.bold(line)}`
  )

/** A tool call in one line: what was called, and what came of it. */
const folded = (call: Call, options: Markdown.Options): string => {
  const { columns, style } = options
  const { result } = call
  const mark = markOf(result, style)
  const outcome = result === undefined ? "not finished" : summary(result)
  const head = Text.fit(`${mark} ${heading({ ...call, progress: "" }, { ...options, columns: columns - 2 })}`, columns)
  const room = columns - Text.width(head) - 2
  return room < 8 ? head : `${head}  ${style.dim(Text.fit(outcome, room))}`
}

const pathOf = (path: ReadonlyArray<string>): string => path.map((name) => `${Text.oneLine(name)} › `).join("")

/** Its beginning, in one line. */
const shortThought = ({ path, text }: Thought, { columns, style }: Markdown.Options): string =>
  Text.fit(
    `${style.dim("∴")} ${pathOf(path)}${style.dim(Text.oneLine(text.trimStart().slice(0, 4 * columns)))}`,
    columns
  )

const heading = (call: Call, { columns, style }: Markdown.Options): string => {
  const name = Text.fit(`${pathOf(call.path)}${Text.oneLine(call.name)}`, 60)
  // The outcome has its place beside long arguments
  const params = Text.fit(paramsOf(call.params), Math.max(10, columns - Text.width(name) - 22))
  const line = `${style.bold(name)} ${params}`
  return call.progress === "" ? line : Text.fit(`${line}  ${style.dim(call.progress)}`, columns - 2)
}

const paramsOf = (params: unknown): string => {
  if (typeof params !== "object" || params === null || Array.isArray(params)) {
    return params === undefined ? "" : Text.oneLine(JSON.stringify(params) ?? "")
  }
  return Object.entries(params).map(([name, value]) =>
    `${Text.oneLine(name)} ${Text.oneLine(JSON.stringify(value) ?? "")}`
  )
    .join(", ")
}

const markOf = (result: Call["result"], style: Style.Style): string =>
  result === undefined || isDenied(result.value)
    ? style.yellow("○")
    : result.isFailure
    ? style.red("✗")
    : style.green("●")

const isDenied = (value: unknown): value is { readonly reason?: unknown } =>
  typeof value === "object" && value !== null && "type" in value && value.type === "execution-denied"

const summary = ({ isFailure, value }: NonNullable<Call["result"]>): string => {
  if (isDenied(value)) return Text.oneLine(`not allowed: ${String(value.reason ?? "")}`)
  const lines = Screen.textOf(value).split("\n")
  return isFailure || lines.length === 1 ? Text.oneLine(lines[0]) : `${lines.length} lines`
}

const textOfMessage = (message: Extract<AgentRun.Part, { readonly type: "steering" }>["message"]): string =>
  message.content.flatMap((part) => part.type === "text" ? [part.text] : []).join("\n")

const keyOf = (id: string, path: ReadonlyArray<string>): string => JSON.stringify([id, path])

/** All calls with their arguments and results, and all reasoning, as the lines of a page. */
export const opened = (folded: ReadonlyArray<Folded>, options: Markdown.Options): ReadonlyArray<string> =>
  folded.flatMap((one, index) => {
    const { columns, style } = options
    const [heading, lines] = "name" in one ? openedCall(one, style) : openedThought(one, style)
    return [
      ...(index === 0 ? [] : [""]),
      heading,
      ...lines.flatMap((line) => Text.wrap(line, columns - 2)).map((line) => `  ${line}`)
    ]
  })

type Opened = readonly [heading: string, lines: ReadonlyArray<string>]

const openedCall = ({ name, params, path, result }: Call, style: Style.Style): Opened => [
  `${markOf(result, style)} ${style.bold(`${pathOf(path)}${Text.oneLine(name)}`)}`,
  [
    ...Text.escaped(JSON.stringify(params, undefined, 2) ?? "").split("\n").map((line) => style.cyan(line)),
    "",
    ...(result === undefined ? ["not finished"] : linesOf(Screen.textOf(result.value)))
  ]
]

const openedThought = ({ path, text }: Thought, style: Style.Style): Opened => [
  `${style.dim("∴")} ${style.bold(`${pathOf(path)}reasoning`)}`,
  linesOf(Text.printable(text).trim())
]

const linesOf = (text: string): ReadonlyArray<string> => text.replaceAll("\t", "    ").split("\n")
