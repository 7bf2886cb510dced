/**
 * The words of a question: what the offline planner matches with tools and results.
 */

/** A question, taken apart. */
export interface Question {
  readonly text: string
  /** All words in lower case, punctuation removed, in order. */
  readonly words: ReadonlyArray<string>
  /** The words that carry the topic, without those that every question has. */
  readonly salient: ReadonlyArray<string>
  readonly quoted: ReadonlyArray<string>
  readonly identifiers: ReadonlyArray<string>
  readonly paths: ReadonlyArray<string>
  readonly globs: ReadonlyArray<string>
  readonly numbers: ReadonlyArray<number>
  /** Words with a capital letter that do not begin the sentence. */
  readonly names: ReadonlyArray<string>
  readonly lines: { readonly first: number; readonly last: number } | undefined
  /** The extension of the files that it names, as in "markdown files". */
  readonly extension: string | undefined
  /** Whether it asks who uses something. */
  readonly usage: boolean
  /** Whether it asks how the user does something, which documents tell and not definitions. */
  readonly guide: boolean
  /** Whether it asks for something that the manifest of a project says. */
  readonly manifest: boolean
}

const setOf = (words: string): ReadonlySet<string> => new Set(words.split(" "))

const stopWords = setOf(
  "a an the is are am was were be been being do does did doing of in on at to for from by with without and or but not " +
    "no if then else so as than it its this that these those there here i me my mine we our us you your yours they " +
    "them their he she his her what which who whom whose when where why how can could would should will shall may " +
    "might must please tell give explain describe about any all some have has had get gets let just also now again " +
    "mean means meaning work works working happen happens inside into out up down over under between each every more " +
    "most much many there's one ones thing things way ways go goes went see know want need say says said make made " +
    "another other kind sort exactly actually really called named"
)

/** Words for the action, not for the topic. */
const intentWords = setOf(
  "find search look looking locate list ls show read open print cat display view dump line lines content contents " +
    "file files folder folders directory directories tree structure defined define defines definition declared " +
    "declaration implemented implement implements implementation located location live lives code source exist exists " +
    "count number ask asked before first last earlier previous previously question answer example examples sample " +
    "summarize summarise summary overview"
)

/** Such words in questions about who uses something. */
const usageWords = setOf(
  "use used uses using usage usages call calls called caller callers import imports imported reference references referenced"
)

const usage =
  /\b(is|are|was|were|gets?)\b.*\b(used|called|imported|referenced)\b|\b(who|what|which(\s+\w+)?)\s+(uses?|calls?|imports?|references)\b|\busages?\s+of\b|\b(callers?|users?)\s+of\b|\breferences?\s+to\b/i

const guide = /\bhow\s+(do|can|could|should|would)\s+(i|we|you|one)\b|\bhow\s+to\b/i

/** Words that ask for what a manifest says about a project. */
const manifestWords = setOf(
  "version license licence dependency dependencies script scripts engine engines author authors"
)

/** Words that ask for what is new in a project. */
const newsWords = setOf("new news changed change changes changelog recent recently latest release releases")

const fileTypes: Readonly<Record<string, string>> = {
  typescript: "ts",
  javascript: "js",
  markdown: "md",
  python: "py",
  rust: "rs",
  yaml: "yaml"
}

const extensions = setOf(
  "ts tsx mts cts js jsx mjs cjs json jsonc md mdx txt yml yaml toml html htm css scss py rs go java kt c h cc cpp hpp " +
    "cs rb php sh bash sql lock csv tsv xml svg png jpg gif pdf ini cfg conf env log proto graphql swift scala ex exs"
)

