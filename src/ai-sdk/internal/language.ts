/**
 * The calls of a language model.
 *
 * @since 0.1.0
 */
import type * as Sdk from "@ai-sdk/provider"
import * as AiError from "effect/ai/AiError"
import type * as LanguageModel from "effect/ai/LanguageModel"
import type * as Response from "effect/ai/Response"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as DirectLanguageModel from "../../DirectLanguageModel.ts"
import * as BareTools from "../../internal/model/bareTools.ts"
import * as ToolCodec from "../../internal/model/toolCodec.ts"
import { fromReadableStream, type Pump } from "../../internal/model/pump.ts"
import * as Direct from "../../internal/model/direct.ts"
import type { CallReport } from "../../internal/model/spending.ts"
import * as Text from "../../internal/words/text.ts"
import type * as AiSdk from "../AiSdk.ts"
import * as Annotations from "./annotations.ts"
import * as Call from "./call.ts"
import * as Conversation from "./conversation.ts"
import * as Names from "./names.ts"
import * as Request from "./request.ts"
import * as Converted from "./response.ts"
import * as Target from "./target.ts"

/**
 * Creates a language model. The settings of a call are read from its context.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  model: Sdk.LanguageModelV4,
  settingsOf: (context: Context.Context<never>) => AiSdk.Settings,
  codecTransformer: LanguageModel.CodecTransformer | undefined
): Effect.Effect<LanguageModel.LanguageModel> =>
  Effect.suspend(() => {
    const report = makeReport(model.modelId)
    const target = Target.of(model)
    const namesOf = Names.maker(target)

    const start = (options: LanguageModel.ProviderOptions, method: string): Effect.Effect<Started, AiError.AiError> =>
      Effect.withFiber(({ context }) => {
        const settings = settingsOf(context)
        const { span } = options
        Annotations.request(span, "chat", model, settings, method === "streamText")
        const call = new Call.Call({ model, method, context, span, headers: settings.headers })
        const { specificationVersion } = model
        if (!isKnown(specificationVersion)) return Effect.fail(call.error(unknownVersion(model)))
        const refusal = ToolCodec.findRefusal(options.tools)
        if (refusal !== undefined) return Effect.fail(call.error(notOffered(refusal)))
        const started = (options: LanguageModel.ProviderOptions): Effect.Effect<Started, AiError.AiError> =>
          fromResult(
            Result.try(() => {
              const beside = Direct.reportOf(options, context)
              const prompt = Direct.isOfRun(options) ? options.prompt : Text.wellFormedPrompt(options.prompt)
              const conversation = Conversation.take(beside, target, options.tools, prompt.content, namesOf)
              const request = Request.make({ ...options, prompt }, {
                settings: Request.ofSettings(settings),
                conversation,
                version: specificationVersion,
                codecTransformer,
                abortSignal: call.signal
              })
              Conversation.keep(beside, conversation)
              return {
                call,
                settings,
                report: reportOf(call, beside),
                names: conversation.names,
                toBare: BareTools.makeCalls(options),
                request
              }
            }),
            (error) => call.error(unsupported(call, error))
          )
        return options.toolCallValidation === "deferred"
          ? started(options)
          : Effect.flatMap(BareTools.toJsonPrompt(options), (prompt) => started({ ...options, prompt }))
      })

    return DirectLanguageModel.make({
      generateText: (options) =>
        Effect.flatMap(start(options, "generateText"), ({ call, names, report: beside, request, settings, toBare }) => {
          const answer = call.wait(() => Call.promise(() => model.doGenerate(request)))
          return Effect.flatMap(Effect.onInterrupt(answer, () => Effect.sync(() => call.abort())), (result) => {
            const isObject = options.responseFormat.type === "json"
            const converted = Result.try(() => Converted.fromResult(result, isObject, names))
            if (Result.isFailure(converted)) return Effect.fail(call.error(unreadable(call, converted.failure)))
            const { failure, parts, summary, truncated } = converted.success
            call.setUrl(result.request?.url)
            Annotations.response(options.span, summary)
            call.answering = parts.length > 0
            if (failure !== undefined) beside.failure(failure)
            if (truncated && settings.missingFinishReason !== "accept") {
              beside.usage(summary.finish.usage)
              return Effect.fail(call.truncated())
            }
            return Effect.andThen(
              report(result.warnings, call),
              toBare === undefined ? Effect.succeed(parts) : toBare(parts)
            )
          })
        }),
      streamText: (options) =>
        Stream.fromChannel(Channel.fromTransform((_upstream, scope) =>
          Effect.flatMap(start(options, "streamText"), ({ call, names, report: beside, request, settings, toBare }) => {
            const converter = new Converted.Converter(names, settings, beside)
            const end = () => Annotations.response(options.span, converter)
            const parts = new Parts(call, converter, report, () => model.doStream(request))
            const pull = toBare === undefined ? parts.pull : Effect.flatMap(parts.pull, toBare)
            return Effect.as(Scope.addFinalizerExit(scope, () => parts.close(end)), pull)
          })
        )),
      ...(codecTransformer === undefined ? undefined : { codecTransformer })
    })
  })

const fromResult = <A, E>(made: Result.Result<A, unknown>, onFailure: (error: unknown) => E): Exit.Exit<A, E> =>
  Result.isSuccess(made) ? Exit.succeed(made.success) : Exit.fail(onFailure(made.failure))

const reportOf = (call: Call.Call, beside: CallReport): Converted.Report => ({
  usage: (usage) => beside.usage(usage),
  failure: (reason) => beside.failure(call.error(reason))
})

interface Started {
  readonly call: Call.Call
  readonly names: Names.ToolNames
  readonly settings: AiSdk.Settings
  readonly report: Converted.Report
  readonly request: Sdk.LanguageModelV4CallOptions
  readonly toBare: BareTools.ToBare | undefined
}

type PartsPull = Pull.Pull<Arr.NonEmptyReadonlyArray<Response.StreamPartEncoded>, AiError.AiError>

/** The parts of one streamed response, beginning with its request. */
class Parts {
  private opening: Promise<Sdk.LanguageModelV4StreamResult> | undefined = undefined
  private pump: Pump<Sdk.LanguageModelV4StreamPart> | undefined = undefined
  private isClosed = false
  private readonly call: Call.Call
  private readonly converter: Converted.Converter
  private readonly report: Report
  private readonly doStream: () => PromiseLike<Sdk.LanguageModelV4StreamResult>

