/**
 * Markdown as lines for a terminal, also while it is still being written.
 */
import { lexer, type Token, type Tokens } from "marked"
import type * as Style from "../Style.ts"
import * as Text from "../Text.ts"

/** The width of the terminal, and its styles. */
export interface Options {
  readonly columns: number
  readonly style: Style.Style
}

/** Tables and such, and a line break where the text has one. */
const dialect = { gfm: true, breaks: true }

/** Returns the lines of a text. Prose is broken at `columns`; lines of code stay whole. */
export const render = (text: string, options: Options): ReadonlyArray<string> =>
  blocks(lexer(spaced(Text.printable(text)), dialect), options)

/** Creates the renderer of a text that comes in pieces. */
export const stream = () => {
  let source = ""
  let held = ""
  let isFirst = true

  const printed = (lines: ReadonlyArray<string>, joins: boolean): ReadonlyArray<string> => {
    if (lines.length === 0) return lines
    const before = isFirst || joins ? [] : [""]
    isFirst = false
    return [...before, ...lines]
  }
  /** Whether the next block goes on with the one before it. */
  let joins = false
  const commit = (lines: ReadonlyArray<string>, rest: string, goesOn: boolean): ReadonlyArray<string> => {
    const out = printed(lines, joins)
    source = rest
    joins = goesOn
    return out
  }

  return {
    /** Adds a piece. */
    push: (delta: string): void => {
      const text = held + delta
      // A character or a line break that is spread over two pieces is still one
      const end = /[\r\ud800-\udbff]$/.test(text) ? text.length - 1 : text.length
      held = text.slice(end)
      source += spaced(Text.printable(text.slice(0, end)))
    },
    /** Returns the lines of the blocks that are complete. They are not returned again. */
    take: (options: Options): ReadonlyArray<string> => {
      const tokens = lexer(source, dialect)
      const last = tokens.findLastIndex((token) => token.type !== "space")
      if (last === -1) return []
      const done = tokens.slice(0, last)
      const written = done.map((token) => token.raw).join("")
      // The last token may be written in another way than the source, but not those before it
      const isDone = done.some((token) => token.type !== "space") && source.startsWith(written)
      const out = isDone ? commit(blocks(done, options), source.slice(written.length), false) : []
      const long = part(tokens[last], source, options)
      return long === undefined ? out : [...out, ...commit(long.lines, long.rest, true)]
    },
    /** Returns the lines of the block that is still being written. */
    rest: (options: Options): ReadonlyArray<string> => {
      const lines = blocks(lexer(source, dialect), options)
      return lines.length === 0 || isFirst || joins ? lines : ["", ...lines]
    },
    /** Returns all lines that are left. */
    end: (options: Options): ReadonlyArray<string> => {
      source += spaced(Text.printable(held))
      held = ""
      return commit(blocks(lexer(source, dialect), options), "", false)
    }
  }
}

/** A block with more lines or items is printed in parts, so that the time for each piece of it stays the same. */
const longBlock = 30

const part = (
  token: Token,
  source: string,
  options: Options
): { readonly lines: ReadonlyArray<string>; readonly rest: string } | undefined => {
  if (isList(token) && token.items.length > longBlock) {
    // The last item may be written in another way than the source, the one before it is complete
    const begin = source.lastIndexOf(token.items.at(-2)!.raw)
    const done = { ...token, items: token.items.slice(0, -2) }
    return begin === -1 ? undefined : { lines: block(done, options), rest: source.slice(begin) }
  }
  if (!isCode(token) || token.codeBlockStyle === "indented") return undefined
  const lines = source.split("\n")
  if (!lines[0].startsWith(token.raw.slice(0, 3))) return undefined
  // With its first line, and without the one that is being written
  if (lines.length < longBlock + 2) return undefined
  const done = lines.slice(1, -1)
  return { lines: done.map((line) => code(line, options)), rest: `${lines[0]}\n${lines.at(-1)}` }
}

const isList = (token: Token): token is Tokens.List => token.type === "list"
const isCode = (token: Token): token is Tokens.Code => token.type === "code"

const spaced = (text: string): string => text.replaceAll("\t", "    ")

const blocks = (tokens: ReadonlyArray<Token>, options: Options): ReadonlyArray<string> =>
  tokens.filter((token) => token.type !== "space").flatMap((token, index) => [
    ...(index === 0 ? [] : [""]),
    ...block(token, options)
  ])

