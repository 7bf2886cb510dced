/**
 * An agent that is reached by the A2A protocol, as an `Agent`. Needs the package `@a2a-js/sdk`.
 *
 * A run is one message to the agent, and ends with its task:
 *
 * - The session of a run is the `contextId` of the conversation. If the conversation has a task that waits for input, the
 *   message is the answer to it.
 * - The texts of artifacts and messages become text, files become files, and an address becomes a source. The `value` of
 *   the result is the last JSON of the task, decoded by the `output`. An answer of JSON alone is the text, too. What the
 *   agent says about its work is reasoning.
 * - A task that waits for input completes the run with the stop reason `"input-required"` (or `"auth-required"`), and
 *   the text is its question. If it waits for the approvals of an agent of this package, the stop reason is
 *   `"approval-required"`: `Agent.resume` answers them, from any process, also for the tool of another agent.
 * - A task that was canceled elsewhere is an interrupt here. One that has failed or was rejected is a failure
 *   (`A2aError.TaskFailed`). If the connection is lost before the task has ended, nobody knows how it ends:
 *   `ConnectionLost` has its id for `join`.
 * - A run that is interrupted, or that its consumer leaves, cancels the task, and waits for that within
 *   `AgentRun.FinalizationBudget`.
 * - The usage is that which an agent of this package reports. Otherwise it is unknown: every field is `undefined`. The
 *   calling run and its budgets count it when the run ends.
 *
 * Only messages of a user can be sent. Messages of `Steering` are not sent. Middleware and providers for model calls and
 * tools do not apply here, because they belong to the agent at the other end.
 *
 * **Example** (An agent of somebody else)
 *
 * ```ts no-run
 * import { Effect } from "effect"
 * import { Agent } from "effect-agents"
 * import { A2aAgent } from "effect-agents/a2a"
 *
 * const weather = A2aAgent.make("weather", A2aAgent.connect("https://weather.example.com"))
 *
 * export const program = Agent.run(weather, { prompt: "Will it rain in Oslo?", session: "chat-7" }).pipe(
 *   Effect.map(({ stopReason, text }) => stopReason === "input-required" ? `It asks: ${text}` : text)
 * )
 * ```
 *
 * @since 0.1.0
 */
import * as SdkClient from "@a2a-js/sdk/client"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import * as Agent from "../Agent.ts"
import type * as AgentRun from "../AgentRun.ts"
import * as A2aError from "./A2aError.ts"
import { toError } from "./internal/connection.ts"
import * as Remote from "./internal/remote.ts"

/**
 * The client that an agent is reached with: one of the SDK, or an effect that makes one when a run begins.
 *
 * @category models
 * @since 0.1.0
 */
export type Client<E = never, R = never> = SdkClient.Client | Effect.Effect<SdkClient.Client, E, R>

/**
 * The options of an agent.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options<out A> {
  /** The description that a calling model reads when this agent is a tool. Default: none. */
  readonly description?: string | undefined
  /**
   * The schema of the last JSON of a task, which is the `value` of the result. A completed task without such JSON fails
   * the run. Default: the JSON as it is, if there is any.
   */
  readonly output?: Schema.Codec<A, unknown> | undefined
  /**
   * What becomes of the task when a run is interrupted, or its consumer leaves: with `"cancel"` it is canceled, with
   * `"continue"` it goes on, and `join` reads it. Default: `"cancel"`.
   */
  readonly whenLeft?: "cancel" | "continue" | undefined
  /** Called once in each run, when the id of its task is known. Default: nothing is called. */
  readonly onTask?: ((task: { readonly taskId: string; readonly contextId: string }) => Effect.Effect<void>) | undefined
}

/**
 * Creates the agent.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <A = unknown, E = never, R = never>(
  name: string,
  client: Client<E, R>,
  options: Options<A> = {}
): Agent.Agent<{}, A2aError.A2aError | E, R, A, unknown> =>
  Agent.fromStream(name, {
    description: options.description,
    stream: (input) => Remote.run(name, client, options, input)
  })

/**
 * Reads the card of an agent, and returns a client for it. The card says where the requests are sent, with all that your
 * `fetch` adds to them.
 *
 * @category constructors
 * @since 0.1.0
 */
export const connect = (
  /** Where the card is looked for: in `.well-known/agent-card.json`, relative to this address. */
  url: string,
  options?: ConnectOptions
): Effect.Effect<SdkClient.Client, A2aError.A2aError> =>
  Effect.tryPromise({ try: () => clients(options).createFromUrl(url, options?.cardPath), catch: toError })

/**
 * The options for connecting to an agent.
 *
 * @category options
 * @since 0.1.0
 */
export interface ConnectOptions {
  /** The path of the card. Default: `.well-known/agent-card.json`. */
  readonly cardPath?: string | undefined
  /** The `fetch` for all requests, which may add credentials. Default: the global `fetch`. */
  readonly fetch?: typeof fetch | undefined
}

const clients = (options: ConnectOptions | undefined): SdkClient.ClientFactory => {
  const fetching = options?.fetch === undefined ? {} : { fetchImpl: options.fetch }
  return new SdkClient.ClientFactory(SdkClient.ClientFactoryOptions.createFrom(SdkClient.ClientFactoryOptions.default, {
    transports: [new SdkClient.JsonRpcTransportFactory(fetching), new SdkClient.RestTransportFactory(fetching)],
    cardResolver: new SdkClient.DefaultAgentCardResolver(fetching)
  }))
}

/**
 * Reads the card of an agent, and creates the agent with the name and the description that it has there. The name is
 * foreign text: give a name to `make` where that matters.
 *
 * @category constructors
 * @since 0.1.0
 */
export const discover = <A = unknown>(
  url: string,
  options: ConnectOptions & Options<A> = {}
): Effect.Effect<Agent.Agent<{}, A2aError.A2aError, never, A, unknown>, A2aError.A2aError> =>
  Effect.gen(function*() {
    const client = yield* connect(url, options)
    const card = yield* Effect.tryPromise({ try: () => client.getAgentCard(), catch: toError })
    const { description, name } = yield* decodeCard(card)
    return make(name, client, { description, ...options })
  })

/** The SDK does not check the card. */
const decodeCard = (card: unknown) =>
  Effect.mapError(
    Schema.decodeUnknownEffect(CardNames)(card),
    (cause) => A2aError.make(new A2aError.InvalidResponse({ description: "its card has no name", cause }))
  )

const CardNames = Schema.Struct({ name: Schema.NonEmptyString, description: Schema.optional(Schema.String) })

/**
 * Reads a task in progress, or one that has ended, as the parts of a run. All of the task is told from its beginning.
 * A consumer that leaves does not cancel it, unless `whenLeft` is `"cancel"`.
 *
 * @category running
 * @since 0.1.0
 */
export const join = <A = unknown, E = never, R = never>(
  name: string,
  client: Client<E, R>,
  taskId: string,
  options: Options<A> = {}
): Stream.Stream<AgentRun.Part<{}, A, unknown>, A2aError.A2aError | E, R> =>
  Remote.join(name, client, { whenLeft: "continue", ...options }, taskId)
