/**
 * Transcripts that were read from JSON. No run of this process has made them, whatever they contain and whoever passes
 * them on.
 *
 * @since 0.1.0
 */
import type * as Prompt from "effect/ai/Prompt"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as Fields from "./fields.ts"

const received = new WeakSet<Prompt.Prompt>()

/**
 * Returns whether a transcript was read from JSON.
 *
 * @category guards
 * @since 0.1.0
 */
export const isReceived = (transcript: Prompt.Prompt): boolean => received.has(transcript)

/**
 * Remembers a transcript that was made from one that was read from JSON.
 *
 * @category constructors
 * @since 0.1.0
 */
export const mark = (transcript: Prompt.Prompt): Prompt.Prompt => {
  received.add(transcript)
  return transcript
}

/**
 * The transcript of a result.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Transcript: Schema.Codec<Prompt.Prompt, Prompt.PromptEncoded> = Fields.Transcript.pipe(
  Schema.decodeTo(Schema.toType(Fields.Transcript), {
    decode: SchemaGetter.transform(mark),
    encode: SchemaGetter.passthrough()
  })
)
