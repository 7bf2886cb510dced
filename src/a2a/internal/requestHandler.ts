/**
 * The tasks of an agent for the SDK, whose transports ask with promises and async generators.
 *
 * @since 0.1.0
 */
import type * as Sdk from "@a2a-js/sdk"
import * as SdkErrors from "@a2a-js/sdk/errors"
import type * as SdkServer from "@a2a-js/sdk/server"
import type * as Tool from "effect/ai/Tool"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Requests from "./requests.ts"
import type * as Tasks from "./tasks.ts"

/** A task that is followed. A refusal comes before its first update. */
type Opening<R> = Effect.Effect<Stream.Stream<Sdk.StreamResponse>, Requests.Refusal, R | Scope.Scope>

/**
 * What `layer` adds to the state of a request: the services that the agent takes from it. In return it finds the updates
 * that the SDK's transport has asked for, so that they need not go through promises.
 *
 * @category models
 * @since 0.1.0
 */
export class Bringing<Request = unknown> {
  readonly services: Context.Context<Request>
  opening: Opening<never> | undefined = undefined

  constructor(services: Context.Context<Request>) {
    this.services = services
  }

  get state(): Map<string, unknown> {
    return new Map([[key, this]])
  }
}

const key = "effect-agents/a2a"

/** The state is the user's, too. */
const broughtBy = ({ state }: SdkServer.ServerCallContext): Bringing | undefined => {
  const found = state.get(key)
  return found instanceof Bringing ? found : undefined
}

/**
 * @category models
 * @since 0.1.0
 */
export class RequestHandler<Tools extends Record<string, Tool.Any>, E, R, A, P, Request>
  implements SdkServer.A2ARequestHandler
{
  private readonly tasks: Tasks.Tasks<Tools, E, R, A, P, Request>
  private readonly card: Sdk.AgentCard
  private readonly owner: (context: SdkServer.ServerCallContext) => string | undefined
  private readonly context: Context.Context<never>

  constructor(
    tasks: Tasks.Tasks<Tools, E, R, A, P, Request>,
    card: Sdk.AgentCard,
    owner: (context: SdkServer.ServerCallContext) => string | undefined,
    context: Context.Context<never>
  ) {
    this.tasks = tasks
    this.card = card
    this.owner = owner
    this.context = context
  }

  getAgentCard(): Promise<Sdk.AgentCard> {
    return Promise.resolve(this.card)
  }

  getAuthenticatedExtendedAgentCard(): Promise<Sdk.AgentCard> {
    return Promise.reject(Requests.unsupported("There is no extended card."))
  }

  sendMessage(params: Sdk.SendMessageRequest, context: SdkServer.ServerCallContext): Promise<Sdk.Task> {
    return this.promise(context, (owner) => this.tasks.send(owner, params))
  }

  sendMessageStream(params: Sdk.SendMessageRequest, context: SdkServer.ServerCallContext): Generator {
    return this.generator(context, (owner) => this.tasks.stream(owner, params))
  }

  resubscribe({ id }: Sdk.SubscribeToTaskRequest, context: SdkServer.ServerCallContext): Generator {
    return this.generator(context, (owner) => this.tasks.join(owner, id))
  }

  getTask({ historyLength, id }: Sdk.GetTaskRequest, context: SdkServer.ServerCallContext): Promise<Sdk.Task> {
    return this.promise(context, (owner) => this.tasks.get(owner, id, historyLength))
  }

  listTasks(params: Sdk.ListTasksRequest, context: SdkServer.ServerCallContext): Promise<Sdk.ListTasksResponse> {
    return this.promise(context, (owner) => this.tasks.list(owner, params))
  }

  cancelTask({ id }: Sdk.CancelTaskRequest, context: SdkServer.ServerCallContext): Promise<Sdk.Task> {
    return this.promise(context, (owner) => this.tasks.cancel(owner, id))
  }

  createTaskPushNotificationConfig(): Promise<Sdk.TaskPushNotificationConfig> {
    return noPush()
  }

  getTaskPushNotificationConfig(): Promise<Sdk.TaskPushNotificationConfig> {
    return noPush()
  }

  listTaskPushNotificationConfigs(): Promise<Sdk.ListTaskPushNotificationConfigsResponse> {
    return noPush()
  }

  deleteTaskPushNotificationConfig(): Promise<void> {
    return noPush()
  }

  private promise<B>(
    context: SdkServer.ServerCallContext,
    use: (owner: string) => Effect.Effect<B, Requests.Refusal, Request>
  ): Promise<B> {
    return Effect.runPromiseExitWith(this.services(context))(this.owned(context, use)).then((exit) =>
      Exit.isSuccess(exit) ? exit.value : Promise.reject(toldCause(exit.cause))
    )
  }

  private generator(
    context: SdkServer.ServerCallContext,
    use: (owner: string) => Opening<Request>
  ): Generator {
    const services = this.services(context)
    const opening = Effect.catchCause(this.owned(context, use), (cause) => Effect.fail(toldCause(cause)))
    const brought = broughtBy(context)
    if (brought !== undefined) {
      // the request itself would stay in memory as long as the run
      brought.opening = Effect.updateContext(
        opening,
        (request: Context.Context<Scope.Scope>) => Context.add(services, Scope.Scope, Context.get(request, Scope.Scope))
      )
      return new Generator(nothing)
    }
    const updates = Stream.scoped(Stream.unwrap(opening))
    return new Generator(Stream.toAsyncIterableWith(updates, services)[Symbol.asyncIterator]())
  }

  private services(context: SdkServer.ServerCallContext): Context.Context<Request> {
    const brought = broughtBy(context)
    // what the agent takes from each request is brought by `layer`; without it, `Request` is `never`
    return (brought === undefined ? this.context : Context.merge(this.context, brought.services)) as Context.Context<
      Request
    >
  }

  /** The owner comes from the request's context alone. */
  private owned<B, R1>(
    context: SdkServer.ServerCallContext,
    use: (owner: string) => Effect.Effect<B, Requests.Refusal, R1>
  ): Effect.Effect<B, Requests.Refusal, R1> {
    return Effect.suspend(() => {
      const owner = this.owner(context)
      return owner === undefined || owner === "" ? Effect.fail(unknownSender) : use(owner)
    })
  }
}

