/**
 * Holds text back until it was checked, and keeps the order of the parts.
 *
 * @since 0.1.0
 */

import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pull from "effect/Pull"
import { Fifo } from "./fifo.ts"
import { Sentences } from "./text.ts"
import * as Parts from "../words/responseParts.ts"
import type { StreamPart } from "../words/stepBuilder.ts"

type TextDelta = Extract<StreamPart, { readonly type: "text-delta" }>

type NonEmpty<A> = readonly [A, ...Array<A>]

/**
 * The result of a check of a piece: `undefined` lets it through, and a text replaces it.
 *
 * @category models
 * @since 0.1.0
 */
export type Check<E, R> = (piece: string, before: string) => Effect.Effect<string | undefined, E, R>

/**
 * Holds text back until `held` has checked it. Other parts pass if no text is held, and otherwise wait behind it, so
 * that the order of parts is kept. An array without anything to hold is passed on as it is.
 *
 * If the model stream fails, the text that is held then is dropped. After a failed check the parts that it had let
 * through come first, and then the usage of the call if the model has reported it.
 *
 * @category running
 * @since 0.1.0
 */
export const hold = <E, R, EC, RC>(
  pull: Pull.Pull<NonEmpty<StreamPart>, E, void, R>,
  held: Held<EC, RC>
): Pull.Pull<NonEmpty<StreamPart>, E | EC, void, R | RC> => {
  let ended = false
  let failure: Cause.Cause<EC> | undefined

  const onParts = Effect.fnUntraced(function*(parts: NonEmpty<StreamPart>) {
    for (const [index, part] of parts.entries()) {
      if (part.type === "error") return held.drop(parts.slice(index))
      const checking = held.add(part)
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
    const exit = yield* Effect.exit(held.end())
    if (Exit.isSuccess(exit)) return held.take()
    failure = exit.cause
    return held.takeWithUsage([])
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

const isHeld = ({ type }: StreamPart): boolean =>
  type === "text-delta" || type === "text-start" || type === "text-end" || type === "error"

const isNonEmpty = <A>(as: ReadonlyArray<A>): as is NonEmpty<A> => as.length > 0

/** A block of text. Blocks are kept in the order in which they begin, which is their order in the text of the step. */
interface Block {
  /** Its text that was not cut into pieces yet. */
  text: Array<string>
  ended: boolean
  /** The checked pieces of its text that are not shown yet. */
  readonly verdicts: Fifo<Verdict>
}

/** The verdict on this many characters. `text` replaces them, once. */
interface Verdict {
  length: number
  text: string | undefined
}

/** A part that waits. For a delta: how much of it was shown. */
interface Waiting {
  readonly part: StreamPart
  readonly block: Block | undefined
  shown: number
}

/**
 * The parts from the first one with unchecked text on.
 *
 * @category models
 * @since 0.1.0
 */
export abstract class Held<E, R> {
  protected readonly check: Check<E, R>
  private readonly queue = new Fifo<Waiting>()
  private out: Array<StreamPart> = []
  /** The blocks that have not ended, by their ids. */
  private readonly open = new Map<string, Block>()

  constructor(check: Check<E, R>) {
    this.check = check
  }

  get isEmpty(): boolean {
    return this.queue.isEmpty
  }

  take(): Array<StreamPart> {
    this.release()
    const out = this.out
    this.out = []
    return out
  }

  /** Returns what was let through, and the usage. Nothing after it is shown. */
  takeWithUsage(rest: ReadonlyArray<StreamPart>): Array<StreamPart> {
    const out = this.take()
    for (const { part } of this.queue.drain()) if (part.type === "finish") out.push(part)
    for (const part of rest) if (part.type === "finish" && !out.includes(part)) out.push(part)
    return out
  }

  /** Drops what a failed model had not finished saying. */
  drop(rest: ReadonlyArray<StreamPart>): Array<StreamPart> {
    const out = this.take()
    this.queue.drain()
    for (const part of rest) if (part.type === "error" || part.type === "finish") out.push(part)
    return out
  }

  /** Adds a part. Returns `undefined` if it leads to no check. */
  add(part: StreamPart): Effect.Effect<void, E, R> | undefined {
    switch (part.type) {
      case "text-start": {
        // a new block with a used id ends the block before it
        const checking = this.close(part.id)
        this.begin(part.id)
        this.pass(part)
        return checking
      }
      case "text-delta": {
        const block = this.open.get(part.id) ?? this.begin(part.id)
        this.queue.push({ part, block, shown: 0 })
        return this.onText(block, part.delta)
      }
      case "text-end": {
        this.pass(part)
        return this.close(part.id)
      }
      case "finish": {
        this.pass(part)
        return this.end()
      }
      default:
        return this.pass(part)
    }
  }

  /** Checks everything that is left, because nothing more comes. */
  end(): Effect.Effect<void, E, R> {
    for (const block of this.open.values()) block.ended = true
    this.open.clear()
    return this.onEnd()
  }

  protected abstract onBegin(block: Block): void
  protected abstract onText(block: Block, delta: string): Effect.Effect<void, E, R> | undefined
  protected abstract onBlockEnd(block: Block): Effect.Effect<void, E, R> | undefined
  protected abstract onEnd(): Effect.Effect<void, E, R>

  private begin(id: string): Block {
    const block: Block = { text: [], ended: false, verdicts: new Fifo() }
    this.open.set(id, block)
    this.onBegin(block)
    return block
  }

  private close(id: string): Effect.Effect<void, E, R> | undefined {
    const block = this.open.get(id)
    if (block === undefined) return undefined
    this.open.delete(id)
    block.ended = true
    return this.onBlockEnd(block)
  }

  private pass(part: StreamPart): undefined {
    if (this.queue.isEmpty) this.out.push(part)
    else this.queue.push({ part, block: undefined, shown: 0 })
  }

  /** Releases the parts up to the first text that is not checked. */
  private release(): void {
    const { out, queue } = this
    for (let next = queue.peek(); next !== undefined; next = queue.peek()) {
      if (next.block === undefined) out.push(next.part)
      else if (!this.show(next, next.block, next.part as TextDelta)) return
      queue.shift()
    }
  }

  /** Shows the checked part of a delta, and returns whether that is all of it. */
  private show(waiting: Waiting, { verdicts }: Block, part: TextDelta): boolean {
    const { delta } = part
    if (delta === "") this.out.push(part)
    while (waiting.shown < delta.length) {
      const verdict = verdicts.peek()
      if (verdict === undefined) return false
      const taken = delta.slice(waiting.shown, waiting.shown + verdict.length)
      const text = verdict.text ?? taken
      if (verdict.text !== undefined) verdict.text = ""
      if (text === delta) this.out.push(part)
      else if (text !== "") this.out.push(Parts.textDelta(part.id, text, part.metadata))
      waiting.shown += taken.length
      verdict.length -= taken.length
      if (verdict.length === 0) verdicts.shift()
    }
    return true
  }
}

/**
 * Checks the text of the step sentence by sentence. It checks all of a block before the block that began after it, as
 * if the model wrote one after the other, so the pieces do not depend on how the parts arrive. A sentence that does not
 * end within its block goes on in the next one.
 *
 * @category models
 * @since 0.1.0
 */
export class HeldSentences<E, R> extends Held<E, R> {
  private readonly sentences = new Sentences()
  /** The block that is being cut into pieces, and the blocks that began after it. */
  private readonly blocks = new Fifo<Block>()
  /** The blocks whose text is in the next pieces, in order, and the length of each. */
  private readonly sources = new Fifo<{ readonly block: Block; length: number }>()
  private before = ""

  protected onBegin(block: Block): void {
    this.blocks.push(block)
  }

  protected onText(block: Block, delta: string): Effect.Effect<void, E, R> | undefined {
    if (block !== this.blocks.peek()) {
      block.text.push(delta)
      return undefined
    }
    this.read(block, delta)
    const piece = this.sentences.next(false)
    return piece === undefined ? undefined : this.checkFrom(piece)
  }

  protected onBlockEnd(block: Block): Effect.Effect<void, E, R> | undefined {
    return block === this.blocks.peek() ? this.checkFrom(undefined) : undefined
  }

  protected onEnd(): Effect.Effect<void, E, R> {
    return Effect.andThen(this.checkFrom(undefined), this.checkPieces(undefined, true))
  }

  private read(block: Block, text: string): void {
    if (text === "") return
    this.sentences.push(text)
    this.sources.push({ block, length: text.length })
  }

  private readonly checkFrom = Effect.fnUntraced(function*(this: HeldSentences<E, R>, first: string | undefined) {
    let piece = first
    for (let block = this.blocks.peek(); block !== undefined; block = this.blocks.peek()) {
      for (const text of block.text.splice(0)) this.read(block, text)
      yield* this.checkPieces(piece, block.ended && this.sentences.isAtEnd)
      piece = undefined
      if (!block.ended) return
      this.blocks.shift()
    }
  })

  private readonly checkPieces = Effect.fnUntraced(
    function*(this: HeldSentences<E, R>, first: string | undefined, ended: boolean) {
      const { sentences } = this
      for (let piece = first ?? sentences.next(ended); piece !== undefined; piece = sentences.next(ended)) {
        const text = piece.trim() === "" ? undefined : yield* this.check(piece, this.before)
        this.before += text ?? piece
        this.settle(piece.length, text)
      }
    }
  )

  /** A text that replaces a piece of several blocks is shown in the first of them. */
  private settle(length: number, replacement: string | undefined): void {
    let text = replacement
    for (let left = length; left > 0;) {
      const source = this.sources.peek()!
      const taken = Math.min(left, source.length)
      source.block.verdicts.push({ length: taken, text })
      if (text !== undefined) text = ""
      left -= taken
      source.length -= taken
      if (source.length === 0) this.sources.shift()
    }
  }
}

/**
 * Checks the text of all blocks as one piece, when nothing more comes.
 *
 * @category models
 * @since 0.1.0
 */
export class HeldWhole<E, R> extends Held<E, R> {
  private blocks: Array<Block> = []

  protected onBegin(block: Block): void {
    this.blocks.push(block)
  }

  protected onText(block: Block, delta: string): undefined {
    block.text.push(delta)
  }

  protected onBlockEnd(): undefined {}

  protected readonly onEnd = Effect.fnUntraced(function*(this: HeldWhole<E, R>) {
    const texts = this.blocks.map((block) => ({ block, text: block.text.join("") })).filter(({ text }) => text !== "")
    this.blocks = []
    const whole = texts.map(({ text }) => text).join("")
    const replacement = whole.trim() === "" ? undefined : yield* this.check(whole, "")
    for (const [index, { block, text }] of texts.entries()) {
      block.verdicts.push({ length: text.length, text: index === 0 ? replacement : replacement && "" })
    }
  })
}
