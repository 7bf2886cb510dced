/**
 * Tool failures that the model reads, so that the run goes on.
 *
 * A failure of a tool ends the run in failure mode `"error"`, which is the default. That is right for your own tools,
 * if the program handles their failures. It is wrong for tools of an MCP server, a library or another agent, because
 * the model can often correct such failures. `returnToModel` makes a toolkit whose failures are results.
 *
 * **Example** (The model reads that a city is not known, and tries another one)
 *
 * ```ts
 * import { Console, Effect, Schema } from "effect"
 * import { Tool, Toolkit } from "effect/ai"
 * import { Agent, ToolFailure } from "effect-agents"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * class UnknownCity extends Schema.TaggedError<UnknownCity>()("UnknownCity", { city: Schema.String }) {}
 *
 * const Weather = Tool.make("get_weather", {
 *   parameters: Schema.Struct({ city: Schema.String }),
 *   success: Schema.String,
 *   failure: UnknownCity
 * })
 * const toolkit = Toolkit.make(Weather)
 * const tools = toolkit.toLayer({
 *   get_weather: ({ city }) => city === "Oslo" ? Effect.succeed("rain") : Effect.fail(new UnknownCity({ city }))
 * })
 *
 * const assistant = Agent.make("assistant", { toolkit: ToolFailure.returnToModel(toolkit) })
 *
 * const program = Effect.gen(function*() {
 *   const { text } = yield* Agent.run(assistant, { prompt: "How is the weather in Osloo?" })
 *   yield* Console.log(text)
 * })
 *
 * const model = ScriptedModel.layer([
 *   ScriptedModel.toolCalls({ name: "get_weather", params: { city: "Osloo" } }),
 *   ScriptedModel.toolCalls({ name: "get_weather", params: { city: "Oslo" } }),
 *   ScriptedModel.text("It rains.")
 * ])
 *
 * Effect.runPromise(Effect.provide(program, [tools, model]))
 * // => It rains.
 * ```
 *
 * @since 0.1.0
 */
import type * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type * as Schema from "effect/Schema"
import * as Failures from "./internal/tool/failures.ts"
import * as NestedTools from "./internal/tool/nested.ts"

// -----------------------------------------------------------------------------
// Models
// -----------------------------------------------------------------------------

/**
 * A failure that the model reads as a sentence, because the tool's failure schema has no JSON form for it. `error`
 * stays in the process, and is `undefined` in a failure that was decoded.
 *
 * @category models
 * @since 0.1.0
 */
export interface ToolFailure {
  readonly _tag: "ToolFailure"
  readonly message: string
  readonly error: unknown
}

/**
 * Schema for `ToolFailure`, which is encoded as its message.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ToolFailure: Schema.Codec<ToolFailure, string> = Failures.Told

/**
 * A tool whose failures are results. A failure that its own schema describes keeps its form; others are a
 * `ToolFailure`.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Returning<T extends Tool.Any> = Tool.RequiresHandler<T> extends false ? T
  : T extends Tool.Tool<infer Name, infer Config, infer R> ? Config["failureMode"] extends "return" ? T
    : Tool.Tool<Name, {
      readonly parameters: Config["parameters"]
      readonly success: Config["success"]
      readonly failure: Schema.Union<readonly [Config["failure"], typeof ToolFailure]>
      readonly failureMode: "return"
    }, R>
  : never

/**
 * The tools of a toolkit whose failures are results.
 *
 * @category utility types
 * @since 0.1.0
 */
export type ReturningAll<Tools extends Record<string, Tool.Any>> = {
  readonly [Name in keyof Tools]: Returning<Tools[Name]>
}

// -----------------------------------------------------------------------------
// Combinators
// -----------------------------------------------------------------------------

/**
 * Returns the toolkit with failures that the model reads as results of its calls. The run goes on, and the failures are
 * no longer among its errors.
 *
 * It takes a `Toolkit` (the layer of its handlers stays the same), an effect that gives tools with their handlers, such
 * as `McpClient.toolkit` or `AgentTool.toolkit`, or such tools themselves.
 *
 * **Details**
 *
 * - The model reads a failure as the tool's failure schema encodes it. If the schema has no JSON form for it, the model
 *   reads its message alone.
 * - From an MCP server the model reads the text of a result with `isError`, or the message of the error. A result with
 *   images, audio or other binary content, which `McpClient.toolkit` rejects, becomes a success that holds files.
 * - Defects stay defects, and interruption stays interruption. A result that is not JSON still fails the run.
 * - A tool that already returns its failures stays as it is.
 * - A failure of the effect itself, such as a server that cannot be reached, still fails the run.
 *
 * **Example** (The tools of an MCP server)
 *
 * ```ts no-run
 * import { Effect } from "effect"
 * import { McpClient } from "effect/ai"
 * import { Agent, ToolFailure } from "effect-agents"
 *
 * const toolkit = Effect.flatMap(McpClient.McpClient, (client) => McpClient.toolkit(client))
 *
 * export const assistant = Agent.make("assistant", { toolkit: ToolFailure.returnToModel(toolkit) })
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const returnToModel: {
  <Tools extends Record<string, Tool.Any>>(self: Toolkit.Toolkit<Tools>): Toolkit.Toolkit<ReturningAll<Tools>>
  <Tools extends Record<string, Tool.Any>, E, R>(
    self: Effect.Effect<Toolkit.WithHandler<Tools>, E, R>
  ): Effect.Effect<Toolkit.WithHandler<ReturningAll<Tools>>, E, R>
  <Tools extends Record<string, Tool.Any>>(self: Toolkit.WithHandler<Tools>): Toolkit.WithHandler<ReturningAll<Tools>>
} = (self: AnyToolkit): any => {
  if (isToolkit(self)) return Toolkit.make(...Object.values(self.tools).map(Failures.returning))
  if (!Effect.isEffect(self)) return Failures.returningAll(self)
  return NestedTools.remember(Effect.map(self, Failures.returningAll), NestedTools.of(self))
}

type WithHandler = Toolkit.WithHandler<Record<string, Tool.Any>>

type AnyToolkit = Toolkit.Any | Effect.Effect<WithHandler, unknown, unknown> | WithHandler

const isToolkit = (self: AnyToolkit): self is Toolkit.Any =>
  Predicate.hasProperty(self, "~effect/ai/Toolkit" satisfies keyof Toolkit.Any)

// -----------------------------------------------------------------------------
// Guards
// -----------------------------------------------------------------------------

/**
 * Returns whether a value is a tool failure that the model reads as its message alone.
 *
 * @category guards
 * @since 0.1.0
 */
export const isToolFailure = (u: unknown): u is ToolFailure => Failures.isToolFailure(u)
