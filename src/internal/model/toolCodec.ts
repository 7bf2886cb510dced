/**
 * Tools in the form that models are offered, and their codecs. The offered schema, the decoding of calls, and the
 * encoding of results and returned failures are all defined here.
 *
 * @since 0.1.0
 */

import * as AiError from "effect/ai/AiError"
import * as OpenAi from "effect/ai/OpenAiStructuredOutput"
import * as Tool from "effect/ai/Tool"
import type * as Toolkit from "effect/ai/Toolkit"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import type * as JsonSchema from "effect/JsonSchema"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Json from "../words/json.ts"
import * as JsonCodec from "../words/jsonCodec.ts"
import * as ObjectRoot from "../words/jsonSchema.ts"
import * as PlainJson from "../words/plainJson.ts"
import * as TellableError from "../words/tellableError.ts"
import * as Text from "../words/text.ts"

/**
 * How one tool is offered and called.
 *
 * - `tool`: the tool itself.
 * - `jsonSchema`: the JSON schema of its parameters, with an object as its root.
 * - `offered`: the tool that a model gets. Its parameters are the JSON that the model writes.
 * - `refusal`: why it cannot be offered.
 *
 * @category models
 * @since 0.1.0
 */
export interface ToolCodec extends Offer {
  readonly tool: Tool.Any
  readonly decodeParams: Coder
  readonly encodeSuccess: Coder
  readonly encodeFailure: Coder
}

type Coder = (value: unknown) => Effect.Effect<unknown, Schema.SchemaError>

interface Offer {
  readonly jsonSchema: JsonSchema.JsonSchema
  readonly offered: Tool.Any
  readonly refusal: string | undefined
  readonly isEarly?: boolean | undefined
}

// Schemas are compiled once for a tool; their services come from the fiber that decodes.
const codecs = new WeakMap<Tool.Any, ToolCodec>()

/**
 * Returns the codec of a tool. It is created once.
 *
 * @category accessors
 * @since 0.1.0
 */
export const of = (tool: Tool.Any): ToolCodec => {
  const known = codecs.get(tool)
  if (known !== undefined) return known
  const made = Result.try(() => make(tool))
  // the schema may refer to a value that the program has not defined yet
  if (Result.isFailure(made)) return without(tool, made.failure)
  const codec = made.success
  codecs.set(tool, codec)
  // adapters ask with the tool that they were given
  if (codec.offered !== tool) codecs.set(codec.offered, codec)
  return codec
}

const make = (tool: Tool.Any): ToolCodec => {
  const { failureMode, parametersSchema, successSchema } = tool
  const { codec, ...offer } = offerOf(tool)
  // with failure mode "error" a failure is the run's, and needs no JSON form
  const failureSchema = failureMode === "return" ? Tool.failureResultSchema(tool) : Failure
  const encodeFailure = encoderOf(failureSchema)
  return {
    ...offer,
    tool,
    decodeParams: Schema.isSchema(parametersSchema)
      ? paramsOf(parametersSchema, codec)
      : Json.bounded(Effect.succeed),
    encodeSuccess: PlainJson.readFirst(successSchema, encoderOf(successSchema)),
    encodeFailure: readable((error) => encodeFailure(AiError.isAiError(error) ? TellableError.of(error) : error))
  }
}

/** A failure that throws when it is read becomes a failure without a message. */
const readable = (encode: Coder): Coder => {
  const orUnspoken = (cause: Cause.Cause<Schema.SchemaError>) =>
    Cause.hasDies(cause) ? encode(new Error("The tool failed")) : Effect.failCause(cause)
  return (error) => {
    const encoded = Result.try(() => encode(error))
    return Effect.catchCause(Result.isSuccess(encoded) ? encoded.success : Effect.die(encoded.failure), orUnspoken)
  }
}

/**
 * How results of one tool are read back that were encoded with its codec.
 *
 * @category models
 * @since 0.1.0
 */
export interface ResultReader {
  readonly decodeSuccess: Coder
  readonly decodeFailure: Coder
}

const readers = new WeakMap<Tool.Any, ResultReader>()

/**
 * Returns the reader for the results of a tool. It is created once.
 *
 * @category accessors
 * @since 0.1.0
 */
export const readerOf = (tool: Tool.Any): ResultReader => {
  const known = readers.get(tool)
  if (known !== undefined) return known
  const reader = {
    decodeSuccess: Json.bounded(tellingAll(JsonCodec.make(tool.successSchema))),
    // a call that was not run has a failure, even in failure mode "error"
    decodeFailure: Json.bounded(tellingAll(JsonCodec.make(Tool.failureResultSchema(tool))))
  }
  readers.set(tool, reader)
  return reader
}

