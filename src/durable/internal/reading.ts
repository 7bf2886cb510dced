/**
 * Readers of executions.
 *
 * @since 0.1.0
 */

import type * as Prompt from "effect/ai/Prompt"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as AgentRun from "../../AgentRun.ts"
import { Seen } from "../../internal/run/seen.ts"
import * as ExecutionStore from "../ExecutionStore.ts"
import type { Definition } from "./definition.ts"
import { ExecutionParked } from "./errors.ts"
import * as Executions from "./executions.ts"
import * as PartLog from "./partLog.ts"

/** Nobody who reads waits for more than this many rows at once. */
const page = 100

/**
 * Reads an execution from the store, and then what comes.
 *
 * @category running
 * @since 0.1.0
 */
export const read = (
  self: Definition,
  execution: string,
  options: { readonly after?: number | undefined; readonly poll?: Duration.Input | undefined } = {}
): Stream.Stream<{ readonly seq: number; readonly part: AgentRun.Part }, unknown, ExecutionStore.ExecutionStore> =>
  Stream.scoped(Stream.unwrap(Effect.gen(function*() {
    const store = yield* ExecutionStore.ExecutionStore
    const changes = yield* store.changes
    const reader = new Reader(self, store, execution, Executions.whole(options.after ?? -1, -1))
    const changed = Effect.timeoutOption(untilChanged(changes, reader.id), options.poll ?? "50 millis")
    const next = Effect.gen(function*() {
      while (true) {
        const parts = yield* reader.next
        if (parts === undefined || parts.length > 0) return parts
        yield* changed
      }
    })
    return Stream.flattenIterable(
      Stream.unfold(
        undefined,
        () => Effect.map(next, (parts) => parts === undefined ? undefined : [parts, undefined] as const)
      )
    )
  })))

/**
 * Waits for the end of an execution, and reads the result of its last run, not its parts.
 *
 * @category running
 * @since 0.1.0
 */
export const result = (self: Definition, execution: string) =>
  Effect.scoped(Effect.gen(function*() {
    const store = yield* ExecutionStore.ExecutionStore
    const changes = yield* store.changes
    while (true) {
      const found = yield* Executions.find(self, execution)
      yield* ended(self, execution, found)
      if (found.endedAt !== undefined) {
        const last = Arr.last(yield* PartLog.ends(store, found.id))
        if (Option.isNone(last)) return yield* Effect.die(new Error("A completed execution has no end of a run"))
        // written by this codec; the schemas of the agent need no services here
        const end = yield* self.codec.decode(last.value.part as never) as Effect.Effect<AgentRun.RunEnd>
        return end.result
      }
      yield* Effect.timeoutOption(untilChanged(changes, found.id), "50 millis")
    }
  }))

/**
 * Returns the parts of a run with what they have told before their failure.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withPartial = <Part extends AgentRun.Part, E, R>(
  { prompt, runId }: { readonly prompt: Prompt.RawInput; readonly runId: string },
  parts: Stream.Stream<Part, E, R>
): Stream.Stream<Part, E, R> =>
  Stream.suspend(() => {
    const seen = new Seen(prompt, runId)
    return parts.pipe(
      Stream.mapArray((parts) => {
        seen.add(parts)
        return parts
      }),
      Stream.catchCause((cause) => {
        const partial = seen.partial()
        const exit = AgentRun.toExit(
          Cause.hasInterruptsOnly(cause)
            ? { _tag: "Interrupted", cause: cause as Cause.Cause<never>, partial }
            : { _tag: "Failed", cause, partial }
        )
        return Stream.failCause(Exit.isFailure(exit) ? exit.cause : cause)
      })
    )
  })

/** Fails as an execution has failed, and succeeds if it has not. */
const ended = (
  { failure: codec }: Definition,
  execution: string,
  { cause, failure, status }: ExecutionStore.Listed
): Effect.Effect<void, unknown> => {
  if (failure !== undefined) return Effect.flatMap(Effect.orDie(Schema.decodeEffect(codec)(failure)), Effect.fail)
  if (status === "interrupted") return Effect.interrupt
  if (status === "parked") return Effect.fail(new ExecutionParked({ execution, description: cause ?? "" }))
  return Effect.void
}

class Reader {
  readonly id: string
  private readonly definition: Definition
  private readonly store: ExecutionStore.ExecutionStore["Service"]
  private readonly execution: string
  private after: number

  constructor(
    definition: Definition,
    store: ExecutionStore.ExecutionStore["Service"],
    execution: string,
    after: number
  ) {
    this.definition = definition
    this.store = store
    this.execution = execution
    this.after = after
    this.id = Executions.keyOf(definition.agent, execution)
  }

  /** The next parts: none if there is nothing new, and `undefined` at the end. Fails as the execution has failed. */
  get next() {
    return Effect.gen({ self: this }, function*() {
      const { definition, execution, store } = this
      // how it has ended is read first: what it has told before that is there then
      const found = yield* Effect.provideService(
        Executions.find(definition, execution),
        ExecutionStore.ExecutionStore,
        store
      )
      const rows = yield* store.rows(this.id, this.after, page)
      const parts = (yield* Effect.forEach(rows, (row) => this.read(row))).flat()
      const last = parts[parts.length - 1]
      if (last !== undefined) this.after = last.seq
      if (last !== undefined) return parts
      yield* ended(definition, execution, found)
      return found.endedAt === undefined ? parts : undefined
    })
  }

  private read(row: ExecutionStore.Row) {
    return Effect.gen({ self: this }, function*() {
      const { after, definition: { codec } } = this
      const read = yield* Effect.orDie(PartLog.readRow(row))
      // written by this codec; the schemas of the agent need no services here
      const decoded = (part: unknown) => codec.decode(part as never) as Effect.Effect<AgentRun.Part>
      return yield* Effect.forEach(
        read.filter(({ seq }) => seq > after),
        ({ part, seq }) => Effect.map(decoded(part), (part) => ({ seq, part }))
      )
    })
  }
}

const untilChanged = (changes: PubSub.Subscription<string>, id: string): Effect.Effect<void> =>
  Effect.asVoid(Effect.repeat(PubSub.take(changes), { until: (changed) => changed === id }))
