/**
 * A part of an execution that names its records: the execution itself, a run, or a tool call.
 *
 * A name has to be the same in each attempt. So each tool call has a scope of its own: a counter that parallel calls
 * share would number them in another order each time.
 *
 * @since 0.1.0
 */

import * as IdGenerator from "effect/ai/IdGenerator"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import type * as Tracer from "effect/Tracer"
import type * as Journal from "../../Journal.ts"
import { JournalError } from "../words/journalError.ts"
import * as JsonValue from "../words/jsonValue.ts"

type Service = Journal.Journal["Service"]

/**
 * The state that all scopes of one attempt share. If a record cannot be used, all of them fail with the first such
 * error.
 */
interface Attempt {
  readonly journal: Service
  failure: JournalError | undefined
  /** Whether the journal itself has interrupted a call, which ends the attempt. */
  isOver: boolean
  /** The latest time that was read from a record. */
  latest: number | undefined
  /**
   * How long nobody has worked on the execution, until the first new action of this attempt; `undefined` before that.
   */
  idle: number | undefined
}

/**
 * The value of a record, and whether it was recorded just now.
 *
 * @category models
 * @since 0.1.0
 */
export interface Recorded {
  readonly value: Schema.Json
  readonly isLive: boolean
}

/**
 * A call that was left before it had ended. It is not known yet whether the run goes on without it or was interrupted
 * itself. In the first case the call is recorded as left, in the second it is not recorded.
 *
 * @category models
 * @since 0.1.0
 */
export interface Left {
  readonly settle: Effect.Effect<void>
  readonly discard: Effect.Effect<void>
}

/**
 * A part of an execution that names its records.
 *
 * @category models
 * @since 0.1.0
 */
export class Scope {
  readonly attempt: Attempt
  readonly path: string
  readonly ids: IdGenerator.Service
  /** The time of the last record; `undefined` before the first one of an execution. */
  now: number | undefined
  /** The time at which the first call in this scope began. */
  private startedAt: number | undefined
  /** Actions from now on end the run, and are not recorded. */
  isClosed = false
  /** Whether anything in this scope was taken from a record. */
  isReplayed = false
  /** Called at the first new action in this scope. The spans around it begin then. */
  readonly onLive: (() => Tracer.AnySpan | undefined) | undefined
  /** The calls that were left before they had ended, by code within the run. */
  private readonly left: Set<Left> = new Set()
  private hasEnded = false
  private readonly parent: Scope | undefined
  private readonly names = new Map<string, number>()

  constructor(attempt: Attempt, path: string, parent?: Scope, onLive?: () => Tracer.AnySpan | undefined) {
    this.attempt = attempt
    this.path = path
    this.parent = parent
    this.now = parent?.now
    // those of the execution begin with their first action, because the run may have waited for an approval until then
    this.startedAt = parent?.isRoot === true ? undefined : parent?.now
    this.onLive = onLive
    this.ids = seeded(`${attempt.journal.id}/${path}`)
  }

  /** Whether it is the scope of the execution itself. */
  get isRoot(): boolean {
    return this.parent === undefined
  }

  /** The time until the last record, in milliseconds. */
  get elapsed(): number {
    return this.startedAt === undefined || this.now === undefined ? 0 : this.now - this.startedAt
  }

  /** Returns the name, with a number if it was used before. */
  unique(name: string): string {
    const count = (this.names.get(name) ?? 0) + 1
    this.names.set(name, count)
    return `${this.path}${count === 1 ? name : `${name}~${count}`}`
  }

  /** Returns the name with the next number: `<name>/0`, `<name>/1`, ... */
  next(name: string): string {
    const count = this.names.get(name) ?? 0
    this.names.set(name, count + 1)
    return `${this.path}${name}/${count}`
  }

