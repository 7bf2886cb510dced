/**
 * Who may call a tool: a person, or a standing rule.
 *
 * A call of a tool with effect/ai's `needsApproval` is not run. The other calls of the step run, and the run completes
 * with the stop reason `"approval-required"`; `result.approvals` lists the approvals that it waits for. `Agent.resume`
 * goes on with the answers, from the result or from the session, also days later in another process. An agent with an
 * `output` has to allow this with `AgentOutput.orWaiting`.
 *
 * A provider may also ask before it runs a tool of its own (OpenAI's hosted MCP). The answer is then sent to the
 * provider. Its parameters cannot be changed, and standing rules do not apply to it.
 *
 * **Example** (Asking before a tool is run)
 *
 * ```ts
 * import { Console, Effect, Schema } from "effect"
 * import { Tool, Toolkit } from "effect/ai"
 * import { Agent, Approval } from "effect-agents"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const Remove = Tool.make("remove", {
 *   parameters: Schema.Struct({ file: Schema.String }),
 *   success: Schema.String,
 *   needsApproval: true
 * })
 * const toolkit = Toolkit.make(Remove)
 * const handlers = toolkit.toLayer({ remove: ({ file }) => Effect.succeed(`${file} is gone`) })
 *
 * const cleaner = Agent.make("cleaner", { toolkit })
 *
 * const program = Effect.gen(function*() {
 *   const asked = yield* Agent.run(cleaner, { prompt: "Clean up" })
 *   yield* Console.log(asked.stopReason)
 *   for (const { params, tool } of asked.approvals) yield* Console.log(tool, JSON.stringify(params))
 *
 *   const answers = asked.approvals.map((approval) => Approval.approve(approval))
 *   const done = yield* Agent.resume(cleaner, { result: asked }, answers)
 *   yield* Console.log(done.text)
 * })
 *
 * const model = ScriptedModel.layer([
 *   ScriptedModel.toolCalls({ name: "remove", params: { file: "old.txt" } }),
 *   ScriptedModel.text("All clean")
 * ])
 *
 * Effect.runPromise(Effect.provide(program, [model, handlers]))
 * // => approval-required
 * // => remove {"file":"old.txt"}
 * // => All clean
 * ```
 *
 * @since 0.1.0
 */
import type * as Prompt from "effect/ai/Prompt"
import type * as Tool from "effect/ai/Tool"
import * as Context from "effect/Context"
import * as Schema from "effect/Schema"
import * as Fields from "./internal/words/fields.ts"
import * as Waiting from "./internal/approval/waiting.ts"

// -----------------------------------------------------------------------------
// Approvals
// -----------------------------------------------------------------------------

/**
 * Schema for an approval that a run waits for.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Approval = Schema.Struct({
  approvalId: Schema.String,
  toolCallId: Schema.String,
  tool: Schema.String,
  params: Fields.Value,
  path: Schema.Array(Schema.String),
  runsIn: Schema.optionalKey(Schema.Literal("client"))
})

/**
 * An approval that a run waits for: the tool, and the parameters as the model wrote them.
 *
 * `path` lists the names of the agents from the one that this run called to the one that asks. It is empty for a call
 * of the run itself.
 *
 * With `runsIn: "client"` it is a call of a tool that runs in the client (`ClientTools` of `effect-agents/server`). It
 * waits for its result, not for a person: answer it with `giveResult`, `giveFailure` or `deny`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Approval extends Schema.Schema.Type<typeof Approval> {}

/**
 * Returns the approvals that a conversation waits for: those of its last step that have no answer yet. Use it with the
 * history of a session, for example in another process.
 *
 * A conversation that went on without an answer waits for nothing.
 *
 * @category accessors
 * @since 0.1.0
 */
export const pending = (self: Prompt.Prompt): ReadonlyArray<Approval> => Waiting.approvalsOf(self.content)

