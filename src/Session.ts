/**
 * What outlives a run: a conversation, and what the context providers keep beside it.
 *
 * A `Session` is an immutable value with an id and a version. A `SessionStore` loads and saves it, `SessionHistory` does
 * both around a run. `close` is the rule that every stored conversation obeys: each tool call has a result, so that the
 * conversation can always go on.
 *
 * **Example** (Closing a conversation that was cut)
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
 * Schema for what the providers keep in a session, one entry for each provider name.
 *
 * @category schemas
 * @since 0.1.0
 */
export const State: Schema.$Record<Schema.String, Schema.Codec<Schema.Json>> = Schema.Record(
  Schema.String,
  Schema.Json
)

/**
 * What the providers keep in a session, one entry for each provider name.
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
 * `version` counts the saves: 0 is a session that was never saved. `incarnation` is a token that the first save makes
 * and that stays until the session is removed, so that a session that begins again under its old id is another one. A
 * store accepts a save only if version and incarnation are still those of this value.
 *
 * A session that was saved before there were incarnations has none.
 *
 * @category models
 * @since 0.1.0
 */
export interface Session extends Schema.Schema.Type<typeof Session> {}

/**
 * The save was made from a session that somebody else has saved, or has removed, in the meantime. Nothing was written.
 * The two versions are equal when the stored session has begun again after it was removed.
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
 * A stored record is torn, of another program, or of a newer version of this one. `record` says which.
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
 * The store could not be read or written: locked, out of space, not a database, gone.
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
 * The session never had this version, or it is no longer known: what `truncate` has cut away, or what was saved before
 * versions were kept.
 *
 * @category errors
 * @since 0.1.0
 */
export class SessionVersionUnknown extends Schema.Error<SessionVersionUnknown>(
  "effect-agents/Session/SessionVersionUnknown"
)({
  _tag: Schema.tag("SessionVersionUnknown"),
  // whatever a caller asks for
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
 * What a provider keeps in the session does not decode, or what it writes does not encode. `name` is its name.
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
 * The session is held, and who asks for it was not to wait, or would wait for itself. Nothing was loaded.
 *
 * - `caller`: what asks for the session holds it already: it was started by a tool, a provider or a middleware of the run
 *   that works on the session, or between two of its parts, or holds what that run waits for.
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
 * What went wrong with a stored session.
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
 * Schema for what went wrong with a stored session.
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
 * A session could not be loaded, saved or removed, or the sessions could not be listed. Use `Effect.catchReason("SessionError", "SessionConflict", ...)` to
 * recover from one reason, also of a run.
 *
 * `sessionId` is the session that it is about; a list, and a sweep, are about none.
 *
 * `result` is the whole result of a run that was done when its last save failed.
 *
 * @category errors
 * @since 0.1.0
 */
export class SessionError extends Schema.Error<SessionError>("effect-agents/Session/SessionError")({
  _tag: Schema.tag("SessionError"),
  sessionId: Schema.optional(Schema.String),
  reason: SessionErrorReason,
  // the schema leaves out a value that is undefined, the type does not
  result: Schema.optional(AgentRun.Result as Schema.Codec<AgentRun.Result, typeof AgentRun.Result.Encoded>)
}) {
  override get message(): string {
    return `${this.sessionId === undefined ? "Sessions" : `Session \`${this.sessionId}\``}: ${this.reason.message}`
  }
}

/**
 * Creates the session that an unknown id stands for: no history, no state, version 0.
 *
 * @category constructors
 * @since 0.1.0
 */
export const empty = (id: string): Session => ({ id, history: Prompt.empty, state: {}, version: 0 })

/**
 * Creates the result of a tool call that was never answered: a failure the model can read.
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
 * Returns the messages with a result for every tool call: the same array when nothing was missing.
 *
 * **Details**
 *
 * A call that has no result later on gets an interrupted one, at the end of the tool message that follows its assistant
 * message, or in a tool message of its own put there. Calls that the provider executes itself are left alone, and so are
 * the ids in `except` (calls that wait for an approval, for instance). Nothing is reordered, changed or dropped.
 * A result answers the latest call before it that has its id, so ids that come again in a later step are told apart.
 *
 * @category combinators
 * @since 0.1.0
 */
export const close = (
  messages: ReadonlyArray<Prompt.Message>,
  options?: {
    /** The ids of calls that may stay without a result. Default: none. */
    readonly except?: ReadonlySet<string> | undefined
    /** Why the calls were interrupted, as the model reads it. Default: the run ended before they had a result. */
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

/** The calls without a result, under the index of their message. */
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
