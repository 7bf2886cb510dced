/**
 * The context provider that gives an agent a memory: it loads the session before
 * a run and appends the run's transcript to it.
 *
 * The option `keep` decides what is saved of a run that does not complete.
 *
 * **Example** (A run that fails after its first step)
 *
 * ```ts
 * import { Console, Effect, Layer } from "effect"
 * import { AiError, Tool, Toolkit } from "effect/ai"
 * import { Agent, AgentRun, SessionHistory, SessionStore } from "effect-agents"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const toolkit = Toolkit.make(Tool.make("pay"))
 * const agent = Agent.make("assistant", { toolkit, providers: [SessionHistory.make({ keep: "always" })] })
 *
 * const program = Effect.gen(function*() {
 *   yield* Effect.exit(Agent.run(agent, { prompt: "Pay the bill", session: "ada" }))
 *   const store = yield* SessionStore.SessionStore
 *   const { history } = yield* store.load("ada")
 *   for (const message of history.content) {
 *     yield* Console.log(message.role, AgentRun.isCut(message) ? "(cut)" : "")
 *   }
 * })
 *
 * const overloaded = AiError.make({ module: "example", method: "run", reason: new AiError.RateLimitError({}) })
 * const model = ScriptedModel.layer([
 *   ScriptedModel.toolCalls({ name: "pay", params: {} }),
 *   ScriptedModel.step(ScriptedModel.text("The bill is"), ScriptedModel.fail(overloaded))
 * ])
 * const tools = toolkit.toLayer({ pay: () => Effect.void })
 *
 * Effect.runPromise(Effect.provide(program, Layer.mergeAll(model, tools, SessionStore.layerMemory)))
 * // => user
 * // => assistant
 * // => tool
 * // => assistant (cut)
 * ```
 *
 * @since 0.1.0
 */

import * as Prompt from "effect/ai/Prompt"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import type * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as AgentRun from "./AgentRun.ts"
import * as ContextProvider from "./ContextProvider.ts"
import * as Origin from "./internal/approval/origin.ts"
import * as Waiting from "./internal/approval/waiting.ts"
import * as InLine from "./internal/session/inLine.ts"
import { CurrentRun, type OpenState } from "./internal/words/currentRun.ts"
import { FailsRun } from "./internal/words/failsRun.ts"
import * as ProgramCall from "./internal/words/programCall.ts"
import * as Text from "./internal/words/text.ts"
import * as Session from "./Session.ts"
import * as SessionStore from "./SessionStore.ts"

/**
 * What is saved of a run.
 *
 * - `completed`: the transcript, when the run has completed. A run that fails, is interrupted or is abandoned saves
 *   nothing.
 * - `every-step`: each step when it ends, before its `step-end` is emitted. A run that does not complete, and a process
 *   that is killed, keep the finished steps.
 * - `always`: the prompt too, when the run starts. A run that fails, is interrupted or is abandoned also saves its
 *   unfinished step: the text that was shown, and the tool calls with the results that they have. These messages are
 *   marked, see `AgentRun.isCut`. If guardrails check the input, nothing is saved before they have let it through.
 *
 * A saved conversation is closed: a call without a result gets an interrupted one.
 *
 * @category models
 * @since 0.1.0
 */
export type Keep = "completed" | "every-step" | "always"

/**
 * What a run does when another run holds its session.
 *
 * - `wait`: it waits in line, until the runs before it are finalized.
 * - `reject`: it fails with `SessionError` (`SessionInUse`).
 * - `steer`: it waits in line, and meanwhile offers its prompt to the run that holds the session, if that run has
 *   `steer` too. That run takes the prompt before its next model call; if its model had finished, the run goes on
 *   instead of stopping.
 *
 * **Details**
 *
 * A run whose prompt was taken makes no model call. It completes when the run that took the prompt has ended, with the
 * stop reason `"steered"`. It has no text, no steps, no usage, no transcript and no `value` (an agent with an `output`
 * needs `AgentOutput.orWaiting` for that). The other run has the answer, and both prompts are in the session, each
 * once. Nothing is lost if the other run did not save the prompt, for example because it failed and keeps only
 * `completed` runs: the waiting run then takes its turn and runs.
 *
 * Prompts are taken in the order of the line, and never before the prompt of a run further ahead. A run offers its
 * prompt only if it consists of user messages, which may have files, and is not blank. With any other prompt it waits
 * in line. So do a run that goes on with answers or without a prompt (`Agent.resume`, `Agent.continue`), and a run in a
 * tool's own session. A run that is interrupted while it waits withdraws its prompt; a prompt that was taken before
 * stays taken.
 *
 * The input guardrails of the run that takes a prompt check it. A trip fails that run, and the waiting run then takes its
 * turn and runs. A replacement is the answer.
 *
 * **Gotchas**
 *
 * The agent of the other run checks and answers the prompt, with its own instructions, tools and guardrails. An agent
 * that runs outside of this package (`effect-agents/copilot`) takes no prompts, and only runs of the same process are
 * steered. Messages that `Steering` has sent to the waiting run stay `unread`. In a `"steered"` run the providers after
 * this one are begun and their `afterRun` is called, but their `atStart` and `everyStep` are not.
 *
 * @category models
 * @since 0.1.0
 */
