/**
 * Agents that work in the background while their caller goes on.
 *
 * A lead agent uses them with tools from a provider: it starts workers, lists them, sends them messages, waits for them
 * for a limited time, and stops them. A program uses them as effects, with `make`. In both cases workers are
 * supervised: a worker, and every agent that it has called, ends before the run that started it returns, whether that
 * run completes, fails, is interrupted or is left early.
 *
 * To let workers outlive a run, detach them: `detached` gives them a name, and `layer` a scope. Every run with the
 * provider of that name sees them. They end when the scope of the layer closes.
 *
 * **Example** (Two workers of one lead)
 *
 * ```ts
 * import { Console, Effect } from "effect"
 * import { Agent } from "effect-agents"
 * import { Background } from "effect-agents/orchestration"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const researcher = Agent.make("researcher", { description: "Finds things out" })
 *
 * const lead = Agent.program("lead", {
 *   run: ({ prompt }) =>
 *     Effect.scoped(Effect.gen(function*() {
 *       const background = yield* Background.make({ researcher })
 *       const high = yield* background.start("researcher", { prompt: `How high is ${prompt}?` })
 *       const old = yield* background.start("researcher", { prompt: `How old is ${prompt}?` })
 *       const [height, age] = yield* Effect.all([high.join, old.join])
 *       return `${height.text}, ${age.text}`
 *     }))
 * })
 *
 * const program = Effect.gen(function*() {
 *   const { value } = yield* Agent.run(lead, { prompt: "the mountain" })
 *   yield* Console.log(value)
 * })
 *
 * const model = ScriptedModel.layer([ScriptedModel.text("2469 m"), ScriptedModel.text("400 million years")])
 *
 * Effect.runPromise(Effect.provide(program, model))
 * // => 2469 m, 400 million years
 * ```
 *
 * **Details**
 *
 * A worker has no session, and knows what it was told when it was started. Its parts are not in the stream of the lead.
 * It draws from the budgets of the run that has started it. Its usage is in the total usage of that run, unless it is
 * detached. A worker that waits for an approval has ended: nobody can answer it.
 *
 * **Gotchas**
 *
 * Stopping workers at the end of a run takes time within `AgentRun.FinalizationBudget`. A `Journal` does not record the
 * work of workers.
 *
 * @since 0.1.0
 */

import type * as Prompt from "effect/ai/Prompt"
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Agent from "../Agent.ts"
import type * as AgentRun from "../AgentRun.ts"
import * as ContextProvider from "../ContextProvider.ts"
import * as ToolHandler from "../internal/tool/handler.ts"
import * as Supervisor from "./internal/supervisor.ts"

/**
 * The state of a worker: it is working, or it has ended.
 *
 * - `completed`: it has completed with this `text`.
 * - `approval-required`: it needed an approval, and nobody can be asked.
 * - `failed`: it has failed, and `text` is the message of its failure.
 * - `stopped`: it was stopped by a call, or with its scope.
 *
 * @category models
 * @since 0.1.0
 */
export const Task = Schema.Struct({
  id: Schema.String,
  worker: Schema.String,
  status: Schema.Literals(["running", "completed", "approval-required", "failed", "stopped"]),
  text: Schema.optionalKey(Schema.String)
})

/**
 * @category models
 * @since 0.1.0
 */
export type Task = typeof Task.Type

/**
 * A worker that was started.
 *
 * - `task`: its state.
 * - `ask`: sends it a message, which it reads before its next model call. Fails if it has ended.
 * - `join`: returns its result, or fails with its failure. Interrupting `join` does not stop the worker.
 * - `awaitFor`: waits for its end, but no longer than this time, and returns its state.
 * - `stop`: stops it, waits until it has ended completely, and returns its state.
 *
 * @category models
 * @since 0.1.0
 */
export interface Worker<out A = unknown, out E = unknown> {
  readonly id: string
  readonly task: Effect.Effect<Task>
  readonly ask: (message: string | Prompt.UserMessage) => Effect.Effect<void, TaskEnded>
  readonly join: Effect.Effect<AgentRun.Result<A>, E>
  readonly awaitFor: (duration: Duration.Input) => Effect.Effect<Task>
  readonly stop: Effect.Effect<Task>
}

/**
 * Agents that can be started in the background.
 *
 * - `start`: starts one of them, by its key. Fails if the maximum number is running.
 * - `find`: returns a worker by its id.
 * - `tasks`: returns all known workers, in the order in which they were started.
 *
 * @category models
 * @since 0.1.0
 */
