/**
 * The parts of a run as chunks of a chat completion, and as one.
 *
 * @since 0.1.0
 */

import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type * as AgentRun from "../../../AgentRun.ts"
import type {
  ChatAnnotation,
  ChatCompletion,
  ChatCompletionChunk,
  ChatDelta,
  ChatFinishReason,
  ErrorBody
} from "./chatModels.ts"
import * as Valued from "../valued.ts"
import * as Failures from "./failures.ts"
import * as Words from "./words.ts"

/**
 * How an answer is told.
 *
 * @category options
 * @since 0.1.0
 */
export interface ChatOptions {
  /** The id of the completion. */
  readonly id: string
  /** The name of the agent, as the client knows it. */
  readonly model: string
  /** When the completion was requested, in seconds since 1970. */
  readonly created: number
  /** Whether the last chunk has the usage. Default: it has not. */
  readonly includeUsage?: boolean | undefined
}

/** A step begins, or begins again: what it has told before does not count. Only a whole answer can forget it. */
interface Step {
  readonly restarted: boolean
}

type Told = ChatCompletionChunk | Failures.Failure | Step

const isFailure = (told: Told): told is Failures.Failure => "error" in told
const isStep = (told: Told): told is Step => "restarted" in told

/**
 * Returns the chunks of a run, and its failure. Nothing follows the chunk with the usage, or the failure.
 *
 * @category conversions
 * @since 0.1.0
 */
export const told = <E, R>(
  parts: Stream.Stream<AgentRun.Part, E, R>,
  options: ChatOptions
): Stream.Stream<Told, never, R> =>
  Stream.suspend(() => {
    const telling = new Telling(options)
    return Valued.asJson(parts).pipe(
      Stream.mapAccumArray(() => telling, (_, parts) => [telling, parts.flatMap(telling.next)] as const),
      Stream.catchCause((cause) =>
        telling.hasEnded ? Stream.empty : Stream.succeed(telling.end(Failures.ofCause(cause)))
      ),
      Stream.concat(Stream.suspend(() => telling.hasEnded ? Stream.empty : Stream.succeed(telling.end(Words.cut))))
    )
  })

/**
 * Returns the whole answer of a run.
 *
 * @category conversions
 * @since 0.1.0
 */
export const completion = <E, R>(
  parts: Stream.Stream<AgentRun.Part, E, R>,
  options: ChatOptions
): Effect.Effect<ChatCompletion, Failures.Failure, R> =>
  Effect.suspend(() => {
    const written = new Written(options)
    return told(parts, { ...options, includeUsage: true }).pipe(
      Stream.runForEach((told) => isFailure(told) ? Effect.fail(told) : Effect.sync(() => written.add(told))),
      Effect.map(() => written.whole)
    )
  })

/**
 * Returns the chunks as the wire has them.
 *
 * @category conversions
 * @since 0.1.0
 */
export const chunks = <E, R>(
  parts: Stream.Stream<AgentRun.Part, E, R>,
  options: ChatOptions
): Stream.Stream<ChatCompletionChunk | ErrorBody, never, R> =>
  told(parts, options).pipe(
    Stream.mapAccumArray(() => undefined, (_, told) => [
      undefined,
      told.flatMap((told): ReadonlyArray<ChatCompletionChunk | ErrorBody> =>
        isStep(told) ? [] : isFailure(told) ? [{ error: told.error }] : [told]
      )
    ])
  )

/** What was told of a run so far. */
class Telling {
  hasEnded = false
  private readonly options: ChatOptions
  private length = 0
  /** The length before the step. */
  private before = 0
  /** The texts of two steps are two paragraphs. */
  private isNewStep = false

  constructor(options: ChatOptions) {
    this.options = options
  }

  readonly next = (part: AgentRun.Part): ReadonlyArray<Told> => {
    switch (part.type) {
      case "run-start":
        return [this.chunk({ role: "assistant", content: "" })]
      case "step-start":
        if (part.restarted === true) this.length = this.before
        else this.before = this.length
        this.isNewStep = this.length > 0
        return [{ restarted: part.restarted === true }]
      case "text-delta":
        return this.text(part.delta)
      case "reasoning-delta":
        return part.delta === "" ? [] : [this.chunk({ reasoning_content: part.delta })]
      case "source":
        return part.sourceType === "url"
          ? [this.chunk({ annotations: [this.annotation(part.url.href, part.title)] })]
          : []
      case "run-end":
        return this.finish(part.result)
      default:
        return []
    }
  }

