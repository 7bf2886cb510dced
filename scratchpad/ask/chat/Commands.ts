/**
 * The commands of a chat: lines that begin with `/`.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Prompt from "effect/ai/Prompt"
import * as Question from "../Question.ts"
import * as Screen from "../Screen.ts"
import * as Text from "../Text.ts"
import type * as Conversation from "./Conversation.ts"
import type * as Markdown from "./Markdown.ts"

/** What a command gives: lines to print, or the end of the chat. */
export type Outcome = ReadonlyArray<string> | "leave"

interface Command {
  readonly name: string
  readonly argument: string
  readonly description: string
  readonly run: (
    self: Conversation.Conversation,
    argument: string,
    options: Markdown.Options
  ) => Effect.Effect<Outcome, unknown>
}

const amount = (n: number): string => n.toLocaleString("en-US")

const tokens = (n: number): string => `${amount(n)} token${n === 1 ? "" : "s"}`

/** The commands, in the order in which they are shown. */
export const commands: ReadonlyArray<Command> = [
  {
    name: "model",
    argument: "[NAME]",
    description: "the model that answers, or another one: gpt-5, anthropic/claude-sonnet-5, offline",
    run: Effect.fnUntraced(function*(self, name) {
      if (name !== "") yield* self.setModel(name)
      return [`${Text.oneLine(self.model())} answers${name === "" ? "" : " from now on"}.`]
    })
  },
  {
    name: "session",
    argument: "[NAME]",
    description: "the sessions, or another one: it is kept, and this conversation goes into it if it is new",
    run: Effect.fnUntraced(function*(self, name, { style }) {
      if (name !== "") {
        const { history } = yield* self.setSession(name)
        return opened(self, history.content)
      }
      const { isKept, name: current } = self.session()
      const sessions = yield* self.sessions
      return [
        isKept
          ? `This is the session ${Text.oneLine(current)}.`
          : "This conversation is not kept; /session NAME keeps it.",
        ...sessions.map(({ id, size, title }) =>
          `  ${style.bold(Text.oneLine(id))}  ${
            style.dim(`${size} message${size === 1 ? "" : "s"}${title === undefined ? "" : `, ${Text.oneLine(title)}`}`)
          }`
        )
      ]
    })
  },
  {
    name: "trace",
    argument: "",
    description: "the trace of the last answer",
    run: Effect.fnUntraced(function*(self, _, { columns, style }) {
      const spans = yield* self.recorder()?.spans ?? Effect.succeed([])
      const lines = Screen.trace(spans, { columns: columns - 1, style, now: yield* Clock.currentTimeNanos })
      return lines.length === 0 ? ["Nothing was asked yet."] : lines
    })
  },
  {
    name: "copy",
    argument: "NAME",
    description: "writes the last answer into NAME.jsonl, a cassette, and NAME.test.ts, a test",
    run: Effect.fnUntraced(function*(self, name) {
      if (name === "") return ["/copy NAME writes the last answer into NAME.jsonl and NAME.test.ts."]
      return Option.match(yield* self.copy(name), {
        onNone: () => ["Nothing was asked yet."],
        onSome: ({ cassette, test }) => [
          `${Text.oneLine(cassette)} is a cassette of the last answer, and ${Text.oneLine(test)} a test.`
        ]
      })
    })
  },
  {
    name: "compact",
    argument: "",
    description: "goes on with a shorter history, in a new session; the old one stays as it is",
    run: Effect.fnUntraced(function*(self) {
      const { name } = self.session()
      return Option.match(yield* self.compact, {
        onNone: () => ["There is nothing to make shorter."],
        onSome: ({ after, before, name: next }) => [
          `The history had about ${tokens(before)}, and now has about ${amount(after)}. ` +
          `This is the session ${Text.oneLine(next)}; ${Text.oneLine(name)} still has everything.`
        ]
      })
    })
  },
  {
    name: "budget",
    argument: "[TOKENS | off]",
    description: "what was spent, or how much this chat may spend from now on",
    run: (self, wanted) =>
      Effect.sync(() => {
        const number = Number(wanted.replaceAll(/[,_]/g, ""))
        if (wanted === "off") self.setBudget(undefined)
        else if (wanted !== "" && Number.isSafeInteger(number) && number > 0) self.setBudget(number)
        else if (wanted !== "") {
          return [`${Text.oneLine(wanted)} is no number of tokens. Try /budget 20000, or /budget off.`]
        }
        const { left, total } = self.spent()
        const limit = self.budget()
        return [
          `${tokens(total)} were spent in this chat.` +
          (limit === undefined || left === undefined
            ? " There is no limit; /budget 20000 sets one."
            : ` ${amount(left)} of ${tokens(limit)} are left. At the limit an answer ends with what it has.`)
        ]
      })
  },
  {
    name: "help",
    argument: "",
    description: "the commands and the keys",
    run: (_, __, { columns, style }) =>
      Effect.succeed(
        help.flatMap(([name, text]) =>
          Text.wrap(text, columns - 27).map((line, index) =>
            `  ${style.bold((index === 0 ? name : "").padEnd(23))} ${line}`
          )
        )
      )
  },
  {
    name: "quit",
    argument: "",
    description: "leaves",
    run: () => Effect.succeed("leave")
  }
]

