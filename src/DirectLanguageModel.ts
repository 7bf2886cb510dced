/**
 * Language models that check the parts of their streams by hand, without decoding each one.
 *
 * `DirectLanguageModel.make` takes the parameters of effect's `LanguageModel.make` and returns the same service with
 * the same behaviour. Only the cost of `streamText` differs: effect decodes each part with a Schema; here the common
 * parts are checked and built as literals, one array in, one array out. Everything else goes to effect: a rare part, an
 * invalid part, a call that resolves its tools, a prompt with approvals. So the same things are accepted and refused.
 * There is one exception: an invalid count of tokens (infinite, a fraction, a text) does not fail the answer.
 *
 * **Example** (A model of one's own)
 *
 * ```ts
 * import { Console, Effect, Stream } from "effect"
 * import { LanguageModel, type Response } from "effect/ai"
 * import { Agent, DirectLanguageModel } from "effect-agents"
 *
 * const finish: Response.FinishPartEncoded = {
 *   type: "finish",
 *   reason: "stop",
 *   usage: { inputTokens: { total: 1 }, outputTokens: { total: 2 } }
 * }
 *
 * const echo = DirectLanguageModel.make({
 *   generateText: () => Effect.succeed([{ type: "text", text: "echo" }, finish]),
 *   streamText: () =>
 *     Stream.fromArray<Response.StreamPartEncoded>([
 *       { type: "text-start", id: "1" },
 *       { type: "text-delta", id: "1", delta: "echo" },
 *       { type: "text-end", id: "1" },
 *       finish
 *     ])
 * })
 *
 * const program = Effect.gen(function*() {
 *   const { text, usage } = yield* Agent.run(Agent.make("assistant"), { prompt: "Hello" })
 *   yield* Console.log(text, usage.outputTokens.total)
 * })
 *
 * Effect.runPromise(Effect.provideServiceEffect(program, LanguageModel.LanguageModel, echo))
 * // => echo 2
 * ```
 *
 * @since 0.1.0
 */
import * as AiError from "effect/ai/AiError"
import * as IdGenerator from "effect/ai/IdGenerator"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Prompt from "effect/ai/Prompt"
import * as Response from "effect/ai/Response"
import * as ResponseIdTracker from "effect/ai/ResponseIdTracker"
import * as Telemetry from "effect/ai/Telemetry"
import type * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Tracer from "effect/Tracer"
import { isApprovalAnswer } from "./internal/approval/waiting.ts"
import {
  type CallOptions,
  CleanUsage,
  type DecodedPart,
  type DecodedParts,
  type DirectCall,
  directModels,
  type EncodedParts,
  openDirect,
  type PromptCall,
  ReportTo,
  WithoutApprovals
} from "./internal/model/direct.ts"
import * as Pump from "./internal/model/pump.ts"
import type { CallReport } from "./internal/model/spending.ts"
import * as Parts from "./internal/words/responseParts.ts"
import * as Usage from "./internal/words/usage.ts"

/**
 * The parameters of `make`: those of effect's `LanguageModel.make`.
 *
 * @category models
 * @since 0.1.0
 */
export type Options = Parameters<typeof LanguageModel.make>[0]

type Tools = Readonly<Record<string, Tool.Any>>

// =============================================================================
// Constructors
// =============================================================================

