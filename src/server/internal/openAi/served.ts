/**
 * What both wires of OpenAI need of their server: its agents, its options, and the body of a request.
 *
 * @since 0.1.0
 */

import type * as ByteSize from "effect/ByteSize"
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Schema from "effect/Schema"
import type * as Agent from "../../../Agent.ts"
import * as Json from "../../../internal/words/json.ts"
import type { OwnedRuns } from "../ownedRuns.ts"
import * as Failures from "./failures.ts"
import type { Sampling } from "./parameters.ts"

/**
 * The agents of a server, by the names that clients know as models, and how they are served.
 *
 * @category models
 * @since 0.1.0
 */
export interface Served<R, Request> {
  readonly agents: Readonly<Record<string, Agent.Agent<any, any, R, any, any>>>
  readonly runs: OwnedRuns<R, Request>
  readonly approvals: "deny" | "fail"
  readonly systemMessages: "append" | "ignore"
  readonly settings: ((sampling: Sampling) => (context: Context.Context<never>) => Context.Context<never>) | undefined
  readonly keepAlive: Duration.Input | undefined
  readonly maximumBody: ByteSize.ByteSize
}

/**
 * Returns the agent with this name.
 *
 * @category accessors
 * @since 0.1.0
 */
export const agentOf = <R>(
  { agents }: Pick<Served<R, never>, "agents">,
  model: string
): Effect.Effect<Agent.Agent<any, any, R, any, any>, Failures.Failure> =>
  Object.hasOwn(agents, model) ? Effect.succeed(agents[model]!) : Effect.fail(unknownModel(model))

const unknownModel = (model: string): Failures.Failure =>
  Failures.refused(`The model \`${Failures.shorten(model)}\` does not exist or you do not have access to it.`, {
    status: 404,
    code: "model_not_found",
    param: "model"
  })

/**
 * Reads the body of the request. It is refused if it is too large, no JSON, or nested too deeply.
 *
 * @category accessors
 * @since 0.1.0
 */
export const readBody = (
  maximum: ByteSize.ByteSize
): Effect.Effect<unknown, Failures.Failure, HttpServerRequest.HttpServerRequest> =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
    // every page can make a browser send a text, with the cookies of its user
    if (!/^application\/json\b/i.test(request.headers["content-type"] ?? "")) return Effect.fail(notJson)
    return request.json.pipe(
      Effect.provideService(HttpIncomingMessage.MaxBodySize, maximum),
      Effect.mapError(({ reason }) =>
        "reason" in reason && reason.reason === "BodyTooLarge"
          ? Failures.refused("The body of the request is too large.", { status: 413 })
          : Failures.refused("We could not parse the JSON body of your request.")
      ),
      Effect.filterOrFail((body) => !Json.isTooDeep(body), () => Failures.refused(Json.tooDeep))
    )
  })

const notJson = Failures.refused("The body of the request has to be JSON: `content-type: application/json`.", {
  status: 415
})

/**
 * Decodes the body of a request.
 *
 * @category accessors
 * @since 0.1.0
 */
export const decoding = <A, I>(schema: Schema.Codec<A, I>) => {
  const decode = Schema.decodeUnknownEffect(schema)
  return (body: unknown): Effect.Effect<A, Failures.Failure> =>
    Effect.mapError(decode(body), (error) => Failures.ofSchema(error))
}

/**
 * Starts a run with what its request says about sampling.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withSettings =
  ({ settings }: Pick<Served<never, never>, "settings">, sampling: Sampling) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    settings === undefined
      ? self
      // they add to the context
      : Effect.updateContext(self, (context: Context.Context<R>) => settings(sampling)(context) as Context.Context<R>)
