/**
 * Turns on sessions: one run at a time holds a session, and the others wait in line.
 *
 * A run that would wait for itself gets an error instead. That is a run whose caller holds the session, or waits,
 * perhaps through other runs, for a session that the run holds.
 *
 * @since 0.1.0
 */

import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Session from "../../Session.ts"
import { callersOf, CurrentRun, type SessionRun } from "../words/currentRun.ts"
import * as InLine from "./inLine.ts"

/** A run that holds a session, or waits for it. */
interface Holder {
  readonly run: SessionRun | undefined
  /** Code outside of a run is known by its fiber. */
  readonly fiber: Fiber.Fiber<unknown, unknown>
  readonly inLine: InLine.InLine | undefined
}

interface Waiter extends Holder {
  readonly enter: (exit: Exit.Exit<void>) => void
}

interface Turn {
  holder: Holder
  readonly line: Array<Waiter>
}

/**
 * What happens to a caller that finds the session held.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly whenHeld?: "wait" | "reject" | undefined
}

/**
 * Creates the turns of one store.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (): (
  id: string,
  options?: Options
) => Effect.Effect<void, Session.SessionError, Scope.Scope> => {
  const turns = new Map<string, Turn>()

  const hold = (turn: Turn, self: Holder): void => {
    turn.holder = self
    if (self.inLine === undefined) return
    self.inLine.behind = () => turn.holder === self ? turn.line.map(({ inLine }) => inLine) : []
  }

  const leave = (id: string, turn: Turn): void => {
    // messages that were taken and not saved are offered again, or sent by the run that offered them
    for (const { inLine } of turn.line) {
      if (inLine?.offer === "taken" || inLine?.offer === "refused") inLine.offer = "open"
    }
    const next = turn.line.shift()
    if (next === undefined) {
      turns.delete(id)
      return
    }
    hold(turn, next)
    next.enter(Exit.void)
  }

  /** A caller that is interrupted at the moment of its turn passes the turn on. */
  const wait = (id: string, turn: Turn, self: Holder, restore: typeof Effect.interruptible) => {
    let hasEntered = false
    let resume: Waiter["enter"] | undefined
    const enter: Waiter["enter"] = (exit) => {
      hasEntered = true
      resume?.(exit)
    }
    const waiter: Waiter = { ...self, enter }
    // in line before the fiber can yield, because who holds the session may leave then
    turn.line.push(waiter)
    const entered = Effect.callback<void>((_) => {
      if (hasEntered) _(Exit.void)
      else resume = _
    })
    return Effect.onExit(restore(entered), (exit) =>
      Effect.sync(() => {
        if (Exit.isSuccess(exit)) return
        const index = turn.line.indexOf(waiter)
        if (index >= 0) turn.line.splice(index, 1)
        else leave(id, turn)
      }))
  }

  /** Whether a holder can end only after one of these runs: it is that run, or something in it waits for that run. */
  const isBehind = (holder: Holder, callers: ReadonlySet<SessionRun>, seen = new Set<SessionRun>()): boolean => {
    const { run } = holder
    if (run === undefined || seen.has(run)) return false
    if (callers.has(run)) return true
    seen.add(run)
    for (const turn of turns.values()) {
      const waits = turn.line.some((waiter) => callersOf(waiter.run).has(run))
      if (waits && isBehind(turn.holder, callers, seen)) return true
    }
    return false
  }

  return (id, options) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.withFiber((fiber) => {
        const run = Context.getOrUndefined(fiber.context, CurrentRun)
        const self: Holder = { run, fiber, inLine: Context.getOrUndefined(fiber.context, InLine.Current) }
        const turn = turns.get(id)
        if (turn === undefined) {
          const taken: Turn = { holder: self, line: [] }
          turns.set(id, taken)
          hold(taken, self)
          return Effect.addFinalizer(() => Effect.sync(() => leave(id, taken)))
        }
        const { holder } = turn
        const isSameFiber = (holder.run === undefined ? holder.fiber : holder.run.fiber) === fiber
        if (isSameFiber || isBehind(holder, callersOf(run))) return inUse(id, "caller")
        if (options?.whenHeld === "reject") return inUse(id, "other")
        return Effect.andThen(
          wait(id, turn, self, restore),
          Effect.addFinalizer(() => Effect.sync(() => leave(id, turn)))
        )
      })
    )
}

const inUse = (sessionId: string, holder: Session.SessionInUse["holder"]) =>
  new Session.SessionError({ sessionId, reason: new Session.SessionInUse({ holder }) })
