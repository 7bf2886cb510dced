/**
 * The codec of the parts of a run. It is a table by `type`, not a union whose members are tried. Deltas are encoded and
 * decoded by hand.
 *
 * @since 0.1.0
 */

import type * as Tool from "effect/ai/Tool"
import type * as Toolkit from "effect/ai/Toolkit"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaParser from "effect/SchemaParser"
import type * as AgentOutput from "../../AgentOutput.ts"
import type * as AgentRun from "../../AgentRun.ts"
import * as NestedTools from "../tool/nested.ts"
import * as Fields from "../words/fields.ts"
import * as JsonCodec from "../words/jsonCodec.ts"
import * as Parts from "../words/responseParts.ts"
import * as Results from "../words/result.ts"
import * as Schemas from "./schemas.ts"
import type { PartEncoded } from "./schemas.ts"
import * as ToolResult from "./toolResult.ts"

export type { PartEncoded }

type Tools = Readonly<Record<string, Tool.Any>>

const none: Tools = {}

/**
 * The parts of the runs of one agent, with its tools and its output as far as they are known.
 *
 * @category models
 * @since 0.1.0
 */
export class PartCodec {
  private readonly tools: Tools | undefined
  private readonly output: Schemas.AnySchema | undefined
  private readonly own = new Map<string, Schemas.Codec>()
  private readonly nested = new Map<string, PartCodec>()
  /** By the tools and the value of each agent, so that a path through an agent that calls itself, however long, makes no more of them. */
  private readonly all: Map<Tools, Map<unknown, PartCodec>>

  /** `tools` is `undefined` if only a run knows the tools. */
  constructor(
    tools: Tools | undefined,
    output?: Schemas.AnySchema,
    all: Map<Tools, Map<unknown, PartCodec>> = new Map()
  ) {
    this.tools = tools
    this.output = output
    this.all = all
  }

  readonly encode = (part: AgentRun.Part): Schemas.Coded<PartEncoded> => {
    switch (part.type) {
      case "text-delta":
      case "reasoning-delta":
      case "tool-params-delta": {
        const { delta, id, metadata, type } = part
        return Predicate.isString(id) && Predicate.isString(delta) && Schemas.isEmpty(metadata)
          ? Effect.succeed({ type, id, delta })
          : this.codec(type).encode(part)
      }
      default:
        return this.codec(part.type).encode(part)
    }
  }

  readonly decode = (encoded: PartEncoded): Schemas.Coded<AgentRun.Part> => {
    const { type } = encoded
    switch (type) {
      case "text-delta":
      case "reasoning-delta":
      case "tool-params-delta": {
        const { delta, id, metadata } = encoded
        return Predicate.isString(id) && Predicate.isString(delta) && metadata === undefined
          ? Effect.succeed(deltas[type](id, delta))
          : this.codec(type).decode(encoded)
      }
      default:
        return this.codec(type).decode(encoded)
    }
  }

  /** Returns a tool of the agent, or of one that is nested in it, as far as it is known. */
  toolOf(path: ReadonlyArray<string>, name: string): Tool.Any | undefined {
    const { tools } = this.along(path)
    return tools !== undefined && Object.hasOwn(tools, name) ? tools[name] : undefined
  }

  private codec(type: string): Schemas.Codec {
    const known = this.own.get(type) ?? Schemas.find(type)
    if (known !== undefined) return known
    const made = this.make(type)
    if (made === undefined) return unknownType(type)
    // the table is by type
    this.own.set(type, made as Schemas.Codec)
    return made as Schemas.Codec
  }

  private make(type: string) {
    switch (type) {
      case "agent-part":
        return this.agentPart()
      case "run-end":
        return runEnd(this.output)
      case "tool-result":
        return this.toolResult()
      default:
        return undefined
    }
  }

  private toolResult(): Schemas.Codec<ToolResult.Part, ToolResult.Part> {
    const { decode, encode } = Schemas.make(ToolResult.Sent)
    return {
      encode: (part) => encode(ToolResult.toSent(part)),
      decode: (encoded) =>
        Effect.flatMap(decode(encoded), (sent) => {
          const { name } = sent
          if (this.tools === undefined) return Effect.fail(new SchemaIssue.InvalidValue({ message: onlyInRun }))
          return ToolResult.fromSent(sent, Object.hasOwn(this.tools, name) ? this.tools[name] : undefined)
        })
    }
  }

