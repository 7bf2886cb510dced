/**
 * The agents that an engine knows in this process, because their layers are there.
 *
 * @since 0.1.0
 */

import * as Sharding from "effect/cluster/Sharding"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as WorkflowEngine from "effect/workflow/WorkflowEngine"
import type { Definition } from "./definition.ts"
import { AgentUnknown } from "./errors.ts"

const known = new WeakMap<WorkflowEngine.WorkflowEngine["Service"], Map<string, number>>()

/**
 * The engine knows the agent until the scope is closed.
 *
 * @category running
 * @since 0.1.0
 */
export const register = ({ agent }: Definition) =>
  Effect.flatMap(WorkflowEngine.WorkflowEngine, (engine) => {
    const count = (by: number): void => {
      const agents = known.get(engine) ?? new Map<string, number>()
      known.set(engine, agents.set(agent.name, (agents.get(agent.name) ?? 0) + by))
    }
    return Effect.acquireRelease(Effect.sync(() => count(1)), () => Effect.sync(() => count(-1)))
  })

type Engine = WorkflowEngine.WorkflowEngine["Service"]

const alone = new WeakSet<Engine>()

const works = new WeakSet<Engine>()

const layerOf = (...sets: ReadonlyArray<WeakSet<Engine>>) =>
  Layer.effectDiscard(Effect.map(WorkflowEngine.WorkflowEngine, (engine) => {
    for (const set of sets) set.add(engine)
  }))

/**
 * No other process works on the executions of the engine.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerAlone = layerOf(alone, works)

/**
 * This process works on executions of the engine, as others do.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerWorks = layerOf(works)

/**
 * Sends something to an agent that this process knows, or one of the others. Where none can know it, the engine would wait
 * for the agent, so it fails with `AgentUnknown`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const reaching = <A, E, R>(definition: Definition, send: Effect.Effect<A, E, R>) =>
  reachingIf(alone, definition, send)

/**
 * The same for a start. A process that works on executions starts only those of agents that it knows.
 *
 * @category combinators
 * @since 0.1.0
 */
export const starting = <A, E, R>(definition: Definition, send: Effect.Effect<A, E, R>) =>
  reachingIf(works, definition, send)

const reachingIf = <A, E, R>(
  hasToKnow: WeakSet<Engine>,
  { agent }: Definition,
  send: Effect.Effect<A, E, R>
): Effect.Effect<A, E | AgentUnknown, R | WorkflowEngine.WorkflowEngine> =>
  Effect.gen(function*() {
    const engine = yield* WorkflowEngine.WorkflowEngine
    const isKnown = Effect.sync(() => (known.get(engine)?.get(agent.name) ?? 0) > 0)
    if (yield* isKnown) return yield* send
    const unknown = Effect.fail(new AgentUnknown({ agent: agent.name }))
    const sharding = yield* Effect.serviceOption(Sharding.Sharding)
    if (Option.isSome(sharding) && !hasToKnow.has(engine)) {
      return yield* Effect.timeoutOrElse(send, { duration: "5 seconds", orElse: () => unknown })
    }
    // its layer may be built at this moment
    const isThere = Effect.repeat(isKnown, { until: (isKnown) => isKnown, schedule: Schedule.spaced("10 millis") })
    if (Option.isNone(yield* Effect.timeoutOption(isThere, "1 second"))) return yield* unknown
    return yield* send
  })
