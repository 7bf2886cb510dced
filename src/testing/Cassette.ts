/**
 * Recordings of model calls: a run with a real model becomes a test that needs no model.
 *
 * `Cassette.layer` is a `LanguageModel` around the one in its context. It records each request with the parts of its
 * answer in a file, and replays them from there. A call is found by its request, so parallel and nested runs replay in
 * any order. Equal requests replay in the order in which they were made. Failures of the model and answers without an
 * end replay as they were.
 *
 * **Example** (Recorded once, replayed without a model)
 *
 * ```ts
 * import { Console, Effect, FileSystem, Layer } from "effect"
 * import { Agent } from "effect-agents"
 * import { Cassette, ScriptedModel } from "effect-agents/testing"
 *
 * // a program takes `NodeFileSystem.layer`; this one keeps a file in memory
 * const files = new Map<string, string>()
 * const fileSystem = FileSystem.layerNoop({
 *   readFileString: (path) => Effect.sync(() => files.get(path) ?? ""),
 *   writeFileString: (path, text) => Effect.sync(() => { files.set(path, text) }),
 *   rename: (from, to) => Effect.sync(() => { files.set(to, files.get(from) ?? "") })
 * })
 *
 * const ask = Effect.map(Agent.run(Agent.make("assistant"), { prompt: "Hello?" }), ({ text }) => text)
 *
 * const record = Cassette.layer({ path: "hello.jsonl", mode: "record" }).pipe(
 *   Layer.provide([ScriptedModel.layer([ScriptedModel.text("Hello you")]), fileSystem])
 * )
 * const replay = Cassette.layer({ path: "hello.jsonl", mode: "replay" }).pipe(Layer.provide(fileSystem))
 *
 * const program = Effect.gen(function*() {
 *   yield* Console.log(yield* Effect.provide(ask, record))
 *   yield* Console.log(yield* Effect.provide(ask, replay))
 * })
 *
 * Effect.runPromise(program)
 * // => Hello you
 * // => Hello you
 * ```
 *
 * @since 0.1.0
 */

import * as AiError from "effect/ai/AiError"
import * as LanguageModel from "effect/ai/LanguageModel"
import type * as Prompt from "effect/ai/Prompt"
import type * as Response from "effect/ai/Response"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as PlatformError from "effect/PlatformError"
import * as Pull from "effect/Pull"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type * as AgentRun from "../AgentRun.ts"
import * as DirectLanguageModel from "../DirectLanguageModel.ts"
import * as Parts from "../internal/wire/parts.ts"
import * as Fields from "../internal/words/fields.ts"
import * as TellableError from "../internal/words/tellableError.ts"
import * as Address from "./internal/address.ts"
import * as Copied from "./internal/copied.ts"
import * as Live from "./internal/live.ts"
import * as Tape from "./internal/tape.ts"

/**
 * What a cassette does with a call.
 *
 * - `"record"` calls the model, and replaces the file.
 * - `"replay"` answers from the file, and fails a call that is not in it.
 * - `"auto"` answers from the file, and records the calls that are not in it. If the config value `CI` is set, and is not
 *   `false` or `0`, it replays only.
 *
 * @category models
 * @since 0.1.0
 */
export type Mode = "record" | "replay" | "auto"

/**
 * A request as JSON, as it is compared and kept.
 *
 * @category models
 * @since 0.1.0
 */
export interface Request {
  readonly method: "generateText" | "generateObject" | "streamText"
  readonly prompt: Schema.Json
  readonly tools: Schema.Json
  readonly toolChoice: Schema.Json
  readonly responseFormat: Schema.Json
}

/**
 * The options of a cassette.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<M extends Mode = Mode> {
  /** The file. Its directory must exist. */
  readonly path: string
  readonly mode: M
  /**
   * Replaces what differs from run to run, such as ids and dates, before a request is compared and kept. Default: the
   * request as it is.
   */
  readonly normalise?: ((request: Request) => Request) | undefined
  /** `"recorded"` waits as long as the model did, by the `Clock`. Default: `"none"`. */
  readonly timing?: "recorded" | "none" | undefined
}

