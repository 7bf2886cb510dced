/**
 * An embedding model that records and replays.
 *
 * @since 0.1.0
 */

import type * as AiError from "effect/ai/AiError"
import * as EmbeddingModel from "effect/ai/EmbeddingModel"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as RequestResolver from "effect/RequestResolver"
import * as Schema from "effect/Schema"
import * as TellableError from "../../internal/words/tellableError.ts"
import * as Once from "./once.ts"
import type * as Opened from "./opened.ts"
import type * as Tape from "./tape.ts"

const Vector = Schema.Struct({ vector: Schema.Array(Schema.Finite) })
const Vectors = Schema.Array(Vector)
const Used = Schema.Struct({ inputTokens: Schema.optionalKey(Schema.Finite) })

const failed = (error: AiError.AiError) =>
  Effect.succeed({ parts: [], end: { end: "failed" as const, error: TellableError.of(error) } })

const one: Once.Answer<EmbeddingModel.EmbedResponse, AiError.AiError> = {
  encode: ({ vector }) => Effect.succeed([{ vector }]),
  decode: ([part]) =>
    Effect.map(
      Schema.decodeUnknownEffect(Vector)(part),
      (fields) => Exit.succeed(new EmbeddingModel.EmbedResponse(fields))
    ),
  failed
}

const many: Once.Answer<EmbeddingModel.EmbedManyResponse, AiError.AiError> = {
  encode: ({ embeddings, usage: { inputTokens } }) =>
    Effect.succeed([
      ...embeddings.map(({ vector }) => ({ vector })),
      inputTokens === undefined ? {} : { inputTokens }
    ]),
  decode: (parts) =>
    Effect.gen(function*() {
      const vectors = yield* Schema.decodeUnknownEffect(Vectors)(parts.slice(0, -1))
      const { inputTokens } = yield* Schema.decodeUnknownEffect(Used)(parts[parts.length - 1])
      return Exit.succeed(
        new EmbeddingModel.EmbedManyResponse({
          embeddings: vectors.map((fields) => new EmbeddingModel.EmbedResponse(fields)),
          usage: new EmbeddingModel.EmbeddingUsage({ inputTokens })
        })
      )
    }),
  failed
}

/**
 * Creates an embedding model around another one. Inputs that are embedded one by one are recorded one by one, also if
 * the model is asked for several of them at once: how they come together depends on the moment.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  opened: Opened.Opened<Tape.EmbeddingRequest>,
  live: EmbeddingModel.EmbeddingModel | undefined
): EmbeddingModel.EmbeddingModel => {
  // a request that is not recorded fails before a model is asked
  const ask = <A>(f: (model: EmbeddingModel.EmbeddingModel) => Effect.Effect<A, AiError.AiError>) =>
    live === undefined ? Effect.die("A cassette without a model asked it") : f(live)

  const resolver = RequestResolver.make<EmbeddingModel.EmbeddingRequest>((entries) =>
    Effect.forEach(entries, (entry) => {
      const { input } = entry.request
      const embedded = Once.answer(
        opened,
        { method: "embed", inputs: [input] },
        ask((model) => model.embed(input)),
        one
      )
      return Effect.map(Effect.exit(embedded), (exit) => entry.completeUnsafe(exit))
    }, { concurrency: "unbounded", discard: true })
  )

  return EmbeddingModel.EmbeddingModel.of({
    [EmbeddingModel.TypeId]: EmbeddingModel.TypeId,
    resolver,
    embed: (input) =>
      Effect.withSpan(Effect.request(new EmbeddingModel.EmbeddingRequest({ input }), resolver), "EmbeddingModel.embed"),
    embedMany: (inputs) =>
      Once.answer(opened, { method: "embedMany", inputs }, ask((model) => model.embedMany(inputs)), many).pipe(
        Effect.withSpan("EmbeddingModel.embedMany")
      )
  })
}
