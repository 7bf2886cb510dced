/**
 * The simple rules of a `.gitignore`: names, paths, wildcards, folders only, and
 * `!` to take one back. A rule counts from the folder its file is in; the last
 * rule that matches decides.
 */
import * as Glob from "effect/Glob"
import type * as Folder from "./Folder.ts"

/** One line of a `.gitignore`. */
export interface Rule {
  readonly prefix: string
  readonly glob: Glob.Glob
  readonly foldersOnly: boolean
  readonly negated: boolean
}

/** Reads the rules of a file that lies in the folder `prefix` (empty, or ending in `/`). */
export const parse = (text: string, prefix: string): ReadonlyArray<Rule> =>
  text.split(/\r?\n/).flatMap((line): ReadonlyArray<Rule> => {
    const rule = line.trim()
    if (rule === "" || rule.startsWith("#")) return []
    const negated = rule.startsWith("!")
    const foldersOnly = rule.endsWith("/")
    const pattern = rule.slice(negated ? 1 : 0, foldersOnly ? -1 : undefined)
    if (pattern === "") return []
    const anchored = pattern.startsWith("/") ? pattern.slice(1) : pattern.includes("/") ? pattern : `**/${pattern}`
    return [{ prefix, glob: Glob.make(anchored, { dot: true }), foldersOnly, negated }]
  })

/** Whether the rules leave an entry out. */
export const ignores = (rules: ReadonlyArray<Rule>, entry: Folder.Entry): boolean =>
  rules.findLast((rule) =>
    (!rule.foldersOnly || entry.type === "folder") && entry.path.startsWith(rule.prefix) &&
    Glob.match(rule.glob, entry.path.slice(rule.prefix.length))
  )?.negated === false
