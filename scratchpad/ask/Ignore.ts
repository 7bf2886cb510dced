/**
 * The rules of a `.gitignore`: names, paths, wildcards, folders only, and `!` to take one back. A rule counts from the
 * folder its file is in; the last rule that matches decides.
 */
import * as Glob from "./Glob.ts"

/** One line of a `.gitignore`. */
export interface Rule {
  readonly prefix: string
  readonly glob: Glob.Glob
  /** Whether it is about the name alone, in whatever folder. */
  readonly nameOnly: boolean
  readonly foldersOnly: boolean
  readonly negated: boolean
}

/** Reads the rules of a file that lies in the folder `prefix` (empty, or ending in `/`). */
export const parse = (text: string, prefix: string): ReadonlyArray<Rule> =>
  text.split(/\r?\n/).flatMap((line): ReadonlyArray<Rule> => {
    const rule = withoutTrailingSpaces(line)
    if (rule === "" || rule.startsWith("#")) return []
    const negated = rule.startsWith("!")
    const foldersOnly = rule.endsWith("/")
    // What is in a folder is not the folder
    const pattern = rule.slice(negated ? 1 : 0, foldersOnly ? -1 : undefined).replace(/\/\*\*$/, "/**/*")
    const nameOnly = !pattern.includes("/")
    const glob = pattern === "" ? undefined : Glob.make(pattern, { dot: true, braces: false })
    // No path is as long as a line that is too long for a pattern
    return glob === undefined ? [] : [{ prefix, glob, nameOnly, foldersOnly, negated }]
  })

/** A space at the end counts only after a backslash. */
const withoutTrailingSpaces = (line: string): string => {
  let end = line.length
  while (line[end - 1] === " " && line[end - 2] !== "\\") end--
  return line.slice(0, end)
}

/** Whether the rules leave out a file or folder whose own folders they do not leave out. */
export const ignores = (rules: ReadonlyArray<Rule>, path: string, isFolder: boolean): boolean => {
  const name = path.slice(path.lastIndexOf("/") + 1)
  return rules.findLast((rule) =>
    (!rule.foldersOnly || isFolder) && path.startsWith(rule.prefix) &&
    Glob.match(rule.glob, rule.nameOnly ? name : path.slice(rule.prefix.length))
  )?.negated === false
}