/**
 * A file is not a cassette, is damaged, or is of a newer version.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidCassette extends Schema.Error<InvalidCassette>("effect-agents/testing/Cassette/InvalidCassette")({
  _tag: Schema.tag("InvalidCassette"),
  path: Schema.String,
  /** The first line is 1. */
  line: Schema.Int,
  description: Schema.String
}) {
  override get message(): string {
    return `\`${this.path}\`, line ${this.line}: ${this.description}`
  }
}

type Services<M extends Mode> = FileSystem.FileSystem | (M extends "replay" ? never : LanguageModel.LanguageModel)

// =============================================================================
// Copies of runs
// =============================================================================

/**
 * Returns the text of a cassette with the model calls of a run that has ended, and of the runs nested in it. The parts
 * are those of the run as JSON, as `AgentRun.parts` encodes them and `AgentHttp` sends them.
 *
 * **Details**
 *
 * The parts of a run do not contain its requests, but they contain the messages that each call answers: the prompt, or
 * the results of tools. So a copied answer replays for any request that ends with these messages, whatever its system
 * message, its history and its tools are. A recorded answer to the same request comes first.
 *
 * A run that did not complete does not tell its prompt. Without the option, its first call answers any request.
 *
 * The answers are copied as they were after the middleware of the agent. A middleware that changes the parts of a model
 * changes them once more when they are replayed.
 *
 * **Example** (A run, and the same run without a model)
 *
 * ```ts
 * import { Console, Effect, FileSystem, Layer, Schema, Stream } from "effect"
 * import { Agent, AgentRun } from "effect-agents"
 * import { Cassette, ScriptedModel } from "effect-agents/testing"
 *
 * const assistant = Agent.make("assistant")
 *
 * const program = Effect.gen(function*() {
 *   const parts = yield* Agent.stream(assistant, { prompt: "Hello?" }).pipe(
 *     Stream.mapEffect((part) => Schema.encodeEffect(AgentRun.parts())(part)),
 *     Stream.runCollect,
 *     Effect.provide(ScriptedModel.layer([ScriptedModel.text("Hello you")]))
 *   )
 *   const files = FileSystem.layerNoop({ readFileString: () => Effect.succeed(Cassette.fromParts(parts)) })
 *   const replay = Cassette.layer({ path: "hello.jsonl", mode: "replay" }).pipe(Layer.provide(files))
 *   const { text } = yield* Effect.provide(Agent.run(assistant, { prompt: "Hello?" }), replay)
 *   yield* Console.log(text)
 * })
 *
 * Effect.runPromise(program)
 * // => Hello you
 * ```
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromParts = (
  parts: Iterable<AgentRun.PartEncoded>,
  options?: {
    /** The prompt of the run. Default: the prompt in the result of the run, if it completed. */
    readonly prompt?: string | ReadonlyArray<Prompt.MessageEncoded> | undefined
  }
): string => Copied.toCassette(Tape.header, parts, options?.prompt)

// =============================================================================
// Normalisation
// =============================================================================

/**
 * Creates a `normalise` that replaces every match of a pattern in the texts of a request.
 *
 * @category normalisation
 * @since 0.1.0
 */
export const replaceText = (pattern: RegExp, replacement: string): (request: Request) => Request => {
  const replace = (json: Schema.Json): Schema.Json =>
    typeof json === "string"
      ? json.replace(pattern, replacement)
      : Array.isArray(json)
      ? json.map(replace)
      : typeof json === "object" && json !== null
      ? Object.fromEntries(Object.entries(json).map(([key, value]) => [key, replace(value)]))
      : json
  return (request) => ({
    method: request.method,
    prompt: replace(request.prompt),
    tools: replace(request.tools),
    toolChoice: replace(request.toolChoice),
    responseFormat: replace(request.responseFormat)
  })
}

// =============================================================================
// Layers
// =============================================================================

