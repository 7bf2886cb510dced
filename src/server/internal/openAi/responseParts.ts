/**
 * The parts of a run as the events of a response, and as one.
 *
 * @since 0.1.0
 */

import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type * as AgentRun from "../../../AgentRun.ts"
import * as Json from "../../../internal/words/json.ts"
import * as Valued from "../valued.ts"
import * as Failures from "./failures.ts"
import * as Items from "./items.ts"
import type { ResponseAnnotation, ResponseEvent, ResponseObject } from "./responseModels.ts"
import * as Words from "./words.ts"

/**
 * A call that was made in an earlier response, by its id.
 *
 * @category models
 * @since 0.1.0
 */
export interface EarlierCall {
  readonly name: string
  readonly params: unknown
  /** The approval that the call waited for. Default: none. */
  readonly approvalId?: string | undefined
  /** Whether it is a call of a tool of the client, which knows the result. Default: it is not. */
  readonly isOfClient?: boolean | undefined
}

/**
 * How a response is told.
 *
 * @category options
 * @since 0.1.0
 */
export interface ResponseOptions {
  /** The id of the response. It begins with `resp_`. */
  readonly id: string
  /** The name of the agent, as the client knows it. */
  readonly model: string
  /** When the response was requested, in seconds since 1970. */
  readonly created: number
  /** When it has ended, in seconds since 1970. Default: when it is told. */
  readonly completed?: number | undefined
  /** Whether the conversation is kept. Default: it is. */
  readonly store?: boolean | undefined
  /** Whether the run goes on when the client leaves. Default: it does not. */
  readonly background?: boolean | undefined
  /** The id of the response before. Default: there is none. */
  readonly previous?: string | undefined
  /** What the request says about itself. Default: nothing. */
  readonly metadata?: Readonly<Record<string, string>> | undefined
  /**
   * Whether a call of the tool may wait for an approval. It is not told before it is known whether it waits, because
   * clients would take it for two calls. Default: any call may wait.
   */
  readonly mayWait?: ((tool: string) => boolean) | undefined
  /** The calls that earlier responses have made and that this one may have results of, by id. Default: none. */
  readonly earlier?: ReadonlyMap<string, EarlierCall> | undefined
}

/**
 * Returns the events of a run. The last of them says how the run ended.
 *
 * @category conversions
 * @since 0.1.0
 */
export const events = <E, R>(
  parts: Stream.Stream<AgentRun.Part, E, R>,
  options: ResponseOptions
): Stream.Stream<ResponseEvent, never, R> => Stream.suspend(() => told(parts, new Telling(options)))

/**
 * Returns the whole response of a run. One that fails has a failure instead; one that was interrupted has a response.
 *
 * @category conversions
 * @since 0.1.0
 */
export const response = <E, R>(
  parts: Stream.Stream<AgentRun.Part, E, R>,
  options: ResponseOptions
): Effect.Effect<ResponseObject, Failures.Failure, R> =>
  Effect.suspend(() => {
    const telling = new Telling(options)
    return Effect.flatMap(
      Stream.runDrain(told(parts, telling)),
      () => telling.failure === undefined ? Effect.succeed(telling.response) : Effect.fail(telling.failure)
    )
  })

/**
 * Returns the response of a run that has ended, also if it has failed.
 *
 * @category conversions
 * @since 0.1.0
 */
export const ended = <E, R>(
  parts: Stream.Stream<AgentRun.Part, E, R>,
  options: ResponseOptions
): Effect.Effect<ResponseObject, never, R> =>
  Effect.suspend(() => {
    const telling = new Telling(options)
    return Effect.map(Stream.runDrain(told(parts, telling)), () => telling.response)
  })

/**
 * Returns the response of a run that has begun.
 *
 * @category constructors
 * @since 0.1.0
 */
export const begun = (options: ResponseOptions): ResponseObject => new Telling(options).response

const told = <E, R>(
  parts: Stream.Stream<AgentRun.Part, E, R>,
  telling: Telling
): Stream.Stream<ResponseEvent, never, R> => {
  const ending = (cause: Cause.Cause<unknown>) =>
    telling.hasEnded ? Stream.empty : Stream.fromIterableEffect(
      Effect.map(Clock.currentTimeMillis, (now) => telling.fail(cause, now))
    )
  return Valued.asJson(parts).pipe(
    Stream.mapAccumArrayEffect(() => telling, (_, parts) =>
      Effect.map(
        Clock.currentTimeMillis,
        (now) => [telling, parts.flatMap((part) => telling.next(part, now))] as const
      )),
    Stream.catchCause(ending),
    Stream.concat(Stream.suspend(() => ending(Cause.die("The parts of a run ended without its end"))))
  )
}