export type WhenHeld = "wait" | "reject" | "steer"

/**
 * Creates the provider. It keeps `completed` runs unless `keep` says otherwise. A run without a session has no history,
 * and saves nothing.
 *
 * **Details**
 *
 * Runs on one session follow each other. A run that finds its session held waits in its `beforeRun`, is rejected, or
 * steers the other run, as `whenHeld` says. A run that was started by the run that holds the session (in a tool, a
 * provider, a middleware, or between two of its parts) would wait for itself: it fails at once with `SessionError`
 * (`SessionInUse`). Such a run is recognized by its fiber: the fiber belongs to the other run, or is that of its
 * consumer, or is a child that the consumer has forked and that begins the run between two parts. It is also recognized
 * by the place where it was made: a tool may call `Agent.run` and run that in a runtime of its own.
 *
 * The provider is committing: its `afterRun` runs after those of all other providers, and not at all if one of them
 * failed. A save that fails, or that loses against another process, fails the run with `SessionError`. If the run would
 * have completed, the error has the run's `result`.
 *
 * A run that continues with answers to approvals saves them before any of their calls runs. It saves the results of
 * these calls too, whatever `keep` says and however it ends.
 *
 * A run in a tool's own session (`session: "own"` of `AgentTool`) is saved as a whole when it ends. While it waits for
 * approvals its caller keeps it with the call.
 *
 * The rest of a run that did not complete is saved in its finalizer, within `AgentRun.FinalizationBudget`. If that save
 * fails, the failure is recorded, and the run ends as it would have ended.
 *
 * **Gotchas**
 *
 * Some runs are not recognized as started by the run before them, and wait in line: those that begin in another
 * runtime, in the body of a `for await`, in a fiber that is detached or forked into a scope, or behind an operator that
 * pulls in a fiber of its own (`Stream.buffer`). If the run before them waits for such a run, both wait for ever. With
 * `whenHeld: "reject"` it fails instead.
 *
 * @category providers
 * @since 0.1.0
 */
export const make = (options?: {
  /** What is saved of a run. Default: `"completed"`, which saves completed runs only. */
  readonly keep?: Keep | undefined
  /** What a run does when another run holds its session. Default: `"wait"`. */
  readonly whenHeld?: WhenHeld | undefined
}): ContextProvider.ContextProvider<Session.SessionError, SessionStore.SessionStore> => {
  const keep = options?.keep ?? "completed"
  return ContextProvider.committing(ContextProvider.make("session-history", {
    beforeRun: Effect.fnUntraced(function*(request) {
      if (request.session === undefined) return undefined
      const open = yield* openSession(request.session, request, keep, options?.whenHeld ?? "wait")
      return {
        messages: open.messages,
        atStart: open.atStart,
        everyStep: open.everyStep,
        state: open
      }
    }),
    afterRun: ({ result, state }: ContextProvider.CompletedRun<OpenSession | undefined>) =>
      state === undefined ? Effect.void : Effect.mapError(
        state.afterRun(result),
        ({ reason, sessionId }) => new FailsRun(new Session.SessionError({ sessionId, reason, result }))
      )
  }))
}

/**
 * Saves completed runs: `make()`.
 *
 * @category providers
 * @since 0.1.0
 */
export const provider: ContextProvider.ContextProvider<Session.SessionError, SessionStore.SessionStore> = make()

/**
 * Saves every finished step: `make({ keep: "every-step" })`.
 *
 * @category providers
 * @since 0.1.0
 */
export const providerEveryStep: ContextProvider.ContextProvider<Session.SessionError, SessionStore.SessionStore> = make(
  { keep: "every-step" }
)

type Save = Effect.Effect<void, Session.SessionError>

/** The session of one run, and the operations of the run on it. */
interface OpenSession {
  readonly messages: ReadonlyArray<Prompt.Message>
  readonly atStart: ((run: ContextProvider.StartedRun) => Save) | undefined
  readonly everyStep: ((step: ContextProvider.FinishedStep) => Save) | undefined
  readonly afterRun: (result: AgentRun.Result) => Save
}

