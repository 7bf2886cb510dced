/**
 * A queue.
 *
 * @since 0.1.0
 */

/** The number of removed elements that are kept before the rest is moved up. */
const many = 1_024

/**
 * A queue: first in, first out. Adding and removing cost the same at any length.
 *
 * @category models
 * @since 0.1.0
 */
export class Fifo<A> {
  private items: Array<A> = []
  private head = 0

  get isEmpty(): boolean {
    return this.head === this.items.length
  }

  push(item: A): void {
    this.items.push(item)
  }

  peek(): A | undefined {
    return this.items[this.head]
  }

  shift(): void {
    this.head++
    if (this.head < many || this.head * 2 < this.items.length) {
      if (this.head === this.items.length) this.drain()
      return
    }
    this.items = this.items.slice(this.head)
    this.head = 0
  }

  /** Removes and returns all elements. */
  drain(): Array<A> {
    const left = this.items.slice(this.head)
    this.items = []
    this.head = 0
    return left
  }
}
