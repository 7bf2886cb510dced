/**
 * JSON from others: a model, a tool, a store, a client.
 *
 * Functions that walk over a value are recursive, here, in effect and in the JavaScript engine, and the stack ends
 * after some thousand levels. So the depth of a value is checked first. A value that is nested deeper than
 * `maximumDepth` is a mistake of whoever made it.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"

/**
 * The number of levels that objects and arrays of a value may be nested. Providers allow fewer.
 *
 * @category constants
 * @since 0.1.0
 */
export const maximumDepth = 512

/**
 * The message for a value that is nested too deeply.
 *
 * @category constants
 * @since 0.1.0
 */
export const tooDeep = `The JSON is nested deeper than ${maximumDepth} levels`

/**
 * Returns whether a value is nested too deeply. A value that contains itself is.
 *
 * @category guards
 * @since 0.1.0
 */
export const isTooDeep = (value: unknown): boolean => isDeeper(value, maximumDepth)

/**
 * Returns whether a value is nested deeper than this many levels. A value that contains itself is.
 *
 * @category guards
 * @since 0.1.0
 */
export const isDeeper = (value: unknown, depth: number): boolean => {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return false
  if (depth === 0) return true
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) if (isDeeper(value[i], depth - 1)) return true
    return false
  }
  for (const key in value) if (isDeeper((value as Record<string, unknown>)[key], depth - 1)) return true
  return false
}

/**
 * Returns a decoder that refuses a value that is nested too deeply, before it walks over it.
 *
 * @category combinators
 * @since 0.1.0
 */
export const bounded = <A, R>(
  decode: (value: unknown) => Effect.Effect<A, Schema.SchemaError, R>
): (value: unknown) => Effect.Effect<A, Schema.SchemaError, R> =>
(value) => isTooDeep(value) ? Exit.fail(refusal) : decode(value)

const refusal = new Schema.SchemaError(new SchemaIssue.InvalidValue({ message: tooDeep }))

/**
 * Returns the value. For a value that is nested too deeply it returns a copy that every walk can bear: a copy that is
 * cut one level below the maximum. The copy is still too deep, so nobody takes it for the original.
 *
 * @category combinators
 * @since 0.1.0
 */
export const shallow = <A>(value: A): A =>
  // the type is that of the value's JSON, which is cut as text would be
  isDeeper(value, maximumDepth + 1) ? copy(value, maximumDepth, new Set()) as A : value

const omitted = "[nested too deeply]"

const copy = (value: unknown, depth: number, around: Set<unknown>): unknown => {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return value
  if (depth < 0 || around.has(value)) return omitted
  around.add(value)
  const copied = Array.isArray(value)
    ? value.map((element) => copy(element, depth - 1, around))
    : Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, copy(inner, depth - 1, around)]))
  around.delete(value)
  return copied
}

/**
 * Returns a value as text for a reader: a string as it is, anything else as JSON. A value without a JSON form is
 * described by its kind. No value makes this function fail.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toText = (value: unknown): string => {
  if (typeof value === "string") return value
  // `toJSON` and getters are foreign code, and a value may contain itself
  const written = Result.try(() =>
    JSON.stringify(shallow(value), (_key, leaf: unknown) => typeof leaf === "bigint" ? String(leaf) : leaf)
  )
  if (Result.isSuccess(written) && written.success !== undefined) return written.success
  return typeof value === "object"
    ? "[not JSON]"
    : Result.getOrElse(Result.try(() => String(value)), () => "[not JSON]")
}

/**
 * Returns whether two values are equal as data: the same JSON, or the same bytes, date or address. Values that are
 * nested too deeply are equal only if they are the same object.
 *
 * @category comparisons
 * @since 0.1.0
 */
export const isSame = (self: unknown, that: unknown): boolean => isSameWithin(self, that, maximumDepth)

const isSameWithin = (self: unknown, that: unknown, depth: number): boolean => {
  // JSON has only one zero
  if (self === that || Object.is(self, that)) return true
  if (typeof self !== "object" || typeof that !== "object" || self === null || that === null || depth < 0) return false
  if (self instanceof Uint8Array || that instanceof Uint8Array) return isSameBytes(self, that)
  if (self instanceof URL || that instanceof URL || self instanceof Date || that instanceof Date) {
    return self.constructor === that.constructor && JSON.stringify(self) === JSON.stringify(that)
  }
  if (Array.isArray(self) !== Array.isArray(that)) return false
  const keys = keysOf(self)
  return keys.length === keysOf(that).length &&
    keys.every((key) =>
      Object.hasOwn(that, key) &&
      isSameWithin((self as Record<string, unknown>)[key], (that as Record<string, unknown>)[key], depth - 1)
    )
}

/** JSON has no keys without a value. */
const keysOf = (value: object): ReadonlyArray<string> =>
  Array.isArray(value)
    ? Object.keys(value)
    : Object.keys(value).filter((key) => (value as Record<string, unknown>)[key] !== undefined)

const isSameBytes = (self: object, that: object): boolean =>
  self instanceof Uint8Array && that instanceof Uint8Array && self.length === that.length &&
  self.every((byte, index) => byte === that[index])

/**
 * Returns a text that is equal for two values exactly when they are the same JSON, in any order of their keys.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toKey = (value: unknown): string =>
  JSON.stringify(
    shallow(value),
    (_key, inner: unknown) =>
      typeof inner === "object" && inner !== null && !Array.isArray(inner)
        ? Object.fromEntries(Object.entries(inner).sort(([self], [that]) => self < that ? -1 : 1))
        : inner
  ) ?? ""
