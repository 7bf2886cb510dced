/**
 * The run that a piece of code belongs to.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type * as Session from "../../Session.ts"
// a run has a place in the line for its session
import type * as InLine from "../session/inLine.ts"

/**
 * A run with a session, as other runs that wait for the session know it. `callers` are the runs with a session that it
 * is nested in. `fiber` is the fiber that pulled it last.
 *
 * @category models
 * @since 0.1.0
 */
export interface SessionRun {
  readonly callers: ReadonlyArray<SessionRun>
  readonly isBetweenParts: () => boolean
  fiber: Fiber.Fiber<unknown, unknown> | undefined
  /** The state of the session, once it is loaded. */
  state: OpenState | undefined
  /** Its place in the line for the session, if it offers its prompt there and takes the prompts of others. */
  inLine: InLine.InLine | undefined
}

/**
 * The state of a session in a run: what is stored, what the run has written, and which `SessionState` uses each name.
 *
 * @category models
 * @since 0.1.0
 */
export interface OpenState {
  readonly sessionId: string
  readonly stored: Session.State
  readonly written: Map<string, Schema.Json>
  readonly owners: Map<string, object>
}

/**
 * The innermost run with a session that a fiber belongs to: a provider, a middleware, a tool, a run nested in it.
 *
 * @category services
 * @since 0.1.0
 */
export class CurrentRun extends Context.Service<CurrentRun, SessionRun>()("effect-agents/internal/CurrentRun") {}

/**
 * Creates a run with a session that begins in this fiber. Returns `undefined` without a session.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  session: string | undefined,
  fiber: Fiber.Fiber<unknown, unknown>,
  isBetweenParts: () => boolean
): SessionRun | undefined =>
  session === undefined ? undefined : {
    callers: [...Context.get(fiber.context, Made), ...callersIn(fiber)],
    isBetweenParts,
    fiber: undefined,
    state: undefined,
    inLine: undefined
  }

/** The runs with a session that a fiber consumes, until they end. */
const consumed = new WeakMap<Fiber.Fiber<unknown, unknown>, Set<SessionRun>>()

/**
 * Records that this fiber pulls the run.
 *
 * @category running
 * @since 0.1.0
 */
export const pulledBy = (self: SessionRun, fiber: Fiber.Fiber<unknown, unknown>): void => {
  if (self.fiber === fiber) return
  leave(self)
  self.fiber = fiber
  const runs = consumed.get(fiber)
  if (runs === undefined) consumed.set(fiber, new Set([self]))
  else runs.add(self)
}

/**
 * Records that the run has ended, so that it has no consumer any more.
 *
 * @category running
 * @since 0.1.0
 */
export const leave = (self: SessionRun): void => {
  if (self.fiber !== undefined) consumed.get(self.fiber)?.delete(self)
}

const none: ReadonlyArray<SessionRun> = []

/**
 * The runs around the code that made a run. The run may begin elsewhere: a tool may begin it in a runtime of its own.
 */
const Made = Context.Reference<ReadonlyArray<SessionRun>>("effect-agents/internal/CurrentRun/Made", {
  defaultValue: () => none
})

/**
 * Returns a run that knows the runs around the code that calls this function.
 *
 * @category combinators
 * @since 0.1.0
 */
export const madeHere = <A, E, R>(
  { session }: { readonly session?: string | undefined },
  run: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => {
  const callers = callersHere(session)
  return callers.length === 0 ? run : Effect.provideService(run, Made, callers)
}

/**
 * Returns the stream of a run that knows the runs around the code that calls this function.
 *
 * @category combinators
 * @since 0.1.0
 */
export const streamMadeHere = <A, E, R>(
  { session }: { readonly session?: string | undefined },
  run: Stream.Stream<A, E, R>
): Stream.Stream<A, E, R> => {
  const callers = callersHere(session)
  return callers.length === 0 ? run : Stream.provideService(run, Made, callers)
}

const callersHere = (session: string | undefined): ReadonlyArray<SessionRun> => {
  const fiber = session === undefined ? undefined : Fiber.getCurrent()
  return fiber === undefined ? none : callersIn(fiber)
}

/**
 * The run that the fiber belongs to, the runs that it consumes, and the runs of a consumer that has forked it and does
 * not pull, because that consumer may wait for what it has forked.
 */
const callersIn = (fiber: Fiber.Fiber<unknown, unknown>): ReadonlyArray<SessionRun> => {
  const callers: Array<SessionRun> = []
  const own = Context.getOrUndefined(fiber.context, CurrentRun)
  if (own !== undefined) callers.push(own)
  for (let each: Lineage | undefined = fiber; each !== undefined; each = each._parent) {
    for (const run of consumed.get(each) ?? []) if (each === fiber || run.isBetweenParts()) callers.push(run)
  }
  return callers
}

/** effect knows the parent of a fiber that was forked as a child, but its interface does not say so. */
type Lineage = Fiber.Fiber<unknown, unknown> & { readonly _parent?: Lineage | undefined }

/**
 * Returns the run and the runs that it is nested in.
 *
 * @category getters
 * @since 0.1.0
 */
export const callersOf = (run: SessionRun | undefined): ReadonlySet<SessionRun> => {
  const callers = new Set<SessionRun>()
  if (run !== undefined) callers.add(run)
  // runs that are added during the loop are visited too
  for (const each of callers) for (const caller of each.callers) callers.add(caller)
  return callers
}
