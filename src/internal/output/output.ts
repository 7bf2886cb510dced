/**
 * The final answer in one run of an agent with an `output`: how it is requested, how it is read, and how often it may
 * be corrected.
 *
 * @since 0.1.0
 */
import type * as AiError from "effect/ai/AiError"
import type * as LanguageModel from "effect/ai/LanguageModel"
import * as Tool from "effect/ai/Tool"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type * as AgentOutput from "../../AgentOutput.ts"
import type * as AgentRun from "../../AgentRun.ts"
import type * as Middleware from "../../Middleware.ts"
import { streamText } from "../model/call.ts"
import { type Accepted, decode, decodeText, issuesOf, type Rejected, rejected, schemaErrorOf } from "./answer.ts"
import { type Generated, generateObject } from "./call.ts"
import { JsonReader } from "./json.ts"
import * as Json from "../words/json.ts"
import { isFinal, type Replacements } from "../words/replacements.ts"
import * as Parts from "../words/responseParts.ts"
import type { Call, StepBuilder, StreamPart } from "../words/stepBuilder.ts"
import * as ToolHandler from "../tool/handler.ts"

/**
 * What a finished step says about the final answer. `results` are the results of calls that need no handler; they are
 * `undefined` for calls that have to run.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reading {
  readonly results: ReadonlyArray<Middleware.ToolResult | undefined>
  readonly answer: Accepted | Rejected | undefined
}

/**
 * Puts the results of a step in the order of its calls, after the calls without a result in `results` have run. An
 * answer beside a call that waits for an approval is refused.
 *
 * @category models
 * @since 0.1.0
 */
export const settle = (
  { results }: Reading,
  calls: ReadonlyArray<Call>,
  ran: ReadonlyArray<Middleware.ToolResult>
): { readonly all: Array<Middleware.ToolResult>; readonly own: ReadonlyArray<Middleware.ToolResult> } => {
  const waits = ran.some((result) => ToolHandler.requestsOf(result) !== undefined)
  const next = ran[Symbol.iterator]()
  const own: Array<Middleware.ToolResult> = []
  const all = results.map((result, index) => {
    // each call without a result has one of them
    if (result === undefined) return next.next().value as Middleware.ToolResult
    const settled = waits && !result.isFailure
      ? ToolHandler.notExecuted(calls[index], "execution-denied", later)
      : result
    own.push(settled)
    return settled
  })
  return { all, own }
}

const later = "Other calls of this step wait for an approval. Answer when you have seen their results"

/**
 * What happens after a step: its answer ends the run, accepted or rejected for good, or the model is asked again.
 *
 * @category models
 * @since 0.1.0
 */
export type Next = Accepted | Rejected | { readonly _tag: "GoOn"; readonly message: string | undefined }

/**
 * The output of an agent, prepared once for all of its runs.
 *
 * @category models
 * @since 0.1.0
 */
export interface Prepared {
  readonly output: AgentOutput.Any
  readonly toolOf: (taken: (name: string) => boolean) => ToolHandler.WithHandler
}

/**
 * Prepares an output. Its tool is created once for each name.
 *
 * @category constructors
 * @since 0.1.0
 */
export const prepare = (output: AgentOutput.Any): Prepared => {
  const made = new Map<string, ToolHandler.WithHandler>()
  return {
    output,
    toolOf: (taken) => {
      let name = output.name
      for (let n = 2; taken(name); n++) name = `${output.name}_${n}`
      let toolkit = made.get(name)
      if (toolkit === undefined) {
        const tool = Tool.make(name, {
          description: output.description,
          parameters: output.schema,
          success: Schema.String
        })
        toolkit = { tools: { [name]: tool }, handle: () => Effect.die(neverRun(name)) }
        made.set(name, toolkit)
      }
      return toolkit
    }
  }
}

/**
 * Begins the answer of a run, and adds its tool to the run's toolkits.
 *
 * @category constructors
 * @since 0.1.0
 */
export const open = ({ output, toolOf }: Prepared, toolkits: Array<ToolHandler.WithHandler>): RunOutput => {
  const hasTools = toolkits.some(({ tools }) => Object.keys(tools).length > 0)
  if (output.mode === "json") return new RunOutput(output, undefined, hasTools)
  const toolkit = toolOf((name) => toolkits.some(({ tools }) => Object.hasOwn(tools, name)))
  toolkits.push(toolkit)
  return new RunOutput(output, Object.keys(toolkit.tools)[0], hasTools)
}

/** The tool choice of an agent whose answer is a tool call: each step has to call a tool. */
const orAnswer = (chosen: LanguageModel.ToolChoice<string>, tool: string): LanguageModel.ToolChoice<string> => {
  if (chosen === "none") return { tool }
  if (typeof chosen === "string") return "required"
  return "tool" in chosen ? chosen : { mode: "required", oneOf: [...chosen.oneOf, tool] }
}

