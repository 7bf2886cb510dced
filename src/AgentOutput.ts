/**
 * The final answer of an agent as a value with a schema.
 *
 * `Agent.make(name, { output: Schema })` gives a `Result` whose `value` has the type of the schema. A bare schema
 * stands for `tool(schema)`, which works with every model that calls tools: the model is offered a tool with the schema
 * as its parameters, and calling that tool ends the run. `json` uses the provider's own JSON mode instead.
 *
 * A completed run has a value. Use `orWaiting` for an agent whose runs may have to wait for approvals first: its
 * `value` may be `undefined`.
 *
 * **Example** (An answer with a type)
 *
 * ```ts
 * import { Console, Effect, Schema } from "effect"
 * import { Agent } from "effect-agents"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const Forecast = Schema.Struct({ city: Schema.String, degrees: Schema.FiniteFromString })
 *
 * const weather = Agent.make("weather", { output: Forecast })
 *
 * const program = Effect.gen(function*() {
 *   const { stopReason, value } = yield* Agent.run(weather, { prompt: "How warm is it in Oslo?" })
 *   yield* Console.log(`${value.city}: ${value.degrees + 1} at most, ${stopReason}`)
 * })
 *
 * const answer = ScriptedModel.toolCalls({ name: "final_answer", params: { city: "Oslo", degrees: "4" } })
 *
 * Effect.runPromise(Effect.provide(program, ScriptedModel.layer([answer])))
 * // => Oslo: 5 at most, output
 * ```
 *
 * @since 0.1.0
 */

import * as Tool from "effect/ai/Tool"
import { type Pipeable, pipeArguments } from "effect/Pipeable"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as ObjectRoot from "./internal/words/jsonSchema.ts"

/**
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: TypeId = "~effect-agents/AgentOutput"

/**
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = "~effect-agents/AgentOutput"

/**
 * How the final answer of an agent is requested and decoded: to `A`, from the `I` that the model writes, with the
 * services `R`.
 *
 * - `codec`: the JSON form of the schema. The model is shown its JSON schema, and the answer is decoded with it. A
 *   schema of anything but an object is wrapped as `{ value }`, because models accept only objects.
 * - `schema`: the schema that `codec` is the JSON form of. An answer is decoded like the parameters of a tool: `null`
 *   for an optional key that does not admit `null` counts as absent.
 * - `corrections`: how often an invalid answer goes back to the model together with the issues. After that the run
 *   fails with `AgentError` (`InvalidOutput`).
 * - `mayWait`: whether a run may complete without the value, see `orWaiting`.
 *
 * @category models
 * @since 0.1.0
 */
export interface AgentOutput<out A, out I = A, out R = never> extends Pipeable {
  readonly [TypeId]: TypeId
  readonly mode: "tool" | "json"
  readonly name: string
  readonly description: string
  readonly codec: Schema.Codec<A | { readonly value: A }, unknown, R, unknown>
  readonly schema: Schema.Codec<A | { readonly value: A }, unknown, R, unknown>
  readonly isWrapped: boolean
  readonly corrections: number
  readonly mayWait: boolean
  /** Has no value at run time. It keeps the type that the model writes. */
  readonly "~Encoded"?: I
}

/**
 * Any output.
 *
 * @category models
 * @since 0.1.0
 */
export interface Any extends AgentOutput<unknown, unknown, any> {}

/**
 * A value that may be incomplete: an object may lack any key, an array its last elements, and a string its end. A type
 * that JSON writes as a string is a string here. A type with its own form in JSON (an `Option`, a `Map`, a `Chunk`) is
 * unknown.
 *
 * @category utility types
 * @since 0.1.0
 */
export type DeepPartial<T> = unknown extends T ? T
  : T extends string | bigint | symbol | Date | URL ? string
  : T extends number | boolean | null | undefined ? T
  : T extends ReadonlyArray<infer Element> ? ReadonlyArray<DeepPartial<Element>>
  : T extends Pipeable | Iterable<unknown> ? unknown
  : { readonly [K in keyof T]?: DeepPartial<T[K]> }

/**
 * The options of both constructors.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * The name of the answer: of the tool that the model calls, or of the JSON object. Default: `"final_answer"` for
   * `tool`, `"answer"` for `json`.
   */
  readonly name?: string | undefined
  /** The description of the answer that the model reads. Default: the description of the schema. */
  readonly description?: string | undefined
  /** How often an invalid answer goes back to the model. Default: 2. */
  readonly corrections?: number | undefined
}

/**
 * Returns whether a value is an output, and not a schema.
 *
 * @category guards
 * @since 0.1.0
 */
export const isAgentOutput = (u: unknown): u is Any => Predicate.hasProperty(u, TypeId)