/** What was told of a run so far. */
class Telling {
  response: ResponseObject
  failure: Failures.Failure | undefined
  private readonly options: ResponseOptions
  private readonly output = new Items.Output()
  /** The texts and reasonings that are not closed, by their kind and id. */
  private readonly open = new Map<string, Items.OpenReasoning | Items.OpenText>()
  /** The calls without a result, by id: those that may wait, and those that are told. */
  private readonly held = new Map<string, EarlierCall>()
  private readonly calls = new Map<string, Items.OpenCall>()
  /** The sources that came when there was no text. */
  private sources: Array<(place: number) => ResponseAnnotation> = []
  /** The place of the first item of the step, and the places of items that do not count. */
  private stepBegins = 0
  private readonly takenBack = new Set<number>()

  constructor(options: ResponseOptions) {
    this.options = options
    const { background = false, created, id, metadata, model, previous = null, store = true } = options
    this.response = {
      id,
      object: "response",
      created_at: created,
      completed_at: null,
      status: "in_progress",
      background,
      error: null,
      incomplete_details: null,
      instructions: null,
      max_output_tokens: null,
      metadata: { ...metadata },
      model,
      output: [],
      parallel_tool_calls: true,
      previous_response_id: previous,
      store,
      temperature: null,
      text: { format: { type: "text" } },
      tool_choice: "auto",
      tools: [],
      top_p: null,
      truncation: "disabled",
      access_programs: null
    }
  }

  get hasEnded(): boolean {
    return this.response.status !== "in_progress"
  }

  next(part: AgentRun.Part, now: number): ReadonlyArray<ResponseEvent> {
    this.tell(part, now)
    return this.output.take()
  }

  private tell(part: AgentRun.Part, now: number): void {
    switch (part.type) {
      case "run-start":
        this.output.tell({ type: "response.created", response: this.response })
        return this.output.tell({ type: "response.in_progress", response: this.response })
      case "text-start":
        this.text(part.id)
        return
      case "text-delta":
        return this.text(part.id).delta(part.delta)
      case "reasoning-start":
        this.reasoning(part.id)
        return
      case "reasoning-delta":
        return this.reasoning(part.id).delta(part.delta)
      case "text-end":
      case "reasoning-end":
        return this.ended(`${part.type === "text-end" ? "text" : "reasoning"}:${part.id}`)
      case "source":
        return this.source(part)
      case "step-start":
        if (part.restarted === true) this.takeBack()
        this.stepBegins = this.output.items.length
        return
      case "tool-call":
        return this.called(part.id, part)
      case "tool-result":
        return this.returned(part)
      case "step-end":
        return this.close(() => true)
      case "run-end":
        return this.end(part.result, now)
    }
  }

  /** What is told of a run that does not complete. */
  fail(cause: Cause.Cause<unknown>, now: number): ReadonlyArray<ResponseEvent> {
    for (const item of [...this.open.values(), ...this.calls.values()]) item.cut()
    if (Cause.hasInterruptsOnly(cause)) {
      this.finish({ status: "cancelled" }, now)
      this.output.tell({ type: "response.incomplete", response: this.response })
    } else this.refuse(Failures.ofCause(cause), now)
    return this.output.take()
  }

  private refuse(failure: Failures.Failure, now: number): void {
    this.failure = failure
    const { error: { message }, status } = failure
    const code = status === 429 ? "rate_limit_exceeded" : status < 500 ? "invalid_prompt" : "server_error"
    this.finish({ status: "failed", error: { code, message } }, now)
    this.output.tell({ type: "response.failed", response: this.response })
  }

  private end(result: AgentRun.Result, now: number): void {
    this.close(() => true)
    for (const call of this.calls.values()) call.close()
    // nobody could answer
    if (!this.response.store && !result.approvals.every(Words.isAnswerable)) {
      return this.refuse(Words.approvalRequired, now)
    }
    const answer = Words.answerOf(result)
    if (answer !== "" || this.sources.length > 0) {
      this.text("").delta(answer)
      this.close(() => true)
    }
    for (const [index, approval] of result.approvals.entries()) {
      const { params, path, tool } = approval
      const called = { name: tool, arguments: Words.toArguments(params) }
      if (Words.isOfClient(approval)) {
        const call_id = Words.toCallId(approval, result.approvals)
        Items.addFunctionCall(this.output, { id: this.id("fc"), call_id, ...called })
      } else {
        const server_label = [this.options.model, ...path].join("/")
        const item = {
          type: "mcp_approval_request" as const,
          id: `mcpr_${this.stem}_${index}`,
          server_label,
          ...called
        }
        this.output.finish(this.output.add(item), item)
      }
    }
    const reason = Words.toIncompleteReason(result.stopReason)
    const usage = Words.toResponseUsage(result.totalUsage)
    this.finish({
      status: reason === undefined ? "completed" : "incomplete",
      incomplete_details: reason === undefined ? null : { reason },
      ...usage !== undefined && { usage }
    }, now)
    this.output.tell({
      type: reason === undefined ? "response.completed" : "response.incomplete",
      response: this.response
    })
  }