const neverRun = (name: string) => new Error(`The answer \`${name}\` is read by the run, not by a handler`)

/**
 * The state of the answer in one run.
 *
 * @category models
 * @since 0.1.0
 */
export class RunOutput {
  readonly output: AgentOutput.Any
  /** The tool that the model answers with, if there is one. */
  readonly tool: string | undefined
  /** Whether the model has tools to work with before it answers. */
  private readonly hasTools: boolean
  /** In JSON mode: whether the current step asks for the answer, and does not work with tools. */
  private isAnswering: boolean
  private corrections = 0
  private reminded = false
  // the current step
  private generated: Generated | undefined = undefined
  private reader: JsonReader | undefined = undefined
  private readerId: string | undefined = undefined
  private isRepeated = false
  private raw = ""

  constructor(output: AgentOutput.Any, tool: string | undefined, hasTools: boolean) {
    this.output = output
    this.tool = tool
    this.hasTools = hasTools
    this.isAnswering = tool === undefined && !hasTools
  }

  // --- asking ---------------------------------------------------------------

  /** The fields of a model request that depend on whether the model has to give its final answer. */
  request(
    toolkit: ToolHandler.WithHandler | undefined,
    chosen: LanguageModel.ToolChoice<string>,
    finalAnswer: AgentRun.StopReason | undefined
  ): Pick<Middleware.ModelRequest, "toolkit" | "toolChoice" | "answerTool"> {
    this.generated = undefined
    this.reader = undefined
    this.readerId = undefined
    this.raw = ""
    const { tool } = this
    if (tool !== undefined) {
      const toolChoice = this.hasTools && finalAnswer === undefined ? orAnswer(chosen, tool) : { tool }
      return { toolkit, toolChoice, answerTool: tool }
    }
    return this.isAnswering || finalAnswer !== undefined
      ? { toolkit: undefined, toolChoice: "none" }
      : { toolkit, toolChoice: chosen }
  }

  /** Makes the model call of a request, after all middleware. */
  readonly call = (
    model: LanguageModel.LanguageModel,
    request: Middleware.ModelRequest
  ): Stream.Stream<StreamPart, AiError.AiError> => {
    // a middleware that calls the model again replaces the answer of a failed call
    this.isRepeated = this.reader !== undefined
    if (this.tool !== undefined || !(this.isAnswering || request.finalAnswer !== undefined)) {
      return streamText(model, request)
    }
    return generateObject(model, request, this.output, (generated) => {
      this.generated = generated
    })
  }

  // --- partial values -------------------------------------------------------

  /** Returns the partial value if these parts have changed it. */
  onParts(parts: ReadonlyArray<StreamPart>): AgentRun.OutputPartial | undefined {
    if (this.tool === undefined) return undefined
    let end = false
    for (const part of parts) {
      switch (part.type) {
        case "tool-params-start": {
          const isNew = this.reader === undefined || this.isRepeated || part.id === this.readerId
          if (part.name !== this.tool || !isNew) break
          this.startReading(part.id)
          break
        }
        case "tool-params-delta": {
          if (part.id !== this.readerId) break
          this.reader!.push(part.delta)
          this.raw += part.delta
          break
        }
        case "tool-params-end": {
          if (part.id === this.readerId) end = true
          break
        }
        case "tool-call": {
          // the partial values come from a failed call, and this answer was not streamed
          if (part.name !== this.tool || !this.isRepeated || this.reader === undefined) break
          this.startReading(part.id)
          this.reader.push(Json.toText(part.params))
          end = true
        }
      }
    }
    const taken = this.reader?.take(end)
    if (taken === undefined) return undefined
    if (!this.output.isWrapped) return { type: "output-partial", value: taken.value }
    return Predicate.hasProperty(taken.value, "value")
      ? { type: "output-partial", value: taken.value.value }
      : undefined
  }

  private startReading(id: string): void {
    this.isRepeated = false
    this.raw = ""
    this.reader = new JsonReader()
    this.readerId = id
  }

  // --- reading --------------------------------------------------------------

  /** Reads the step that the model has finished. A failure is a defect of the schema. */
  read(
    builder: StepBuilder,
    finalAnswer: AgentRun.StopReason | undefined,
    replacements?: Replacements | undefined
  ): Effect.Effect<Reading> {
    const { calls = [], finishReason } = builder
    if (calls.length === 0 && (isFinal(replacements) || (this.isAnswering && replacements?.text !== undefined))) {
      return this.readReplacement(builder.text())
    }
    if (finishReason === "length" || finishReason === "content-filter") {
      const reason = `The response was incomplete: ${finishReason}`
      return Exit.succeed({
        results: calls.map((call) => ToolHandler.notExecuted(call, "execution-denied", reason)),
        answer: rejected(reason, this.raw === "" ? builder.text() : this.raw, { isFinal: true })
      })
    }
    return this.tool === undefined
      ? this.readText(builder, calls, finalAnswer !== undefined)
      : this.readCalls(this.tool, builder, calls, finalAnswer !== undefined)
  }

