/**
 * The context provider that gives an agent a memory: it loads the session before
 * a run and appends the run's transcript after it.
 *
 * It commits: its `afterRun` runs after those of all other providers, and not at
 * all if one of them failed. A run that did not complete has saved nothing.
 *
 * @since 0.1.0
 */
import type * as Prompt from "effect/ai/Prompt"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as ContextProvider from "./ContextProvider.ts"
import * as Middleware from "./Middleware.ts"
import type * as Session from "./Session.ts"
import * as SessionStore from "./SessionStore.ts"

/**
 * Loads the history of the run's session, and appends the transcript when the run
 * has completed. A run without a session has no history and saves nothing.
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
      const open = yield* openSession(request.session)
      return { messages: open?.session.history.content, state: open }
    }),
    afterRun: ({ result, state }) => state === undefined ? Effect.void : append(state, result.transcript.content)
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
      const open = yield* openSession(request.session)
      const saveStep = Middleware.make("session-history", {
        model: (request, next) => {
          const save = open === undefined || request.steps.length === 0 ? Effect.void : append(open, request.transcript)
          return Stream.unwrap(Effect.as(save, next(request)))
        }
      })
      return { messages: open?.session.history.content, middleware: saveStep, state: open }
    }),
    afterRun: ({ result, state }) => state === undefined ? Effect.void : append(state, result.transcript.content)
  }))

/** A session of one run: as it was saved last, and how much of the run's transcript that holds. */
interface OpenSession {
  readonly store: SessionStore.SessionStore["Service"]
  session: Session.Session
  saved: number
}

const openSession = Effect.fnUntraced(function*(id: string | undefined) {
  if (id === undefined) return undefined
  const store = yield* SessionStore.SessionStore
  yield* store.serialize(id)
  const session = yield* store.load(id)
  return { store, session, saved: 0 } satisfies OpenSession as OpenSession
})

const append = (open: OpenSession, transcript: ReadonlyArray<Prompt.Message>) =>
  Effect.map(open.store.save(open.session, { append: transcript.slice(open.saved) }), (session) => {
    open.session = session
    open.saved = transcript.length
  })
