/**
 * The messages that come to a run while it works: from its caller, and from runs that wait for its session.
 *
 * @since 0.1.0
 */
import type * as Prompt from "effect/ai/Prompt"
import * as Arr from "effect/Array"
import type * as AgentRun from "../../AgentRun.ts"
import type * as Steering from "../../Steering.ts"
import type * as CurrentRun from "../words/currentRun.ts"

interface Receiver {
  readonly steering: Steering.Steering | undefined
  readonly sessionRun: CurrentRun.SessionRun | undefined
}

/**
 * Returns whether messages wait for the run: it goes on with them, also when a run that offers one is interrupted then.
 *
 * @category accessors
 * @since 0.1.0
 */
export const goesOn = ({ sessionRun, steering }: Receiver): boolean =>
  (steering !== undefined && steering.inbox.messages.length > 0) || sessionRun?.inLine?.promise() === true

/**
 * Takes the messages that wait for the run into its transcript: those of its caller first. Returns the parts that tell
 * of them; undefined when there are none.
 *
 * @category combinators
 * @since 0.1.0
 */
export const takeInto = (
  { sessionRun, steering }: Receiver,
  transcript: Array<Prompt.Message>
): Arr.NonEmptyArray<AgentRun.SteeringMessage> | undefined => {
  const inLine = sessionRun?.inLine
  if (inLine === undefined && steering === undefined) return undefined
  const taken = [...steering?.inbox.messages ?? [], ...inLine?.take() ?? []]
  if (steering !== undefined) steering.inbox.messages = []
  const parts = taken.map((message): AgentRun.SteeringMessage => {
    transcript.push(message)
    return { type: "steering", message }
  })
  return Arr.isArrayNonEmpty(parts) ? parts : undefined
}