/**
 * Creates a language model from the functions of a provider.
 *
 * **Details**
 *
 * `generateText` and `generateObject` are effect's own. A call of `streamText` takes the short path if it has no
 * toolkit, or a resolved one together with `disableToolCallResolution: true` and `toolCallValidation: "deferred"`, and
 * if no approval response, no `ResponseIdTracker` and no `CurrentSpanTransformer` is involved.
 *
 * **Gotchas**
 *
 * A prompt that does not decode fails `streamText` with an `InvalidUserInputError`. In effect it is a defect.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(options: Options): Effect.fn.Return<LanguageModel.LanguageModel> {
  const base = yield* LanguageModel.make(options)
  const ambient = yield* Effect.context<never>()
  const hasTransformer = Option.isSome(Context.getOption(ambient, Telemetry.CurrentSpanTransformer))
  const idGenerator = Option.getOrElse(
    Context.getOption(ambient, IdGenerator.IdGenerator),
    () => IdGenerator.defaultIdGenerator
  )
  // The span that a provider annotates when nothing is traced. It records nothing, so all calls may share it.
  const noopSpan = yield* Effect.withTracerEnabled(
    Effect.makeSpan("LanguageModel.streamText", { kind: "client", root: true }),
    false
  )

  const provide = addIdGenerator(idGenerator)

  const isShort = (call: PromptCall, context: Context.Context<never>): boolean =>
    !hasTransformer && isPlain(call) &&
    (call[WithoutApprovals] === call.prompt || !call.prompt.content.some(isApprovalAnswer)) &&
    Context.getOrUndefined(context, ResponseIdTracker.ResponseIdTracker) === undefined &&
    Context.getOrUndefined(context, Telemetry.CurrentSpanTransformer) === undefined

  const start = (
    call: PromptCall,
    scope: Scope.Scope,
    span: Tracer.Span | undefined,
    report?: CallReport
  ): DirectCall => {
    // a tracer that throws does not change the call
    if (span !== undefined) Result.try(() => annotate(span, call))
    const provided = providerOptions(call, span ?? noopSpan, report)
    return {
      open: Effect.suspend(() => Channel.toPullScoped(Stream.toChannel(options.streamText(provided)), scope)),
      decode: makeDecoder(options, call, provided),
      provide
    }
  }

  const streamText = (call: CallOptions): Stream.Stream<DecodedPart, AiError.AiError> =>
    Stream.fromChannel(
      Channel.fromTransform((_upstream, scope) =>
        Effect.withFiber((fiber): Effect.Effect<Pull.Pull<DecodedParts, AiError.AiError>, AiError.AiError> => {
          const prompt = makePrompt(call.prompt)
          if (Exit.isExit(prompt)) return prompt
          const made: PromptCall = { ...call, prompt }
          if (!isShort(made, fiber.context)) {
            // The overloads of `streamText` infer from literal options; here they are erased.
            const delegate = base.streamText as (call: CallOptions) => Stream.Stream<DecodedPart, AiError.AiError>
            return Channel.toPullScoped(Stream.toChannel(delegate(made)), scope)
          }
          if (!Parts.tracerEnabled(fiber)) return openDecoded(start(made, scope, undefined))
          return Effect.flatMap(
            Scope.provide(Effect.makeSpanScoped("LanguageModel.streamText", { kind: "client" }), scope),
            (span) => openDecoded(start(made, scope, span))
          )
        })
      )
    )

  const self: LanguageModel.LanguageModel = {
    ...base,
    // The stream is the one that the overloads describe; they cannot be written down for erased options.
    streamText: streamText as LanguageModel.LanguageModel["streamText"]
  }
  directModels.set(self, {
    streamText: self.streamText,
    begin: (call, { context, report, scope, span }) =>
      isShort(call, context) ? start(call, scope, span, report) : undefined
  })
  return self
})

/**
 * Creates the stream of a response from an async iterable, which most SDKs return.
 *
 * **Details**
 *
 * It takes the parameters of `Stream.fromAsyncIterable`, which suspends its fiber for every element. Here the elements
 * are read ahead, at most 512 of them, and each pull gets all that have come since the pull before. Elements that come in
 * one task are given together, up to 128 of them. After a pull that found many, and after several pulls that found a
 * single one, the next pull waits one turn of the event loop for more.
 *
 * The iterable is asked for its iterator when the stream is first pulled. An exception of the iterator fails the
 * stream, after everything that came before it.
 *
 * When the stream ends before the iterator does, it calls the iterator's `return` and waits until that has ended. If an
 * element was requested that has not come yet, it waits only one turn of the event loop, because `return` may not end
 * before that element has come.
 *
 * **Example** (A model behind an async generator)
 *
 * ```ts
 * import { Console, Effect, Layer } from "effect"
 * import { AiError, LanguageModel, type Response } from "effect/ai"
 * import { Agent, DirectLanguageModel } from "effect-agents"
 *
 * async function* answer(): AsyncGenerator<Response.StreamPartEncoded> {
 *   for (const delta of ["Good ", "morning"]) yield { type: "text-delta", id: "1", delta }
 *   yield { type: "finish", reason: "stop", usage: { inputTokens: {}, outputTokens: {} } }
 * }
 *
 * const model = Layer.effect(
 *   LanguageModel.LanguageModel,
 *   DirectLanguageModel.make({
 *     generateText: () => Effect.die("this model streams"),
 *     streamText: () =>
 *       DirectLanguageModel.fromAsyncIterable(answer(), (cause) =>
 *         AiError.make({
 *           module: "Greeter",
 *           method: "streamText",
 *           reason: new AiError.UnknownError({ description: String(cause) })
 *         }))
 *   })
 * )
 *
 * const program = Effect.gen(function*() {
 *   const { text } = yield* Agent.run(Agent.make("greeter"), { prompt: "Hello" })
 *   yield* Console.log(text)
 * })
 *
 * Effect.runPromise(Effect.provide(program, model))
 * // => Good morning
 * ```
 *
 * **Gotchas**
 *
 * An async generator that waits for a response does not notice `return` until the response comes. Abort the request as
 * well, in a finalizer of the stream.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromAsyncIterable = <A, E>(
  iterable: AsyncIterable<A>,
  onError: (error: unknown) => E
): Stream.Stream<A, E> =>
  Stream.fromChannel(
    Channel.fromTransform((_upstream, scope) =>
      Effect.suspend(() => {
        const opened = Result.try(() => Pump.fromAsyncIterable(iterable))
        if (Result.isFailure(opened)) return Exit.fail(onError(opened.failure))
        const pump = opened.success
        const pull: Pull.Pull<Arr.NonEmptyReadonlyArray<A>, E> = Effect.suspend(() => {
          const taken = pump.take()
          if (Arr.isReadonlyArrayNonEmpty(taken)) return Exit.succeed(taken)
          if (!pump.ended) return Effect.flatMap(pump.wait, () => pull)
          return pump.failure === undefined ? Cause.done() : Exit.fail(onError(pump.failure.error))
        })
        const close = Effect.suspend(() => {
          if (pump.ended) return Effect.void
          const cancelled = pump.cancel()
          if (!pump.isReading) return Effect.promise(() => cancelled)
          // it may not end before the element comes that was requested from it
          cancelled.then(undefined, () => {})
          return Effect.yieldNow
        })
        return Effect.as(Scope.addFinalizer(scope, close), pull)
      })
    )
  )

// =============================================================================
// The call
// =============================================================================

/** Writes what effect writes on the span of a call. */
const annotate = (span: Tracer.Span, { concurrency = "unbounded", toolChoice = "auto" }: CallOptions): void => {
  span.attribute("gen_ai.output.type", "text")
  span.attribute("effect.ai.tool_choice", typeof toolChoice === "string" ? toolChoice : JSON.stringify(toolChoice))
  span.attribute("effect.ai.concurrency", concurrency)
}

