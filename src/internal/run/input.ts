/**
 * The input of a run, before anything of it runs.
 *
 * @since 0.1.0
 */

import * as Prompt from "effect/ai/Prompt"
import type * as Context from "effect/Context"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as AgentError from "../../AgentError.ts"
import type * as Approval from "../../Approval.ts"
import * as OwnSession from "../words/ownSession.ts"
import * as Parts from "../words/responseParts.ts"

/**
 * Reads the prompt of a run, or says why the run cannot begin.
 *
 * @category conversions
 * @since 0.1.0
 */
export const read = (
  given: {
    readonly prompt: Prompt.RawInput
    readonly session: string | undefined
    readonly answers: ReadonlyArray<Approval.Answer> | undefined
    /** Whether the agent runs outside this process. */
    readonly remote: boolean
  },
  context: Context.Context<never>
): Result.Result<Prompt.Prompt, AgentError.AgentErrorReason> => {
  const { answers, prompt, remote, session } = given
  if (answers !== undefined && remote) {
    const approvalId = answers[0]?.approval.approvalId ?? ""
    return Result.fail(new AgentError.ApprovalRejected({ approvalId, problem: "unsupported" }))
  }
  if (session !== undefined && OwnSession.isForeign(session, context)) {
    return Result.fail(new AgentError.InvalidSession({ session }))
  }
  if (typeof prompt === "string") {
    return Result.succeed(Prompt.fromMessages([Parts.userMessage([Parts.promptText(prompt)])]))
  }
  if (Parts.isPrompt(prompt)) return Result.succeed(prompt)
  return Predicate.isIterable(prompt)
    ? Result.try({ try: () => Prompt.make(prompt), catch: invalid })
    : Result.fail(invalid("it is neither a text, nor messages, nor a Prompt"))
}

const invalid = (error: unknown) => new AgentError.InvalidPrompt({ description: String(error) })
