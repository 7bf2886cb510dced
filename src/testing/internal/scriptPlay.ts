/**
 * Plays a step of a script: turns its pieces into the pull of a stream.
 *
 * @since 0.1.0
 */
import type * as AiError from "effect/ai/AiError"
import type * as Response from "effect/ai/Response"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Pull from "effect/Pull"
import type * as ScriptedModel from "../ScriptedModel.ts"

/**
 * Parts to send, or an effect to run before the next parts.
 *
 * @category models
 * @since 0.1.0
 */
export type Instruction = ReadonlyArray<Response.StreamPartEncoded> | Effect.Effect<void, AiError.AiError>

/**
 * Returns the instructions for the pieces of step `number`. If they have no finish part, one is added.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toInstructions = (
  pieces: ReadonlyArray<ScriptedModel.Piece>,
  number: number,
  chunking: "one" | "all",
  defaultUsage: typeof Response.Usage.Encoded
): ReadonlyArray<Instruction> => {
  const instructions: Array<Instruction> = []
  let open: Array<Response.StreamPartEncoded> | undefined
  const send = (part: Response.StreamPartEncoded) => {
    if (chunking === "all" && open !== undefined) {
      open.push(part)
      return
    }
    open = [part]
    instructions.push(open)
  }
  const perform = (effect: Effect.Effect<void, AiError.AiError>) => {
    open = undefined
    instructions.push(effect)
  }
  let calls = 0
  let finished = false
  for (const [index, piece] of pieces.entries()) {
    switch (piece._tag) {
      case "Block": {
        const id = `${piece.type}-${number}-${index + 1}`
        send({ type: `${piece.type}-start`, id })
        for (const delta of piece.deltas) {
          if (piece.every !== undefined) perform(Effect.sleep(piece.every))
          send({ type: `${piece.type}-delta`, id, delta })
        }
        // A cut leaves the current text without an end.
        if (pieces.slice(index + 1).find((next) => next._tag !== "Delay")?._tag !== "Cut") {
          send({ type: `${piece.type}-end`, id })
        }
        break
      }
      case "ToolCalls": {
        for (const call of piece.calls) {
          calls++
          send({ type: "tool-call", id: call.id ?? `call-${number}-${calls}`, name: call.name, params: call.params })
        }
        break
      }
      case "Parts": {
        for (const part of piece.parts) {
          if (part.type === "tool-call" && part.providerExecuted !== true) calls++
          if (part.type === "finish") finished = true
          send(part)
        }
        break
      }
      case "Finish": {
        finished = true
        send({ type: "finish", reason: piece.reason, usage: piece.usage })
        break
      }
      case "Delay": {
        perform(Effect.sleep(piece.duration))
        break
      }
      case "Cut": {
        perform(piece.effect)
        return instructions
      }
    }
  }
  if (!finished) send({ type: "finish", reason: calls > 0 ? "tool-calls" : "stop", usage: defaultUsage })
  return instructions
}

type EncodedParts = readonly [Response.StreamPartEncoded, ...Array<Response.StreamPartEncoded>]

/**
 * Returns a pull that plays instructions once.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toPull = (instructions: ReadonlyArray<Instruction>): Pull.Pull<EncodedParts, AiError.AiError> => {
  let index = 0
  const pull: Pull.Pull<EncodedParts, AiError.AiError> = Effect.suspend(() => {
    const instruction = instructions[index++]
    if (instruction === undefined) return Cause.done()
    if (Effect.isEffect(instruction)) return Effect.flatMap(instruction, () => pull)
    // The array has a first part and is never emptied.
    return Exit.succeed(instruction as unknown as EncodedParts)
  })
  return pull
}

/**
 * Returns the parts of a stream in the form of a response that comes at once.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toContent = (streamed: ReadonlyArray<Response.StreamPartEncoded>): Array<Response.PartEncoded> => {
  const content: Array<Response.PartEncoded> = []
  const open = new Map<string, { type: "text" | "reasoning"; text: string; metadata?: Response.ProviderMetadata }>()
  for (const part of streamed) {
    switch (part.type) {
      case "text-start":
      case "reasoning-start": {
        const said = {
          type: part.type === "text-start" ? "text" as const : "reasoning" as const,
          text: "",
          ...(part.metadata === undefined ? undefined : { metadata: part.metadata })
        }
        open.set(part.id, said)
        content.push(said)
        break
      }
      case "text-delta":
      case "reasoning-delta": {
        const said = open.get(part.id)
        if (said !== undefined) said.text += part.delta
        break
      }
      case "text-end":
      case "reasoning-end": {
        const said = open.get(part.id)
        if (said !== undefined && part.metadata !== undefined) said.metadata = { ...said.metadata, ...part.metadata }
        break
      }
      case "tool-params-start":
      case "tool-params-delta":
      case "tool-params-end":
      case "error":
        break
      default:
        content.push(part)
    }
  }
  return content
}
