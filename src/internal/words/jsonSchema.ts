/**
 * JSON schemas with a root that providers accept: an object with `properties`, without `$ref`, `anyOf`, `oneOf`, `not`
 * or a list of types.
 *
 * @since 0.1.0
 */
import type * as JsonSchema from "effect/JsonSchema"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"

type Schema = JsonSchema.JsonSchema

/**
 * Returns a schema with an object as its root that admits only what the original admits, or the reason why there is
 * none. Objects that differ only in their keys have no such root.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toObjectRoot = (schema: Schema): Result.Result<Schema, string> =>
  Result.map(objectOf(schema, schema, 0), (root) => writeEmptyObjects(withDefinitions(withProperties(root), schema)))

/**
 * Returns a foreign schema with an object as its root. Rules of the root beyond its properties, which nothing here
 * could check, are added to the description instead.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toForeignObjectRoot = (schema: Schema): Result.Result<Schema, string> => {
  const isObject = schema.type === "object" || (schema.type === undefined && Predicate.isObject(schema.properties))
  if (!isObject) return toObjectRoot(schema)
  const { $defs, definitions, description, ...rest } = schema
  const told = Object.entries(rest).filter(([key]) => combinators.has(key))
  if (told.length === 0) {
    return Result.succeed(schema.type === "object" ? withProperties(schema) : { type: "object", ...schema })
  }
  const kept = Object.entries(rest).filter(([key]) => !combinators.has(key))
  const rule = `The arguments also have to match the JSON schema ${JSON.stringify(Object.fromEntries(told))}`
  return Result.succeed({
    ...withProperties({ type: "object", ...Object.fromEntries(kept) }),
    description: typeof description === "string" ? `${description}\n${rule}` : rule,
    ...($defs === undefined ? undefined : { $defs }),
    ...(definitions === undefined ? undefined : { definitions })
  })
}

const combinators: ReadonlySet<string> = new Set(["$ref", "anyOf", "oneOf", "allOf", "not", "enum", "const"])

/**
 * Returns whether the root of a schema is already an object, or only a reference to one.
 *
 * @category guards
 * @since 0.1.0
 */
export const isObjectRoot = (schema: Schema): boolean => {
  const root = resolve(schema, schema, 0)
  return root !== undefined && (root.type === "object" || isEmptyObject(root))
}

/** The schema that effect writes for a struct without fields. */
const isEmptyObject = ({ not }: Schema): boolean => Predicate.isObject(not) && "type" in not && not.type === "null"

const emptyObject = ({ not: _, ...rest }: Schema): Schema => ({
  type: "object",
  properties: {},
  additionalProperties: false,
  ...rest
})

const writeEmptyObjects = (schema: Schema): Schema => {
  const out = isEmptyObject(schema) ? emptyObject(schema) : schema
  const entries = Object.entries(out).map(([key, value]) =>
    [key, values.has(key) ? value : writeNested(value)] as const
  )
  return entries.every(([key, value]) => value === out[key]) ? out : Object.fromEntries(entries)
}

const writeNested = (value: unknown): unknown => {
  if (isSchema(value)) return writeEmptyObjects(value)
  if (!Array.isArray(value)) return value
  const items = value.map(writeNested)
  return items.every((item, index) => item === value[index]) ? value : items
}

/** Keywords whose values are not schemas. */
const values: ReadonlySet<string> = new Set(["enum", "const", "default", "examples", "required"])

