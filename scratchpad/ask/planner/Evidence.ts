/**
 * Reads the results of tools: places in files, passages and paths, and finds those that fit a question best.
 */
import * as Predicate from "effect/Predicate"
import type * as Tools from "./Tools.ts"
import * as Words from "./Words.ts"

/** A line that a search has found. */
export interface Hit {
  readonly path: string
  readonly line: number
  readonly text: string
}

/** Consecutive lines of a file. */
export interface Passage {
  readonly path: string
  readonly first: number
  readonly lines: ReadonlyArray<string>
}

/** What has been found so far. */
export interface Evidence {
  readonly hits: Array<Hit>
  readonly passages: Array<Passage>
  readonly paths: Array<string>
  /** What listings have said about names that they do not show. */
  readonly unlisted: Array<string>
}

/** Adds the result of a call. */
export const add = (
  evidence: Evidence,
  role: Tools.Shape["role"],
  result: unknown,
  origin: { readonly path: string | undefined; readonly first: number | undefined }
): void => {
  if (typeof result === "string") return addText(evidence, role, result, origin)
  if (Array.isArray(result)) {
    if (result.every(Predicate.isString)) return addText(evidence, role, result.join("\n"), origin)
    for (const element of result) add(evidence, role, element, origin)
    return
  }
  if (!Predicate.isObject(result)) return
  const record = result as Record<string, unknown>
  const path = stringAt(record, "path file filename filePath fileName name relativePath") ?? origin.path
  const line = numberAt(record, "line lineNumber row number lineNo")
  const text = stringAt(record, "text content match preview snippet lineText body excerpt value")
  if (line !== undefined && text !== undefined && path !== undefined) {
    if (role === "read") evidence.passages.push({ path, first: line, lines: toLines(text) })
    else evidence.hits.push({ path, line, text: text.split("\n")[0]! })
    return
  }
  const first = numberAt(record, "from start startLine firstLine first begin offset") ?? origin.first
  const inner = { path, first }
  if (text !== undefined) return addText(evidence, role, text, inner)
  const nested = Object.values(record).filter((value) => Array.isArray(value) || Predicate.isObject(value))
  for (const value of nested) add(evidence, role, value, inner)
  if (nested.length === 0 && path !== undefined && path !== origin.path) evidence.paths.push(path)
}

const stringAt = (record: Record<string, unknown>, keys: string): string | undefined =>
  keys.split(" ").map((key) => record[key]).find(Predicate.isString)

const numberAt = (record: Record<string, unknown>, keys: string): number | undefined =>
  keys.split(" ").map((key) => record[key]).find(Predicate.isNumber)

const toLines = (text: string): Array<string> => text.replace(/\r?\n$/, "").split(/\r?\n/)

const located = /^([^\s:][^:]*?):(\d+)(?::\d+)?[:-]?\s?(.*)$/
const numbered = /^\s*(\d+)(?:\s?[:|│→]\s?|\t| -\s| {2}|$)(.*)$/

const addText = (
  evidence: Evidence,
  role: Tools.Shape["role"],
  text: string,
  origin: { readonly path: string | undefined; readonly first: number | undefined }
): void => {
  const lines = toLines(text)
  if (role === "list") {
    for (const line of lines) {
      const path = pathOf(line)
      if (path !== undefined) evidence.paths.push(path)
      else if (/\b(more|not shown|truncated|omitted)\b/i.test(line)) evidence.unlisted.push(line.trim())
    }
    return
  }
  if (role === "search") {
    // A search may name a file once, above its lines.
    let path = origin.path
    for (const line of lines) {
      const hit = located.exec(line)
      const below = numbered.exec(line)
      if (hit !== null && Words.isPath(hit[1]!)) {
        evidence.hits.push({ path: hit[1]!, line: Number(hit[2]), text: hit[3]! })
      } else if (below !== null && path !== undefined) {
        evidence.hits.push({ path, line: Number(below[1]), text: below[2]! })
      } else {
        const heading = pathOf(line)
        if (heading === undefined) continue
        path = heading
        evidence.paths.push(heading)
      }
    }
    return
  }
  if (role !== "read") return
  const path = origin.path ?? lines.map(pathOf).find(Predicate.isNotUndefined) ?? ""
  const withNumbers = lines.map((line) => numbered.exec(line))
  const known = withNumbers.filter(Predicate.isNotNull)
  const consecutive = known.length > 0 && known.length >= lines.length / 2 &&
    known.every((match, index) => index === 0 || Number(match[1]) === Number(known[index - 1]![1]) + 1)
  evidence.passages.push(
    consecutive
      ? { path, first: Number(known[0]![1]), lines: known.map((match) => match[2]!) }
      : { path, first: origin.first ?? 1, lines }
  )
}

