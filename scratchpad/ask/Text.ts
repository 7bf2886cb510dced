/**
 * Makes foreign text safe for a terminal, a log and a prompt.
 *
 * Text of files, models, servers and users may hold characters that move the cursor, change colours, end a line, or
 * change the direction of the text after them. They are shown as U+FFFD.
 */
import { stripVTControlCharacters } from "node:util"
import sliceAnsi from "slice-ansi"
import stringWidth from "string-width"
import wrapAnsi from "wrap-ansi"

/**
 * Control characters, characters that control the direction of text, separators of lines and paragraphs, halves of
 * surrogate pairs, and the invisible tags that can hide a text.
 */
export const unprintable = /[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}\p{Cs}\u{e0000}-\u{e007f}]/gu

/** Returns a text of several lines without unprintable characters; line breaks and tabs stay. */
export const printable = (text: string): string =>
  text.replaceAll("\r\n", "\n").replace(
    unprintable,
    (character) => character === "\n" || character === "\t" ? character : "\ufffd"
  )

/** Returns a name, a path or a heading as one line without unprintable characters. */
export const oneLine = (text: string): string => text.replace(/\r\n|[\n\r\t]/g, " ").replace(unprintable, "\ufffd")

/** Returns JSON with the unprintable characters of its strings escaped: the same value, and nothing is hidden. */
export const escaped = (json: string): string =>
  json.replace(unprintable, (character) =>
    character === "\n"
      ? character
      : Array.from(
        { length: character.length },
        (_, index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, "0")}`
      ).join(""))

const graphemes = new Intl.Segmenter("en", { granularity: "grapheme" })

/** Returns the beginning of a text, at most `length` long; no character is cut in two. */
export const cut = (text: string, length: number): string => {
  if (text.length <= length) return text
  if (length <= 0) return ""
  const end = graphemes.segment(text.slice(0, length + longestGrapheme)).containing(length)?.index ?? 0
  // No real character is that long, but a file may contain one
  return end > Math.max(0, length - longestGrapheme)
    ? text.slice(0, end)
    : text.slice(0, length).replace(/[\ud800-\udbff]$/, "")
}

const longestGrapheme = 64

/** Returns a text of at most `length`. A text that was shortened ends with an ellipsis. */
export const clip = (text: string, length: number): string =>
  text.length <= length ? text : length < 2 ? "" : `${cut(text, length - 1)}…`

/** Returns how many columns of a terminal a text takes. A wide character takes two, and a style none. */
export const width = (text: string): number => stringWidth(text)

/** Returns how many rows a terminal of so many columns needs for a line. A wide character is not broken in two. */
export const rows = (line: string, columns: number): number => {
  if (width(line) <= columns) return 1
  let count = 1
  let used = 0
  for (const { segment } of graphemes.segment(stripVTControlCharacters(line))) {
    const taken = width(segment)
    if (used + taken > columns) {
      count++
      used = 0
    }
    used += taken
  }
  return count
}

/** Returns the lines of a text that was broken at `columns`, between words where that is possible. */
export const wrap = (text: string, columns: number): ReadonlyArray<string> =>
  text.split("\n").flatMap((line) =>
    wrapAnsi(line, Math.max(1, columns), { hard: true, trim: false }).split("\n").map((part, index) =>
      // The space at which it was broken belongs to neither line
      (index === 0 ? part : part.replace(/^((?:\p{Cc}\[\d+m)*) /u, "$1")).trimEnd()
    )
  )

/** Returns the beginning of a line, at most `columns` wide. A line that was shortened ends with an ellipsis. */
export const fit = (line: string, columns: number): string =>
  width(line) <= columns ? line : columns < 2 ? "" : `${sliceAnsi(line, 0, columns - 1)}…`
