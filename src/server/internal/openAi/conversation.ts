/**
 * The conversation that a request says.
 *
 * @since 0.1.0
 */

import * as Prompt from "effect/ai/Prompt"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Content from "./content.ts"
import * as Failures from "./failures.ts"
import * as Words from "./words.ts"

/**
 * One thing that is said, in the order of the request. `param` is its place there.
 *
 * @category models
 * @since 0.1.0
 */
export type Said =
  & { readonly param: string }
  & (
    | { readonly kind: "instructions"; readonly text: string }
    | { readonly kind: "user"; readonly content: ReadonlyArray<Content.Content> }
    | { readonly kind: "answer"; readonly text: string }
    | { readonly kind: "call"; readonly id: string; readonly name: string; readonly arguments: string }
    | { readonly kind: "result"; readonly id: string; readonly text: string }
  )

/**
 * The conversation of a request, and the instructions in it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Conversation {
  readonly messages: ReadonlyArray<Prompt.Message>
  readonly instructions: ReadonlyArray<string>
}

/**
 * Returns the conversation. The only calls that it may have are calls of tools of the client: an agent never tells its
 * own. Each of them has its result.
 *
 * @category conversions
 * @since 0.1.0
 */
export const make = (
  said: Iterable<Said>,
  isClientTool: (name: string) => boolean
): Result.Result<Conversation, Failures.Failure> => {
  const conversation = new Growing(isClientTool)
  for (const one of said) {
    const refusal = conversation.add(one)
    if (refusal !== undefined) return Result.fail(refusal)
  }
  const refusal = conversation.close("end")
  return refusal === undefined ? Result.succeed(conversation) : Result.fail(refusal)
}

class Growing implements Conversation {
  readonly messages: Array<Prompt.Message> = []
  readonly instructions: Array<string> = []
  private answer: Array<Prompt.AssistantMessagePart> = []
  private results: Array<Prompt.ToolResultPart> = []
  /** The names of the calls that have no result yet, by id, and where they stand. */
  private readonly open = new Map<string, { readonly name: string; readonly param: string }>()
  private readonly isClientTool: (name: string) => boolean

  constructor(isClientTool: (name: string) => boolean) {
    this.isClientTool = isClientTool
  }

  add(said: Said): Failures.Failure | undefined {
    if (said.kind === "instructions") {
      this.instructions.push(said.text)
      return undefined
    }
    const refusal = this.close(said.kind)
    if (refusal !== undefined) return refusal
    switch (said.kind) {
      case "user":
        return this.user(said.content, said.param)
      case "answer":
        if (said.text !== "") this.answer.push(Prompt.textPart({ text: said.text }))
        return undefined
      case "call":
        return this.call(said)
      case "result":
        return this.result(said)
    }
  }

  /** Ends the messages that what comes next does not belong to. */
  close(next: Said["kind"] | "end"): Failures.Failure | undefined {
    if (next !== "result") {
      const grows = (next === "answer" || next === "call") && this.results.length === 0
      const [first] = this.open
      if (first !== undefined && !grows) {
        const [id, { param }] = first
        return Failures.refused(`No tool output found for function call ${Failures.shorten(id)}.`, { param })
      }
      if (grows) return undefined
      if (this.results.length > 0) this.messages.push(Prompt.toolMessage({ content: this.results }))
      this.results = []
    }
    if (this.answer.length > 0) this.messages.push(Prompt.assistantMessage({ content: this.answer }))
    this.answer = []
    return undefined
  }

  private user(content: ReadonlyArray<Content.Content>, param: string): Failures.Failure | undefined {
    const message = Content.toUserMessage(content, param)
    if (Result.isFailure(message)) return message.failure
    if (message.success !== undefined) this.messages.push(message.success)
    return undefined
  }

  private call(said: Extract<Said, { readonly kind: "call" }>): Failures.Failure | undefined {
    const { id, name, param } = said
    if (!this.isClientTool(name)) {
      return Failures.refused(`There is no tool '${Failures.shorten(name)}' in the 'tools' of the request.`, { param })
    }
    if (this.open.has(id)) {
      return Failures.refused(`Two function calls have the id ${Failures.shorten(id)}.`, { param })
    }
    const params = Words.fromJson(said.arguments === "" ? "{}" : said.arguments)
    if (!Predicate.isObject(params)) {
      return Failures.refused("The arguments of a function call must be a JSON object.", { param })
    }
    this.open.set(id, { name, param })
    this.answer.push(Prompt.toolCallPart({ id, name, params, providerExecuted: false }))
    return undefined
  }

  private result({ id, param, text }: Extract<Said, { readonly kind: "result" }>): Failures.Failure | undefined {
    const call = this.open.get(id)
    if (call === undefined) {
      return Failures.refused(`No tool call found for function call output with call_id ${Failures.shorten(id)}.`, {
        param
      })
    }
    this.open.delete(id)
    this.results.push(Prompt.toolResultPart({
      id,
      name: call.name,
      isFailure: false,
      result: Words.toResult(text),
      providerExecuted: false
    }))
    return undefined
  }
}