  constructor(
    call: Call.Call,
    converter: Converted.Converter,
    report: Report,
    doStream: () => PromiseLike<Sdk.LanguageModelV4StreamResult>
  ) {
    this.call = call
    this.converter = converter
    this.report = report
    this.doStream = doStream
  }

  readonly pull: PartsPull = Effect.suspend(() => this.pump === undefined ? this.open() : this.take(this.pump))

  /**
   * Aborts the request, unless the whole response was read, and waits until the provider has released it. A stream that
   * the provider opens nevertheless is closed, too. Then it calls `end`. Mostly there is nothing to wait for.
   */
  close(end: () => void): Effect.Effect<void> {
    const { opening, pump } = this
    this.isClosed = true
    if (opening === undefined || pump?.ended === true) {
      end()
      return Exit.void
    }
    return Effect.callback((resume) => {
      this.call.abort()
      const cancelled = opening.then((result) => pump === undefined ? result.stream.cancel() : pump.cancel())
      // An error here is an error of the request, which the call has already reported.
      Promise.allSettled([cancelled]).then(() => resume(Effect.sync(end)))
    })
  }

  /** Waits for the stream and for its first parts. */
  private open(): PartsPull {
    const opening = this.opening = Call.promise(this.doStream)
    return Effect.callback((resume) => {
      opening.then(
        (result) => {
          // `close` waits for this stream, and a stream that is read cannot be closed by anybody else
          if (this.isClosed) return
          const made = Result.try(() => fromReadableStream(result.stream))
          if (Result.isFailure(made)) return resume(Effect.fail(this.call.error(unreadable(this.call, made.failure))))
          const pump = this.pump = made.success
          const opened = Effect.suspend(() => {
            this.call.setUrl(result.request?.url)
            return this.take(pump)
          })
          pump.take()
          pump.onArrival(() => resume(opened))
        },
        (error) => resume(Effect.suspend(() => Effect.fail(this.call.error(error))))
      )
    })
  }

