/**
 * Sessions in SQLite or PostgreSQL, over any `SqlClient`.
 *
 * @since 0.1.0
 */

/**
 * @since 0.1.0
 */
export * as SqlSessionStore from "./SqlSessionStore.ts"
