/**
 * What is known of a durable agent when it is made.
 *
 * @since 0.1.0
 */

import * as AiError from "effect/ai/AiError"
import * as Hash from "effect/Hash"
import * as Schema from "effect/Schema"
import * as Workflow from "effect/workflow/Workflow"
import * as Agent from "../../Agent.ts"
import * as AgentError from "../../AgentError.ts"
import { makingOf } from "../../internal/run/agentOf.ts"
import * as Names from "../../internal/session/names.ts"
import type * as Schemas from "../../internal/wire/schemas.ts"
import { PartCodec } from "../../internal/wire/parts.ts"
import * as JsonCodec from "../../internal/words/jsonCodec.ts"
import * as Session from "../../Session.ts"

/** The failures that every agent has. */
const Known = Schema.Union([AgentError.AgentError, AiError.AiError, Session.SessionError])

/**
 * What may be one transaction with its record.
 *
 * @category models
 * @since 0.1.0
 */
export type Transaction = "session" | "afterRun"

/**
 * A durable agent.
 *
 * @category models
 * @since 0.1.0
 */
export class Definition {
  readonly agent: Agent.Any
  readonly version: number
  readonly maximumAttempts: number
  readonly transactions: ReadonlyArray<Transaction>
  /** Runs know their tools only when they begin; for those that are not known here results are JSON. */
  readonly codec: PartCodec
  readonly failure: Schema.Codec<unknown, string>
  readonly workflow: ReturnType<typeof workflowOf>

  constructor(
    agent: Agent.Any,
    options: {
      readonly version: number
      readonly maximumAttempts: number
      readonly transactions: ReadonlyArray<Transaction>
      readonly failure: Schema.Codec<unknown, unknown> | undefined
    }
  ) {
    this.agent = agent
    this.version = options.version
    this.maximumAttempts = options.maximumAttempts
    this.transactions = options.transactions
    this.codec = new PartCodec(Agent.tools(agent) ?? {}, makingOf(agent).value as Schemas.AnySchema | undefined)
    const failures = options.failure === undefined ? Known : Schema.Union([options.failure, Known])
    this.failure = Schema.fromJsonString(JsonCodec.make<unknown, unknown, never, never>(failures)) as Schema.Codec<
      unknown,
      string
    >
    this.workflow = workflowOf(agent.name)
  }
}

/** The engine carries only the id of the execution: the store has everything else, in any size. */
const workflowOf = (agent: string) =>
  Workflow.make(nameOf(`agent/${Names.toText(agent)}`), {
    payload: { id: Schema.String, instance: Schema.Int },
    // the engine may remember a deleted execution for a while
    idempotencyKey: ({ id, instance }) => `${id}/${instance}`
  }).annotate(Workflow.SuspendOnFailure, true)

/** The engine writes `Workflow/` before the name of a workflow, and has a column of 150 characters for that. */
const longest = 140

/** A name that is too long ends with two hashes of the whole. */
const nameOf = (name: string): string => {
  if (name.length <= longest) return name
  const hashes = [name, [...name].reverse().join("")].map((text) => (Hash.string(text) >>> 0).toString(36))
  const end = `~${name.length}-${hashes.join("-")}`
  return `${name.slice(0, longest - end.length).toWellFormed()}${end}`
}
