/**
 * A language model without a model: a planner that works offline and always gives the same answer.
 *
 * It matches the words of the question with the names, descriptions and JSON schemas of the tools, fills their
 * arguments from the question and from earlier results, calls them (first a search, then a look at the best place), and
 * answers with quotations from the results. It understands nothing, and says so if it finds nothing. It is made for
 * demonstrations, and for tests of a whole program without a network.
 *
 * **Details**
 *
 * - It is a function of the prompt and the tools: it keeps nothing between calls,
 *   and draws nothing at random but the id of a response.
 * - It never makes the same call twice for one question, and after six steps or
 *   twelve calls it answers with what it has.
 * - Usage is counted, not invented: a token is four characters, rounded up. The
 *   input is the text, tool calls and results of the prompt, and the names,
 *   descriptions and schemas of the tools; the output is the text it says and the
 *   names and arguments of the calls it asks for. Nothing is cached, so the usage
 *   has no such numbers.
 */
import * as AiError from "effect/ai/AiError"
import * as IdGenerator from "effect/ai/IdGenerator"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Model from "effect/ai/Model"
import type * as Prompt from "effect/ai/Prompt"
import type * as Response from "effect/ai/Response"
import type * as Tool from "effect/ai/Tool"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as DirectLanguageModel from "../../../src/DirectLanguageModel.ts"
import * as Decision from "./Decision.ts"
import * as Tools from "./Tools.ts"

// =============================================================================
// Constructors
// =============================================================================

const modelName = "offline-planner"

/** Creates the planner. */
export const make: Effect.Effect<LanguageModel.LanguageModel> = Effect.suspend(() => {
  // Tools are immutable, so each is read once.
  const known = new WeakMap<Tool.Any, Tools.Shape>()
  const shapeOf = (tool: Tool.Any): Tools.Shape => {
    const shape = known.get(tool) ?? Tools.fromTool(tool)
    known.set(tool, shape)
    return shape
  }

  const plan = (options: LanguageModel.ProviderOptions) =>
    Effect.suspend(() => {
      if (options.responseFormat.type === "json") {
        return Effect.fail(AiError.make({
          module: "OfflinePlanner",
          method: "generateObject",
          reason: new AiError.InvalidRequestError({ description: "The offline planner gives text, not objects" })
        }))
      }
      const tools = options.tools.map(shapeOf)
      const parts = toParts(options.prompt, tools, Decision.decide(options.prompt, ...allowed(options, tools)))
      return Effect.map(
        IdGenerator.defaultIdGenerator.generateId(),
        (id): ReadonlyArray<Response.StreamPartEncoded> => [
          { type: "response-metadata", id, modelId: modelName },
          ...parts
        ]
      )
    })

  return DirectLanguageModel.make({
    streamText: (options) =>
      Stream.unwrap(Effect.map(plan(options), (parts) => Stream.fromIterable(parts, { chunkSize: 1 }))),
    generateText: (options) => Effect.map(plan(options), toContent)
  })
})

/** Layer that provides the planner. */
export const layer: Layer.Layer<LanguageModel.LanguageModel> = Layer.effect(LanguageModel.LanguageModel)(make)

/**
 * The planner with the names that telemetry shows: the provider `"effect-agents"`
 * and the model `"offline-planner"`.
 */
export const model: Model.Model<"effect-agents", LanguageModel.LanguageModel, never> = Model.make(
  "effect-agents",
  modelName,
  layer
)

// =============================================================================
// Requests and responses
// =============================================================================

/** The tools that may be called, whether one may be called at all, and whether one must be. */
const allowed = (
  { toolChoice }: LanguageModel.ProviderOptions,
  tools: ReadonlyArray<Tools.Shape>
): readonly [tools: ReadonlyArray<Tools.Shape>, mayCall: boolean, mustCall: boolean] => {
  if (toolChoice === "none") return [tools, false, false]
  if (toolChoice === "auto") return [tools, true, false]
  if (toolChoice === "required") return [tools, true, true]
  return "tool" in toolChoice
    ? [tools.filter((tool) => tool.name === toolChoice.tool), true, true]
    : [tools, true, toolChoice.mode === "required"]
}

const toParts = (
  prompt: Prompt.Prompt,
  tools: ReadonlyArray<Tools.Shape>,
  decision: Decision.Decision
): ReadonlyArray<Response.StreamPartEncoded> => {
  const input = lengthOf(prompt) +
    tools.reduce((sum, tool) => sum + tool.name.length + tool.description.length + tool.schema.length, 0)
  if (decision._tag === "Calls") {
    // Ids that no call of the conversation has.
    const before = prompt.content.reduce(
      (sum, message) => sum + (message.role === "assistant" ? message.content.filter(isCall).length : 0),
      0
    )
    const calls = decision.calls.map((call, index): Response.ToolCallPartEncoded => ({
      type: "tool-call",
      id: `call-${before + index + 1}`,
      name: call.name,
      params: call.params
    }))
    const output = calls.reduce((sum, call) => sum + call.name.length + json(call.params), 0)
    return [...calls, finish("tool-calls", input, output)]
  }
  const words = decision.text.match(/\s*\S+/g) ?? []
  return [
    { type: "text-start", id: "text" },
    ...words.map((delta): Response.StreamPartEncoded => ({ type: "text-delta", id: "text", delta })),
    { type: "text-end", id: "text" },
    finish("stop", input, decision.text.length)
  ]
}

const isCall = (part: { readonly type: string }): boolean => part.type === "tool-call"

const finish = (
  reason: "stop" | "tool-calls",
  input: number,
  output: number
): Response.FinishPartEncoded => ({
  type: "finish",
  reason,
  usage: { inputTokens: { total: tokens(input) }, outputTokens: { total: tokens(output) } }
})

const tokens = (characters: number): number => Math.ceil(characters / 4)

const json = (value: unknown): number => (JSON.stringify(value) ?? "").length

const lengthOf = (prompt: Prompt.Prompt): number => {
  let length = 0
  for (const message of prompt.content) {
    if (message.role === "system") {
      length += message.content.length
      continue
    }
    for (const part of message.content) {
      if (part.type === "text" || part.type === "reasoning") length += part.text.length
      else if (part.type === "tool-call") length += part.name.length + json(part.params)
      else if (part.type === "tool-result") length += part.name.length + json(part.result)
    }
  }
  return length
}

const toContent = (parts: ReadonlyArray<Response.StreamPartEncoded>): Array<Response.PartEncoded> => {
  const said = parts.flatMap((part) => part.type === "text-delta" ? [part.delta] : []).join("")
  const rest = parts.flatMap((part) =>
    part.type === "tool-call" || part.type === "finish" || part.type === "response-metadata" ? [part] : []
  )
  return said === "" ? rest : [{ type: "text", text: said }, ...rest]
}