/** Takes a question apart. */
export const parse = (text: string): Question => {
  const quoted = Array.from(
    text.matchAll(/`([^`\n]+)`|"([^"\n]+)"|“([^”\n]+)”|(?<=^|\s)'([^'\n]+)'(?=$|[\s.,;:!?])/g),
    (match) => (match[1] ?? match[2] ?? match[3] ?? match[4] ?? "").trim()
  ).filter((term) => term !== "")
  const tokens = text.split(/\s+/).map(trimToken).filter((token) => token !== "")
  const named = tokens.filter(isPath)
  const globs = tokens.filter((token) => token.includes("*"))
  const plain = tokens.filter((token) => !isPath(token) && !token.includes("*"))
  const identifiers = plain.filter(isIdentifier).map((token) => token.replace(/\(\)$/, ""))
  const words = plain.map((token) => token.toLowerCase().replace(/['’](s|re|ve|ll|d|m|t)$/, ""))
    .filter((word) => /[\p{L}\p{N}]/u.test(word))
  const content = words.filter((word) => !stopWords.has(word))
  const isUsage = usage.test(text)
  const isGuide = guide.test(text)
  const asked = content.filter((word) =>
    !intentWords.has(word) && !((isUsage || isGuide) && usageWords.has(word)) && !/^\d+$/.test(word)
  )
  const isPlain = named.length === 0 && quoted.length === 0 && identifiers.length === 0
  const isNews = isPlain && asked.length > 0 && asked.every((word) => newsWords.has(word))
  const isManifest = isPlain && asked.length > 0 && asked.every((word) => manifestWords.has(word))
  const paths = isNews ? ["CHANGELOG.md"] : named
  const topical = isNews ? [] : asked
  const typeAt = words.findIndex((word, index) =>
    /^files?$/.test(words[index + 1] ?? "") && (word in fileTypes || extensions.has(word))
  )
  return {
    text,
    words,
    salient: unique(
      topical.length > 0 ? topical : paths.length > 0 ? [] : content.filter((word) => !/^\d+$/.test(word))
    ),
    quoted: unique(quoted),
    identifiers: unique(identifiers),
    paths: unique(paths),
    globs: unique(globs),
    numbers: tokens.filter((token) => /^-?\d+(\.\d+)?$/.test(token)).map(Number),
    names: unique(plain.filter((token, index) => index > 0 && /^\p{Lu}\p{L}+$/u.test(token) && token !== "I")),
    lines: parseLines(text),
    extension: typeAt === -1
      ? undefined
      : fileTypes[words[typeAt]!] ?? words[typeAt],
    usage: isUsage,
    guide: isGuide,
    manifest: isManifest
  }
}

/** Whether a question has one of some words, in any of their forms. */
export const mentions = (question: Question, words: string): boolean => {
  const stems = new Set(words.split(" ").map(stem))
  return question.words.some((word) => stems.has(stem(word)))
}

/** Whether a word means something by itself. */
export const isContent = (word: string): boolean => !stopWords.has(word.toLowerCase())

/** Whether a word belongs to a topic, and not only to the action. */
export const isTopical = (word: string): boolean => isContent(word) && !intentWords.has(word.toLowerCase())

/** Whether a token is the path of a file or a folder. */
export const isPath = (token: string): boolean => {
  if (token.includes("*") || token.includes("://") || !/^[\w@.~/-]+$/.test(token)) return false
  const extension = /[^./]\.([A-Za-z0-9]+)$/.exec(token)?.[1]
  if (extension !== undefined && extensions.has(extension.toLowerCase())) return true
  const segments = token.split("/").filter((segment) => segment !== "")
  return token.includes("/") && segments.some((segment) => isContent(segment)) &&
    !/^\d+(\/\d+)+$/.test(token) && !(segments.length === 2 && segments.some((segment) => !isContent(segment)))
}

const isIdentifier = (token: string): boolean =>
  /^[A-Za-z_$][\w$]*([.:#-]+[\w$]+)*(\(\))?$/.test(token) && !/^[A-Z]{2,}s$/.test(token) &&
  (/[a-z0-9][A-Z]|[A-Z]{2,}[a-z]|[_$]|\w[.:#-]+\w|\(\)$/.test(token))

const trimToken = (token: string): string =>
  /^[A-Za-z_$][\w$.]*\(\)/.exec(token)?.[0] ??
    token.replace(/^[("'`“[{<]+/, "").replace(/[)"'`”\]}>,.;:!?]+$/, "")

const parseLines = (text: string): Question["lines"] => {
  const match = /\blines?\s+(\d+)(?:\s*(?:-|–|to|through|until|and)\s*(\d+))?/i.exec(text) ??
    /[\w/-]\.\w+:(\d+)(?:-(\d+))?\b/.exec(text)
  if (match === null) return undefined
  const first = Number(match[1])
  const last = match[2] === undefined ? first : Number(match[2])
  return { first: Math.min(first, last), last: Math.max(first, last) }
}

/** Removes the endings of a word, so that its forms become equal. */
export const stem = (word: string): string => {
  let out = singular(word.toLowerCase())
  if (/.{3}ing$/.test(out)) out = out.slice(0, -3)
  else if (/.{2}ed$/.test(out)) out = out.slice(0, -2)
  if (/([bdgklmnprt])\1$/.test(out) && out.length > 3) out = out.slice(0, -1)
  return out.length > 2 && out.endsWith("e") ? out.slice(0, -1) : out
}

/** Returns a word without the ending of a plural. */
export const singular = (word: string): string =>
  /.{2}ies$/.test(word)
    ? word.slice(0, -3) + "y"
    : /(ss|ch|sh|x|z)es$/.test(word)
    ? word.slice(0, -2)
    : /[^su]s$/.test(word) && word.length > 3
    ? word.slice(0, -1)
    : word

/** Returns the words of an identifier, a path or a sentence, in lower case. */
export const split = (text: string): Array<string> =>
  text.replace(/([a-z0-9])([A-Z])/g, "$1 $2").replace(/([A-Z]+)([A-Z][a-z])/g, "$1 $2").toLowerCase()
    .split(/[^\p{L}\p{N}]+/u).filter((word) => word !== "")

/** Returns the stems of a text's words. */
export const stems = (text: string): ReadonlySet<string> => new Set(split(text).map(stem))

/** Returns the letters and digits of a text, in lower case: `tool-loop` and `ToolLoop` become equal. */
export const squash = (text: string): string => text.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "")

/** Returns the ways in which some words are written as one identifier. */
export const compounds = (words: ReadonlyArray<string>): ReadonlyArray<string> => {
  const plain = words.map(singular)
  const pascal = plain.map((word) => word.slice(0, 1).toUpperCase() + word.slice(1)).join("")
  return [pascal, plain.join("-"), plain.join("_"), pascal.slice(0, 1).toLowerCase() + pascal.slice(1)]
}

/** Returns what to search for, in rounds: a round is tried when those before it have found nothing good. */
export const queries = (question: Question): ReadonlyArray<ReadonlyArray<string>> => {
  const exact = unique([...question.quoted, ...question.identifiers])
  const rounds: Array<ReadonlyArray<string>> = []
  if (exact.length > 0) rounds.push(exact.slice(0, 3))
  // The part after the dot is the name at the definition.
  const members = exact.filter((term) => /^[\w$]+([.:#]+[\w$]+)+$/.test(term)).map((term) =>
    term.split(/[.:#]+/).at(-1)!
  )
  if (members.length > 0) rounds.push(members.slice(0, 3))
  const { salient } = question
  const phrase = salient.filter((word) => /^[\p{L}\p{N}]+$/u.test(word))
  if (exact.length === 0 && (phrase.length === 2 || phrase.length === 3)) {
    const [pascal, kebab, snake] = compounds(phrase)
    rounds.push([phrase.join(" "), pascal!])
    if (phrase.length === 2) rounds.push([kebab!, snake!])
  }
  if (exact.length === 0 && phrase.length > 2) {
    const pairs = phrase.slice(1).map((word, index) => [phrase[index]!, word]).slice(0, 3)
    rounds.push(pairs.map((pair) => pair.join(" ")), pairs.map((pair) => compounds(pair)[0]!))
  }
  // The longest words are probably the rarest; before a search nothing else is known about them.
  const single = salient.filter((word) => word.length > 2 || salient.length === 1)
    .toSorted((a, b) => b.length - a.length)
  if (single.length > 0) {
    rounds.push(single.slice(0, 2), single.slice(0, 2).map(shortForm), single.slice(2, 5))
  }
  const seen = new Set<string>()
  return rounds.map((round) => round.filter((query) => !seen.has(query) && seen.add(query) !== undefined))
    .filter((round) => round.length > 0)
}

/** The common beginning of all forms of a word, for tools that search for parts of words. */
const shortForm = (word: string): string => {
  const short = stem(word)
  return short.length > 3 ? short : singular(word)
}

/** Returns the elements without repetitions. */
export const unique = <A>(values: ReadonlyArray<A>): ReadonlyArray<A> => Array.from(new Set(values))
