/**
 * Tables of text.
 *
 * @since 0.1.0
 */

/**
 * Returns the lines of a table, with the columns aligned: the first to the left, the others to the right.
 *
 * @category formatting
 * @since 0.1.0
 */
export const table = (rows: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<string> => {
  const widths = rows.reduce<ReadonlyArray<number>>(
    (widths, row) => row.map((cell, index) => Math.max(widths[index] ?? 0, widthOf(cell))),
    []
  )
  return rows.map((row) =>
    row.map((cell, index) => {
      const space = " ".repeat(widths[index] - widthOf(cell))
      return index === 0 ? cell + space : space + cell
    }).join("  ").trimEnd()
  )
}

const segmenter = new Intl.Segmenter(undefined, { granularity: "grapheme" })

/** The columns that a text has in a terminal: two for what is as wide as high. */
const widthOf = (text: string): number =>
  Array.from(segmenter.segment(text)).reduce(
    (sum, { segment }) =>
      sum +
      (/^[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\u{1f300}-\u{1faff}]/u.test(
          segment
        )
        ? 2
        : 1),
    0
  )
