/**
 * The rules of the house as functions from sources to complaints, so that they can be tried on bad samples too.
 */
import { type ESTree, parseSync } from "vite"
import {
  exceptions,
  exportedInternals,
  floors,
  foundations,
  internalAbove,
  internalUsers,
  maximumLines,
  subpaths,
  wings,
  withoutDefault
} from "./floors.ts"

/** A file of `src`: its path relative to `src`, as in `testing/index.ts`, and its text. */
export interface Source {
  readonly path: string
  readonly text: string
}

/** One import or re-export of a module. */
export interface Import {
  readonly specifier: string
  readonly line: number
  /** False when nothing of it is left at run time. */
  readonly runtime: boolean
  /** The names in braces. */
  readonly braces: ReadonlyArray<string>
  readonly dynamic: boolean
}

type Node = ESTree.Node & { readonly [key: string]: unknown }

/** Complaints about one file: imports, constructs, docstrings, length. */
export const checkFile = (source: Source): Array<string> => [
  ...checkRoom(source),
  ...checkImports(source),
  ...checkConstructs(source),
  ...checkDocs(source),
  ...checkLength(source)
]

/** Complaints about files taken together: import cycles. */
export const checkTogether = (sources: ReadonlyArray<Source>): Array<string> =>
  cycles(sources).map((cycle) => `import cycle at run time: ${cycle.join(" -> ")}`)

// -----------------------------------------------------------------------------
// rooms and floors
// -----------------------------------------------------------------------------

const top = floors.length + 1

/** The height of a file, or undefined when the table does not know it. */
const heightOf = (path: string): number | undefined => {
  if (path === "index.ts") return top
  if (path.startsWith("internal/")) {
    const wing = path.split("/").length === 3 ? wings.indexOf(path.split("/")[1]!) : -1
    return wing === -1 ? undefined : internalAbove + (wing + 1) / (wings.length + 1)
  }
  if (path.includes("/")) return subpathOf(path) === undefined ? undefined : floors.length
  const floor = floors.findIndex((_) => _.rooms.includes(roomOf(path)))
  return floor === -1 ? undefined : floor
}

const floorOf = (path: string): string =>
  path.startsWith("internal/") ? `wing ${path.split("/")[1]}` : `floor ${heightOf(path)}`

const roomOf = (path: string): string => path.replace(/\.ts$/, "")

const subpathOf = (path: string): string | undefined => {
  const folder = path.split("/")[0]!
  return path.includes("/") && folder in subpaths ? folder : undefined
}

const checkRoom = ({ path }: Source): Array<string> =>
  heightOf(path) === undefined
    ? [`${path}: not in the table of rooms; choose its floor in test/house/floors.ts`]
    : []

const checkImports = (source: Source): Array<string> => {
  const complaints: Array<string> = []
  for (const found of importsOf(source)) {
    const at = `${source.path}:${found.line}`
    if (found.dynamic) complaints.push(`${at}: import("${found.specifier}") inside src`)
    if (found.specifier.startsWith(".")) complaints.push(...checkRelative(source, found).map((_) => `${at}: ${_}`))
    else complaints.push(...checkPackage(source.path, found.specifier).map((_) => `${at}: ${_}`))
    if (
      found.braces.length > 0 && !bracesAllowed.includes(found.specifier) && isWholeModule(source.path, found.specifier)
    ) {
      complaints.push(`${at}: "${found.specifier}" is imported as a whole, as in import * as X`)
    }
  }
  return complaints
}

const bracesAllowed = ["effect/Function", "effect/Pipeable", "effect/Types"]

const isWholeModule = (from: string, specifier: string): boolean =>
  specifier.startsWith(".")
    // internal modules have no name that says the noun
    ? !isInternal(resolve(from, specifier) ?? "")
    : specifier.startsWith("effect/")

const isInternal = (path: string): boolean => path.split("/").slice(0, -1).includes("internal")

const checkRelative = (source: Source, { line, runtime, specifier }: Import): Array<string> => {
  const from = source.path
  const to = resolve(from, specifier)
  if (to === undefined) return [`"${specifier}" leaves src`]
  if (!to.endsWith(".ts")) return [`"${specifier}" has no .ts extension`]
  if (to.endsWith("index.ts") && from !== "index.ts") return [`"${specifier}" is a barrel`]
  if (from === "index.ts") return []
  const [fromSubpath, toSubpath] = [subpathOf(from), subpathOf(to)]
  const isFoundation = foundations[fromSubpath ?? ""]?.includes(toSubpath ?? "") === true
  if (toSubpath !== undefined && toSubpath !== fromSubpath && !isFoundation) {
    return [`${fromSubpath === undefined ? "the core" : "a subpath"} imports the subpath ${toSubpath}`]
  }
  const [here, there] = [heightOf(from), heightOf(to)]
  if (here === undefined || there === undefined || there <= here) return []
  if (to.startsWith("internal/") && internalUsers.includes(roomOf(from))) return []
  const way = `${roomOf(from)} (${floorOf(from)}) -> ${roomOf(to)} (${floorOf(to)})`
  if (runtime) return [`imports upward: ${way}`]
  return hasReason(source, line) ? [] : [`looks upward, and no comment above says why: ${way}`]
}

