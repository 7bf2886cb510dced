/**
 * A functional agent toolkit for Effect: an agent is an immutable value, running it is a `Stream` of parts, and the
 * finalizers of a run receive its `Exit`.
 *
 * Every module is also a subpath of its own, as in `effect-agents/Agent`. The subpaths `effect-agents/testing`,
 * `effect-agents/sqlite` and `effect-agents/otel` are not part of this barrel.
 *
 * @since 0.1.0
 */
export {}
