/**
 * Who may call a tool: a person, or a standing rule.
 *
 * A call whose tool has effect/ai's `needsApproval` is not run. The run completes
 * with the stop reason `"approval-required"` and the approvals that it waits for in
 * `result.approvals`; the other calls of the step have run. `Agent.resume` goes on
 * with the answers: from the session, in another process and days later, or from
 * the result. An agent with an `output` says with `AgentOutput.orWaiting` that it may wait.
 *
 * A provider may ask too, before it runs a tool of its own (OpenAI's hosted MCP). The
 * answer is then sent to the provider. It cannot have other parameters, and no standing
 * rule decides it.
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
  path: Schema.Array(Schema.String)
})

/**
 * An approval that a run waits for: the tool, and what the model wants to call it
 * with, as the model wrote it.
 *
 * `path` are the names of the agents from the one that this run has called to the
 * one that asks; empty when it is the run's own.
 *
 * @category models
 * @since 0.1.0
 */
export interface Approval extends Schema.Schema.Type<typeof Approval> {}

/**
 * Returns the approvals that a conversation waits for: those of its last step that
 * have no answer. Use it with the history of a session in another process.
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
  Schema.Struct({ _tag: Schema.tag("Deny"), approval: Approval, reason: Fields.OptionalText })
])

/**
 * The answer to an approval: made by `approve` and `deny`.
 *
 * @category models
 * @since 0.1.0
 */
export type Answer = typeof Answer.Type

/**
 * The call may run. With other `params` it runs with those: they are JSON, decoded
 * as the model's are, and the model sees them as its own from then on.
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
 * The call may not run. The model sees the reason.
 *
 * @category constructors
 * @since 0.1.0
 */
export const deny = (approval: Approval, reason?: string): Answer => ({ _tag: "Deny", approval, reason })

// -----------------------------------------------------------------------------
// Standing rules
// -----------------------------------------------------------------------------

/**
 * A rule about a tool that needs no one to be asked: made by `always` and `never`.
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
 * The standing rules of every run in a context, and of the runs nested in it.
 * Default: none.
 *
 * A `never` that holds refuses, whatever else holds, also a call that somebody has
 * approved. Otherwise an `always` that holds lets a call run that needs an approval.
 *
 * @category references
 * @since 0.1.0
 */
export const Rules = Context.Reference<ReadonlyArray<Rule>>("effect-agents/Approval/Rules", {
  defaultValue: () => []
})

type ParametersOf<T> = T extends Tool.Any ? Tool.Parameters<T> : any

/**
 * Nobody is asked before this tool is called, or not when the predicate holds for
 * the decoded parameters. A predicate that throws does not hold.
 *
 * @category rules
 * @since 0.1.0
 */
export const always = <const T extends string | Tool.Any>(
  tool: T,
  predicate: (params: ParametersOf<T>) => boolean = () => true
): Rule => ({ _tag: "Always", tool: nameOf(tool), holds: predicate })

/**
 * This tool is never called, or not when the predicate holds for the decoded
 * parameters. A text that the predicate returns is the reason that the model sees.
 * A predicate that throws holds.
 *
 * @category rules
 * @since 0.1.0
 */
export const never = <const T extends string | Tool.Any>(
  tool: T,
  predicate: (params: ParametersOf<T>) => boolean | string = () => true
): Rule => ({ _tag: "Never", tool: nameOf(tool), holds: predicate })

const nameOf = (tool: string | Tool.Any): string => typeof tool === "string" ? tool : tool.name