/** Whether a comment stands above this line. */
const hasReason = ({ text }: Source, line: number): boolean => text.split("\n")[line - 2]?.startsWith("// ") === true

const checkPackage = (from: string, specifier: string): Array<string> => {
  if (specifier === "effect" || /^effect(\/[a-z][a-z-]*)+$/.test(specifier)) return [`"${specifier}" is a barrel`]
  if (specifier.startsWith("effect/")) return []
  const allowed = subpaths[subpathOf(from) ?? ""] ?? []
  if (allowed.some((_) => _.endsWith("/") ? specifier.startsWith(_) : specifier === _)) return []
  return [`"${specifier}" is not effect's nor ours`]
}

const resolve = (from: string, specifier: string): string | undefined => {
  const segments = from.split("/").slice(0, -1)
  for (const segment of specifier.split("/")) {
    if (segment === ".") continue
    if (segment !== "..") segments.push(segment)
    else if (segments.pop() === undefined) return undefined
  }
  return segments.join("/")
}

/** Every import and re-export of a file. */
export const importsOf = (source: Source): Array<Import> => {
  const found: Array<Import> = []
  visit(parse(source), (node) => {
    const from = node.type === "ImportExpression" || node.type.startsWith("Import") || node.type.startsWith("Export")
      ? (node.source as Node | null | undefined)?.value
      : undefined
    if (typeof from !== "string") return
    const specifiers = (node.specifiers as ReadonlyArray<Node> | undefined) ?? []
    found.push({
      specifier: from,
      line: lineOf(source, node.start),
      // `import { type X }` keeps the import under verbatimModuleSyntax, only `import type` goes
      runtime: node.importKind !== "type" && node.exportKind !== "type",
      braces: specifiers.filter((_) => _.type === "ImportSpecifier").map((_) => nameOf(_.local)),
      dynamic: node.type === "ImportExpression"
    })
  })
  return found
}

const cycles = (sources: ReadonlyArray<Source>): Array<ReadonlyArray<string>> => {
  const graph = new Map(sources.map((source) => [
    source.path,
    importsOf(source).flatMap(({ runtime, specifier }) => {
      const to = runtime && specifier.startsWith(".") ? resolve(source.path, specifier) : undefined
      return to === undefined ? [] : [to]
    })
  ]))
  const found: Array<ReadonlyArray<string>> = []
  const done = new Set<string>()
  const walk = (path: string, trail: ReadonlyArray<string>): void => {
    const seen = trail.indexOf(path)
    if (seen !== -1) {
      found.push([...trail.slice(seen), path])
      return
    }
    if (done.has(path)) return
    for (const next of graph.get(path) ?? []) walk(next, [...trail, path])
    done.add(path)
  }
  for (const path of graph.keys()) walk(path, [])
  return found
}

// -----------------------------------------------------------------------------
// constructs
// -----------------------------------------------------------------------------

const forbiddenMembers: Readonly<Record<string, ReadonlyArray<string> | "all">> = {
  Date: ["now"],
  Math: ["random"],
  JSON: ["parse"],
  console: "all",
  process: "all"
}

const checkConstructs = (source: Source): Array<string> => {
  const complaints: Array<string> = []
  visit(parse(source), (node) => {
    const construct = constructOf(node)
    if (construct === undefined) return
    if (exceptions.some((_) => _.file === source.path && _.construct === construct)) return
    complaints.push(`${source.path}:${lineOf(source, node.start)}: ${construct} inside src`)
  })
  return complaints
}

const constructOf = (node: Node): string | undefined => {
  if (node.async === true) return "async"
  switch (node.type) {
    case "TryStatement":
      return "try"
    case "ThrowStatement":
      return "throw"
    case "TSEnumDeclaration":
      return "enum"
    case "ExportDefaultDeclaration":
      return "default export"
    // it is part of the object's hidden class, and that keeps what it closes over until a full collection
    case "Property":
      return node.kind === "get" || node.kind === "set" ? "accessor of an object literal" : undefined
    case "NewExpression":
      return nameOf(node.callee) === "Date" && (node.arguments as ReadonlyArray<unknown>).length === 0
        ? "new Date()"
        : undefined
    case "MemberExpression": {
      const object = nameOf(node.object)
      const property = nameOf(node.property)
      const forbidden = Object.hasOwn(forbiddenMembers, object) ? forbiddenMembers[object] : undefined
      return forbidden === "all" || forbidden?.includes(property) ? `${object}.${property}` : undefined
    }
  }
  return undefined
}