  /** By hand, because most of these parts are deltas. The schema only reports errors. */
  private agentPart(): Schemas.Codec<AgentRun.AgentPart, AgentRun.AgentPart> {
    const check = SchemaParser.decodeUnknownEffect(SentAgentPart)
    return {
      encode: (agentPart) => {
        const { parentRunId, part, path, runId, toolCallId, type } = agentPart
        return isAgentPart(agentPart)
          ? Effect.mapBothEager(this.along(path).encode(part), {
            onSuccess: (own): PartEncoded => ({ type, path, toolCallId, runId, parentRunId, part: own }),
            onFailure: inPart
          })
          : Effect.flatMap(check(agentPart), refuseUnchecked)
      },
      decode: (encoded) => {
        if (!isAgentPart(encoded)) return Effect.flatMap(check(encoded), refuseUnchecked)
        const { parentRunId, part, path, runId, toolCallId, type } = encoded
        return Effect.mapBothEager(this.along(path).decode(part), {
          onSuccess: (own): AgentRun.AgentPart => ({
            type,
            path,
            toolCallId,
            runId,
            parentRunId,
            // it is not a part of a run that is nested further
            part: own as AgentRun.AgentPart["part"]
          }),
          onFailure: inPart
        })
      }
    }
  }

  /** The parts of an agent that is called by tools, found by the names of the agents on the way to it. */
  private along(path: ReadonlyArray<string>): PartCodec {
    return path.reduce((codec: PartCodec, name) => codec.next(name), this)
  }

  private next(name: string): PartCodec {
    const known = this.nested.get(name)
    if (known !== undefined) return known
    const called = NestedTools.called(this.tools ?? {}, name)
    if (called === undefined) return untyped
    const { tools = none, value } = called
    const ofTools = this.all.get(tools) ?? new Map<unknown, PartCodec>()
    // what its schema needs is in the context of the run that is encoded or decoded
    const codec = ofTools.get(value) ?? new PartCodec(tools, value as Schemas.AnySchema | undefined, this.all)
    this.all.set(tools, ofTools.set(value, codec))
    this.nested.set(name, codec)
    return codec
  }
}

/**
 * The parts of any run.
 *
 * @category constructors
 * @since 0.1.0
 */
export const untyped = new PartCodec({})

const deltas = {
  "text-delta": Parts.textDelta,
  "reasoning-delta": Parts.reasoningDelta,
  "tool-params-delta": Parts.toolParamsDelta
}

const isPart = (u: unknown): u is AgentRun.Part => isEncoded(u)

const isEncoded = (u: unknown): u is PartEncoded => Predicate.hasProperty(u, "type") && Predicate.isString(u.type)

const inPart = (issue: SchemaIssue.Issue): SchemaIssue.Issue => new SchemaIssue.Pointer(["part"], issue)

const isAgentPart = (u: unknown): u is typeof SentAgentPart.Type =>
  Predicate.hasProperty(u, "part") && isEncoded(u.part) && u.part.type !== "agent-part" &&
  Predicate.hasProperty(u, "path") && Array.isArray(u.path) && u.path.length > 0 && u.path.every(Predicate.isString) &&
  Predicate.hasProperty(u, "toolCallId") && Predicate.isString(u.toolCallId) &&
  Predicate.hasProperty(u, "runId") && Predicate.isString(u.runId) &&
  Predicate.hasProperty(u, "parentRunId") && Predicate.isString(u.parentRunId)

/** The schema refuses whatever the guard has refused. */
const refuseUnchecked = () => Effect.fail(new SchemaIssue.InvalidValue({ message: "Expected a part of a nested run" }))

const onlyInRun = "The tools of this toolkit are known in a run only: give a `Toolkit`"

