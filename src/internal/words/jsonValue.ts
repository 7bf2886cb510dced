/**
 * Values of unknown type as JSON.
 *
 * @since 0.1.0
 */

import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as Json from "./json.ts"

/**
 * Returns the JSON that `JSON.stringify` would write for a value, or the reason why there is none. Values that
 * `JSON.stringify` leaves out or writes as `null` (`undefined`, functions, symbols, `NaN`), or empties (a `Map`, an
 * `Error`), are refused, so that nothing of a value is lost.
 *
 * A value that is already JSON is returned itself.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toJson = (value: unknown): Result.Result<Schema.Json, string> => {
  const writer = new Writer()
  // `toJSON`, getters and proxies are user code
  const written = Result.try(() => writer.write(value))
  if (Result.isFailure(written)) {
    return Result.fail(writer.describe(`a value that throws when it is read: ${String(written.failure)}`))
  }
  // a value without a problem was written as JSON
  return writer.problem === undefined ? Result.succeed(written.success as Schema.Json) : Result.fail(writer.problem)
}

class Writer {
  problem: string | undefined = undefined
  private readonly path: Array<string | number> = []
  private readonly open = new Set<object>()

  write(value: unknown): unknown {
    switch (typeof value) {
      case "string":
      case "boolean":
        return value
      case "number":
        return Number.isFinite(value) ? value : this.refuse(String(value))
      case "object":
        break
      default:
        return this.refuse(value === undefined ? "undefined" : `a ${typeof value}`)
    }
    if (value === null) return null
    if (this.open.has(value)) return this.refuse("a cycle")
    if (this.open.size >= Json.maximumDepth) return this.refuse(`more than ${Json.maximumDepth} levels`)
    this.open.add(value)
    let out: unknown = value
    const json = "toJSON" in value && Predicate.isFunction(value.toJSON) ? value.toJSON(this.key) : value
    if (json !== value) {
      out = this.write(json)
    } else if (Array.isArray(value) || isRecord(value)) {
      const isArray = Array.isArray(value)
      // `Object.keys` of an array leaves out its holes
      const keys: ReadonlyArray<string | number> = isArray ? Array.from(value.keys()) : Object.keys(value)
      let isSame = isArray || isPlain(value)
      const written: Array<unknown> = []
      for (const key of keys) {
        const own: unknown = value[key as keyof typeof value]
        this.path.push(key)
        const item = this.write(own)
        if (this.problem !== undefined) return undefined
        this.path.pop()
        isSame &&= item === own
        written.push(item)
      }
      // `fromEntries` makes `__proto__` an ordinary key
      if (!isSame) out = isArray ? written : Object.fromEntries(keys.map((key, index) => [key, written[index]]))
    } else {
      return this.refuse(`a value of type ${kindOf(value)}`)
    }
    this.open.delete(value)
    return out
  }

  describe(found: string): string {
    const at = this.path.slice(0, 20).map((key) => `[${JSON.stringify(key)}]`).join("")
    const rest = this.path.length > 20 ? "…" : ""
    return `Expected JSON, got ${found}${at === "" ? "" : ` at ${at}${rest}`}`
  }

  private get key(): string {
    return this.path.length === 0 ? "" : String(this.path[this.path.length - 1])
  }

  private refuse(found: string): undefined {
    this.problem ??= this.describe(found)
  }
}

const kindOf = (value: object): string => Object.prototype.toString.call(value).slice(8, -1)

const isRecord = (value: object): value is Record<string, unknown> => kindOf(value) === "Object"

const isPlain = (value: object): boolean => {
  const prototype = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}
