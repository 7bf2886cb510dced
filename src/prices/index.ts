/**
 * The prices of models.
 *
 * @since 0.1.0
 */

/**
 * @since 0.1.0
 */
export * as GenAiPrices from "./GenAiPrices.ts"
