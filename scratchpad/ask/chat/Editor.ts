/**
 * A line editor as a function: a state and a key give the next state.
 *
 * It has the keys of readline: arrows, words, beginning and end, delete, kill and yank, the history with up and down. A
 * text may have several lines; a paste with line breaks stays one text.
 *
 * Neither `effect/cli` nor effect's `Terminal` edits a line of a chat: a `Prompt` has no history, and owns the screen
 * until it is answered. The editor of `node:readline` draws by itself too, and takes each line of a paste for an answer.
 * Here an answer is printed, and a spinner turns, while the user types. So the keys come from effect's `Terminal`, which
 * has them parsed by `node:readline`, and this module knows nothing of a screen.
 */
import * as Option from "effect/Option"
import type * as Terminal from "effect/Terminal"
import * as Text from "../Text.ts"

/** A text, the place of the cursor in it, and the texts before it. */
export interface Editor {
  readonly text: string
  readonly cursor: number
  /** The oldest first. */
  readonly history: ReadonlyArray<string>
  /** The entry of the history that is shown. It is the length of the history for the own text. */
  readonly entry: number
  /** The own text, while an entry of the history is shown. */
  readonly draft: string
  readonly killed: string
  /** What has come of a paste that has not ended. */
  readonly paste: string | undefined
}

/** The longest text, in characters. The rest of a longer paste is left out. */
export const maxLength = 100_000

const maxHistory = 500

/** Creates an editor with an empty text. */
export const make = (history: ReadonlyArray<string> = []): Editor => {
  const kept = history.slice(-maxHistory)
  return { text: "", cursor: 0, history: kept, entry: kept.length, draft: "", killed: "", paste: undefined }
}

/** Puts a text into the editor, with the cursor at its end. */
export const set = (self: Editor, text: string): Editor => ({ ...self, text, cursor: text.length })

/** Empties the editor. The text is remembered if it is not blank and not the same as the one before. */
export const submit = (self: Editor): Editor => {
  const isNew = self.text.trim() !== "" && self.text !== self.history.at(-1)
  const history = isNew ? [...self.history, self.text].slice(-maxHistory) : self.history
  return { ...make(history), killed: self.killed }
}

/** Returns the editor after a key. A key that has no meaning here changes nothing. */
export const press = (self: Editor, { input, key }: Terminal.UserInput): Editor => {
  if (key.name === "paste-start") return { ...self, paste: "" }
  if (self.paste !== undefined) {
    if (key.name === "paste-end") return insert({ ...self, paste: undefined }, self.paste.replace(/\r\n?/g, "\n"))
    return { ...self, paste: self.paste + (key.name === "return" ? "\r" : Option.getOrElse(input, () => "")) }
  }
  const command = commands[`${key.ctrl ? "C-" : ""}${key.meta ? "M-" : ""}${key.name}`]
  if (command !== undefined) return command(self)
  return key.ctrl || key.meta ? self : insert(self, Option.getOrElse(input, () => ""))
}

const insert = (self: Editor, typed: string): Editor => {
  const room = Math.max(0, maxLength - self.text.length)
  const text = Text.cut(Text.printable(typed).replaceAll("\t", "    "), room)
  return replaced(self, self.cursor, self.cursor, text)
}

const replaced = (self: Editor, from: number, to: number, text: string): Editor => ({
  ...self,
  text: self.text.slice(0, from) + text + self.text.slice(to),
  cursor: from + text.length
})

const moved = (self: Editor, cursor: number): Editor => ({ ...self, cursor })

const killed = (self: Editor, from: number, to: number): Editor =>
  from === to ? self : { ...replaced(self, from, to, ""), killed: self.text.slice(from, to) }

const graphemes = new Intl.Segmenter("en", { granularity: "grapheme" })

const previous = ({ cursor, text }: Editor): number => {
  const from = Math.max(0, cursor - longest)
  const last = Array.from(graphemes.segment(text.slice(from, cursor))).at(-1)
  return last === undefined ? cursor : from + last.index
}

const next = ({ cursor, text }: Editor): number => {
  const [first] = graphemes.segment(text.slice(cursor, cursor + longest))
  return cursor + (first?.segment.length ?? 0)
}

/** A character that is longer is taken for several. */
const longest = 64

const wordStart = ({ cursor, text }: Editor): number =>
  cursor - /[\p{L}\p{N}_]*[^\p{L}\p{N}_]*$/u.exec(text.slice(0, cursor))![0].length

