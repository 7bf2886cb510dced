/**
 * The tools of a request as the offline planner sees them: fields, their kinds, the role of a tool, its arguments.
 */
import * as Tool from "effect/ai/Tool"
import type * as JsonSchema from "effect/JsonSchema"
import * as Predicate from "effect/Predicate"
import * as Words from "./Words.ts"

/** The kind of a field's value, derived from its name, its description and its type. */
export type Kind =
  | "query"
  | "request"
  | "glob"
  | "path"
  | "folder"
  | "first"
  | "last"
  | "size"
  | "name"
  | "number"
  | "choice"
  | "flag"
  | "file"
  | "content"
  | "other"

/** One parameter of a tool. */
export interface Field {
  readonly name: string
  readonly kind: Kind
  readonly required: boolean
  readonly list: boolean
  /** The extension of file names that its description mentions. */
  readonly extension: string
  readonly choices: ReadonlyArray<string>
  readonly minimum: number | undefined
  readonly maximum: number | undefined
}

/** A tool of the request, and its likely purpose. */
export interface Shape {
  readonly name: string
  readonly description: string
  readonly schema: string
  readonly fields: ReadonlyArray<Field>
  readonly role: "search" | "read" | "list" | "other"
}

/** The subject of a call: the values for its arguments. */
export interface Subject {
  readonly question: Words.Question
  readonly query?: string | undefined
  readonly path?: string | undefined
  readonly folder?: string | undefined
  readonly glob?: string | undefined
  readonly first?: number | undefined
  readonly last?: number | undefined
}

/** Reads the name, the description and the JSON schema of a tool. */
export const fromTool = (tool: Tool.Any): Shape => {
  const schema = Tool.getJsonSchema(tool)
  const description = Tool.getDescription(tool) ?? ""
  const properties = Predicate.isObject(schema.properties) ? Object.entries(schema.properties) : []
  const required = new Set(Array.isArray(schema.required) ? schema.required : [])
  const purpose = Words.stems(`${tool.name} ${description}`)
  const fields = properties.map(([name, property]) =>
    toField(tool.name, name, resolve(property, schema), required.has(name), purpose)
  )
  return {
    name: tool.name,
    description,
    schema: JSON.stringify(schema),
    fields,
    role: roleOf(tool.name, purpose, fields)
  }
}

const hasAny = (stems: ReadonlySet<string>, words: string): boolean =>
  words.split(" ").some((word) => stems.has(Words.stem(word)))

// Follows references and takes the first alternative that is not null.
const resolve = (property: unknown, root: JsonSchema.JsonSchema): JsonSchema.JsonSchema => {
  if (!Predicate.isObject(property)) return {}
  const schema = property as JsonSchema.JsonSchema
  if (typeof schema.$ref === "string") {
    const name = schema.$ref.split("/").at(-1) ?? ""
    const definitions = Predicate.isObject(root.$defs) ? root.$defs as Record<string, unknown> : {}
    const { [name]: definition, ...others } = definitions
    // A definition that names itself is followed once.
    return definition === undefined ? schema : { ...resolve(definition, { ...root, $defs: others }), ...schema }
  }
  const alternatives = [schema.anyOf, schema.oneOf, schema.allOf].find(Array.isArray)
  if (alternatives === undefined) return schema
  const first = alternatives.map((alternative) => resolve(alternative, root)).find((alternative) =>
    alternative.type !== "null"
  )
  return { ...first, ...schema, ...(first?.type === undefined ? undefined : { type: first.type }) }
}

const toField = (
  tool: string,
  name: string,
  schema: JsonSchema.JsonSchema,
  required: boolean,
  purpose: ReadonlySet<string>
): Field => {
  const list = schema.type === "array"
  const item = list ? resolve(schema.items, schema) : schema
  const choices = Array.isArray(item.enum) ? item.enum.filter(Predicate.isString) : []
  return {
    name,
    kind: kindOf(tool, name, typeof schema.description === "string" ? schema.description : "", item, choices, purpose),
    extension: typeof schema.description === "string" ? /\.\w+\b/.exec(schema.description)?.[0] ?? "" : "",
    required,
    list,
    choices,
    minimum: typeof item.minimum === "number" ? item.minimum : undefined,
    maximum: typeof item.maximum === "number" ? item.maximum : undefined
  }
}

