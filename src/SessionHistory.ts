/**
 * The context provider that gives an agent a memory: it loads the session before
 * a run and appends the run's transcript after it.
 *
 * It commits: its `afterRun` runs after those of all other providers, and not at
 * all if one of them failed. A run that did not complete has saved nothing.
 *
 * @since 0.1.0
 */
import * as Prompt from "effect/ai/Prompt"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as ContextProvider from "./ContextProvider.ts"
import * as Waiting from "./internal/approval/waiting.ts"
import * as Middleware from "./Middleware.ts"
import * as Session from "./Session.ts"
import * as SessionStore from "./SessionStore.ts"

/**
 * Loads the history of the run's session, and appends the transcript when the run
 * has completed. A run without a session has no history and saves nothing.
 *
 * A run that has answers to approvals saves them before any of their calls runs, and
 * what came of the calls when they all have results.
 *
 * Runs on one session follow each other: a run waits in its `beforeRun` until the
 * one before it is finalized. A save that is lost to another process fails the run
 * with `AfterRunFailed`, which carries the result.
 *
 * @category providers
 * @since 0.1.0
 */
export const provider: ContextProvider.ContextProvider<Session.SessionError, SessionStore.SessionStore> =
  ContextProvider.committing(ContextProvider.make("session-history", {
    beforeRun: Effect.fnUntraced(function*(request) {
      const open = yield* openSession(request)
      return { messages: open?.messages, checkpoint: open?.save, state: open }
    }),
    afterRun: ({ result, state }: ContextProvider.CompletedRun<OpenSession | undefined>) =>
      state === undefined ? Effect.void : state.save(result.transcript.content)
  }))

/**
 * Like `provider`, but saves after every step, so that a crash in a long run keeps
 * the finished steps as a closed transcript. A run that fails, is interrupted or
 * abandoned keeps them too.
 *
 * The step is on disk before the model is called again.
 *
 * @category providers
 * @since 0.1.0
 */
export const providerEveryStep: ContextProvider.ContextProvider<Session.SessionError, SessionStore.SessionStore> =
  ContextProvider.committing(ContextProvider.make("session-history", {
    beforeRun: Effect.fnUntraced(function*(request) {
      const open = yield* openSession(request)
      const saveStep = Middleware.make("session-history", {
        model: (request, next) => {
          const save = open === undefined || request.steps.length === 0 ? Effect.void : open.save(request.transcript)
          return Stream.unwrap(Effect.as(save, next(request)))
        }
      })
      return {
        messages: open?.messages,
        // a model, and what it fails with, the agent has anyway
        middleware: saveStep as Middleware.Middleware<Session.SessionError>,
        checkpoint: open?.save,
        state: open
      }
    }),
    afterRun: ({ result, state }: ContextProvider.CompletedRun<OpenSession | undefined>) =>
      state === undefined ? Effect.void : state.save(result.transcript.content)
  }))

/** A session of one run: what it knows, and how the transcript is saved as far as it goes. */
interface OpenSession {
  readonly messages: ReadonlyArray<Prompt.Message>
  readonly save: (transcript: ReadonlyArray<Prompt.Message>) => Effect.Effect<void, Session.SessionError>
}

const openSession = Effect.fnUntraced(function*({ answers, session: id }: ContextProvider.Request) {
  if (id === undefined) return undefined
  const store = yield* SessionStore.SessionStore
  yield* store.serialize(id)
  let session = yield* store.load(id)
  const history = session.history.content
  let closing = closingOf(history, answers !== undefined)
  let saved = 0
  return {
    messages: [...history, ...closing],
    save: (transcript) =>
      Effect.suspend(() => {
        const append = [...closing, ...transcript.slice(saved)]
        return Effect.map(store.save(session, { append }), (next) => {
          session = next
          closing = []
          saved = transcript.length
        })
      })
  } satisfies OpenSession as OpenSession
})

/**
 * The results that close a history before it goes on: of calls that wait for an
 * approval, unless they are answered now, and of those that a crash has cut short.
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
