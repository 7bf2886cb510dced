/**
 * Patterns for paths: `*`, `?`, `[a-z]`, `{a,b}`, and `**` for any number of folders.
 *
 * A pattern comes from a model or from a file of the folder. Matching it takes time in proportion to the length of the
 * pattern times that of the path, whatever they are; effect's own `Glob` makes a backtracking expression of it.
 */

/** A pattern that can be matched. */
export interface Glob {
  readonly alternatives: ReadonlyArray<ReadonlyArray<Segment>>
  readonly dot: boolean
}

/** Any number of folders, a name, or the pattern of a name. */
type Segment = typeof folders | string | ReadonlyArray<Token>

/** A character, any character, some characters, or any number of any characters. */
type Token = string | typeof any | typeof many | Ranges | { readonly not: Ranges }

type Ranges = ReadonlyArray<readonly [from: number, to: number]>

const folders = Symbol("**")
const any = Symbol("?")
const many = Symbol("*")

/** The longest pattern. */
export const maxLength = 500

/** The most alternatives that the braces of a pattern may have together. */
export const maxAlternatives = 64

/**
 * Reads a pattern; undefined when it is too long, or when its braces have too many alternatives. With `dot`, wildcards
 * match names that begin with a dot. With `braces: false`, braces are characters like others.
 */
export const make = (
  pattern: string,
  options: { readonly dot?: boolean; readonly braces?: boolean } = {}
): Glob | undefined => {
  if (pattern.length > maxLength) return undefined
  const expanded = options.braces === false ? [pattern] : expand(pattern)
  if (expanded === undefined) return undefined
  return { alternatives: expanded.map(segmentsOf), dot: options.dot ?? false }
}

/** Whether a path, with `/` between its names, matches. */
export const match = (glob: Glob, path: string): boolean => {
  const names = path.split("/")
  return glob.alternatives.some((segments) => wild(segments, names, glob.dot ? withDots : withoutDots))
}

interface How<P, A> {
  readonly isMany: (p: P) => boolean
  readonly fits: (p: P, a: A) => boolean
  /** Whether what takes any number of elements takes this one. */
  readonly takes: (a: A) => boolean
}

const namesHow = (dot: boolean): How<Segment, string> => ({
  isMany: (segment) => segment === folders,
  fits: (segment, name) => {
    if (typeof segment === "string") return segment === name
    if (segment === folders || !dot && name.startsWith(".") && segment[0] !== ".") return false
    return wild(segment, Array.from(name), charactersHow)
  },
  takes: (name) => dot || !name.startsWith(".")
})

const charactersHow: How<Token, string> = {
  isMany: (token) => token === many,
  fits: (token, character) => {
    if (typeof token === "string") return token === character
    if (typeof token === "symbol") return token === any
    const code = character.codePointAt(0)!
    const isIn = (ranges: Ranges) => ranges.some(([from, to]) => from <= code && code <= to)
    return "not" in token ? !isIn(token.not) : isIn(token)
  },
  takes: () => true
}

const withDots = namesHow(true)
const withoutDots = namesHow(false)

/**
 * Matches elements with a pattern in which some take any number of elements. When nothing fits any more, only the last
 * of those takes one more: an earlier one could not do better.
 */
const wild = <P, A>(pattern: ReadonlyArray<P>, elements: ReadonlyArray<A>, how: How<P, A>): boolean => {
  let at = 0
  let last = -1
  let from = 0
  let index = 0
  while (index < elements.length) {
    if (at < pattern.length && how.isMany(pattern[at])) {
      last = at++
      from = index
    } else if (at < pattern.length && how.fits(pattern[at], elements[index])) {
      at++
      index++
    } else if (last !== -1 && how.takes(elements[from])) {
      at = last + 1
      index = ++from
    } else {
      return false
    }
  }
  while (at < pattern.length && how.isMany(pattern[at])) at++
  return at === pattern.length
}

// -----------------------------------------------------------------------------
// reading a pattern
// -----------------------------------------------------------------------------

const segmentsOf = (pattern: string): ReadonlyArray<Segment> =>
  pattern.split("/").filter((part) => part !== "" && part !== ".").map((part) =>
    part === "**" ? folders : segmentOf(part)
  )

const segmentOf = (part: string): Segment => {
  const tokens = tokensOf(part)
  return tokens.every((token) => typeof token === "string") ? tokens.join("") : tokens
}

const tokensOf = (part: string): ReadonlyArray<Token> => {
  const characters = Array.from(part)
  const tokens: Array<Token> = []
  for (let index = 0; index < characters.length; index++) {
    const character = characters[index]
    if (character === "\\" && index + 1 < characters.length) {
      tokens.push(characters[++index])
    } else if (character === "*") {
      if (tokens.at(-1) !== many) tokens.push(many)
    } else if (character === "?") {
      tokens.push(any)
    } else if (character === "[") {
      const set = setOf(characters, index)
      tokens.push(set?.token ?? "[")
      index = set?.end ?? index
    } else {
      tokens.push(character)
    }
  }
  return tokens
}

/** Reads `[a-z]` or `[!a-z]`; a `]` that comes first is one of the characters. */
const setOf = (
  characters: ReadonlyArray<string>,
  start: number
): { readonly token: Token; readonly end: number } | undefined => {
  const not = characters[start + 1] === "!" || characters[start + 1] === "^"
  const first = start + (not ? 2 : 1)
  const end = characters.indexOf("]", first + 1)
  if (end === -1) return undefined
  const ranges: Array<readonly [number, number]> = []
  for (let index = first; index < end; index++) {
    if (characters[index] === "\\" && index + 1 < end) index++
    const from = characters[index].codePointAt(0)!
    const isRange = characters[index + 1] === "-" && index + 2 < end
    ranges.push([from, isRange ? characters[index + 2].codePointAt(0)! : from])
    if (isRange) index += 2
  }
  return { token: not ? { not: ranges } : ranges, end }
}

/** Returns the patterns that braces stand for; undefined when there are too many of them. */
const expand = (pattern: string): ReadonlyArray<string> | undefined => {
  let done: ReadonlyArray<string> = [pattern]
  while (true) {
    const next: Array<string> = []
    for (const one of done) next.push(...expandFirst(one))
    if (next.length > maxAlternatives) return undefined
    if (next.length === done.length) return next
    done = next
  }
}

/** Replaces the first pair of braces that has a comma in it by each of its alternatives. */
const expandFirst = (pattern: string): ReadonlyArray<string> => {
  for (let open = pattern.indexOf("{"); open !== -1; open = pattern.indexOf("{", open + 1)) {
    if (isEscaped(pattern, open)) continue
    const commas: Array<number> = []
    let depth = 0
    let index = open
    for (; index < pattern.length; index++) {
      const character = pattern[index]
      if (character === "\\") index++
      else if (character === "{") depth++
      else if (character === "}" && --depth === 0) break
      else if (character === "," && depth === 1) commas.push(index)
    }
    if (index >= pattern.length || commas.length === 0) continue
    const bounds = [open, ...commas, index]
    return bounds.slice(1).map((end, n) =>
      pattern.slice(0, open) + pattern.slice(bounds[n] + 1, end) + pattern.slice(index + 1)
    )
  }
  return [pattern]
}

const isEscaped = (pattern: string, at: number): boolean => {
  let slashes = 0
  while (pattern[at - 1 - slashes] === "\\") slashes++
  return slashes % 2 === 1
}
