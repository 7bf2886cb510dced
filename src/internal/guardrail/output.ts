/**
 * Text held back until it was checked, in the order of the parts.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pull from "effect/Pull"
import type { Pieces } from "./text.ts"
import * as Parts from "../words/responseParts.ts"
import type { StreamPart } from "../words/stepBuilder.ts"

type TextDelta = Extract<StreamPart, { readonly type: "text-delta" }>

type NonEmpty<A> = readonly [A, ...Array<A>]

/**
 * What a check says of a piece: let it through as it is, or this text instead.
 *
 * @category models
 * @since 0.1.0
 */
export type Check<E, R> = (piece: string, before: string) => Effect.Effect<string, E, R>

/**
 * Holds text back until `check` has seen it. Other parts pass when no text is
 * held, and wait behind it when some is, so that the order of parts is kept. An
 * array without anything to hold is given on as it is.
 *
 * `perBlock` says whether the end of a block of text ends the piece.
 *
 * A model stream that fails takes the text with it that was held then. After a
 * failed check the parts that it had let through come first, and the usage of the
 * call if the model has told it.
 *
 * @category running
 * @since 0.1.0
 */
export const hold = <E, R, EC, RC>(
  pull: Pull.Pull<NonEmpty<StreamPart>, E, void, R>,
  pieces: Pieces,
  perBlock: boolean,
  check: Check<EC, RC>
): Pull.Pull<NonEmpty<StreamPart>, E | EC, void, R | RC> => {
  const held = new Held(pieces, check)
  let ended = false
  let failure: Cause.Cause<EC> | undefined

  const onParts = Effect.fnUntraced(function*(parts: NonEmpty<StreamPart>) {
    for (const [index, part] of parts.entries()) {
      if (part.type === "error") return held.drop(parts.slice(index))
      const checking = part.type === "text-delta"
        ? held.add(part, perBlock)
        : held.pass(part, part.type === "finish" || (perBlock && part.type === "text-end"))
      if (checking === undefined) continue
      const exit = yield* Effect.exit(checking)
      if (Exit.isSuccess(exit)) continue
      failure = exit.cause
      return held.takeWithUsage(parts.slice(index))
    }
    return held.take()
  })

  const onDone = Effect.fnUntraced(function*() {
    ended = true
    const exit = yield* Effect.exit(held.flush())
    if (Exit.isFailure(exit)) failure = exit.cause
    return held.take()
  })

  const step: Pull.Pull<NonEmpty<StreamPart>, E | EC, void, R | RC> = Effect.suspend(() => {
    if (failure !== undefined) return Exit.failCause(failure)
    if (ended) return Cause.done()
    const next: Pull.Pull<ReadonlyArray<StreamPart>, E, void, R | RC> = Effect.matchCauseEffect(pull, {
      onSuccess: (parts): Effect.Effect<ReadonlyArray<StreamPart>, never, RC> =>
        held.isEmpty && !parts.some(isHeld) ? Exit.succeed(parts) : onParts(parts),
      onFailure: (cause): Pull.Pull<ReadonlyArray<StreamPart>, E, void, RC> =>
        Pull.isDoneCause(cause) ? onDone() : Exit.failCause(cause)
    })
    return Effect.flatMap(
      next,
      (parts): Pull.Pull<NonEmpty<StreamPart>, E | EC, void, R | RC> => isNonEmpty(parts) ? Exit.succeed(parts) : step
    )
  })
  return step
}

const isHeld = (part: StreamPart): boolean => part.type === "text-delta" || part.type === "error"

const isNonEmpty = <A>(as: ReadonlyArray<A>): as is NonEmpty<A> => as.length > 0

/** The parts from the first one with unchecked text on. */
class Held<E, R> {
  private readonly pieces: Pieces
  private readonly check: Check<E, R>
  private queue: Array<StreamPart> = []
  private out: Array<StreamPart> = []
  private block: string | undefined = undefined
  private before = ""

  constructor(pieces: Pieces, check: Check<E, R>) {
    this.pieces = pieces
    this.check = check
  }

  get isEmpty(): boolean {
    return this.queue.length === 0
  }

  take(): Array<StreamPart> {
    const out = this.out
    this.out = []
    return out
  }

  /** What was let through, and the usage: nothing after it is shown. */
  takeWithUsage(rest: ReadonlyArray<StreamPart>): Array<StreamPart> {
    return [...this.take(), ...this.queue.concat(rest).filter((part) => part.type === "finish")]
  }

  /** The model failed: what it had not finished saying is not said. */
  drop(rest: ReadonlyArray<StreamPart>): Array<StreamPart> {
    this.queue = []
    this.pieces.rest()
    return [...this.take(), ...rest.filter((part) => part.type === "error" || part.type === "finish")]
  }

  /** Adds text; undefined when there is nothing to check yet. */
  add(part: TextDelta, perBlock: boolean): Effect.Effect<void, E, R> | undefined {
    return perBlock && this.block !== part.id && this.pieces.length > 0
      ? Effect.flatMap(this.flush(), () => this.append(part) ?? Effect.void)
      : this.append(part)
  }

  /** Adds another part; undefined when there is nothing to check before it. */
  pass(part: StreamPart, ends: boolean): Effect.Effect<void, E, R> | undefined {
    if (ends) return Effect.map(this.flush(), () => void this.out.push(part))
    const to = this.isEmpty ? this.out : this.queue
    to.push(part)
    return undefined
  }

  /** Checks what is left, and lets everything go. */
  readonly flush = Effect.fnUntraced(function*(this: Held<E, R>) {
    if (this.pieces.length > 0) yield* this.release(this.pieces.rest())
    this.out.push(...this.queue)
    this.queue = []
  })

  private append(part: TextDelta): Effect.Effect<void, E, R> | undefined {
    this.block = part.id
    this.queue.push(part)
    this.pieces.push(part.delta)
    const piece = this.pieces.next()
    return piece === undefined ? undefined : this.releaseFrom(piece)
  }

  private readonly releaseFrom = Effect.fnUntraced(function*(this: Held<E, R>, first: string) {
    for (let piece: string | undefined = first; piece !== undefined; piece = this.pieces.next()) {
      yield* this.release(piece)
    }
  })

  private readonly release = Effect.fnUntraced(function*(this: Held<E, R>, piece: string) {
    const text = piece.trim() === "" ? piece : yield* this.check(piece, this.before)
    this.before += text
    this.move(piece.length, text === piece ? undefined : text)
  })

  /** Moves the parts of a piece of that length from the queue, and those up to the next text. */
  private move(length: number, replacement: string | undefined): void {
    const { out, queue } = this
    let left = length
    let text = replacement
    let index = 0
    for (; index < queue.length; index++) {
      const part = queue[index]!
      if (part.type !== "text-delta") {
        out.push(part)
        continue
      }
      if (left === 0 && part.delta !== "") break
      const taken = part.delta.slice(0, left)
      const shown = replacement === undefined ? taken : text
      text = ""
      left -= taken.length
      if (taken === part.delta && shown === taken) out.push(part)
      else if (shown !== undefined && shown !== "") out.push(Parts.textDelta(part.id, shown, part.metadata))
      if (taken === part.delta) continue
      queue[index] = Parts.textDelta(part.id, part.delta.slice(taken.length), part.metadata)
      break
    }
    this.queue = queue.slice(index)
  }
}
