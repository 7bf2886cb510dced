/**
 * What the offline planner does next: tool calls, or an answer.
 */
import type * as Prompt from "effect/ai/Prompt"
import * as Predicate from "effect/Predicate"
import * as Answer from "./Answer.ts"
import * as Conversation from "./Conversation.ts"
import * as Evidence from "./Evidence.ts"
import * as Tools from "./Tools.ts"
import * as Words from "./Words.ts"

/** A call that the planner asks for. */
export interface NewCall {
  readonly name: string
  readonly params: Readonly<Record<string, unknown>>
}

/** Tool calls, or the text of an answer. */
export type Decision =
  | { readonly _tag: "Calls"; readonly calls: ReadonlyArray<NewCall> }
  | { readonly _tag: "Answer"; readonly text: string }

const maximumSteps = 6
const maximumCalls = 12

/**
 * Decides only by the prompt and the tools. `mayCall` is false if a tool choice forbids calls; `mustCall` names tools
 * of which one has to be called.
 */
export const decide = (
  prompt: Prompt.Prompt,
  tools: ReadonlyArray<Tools.Shape>,
  mayCall: boolean,
  mustCall: boolean
): Decision => {
  const conversation = Conversation.fromPrompt(prompt)
  const topic = Conversation.topicOf(conversation)
  const aside = mustCall ? undefined : Answer.aside(conversation, tools)
  if (aside !== undefined) return { _tag: "Answer", text: aside }
  const state = toState(conversation, topic, tools)
  if (mayCall && conversation.steps < maximumSteps && conversation.calls.length < maximumCalls) {
    const done = new Set(conversation.calls.map(keyOf))
    const calls = (nextCalls(state) ?? []).filter((call) => !done.has(keyOf(call)))
    if (calls.length > 0) return { _tag: "Calls", calls }
    if (mustCall && conversation.calls.length === 0) {
      const forced = bestOther(state, tools, 0)
      if (forced !== undefined) return { _tag: "Calls", calls: [forced] }
    }
  }
  return { _tag: "Answer", text: Answer.compose(state) }
}

const keyOf = ({ name, params }: NewCall): string =>
  JSON.stringify([name, Object.entries(params).sort(([a], [b]) => (a < b ? -1 : 1))])

// =============================================================================
// State
// =============================================================================

const toState = (
  conversation: Conversation.Conversation,
  topic: Conversation.Topic,
  tools: ReadonlyArray<Tools.Shape>
): Answer.State => {
  const evidence: Evidence.Evidence = { hits: [], passages: [], paths: [], unlisted: [] }
  for (const call of conversation.calls) {
    const shape = tools.find((tool) => tool.name === call.name)
    if (shape === undefined || call.isFailure) continue
    const path = argument(call, shape, "path")
    const first = argument(call, shape, "first")
    Evidence.add(evidence, shape.role, call.result, {
      path: Predicate.isString(path) ? path : undefined,
      first: Predicate.isNumber(first) ? first : undefined
    })
  }
  const task = taskOf(topic, tools)
  if (conversation.piped.length === 0 || task === "other") return { conversation, topic, tools, evidence, task }
  // What was piped in is what the question is about
  const passages = [{ path: "standard input", first: 1, lines: conversation.piped }]
  return { conversation, topic, tools, evidence: { ...evidence, passages }, task: "read" }
}

const argument = (call: NewCall, shape: Tools.Shape, kind: Tools.Kind): unknown => {
  const field = shape.fields.find((field) => field.kind === kind)
  return field === undefined ? undefined : call.params[field.name]
}

const aboutFolder = "project repository repo package codebase folder directory workspace"

