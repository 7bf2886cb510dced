/**
 * Recordings of model calls: a run with a real model becomes a test that needs no model.
 *
 * `Cassette.layer` is a `LanguageModel` around the one in its context. It records each request with the parts of its
 * answer in a file, and replays them from there. A call is found by its request, so parallel and nested runs replay in
 * any order. Equal requests replay in the order in which they were made. Failures of the model and answers without an
 * end replay as they were. `layerEmbeddingModel` does the same for embeddings, and `layerTools` for the handlers of tools.
 * `fromParts` makes a cassette of a run that has ended.
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

import * as EmbeddingModel from "effect/ai/EmbeddingModel"
import * as LanguageModel from "effect/ai/LanguageModel"
import type * as Prompt from "effect/ai/Prompt"
import type * as Response from "effect/ai/Response"
import type * as Tool from "effect/ai/Tool"
import type * as Toolkit from "effect/ai/Toolkit"
import type * as AiError from "effect/ai/AiError"
import * as Channel from "effect/Channel"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as PlatformError from "effect/PlatformError"
import * as Pull from "effect/Pull"
import type * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as AgentRun from "../AgentRun.ts"
import * as DirectLanguageModel from "../DirectLanguageModel.ts"
import * as Copied from "./internal/copied.ts"
import * as Embeddings from "./internal/embeddings.ts"
import * as Live from "./internal/live.ts"
import * as Opened from "./internal/opened.ts"
import * as Playing from "./internal/playing.ts"
import * as Tape from "./internal/tape.ts"
import type { InvalidCassette } from "./internal/tapeFile.ts"
import * as TestPath from "./internal/testPath.ts"
import * as Tools from "./internal/tools.ts"

/**
 * What a cassette does with a call.
 *
 * - `"record"` makes the call, and replaces what was recorded for its request.
 * - `"replay"` answers from the file, and fails a call that is not in it.
 * - `"auto"` answers from the file, and records the calls that are not in it, or that were interrupted. In CI it replays
 *   only.
 *
 * @category models
 * @since 0.1.0
 */
export type Mode = "record" | "replay" | "auto"

/**
 * The request of a model call as JSON, as it is compared and kept.
 *
 * @category models
 * @since 0.1.0
 */
export interface ModelRequest {
  readonly method: "generateText" | "generateObject" | "streamText"
  readonly prompt: Schema.Json
  readonly tools: Schema.Json
  readonly toolChoice: Schema.Json
  readonly responseFormat: Schema.Json
}

/**
 * The request of an embedding as JSON. `embed` has one input.
 *
 * @category models
 * @since 0.1.0
 */
export interface EmbeddingRequest {
  readonly method: "embed" | "embedMany"
  readonly inputs: ReadonlyArray<string>
}

/**
 * The request of a tool call as JSON, with the parameters that its handler got.
 *
 * @category models
 * @since 0.1.0
 */
export interface ToolRequest {
  readonly method: "tool"
  readonly name: string
  readonly params: Schema.Json
}

/**
 * A request as JSON, as it is compared and kept.
 *
 * @category models
 * @since 0.1.0
 */
export type Request = ModelRequest | EmbeddingRequest | ToolRequest

/**
 * Recorded calls that no call has replayed or recorded again.
 *
 * - `calls`: the calls, with their addresses in the file. The second of several calls with the same request has the
 *   number 2. A call that was copied from a run has the messages that it answers as its `turn`.
 * - `remove`: removes the calls from the file.
 *
 * @category models
 * @since 0.1.0
 */
export interface Unused {
  readonly path: string
  readonly calls: ReadonlyArray<{
    readonly call: string
    readonly nth: number
    readonly request: Request | { readonly method: "streamText"; readonly turn: ReadonlyArray<Schema.Json> }
  }>
  readonly remove: Effect.Effect<void, InvalidCassette | PlatformError.PlatformError>
}

/**
 * The options of a cassette.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<M extends Mode = Mode, R extends Request = Request> {
  /** The file. Its directory is made with the first recorded call. */
  readonly path: string
  readonly mode: M
  /**
   * Replaces what differs from run to run, such as ids and dates, before a request is compared and kept. Default: the
   * request as it is.
   */
  readonly normalise?: ((request: R) => R) | undefined
  /** `"recorded"` waits as long as the recorded call did, by the `Clock`. Default: `"none"`. */
  readonly timing?: "recorded" | "none" | undefined
  /**
   * Whether this is a job of CI, in which `"auto"` records nothing. Default: whether the config value `CI` is set, and is
   * not `false`, `0` or empty. It is read when the layer is built, from the `ConfigProvider`.
   */
  readonly isCI?: boolean | undefined
  /**
   * Called when the layer is closed, if recorded calls of its kind were not used. Default: they are kept, and not
   * reported.
   */
  readonly onUnused?: ((unused: Unused) => Effect.Effect<void>) | undefined
}

