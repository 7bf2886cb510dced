/**
 * Conversations that outlive a run, with the state that context providers keep beside them.
 *
 * A `Session` is an immutable value with an id and a version. A `SessionStore` loads and saves it, and `SessionHistory`
 * does both around a run. Every stored conversation obeys the rule of `close`: each tool call has a result, so that the
 * conversation can always go on.
 *
 * **Example** (Closing an incomplete conversation)
 *
 * ```ts
 * import { Prompt } from "effect/ai"
 * import { Session } from "effect-agents"
 *
 * const call = Prompt.toolCallPart({ id: "1", name: "search", params: {}, providerExecuted: false })
 * const cut = [
 *   ...Prompt.make("Look it up").content,
 *   Prompt.assistantMessage({ content: [call] })
 * ]
 *
 * const closed = Session.close(cut)
 * console.log(closed.map((message) => message.role).join(" "))
 * // => user assistant tool
 * ```
 *
 * @since 0.1.0
 */
import * as Prompt from "effect/ai/Prompt"
import type * as Tool from "effect/ai/Tool"
import * as Schema from "effect/Schema"
import * as AgentRun from "./AgentRun.ts"

/**
 * Schema for the state that providers keep in a session, one entry for each provider name.
 *
 * @category schemas
 * @since 0.1.0
 */
export const State: Schema.$Record<Schema.String, Schema.Codec<Schema.Json>> = Schema.Record(
  Schema.String,
  Schema.Json
)

/**
 * The state that providers keep in a session, one entry for each provider name.
 *
 * @category models
 * @since 0.1.0
 */
export type State = typeof State.Type

/**
 * Schema for a session.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Session: Schema.Struct<{
  readonly id: Schema.String
  readonly history: Schema.Codec<Prompt.Prompt, Prompt.PromptEncoded>
  readonly state: typeof State
  readonly version: Schema.Int
  readonly incarnation: Schema.optional<Schema.String>
}> = Schema.Struct({
  id: Schema.String,
  history: Prompt.Prompt,
  state: State,
  version: Schema.Int,
  incarnation: Schema.optional(Schema.String)
})

/**
 * A conversation as it was when it was loaded or saved.
 *
 * **Details**
 *
 * `version` counts the saves; 0 is a session that was never saved. `incarnation` is a token that the first save makes
 * and that stays until the session is removed. A session that begins again under the same id has another token. A store
 * accepts a save only if both are still those of this value.
 *
 * A session that was saved before there were incarnations has no token.
 *
 * @category models
 * @since 0.1.0
 */
export interface Session extends Schema.Schema.Type<typeof Session> {}

/**
 * Somebody else has saved or removed the session since it was loaded. Nothing was written. The two versions are equal
 * if the stored session was removed and has begun again.
 *
 * @category errors
 * @since 0.1.0
 */
export class SessionConflict extends Schema.Error<SessionConflict>("effect-agents/Session/SessionConflict")({
  _tag: Schema.tag("SessionConflict"),
  expectedVersion: Schema.Int,
  actualVersion: Schema.Int
}) {
  override get message(): string {
    return this.expectedVersion === this.actualVersion
      ? `the save was made from version ${this.expectedVersion} of a session that was removed and has begun again; ` +
        "load it again"
      : `the save was made from version ${this.expectedVersion}, but version ${this.actualVersion} is stored; ` +
        "load it again"
  }
}

/**
 * A stored record is incomplete, was not written by this package, or was written by a newer version of it. `record`
 * names it.
 *
 * @category errors
 * @since 0.1.0
 */
export class SessionRecordInvalid extends Schema.Error<SessionRecordInvalid>(
  "effect-agents/Session/SessionRecordInvalid"
)({
  _tag: Schema.tag("SessionRecordInvalid"),
  record: Schema.String,
  description: Schema.String
}) {
  override get message(): string {
    return `the stored record \`${this.record}\` is not valid: ${this.description}`
  }
}

/**
 * The store could not be read or written: it is locked, full, missing, or not a database.
 *
 * @category errors
 * @since 0.1.0
 */
