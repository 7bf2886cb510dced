/**
 * Sessions in a SQLite file, and effect's `SqlClient` over `node:sqlite`. Needs Node 24 or later.
 *
 * @since 0.1.0
 */

/**
 * @since 0.1.0
 */
export * as SqliteClient from "./SqliteClient.ts"

/**
 * @since 0.1.0
 */
export * as SqliteSessionStore from "./SqliteSessionStore.ts"