export {
  /**
   * A file is not a cassette, is damaged, or is of a newer version. It names the file, the line, and the recorded call.
   *
   * @category errors
   * @since 0.1.0
   */
  InvalidCassette
} from "./internal/tapeFile.ts"

type Failure = InvalidCassette | PlatformError.PlatformError

type Services<M extends Mode, Live> = FileSystem.FileSystem | (M extends "replay" ? never : Live)

// =============================================================================
// Tests
// =============================================================================

/**
 * What vitest gives to a test, as far as its names are concerned.
 *
 * @category models
 * @since 0.1.0
 */
export interface TestContext {
  readonly task: TestPath.Test
}

/**
 * Returns the path of the cassette of a test: `__cassettes__`, beside the file of the test, has a folder for the file, a
 * folder for each `describe`, and a file for each test. Letters, digits and a few signs of a name are kept. Of tests or
 * `describe`s whose names are the same then, the second has the number 2.
 *
 * **Example** (A cassette for each test)
 *
 * ```ts no-run
 * import { NodeFileSystem } from "@effect/platform-node"
 * import { assert, it } from "@effect/vitest"
 * import { Effect, Layer } from "effect"
 * import type { LanguageModel } from "effect/ai"
 * import { Agent } from "effect-agents"
 * import { Cassette } from "effect-agents/testing"
 *
 * declare const model: Layer.Layer<LanguageModel.LanguageModel>
 *
 * const recorded = (context: Cassette.TestContext) =>
 *   Cassette.layer({ path: Cassette.testPath(context), mode: "auto", onUnused: Cassette.warnUnused }).pipe(
 *     Layer.provide([model, NodeFileSystem.layer])
 *   )
 *
 * it.effect("greets", (context) =>
 *   Effect.gen(function*() {
 *     const { text } = yield* Agent.run(Agent.make("assistant"), { prompt: "Hello?" })
 *     assert.include(text, "Hello")
 *   }).pipe(Effect.provide(recorded(context))))
 * ```
 *
 * @category tests
 * @since 0.1.0
 */
export const testPath = (
  context: TestContext,
  options?: {
    /** The folder of the cassettes. Default: `__cassettes__`, beside the file of the test. */
    readonly directory?: string | undefined
  }
): string => TestPath.make(context.task, options?.directory)

/**
 * An `onUnused` that logs a warning with the addresses of the calls.
 *
 * @category tests
 * @since 0.1.0
 */
export const warnUnused = ({ calls, path }: Unused): Effect.Effect<void> =>
  Effect.logWarning(`Recorded calls in \`${path}\` were not used: ${calls.map(Tape.nameOf).join(", ")}`)

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
export const replaceText = (pattern: RegExp, replacement: string): <R extends Request>(request: R) => R => {
  const replace = (json: unknown): unknown =>
    typeof json === "string"
      ? json.replace(pattern, replacement)
      : Array.isArray(json)
      ? json.map(replace)
      : typeof json === "object" && json !== null
      ? Object.fromEntries(Object.entries(json).map(([key, value]) => [key, replace(value)]))
      : json
  return <R extends Request>(request: R) => {
    const { method, ...texts } = request
    // it has the same shape
    return { method, ...replace(texts) as object } as R
  }
}

// =============================================================================
// Layers
// =============================================================================