export class SessionStoreUnavailable extends Schema.Error<SessionStoreUnavailable>(
  "effect-agents/Session/SessionStoreUnavailable"
)({
  _tag: Schema.tag("SessionStoreUnavailable"),
  operation: Schema.Literals(["load", "save", "remove", "list", "fork", "truncate", "sweep"]),
  cause: Schema.Defect()
}) {
  override get message(): string {
    const detail = this.cause instanceof Error ? this.cause.message : String(this.cause)
    return `the session store is not available for \`${this.operation}\`: ${detail}`
  }
}

/**
 * The session never had this version, or the version is no longer kept: `truncate` has removed it, or it was saved
 * before versions were kept.
 *
 * @category errors
 * @since 0.1.0
 */
export class SessionVersionUnknown extends Schema.Error<SessionVersionUnknown>(
  "effect-agents/Session/SessionVersionUnknown"
)({
  _tag: Schema.tag("SessionVersionUnknown"),
  // any number that a caller asks for
  // @effect-diagnostics-next-line schemaNumber:off
  version: Schema.Number
}) {
  override get message(): string {
    return `version ${this.version} is not known`
  }
}

/**
 * The cursor of a list was not made by this package.
 *
 * @category errors
 * @since 0.1.0
 */
export class SessionCursorInvalid extends Schema.Error<SessionCursorInvalid>(
  "effect-agents/Session/SessionCursorInvalid"
)({
  _tag: Schema.tag("SessionCursorInvalid"),
  cursor: Schema.String
}) {
  override get message(): string {
    return "the cursor is not one that a list of sessions has returned as `next`"
  }
}

/**
 * The state that a provider keeps in the session does not decode, or its new value does not encode. `name` is the name
 * of the state.
 *
 * @category errors
 * @since 0.1.0
 */
export class SessionStateInvalid extends Schema.Error<SessionStateInvalid>(
  "effect-agents/Session/SessionStateInvalid"
)({
  _tag: Schema.tag("SessionStateInvalid"),
  name: Schema.String,
  description: Schema.String
}) {
  override get message(): string {
    return `the state of \`${this.name}\` is not valid: ${this.description}`
  }
}

/**
 * The session is held by a run, and the caller does not wait, either because it chose not to or because it would wait
 * for itself. Nothing was loaded.
 *
 * - `caller`: the run that holds the session has itself started the caller: in a tool, a provider, a middleware, or
 *   between two of its parts. Or the caller holds something that this run waits for.
 * - `other`: another run works on the session.
 *
 * @category errors
 * @since 0.1.0
 */
export class SessionInUse extends Schema.Error<SessionInUse>("effect-agents/Session/SessionInUse")({
  _tag: Schema.tag("SessionInUse"),
  holder: Schema.Literals(["caller", "other"])
}) {
  override get message(): string {
    return this.holder === "other"
      ? "another run works on it"
      : "the caller holds it, so that waiting for it would never end; use another session, or none"
  }
}

/**
 * Why an operation on a stored session failed.
 *
 * @category errors
 * @since 0.1.0
 */
export type SessionErrorReason =
  | SessionConflict
  | SessionCursorInvalid
  | SessionInUse
  | SessionRecordInvalid
  | SessionStateInvalid
  | SessionStoreUnavailable
  | SessionVersionUnknown

/**
 * Schema for the reason why an operation on a stored session failed.
 *
 * @category errors
 * @since 0.1.0
 */
export const SessionErrorReason: Schema.Union<[
  typeof SessionConflict,
  typeof SessionCursorInvalid,
  typeof SessionInUse,
  typeof SessionRecordInvalid,
  typeof SessionStateInvalid,
  typeof SessionStoreUnavailable,
  typeof SessionVersionUnknown
]> = Schema.Union([
  SessionConflict,
  SessionCursorInvalid,
  SessionInUse,
  SessionRecordInvalid,
  SessionStateInvalid,
  SessionStoreUnavailable,
  SessionVersionUnknown
])

/**
 * A session could not be loaded, saved or removed, or the sessions could not be listed. To recover from one reason,
 * also in a run, use `Effect.catchReason("SessionError", "SessionConflict", ...)`.
 *
 * `sessionId` is the session concerned. It is undefined for a list and for a sweep.
 *
 * `result` is the complete result of a run that had finished when its last save failed.
 *
 * @category errors
 * @since 0.1.0
 */
