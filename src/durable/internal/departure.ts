/**
 * Processes that stop.
 *
 * @since 0.1.0
 */

import type * as RunnerStorage from "effect/cluster/RunnerStorage"
import * as Effect from "effect/Effect"

type Storage = RunnerStorage.RunnerStorage["Service"]

/**
 * Returns a storage that does not tell the last process that nobody is there, once it has left: the engine would warn about
 * it until the calls in progress have ended.
 *
 * @category constructors
 * @since 0.1.0
 */
export const quiet = (storage: Storage): Storage => {
  let hasLeft = false
  return {
    ...storage,
    unregister: (address) =>
      Effect.suspend(() => {
        hasLeft = true
        return storage.unregister(address)
      }),
    getRunners: Effect.filterOrElse(
      storage.getRunners,
      (runners) => !hasLeft || runners.length > 0,
      () => Effect.never
    )
  }
}
