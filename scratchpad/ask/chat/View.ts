/**
 * What a chat shows: a function of its state.
 */
import type * as AgentRun from "../../../src/AgentRun.ts"
import type * as Approval from "../../../src/Approval.ts"
import * as Screen from "../Screen.ts"
import type * as Style from "../Style.ts"
import * as Text from "../Text.ts"
import type * as Answer from "./Answer.ts"
import * as Commands from "./Commands.ts"
import * as Consent from "./Consent.ts"
import type * as Conversation from "./Conversation.ts"
import * as Editor from "./Editor.ts"
import type * as Live from "./Live.ts"
import type * as Markdown from "./Markdown.ts"
import type * as Pager from "./Pager.ts"

/** What the rows at the end of the terminal depend on. */
export interface State {
  readonly conversation: Conversation.Conversation
  readonly style: Style.Style
  readonly size: Pager.Size
  readonly editor: Editor.Editor
  readonly answer: Answer.Answer | undefined
  /** The tool calls and the reasoning of the answers before. */
  readonly folded: ReadonlyArray<Answer.Folded>
  /** A line below the text, about the last key. */
  readonly hint: string
  /** The call that waits for the user. */
  readonly consent: Consent.Consent | undefined
  /** Whether the user writes on, and is not yet at the question. */
  readonly isWriting: boolean
  /** The run or the command that is in progress. */
  readonly working: { readonly since: number; readonly isEnding: boolean } | undefined
}

const frames = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"

/** The spinner turns after so many milliseconds. */
export const tick = 80

/** How prose is printed. It is not wider than what is easy to read. */
export const shape = ({ size, style }: Pick<State, "size" | "style">): Markdown.Options => ({
  columns: Math.max(20, Math.min(size.columns - 1, 100)),
  style
})

/** Returns the rows below everything that was printed, none of them wider than the terminal, and not too many. */
export const frame = (self: State, now: number): Live.Frame => {
  const { answer, consent, size, style } = self
  const columns = Math.max(10, size.columns - 1)
  const spinner = style.cyan(frames[Math.floor(now / tick) % frames.length])
  const typed = typing(self, columns)
  const before = status(self, spinner, now)
  const end = [...before, ...typed.rows, ...below(self)].slice(0, size.rows - 1)
  const room = Math.max(0, size.rows - 2 - end.length)
  // While a call waits for the user its question is above
  const written = answer === undefined || consent !== undefined ? [] : answer.rest(shape(self), spinner)
  // The newest rows of an answer that is longer than the terminal
  const above = written.length === 0 || room === 0 ? [] : [...written.slice(-room), ""]
  return {
    rows: [...above, ...end].map((line) => Text.fit(line, columns)),
    cursor: typed.cursor === undefined
      ? undefined
      : { row: above.length + before.length + typed.cursor.row, column: typed.cursor.column }
  }
}

/** What is going on. */
const status = ({ answer, style, working }: State, spinner: string, now: number): ReadonlyArray<string> => {
  if (working === undefined) return []
  const seconds = Math.floor((now - working.since) / 1000)
  const what = working.isEnding ? "ending" : answer?.now() ?? "working"
  return [`${spinner} ${style.dim(`${what} · ${seconds} s · Ctrl-C interrupts`)}`, ""]
}

/** The label and the text that is being typed; a long text around the cursor. */
const typing = (
  { consent: waiting, editor, isWriting, size, style }: State,
  columns: number
): { readonly rows: ReadonlyArray<string>; readonly cursor: Live.Frame["cursor"] } => {
  const consent = isWriting ? undefined : waiting
  const label = consent === undefined ? `${style.cyan("❯")} ` : Consent.label(consent, style)
  if (consent?.asks === "choice") return { rows: [label], cursor: undefined }
  const isBelow = consent?.asks === "arguments"
  const indent = isBelow ? 2 : Text.width(label)
  const { column, row, rows } = Editor.view(consent?.editor ?? editor, Math.max(5, columns - indent))
  const most = Math.max(1, Math.min(10, size.rows - 8))
  const top = Math.max(0, Math.min(row - most + 1, rows.length - most))
  const shown = rows.slice(top, top + most).map((text, at) =>
    `${at === 0 && !isBelow ? label : " ".repeat(indent)}${text}`
  )
  return {
    rows: isBelow ? [label, ...shown] : shown,
    cursor: { row: row - top + (isBelow ? 1 : 0), column: Math.min(columns, indent + column) }
  }
}

/** A line about the last key, the commands that fit, or what the conversation is. */
const below = (self: State): ReadonlyArray<string> => {
  const { consent, editor, hint, isWriting, style } = self
  if (hint !== "") return [style.yellow(hint)]
  if (isWriting) return [style.yellow("A call waits for your answer. Enter goes to it; what you have written stays.")]
  if (consent !== undefined) return consent.problem === "" ? [] : [style.red(consent.problem)]
  const commands = Commands.matching(editor.text)
  return commands.length > 0
    ? commands.map(({ argument, description, name }) =>
      `  ${style.bold(`/${name} ${argument}`.padEnd(24))} ${style.dim(description)}`
    )
    : [style.dim(`  ${footer(self)}`)]
}

const footer = ({ conversation, folded }: State): string => {
  const { isKept, name } = conversation.session()
  const { left, total } = conversation.spent()
  return [
    Text.oneLine(conversation.model()).replace(/ \(.*/, ""),
    isKept ? `session ${Text.oneLine(name)}` : "not kept",
    `${amount(total)} tokens${left === undefined ? "" : `, ${amount(left)} left`}`,
    "/help",
    ...(folded.length === 0 ? [] : ["Ctrl-O opens the details"])
  ].join(" · ")
}

const amount = (n: number): string => n.toLocaleString("en-US")

/** How an answer ended, in few words. */
export const closing = (
  outcome: AgentRun.Outcome,
  { input, output, steps }: Conversation.Spent,
  seconds: number,
  style: Style.Style
): ReadonlyArray<string> => {
  const spent = style.dim(
    `${steps} step${steps === 1 ? "" : "s"} · ${amount(input)} tokens in, ${amount(output)} out · ${
      seconds.toFixed(1)
    } s`
  )
  switch (outcome._tag) {
    case "Completed": {
      const { stopReason } = outcome.result
      return stopReason === "stop" ? [spent] : [`${style.yellow("Stopped")}: ${Text.oneLine(stopReason)}`, spent]
    }
    case "Failed":
      return [`${style.red("Failed")}: ${Screen.messageOf(outcome.cause)}`, spent]
    default:
      return [style.yellow("Interrupted"), spent]
  }
}

/** What the user has decided about a call. */
export const decided = (answer: Approval.Answer, style: Style.Style): ReadonlyArray<string> => {
  switch (answer._tag) {
    case "Approve":
      return answer.params === undefined
        ? [style.green("Allowed")]
        : [style.green("Allowed with"), ...Consent.json(answer.params).split("\n").map((line) => `  ${line}`)]
    case "Deny":
      return [style.yellow("Not allowed")]
    case "Result":
      return []
  }
}
