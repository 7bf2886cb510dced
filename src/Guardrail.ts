/**
 * Checks of a run: of its input, of what the model says, and of its tool calls.
 *
 * A guardrail is a `Middleware`. Its check looks at something and returns a verdict: `pass`, `trip` with an info, or
 * `replace`. A trip fails the run with `GuardrailTripped`: the outcome is Failed, the model request and the running
 * tools are interrupted, `SessionHistory.provider` saves nothing, and the usage until then is in the outcome's
 * `partial`. When a check itself fails, the run fails with the error of the check.
 *
 * In a list of guardrails the first is the outermost: of two checks of the input the first begins first, and text
 * passes the last one first. All checks beside a model call run at the same time, and the first trip interrupts the
 * others.
 *
 * The usage of a check's own model calls is neither in the usage nor in the total usage of the run, wherever the check
 * stands. Its spans are children of the run's span, beside those of the run's model and tool calls. An agent that a
 * check runs draws from the budgets of the run, like any agent that runs within one.
 *
 * Guardrails stand around the model and tool calls of an agent made with `Agent.make`. Those of an agent made with
 * `Agent.program` check its prompt before the program runs, its tool calls, and its answer before that is told. An agent
 * made from a stream has no such calls.
 *
 * **Example** (A tripwire, and an answer without its secrets)
 *
 * ```ts
 * import { Console, Effect } from "effect"
 * import { Agent, Guardrail } from "effect-agents"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const onTopic = Guardrail.input("on-topic", ({ text }) =>
 *   Effect.succeed(text.includes("homework") ? Guardrail.trip("homework") : Guardrail.pass))
 *
 * const noKeys = Guardrail.output("no-keys", ({ text }) =>
 *   Effect.succeed(/sk-\w+/.test(text) ? Guardrail.replace(text.replace(/sk-\w+/g, "***")) : Guardrail.pass))
 *
 * const assistant = Agent.make("assistant", { middleware: [onTopic, noKeys] })
 *
 * const program = Effect.gen(function*() {
 *   const { text } = yield* Agent.run(assistant, { prompt: "What is my key?" })
 *   yield* Console.log(text)
 *   const error = yield* Effect.flip(Agent.run(assistant, { prompt: "Do my homework!" }))
 *   yield* Console.log(error._tag === "GuardrailTripped" && [error.guardrail, error.place, error.info])
 * })
 *
 * const model = ScriptedModel.layer([
 *   ScriptedModel.text(["It is sk-", "123. Keep", " it safe."]),
 *   ScriptedModel.text("Sure!")
 * ])
 *
 * Effect.runPromise(Effect.provide(program, model))
 * // => It is ***. Keep it safe.
 * // => [ 'on-topic', 'input', 'homework' ]
 * ```
 *
 * @since 0.1.0
 */
import type * as AiError from "effect/ai/AiError"
import type * as LanguageModel from "effect/ai/LanguageModel"
import * as Prompt from "effect/ai/Prompt"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { answer } from "./internal/guardrail/answer.ts"
import { beside } from "./internal/guardrail/beside.ts"
import { type Check, type Held, HeldSentences, HeldWhole, hold } from "./internal/guardrail/output.ts"
import * as Admission from "./internal/words/admission.ts"
import * as CallSpan from "./internal/words/callSpan.ts"
import * as ModelPlaces from "./internal/words/modelPlaces.ts"
import { ParentRun } from "./internal/words/parentRun.ts"
import * as Replacements from "./internal/words/replacements.ts"
import * as Parts from "./internal/words/responseParts.ts"
import type { StreamPart } from "./internal/words/stepBuilder.ts"
import * as ToolHandler from "./internal/tool/handler.ts"
import * as Middleware from "./Middleware.ts"

// -----------------------------------------------------------------------------
// Errors
// -----------------------------------------------------------------------------