  /** The text of a guardrail is the answer, or the run fails. No model is asked to correct it. */
  private readReplacement(text: string): Effect.Effect<Reading> {
    return Effect.map(decodeText(this.output, text), (answer) => ({
      results: [],
      answer: answer._tag === "Accepted"
        ? answer
        : rejected("A guardrail has replaced the answer by a text that is no value of the output", text, {
          isFinal: true
        })
    }))
  }

  private readCalls(
    tool: string,
    builder: StepBuilder,
    calls: ReadonlyArray<Call>,
    isForced: boolean
  ): Effect.Effect<Reading> {
    if (calls.length === 0) {
      if (builder.finishReason === "pause" && !isForced) return Exit.succeed({ results: [], answer: undefined })
      const text = builder.text()
      return Effect.map(decodeText(this.output, text), (answer) => {
        if (answer._tag === "Accepted") return { results: [], answer }
        const isFinal = this.reminded
        this.reminded = true
        const message = `Give your answer by calling the tool \`${tool}\`, not as text.`
        return { results: [], answer: rejected(`Expected a call of the tool \`${tool}\``, text, { message, isFinal }) }
      })
    }
    const denied = (call: Call, reason: string) => ToolHandler.notExecuted(call, "execution-denied", reason)
    return Effect.gen({ self: this }, function*() {
      const results: Array<Middleware.ToolResult | undefined> = []
      let answer: Accepted | Rejected | undefined
      for (const call of calls) {
        if (call.name !== tool) {
          results.push(isForced ? denied(call, "No more tools may be called in this run") : undefined)
        } else if (answer?._tag === "Accepted") {
          results.push(denied(call, "An answer of this step was accepted before this one"))
        } else {
          const exit = yield* Effect.exit(decode(this.output, call.params))
          if (Exit.isSuccess(exit)) {
            answer = exit.value
            results.push(accepted(call))
          } else {
            const error = yield* schemaErrorOf(exit)
            answer ??= { ...rejected("", this.rawOf(call)), issues: issuesOf(this.output, error) }
            results.push(ToolHandler.invalidParameters(call, error.message))
          }
        }
      }
      if (answer === undefined && isForced) {
        answer = rejected(`Expected a call of the tool \`${tool}\``, this.rawOf(calls[0]))
      }
      return { results, answer }
    })
  }

  private rawOf(call: Call): string {
    return call.name === this.tool && call.id === this.readerId && this.raw !== ""
      ? this.raw
      : Json.toText(call.params)
  }

  private readText(builder: StepBuilder, calls: ReadonlyArray<Call>, isForced: boolean): Effect.Effect<Reading> {
    if (!this.isAnswering && !isForced) {
      if (calls.length > 0) return Exit.succeed({ results: calls.map(() => undefined), answer: undefined })
      if (builder.finishReason === "pause") return Exit.succeed({ results: [], answer: undefined })
      this.isAnswering = true
      return Exit.succeed({ results: [], answer: undefined })
    }
    const results = calls.map((call) =>
      ToolHandler.notExecuted(call, "execution-denied", "The answer may not call tools")
    )
    const text = builder.text()
    const { generated } = this
    // a middleware may have changed the model's text
    const answer = generated !== undefined && generated.text === text
      ? Exit.succeed(generated.answer)
      : decodeText(this.output, text)
    return Effect.map(answer, (answer) => ({ results, answer }))
  }

  // --- between steps --------------------------------------------------------

  /** Decides what happens after a step. A rejected answer that may not be corrected stays rejected. */
  next(answer: Reading["answer"]): Next {
    if (answer === undefined) {
      return { _tag: "GoOn", message: this.isAnswering && this.hasTools ? "Now give the final answer." : undefined }
    }
    if (answer._tag === "Accepted" || answer.isFinal || this.corrections >= this.output.corrections) return answer
    this.corrections++
    return { _tag: "GoOn", message: answer.message }
  }

  /** The run goes on although it has an answer, because there is more work. */
  again(): void {
    if (this.tool === undefined && this.hasTools) this.isAnswering = false
  }
}

const accepted = ({ id, name }: Call): Middleware.ToolResult =>
  Parts.toolResult({
    id,
    name,
    result: "Accepted",
    encodedResult: "Accepted",
    isFailure: false,
    preliminary: false
  })