const isDeferred = (call: CallOptions): boolean =>
  call.disableToolCallResolution === true && call.toolCallValidation === "deferred"

const isPlain = (call: CallOptions): boolean =>
  call.toolkit === undefined || (!Effect.isEffect(call.toolkit) && isDeferred(call))

const toolsOf = (call: CallOptions): Tools =>
  call.toolkit === undefined || Effect.isEffect(call.toolkit) ? {} : call.toolkit.tools

const decodeMessages = Schema.decodeUnknownExit(Schema.Array(Prompt.Message), { errors: "all" })

const makePrompt = (input: Prompt.RawInput): Prompt.Prompt | Exit.Exit<never, AiError.AiError> => {
  if (typeof input === "string" || Parts.isPrompt(input)) return Prompt.make(input)
  // a value that is no list of messages does not decode
  const messages = decodeMessages(Predicate.isIterable(input) ? Array.from(input) : input)
  if (Exit.isSuccess(messages)) return Prompt.fromMessages(messages.value)
  const error = Exit.findErrorOption(messages)
  return Exit.fail(AiError.make({
    module: "LanguageModel",
    method: "streamText",
    reason: new AiError.InvalidUserInputError({
      description: Option.isSome(error) ? error.value.message : "The prompt could not be decoded"
    })
  }))
}

