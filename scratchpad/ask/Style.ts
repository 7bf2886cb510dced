/**
 * Colours of a terminal, or none of them.
 */

/** What the program paints with. */
export interface Style {
  readonly bold: (text: string) => string
  readonly dim: (text: string) => string
  readonly red: (text: string) => string
  readonly green: (text: string) => string
  readonly yellow: (text: string) => string
  readonly blue: (text: string) => string
  readonly cyan: (text: string) => string
}

const sgr = (code: number) => (text: string) => text === "" ? "" : `\x1b[${code}m${text}\x1b[0m`

const as = (text: string) => text

/** For a terminal that shows colours. */
export const colours: Style = {
  bold: sgr(1),
  dim: sgr(2),
  red: sgr(31),
  green: sgr(32),
  yellow: sgr(33),
  blue: sgr(34),
  cyan: sgr(36)
}

/** For files, pipes, and whoever has set `NO_COLOR`. */
export const plain: Style = { bold: as, dim: as, red: as, green: as, yellow: as, blue: as, cyan: as }
