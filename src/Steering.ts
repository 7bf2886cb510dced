/**
 * Sends messages to a run in progress, or asks it to stop after its current step.
 *
 * A run takes a handle as part of its input, like the prompt. A provider could not do this, because it contributes only
 * before the first step. A middleware could not either, because what it adds to a request is not in the transcript.
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
 * A handle on one run at a time. Give it to the run in its input.
 *
 * - `send`: queues a user message. The run takes the queued messages before each model call, also before the first one.
 *   They are part of the transcript. A run whose model has finished goes on while messages are queued. A limit, an
 *   incomplete answer, `stop`, or a waiting approval stops the run all the same.
 * - `stop`: asks the run to stop after its current step. The run completes with stop reason `"stopped"`, unless it
 *   stopped in that step by itself.
 * - `unread`: the queued messages that no run has taken. A run that has ended takes no more: put them into the next
 *   prompt, or give the handle to the next run.
 *
 * The input guardrails of the run check its messages (see `Guardrail.input`). A message is `unread` again when the run
 * ends before its check has decided.
 *
 * The runs of agents that are tools of the run do not see the handle.
 *
 * @category models
 * @since 0.1.0
 */
export interface Steering extends Pipeable {
  readonly [TypeId]: TypeId
  readonly send: (message: string | Prompt.UserMessage) => Effect.Effect<void>
  readonly stop: Effect.Effect<void>
  readonly unread: Effect.Effect<ReadonlyArray<Prompt.UserMessage>>
  /** The queue that a run reads between two of its steps. */
  readonly inbox: Inbox
}

/**
 * The messages and the stop request that a run has not taken yet. Read and change it without an asynchronous step in
 * between. Only code that implements a run, with `Agent.fromStream`, needs it.
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
 * Creates a handle. Give it to a run as `steering` in its input.
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
