/**
 * The runs of an agent elsewhere: one message to it, or one task that is joined.
 *
 * @since 0.1.0
 */

import * as Sdk from "@a2a-js/sdk"
import type * as SdkClient from "@a2a-js/sdk/client"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Agent from "../../Agent.ts"
import * as AgentRun from "../../AgentRun.ts"
import { Seen } from "../../internal/run/seen.ts"
import { bounded } from "../../internal/words/bounded.ts"
import { ParentRun } from "../../internal/words/parentRun.ts"
import * as RunId from "../../internal/words/runId.ts"
import { RemoteUsage } from "../../server/internal/remoteUsage.ts"
import type * as A2aAgent from "../A2aAgent.ts"
import * as A2aError from "../A2aError.ts"
import { call, Connection } from "./connection.ts"
import * as Outgoing from "./outgoing.ts"
import { Reading, type RunNames } from "./reading.ts"

/**
 * Sends the input of a run, and returns its parts.
 *
 * @category running
 * @since 0.1.0
 */
export const run = <A, E, R>(
  name: string,
  client: A2aAgent.Client<E, R>,
  options: A2aAgent.Options<A>,
  input: Agent.ProgramInput
): Stream.Stream<AgentRun.Part<{}, A, unknown>, A2aError.A2aError | E, R> => {
  const { prompt, runId, session } = input
  return followed(name, options, { prompt, runId, session }, (names) =>
    Effect.gen(function*() {
      const read = Outgoing.read(input)
      if (Result.isFailure(read)) return yield* A2aError.make(read.failure)
      const sdk = yield* clientOf(client)
      const outgoing = read.success
      const before = outgoing.taskId === undefined
        ? yield* waitingTask(sdk, session)
        : yield* call((options) =>
          sdk.getTask({ tenant: "", id: outgoing.taskId as string, historyLength: 0 }, options)
        )
      const reading = new Reading(names, outgoing.prompt, before?.id)
      if (before !== undefined) reading.skip(before)
      const request = Outgoing.toRequest(outgoing, {
        // a message that is sent again has the same id
        messageId: runId,
        taskId: before?.id,
        contextId: before?.contextId ?? session
      })
      const connection = new Connection((signal) => sdk.sendMessageStream(request, { signal }))
      return { client: sdk, connection, reading }
    }))
}

/**
 * Reads a task from its beginning.
 *
 * @category running
 * @since 0.1.0
 */
export const join = <A, E, R>(
  name: string,
  client: A2aAgent.Client<E, R>,
  options: A2aAgent.Options<A>,
  taskId: string
): Stream.Stream<AgentRun.Part<{}, A, unknown>, A2aError.A2aError | E, R> =>
  Stream.unwrap(
    Effect.map(RunId.next, (runId) =>
      followed(name, options, { prompt: [], runId, session: undefined }, (names) =>
        Effect.gen(function*() {
          const sdk = yield* clientOf(client)
          const task = yield* call((options) =>
            sdk.getTask({ tenant: "", id: taskId }, options)
          )
          const reading = new Reading({ ...names, session: task.contextId }, [], taskId)
          const state = task.status?.state
          // a task that has ended, or that waits, has no updates
          const isWorking = state === Sdk.TaskState.TASK_STATE_SUBMITTED || state === Sdk.TaskState.TASK_STATE_WORKING
          if (!isWorking) reading.add({ payload: { $case: "task", value: task } })
          const connection = new Connection((signal) =>
            isWorking ? sdk.resubscribeTask({ tenant: "", id: taskId }, { signal }) : nothing
          )
          return { client: sdk, connection, reading }
        })))
  )

const nothing: AsyncIterable<never> = {
  [Symbol.asyncIterator]: () => ({ next: () => Promise.resolve({ done: true, value: undefined }) })
}

const clientOf = <E, R>(client: A2aAgent.Client<E, R>): Effect.Effect<SdkClient.Client, E, R> =>
  Effect.isEffect(client) ? client : Effect.succeed(client)

/** The task of a conversation that waits for the next message. Not every agent lists its tasks. */
const waitingTask = (client: SdkClient.Client, session: string | undefined): Effect.Effect<Sdk.Task | undefined> =>
  session === undefined ? Effect.undefined : call((options) =>
    client.listTasks({
      tenant: "",
      contextId: session,
      status: Sdk.TaskState.TASK_STATE_INPUT_REQUIRED,
      pageSize: 1,
      pageToken: "",
      historyLength: 0,
      statusTimestampAfter: undefined,
      includeArtifacts: true
    }, options)
  ).pipe(
    Effect.map(({ tasks: [task] }) => task?.contextId === session ? task : undefined),
    Effect.orElseSucceed(() => undefined)
  )

interface Followed {
  readonly client: SdkClient.Client
  readonly connection: Connection
  readonly reading: Reading
}

type Told<A> = AgentRun.Part<{}, A, unknown>

