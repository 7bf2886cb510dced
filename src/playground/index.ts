/**
 * A page on which people see agents work, and work with them.
 *
 * @since 0.1.0
 */

/**
 * @since 0.1.0
 */
export * as Playground from "./Playground.ts"

/**
 * @since 0.1.0
 */
export * as RunJournal from "./RunJournal.ts"
