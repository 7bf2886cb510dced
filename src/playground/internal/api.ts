/**
 * What the page asks beside the API of an agent: the runs of its journal, and its durable executions.
 *
 * @since 0.1.0
 */

import * as Effect from "effect/Effect"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type * as AgentRun from "../../AgentRun.ts"
import * as Approval from "../../Approval.ts"
import * as Durable from "../../durable/Durable.ts"
import * as ExecutionStore from "../../durable/ExecutionStore.ts"
import * as Executions from "../../durable/internal/executions.ts"
import * as AgentApi from "../../server/AgentApi.ts"
import { failed } from "../../server/internal/failures.ts"
import * as OwnedRuns from "../../server/internal/ownedRuns.ts"
import * as Sessions from "../../server/internal/sessions.ts"
import * as RunHub from "../../server/RunHub.ts"
import * as Cassette from "../../testing/Cassette.ts"
import * as ScriptedModel from "../../testing/ScriptedModel.ts"
import * as RunJournal from "../RunJournal.ts"

const failures = [404, 409, 422, 500, 503].map((status) =>
  AgentApi.RunFailed.check(Schema.makeFilter((error) => error.status === status)).pipe(HttpApiSchema.status(status))
)

// -----------------------------------------------------------------------------
// Runs
// -----------------------------------------------------------------------------

/** A run whose process has ended without an end of the run is lost. */
const Run = Schema.Struct({
  ...RunJournal.Run.fields,
  outcome: Schema.Literals([...RunJournal.Run.fields.outcome.literals, "lost"])
})

const Text = Schema.Struct({ text: Schema.String })

/**
 * The group of the runs of an agent.
 *
 * @category constructors
 * @since 0.1.0
 */
export const runs = <const Name extends string>(name: Name) => {
  const run = { params: { runId: Schema.String }, error: failures }
  return HttpApiGroup.make(`runs-${name}`).add(
    HttpApiEndpoint.get("list", "/sessions/:session/runs", {
      params: { session: AgentApi.SessionId },
      success: Schema.Struct({ runs: Schema.Array(Run) }),
      error: failures
    }),
    HttpApiEndpoint.get("read", "/journal/:runId", {
      ...run,
      success: Schema.Struct({ run: Run, parts: Schema.Array(RunJournal.Told) })
    }),
    HttpApiEndpoint.get("test", "/journal/:runId/test", { ...run, success: Text }),
    HttpApiEndpoint.get("cassette", "/journal/:runId/cassette", { ...run, success: Text })
  ).prefix(`/agents/${name}`)
}

interface OfRun {
  readonly params: { readonly runId: string }
}

/**
 * The handlers of the runs of an agent. A run of somebody else does not exist.
 *
 * @category constructors
 * @since 0.1.0
 */
export const runHandlers = Effect.gen(function*() {
  const journal = yield* RunJournal.RunJournal
  const hub = yield* RunHub.RunHub

  const shown = Effect.fnUntraced(function*(run: RunJournal.Run, owner: string) {
    const prefix = Sessions.prefixOf(owner)
    const isLost = run.outcome === "running" && (yield* hub.get(run.runId)) === undefined
    return {
      ...run,
      outcome: isLost ? "lost" as const : run.outcome,
      session: run.session?.startsWith(prefix) === true ? run.session.slice(prefix.length) : undefined
    }
  })

  const find = Effect.fnUntraced(function*(runId: string) {
    const { id } = yield* AgentApi.Owner
    const run = yield* told(journal.get(runId))
    return run === undefined || run.owner !== id ? yield* runUnknown : yield* shown(run, id)
  })

  /** The parts to copy, and the prompt of a run that has not told it. */
  const copied = Effect.fnUntraced(function*(runId: string) {
    const { prompt } = yield* find(runId)
    // encoded when they were written
    const parts = (yield* told(journal.parts(runId))).map(({ part }) => part as unknown as AgentRun.PartEncoded)
    const isTold = parts.some((part) =>
      Predicate.hasProperty(part, "result") &&
      Predicate.hasProperty(part.result, "transcript")
    )
    return [parts, isTold ? {} : { prompt }] as const
  })

  return {
    list: Effect.fnUntraced(function*({ params }: { readonly params: { readonly session: string } }) {
      const { id } = yield* AgentApi.Owner
      const found = yield* told(journal.list(Sessions.prefixOf(id) + params.session))
      return { runs: yield* Effect.forEach(found, (run) => shown(run, id)) }
    }),
    read: Effect.fnUntraced(function*({ params: { runId } }: OfRun) {
      const run = yield* find(runId)
      return { run, parts: yield* told(journal.parts(runId)) }
    }),
    test: Effect.fnUntraced(function*({ params: { runId } }: OfRun) {
      return { text: ScriptedModel.toTest(...(yield* copied(runId))) }
    }),
    cassette: Effect.fnUntraced(function*({ params: { runId } }: OfRun) {
      return { text: Cassette.fromParts(...(yield* copied(runId))) }
    })
  }
})