const Failure = Schema.Union([AiError.AiError, Tool.ExecutionFailure])

const messageOf = (error: unknown): string => Predicate.isError(error) ? error.message : String(error)

const without = (tool: Tool.Any, error: unknown): ToolCodec => {
  const refuse = () => Effect.die(error)
  return {
    tool,
    jsonSchema: {},
    offered: tool,
    refusal: `its schemas have no JSON form: ${messageOf(error)}`,
    isEarly: error instanceof ReferenceError,
    decodeParams: refuse,
    encodeSuccess: refuse,
    encodeFailure: refuse
  }
}

const encoderOf = (schema: Schema.Top): Coder => {
  const encode = Schema.encodeUnknownEffect(JsonCodec.make(schema)) as Coder
  return (value) => {
    const encoded = encode(value)
    return Exit.isExit(encoded) && Exit.isSuccess(encoded)
      ? bounded(encoded.value)
      : Effect.flatMap(encoded, bounded)
  }
}

const bounded = Json.bounded<unknown, never>(Effect.succeed)

const paramsOf = (schema: Schema.Top, strict: Schema.Constraint | undefined): Coder => {
  const decode = Json.bounded(decoderOf(schema, strict))
  // the strict form of the same parameters may look like the plain form, and mean something else
  return strict === undefined ? PlainJson.readFirst(schema, decode) : decode
}

/**
 * A model that was shown the strict form may use the plain form, because another provider may not know strict tools.
 */
const decoderOf = (schema: Schema.Top, strict: Schema.Constraint | undefined): Coder => {
  const decode = tellingAll(JsonCodec.make(schema))
  if (strict === undefined) return decode
  const toPlain = tellingAll(strict as Schema.Top)
  return (params) =>
    Effect.matchEffect(toPlain(params), {
      onSuccess: decode,
      onFailure: (error) => Effect.mapError(decode(params), () => error)
    })
}

/**
 * A decoder whose failure has all issues. It looks for all of them only after a first one, because that takes three
 * times as long.
 */
const tellingAll = (schema: Schema.Top): Coder => {
  const decode = Schema.decodeUnknownEffect(schema) as Coder
  const findIssues = Schema.decodeUnknownEffect(schema, { errors: "all" }) as Coder
  return (value) => {
    const decoded = decode(value)
    return Exit.isExit(decoded) && Exit.isSuccess(decoded)
      ? decoded
      : Effect.matchEffect(decoded, { onSuccess: Exit.succeed, onFailure: () => findIssues(value) })
  }
}

/**
 * Decodes the parameters of a call before it is run. Absent parameters are decoded as well.
 *
 * @category conversions
 * @since 0.1.0
 */
export const decodeParams = (tool: Tool.Any, params: unknown): Effect.Effect<unknown, Schema.SchemaError> => {
  const { decodeParams } = of(tool)
  if (params !== null) return decodeParams(params ?? {})
  // the JSON schema itself is not checked here; it describes an object
  if (Tool.isDynamic(tool) && tool.jsonSchema !== undefined) return decodeParams({})
  // a schema that admits null means null, any other one means an object without keys
  return Effect.matchEffect(decodeParams(null), { onSuccess: Exit.succeed, onFailure: () => decodeParams({}) })
}

// -----------------------------------------------------------------------------
// offering
// -----------------------------------------------------------------------------

/** Includes the codec from the form of a strict tool, which differs for tuples, records and optional keys, to JSON. */
const offerOf = (tool: Tool.Any): Offer & { readonly codec?: Schema.Constraint } => {
  if (Tool.isProviderDefined(tool)) return { jsonSchema: {}, offered: tool, refusal: undefined }
  if (Tool.isDynamic(tool) && tool.jsonSchema !== undefined) {
    const root = ObjectRoot.toForeignObjectRoot(tool.jsonSchema)
    if (Result.isFailure(root)) return refused(tool, root.failure)
    const jsonSchema = Text.wellFormedValue(root.success)
    return { jsonSchema, offered: withJsonSchema(tool, tool.parametersSchema, jsonSchema), refusal: undefined }
  }
  const { parametersSchema } = tool
  return Tool.getStrictMode(tool) === true ? offerStrict(tool) : offerPlain(tool, parametersSchema)
}