/** The parts of a task that is followed, from the first part of the run to its last one. */
const followed = <A, E, R>(
  agent: string,
  options: A2aAgent.Options<A>,
  input: Pick<Agent.ProgramInput, "prompt" | "runId" | "session">,
  open: (names: RunNames) => Effect.Effect<Followed, A2aError.A2aError | E, R>
): Stream.Stream<Told<A>, A2aError.A2aError | E, R> =>
  Stream.scoped(Stream.unwrap(Effect.gen(function*() {
    const context = yield* Effect.context<Scope.Scope>()
    const usage = new RemoteUsage(context)
    const seen = new Seen(input.prompt, input.runId)
    const parentRunId = Context.getOrUndefined(context, ParentRun)?.runId
    // a run that is interrupted here has not sent anything
    const task = yield* open({ agent, parentRunId, runId: input.runId, session: input.session })
    yield* Effect.addFinalizer(() => leave(task, options, context))
    return Stream.fromPull(Effect.succeed(pull(task, options))).pipe(
      Stream.mapArray((parts) => {
        for (const part of parts) usage.see(part)
        seen.add(parts)
        return parts
      }),
      Stream.catchCause((cause) => Stream.failCause(withPartial(cause, seen.partial()))),
      Stream.ensuring(Effect.sync(() => usage.end()))
    )
  })))

const pull = <A>(
  { connection, reading }: Followed,
  { onTask, output }: A2aAgent.Options<A>
): Pull.Pull<Arr.NonEmptyReadonlyArray<Told<A>>, A2aError.A2aError> => {
  let isKnown = false
  let isOver = false
  const next: Pull.Pull<Arr.NonEmptyReadonlyArray<Told<A>>, A2aError.A2aError> = Effect.suspend(() => {
    const parts = reading.take() as ReadonlyArray<Told<A>>
    if (Arr.isReadonlyArrayNonEmpty(parts)) return Effect.succeed(parts)
    const { contextId, end, taskId } = reading
    if (isOver) return Cause.done()
    if (!isKnown && taskId !== undefined && contextId !== undefined) {
      isKnown = true
      if (onTask !== undefined) return Effect.andThen(onTask({ taskId, contextId }), next)
    }
    switch (end?._tag) {
      case "Completed":
        isOver = true
        return Effect.map(
          completed(reading, end.stopReason, output),
          (parts) => parts as unknown as Arr.NonEmptyReadonlyArray<Told<A>>
        )
      case "Failed":
        return Effect.fail(A2aError.make(end.reason))
      case "Canceled":
        return Effect.interrupt
      default:
        return Effect.flatMap(update(connection, reading), () => next)
    }
  })
  return next
}

const update = (connection: Connection, reading: Reading): Effect.Effect<void> =>
  Effect.match(connection.next, {
    onSuccess: (update) => update === undefined ? reading.over() : reading.add(update),
    onFailure: ({ reason }) => reading.fail(reading.taskId === undefined ? reason : withTask(reason, reading.taskId))
  })

const withTask = (reason: A2aError.A2aErrorReason, taskId: string): A2aError.A2aErrorReason =>
  reason._tag === "ConnectionLost" ? new A2aError.ConnectionLost({ taskId, cause: reason.cause }) : reason

/** The value of a task that waits is not there yet. */
const completed = <A>(
  reading: Reading,
  stopReason: AgentRun.StopReason,
  output: Schema.Codec<A, unknown> | undefined
): Effect.Effect<ReadonlyArray<AgentRun.Part>, A2aError.A2aError> => {
  if (output === undefined) reading.jsonAsText()
  return output === undefined || waits.has(stopReason)
    ? Effect.succeed(reading.completed(stopReason, reading.json))
    : Effect.mapBoth(Schema.decodeUnknownEffect(Schema.toCodecJson(output))(reading.json), {
      onSuccess: (value) => reading.completed(stopReason, value),
      onFailure: (cause) =>
        A2aError.make(new A2aError.InvalidResponse({ description: "the output does not accept its JSON", cause }))
    })
}

const waits: ReadonlySet<string> = new Set(["approval-required", "input-required", "auth-required"])

/** A run that has not seen the end of its task cancels it, as far as it is known, and lets go of it. */
const leave = (
  { client, connection, reading }: Followed,
  { whenLeft }: A2aAgent.Options<unknown>,
  context: Context.Context<never>
): Effect.Effect<void> =>
  Effect.suspend(() => {
    const within = (effect: Effect.Effect<void>, budget: Duration.Input) =>
      bounded(Effect.ensuring(effect, connection.close), budget, context, () => undefined) ?? Effect.void
    // an agent closes the connection with the end of its task, or soon after
    if (reading.end !== undefined) return within(connection.drain, "100 millis")
    if (whenLeft === "continue") return connection.close
    // the request was sent, so the task exists although its id has not come yet
    const known = reading.taskId === undefined ? update(connection, reading) : Effect.void
    const cancel = Effect.suspend(() => {
      const { end, taskId } = reading
      return taskId === undefined || end !== undefined
        ? Effect.void
        : Effect.asVoid(call((options) => client.cancelTask({ tenant: "", id: taskId, metadata: undefined }, options)))
    })
    return within(
      Effect.ignore(Effect.andThen(known, cancel)),
      Context.get(context, AgentRun.FinalizationBudget)
    )
  })

/** The agent at the other end has a partial result, which only its parts tell here. */
const withPartial = <E>(cause: Cause.Cause<E>, partial: AgentRun.Partial): Cause.Cause<E> => {
  const exit = AgentRun.toExit(
    Cause.hasInterruptsOnly(cause)
      ? { _tag: "Interrupted", cause: cause as Cause.Cause<never>, partial }
      : { _tag: "Failed", cause, partial }
  )
  return Exit.isFailure(exit) ? exit.cause : cause
}