const openSession = Effect.fnUntraced(function*(
  id: string,
  { answers, continues, prompt }: ContextProvider.Request,
  keep: Keep,
  whenHeld: WhenHeld
): Effect.fn.Return<OpenSession, Session.SessionError, SessionStore.SessionStore | Scope.Scope> {
  const store = yield* SessionStore.SessionStore
  let onEnd: (exit: Exit.Exit<AgentRun.Result, unknown>) => Save = () => Effect.void
  // a finalizer of its own, so that a save that hangs does not keep the session
  const turn = Scope.makeUnsafe()
  yield* AgentRun.addFinalizer((exit) => {
    // when a run goes on elsewhere, what is left of it is saved there
    const end = AgentRun.isSuspended(exit) ? Effect.void : Effect.orDie(onEnd(exit))
    return Effect.ensuring(end, Scope.close(turn, exit))
  })
  const run = yield* Effect.serviceOption(CurrentRun)
  const isKeptByCaller = yield* Origin.isKeptByCaller
  const inLine = whenHeld === "steer" && !isKeptByCaller
    ? new InLine.InLine(answers === undefined && continues !== true ? offerOf(prompt.content) : [])
    : undefined
  if (Option.isSome(run)) run.value.inLine = inLine
  const serialize = store.serialize(id, { whenHeld: whenHeld === "reject" ? "reject" : "wait" })
  yield* Effect.updateContext(serialize, (context: Context.Context<never>) => {
    const scoped = Context.add(context, Scope.Scope, turn)
    return inLine === undefined ? scoped : Context.add(scoped, InLine.Current, inLine)
  })
  const isResumed = answers !== undefined && !isKeptByCaller
  const loaded = yield* store.load(id)
  const state: OpenState = { sessionId: id, stored: loaded.state, written: new Map(), owners: new Map() }
  if (Option.isSome(run)) run.value.state = state
  const history = loaded.history.content
  if (inLine?.offer === "kept") {
    // the prompt is in the history, and the calls that wait go on waiting
    const { saveLast } = makeAppender(store, loaded, [], undefined)
    return {
      messages: history,
      atStart: undefined,
      everyStep: undefined,
      afterRun: () => state.written.size === 0 ? Effect.void : saveLast([], state.written)
    }
  }
  const closing = closingOf(history, isResumed || continues === true)
  const appender = makeAppender(store, loaded, closing, inLine)
  // the number of finished steps
  let steps = 0
  let waits = false
  const save = (transcript: ReadonlyArray<Prompt.Message>) => appender.save(transcript)

  if (isKeptByCaller) {
    let finished: ReadonlyArray<Prompt.Message> = []
    onEnd = (exit) => {
      const outcome = AgentRun.outcome(exit)
      if (outcome._tag === "Completed" || keep === "completed") return Effect.void
      const transcript = keep === "always" ? outcome.partial.transcript.content : finished
      return transcript.length === 0 ? Effect.void : save(transcript)
    }
    return {
      messages: [...history, ...closing],
      atStart: undefined,
      everyStep: keep === "completed"
        ? undefined
        : ({ transcript }) =>
          Effect.sync(() => {
            finished = transcript
          }),
      afterRun: ({ approvals, transcript }) => approvals.length > 0 ? Effect.void : save(transcript.content)
    }
  }

  onEnd = (exit) => {
    const outcome = AgentRun.outcome(exit)
    // answers that were saved are followed by the results of their calls
    const isKept = keep === "always" || (isResumed && steps === 0) ||
      (outcome._tag !== "Completed" && ProgramCall.undoneIn(outcome.partial.transcript.content).size > 0)
    return outcome._tag === "Completed" || !appender.hasBegun() || !isKept || waits
      ? Effect.void
      : appender.saveRest(outcome.partial.transcript.content)
  }

  return {
    messages: [...history, ...closing],
    atStart: keep === "always" || isResumed ? ({ transcript }) => save(transcript) : undefined,
    everyStep: keep !== "completed" || isResumed
      ? ({ transcript }) => {
        // a step that waits for approvals goes on waiting, however its run ends
        waits = (Waiting.lastStepOf(transcript)?.waiting.length ?? 0) > 0
        return steps++ === 0 || keep !== "completed" ? save(transcript) : Effect.void
      }
      : undefined,
    afterRun: ({ transcript }) =>
      state.written.size === 0 && appender.hasSaved(transcript.content)
        ? Effect.void
        : appender.saveLast(transcript.content, state.written)
  }
})

