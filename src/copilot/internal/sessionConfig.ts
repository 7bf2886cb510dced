/**
 * The configuration of the runtime's session for a run.
 *
 * @since 0.1.0
 */
import type * as Sdk from "@github/copilot-sdk"
import * as Effect from "effect/Effect"
import * as CopilotError from "../CopilotError.ts"
import type * as CopilotRuntime from "../CopilotRuntime.ts"

interface Options {
  readonly model: string
  readonly provider: Sdk.ProviderConfig | undefined
  readonly settings: Partial<Sdk.SessionConfig>
}

/**
 * Fails for options that the runtime would misunderstand: for an empty model name it takes a model of its own, and it
 * calls an invalid address again and again.
 *
 * @category guards
 * @since 0.1.0
 */
export const check = ({ model, provider }: Options): Effect.Effect<void, CopilotError.CopilotError> => {
  if (model.trim() === "") return rejected("the name of the model is empty")
  if (provider !== undefined && !URL.canParse(provider.baseUrl)) {
    return rejected(`the \`baseUrl\` of the provider is not a URL: \`${provider.baseUrl}\``)
  }
  return Effect.void
}

const rejected = (description: string): Effect.Effect<never, CopilotError.CopilotError> =>
  Effect.fail(CopilotError.make(new CopilotError.RequestRejected({ operation: "createSession", description })))

/**
 * Creates the configuration of a session from the settings of the agent and the values of the run.
 *
 * @category constructors
 * @since 0.1.0
 */
export const configOf = ({ model, provider, settings }: Options, run: {
  readonly mode: Sdk.CopilotClientMode
  readonly instructions: string
  readonly tools: Array<Sdk.Tool>
  readonly onEvent: Sdk.SessionEventHandler
  readonly onPermissionRequest: Sdk.PermissionHandler
}): CopilotRuntime.SessionRequest["config"] => {
  const { onEvent, onPermissionRequest, tools } = run
  const available = settings.availableTools ?? (run.mode === "empty" ? [] : undefined)
  const availableTools = available === undefined || Array.isArray(available) ? available : available.toArray()
  const systemMessage = withInstructions(settings.systemMessage, run.instructions)
  return {
    // the deltas of sub-agents belong to no run
    includeSubAgentStreamingEvents: false,
    ...settings,
    model,
    streaming: true,
    tools,
    onEvent,
    onPermissionRequest,
    ...(provider === undefined ? undefined : { provider }),
    ...(systemMessage === undefined ? undefined : { systemMessage }),
    ...(availableTools === undefined ? undefined : { availableTools: [...availableTools, "custom:*"] })
  }
}

const withInstructions = (
  message: Sdk.SystemMessageConfig | undefined,
  instructions: string
): Sdk.SystemMessageConfig | undefined => {
  if (instructions === "") return message
  if (message === undefined) return { mode: "append", content: instructions }
  const content = message.content === undefined || message.content === ""
    ? instructions
    : `${message.content}\n\n${instructions}`
  return { ...message, content }
}
