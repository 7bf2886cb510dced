/**
 * Reads JSON that is still being written, as a value of what has come so far.
 *
 * A container is only shown as a copy, so a value that was shown never changes. Copies share finished containers. A
 * copy costs as much as its open containers hold, so it is made only when enough text has come to pay for it: the text
 * and all copies together take time proportional to the text. A value that is nested too deeply is read down to the
 * maximum depth.
 *
 * @since 0.1.0
 */

import { maximumDepth } from "../words/json.ts"

type Container = Array<unknown> | Record<string, unknown>

interface Frame {
  readonly container: Container
  /** In an object: the key whose value comes next. */
  key: string | undefined
  size: number
}

/** The number of entries that may be copied for one character of text. */
const credit = 16

const nothing: unique symbol = Symbol()

/**
 * Reads JSON as it comes.
 *
 * An error in the JSON ends the reading, and the value stays as it was. A key, a number and a literal count when they
 * are complete, a string from its first character.
 *
 * @category models
 * @since 0.1.0
 */
export class JsonReader {
  private readonly stack: Array<Frame> = []
  /** The value, once it is complete. */
  private root: unknown = nothing
  private state: "value" | "string" | "escape" | "scalar" | "key" | "colon" | "after" | "done" | "broken" = "value"
  /** The string, number or literal in progress. */
  private text = ""
  /** The first half of a character whose second half has not come yet. */
  private half = ""
  /** The characters after the backslash of an unfinished escape. */
  private escape = ""
  private isKey = false
  private paid = 0
  /** The number of entries in a copy. */
  private cost = 1
  private changed = false

  /** Adds the next text. */
  push(delta: string): void {
    this.paid += delta.length * credit
    let i = 0
    while (i < delta.length) {
      switch (this.state) {
        case "string":
          i = this.readString(delta, i)
          break
        case "escape":
          this.readEscape(delta[i++])
          break
        case "scalar":
          i = this.readScalar(delta, i)
          break
        case "done":
        case "broken":
          return
        default:
          this.readToken(delta[i++])
      }
    }
  }

  /**
   * Returns the value so far if it has changed since the last call and enough text has come to pay for its copy. With
   * `end` the copy is made in any case.
   */
  take(end = false): { readonly value: unknown } | undefined {
    if (!this.changed || (!end && this.cost > this.paid)) return undefined
    this.changed = false
    this.paid = 0
    const value = this.snapshot()
    return value === nothing ? undefined : { value }
  }

  private snapshot(): unknown {
    const { stack } = this
    if (this.root !== nothing) return this.root
    const isOpen = this.state === "string" || this.state === "escape"
    let value: unknown = isOpen && !this.isKey ? this.text : nothing
    for (let i = stack.length - 1; i >= 0; i--) {
      const { container, key } = stack[i]
      if (Array.isArray(container)) value = value === nothing ? [...container] : [...container, value]
      else value = value === nothing || isUnsafe(key) ? { ...container } : { ...container, [key]: value }
    }
    return value
  }

  private readToken(char: string): void {
    if (isSpace(char)) return
    const frame = this.stack[this.stack.length - 1]
    switch (this.state) {
      case "value": {
        switch (char) {
          case "{":
          case "[": {
            if (this.stack.length === maximumDepth) return this.fail()
            this.cost++
            this.stack.push({ container: char === "{" ? {} : [], key: undefined, size: 0 })
            this.state = char === "{" ? "key" : "value"
            this.changed = true
            return
          }
          case "]":
            return Array.isArray(frame?.container) && frame.size === 0 ? this.close() : this.fail()
          case "\"":
            return this.open(false)
          default: {
            this.text = char
            this.state = "scalar"
            return
          }
        }
      }
      case "key": {
        if (char === "\"") return this.open(true)
        return char === "}" && frame.size === 0 ? this.close() : this.fail()
      }
      case "colon": {
        if (char === ":") this.state = "value"
        else this.fail()
        return
      }
      default: {
        if (char === ",") this.state = Array.isArray(frame.container) ? "value" : "key"
        else if (char === (Array.isArray(frame.container) ? "]" : "}")) this.close()
        else this.fail()
      }
    }
  }

  private open(isKey: boolean): void {
    this.text = ""
    this.half = ""
    this.isKey = isKey
    this.state = "string"
    if (!isKey) this.changed = true
  }

  private readString(delta: string, from: number): number {
    let i = from
    while (i < delta.length && delta[i] !== "\"" && delta[i] !== "\\") i++
    if (i > from) this.append(delta.slice(from, i))
    if (i === delta.length) return i
    if (delta[i] === "\\") {
      this.escape = ""
      this.state = "escape"
      return i + 1
    }
    if (this.half !== "") {
      this.text += this.half
      this.changed ||= !this.isKey
    }
    if (this.isKey) {
      this.stack[this.stack.length - 1].key = this.text
      this.isKey = false
      this.state = "colon"
    } else {
      this.end(this.text)
    }
    return i + 1
  }

  private readEscape(char: string): void {
    if (this.escape === "") {
      const plain = escapes[char]
      if (plain !== undefined) return this.unescaped(plain)
      if (char === "u") this.escape = char
      else this.fail()
      return
    }
    if (!/[0-9a-fA-F]/.test(char)) return this.fail()
    this.escape += char
    if (this.escape.length === 5) this.unescaped(String.fromCharCode(Number.parseInt(this.escape.slice(1), 16)))
  }

  private unescaped(char: string): void {
    this.append(char)
    this.state = "string"
  }

  private append(text: string): void {
    const isHalf = isFirstHalf(text.charCodeAt(text.length - 1))
    const whole = this.half + (isHalf ? text.slice(0, -1) : text)
    this.half = isHalf ? text.slice(-1) : ""
    this.text += whole
    if (!this.isKey && whole !== "") this.changed = true
  }

  private readScalar(delta: string, from: number): number {
    let i = from
    while (i < delta.length && !isEnd(delta[i])) i++
    this.text += delta.slice(from, i)
    if (i === delta.length) return i
    const value = scalar(this.text)
    if (value === nothing) {
      this.fail()
    } else {
      this.end(value)
      this.changed = true
    }
    return i
  }

  private end(value: unknown): void {
    const frame = this.stack[this.stack.length - 1]
    if (frame === undefined) {
      this.root = value
      this.state = "done"
      return
    }
    frame.size++
    this.cost++
    if (Array.isArray(frame.container)) frame.container.push(value)
    else if (!isUnsafe(frame.key)) frame.container[frame.key] = value
    frame.key = undefined
    this.state = "after"
  }

  private close(): void {
    const { container, size } = this.stack.pop()!
    this.cost -= size + 1
    this.end(container)
  }

  private fail(): void {
    // a string that was shown stays
    if (this.state === "escape") this.changed = false
    this.state = "broken"
  }
}

const escapes: Readonly<Record<string, string | undefined>> = {
  "\"": "\"",
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t"
}

const isSpace = (char: string): boolean => char === " " || char === "\n" || char === "\r" || char === "\t"

const isEnd = (char: string): boolean => char === "," || char === "]" || char === "}" || isSpace(char)

const scalar = (text: string): unknown => {
  switch (text) {
    case "true":
      return true
    case "false":
      return false
    case "null":
      return null
    default:
      return /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(text) ? Number(text) : nothing
  }
}

const isFirstHalf = (code: number): boolean => code >= 0xd800 && code <= 0xdbff

/** No value may become a prototype. */
const isUnsafe = (key: string | undefined): key is undefined => key === undefined || key === "__proto__"
