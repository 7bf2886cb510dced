/**
 * The loop of an agent as separate functions: ask the model, answer its tool calls, until it stops.
 *
 * `ask` makes one model call, `answer` executes its tool calls, and `advance` is the pure step from a `State` to the
 * next. A run drives the three with a single pull; there is no stream operator between the model and the consumer, and
 * the consumer gets the arrays of parts that the model emits. Another engine may drive the three functions itself.
 *
 * **Example** (A model call by hand, and the state after it)
 *
 * ```ts
 * import { Console, Effect, Stream } from "effect"
 * import { Prompt } from "effect/ai"
 * import { ToolLoop } from "effect-agents"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const program = Effect.gen(function*() {
 *   const before = ToolLoop.initialState("What time is it?")
 *   const parts = yield* Stream.runCollect(ToolLoop.ask({
 *     agent: "by-hand",
 *     session: undefined,
 *     steps: before.steps,
 *     transcript: before.transcript,
 *     prompt: Prompt.fromMessages(before.transcript),
 *     toolkit: undefined,
 *     toolChoice: "auto"
 *   }))
 *   const after = ToolLoop.advance(before, parts)
 *   yield* Console.log(after.steps[0].text, after.transcript.length)
 * })
 *
 * Effect.runPromise(Effect.provide(program, ScriptedModel.layer([ScriptedModel.text("It is noon.")])))
 * // => It is noon. 2
 * ```
 *
 * @since 0.1.0
 */
import type * as AiError from "effect/ai/AiError"
import type * as LanguageModel from "effect/ai/LanguageModel"
import * as Prompt from "effect/ai/Prompt"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as AgentRun from "./AgentRun.ts"
import * as Fields from "./internal/words/fields.ts"
import { callModel } from "./internal/model/call.ts"
import { Edge, promote, Tally } from "./internal/model/edge.ts"
import { Accountants } from "./internal/model/spending.ts"
import { interrupted, toMessages, toStep } from "./internal/run/step.ts"
import { StepBuilder, type StreamPart } from "./internal/words/stepBuilder.ts"
import * as ToolCalls from "./internal/tool/calls.ts"
import type * as ToolHandler from "./internal/tool/handler.ts"
import type * as Middleware from "./Middleware.ts"

// -----------------------------------------------------------------------------
// References
// -----------------------------------------------------------------------------

export {
  /**
   * The number of tool calls of one step that run at the same time. Default: 8.
   *
   * @category references
   * @since 0.1.0
   */
  ToolConcurrency,
  /**
   * The time limit of a tool. A tool that takes longer is interrupted, the model is told, and the run goes on. Annotate
   * a single tool with it (`tool.annotate(ToolLoop.ToolTimeout, "5 seconds")`), or provide it for all tools of a run.
   * Default: no limit.
   *
   * @category references
   * @since 0.1.0
   */
  ToolTimeout
} from "./internal/tool/calls.ts"

// -----------------------------------------------------------------------------
// State
// -----------------------------------------------------------------------------

/**
 * A run between two of its calls, as a value that can be stored.
 *
 * @category models
 * @since 0.1.0
 */
export const State = Schema.Struct({
  transcript: Schema.Array(Fields.Message),
  steps: Schema.Array(AgentRun.Step),
  usage: AgentRun.Usage
})

/**
 * @category models
 * @since 0.1.0
 */
export interface State extends Schema.Schema.Type<typeof State> {}

/**
 * The state of a run that has not called its model yet.
 *
 * @category constructors
 * @since 0.1.0
 */
export const initialState = (prompt: Prompt.RawInput): State => ({
  transcript: Prompt.make(prompt).content,
  steps: [],
  usage: AgentRun.emptyUsage
})

/**
 * Returns the state after one step, from the parts that `ask` and then `answer` emitted. A call without a result gets
 * an `interrupted` one, so that the transcript is closed.
 *
 * @category combinators
 * @since 0.1.0
 */
