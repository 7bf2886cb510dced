/**
 * Tools for the tests of agents: models that follow a script, recordings of real ones, and suites for stores.
 *
 * @since 0.1.0
 */

/** @since 0.1.0 */
export * as Cassette from "./Cassette.ts"

/** @since 0.1.0 */
export * as ScriptedModel from "./ScriptedModel.ts"

/** @since 0.1.0 */
export * as SessionStoreSuite from "./SessionStoreSuite.ts"
