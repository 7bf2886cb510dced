/**
 * The GitHub Copilot runtime as an agent.
 *
 * The runtime is a process of its own. It asks the model, keeps the conversation, and has tools of its own. An agent
 * made here is like any other: it has the same parts, result, outcomes, context providers, middleware and telemetry.
 * Its tools are offered to the runtime, and run in this process by the rules of every agent.
 *
 * **Sessions**
 *
 * The session id of a run is the id of the runtime's session. A session that the runtime knows is continued, any other
 * is begun. With `SessionHistory` among the providers, the history also records the runtime's session that it belongs
 * to, and the runtime receives the messages that it has not seen. A run without a session leaves nothing in the
 * runtime. A run that does not complete is removed from the runtime's session: its prompt and all that was answered.
 *
 * **Telemetry**
 *
 * A run is one `invoke_agent` span, with an `execute_tool` span for each call of a tool in the toolkit. Only the
 * runtime can trace the calls of its model: with `telemetry` in the options of the runtime, its own spans are in the
 * same trace.
 *
 * **Example** (An agent on a model server of one's own)
 *
 * ```ts no-run
 * import { Effect } from "effect"
 * import { Agent } from "effect-agents"
 * import { CopilotAgent, CopilotRuntime } from "effect-agents/copilot"
 *
 * const reviewer = CopilotAgent.make("reviewer", {
 *   model: "qwen3-coder",
 *   provider: { type: "openai", baseUrl: "http://127.0.0.1:8080/v1", wireApi: "completions" },
 *   instructions: "You review changes. You never make any.",
 *   settings: { availableTools: ["builtin:view", "builtin:grep"] },
 *   permissions: (request) => Effect.succeed(request.kind === "read" ? CopilotAgent.approve : CopilotAgent.deny())
 * })
 *
 * export const program = Agent.run(reviewer, { prompt: "What does the last commit change?", session: "review-7" }).pipe(
 *   Effect.catchReason("CopilotError", "RuntimeExited", (reason) => Effect.die(reason)),
 *   Effect.provide(CopilotRuntime.layer({ mode: "empty", baseDirectory: "/var/lib/reviewer" }))
 * )
 * ```
 *
 * @since 0.1.0
 */
import type * as Sdk from "@github/copilot-sdk"
import type * as Tool from "effect/ai/Tool"
import type * as Toolkit from "effect/ai/Toolkit"
import * as Effect from "effect/Effect"
import type * as Agent from "../Agent.ts"
import type * as AgentError from "../AgentError.ts"
import type * as ContextProvider from "../ContextProvider.ts"
import { fromBody, toolkitOf, toolsOf } from "../internal/run/agentOf.ts"
import * as NestedTools from "../internal/tool/nested.ts"
import type * as Misuse from "../internal/words/misuse.ts"
import type * as Middleware from "../Middleware.ts"
import type * as CopilotError from "./CopilotError.ts"
import type * as CopilotRuntime from "./CopilotRuntime.ts"
import * as Work from "./internal/work.ts"

/**
 * The request of a tool of the runtime for a permission. `kind` says what it wants to do (`"shell"`, `"write"`,
 * `"read"`, `"url"`, `"mcp"`, `"memory"`, ...), and the other fields have the details.
 *
 * @category permissions
 * @since 0.1.0
 */
export type PermissionRequest = Sdk.PermissionRequest

/**
 * The answer to a permission request.
 *
 * @category permissions
 * @since 0.1.0
 */
export type PermissionDecision = Exclude<Sdk.PermissionRequestResult, { readonly kind: "no-result" }>

/**
 * Allows a tool of the runtime to do what it asked for, this once.
 *
 * @category permissions
 * @since 0.1.0
 */
export const approve: PermissionDecision = { kind: "approve-once" }

/**
 * Forbids a tool of the runtime to do what it asked for. The model reads the reason.
 *
 * @category permissions
 * @since 0.1.0
 */
export const deny = (feedback: string = "This agent does not permit it"): PermissionDecision => ({
  kind: "reject",
  feedback
})

/**
 * The settings of the SDK's sessions that an agent may set: `availableTools`, `mcpServers`, `customAgents`, `hooks`,
 * `reasoningEffort`, `workingDirectory`, ... The run sets the others.
 *
 * The SDK calls functions among them outside of the run.
 *
 * @category models
 * @since 0.1.0
 */
export interface Settings extends
  Partial<
    Omit<
      Sdk.SessionConfig,
      "model" | "provider" | "sessionId" | "tools" | "streaming" | "onEvent" | "onPermissionRequest"
    >
  >
{}

