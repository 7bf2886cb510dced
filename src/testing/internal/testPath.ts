/**
 * The file of the cassette of a test.
 *
 * @since 0.1.0
 */

/**
 * A test of vitest, or a `describe` around it, as far as its names are concerned.
 *
 * @category models
 * @since 0.1.0
 */
export interface Named {
  readonly name: string
  readonly suite?: Suite | undefined
}

interface Suite extends Named {
  readonly tasks: ReadonlyArray<Named>
}

/**
 * A test of vitest.
 *
 * @category models
 * @since 0.1.0
 */
export interface Test extends Named {
  readonly file: { readonly filepath: string; readonly tasks: ReadonlyArray<Named> }
}

/** A name as the name of a file. */
const fileNameOf = (name: string): string => {
  const plain = name.toWellFormed().normalize("NFC").replace(/[^\p{L}\p{M}\p{N}_=+,.-]+/gu, " ").trim().replace(
    /^\.+/,
    "-"
  )
  // some file systems allow 255 bytes, and a letter may have 4 of them
  return Array.from(plain).slice(0, 50).join("").trim() || "-"
}

/** The name of a file among those of its siblings. Some file systems do not distinguish large and small letters. */
const unique = (named: Named, siblings: ReadonlyArray<Named>): string => {
  const name = fileNameOf(named.name)
  const same = siblings.filter((sibling) => fileNameOf(sibling.name).toLowerCase() === name.toLowerCase())
  const index = same.indexOf(named)
  return index < 1 ? name : `${name} (${index + 1})`
}

/**
 * Returns the path of the cassette of a test.
 *
 * @category conversions
 * @since 0.1.0
 */
export const make = (test: Test, directory: string | undefined): string => {
  const names: Array<string> = []
  for (let named: Named | undefined = test; named !== undefined; named = named.suite) {
    names.unshift(unique(named, named.suite?.tasks ?? test.file.tasks))
  }
  const [, folder = "", file = ""] = /^(.*?)([^/\\]*)$/s.exec(test.file.filepath) ?? []
  return [directory ?? `${folder}__cassettes__`, file, ...names].join("/") + ".jsonl"
}
