/**
 * The prompt of a request as the offline planner reads it: the earlier questions, the current one, and the results of
 * tools since then.
 */
import type * as Prompt from "effect/ai/Prompt"
import * as Predicate from "effect/Predicate"
import * as Question from "../Question.ts"
import type * as Evidence from "./Evidence.ts"
import * as Words from "./Words.ts"

/** A call that was made for the question, with its result. */
export interface Call {
  readonly name: string
  readonly params: Readonly<Record<string, unknown>>
  readonly result: unknown
  readonly isFailure: boolean
}

/** A question and its answer. */
export interface Exchange {
  readonly question: string
  readonly answer: string
}

/** A conversation up to the open question. */
export interface Conversation {
  readonly system: string
  /** The text that context providers have put before the conversation. */
  readonly context: string
  readonly earlier: ReadonlyArray<Exchange>
  readonly question: string
  /** The lines that were piped in with the question. */
  readonly piped: ReadonlyArray<string>
  readonly calls: ReadonlyArray<Call>
  readonly steps: number
}

type Content = string | ReadonlyArray<{ readonly type: string }>

const textsOf = (content: Content): ReadonlyArray<string> =>
  typeof content === "string"
    ? [content]
    : content.flatMap((part) =>
      part.type === "text" && "text" in part && Predicate.isString(part.text) ? [part.text] : []
    )

const textOf = (content: Content): string =>
  textsOf(content).filter((text) => Question.piped(text) === undefined).join("\n")

const pipedIn = (content: Content): ReadonlyArray<string> =>
  textsOf(content).flatMap((text) => Question.piped(text)?.split(/\r?\n/) ?? [])

/**
 * Reads a prompt. The question is the last message of the user. Messages without an answer, which context providers
 * add, do not count as earlier questions.
 */
export const fromPrompt = (prompt: Prompt.Prompt): Conversation => {
  const last = prompt.content.findLastIndex((message) => message.role === "user")
  const system: Array<string> = []
  const context: Array<string> = []
  const earlier: Array<Exchange> = []
  const calls: Array<Call> = []
  let asked: string | undefined
  let piped: ReadonlyArray<string> = []
  let answer = ""
  let steps = 0
  const results = new Map<string, Prompt.ToolResultPart>()
  for (const message of prompt.content.slice(last + 1)) {
    if (message.role !== "tool" && message.role !== "assistant") continue
    for (const part of message.content) if (part.type === "tool-result") results.set(part.id, part)
  }
  for (const [index, message] of prompt.content.entries()) {
    if (message.role === "system") system.push(message.content)
    if (index <= last) {
      if (message.role === "user") {
        if (asked !== undefined && answer !== "") earlier.push({ question: asked, answer })
        else if (asked !== undefined) context.push(asked)
        asked = textOf(message.content)
        piped = pipedIn(message.content)
        answer = ""
      } else if (message.role === "assistant") {
        answer = textOf(message.content) || answer
      }
    } else if (message.role === "assistant") {
      const made = message.content.filter((part) => part.type === "tool-call")
      if (made.length > 0) steps++
      for (const { id, name, params } of made) {
        const result = results.get(id)
        calls.push({
          name,
          params: Predicate.isObject(params) ? params as Record<string, unknown> : {},
          result: result?.result,
          isFailure: result?.isFailure ?? true
        })
      }
    }
  }
  return {
    system: system.join("\n"),
    context: context.join("\n"),
    earlier,
    question: last === -1 ? "" : asked ?? "",
    piped,
    calls,
    steps
  }
}

/** The topic of a question, together with what an earlier question says about it. */
export interface Topic extends Evidence.Aim {
  readonly question: Words.Question
  /** A named path, or the path in the last answer if the question says "it". */
  readonly path: string | undefined
  readonly line: number | undefined
  /** The words and names that the next question may refer to. */
  readonly about: Pick<Evidence.Aim, "words" | "exact">
}

const nothing = { system: "", context: "", piped: [], calls: [], steps: 0 }

const aboutTests = "test tests tested testing spec covered coverage"

/** Returns the topic of the open question. */
export const topicOf = ({ earlier, question: text }: Conversation): Topic => {
  const question = Words.parse(text)
  // "How do I run the tests?" is about running, not about a test
  const tests = !question.guide && Words.mentions(question, aboutTests)
  const stems = aboutTests.split(" ").map(Words.stem)
  const exact = [...question.quoted, ...question.identifiers]
  const written = new Set(question.identifiers.map((identifier) => identifier.toLowerCase()))
  const salient = Words.unique([
    ...question.salient.filter((word) => !written.has(word)),
    ...question.identifiers.flatMap(Words.split)
  ])
  const own = salient.filter((word) => !tests || !stems.includes(Words.stem(word)))
  const added = own.filter(Words.isTopical)
  // "This folder" is the one that all questions are about
  const points = !/\b(this|that)\s+(folder|directory|project|repo|repository|package|codebase)\b/i.test(text) &&
    question.words.some((word) => pronouns.has(word))
  const asksToShow = added.length === 0 && Words.mentions(question, "show open read print display view cat more")
  const pointsBack = exact.length === 0 && question.paths.length === 0 &&
    (points && added.length <= 2 || asksToShow || added.length === 0 && question.words[0] === "and")
  const previous = pointsBack && earlier.length > 0 && !Words.mentions(question, "list")
    ? topicOf({ ...nothing, earlier: earlier.slice(0, -1), question: earlier.at(-1)!.question })
    : undefined
  const place = previous === undefined ? null : /([\w@./-]+\.\w+):(\d+)/.exec(earlier.at(-1)!.answer)
  // "Show me that file" is about the file, not about what was looked for in it.
  const shows = place !== null && asksToShow
  const before = previous?.about ?? { words: [], exact: [] }
  const words = previous === undefined ? own : Words.unique([...before.words, ...added])
  const about = {
    words: words.length > 0 ? words : salient,
    exact: previous === undefined ? Words.unique(exact) : before.exact
  }
  return {
    question,
    words: shows ? [] : about.words,
    exact: shows ? [] : about.exact,
    goal: question.usage ? "usage" : question.guide ? "guide" : "definition",
    tests,
    path: question.paths[0] ?? place?.[1],
    line: question.lines?.first ?? (place === null || question.paths.length > 0 ? undefined : Number(place[2])),
    about
  }
}

const pronouns = new Set(["it", "that", "this", "they", "them", "its", "those", "these", "there"])
