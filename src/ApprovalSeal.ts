/**
 * Signed results for servers that keep no state, whose clients send the results back.
 *
 * Data from a client proves nothing, so `Agent.resume` rejects every result that is not the very object that a run of
 * this process returned. `seal` signs a result that waits for approvals. The signed result may be sent as JSON, and
 * `Agent.resume` accepts it in any process that has the key.
 *
 * **Example** (A client that holds what waits)
 *
 * ```ts
 * import { Console, Effect, Redacted, Schema } from "effect"
 * import { Tool, Toolkit } from "effect/ai"
 * import { Agent, AgentRun, Approval, ApprovalSeal } from "effect-agents"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const toolkit = Toolkit.make(Tool.make("remove", { success: Schema.String, needsApproval: true }))
 * const handlers = toolkit.toLayer({ remove: () => Effect.succeed("gone") })
 * const cleaner = Agent.make("cleaner", { toolkit })
 *
 * const Json = Schema.fromJsonString(Schema.toCodecJson(AgentRun.Result))
 *
 * const program = Effect.gen(function*() {
 *   const asked = yield* Agent.run(cleaner, { prompt: "Clean up" })
 *   const sent = yield* Schema.encodeEffect(Json)(yield* ApprovalSeal.seal(cleaner, asked))
 *
 *   const result = yield* Schema.decodeEffect(Json)(sent) as Effect.Effect<AgentRun.Result>
 *   const answers = result.approvals.map((approval) => Approval.approve(approval))
 *   const done = yield* Agent.resume(cleaner, { result }, answers)
 *   yield* Console.log(done.text)
 * })
 *
 * const model = ScriptedModel.layer([ScriptedModel.toolCalls({ name: "remove", params: {} }), ScriptedModel.text("Done")])
 * const seal = ApprovalSeal.layer({ key: Redacted.make("32 random bytes from your secrets") })
 *
 * Effect.runPromise(Effect.provide(program, [model, handlers, seal]))
 * // => Done
 * ```
 *
 * @since 0.1.0
 */

import type * as CryptoError from "effect/crypto/CryptoError"
import * as Mac from "effect/crypto/Mac"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import * as Base64Url from "effect/encoding/Base64Url"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type * as Agent from "./Agent.ts"
import type * as AgentError from "./AgentError.ts"
import type * as AgentRun from "./AgentRun.ts"
import * as Seal from "./internal/approval/seal.ts"

export {
  /**
   * Service for sealing results that wait for approvals, and for checking the seals.
   *
   * @category services
   * @since 0.1.0
   */
  ApprovalSeal
} from "./internal/approval/seal.ts"

/**
 * Returns the result with a seal for the agent that will resume it. A result that waits for nothing is returned
 * unchanged.
 *
 * **Details**
 *
 * The seal covers the whole result as JSON and the name of the agent. If anything in the result is changed,
 * `Agent.resume` fails with `AgentError` (`ApprovalRejected`, `unknown`). `seal` fails in the same way for a result
 * that no run of this process returned, for one with an invalid seal, and for one whose approvals are kept in a
 * session.
 *
 * @category combinators
 * @since 0.1.0
 */
export const seal: <A>(
  agent: Agent.Any,
  result: AgentRun.Result<A>
) => Effect.Effect<AgentRun.Result<A>, AgentError.AgentError, Seal.ApprovalSeal> = Seal.seal

/**
 * Layer that seals with HMAC-SHA-256, using the Web Crypto of the platform. Use a key of at least 32 random bytes.
 *
 * **Details**
 *
 * Seals made with the `accepted` keys are valid too. To change the key, move the old one to `accepted`.
 *
 * **Gotchas**
 *
 * This layer remembers the answers of the last 10,000 conversations, so that no answer is used twice. Other processes
 * do not know them. If a call must run at most once across all processes, use a session, or a service whose `take` the
 * processes share.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: {
  /** The key to seal with. */
  readonly key: Redacted.Redacted<string>
  /** Older keys, whose seals are still valid. Default: none. */
  readonly accepted?: ReadonlyArray<Redacted.Redacted<string>> | undefined
}): Layer.Layer<Seal.ApprovalSeal, CryptoError.CryptoError> =>
  Layer.effect(Seal.ApprovalSeal)(Effect.gen(function*() {
    const mac = yield* Mac.Mac
    const keyOf = (key: Redacted.Redacted<string>) => Mac.key(Mac.hmacSha256, bytesOf(Redacted.value(key)))
    const key = yield* keyOf(options.key)
    const keys = [key, ...yield* Effect.forEach(options.accepted ?? [], keyOf)]
    return Seal.ApprovalSeal.of({
      sign: (text) => Effect.orDie(Effect.map(mac.sign(key, bytesOf(text)), Base64Url.encode)),
      verify: (text, seal) => {
        const tag = Base64Url.decode(seal)
        if (Result.isFailure(tag)) return Effect.succeed(false)
        const valid = Effect.forEach(keys, (key) => mac.verify(key, tag.success, bytesOf(text)))
        return Effect.orDie(Effect.map(valid, (all) => all.includes(true)))
      },
      ...makeMemory()
    })
  })).pipe(Layer.provide(Mac.layerWebCrypto), Layer.provide(SecureRandom.layerWebCrypto))

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

const remembered = 10_000

const makeMemory = () => {
  const conversations = new Map<string, Set<string>>()
  return {
    take: (conversation: string, approvalIds: ReadonlyArray<string>) =>
      Effect.sync(() => {
        const taken = conversations.get(conversation) ?? new Set()
        const before = approvalIds.find((id) => taken.has(id))
        if (before !== undefined) return before
        for (const id of approvalIds) taken.add(id)
        conversations.delete(conversation)
        conversations.set(conversation, taken)
        if (conversations.size > remembered) conversations.delete(conversations.keys().next().value!)
        return undefined
      }),
    release: (conversation: string, approvalIds: ReadonlyArray<string>) =>
      Effect.sync(() => approvalIds.forEach((id) => conversations.get(conversation)?.delete(id)))
  }
}