  end(failure: Failures.Failure): Failures.Failure {
    this.hasEnded = true
    return failure
  }

  private finish(result: AgentRun.Result): ReadonlyArray<Told> {
    const { includeUsage } = this.options
    if (!result.approvals.every(Words.isAnswerable)) return [this.end(Words.approvalRequired)]
    const calls = result.approvals.map(({ params, tool, toolCallId }, index) => ({
      index,
      id: toolCallId,
      type: "function" as const,
      function: { name: tool, arguments: Words.toArguments(params) }
    }))
    const usage = Words.toChatUsage(result.totalUsage) ?? null
    this.hasEnded = true
    return [
      ...this.text(Words.answerOf(result)),
      ...calls.length === 0 ? [] : [this.chunk({ tool_calls: calls })],
      this.chunk({}, calls.length > 0 ? "tool_calls" : Words.toFinishReason(result.stopReason)),
      ...includeUsage === true ? [{ ...this.chunk({}), choices: [], usage }] : []
    ]
  }

  private text(delta: string): ReadonlyArray<ChatCompletionChunk> {
    if (delta === "") return []
    const content = this.isNewStep ? `\n\n${delta}` : delta
    this.isNewStep = false
    this.length += content.length
    return [this.chunk({ content })]
  }

  private annotation(url: string, title: string): ChatAnnotation {
    const place = this.length
    return { type: "url_citation", url_citation: { start_index: place, end_index: place, title, url } }
  }

  private chunk(delta: ChatDelta, finishReason: ChatFinishReason | null = null): ChatCompletionChunk {
    const { created, id, includeUsage, model } = this.options
    return {
      id,
      object: "chat.completion.chunk",
      created,
      model,
      choices: [{ index: 0, delta, finish_reason: finishReason, logprobs: null }],
      ...includeUsage === true && { usage: null }
    }
  }
}

/** The message that the chunks add up to. */
class Written {
  private readonly options: ChatOptions
  private content = ""
  private reasoning = ""
  private readonly annotations: Array<ChatAnnotation> = []
  private calls: NonNullable<ChatDelta["tool_calls"]> = []
  private before = { content: 0, reasoning: 0, annotations: 0 }
  private finishReason: ChatFinishReason = "stop"
  private usage: ChatCompletion["usage"] | null

  constructor(options: ChatOptions) {
    this.options = options
  }

  add(told: ChatCompletionChunk | Step): void {
    if (isStep(told)) return this.step(told)
    const { choices, usage } = told
    this.usage = usage
    for (const { delta, finish_reason } of choices) {
      this.content += delta.content ?? ""
      this.reasoning += delta.reasoning_content ?? ""
      this.annotations.push(...delta.annotations ?? [])
      this.calls = delta.tool_calls ?? this.calls
      this.finishReason = finish_reason ?? this.finishReason
    }
  }

  private step({ restarted }: Step): void {
    if (restarted) {
      this.content = this.content.slice(0, this.before.content)
      this.reasoning = this.reasoning.slice(0, this.before.reasoning)
      this.annotations.length = this.before.annotations
    }
    const { annotations, content, reasoning } = this
    this.before = { content: content.length, reasoning: reasoning.length, annotations: annotations.length }
  }

  get whole(): ChatCompletion {
    const { created, id, model } = this.options
    const { annotations, calls, content, finishReason, reasoning, usage } = this
    return {
      id,
      object: "chat.completion",
      created,
      model,
      choices: [{
        index: 0,
        message: {
          role: "assistant",
          content: content === "" && calls.length > 0 ? null : content,
          refusal: null,
          ...reasoning !== "" && { reasoning_content: reasoning },
          ...annotations.length > 0 && { annotations },
          ...calls.length > 0 &&
            { tool_calls: calls.map(({ function: called, id, type }) => ({ id, type, function: called })) }
        },
        finish_reason: finishReason,
        logprobs: null
      }],
      ...usage != null && { usage }
    }
  }
}