export interface Background<Workers extends Readonly<Record<string, Agent.Any>>> {
  readonly start: <Name extends keyof Workers & string>(
    worker: Name,
    input: { readonly prompt: Prompt.RawInput }
  ) => Effect.Effect<Worker<Agent.Output<Workers[Name]>, Agent.Error<Workers[Name]>>, TooManyTasks>
  readonly find: (id: string) => Effect.Effect<Worker, NoSuchTask>
  readonly tasks: Effect.Effect<ReadonlyArray<Task>>
}

/**
 * The limits for workers.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The number of workers that may run at the same time. Default: 8. */
  readonly maximum?: number | undefined
}

/**
 * No worker was started with this id, or it has ended too long ago: only the last 100 ended workers are known.
 *
 * @category errors
 * @since 0.1.0
 */
export class NoSuchTask extends Schema.Error<NoSuchTask>("effect-agents/Background/NoSuchTask")({
  _tag: Schema.tag("NoSuchTask"),
  id: Schema.String
}) {
  override get message(): string {
    return `There is no task \`${this.id}\``
  }
}

/**
 * A message was sent to a worker that has ended.
 *
 * @category errors
 * @since 0.1.0
 */
export class TaskEnded extends Schema.Error<TaskEnded>("effect-agents/Background/TaskEnded")({
  _tag: Schema.tag("TaskEnded"),
  id: Schema.String
}) {
  override get message(): string {
    return `The task \`${this.id}\` has ended`
  }
}

/**
 * The maximum number of workers is running.
 *
 * @category errors
 * @since 0.1.0
 */
export class TooManyTasks extends Schema.Error<TooManyTasks>("effect-agents/Background/TooManyTasks")({
  _tag: Schema.tag("TooManyTasks"),
  maximum: Schema.Finite
}) {
  override get message(): string {
    return `${this.maximum} tasks are running, and no more may: wait for one of them, or stop one`
  }
}

/**
 * The detached workers of a process, see `layer`.
 *
 * @category services
 * @since 0.1.0
 */
export class Detached extends Context.Service<Detached, {
  /** Returns the supervisor of the workers with this name. */
  readonly named: (name: string, maximum: number) => Supervisor.Supervisor
}>()("effect-agents/Background/Detached") {}

/**
 * Layer that keeps detached workers. When its scope closes, it stops them and waits until they have ended.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Detached> = Layer.effect(Detached)(
  Effect.map(Effect.scope, (scope) => {
    const known = new Map<string, Supervisor.Supervisor>()
    return {
      named: (name, maximum) => {
        const supervisor = known.get(name) ?? new Supervisor.Supervisor(scope, maximum, true)
        known.set(name, supervisor)
        return supervisor
      }
    }
  })
)

/**
 * Creates workers for the scope of the caller, such as a program. When the scope closes, they are stopped, and it waits
 * until they have ended.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <const Workers extends Readonly<Record<string, Agent.Any>>>(
  workers: Workers,
  options?: Options
): Effect.Effect<Background<Workers>, never, Scope.Scope | Agent.Services<Workers[keyof Workers]>> =>
  Effect.map(supervised(options), (supervisor) => toBackground(supervisor, workers))

/**
 * Creates the handle of the detached workers with a name.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeDetached = <const Workers extends Readonly<Record<string, Agent.Any>>>(
  name: string,
  workers: Workers,
  options?: Options
): Effect.Effect<Background<Workers>, never, Detached | Agent.Services<Workers[keyof Workers]>> =>
  Effect.map(Detached, (detached) => toBackground(detached.named(name, maximumOf(options)), workers))

/**
 * Creates the provider that gives a lead agent tools for these workers: `start_worker`, `list_workers`, `ask_worker`,
 * `await_worker` and `stop_worker`. The workers end with the run of the lead.
 *
 * @category providers
 * @since 0.1.0
 */
export const provider = <const Workers extends Readonly<Record<string, Agent.Any>>>(
  workers: Workers,
  options?: Options
): ContextProvider.ContextProvider<never, Agent.Services<Workers[keyof Workers]>> =>
  ContextProvider.make("background", {
    beforeRun: () =>
      Effect.map(supervised(options), (supervisor) => ({
        toolkit: toTools(toBackground(supervisor, workers), workers),
        state: supervisor
      })),
    // their usage until then is in the total usage of the run
    afterRun: ({ state }: ContextProvider.CompletedRun<Supervisor.Supervisor>) => state.stopAll
    // the services of the workers are those of a type parameter, which the compiler does not simplify
  }) as ContextProvider.ContextProvider<never, any>

/**
 * Creates the provider that gives a lead agent the same tools for detached workers with this name. They go on after the
 * run of the lead, until they end, until this run or a later one stops them, or until the scope of `layer` closes.
 *
 * @category providers
 * @since 0.1.0
 */