/**
 * A guardrail has stopped the run. `info` is the value that its check gave to `trip`.
 *
 * @category errors
 * @since 0.1.0
 */
export class GuardrailTripped extends Schema.Error<GuardrailTripped>("effect-agents/Guardrail/GuardrailTripped")({
  _tag: Schema.tag("GuardrailTripped"),
  guardrail: Schema.String,
  place: Schema.Literals(["input", "output", "tool"]),
  info: Schema.Unknown
}) {
  override get message(): string {
    return `Guardrail \`${this.guardrail}\` has stopped the run at its ${this.place}`
  }
}

// -----------------------------------------------------------------------------
// Verdicts
// -----------------------------------------------------------------------------

/**
 * The check found nothing.
 *
 * @category verdicts
 * @since 0.1.0
 */
export interface Pass {
  readonly _tag: "Pass"
}

/**
 * The run must not go on.
 *
 * @category verdicts
 * @since 0.1.0
 */
export interface Trip {
  readonly _tag: "Trip"
  readonly info: unknown
}

/**
 * The run goes on with `value` instead of what was checked.
 *
 * @category verdicts
 * @since 0.1.0
 */
export interface Replace<out A> {
  readonly _tag: "Replace"
  readonly value: A
}

/**
 * The model does not get what it asked for, and reads the reason.
 *
 * @category verdicts
 * @since 0.1.0
 */
export interface Refuse {
  readonly _tag: "Refuse"
  readonly reason: string
}

/**
 * Lets through what was checked.
 *
 * @category verdicts
 * @since 0.1.0
 */
export const pass: Pass = { _tag: "Pass" }

/**
 * Fails the run with a `GuardrailTripped` that carries this `info`.
 *
 * @category verdicts
 * @since 0.1.0
 */
export const trip = (info?: unknown): Trip => ({ _tag: "Trip", info })

/**
 * Puts another value in the place of what was checked.
 *
 * @category verdicts
 * @since 0.1.0
 */
export const replace = <A>(value: A): Replace<A> => ({ _tag: "Replace", value })

/**
 * Answers a tool call with a failure that the model reads.
 *
 * @category verdicts
 * @since 0.1.0
 */
export const refuse = (reason: string): Refuse => ({ _tag: "Refuse", reason })

// `NoInfer` that does not show in the inferred type: the functions decide, not the place where their result is used
type Own<T> = [T][T extends any ? 0 : never]

// -----------------------------------------------------------------------------
// Input
// -----------------------------------------------------------------------------

/**
 * The argument of a check of the input: the prompt of the run, and the text of its user messages. `request` is the
 * first model call of the run; its `prompt` also has the history and the instructions.
 *
 * For a run that is steered, `prompt` and `text` are the messages since the last model call, and `request` is the first
 * call that contains them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Input {
  readonly agent: string
  readonly session: string | undefined
  readonly prompt: Prompt.Prompt
  readonly text: string
  readonly request: Middleware.ModelRequest
}

/**
 * Checks the input beside the first model call of a run. Messages that steer the run later are checked beside the first
 * call that contains them.
 *
 * Parts are shown while the check runs. A trip interrupts the model request. The end of the model call waits for the
 * check, so no tool runs and nothing is saved before it has passed. A model that fails first interrupts the check. Text
 * that was shown cannot be replaced; use `inputBefore` for that.
 *
 * Messages that steer the run come from `Steering`, or from another run that hands over its prompt. In the transcript a
 * note replaces a refused message. If the run ends before the check of a message has decided, the message is `unread`
 * again.
 *
 * Answers to approvals are not checked, because whoever may answer also decides what the model reads. Edited parameters
 * are checked by `tool`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const input = <E = never, R = never>(
  name: string,
  check: (input: Input) => Effect.Effect<Pass | Trip, E, R>
): Middleware.Middleware<GuardrailTripped | AiError.AiError | Own<E>, LanguageModel.LanguageModel | Own<R>> =>
  atInput(
    name,
    (request, next, messages) => beside(next(request), Admission.during(checkInput(name, check, request, messages)))
  )

/**
 * Checks the input before the first model call of a run. Messages that steer the run later are checked before the first
 * call that would contain them.
 *
 * The text of a `replace` becomes the answer: the model is not called, the run completes without usage, and the text is
 * saved as the model's answer. The transcript does not contain what the user said. It contains a note that the message
 * was refused, so that no later model call sees it. An agent with an `output` completes if the text is a valid value of
 * it. Otherwise the run fails with `AgentError` (`InvalidOutput`), and no model is called.
 *
 * To change what the model is asked, use a middleware around the run (`Middleware.make(name, { agent: ... })`). A
 * prompt that is changed for the model alone would come back unchanged from the history.
 *
 * @category constructors
 * @since 0.1.0
 */