const offerPlain = (tool: Tool.Any, schema: Schema.Top): Offer => {
  const root = ObjectRoot.toObjectRoot(Tool.getJsonSchemaFromSchema(schema))
  if (Result.isFailure(root)) return refused(tool, root.failure)
  const jsonSchema = Text.wellFormedValue(root.success)
  const encoded = isEmptyStruct(schema) ? Tool.EmptyParams : Schema.toEncoded(Schema.toCodecJson(schema))
  return { jsonSchema, offered: withParameters(tool, encoded, jsonSchema), refusal: undefined }
}

const offerStrict = (tool: Tool.Any): Offer & { readonly codec?: Schema.Constraint } => {
  const { parametersSchema } = tool
  const made = Result.try(() =>
    OpenAi.toCodecOpenAI(
      isEmptyStruct(parametersSchema) ? Tool.EmptyParams : JsonCodec.toRequiredKeys(parametersSchema)
    )
  )
  if (Result.isFailure(made)) {
    return refused(tool, `they cannot be written as a strict schema: ${messageOf(made.failure)}`)
  }
  const { codec } = made.success
  const jsonSchema = Text.wellFormedValue(made.success.jsonSchema)
  const offered = withParameters(tool, Schema.toEncoded(Schema.make<Schema.Top>(codec.ast)), jsonSchema)
  return { jsonSchema, offered, refusal: undefined, codec }
}

const refused = (tool: Tool.Any, reason: string): Offer => ({
  jsonSchema: {},
  offered: tool,
  refusal: `its parameters have to be an object; ${reason}`
})

const isEmptyStruct = ({ ast }: Schema.Top): boolean =>
  ast._tag === "Objects" && ast.propertySignatures.length === 0 && ast.indexSignatures.length === 0

/**
 * The tool whose parameters are the JSON that a model writes. A model of effect may decode with it, and then gives the
 * run what the codec here decodes.
 */
const withParameters = (tool: Tool.Any, encoded: Schema.Top, jsonSchema: JsonSchema.JsonSchema): Tool.Any => {
  const own: Tool.Any = encoded.ast === tool.parametersSchema.ast ? tool : tool.setParameters(encoded)
  return Equal.equals(Tool.getJsonSchema(own), jsonSchema) ? own : withJsonSchema(tool, encoded, jsonSchema)
}

/** Only a dynamic tool can have a JSON schema of its own, and its constructor takes either that or a schema. */
const withJsonSchema = (tool: Tool.Any, parametersSchema: Schema.Top, jsonSchema: JsonSchema.JsonSchema): Tool.Any =>
  Tool.isDynamic(tool) && tool.jsonSchema === jsonSchema
    ? tool
    : Object.assign(Tool.dynamic(tool.name, { parameters: jsonSchema }), tool, { parametersSchema, jsonSchema })

const toolkits = new WeakMap<WithHandler, WithHandler>()

type WithHandler = Toolkit.WithHandler<Record<string, Tool.Any>>

/**
 * Returns the toolkit in the form that a model is offered. The same toolkit gives the same object, so that a model can
 * cache by identity.
 *
 * @category accessors
 * @since 0.1.0
 */
export const offer = (toolkit: WithHandler): WithHandler => {
  const known = toolkits.get(toolkit)
  if (known !== undefined) return known
  const entries = Object.entries(toolkit.tools)
  const tools = entries.map(([name, tool]) => [name, of(tool).offered] as const)
  const offered = tools.every(([, tool], index) => tool === entries[index][1])
    ? toolkit
    : { ...toolkit, tools: Object.fromEntries(tools) }
  toolkits.set(toolkit, offered)
  return offered
}

/**
 * A tool that cannot be offered, and the reason. An early refusal is caused by a value that the program has not defined
 * yet.
 *
 * @category models
 * @since 0.1.0
 */
export interface Refusal {
  readonly tool: string
  readonly description: string
  readonly isEarly: boolean
}

/**
 * Finds a tool that cannot be offered.
 *
 * @category guards
 * @since 0.1.0
 */
export const findRefusal = (tools: Iterable<Tool.Any>): Refusal | undefined => {
  for (const tool of tools) {
    const { isEarly = false, refusal } = of(tool)
    if (refusal !== undefined) return { tool: tool.name, description: refusal, isEarly }
  }
  return undefined
}

/**
 * Returns whether a call without arguments is valid for this tool.
 *
 * @category guards
 * @since 0.1.0
 */
export const takesNothing = (tool: Tool.Any): boolean => {
  const decoded = of(tool).decodeParams({})
  return Exit.isExit(decoded) && Exit.isSuccess(decoded)
}