// -----------------------------------------------------------------------------
// docstrings and length
// -----------------------------------------------------------------------------

const checkDocs = (source: Source): Array<string> => {
  if (isInternal(source.path) && !exportedInternals.includes(source.path)) return []
  const program = parse(source)
  const complaints: Array<string> = []
  const first = /^\s*\/\*\*([\s\S]*?)\*\//.exec(source.text)?.[1]
  if (first === undefined || !first.includes("@since")) {
    complaints.push(`${source.path}:1: no module comment with @since`)
  }
  const documented = new Set<string>()
  for (const node of program.body as ReadonlyArray<Node>) {
    if (node.type !== "ExportNamedDeclaration" || !node.declaration) continue
    const declaration = node.declaration as Node
    const key = `${declaration.type} ${declaredName(declaration)}`.replace("TSDeclareFunction", "FunctionDeclaration")
    const doc = docBefore(source, node.start)
    const missing = ["@category", "@since"].filter((tag) => !doc?.includes(tag))
    // the overloads of a function share the first one's docstring
    if (missing.length > 0 && !documented.has(key)) {
      complaints.push(
        `${source.path}:${lineOf(source, node.start)}: ${declaredName(declaration)} has no ${missing.join(" and ")}`
      )
    }
    documented.add(key)
    complaints.push(...undocumentedOptions(source, declaration))
  }
  return complaints
}

/** What an editor shows over an option is the comment of the property: what it is, and what it is when it is not given. */
const undocumentedOptions = (source: Source, declaration: Node): Array<string> => {
  const complaints: Array<string> = []
  visit(declaration, (node) => {
    if (node.type !== "TSPropertySignature" || node.optional !== true || node.computed === true) return
    const name = nameOf(node.key)
    const before = source.text.slice(0, node.start).trimEnd()
    const doc = before.endsWith("*/") ? before.slice(before.lastIndexOf("/**")) : ""
    if (name !== "" && !/default/i.test(doc) && !withoutDefault.includes(`${declaredName(declaration)}.${name}`)) {
      complaints.push(
        `${source.path}:${lineOf(source, node.start)}: the option ${name} has no comment with its default`
      )
    }
  })
  return complaints
}

const docBefore = (source: Source, start: number): string | undefined => {
  const before = source.text.slice(0, start).trimEnd()
  const doc = before.slice(before.lastIndexOf("/**"))
  // the first comment of a file is the module's
  return before.endsWith("*/") && doc.length < before.trimStart().length ? doc : undefined
}

const declaredName = (declaration: Node): string =>
  declaration.type === "VariableDeclaration"
    ? (declaration.declarations as unknown as ReadonlyArray<Node>).map((_) => nameOf(_.id)).join(", ")
    : nameOf(declaration.id)

const checkLength = ({ path, text }: Source): Array<string> => {
  const lines = text.trimEnd().split("\n").length
  return lines <= maximumLines ? [] : [`${path}: ${lines} lines, look for the second idea`]
}

// -----------------------------------------------------------------------------
// syntax
// -----------------------------------------------------------------------------

const programs = new WeakMap<Source, Node>()

const parse = (source: Source): Node & { readonly body: ReadonlyArray<unknown> } => {
  let program = programs.get(source)
  if (program === undefined) {
    const result = parseSync(source.path, source.text)
    if (result.errors.length > 0) throw new Error(`${source.path}: ${result.errors[0]!.message}`)
    program = result.program as unknown as Node
    programs.set(source, program)
  }
  return program as Node & { readonly body: ReadonlyArray<unknown> }
}

const visit = (value: unknown, f: (node: Node) => void): void => {
  if (Array.isArray(value)) return value.forEach((_) => visit(_, f))
  if (typeof value !== "object" || value === null) return
  if (typeof (value as Node).type === "string") f(value as Node)
  Object.values(value).forEach((_) => visit(_, f))
}

const nameOf = (node: unknown): string => {
  const name = (node as { readonly name?: unknown } | null | undefined)?.name
  return typeof name === "string" ? name : ""
}

const lineOf = ({ text }: Source, offset: number): number => text.slice(0, offset).split("\n").length
