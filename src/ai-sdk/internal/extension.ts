/**
 * What an AI SDK model may say and effect/ai has no part for: content of the
 * provider's own, files that belong to the model's thinking, and calls of tools that
 * the provider has and the toolkit does not know (those of its MCP servers).
 *
 * All of it comes back with the next prompt, as providers want it. It travels as a
 * reasoning part without a text, or a file part, marked under a provider name of ours.
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

/**
 * The call of an unknown tool of the provider, for a reasoning part that is one.
 *
 * @category getters
 * @since 0.1.0
 */
export const toolCall = (
  options: Readonly<Record<string, unknown>>
): { readonly id: string; readonly name: string; readonly input: unknown } | undefined => {
  const call = read(options, "call")
  return Predicate.hasProperty(call, "id") && Predicate.hasProperty(call, "name")
    ? { id: String(call.id), name: String(call.name), input: Predicate.hasProperty(call, "input") ? call.input : {} }
    : undefined
}

/**
 * The result of an unknown tool of the provider, for a reasoning part that is one.
 *
 * @category getters
 * @since 0.1.0
 */
export const toolResult = (
  options: Readonly<Record<string, unknown>>
):
  | { readonly id: string; readonly name: string; readonly result: unknown; readonly isFailure: boolean }
  | undefined =>
{
  const result = read(options, "result")
  return Predicate.hasProperty(result, "id") && Predicate.hasProperty(result, "name")
    ? {
      id: String(result.id),
      name: String(result.name),
      result: Predicate.hasProperty(result, "result") ? result.result : null,
      isFailure: Predicate.hasProperty(result, "isFailure") && result.isFailure === true
    }
    : undefined
}

const read = (options: Readonly<Record<string, unknown>>, name: string): unknown => {
  const ours = options[key]
  return Predicate.hasProperty(ours, name) ? ours[name] : undefined
}