const taskOf = (topic: Conversation.Topic, tools: ReadonlyArray<Tools.Shape>): Answer.Task => {
  const { question } = topic
  const has = (role: Tools.Shape["role"]) => tools.some((tool) => tool.role === role)
  const best = Math.max(0, ...tools.filter((tool) => tool.role === "other").map((tool) => Tools.score(tool, question)))
  if (best >= (has("search") || has("read") || has("list") ? 3 : 1)) return "other"
  const nothing = topic.exact.length === 0 &&
    topic.words.every((word) =>
      `${aboutFolder} ${listing} overview summary purpose architecture design tool tools`.split(" ").includes(
        Words.singular(word)
      ) ||
      !Words.isContent(word)
    )
  if (
    asksForAll.test(question.text) && topic.exact.length === 0 && topic.path === undefined ||
    nothing && Words.mentions(question, `${aboutFolder} architecture design`) &&
      /\babout\b|\boverview\b|\bpurpose\b|\bsummar|\barchitecture\b|\bwhat(’s|'s| is| does)\b.*\b(do|this)\b/i
        .test(question.text)
  ) {
    return "overview"
  }
  if (topic.path !== undefined && question.paths.length === 0 && reads(question)) return "read"
  const asksForNames =
    /^\s*(please\s+)?(list|ls|tree)\b|\bhow many\b.*\b(files|folders|directories)\b|\b(which|what)\b.*\bfiles\b.*\b(are there|exist|have|are in)\b/i
  if (
    asksForNames.test(question.text) ||
    Words.mentions(question, listing) && nothing && question.paths.every((path) => !/\.\w+$/.test(path))
  ) {
    return "list"
  }
  if (question.paths.some((path) => /\.\w+$/.test(path))) return "read"
  return "find"
}

/** Questions of somebody who knows nothing of the folder yet. */
const asksForAll = /^\s*(so\s+)?(what(’s|'s| is)|how does) (this|it|all this)( all)?( about| work)?\s*[?.!]*\s*$/i

const listing = "file files folder folders directory directories tree structure"

const reads = (question: Words.Question): boolean =>
  Words.mentions(question, "read open show print display view cat content more")

// =============================================================================
// Calls
// =============================================================================

const nextCalls = (state: Answer.State): ReadonlyArray<NewCall> | undefined => {
  switch (state.task) {
    case "other": {
      const done = state.conversation.calls
      if (done.some((call) => !call.isFailure)) return undefined
      const untried = state.tools.filter((tool) =>
        tool.role === "other" && !done.some((call) => call.name === tool.name)
      )
      const call = bestOther(state, untried, 1)
      return call === undefined ? undefined : [call]
    }
    case "overview":
      return listCall(state) ?? readCall(state, Answer.overviewPaths(state), undefined)
    case "list":
      return listCall(state) ?? (state.evidence.paths.length > 0 ? undefined : find(state))
    case "read": {
      const { line, path, question } = state.topic
      const first = question.lines?.first ?? line
      const last = question.lines === undefined || question.lines.first === question.lines.last
        ? undefined
        : question.lines.last
      const call = readCall(state, [path!], first === undefined ? undefined : window(first, last))
      if (call !== undefined || state.evidence.passages.length > 0) return call
      // The path does not exist; perhaps a file with this name is somewhere else.
      const base = path!.split("/").at(-1)!
      const named = state.evidence.paths.filter((candidate) => candidate.split("/").at(-1) === base)
      return listCall(state) ?? readCall(state, named, undefined) ?? find(state)
    }
    case "find":
      return find(state)
  }
}

const window = (first: number, last: number | undefined) =>
  last === undefined ? { first: Math.max(1, first - 15), last: first + 30 } : { first, last }

const bestOther = (
  { topic }: Answer.State,
  tools: ReadonlyArray<Tools.Shape>,
  threshold: number
): NewCall | undefined =>
  tools.map((tool) => ({ tool, score: Tools.score(tool, topic.question) }))
    .filter(({ score }) => score >= threshold)
    .sort((a, b) => b.score - a.score || (a.tool.name < b.tool.name ? -1 : 1))
    .flatMap(({ tool }) => {
      const params = Tools.fill(tool, subjectOf(topic))
      return params === undefined ? [] : [{ name: tool.name, params }]
    })[0]

const subjectOf = (topic: Conversation.Topic): Tools.Subject => ({
  question: topic.question,
  query: topic.exact[0] ?? (topic.words.join(" ") || undefined),
  path: topic.path
})

/** The tools of a role that have not failed yet, the best for the question first. */
const toolsOf = ({ conversation, tools, topic }: Answer.State, role: Tools.Shape["role"]): ReadonlyArray<Tools.Shape> =>
  tools.filter((tool) => tool.role === role).toSorted((a, b) =>
    failures(conversation, a) - failures(conversation, b) ||
    Tools.score(b, topic.question) - Tools.score(a, topic.question) ||
    (a.name < b.name ? -1 : 1)
  )

const failures = (conversation: Conversation.Conversation, tool: Tools.Shape): number =>
  conversation.calls.filter((call) => call.name === tool.name && call.isFailure).length

const isNew = ({ conversation }: Answer.State, call: NewCall): boolean =>
  !conversation.calls.some((done) => keyOf(done) === keyOf(call))

const toCall = (shape: Tools.Shape, subject: Tools.Subject): NewCall | undefined => {
  const params = Tools.fill(shape, subject)
  return params === undefined ? undefined : { name: shape.name, params }
}

const listCall = (state: Answer.State): ReadonlyArray<NewCall> | undefined => {
  const { conversation, task, tools, topic } = state
  const lists = (call: NewCall) => tools.some((tool) => tool.role === "list" && tool.name === call.name)
  if (conversation.calls.some((call) => !call.isFailure && lists(call) && (task !== "find" || !hasGlob(state, call)))) {
    return undefined
  }
  const { question } = topic
  const named = folderOf(topic)
  const glob = task !== "list" || named !== undefined
    ? undefined
    : question.extension !== undefined
    ? `**/*.${question.extension}`
    : /\bhow many\b/i.test(question.text) || Answer.listFilter(topic).length > 0
    ? `**/*${Answer.listFilter(topic)[0] ?? ""}*`
    : undefined
  for (const shape of toolsOf(state, "list")) {
    for (const folder of named === undefined ? [undefined] : [named, undefined]) {
      const call = toCall(shape, { question, folder, glob })
      if (call !== undefined && isNew(state, call)) return [call]
    }
  }
  return undefined
}

const hasGlob = ({ tools }: Answer.State, call: NewCall): boolean =>
  tools.some((tool) => tool.name === call.name && argument(call, tool, "glob") !== undefined)

/** Looks for files that are named after the topic, where a tool takes a glob. */
const nameCall = (state: Answer.State): ReadonlyArray<NewCall> => {
  const { topic } = state
  const name = topic.exact[0]?.split(/[.:#(]/)[0] ??
    (topic.words.length <= 3 ? Words.compounds(topic.words)[0] : undefined)
  const shape = toolsOf(state, "list").find((shape) => shape.fields.some((field) => field.kind === "glob"))
  if (shape === undefined || name === undefined || !/^[\w-]+$/.test(name)) return []
  const call = toCall(shape, { question: topic.question, glob: `**/*${name}*` })
  return call === undefined ? [] : [call]
}

const readCall = (
  state: Answer.State,
  paths: ReadonlyArray<string>,
  lines: { readonly first: number; readonly last: number } | undefined
): ReadonlyArray<NewCall> | undefined => {
  if (state.evidence.passages.length > 0) return undefined
  for (const shape of toolsOf(state, "read")) {
    for (const path of paths.slice(0, 3)) {
      const call = toCall(shape, { question: state.topic.question, path, ...lines })
      if (call !== undefined && isNew(state, call)) return [call]
    }
  }
  return undefined
}

const find = (state: Answer.State): ReadonlyArray<NewCall> | undefined => {
  const { evidence, topic } = state
  if (topic.words.length === 0 && topic.exact.length === 0) return undefined
  const hits = Answer.rankedHits(state)
  const searched = search(state, hits) ?? memberCall(state)
  if (searched !== undefined) return searched
  const file = topic.goal === "usage" ? undefined : Answer.namedFile(state)
  const begun = file === undefined ? undefined : readCall(state, [file], { first: 1, last: 40 })
  if (begun !== undefined) return begun
  if (hits.length === 0 || (topic.tests && file === undefined && !Evidence.isTest(hits[0]!.path))) {
    const listed = listCall(state)
    if (listed !== undefined) return listed
    const paths = Evidence.rankPaths(evidence.paths, topic)
    if (hits.length === 0 || paths.some(Evidence.isTest)) return readCall(state, paths, undefined)
  }
  if (topic.goal === "usage") return undefined
  // One place in each file, best first: the next one is read when the first cannot be.
  const places = hits.filter((hit, index) => hits.findIndex((other) => other.path === hit.path) === index)
  for (const hit of places.slice(0, 3)) {
    const call = readCall(state, [hit.path], window(hit.line, undefined))
    if (call !== undefined) return call
  }
  return undefined
}

/** The next round of queries, unless the hits are already good enough. */
const search = (state: Answer.State, hits: ReadonlyArray<Evidence.Hit>): ReadonlyArray<NewCall> | undefined => {
  const { conversation, evidence, topic } = state
  const [shape] = toolsOf(state, "search")
  if (shape === undefined || evidence.passages.length > 0) return undefined
  const field = shape.fields.find((field) => field.kind === "query")
  if (field === undefined || failures(conversation, shape) > 2) return undefined
  // The manifest is searched first; where there is none, the same words are searched everywhere
  const isManifest = topic.question.manifest && failures(conversation, shape) === 0
  const asked = new Set(
    conversation.calls.filter((call) => call.name === shape.name && !(topic.question.manifest && call.isFailure))
      .map((call) => String(call.params[field.name]))
  )
  const best = hits[0] === undefined ? 0 : Evidence.score(hits[0], topic)
  const rounds = Words.queries({ ...topic.question, salient: topic.words, quoted: topic.exact, identifiers: [] })
  const tried = rounds.filter((round) => round.every((query) => asked.has(query))).length
  if (hits.length > 0 && (tried > 2 || best >= Math.min(7, topic.words.length * 3 + 4))) return undefined
  for (const round of rounds) {
    const calls = round.filter((query) => !asked.has(query)).flatMap((query) =>
      toCall(shape, { question: topic.question, query, folder: isManifest ? "package.json" : folderOf(topic) }) ?? []
    )
    if (calls.length > 0) return asked.size === 0 && !isManifest ? [...calls, ...nameCall(state)] : calls
  }
  return undefined
}

/** Looks for `make` in the file `Agent.ts`, if that is where `Agent.make` is. */
const memberCall = (state: Answer.State): ReadonlyArray<NewCall> | undefined => {
  const { evidence, topic } = state
  const [, owner, member] = /^([A-Z]\w*)\.(\w+)$/.exec(topic.exact[0] ?? "") ?? []
  const [shape] = toolsOf(state, "search")
  if (owner === undefined || topic.goal === "usage" || shape === undefined) return undefined
  const folder = Evidence.rankPaths(evidence.paths, topic).find((path) =>
    path.split("/").at(-1)!.replace(/\.\w+$/, "") === owner && Evidence.isTest(path) === topic.tests
  )
  const call = folder === undefined ? undefined : toCall(shape, { question: topic.question, query: member, folder })
  return call === undefined || !isNew(state, call) ? undefined : [call]
}

const folderOf = ({ question }: Conversation.Topic): string | undefined => {
  const path = question.paths.find((path) => !/\.\w+$/.test(path))
  if (path !== undefined) return path
  const name = (/\b(?:in|of|under|inside)\s+(?:the\s+)?([\w.-]+)\s+(?:folder|directory)\b/i.exec(question.text) ??
    /\bfiles?\b.*\b(?:in|of|under|inside)\s+([\w-]+)\s*[?.!]*$/i.exec(question.text) ??
    /^\s*(?:list|ls|tree)\s+([\w.-]+)\s*$/i.exec(question.text))?.[1]
  return name !== undefined && Words.isContent(name) &&
      !`${aboutFolder} ${listing}`.split(" ").includes(name.toLowerCase())
    ? name
    : undefined
}
