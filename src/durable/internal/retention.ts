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
    const { endedAt, id } = yield* Executions.find(self, execution)
    if (endedAt === undefined) {
      yield* Executions.interrupt(self, execution)
      // a process that works on it writes its end
      yield* Effect.repeat(store.get(id), {
        until: (now) => now === undefined || now.endedAt !== undefined || now.status === "parked",
        schedule: Schedule.spaced("50 millis")
      })
    }
    yield* forget(self, store, id)
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
      for (const { endedAt, id } of some) {
        after = id
        if (endedAt === undefined || endedAt >= endedBefore) continue
        yield* forget(self, store, id)
        count++
      }
    }
  })

const forget = ({ workflow }: Definition, store: ExecutionStore.Options, id: string) =>
  Effect.flatMap(
    workflow.executionId({ id }),
    (executionId) => Effect.andThen(removeRecords(workflow, executionId), store.remove(id))
  )

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
