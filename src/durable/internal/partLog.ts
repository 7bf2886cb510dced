/**
 * The log of the parts of an execution: one attempt writes it, any number of readers read it.
 *
 * @since 0.1.0
 */

import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type * as AgentRun from "../../AgentRun.ts"
import type { PartCodec } from "../../internal/wire/parts.ts"
import type * as ExecutionStore from "../ExecutionStore.ts"
import { type Encoded, Places } from "./places.ts"
import type { ExecutionStoreError } from "./storeError.ts"

/** How many parts wait at most before they are written. */
const most = 32

/** The shortest time from one write to the next. A part that comes later than that is written at once. */
const pause = 25

/** How many rows are read at once. */
const page = 500

const Parts = Schema.fromJsonString(Schema.Array(Schema.Unknown))
const decodeParts = Schema.decodeUnknownEffect(Parts)

/**
 * Reads rows as numbered parts.
 *
 * @category conversions
 * @since 0.1.0
 */
export const readRow = (
  row: ExecutionStore.Row
): Effect.Effect<ReadonlyArray<{ readonly seq: number; readonly part: Encoded }>, Schema.SchemaError> =>
  Effect.map(decodeParts(row.parts), (parts) =>
    // we have written them ourselves
    parts.map((part, index) => ({ seq: row.seq + index, part: part as Encoded })))

/**
 * Reads the ends of the runs of an execution that have ended, in order.
 *
 * @category running
 * @since 0.1.0
 */
export const ends = (store: ExecutionStore.Options, id: string) =>
  Effect.flatMap(
    store.ends(id),
    (rows) =>
      Effect.forEach(rows, (row) => Effect.map(readRow(row), (parts) => parts.slice(-1))).pipe(
        Effect.map((all) => all.flat()),
        // we have written them
        Effect.orDie
      )
  )

/**
 * Visits the parts of an execution after the number `after`, in order. By default it visits all.
 *
 * @category running
 * @since 0.1.0
 */
export const forEach = Effect.fnUntraced(function*(
  store: ExecutionStore.Options,
  id: string,
  visit: (part: Encoded, seq: number) => void,
  after = -1
): Effect.fn.Return<void, ExecutionStoreError | Schema.SchemaError> {
  let last = after
  while (true) {
    const rows = yield* store.rows(id, last, page)
    if (rows.length === 0) return
    for (const row of rows) {
      for (const { part, seq } of yield* readRow(row)) {
        visit(part, seq)
        last = seq
      }
    }
  }
})

/**
 * The writer of an attempt.
 *
 * @category models
 * @since 0.1.0
 */
export class PartLog {
  private readonly store: ExecutionStore.Options
  private readonly id: string
  private readonly epoch: number
  private readonly codec: PartCodec
  private readonly scope: Scope.Scope
  private readonly places = new Places()
  /** The last parts of the runs of the execution that have ended, in order. */
  readonly ends: Array<Encoded> = []
  private next = 0
  private pending: Array<Encoded> = []
  private isScheduled = false
  /** When the last write began. */
  private writtenAt = 0
  /** One write at a time: whoever has seen a number has seen all before it. */
  private readonly turn = Semaphore.makeUnsafe(1)

  constructor(
    store: ExecutionStore.Options,
    id: string,
    epoch: number,
    codec: PartCodec,
    scope: Scope.Scope
  ) {
    this.store = store
    this.id = id
    this.epoch = epoch
    this.codec = codec
    this.scope = scope
  }

  /** Reads what earlier attempts have written. */
  get open(): Effect.Effect<void, ExecutionStoreError | Schema.SchemaError> {
    const read = forEach(this.store, this.id, (part, seq) => {
      this.places.read(part)
      if (part.type === "run-end") this.ends.push(part)
      this.next = seq + 1
    })
    return Effect.andThen(read, Effect.sync(() => this.places.rewind()))
  }

  /** A run whose end is in the log is not run again. Its places are passed over. */
  pass(end: Encoded): void {
    this.places.tell(end)
  }

  append(parts: ReadonlyArray<AgentRun.Part>): Effect.Effect<void, ExecutionStoreError> {
    return Effect.gen({ self: this }, function*() {
      let isUrgent = false
      for (const part of parts) {
        // the schemas of the agent need no services here
        const encoded = yield* Effect.orDie(this.codec.encode(part)) as Effect.Effect<unknown>
        this.pending.push(...this.places.tell(encoded as Encoded))
        // somebody may act on it
        if (part.type === "run-end" || part.type === "tool-approval-request") isUrgent = true
      }
      if (isUrgent || this.pending.length >= most) return yield* this.flush
      if (this.pending.length > 0 && !this.isScheduled) {
        this.isScheduled = true
        const elapsed = (yield* Clock.currentTimeMillis) - this.writtenAt
        // the clock may have been put back
        const rest = elapsed < 0 ? pause : Math.max(0, pause - elapsed)
        // a write that fails here is made again with the next parts, which then fail
        yield* Effect.forkIn(Effect.delay(Effect.ignore(this.flush), rest), this.scope)
      }
    })
  }

  /**
   * Never ends if a newer attempt has the execution: the engine interrupts this one when it notices, also where the run
   * itself cannot be interrupted.
   */
  readonly flush: Effect.Effect<void, ExecutionStoreError> = Effect.flatMap(
    this.turn.withPermit(Effect.suspend(() => this.write())),
    (isOwned) => isOwned ? Effect.void : Effect.interruptible(Effect.never)
  )

  /** Returns whether the execution is still that of this attempt. */
  private write(): Effect.Effect<boolean, ExecutionStoreError> {
    return Effect.flatMap(Clock.currentTimeMillis, (now) => {
      this.isScheduled = false
      const { pending } = this
      if (!Arr.isArrayNonEmpty(pending)) return Effect.succeed(true)
      this.writtenAt = now
      const isEnd = Arr.lastNonEmpty(pending).type === "run-end"
      const row = { seq: this.next, count: pending.length, isEnd, parts: JSON.stringify(pending) }
      return Effect.tap(this.store.append(this.id, this.epoch, [row]), (isOwned) =>
        Effect.sync(() => {
          if (!isOwned) return
          this.next += row.count
          this.pending = this.pending.slice(row.count)
        }))
    })
  }
}