const objectOf = (schema: Schema, document: Schema, depth: number): Result.Result<Schema, string> => {
  const root = resolve(schema, document, depth)
  if (root === undefined) return Result.fail("their schema refers to nothing")
  if (isEmptyObject(root)) return Result.succeed(emptyObject(root))
  if (root.type === "object") return Result.succeed(root)
  const { $defs: _, anyOf, definitions: __, oneOf, type, ...rest } = root
  if (Array.isArray(type) && type.includes("object")) return Result.succeed({ type: "object", ...rest })
  const members = Array.isArray(anyOf) ? anyOf : oneOf
  if (Array.isArray(members)) {
    if (depth > maximumNesting) return Result.fail("their schema refers to itself")
    const objects = members.filter(isSchema).map((member) => objectOf(member, document, depth + 1))
      .filter(Result.isSuccess)
    // members that are left out of a union are never sent
    if (objects.length === 1) return Result.succeed({ ...objects[0].success, ...rest })
    return Result.fail(
      objects.length === 0
        ? "they are no object"
        : "they are one of several objects; put the union under a key of one object"
    )
  }
  if (type !== undefined) return Result.fail(`they are of type \`${String(type)}\`, not an object`)
  return Object.keys(rest).every((key) => annotations.has(key))
    ? Result.succeed({ type: "object", ...rest })
    : Result.fail("they are no object")
}

const maximumNesting = 32

const annotations: ReadonlySet<string> = new Set(["$schema", "$id", "title", "description", "examples", "default"])

/** Follows references at the root. Keywords beside a reference hold too. */
const resolve = (schema: Schema, document: Schema, depth: number): Schema | undefined => {
  let root = schema
  for (let i = depth; i <= maximumNesting; i++) {
    const { $ref, allOf, ...rest } = root
    if (typeof $ref === "string") {
      const found = lookUp($ref, document)
      if (found === undefined) return undefined
      root = { ...found, ...rest, ...(allOf === undefined ? undefined : { allOf }) }
    } else if (root.type === undefined && Array.isArray(allOf) && allOf.length === 1 && isSchema(allOf[0])) {
      root = { ...allOf[0], ...rest }
    } else return root
  }
  return undefined
}

const lookUp = ($ref: string, document: Schema): Schema | undefined => {
  if (!$ref.startsWith("#/")) return undefined
  let found: unknown = document
  for (const key of $ref.slice(2).split("/")) {
    const name = key.replaceAll("~1", "/").replaceAll("~0", "~")
    found = Predicate.isObject(found) && Object.hasOwn(found, name) ? found[name as keyof typeof found] : undefined
  }
  return isSchema(found) ? found : undefined
}

const isSchema = (u: unknown): u is Schema => Predicate.isObject(u) && !Array.isArray(u)

const withProperties = (root: Schema): Schema => {
  if (isSchema(root.properties)) return root
  const { type, ...rest } = root
  return { type, properties: {}, ...rest }
}

/** Adds the definitions that are still in use. */
const withDefinitions = (root: Schema, document: Schema): Schema => {
  const { $defs, definitions, ...rest } = root
  const kept = reachable(rest, document)
  return {
    ...rest,
    ...only("$defs", document.$defs ?? $defs, kept),
    ...only("definitions", document.definitions ?? definitions, kept)
  }
}

const only = (key: string, definitions: unknown, kept: ReadonlySet<string>): Schema | undefined => {
  if (!isSchema(definitions)) return undefined
  const entries = Object.entries(definitions).filter(([name]) => kept.has(`#/${key}/${escape(name)}`))
  return entries.length === 0 ? undefined : { [key]: Object.fromEntries(entries) }
}

const escape = (name: string): string => name.replaceAll("~", "~0").replaceAll("/", "~1")

const reachable = (root: unknown, document: Schema): ReadonlySet<string> => {
  const found = new Set<string>()
  const queue: Array<unknown> = [root]
  while (queue.length > 0) {
    const next = queue.pop()
    if (Array.isArray(next)) {
      for (const item of next) queue.push(item)
    } else if (isSchema(next)) {
      const { $ref } = next
      if (typeof $ref === "string" && !found.has($ref)) {
        found.add($ref)
        queue.push(lookUp($ref, document))
      }
      for (const key of Object.keys(next)) queue.push(next[key])
    }
  }
  return found
}
