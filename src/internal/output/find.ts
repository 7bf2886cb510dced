/**
 * Finds the JSON values in the text of a model.
 *
 * A model that was asked for JSON puts it into a fence, thinks aloud before it, or adds a few words. The time of the
 * search is proportional to the length of the text, whatever the text is.
 *
 * @since 0.1.0
 */

import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"

/**
 * Finds the JSON values in a text: the text itself if it is JSON, or the value in its only fence; otherwise the objects
 * and arrays in it, in their order. Thoughts of the model (`<think>`) are ignored.
 *
 * @category searching
 * @since 0.1.0
 */
export const find = (text: string): ReadonlyArray<unknown> => {
  const whole = parse(text.trim())
  if (whole !== undefined) return [whole.value]
  const { answer, values } = new Search(text).run()
  if (values.length > 0) return values.map((value) => parse(value)?.value)
  const alone = parse(answer.trim().replace(fence, "$1"))
  return alone === undefined ? [] : [alone.value]
}

/**
 * Returns whether a text that is not JSON itself contains JSON values.
 *
 * @category guards
 * @since 0.1.0
 */
export const isEmbedded = (text: string): boolean => parse(text.trim()) === undefined && find(text).length > 0

const fence = /^```\w*\s([^`]*)```$/

const decodeJson = Schema.decodeUnknownExit(Schema.fromJsonString(Schema.Unknown))

const parse = (text: string): { readonly value: unknown } | undefined => {
  const exit = decodeJson(text)
  return Exit.isSuccess(exit) ? { value: exit.value } : undefined
}

/** Characters that may begin a value or a thought. */
const candidate = /[{[<]/g
const scalar = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y
const space = /[ \n\r\t]*/y
/** The characters of a string up to one that has a special meaning or is not allowed. */
const plain = /[ !#-[\]-\uffff]*/y
const escape = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y
const tag = /<(\/?)(think|thinking|thought|reasoning)>/iy

/** Returns the end of the match that begins at `index`, or `undefined` if there is none. */
const after = (pattern: RegExp, text: string, index: number): number | undefined => {
  pattern.lastIndex = index
  return pattern.test(text) ? pattern.lastIndex : undefined
}

/**
 * The search in one text.
 *
 * Whether a value begins at a bracket does not depend on the text before it, so each bracket is checked once. For
 * brackets that were met inside of an invalid value it is remembered that they begin nothing, or where they end. Only
 * the content of a string is read twice: as a string, and as what it would be if the quote before it did not begin one.
 * The steps are counted in any case.
 */
class Search {
  private readonly text: string
  /** Brackets at which no value begins. */
  private failed: Uint8Array | undefined = undefined
  /** The ends of the values that are inside of an invalid value. */
  private readonly ends = new Map<number, number>()
  private steps = 0

  constructor(text: string) {
    this.text = text
  }

  /** Returns the values, and the text outside of thoughts. */
  run(): { readonly answer: string; readonly values: ReadonlyArray<string> } {
    const { text } = this
    const most = 16 * text.length
    const unclosed = new Set<string>()
    let values: Array<string> = []
    let answer = ""
    let from = 0
    let index = 0
    while (this.steps <= most) {
      candidate.lastIndex = index
      const found = candidate.exec(text)
      if (found === null) break
      index = found.index
      if (found[0] !== "<") {
        const end = this.end(index)
        if (end !== undefined) values.push(text.slice(index, end))
        index = end ?? index + 1
        continue
      }
      tag.lastIndex = index
      const [mark = "<", slash, name = ""] = tag.exec(text) ?? []
      index += mark.length
      if (slash === "/") {
        // the beginning of the thought was in the prompt
        values = []
        answer = ""
        from = index
      } else if (name !== "" && !unclosed.has(name)) {
        const close = text.indexOf(`</${name}>`, index)
        if (close < 0) {
          unclosed.add(name)
          continue
        }
        answer += text.slice(from, index - mark.length)
        from = index = close + name.length + 3
      }
    }
    return { answer: answer + text.slice(from), values }
  }

  private end(start: number): number | undefined {
    if (this.failed?.[start] === 1) return undefined
    return this.ends.get(start) ?? this.read(start)
  }

  /** Reads the value that begins with the bracket at `start`. Returns its end, or `undefined` if there is none. */
  private read(start: number): number | undefined {
    const { text } = this
    const open: Array<number> = []
    // the values that have ended within an open one: where they begin and end, and how deep they are
    const inner: Array<readonly [start: number, end: number, depth: number]> = []
    let expected: "value" | "first" | "key" | "next" = "value"
    let index = start
    const closed = (begin: number, end: number) => {
      while (inner.length > 0 && inner[inner.length - 1]![2] > open.length) inner.pop()
      if (inner.length < remembered) inner.push([begin, end, open.length])
    }
    for (;;) {
      this.steps++
      index = after(space, text, index)!
      const char = text[index]
      const isObject: boolean = open.length > 0 && text[open[open.length - 1]!] === "{"
      if ((expected === "first" || expected === "next") && char === (isObject ? "}" : "]")) {
        closed(open.pop()!, ++index)
        if (open.length === 0) return this.done(start, index)
        expected = "next"
        continue
      }
      if (expected === "next") {
        if (char !== ",") break
        index++
        expected = isObject ? "key" : "value"
      } else if (expected !== "value" && isObject) {
        const end = this.string(index)
        if (end === undefined) break
        index = after(space, text, end)!
        if (text[index] !== ":") break
        index++
        expected = "value"
      } else if (char === "{" || char === "[") {
        const known: number | undefined = this.ends.get(index)
        if (known !== undefined) {
          closed(index, known)
          index = known
          expected = "next"
        } else {
          if (this.failed?.[index] === 1) break
          open.push(index++)
          expected = "first"
        }
      } else {
        const end = char === "\"" ? this.string(index) : after(scalar, text, index)
        if (end === undefined) break
        index = end
        expected = "next"
      }
    }
    this.failed ??= new Uint8Array(text.length)
    for (const begin of open) this.failed[begin] = 1
    for (const [begin, end] of inner) this.ends.set(begin, end)
    this.steps += index - start
    return undefined
  }

  private done(start: number, end: number): number {
    this.steps += end - start
    return end
  }

  private string(start: number): number | undefined {
    const { text } = this
    if (text[start] !== "\"") return undefined
    let index: number | undefined = start + 1
    while (index !== undefined) {
      const end = after(plain, text, index)!
      this.steps += end - index + 1
      if (text[end] === "\"") return end + 1
      index = after(escape, text, end)
    }
    return undefined
  }
}

/** How many values inside of an invalid value are remembered. Further ones are read again. */
const remembered = 1_024
