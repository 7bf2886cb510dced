/**
 * A question, and what was piped into the program with it.
 */
import * as Prompt from "effect/ai/Prompt"

/** What is asked, and the prompt of the run. */
export interface Question {
  readonly text: string
  readonly prompt: Prompt.Prompt
}

/** Makes the prompt. What was piped is a part of its own, so that nobody takes it for the words of the user. */
export const make = (text: string, piped = ""): Question => ({
  text,
  prompt: Prompt.fromMessages([
    Prompt.userMessage({
      content: [text, ...(piped === "" ? [] : [`${begin}\n${piped.replaceAll(end, "<\\/standard-input>")}\n${end}`])]
        .map(
          (text) => Prompt.textPart({ text })
        )
    })
  ])
})

const begin = "<standard-input>"
const end = "</standard-input>"

/** Returns what was piped, if this is the text of such a part. */
export const piped = (text: string): string | undefined =>
  text.startsWith(`${begin}\n`) && text.endsWith(`\n${end}`)
    ? text.slice(begin.length + 1, -end.length - 1)
    : undefined
