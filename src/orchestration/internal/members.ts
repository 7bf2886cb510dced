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
import { refuse } from "./bounds.ts"
import type { AnyMember, Members } from "./models.ts"

/**
 * A text in a conversation. Without `from` it is from the reader's user.
 *
 * @category models
 * @since 0.1.0
 */
export const Turn = Schema.Struct({ from: Schema.optionalKey(Schema.String), text: Schema.String })

/**
 * @category models
 * @since 0.1.0
 */
export type Turn = typeof Turn.Type

/**
 * The input of a member: the conversation of the orchestration, the answers since then of the members in `hears`, as
 * the transcript has them, and the turns after those. A `prompt` replaces all of it.
 *
 * @category models
 * @since 0.1.0
 */
export const Told = Schema.Struct({
  prompt: Schema.optionalKey(Schema.String),
  hears: Schema.optionalKey(Schema.Array(Schema.String)),
  turns: Schema.optionalKey(Schema.Array(Turn))
})

/**
 * The answer of a member: its value, and the value as a text.
 *
 * @category models
 * @since 0.1.0
 */
export interface Said {
  readonly turn: Turn & { readonly from: any }
  readonly text: string
  readonly value: any
}

/**
 * Asks a member, and returns an `A` made from its answer.
 *
 * @category models
 * @since 0.1.0
 */
export type Ask<A = any> = (
  member: string,
  told?: typeof Told.Type,
  options?: Pick<Program.CallOptions<unknown>, "answer">
) => Effect.Effect<A, any>

/**
 * Asks members in a run of the orchestration: `ask` returns the value of an answer, and `say` also its text.
 *
 * @category models
 * @since 0.1.0
 */
export interface Asking {
  readonly ask: Ask
  readonly say: Ask<Said>
}

/**
 * The agents of an orchestration by name, in their order.
 *
 * @category models
 * @since 0.1.0
 */
export type Named = ReadonlyMap<string, Agent.Any>

/**
 * The parts of an orchestration: its members, the schema of its value, and its program.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly members: Named
  readonly description?: string | undefined
  readonly value: Schema.Constraint
  readonly run: (members: Asking, input: Program.Input) => Effect.Effect<any, any, any>
}

/**
 * Creates an agent that asks its members with a program.
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
    run: (input, call: Program.Calls<Record<string, Tool.Any>>) => {
      const ask: Ask = (member, told = {}, options) => call[member]!(told, options)
      const say: Ask<Said> = (from, told, options) =>
        Effect.flatMap(
          ask(from, told, options),
          (value) => Effect.map(texts.get(from)!(value), (text) => ({ turn: { from, text }, text, value }))
        )
      return run({ ask, say }, input)
    }
  }, value)
}

/**
 * Returns the members by name: the keys of a record, or the names of the agents in a list. A list may contain an agent
 * more than once.
 *
 * @category accessors
 * @since 0.1.0
 */
export const named = (orchestration: string, members: Members): Named => {
  const all = list(members, (name, agent) => [name, agent] as const)
  if (all.length === 0) refuse(orchestration, "it has no members")
  return all.reduce<Named>((named, [name, agent]) => and(orchestration, named, agent, name), new Map())
}

/**
 * Returns the members, and one more if it is given.
 *
 * @category combinators
 * @since 0.1.0
 */
export const and = (
  orchestration: string,
  named: Named,
  agent: AnyMember | undefined,
  name: string | undefined = agent?.name
): Named => {
  if (agent === undefined || name === undefined) return named
  const same = named.get(name)
  if (same !== undefined && same !== agent) refuse(orchestration, `two of its members have the name \`${name}\``)
  return new Map(named).set(name, agentOf(agent))
}

/**
 * Calls a function for each member, and returns a list.
 *
 * @category accessors
 * @since 0.1.0
 */