/** The path that a line of a listing begins with. */
const pathOf = (line: string): string | undefined => {
  const token = line.replace(/^[\s│├└─*+-]+/, "").split(/\s{2,}|\t|\s(?=\(|\d)/)[0]!.trim().replace(/:$/, "")
  const looksLike = Words.isPath(token) || /^[\w@.-]+\/?$/.test(token) && /[./]|^[A-Z]+$/.test(token)
  return token !== "" && !/\s/.test(token) && looksLike ? token : undefined
}

// =============================================================================
// Which fits best
// =============================================================================

/** The aim of a search. */
export interface Aim {
  readonly words: ReadonlyArray<string>
  readonly exact: ReadonlyArray<string>
  readonly goal: "definition" | "usage" | "guide"
  readonly tests: boolean
}

/** Whether a path is that of a test. */
export const isTest = (path: string): boolean =>
  /(^|\/)(tests?|__tests__|specs?)(\/|$)|[._-](test|spec)s?\.|(^|\/)test_/.test(path)

const definition =
  /^\s*(?:export\s+)?(?:default\s+)?(?:declare\s+)?(?:async\s+)?(?:abstract\s+)?(?:pub(?:\([^)]*\))?\s+)?(?:class|function\*?|const|let|var|interface|type|enum|namespace|module|def|fn|func|struct|trait|impl|protocol|package)\s+([\w$]+)/

/** Whether a line defines something, and its name. */
export const definedName = (text: string): string | undefined => definition.exec(text)?.[1]