export const inputBefore = <E = never, R = never>(
  name: string,
  check: (input: Input) => Effect.Effect<Pass | Trip | Replace<string>, E, R>
): Middleware.Middleware<GuardrailTripped | AiError.AiError | Own<E>, LanguageModel.LanguageModel | Own<R>> =>
  atInput(name, (request, next, messages) =>
    Stream.unwrap(
      Effect.flatMap(checkInput(name, check, request, messages), (verdict) =>
        verdict._tag === "Replace"
          ? Effect.as(Replacements.tell({ refused: name, isAnswered: true }), answer(verdict.value))
          : Effect.succeed(next(request)))
    ))

const atModel = <E, R>(
  name: string,
  purpose: ModelPlaces.Purpose,
  place: Middleware.ModelPlace<E | Middleware.InnerError, R | Middleware.InnerServices>
): Middleware.Middleware<E, R> =>
  // an `Exclude` of a type parameter is not simplified
  Middleware.make(name, { model: ModelPlaces.withPurpose(place, purpose) }) as Middleware.Middleware<E, R>

/** Before the first model call the prompt is checked, before a later call the messages that were added. */
const atInput = <E, R>(
  name: string,
  place: (
    request: Middleware.ModelRequest,
    next: Parameters<Middleware.ModelPlace<never, never>>[1],
    messages: ReadonlyArray<Prompt.Message>
  ) => Stream.Stream<
    StreamPart,
    E | AiError.AiError | Middleware.InnerError,
    R | LanguageModel.LanguageModel | Middleware.InnerServices
  >
): Middleware.Middleware<E | AiError.AiError, R | LanguageModel.LanguageModel> =>
  atModel(name, "checks-input", (request, next) =>
    request.steps.length === 0
      ? place(request, next, request.transcript)
      : Stream.unwrap(
        Effect.map(Admission.added, (added) => added === undefined ? next(request) : place(request, next, added))
      ))

const checkInput = <V extends { readonly _tag: string }, E, R>(
  name: string,
  check: (input: Input) => Effect.Effect<V, E, R>,
  request: Middleware.ModelRequest,
  messages: ReadonlyArray<Prompt.Message>
): Effect.Effect<Exclude<V, Trip>, E | GuardrailTripped, R> =>
  Effect.flatMap(CallSpan.beside(Effect.suspend(() => check(toInput(request, messages)))), (verdict) => {
    const checked = orTrip(name, "input")(verdict)
    return isTrip(verdict) ? Effect.andThen(Replacements.tell({ refused: name }), checked) : checked
  })

const toInput = (request: Middleware.ModelRequest, messages: ReadonlyArray<Prompt.Message>): Input => ({
  agent: request.agent,
  session: request.session,
  prompt: Prompt.fromMessages(messages),
  text: messages.flatMap((message) =>
    message.role === "user" ? message.content.flatMap((part) => part.type === "text" ? part.text : []) : []
  ).join("\n"),
  request
})

