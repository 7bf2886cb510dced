/**
 * The runs that a cassette has recorded.
 *
 * @since 0.1.0
 */

import * as Prompt from "effect/ai/Prompt"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Tape from "../../testing/internal/tape.ts"

/**
 * A run: the prompt of its first call, and the text of its last one.
 *
 * @category models
 * @since 0.1.0
 */
export interface RecordedRun {
  readonly id: string
  readonly prompt: Prompt.Prompt
  readonly answer: string
}

const decodePrompt = Schema.decodeUnknownEffect(Schema.toCodecJson(Prompt.Prompt))

/**
 * Reads the runs of a cassette. A run begins with a call whose prompt ends with a message of the user; the other calls
 * of the run have a prompt that begins with this one.
 *
 * @category accessors
 * @since 0.1.0
 */
export const read = Effect.fnUntraced(function*(
  text: string
): Effect.fn.Return<ReadonlyArray<RecordedRun>, { readonly line: number | undefined; readonly description: string }> {
  const entries = yield* Tape.read(text)
  const conversations = entries.flatMap(({ arrived, call, request }) => {
    // embeddings and tool calls are no answers to a prompt
    const prompt = "prompt" in request ? request.prompt : "turn" in request ? { content: request.turn } : undefined
    return prompt === undefined ? [] : [{ arrived, call, prompt }]
  })
  const calls = yield* Effect.mapError(
    Effect.forEach(conversations, ({ arrived, call, prompt }) =>
      Effect.map(decodePrompt(prompt), (prompt) => ({
        id: call,
        messages: prompt.content.filter(({ role }) => role !== "system"),
        // prompts are compared as the texts that were recorded
        keys: prompt.content.filter(({ role }) => role !== "system").map((message) => JSON.stringify(message)),
        answer: answerOf(arrived.flatMap(({ parts }) => parts))
      }))),
    ({ message }) => ({ line: undefined, description: message })
  )
  const runs = new Map<string, RecordedRun>()
  for (const first of calls) {
    const { id, messages } = first
    if (messages.at(-1)?.role !== "user" || runs.has(id)) continue
    runs.set(id, { id, prompt: Prompt.fromMessages(messages), answer: lastOf(first, calls).answer })
  }
  return Array.from(runs.values())
})

interface Call {
  readonly messages: ReadonlyArray<Prompt.Message>
  readonly keys: ReadonlyArray<string>
  readonly answer: string
}

/** The last call of the run that begins with this one: of several runs with the same prompt, of the first. */
const lastOf = (first: Call, calls: ReadonlyArray<Call>): Call => {
  let last = first
  let next: Call | undefined = first
  while (next !== undefined) {
    last = next
    const { keys }: Call = last
    next = calls.find((call) =>
      call.keys.length > keys.length &&
      keys.every((key, index) => key === call.keys[index]) &&
      // a later message of the user is the beginning of another run
      call.messages.slice(keys.length).every(({ role }) => role !== "user")
    )
  }
  return last
}

/** The text of recorded parts: those of a stream, and those of an answer as a whole. */
const answerOf = (parts: ReadonlyArray<unknown>): string =>
  parts.map((part) => {
    if (!Predicate.isObject(part)) return ""
    const text = part.type === "text-delta" ? part.delta : part.type === "text" ? part.text : undefined
    return typeof text === "string" ? text : ""
  }).join("")
