/**
 * A language model that follows the script of a test.
 *
 * A script is a list of steps, one for each call of the model. A step consists of pieces: text, reasoning, tool calls,
 * delays (under the test clock), failures, hangs. The model takes one step per call, in order, and fails a call that is
 * not in the script. `assertDone` fails if steps are left over. The service `ScriptedModel` returns the requests of the
 * model.
 *
 * **Example** (A tool call, then an answer)
 *
 * ```ts
 * import { Console, Effect, Stream } from "effect"
 * import { LanguageModel } from "effect/ai"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const program = Effect.gen(function*() {
 *   yield* LanguageModel.streamText({ prompt: "Hello?" }).pipe(
 *     Stream.filter((part) => part.type === "text-delta"),
 *     Stream.runForEach((part) => Console.log(part.delta))
 *   )
 *   const { requests } = yield* ScriptedModel.ScriptedModel
 *   yield* Console.log((yield* requests).length)
 *   yield* ScriptedModel.assertDone
 * })
 *
 * Effect.runPromise(Effect.provide(program, ScriptedModel.layer([ScriptedModel.text(["Hello ", "you"])])))
 * // => Hello
 * // => you
 * // => 1
 * ```
 *
 * @since 0.1.0
 */
import * as AiError from "effect/ai/AiError"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Model from "effect/ai/Model"
import type * as Prompt from "effect/ai/Prompt"
import type * as Response from "effect/ai/Response"
import * as Channel from "effect/Channel"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as AgentRun from "../AgentRun.ts"
import * as DirectLanguageModel from "../DirectLanguageModel.ts"
import * as Copied from "./internal/copied.ts"
import * as ScriptPlay from "./internal/scriptPlay.ts"
import * as Source from "./internal/source.ts"

/**
 * The request of one call, as the provider saw it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Request {
  readonly prompt: Prompt.Prompt
  readonly tools: ReadonlyArray<string>
  readonly toolChoice: LanguageModel.ToolChoice<string>
}

/**
 * A piece of a step, made by `text`, `toolCalls`, `delay` and the others.
 *
 * @category models
 * @since 0.1.0
 */
export type Piece =
  | {
    readonly _tag: "Block"
    readonly type: "text" | "reasoning"
    readonly deltas: ReadonlyArray<string>
    readonly every: Duration.Input | undefined
  }
  | { readonly _tag: "ToolCalls"; readonly calls: ReadonlyArray<ToolCall> }
  | {
    readonly _tag: "Finish"
    readonly reason: Response.FinishReason
    readonly usage: typeof Response.Usage.Encoded
  }
  | { readonly _tag: "Parts"; readonly parts: ReadonlyArray<Response.StreamPartEncoded> }
  | { readonly _tag: "Delay"; readonly duration: Duration.Input }
  | { readonly _tag: "Cut"; readonly effect: Effect.Effect<void, AiError.AiError> }

/**
 * A tool call in a script. Without an `id` it gets one from its place in the script: the second call of the first step
 * is `call-1-2`.
 *
 * @category models
 * @since 0.1.0
 */
export interface ToolCall {
  readonly name: string
  readonly params: unknown
  /** The id of the call. Default: made from its place in the script, as in `call-1-2`. */
  readonly id?: string | undefined
}

/**
 * The answer to one call: one piece, several pieces, or a function from the request to pieces.
 *
 * @category models
 * @since 0.1.0
 */
export type Step = Piece | ReadonlyArray<Piece> | ((request: Request) => Piece | ReadonlyArray<Piece>)

/**
 * The options of a scripted model.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * `"one"` emits each part in an array of its own, `"all"` emits the parts between two delays in one array. Default:
   * `"one"`.
   */
  readonly chunking?: "one" | "all" | undefined
  /** The constructor of the service. Default: `DirectLanguageModel.make`. */
  readonly via?: typeof LanguageModel.make | undefined
}

// =============================================================================
// Errors
// =============================================================================

/**
 * The script has steps that no call has used.
 *
 * @category errors
 * @since 0.1.0
 */
export class LeftoverSteps extends Schema.Error<LeftoverSteps>("effect-agents/testing/ScriptedModel/LeftoverSteps")({
  _tag: Schema.tag("LeftoverSteps"),
  steps: Schema.Int,
  remaining: Schema.Int
}) {
  override get message(): string {
    return `The script has ${count(this.steps, "step")}, and ${this.remaining} of them never ran`
  }
}