const help: ReadonlyArray<readonly [string, string]> = [
  ...commands.map(({ argument, description, name }) => [`/${name} ${argument}`.trim(), description] as const),
  ["Enter", "asks; while an answer comes, it goes to the model before its next step"],
  ["Alt-Enter, Ctrl-J", "a new line"],
  ["Up, Down", "the questions before"],
  ["Ctrl-O", "the tool calls, with their arguments and results, and the reasoning"],
  ["Ctrl-C", "interrupts the answer; once more, leaves"],
  ["Ctrl-D", "leaves, if nothing is typed"]
]

/** Returns the commands whose names begin with what is typed. */
export const matching = (text: string): ReadonlyArray<Command> =>
  /^\/[a-z]*$/i.test(text) ? commands.filter(({ name }) => name.startsWith(text.slice(1).toLowerCase())) : []

/** Whether a line is a command. A path that begins with a slash is none. */
export const isCommand = (line: string): boolean => /^\/[a-z]*(\s|$)/i.test(line)

/** Runs the command of a line. */
export const run = (
  self: Conversation.Conversation,
  line: string,
  options: Markdown.Options
): Effect.Effect<Outcome, unknown> => {
  const [, name, argument] = /^\/(\S*)\s*([\s\S]*)$/.exec(line.trim())!
  const found = commands.find((command) => command.name === name.toLowerCase()) ??
    (name === "exit" ? commands.find((command) => command.name === "quit") : undefined)
  if (found === undefined) {
    return Effect.succeed([`There is no command /${Text.oneLine(name)}. /help shows those that there are.`])
  }
  return Effect.map(
    found.run(self, argument.trim(), options),
    (outcome) => outcome === "leave" ? outcome : outcome.flatMap((line) => Text.wrap(line, options.columns))
  )
}

/** What there is to know about a session that is continued. */
export const opened = (
  self: Conversation.Conversation,
  history: ReadonlyArray<Prompt.Message>
): ReadonlyArray<string> => {
  const last = questions(history).at(-1)
  const name = Text.oneLine(self.session().name)
  return [
    last === undefined
      ? `The session ${name} begins.`
      : `The session ${name} goes on. The last question was: ${Text.clip(Text.oneLine(last), 120)}`
  ]
}

/** The texts of the user, the oldest first. */
export const questions = (history: ReadonlyArray<Prompt.Message>): ReadonlyArray<string> =>
  history.flatMap((message) => message.role === "user" ? [textOf(message)] : []).filter((text) => text.trim() !== "")

/** What was piped in with a question was not typed. */
const textOf = (message: Prompt.UserMessage): string =>
  message.content.flatMap((part) => part.type === "text" && Question.piped(part.text) === undefined ? [part.text] : [])
    .join("\n")