const orTrip =
  (guardrail: string, place: GuardrailTripped["place"]) =>
  <V extends { readonly _tag: string }>(verdict: V): Effect.Effect<Exclude<V, Trip>, GuardrailTripped> =>
    isTrip(verdict)
      ? Effect.fail(new GuardrailTripped({ guardrail, place, info: verdict.info }))
      : Effect.succeed(verdict as Exclude<V, Trip>)

const isTrip = (verdict: { readonly _tag: string }): verdict is Trip => verdict._tag === "Trip"

// -----------------------------------------------------------------------------
// Output
// -----------------------------------------------------------------------------

/**
 * The argument of a check of the output: the next piece of text, and what was let through before it in the same model
 * call. `step` counts from 0.
 *
 * @category models
 * @since 0.1.0
 */
export interface Output {
  readonly agent: string
  readonly session: string | undefined
  readonly step: number
  readonly text: string
  readonly before: string
}

/**
 * Checks what the model says sentence by sentence, before it is shown.
 *
 * Text is held back until a piece is complete: at a Unicode sentence end, or at the end of a paragraph, a list item or
 * a code block (a code block is one piece). The pieces put together are the text, and do not depend on how the text was
 * cut into deltas. A block of text is checked after the blocks that began before it. A sentence that does not end
 * within its block goes on in the next one, so a check sees the text that `Result.text` will have. A check for
 * something that may extend over two pieces should look at the end of `before` too.
 *
 * `replace` puts a text in the place of the piece, in the transcript too. A JSON answer in which a piece was replaced
 * is not sent back for correction: it is a valid value, or the run fails with `AgentError` (`InvalidOutput`). All other
 * parts keep their place. Reasoning is not checked. The value that an agent with an `output` gets as a tool call is not
 * checked either: check it in its schema, or request it as text with `AgentOutput.json`.
 *
 * After a trip the run's `partial` has the text that was let through. It has the usage of the model call only if the
 * model had already reported it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const output = <E = never, R = never>(
  name: string,
  check: (output: Output) => Effect.Effect<Pass | Trip | Replace<string>, E, R>
): Middleware.Middleware<GuardrailTripped | AiError.AiError | Own<E>, LanguageModel.LanguageModel | Own<R>> =>
  fromHeld(name, "part", (check) => new HeldSentences(check), check)

/**
 * Checks the whole text of a model call before any of it is shown. Everything after the beginning of the text waits
 * with it. A replacement ends the run of an agent with an `output`: it is a valid value, or the run fails with
 * `AgentError` (`InvalidOutput`).
 *
 * @category constructors
 * @since 0.1.0
 */
export const outputWhole = <E = never, R = never>(
  name: string,
  check: (output: Output) => Effect.Effect<Pass | Trip | Replace<string>, E, R>
): Middleware.Middleware<GuardrailTripped | AiError.AiError | Own<E>, LanguageModel.LanguageModel | Own<R>> =>
  fromHeld(name, "whole", (check) => new HeldWhole(check), check)

const fromHeld = <E, R>(
  name: string,
  replaces: "part" | "whole",
  makeHeld: (check: Check<GuardrailTripped | E, R>) => Held<GuardrailTripped | E, R>,
  check: (output: Output) => Effect.Effect<Pass | Trip | Replace<string>, E, R>
): Middleware.Middleware<GuardrailTripped | AiError.AiError | Own<E>, LanguageModel.LanguageModel | Own<R>> =>
  atModel(name, "checks-output", (request, next) => {
    const { agent, session, steps } = request
    const checked = (text: string, before: string) =>
      CallSpan.beside(Effect.suspend(() => check({ agent, session, step: steps.length, text, before }))).pipe(
        Effect.flatMap(orTrip(name, "output")),
        Effect.flatMap((verdict) =>
          verdict._tag === "Replace"
            ? Effect.as(Replacements.tell({ text: replaces }), verdict.value)
            : Effect.undefined
        )
      )
    return Stream.transformPull(next(request), (pull) => Effect.sync(() => hold(pull, makeHeld(checked))))
  })

