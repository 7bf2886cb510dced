/**
 * The end of what is kept: executions that are deleted, with what the engine keeps of them.
 *
 * @since 0.1.0
 */

import * as EntityAddress from "effect/cluster/EntityAddress"
import * as EntityId from "effect/cluster/EntityId"
import * as EntityType from "effect/cluster/EntityType"
import * as MessageStorage from "effect/cluster/MessageStorage"
import * as Sharding from "effect/cluster/Sharding"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Workflow from "effect/workflow/Workflow"
import * as ExecutionStore from "../ExecutionStore.ts"
import type { Definition } from "./definition.ts"
import * as Executions from "./executions.ts"

/**
 * Deletes an execution. One that has not ended is interrupted first.
 *
 * @category running
 * @since 0.1.0
 */
export const remove = (self: Definition, execution: string) =>
  Effect.gen(function*() {
    const store = yield* ExecutionStore.ExecutionStore
    const found = yield* Executions.find(self, execution)
    const { endedAt, epoch, id, instance, status } = found
    // one that waits, is parked or has not begun is held by no process
    if (endedAt === undefined && status === "running" && epoch > instance) {
      const ending = Effect.andThen(Executions.interrupt(self, execution), hasEnded(store, id))
      // no process that knows the agent is needed, and there is none to wait for
      yield* Effect.timeoutOption(Effect.catchTag(ending, "AgentUnknown", () => Effect.void), grace)
    }
    yield* forget(self, store, (yield* store.get(id)) ?? found)
  })

/** How long a process that works on an execution has to end it. */
const grace = Duration.seconds(5)

const hasEnded = (store: ExecutionStore.Options, id: string) =>
  Effect.repeat(store.get(id), {
    until: (now) => now === undefined || now.endedAt !== undefined || now.status === "parked",
    schedule: Schedule.spaced("50 millis")
  })

/**
 * Deletes the executions that have ended before a moment, and returns their number.
 *
 * @category running
 * @since 0.1.0
 */
export const purge = (self: Definition, endedBefore: number) =>
  Effect.gen(function*() {
    const store = yield* ExecutionStore.ExecutionStore
    let count = 0
    let after = ""
    while (true) {
      const some = yield* store.list(self.agent.name, after, 100)
      if (some.length === 0) return count
      for (const found of some) {
        after = found.id
        // a moment that is no number is before nothing
        if (found.endedAt === undefined || !(found.endedAt < endedBefore)) continue
        yield* forget(self, store, found)
        count++
      }
    }
  })

const forget = ({ workflow }: Definition, store: ExecutionStore.Options, found: ExecutionStore.Listed) =>
  Effect.gen(function*() {
    const executionId = yield* workflow.executionId(found)
    const now = yield* Clock.currentTimeMillis
    // the engine writes that it has ended a little later
    if (found.endedAt !== undefined && now - found.endedAt < Duration.toMillis(grace)) {
      yield* Effect.timeoutOption(hasSettled(workflow, executionId), grace)
    }
    yield* removeRecords(workflow, executionId)
    yield* store.remove(found.id)
  })

const hasSettled = (workflow: Definition["workflow"], executionId: string) =>
  Executions.untraced(Effect.repeat(workflow.poll(executionId), {
    until: Option.exists(isComplete),
    schedule: Schedule.spaced("10 millis")
  }))

const isComplete = ({ _tag }: { readonly _tag: string }): boolean => _tag === "Complete"

/** Only the engine of `effect/cluster` keeps records. */
const removeRecords = (workflow: Workflow.Any, executionId: string): Effect.Effect<void> =>
  Effect.gen(function*() {
    const storage = yield* Effect.serviceOption(MessageStorage.MessageStorage)
    const sharding = yield* Effect.serviceOption(Sharding.Sharding)
    if (Option.isNone(storage) || Option.isNone(sharding)) return
    const entityId = EntityId.make(executionId)
    yield* Effect.orDie(storage.value.clearAddress(EntityAddress.make({
      entityType: EntityType.make(`Workflow/${workflow._tag}`),
      entityId,
      shardId: sharding.value.getShardId(entityId, "default")
    })))
  })
