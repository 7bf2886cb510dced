/**
 * The members of an orchestration, as the tools of its program.
 *
 * @since 0.1.0
 */

import * as Prompt from "effect/ai/Prompt"
import type * as Tool from "effect/ai/Tool"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Agent from "../../Agent.ts"
import * as AgentTool from "../../AgentTool.ts"
import { programOf } from "../../internal/program/agentOf.ts"
import { makingOf } from "../../internal/run/agentOf.ts"
import * as Json from "../../internal/words/json.ts"
import * as JsonCodec from "../../internal/words/jsonCodec.ts"
import type * as Program from "../../Program.ts"
import type * as Orchestration from "../Orchestration.ts"
import { InvalidOrchestration } from "./invalid.ts"

/**
 * What somebody has said. Without a `from` it is the user of the one who reads it.
 *
 * @category models
 * @since 0.1.0
 */
export const Turn = Schema.Struct({ from: Schema.optionalKey(Schema.String), text: Schema.String })

/**
 * What a member is told: the conversation of the orchestration, and the turns after it. A `prompt` is in place of both.
 *
 * @category models
 * @since 0.1.0
 */
export const Told = Schema.Struct({
  prompt: Schema.optionalKey(Schema.String),
  turns: Schema.optionalKey(Schema.Array(Turn))
})

/**
 * What a member has answered: its value, and that as a text.
 *
 * @category models
 * @since 0.1.0
 */
export interface Said {
  readonly from: string
  readonly text: string
  readonly value: any
}

/**
 * Asks a member.
 *
 * @category models
 * @since 0.1.0
 */
export type Ask = (
  member: string,
  told?: typeof Told.Type,
  options?: Pick<Program.CallOptions<unknown>, "answer">
) => Effect.Effect<Said, any>

/**
 * The agents of an orchestration by their names, in their order.
 *
 * @category models
 * @since 0.1.0
 */
export type Named = ReadonlyMap<string, Agent.Any>

/**
 * What an orchestration is made of: those it asks, the schema of its value, and its program.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly members: Named
  readonly description?: string | undefined
  readonly value: Schema.Constraint
  readonly run: (input: Program.Input, ask: Ask) => Effect.Effect<any, any, any>
}

/**
 * Creates an agent that asks its members by a program.
 *
 * @category constructors
 * @since 0.1.0
 */
export const orchestrate = (name: string, { description, members, run, value }: Options): any => {
  const texts = new Map([...members].map(([member, agent]) => [member, textOf(valueOf(agent))]))
  const toolkit = AgentTool.toolkit(...[...members].map(([member, agent]) => toolOf(member, agent)))
  return programOf(name, {
    description,
    toolkit,
    run: (input, call: Program.Calls<Record<string, Tool.Any>>) =>
      run(
        input,
        (from, told = {}, options) =>
          Effect.flatMap(call[from](told, options), (value) =>
            Effect.map(texts.get(from)!(value), (text) => ({ from, text, value })))
      )
  }, value)
}

/**
 * Returns the members by their names: the keys of a record, or the names of the agents in a list. One agent may be in a
 * list more than once.
 *
 * @category accessors
 * @since 0.1.0
 */
export const named = (orchestration: string, members: Orchestration.Members): Named => {
  const entries = Array.isArray(members)
    ? members.map((agent: Agent.Any) => [agent.name, agent] as const)
    : Object.entries(members as Readonly<Record<string, Agent.Any>>)
  if (entries.length === 0) throw new InvalidOrchestration({ orchestration, problem: "it has no members" })
  return entries.reduce((named, [name, agent]) => {
    const same = named.get(name)
    if (same !== undefined && same !== agent) {
      throw new InvalidOrchestration({ orchestration, problem: `two of its members have the name \`${name}\`` })
    }
    return named.set(name, agent)
  }, new Map<string, Agent.Any>())
}

/**
 * Returns the schema of what a member answers. Of an agent that has none the value is kept as JSON, otherwise the text.
 *
 * @category accessors
 * @since 0.1.0
 */
export const valueOf = (agent: Agent.Any): Schema.Constraint => makingOf(agent).value ?? Schema.Json

const toolOf = (name: string, agent: Agent.Any): AgentTool.Any => {
  const { value } = makingOf(agent)
  return AgentTool.make(agent, {
    name,
    parameters: Told,
    success: value ?? Schema.Json,
    prompt: ({ prompt, turns = [] }, conversation) =>
      prompt ?? Prompt.fromMessages([
        ...conversation.content.flatMap(saidIn),
        ...turns.map((turn) => toMessage(turn, name))
      ]),
    // an agent with a value of a schema has it, or fails
    result: value === undefined ? ({ text, value }) => value === undefined ? text : value : undefined
  } as AgentTool.Options<any, string, typeof Told, Schema.Constraint, "error">)
}

/** A member reads what was said: the calls of the orchestration are of tools that it does not have. */
const saidIn = (message: Prompt.Message): ReadonlyArray<Prompt.Message> => {
  if (message.role === "user") return [message]
  if (message.role !== "assistant") return []
  const content = message.content.filter((part) => part.type === "text")
  return content.length === 0 ? [] : [Prompt.assistantMessage({ content })]
}

const toMessage = ({ from, text }: typeof Turn.Type, reader: string): Prompt.Message =>
  from === reader
    ? Prompt.assistantMessage({ content: [Prompt.textPart({ text })] })
    : Prompt.userMessage({ content: [Prompt.textPart({ text: from === undefined ? text : `${from}: ${text}` })] })

/** The text of a value: that of an object is its JSON. */
const textOf = (schema: Schema.Constraint): (value: unknown) => Effect.Effect<string> => {
  const encode = Schema.encodeUnknownEffect(JsonCodec.make(schema)) as (value: unknown) => Effect.Effect<unknown>
  return (value) => typeof value === "string" ? Effect.succeed(value) : Effect.map(encode(value), Json.toText)
}
