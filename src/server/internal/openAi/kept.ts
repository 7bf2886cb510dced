/**
 * Conversations that are kept: which response belongs to which session, and where the session was when it ended.
 *
 * A conversation is a session of its owner. The id of a response has the id of the session and its own part of it. The
 * state of the session has the responses, saved together with what they have said. So an id proves nothing: another owner
 * has no such session, and a session has only the responses that were saved in it.
 *
 * @since 0.1.0
 */

import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as AgentRun from "../../../AgentRun.ts"
import * as ContextProvider from "../../../ContextProvider.ts"
import { CurrentRun } from "../../../internal/words/currentRun.ts"
import * as RunId from "../../../internal/words/runId.ts"
import type * as Session from "../../../Session.ts"
import * as SessionState from "../../../SessionState.ts"
import { Described } from "../described.ts"
import { failed } from "../failures.ts"
import * as Words from "./words.ts"

/**
 * The parts of the id of a response.
 *
 * @category models
 * @since 0.1.0
 */
export interface Id {
  readonly conversation: string
  readonly own: string
}

/**
 * Returns the id of a response as clients know it. It is the id of the run, too.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toText = ({ conversation, own }: Id): string => `resp_${conversation}_${own}`

/**
 * Reads the id of a response.
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromText = (id: string): Id | undefined => {
  const [, conversation, own] = /^resp_([A-Za-z0-9]{1,40})_([A-Za-z0-9]{1,40})$/.exec(id) ?? []
  return conversation === undefined || own === undefined ? undefined : { conversation, own }
}

/**
 * Returns the id of the session of a conversation.
 *
 * @category conversions
 * @since 0.1.0
 */
export const sessionOf = (conversation: string): string => `resp_${conversation}`

/**
 * Creates a part of an id.
 *
 * @category constructors
 * @since 0.1.0
 */
export const token: Effect.Effect<string> = Effect.map(
  RunId.next,
  (id) => id.replace(/^run_/, "").replace(/[^A-Za-z0-9]/g, "").slice(-40).padStart(8, "0")
)

/**
 * A response in its conversation.
 *
 * - `model`: the agent that gave it.
 * - `base`, `from`: the version of the session that it began with, where the response before it had ended, and the number
 *   of messages that the session had then.
 * - `created`, `previous`, `metadata`: what is told of it.
 * - `ended`: how its run has completed. `answer` is the value of an agent with an output that has not said it as text.
 * - `deleted`: its owner has deleted it.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Kept = Schema.Struct({
  id: Schema.String,
  model: Schema.String,
  base: Schema.Int,
  from: Schema.optionalKey(Schema.Int),
  created: Schema.optionalKey(Schema.Int),
  previous: Schema.optionalKey(Schema.String),
  metadata: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  ended: Schema.optionalKey(Schema.Struct({
    at: Schema.Int,
    stopReason: Schema.String,
    usage: AgentRun.Usage,
    answer: Schema.optionalKey(Schema.String)
  })),
  deleted: Schema.optionalKey(Schema.Boolean)
})

/**
 * @category models
 * @since 0.1.0
 */
export type Kept = typeof Kept.Type

/** Earlier ones cannot be continued any more. */
const maximumKept = 100

const Responses = SessionState.make("openai-responses", { schema: Schema.Array(Kept), initial: [] })

const decode = Schema.decodeUnknownResult(Responses.schema)
// its fields are JSON
const encode = Schema.encodeUnknownSync(Responses.schema)

/**
 * Returns the responses of a conversation, also those that were deleted.
 *
 * @category accessors
 * @since 0.1.0
 */
export const all = (state: Session.State): ReadonlyArray<Kept> => {
  const entry = Object.hasOwn(state, Responses.name) ? state[Responses.name] : undefined
  return Result.getOrElse(decode(entry), () => Responses.initial)
}

/**
 * Returns the entries of the state of a conversation in which a response is deleted, or `undefined` if no other one is
 * left in it.
 *
 * @category combinators
 * @since 0.1.0
 */
export const without = (state: Session.State, own: string): Session.State | undefined => {
  const kept = all(state).map((one) => one.id === own ? { ...one, deleted: true } : one)
  return kept.every(({ deleted }) => deleted === true) ? undefined : { [Responses.name]: encode(kept) as Schema.Json }
}

/**
 * A response in its conversation: the agent that gave it, and where the conversation ended with it. If it does not end
 * there any more, that is a version.
 *
 * @category models
 * @since 0.1.0
 */
export interface Found {
  readonly model: string
  readonly place: "last" | number
}

/**
 * Finds a response in its conversation.
 *
 * @category accessors
 * @since 0.1.0
 */
export const find = (state: Session.State, own: string): Found | undefined => {
  const kept = all(state)
  const index = kept.findIndex(({ deleted, id }) => id === own && deleted !== true)
  return index === -1 ? undefined : { model: kept[index]!.model, place: kept[index + 1]?.base ?? "last" }
}

/**
 * Creates the provider that adds a response to its conversation. `before` is the response that the conversation ends
 * with. An agent that keeps no history keeps no responses.
 *
 * @category constructors
 * @since 0.1.0
 */
export const provider = (
  response: Kept,
  before: string | undefined
): ContextProvider.ContextProvider<Session.SessionError | Described> =>
  ContextProvider.make("openai-responses", {
    beforeRun: () =>
      Effect.gen(function*() {
        const run = Context.getOrUndefined(yield* Effect.context<never>(), CurrentRun)
        if (run?.state === undefined) return
        const kept = yield* SessionState.get(Responses)
        const last = kept.at(-1)?.id
        // an agent of agents gives its providers to each of them
        if (last === response.id) return
        // another process may have gone on with it in the meantime
        if (last !== before) return yield* Effect.fail(new Described(goneOn))
        yield* SessionState.set(Responses, [...kept, response].slice(-maximumKept))
      }),
    afterRun: ({ result }) =>
      Effect.gen(function*() {
        const run = Context.getOrUndefined(yield* Effect.context<never>(), CurrentRun)
        if (run?.state === undefined) return
        const now = yield* Clock.currentTimeMillis
        const { stopReason, totalUsage: usage } = result
        const answer = Words.answerOf(result)
        const ended = { at: Math.floor(now / 1000), stopReason, usage, ...answer !== "" && { answer } }
        const kept = yield* SessionState.get(Responses)
        yield* SessionState.set(Responses, kept.map((one) => one.id === response.id ? { ...one, ended } : one))
      })
  })

const goneOn = failed("session-conflict", 409, true, "The conversation was changed elsewhere in the meantime.")
