/**
 * Takes the examples out of docstrings and Markdown.
 *
 * An example is a fence marked `ts`: a whole program. What it prints stands in it as comments, in order, one for each
 * line: `console.log(1 + 1) // => 2`. A fence marked `ts no-run` is type-checked only; other fences are no examples.
 */

/** A program from the documentation. */
export interface Example {
  /** The file it stands in, relative to the root. */
  readonly file: string
  /** The line of its fence. */
  readonly line: number
  readonly code: string
  readonly run: boolean
}

/** The examples of a file: of its docstrings, or of the whole text if it is Markdown. */
export const examplesOf = (file: string, text: string): Array<Example> => {
  const found: Array<Example> = []
  let open:
    | { readonly indent: number; readonly run: boolean; readonly line: number; readonly code: Array<string> }
    | undefined
  let other = false
  for (const [index, line] of (file.endsWith(".md") ? text.split("\n") : docstringLines(text)).entries()) {
    const fence = /^\s*```\s*(.*?)\s*$/.exec(line)
    if (open !== undefined) {
      if (fence === null) open.code.push(line.slice(open.indent))
      else {
        found.push({ file, line: open.line, code: open.code.join("\n") + "\n", run: open.run })
        open = undefined
      }
    } else if (fence !== null) {
      const [language, ...words] = fence[1]!.split(/\s+/)
      if (!other && (language === "ts" || language === "typescript")) {
        open = { indent: line.indexOf("`"), run: !words.includes("no-run"), line: index + 1, code: [] }
      } else other = !other
    }
  }
  return found
}

/** What an example says it prints, line for line. */
export const expectedOutput = (code: string): Array<string> =>
  code.split("\n").flatMap((line) => {
    const expected = /(?:^|\s)\/\/ => ?(.*)$/.exec(line)
    return expected === null ? [] : [expected[1]!.trimEnd()]
  })

/** The example with the package's own name replaced by a path to its sources. */
export const fromSources = (code: string, sources: string, subpaths: ReadonlyArray<string>): string =>
  code.replace(/(\bfrom\s*|\bimport\s*)"effect-agents(?:\/([^"]+))?"/g, (_, before: string, subpath?: string) => {
    const file = subpath === undefined ? "index" : subpaths.includes(subpath) ? `${subpath}/index` : subpath
    return `${before}"${sources}/${file}.ts"`
  })

/** The lines of a source with everything blank that is no docstring. */
const docstringLines = (text: string): Array<string> => {
  let inside = false
  return text.split("\n").map((line) => {
    const opens = /^\s*\/\*\*/.test(line)
    if (opens) inside = true
    const kept = inside && !opens ? line.replace(/^\s*\*(?!\/) ?/, "").replace(/\s*\*\/\s*$/, "") : ""
    if (line.includes("*/")) inside = false
    return kept
  })
}
