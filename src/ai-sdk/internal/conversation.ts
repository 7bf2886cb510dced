/**
 * A conversation on its way to a provider. The next call of the run begins with the same messages, and converts only the
 * new ones.
 *
 * @since 0.1.0
 */
import type * as Sdk from "@ai-sdk/provider"
import type * as Prompt from "effect/ai/Prompt"
import * as Tool from "effect/ai/Tool"
import type { CallReport } from "../../internal/model/spending.ts"
import * as Names from "./names.ts"
import * as Target from "./target.ts"

/**
 * @category models
 * @since 0.1.0
 */
export type UserPart = Extract<Sdk.LanguageModelV4Message, { role: "user" }>["content"][number]

/**
 * @category models
 * @since 0.1.0
 */
export type WithOptions = { readonly providerOptions?: Sdk.SharedV4ProviderOptions }

/**
 * The messages that are converted so far, and the state in which the next one is converted.
 *
 * @category models
 * @since 0.1.0
 */
export class Conversation {
  readonly target: Target.Target
  readonly tools: ReadonlyArray<Tool.Any>
  readonly names: Names.ToolNames
  readonly calls: Names.CallNames
  /** The messages of the prompt, and what they have become. */
  readonly seen: Array<Prompt.Message> = []
  readonly messages: Array<Sdk.LanguageModelV4Message> = []
  /** The tools as the provider gets them. */
  offered: Sdk.LanguageModelV4CallOptions["tools"] = undefined
  /** The options of each call, by its id on the wire. */
  readonly options = new Map<string, WithOptions>()
  /** The calls that a handler answers, and the requests for approval of these: no provider has asked for them. */
  readonly handled = new Set<string>()
  readonly handledApprovals = new Set<string>()
  /** The files in tool results that wait for a message of their own. */
  files: Array<UserPart> = []

  constructor(target: Target.Target, tools: ReadonlyArray<Tool.Any>, names: Names.ToolNames) {
    this.target = target
    this.tools = tools
    this.names = names
    this.calls = new Names.CallNames(target)
  }

  /** Whether another provider than the target ran this call. */
  isForeign(id: string, name: string, metadata: Prompt.ProviderOptions): boolean {
    const tool = this.tools.find((tool) => tool.name === name)
    const toolId = tool !== undefined && Tool.isProviderDefined(tool) ? tool.id : undefined
    return Target.isForeignWork(this.target, { id, metadata: Object.keys(metadata), toolId })
  }

  /** Whether these messages go on with the conversation, to the same target and with the same tools. */
  isBegun(target: Target.Target, tools: ReadonlyArray<Tool.Any>, messages: ReadonlyArray<Prompt.Message>): boolean {
    const { seen } = this
    return target === this.target && tools.length === this.tools.length &&
      isSame(tools, this.tools, tools.length) && seen.length <= messages.length &&
      isSame(seen, messages, seen.length)
  }
}

const isSame = <A>(self: ReadonlyArray<A>, that: ReadonlyArray<A>, length: number): boolean => {
  for (let i = 0; i < length; i++) if (self[i] !== that[i]) return false
  return true
}

/**
 * Takes the conversation that the last call of the run has kept, if these messages go on with it, or begins one.
 *
 * @category constructors
 * @since 0.1.0
 */
export const take = (
  { kept }: CallReport,
  target: Target.Target,
  tools: ReadonlyArray<Tool.Any>,
  messages: ReadonlyArray<Prompt.Message>,
  namesOf: (tools: ReadonlyArray<Tool.Any>) => Names.ToolNames
): Conversation => {
  const before = kept?.value
  if (kept !== undefined) kept.value = undefined
  return before instanceof Conversation && before.isBegun(target, tools, messages)
    ? before
    : new Conversation(target, tools, namesOf(tools))
}

/**
 * Keeps the conversation for the next call of the run.
 *
 * @category constructors
 * @since 0.1.0
 */
export const keep = ({ kept }: CallReport, conversation: Conversation): void => {
  if (kept !== undefined) kept.value = conversation
}

// =============================================================================
// Copies
// =============================================================================

/**
 * Copies a message for one call. A provider, or a function around it, may write into its request (a cache mark on the
 * last message, most often), and the next call of the run begins with what was converted.
 *
 * @category converting
 * @since 0.1.0
 */
export const copyMessage = (message: Sdk.LanguageModelV4Message): Sdk.LanguageModelV4Message => {
  const options = copyOptions(message)
  // Each kind is copied at a place of its own: objects of one shape are copied three times as fast.
  switch (message.role) {
    case "system":
      return { ...message, ...options }
    case "user":
      return { ...message, content: message.content.map(copyPart), ...options }
    case "assistant":
      return { ...message, content: message.content.map(copyPart), ...options }
    case "tool":
      return { ...message, content: message.content.map(copyPart), ...options }
  }
}

/**
 * Copies a tool for one call.
 *
 * @category converting
 * @since 0.1.0
 */
export const copyTool = <Tool extends Sdk.LanguageModelV4FunctionTool | Sdk.LanguageModelV4ProviderTool>(
  tool: Tool
): Tool => tool.type === "provider" ? { ...tool, args: { ...tool.args } } : { ...tool }

type Part = Exclude<Sdk.LanguageModelV4Message["content"], string>[number]

const copyPart = <P extends Part>(part: P): P => {
  const options = copyOptions(part)
  switch (part.type) {
    case "text":
      return { ...part, ...options }
    case "tool-call":
      return { ...part, ...options }
    case "tool-result":
      return { ...part, output: copyOutput(part.output), ...options }
    default:
      return { ...part, ...options }
  }
}

const copyOutput = (output: Sdk.LanguageModelV4ToolResultOutput): Sdk.LanguageModelV4ToolResultOutput =>
  output.type === "content"
    ? { ...output, value: output.value.map((part) => ({ ...part, ...copyOptions(part) })) }
    : { ...output, ...copyOptions(output) }

const copyOptions = ({ providerOptions }: WithOptions): WithOptions | undefined =>
  providerOptions && { providerOptions: { ...providerOptions } }