const kindOf = (
  tool: string,
  name: string,
  description: string,
  schema: JsonSchema.JsonSchema,
  choices: ReadonlyArray<string>,
  purpose: ReadonlySet<string>
): Kind => {
  const words = Words.stems(name)
  const described = Words.stems(description)
  if (schema.type === "boolean") return "flag"
  if (schema.type === "integer" || schema.type === "number") {
    if (hasAny(words, "limit max maximum size length count before after around context depth radius")) return "size"
    if (hasAny(words, "end to last until stop")) return "last"
    if (hasAny(words, "start from first begin offset line row")) return "first"
    return "number"
  }
  if (schema.type !== "string") return "other"
  if (choices.length > 0) return "choice"
  if (hasAny(Words.stems(tool), writing)) {
    if (hasAny(words, "text content contents body note markdown")) return "content"
    if (hasAny(words, "name file filename title") && /\.\w+\b/.test(description)) return "file"
  }
  if (
    hasAny(words, "glob include exclude wildcard") || (hasAny(words, "pattern") && hasAny(described, "glob wildcard"))
  ) {
    return "glob"
  }
  if (hasAny(words, "prompt question task instruction instructions request message")) return "request"
  if (
    hasAny(words, "query q pattern text needle term terms search keyword keywords regex regexp phrase topic contains")
  ) {
    return hasAny(words, "pattern") && hasAny(purpose, "list glob") && !hasAny(purpose, "search grep")
      ? "glob"
      : "query"
  }
  if (hasAny(words, "dir directory folder root cwd base under")) return "folder"
  if (hasAny(words, "path file filename filepath document")) {
    return hasAny(described, "folder directory") && !hasAny(described, "file") ? "folder" : "path"
  }
  return hasAny(words, "content body data value json") ? "other" : "name"
}

const roleOf = (name: string, purpose: ReadonlySet<string>, fields: ReadonlyArray<Field>): Shape["role"] => {
  const named = Words.stems(name)
  const has = (kind: Kind, required?: boolean) =>
    fields.some((field) => field.kind === kind && (required !== true || field.required))
  const needsMore = fields.some((field) =>
    field.required &&
    !["query", "path", "folder", "glob", "first", "last", "size", "flag", "choice"].includes(field.kind)
  )
  if (needsMore || hasAny(named, changing)) return "other"
  if (has("query", true) || (has("query") && hasAny(named, "search grep find"))) {
    return hasAny(purpose, "search find grep match text look") ? "search" : "other"
  }
  if (
    has("path") && !hasAny(named, "list ls tree glob") &&
    hasAny(purpose, "read open show cat view content print get load return part")
  ) {
    return "read"
  }
  const free = !fields.some((field) =>
    field.required && field.kind !== "folder" && field.kind !== "path" && field.kind !== "glob"
  )
  return free && (hasAny(named, "list ls tree glob files dir") || hasAny(purpose, "list")) &&
      hasAny(purpose, "file folder directory tree path entry")
    ? "list"
    : "other"
}

/** Tools with these verbs in their names are called only if the question contains the verb. */
const changing =
  "write create delete remove update edit patch move rename run exec execute send post put insert drop set apply commit"

/** Other orders that change something. */
const making = "fix refactor implement change improve rewrite correct translate generate build deploy install format"

const writing = "write create save add append"

/** Verbs with which people order something to be written. */
const ordering = `${changing} make take save add append put jot note record leave keep store`

/** Returns the verb of a question that orders something instead of asking. */
const orderOf = (question: Words.Question): string | undefined => {
  const before = "please can could would you now and also then i we want need to like id let us lets just".split(" ")
  const first = question.words.find((word) => !before.includes(word))
  return first !== undefined && ordering.split(" ").includes(first) ? first : undefined
}

/** Returns the verb with which a question orders a change that none of the tools makes. */
export const impossibleOrder = (shapes: ReadonlyArray<Shape>, question: Words.Question): string | undefined => {
  const [first] = question.words.filter((word) => !["please", "can", "could", "would", "you", "now"].includes(word))
  return first !== undefined && `${changing} ${making}`.split(" ").includes(first) &&
      !shapes.some((shape) => Words.stems(`${shape.name} ${shape.description}`).has(Words.stem(first)))
    ? first
    : undefined
}

/**
 * Scores how well a tool fits a question: by the words that its name (3 each), its description (1) and its fields
 * (a half) share with it.
 */