export const advance = (state: State, parts: Iterable<StreamPart | Middleware.ToolResult>): State => {
  const builder = new StepBuilder()
  const finals: Array<Middleware.ToolResult> = []
  let model: string | undefined
  for (const part of parts) {
    builder.add(part)
    if (part.type === "response-metadata") model = part.modelId ?? model
    if (part.type === "tool-result" && !part.preliminary && !part.providerExecuted) finals.push(part)
  }
  const calls = builder.calls ?? []
  // two calls may have the same id
  const results = calls.map((call) => {
    const index = finals.findIndex(({ id }) => id === call.id)
    return index === -1 ? undefined : finals.splice(index, 1)[0]
  })
  const step = toStep(
    state.steps.length,
    builder,
    { usage: builder.usage, names: model === undefined ? undefined : { model } },
    calls,
    results
  )
  const closed = results.map((result, index) => result ?? interrupted(calls[index]))
  return {
    transcript: [...state.transcript, ...toMessages(builder, closed)],
    steps: [...state.steps, step],
    usage: AgentRun.addUsage(state.usage, step.usage)
  }
}

// -----------------------------------------------------------------------------
// Ask and answer
// -----------------------------------------------------------------------------

/**
 * Makes one model call. The stream fails if the model reports an error in its parts, if it finishes with the reason
 * `error`, or if it ends without a finish reason.
 *
 * @category running
 * @since 0.1.0
 */
export const ask = <E = never, R = never>(
  request: Middleware.ModelRequest,
  middleware: ReadonlyArray<Middleware.Middleware<E, R>> = []
): Stream.Stream<StreamPart, AiError.AiError | E, LanguageModel.LanguageModel | R> =>
  Stream.mapArrayEffect(
    Stream.unwrap(Effect.contextWith((context: Context.Context<never>) =>
      Effect.succeed(callModel(
        request,
        middleware.flatMap((m) => m.model ?? []),
        new Edge(new Tally(Context.get(context, Accountants)))
      ))
    )),
    (parts) => {
      const error = parts.find((part) => part.type === "error")
      return error === undefined ? Exit.succeed(parts) : Exit.fail(promote(error))
    }
  )

/**
 * Executes the tool calls of one model call. The stream emits results as they come, and exactly one final result for
 * each call that the provider has not executed. A typed failure of a tool in failure mode `"error"` fails the stream.
 *
 * @category running
 * @since 0.1.0
 */
export const answer = (
  options: {
    readonly agent: string
    /** The session that the calls belong to. Default: none. */
    readonly session?: string | undefined
    readonly toolkit: ToolHandler.WithHandler
    /** What the model was asked with, for the tools that decide by it whether they need an approval. Default: nothing. */
    readonly messages?: ReadonlyArray<Prompt.Message> | undefined
    /** Around each tool call. Default: none. */
    readonly middleware?: ReadonlyArray<Middleware.Middleware<any, never>> | undefined
  },
  parts: Iterable<StreamPart>
): Stream.Stream<Middleware.ToolResult, unknown> =>
  Stream.unwrap(Effect.contextWith((context: Context.Context<never>) => {
    const builder = new StepBuilder()
    for (const part of parts) builder.add(part)
    const runner = new ToolCalls.Runner({
      agent: options.agent,
      session: options.session,
      toolkit: options.toolkit,
      middleware: (options.middleware ?? []).flatMap((m) => m.tool ?? []),
      context,
      parent: undefined,
      startSpan: undefined,
      ask: undefined
    })
    return Effect.map(
      Effect.acquireRelease(
        Effect.sync(() =>
          new ToolCalls.ToolCalls(runner, {
            calls: builder.calls ?? [],
            messages: options.messages ?? [],
            allowance: Infinity
          })
        ),
        (calls) => calls.stop() ?? Effect.void
      ),
      (calls) => Stream.fromPull(Effect.succeed(calls.pull()))
    )
  }))
