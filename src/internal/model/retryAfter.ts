/**
 * The time after which a server wants to be asked again.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"

/**
 * Reads `retry-after-ms` and `retry-after`, in seconds or as a date, from headers with lower-case names.
 *
 * @category converting
 * @since 0.1.0
 */
export const fromHeaders = (
  headers: Readonly<Record<string, unknown>>,
  now: number
): Duration.Duration | undefined => {
  const millis = toNumber(headers["retry-after-ms"])
  if (millis !== undefined) return Duration.millis(millis)
  const value = headers["retry-after"]
  const seconds = toNumber(value)
  if (seconds !== undefined) return Duration.seconds(seconds)
  const date = typeof value === "string" ? Date.parse(value) : NaN
  return Number.isNaN(date) ? undefined : Duration.millis(Math.max(0, date - now))
}

/**
 * Reads a number that is not negative.
 *
 * @category converting
 * @since 0.1.0
 */
export const toNumber = (value: unknown): number | undefined => {
  const number = typeof value !== "string" || value.trim() === "" ? NaN : Number(value)
  return Number.isFinite(number) && number >= 0 ? number : undefined
}