/**
 * Layer with a model that records and replays. `"replay"` needs no other model.
 *
 * **Details**
 *
 * The file is written when the layer is closed, also after a run that failed: first beside it, then renamed. A call that
 * was interrupted, or whose consumer left, is recorded as far as it came; replayed it waits there.
 *
 * Headers, bodies and causes of provider errors, and the HTTP response of a finished answer, are neither recorded nor
 * passed on. A key in a prompt is recorded like any other text, unless `normalise` replaces it.
 *
 * **Gotchas**
 *
 * Two layers that record to one path at the same time do not see one another: the one that closes last has the file.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <const M extends Mode>(
  options: Options<M>
): Layer.Layer<LanguageModel.LanguageModel, InvalidCassette | PlatformError.PlatformError, Services<M>> =>
  // a cassette that only replays does not ask for the model
  Layer.effect(LanguageModel.LanguageModel, make(options)) as Layer.Layer<
    LanguageModel.LanguageModel,
    InvalidCassette | PlatformError.PlatformError,
    Services<M>
  >

const make = Effect.fnUntraced(function*(options: Options) {
  const { normalise, path, timing = "none" } = options
  const fileSystem = yield* FileSystem.FileSystem
  const mode = options.mode === "auto" && (yield* isCI) ? "replay" : options.mode
  const entries: Array<Tape.Entry> = mode === "record" ? [] : [...yield* load(fileSystem, path, mode === "auto")]
  const waiting = entries.slice()
  const context = yield* Effect.context<never>()
  const model = mode === "replay" ? undefined : Context.getOption(context, LanguageModel.LanguageModel)
  const live = model === undefined ? undefined : Option.getOrUndefined(model)
  const recordedBefore = entries.length

  if (mode !== "replay") {
    yield* Effect.addFinalizer(() =>
      Effect.suspend(() =>
        mode === "auto" && entries.length === recordedBefore ? Effect.void : save(fileSystem, path, entries)
      )
    )
  }

  /** The recorded answer to a request, or the place where the answer of the model goes. */
  const open = Effect.fnUntraced(function*(method: Request["method"], provided: LanguageModel.ProviderOptions) {
    const made = yield* Live.toRequest(method, provided)
    const request = normalise === undefined ? made : normalise(made)
    const found = Tape.find(waiting, request)
    if (found !== undefined) {
      waiting.splice(waiting.indexOf(found), 1)
      return { entry: found, model: undefined }
    }
    if (live === undefined) {
      const description = `${Tape.explain(entries, request)} (\`${path}\`)`
      return yield* AiError.make({
        module: "Cassette",
        method,
        reason: new AiError.InvalidRequestError({ description })
      })
    }
    const call = Address.addressOf(Address.textOf(request))
    const entry: Tape.Entry = { call, request, arrived: [], end: { end: "cut" } }
    entries.push(entry)
    return { entry, model: live }
  })

  return yield* DirectLanguageModel.make({
    supportsSystemMessagesInHistory: live?.supportsSystemMessagesInHistory,
    generateText: (provided) =>
      Effect.gen(function*() {
        const { entry, model } = yield* open(
          provided.responseFormat.type === "json" ? "generateObject" : "generateText",
          provided
        )
        const pull = model === undefined ? play(entry, timing) : record(entry, Live.once(Live.ask(model, provided)))
        const content: Array<Response.PartEncoded> = []
        // a recorded answer of this method has the parts of this method
        const more: Effect.Effect<void, AiError.AiError> = Pull.matchEffect(pull, {
          onSuccess: (parts) => Effect.suspend(() => (content.push(...parts as unknown as typeof content), more)),
          onDone: () => Effect.void,
          onFailure: Effect.failCause
        })
        yield* more
        return content
      }),
    streamText: (provided) =>
      Stream.fromChannel(
        Channel.fromTransform((_upstream, scope) =>
          Effect.flatMap(open("streamText", provided), ({ entry, model }) =>
            model === undefined
              ? Effect.succeed(play(entry, timing))
              : Effect.map(
                Channel.toPullScoped(Stream.toChannel(Live.askStream(model, provided)), scope),
                (pull) => record(entry, pull)
              ))
        )
      )
  })
})

const isCI = Effect.orDie(
  Effect.map(
    Config.withDefault(Config.String("CI"), ""),
    (value) => value !== "" && value !== "0" && value.toLowerCase() !== "false"
  )
)

const load = (fileSystem: FileSystem.FileSystem, path: string, mayBeMissing: boolean) =>
  fileSystem.readFileString(path).pipe(
    Effect.flatMap((text) => Effect.mapError(Tape.read(text), (damage) => new InvalidCassette({ path, ...damage }))),
    Effect.catchIf(
      (error) => mayBeMissing && error._tag === "PlatformError" && error.reason._tag === "NotFound",
      () => Effect.succeed([])
    )
  )

