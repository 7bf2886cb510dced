/**
 * Foreign texts where they are printed: in a terminal, in Markdown, in HTML.
 *
 * @since 0.1.0
 */

/** Control characters, and the characters that turn the direction of a text. */
const unprintable = /[\p{Cc}\p{Bidi_Control}\u2028\u2029\ufeff]+/gu

/**
 * Returns a text on one line, without characters that control a terminal, cut at a length.
 *
 * @category formatting
 * @since 0.1.0
 */
export const oneLine = (text: string, length = 200): string => {
  const flat = text.replace(unprintable, " ").replace(/ {2,}/g, " ").trim().toWellFormed()
  const points = Array.from(flat)
  return points.length <= length ? flat : `${points.slice(0, length - 1).join("")}…`
}

/**
 * Returns a text as HTML. In Markdown it is text, too.
 *
 * @category formatting
 * @since 0.1.0
 */
export const escape = (text: string): string =>
  text.toWellFormed()
    .replace(/(?![\t\n\r])[\p{Cc}\p{Bidi_Control}\ufeff]/gu, "�")
    .replace(/[&<>"'`|\\*_[\]~#@!$]/g, (character) => `&#${character.charCodeAt(0)};`)

/**
 * Returns a text as code in Markdown, on one line.
 *
 * @category formatting
 * @since 0.1.0
 */
export const code = (text: string, length?: number): string => {
  const line = oneLine(text, length)
  return line === "" ? "" : `<code>${escape(line)}</code>`
}
