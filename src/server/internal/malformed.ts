/**
 * Requests that their schema refuses, in the words of the API.
 *
 * @since 0.1.0
 */

import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Text from "../../internal/words/text.ts"

const formatIssues = SchemaIssue.makeFormatterStandardSchemaV1()

/** How much is said about a request. */
const [mostIssues, longest] = [3, 300]

/**
 * Returns what is wrong with a request: the first fields that are wrong, and what they should be. It has nothing that the
 * client has not sent.
 *
 * @category conversions
 * @since 0.1.0
 */
export const messageOf = (issue: SchemaIssue.Issue): string => {
  const all = formatIssues(issue).issues
  const told = all.slice(0, mostIssues).map(({ message, path = [] }) => {
    const place = path.map((segment) => String(typeof segment === "object" ? segment.key : segment)).join(".")
    return Text.wellFormed(Text.shorten(place === "" ? message : `${place}: ${message}`, longest))
  })
  return `The request is not valid. ${[...told, ...all.length > mostIssues ? ["..."] : []].join("; ")}`
}

/**
 * What a request is decoded to that its schema refuses.
 *
 * @category models
 * @since 0.1.0
 */
export class Malformed {
  readonly message: string

  constructor(message: string) {
    this.message = message
  }
}

/**
 * Returns the schema of a request that is decoded whatever it is, for a wire that sends what is wrong with a request as a
 * defect. A request that the schema refuses is a `Malformed` for its handler.
 *
 * @category combinators
 * @since 0.1.0
 */
export const lenient = <S extends Schema.Top>(schema: S): S => {
  // the requests of this subpath need no services
  const codec = Schema.toCodecJson(schema as unknown as Schema.Codec<S["Type"], S["Encoded"]>)
  const decode = Schema.decodeUnknownEffect(codec)
  const encode = Schema.encodeUnknownEffect(codec)
  // also what is no JSON: a request may have no payload
  const any = Schema.Any.pipe(Schema.decodeTo(Schema.Unknown, {
    decode: SchemaGetter.transformEffect((input) =>
      Effect.matchEager(decode(input), {
        onFailure: ({ issue }): unknown => new Malformed(messageOf(issue)),
        onSuccess: (request) => request
      })
    ),
    encode: SchemaGetter.transformEffect((value) => Effect.mapError(encode(value), ({ issue }) => issue))
  }))
  // the handler looks whether it is a request
  return any as unknown as S
}
