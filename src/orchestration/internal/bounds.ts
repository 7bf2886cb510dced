/**
 * Refuses orchestrations that cannot be made.
 *
 * @since 0.1.0
 */

import { InvalidOrchestration } from "./models.ts"

/**
 * Refuses an orchestration.
 *
 * @category errors
 * @since 0.1.0
 */
export const refuse = (orchestration: string, problem: string): never => {
  throw new InvalidOrchestration({ orchestration, problem })
}

/**
 * Refuses an orchestration with a bound that is not a positive integer, or that is too large.
 *
 * @category errors
 * @since 0.1.0
 */
export const requirePositive = (orchestration: string, name: string, bound: number, maximum = Infinity): void => {
  if (!Number.isSafeInteger(bound) || bound < 1) {
    refuse(orchestration, `its \`${name}\` has to be a positive integer, and is ${bound}`)
  }
  if (bound > maximum) refuse(orchestration, `its \`${name}\` is ${bound}, and it has ${maximum} members`)
}
