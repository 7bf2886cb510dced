/**
 * Agent runs in OpenTelemetry. Needs `@effect/opentelemetry` and the packages of
 * the OpenTelemetry SDK for Node.
 *
 * @since 0.1.0
 */

/** @since 0.1.0 */
export * as NodeTelemetry from "./NodeTelemetry.ts"
