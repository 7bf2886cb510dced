/**
 * The JSON codec of a schema. The same codec is used to offer the schema to a model, to decode the model's JSON, to
 * encode values, and to read them back.
 *
 * It is `Schema.toCodecJson` with three differences, which JSON from models and values from tools require. `null` for
 * an optional key that does not admit `null` counts as absent. `undefined` for an optional key is left out. A value of
 * unknown type is encoded as `JSON.stringify` would write it, or refused.
 *
 * @since 0.1.0
 */

import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as SchemaGetter from "effect/SchemaGetter"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"
import * as JsonValue from "./jsonValue.ts"

/**
 * Creates the JSON codec of a schema. Throws if the schema has no JSON form at all, such as an object with a symbol as
 * a key.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <A, I, RD, RE>(
  schema: Schema.ConstraintCodec<A, I, RD, RE>
): Schema.Codec<A, unknown, RD, RE> =>
  Schema.toCodecJson(Schema.make<Schema.Codec<A, unknown, RD, RE>>(rewrite(schema.ast)))

// The result depends only on the AST, and schemas share parts.
const rewritten = new WeakMap<SchemaAST.AST, SchemaAST.AST>()

const rewrite = (ast: SchemaAST.AST): SchemaAST.AST => {
  const known = rewritten.get(ast)
  if (known !== undefined) return known
  const out = ast.encoding === undefined ? rewriteType(ast) : rewriteEncoding(ast, ast.encoding)
  rewritten.set(ast, out)
  return out
}

const rewriteType = (ast: SchemaAST.AST): SchemaAST.AST => {
  switch (ast._tag) {
    case "Unknown":
    case "Any":
    case "ObjectKeyword":
      return fromAnyJson(ast)
    case "Declaration":
      return ast.typeParameters.length === 0 ? ast : copyDeclaration(ast, ast.typeParameters.map(rewrite))
    case "Objects":
      return copyObjects(ast, ast.propertySignatures.map(rewriteProperty))
    case "Arrays":
      return copyArrays(ast, ast.elements.map(rewrite), ast.rest.map(rewrite))
    case "Union":
      return copyUnion(ast, ast.types.map(rewrite))
    case "Suspend":
      return new SchemaAST.Suspend(() => rewrite(ast.thunk()), ast.annotations, ast.checks, undefined, ast.context)
    default:
      return ast
  }
}

/** A type with transformations has its JSON form at the end of them. */
const rewriteEncoding = (ast: SchemaAST.AST, encoding: SchemaAST.Encoding): SchemaAST.AST => {
  const last = encoding[encoding.length - 1]
  const to = rewrite(last.to)
  if (to === last.to) return ast
  const [first, ...rest] = [...encoding.slice(0, -1), new SchemaAST.Link(to, last.transformation)]
  const links: SchemaAST.Encoding = [first, ...rest]
  switch (ast._tag) {
    case "Declaration":
      return copyDeclaration(ast, ast.typeParameters, links)
    case "Objects":
      return copyObjects(ast, ast.propertySignatures, links)
    case "Arrays":
      return copyArrays(ast, ast.elements, ast.rest, links)
    case "Union":
      return copyUnion(ast, ast.types, links)
    default:
      // the other kinds are rarely objects, and are checked twice
      return SchemaAST.decodeTo(rewrite(SchemaAST.toEncoded(ast)), ast, SchemaTransformation.passthrough())
  }
}

// -----------------------------------------------------------------------------
// optional keys
// -----------------------------------------------------------------------------

const rewriteProperty = ({ name, type }: SchemaAST.PropertySignature): SchemaAST.PropertySignature => {
  const encoded = SchemaAST.toEncoded(type)
  return new SchemaAST.PropertySignature(
    name,
    SchemaAST.isOptional(encoded) ? rewriteOptional(type, encoded) : rewrite(type)
  )
}

const rewriteOptional = (type: SchemaAST.AST, encoded: SchemaAST.AST): SchemaAST.AST => {
  const members = withoutUndefined(encoded)
  if (!members.some(admitsNull)) {
    // the key and its JSON form are the same, so all of its issues are found at once
    return SchemaAST.decodeTo(anyKey, Schema.toCodecJson(Schema.make(rewrite(type))).ast, nullIsAbsent)
  }
  const isUndefinable = members.length !== 1 || members[0] !== encoded || isOpen(encoded)
  if (!isUndefinable) return rewrite(type)
  const from = members.length === 1 ? members[0] : new SchemaAST.Union(members)
  return SchemaAST.decodeTo(Schema.optionalKey(Schema.make(rewrite(from))).ast, type, undefinedIsAbsent)
}

const anyKey = Schema.optionalKey(Schema.Any).ast

const nullIsAbsent = SchemaTransformation.transformOptional<unknown, unknown>({
  decode: Option.filter(Predicate.isNotNull),
  // if the type does not admit null, only undefined is encoded as null
  encode: Option.filter(Predicate.isNotNull)
})

const undefinedIsAbsent = SchemaTransformation.transformOptional<unknown, unknown>({
  decode: (value) => value,
  encode: Option.filter(Predicate.isNotUndefined)
})

const withoutUndefined = (encoded: SchemaAST.AST): ReadonlyArray<SchemaAST.AST> => {
  switch (encoded._tag) {
    case "Undefined":
    case "Void":
      return []
    case "Union":
      return encoded.checks === undefined ? encoded.types.flatMap(withoutUndefined) : [encoded]
    default:
      return [encoded]
  }
}

