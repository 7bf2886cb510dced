/**
 * What a run finds in the context that it begins in.
 *
 * Most runs of an agent begin in the context of the run before, and a context never changes: the last answer is kept.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as AgentRun from "../../AgentRun.ts"
import * as Middleware from "../../Middleware.ts"
import * as Origin from "../approval/origin.ts"
import * as JournalScope from "../journal/scope.ts"
import { type Accountant, Accountants } from "../model/spending.ts"
import { Instrumentation } from "../telemetry/instrumentation.ts"
import { ParentRun } from "../words/parentRun.ts"
import * as RunId from "../words/runId.ts"
import type { Definition } from "./definition.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface Surroundings {
  readonly given: Context.Context<never>
  /** The run that this one is nested in, and what is known of the conversation that it goes on with. */
  readonly parent: ParentRun["Service"] | undefined
  readonly origin: Origin.Origin["Service"] | undefined
  /** The context without these two, which are for this run alone. */
  readonly context: Context.Context<never>
  readonly isRecorded: boolean
  readonly isTraced: boolean
  readonly makeId: () => string | Effect.Effect<string>
  readonly clock: Clock.Clock
  readonly accountants: ReadonlyArray<Accountant>
  readonly inherited: ReadonlyArray<Middleware.Middleware<unknown, never>>
  readonly finalizationBudget: Duration.Input
}

/**
 * Returns what a context has for a run of this definition that begins in it. One answer is kept for a definition, and
 * with it: a map of contexts would have an entry for each request of a server, and every collection walks over those.
 *
 * @category accessors
 * @since 0.1.0
 */
export const of = (definition: Definition, context: Context.Context<never>): Surroundings => {
  const { surroundings } = definition
  return surroundings?.given === context ? surroundings : definition.surroundings = read(context)
}

const read = (given: Context.Context<never>): Surroundings => {
  const parent = Context.getOrUndefined(given, ParentRun)
  const origin = Context.getOrUndefined(given, Origin.Origin)
  const own = parent === undefined ? given : Context.omit(ParentRun)(given)
  const context = origin === undefined ? own : Context.omit(Origin.Origin)(own)
  return {
    given,
    parent,
    origin,
    context,
    isRecorded: JournalScope.of(context) !== undefined,
    isTraced: Context.getOrUndefined(context, Instrumentation) !== undefined,
    makeId: RunId.makerIn(context),
    clock: Context.get(context, Clock.Clock),
    accountants: Context.get(context, Accountants),
    // what they need, every run has
    inherited: Context.get(context, Middleware.Inherited) as Surroundings["inherited"],
    finalizationBudget: Context.get(context, AgentRun.FinalizationBudget)
  }
}