const count = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? "" : "s"}`

// =============================================================================
// Service
// =============================================================================

/**
 * Service that reports the requests of a scripted model, and how its calls ended.
 *
 * @category services
 * @since 0.1.0
 */
export class ScriptedModel extends Context.Service<ScriptedModel, {
  /** The requests so far, including those that were refused. */
  readonly requests: Effect.Effect<ReadonlyArray<Request>>
  /** The number of steps in the script that no call has used yet. */
  readonly remaining: Effect.Effect<number>
  /** The number of steps that have begun. */
  readonly opened: Effect.Effect<number>
  /** How the finished steps have ended, in the order of their ends. For a stream it is the exit of its scope. */
  readonly closed: Effect.Effect<ReadonlyArray<Exit.Exit<unknown, unknown>>>
  /** Fails if steps of the script are left over. */
  readonly assertDone: Effect.Effect<void, LeftoverSteps>
}>()("effect-agents/testing/ScriptedModel") {}

/**
 * Fails if steps of the script are left over.
 *
 * @category accessors
 * @since 0.1.0
 */
export const assertDone: Effect.Effect<void, LeftoverSteps, ScriptedModel> = Effect.flatMap(
  ScriptedModel,
  (script) => script.assertDone
)

// =============================================================================
// Pieces
// =============================================================================

/**
 * Creates a step from several pieces, or from a function of the request.
 *
 * @category steps
 * @since 0.1.0
 */
export const step: {
  (pieces: (request: Request) => Piece | ReadonlyArray<Piece>): Step
  (...pieces: ReadonlyArray<Piece>): Step
} = (...pieces: ReadonlyArray<Piece> | readonly [(request: Request) => Piece | ReadonlyArray<Piece>]): Step => {
  const [first] = pieces
  return typeof first === "function" ? first : pieces as ReadonlyArray<Piece>
}

/**
 * Emits a text, in one delta or in several. With `every` it waits before each delta. A text that is followed by `fail`,
 * `die`, `hang` or `end` is cut: its end is not sent.
 *
 * @category pieces
 * @since 0.1.0
 */
export const text = (
  deltas: string | ReadonlyArray<string>,
  options?: {
    /** The time to wait before each delta. Default: none. */
    readonly every?: Duration.Input | undefined
  }
): Piece => block("text", deltas, options?.every)

/**
 * Emits reasoning, in one delta or in several, like `text`.
 *
 * @category pieces
 * @since 0.1.0
 */
export const reasoning = (
  deltas: string | ReadonlyArray<string>,
  options?: {
    /** The time to wait before each delta. Default: none. */
    readonly every?: Duration.Input | undefined
  }
): Piece => block("reasoning", deltas, options?.every)

const block = (
  type: "text" | "reasoning",
  deltas: string | ReadonlyArray<string>,
  every: Duration.Input | undefined
): Piece => ({ _tag: "Block", type, deltas: typeof deltas === "string" ? [deltas] : deltas, every })

/**
 * Asks for tool calls.
 *
 * @category pieces
 * @since 0.1.0
 */
export const toolCalls = (...calls: ReadonlyArray<ToolCall>): Piece => ({ _tag: "ToolCalls", calls })

/**
 * Creates the usage of a step.
 *
 * @category pieces
 * @since 0.1.0
 */
export const usage = (input: number, output: number): typeof Response.Usage.Encoded => ({
  inputTokens: { total: input },
  outputTokens: { total: output }
})

/**
 * Finishes a step. A step without it finishes with `"tool-calls"` if it has some, and `"stop"` otherwise, and with a
 * usage of 10 input and 5 output tokens.
 *
 * @category pieces
 * @since 0.1.0
 */
export const finish = (
  reason: Response.FinishReason,
  used: typeof Response.Usage.Encoded = defaultUsage
): Piece => ({ _tag: "Finish", reason, usage: used })

const defaultUsage = usage(10, 5)

/**
 * Emits encoded parts as they are, valid or not.
 *
 * @category pieces
 * @since 0.1.0
 */
export const parts = (encoded: ReadonlyArray<Response.StreamPartEncoded>): Piece => ({ _tag: "Parts", parts: encoded })

/**
 * Waits by the clock of the caller, which is the test clock in a test.
 *
 * @category pieces
 * @since 0.1.0
 */
export const delay = (duration: Duration.Input): Piece => ({ _tag: "Delay", duration })

/**
 * Fails the call with a typed error.
 *
 * @category pieces
 * @since 0.1.0
 */
export const fail = (error: AiError.AiError | AiError.AiErrorReason): Piece => ({
  _tag: "Cut",
  effect: Effect.fail(
    AiError.isAiError(error)
      ? error
      : AiError.make({ module: "ScriptedModel", method: "step", reason: error })
  )
})

/**
 * Fails the call with a defect.
 *
 * @category pieces
 * @since 0.1.0
 */
export const die = (defect: unknown): Piece => ({ _tag: "Cut", effect: Effect.die(defect) })

/**
 * Never continues.
 *
 * @category pieces
 * @since 0.1.0
 */
export const hang: Piece = { _tag: "Cut", effect: Effect.never }

/**
 * Ends the call here without a finish part, like a connection that was cut.
 *
 * @category pieces
 * @since 0.1.0
 */
export const end: Piece = { _tag: "Cut", effect: Effect.void }

// =============================================================================
// Constructors
// =============================================================================

/**
 * Creates a scripted model, and the service that reports its requests.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  steps: ReadonlyArray<Step>,
  options?: Options
): Effect.fn.Return<{
  readonly languageModel: LanguageModel.LanguageModel
  readonly script: ScriptedModel["Service"]
}> {
  // Changed without an asynchronous step in between, so that simultaneous calls get different steps.
  const requests: Array<Request> = []
  const closed: Array<Exit.Exit<unknown, unknown>> = []
  let opened = 0

  const next = ({ prompt, toolChoice, tools }: LanguageModel.ProviderOptions, scope: Scope.Scope, method: string) =>
    Effect.suspend(() => {
      const request: Request = { prompt, tools: tools.map((tool) => tool.name), toolChoice }
      const number = requests.push(request)
      const current = steps[number - 1]
      if (current === undefined) return exhausted(method, number, steps.length)
      const pieces = typeof current === "function" ? current(request) : current
      return Effect.as(
        // what was opened is closed, wherever the call is interrupted
        Effect.uninterruptible(Effect.suspend(() => {
          opened++
          return Scope.addFinalizerExit(scope, (exit) => Effect.sync(() => closed.push(exit)))
        })),
        ScriptPlay.toInstructions(
          "_tag" in pieces ? [pieces] : pieces,
          number,
          options?.chunking ?? "one",
          defaultUsage
        )
      )
    })

  const languageModel = yield* (options?.via ?? DirectLanguageModel.make)({
    streamText: (provided) =>
      Stream.fromChannel(
        Channel.fromTransform((_upstream, scope) => Effect.map(next(provided, scope, "streamText"), ScriptPlay.toPull))
      ),
    generateText: (provided) =>
      Effect.scopedWith((scope) =>
        Effect.flatMap(next(provided, scope, "generateText"), (instructions) => {
          const collected: Array<Response.StreamPartEncoded> = []
          return Effect.as(
            Effect.forEach(instructions, (instruction) =>
              Effect.isEffect(instruction)
                ? instruction
                : Effect.sync(() => collected.push(...instruction)), { discard: true }),
            collected
          )
        })
      ).pipe(Effect.map(ScriptPlay.toContent))
  })
  const remaining = Effect.sync(() => Math.max(0, steps.length - requests.length))
  return {
    languageModel,
    script: {
      requests: Effect.sync(() => requests.slice()),
      remaining,
      opened: Effect.sync(() => opened),
      closed: Effect.sync(() => closed.slice()),
      assertDone: Effect.flatMap(remaining, (left) =>
        left === 0
          ? Effect.void
          : Effect.fail(new LeftoverSteps({ steps: steps.length, remaining: left })))
    }
  }
})

const exhausted = (method: string, number: number, steps: number) =>
  Effect.fail(AiError.make({
    module: "ScriptedModel",
    method,
    reason: new AiError.InvalidRequestError({
      description: `Step ${number} was asked for, and the script has ${count(steps, "step")}`
    })
  }))

// =============================================================================
// Copies of runs
// =============================================================================

/**
 * Returns the source text of a test that does what a run did: a script with the answers of the model, tools that give
 * the same results, and assertions of what came out. The parts are those of the run as JSON, as `AgentRun.parts` encodes
 * them and `AgentHttp` sends them.
 *
 * **Details**
 *
 * The text is a whole test for `@effect/vitest`. Its agent has the tools that the run has called; put your own agent in
 * its place. Runs that are nested in the run are results of its tools. A run that did not complete is asserted as far
 * as it came. Of several runs the first is copied. How the parameters of a tool call arrived, and the metadata of the
 * response, are left out.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toTest = (
  parts: Iterable<AgentRun.PartEncoded>,
  options?: {
    /** The prompt of the run. Default: the prompt in the result of the run, if it completed. */
    readonly prompt?: string | ReadonlyArray<Prompt.MessageEncoded> | undefined
  }
): string => Source.toTest(Copied.runOf(parts, options?.prompt))

// =============================================================================
// Layers
// =============================================================================

/**
 * Layer with a scripted model. The script begins anew each time the layer is built.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  steps: ReadonlyArray<Step>,
  options?: Options
): Layer.Layer<LanguageModel.LanguageModel | ScriptedModel> =>
  Layer.effectContext(
    Effect.map(make(steps, options), ({ languageModel, script }) =>
      Context.make(LanguageModel.LanguageModel, languageModel).pipe(Context.add(ScriptedModel, script)))
  )

/**
 * Creates the layer of a scripted model with the names of a provider and a model.
 *
 * @category layers
 * @since 0.1.0
 */
export const model = (
  steps: ReadonlyArray<Step>,
  options?: Options & {
    /** The name of the provider. Default: `"scripted"`. */
    readonly provider?: string | undefined
    /** The name of the model. Default: `"script"`. */
    readonly name?: string | undefined
  }
): Model.Model<string, LanguageModel.LanguageModel | ScriptedModel, never> =>
  Model.make(options?.provider ?? "scripted", options?.name ?? "script", layer(steps, options))