const save = (fileSystem: FileSystem.FileSystem, path: string, entries: ReadonlyArray<Tape.Entry>) =>
  Tape.write(entries).pipe(
    Effect.flatMap((text) => fileSystem.writeFileString(`${path}.tmp`, text)),
    Effect.andThen(fileSystem.rename(`${path}.tmp`, path)),
    Effect.orDie
  )

// -----------------------------------------------------------------------------
// recording and replaying
// -----------------------------------------------------------------------------

type Encoded = readonly [Response.StreamPartEncoded, ...Array<Response.StreamPartEncoded>]

const record = (
  entry: Tape.Entry,
  pull: Pull.Pull<Live.Recorded, AiError.AiError>
): Pull.Pull<Encoded, AiError.AiError> =>
  Effect.flatMap(Clock.currentTimeMillis, (begin) => {
    const since = Effect.map(Clock.currentTimeMillis, (now) => now > begin ? { after: now - begin } : {})
    return Pull.matchEffect(pull, {
      onSuccess: (parts) =>
        Effect.gen(function*() {
          const sent = yield* Effect.orDie(Effect.forEach(parts, encodePart))
          if (sent.length > 0) {
            entry.arrived.push({ ...yield* since, parts: sent as unknown as Tape.Arrived["parts"] })
          }
          return yield* toProvider(sent)
        }),
      onDone: () =>
        Effect.flatMap(since, (after) => {
          entry.end = { ...after, end: "done" }
          return Cause.done()
        }),
      onFailure: (cause): Pull.Pull<never, AiError.AiError> =>
        Effect.flatMap(since, (after) => {
          const failed = cause.reasons.find(Cause.isFailReason)
          const died = cause.reasons.find(Cause.isDieReason)
          if (failed !== undefined) {
            const error = TellableError.of(failed.error)
            entry.end = { ...after, end: "failed", error }
            return Effect.fail(error)
          }
          if (died !== undefined) entry.end = { ...after, end: "died", defect: died.defect }
          return Effect.failCause(cause as Cause.Cause<never>)
        })
    })
  })

const play = (entry: Tape.Entry, timing: "recorded" | "none"): Pull.Pull<Encoded, AiError.AiError> => {
  let index = 0
  const wait = (after: number | undefined) =>
    timing === "none" || after === undefined ? Effect.void : Effect.sleep(after)
  return Effect.suspend((): Pull.Pull<Encoded, AiError.AiError> => {
    const array = entry.arrived[index++]
    // the codec of the parts checks them
    if (array !== undefined) {
      return Effect.andThen(wait(array.after), toProvider(array.parts as ReadonlyArray<unknown> as ReadonlyArray<Sent>))
    }
    return Effect.andThen(wait(entry.end.after), toEnd(entry.end))
  })
}

const toEnd = (end: Tape.End): Pull.Pull<never, AiError.AiError> => {
  switch (end.end) {
    case "done":
      return Cause.done()
    case "cut":
      return Effect.never
    case "failed":
      return Effect.fail(end.error)
    case "died":
      return Effect.die(end.defect)
  }
}

type Sent = Parts.PartEncoded

const encodePart = (part: Live.Recorded[number]): Effect.Effect<Sent, unknown> =>
  part.type === "text" || part.type === "reasoning"
    ? Effect.succeed({
      type: part.type,
      text: part.text,
      metadata: (Fields.toJson(part.metadata) ?? {}) as Schema.Json
    })
    // the parts of a response need no services
    : Parts.untyped.encode(part) as Effect.Effect<Sent, unknown>

/** The parts as a provider says them: a recorded error has its class beside it, a result its encoded form only. */
const toProvider = (sent: ReadonlyArray<Sent>): Effect.Effect<Encoded, AiError.AiError> =>
  Effect.map(
    Effect.forEach(sent, (part): Effect.Effect<unknown> => {
      if (part.type === "error") return Effect.orDie(Parts.untyped.decode(part) as Effect.Effect<unknown, unknown>)
      if (part.type !== "tool-result") return Effect.succeed(part)
      const { encodedResult, isFailure, ...rest } = part
      return Effect.succeed({ ...rest, result: encodedResult ?? null, isFailure: isFailure ?? false })
    }),
    (parts) => parts as unknown as Encoded
  )
