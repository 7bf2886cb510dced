/**
 * The schemas of the values of orchestrations, made from those of their members.
 *
 * @since 0.1.0
 */

import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import * as Message from "../../internal/words/message.ts"
import * as Member from "./members.ts"
import type { AnyMember, Members } from "./models.ts"

type Of = (agent: AnyMember) => Schema.Constraint

/**
 * Creates the schema of the values of all members, as a list or a record like them.
 *
 * @category schemas
 * @since 0.1.0
 */
export const all = (members: Members, of: Of): Schema.Constraint => {
  const schemas = Member.each(members, (_, agent) => of(agent))
  return Member.isList(schemas) ? Schema.Tuple(schemas) : Schema.Struct(schemas)
}

/**
 * Creates the schema of the value of one of the members. It keeps which schema a value has, because two may look alike
 * in JSON.
 *
 * @category schemas
 * @since 0.1.0
 */
export const oneOf = (agents: Iterable<AnyMember>, of: Of): Schema.Constraint => {
  const schemas = [...new Set(Array.from(agents, of))] as Array<Schema.Codec<unknown>>
  if (schemas.length === 1) return schemas[0]!
  const types = schemas.map((schema) => Schema.is(Schema.toType(schema)))
  const written = Schema.Union(schemas.map((value, of) => Schema.Struct({ of: Schema.Literal(of), value })))
  return written.pipe(Schema.decodeTo(
    Schema.Union(schemas.map((schema) => Schema.toType(schema))),
    SchemaTransformation.transform({
      decode: ({ value }) => value,
      encode: (value) => ({ of: types.findIndex((is) => is(value)), value })
    })
  ))
}

/**
 * Creates the schema of the `Exit` of a member. A failure is kept as its message.
 *
 * @category schemas
 * @since 0.1.0
 */
export const exit = (schema: Schema.Constraint): Schema.Constraint => {
  const value = schema as Schema.Codec<unknown>
  const written = Schema.Union([
    Schema.TaggedStruct("Success", { value }),
    Schema.TaggedStruct("Failure", { message: Schema.String })
  ])
  return written.pipe(Schema.decodeTo(
    Schema.declare(Exit.isExit),
    SchemaTransformation.transform({
      decode: (exit): Exit.Exit<unknown, unknown> =>
        exit._tag === "Success" ? Exit.succeed(exit.value) : Exit.die(new Error(exit.message)),
      encode: (exit) =>
        Exit.isSuccess(exit)
          ? { _tag: "Success" as const, value: exit.value }
          : { _tag: "Failure" as const, message: Message.of(Cause.squash(exit.cause), "The member failed") }
    })
  ))
}
