/**
 * Sessions that are deleted, with those that the agents behind their tools have (`session: "own"` of `AgentTool`).
 *
 * @since 0.1.0
 */

import type * as Prompt from "effect/ai/Prompt"
import type * as Tool from "effect/ai/Tool"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Agent from "../../Agent.ts"
import * as Approval from "../../Approval.ts"
import * as OwnSession from "../../internal/words/ownSession.ts"
import type * as Session from "../../Session.ts"
import type * as SessionStore from "../../SessionStore.ts"
import type * as RunHub from "../RunHub.ts"

type Store = SessionStore.SessionStore["Service"]

/**
 * Deletes a session. The agents behind the tools that it has called, and behind the tools of `agent`, forget it too, so
 * that they do not know a conversation that begins under the same id.
 *
 * @category operations
 * @since 0.1.0
 */
export const remove = (
  store: Store,
  session: string,
  agent: Agent.Any | undefined
): Effect.Effect<void, Session.SessionError> =>
  Effect.gen(function*() {
    const { history } = yield* store.load(session)
    const own = agent === undefined ? {} : Agent.tools(agent as Agent.Agent<Record<string, Tool.Any>>) ?? {}
    for (const name of new Set([...Object.keys(own), ...calledIn(history.content)])) {
      const id = OwnSession.toId(session, name)
      const { version } = yield* store.load(id)
      if (version > 0) yield* remove(store, id, undefined)
    }
    yield* store.remove(session)
  })

const calledIn = (messages: ReadonlyArray<Prompt.Message>): ReadonlyArray<string> =>
  messages.flatMap((message) =>
    message.role === "assistant" ? message.content.flatMap((part) => part.type === "tool-call" ? [part.name] : []) : []
  )

/**
 * Returns the agent whose run deletes its session when it has ended, unless the session waits for answers. A run that has
 * not begun deletes nothing, and neither does one beside which another run works on the session.
 *
 * @category combinators
 * @since 0.1.0
 */
export const afterRun = <Tools extends Record<string, Tool.Any>, E, R, A, P>(
  agent: Agent.Agent<Tools, E, R, A, P>,
  session: string,
  store: Store,
  hub: RunHub.RunHub["Service"]
): Agent.Agent<Tools, E, R, A, P> => {
  const forget = (runId: string) =>
    Effect.gen(function*() {
      const running = yield* hub.running
      if (running.some((live) => live.start.session === session && live.runId !== runId)) return
      const { history } = yield* store.load(session)
      if (Approval.pending(history).length === 0) yield* remove(store, session, agent)
    })
  const told = (cause: Cause.Cause<unknown>) => Effect.logWarning(`The session \`${session}\` was not deleted`, cause)
  return Agent.fromStream(agent.name, {
    description: agent.description,
    stream: (input) =>
      Stream.unwrap(Effect.gen(function*() {
        let hasBegun = false
        // before the run has a scope of its own, so that this comes after what the run saves when it ends
        yield* Effect.addFinalizer(() => hasBegun ? Effect.catchCause(forget(input.runId), told) : Effect.void)
        return Stream.onFirst(Agent.stream(agent, input), () =>
          Effect.sync(() => {
            hasBegun = true
          }))
      }))
  })
}
