/**
 * Pairs of things that belong together.
 *
 * @since 0.1.0
 */

/**
 * Makes as many pairs of a left and a right thing as possible, and returns those that have none. Taking the first match
 * for each would lose pairs: of two conditions one may hold for both things. This is Kuhn's algorithm for matchings.
 *
 * @category matching
 * @since 0.1.0
 */
export const pairUp = <A, B>(
  lefts: ReadonlyArray<A>,
  rights: ReadonlyArray<B>,
  belong: (left: A, right: B) => boolean
): { readonly left: ReadonlyArray<A>; readonly right: ReadonlyArray<B> } => {
  const candidates = lefts.map((left) => rights.flatMap((right, index) => belong(left, right) ? [index] : []))
  /** The left thing of each right one. */
  const partner = new Map<number, number>()
  const take = (left: number, tried: Set<number>): boolean =>
    candidates[left].some((right) => {
      if (tried.has(right)) return false
      tried.add(right)
      const holder = partner.get(right)
      if (holder !== undefined && !take(holder, tried)) return false
      partner.set(right, left)
      return true
    })
  const left = lefts.filter((_, index) => !take(index, new Set()))
  return { left, right: rights.filter((_, index) => !partner.has(index)) }
}
