/**
 * What the user has told the offline planner: sentences about themselves, and things to remember.
 */
import type * as Conversation from "./Conversation.ts"
import * as Words from "./Words.ts"

/** Answers a question about what the user has said before, and takes note of what the user says now. */
export const recall = (conversation: Conversation.Conversation): string | undefined => {
  const sentences = sentencesOf(conversation.question)
  const asked = sentences.findLast(isQuestion)
  const told = [...conversation.earlier.flatMap(({ question }) => sentencesOf(question)), ...sentences].filter(isTold)
  if (asked === undefined) {
    const [now] = sentences.filter(isTold)
    return now === undefined
      ? undefined
      : `You told me: "${now}". Ask me about it later in this conversation, and I quote it.`
  }
  if (asksForName.test(asked)) {
    const said = told.findLast((sentence) => nameIn(sentence) !== undefined)
    return said === undefined
      ? "You have not told me your name in this conversation."
      : `Your name is ${nameIn(said)}: you told me "${said}".`
  }
  const about = new Set(
    Words.parse(asked).words.filter((word) => Words.isContent(word) && !isFiller(word)).map(Words.stem)
  )
  if (about.size === 0) return undefined
  const said = told.findLast((sentence) => {
    const stems = Words.stems(sentence)
    return Array.from(about).every((word) => stems.has(word))
  })
  return said === undefined ? undefined : `You told me: "${said}".`
}

const sentencesOf = (text: string): ReadonlyArray<string> =>
  text.split(/(?<=[.!?])\s+|\n+/).map((sentence) => sentence.trim()).filter((sentence) => sentence !== "")

const isQuestion = (sentence: string): boolean =>
  sentence.endsWith("?") ||
  /^(what|which|who|whose|where|when|why|how|do|does|did|am|is|are|can|could|tell me)\b/i.test(sentence)

/** A sentence in which the user says something, and does not order anything. */
const isTold = (sentence: string): boolean =>
  !isQuestion(sentence) &&
  (/^(please\s+)?(remember|keep in mind|for the record|fyi|call me)\b/i.test(sentence) ||
    /^((hi|hello|hey)\b[\s,.!]*)?(my|our|i|i['’]m|i['’]ve|we|we['’]re)\s/i.test(sentence) && !wishes.test(sentence))

const wishes =
  /^\W*(i|we)(['’]d| would)?( really| just| also)? (want|wish|need|like to|wonder|have a question|can['’]?t|cannot|don['’]?t|do not)\b|\b(looking|searching) for\b|^my question\b/i

const asksForName =
  /\bwhat(['’]s| is| was)\s+my\s+(own\s+)?name\b|\bwho am i\b|\bmy name\s*\?|\bwhat am i called\b|\b(know|remember|tell me|say)\s+my\s+name\b/i

const nameIn = (sentence: string): string | undefined =>
  (/\bmy name(?:['’]s| is)\s+([^,.!?;]+)/i.exec(sentence) ?? /\bcall me\s+([^,.!?;]+)/i.exec(sentence) ??
    /\b(?:I am|I['’]m)\s+(?:called\s+)?(\p{Lu}[\p{L}'’-]*(?:\s+\p{Lu}[\p{L}'’-]*)*)/u.exec(sentence))?.[1]!.trim()

const isFiller = (word: string): boolean => /^(remember|know|said|told|today|find|show)$/.test(word)
