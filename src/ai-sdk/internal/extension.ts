/**
 * What an AI SDK model may say and effect/ai has no part for: content of the
 * provider's own, and files that belong to the model's thinking.
 *
 * Both come back with the next prompt, as providers want them. They travel as a
 * reasoning part and a file part, marked under a provider name of ours.
 *
 * @since 0.1.0
 */
import type * as Schema from "effect/Schema"
import * as Predicate from "effect/Predicate"

/**
 * The name under which marks are kept.
 *
 * @category constants
 * @since 0.1.0
 */
export const key = "effect-agents/ai-sdk"

/**
 * A mark, beside the metadata of the provider.
 *
 * @category constructors
 * @since 0.1.0
 */
export const mark = (value: { readonly [key: string]: Schema.MutableJson }) => ({ [key]: { ...value } })

/**
 * The kind of a provider's own content, for a reasoning part that is one.
 *
 * @category getters
 * @since 0.1.0
 */
export const customKind = (options: Readonly<Record<string, unknown>>): `${string}.${string}` | undefined => {
  const kind = read(options, "custom")
  return typeof kind === "string" ? kind as `${string}.${string}` : undefined
}

/**
 * Whether a file belongs to the model's thinking.
 *
 * @category getters
 * @since 0.1.0
 */
export const isReasoningFile = (options: Readonly<Record<string, unknown>>): boolean =>
  read(options, "reasoning") === true

const read = (options: Readonly<Record<string, unknown>>, name: string): unknown => {
  const ours = options[key]
  return Predicate.hasProperty(ours, name) ? ours[name] : undefined
}
