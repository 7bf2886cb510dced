/**
 * A process that works on the executions of an agent.
 *
 * @since 0.1.0
 */

import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import type * as WorkflowEngine from "effect/workflow/WorkflowEngine"
import * as ExecutionStore from "../ExecutionStore.ts"
import * as Body from "./body.ts"
import type { Definition } from "./definition.ts"
import * as Executions from "./executions.ts"
import * as PartLog from "./partLog.ts"
import * as Registry from "./registry.ts"

/**
 * Works on the executions of an agent, and tells the engine what a process that has died had written to the store only.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (self: Definition) => {
  const works = Layer.unwrap(Effect.map(Effect.context<ExecutionStore.ExecutionStore>(), (context) => {
    // the engine in memory runs an execution with the services of whoever has started it
    const own = Context.omit(Scope.Scope, Tracer.ParentSpan)(
      context as Context.Context<ExecutionStore.ExecutionStore | Scope.Scope | Tracer.ParentSpan>
    )
    // the engine may have no spans, and the runs have them
    const isTraced = Context.get(context, References.TracerEnabled)
    return self.workflow.toLayer((payload) =>
      Effect.updateContext(
        Effect.withTracerEnabled(Body.run(self, payload), isTraced),
        (given: Context.Context<WorkflowEngine.WorkflowEngine | WorkflowEngine.WorkflowInstance>) =>
          Context.merge(given, own)
      )
    )
  }))
  const recovers = Effect.catchCause(
    recover(self),
    (cause) =>
      Effect.logWarning(`Some executions of \`${self.agent.name}\` may wait for what has been told already`, cause)
  )
  return Layer.effectDiscard(Effect.andThen(Registry.register(self), Effect.forkScoped(recovers))).pipe(
    Layer.provideMerge(works)
  )
}

const page = 100

/** Tells the engine what it does not know of the executions of an agent: that they were started, answered, interrupted. */
const recover = (self: Definition) =>
  Effect.gen(function*() {
    const store = yield* ExecutionStore.ExecutionStore
    let after = ""
    while (true) {
      const some = yield* store.unended(self.agent.name, after, page)
      for (const found of some) yield* tell(self, store, found)
      if (some.length < page) return
      after = some[some.length - 1]!.id
    }
  })

const tell = (self: Definition, store: ExecutionStore.Options, found: ExecutionStore.Listed) =>
  Effect.gen(function*() {
    const { epoch, id, instance, isInterrupted, status } = found
    // no process has begun to work on it; the engine may know it
    if (epoch === instance) yield* Executions.execute(self, found)
    if (isInterrupted) return yield* Executions.interrupt(self, Executions.idOf(self.agent, found))
    if (status !== "waiting") return
    const asked = yield* store.asked(id)
    if (asked.some(({ answer }) => answer === undefined)) return
    yield* Executions.goOn(self, found, (yield* PartLog.ends(store, id)).length - 1)
  })
