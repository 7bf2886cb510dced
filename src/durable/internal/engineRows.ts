/**
 * What the engine keeps of an execution.
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
import type * as Workflow from "effect/workflow/Workflow"

/**
 * Deletes the records of an execution, if the engine is that of `effect/cluster`. The engine in memory keeps none.
 *
 * @category running
 * @since 0.1.0
 */
export const remove = (workflow: Workflow.Any, executionId: string): Effect.Effect<void> =>
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
