/**
 * Runs that go on where another one has stopped: with answers to its approvals, or after a process that was killed.
 * `Agent` exports all of it.
 *
 * @since 0.1.0
 */
import type * as Tool from "effect/ai/Tool"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
// what goes on is an agent
import type * as Agent from "../../Agent.ts"
import * as AgentRun from "../../AgentRun.ts"
import type * as Approval from "../../Approval.ts"
import type * as ContextProvider from "../../ContextProvider.ts"
import * as Origin from "../approval/origin.ts"
import * as Seal from "../approval/seal.ts"
import * as CurrentRun from "../words/currentRun.ts"
import { forRun } from "./agentOf.ts"
import type * as Given from "./given.ts"

/**
 * Where a run goes on that waits for approvals: in a session, or after a result. It is a
 * new run, which may be given its id.
 *
 * @category models
 * @since 0.1.0
 */
export type Waiting =
  & ({ readonly session: string } | { readonly result: AgentRun.Result<any> })
  & { readonly runId?: string | undefined }

/**
 * Goes on where a run waits for approvals: runs and denies the calls as the answers
 * say, then calls the model. While calls wait that have no answer the run completes
 * with `"approval-required"` again.
 *
 * **Details**
 *
 * The first step of the run is the one that waited. An answer that was not asked for,
 * that has been given before, or is for a call that has changed fails the run with
 * `AgentError` (`ApprovalRejected`), and nothing runs.
 *
 * The answers are saved to the session before any of their calls runs. When two
 * processes give one at the same time, one of them fails with `SessionConflict`.
 * A process that ends in the middle of such a call leaves it as interrupted: it runs at
 * most once. An agent needs `SessionHistory` for that.
 *
 * The result of a run with a session may be given too: the session alone is asked then,
 * and what it does not have is rejected. A result without a session has to be the very one
 * that a run of this process gave, and not a copy of it, or carry an `ApprovalSeal`. The
 * answers to it are kept in this process.
 *
 * What the run was given by its input, `providers` and a `toolkit`, is given again beside `session` or `result`.
 *
 * @category running
 * @since 0.1.0
 */
export const resumeStream = <
  Tools extends Record<string, Tool.Any>,
  E,
  R,
  A,
  P,
  const Providers extends ReadonlyArray<ContextProvider.Any> = [],
  Own extends Record<string, Tool.Any> = {},
  E1 = never,
  R1 = never
>(
  self: Agent.Agent<Tools, E, R, A, P>,
  waiting: Waiting & Given.Added<Providers, Own, E1, R1>,
  answers: ReadonlyArray<Approval.Answer>
): Stream.Stream<
  AgentRun.Part<Given.WithTools<Tools, Own>, A, P>,
  E | Given.AddedError<Providers, Own, E1>,
  R | Given.AddedServices<Providers, Own, R1>
> => {
  const { providers, runId, toolkit } = waiting
  const own = { runId, answers, providers, toolkit }
  if (!("result" in waiting)) return forRun(self, { ...own, prompt: [], session: waiting.session })
  const { result } = waiting
  return Stream.unwrap(Effect.map(Seal.originOf(self.name, result), (origin) => {
    const stream = forRun<
      AgentRun.Part<Given.WithTools<Tools, Own>, A, P>,
      E | Given.AddedError<Providers, Own, E1>,
      R | Given.AddedServices<Providers, Own, R1>
    >(self, { ...own, prompt: result.transcript, session: result.session })
    return origin === undefined ? stream : Stream.provideService(stream, Origin.Origin, origin)
  }))
}

/**
 * Goes on where a run waits for approvals, to its result: the fold of `resumeStream`.
 *
 * @category running
 * @since 0.1.0
 */
export const resume = <
  Tools extends Record<string, Tool.Any>,
  E,
  R,
  A,
  P,
  const Providers extends ReadonlyArray<ContextProvider.Any> = [],
  Own extends Record<string, Tool.Any> = {},
  E1 = never,
  R1 = never
>(
  self: Agent.Agent<Tools, E, R, A, P>,
  waiting: Waiting & Given.Added<Providers, Own, E1, R1>,
  answers: ReadonlyArray<Approval.Answer>
): Effect.Effect<
  AgentRun.Result<A>,
  E | Given.AddedError<Providers, Own, E1>,
  R | Given.AddedServices<Providers, Own, R1>
> =>
  CurrentRun.madeHere(
    "result" in waiting ? waiting.result : waiting,
    Effect.suspend(() => AgentRun.fold(resumeStream(self, waiting, answers)))
  )

/**
 * Which session goes on, by which run (see `Input`).
 *
 * @category models
 * @since 0.1.0
 */
export interface Continued extends Pick<Agent.Input, "runId" | "steering"> {
  readonly session: string
}

/**
 * Continues a session whose last message asks for an answer: a prompt that no model has
 * answered, or results of tools. A process that was killed, and a run that failed, leave
 * such a session where `SessionHistory` keeps every step, or always. A text at its end
 * that was cut (`AgentRun.isCut`) is not sent: the model answers again, and the session
 * keeps both.
 *
 * **Details**
 *
 * Fails with `AgentError` (`NothingToContinue`) when the last message is an answer, when
 * the session is unknown or waits for approvals, and when the agent does not load it.
 *
 * @category running
 * @since 0.1.0
 */
export const continueStream = <
  Tools extends Record<string, Tool.Any>,
  E,
  R,
  A,
  P,
  const Providers extends ReadonlyArray<ContextProvider.Any> = [],
  Own extends Record<string, Tool.Any> = {},
  E1 = never,
  R1 = never
>(
  self: Agent.Agent<Tools, E, R, A, P>,
  input: Continued & Given.Added<Providers, Own, E1, R1>
): Stream.Stream<
  AgentRun.Part<Given.WithTools<Tools, Own>, A, P>,
  E | Given.AddedError<Providers, Own, E1>,
  R | Given.AddedServices<Providers, Own, R1>
> => forRun(self, { ...input, prompt: [], continues: true })

const continue_ = <
  Tools extends Record<string, Tool.Any>,
  E,
  R,
  A,
  P,
  const Providers extends ReadonlyArray<ContextProvider.Any> = [],
  Own extends Record<string, Tool.Any> = {},
  E1 = never,
  R1 = never
>(
  self: Agent.Agent<Tools, E, R, A, P>,
  input: Continued & Given.Added<Providers, Own, E1, R1>
): Effect.Effect<
  AgentRun.Result<A>,
  E | Given.AddedError<Providers, Own, E1>,
  R | Given.AddedServices<Providers, Own, R1>
> => CurrentRun.madeHere(input, Effect.suspend(() => AgentRun.fold(continueStream(self, input))))

export {
  /**
   * Continues a session whose last message asks for an answer, to its result: the fold of
   * `continueStream`.
   *
   * @category running
   * @since 0.1.0
   */
  continue_ as continue
}