export const score = (shape: Shape, question: Words.Question): number => {
  const asked = new Set(
    [...question.words, ...question.identifiers.flatMap(Words.split)].filter(Words.isContent).map(Words.stem)
  )
  const named = Words.stems(shape.name)
  const verbs = changing.split(" ").map(Words.stem).filter((verb) => named.has(verb))
  if (verbs.length > 0) {
    const order = orderOf(question)
    if (order === undefined) return 0
    // To take, make or leave a note means to write one
    const isWritten = hasAny(named, writing) && !changing.split(" ").includes(order) &&
      Array.from(named).some((word) => asked.has(word))
    if (!verbs.includes(Words.stem(order)) && !isWritten) return 0
  }
  const described = Words.stems(shape.description)
  const inFields = Words.stems(shape.fields.map((field) => field.name).join(" "))
  let total = 0
  for (const word of asked) total += named.has(word) ? 3 : described.has(word) ? 1 : inFields.has(word) ? 0.5 : 0
  // A name in the question for a field that wants one.
  const wantsName = shape.fields.some((field) => field.kind === "name" && field.required)
  return total + (wantsName && question.names.length > 0 ? 1 : 0)
}

/** Returns the arguments of a call, or `undefined` when a required one cannot be found in the question. */
export const fill = (shape: Shape, subject: Subject): Record<string, unknown> | undefined => {
  const out: Record<string, unknown> = {}
  const numbers = subject.question.numbers.slice()
  const names = [...subject.question.quoted, ...subject.question.names, ...subject.question.identifiers]
  for (const field of shape.fields) {
    const value = valueOf(field, shape, subject, numbers, names)
    if (value !== undefined) out[field.name] = field.list ? [value] : value
    else if (field.required) return undefined
  }
  return out
}

const valueOf = (
  field: Field,
  shape: Shape,
  subject: Subject,
  numbers: Array<number>,
  names: Array<string>
): unknown => {
  const { question } = subject
  switch (field.kind) {
    case "query":
      return field.required || shape.role === "search"
        ? subject.query ?? (question.salient.join(" ") || undefined)
        : undefined
    case "request":
      return question.text
    case "glob":
      return question.globs[0] ?? subject.glob ?? (field.required ? "**/*" : undefined)
    case "path":
      // A tool that searches or lists takes a folder here as well.
      return shape.role === "search" || shape.role === "list"
        ? subject.folder ?? (field.required ? "." : undefined)
        : subject.path
    case "folder":
      return subject.folder ?? (field.required ? "." : undefined)
    case "first":
      return clamp(field, subject.first ?? (field.required ? (field.minimum === 0 ? 0 : 1) : undefined))
    case "last":
      return clamp(field, subject.last ?? (field.required ? 100 : undefined))
    case "size":
      // A window of lines has a size when it has a beginning and no end.
      return subject.first !== undefined && subject.last !== undefined &&
          /limit|count|lines|length|max/i.test(field.name) &&
          shape.fields.some((other) => other.kind === "first") && !shape.fields.some((other) => other.kind === "last")
        ? clamp(field, subject.last - subject.first + 1)
        : field.required
        ? clamp(field, field.maximum === undefined ? 20 : Math.min(20, field.maximum))
        : undefined
    case "number":
      return numbers.shift()
    case "choice":
      return field.choices.find((choice) => question.words.includes(choice.toLowerCase())) ??
        (field.required ? field.choices[0] : undefined)
    case "flag":
      return field.required ? false : undefined
    case "content":
      return contentOf(question)
    case "file":
      return fileNameOf(field, question)
    case "name":
      return field.required ? names.shift() ?? (question.salient.at(-1)) : undefined
    case "other":
      return field.required ? names.shift() : undefined
  }
}

/** The content to write: the text in quotes, or after a colon, "that" or "about". */
const contentOf = ({ quoted, text }: Words.Question): string | undefined => {
  const said = /:\s+(\S[\s\S]*)$/.exec(text)?.[1] ?? quoted.at(-1) ??
    /\b(?:that|saying|which says|with the text)\s+(?:says?\s+)?(\S[\s\S]*)$/i.exec(text)?.[1] ??
    /\b(?:about|on|of|down)\s+(\S[\s\S]*)$/i.exec(text)?.[1]
  return said?.trim()
}

/** The name of a new file: one that is named, or one made of the words of what is written. */
const fileNameOf = ({ extension }: Field, question: Words.Question): string => {
  const named = question.paths.map((path) => path.split("/").at(-1)!).find((name) =>
    name.endsWith(extension) && /^\w[\w.-]*\.\w+$/.test(name)
  )
  if (named !== undefined) return named
  const called = /\b(?:called|named|titled)\s+["'`]?([\w-]+)/i.exec(question.text)?.[1]
  const words = Words.split(contentOf(question) ?? "").filter((word) =>
    Words.isContent(word) && /^[a-z0-9]+$/.test(word)
  )
  const base = called ?? (words.slice(0, 4).join("-") || "note")
  return `${base.slice(0, 40)}${extension}`
}

const clamp = (field: Field, value: number | undefined): number | undefined =>
  value === undefined ? undefined : Math.min(Math.max(value, field.minimum ?? value), field.maximum ?? Infinity)