export const list = <A>(members: Members, f: (name: string, agent: AnyMember) => A): ReadonlyArray<A> =>
  isList(members)
    ? members.map((agent) => f(agent.name, agent))
    : Object.entries(members).map(([name, agent]) => f(name, agent))

/**
 * Calls a function for each member, and returns a list or a record like the members.
 *
 * @category accessors
 * @since 0.1.0
 */
export const each = <A>(
  members: Members,
  f: (name: string, agent: AnyMember) => A
): ReadonlyArray<A> | Record<string, A> =>
  isList(members)
    ? members.map((agent) => f(agent.name, agent))
    : Object.fromEntries(Object.entries(members).map(([name, agent]) => [name, f(name, agent)]))

/**
 * Returns whether the members are a list.
 *
 * @category guards
 * @since 0.1.0
 */
export const isList = <A>(self: ReadonlyArray<A> | Readonly<Record<string, A>>): self is ReadonlyArray<A> =>
  Array.isArray(self)

/**
 * Returns the schema of a member's answer. Without a schema the value is kept as JSON, or the text if there is no
 * value.
 *
 * @category accessors
 * @since 0.1.0
 */
export const valueOf = (member: AnyMember): Schema.Constraint => makingOf(agentOf(member)).value ?? Schema.Json

/** A value with the type id is an agent. */
const agentOf = (member: AnyMember): Agent.Any => member as Agent.Any

/**
 * Returns the tool of a member, by which a program asks it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const toolOf = (name: string, agent: Agent.Any): AgentTool.Any => {
  const { value } = makingOf(agent)
  return AgentTool.make(agent, {
    name,
    parameters: Told,
    success: value ?? Schema.Json,
    prompt: ({ hears = [], prompt, turns = [] }, { content }) =>
      prompt ?? Prompt.fromMessages([
        ...content.flatMap(saidIn),
        ...[...answersIn(content, hears), ...turns].map((turn) => toMessage(turn, name))
      ]),
    // a run of an agent whose value has a schema has the value, or fails
    result: value === undefined ? ({ text, value }) => value === undefined ? text : value : undefined
  } as AgentTool.Options<any, string, typeof Told, Schema.Constraint, "error">)
}

/**
 * The messages that a member reads. It does not see the calls of the orchestration, because it does not have their
 * tools.
 */
const saidIn = (message: Prompt.Message): ReadonlyArray<Prompt.Message> => {
  if (message.role === "user") return [message]
  if (message.role !== "assistant") return []
  const content = message.content.filter((part) => part.type === "text")
  return content.length === 0 ? [] : [Prompt.assistantMessage({ content })]
}

/** The answers of these members in this run. */
const answersIn = (messages: ReadonlyArray<Prompt.Message>, members: ReadonlyArray<string>): ReadonlyArray<Turn> =>
  members.length === 0 ? [] : messages.slice(messages.findLastIndex(({ role }) => role === "user") + 1).flatMap(
    (message) =>
      message.role !== "tool" ?
        [] :
        message.content.flatMap((part) =>
          part.type === "tool-result" && !part.isFailure && members.includes(part.name)
            ? { from: part.name, text: Json.toText(part.result) }
            : []
        )
  )

const toMessage = ({ from, text }: Turn, reader: string): Prompt.Message =>
  from === reader
    ? Prompt.assistantMessage({ content: [Prompt.textPart({ text })] })
    : Prompt.userMessage({ content: [Prompt.textPart({ text: from === undefined ? text : `${from}: ${text}` })] })

/**
 * Returns the function that writes the values of a schema as text: an object as its JSON.
 *
 * @category conversions
 * @since 0.1.0
 */
export const textOf = (schema: Schema.Constraint): (value: unknown) => Effect.Effect<string> => {
  const encode = Schema.encodeUnknownEffect(JsonCodec.make(schema)) as (value: unknown) => Effect.Effect<unknown>
  return (value) => typeof value === "string" ? Effect.succeed(value) : Effect.map(encode(value), Json.toText)
}
