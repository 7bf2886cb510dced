/**
 * The answers of the offline planner: quotations from the results of tools, and plain words if there is nothing to
 * quote.
 */
import * as Predicate from "effect/Predicate"
import type * as Conversation from "./Conversation.ts"
import * as Evidence from "./Evidence.ts"
import * as Memory from "./Memory.ts"
import * as Tools from "./Tools.ts"
import * as Words from "./Words.ts"

/** The kind of work that a question asks for. */
export type Task = "find" | "read" | "list" | "overview" | "other"

/** Everything that a decision depends on. */
export interface State {
  readonly conversation: Conversation.Conversation
  readonly topic: Conversation.Topic
  readonly tools: ReadonlyArray<Tools.Shape>
  readonly evidence: Evidence.Evidence
  readonly task: Task
}

const introduction =
  "I am an offline planner: I match the words of your question to tools and quote what they return. " +
  "I do not understand language and I know nothing by myself."

/** What the user can try, by what the tools are for. */
const suggestions = (tools: ReadonlyArray<Tools.Shape>): string => {
  const has = (role: Tools.Shape["role"]) => tools.some((tool) => tool.role === role)
  const lines = [
    ...(has("search") ? ["- where is the word LOOP? who uses NAME? how do I install it?"] : []),
    ...(has("read") ? ["- show README.md, lines 1-20"] : []),
    ...(has("list") ? ["- which markdown files are there?"] : []),
    ...(tools.some((tool) => tool.name.includes("note")) ? ["- take a note: water the plants"] : []),
    "- my name is Ada (and later: what is my name?)"
  ]
  return `You can try:\n${lines.join("\n")}`
}

/** Answers questions that need no tools: about earlier questions, and about the planner itself. */
export const aside = (
  conversation: Conversation.Conversation,
  tools: ReadonlyArray<Tools.Shape>
): string | undefined => {
  const { calls, earlier, piped, question } = conversation
  if (question.trim() === "") return `There is no question to answer. ${introduction}`
  if (calls.length > 0) return undefined
  const asksForAnswer =
    /\b(what|which)\b.*\b(did|have) you\b.*\b(say|said|answer(ed)?|tell|told|find|found)\b|\byour (last|previous|first|earlier) answer\b/i
  const asksForQuestion =
    /\b(what|which)\b.*\b(did|have) (i|we)\b.*\b(ask(ed)?|say|said|talk(ed)?)\b|\bmy (last|previous|first|earlier) question/i
  if (asksForAnswer.test(question) || asksForQuestion.test(question)) {
    const chosen = /\bfirst\b/i.test(question) ? earlier[0] : earlier.at(-1)
    if (chosen === undefined) return "Nothing was asked before: this is the first question of the conversation."
    if (asksForAnswer.test(question)) return `To "${chosen.question}" I answered:\n\n${chosen.answer}`
    const asked = /\bfirst\b|\blast\b|\bprevious\b/i.test(question) ? [chosen] : earlier.slice(-5)
    return asked.length === 1
      ? `Before this you asked: "${asked[0]!.question}"`
      : `Before this you asked:\n${asked.map((exchange) => `- "${exchange.question}"`).join("\n")}`
  }
  if (piped.length > 0) return undefined
  const recalled = Memory.recall(conversation)
  if (recalled !== undefined) return recalled
  const words = Words.parse(question)
  const order = Tools.impossibleOrder(tools, words)
  if (order !== undefined) {
    return `I cannot do this: none of my tools can ${order}. ${introduction} ${toolsSentence(tools)}`
  }
  if (thanks.test(question)) return "You are welcome."
  if (chatter.test(question)) return `There is nothing in this for me to look up. ${suggestions(tools)}`
  if (unknowable.test(question) && !tools.some((tool) => tool.role === "other" && Tools.score(tool, words) >= 1)) {
    return `I cannot know this: none of my tools tells sizes, dates, authors or anything outside of the files. ${
      toolsSentence(tools)
    }`
  }
  return asksForHelp.test(question) ? `${introduction} ${toolsSentence(tools)}\n\n${suggestions(tools)}` : undefined
}