// The same keys as in effect, because a provider may spread them.
const providerOptions = (
  call: PromptCall,
  span: Tracer.Span,
  report: CallReport | undefined
): LanguageModel.ProviderOptions => {
  const { prompt, toolChoice = "auto" } = call
  const tools = Object.values(toolsOf(call))
  const options: { -readonly [Key in keyof ReportedOptions]: ReportedOptions[Key] } = {
    prompt,
    tools: typeof toolChoice === "object" && "oneOf" in toolChoice
      ? tools.filter((tool) => toolChoice.oneOf.includes(tool.name))
      : tools,
    toolChoice: tools.length === 0 ? "none" : toolChoice,
    responseFormat: { type: "text" },
    span,
    previousResponseId: undefined,
    incrementalPrompt: undefined
  }
  if (isDeferred(call)) options.toolCallValidation = "deferred"
  if (report !== undefined) options[ReportTo] = report
  return options
}

type ReportedOptions = LanguageModel.ProviderOptions & { readonly [ReportTo]?: CallReport }

/**
 * Adds the generator to a context. It is called at every pull, mostly with the context of the same fiber, so the last
 * answer is kept.
 */
const addIdGenerator = (idGenerator: IdGenerator.Service) => {
  let previous: Context.Context<never> | undefined
  let added: Context.Context<IdGenerator.IdGenerator>
  return (context: Context.Context<never>): Context.Context<IdGenerator.IdGenerator> => {
    if (context !== previous) {
      previous = context
      added = Context.add(context, IdGenerator.IdGenerator, idGenerator)
    }
    return added
  }
}

// =============================================================================
// The parts
// =============================================================================

const openDecoded = (call: DirectCall) =>
  Effect.map(openDirect(call), (pull) =>
    Effect.flatMap(pull, (parts) => {
      const decoded = call.decode(parts)
      return Effect.isEffect(decoded) ? decoded : Exit.succeed(decoded)
    }))

const makeDecoder = (
  options: Options,
  call: CallOptions,
  { toolCallValidation }: LanguageModel.ProviderOptions
): DirectCall["decode"] => {
  const tools = toolsOf(call)
  const deferred = toolCallValidation === "deferred"
  const cleans = call[CleanUsage] === true
  return (parts) => {
    // a copy of the right length, whose elements are replaced
    const out = parts.slice() as Array<unknown> as Array<DecodedPart>
    for (let i = 0; i < parts.length; i++) {
      const decoded = decodePart(parts[i], tools, deferred, cleans)
      if (decoded === undefined) return decodeByEffect(options, call, parts)
      out[i] = decoded
    }
    return Arr.isArrayNonEmpty(out) ? out : decodeByEffect(options, call, parts)
  }
}

/** Sends an array of parts through a model made by effect, so that effect accepts or refuses it with its own errors. */
const decodeByEffect = (
  options: Options,
  call: CallOptions,
  parts: EncodedParts
): Effect.Effect<DecodedParts, AiError.AiError> =>
  LanguageModel.make({ ...options, streamText: () => Stream.mapArray(Stream.succeed(undefined), () => parts) }).pipe(
    Effect.flatMap((judge) => {
      const decode = judge.streamText as (call: CallOptions) => Stream.Stream<DecodedPart, AiError.AiError>
      return Stream.runCollect(decode({ ...call, prompt: Prompt.empty }))
    }),
    // Effect decodes by a `NonEmptyArray`: an empty array has failed before this line.
    Effect.map((decoded) => decoded as unknown as DecodedParts),
    Effect.withTracerEnabled(false)
  )

const decodeMetadata = Schema.decodeUnknownExit(Response.ProviderMetadata)
const decodeRarePart = Schema.decodeUnknownExit(Response.StreamPart(Toolkit.empty))
const finishReasons: ReadonlySet<string> = new Set(Response.FinishReason.literals)