export class SessionError extends Schema.Error<SessionError>("effect-agents/Session/SessionError")({
  _tag: Schema.tag("SessionError"),
  sessionId: Schema.optional(Schema.String),
  reason: SessionErrorReason,
  // the schema leaves out a value that is `undefined`; the type does not
  result: Schema.optional(AgentRun.Result as Schema.Codec<AgentRun.Result, typeof AgentRun.Result.Encoded>)
}) {
  override get message(): string {
    return `${this.sessionId === undefined ? "Sessions" : `Session \`${this.sessionId}\``}: ${this.reason.message}`
  }
}

/**
 * Creates the session of an unknown id: no history, no state, version 0.
 *
 * @category constructors
 * @since 0.1.0
 */
export const empty = (id: string): Session => ({ id, history: Prompt.empty, state: {}, version: 0 })

/**
 * Creates the result of a tool call that was never answered: a failure that the model can read.
 *
 * @category constructors
 * @since 0.1.0
 */
export const interruptedResult = (
  call: { readonly id: string; readonly name: string },
  reason = "The run ended before this tool call had a result"
): Prompt.ToolResultPart =>
  Prompt.toolResultPart({
    id: call.id,
    name: call.name,
    isFailure: true,
    result: { type: "execution-interrupted", reason } satisfies typeof Tool.ExecutionFailure.Type,
    providerExecuted: false
  })

/**
 * Adds a result for every tool call without one. Returns the same array if nothing was missing.
 *
 * **Details**
 *
 * A call without a later result gets an interrupted one. It is added at the end of the tool message that follows the
 * assistant message, or in a new tool message there. Calls that the provider executes itself stay as they are, and so
 * do the ids in `except` (calls that wait for an approval, for example). Nothing is reordered, changed or dropped. A
 * result answers the latest call before it with the same id, so an id may be used again in a later step.
 *
 * @category combinators
 * @since 0.1.0
 */
export const close = (
  messages: ReadonlyArray<Prompt.Message>,
  options?: {
    /** The ids of calls that may stay without a result. Default: none. */
    readonly except?: ReadonlySet<string> | undefined
    /** The reason of the interruption, as the model reads it. Default: the run ended before the calls had a result. */
    readonly reason?: string | undefined
  }
): ReadonlyArray<Prompt.Message> => {
  const open = openCalls(messages, options?.except)
  if (open.size === 0) return messages
  const closed: Array<Prompt.Message> = []
  for (let index = 0; index < messages.length; index++) {
    const message = messages[index]!
    closed.push(message)
    const calls = open.get(index)
    if (calls === undefined) continue
    const results = calls.map((call) => interruptedResult(call, options?.reason))
    const next = messages[index + 1]
    if (next === undefined || next.role !== "tool") {
      closed.push(Prompt.toolMessage({ content: results }))
      continue
    }
    closed.push(Prompt.toolMessage({ content: [...next.content, ...results], options: next.options }))
    index++
  }
  return closed
}

/** The calls without a result, by the index of their message. */
const openCalls = (
  messages: ReadonlyArray<Prompt.Message>,
  except: ReadonlySet<string> | undefined
): ReadonlyMap<number, ReadonlyArray<Prompt.ToolCallPart>> => {
  const waiting = new Map<string, Array<{ readonly index: number; readonly call: Prompt.ToolCallPart }>>()
  for (let index = 0; index < messages.length; index++) {
    const message = messages[index]!
    if (message.role !== "assistant" && message.role !== "tool") continue
    for (const part of message.content) {
      if (part.type === "tool-result") {
        waiting.get(part.id)?.pop()
      } else if (part.type === "tool-call" && !part.providerExecuted && !except?.has(part.id)) {
        const same = waiting.get(part.id)
        if (same === undefined) waiting.set(part.id, [{ index, call: part }])
        else same.push({ index, call: part })
      }
    }
  }
  const open = new Map<number, Array<Prompt.ToolCallPart>>()
  for (const { call, index } of Array.from(waiting.values()).flat()) {
    const calls = open.get(index)
    if (calls === undefined) open.set(index, [call])
    else calls.push(call)
  }
  return open
}
