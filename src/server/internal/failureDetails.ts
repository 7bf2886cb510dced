/**
 * Failures and defects as data, for a server whose clients may see everything: the playground on the machine of its user.
 *
 * @since 0.1.0
 */

import * as Cause from "effect/Cause"
import * as Predicate from "effect/Predicate"
import * as Redactable from "effect/Redactable"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Message from "../../internal/words/message.ts"

/**
 * Schema for a failure as data.
 *
 * - `tags`: the tag of the failure, and those of its reasons: `["AgentError", "LimitReached"]`. For an error without a
 *   tag, its name.
 * - `message`: its own message.
 * - `isDefect`: whether it is a defect.
 * - `data`: its fields as JSON, with those of its reason and its cause. Long texts and lists are cut, and what is redacted
 *   stays so. A defect has its stack.
 *
 * @category schemas
 * @since 0.1.0
 */
export const FailureDetails = Schema.Struct({
  tags: Schema.Array(Schema.String),
  message: Schema.String,
  isDefect: Schema.Boolean,
  data: Schema.Json
})

/**
 * A failure as data.
 *
 * @category models
 * @since 0.1.0
 */
export type FailureDetails = typeof FailureDetails.Type

/** The most failures of one cause, and the most of one of them: characters, depth, items of a list, length of a text. */
const most = { failures: 10, characters: 20_000, depth: 8, items: 50, text: 4000 }

/**
 * Returns the failures and defects of a cause as data. Interrupts are none. It never fails: what cannot be read is left
 * out.
 *
 * @category conversions
 * @since 0.1.0
 */
export const ofCause = (cause: Cause.Cause<unknown>): ReadonlyArray<FailureDetails> =>
  cause.reasons.flatMap((reason) =>
    Cause.isFailReason(reason)
      ? [of(reason.error, false)]
      : Cause.isDieReason(reason)
      ? [of(reason.defect, true)]
      : []
  ).slice(0, most.failures)

/**
 * Returns a failure as data. It never fails: what cannot be read is left out.
 *
 * @category conversions
 * @since 0.1.0
 */
export const of = (error: unknown, isDefect: boolean): FailureDetails => ({
  tags: read(() => tagsOf(error), []),
  message: cut(read(() => Message.of(error, "There is no message."), "The message cannot be read.")),
  isDefect,
  data: new Writer().write(error, isDefect)
})

/** A failure is a value of the user, and reading it may throw. */
const read = <A>(get: () => A, otherwise: A): A => Result.getOrElse(Result.try(get), () => otherwise)

const tagsOf = (error: unknown): ReadonlyArray<string> => {
  const tags: Array<string> = []
  for (let next = error; tags.length < most.depth; next = next.reason) {
    const tag = Predicate.hasProperty(next, "_tag") ? next._tag : Predicate.isError(next) ? next.name : undefined
    if (!Predicate.isString(tag)) break
    tags.push(cut(tag))
    if (!Predicate.hasProperty(next, "reason")) break
  }
  return tags
}

/** Fields of errors that have a place of their own. */
const shown: ReadonlySet<string> = new Set(["message", "stack", "cause"])

const isRecord = (data: Schema.Json): data is { readonly [key: string]: Schema.Json } =>
  typeof data === "object" && data !== null && !Array.isArray(data)

const cut = (text: string, length = most.text): string =>
  (text.length > length ? `${text.slice(0, length)}…` : text).toWellFormed()

/** Writes values as JSON until there is no room left, so that neither a cycle nor a size is a problem. */
class Writer {
  private room = most.characters

  write(value: unknown, isDefect: boolean): Schema.Json {
    const stack = isDefect && Predicate.isError(value) ? read(() => value.stack, undefined) : undefined
    const data = this.json(value, 0)
    return stack === undefined || !isRecord(data) ? data : { ...data, stack: cut(String(stack)) }
  }

  private json(value: unknown, depth: number): Schema.Json {
    return read(() => this.convert(Redactable.redact(value), depth), "[unreadable]")
  }

  private convert(value: unknown, depth: number): Schema.Json {
    switch (typeof value) {
      case "string":
        return this.text(value)
      case "number":
        this.room -= 8
        return Number.isFinite(value) ? value : String(value)
      case "boolean":
        this.room -= 5
        return value
      case "function":
        return this.text(`[function ${value.name}]`)
      case "object":
        if (value === null) return null
        if (depth >= most.depth || this.room <= 0) return "…"
        return Predicate.isError(value) ? this.fields(value, depth) : this.object(value, depth)
      default:
        return this.text(String(value))
    }
  }

  private object(value: object, depth: number): Schema.Json {
    if (Array.isArray(value) || value instanceof Set || value instanceof Map) return this.list([...value], depth)
    if (ArrayBuffer.isView(value)) return this.text(`[${value.byteLength} bytes]`)
    // dates, addresses, and what effect shows of its own data
    const shown = Predicate.hasProperty(value, "toJSON") && Predicate.isFunction(value.toJSON) ? value.toJSON() : value
    return Predicate.isObject(shown) ? this.fields(shown, depth) : this.json(shown, depth + 1)
  }

  private list(values: ReadonlyArray<unknown>, depth: number): Schema.Json {
    const written = values.slice(0, most.items).map((value) => this.json(value, depth + 1))
    return values.length > most.items ? [...written, `… ${values.length - most.items} more`] : written
  }

  private fields(value: object, depth: number): Schema.Json {
    const written: Record<string, Schema.Json> = {}
    const put = (key: string, field: unknown) => {
      this.room -= key.length
      if (field !== undefined) {
        Object.defineProperty(written, key.toWellFormed(), {
          value: this.json(field, depth + 1),
          enumerable: true,
          configurable: true,
          writable: true
        })
      }
    }
    const isError = Predicate.isError(value)
    if (isError) {
      if (!Predicate.hasProperty(value, "_tag")) put("name", read(() => value.name, undefined))
      put("message", read(() => value.message, undefined))
    }
    for (const key of Object.keys(value).slice(0, most.items)) {
      // the marks by which effect knows its own types
      if (key.startsWith("~effect") || isError && shown.has(key)) continue
      put(key, read(() => (value as Record<string, unknown>)[key], "[unreadable]"))
    }
    if (isError) put("cause", read(() => value.cause, undefined))
    return written
  }

  private text(text: string): string {
    const written = cut(text, Math.max(0, Math.min(most.text, this.room)))
    this.room -= written.length
    return written
  }
}