  private take(pump: Pump<Sdk.LanguageModelV4StreamPart>): PartsPull {
    const { converter } = this
    if (converter.failure !== undefined) return Effect.fail(this.call.error(converter.failure.error))
    const taken = pump.take()
    if (taken.length === 0) {
      return pump.ended ? this.end(pump) : Effect.flatMap(pump.wait, () => this.take(pump))
    }
    const { warnings } = converter
    const converted = Result.try(() => converter.convert(taken))
    if (Result.isFailure(converted)) return Effect.fail(this.call.error(unreadable(this.call, converted.failure)))
    const parts = converted.success
    this.call.answering ||= parts.length > 0
    // A part that effect/ai does not need gives an empty array, and an empty array cannot be pulled.
    const given = Arr.isArrayNonEmpty(parts) ? Effect.succeed(parts) : Effect.suspend(() => this.take(pump))
    return converter.warnings === warnings ? given : Effect.andThen(this.report(converter.warnings, this.call), given)
  }

  private end(pump: Pump<Sdk.LanguageModelV4StreamPart>): PartsPull {
    if (pump.failure !== undefined) return Effect.fail(this.call.error(pump.failure.error))
    const end = this.converter.end()
    if (end !== undefined) return Effect.succeed([end])
    return this.converter.truncated ? Effect.fail(this.call.truncated()) : Cause.done()
  }
}

// =============================================================================
// Warnings
// =============================================================================

type Report = (
  warnings: ReadonlyArray<Sdk.SharedV4Warning> | undefined,
  call: Call.Call
) => Effect.Effect<void>

const maximumWarnings = 100

/** Logs each warning of a provider once, because the settings are the same in every call. */
const makeReport = (modelId: string): Report => {
  const reported = new Set<string>()
  return (warnings, call) => {
    if (!Array.isArray(warnings) || warnings.length === 0) return Effect.void
    return Effect.forEach(warnings.map((warning) => call.redact(textOf(warning))), (text) => {
      if (reported.has(text) || reported.size >= maximumWarnings) return Effect.void
      reported.add(text)
      return Effect.logWarning(`\`${modelId}\`: ${text}`)
    }, { discard: true })
  }
}

const textOf = (warning: Sdk.SharedV4Warning): string => {
  const text = [
    "feature" in warning ? `${warning.type}: ${warning.feature}` : warning.type,
    "details" in warning ? warning.details : undefined,
    "message" in warning ? warning.message : undefined
  ]
  return text.filter((text) => text !== undefined).join(". ")
}

/** The error of a provider that does not follow its own specification. */
const unreadable = (call: Call.Call, error: unknown): AiError.InvalidResponseError =>
  new AiError.InvalidResponseError({
    description: `The provider gave what cannot be read: ${call.redact(messageOf(error))}`
  })

const messageOf = (error: unknown): string => error instanceof Error ? error.message : String(error)

// =============================================================================
// Calls that cannot be made
// =============================================================================

const isKnown = (version: string): boolean => version === "v4" || version === "v3"

const unknownVersion = (model: Sdk.LanguageModelV4): AiError.InvalidRequestError =>
  new AiError.InvalidRequestError({
    parameter: "model",
    description: `\`${model.modelId}\` implements the specification \`${model.specificationVersion}\` of the AI SDK; ` +
      "use a version of its package that implements v4 or v3"
  })

const notOffered = ({ description, tool }: ToolCodec.Refusal): AiError.UnsupportedSchemaError =>
  new AiError.UnsupportedSchemaError({ description: `Tool \`${tool}\` cannot be offered to a model: ${description}` })

const unsupported = (call: Call.Call, error: unknown): AiError.UnsupportedSchemaError =>
  new AiError.UnsupportedSchemaError({ description: call.redact(messageOf(error)) })
