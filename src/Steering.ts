/**
 * A handle on a run that works: messages for its next step, and a way to ask it to
 * stop after the current one.
 *
 * Neither a provider nor a middleware can do this: a provider contributes before the
 * first step only, and what a middleware adds to a request is not part of the
 * transcript. So it is part of the input of a run, like the prompt.
 *
 * **Example** (A message while the run works)
 *
 * ```ts
 * import { Console, Effect, Stream } from "effect"
 * import { Agent, Steering } from "effect-agents"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const program = Effect.gen(function*() {
 *   const steering = yield* Steering.make
 *   yield* Agent.stream(Agent.make("assistant"), { prompt: "Count to two", steering }).pipe(
 *     Stream.filter((part) => part.type === "text-delta"),
 *     Stream.tap((part) => part.delta === "one, two" ? steering.send("And to three") : Effect.void),
 *     Stream.runForEach((part) => Console.log(part.delta))
 *   )
 * })
 *
 * const model = ScriptedModel.layer([ScriptedModel.text("one, two"), ScriptedModel.text("three")])
 *
 * Effect.runPromise(Effect.provide(program, model))
 * // => one, two
 * // => three
 * ```
 *
 * @since 0.1.0
 */
import * as Prompt from "effect/ai/Prompt"
import * as Effect from "effect/Effect"
import { type Pipeable, pipeArguments } from "effect/Pipeable"
import * as Predicate from "effect/Predicate"

/**
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: TypeId = "~effect-agents/Steering"

/**
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = "~effect-agents/Steering"

/**
 * A handle for one run at a time, given to it in its input.
 *
 * - `send`: queues a user message. The run takes what is queued before each model
 *   call, the first one too; it is part of the transcript. A run that would stop
 *   because its model has finished goes on while messages are queued; a limit, an
 *   incomplete finish, `stop`, or an approval that it waits for stops it all the same.
 * - `stop`: asks the run to stop after its current step. It completes with stop reason
 *   `"stopped"`, unless it stopped in that step by itself.
 * - `unread`: what is queued and was not taken. A run that has ended takes no more: put
 *   these in the next prompt, or give the handle to the next run.
 *
 * The runs of agents that are tools of the run are not steered.
 *
 * @category models
 * @since 0.1.0
 */
export interface Steering extends Pipeable {
  readonly [TypeId]: TypeId
  readonly send: (message: string | Prompt.UserMessage) => Effect.Effect<void>
  readonly stop: Effect.Effect<void>
  readonly unread: Effect.Effect<ReadonlyArray<Prompt.UserMessage>>
  /** What a run reads, and takes from, between two of its steps. */
  readonly inbox: Inbox
}

/**
 * What has been asked of a run and was not taken by it. It is read and changed in one
 * synchronous stretch: only who runs a run of its own, with `Agent.fromStream`, needs it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Inbox {
  messages: ReadonlyArray<Prompt.UserMessage>
  isStopping: boolean
}

/**
 * Returns whether a value is a steering handle.
 *
 * @category guards
 * @since 0.1.0
 */
export const isSteering = (u: unknown): u is Steering => Predicate.hasProperty(u, TypeId)

const Proto = {
  [TypeId]: TypeId,
  pipe() {
    return pipeArguments(this, arguments)
  }
}

/**
 * Creates a handle. It is given to a run as `steering` of its input.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Steering> = Effect.sync(() => {
  const inbox: Inbox = { messages: [], isStopping: false }
  return Object.assign(Object.create(Proto), {
    inbox,
    send: (message: string | Prompt.UserMessage) =>
      Effect.sync(() => {
        inbox.messages = [...inbox.messages, typeof message === "string" ? userMessage(message) : message]
      }),
    stop: Effect.sync(() => {
      inbox.isStopping = true
    }),
    unread: Effect.sync(() => inbox.messages)
  })
})

const userMessage = (text: string): Prompt.UserMessage => Prompt.userMessage({ content: [Prompt.textPart({ text })] })
