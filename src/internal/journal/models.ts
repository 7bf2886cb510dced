/**
 * Models whose calls are recorded. A new call streams as it comes; a recorded call gives the same parts and the same
 * end.
 *
 * @since 0.1.0
 */

import * as AiError from "effect/ai/AiError"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Prompt from "effect/ai/Prompt"
import type * as Response from "effect/ai/Response"
import * as Telemetry from "effect/ai/Telemetry"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Hash from "effect/Hash"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as AgentRun from "../../AgentRun.ts"
import { promote } from "../model/edge.ts"
import { type CallReport, Report } from "../model/spending.ts"
import * as Json from "../words/json.ts"
import * as JsonCodec from "../words/jsonCodec.ts"
import type { JournalError } from "../words/journalError.ts"
import * as Usage from "../words/usage.ts"
import * as Parts from "./parts.ts"
import { Recording } from "./recording.ts"
import * as Scope from "./scope.ts"

/**
 * How a call is recorded.
 *
 * - `scope`, `name`: the place of the record. Each call has a new name.
 * - `kind`: the part of the request that is the same in each attempt.
 * - `before`: an effect that runs before the call.
 * - `onLive`: called with the context of the call when it is made. Returns the context in which it is made.
 * - `onReplay`: called when the call is taken from its record.
 *
 * @category models
 * @since 0.1.0
 */
export interface Call {
  readonly scope: Scope.Scope
  readonly name: string
  readonly kind: string
  readonly before?: Effect.Effect<void> | undefined
  readonly onLive?: ((context: Context.Context<never>) => Context.Context<never>) | undefined
  readonly onReplay?: (() => void) | undefined
}

/**
 * Returns how a call with these options is recorded, or `undefined` if it is not.
 *
 * @category models
 * @since 0.1.0
 */
export type CallOf = (method: Method, options: Options, context: Context.Context<never>) => Call | undefined

type Method = "streamText" | "generateText" | "generateObject"

/** The options of one call with their types erased. */
interface Options {
  readonly prompt: Prompt.RawInput
  readonly toolkit?: unknown
  readonly schema?: Schema.Codec<unknown, unknown>
}

/** The methods that users call, with their types erased. */
interface Methods {
  readonly streamText: (options: Options) => Stream.Stream<Response.AllParts<any>, AiError.AiError>
  readonly generateText: (options: Options) => Effect.Effect<Generated, AiError.AiError>
  readonly generateObject: (options: Options) => Effect.Effect<Generated, AiError.AiError>
}

type Generated = LanguageModel.GenerateTextResponse<any> & { readonly value?: unknown }

const plain = new WeakMap<LanguageModel.LanguageModel, LanguageModel.LanguageModel>()

/**
 * Returns the model inside of a recorded one, or the model itself.
 *
 * @category accessors
 * @since 0.1.0
 */
export const unwrap = (model: LanguageModel.LanguageModel): LanguageModel.LanguageModel => plain.get(model) ?? model

/**
 * Creates a model whose calls are recorded.
 *
 * @category constructors
 * @since 0.1.0
 */
export const wrap = (recorded: LanguageModel.LanguageModel, callOf: CallOf): LanguageModel.LanguageModel => {
  const own = unwrap(recorded)
  // erased options give erased results
  const model = own as unknown as Methods
  const methods: Methods = {
    streamText: (options) =>
      Stream.unwrap(Effect.contextWith((context: Context.Context<never>) => {
        const call = callOf("streamText", options, context)
        return call === undefined
          ? Effect.succeed(model.streamText(options))
          : streamed(model.streamText(options), call, Parts.toolsOf(options.toolkit), context)
      })),
    generateText: (options) =>
      Effect.contextWith((context: Context.Context<never>) => {
        const call = callOf("generateText", options, context)
        return call === undefined ? model.generateText(options) : generated(model.generateText(options), call, options)
      }),
    generateObject: (options) =>
      Effect.contextWith((context: Context.Context<never>) => {
        const call = callOf("generateObject", options, context)
        return call === undefined
          ? model.generateObject(options)
          : generated(model.generateObject(options), call, options)
      })
  }
  const self: LanguageModel.LanguageModel = Object.assign(Object.create(own), methods)
  plain.set(self, own)
  return self
}

/**
 * Records calls of a model outside of steps in the scope that they are made in. Their names are made from the request,
 * so that concurrent calls find their own records.
 *
 * @category constructors
 * @since 0.1.0
 */
export const beside: CallOf = (method, { prompt }, context) => {
  const scope = Scope.of(context)
  if (scope === undefined || scope.isClosed) return undefined
  const text = Json.toText(Prompt.make(prompt).content)
  const hash = (Hash.string(text) >>> 0).toString(36)
  return { scope, name: scope.unique(`aux/${hash}`), kind: `${method} of ${text.length} characters` }
}