const unknownType = (type: string): Schemas.Codec => {
  const message = `Expected a part of a known type, got \`${type}\`: it may be one of a newer version`
  const refuse = () => Effect.fail(new SchemaIssue.InvalidValue({ message }))
  return { encode: refuse, decode: refuse }
}

const Encoded = Schema.declare(isEncoded, {
  expected: "a part of a run as JSON",
  toCodecJson: () => undefined
})

const Decoded = Schema.declare(isPart, { expected: "a part of a run" })

const SentAgentPart = Schema.Struct({
  type: Schema.tag("agent-part"),
  path: Schema.NonEmptyArray(Schema.String),
  toolCallId: Schema.String,
  runId: Schema.String,
  parentRunId: Schema.String,
  part: Encoded.check(Schema.makeFilter(({ type }) => type !== "agent-part", { expected: "a part of one run" }))
})

/**
 * Creates the schema of a result whose value has this schema.
 *
 * @category schemas
 * @since 0.1.0
 */
export const resultWith = (output: Schemas.AnySchema | undefined) =>
  Schema.Struct({
    ...Results.Result.fields,
    value: output === undefined ? Fields.AnyAnswer : Fields.undefinable(JsonCodec.make(output))
  })

const runEnd = (output: Schemas.AnySchema | undefined): Schemas.Codec<AgentRun.RunEnd, AgentRun.RunEnd> => {
  const result = resultWith(output)
  // a result without a value still has the key
  return Schemas.make(Schema.Struct({ type: Schema.tag("run-end"), result })) as Schemas.Codec<
    AgentRun.RunEnd,
    AgentRun.RunEnd
  >
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/**
 * How the value of an agent is described.
 *
 * @category models
 * @since 0.1.0
 */
export type Output<A, I, RD, RE> = AgentOutput.AgentOutput<A, I, RD> | Schema.Codec<A, I, RD, RE>

/**
 * Returns the schema of a value. The schema of an output that is wrapped is the schema of its one field.
 *
 * @category accessors
 * @since 0.1.0
 */
export const schemaOf = (output: Output<unknown, unknown, unknown, unknown>): Schemas.AnySchema =>
  Schema.isSchema(output)
    ? output
    : output.isWrapped
    ? (output.schema as unknown as Schema.Struct<{ readonly value: Schemas.AnySchema }>).fields.value
    : output.schema

const toolsOf = (toolkit: object): Tools | undefined =>
  Predicate.hasProperty(toolkit, "tools") ? toolkit.tools as Tools : NestedTools.of(toolkit)

/** Results of unknown tools are not decoded. */
type Services<Tools extends Record<string, Tool.Any>> = string extends keyof Tools ? never
  : Tool.ResultDecodingServices<Tools[keyof Tools]>

/**
 * Creates the codec of the parts of a run.
 *
 * @category constructors
 * @since 0.1.0
 */
export const parts = <
  Tools extends Record<string, Tool.Any> = any,
  A = unknown,
  I = unknown,
  RD = never,
  RE = never
>(
  toolkit?: Effect.Effect<Toolkit.WithHandler<Tools>, any, any> | Toolkit.WithHandler<Tools> | undefined,
  options?: { readonly output?: Output<A, I, RD, RE> | undefined }
): Schema.Codec<
  AgentRun.Part<Tools, A, AgentOutput.DeepPartial<I>>,
  PartEncoded,
  Services<Tools> | RD,
  RE
> => {
  const { output } = options ?? {}
  const codec = toolkit === undefined && output === undefined
    ? untyped
    : new PartCodec(
      toolkit === undefined ? {} : toolsOf(toolkit),
      output === undefined ? undefined : schemaOf(output as Output<unknown, unknown, unknown, unknown>)
    )
  const schema: Schema.Codec<AgentRun.Part, PartEncoded, unknown, unknown> = Encoded.pipe(Schema.decodeTo(Decoded, {
    decode: SchemaGetter.transformEffect(codec.decode),
    encode: SchemaGetter.transformEffect(codec.encode)
  }))
  // the services are those of the tools and of the output
  return schema as unknown as ReturnType<typeof parts<Tools, A, I, RD, RE>>
}