/** Scores how well a hit fits; higher is better. */
export const score = (hit: Hit, aim: Aim): number => {
  const text = hit.text
  const whole = Words.squash(aim.words.map(Words.singular).join(""))
  const inLine = Words.stems(text)
  const wanted = aim.words.map(Words.stem)
  const present = wanted.filter((word) => inLine.has(word)).length
  let total = present * 3 + (present === wanted.length ? 4 : 0)
  if (aim.words.length > 1 && Words.squash(text).includes(whole)) total += 5
  if (aim.exact.some((term) => text.includes(term))) total += 6
  const name = definedName(text)
  if (name !== undefined) {
    const squashed = Words.squash(name)
    const exported = /^\s*export\b/.test(text) ? 1 : 0
    const names = [whole, ...aim.exact.flatMap((term) => [term, term.split(/[.:#]/).at(-1)!]).map(Words.squash)]
    const fits = aim.exact.some((term) => isMemberOf(hit.path, name, term))
      ? 24
      : names.some((term) => term !== "" && squashed === term)
      ? 12
      : names.some((term) => term.length > 2 && squashed.includes(term))
      ? 6
      : wanted.some((word) => Words.stems(name).has(word))
      ? 3
      : 0
    total += aim.goal === "definition" ? fits + (fits > 0 ? exported : 0) : -fits
  }
  if (aim.goal === "guide" && /^\s*(\$ )?(npm|npx|node|yarn|pnpm|pip|cargo|go|make) /.test(text)) total += 3
  if (/^#+\s/.test(text) && present > 0) total += present === wanted.length ? 4 : 1
  if (aim.tests && /^\s*(describe|it|test)\b/.test(text)) total += 4
  if (aim.goal === "definition" && !aim.tests && /^\s*(import\b|export \*|\} from )/.test(text)) total -= 4
  // A line that uses something is not its definition.
  if (aim.goal === "usage" && isNamedAfter(hit.path, aim)) total -= 8
  if (aim.goal === "usage" && /^\s*(\/?\*|\/\/)/.test(text)) total -= 3
  return total + scorePath(hit.path, aim)
}

/** Whether `make` in the file `Agent.ts` is `Agent.make`. */
const isMemberOf = (path: string, name: string, term: string): boolean => {
  const [owner, member] = term.split(".")
  return member !== undefined && name === member && path.split("/").at(-1)!.replace(/\.\w+$/, "") === owner
}

/** Scores how well a path fits by itself. */
export const scorePath = (path: string, aim: Aim): number => {
  const base = (path.split("/").at(-1) ?? path).replace(/(\.(test|spec))?\.\w+$/, "")
  const whole = Words.squash(aim.words.map(Words.singular).join(""))
  const inPath = Words.stems(path)
  let total = aim.words.filter((word) => inPath.has(Words.stem(word))).length
  if (whole !== "" && Words.squash(base) === whole) total += 6
  else if (whole.length > 2 && Words.squash(base).includes(whole)) total += 3
  if (aim.exact.some((term) => Words.squash(base) === Words.squash(term.split(".")[0]!))) total += 3
  if (isTest(path)) total += aim.tests ? 12 : -8
  if (/\.(md|mdx|txt)$/i.test(path)) total += aim.goal === "guide" ? 6 : -3
  if (aim.goal === "guide" && /^readme\./i.test(path)) total += 3
  if (/(^|\/)(changelog|license)\b/i.test(path)) total -= 6
  if (/(^|\/)(dist|build|node_modules|vendor|\.git)\/|\.lock$|lock\.json$|\.min\.|\.d\.ts$/.test(path)) total -= 10
  if (/(^|\/)(examples?|scratchpad|fixtures?|bench(mark)?s?)\//.test(path)) total -= 3
  return total
}

/** Returns whether a hit is relevant at all, because a search may have found a part of a longer word. */
export const matches = (hit: Hit, aim: Aim): boolean => {
  const inLine = Words.stems(hit.text)
  const whole = Words.squash(aim.words.map(Words.singular).join(""))
  return aim.words.some((word) => inLine.has(Words.stem(word))) ||
    (aim.words.length > 1 && Words.squash(hit.text).includes(whole)) ||
    aim.exact.some((term) => hit.text.toLowerCase().includes(term.toLowerCase()))
}

/** Whether a file is named after what is looked for. */
export const isNamedAfter = (path: string, aim: Aim): boolean => {
  const base = Words.squash((path.split("/").at(-1) ?? path).replace(/(\.(test|spec))?\.\w+$/, ""))
  const whole = Words.squash(aim.words.map(Words.singular).join(""))
  return base !== "" && !path.endsWith("/") &&
    (base === whole || aim.exact.some((term) => base === Words.squash(term)))
}

/** Returns the hits without duplicates, best first. Equal ones are in the order of their paths and lines. */
export const rank = (hits: ReadonlyArray<Hit>, aim: Aim): ReadonlyArray<Hit> => {
  const byPlace = new Map(hits.filter((hit) => matches(hit, aim)).map((hit) => [`${hit.path}:${hit.line}`, hit]))
  return Array.from(byPlace.values(), (hit) => ({ hit, score: score(hit, aim) })).sort((a, b) =>
    b.score - a.score || compare(a.hit.path, b.hit.path) || a.hit.line - b.hit.line
  ).map(({ hit }) => hit)
}

/** Returns the paths that share a word with what is looked for, best first. */
export const rankPaths = (paths: ReadonlyArray<string>, aim: Aim): ReadonlyArray<string> => {
  const wanted = [...aim.words, ...aim.exact.flatMap(Words.split)].map(Words.stem)
  return Words.unique(paths).filter((path) => {
    const inPath = Words.stems(path)
    return !path.endsWith("/") && wanted.some((word) => inPath.has(word))
  }).toSorted((a, b) => scorePath(b, aim) - scorePath(a, aim) || compare(a, b))
}

const compare = (a: string, b: string): number => a.length - b.length || (a < b ? -1 : a > b ? 1 : 0)

/** Returns the lines around a place that belong together: the comment above it and the block below it. */
export const excerpt = (passage: Passage, line: number, size: number): Passage => {
  const at = Math.min(Math.max(line - passage.first, 0), passage.lines.length - 1)
  const isComment = (text: string | undefined) => text !== undefined && /^\s*(\/\/|\/?\*|#(?!#*\s)|--)/.test(text)
  let start = at
  while (start > 0 && at - start < size && isComment(passage.lines[start - 1])) start--
  let end = at + 1
  const heading = /^#+\s/.test(passage.lines[at] ?? "")
  while (end < passage.lines.length && end - at < size) {
    const text = passage.lines[end]!
    if (heading ? /^#+\s/.test(text) : text.trim() === "" && !/[,([{=>]\s*$/.test(passage.lines[end - 1]!)) break
    end++
    if (!heading && /^[)\]}]/.test(text)) break
  }
  while (end > at + 1 && passage.lines[end - 1]!.trim() === "") end--
  return { path: passage.path, first: passage.first + start, lines: passage.lines.slice(start, end) }
}

/** Returns the beginning of a file: the comment it begins with, or its first lines. */
export const opening = (passage: Passage, size: number): Passage => {
  const end = /^\s*\/\*/.test(passage.lines[0] ?? "") ? passage.lines.findIndex((line) => line.includes("*/")) + 1 : 0
  return { ...passage, lines: passage.lines.slice(0, end > 0 && end <= size ? end : Math.min(size, 12)) }
}
