/**
 * The messages that come to a run while it works: from its caller, and from runs that wait for its session.
 *
 * @since 0.1.0
 */
import type * as Prompt from "effect/ai/Prompt"
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
 * Takes the messages that wait for the run into its transcript: those of its caller first.
 *
 * @category combinators
 * @since 0.1.0
 */
export const takeInto = ({ sessionRun, steering }: Receiver, transcript: Array<Prompt.Message>): void => {
  if (steering !== undefined) {
    for (const message of steering.inbox.messages) transcript.push(message)
    steering.inbox.messages = []
  }
  const inLine = sessionRun?.inLine
  if (inLine === undefined) return
  for (const message of inLine.take()) transcript.push(message)
}