/**
 * Layer with a model that records and replays. `"replay"` needs no other model.
 *
 * **Details**
 *
 * A call is written when it has ended, before its consumer hears of the end: a process that is killed afterwards has
 * lost nothing. Any number of processes may write to one file. If several of them record the same request at the same
 * time, one answer is kept.
 *
 * A call that was interrupted, or whose consumer left, is recorded as far as it came. If a replay asks for more, it fails
 * and says so. A call that was interrupted first waits as long as the recorded call did, so that a timeout comes again.
 *
 * `"record"` keeps the calls that it does not make again. `onUnused` removes them if you wish.
 *
 * The answers in a file may be mended by hand. A request may not: the call would be at a wrong address.
 *
 * Headers, bodies and causes of provider errors, and the HTTP response of a finished answer, are neither recorded nor
 * passed on. A key in a prompt or in the message of a defect is recorded like any other text, unless `normalise`
 * replaces it.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <const M extends Mode>(
  options: Options<M, ModelRequest>
): Layer.Layer<LanguageModel.LanguageModel, Failure, Services<M, LanguageModel.LanguageModel>> =>
  // a cassette that only replays does not ask for the model
  Layer.effect(LanguageModel.LanguageModel, makeModel(options)) as Layer.Layer<
    LanguageModel.LanguageModel,
    Failure,
    Services<M, LanguageModel.LanguageModel>
  >

/**
 * Layer with an embedding model that records and replays. It may have the same file as `layer`.
 *
 * **Details**
 *
 * Inputs that are embedded one by one are recorded one by one, also if the model is asked for several at once.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerEmbeddingModel = <const M extends Mode>(
  options: Options<M, EmbeddingRequest>
): Layer.Layer<EmbeddingModel.EmbeddingModel, Failure, Services<M, EmbeddingModel.EmbeddingModel>> =>
  // a cassette that only replays does not ask for the model
  Layer.effect(EmbeddingModel.EmbeddingModel, makeEmbeddingModel(options)) as Layer.Layer<
    EmbeddingModel.EmbeddingModel,
    Failure,
    Services<M, EmbeddingModel.EmbeddingModel>
  >

/**
 * Layer with the handlers of a toolkit, which records and replays their results and failures. It may have the same file
 * as `layer`. A call is found by the name of its tool and its parameters.
 *
 * **Gotchas**
 *
 * A handler that is replayed has no effect: nothing is written, sent or deleted.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerTools = <Tools extends Record<string, Tool.Any>, const M extends Mode>(
  toolkit: Toolkit.Toolkit<Tools>,
  options: Options<M, ToolRequest>
): Layer.Layer<Tool.HandlersFor<Tools>, Failure, Services<M, Tool.HandlersFor<Tools>>> =>
  Layer.effectContext(
    Effect.flatMap(
      Opened.open(options, ["tool"]),
      (opened) =>
        Effect.contextWith((live: Context.Context<never>) => Effect.succeed(Tools.make(opened, toolkit.tools, live)))
    )
    // these are the handlers of the toolkit, and a cassette that only replays does not ask for them
  ) as Layer.Layer<Tool.HandlersFor<Tools>, Failure, Services<M, Tool.HandlersFor<Tools>>>

const makeEmbeddingModel = Effect.fnUntraced(function*(options: Options<Mode, EmbeddingRequest>) {
  const opened = yield* Opened.open(options, ["embed", "embedMany"])
  const live = yield* Effect.serviceOption(EmbeddingModel.EmbeddingModel)
  return Embeddings.make(opened, Option.getOrUndefined(live))
})

const makeModel = Effect.fnUntraced(function*(options: Options<Mode, ModelRequest>) {
  const opened = yield* Opened.open(options, ["generateText", "generateObject", "streamText"])
  const live = Option.getOrUndefined(yield* Effect.serviceOption(LanguageModel.LanguageModel))

  const ask = Effect.fnUntraced(function*(method: ModelRequest["method"], provided: LanguageModel.ProviderOptions) {
    const request = yield* Live.toRequest(method, provided).pipe(
      Effect.catch(({ message }) => Opened.failed(method, `The prompt is not JSON: ${message}`))
    )
    return yield* opened.find(request)
  })

  /** A call that is to be recorded has a model. */
  const answerTo = (
    found: Opened.Found,
    scope: Scope.Scope,
    pull: (model: LanguageModel.LanguageModel) => Effect.Effect<Pull.Pull<Live.Recorded, AiError.AiError>>
  ): Effect.Effect<Pull.Pull<Playing.Encoded, AiError.AiError>> => {
    if (found._tag === "Recorded") return Effect.succeed(Playing.play(found.entry, opened.timing, opened.path))
    if (live === undefined) return Effect.die("A cassette without a model asked it")
    const { recorder } = found
    return Effect.andThen(
      Scope.addFinalizerExit(scope, (exit) => Playing.leave(recorder, exit)),
      Effect.map(pull(live), (pull) => Playing.record(recorder, pull))
    )
  }

  return yield* DirectLanguageModel.make({
    supportsSystemMessagesInHistory: live?.supportsSystemMessagesInHistory,
    generateText: (provided) =>
      Effect.scopedWith((scope) =>
        Effect.gen(function*() {
          const found = yield* ask(
            provided.responseFormat.type === "json" ? "generateObject" : "generateText",
            provided
          )
          const pull = yield* answerTo(found, scope, (model) => Effect.succeed(Live.once(Live.ask(model, provided))))
          const content: Array<Response.PartEncoded> = []
          // a recorded answer of this method has the parts of this method
          const more: Effect.Effect<void, AiError.AiError> = Pull.matchEffect(pull, {
            onSuccess: (parts) => Effect.suspend(() => (content.push(...parts as unknown as typeof content), more)),
            onDone: () => Effect.void,
            onFailure: Effect.failCause
          })
          yield* more
          return content
        })
      ),
    streamText: (provided) =>
      Stream.fromChannel(
        Channel.fromTransform((_upstream, scope) =>
          Effect.flatMap(ask("streamText", provided), (found) =>
            answerTo(found, scope, (model) =>
              Channel.toPullScoped(Stream.toChannel(Live.askStream(model, provided)), scope)))
        )
      )
  })
})
