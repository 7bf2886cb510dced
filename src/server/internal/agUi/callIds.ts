/**
 * The ids of tool calls as a client sees them. A client knows a call by its id in the whole conversation; in a run an id is
 * unique in one step of one agent alone.
 *
 * The first call with an id keeps it. A later one gets a number after it (`call_1~2`).
 *
 * @since 0.1.0
 */

/**
 * @category models
 * @since 0.1.0
 */
export class CallIds {
  private readonly taken: Set<string>
  /** The next number, for each id that has come. */
  private readonly numbers = new Map<string, number>()
  private readonly known: ReadonlyArray<string>

  /** `known` are the ids of the calls that the client has already, in their order. */
  constructor(known: ReadonlyArray<string>) {
    this.known = known
    this.taken = new Set(known)
  }

  /** Returns the id of a new call. */
  take(id: string): string {
    let n = this.numbers.get(id) ?? 2
    let free = id
    while (this.taken.has(free)) free = `${id}~${n++}`
    this.numbers.set(id, n)
    this.taken.add(free)
    return free
  }

  /** Returns the id of a call that was made before this run: the last one that the client has of it. */
  before(id: string): string {
    return this.known.findLast((known) => isIdOf(known, id)) ?? id
  }
}

/**
 * Returns whether a client may know a call by this id.
 *
 * @category guards
 * @since 0.1.0
 */
export const isIdOf = (known: string, id: string): boolean =>
  known === id || known.startsWith(`${id}~`) && /^\d+$/.test(known.slice(id.length + 1))