/**
 * The options of a Copilot agent.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<
  Tools extends Record<string, Tool.Any>,
  ToolkitError,
  ToolkitServices,
  Providers extends ReadonlyArray<ContextProvider.Any>,
  Middlewares extends ReadonlyArray<Middleware.Any>,
  PermissionError,
  PermissionServices
> {
  /** The name of the model: of the given `provider`, otherwise one of Copilot's models. */
  readonly model: string
  /** The provider that serves the model. Default: Copilot. */
  readonly provider?: Sdk.ProviderConfig | undefined
  /**
   * The description that a calling model reads when this agent is a tool, and that telemetry reports. Default: none.
   */
  readonly description?: string | undefined
  /** Appended to the runtime's system message, before the instructions of the context providers. Default: nothing. */
  readonly instructions?: string | undefined
  /**
   * Tools that are offered to the runtime beside its own. A tool with the name of a tool of the runtime replaces it.
   * Default: none.
   */
  readonly toolkit?:
    | Effect.Effect<Toolkit.WithHandler<Tools>, ToolkitError, ToolkitServices>
    | Misuse.NotAToolkit
    | undefined
  /** Context providers, in the order of their `beforeRun`s. Names are unique. Default: none. */
  readonly providers?: Providers | undefined
  /**
   * Middleware around runs, and around calls of the toolkit's tools. Its `model` function is never called, because the
   * runtime calls the model. Default: none.
   */
  readonly middleware?: Middlewares | undefined
  /**
   * Decides about the permissions that tools of the runtime request. Its failure fails the run. Default: denies
   * everything.
   */
  readonly permissions?:
    | ((request: PermissionRequest) => Effect.Effect<PermissionDecision, PermissionError, PermissionServices>)
    | undefined
  /** Whether a run may begin a session that the runtime does not know. Default: `"create"`, which means that it may. */
  readonly sessions?: "create" | "existing" | undefined
  /**
   * The number of failed attempts at one model call after which the runtime may try again. A call that fails after its
   * first part always fails the run. Default: no limit.
   */
  readonly retries?: number | undefined
  /** Settings of the runtime's sessions. Default: the runtime's. */
  readonly settings?: Settings | undefined
}

/**
 * Creates an agent whose work is done by the Copilot runtime.
 *
 * **Gotchas**
 *
 * A call of a tool that needs an approval is denied: the runtime waits for its result, so nobody can be asked. Two
 * providers with the same name are a defect of this call, not a failure of a run.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <
  Tools extends Record<string, Tool.Any> = {},
  ToolkitError = never,
  ToolkitServices = never,
  const Providers extends ReadonlyArray<ContextProvider.Any> = [],
  const Middlewares extends ReadonlyArray<Middleware.Any> = [],
  PermissionError = never,
  PermissionServices = never
>(
  name: string,
  options: Options<
    Tools,
    ToolkitError,
    ToolkitServices,
    Providers,
    Middlewares,
    PermissionError,
    PermissionServices
  >
): Agent.Agent<
  Tools,
  | CopilotError.CopilotError
  | AgentError.AgentError
  | ToolkitError
  | Tool.HandlerError<Tools[keyof Tools]>
  | PermissionError
  | ContextProvider.Error<Providers[number]>
  | Middleware.Error<Middlewares[number]>,
  | CopilotRuntime.CopilotRuntime
  // one by one: a `HandlersFor` would be printed with all of its tools
  | ((ToolkitServices extends infer S ? [S] : never) extends infer W ? W extends [infer S] ? S : never : never)
  | Tool.HandlerServices<Tools[keyof Tools]>
  | PermissionServices
  | ContextProvider.Services<Providers[number]>
  | Middleware.Services<Middlewares[number]>
> => {
  const { description, model, provider, retries, sessions } = options
  // the services of the handler are in `R`, and are captured when a run begins
  const permissions = (options.permissions ?? denyAll) as Work.Options["permissions"]
  const work = {
    model,
    provider,
    instructions: options.instructions,
    toolkit: toolkitOf(name, options.toolkit),
    permissions,
    missing: sessions === "existing" ? "fail" : "create",
    retries: retries ?? Infinity,
    settings: options.settings ?? {}
  } as const
  const parts = { middleware: options.middleware ?? [], providers: options.providers ?? [] }
  // what the runtime does is in no record
  const identity = NestedTools.rememberWhole({ name, description })
  return fromBody(identity, parts, (middleware, providers) => ({
    name,
    description,
    remote: true,
    provider: "github.copilot",
    model,
    providers,
    body: Work.body({ ...work, middleware })
  }), options.toolkit === undefined ? {} : toolsOf(options.toolkit))
}

const denyAll = (): Effect.Effect<PermissionDecision> => Effect.succeed(deny())
