/**
 * A hub whose runs are written into the journal. A run does not wait for the journal, and does not fail with it.
 *
 * @since 0.1.0
 */

import * as Model from "effect/ai/Model"
import * as Prompt from "effect/ai/Prompt"
import type * as Tool from "effect/ai/Tool"
import * as Clock from "effect/Clock"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import type * as Agent from "../../Agent.ts"
import type * as AgentRun from "../../AgentRun.ts"
import type * as Budget from "../../Budget.ts"
import { Instrumentation } from "../../internal/telemetry/instrumentation.ts"
import { PartCodec } from "../../internal/wire/parts.ts"
import * as AgentApi from "../../server/AgentApi.ts"
import * as Sessions from "../../server/internal/sessions.ts"
import * as RunHub from "../../server/RunHub.ts"
import * as RunJournal from "../RunJournal.ts"
import { Recorder } from "./recorder.ts"

/**
 * Creates the layer of such a hub around another one.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  prices: Budget.Price | Budget.Prices | undefined
): Layer.Layer<RunHub.RunHub, never, RunHub.RunHub | RunJournal.RunJournal> =>
  Layer.effect(RunHub.RunHub)(Effect.gen(function*() {
    const hub = yield* RunHub.RunHub
    const journal = yield* RunJournal.RunJournal
    const scope = yield* Effect.scope

    const start = <Tools extends Record<string, Tool.Any>, E, R, A, P>(
      agent: Agent.Agent<Tools, E, R, A, P>,
      input: Agent.Input,
      options?: RunHub.StartOptions
    ): Effect.Effect<RunHub.Live<AgentRun.Part<Tools, A, P>, E>, E | RunHub.RunRefused, R> =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function*() {
          const context = yield* Effect.context<R>()
          const live = yield* restore(hub.start(agent, input, options))
          const run = RunJournal.begun({
            runId: live.runId,
            agent: agent.name,
            startedAt: live.startedAt,
            session: live.start.session,
            owner: live.owner,
            prompt: saidOf(input.prompt),
            traceId: traceOf(context)
          })
          const recorder = new Recorder(prices, {
            model: Context.getOrUndefined(context, Model.ModelName),
            provider: Context.getOrUndefined(context, Model.ProviderName)
          })
          const writing = write(journal, run, live as RunHub.Live, recorder)
          yield* Effect.forkIn(Effect.catchCause(writing, tellFailure(run.runId)), scope)
          return live
        })
      )

    return RunHub.RunHub.of({ ...hub, start })
  }))

const tellFailure = (runId: string) => (cause: Cause.Cause<unknown>) =>
  Cause.hasInterruptsOnly(cause)
    ? Effect.void
    : Effect.logWarning(`The run ${runId} is not in the journal`, cause)

const codec = new PartCodec(undefined)

const write = Effect.fnUntraced(function*(
  journal: RunJournal.RunJournal["Service"],
  run: RunJournal.Run,
  live: RunHub.Live,
  recorder: Recorder
) {
  const { runId } = run
  yield* journal.write(run)
  const prefix = Sessions.prefixOf(live.owner ?? "")
  const flush = Effect.suspend(() => journal.append(runId, recorder.take()))
  // how the run ends is read below
  const told = Stream.catchCause(live.parts(), () => Stream.empty)
  yield* Stream.runForEachArray(told, (parts) =>
    Effect.gen(function*() {
      const at = yield* Clock.currentTimeMillis
      let isUrgent = false
      for (const { part } of parts) {
        const shown = Sessions.shown(part, prefix)
        // results of tools that nobody knows here are JSON
        const encoded = yield* Effect.orDie(codec.encode(shown)) as Effect.Effect<
          Effect.Success<ReturnType<typeof codec.encode>>
        >
        isUrgent = recorder.add(shown, encoded, at) || isUrgent
      }
      if (isUrgent) yield* flush
    }))
  yield* flush
  const exit = yield* live.exit
  // the page is told that there is a defect, and nothing of it
  if (Exit.isFailure(exit) && Cause.hasDies(exit.cause)) yield* Effect.logError(`The run ${runId} died`, exit.cause)
  yield* journal.write({
    ...run,
    ...endOf(exit, recorder.isWaiting),
    endedAt: yield* Clock.currentTimeMillis,
    stopReason: recorder.stopReason,
    usage: recorder.usage,
    cost: recorder.cost,
    isCut: recorder.isCut
  })
})

const endOf = (
  exit: Exit.Exit<void, unknown>,
  isWaiting: boolean
): Pick<RunJournal.Run, "outcome"> & Partial<Pick<RunJournal.Run, "failure">> => {
  if (Exit.isSuccess(exit)) return { outcome: isWaiting ? "waiting" : "completed" }
  if (Cause.hasInterruptsOnly(exit.cause)) return { outcome: "interrupted" }
  const { code, message, retryable } = AgentApi.describe(exit.cause)
  return { outcome: "failed", failure: { code, message, retryable } }
}

/** The beginning of what a user has said. */
const saidOf = (prompt: Prompt.RawInput): string | undefined => {
  const message = Prompt.make(prompt).content.findLast(({ role }) => role === "user")
  if (message === undefined || typeof message.content === "string") return undefined
  const text = message.content.map((part) => part.type === "text" ? part.text : "").join(" ").trim()
  return text === "" ? undefined : text.slice(0, 2000).toWellFormed()
}

/** The trace of a run that has spans. */
const traceOf = (context: Context.Context<never>): string | undefined =>
  Context.getOrUndefined(context, Instrumentation) === undefined
    ? undefined
    : Context.getOrUndefined(context, Tracer.ParentSpan)?.traceId
