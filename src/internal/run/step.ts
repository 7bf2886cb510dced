/**
 * A finished step, as a value and as messages.
 *
 * @since 0.1.0
 */
import * as Prompt from "effect/ai/Prompt"
import type * as Clock from "effect/Clock"
import type * as AgentRun from "../../AgentRun.ts"
import type * as Middleware from "../../Middleware.ts"
import * as Session from "../../Session.ts"
import type * as StopCondition from "../../StopCondition.ts"
import * as Parts from "../words/responseParts.ts"
import type { Call, StepBuilder } from "../words/stepBuilder.ts"
import * as ToolHandler from "../tool/handler.ts"

/**
 * Creates the result of a call that was not answered.
 *
 * @category steps
 * @since 0.1.0
 */
export const interrupted = (call: Call): Middleware.ToolResult =>
  ToolHandler.notExecuted(call, "execution-interrupted", "The run ended before the tool did")

/**
 * Creates a step from the output of the model and the results of its calls.
 *
 * @category steps
 * @since 0.1.0
 */
export const toStep = (
  index: number,
  builder: StepBuilder,
  { names, usage }: {
    readonly usage: AgentRun.Usage
    /** Who has answered, when it is known. */
    readonly names: Pick<AgentRun.Step, "provider" | "model"> | undefined
  },
  calls: ReadonlyArray<Call>,
  results: ReadonlyArray<Middleware.ToolResult | undefined>
): AgentRun.Step => {
  const toolCalls: Array<AgentRun.ToolCall> = builder.providerCalls ?? []
  for (let i = 0; i < calls.length; i++) {
    const { id, name, params } = calls[i]
    const result = results[i]
    const executed = result !== undefined && ToolHandler.wasExecuted(result)
    const isFailure = result === undefined || (result.isFailure && ToolHandler.requestsOf(result) === undefined)
    toolCalls.push({ id, name, params, executed, isFailure })
  }
  const step: AgentRun.Step = {
    index,
    text: builder.text(),
    finishReason: builder.finishReason ?? "unknown",
    toolCalls,
    usage
  }
  return names === undefined ? step : { ...step, ...names }
}

/**
 * Creates the messages that a step adds to the transcript. For a call that waits for approvals they contain its
 * requests instead of a result.
 *
 * @category steps
 * @since 0.1.0
 */
export const toMessages = (
  builder: StepBuilder,
  results: ReadonlyArray<Middleware.ToolResult>
): Array<Prompt.Message> => {
  const messages: Array<Prompt.Message> = []
  const content = builder.content()
  const finals: Array<Prompt.ToolMessagePart> = []
  for (const result of results) {
    const requests = ToolHandler.requestsOf(result)
    if (requests === undefined) finals.push(toPromptResult(result))
    else content.push(...requests)
  }
  if (content.length > 0) messages.push(Parts.assistantMessage(content))
  if (finals.length > 0) messages.push(Parts.toolMessage(finals))
  return messages
}

/**
 * Creates the part of the transcript that is a result.
 *
 * @category steps
 * @since 0.1.0
 */
export const toPromptResult = (
  { encodedResult, id, isFailure, metadata, modelOutput, name, providerExecuted }: Middleware.ToolResult
): Prompt.ToolResultPart =>
  Parts.promptToolResult({ id, name, isFailure, result: encodedResult, providerExecuted, modelOutput }, metadata)

/**
 * Creates the argument of stop conditions.
 *
 * @category steps
 * @since 0.1.0
 */
export const progressOf = (
  run: Omit<StopCondition.Progress, "elapsed"> & {
    readonly clock: Clock.Clock
    readonly startedAt: number
    readonly journal?: { readonly elapsed: number } | undefined
  }
): StopCondition.Progress => ({
  steps: run.steps,
  usage: run.usage,
  executedToolCalls: run.executedToolCalls,
  failedToolCalls: run.failedToolCalls,
  // the recorded time, so that the next attempt decides in the same way
  elapsed: run.journal?.elapsed ?? run.clock.currentTimeMillisUnsafe() - run.startedAt
})

/**
 * Returns whether the model was cut off. Its calls may then be incomplete too.
 *
 * @category steps
 * @since 0.1.0
 */
export const isIncomplete = (reason: AgentRun.StopReason): boolean => reason === "length" || reason === "content-filter"

/**
 * Creates a message of the run to the model.
 *
 * @category messages
 * @since 0.1.0
 */
export const userMessage = (text: string): Prompt.UserMessage =>
  Prompt.userMessage({ content: [Prompt.textPart({ text })] })

/**
 * Puts the messages of a run in order, and closes both halves. A call of the history may be answered in the prompt; any
 * other gets an interrupted result, except those that are still `waiting`.
 *
 * @category messages
 * @since 0.1.0
 */
export const compose = (
  instructions: string,
  history: ReadonlyArray<Prompt.Message>,
  prompt: ReadonlyArray<Prompt.Message>,
  waiting: ReadonlyArray<string> = []
) => {
  // most runs begin with a question
  if (instructions === "" && history.length === 0 && prompt.length === 1 && prompt[0].role === "user") {
    return { system: [], history, prompt }
  }
  let systemCount = 0
  while (systemCount < prompt.length && prompt[systemCount].role === "system") systemCount++
  const system: Array<Prompt.Message> = prompt.slice(0, systemCount)
  if (instructions !== "") system.unshift(Prompt.systemMessage({ content: instructions }))
  const own = prompt.slice(systemCount)
  if (!history.some(isAssistant) && !own.some(isAssistant)) return { system, history, prompt: own }
  const answered = own.flatMap((message) =>
    message.role === "tool" ? message.content.flatMap((part) => part.type === "tool-result" ? part.id : []) : []
  )
  return {
    system,
    history: Session.close(history, { except: new Set([...answered, ...waiting]) }),
    prompt: Session.close(own, { except: new Set(waiting) })
  }
}

const isAssistant = (message: Prompt.Message): boolean => message.role === "assistant"
