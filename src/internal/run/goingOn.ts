/**
 * Runs that continue another one: with answers to its approvals, or after its process was killed. `Agent` exports all
 * of this.
 *
 * @since 0.1.0
 */
import type * as Tool from "effect/ai/Tool"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
// the agent whose runs continue
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
 * Where the approvals are that a run waits for: in a session, or in a result. The run that continues is a new run, and
 * may be given an id.
 *
 * @category models
 * @since 0.1.0
 */
export type Waiting =
  & ({ readonly session: string } | { readonly result: AgentRun.Result<any> })
  & { readonly runId?: string | undefined }

/**
 * Continues a run that waits for approvals. It runs or denies the calls as the answers say, and then calls the model.
 * If there are waiting calls without an answer, the run completes with `"approval-required"` again.
 *
 * **Details**
 *
 * The first step of the run is the one that waited. If an answer was not asked for, was given before, or is for a call
 * that has changed, the run fails with `AgentError` (`ApprovalRejected`), and nothing runs.
 *
 * The answers are saved to the session before any of their calls runs. When two processes give an answer at the same
 * time, one of them fails with `SessionConflict`. If a process ends during such a call, the call is recorded as
 * interrupted: it runs at most once. For this the agent needs `SessionHistory`.
 *
 * The result of a run with a session may be given, too. Then only the session is used, and answers that it does not
 * wait for are rejected. A result without a session has to be the very object that a run of this process returned, not
 * a copy, or has to carry an `ApprovalSeal`. Its answers are remembered in this process.
 *
 * Give the `providers` and the `toolkit` from the input of the waiting run again, beside `session` or `result`.
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
  const stream = Stream.unwrap(Effect.map(Seal.originOf(self.name, result), (origin) => {
    const stream = forRun<
      AgentRun.Part<Given.WithTools<Tools, Own>, A, P>,
      E | Given.AddedError<Providers, Own, E1>,
      R | Given.AddedServices<Providers, Own, R1>
    >(self, { ...own, prompt: result.transcript, session: result.session })
    return origin === undefined ? stream : Stream.provideService(stream, Origin.Origin, origin)
  }))
  // the run is made later
  return CurrentRun.streamMadeHere(result, stream)
}

/**
 * Continues a run that waits for approvals, and returns the result: the fold of `resumeStream`.
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
 * The session to continue, and the input of the run that continues it (see `Input`).
 *
 * @category models
 * @since 0.1.0
 */
export interface Continued extends Pick<Agent.Input, "runId" | "steering"> {
  readonly session: string
}

/**
 * Continues a session whose last message needs an answer: a prompt that no model has answered, or results of tools. A
 * process that was killed, or a run that failed, leaves such a session if `SessionHistory` keeps every step, or always.
 * An incomplete text at its end (`AgentRun.isCut`) is not sent: the model answers again, and the session keeps both.
 *
 * **Details**
 *
 * Fails with `AgentError` (`NothingToContinue`) if the last message is an answer, if the session is unknown or waits
 * for approvals, or if the agent does not load the session.
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
   * Continues a session whose last message needs an answer, and returns the result: the fold of `continueStream`.
   *
   * @category running
   * @since 0.1.0
   */
  continue_ as continue
}
