/**
 * The data of a file in a prompt. effect/ai allows bytes, base64 and URLs, and each of them as text.
 *
 * @since 0.1.0
 */

import * as Base64 from "effect/encoding/Base64"
import type * as Prompt from "effect/ai/Prompt"

/**
 * The data itself as base64 or bytes, or its address.
 *
 * @category models
 * @since 0.1.0
 */
export type FileData =
  | { readonly _tag: "Data"; readonly data: string | Uint8Array }
  | { readonly _tag: "Url"; readonly url: URL; readonly text: string }

/**
 * Reads the data of a file. A text that is a URL, with any scheme, is treated as one. A `data:` URL becomes the data in
 * it.
 *
 * @category getters
 * @since 0.1.0
 */
export const read = (data: Prompt.FilePart["data"]): FileData => {
  if (data instanceof Uint8Array) return { _tag: "Data", data }
  const text = data instanceof URL ? data.href : data
  const inline = /^\s*data:([^,]*),/i.exec(text)
  if (inline !== null) return { _tag: "Data", data: unwrap(inline[1], text.slice(inline[0].length)) }
  if (data instanceof URL) return { _tag: "Url", url: data, text }
  // Base64 has no colon. A single letter before a colon is a drive, not a scheme.
  return /^\s*[a-z][a-z0-9+.-]+:/i.test(text) && URL.canParse(text)
    ? { _tag: "Url", url: new URL(text), text: text.trim() }
    : { _tag: "Data", data: text }
}

const unwrap = (about: string, body: string): string => {
  const bytes = body.includes("%") ? unescaped(body) : undefined
  if (!/;\s*base64\s*$/i.test(about)) return Base64.encode(bytes ?? new TextEncoder().encode(body.toWellFormed()))
  return (bytes === undefined ? body : new TextDecoder().decode(bytes)).replace(/\s+/g, "")
}

/** The bytes of a percent-encoded text. An invalid code stays as it is. */
const unescaped = (text: string): Uint8Array => {
  const bytes = new TextEncoder().encode(text.toWellFormed())
  let length = 0
  for (let i = 0; i < bytes.length; i++) {
    const high = bytes[i] === 0x25 ? hex(bytes[i + 1]) : -1
    const low = high < 0 ? -1 : hex(bytes[i + 2])
    if (low < 0) bytes[length++] = bytes[i]
    else {
      bytes[length++] = high * 16 + low
      i += 2
    }
  }
  return bytes.subarray(0, length)
}

const hex = (unit: number | undefined): number => {
  if (unit === undefined) return -1
  if (unit >= 0x30 && unit <= 0x39) return unit - 0x30
  const letter = unit | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1
}

/**
 * Returns the data as base64.
 *
 * @category converting
 * @since 0.1.0
 */
export const toBase64 = (data: string | Uint8Array): string => typeof data === "string" ? data : Base64.encode(data)

/**
 * Returns the text of a file whose type is a text type and whose data is text.
 *
 * @category converting
 * @since 0.1.0
 */
export const toText = (mediaType: string, data: string | Uint8Array): string | undefined => {
  if (!/^(text\/|application\/(json|xml|x?yaml|javascript|x-ndjson)\b|[^;]*\+(json|xml|yaml)\b)/i.test(mediaType)) {
    return undefined
  }
  if (data instanceof Uint8Array) return new TextDecoder().decode(data)
  const decoded = Base64.decode(data)
  return decoded._tag === "Success" ? new TextDecoder().decode(decoded.success) : undefined
}
