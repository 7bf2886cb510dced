/**
 * The messages that reach a run in progress: from its caller, and from runs that wait for its session.
 *
 * @since 0.1.0
 */
import type * as Prompt from "effect/ai/Prompt"
import * as Arr from "effect/Array"
import type * as Effect from "effect/Effect"
import type * as AgentRun from "../../AgentRun.ts"
import type * as Steering from "../../Steering.ts"
import type { RunJournal } from "../journal/run.ts"
import type * as CurrentRun from "../words/currentRun.ts"

interface Receiver {
  readonly steering: Steering.Steering | undefined
  readonly sessionRun: CurrentRun.SessionRun | undefined
  readonly journal?: RunJournal | undefined
}

/**
 * Returns whether external input of the run has to be recorded with `listen` before the run decides by it.
 *
 * @category guards
 * @since 0.1.0
 */
export const isRecorded = ({ journal, sessionRun, steering }: Receiver): boolean =>
  journal !== undefined && (steering !== undefined || sessionRun?.inLine !== undefined)

/**
 * Takes the waiting input, once. The next attempt of the run gets the same input.
 *
 * @category running
 * @since 0.1.0
 */
export const listen = (run: Receiver): Effect.Effect<void, unknown> =>
  run.journal!.listen(() => ({ messages: take(run), isStopping: run.steering?.inbox.isStopping === true }))

/**
 * Returns whether the run was asked to stop.
 *
 * @category accessors
 * @since 0.1.0
 */
export const isStopping = (run: Receiver): boolean =>
  isRecorded(run) ? run.journal!.told.isStopping : run.steering?.inbox.isStopping === true

const take = ({ sessionRun, steering }: Receiver): ReadonlyArray<Prompt.UserMessage> => {
  const taken = [...steering?.inbox.messages ?? [], ...sessionRun?.inLine?.take() ?? []]
  if (steering !== undefined) steering.inbox.messages = []
  return taken
}

/**
 * Returns whether messages wait for the run. Then it goes on with them, even if the run that offers one is interrupted
 * now.
 *
 * @category accessors
 * @since 0.1.0
 */
export const goesOn = (run: Receiver): boolean => {
  if (isRecorded(run)) return run.journal!.told.messages.length > 0
  const { sessionRun, steering } = run
  return (steering !== undefined && steering.inbox.messages.length > 0) || sessionRun?.inLine?.promise() === true
}

/**
 * Takes the waiting messages into the run's transcript, those of its caller first. Returns their parts, or `undefined`
 * if there are none.
 *
 * @category combinators
 * @since 0.1.0
 */
export const takeInto = (
  run: Receiver,
  transcript: Array<Prompt.Message>
): Arr.NonEmptyArray<AgentRun.SteeringMessage> | undefined => {
  if (run.sessionRun?.inLine === undefined && run.steering === undefined) return undefined
  const taken = isRecorded(run) ? run.journal!.taken() : take(run)
  const parts = taken.map((message): AgentRun.SteeringMessage => {
    transcript.push(message)
    return { type: "steering", message }
  })
  return Arr.isArrayNonEmpty(parts) ? parts : undefined
}

/**
 * Gives back messages that must not stay in the transcript. They are unread, or offered again when the run ends.
 *
 * @category combinators
 * @since 0.1.0
 */
export const giveBack = (run: Receiver, messages: ReadonlyArray<Prompt.UserMessage>): void => {
  const offered = refuse(run, messages)
  const { steering } = run
  // in a journal it is recorded as taken, and the next attempt has it
  if (steering === undefined || isRecorded(run)) return
  steering.inbox.messages = [...messages.filter((message) => !offered.has(message)), ...steering.inbox.messages]
}

/**
 * A guardrail has refused messages, so the runs that have offered one of them run themselves. Returns everything that
 * these runs have offered.
 *
 * @category combinators
 * @since 0.1.0
 */
export const refuse = (
  { sessionRun }: Receiver,
  messages: ReadonlyArray<Prompt.Message>
): ReadonlySet<Prompt.Message> => new Set(sessionRun?.inLine?.refuse(messages) ?? [])
