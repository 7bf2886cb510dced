/**
 * Colours of a terminal, or none of them.
 */

/** The styles that the program uses. */
export interface Style {
  readonly bold: (text: string) => string
  readonly dim: (text: string) => string
  readonly italic: (text: string) => string
  readonly underline: (text: string) => string
  readonly red: (text: string) => string
  readonly green: (text: string) => string
  readonly yellow: (text: string) => string
  readonly blue: (text: string) => string
  readonly cyan: (text: string) => string
}

const sgr = (code: number) => (text: string) => text === "" ? "" : `\x1b[${code}m${text}\x1b[0m`

const as = (text: string) => text

/** Styles for a terminal with colours. */
export const colours: Style = {
  bold: sgr(1),
  dim: sgr(2),
  italic: sgr(3),
  underline: sgr(4),
  red: sgr(31),
  green: sgr(32),
  yellow: sgr(33),
  blue: sgr(34),
  cyan: sgr(36)
}

/** Styles without colours, for files, for pipes, and for `NO_COLOR`. */
export const plain: Style = {
  bold: as,
  dim: as,
  italic: as,
  underline: as,
  red: as,
  green: as,
  yellow: as,
  blue: as,
  cyan: as
}
