/**
 * The end of a terminal that changes: what is printed goes above it and stays, and the rows below are drawn again.
 *
 * It does not use the alternate screen, so that everything that was printed can be scrolled to and copied.
 */
import * as Text from "../Text.ts"

/** The rows to draw, none of them wider than the terminal, and the place of the cursor in them. */
export interface Frame {
  readonly rows: ReadonlyArray<string>
  readonly cursor: { readonly row: number; readonly column: number } | undefined
}

/** Returns the functions that give the text to write to the terminal. They know what is on it. */
export const make = () => {
  let drawn: Frame = { rows: [], cursor: undefined }

  /** Goes to the first of the drawn rows, and erases everything from there. */
  const erase = (columns: number): string => {
    const row = drawn.cursor?.row ?? Math.max(0, drawn.rows.length - 1)
    // A terminal that became narrower has broken the rows
    const above = drawn.rows.slice(0, row).reduce((sum, text) => sum + Text.rows(text, columns), 0)
    drawn = { rows: [], cursor: undefined }
    return `\r${above === 0 ? "" : `\x1b[${above}A`}\x1b[J`
  }

  return {
    /** Prints lines above, and draws the frame. */
    draw: (printed: ReadonlyArray<string>, frame: Frame, columns: number): string => {
      const erased = erase(columns)
      drawn = frame
      const last = Math.max(0, frame.rows.length - 1)
      const { column, row } = frame.cursor ?? { row: last, column: 0 }
      return begin + erased + printed.map((line) => `${line}\r\n`).join("") + frame.rows.join("\r\n") +
        `\r${row === last ? "" : `\x1b[${last - row}A`}${column === 0 ? "" : `\x1b[${column}C`}` +
        (frame.cursor === undefined ? "" : "\x1b[?25h") + end
    },
    /** Removes what is drawn, and leaves the terminal as it was. */
    close: (columns: number): string => `${erase(columns)}\x1b[?25h`,
    /** Clears the screen. The next frame is drawn at its top. */
    clear: (): string => {
      drawn = { rows: [], cursor: undefined }
      return "\x1b[H\x1b[2J"
    }
  }
}

// The terminal shows what is in between at once
const begin = "\x1b[?2026h\x1b[?25l"
const end = "\x1b[?2026l"
