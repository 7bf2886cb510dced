/**
 * Readers for the JSON of most tools: objects of texts, numbers, booleans, choices, and lists of these.
 *
 * The codec of a schema takes several operations for each key, and looks for texts that stand for numbers which JSON
 * does not have. A reader returns exactly what the codec would return. Every value that is not plain or does not fit is
 * left to the codec, which decodes it or reports what is wrong.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"

/**
 * Returned by a reader that has not read the value.
 *
 * @category constants
 * @since 0.1.0
 */
export const unread: unique symbol = Symbol("effect-agents/internal/unread")

/**
 * Reads one value.
 *
 * @category models
 * @since 0.1.0
 */
export type Reader = (value: unknown) => unknown

/**
 * Decodes or encodes plain JSON in one step, as deep as its schema. Everything else is left to the codec.
 *
 * @category constructors
 * @since 0.1.0
 */
export const readFirst = <E>(
  schema: Schema.Constraint,
  codec: (value: unknown) => Effect.Effect<unknown, E>
): (value: unknown) => Effect.Effect<unknown, E> => {
  const read = readerOf(schema.ast)
  if (read === undefined) return codec
  return (value) => {
    const plain = read(value)
    return plain === unread ? codec(value) : Exit.succeed(plain)
  }
}

/**
 * Creates the reader of a schema, or returns `undefined` if the schema has anything else in it. A reader goes no deeper
 * than its schema.
 *
 * @category constructors
 * @since 0.1.0
 */
export const readerOf = (ast: SchemaAST.AST): Reader | undefined => {
  if (ast.encoding !== undefined || ast.checks !== undefined) return undefined
  switch (ast._tag) {
    case "String":
      return (value) => typeof value === "string" ? value : unread
    case "Number":
      return (value) => typeof value === "number" && Number.isFinite(value) ? value : unread
    case "Boolean":
      return (value) => typeof value === "boolean" ? value : unread
    case "Literal":
      return typeof ast.literal === "string" ? choiceOf([ast.literal]) : undefined
    case "Objects":
      return objectOf(ast)
    case "Arrays":
      return arrayOf(ast)
    case "Union":
      return unionOf(ast)
    default:
      return undefined
  }
}

const choiceOf = (texts: ReadonlyArray<unknown>): Reader => (value) => texts.includes(value) ? value : unread

const objectOf = ({ encodingChecks, indexSignatures, propertySignatures }: SchemaAST.Objects): Reader | undefined => {
  // a schema without keys also accepts values that are not objects
  if (indexSignatures.length > 0 || encodingChecks !== undefined || propertySignatures.length === 0) return undefined
  const properties: Array<{ readonly name: string; readonly read: Reader; readonly isOptional: boolean }> = []
  for (const { name, type } of propertySignatures) {
    const read = readerOf(type)
    if (read === undefined || typeof name !== "string" || name === "__proto__") return undefined
    properties.push({ name, read, isOptional: SchemaAST.isOptional(type) })
  }
  return (value) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return unread
    const out: Record<string, unknown> = {}
    let others = 0
    for (const _ in value) others++
    for (const { isOptional, name, read } of properties) {
      const item = (value as Record<string, unknown>)[name]
      if (item === undefined && isOptional && !(name in value)) continue
      if ((out[name] = read(item)) === unread) return unread
      others--
    }
    // values under unknown keys may be nested too deeply
    return others === 0 ? out : unread
  }
}

const arrayOf = ({ elements, encodingChecks, rest }: SchemaAST.Arrays): Reader | undefined => {
  const read = elements.length > 0 || rest.length !== 1 || encodingChecks !== undefined ? undefined : readerOf(rest[0])
  if (read === undefined) return undefined
  return (value) => {
    if (!Array.isArray(value)) return unread
    const out: Array<unknown> = []
    for (let i = 0; i < value.length; i++) {
      if ((out[i] = read(value[i])) === unread) return unread
    }
    return out
  }
}

/**
 * A choice of texts, or a value that may be null. For other unions a reader cannot decide which member a value belongs
 * to.
 */
const unionOf = ({ encodingChecks, types }: SchemaAST.Union): Reader | undefined => {
  if (encodingChecks !== undefined || types.some(isSpecial)) return undefined
  const texts = types.flatMap((type) => type._tag === "Literal" && typeof type.literal === "string" ? type.literal : [])
  if (texts.length > 0 && texts.length === types.length) return choiceOf(texts)
  const [type, ...others] = types.filter(({ _tag }) => _tag !== "Null" && _tag !== "Undefined")
  const read = type === undefined || others.length > 0 ? undefined : readerOf(type)
  if (read === undefined) return undefined
  const isNullable = types.some(({ _tag }) => _tag === "Null")
  return (value) => value === null && isNullable ? null : read(value)
}

const isSpecial = ({ checks, encoding }: SchemaAST.AST): boolean => checks !== undefined || encoding !== undefined
