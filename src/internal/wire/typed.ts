/**
 * What an agent has said, with the types of that agent: the parameters of a call, and a result. `AgentRun` exports all of
 * this.
 *
 * @since 0.1.0
 */

import type * as Tool from "effect/ai/Tool"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as AgentRun from "../../AgentRun.ts"
import * as ToolCodec from "../model/toolCodec.ts"
import * as Parts from "./parts.ts"

/**
 * Decodes the parameters of a `tool-call` part as they are decoded for the handler of the tool. In the part they are
 * `unknown`, because the model wrote them. Fails if they do not decode: then the handler is not called, and the model reads
 * why.
 *
 * **Example** (What a screen shows of a call)
 *
 * ```ts
 * import { Console, Effect, Schema, Stream } from "effect"
 * import { Tool, Toolkit } from "effect/ai"
 * import { Agent, AgentRun } from "effect-agents"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const Book = Tool.make("book", { parameters: Schema.Struct({ day: Schema.Date }) })
 * const toolkit = Toolkit.make(Book)
 *
 * const program = Stream.runForEach(Agent.stream(Agent.make("travel", { toolkit }), { prompt: "Book it" }), (part) =>
 *   part.type === "tool-call" && part.name === "book"
 *     ? Effect.flatMap(AgentRun.decodeParams(Book, part), ({ day }) => Console.log("books", day.getUTCFullYear()))
 *     : Effect.void)
 *
 * const model = ScriptedModel.layer([
 *   ScriptedModel.toolCalls({ name: "book", params: { day: "2026-06-01T00:00:00.000Z" } }),
 *   ScriptedModel.text("Booked")
 * ])
 *
 * Effect.runPromise(Effect.provide(program, [model, toolkit.toLayer({ book: () => Effect.void })]))
 * // => books 2026
 * ```
 *
 * @category accessors
 * @since 0.1.0
 */
export const decodeParams = <T extends Tool.Any>(
  tool: T,
  part: { readonly name: string; readonly params: unknown }
): Effect.Effect<Tool.Parameters<T>, Schema.SchemaError, Tool.ParametersDecodingServices<T>> =>
  // the codec is that of the tool
  ToolCodec.decodeParams(tool, part.params) as Effect.Effect<Tool.Parameters<T>, Schema.SchemaError>

/**
 * Creates the schema of the results of an agent with this `output`, as JSON. `AgentRun.Result` is the schema of any
 * result: there the `value` is plain JSON, in which a date is a string.
 *
 * All of a result crosses: text, value, usage, steps, transcript, approvals and seal. In the transcript the result of a
 * tool stands as the model has read it. A result that was decoded is no proof that this process gave it out, unless it is
 * sealed (`ApprovalSeal`). One that waits for approvals has no value.
 *
 * @category schemas
 * @since 0.1.0
 */
export const resultOf = <A, I, RD = never, RE = never>(
  output: Parts.Output<A, I, RD, RE>
): Schema.Codec<AgentRun.Result<A>, Schema.Json, RD, RE> =>
  // the services are those of the output, and a result without a value still has the key
  Schema.toCodecJson(
    Parts.resultWith(Parts.schemaOf(output as Parts.Output<unknown, unknown, unknown, unknown>))
  ) as unknown as Schema.Codec<AgentRun.Result<A>, Schema.Json, RD, RE>