// -----------------------------------------------------------------------------
// Answers
// -----------------------------------------------------------------------------

/**
 * Schema for the answer to an approval.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Answer = Schema.Union([
  Schema.Struct({ _tag: Schema.tag("Approve"), approval: Approval, params: Fields.OptionalValue }),
  Schema.Struct({ _tag: Schema.tag("Deny"), approval: Approval, reason: Fields.OptionalText }),
  Schema.Struct({ _tag: Schema.tag("Result"), approval: Approval, result: Fields.Value, isFailure: Schema.Boolean })
])

/**
 * The answer to an approval, made by `approve` or `deny`. For a call that runs in the client it is made by `giveResult`,
 * `giveFailure` or `deny`.
 *
 * @category models
 * @since 0.1.0
 */
export type Answer = typeof Answer.Type

/**
 * Lets the call run. If `params` are given, the call runs with them instead: they are JSON, are decoded like the
 * model's, and the model sees them as its own from then on.
 *
 * @category constructors
 * @since 0.1.0
 */
export const approve = (approval: Approval, options?: { readonly params: unknown }): Answer => ({
  _tag: "Approve",
  approval,
  params: options?.params
})

/**
 * Forbids the call. The model reads the reason.
 *
 * @category constructors
 * @since 0.1.0
 */
export const deny = (approval: Approval, reason?: string): Answer => ({ _tag: "Deny", approval, reason })

/**
 * Gives the result of a call that runs in the client. The result is JSON, is checked with the tool's schema, and is what
 * the model reads. A call that does not run in the client cannot be answered in this way.
 *
 * @category constructors
 * @since 0.1.0
 */
export const giveResult = (approval: Approval, result: unknown): Answer => ({
  _tag: "Result",
  approval,
  result,
  isFailure: false
})

/**
 * Says that a call that runs in the client has failed. The model reads the message, and the run goes on.
 *
 * @category constructors
 * @since 0.1.0
 */
export const giveFailure = (approval: Approval, message: string): Answer => ({
  _tag: "Result",
  approval,
  result: message,
  isFailure: true
})

// -----------------------------------------------------------------------------
// Standing rules
// -----------------------------------------------------------------------------

/**
 * A rule that decides about a tool without asking a person, made by `always` or `never`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Rule {
  readonly _tag: "Always" | "Never"
  readonly tool: string
  readonly holds: (params: any) => boolean | string
}

/**
 * The standing rules for every run in a context, and for the runs nested in it. Default: none.
 *
 * A `never` rule that holds always refuses the call, even if a person has approved it. Otherwise an `always` rule that
 * holds lets a call run that would need an approval.
 *
 * @category references
 * @since 0.1.0
 */
export const Rules = Context.Reference<ReadonlyArray<Rule>>("effect-agents/Approval/Rules", {
  defaultValue: () => []
})

type ParametersOf<T> = T extends Tool.Any ? Tool.Parameters<T> : any

/**
 * Nobody is asked before this tool is called. With a predicate this applies only if the predicate holds for the decoded
 * parameters. A predicate that throws does not hold.
 *
 * @category rules
 * @since 0.1.0
 */
export const always = <const T extends string | Tool.Any>(
  tool: T,
  predicate: (params: ParametersOf<T>) => boolean = () => true
): Rule => ({ _tag: "Always", tool: nameOf(tool), holds: predicate })

/**
 * This tool is never called. With a predicate this applies only if the predicate holds for the decoded parameters. If
 * the predicate returns a text, the model reads it as the reason. A predicate that throws holds.
 *
 * @category rules
 * @since 0.1.0
 */
export const never = <const T extends string | Tool.Any>(
  tool: T,
  predicate: (params: ParametersOf<T>) => boolean | string = () => true
): Rule => ({ _tag: "Never", tool: nameOf(tool), holds: predicate })

const nameOf = (tool: string | Tool.Any): string => typeof tool === "string" ? tool : tool.name
