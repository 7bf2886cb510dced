/**
 * What this program knows about a waiting conversation that no session keeps: it has given out the result itself, or a
 * caller keeps the conversation with its tool call, or a seal proves it.
 *
 * Data that is handed in proves nothing. So this knowledge travels beside it, in the context of the run that continues.
 *
 * @since 0.1.0
 */
import type * as Prompt from "effect/ai/Prompt"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as AgentRun from "../../AgentRun.ts"
import * as Received from "../words/received.ts"

/**
 * The knowledge about the conversation that a run continues.
 *
 * @category services
 * @since 0.1.0
 */
export class Origin extends Context.Service<Origin, {
  /** The conversation, as this program knows it. */
  readonly transcript: Prompt.Prompt | undefined
  /** Why it is not known, if there is a specific reason. */
  readonly problem?: string | undefined
  /** The session of the run. Another session does not have these approvals. */
  readonly session: string | undefined
  /**
   * Where the approvals are kept: in the result itself, in the session that it names, or by the run that called this
   * one.
   */
  readonly keeper: "result" | "session" | "caller"
  /** The approvals that were answered. */
  readonly taken: Taken
}>()("effect-agents/internal/ApprovalOrigin") {}

/**
 * The answered approvals of a conversation. `take` takes all of the given ones or none, and returns the first that was
 * taken before. `release` gives them back.
 *
 * @category models
 * @since 0.1.0
 */
export interface Taken {
  readonly take: (approvalIds: ReadonlyArray<string>) => Effect.Effect<string | undefined>
  readonly release: (approvalIds: ReadonlyArray<string>) => Effect.Effect<void>
}

/**
 * Creates the record for a conversation of this process.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeTaken = (): Taken => {
  const taken = new Set<string>()
  return {
    take: (approvalIds) =>
      Effect.sync(() => {
        const before = approvalIds.find((id) => taken.has(id))
        if (before === undefined) { for (const id of approvalIds) taken.add(id) }
        return before
      }),
    release: (approvalIds) => Effect.sync(() => approvalIds.forEach((id) => taken.delete(id)))
  }
}

// Results that wait for approvals, known by identity, and by their transcripts, which a middleware may have kept.
const ofResult = new WeakMap<AgentRun.Result, Origin["Service"]>()
const ofTranscript = new WeakMap<Prompt.Prompt, Origin["Service"]>()

/**
 * Remembers a result that a run gives out. `before` is the knowledge that the run itself continued from; approvals that
 * were answered there are answered here, too.
 *
 * @category accessors
 * @since 0.1.0
 */
export const remember = (
  result: AgentRun.Result,
  isKept: boolean,
  before: Origin["Service"] | undefined
): void => {
  if (result.approvals.length === 0) return
  const origin: Origin["Service"] = {
    transcript: result.transcript,
    session: result.session,
    keeper: isKept ? "session" : "result",
    taken: before?.taken ?? makeTaken()
  }
  ofResult.set(result, origin)
  ofTranscript.set(result.transcript, origin)
}

/**
 * Remembers a result that a middleware or a program has made from the result of a run. A result that was read from
 * JSON, such as that of an agent elsewhere, is not a result of this process.
 *
 * @category accessors
 * @since 0.1.0
 */
export const rememberRebuilt = (result: AgentRun.Result): void => {
  if (result.approvals.length === 0 || ofResult.has(result)) return
  const before = ofTranscript.get(result.transcript)
  if (before !== undefined) ofResult.set(result, before)
  else if (!Received.isReceived(result.transcript)) remember(result, false, undefined)
}

/**
 * Returns the knowledge about a result, if it is the very object that this process has given out.
 *
 * @category accessors
 * @since 0.1.0
 */
export const of = (result: AgentRun.Result): Origin["Service"] | undefined => ofResult.get(result)

/**
 * The knowledge of a run that another run has called. The caller keeps the waiting conversation until it is answered.
 *
 * @category constructors
 * @since 0.1.0
 */
export const ofCaller = (
  transcript: Prompt.Prompt | undefined,
  session: string | undefined
): Origin["Service"] => ({ transcript, session, keeper: "caller", taken: makeTaken() })

/**
 * Makes one result stand for another, for example after sealing. The knowledge is shared by both from then on.
 *
 * @category accessors
 * @since 0.1.0
 */
export const replace = (before: AgentRun.Result, after: AgentRun.Result, origin: Origin["Service"]): void => {
  ofResult.set(before, origin)
  ofResult.set(after, origin)
  ofTranscript.set(after.transcript, origin)
}

/**
 * From now on the run that called this one keeps what its result waits for, and nobody else may answer it.
 *
 * @category accessors
 * @since 0.1.0
 */
export const giveToCaller = (result: AgentRun.Result): void => {
  const origin = ofCaller(undefined, result.session)
  ofResult.set(result, origin)
  ofTranscript.set(result.transcript, origin)
}

/**
 * Returns whether the caller of this run keeps what it waits for, so that its session does not.
 *
 * @category accessors
 * @since 0.1.0
 */
export const isKeptByCaller: Effect.Effect<boolean> = Effect.contextWith((context: Context.Context<never>) =>
  Effect.succeed(Context.getOrUndefined(context, Origin)?.keeper === "caller")
)
