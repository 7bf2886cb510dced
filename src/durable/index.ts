/**
 * Runs that survive the death of their process.
 *
 * @since 0.1.0
 */

/**
 * @since 0.1.0
 */
export * as Durable from "./Durable.ts"

/**
 * @since 0.1.0
 */
export * as ExecutionStore from "./ExecutionStore.ts"

/**
 * @since 0.1.0
 */
export * as SqliteRunner from "./SqliteRunner.ts"