  /** Returns the scope of a run that begins in this one. The runs of the execution itself are its segments. */
  run(agent: string): Scope {
    if (this.parent !== undefined) return this.child(this.unique(segment(agent)))
    const count = this.names.get("run") ?? 0
    this.names.set("run", count + 1)
    return new Scope(this.attempt, count === 0 ? "" : `r${count}/`, this)
  }

  /** Returns the scope with this name. */
  child(name: string, onLive?: () => Tracer.AnySpan | undefined): Scope {
    return new Scope(this.attempt, `${name}/`, this, onLive)
  }

  /** Passes the end time of this scope to the scope around it. */
  end(): void {
    const { parent } = this
    if (parent === undefined) return
    this.hasEnded = true
    parent.advance(this.now)
    for (const left of this.left) parent.add(left)
    this.left.clear()
  }

  /** Adds a call that was left in this scope, also when everything else has ended. */
  add(left: Left): void {
    if (this.hasEnded) this.parent!.add(left)
    else this.left.add(left)
  }

  private replayed(): void {
    this.isReplayed = true
    this.parent?.replayed()
  }

  /** The run goes on, so the calls that were left are recorded as left. */
  get settle(): Effect.Effect<void> {
    return Effect.suspend(() => this.decide(({ settle }) => settle))
  }

  /** The run was interrupted, so the calls that were left are not recorded. */
  get discard(): Effect.Effect<void> {
    return Effect.suspend(() => this.decide(({ discard }) => discard))
  }

  private decide(how: (left: Left) => Effect.Effect<void>): Effect.Effect<void> {
    if (this.left.size === 0) return Effect.void
    const all = [...this.left]
    this.left.clear()
    return Effect.forEach(all, how, { concurrency: "unbounded", discard: true })
  }

  /**
   * The time of the clock without the time in which nobody worked. Before the first new action it is the time of the
   * records.
   */
  get workingTime(): Effect.Effect<number> {
    const { attempt, now } = this
    if (attempt.idle === undefined && now !== undefined) return Effect.succeed(now)
    return Effect.map(Clock.currentTimeMillis, (time) => time - (attempt.idle ?? 0))
  }

  private advanceFrom({ from, to }: { readonly from: number; readonly to: number }): void {
    this.startedAt ??= from
    this.advance(to)
  }

  advance(now: number | undefined): void {
    if (now !== undefined && (this.now === undefined || now > this.now)) this.now = now
  }

  /**
   * Returns the value recorded under a name, or runs the effect and records its value. `kind` describes what the record
   * is for; it is not used for anything else.
   */
  record(
    name: string,
    kind: string,
    execute: Effect.Effect<unknown, JournalError>
  ): Effect.Effect<Recorded, JournalError> {
    return Effect.suspend(() => {
      const { attempt } = this
      if (attempt.failure !== undefined) return Effect.fail(attempt.failure)
      let live: { readonly value: Schema.Json; readonly from: number; readonly to: number } | undefined
      const writing = Effect.gen({ self: this }, function*() {
        const begun = yield* Clock.currentTimeMillis
        const idle = attempt.idle ??= attempt.latest === undefined ? 0 : begun - attempt.latest
        const value = yield* write(name, yield* execute)
        const from = begun - idle
        const to = (yield* Clock.currentTimeMillis) - idle
        live = { value, from, to }
        return yield* Effect.orDie(encode({ from, to, for: kind, value }))
      })
      const context = Effect.context<never>()
      const recording = Effect.flatMap(
        context,
        (context) =>
          attempt.journal.record(
            name,
            Effect.updateContext(writing, (inner: Context.Context<never>) => carried(inner, context))
          )
      )
      return Effect.flatMap(recording, (text): Effect.Effect<Recorded, JournalError> => {
        if (live !== undefined) {
          this.advanceFrom(live)
          return Effect.succeed({ value: live.value, isLive: true })
        }
        return Effect.flatMap(read(name, text), ({ for: of, from, to, value }) => {
          if (of !== kind) return Effect.fail(invalid(name, `it is of ${of}, and was asked for ${kind}`))
          this.replayed()
          attempt.latest = Math.max(attempt.latest ?? to, to)
          this.advanceFrom({ from, to })
          return Effect.succeed({ value, isLive: false })
        })
      }).pipe(Effect.tapError((error) => Effect.sync(() => attempt.failure ??= error)))
    })
  }