// -----------------------------------------------------------------------------
// Tools
// -----------------------------------------------------------------------------

/**
 * The result of a tool call, and the call itself. A preliminary result is shown, but the model does not read it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Answered {
  readonly call: Middleware.ToolRequest
  readonly result: Middleware.ToolResult
}

/**
 * Checks tool calls before they run, after they ran, or both.
 *
 * A tool whose typed failure fails the run has no result to check. A trip interrupts the other tools of the step.
 *
 * @category constructors
 * @since 0.1.0
 */
export const tool = <EB = never, RB = never, EA = never, RA = never>(
  name: string,
  options: {
    /** The names of the tools to check. Default: all tools. */
    readonly tools?: ReadonlyArray<string> | undefined
    /**
     * Checks the arguments as the model wrote them, not decoded. `replace` gives other arguments, which are decoded
     * like the model's; the transcript keeps the model's. `refuse` answers a call that must not run. Default: no check.
     */
    readonly before?:
      | ((call: Middleware.ToolRequest) => Effect.Effect<Pass | Trip | Replace<unknown> | Refuse, EB, RB>)
      | undefined
    /**
     * Checks every result, also the preliminary ones. The value of `replace` is read by the model and shown instead of
     * the result; `refuse` hides the result from the model. Default: no check.
     */
    readonly after?:
      | ((answered: Answered) => Effect.Effect<Pass | Trip | Replace<unknown> | Refuse, EA, RA>)
      | undefined
  }
): Middleware.Middleware<GuardrailTripped | Own<EB | EA>, Own<RB | RA>> => {
  const { after, before, tools } = options
  const pick = orTrip(name, "tool")

  const checkResult = (call: Middleware.ToolRequest, result: Middleware.ToolResult) =>
    apart(() => after!({ call, result })).pipe(
      Effect.flatMap(pick),
      Effect.map((verdict) => {
        switch (verdict._tag) {
          case "Pass":
            return result
          case "Replace":
            return replaceResult(result, verdict.value)
          case "Refuse":
            return ToolHandler.notExecuted(call, "execution-denied", verdict.reason)
        }
      })
    )

  const place: Middleware.ToolPlace<
    GuardrailTripped | EB | EA | Middleware.InnerError,
    RB | RA | Middleware.InnerServices
  > = (request, next) => {
    if (tools !== undefined && !tools.includes(request.name)) return next(request)
    const run = (call: Middleware.ToolRequest) =>
      after === undefined ? next(call) : Stream.mapEffect(next(call), (result) => checkResult(call, result))
    if (before === undefined) return run(request)
    return Stream.unwrap(
      apart(() => before(request)).pipe(
        Effect.flatMap(pick),
        Effect.map((verdict) => {
          switch (verdict._tag) {
            case "Pass":
              return run(request)
            case "Replace":
              return run({ ...request, params: verdict.value })
            case "Refuse":
              return Stream.succeed(ToolHandler.notExecuted(request, "execution-denied", verdict.reason))
          }
        })
      )
    )
  }
  // an `Exclude` of a type parameter is not simplified
  return Middleware.make(name, { tool: place }) as Middleware.Middleware<GuardrailTripped | EB | EA, RB | RA>
}

/** A check in the fiber of a tool does not belong to the tool, so runs that it starts are not nested in the run. */
const apart = <A, E, R>(check: () => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  // no check asks for the service that is left out, because it is internal
  Effect.updateContext(
    CallSpan.beside(Effect.suspend(check)),
    (context) => Context.omit(ParentRun)(context) as Context.Context<R>
  )

const replaceResult = (result: Middleware.ToolResult, value: unknown): Middleware.ToolResult => {
  const { id, isFailure, name, preliminary } = result
  return Parts.toolResult({ id, name, result: value, encodedResult: value, isFailure, preliminary })
}
