/**
 * A page of lines that takes the whole terminal until it is closed. What was printed before is there again afterwards.
 */
import type * as Terminal from "effect/Terminal"
import type * as Style from "../Style.ts"
import * as Text from "../Text.ts"

/** The lines of a page for a width, and the first of them that is shown. */
export interface Pager {
  readonly content: (columns: number) => ReadonlyArray<string>
  readonly top: number
}

/** The size of the terminal. */
export interface Size {
  readonly columns: number
  readonly rows: number
}

/** Opens a page at its end. Its lines are made once for each width. */
export const make = (content: Pager["content"]): Pager => {
  let made: { readonly columns: number; readonly lines: ReadonlyArray<string> } | undefined
  return {
    content: (columns) => {
      if (made?.columns !== columns) made = { columns, lines: content(columns) }
      return made.lines
    },
    top: Number.MAX_SAFE_INTEGER
  }
}

const lastTop = ({ content }: Pager, { columns, rows }: Size): number =>
  Math.max(0, content(columns).length - (rows - 1))

/** Returns the page after a key, or `undefined` if the key has closed it. */
export const press = (self: Pager, { key }: Terminal.UserInput, size: Size): Pager | undefined => {
  const last = lastTop(self, size)
  const top = Math.min(self.top, last)
  const to = (place: number): Pager => ({ ...self, top: Math.max(0, Math.min(last, place)) })
  if (key.ctrl) return key.name === "c" || key.name === "o" || key.name === "d" ? undefined : self
  switch (key.name) {
    case "q":
    case "escape":
    case "return":
      return undefined
    case "up":
    case "k":
      return to(top - 1)
    case "down":
    case "j":
      return to(top + 1)
    case "pageup":
    case "b":
      return to(top - (size.rows - 2))
    case "pagedown":
    case "space":
      return to(top + size.rows - 2)
    case "home":
    case "g":
      return to(key.shift ? last : 0)
    case "end":
      return to(last)
    default:
      return self
  }
}

/** The text that shows the page. */
export const draw = (self: Pager, size: Size, style: Style.Style): string => {
  const top = Math.min(self.top, lastTop(self, size))
  const lines = self.content(size.columns)
  const shown = lines.slice(top, top + size.rows - 1).map((line) => Text.fit(line, size.columns))
  const place = `lines ${top + 1} to ${Math.min(lines.length, top + size.rows - 1)} of ${lines.length}`
  const footer = style.dim(Text.fit(`q goes back · ${place} · Up, Down, Space, b`, size.columns))
  return `\x1b[?25l\x1b[H\x1b[J${shown.join("\r\n")}\x1b[${size.rows};1H${footer}`
}