// -----------------------------------------------------------------------------
// Records
// -----------------------------------------------------------------------------

/** How a call ended, and its parts until then. */
interface Ended {
  readonly parts: ReadonlyArray<Response.AllParts<any>>
  readonly end: "finished" | "failed" | "interrupted" | "left"
  readonly failure?: AiError.AiError | undefined
  /** The usage that the provider has reported beside the parts. */
  readonly usage?: AgentRun.Usage | undefined
  readonly reason?: AiError.AiError | undefined
}

const Encoded: Schema.Codec<EncodedCall, unknown> = JsonCodec.make(Schema.Struct({
  parts: Schema.Unknown,
  end: Schema.Literals(["finished", "failed", "interrupted", "left"]),
  failure: Schema.optionalKey(AiError.AiError),
  usage: Schema.optionalKey(AgentRun.Usage),
  reason: Schema.optionalKey(AiError.AiError),
  value: Schema.optionalKey(Schema.Unknown)
}))

interface EncodedCall extends Omit<Ended, "parts"> {
  readonly parts: unknown
  readonly value?: unknown
}

const encode = ({ failure, reason, usage, ...ended }: Ended, value?: { readonly value: unknown }) =>
  // the output of a model is JSON; a call with any other output dies
  Effect.orDie(Effect.flatMap(Parts.encode(ended.parts), (parts) =>
    Schema.encodeEffect(Encoded)({
      ...value,
      parts,
      end: ended.end,
      ...failure !== undefined && { failure },
      ...usage !== undefined && { usage },
      ...reason !== undefined && { reason }
    })))

const decode = (call: Call, value: unknown, tools: ReturnType<typeof Parts.toolsOf>) =>
  Effect.matchEffect(
    Effect.flatMap(
      Schema.decodeUnknownEffect(Encoded)(value),
      (record) => Effect.map(Parts.decode(record.parts, tools), (parts) => ({ ...record, parts }))
    ),
    { onFailure: ({ message }) => undecodable(call, message), onSuccess: (record) => Effect.succeed(record) }
  )

const undecodable = ({ name, scope }: Call, message: string) =>
  scope.broken(Scope.invalid(name, `it does not decode: ${message}`))

const failureOf = (cause: Cause.Cause<unknown>): AiError.AiError | undefined => {
  const error = Option.getOrUndefined(Cause.findErrorOption(cause))
  return AiError.isAiError(error) ? error : undefined
}

// -----------------------------------------------------------------------------
// Streams
// -----------------------------------------------------------------------------

/** The number of parts that may be read ahead of the consumer. */
const highWater = 256

const streamed = Effect.fnUntraced(function*(
  stream: Stream.Stream<Response.AllParts<any>, AiError.AiError>,
  call: Call,
  tools: ReturnType<typeof Parts.toolsOf>,
  context: Context.Context<never>
) {
  const queue = yield* Queue.bounded<Response.AllParts<any>, AiError.AiError | JournalError | Cause.Done>(highWater)
  const outer = Context.get(context, Report)
  const parts: Array<Response.AllParts<any>> = []
  let usage: AgentRun.Usage | undefined
  let reason: AiError.AiError | undefined
  let live: Exit.Exit<void, AiError.AiError> | undefined

  const report: CallReport = {
    usage: (told) => {
      usage = told
      outer.usage(told)
    },
    failure: (error) => {
      reason = error
      outer.failure(error)
    },
    kept: outer.kept
  }
  const said = (end: Ended["end"], failure?: AiError.AiError) =>
    encode({ parts, end, failure, usage: usage && Usage.clean(usage), reason })
  const read = Stream.runForEachArray(stream, (array) => {
    const index = array.findIndex((part) => part.type === "error")
    const before = index === -1 ? array : array.slice(0, index)
    for (const part of before) parts.push(part)
    const offered = Queue.offerAll(queue, before)
    // the edge makes the same failure of it, and parts after it do not count
    return index === -1 ? offered : Effect.andThen(offered, Effect.fail(promote(array[index] as Response.ErrorPart)))
  })
  const execute = Effect.suspend(() => {
    const own = Context.add(call.onLive?.(context) ?? context, Report, report)
    return Effect.flatMap(Effect.exit(Effect.updateContext(read, (_: Context.Context<never>) => own)), (exit) => {
      live = exit
      if (Exit.isSuccess(exit)) return said("finished")
      const failure = failureOf(exit.cause)
      return failure === undefined ? Effect.failCause(exit.cause as Cause.Cause<never>) : said("failed", failure)
    })
  })
  if (call.before !== undefined) yield* call.before
  const recording = new Recording(call.scope, {
    name: call.name,
    kind: call.kind,
    execute,
    interrupted: Effect.suspend(() => said("interrupted")),
    left: Effect.suspend(() => said("left"))
  }, context)
  yield* Effect.addFinalizer(() => recording.leave)

  const replay = Effect.fnUntraced(function*(value: unknown) {
    const record = yield* decode(call, value, tools)
    call.onReplay?.()
    outer.replayed?.()
    if (record.usage !== undefined) outer.usage(record.usage)
    if (record.reason !== undefined) outer.failure(record.reason)
    yield* Queue.offerAll(queue, record.parts)
    switch (record.end) {
      case "finished":
        return yield* Queue.end(queue)
      case "failed":
        return yield* Queue.fail(queue, record.failure!)
      case "interrupted":
        return yield* Queue.failCause(queue, Cause.interrupt())
      case "left":
        // nobody has waited for its end
        return true
    }
  })
  // recorded parts are emitted when they come
  yield* Effect.forkScoped(
    Effect.matchCauseEffect(Fiber.join(recording.fiber), {
      onFailure: (cause) => Queue.failCause(queue, cause),
      onSuccess: ({ isLive, value }) =>
        !isLive
          ? Effect.catchCause(replay(value), (cause) => Queue.failCause(queue, cause))
          : live === undefined
          ? Queue.failCause(queue, Cause.interrupt())
          : Exit.isSuccess(live)
          ? Queue.end(queue)
          : Queue.failCause(queue, live.cause)
    })
  )
  // the run fails with the error of the record, although the type of a model does not have it
  return Stream.fromQueue(queue) as Stream.Stream<Response.AllParts<any>, AiError.AiError>
})

