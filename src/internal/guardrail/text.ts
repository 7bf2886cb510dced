/**
 * Finds the ends of pieces in a text that is still being written.
 *
 * @since 0.1.0
 */

const terminator = /[\p{Sentence_Terminal}…]+[\p{Pe}\p{Pf}"'*_`]*/uy
const whitespace = /\s+/y
/** Characters that a piece may end at, for a fast search. */
const candidate = /[\n\p{Sentence_Terminal}…]/gu
const lowercase = /\p{Ll}/uy
const newline = /\n/g
// at the start of a line
const fence = /[ \t]*(`{3,}|~{3,})/y
const item = /[ \t]*(?:[-*+•‣–]|\d{1,9}[.)]|#{1,6})[ \t]+/y
const undecided = /[ \t]*(?:[-*+•‣–]|\d{1,9}[.)]?|#{1,6}|`+|~+)?$/y

const abbreviations = new Set(
  "al approx ca cf co dept dr ed eg etc fig gen hr inc ie jr lt ltd max min mr mrs ms mt nr no op pp prof sr st vol vs"
    .split(" ")
)

/** Matches only at `index`. */
const at = (pattern: RegExp, text: string, index: number): string | undefined => {
  pattern.lastIndex = index
  return pattern.exec(text)?.[0]
}

/** The length of undecided text from which on more text has to come before it is looked at again. */
const patience = 256

/**
 * Cuts a text into pieces: sentences by Unicode's rules, and the blocks of Markdown. The end of a paragraph ends a
 * piece, a heading or a list item begins one, and a fenced code block is one. A single line break does not end a piece,
 * nor does the dot of a number, an initial or an abbreviation.
 *
 * The text arrives in deltas, but the cuts do not depend on them, and the pieces put together are the text. The time is
 * proportional to the length: undecided text is looked at again when it has grown by an eighth.
 *
 * @category models
 * @since 0.1.0
 */
export class Sentences {
  /** Text that was looked at long ago, so that a long piece is not copied for each delta. */
  private passed = ""
  private text = ""
  /** Everything before this position was looked at. */
  private position = 0
  private lineStart = true
  /** The fence of the code block that the position is in. */
  private open: string | undefined = undefined
  /** The length that the text must have before it is looked at again. */
  private enough = 0

  push(delta: string): void {
    if (this.position > 2_000) {
      const index = this.position - 100
      this.passed += this.text.slice(0, index)
      this.text = this.text.slice(index)
      this.position = 100
      this.enough -= index
    }
    this.text += delta
  }

  /** Whether the rest is blank, or ends like a sentence or like an introduction. */
  get isAtEnd(): boolean {
    const end = this.text.slice(-100).trimEnd()
    return end === "" || /[\p{Sentence_Terminal}…:][\p{Pe}\p{Pf}"'*_`]*$/u.test(end)
  }

  /**
   * Returns the next complete piece, or `undefined` while more text could still move its end. When the text has `ended`
   * nothing can, and the rest is the last piece.
   */
  next(ended: boolean): string | undefined {
    if (ended || this.text.length >= this.enough) {
      while (this.position < this.text.length) {
        const end = this.open === undefined ? this.scan() : this.scanCode(this.open)
        if (end === "more") break
        if (end !== "none") return this.cut(end)
      }
      const undecided = this.text.length - this.position
      this.enough = undecided < patience ? 0 : this.text.length + (undecided >> 3)
    }
    if (!ended) return undefined
    this.open = undefined
    return this.cut(this.text.length) || undefined
  }

  private cut(end: number): string {
    const piece = this.passed + this.text.slice(0, end)
    this.passed = ""
    this.text = this.text.slice(end)
    this.position = 0
    this.enough = 0
    if (piece !== "") this.lineStart = piece.endsWith("\n")
    return piece
  }

  /** Looks at the next place where a piece may end: it ends there, it does not, or more text is needed to decide. */
  private scan(): number | "none" | "more" {
    const { position, text } = this
    if (position === 0 ? this.lineStart : text[position - 1] === "\n") {
      const line = this.scanLine()
      if (line !== undefined) return line
    }
    candidate.lastIndex = this.position
    this.position = candidate.exec(text)?.index ?? text.length
    if (this.position === text.length) return "none"
    const ended = at(terminator, text, this.position)
    if (ended !== undefined) return this.scanSentence(this.position, this.position + ended.length)
    const space = at(whitespace, text, this.position)!
    const after = this.position + space.length
    if (after === text.length) return "more"
    const breaks = space.split("\n").length - 1
    if (breaks > 1) return this.position + space.lastIndexOf("\n") + 1
    // a single line break is looked at again as the start of a line
    this.position = breaks === 1 ? this.position + space.indexOf("\n") + 1 : after
    return "none"
  }

  private scanLine(): number | "none" | "more" | undefined {
    const { position, text } = this
    if (at(undecided, text, position) !== undefined) return "more"
    const code = at(fence, text, position)
    const marker = code ?? at(item, text, position)
    if (marker === undefined) return undefined
    if (position > 0) return position
    if (code !== undefined) this.open = code.trimStart()
    this.position = marker.length
    return "none"
  }

  private scanSentence(start: number, end: number): number | "none" | "more" {
    const { text } = this
    if (end === text.length) return "more"
    const space = at(whitespace, text, end) ?? ""
    const next = end + space.length
    const wide = text.charCodeAt(start) > 0x2fff || /[\u0589-\u1809]/.test(text[start]!)
    if (space === "" && !wide) {
      this.position = end
      return "none"
    }
    if (next === text.length) return "more"
    if (!wide && (at(lowercase, text, next) !== undefined || this.isAbbreviation(start, end))) {
      this.position = end
      return "none"
    }
    return space.includes("\n") ? end + space.lastIndexOf("\n") + 1 : next
  }

  private isAbbreviation(start: number, end: number): boolean {
    if (this.text.slice(start, end) !== ".") return false
    const word = /[\p{L}\p{M}.]*$/u.exec(this.text.slice(Math.max(0, start - 12), start))![0]
    return /^(?:\p{Lu}|.*\..*)$/u.test(word) || abbreviations.has(word.toLowerCase())
  }

  private scanCode(open: string): number | "none" | "more" {
    const { position, text } = this
    newline.lastIndex = position
    const end = newline.exec(text)?.index
    if (end === undefined) return "more"
    const line = text.slice(position, end).trim()
    this.position = end + 1
    const closes = position > 0 && text[position - 1] === "\n" && line.startsWith(open) && /^(`+|~+)$/.test(line)
    if (!closes) return "none"
    this.open = undefined
    return end + 1
  }
}