const told = <A>(effect: Effect.Effect<A, RunJournal.RunJournalError>): Effect.Effect<A, AgentApi.RunFailed> =>
  effect.pipe(
    Effect.tapError((error) => Effect.logWarning(error.message, error)),
    Effect.mapError(() => failed("unavailable", 503, true, "The journal of runs cannot be read now."))
  )

const runUnknown = Effect.fail(failed("run-unknown", 404, false, "The run is not in the journal."))

// -----------------------------------------------------------------------------
// Executions
// -----------------------------------------------------------------------------

const Execution = Schema.Struct({
  id: Schema.String,
  status: Schema.Literals(["queued", "running", "waiting", "parked", "completed", "failed", "interrupted"]),
  cause: Schema.optional(Schema.String),
  failure: Schema.optional(Schema.String),
  version: Schema.Int,
  createdAt: Schema.Finite,
  endedAt: Schema.optional(Schema.Finite),
  approvals: Schema.Array(Approval.Approval)
})

/**
 * The group of the executions of a durable agent.
 *
 * @category constructors
 * @since 0.1.0
 */
export const executions = <const Name extends string>(name: Name) => {
  const one = {
    params: { execution: Schema.String },
    success: HttpApiSchema.NoContent,
    error: failures
  }
  return HttpApiGroup.make(`executions-${name}`).add(
    HttpApiEndpoint.get("list", "/", {
      query: { after: Schema.optional(Schema.String) },
      success: Schema.Struct({ executions: Schema.Array(Execution), next: Schema.optional(Schema.String) }),
      error: failures
    }),
    HttpApiEndpoint.post("answer", "/:execution/answers", {
      ...one,
      payload: Schema.Struct({ answers: AgentApi.AnswerRequest.fields.answers })
    }),
    HttpApiEndpoint.post("interrupt", "/:execution/interrupt", one),
    HttpApiEndpoint.post("resume", "/:execution/resume", one),
    HttpApiEndpoint.delete("remove", "/:execution", one),
    HttpApiEndpoint.post("purge", "/purge", {
      payload: Schema.Struct({ endedBefore: Schema.Finite }),
      success: Schema.Struct({ purged: Schema.Int }),
      error: failures
    })
  ).prefix(`/agents/${name}/executions`)
}

interface One {
  readonly params: { readonly execution: string }
}

const pageSize = 100

/**
 * The handlers of the executions of a durable agent: all of them, whoever has started them.
 *
 * @category constructors
 * @since 0.1.0
 */
export const executionHandlers = (durable: Durable.Any) =>
  Effect.map(Effect.context<Effect.Services<ReturnType<typeof Durable.resume>>>(), (context) => {
    const asked = <A>(
      effect: Effect.Effect<
        A,
        Durable.AgentUnknown | Durable.AnswerRefused | Durable.ExecutionUnknown | ExecutionStore.ExecutionStoreError,
        Effect.Services<ReturnType<typeof Durable.resume>>
      >
    ): Effect.Effect<A, AgentApi.RunFailed> => Effect.mapError(Effect.provideContext(effect, context), refusal)

    return {
      list: ({ query: { after } }: { readonly query: { readonly after?: string | undefined } }) =>
        asked(Effect.gen(function*() {
          const page = yield* Durable.list(durable, { after, limit: pageSize })
          const store = yield* ExecutionStore.ExecutionStore
          const executions = yield* Effect.forEach(page, (execution) =>
            Effect.gen(function*() {
              const { id, status } = execution
              const approvals = status === "waiting" ? yield* Durable.approvals(durable, id) : []
              const failure = status === "failed"
                ? (yield* store.get(Executions.keyOf(durable.agent, id)))?.failure
                : undefined
              return { ...execution, approvals, failure }
            }))
          return { executions, next: page.length === pageSize ? page.at(-1)?.id : undefined }
        })),
      answer: ({ params: { execution }, payload: { answers } }: One & {
        readonly payload: { readonly answers: ReadonlyArray<AgentApi.Answer> }
      }) =>
        Effect.gen(function*() {
          const open = yield* asked(Durable.approvals(durable, execution))
          yield* asked(Durable.answer(durable, execution, yield* OwnedRuns.answersTo(open, answers)))
        }),
      interrupt: ({ params: { execution } }: One) => asked(Durable.interrupt(durable, execution)),
      resume: ({ params: { execution } }: One) => asked(Durable.resume(durable, execution)),
      remove: ({ params: { execution } }: One) => asked(Durable.remove(durable, execution)),
      purge: ({ payload }: { readonly payload: { readonly endedBefore: number } }) =>
        Effect.map(asked(Durable.purge(durable, payload)), (purged) => ({ purged }))
    }
  })

const refusal = (
  error: Durable.AgentUnknown | Durable.AnswerRefused | Durable.ExecutionUnknown | ExecutionStore.ExecutionStoreError
): AgentApi.RunFailed => {
  switch (error._tag) {
    case "AnswerRefused":
      return error.problem === "invalid-params"
        ? failed("approval-invalid", 422, false, error.message)
        : failed(error.problem === "unknown" ? "approval-unknown" : "approval-answered", 409, false, error.message)
    case "ExecutionUnknown":
      return failed("execution-unknown", 404, false, error.message)
    default:
      return failed("unavailable", 503, true, "The executions cannot be read now.")
  }
}
