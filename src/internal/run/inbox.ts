/**
 * The messages that come to a run while it works: from its caller, and from runs that wait for its session.
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
 * Returns whether what the run is told from outside has to be recorded, with `listen`, before the run decides by it.
 *
 * @category guards
 * @since 0.1.0
 */
export const isRecorded = ({ journal, sessionRun, steering }: Receiver): boolean =>
  journal !== undefined && (steering !== undefined || sessionRun?.inLine !== undefined)

/**
 * Takes what waits for the run, once: the next attempt of the run is told the same.
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
 * Returns whether messages wait for the run: it goes on with them, also when a run that offers one is interrupted then.
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
 * Takes the messages that wait for the run into its transcript: those of its caller first. Returns the parts that tell
 * of them; undefined when there are none.
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
 * Gives back what was taken into the transcript and is not to stay there: it is unread, or offered again when the run ends.
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
 * A guardrail has refused what was taken: runs that have offered something of it are to run themselves. Returns all that
 * they have offered.
 *
 * @category combinators
 * @since 0.1.0
 */
export const refuse = (
  { sessionRun }: Receiver,
  messages: ReadonlyArray<Prompt.Message>
): ReadonlySet<Prompt.Message> => new Set(sessionRun?.inLine?.refuse(messages) ?? [])
