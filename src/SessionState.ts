/**
 * State that a context provider keeps in a session, beside the history.
 *
 * A `SessionState` is a name, a schema and an initial value. Its provider, and the tools and middleware of the run,
 * read and write it. When the run completes, the written value is saved together with the history, in the same version.
 * A run that does not complete leaves the state as it was.
 *
 * **Example** (Counting the runs of a conversation)
 *
 * ```ts
 * import { Console, Effect, Schema } from "effect"
 * import { Agent, ContextProvider, SessionHistory, SessionState, SessionStore } from "effect-agents"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const Visits = SessionState.make("visits", { schema: Schema.Int, initial: 0 })
 *
 * const visits = ContextProvider.make("visits", {
 *   beforeRun: () =>
 *     Effect.gen(function*() {
 *       const count = yield* SessionState.update(Visits, (count) => count + 1)
 *       return { instructions: `This is question ${count} of the user.` }
 *     })
 * })
 *
 * const agent = Agent.make("assistant", { providers: [SessionHistory.provider, visits] })
 *
 * const program = Effect.gen(function*() {
 *   yield* Agent.run(agent, { prompt: "hello", session: "user-7" })
 *   yield* Agent.run(agent, { prompt: "hello again", session: "user-7" })
 *   const store = yield* SessionStore.SessionStore
 *   const { state, version } = yield* store.load("user-7")
 *   yield* Console.log(version, state)
 * })
 *
 * const model = ScriptedModel.layer([ScriptedModel.text("hi"), ScriptedModel.text("hi")])
 *
 * Effect.runPromise(Effect.provide(program, [model, SessionStore.layerMemory])) // => 2 { visits: 2 }
 * ```
 *
 * @since 0.1.0
 */

import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { CurrentRun, type OpenState } from "./internal/words/currentRun.ts"
import * as Json from "./internal/words/json.ts"
import * as Session from "./Session.ts"

/**
 * The state that one provider keeps in a session. The session stores it under its name, so use the name of the
 * provider.
 *
 * @category models
 * @since 0.1.0
 */
export interface SessionState<in out A> {
  readonly name: string
  readonly schema: Schema.Codec<A, unknown>
  readonly initial: A
}

/**
 * Creates a state with this name. Its value is `initial` in a session that has none.
 *
 * **Gotchas**
 *
 * Two states with the same name in one run are a defect of the program, not a failure of a run.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <A, I>(name: string, options: {
  readonly schema: Schema.Codec<A, I>
  readonly initial: A
}): SessionState<A> => ({ name, ...options })

/**
 * Returns the value, including what the run has written. Fails with `SessionError` (`SessionStateInvalid`, which has
 * the name) if the stored value does not decode.
 *
 * **Details**
 *
 * The session is that of the innermost run that has one. Outside of such a run the value is `initial`, and nothing is
 * saved.
 *
 * **Gotchas**
 *
 * In a run with a session, `SessionHistory` has to come before the provider in the agent's list, because it loads the
 * session. Otherwise this is a defect.
 *
 * @category accessors
 * @since 0.1.0
 */
export const get = <A>(self: SessionState<A>): Effect.Effect<A, Session.SessionError> =>
  withState(self, (state) => read(self, state))

/**
 * Writes the value. It is saved together with the history when the run completes.
 *
 * @category combinators
 * @since 0.1.0
 */
export const set = <A>(self: SessionState<A>, value: A): Effect.Effect<void, Session.SessionError> =>
  withState(self, (state) => Result.map(write(self, state, value), () => undefined))

/**
 * Writes the value that a function returns for the current value, and returns it. No other write can come in between.
 *
 * @category combinators
 * @since 0.1.0
 */
export const update = <A>(self: SessionState<A>, f: (value: A) => A): Effect.Effect<A, Session.SessionError> =>
  withState(self, (state) => Result.flatMap(read(self, state), (value) => write(self, state, f(value))))

const withState = <S, A>(
  self: SessionState<S>,
  f: (state: OpenState | undefined) => Result.Result<A, Session.SessionError>
): Effect.Effect<A, Session.SessionError> =>
  Effect.withFiber((fiber) => {
    const run = Context.getOrUndefined(fiber.context, CurrentRun)
    if (run !== undefined && run.state === undefined) {
      return Effect.die(
        new Error(
          `\`SessionHistory\` has to stand before the provider of the state \`${self.name}\` in the agent's list`
        )
      )
    }
    const owner = run?.state?.owners.get(self.name)
    if (owner !== undefined && owner !== self) {
      return Effect.die(new Error(`Two states of one run have the name \`${self.name}\``))
    }
    run?.state?.owners.set(self.name, self)
    return Effect.fromResult(f(run?.state))
  })

const read = <A>(self: SessionState<A>, state: OpenState | undefined): Result.Result<A, Session.SessionError> => {
  if (state === undefined) return Result.succeed(self.initial)
  const { sessionId, stored, written } = state
  const entry = written.has(self.name)
    ? written.get(self.name)
    : Object.hasOwn(stored, self.name)
    ? stored[self.name]
    : undefined
  if (entry === undefined) return Result.succeed(self.initial)
  if (Json.isTooDeep(entry)) return Result.fail(invalid(self, sessionId, Json.tooDeep))
  return Result.mapError(
    Schema.decodeResult(Schema.toCodecJson(self.schema))(entry),
    (error) => invalid(self, sessionId, error.message)
  )
}

const write = <A>(
  self: SessionState<A>,
  state: OpenState | undefined,
  value: A
): Result.Result<A, Session.SessionError> => {
  if (state === undefined) return Result.succeed(value)
  const encoded = Schema.encodeResult(Schema.toCodecJson(self.schema))(value)
  if (Result.isFailure(encoded)) return Result.fail(invalid(self, state.sessionId, encoded.failure.message))
  if (Json.isTooDeep(encoded.success)) return Result.fail(invalid(self, state.sessionId, Json.tooDeep))
  state.written.set(self.name, encoded.success)
  return Result.succeed(value)
}

const invalid = ({ name }: SessionState<any>, sessionId: string, description: string): Session.SessionError =>
  new Session.SessionError({ sessionId, reason: new Session.SessionStateInvalid({ name, description }) })
