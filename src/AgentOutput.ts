/**
 * The final answer of an agent as a value of a schema.
 *
 * `Agent.make(name, { output: Schema })` gives a `Result` whose `value` has the
 * schema's type. `tool`, which a bare schema stands for, works with any model that
 * calls tools: the model is offered a tool whose parameters are the schema, and
 * calling it ends the run. `json` asks for the provider's own JSON mode instead.
 *
 * A run that completes has its value. `orWaiting` is for agents whose runs may wait for
 * approvals first: their `value` may be `undefined`.
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
 * How the final answer of an agent is asked for, and what it is decoded to: `A`,
 * from the `I` that the model writes, with the services `R`.
 *
 * - `codec`: what the model is shown and what its answer is decoded by: the JSON form
 *   of the schema. A schema of anything but objects is wrapped as `{ value }`,
 *   because that is all that models accept.
 * - `schema`: what `codec` is the JSON form of. An answer is decoded as the parameters of a tool are: `null` for an
 *   optional key that does not admit it counts as absent.
 * - `corrections`: how often an answer that is not valid goes back to the model, with
 *   the issues. Then the run fails with `AgentError` (`InvalidOutput`).
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
  /** Never there: keeps the type of what the model writes. */
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
 * A value of which parts may be missing: any key of an object, any last elements of
 * an array, the end of any string. What JSON writes as a string is a string here. What
 * JSON writes in a form of its own (an `Option`, a `Map`, a `Chunk`) is unknown.
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
 * What the two constructors have in common.
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
  /** What the model reads of the answer. Default: the description of the schema. */
  readonly description?: string | undefined
  /** How often an answer that is not valid goes back to the model. Default: 2. */
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
 * Asks for the final answer as a call of a tool, `final_answer` unless a name is
 * given, and numbered if the agent has a tool of that name.
 *
 * Until it is called the model has to call tools, this one or others: the tool choice
 * is `"required"`, or the tool itself if there are no others. A model that answers
 * with text is told once to use the tool.
 *
 * **Details**
 *
 * - The step in which a valid answer comes is the last one. The other tools that it
 *   calls are run: what the model asked for is never dropped, but it does not see
 *   those results. An answer beside a call that has to wait for an approval, and a
 *   second answer in one step, are refused.
 * - A limit that asks for a forced final answer asks for this one. So does what would
 *   stop a run without one: `StopCondition.toolCalled`, `StopCondition.when`, and
 *   `stop` of `Steering`. The stop reason is then theirs.
 * - The answer is not a tool call for tool middleware, budgets and telemetry: nothing
 *   is executed. In the transcript it is a call with a result, like any other.
 * - Parts of type `output-partial` come when the model streams its tool parameters.
 *
 * **Gotchas**
 *
 * A schema that cannot be written as JSON schema is a defect here, not a failure of
 * a run. A model that does not allow a required tool while it thinks needs a
 * middleware that sets `toolChoice` to `"auto"`, or `json`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const tool = <A, I, R>(
  schema: Schema.Codec<A, I, R, unknown>,
  options?: Options
): AgentOutput<A, I, R> => make("tool", "final_answer", schema, options)

/**
 * Asks for the final answer in the provider's own JSON mode
 * (`LanguageModel.generateObject`).
 *
 * **Details**
 *
 * - An agent with tools works with them until the model would stop, and is then asked
 *   for the answer in one more step. Without tools every step is such a call.
 * - effect/ai has no streaming for it: the parts of the answer come at once, as text,
 *   and there are no partial values.
 * - Middleware around model calls sees the call and its parts. Text that a middleware
 *   has changed is decoded instead of what the model said.
 *
 * @category constructors
 * @since 0.1.0
 */
export const json = <A, I, R>(
  schema: Schema.Codec<A, I, R, unknown>,
  options?: Options
): AgentOutput<A, I, R> => make("json", "answer", schema, options)

/**
 * The same output for an agent whose runs may complete without an answer: `value` is `undefined` while a run waits for
 * approvals, and when another run has taken its prompt (stop reason `"steered"`). The type of `value` says so, and a
 * program has to look before it reads it.
 *
 * **Details**
 *
 * A run of any other agent that completes has its value, so that its `value` can be read as it is. The run keeps that
 * promise: where it would have to wait it fails with `AgentError` (`NoValue`). It is the agent that says which of the
 * two it is, because the type of a tool does not tell whether it has `needsApproval`, and tools may come from a context
 * provider, from an agent that is called, or from the provider of the model. An agent without an `output` has no value
 * to promise: it may wait.
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