export const detached = <const Workers extends Readonly<Record<string, Agent.Any>>>(
  name: string,
  workers: Workers,
  options?: Options
): ContextProvider.ContextProvider<never, Detached | Agent.Services<Workers[keyof Workers]>> =>
  ContextProvider.make(`background ${name}`, {
    beforeRun: () =>
      Effect.map(makeDetached(name, workers, options), (background) => ({ toolkit: toTools(background, workers) }))
    // the services of the workers are those of a type parameter, which the compiler does not simplify
  }) as ContextProvider.ContextProvider<never, any>

const maximumOf = (options: Options | undefined): number => options?.maximum ?? 8

const supervised = (options: Options | undefined): Effect.Effect<Supervisor.Supervisor, never, Scope.Scope> =>
  Effect.map(Effect.scope, (scope) => new Supervisor.Supervisor(scope, maximumOf(options), false))

const toBackground = <Workers extends Readonly<Record<string, Agent.Any>>>(
  supervisor: Supervisor.Supervisor,
  workers: Workers
): Background<Workers> => ({
  start: (worker, { prompt }) =>
    Effect.suspend(() => {
      const { maximum } = supervisor
      return supervisor.isFull
        ? Effect.fail(new TooManyTasks({ maximum }))
        // the worker of this name has these types
        : supervisor.start(worker, workers[worker], prompt) as Effect.Effect<any>
    }).pipe(Effect.map((one) => toWorker(one))),
  find: (id) =>
    Effect.suspend(() => {
      const one = supervisor.find(id)
      return one === undefined ? Effect.fail(new NoSuchTask({ id })) : Effect.succeed(toWorker(one))
    }),
  tasks: Effect.sync(() => supervisor.all.map((one) => one.task))
})

const toWorker = (one: Supervisor.Started): Worker<any, any> => ({
  id: one.id,
  task: Effect.sync(() => one.task),
  ask: (message) =>
    Effect.suspend(() => one.hasEnded ? Effect.fail(new TaskEnded({ id: one.id })) : one.steering.send(message)),
  join: Effect.flatten(one.exit),
  awaitFor: (duration) => Effect.andThen(Effect.timeoutOption(one.exit, duration), Effect.sync(() => one.task)),
  stop: Effect.andThen(one.stop, Effect.sync(() => one.task))
})

// -----------------------------------------------------------------------------
// Tools
// -----------------------------------------------------------------------------

const Id = Schema.Struct({ id: Schema.String })

const Failure = Schema.Union([NoSuchTask, TaskEnded, TooManyTasks])

const common = { success: Task, failure: Failure, failureMode: "return" } as const

const toTools = (
  background: Background<any>,
  workers: Readonly<Record<string, Agent.Any>>
): Toolkit.WithHandler<any> => {
  const about = Object.entries(workers).map(([name, { description }]) =>
    description === undefined ? `\`${name}\`` : `\`${name}\`: ${description}`
  )
  const kit = Toolkit.make(
    Tool.make("start_worker", {
      description: `Starts an agent that works while you go on, and gives the id of its task. The agents: ${
        about.join("; ")
      }`,
      parameters: Schema.Struct({
        worker: Schema.Literals(Object.keys(workers)),
        prompt: Schema.String.annotate({ description: "What it is asked, with everything it needs to know" })
      }),
      ...common
    }),
    Tool.make("list_workers", {
      description: "Lists the tasks that were started, and how they stand",
      success: Schema.Array(Task)
    }),
    Tool.make("ask_worker", {
      description: "Tells a task that is running something more",
      parameters: Schema.Struct({ ...Id.fields, message: Schema.String }),
      ...common
    }),
    Tool.make("await_worker", {
      description: "Waits until a task ends, at most so many seconds, and says how it stands then",
      parameters: Schema.Struct({ ...Id.fields, seconds: Schema.Finite }),
      ...common
    }),
    Tool.make("stop_worker", { description: "Stops a task", parameters: Id, ...common })
  )
  const resolved = ToolHandler.withHandlers(kit, {
    start_worker: ({ prompt, worker }) => Effect.flatMap(background.start(worker, { prompt }), ({ task }) => task),
    list_workers: () => background.tasks,
    ask_worker: ({ id, message }) =>
      Effect.flatMap(background.find(id), (one) => Effect.andThen(one.ask(message), one.task)),
    await_worker: ({ id, seconds }) =>
      Effect.flatMap(background.find(id), (one) => one.awaitFor(Duration.seconds(Math.max(0, seconds)))),
    stop_worker: ({ id }) => Effect.flatMap(background.find(id), ({ stop }) => stop)
  })
  return Effect.runSync(resolved)
}