/** Nothing of a defect reaches a client. */
const toldCause = (cause: Cause.Cause<Requests.Refusal>): Requests.Refusal => {
  const [reason] = cause.reasons
  return reason !== undefined && Cause.isFailReason(reason) ? reason.error : Requests.internal()
}

const noPush = (): Promise<never> =>
  Promise.reject(new SdkErrors.PushNotificationNotSupportedError("There are no push notifications."))

const unknownSender = Requests.malformed("The sender of the request is not known.")

/** Nobody reads it. */
const nothing: AsyncIterator<Sdk.StreamResponse> = { next: () => Promise.resolve({ done: true, value: undefined }) }

/** An async iterator with the methods of a generator, which the SDK asks for. */
class Generator implements AsyncGenerator<Sdk.StreamResponse, void, undefined> {
  private readonly iterator: AsyncIterator<Sdk.StreamResponse>

  constructor(iterator: AsyncIterator<Sdk.StreamResponse>) {
    this.iterator = iterator
  }

  next(): Promise<IteratorResult<Sdk.StreamResponse, void>> {
    return this.iterator.next()
  }

  return(): Promise<IteratorResult<Sdk.StreamResponse, void>> {
    const done: IteratorResult<Sdk.StreamResponse, void> = { done: true, value: undefined }
    return this.iterator.return === undefined ? Promise.resolve(done) : this.iterator.return().then(() => done)
  }

  throw(error: unknown): Promise<IteratorResult<Sdk.StreamResponse, void>> {
    return this.return().then(() => Promise.reject(error))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.return().then(() => undefined)
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}