// -----------------------------------------------------------------------------
// Whole responses
// -----------------------------------------------------------------------------

const generated = Effect.fnUntraced(function*(
  effect: Effect.Effect<Generated, AiError.AiError>,
  call: Call,
  { schema, toolkit }: Options
) {
  const context = yield* Effect.context<never>()
  const codec = schema === undefined ? undefined : JsonCodec.make<unknown, unknown, never, never>(schema)
  const transformer = Option.getOrUndefined(Context.getOption(context, Telemetry.CurrentSpanTransformer))
  let live: Exit.Exit<Generated, AiError.AiError> | undefined
  // the transformer receives the output before an answer is decoded
  let content: ReadonlyArray<Response.AllParts<any>> = []
  const tell: Telemetry.SpanTransformer = (options) => {
    content = options.response
    transformer?.(options)
  }
  const ended = Effect.fnUntraced(function*(exit: Exit.Exit<Generated, AiError.AiError>) {
    live = exit
    if (Exit.isSuccess(exit)) {
      const { content: parts, value } = exit.value
      const encoded = codec === undefined ? undefined : { value: yield* Schema.encodeEffect(codec)(value) }
      return yield* encode({ parts, end: "finished" }, encoded)
    }
    const failure = failureOf(exit.cause)
    return failure === undefined
      ? yield* Effect.failCause(exit.cause as Cause.Cause<never>)
      : yield* encode({ parts: content, end: "failed", failure })
  })
  const execute = Effect.suspend(() => {
    const own = Context.add(call.onLive?.(context) ?? context, Telemetry.CurrentSpanTransformer, tell)
    return Effect.flatMap(
      Effect.exit(Effect.updateContext(effect, (_: Context.Context<never>) => own)),
      (exit) => Effect.orDie(ended(exit))
    )
  })
  if (call.before !== undefined) yield* call.before
  const recording = new Recording(call.scope, {
    name: call.name,
    kind: call.kind,
    execute,
    interrupted: encode({ parts: [], end: "interrupted" }),
    left: encode({ parts: [], end: "left" })
  }, context)
  const { isLive, value } = yield* recording.recorded as Effect.Effect<Scope.Recorded>
  if (isLive) return yield* live ?? Effect.interrupt
  const record = yield* decode(call, value, Parts.toolsOf(toolkit)) as ReturnType<typeof decode> & Effect.Effect<any>
  call.onReplay?.()
  if (record.end === "left") return yield* Effect.never
  if (record.end === "interrupted") return yield* Effect.interrupt
  // the transformer looks only at the response
  if (record.parts.length > 0) transformer?.({ response: record.parts } as Parameters<Telemetry.SpanTransformer>[0])
  if (record.end === "failed") return yield* Effect.fail(record.failure!)
  if (codec === undefined) return new LanguageModel.GenerateTextResponse(record.parts)
  const answer = yield* Effect.catchTag(
    Schema.decodeUnknownEffect(codec)(record.value),
    "SchemaError",
    ({ message }) => undecodable(call, message) as Effect.Effect<never>
  )
  return new LanguageModel.GenerateObjectResponse(answer, record.parts)
})
