/**
 * The models of the Vercel AI SDK as models of effect/ai.
 *
 * @since 0.1.0
 */

/**
 * @since 0.1.0
 */
export * as AiSdk from "./AiSdk.ts"
