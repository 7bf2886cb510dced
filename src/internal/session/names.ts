/**
 * The names of sessions in the stores. Two ids never have the same name, whatever they contain.
 *
 * @since 0.1.0
 */

import * as Digest from "effect/crypto/Digest"
import * as Effect from "effect/Effect"

/**
 * Returns the id as 64 hexadecimal digits, a file name with the same length for every id and without letters whose case
 * matters. It is the hash of the id's UTF-16, so lone surrogates and forms of normalisation make a difference.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toHash = (id: string): Effect.Effect<string> =>
  Digest.Digest.use((digest) => digest.digestHex(Digest.sha256, toUtf16(id))).pipe(
    Effect.provide(Digest.layerWebCrypto)
  )

const toUtf16 = (text: string): Uint8Array => {
  const bytes = new Uint8Array(text.length * 2)
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index)
    bytes[index * 2] = unit >> 8
    bytes[index * 2 + 1] = unit & 0xff
  }
  return bytes
}

/**
 * Returns the id with an escape for every character except lower-case letters, digits, `-` and `_`. If that would have
 * more than 220 characters, returns the hash of the id.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toEscaped = (id: string): Effect.Effect<string> => {
  if (id.length > longestEscaped) return toHashed(id)
  const escaped = id.replace(/[^a-z0-9_-]/gu, escapeCharacter)
  return escaped.length > longestEscaped ? toHashed(id) : Effect.succeed(escaped)
}

/** With the prefix and the name of a record this is a file name that every file system accepts. */
const longestEscaped = 220

// in an escape only hexadecimal letters follow the tilde
const toHashed = (id: string): Effect.Effect<string> => Effect.map(toHash(id), (hash) => `~sha256-${hash}`)

const escapeCharacter = (character: string): string => {
  const unit = character.charCodeAt(0)
  // UTF-8 has no bytes for half of a surrogate pair
  if (character.length === 1 && unit >= 0xd800 && unit <= 0xdfff) return `~u${unit.toString(16)}`
  return Array.from(new TextEncoder().encode(character), (byte) => `~${byte.toString(16).padStart(2, "0")}`).join("")
}

/**
 * Returns the id as a text that UTF-8 can hold. It is the id itself, unless the id has a lone surrogate or looks like
 * an escaped id.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toUnicode = (id: string): string => id.isWellFormed() && !id.startsWith(utf16) ? id : inUtf16(id)

const inUtf16 = (id: string): string => utf16 + Array.from(toUtf16(id), toHexadecimal).join("")

/**
 * Returns the id as a text that every database can hold: as by `toUnicode`, and without the null character.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toText = (id: string): string => id.includes("\0") ? inUtf16(id) : toUnicode(id)

/**
 * Returns the id of a text made by `toUnicode` or `toText`.
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromUnicode = (text: string): string =>
  text.startsWith(utf16)
    ? text.slice(utf16.length).replace(/[0-9a-f]{4}/g, (unit) => String.fromCharCode(Number.parseInt(unit, 16)))
    : text

/**
 * Returns whether `toUnicode` may have made this text.
 *
 * @category guards
 * @since 0.1.0
 */
export const isUnicode = (text: string): boolean => toUnicode(fromUnicode(text)) === text

/**
 * Returns the id as a key of an index that accepts only short texts without the null character: the id itself, or its
 * hash.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toKey = (id: string): Effect.Effect<string> =>
  id.length <= longestKey && id.isWellFormed() && !id.startsWith("~") && !id.includes("\0")
    ? Effect.succeed(id)
    : toHashed(id)

const longestKey = 500

/**
 * Returns whether `toKey` may have made this text.
 *
 * @category guards
 * @since 0.1.0
 */
export const isKey = (text: string): boolean =>
  text.startsWith("~")
    ? hashed.test(text)
    : text.length <= longestKey && text.isWellFormed() && !text.includes("\0")

const hashed = /^~sha256-[0-9a-f]{64}$/

const utf16 = "~utf16:"

const toHexadecimal = (byte: number): string => byte.toString(16).padStart(2, "0")

/**
 * Returns the id as JSON, or `null` if its key already is the id.
 *
 * @category conversions
 * @since 0.1.0
 */
export const nameOf = (id: string, key: string): string | null => key === id ? null : JSON.stringify(id)
