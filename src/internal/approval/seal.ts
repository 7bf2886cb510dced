/**
 * Seals: how a result proves that a run of this program gave it.
 *
 * @since 0.1.0
 */

import * as Prompt from "effect/ai/Prompt"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
// a result is opened for the agent that continues
import type * as Agent from "../../Agent.ts"
import * as AgentError from "../../AgentError.ts"
import * as AgentRun from "../../AgentRun.ts"
import * as Fields from "../words/fields.ts"
import * as Json from "../words/json.ts"
import * as Origin from "./origin.ts"
import * as Waiting from "./waiting.ts"

/**
 * Service for sealing results that wait for approvals, and for checking the seals.
 *
 * - `sign` returns the seal of a text, and `verify` checks whether a seal belongs to a text.
 * - `take` takes the approvals of a conversation, all or none, and returns the first of them that was taken before.
 *   `release` gives them back if the run could not continue.
 *
 * @category services
 * @since 0.1.0
 */
export class ApprovalSeal extends Context.Service<ApprovalSeal, {
  readonly sign: (text: string) => Effect.Effect<string>
  readonly verify: (text: string, seal: string) => Effect.Effect<boolean>
  readonly take: (conversation: string, approvalIds: ReadonlyArray<string>) => Effect.Effect<string | undefined>
  readonly release: (conversation: string, approvalIds: ReadonlyArray<string>) => Effect.Effect<void>
}>()("effect-agents/ApprovalSeal") {}

const encodeResult = Schema.encodeEffect(Schema.toCodecJson(AgentRun.Result))

const encodeTranscript = Schema.encodeEffect(Schema.toCodecJson(Fields.Transcript))

/** The sealed content: the whole result, and the agent that may continue it. */
interface Sealed {
  readonly text: string
  /**
   * Identifies the waiting step in all of its results, so that an approval answered in one of them is answered in all.
   */
  readonly conversation: string
}

const sealedOf = (agent: string, result: AgentRun.Result): Effect.Effect<Sealed, Schema.SchemaError | "unsealable"> =>
  Effect.gen(function*() {
    const { content } = result.transcript
    const step = Waiting.lastStepOf(content)
    if (step === undefined || Json.isTooDeep(result)) return yield* Effect.fail("unsealable" as const)
    const asked = content.slice(0, content.indexOf(step.assistant) + 1)
    const whole = yield* encodeResult({ ...result, seal: undefined })
    const messages = yield* encodeTranscript(Prompt.fromMessages(asked))
    return {
      text: canonical({ version: 1, what: "result", agent, result: whole }),
      conversation: canonical({ version: 1, what: "conversation", agent, messages })
    }
  })

/** Writes the same JSON as the same text, in any order of its keys. */
const canonical = (json: Schema.Json): string => {
  if (Array.isArray(json)) return `[${json.map(canonical).join(",")}]`
  if (typeof json !== "object" || json === null) return JSON.stringify(json)
  const entries = Object.entries(json as Schema.JsonObject).sort(([a], [b]) => a < b ? -1 : 1)
  return `{${entries.map(([key, value]) => `${JSON.stringify(key)}:${canonical(value)}`).join(",")}}`
}

/**
 * Returns what the seal of a result proves. Returns `undefined` if it has no seal, or if there is no key to check it
 * and this process has given out the result itself.
 *
 * @category accessors
 * @since 0.1.0
 */
export const originOf = (agent: string, result: AgentRun.Result): Effect.Effect<Origin.Origin["Service"] | undefined> =>
  Effect.contextWith((context: Context.Context<never>) => {
    const { seal } = result
    const service = Context.getOrUndefined(context, ApprovalSeal)
    const given = Origin.of(result)
    if (seal === undefined || (service === undefined && given !== undefined)) return Effect.succeed(given)
    if (service === undefined) return Effect.succeed(unproven("nothing is provided that checks seals"))
    return sealedOf(agent, result).pipe(
      Effect.flatMap((sealed) =>
        Effect.flatMap(
          service.verify(sealed.text, seal),
          (isValid) => isValid ? Effect.map(takenOf(service, sealed), proven(result)) : Effect.succeed(invalid)
        )
      ),
      Effect.orElseSucceed(() => invalid)
    )
  })

const unproven = (problem: string): Origin.Origin["Service"] => ({
  ...Origin.ofCaller(undefined, undefined),
  keeper: "result",
  problem
})

const invalid = unproven("the seal of the result is not valid")

const proven = ({ session, transcript }: AgentRun.Result) => (taken: Origin.Taken): Origin.Origin["Service"] => ({
  transcript,
  session,
  keeper: "result",
  taken
})

const takenOf = (service: ApprovalSeal["Service"], { conversation }: Sealed): Effect.Effect<Origin.Taken> =>
  Effect.map(service.sign(conversation), (key) => ({
    take: (approvalIds) => service.take(key, approvalIds),
    release: (approvalIds) => service.release(key, approvalIds)
  }))

/**
 * Returns a result with the seal of an agent.
 *
 * @category combinators
 * @since 0.1.0
 */
export const seal = <A>(
  agent: Agent.Any,
  result: AgentRun.Result<A>
): Effect.Effect<AgentRun.Result<A>, AgentError.AgentError, ApprovalSeal> =>
  Effect.gen(function*() {
    const [approval] = result.approvals
    if (approval === undefined) return result
    const service = yield* ApprovalSeal
    const origin = yield* originOf(agent.name, result)
    const refuse = (description: string) =>
      AgentError.make(
        agent.name,
        new AgentError.ApprovalRejected({ approvalId: approval.approvalId, problem: "unknown", description })
      )
    if (origin?.transcript === undefined) {
      return yield* refuse(origin?.problem ?? "only a result that a run has given out can be sealed")
    }
    if (origin.keeper === "session") return yield* refuse("the session has these approvals, and needs no seal")
    const sealed = yield* Effect.mapError(
      sealedOf(agent.name, result),
      () => refuse("the result cannot be sealed: it is no JSON")
    )
    const whole = { ...result, seal: yield* service.sign(sealed.text) }
    const taken = yield* takenOf(service, sealed)
    Origin.replace(result, whole, { ...origin, taken })
    return whole
  })