const isOpen = ({ _tag }: SchemaAST.AST): boolean => _tag === "Unknown" || _tag === "Any"

const admitsNull = (encoded: SchemaAST.AST): boolean =>
  Schema.is(Schema.make(SchemaAST.toEncoded(Schema.toCodecJson(Schema.make(encoded)).ast)))(null)

// -----------------------------------------------------------------------------
// required keys
// -----------------------------------------------------------------------------

/**
 * Returns a schema of the same JSON in which every key is required. An optional key admits `null`, which the codec
 * treats as absent. Providers require this form for strict tools.
 *
 * @category constructors
 * @since 0.1.0
 */
export const toRequiredKeys = (schema: Schema.Constraint): Schema.Codec<unknown> =>
  Schema.make<Schema.Codec<unknown>>(requireKeys(SchemaAST.toEncoded(Schema.toCodecJson(schema).ast)))

const required = new WeakMap<SchemaAST.AST, SchemaAST.AST>()

const requireKeys = (ast: SchemaAST.AST): SchemaAST.AST => {
  const known = required.get(ast)
  if (known !== undefined) return known
  const out = requireKeysOf(ast)
  required.set(ast, out)
  return out
}

const requireKeysOf = (ast: SchemaAST.AST): SchemaAST.AST => {
  switch (ast._tag) {
    case "Objects":
      return copyObjects(
        ast,
        ast.propertySignatures.map(({ name, type }) => new SchemaAST.PropertySignature(name, requireKey(type))),
        undefined,
        requireKeys
      )
    case "Arrays":
      return copyArrays(ast, ast.elements.map(requireKeys), ast.rest.map(requireKeys))
    case "Union":
      return copyUnion(ast, ast.types.map(requireKeys))
    case "Suspend":
      return new SchemaAST.Suspend(() => requireKeys(ast.thunk()), ast.annotations, ast.checks, undefined, ast.context)
    default:
      return ast
  }
}

const requireKey = (type: SchemaAST.AST): SchemaAST.AST => {
  const own = requireKeys(type)
  if (!SchemaAST.isOptional(type)) return own
  const members = own._tag === "Union" && own.checks === undefined ? own.types : [own]
  // only a check of what exists already, because a recursive schema is not complete yet
  return new SchemaAST.Union(admitsNull(type) ? members : [...members, SchemaAST.null])
}

// -----------------------------------------------------------------------------
// values of unknown type
// -----------------------------------------------------------------------------

const fromAnyJson = (ast: SchemaAST.AST): SchemaAST.AST => {
  const json = SchemaAST.isOptional(ast) ? Schema.optionalKey(Schema.Json).ast : Schema.Json.ast
  return SchemaAST.decodeTo(json, ast, anyJson)
}

const anyJson = new SchemaTransformation.Transformation<unknown, unknown>(
  SchemaGetter.passthrough(),
  SchemaGetter.transformEffect((value) => {
    const json = JsonValue.toJson(value)
    return json._tag === "Success"
      ? Effect.succeed(json.success)
      : Effect.fail(new SchemaIssue.InvalidValue({ message: json.failure }))
  })
)

// -----------------------------------------------------------------------------
// copies
// -----------------------------------------------------------------------------

const copyDeclaration = (
  ast: SchemaAST.Declaration,
  typeParameters: ReadonlyArray<SchemaAST.AST>,
  encoding?: SchemaAST.Encoding
): SchemaAST.AST => {
  const { annotations, checks, context, encodingChecks, encodingRun, run } = ast
  return encoding === undefined && isSame(typeParameters, ast.typeParameters)
    ? ast
    : new SchemaAST.Declaration(
      typeParameters,
      run,
      annotations,
      checks,
      encoding,
      context,
      encodingChecks,
      encodingRun
    )
}

const copyObjects = (
  ast: SchemaAST.Objects,
  properties: ReadonlyArray<SchemaAST.PropertySignature>,
  encoding?: SchemaAST.Encoding,
  copy = rewrite
): SchemaAST.AST => {
  const { annotations, checks, context, encodingChecks, indexSignatures } = ast
  const indexes = encoding === undefined
    ? indexSignatures.map(({ parameter, type }) => new SchemaAST.IndexSignature(parameter, copy(type)))
    : indexSignatures
  return new SchemaAST.Objects(properties, indexes, annotations, checks, encoding, context, encodingChecks)
}

const copyArrays = (
  ast: SchemaAST.Arrays,
  elements: ReadonlyArray<SchemaAST.AST>,
  rest: ReadonlyArray<SchemaAST.AST>,
  encoding?: SchemaAST.Encoding
): SchemaAST.AST => {
  const { annotations, checks, context, encodingChecks, isMutable } = ast
  return encoding === undefined && isSame(elements, ast.elements) && isSame(rest, ast.rest)
    ? ast
    : new SchemaAST.Arrays(isMutable, elements, rest, annotations, checks, encoding, context, encodingChecks)
}

const copyUnion = (
  ast: SchemaAST.Union,
  types: ReadonlyArray<SchemaAST.AST>,
  encoding?: SchemaAST.Encoding
): SchemaAST.AST => {
  const { annotations, checks, context, encodingChecks, options } = ast
  return encoding === undefined && isSame(types, ast.types)
    ? ast
    : new SchemaAST.Union(types, options, annotations, checks, encoding, context, encodingChecks)
}

const isSame = <A>(self: ReadonlyArray<A>, that: ReadonlyArray<A>): boolean =>
  self.every((item, index) => item === that[index])
