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
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import type * as Agent from "../../Agent.ts"
import type * as AgentRun from "../../AgentRun.ts"
import type * as Budget from "../../Budget.ts"
import { Instrumentation } from "../../internal/telemetry/instrumentation.ts"
import { PartCodec } from "../../internal/wire/parts.ts"
import * as AgentApi from "../../server/AgentApi.ts"
import * as FailureDetails from "../../server/internal/failureDetails.ts"
import * as Sessions from "../../server/internal/sessions.ts"
import * as RunHub from "../../server/RunHub.ts"
import * as SessionStore from "../../SessionStore.ts"
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
): Layer.Layer<RunHub.RunHub, never, RunHub.RunHub | RunJournal.RunJournal | SessionStore.SessionStore> =>
  Layer.effect(RunHub.RunHub)(Effect.gen(function*() {
    const hub = yield* RunHub.RunHub
    const journal = yield* RunJournal.RunJournal
    const store = yield* SessionStore.SessionStore
    const writers = yield* FiberSet.make()
    // the ends of the runs that the hub interrupts are written, too
    yield* Effect.addFinalizer(() =>
      Effect.andThen(hub.close, Effect.timeoutOption(FiberSet.awaitEmpty(writers), "5 seconds"))
    )
    const fork = (runId: string, writing: Effect.Effect<void, unknown>) =>
      FiberSet.run(writers)(Effect.catchCause(writing, tellFailure(runId)))

    const start = <Tools extends Record<string, Tool.Any>, E, R, A, P>(
      agent: Agent.Agent<Tools, E, R, A, P>,
      input: Agent.Input,
      options?: RunHub.StartOptions
    ): Effect.Effect<RunHub.Live<AgentRun.Part<Tools, A, P>, E>, E | RunHub.RunRefused, R> =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function*() {
          const context = yield* Effect.context<R>()
          const began = yield* Clock.currentTimeMillis
          const before = input.session === undefined ? undefined : yield* restore(sizeOf(store, input.session))
          const begun = (run: Pick<RunJournal.Run, "runId" | "startedAt"> & Partial<RunJournal.Run>) =>
            RunJournal.begun({
              session: input.session,
              owner: options?.owner,
              ...run,
              agent: agent.name,
              prompt: saidOf(input.prompt),
              before,
              traceId: traceOf(context)
            })
          const exit = yield* Effect.exit(restore(hub.start(agent, input, options)))
          if (Exit.isFailure(exit)) {
            // it has failed before its first part
            if (input.runId !== undefined && !isRefused(exit.cause)) {
              yield* fork(input.runId, writeFailed(journal, begun({ runId: input.runId, startedAt: began }), exit))
            }
            return yield* exit
          }
          const live = exit.value
          const run = begun({
            runId: live.runId,
            startedAt: live.startedAt,
            session: live.start.session,
            owner: live.owner
          })
          const recorder = new Recorder(prices, {
            model: Context.getOrUndefined(context, Model.ModelName),
            provider: Context.getOrUndefined(context, Model.ProviderName)
          })
          yield* fork(run.runId, write(journal, run, live as RunHub.Live, recorder))
          return live
        })
      )

    return RunHub.RunHub.of({ ...hub, start })
  }))

const tellFailure = (runId: string) => (cause: Cause.Cause<unknown>) =>
  Cause.hasInterruptsOnly(cause)
    ? Effect.void
    : Effect.logWarning(`The run ${runId} is not in the journal`, cause)

/** Somebody else's run may have its id. */
const isRefused = (cause: Cause.Cause<unknown>): boolean =>
  cause.reasons.some((reason) => Cause.isFailReason(reason) && reason.error instanceof RunHub.RunRefused)

/** How many messages a session has, as far as the store says it. */
const sizeOf = (store: SessionStore.SessionStore["Service"], session: string): Effect.Effect<number | undefined> =>
  Effect.matchCause(store.load(session), {
    onFailure: () => undefined,
    onSuccess: ({ history }) => history.content.length
  })

const codec = new PartCodec(undefined)

const writeFailed = Effect.fnUntraced(function*(
  journal: RunJournal.RunJournal["Service"],
  run: RunJournal.Run,
  exit: Exit.Exit<unknown, unknown>
) {
  yield* journal.write(run)
  yield* journal.write({ ...run, ...endOf(exit, false), endedAt: yield* Clock.currentTimeMillis })
})

/** What came is written after this time at the latest, so that a process that ends at once loses no more. */
const delay = "1 second"

const write = Effect.fnUntraced(function*(
  journal: RunJournal.RunJournal["Service"],
  run: RunJournal.Run,
  live: RunHub.Live,
  recorder: Recorder
) {
  const { runId } = run
  yield* journal.write(run)
  const prefix = Sessions.prefixOf(live.owner ?? "")
  const writing = Semaphore.makeUnsafe(1)
  const flush = writing.withPermit(Effect.uninterruptible(
    Effect.suspend(() => journal.append(runId, recorder.take()))
  ))
  const late = yield* Effect.forkChild(Effect.forever(Effect.delay(flush, delay)))
  // how the run ends is read below
  const told = Stream.catchCause(live.parts(), () => Stream.empty)
  yield* Stream.runForEachArray(told, (parts) =>
    Effect.gen(function*() {
      const at = yield* Clock.currentTimeMillis
      let isUrgent = false
      for (const { part } of parts) {
        const shown = Sessions.shown(part, prefix, "detailed")
        // results of tools that nobody knows here are JSON
        const encoded = yield* Effect.orDie(codec.encode(shown)) as Effect.Effect<
          Effect.Success<ReturnType<typeof codec.encode>>
        >
        isUrgent = recorder.add(shown, encoded, at) || isUrgent
      }
      if (isUrgent) yield* flush
    }))
  yield* Fiber.interrupt(late)
  yield* flush
  const exit = yield* live.exit
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
  exit: Exit.Exit<unknown, unknown>,
  isWaiting: boolean
): Pick<RunJournal.Run, "outcome"> & Partial<Pick<RunJournal.Run, "failure">> => {
  if (Exit.isSuccess(exit)) return { outcome: isWaiting ? "waiting" : "completed" }
  if (Cause.hasInterruptsOnly(exit.cause)) return { outcome: "interrupted" }
  const { code, message, retryable } = AgentApi.describe(exit.cause)
  return { outcome: "failed", failure: { code, message, retryable, details: FailureDetails.ofCause(exit.cause) } }
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
