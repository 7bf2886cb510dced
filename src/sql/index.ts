/**
 * Sessions and budget accounts in SQLite or PostgreSQL, over any `SqlClient`.
 *
 * @since 0.1.0
 */

/**
 * @since 0.1.0
 */
export * as SqlBudgetStore from "./SqlBudgetStore.ts"

/**
 * @since 0.1.0
 */
export * as SqlSessionStore from "./SqlSessionStore.ts"