  private finish(end: Partial<ResponseObject>, now: number): void {
    const output = this.output.items.filter((_, index) => !this.takenBack.has(index))
    this.response = { ...this.response, ...end, output, completed_at: this.options.completed ?? Math.floor(now / 1000) }
  }

  /** The model call of the step begins again. Its items were told, and the response does not have them. */
  private takeBack(): void {
    this.close(() => true)
    for (const call of this.calls.values()) call.close()
    this.calls.clear()
    this.held.clear()
    this.sources = []
    for (let index = this.stepBegins; index < this.output.items.length; index++) this.takenBack.add(index)
  }

  private id(kind: string): string {
    return `${kind}_${this.stem}_${this.output.items.length}`
  }

  private get stem(): string {
    return this.options.id.replace(/^resp_/, "")
  }

  private text(id: string): Items.OpenText {
    return this.opened(`text:${id}`, () => {
      const text = new Items.OpenText(this.output, this.id("msg"))
      for (const source of this.sources) text.annotate(source)
      this.sources = []
      return text
    })
  }

  private reasoning(id: string): Items.OpenReasoning {
    return this.opened(`reasoning:${id}`, () => new Items.OpenReasoning(this.output, this.id("rs")))
  }

  private opened<Item extends Items.OpenReasoning | Items.OpenText>(key: string, make: () => Item): Item {
    const open = this.open.get(key)
    // the id may be used again
    if (open !== undefined && !open.isEnded) return open as Item
    this.close(({ isEnded }) => isEnded)
    const made = make()
    this.open.set(key, made)
    return made
  }

  /** An item stays open until the next one begins, because its sources come after it. */
  private ended(key: string): void {
    const item = this.open.get(key)
    if (item !== undefined) item.isEnded = true
  }

  private close(which: (item: Items.Open) => boolean): void {
    for (const [key, item] of this.open) {
      if (!which(item)) continue
      this.open.delete(key)
      item.close()
    }
  }

  private source(source: Extract<AgentRun.Part, { readonly type: "source" }>): void {
    const annotation = (place: number): ResponseAnnotation =>
      source.sourceType === "url"
        ? { type: "url_citation", start_index: place, end_index: place, title: source.title, url: source.url.href }
        : { type: "file_citation", file_id: source.id, filename: source.fileName ?? source.title, index: place }
    const text = Array.from(this.open.values()).findLast((item) => item instanceof Items.OpenText)
    if (text === undefined) this.sources.push(annotation)
    else text.annotate(annotation)
  }

  private called(id: string, call: EarlierCall): void {
    if (this.options.mayWait === undefined || this.options.mayWait(call.name)) this.held.set(id, call)
    else this.run(id, call)
  }

  private run(id: string, { approvalId, name, params }: EarlierCall): Items.OpenCall {
    this.close(({ isEnded }) => isEnded)
    const call = new Items.OpenCall(this.output, {
      id: this.id("mcp"),
      server_label: this.options.model,
      name,
      arguments: Words.toArguments(params),
      approval_request_id: approvalId ?? null
    })
    this.held.delete(id)
    this.calls.set(id, call)
    return call
  }

  private returned(
    { encodedResult, id, isFailure, name, preliminary }: Extract<AgentRun.Part, { readonly type: "tool-result" }>
  ): void {
    const held = this.held.get(id)
    const earlier = this.options.earlier?.get(id)
    // the client knows what it has said
    if (earlier?.isOfClient === true && held === undefined && !this.calls.has(id)) return
    const call = this.calls.get(id) ?? this.run(id, held ?? earlier ?? { name, params: {} })
    if (preliminary) return
    this.calls.delete(id)
    const text = Json.toText(encodedResult)
    if (isFailure) call.fail(text)
    else call.succeed(text)
  }
}