/**
 * Requests the final answer as a tool call. The tool is named `final_answer` unless another name is given; it gets a
 * number if the agent has a tool with that name.
 *
 * Until the model calls it, the model has to call tools: the tool choice is `"required"`, or this tool if there are no
 * others. A model that answers with text instead is told once to use the tool.
 *
 * **Details**
 *
 * - The step with a valid answer is the last one. The other tools that the model calls in it are run as well, but the
 *   model does not see their results. An answer is refused if it comes beside a call that has to wait for an approval,
 *   or as the second answer of one step.
 * - A limit that forces a final answer asks for this answer. So do `StopCondition.toolCalled`, `StopCondition.when` and
 *   `stop` of `Steering`, which would otherwise stop the run without one. The stop reason is then theirs.
 * - Nothing is executed for the answer, so tool middleware, budgets and telemetry do not count it as a tool call. In
 *   the transcript it is a call with a result.
 * - `output-partial` parts come if the model streams the parameters of its tool calls.
 *
 * **Gotchas**
 *
 * A schema that has no JSON schema is a defect of this call, not a failure of a run. Some models do not allow a
 * required tool while they think. For those use `json`, or a middleware that sets `toolChoice` to `"auto"`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const tool = <A, I, R>(
  schema: Schema.Codec<A, I, R, unknown>,
  options?: Options
): AgentOutput<A, I, R> => make("tool", "final_answer", schema, options)

/**
 * Requests the final answer in the provider's own JSON mode (`LanguageModel.generateObject`).
 *
 * **Details**
 *
 * - An agent with tools works with them until the model would stop. One more step then asks for the answer. Without
 *   tools every step asks for it.
 * - effect/ai does not stream this mode: the parts of the answer come at once, as text, and there are no partial
 *   values.
 * - Model middleware sees the call and its parts. If it changes the text, the changed text is decoded.
 *
 * @category constructors
 * @since 0.1.0
 */
export const json = <A, I, R>(
  schema: Schema.Codec<A, I, R, unknown>,
  options?: Options
): AgentOutput<A, I, R> => make("json", "answer", schema, options)

/**
 * Allows the runs of the agent to complete without an answer: `value` is `undefined` while a run waits for approvals,
 * and when another run has taken its prompt (stop reason `"steered"`). The type of `value` says so, and a program has
 * to check it before use.
 *
 * **Details**
 *
 * Without `orWaiting` a completed run always has its value, and a program can read it without a check. A run that would
 * have to wait fails with `AgentError` (`NoValue`) to keep that promise. The agent has to say which of the two holds,
 * because types cannot: the type of a tool does not show `needsApproval`, and tools may also come from a context
 * provider, a called agent, or the provider of the model. An agent without an `output` has no value to promise, so it
 * may always wait.
 *
 * **Example** (A report, unless somebody has to be asked first)
 *
 * ```ts
 * import { Console, Effect, Schema } from "effect"
 * import { Tool, Toolkit } from "effect/ai"
 * import { Agent, AgentOutput, Approval } from "effect-agents"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const Remove = Tool.make("remove", { success: Schema.String, needsApproval: true })
 * const toolkit = Toolkit.make(Remove)
 * const handlers = toolkit.toLayer({ remove: () => Effect.succeed("gone") })
 *
 * const Report = Schema.Struct({ removed: Schema.Int })
 *
 * const cleaner = Agent.make("cleaner", { toolkit, output: AgentOutput.orWaiting(Report) })
 *
 * const program = Effect.gen(function*() {
 *   let result = yield* Agent.run(cleaner, { prompt: "Clean up" })
 *   while (result.value === undefined) {
 *     yield* Console.log(`may ${result.approvals[0].tool} run?`)
 *     const answers = result.approvals.map((approval) => Approval.approve(approval))
 *     result = yield* Agent.resume(cleaner, { result }, answers)
 *   }
 *   yield* Console.log(`${result.value.removed} removed`)
 * })
 *
 * const model = ScriptedModel.layer([
 *   ScriptedModel.toolCalls({ name: "remove", params: {} }),
 *   ScriptedModel.toolCalls({ name: "final_answer", params: { removed: 1 } })
 * ])
 *
 * Effect.runPromise(Effect.provide(program, [model, handlers]))
 * // => may remove run?
 * // => 1 removed
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const orWaiting = <A, I, R>(
  output: AgentOutput<A, I, R> | Schema.Codec<A, I, R, unknown>
): AgentOutput<A | undefined, I, R> =>
  Object.assign(Object.create(Proto), isAgentOutput(output) ? output : tool(output), { mayWait: true })

const Proto = {
  [TypeId]: TypeId,
  pipe() {
    return pipeArguments(this, arguments)
  }
}

const make = <A, I, R>(
  mode: "tool" | "json",
  defaultName: string,
  schema: Schema.Codec<A, I, R, unknown>,
  options: Options = {}
): AgentOutput<A, I, R> => {
  const isWrapped = !isObject(schema)
  const own: Schema.Codec<unknown, unknown, R, unknown> = isWrapped ? Schema.Struct({ value: schema }) : schema
  const { corrections = 2, description = describe(schema), name = defaultName } = options
  return Object.assign(Object.create(Proto), {
    mode,
    name,
    description,
    codec: Schema.toCodecJson(own),
    schema: own,
    isWrapped,
    corrections,
    mayWait: false
  })
}

const isObject = (schema: Schema.Constraint): boolean => ObjectRoot.isObjectRoot(Tool.getJsonSchemaFromSchema(schema))

const describe = (schema: Schema.Constraint): string => {
  const description = SchemaAST.resolveDescription(schema.ast)
  const answers = "Gives the final answer and ends the work"
  return description === undefined ? answers : `${answers}: ${description}`
}
