/**
 * The similarity of two texts.
 *
 * @since 0.1.0
 */

import * as TextDiff from "effect/TextDiff"

/** The work of a comparison is the length of the texts times this number, so longer edit scripts are approximations. */
const maxEdits = 2000

/**
 * Returns the normalised indel similarity: 1 for equal texts, 0 for texts without a common character.
 *
 * @category accessors
 * @since 0.1.0
 */
export const similarityOf = (a: string, b: string): number => {
  if (a === b) return 1
  let kept = 0
  let changed = 0
  for (const { _tag, items } of TextDiff.codePoints(a, b, { maxEdits })) {
    const length = items.reduce((sum, item) => sum + Array.from(item).length, 0)
    if (_tag === "Equal") kept += length
    else changed += length
  }
  return 2 * kept / (2 * kept + changed)
}
