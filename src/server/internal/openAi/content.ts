/**
 * The texts and files of a user, from the forms of OpenAI's two wires.
 *
 * @since 0.1.0
 */

import type * as Prompt from "effect/ai/Prompt"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as AgentApi from "../../AgentApi.ts"
import * as Failures from "./failures.ts"

/**
 * A text of a request.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Text = Schema.String.check(Schema.isMaxLength(AgentApi.maximumText))

/**
 * A field that may be absent or `null`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const maybe = <S extends Schema.Constraint>(schema: S) => Schema.optional(Schema.NullOr(schema))

/**
 * A part of a message in the form of `AgentApi.Message`, before it is checked.
 *
 * @category models
 * @since 0.1.0
 */
export type Content =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "file"; readonly mediaType: string; readonly fileName?: string; readonly data: string }

/**
 * Returns an image, whose address may be a `data:` URL.
 *
 * @category conversions
 * @since 0.1.0
 */
export const image = (url: string): Content => ({ type: "file", mediaType: inlineType(url) ?? "image/*", data: url })

/**
 * Returns a file. `data` is a `data:` URL or base64.
 *
 * @category conversions
 * @since 0.1.0
 */
export const file = (data: string, fileName: string | null | undefined): Content => ({
  type: "file",
  mediaType: inlineType(data) ??
    (fileName?.toLowerCase().endsWith(".pdf") ? "application/pdf" : "application/octet-stream"),
  data,
  ...fileName != null && { fileName }
})

const inlineType = (url: string): string | undefined =>
  /^data:([^,;]+)[,;]/i.exec(url.slice(0, 300))?.[1]?.toLowerCase()

const decode = Schema.decodeUnknownResult(Schema.toCodecJson(AgentApi.Message))

const rules = "a file is base64, or a URL with http:, https: or data:, and a message has at most " +
  `${AgentApi.maximumParts} texts and files.`

/**
 * Returns the message of a user, or `undefined` if there is nothing in it. `param` is its place in the request.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toUserMessage = (
  content: ReadonlyArray<Content>,
  param: string
): Result.Result<Prompt.UserMessage | undefined, Failures.Failure> => {
  const said = content.filter((part) => part.type === "file" || part.text !== "")
  if (said.length === 0) return Result.succeed(undefined)
  return Result.mapBoth(decode(said), {
    onFailure: () => Failures.refused(`Invalid value for '${param}': ${rules}`, { param, code: "invalid_value" }),
    onSuccess: AgentApi.toUserMessage
  })
}

/**
 * Returns the texts of a content without files.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toText = (content: string | ReadonlyArray<{ readonly text: string }> | null | undefined): string =>
  content == null ? "" : typeof content === "string" ? content : content.map(({ text }) => text).join("")
