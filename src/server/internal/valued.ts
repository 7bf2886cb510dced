/**
 * Parts with values that a tool, a model or an output has made. A value that is not JSON can be told on no wire.
 *
 * @since 0.1.0
 */

import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type * as AgentRun from "../../AgentRun.ts"
import type * as Approval from "../../Approval.ts"
import * as Fields from "../../internal/words/fields.ts"
import * as Json from "../../internal/words/json.ts"
import type * as RunHub from "../RunHub.ts"

/**
 * Returns whether a part is a piece of text, as most parts are.
 *
 * @category guards
 * @since 0.1.0
 */
export const isPlain = ({ type }: AgentRun.Part): boolean =>
  type === "text-delta" || type === "reasoning-delta" || type === "tool-params-delta"

/**
 * Returns the same parts in arrays that begin with each part that has values. A wire that sends an array whole or not at
 * all then sends what came before a part that is not JSON.
 *
 * @category combinators
 * @since 0.1.0
 */
export const apart = <Part extends RunHub.Numbered, E, R>(self: Stream.Stream<Part, E, R>): Stream.Stream<Part, E, R> =>
  Stream.transformPull(self, (upstream) =>
    Effect.sync(() => {
      let rest: ReadonlyArray<Part> = []
      const cut = (parts: Arr.NonEmptyReadonlyArray<Part>): Arr.NonEmptyReadonlyArray<Part> => {
        const next = parts.findIndex(({ part }, index) => index > 0 && !isPlain(part))
        rest = next < 0 ? [] : parts.slice(next)
        // there is at least one before it
        return (next < 0 ? parts : parts.slice(0, next)) as unknown as Arr.NonEmptyReadonlyArray<Part>
      }
      const pull: Pull.Pull<Arr.NonEmptyReadonlyArray<Part>, E, void, R> = Effect.suspend(() =>
        Arr.isReadonlyArrayNonEmpty(rest) ? Effect.succeed(cut(rest)) : Effect.map(upstream, cut)
      )
      return pull
    }))

/**
 * Returns the same parts, with all values that wires tell as JSON. A part with a value that is none is the end of the
 * stream, which dies after all parts before it. So a wire says how the stream ended, and does not break when it writes.
 *
 * The transcript and the steps of a result are left as they are.
 *
 * @category combinators
 * @since 0.1.0
 */
export const asJson = <E, R>(self: Stream.Stream<AgentRun.Part, E, R>): Stream.Stream<AgentRun.Part, E, R> =>
  Stream.transformPull(self, (upstream) =>
    Effect.sync(() => {
      let broken: Exit.Exit<never> | undefined
      const pull: Pull.Pull<Arr.NonEmptyReadonlyArray<AgentRun.Part>, E, void, R> = Effect.suspend(() =>
        broken ?? Effect.flatMap(upstream, (parts): typeof pull => {
          if (parts.every(isPlain)) return Effect.succeed(parts)
          const told: Array<AgentRun.Part> = []
          for (const part of parts) {
            const plain = isPlain(part) ? Result.succeed(part) : Result.try(() => ofPart(part))
            if (Result.isFailure(plain)) {
              broken = Exit.failCause(Cause.die(plain.failure))
              return Arr.isArrayNonEmpty(told) ? Effect.succeed(told) : broken
            }
            told.push(plain.success)
          }
          return Arr.isArrayNonEmpty(told) ? Effect.succeed(told) : pull
        })
      )
      return pull
    }))

const ofPart = (part: AgentRun.Part): AgentRun.Part => {
  switch (part.type) {
    case "tool-call":
      return { ...part, params: checked(part.params) }
    case "tool-result":
      return { ...part, encodedResult: checked(part.encodedResult) }
    case "output-partial":
      return { ...part, value: written(part.value) }
    case "tool-approval-request":
      return part.approval === undefined ? part : { ...part, approval: ofApproval(part.approval) }
    case "agent-part":
      return { ...part, part: ofPart(part.part) as typeof part.part }
    case "run-end": {
      const { approvals, totalUsage, usage, value } = part.result
      return {
        ...part,
        result: {
          ...part.result,
          approvals: approvals.map(ofApproval),
          value: written(value),
          usage: checked(usage),
          totalUsage: checked(totalUsage)
        }
      }
    }
    default:
      return part
  }
}

const ofApproval = (approval: Approval.Approval): Approval.Approval => ({
  ...approval,
  params: checked(approval.params)
})

const encode = Schema.encodeUnknownSync(Schema.Struct({ value: Fields.AnyAnswer }))

/** Throws for a value that JSON cannot hold. It is decoded, and dates and big integers are written as texts. */
const written = (value: unknown): unknown => value === undefined ? undefined : checked(encode({ value }).value)

const isBounded = Schema.decodeUnknownSync(
  Schema.Unknown.check(Schema.makeFilter((value) => !Json.isTooDeep(value), { expected: Json.tooDeep }))
)

/** Throws for a value that is not JSON. Its getters and its `toJSON` are foreign code. */
const checked = <A>(value: A): A => {
  if (value === undefined || value === null || typeof value === "string" || typeof value === "boolean") return value
  // a value without a form in JSON, such as a function, is none
  return JSON.stringify(isBounded(value)) === undefined ? null as A : value
}