  /** A record could not be used, so nothing more is done in this attempt. */
  broken(error: JournalError): Effect.Effect<never, JournalError> {
    this.attempt.failure ??= error
    return Effect.fail(error)
  }
}

/**
 * The scope of the running code.
 *
 * @category services
 * @since 0.1.0
 */
export class Current extends Context.Service<Current, Scope>()("effect-agents/internal/JournalScope") {}

/** The service is defined in a module above this one. */
const key = Context.Service<Journal.Journal, Service>("effect-agents/Journal" satisfies typeof Journal.Journal.key)

/**
 * What a journal gives to an effect that it records, and to all that runs in it: a change of the context in which the
 * code of the run has begun. Without a value nothing is changed.
 *
 * @category services
 * @since 0.1.0
 */
export const Carried = Context.Reference<((own: Context.Context<never>) => Context.Context<never>) | undefined>(
  "effect-agents/internal/JournalCarried",
  { defaultValue: () => undefined }
)

/**
 * Returns the context `own`, in which a recorded effect began, with what the journal gives to the effect.
 *
 * @category accessors
 * @since 0.1.0
 */
export const carried = (inner: Context.Context<never>, own: Context.Context<never>): Context.Context<never> =>
  Context.get(inner, Carried)?.(own) ?? own

// one instance of the service is one attempt
const roots = new WeakMap<Service, Scope>()

/**
 * Returns the scope of a context, or `undefined` if there is no journal.
 *
 * @category accessors
 * @since 0.1.0
 */
export const of = (context: Context.Context<never>): Scope | undefined => {
  const journal = Context.getOrUndefined(context, key)
  if (journal === undefined) return undefined
  const current = Context.getOrUndefined(context, Current)
  if (current?.attempt.journal === journal) return current
  let root = roots.get(journal)
  if (root === undefined) {
    roots.set(
      journal,
      root = new Scope({ journal, failure: undefined, isOver: false, latest: undefined, idle: undefined }, "")
    )
  }
  return root
}

/**
 * Returns a name as one segment of a path. A database can hold each character of it.
 *
 * @category converting
 * @since 0.1.0
 */
export const segment = (name: string): string =>
  name.replace(/[%/~\0]|\p{Surrogate}/gu, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)

/**
 * Creates the error of a record.
 *
 * @category errors
 * @since 0.1.0
 */
export const invalid = (record: string, description: string): JournalError => new JournalError({ record, description })

const Envelope = Schema.fromJsonString(Schema.Struct({
  from: Schema.Finite,
  to: Schema.Finite,
  for: Schema.String,
  value: Schema.Json
}))

const encode = Schema.encodeEffect(Envelope)

const decode = Schema.decodeUnknownEffect(Envelope)

const read = (name: string, text: string) =>
  Effect.mapError(decode(text), ({ message }) => invalid(name, `it cannot be read: ${message}`))

const write = (name: string, value: unknown): Effect.Effect<Schema.Json, JournalError> => {
  const json = JsonValue.toJson(value)
  return json._tag === "Success"
    ? Effect.succeed(json.success)
    : Effect.fail(invalid(name, `it cannot be written: it has ${json.failure}`))
}

/** Ids in the form of effect's own, which are the same in each attempt. */
const seeded = (seed: string): IdGenerator.Service => {
  let count = 0
  return {
    generateId: () =>
      Effect.suspend(() => Random.withSeed(IdGenerator.defaultIdGenerator.generateId(), `${seed}#${count++}`))
  }
}
