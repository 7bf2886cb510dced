/**
 * Content of an AI SDK model that effect/ai has no part for: a provider's own content, files in the reasoning of a
 * model, and calls of tools that only the provider knows (those of its MCP servers).
 *
 * All of it is sent back with the next prompt, in the form that the provider requires. It is kept as a reasoning part
 * without text, or as a file part, and marked under a provider name of this package.
 *
 * @since 0.1.0
 */
import type * as Schema from "effect/Schema"
import * as Predicate from "effect/Predicate"

/**
 * The provider name of the marks.
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
 * Returns the kind of a provider's own content, if a reasoning part is that.
 *
 * @category getters
 * @since 0.1.0
 */
export const customKind = (options: Readonly<Record<string, unknown>>): `${string}.${string}` | undefined => {
  const kind = read(options, "custom")
  return typeof kind === "string" ? kind as `${string}.${string}` : undefined
}

/**
 * Returns whether a file belongs to the reasoning of the model.
 *
 * @category getters
 * @since 0.1.0
 */
export const isReasoningFile = (options: Readonly<Record<string, unknown>>): boolean =>
  read(options, "reasoning") === true

/**
 * Returns the call of an unknown tool of the provider, if a reasoning part is that.
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
 * Returns the result of an unknown tool of the provider, if a reasoning part is that.
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