const thanks = /^\s*(many\s+)?(thanks|thank you|thx|cheers)\b[^?]{0,30}$/i

const chatter =
  /^\s*(ok(ay)?|yes|no|yeah|nope|great|nice|cool|good|perfect|wow|lol|hm+|bye|goodbye|good (morning|evening|night))\b[\s.!]*$/i

const unknowable =
  /\b(biggest|largest|smallest|longest|newest|oldest|most recent)\b.*\b(file|folder|directory)|\b(last|latest|recent) commits?\b|\bgit (log|blame|history)\b|\bwho (wrote|committed|changed)\b|\bwhat(['’]s| is)? (the )?(time|date|day|weather)\b/i

const asksForHelp =
  /^\W*$|^\s*(hi|hello|hey|help)\b[\s!.?]*$|\bwhat can (you|i|we) (do|ask)\b|\bwho are you\b|\bwhat are you\b|\bhow can you help\b|^\s*(can|could) you help( me)?\s*\??$|^\s*help me\b[\s.!]*$/i

const toolsSentence = (tools: ReadonlyArray<Tools.Shape>): string =>
  tools.length === 0
    ? "I have no tools here."
    : `My tools here:\n${
      tools.map((tool) => `- ${tool.name}${tool.description === "" ? "" : `: ${firstSentence(tool.description)}`}`)
        .join("\n")
    }`

const firstSentence = (text: string): string => /^[^\n]*?[.!](?=\s|$)/.exec(text)?.[0] ?? text.split("\n")[0]!

/** Answers from what has been found. */
export const compose = (state: State): string => {
  const text = answerOf(state)
  const failed = state.conversation.calls.filter((call) => call.isFailure)
  const notes = Words.unique(failed.map((call) =>
    isDenied(call.result)
      ? `${call.name} was not allowed: ${call.result.reason ?? "nobody said why"}`
      : `${call.name} failed: ${messageOf(call.result)}`
  ))
  if (text !== undefined) return notes.length === 0 ? text : `${text}\n\n(${notes.join("; ")})`
  const told = fromSystem(state)
  if (told !== undefined) return told
  if (failed.length > 0 && failed.every((call) => isDenied(call.result))) {
    return `I have not done it. ${notes.join("; ")}.`
  }
  const tried = Words.unique(
    state.conversation.calls.filter((call) => !call.isFailure).map((call) =>
      `${call.name}(${Object.values(call.params).map((value) => JSON.stringify(value)).join(", ")})`
    )
  )
  return [
    "I cannot answer this.",
    introduction,
    state.tools.length === 0
      ? "I have no tools here."
      : state.conversation.calls.length === 0
      ? `None of my tools fits the question: ${state.tools.map((tool) => tool.name).join(", ")}.`
      : tried.length > 0
      ? `I tried ${tried.slice(0, 6).join(", ")}${
        tried.length > 6 ? ` and ${counted(tried.length - 6, "other call")}` : ""
      } and found nothing about ${subject(state.topic)}.`
      : "Each tool that I tried has failed.",
    ...(notes.length > 0 ? [`${notes.join("; ")}.`] : []),
    state.tools.length === 0 ? "" : "A name as it is written in the files, in quotes, or the path of a file would help."
  ].filter((sentence) => sentence !== "").join(" ")
}

const answerOf = (state: State): string | undefined => {
  switch (state.task) {
    case "other":
      return fromOther(state)
    case "list":
      return fromList(state) ?? fromHits(state)
    case "overview":
      return fromOverview(state)
    case "read":
      return fromRead(state) ?? fromHits(state)
    case "find":
      return fromHits(state) ?? fromRead(state) ?? fromPaths(state)
  }
}

/**
 * Returns the hits for the topic, best first. Those in tests are included only if the question asks for tests and there
 * are some.
 */
export const rankedHits = ({ evidence, topic }: State): ReadonlyArray<Evidence.Hit> =>
  Evidence.rank(evidence.hits, topic)

/** Returns the file that is named after the topic, unless a line defines it under that name. */
export const namedFile = (state: State): string | undefined => {
  const { evidence, topic } = state
  const [best] = rankedHits(state)
  const defined = best === undefined ? undefined : Evidence.definedName(best.text)
  if (
    defined !== undefined && Evidence.isTest(best!.path) === topic.tests &&
    Evidence.isNamedAfter(defined, topic)
  ) {
    return undefined
  }
  return Evidence.rankPaths([...evidence.paths, ...evidence.hits.map((hit) => hit.path)], topic)
    .find((path) => Evidence.isNamedAfter(path, topic) && Evidence.isTest(path) === topic.tests)
}

/** Returns the words that the names of a listing must have. */
export const listFilter = ({ question }: Conversation.Topic): ReadonlyArray<string> =>
  question.extension !== undefined
    ? []
    : question.salient.filter((word) => Words.isTopical(word) && !/^(project|repository|repo)$/.test(word))
      .map(Words.singular)

/** Returns the files that describe the folder, best first. */
export const overviewPaths = ({ evidence }: State): ReadonlyArray<string> => {
  const known = ["readme.md", "readme", "readme.txt", "index.md", "package.json"]
  const found = evidence.paths.filter((path) => known.includes(path.toLowerCase().replace(/^\.\//, ""))).toSorted((
    a,
    b
  ) => known.indexOf(a.toLowerCase().replace(/^\.\//, "")) - known.indexOf(b.toLowerCase().replace(/^\.\//, "")))
  return found.length > 0 ? found : ["README.md"]
}

const subject = (topic: Conversation.Topic): string =>
  topic.exact.length > 0
    ? topic.exact.map((term) => `"${term}"`).join(" and ")
    : topic.words.length > 0
    ? `"${topic.words.join(" ")}"`
    : topic.path ?? "this"

const fromHits = (state: State): string | undefined => {
  const { evidence, topic } = state
  const hits = rankedHits(state)
  const file = topic.goal === "usage" ? undefined : namedFile(state)
  const beginning = evidence.passages.find((passage) => passage.path === file && passage.first === 1)
  if (beginning !== undefined) {
    const inside = hits.filter((hit) => hit.path === file && hit.line > 1).slice(0, 3).map((hit) =>
      `    ${hit.path}:${hit.line}  ${clip(hit.text.trim(), 100)}`
    )
    const others = hits.filter((hit) => hit.path !== file).slice(0, 4).map((hit) => `${hit.path}:${hit.line}`)
    return `${file}:1 is ${topic.tests ? "a test" : "the beginning of a file"} named after ${subject(topic)}:\n\n${
      quote(Evidence.opening(beginning, 24))
    }${inside.length > 0 ? `\n\nMatching lines in it:\n\n${inside.join("\n")}` : ""}${
      others.length > 0 ? `\n\nAlso: ${others.join(", ")}` : ""
    }`
  }
  const [best] = hits
  if (best === undefined) return undefined
  const relevant = hits.filter((hit) => topic.goal === "usage" || Evidence.score(hit, topic) > 0)
  if (topic.goal === "usage") {
    const files = Words.unique(relevant.map((hit) => hit.path))
    const shown = relevant.slice(0, 8).map((hit) => `    ${hit.path}:${hit.line}  ${clip(hit.text.trim(), 100)}`)
    return `${counted(relevant.length, "line")} in ${counted(files.length, "file")} with ${subject(topic)}:\n\n${
      shown.join("\n")
    }${relevant.length > 8 ? `\n    and ${relevant.length - 8} more` : ""}`
  }
  const passage = evidence.passages.find((passage) => passage.path === best.path && covers(passage, best.line))
  const read = passage !== undefined ?
    undefined :
    hits.find((hit) => evidence.passages.some((passage) => passage.path === hit.path && covers(passage, hit.line)))
  // The part that was read, if the best place could not be read.
  const shown = read ?? best
  const source = passage ??
    evidence.passages.find((passage) => passage.path === shown.path && covers(passage, shown.line))
  const quotation = source === undefined
    ? quote({ path: shown.path, first: shown.line, lines: [shown.text] })
    : quote(Evidence.excerpt(source, shown.line, 14))
  const name = Evidence.definedName(shown.text)
  const role = name !== undefined
    ? `, where ${name} is defined`
    : /^#+\s/.test(shown.text) && /\.(md|mdx|txt|rst)$/i.test(shown.path)
    ? ", a heading"
    : ""
  const inLine = Words.stems(shown.text)
  const isPart = topic.exact.length === 0 && !topic.words.every((word) => inLine.has(Words.stem(word))) &&
    !Words.squash(shown.text).includes(Words.squash(topic.words.map(Words.singular).join("")))
  const missing = topic.tests && !Evidence.isTest(shown.path)
    ? `I found no test about ${subject(topic)}. `
    : isPart
    ? `${nowhere(state)} `
    : ""
  const others = relevant.filter((hit) =>
    hit !== shown && !(hit.path === shown.path && Math.abs(hit.line - shown.line) < 14)
  )
    .slice(0, 4).map((hit) => `${hit.path}:${hit.line}`)
  const lead = isPart ? "The nearest" : `The best match for ${subject(topic)}`
  return `${missing}${lead} is ${shown.path}:${shown.line}${role}:\n\n${quotation}${
    others.length > 0 ? `\n\nAlso: ${others.join(", ")}` : ""
  }`
}

/** Says what of the topic no line has. */
const nowhere = ({ evidence, topic }: State): string => {
  const found = evidence.hits.map((hit) => Words.stems(hit.text))
  const absent = topic.words.filter((word) => !found.some((stems) => stems.has(Words.stem(word))))
  return absent.length === 0
    ? `No line that I found has all of ${subject(topic)}.`
    : `Nothing that I found mentions ${absent.map((word) => `"${word}"`).join(" or ")}.`
}

const covers = (passage: Evidence.Passage, line: number): boolean =>
  line >= passage.first && line < passage.first + passage.lines.length

const fromRead = ({ evidence, topic }: State): string | undefined => {
  const [passage] = evidence.passages
  if (passage === undefined) return undefined
  const { lines } = topic.question
  const wanted = topic.words.filter((word) => !Words.stems(passage.path).has(Words.stem(word)))
  if (lines === undefined && (wanted.length > 0 || topic.exact.length > 0)) {
    const candidates = passage.lines.map((text, index) => ({ path: passage.path, line: passage.first + index, text }))
    const aim = { ...topic, words: wanted }
    const [best] = Evidence.rank(candidates, aim)
    if (best !== undefined && Evidence.score(best, aim) > Evidence.scorePath(best.path, aim)) {
      return `The best match for ${subject(aim)} in ${best.path} is line ${best.line}:\n\n${
        quote(Evidence.excerpt(passage, best.line, 14))
      }`
    }
  }
  const missing = lines === undefined && (wanted.length > 0 || topic.exact.length > 0)
    ? `No line that I have read has ${subject({ ...topic, words: wanted })}. `
    : ""
  const from = lines === undefined ? 0 : Math.max(0, lines.first - passage.first)
  const size = lines === undefined ? 30 : Math.max(1, lines.last - lines.first + 1)
  const shown = { ...passage, first: passage.first + from, lines: passage.lines.slice(from, from + Math.min(size, 60)) }
  const end = passage.first + passage.lines.length - 1
  const last = shown.first + shown.lines.length - 1
  return `${missing}${passage.path}, lines ${shown.first} to ${last}${
    last < end ? ` of ${end} that I have read` : ""
  }:\n\n${quote(shown)}`
}

const fromPaths = ({ evidence, topic }: State): string | undefined => {
  const paths = Evidence.rankPaths(evidence.paths, topic)
  return paths.length === 0
    ? undefined
    : `No line matches ${subject(topic)}, but these names do: ${paths.slice(0, 8).join(", ")}`
}

const fromList = ({ evidence, topic }: State): string | undefined => {
  const all = Words.unique(evidence.paths)
  if (all.length === 0) return undefined
  const extension = topic.question.extension ??
    topic.question.globs.map((glob) => /\.(\w+)$/.exec(glob)?.[1]).find(Predicate.isNotUndefined)
  const wanted = listFilter(topic).map(Words.stem)
  const chosen = all.filter((path) =>
    (extension === undefined || path.endsWith(`.${extension}`)) && wanted.every((word) => Words.stems(path).has(word))
  )
  const counts = /\bhow many\b.*\bfiles\b/i.test(topic.question.text)
  const kept = (chosen.length === 0 ? all : chosen).filter((path) => !counts || !path.endsWith("/"))
  const among = chosen.length === 0 && (wanted.length > 0 || extension !== undefined)
    ? "None of the names matches; these are all: "
    : ""
  const [unlisted] = evidence.unlisted
  const number = `${unlisted === undefined ? "" : "At least "}${counted(kept.length, counts ? "file" : "entry")}`
  return `${among}${number}:\n\n${kept.slice(0, 40).map((path) => `    ${path}`).join("\n")}${
    kept.length > 40 ? `\n    and ${kept.length - 40} more` : ""
  }${unlisted === undefined ? "" : `\n\nThe listing is not whole: ${unlisted}`}`
}

const fromOverview = (state: State): string | undefined => {
  const [passage] = state.evidence.passages
  if (passage === undefined) return fromList(state)
  const heading = passage.lines.findIndex((line) => /^#\s/.test(line))
  const start = passage.lines.findIndex((line, index) => index > heading && /^[\p{L}\p{N}`*[]/u.test(line))
  const after = passage.lines.findIndex((line, index) => index > start && line.trim() === "")
  const paragraph = start === -1
    ? passage.lines.slice(0, 20)
    : passage.lines.slice(start, after === -1 ? start + 20 : after)
  const title = heading === -1 ? "" : `${passage.lines[heading]!.replace(/^#+\s*/, "")}: `
  return `${passage.path} says:\n\n${title}${paragraph.slice(0, 20).join("\n")}`
}

const fromOther = ({ conversation }: State): string | undefined => {
  const answers = conversation.calls.filter((call) => !call.isFailure).map((call) =>
    `${call.name} says: ${render(call.result)}`
  )
  return answers.length === 0 ? undefined : answers.join("\n")
}

/**
 * A sentence from the instructions, or from a context provider, that has all words of the question, if there is one.
 */
const fromSystem = ({ conversation, topic }: State): string | undefined => {
  const wanted = topic.words.map(Words.stem)
  if (wanted.length === 0) return undefined
  const sentenceIn = (text: string) =>
    text.split(/(?<=[.!?])\s+|\n+/).find((sentence) => {
      const present = Words.stems(sentence)
      return wanted.every((word) => present.has(word))
    })?.trim()
  const instruction = sentenceIn(conversation.system)
  if (instruction !== undefined) return `My instructions say: ${instruction}`
  const fact = sentenceIn(conversation.context)
  return fact === undefined ? undefined : `I was told: ${fact}`
}

// =============================================================================
// Words and lines
// =============================================================================

const counted = (n: number, noun: string): string =>
  `${n} ${n === 1 ? noun : noun.endsWith("y") ? `${noun.slice(0, -1)}ies` : `${noun}s`}`

const clip = (text: string, length: number): string => text.length > length ? `${text.slice(0, length - 1)}…` : text

const render = (value: unknown): string =>
  clip(typeof value === "string" ? value : JSON.stringify(value) ?? "nothing", 1000)

const isDenied = (result: unknown): result is { readonly reason?: string } =>
  Predicate.isObject(result) && (result as Record<string, unknown>).type === "execution-denied"

const messageOf = (result: unknown): string => {
  if (result === undefined) return "there is no result"
  if (!Predicate.isObject(result)) return clip(render(result), 200)
  const { _tag, ...fields } = result as Record<string, unknown>
  const said = Object.values(fields).filter(Predicate.isString)
  return clip(said.length === 0 ? render(result) : said.join("; "), 200)
}

const quote = ({ first, lines }: Evidence.Passage): string => {
  const width = String(first + lines.length - 1).length
  return lines.map((line, index) => `    ${String(first + index).padStart(width)} | ${line}`.trimEnd()).join("\n")
}