/** Returns the decoded part, or `undefined` when effect has to look at it. */
const decodePart = (
  part: Response.StreamPartEncoded,
  tools: Tools,
  deferred: boolean,
  cleans: boolean
): DecodedPart | undefined => {
  // The type is only a promise of the provider, so the shape is checked here.
  if (typeof part !== "object" || part === null) return undefined
  let metadata: Response.ProviderMetadata | undefined
  if (part.metadata !== undefined) {
    const decoded = decodeMetadata(part.metadata)
    if (Exit.isFailure(decoded)) return undefined
    metadata = decoded.value
  }
  switch (part.type) {
    case "text-delta":
      return isString(part.id) && isString(part.delta) ? Parts.textDelta(part.id, part.delta, metadata) : undefined
    case "text-start":
      return isString(part.id) ? Parts.textStart(part.id, metadata) : undefined
    case "text-end":
      return isString(part.id) ? Parts.textEnd(part.id, metadata) : undefined
    case "reasoning-delta":
      return isString(part.id) && isString(part.delta)
        ? Parts.reasoningDelta(part.id, part.delta, metadata)
        : undefined
    case "reasoning-start":
      return isString(part.id) ? Parts.reasoningStart(part.id, metadata) : undefined
    case "reasoning-end":
      return isString(part.id) ? Parts.reasoningEnd(part.id, metadata) : undefined
    case "tool-params-start": {
      const executed = isProviderExecuted(part)
      return isString(part.id) && isString(part.name) && executed !== undefined
        ? Parts.toolParamsStart(part.id, part.name, executed, metadata)
        : undefined
    }
    case "tool-params-delta":
      return isString(part.id) && isString(part.delta)
        ? Parts.toolParamsDelta(part.id, part.delta, metadata)
        : undefined
    case "tool-params-end":
      return isString(part.id) ? Parts.toolParamsEnd(part.id, metadata) : undefined
    case "tool-call":
      return decodeToolCall(part, tools, deferred, metadata)
    case "finish": {
      if (!finishReasons.has(part.reason) || "response" in part) return undefined
      const usage = Parts.usage(part.usage) ?? (cleans ? cleanUsage(part.usage) : undefined)
      return usage === undefined ? undefined : Parts.finish(part.reason, usage, metadata)
    }
    case "tool-result":
      // The result is decoded by the schemas of its tool.
      return undefined
    default: {
      const decoded = decodeRarePart(part)
      return Exit.isSuccess(decoded) ? decoded.value : undefined
    }
  }
}

const cleanUsage = (reported: unknown): Response.Usage | undefined =>
  Predicate.hasProperty(reported, "inputTokens") && Predicate.isObject(reported.inputTokens) &&
    Predicate.hasProperty(reported, "outputTokens") && Predicate.isObject(reported.outputTokens)
    ? Parts.usage(Usage.clean({ inputTokens: reported.inputTokens, outputTokens: reported.outputTokens }))
    : undefined

const decodeToolCall = (
  part: Response.ToolCallPartEncoded,
  tools: Tools,
  deferred: boolean,
  metadata: Response.ProviderMetadata | undefined
): DecodedPart | undefined => {
  // Unless its validation is deferred, a call without a toolkit is refused.
  if (!deferred || !isString(part.id) || !isString(part.name) || part.params === undefined) return undefined
  const executed = isProviderExecuted(part)
  // The parameters of a call that the provider has executed are validated now, because nothing does it later.
  return executed === undefined || (executed && tools[part.name] !== undefined)
    ? undefined
    : Parts.toolCall(part.id, part.name, part.params, executed, metadata)
}

/** The default holds for an absent key only. Effect refuses an explicit `undefined`, so that case is left to effect. */
const isProviderExecuted = (part: { readonly providerExecuted?: boolean | undefined }): boolean | undefined =>
  "providerExecuted" in part
    ? typeof part.providerExecuted === "boolean" ? part.providerExecuted : undefined
    : false

const isString = (value: unknown): value is string => typeof value === "string"
