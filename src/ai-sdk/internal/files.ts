/**
 * Files in a request, and in the results of tools.
 *
 * @since 0.1.0
 */
import type * as Sdk from "@ai-sdk/provider"
import type * as Prompt from "effect/ai/Prompt"
import * as FileData from "../../internal/words/fileData.ts"
import type { Target } from "./target.ts"

type Output = Extract<Sdk.LanguageModelV4ToolResultOutput, { type: "content" }>
type OutputPart = Output["value"][number]
type UserPart = Extract<Sdk.LanguageModelV4Message, { role: "user" }>["content"][number]
type Options = { readonly providerOptions?: Sdk.SharedV4ProviderOptions } | undefined

/**
 * Converts a file.
 *
 * @category converting
 * @since 0.1.0
 */
export const toFile = (part: Prompt.FilePart): Sdk.LanguageModelV4FilePart => ({
  type: "file",
  mediaType: part.mediaType,
  data: toData(FileData.read(part.data)),
  ...(part.fileName === undefined ? undefined : { filename: part.fileName })
})

const toData = (data: FileData.FileData): Sdk.SharedV4FileDataData | Sdk.SharedV4FileDataUrl => {
  if (data._tag === "Data") return { type: "data", data: data.data }
  return data.url.href === data.text
    ? { type: "url", url: data.url }
    : { type: "url", url: data.url, originalUrl: data.text }
}

/**
 * Converts the content that a tool shows to the model, each part with its options.
 *
 * Bytes become base64, because an API without a place for files writes them as JSON. If the API has no place for files
 * in results, those that it can show are added to `files`, for a message of their own; text stays text, and the others
 * are described to the model in words.
 *
 * @category converting
 * @since 0.1.0
 */
export const toToolOutput = (
  target: Target,
  parts: ReadonlyArray<readonly [Prompt.ToolModelOutputPart, Options]>,
  files: Array<UserPart>
): Sdk.LanguageModelV4ToolResultOutput => {
  const value: Array<OutputPart> = []
  for (const [part, options] of parts) {
    if (part.type === "text") {
      value.push({ type: "text", text: part.text, ...options })
      continue
    }
    const file: Sdk.LanguageModelV4FilePart = { ...toFile(part), ...options }
    if (canShow(target, file)) {
      if (target.isChat) {
        files.push(file)
        value.push({ type: "text", text: `${nameOf(file)} The next message of the user shows it.` })
      } else value.push(file.data.type === "data" ? withBase64(file, file.data) : file)
      continue
    }
    const text = file.data.type === "data" ? FileData.toText(file.mediaType, file.data.data) : undefined
    value.push({ type: "text", text: text ?? `${nameOf(file)} It cannot be shown here.`, ...options })
  }
  if (target.isChat) {
    return {
      type: "text",
      value: value.map((part) => part.type === "text" ? part.text : "").join("\n")
    }
  }
  return { type: "content", value: target.family === "google" ? withOneText(value) : value }
}

const withBase64 = (
  file: Sdk.LanguageModelV4FilePart,
  { data }: Sdk.SharedV4FileDataData
): Sdk.LanguageModelV4FilePart => ({
  ...file,
  data: { type: "data", data: FileData.toBase64(data) }
})

/** Google puts the result of a call into one text, and refuses a call with two results or none. */
const withOneText = (value: ReadonlyArray<OutputPart>): Array<OutputPart> => {
  const texts = value.filter((part) => part.type === "text")
  const text = texts.map(({ text }) => text).join("\n")
  return [
    { type: "text", text: text === "" ? "The result is the file that comes with it." : text },
    ...value.filter((part) => part.type !== "text")
  ]
}

/** Whether an API accepts a file of this kind in the result of a tool. For other APIs this is not known. */
const canShow = ({ family, isChat }: Target, { data, mediaType }: Sdk.LanguageModelV4FilePart): boolean => {
  const isImage = /^image\/(?!svg)/i.test(mediaType)
  if (isChat) {
    if (data.type !== "data") return isImage
    return isImage || /^application\/pdf$/i.test(mediaType) || /^audio\/(wav|mp3|mpeg)$/i.test(mediaType)
  }
  return family !== "anthropic" || isImage || data.type !== "data" || /^application\/pdf$/i.test(mediaType)
}

const nameOf = ({ data, filename, mediaType }: Sdk.LanguageModelV4FilePart): string => {
  const name = [filename, mediaType, data.type === "url" ? data.url.href : undefined]
  return `[file: ${name.filter((word) => word !== undefined).join(", ")}]`
}