/** The prompt in a form that another run can take: user messages that `Steering` accepts, and that are not blank. */
const offerOf = (prompt: ReadonlyArray<Prompt.Message>): ReadonlyArray<Prompt.UserMessage> => {
  const messages = prompt.filter((message) => message.role === "user")
  return messages.length === prompt.length && !messages.every(Text.isBlank) ? messages : []
}

/** Saves a transcript that grows: each time, the messages that were added since the time before. */
const makeAppender = (
  store: SessionStore.SessionStore["Service"],
  loaded: Session.Session,
  closing: ReadonlyArray<Prompt.Message>,
  inLine: InLine.InLine | undefined
) => {
  let session = loaded
  let count: number | undefined
  /** The messages of a save that was interrupted or took too long, and so may have been made. */
  let unknown: Record<"append" | "transcript", ReadonlyArray<Prompt.Message>> | undefined

  const saved = (next: Session.Session, transcript: ReadonlyArray<Prompt.Message>): void => {
    session = next
    count = transcript.length
    unknown = undefined
    // a saved transcript contains all prompts that were taken
    inLine?.keep()
  }

  const save = (transcript: ReadonlyArray<Prompt.Message>, written?: ReadonlyMap<string, Schema.Json>): Save =>
    Effect.suspend(() => {
      const append = count === undefined ? [...closing, ...transcript] : transcript.slice(count)
      unknown = { append, transcript }
      return Effect.matchEffect(store.save(session, { append, state: written && Object.fromEntries(written) }), {
        onFailure: (error) => {
          unknown = undefined
          return Effect.fail(error)
        },
        onSuccess: (next) => Effect.sync(() => saved(next, transcript))
      })
    })

  /** Asks the store which messages it has, if that is not known. */
  const settle: Save = Effect.suspend(() => {
    const asked = unknown
    if (asked === undefined) return Effect.void
    return Effect.map(store.load(session.id), (stored) => {
      const added = stored.history.content.slice(session.history.content.length)
      const isNext = stored.version === session.version + 1 &&
        (session.version === 0 || stored.incarnation === session.incarnation)
      if (isNext && isSame(added, asked.append)) saved(stored, asked.transcript)
    })
  })

  /**
   * It may be interrupted, but not without knowing whether it has saved: the store finishes a save that it has begun,
   * or is asked.
   */
  const saveLast = (transcript: ReadonlyArray<Prompt.Message>, written: ReadonlyMap<string, Schema.Json>): Save =>
    Effect.catchCause(Effect.interruptible(save(transcript, written)), (cause) => {
      if (!Cause.hasInterrupts(cause)) return Effect.failCause(cause)
      const tooLong = new Error("the save took too long and was interrupted; nothing was written")
      return Effect.flatMap(settle, () =>
        unknown === undefined
          ? Effect.void
          : new Session.SessionError({
            sessionId: session.id,
            reason: new Session.SessionStoreUnavailable({ operation: "save", cause: tooLong })
          }))
    })

  return {
    save,
    saveLast,
    /** Whether anything of the run is saved. */
    hasBegun: (): boolean => count !== undefined,
    hasSaved: (transcript: ReadonlyArray<Prompt.Message>): boolean => count === transcript.length,
    /** Saves the rest of a run that did not complete. */
    saveRest: (transcript: ReadonlyArray<Prompt.Message>): Save =>
      Effect.flatMap(settle, () => count === transcript.length ? Effect.void : save(transcript))
  }
}

/** Compares messages in their stored form. */
const isSame = (self: ReadonlyArray<Prompt.Message>, that: ReadonlyArray<Prompt.Message>): boolean =>
  self.length === that.length && Result.getOrElse(
    Result.map(
      Result.all([encode(self.map(SessionStore.toStorable)), encode(that.map(SessionStore.toStorable))]),
      ([one, other]) => Equal.equals(one, other)
    ),
    () => false
  )

const encode = Schema.encodeResult(Schema.toCodecJson(Schema.Array(Prompt.Message)))

/**
 * The results that close a history before it goes on: of calls that wait for an approval and are not answered now, and
 * of calls that a crash has left without a result.
 */
const closingOf = (
  history: ReadonlyArray<Prompt.Message>,
  isAnswered: boolean
): ReadonlyArray<Prompt.Message> => {
  const step = Waiting.lastStepOf(history)
  if (step === undefined) return []
  const waiting = isAnswered ? step.waiting.map(({ call }) => call) : []
  const open = step.open.filter((call) => !waiting.includes(call))
  return open.length === 0
    ? []
    : [Prompt.toolMessage({ content: open.map((call) => Session.interruptedResult(call)) })]
}