// The types of marked leave room for tokens of extensions, so each kind is named here
const block = (token: Token, options: Options): ReadonlyArray<string> => {
  const { columns, style } = options
  switch (token.type) {
    case "heading":
      return wrapped(inline((token as Tokens.Heading).tokens, options, [style.bold]), columns)
    case "code":
      return (token as Tokens.Code).text.split("\n").map((line) => code(line, options))
    case "list":
      return list(token as Tokens.List, options)
    case "blockquote":
      return blocks((token as Tokens.Blockquote).tokens, { ...options, columns: columns - 2 }).map((line) =>
        `${style.dim("│")} ${line}`
      )
    case "table":
      return table(token as Tokens.Table, options)
    case "hr":
      return [style.dim("─".repeat(Math.min(columns, 40)))]
    case "paragraph":
    case "text":
      return wrapped(inline((token as Tokens.Paragraph).tokens ?? [token], options, []), columns)
    default:
      return wrapped(token.raw.trimEnd(), columns)
  }
}

const wrapped = (text: string, columns: number): ReadonlyArray<string> => Text.wrap(text, columns)

const code = (line: string, { style }: Options): string => line === "" ? "" : `  ${style.cyan(line)}`

const list = (token: Tokens.List, options: Options): ReadonlyArray<string> =>
  token.items.flatMap((item, index) => {
    const number = token.ordered ? `${Number(token.start === "" ? 1 : token.start) + index}.` : "•"
    const mark = item.task ? `${number} ${item.checked === true ? "[x]" : "[ ]"} ` : `${number} `
    const inner = { ...options, columns: options.columns - mark.length }
    const lines = item.tokens.filter((child) => child.type !== "space" && child.type !== "checkbox").flatMap((child) =>
      block(child, inner)
    )
    return (lines.length === 0 ? [""] : lines).map((line, at) =>
      at === 0 ? `${options.style.dim(mark)}${line}` : `${" ".repeat(mark.length)}${line}`
    )
  })

/** A table that is too wide is shown row by row. */
const table = (token: Tokens.Table, options: Options): ReadonlyArray<string> => {
  const { columns, style } = options
  const texts = (cells: ReadonlyArray<Tokens.TableCell>, styles: ReadonlyArray<(text: string) => string>) =>
    cells.map((cell) => inline(cell.tokens, options, styles).replaceAll("\n", " "))
  const header = texts(token.header, [style.bold])
  const rows = token.rows.map((row) => texts(row, []))
  const widths = header.map((_, column) => Math.max(...[header, ...rows].map((row) => Text.width(row[column] ?? ""))))
  if (widths.reduce((sum, width) => sum + width + 3, -3) > columns) {
    return rows.flatMap((row, index) => [
      ...(index === 0 ? [] : [""]),
      ...row.flatMap((cell, column) => wrapped(`${header[column]}: ${cell}`, columns))
    ])
  }
  const line = (row: ReadonlyArray<string>) =>
    widths.map((width, column) => {
      const cell = row[column] ?? ""
      const room = " ".repeat(width - Text.width(cell))
      return token.align[column] === "right" ? room + cell : cell + room
    }).join(style.dim(" │ ")).trimEnd()
  return [line(header), style.dim(widths.map((width) => "─".repeat(width)).join("─┼─")), ...rows.map(line)]
}

/** The styles are put around each text by itself, because the end of a style is the end of all of them. */
const inline = (
  tokens: ReadonlyArray<Token>,
  options: Options,
  styles: ReadonlyArray<(text: string) => string>
): string =>
  tokens.map((token): string => {
    const { style } = options
    const styled = (text: string, ...more: ReadonlyArray<(text: string) => string>) =>
      text.split("\n").map((line) => [...styles, ...more].reduce((out, apply) => apply(out), line)).join("\n")
    switch (token.type) {
      case "strong":
        return inline((token as Tokens.Strong).tokens, options, [...styles, style.bold])
      case "em":
        return inline((token as Tokens.Em).tokens, options, [...styles, style.italic])
      case "del":
        return inline((token as Tokens.Del).tokens, options, [...styles, style.dim])
      case "codespan":
        return styled((token as Tokens.Codespan).text, style.cyan)
      case "br":
        return "\n"
      case "link": {
        const { href, text, tokens } = token as Tokens.Link
        const shown = inline(tokens, options, [...styles, style.underline])
        return href === text || href === `mailto:${text}` ? shown : `${shown} ${styled(`(${href})`, style.dim)}`
      }
      case "image": {
        const { href, text } = token as Tokens.Image
        return styled(`${text === "" ? "image" : text} (${href})`, style.dim)
      }
      case "text":
      case "escape": {
        const text = token as Tokens.Text
        return text.tokens === undefined ? styled(text.text) : inline(text.tokens, options, styles)
      }
      default:
        return styled(token.raw)
    }
  }).join("")