const wordEnd = ({ cursor, text }: Editor): number =>
  cursor + /^[^\p{L}\p{N}_]*[\p{L}\p{N}_]*/u.exec(text.slice(cursor))![0].length

const lineStart = ({ cursor, text }: Editor): number => text.lastIndexOf("\n", cursor - 1) + 1

const lineEnd = ({ cursor, text }: Editor): number => {
  const end = text.indexOf("\n", cursor)
  return end === -1 ? text.length : end
}

/** One line up. In the first line, the entry of the history before. */
const up = (self: Editor): Editor => {
  const start = lineStart(self)
  if (start === 0 || self.cursor === 0) return recalled(self, self.entry - 1)
  const above = self.text.lastIndexOf("\n", start - 2) + 1
  return moved(self, Math.min(above + self.cursor - start, start - 1))
}

const down = (self: Editor): Editor => {
  const end = lineEnd(self)
  if (end === self.text.length) return recalled(self, self.entry + 1)
  const below = self.text.indexOf("\n", end + 1)
  return moved(self, Math.min(end + 1 + self.cursor - lineStart(self), below === -1 ? self.text.length : below))
}

const recalled = (self: Editor, entry: number): Editor => {
  if (entry < 0 || entry > self.history.length) return self
  const draft = self.entry === self.history.length ? self.text : self.draft
  return { ...set(self, entry === self.history.length ? draft : self.history[entry]), entry, draft }
}

const newline = (self: Editor): Editor => insert(self, "\n")
const left = (self: Editor): Editor => moved(self, previous(self))
const right = (self: Editor): Editor => moved(self, next(self))
const home = (self: Editor): Editor => moved(self, lineStart(self))
const end = (self: Editor): Editor => moved(self, lineEnd(self))
const wordLeft = (self: Editor): Editor => moved(self, wordStart(self))
const wordRight = (self: Editor): Editor => moved(self, wordEnd(self))
const backspace = (self: Editor): Editor => replaced(self, previous(self), self.cursor, "")
const remove = (self: Editor): Editor => moved(replaced(self, self.cursor, next(self), ""), self.cursor)
const killWordLeft = (self: Editor): Editor => killed(self, wordStart(self), self.cursor)

const commands: Readonly<Record<string, (self: Editor) => Editor>> = {
  left,
  "C-b": left,
  right,
  "C-f": right,
  home,
  "C-a": home,
  end,
  "C-e": end,
  "C-left": wordLeft,
  "M-left": wordLeft,
  "M-b": wordLeft,
  "C-right": wordRight,
  "M-right": wordRight,
  "M-f": wordRight,
  up,
  "C-p": (self) => recalled(self, self.entry - 1),
  down,
  "C-n": (self) => recalled(self, self.entry + 1),
  backspace,
  "C-h": backspace,
  delete: remove,
  "C-d": remove,
  "C-w": killWordLeft,
  "M-backspace": killWordLeft,
  "M-d": (self) => killed(self, self.cursor, wordEnd(self)),
  "C-u": (self) => killed(self, lineStart(self), self.cursor),
  "C-k": (self) => killed(self, self.cursor, lineEnd(self)),
  "C-y": (self) => insert(self, self.killed),
  // A tab is for completion, and escape for dialogues; in a paste a tab is text
  tab: (self) => self,
  escape: (self) => self,
  enter: newline,
  "M-return": newline
}

/** Whether a character is one of ASCII: the width of most texts is known without a table. */
const isPlain = (segment: string): boolean => segment.length === 1 && segment >= " " && segment <= "~"

/** The rows of an editor on a screen, and the place of the cursor in them. */
export interface View {
  readonly rows: ReadonlyArray<string>
  readonly row: number
  readonly column: number
}

/** Returns the rows, none of them wider than `columns`. Long lines go on in the next row. */
export const view = ({ cursor, text }: Editor, columns: number): View => {
  const rows: Array<string> = [""]
  let width = 0
  let place = { row: 0, column: 0 }
  for (const { index, segment } of graphemes.segment(text)) {
    const taken = segment === "\n" ? 0 : isPlain(segment) ? 1 : Text.width(segment)
    if (width + taken > columns) {
      rows.push("")
      width = 0
    }
    if (index <= cursor) place = { row: rows.length - 1, column: width }
    if (segment === "\n") {
      rows.push("")
      width = 0
    } else {
      rows[rows.length - 1] += segment
      width += taken
    }
  }
  if (cursor === text.length) {
    if (width >= columns) {
      rows.push("")
      width = 0
    }
    place = { row: rows.length - 1, column: width }
  }
  return { rows, ...place }
}
