/**
 * A session as text, for stores that write it as a whole.
 *
 * The text is one JSON object on two lines. The first line has the list entry of the session, so that a list does not
 * have to read the history.
 *
 * @since 0.1.0
 */

import * as Prompt from "effect/ai/Prompt"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Session from "../../Session.ts"
import type * as SessionStore from "../../SessionStore.ts"
import { toStorable } from "./change.ts"
import { Updated } from "./listing.ts"
import * as Messages from "./messages.ts"
import * as Versions from "./versions.ts"

const First = {
  format: Schema.Literal("effect-agents/session/3"),
  id: Schema.String,
  version: Schema.Int,
  incarnation: Schema.optional(Schema.String),
  updated: Updated,
  title: Schema.optional(Schema.String),
  size: Schema.Int
}

const Rest = {
  versions: Schema.Array(Versions.Version),
  history: Schema.Array(Prompt.Message)
}

const FirstFromJson = Schema.fromJsonString(Schema.Struct(First))

const RestFromJson = Schema.fromJsonString(Schema.Struct(Rest))

const RecordFromJson = Schema.fromJsonString(Schema.Struct({ ...First, ...Rest }))

/** The same with messages that are not decoded yet. */
const UnreadFromJson = Schema.fromJsonString(
  Schema.Struct({ ...First, versions: Rest.versions, history: Schema.Array(Schema.Unknown) })
)

/** The format from before versions were kept. */
const OlderFromJson = Schema.fromJsonString(Schema.Struct({
  format: Schema.Literals(["effect-agents/session/1", "effect-agents/session/2"]),
  id: Schema.String,
  version: Schema.Int,
  incarnation: Schema.optional(Schema.String),
  state: Session.State,
  history: Schema.Array(Prompt.Message)
}))

const older = /^\{"format":"effect-agents\/session\/[12]"/

/**
 * Writes a session. Fails if JSON cannot hold it.
 *
 * @category conversions
 * @since 0.1.0
 */
export const encode = Effect.fnUntraced(function*(
  { session, updated, versions }: Versions.Kept
): Effect.fn.Return<string, Schema.SchemaError> {
  const { size, title } = Versions.toSummary({ session, updated, versions })
  const first = yield* Schema.encodeEffect(FirstFromJson)({
    format: "effect-agents/session/3",
    id: session.id,
    version: session.version,
    incarnation: session.incarnation,
    updated,
    title,
    size
  })
  const rest = yield* Schema.encodeEffect(RestFromJson)({
    versions,
    history: session.history.content.map(toStorable)
  })
  return `${first.slice(0, -1)},\n${rest.slice(1)}`
})

/**
 * Reads a session. `written` is the time of its last save if the record does not hold it.
 *
 * @category conversions
 * @since 0.1.0
 */
export const decode = Effect.fnUntraced(function*(
  text: string,
  written: number
): Effect.fn.Return<Versions.Kept, Schema.SchemaError> {
  if (older.test(text)) {
    const { format: _, history, incarnation, ...session } = yield* Schema.decodeEffect(OlderFromJson)(text)
    return Versions.fromSession({
      ...session,
      history: Prompt.fromMessages(history),
      ...(incarnation === undefined ? {} : { incarnation })
    }, written)
  }
  const { history, id, incarnation, updated, version, versions } = yield* decodeRecord(text)
  return {
    session: {
      id,
      history: Prompt.fromMessages(history),
      state: Versions.stateOf(versions),
      version,
      ...(incarnation === undefined ? {} : { incarnation })
    },
    versions,
    updated
  }
})

const decodeMessage = Schema.decodeUnknownEffect(Prompt.Message)

/** What is wrong with a record is said about the record as a whole. */
const decodeRecord = (text: string): Effect.Effect<typeof RecordFromJson.Type, Schema.SchemaError> =>
  Schema.decodeEffect(UnreadFromJson)(text).pipe(
    Effect.flatMap(({ history, ...record }) =>
      Effect.map(
        Effect.forEach(history, (value) => {
          const message = Messages.read(value)
          return message === undefined ? decodeMessage(value) : Effect.succeed(message)
        }),
        (history) => ({ ...record, history })
      )
    ),
    Effect.catch(() => Schema.decodeEffect(RecordFromJson)(text))
  )

/**
 * Reads the list entry of a session from the first line of its text, or from the whole text.
 *
 * @category conversions
 * @since 0.1.0
 */
export const decodeSummary = (
  text: string,
  written: number
): Effect.Effect<SessionStore.Summary, Schema.SchemaError> => {
  const end = text.indexOf(",\n")
  if (end === -1) return Effect.map(decode(text, written), Versions.toSummary)
  return Effect.map(
    Schema.decodeEffect(FirstFromJson)(`${text.slice(0, end)}}`),
    ({ id, size, title, updated, version }) => ({
      id,
      ...(title === undefined ? {} : { title }),
      updated: DateTime.makeUnsafe(updated),
      version,
      size
    })
  )
}
