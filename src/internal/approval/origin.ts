/**
 * What this program knows of a conversation that waits for approvals, when no session
 * keeps it: that it has given out the result itself, that a caller keeps it with its tool
 * call, or that a seal proves it.
 *
 * What somebody hands in proves nothing, whatever it looks like. So what is known travels
 * beside it, in the context of the run that goes on.
 *
 * @since 0.1.0
 */
import type * as Prompt from "effect/ai/Prompt"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as AgentRun from "../../AgentRun.ts"
import * as Received from "../words/received.ts"

/**
 * What is known of the conversation that a run goes on with.
 *
 * @category services
 * @since 0.1.0
 */
export class Origin extends Context.Service<Origin, {
  /** The conversation, as this program knows it. */
  readonly transcript: Prompt.Prompt | undefined
  /** Why it is not known, when there is more to say than that. */
  readonly problem?: string | undefined
  /** The session that the run belongs to. Another one does not have these approvals. */
  readonly session: string | undefined
  /** Who has the approvals: the result itself, the session that it names, or the run that called this one. */
  readonly keeper: "result" | "session" | "caller"
  /** The approvals that were answered. */
  readonly taken: Taken
}>()("effect-agents/internal/ApprovalOrigin") {}

/**
 * The approvals of a conversation that have an answer. `take` takes all of these or none,
 * and returns the first that somebody has taken before; `release` gives them back.
 *
 * @category models
 * @since 0.1.0
 */
export interface Taken {
  readonly take: (approvalIds: ReadonlyArray<string>) => Effect.Effect<string | undefined>
  readonly release: (approvalIds: ReadonlyArray<string>) => Effect.Effect<void>
}

/**
 * Creates the record of a conversation that this process has.
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

// Of the results that wait for approvals: each by itself, and by its transcript, which a middleware may have kept.
const ofResult = new WeakMap<AgentRun.Result, Origin["Service"]>()
const ofTranscript = new WeakMap<Prompt.Prompt, Origin["Service"]>()

/**
 * Remembers a result that a run gives out. `before` is what the run itself went on with:
 * what was answered there is answered in this one too.
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
 * Remembers a result that a middleware or a program has made of that of a run. One that it has read from JSON, such as
 * that of an agent elsewhere, is no result of this process.
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
 * What is known of a result, if it is the very one that this process has given out.
 *
 * @category accessors
 * @since 0.1.0
 */
export const of = (result: AgentRun.Result): Origin["Service"] | undefined => ofResult.get(result)

/**
 * What a run knows that another one has called: the caller keeps what it waits for, until
 * it has its answer.
 *
 * @category constructors
 * @since 0.1.0
 */
export const ofCaller = (
  transcript: Prompt.Prompt | undefined,
  session: string | undefined
): Origin["Service"] => ({ transcript, session, keeper: "caller", taken: makeTaken() })

/**
 * A result that stands for another one, as it is sealed for instance, and what is known of
 * both from then on.
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
 * From now on the run that called this one has what its result waits for, and nobody else
 * may answer it.
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
 * Whether the caller of this run keeps what it waits for, so that its session does not.
 *
 * @category accessors
 * @since 0.1.0
 */
export const isKeptByCaller: Effect.Effect<boolean> = Effect.contextWith((context: Context.Context<never>) =>
  Effect.succeed(Context.getOrUndefined(context, Origin)?.keeper === "caller")
)
