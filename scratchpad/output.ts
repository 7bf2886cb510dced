/**
 * An answer with a type: the model is corrected once, and partial values are shown while it writes.
 *
 * `node scratchpad/output.ts`
 */
import { Console, Effect, Schema, Stream } from "effect"
import type { Response } from "effect/ai"
import { Agent } from "../src/index.ts"
import { ScriptedModel } from "../src/testing/index.ts"

const Trip = Schema.Struct({
  city: Schema.String,
  nights: Schema.Int.check(Schema.isGreaterThan(0)),
  stops: Schema.Array(Schema.Struct({ name: Schema.String, at: Schema.Date }))
}).annotate({ description: "A plan for a short trip" })

const planner = Agent.make("planner", { output: Trip })

/** A call of the tool for the final answer, as a provider streams it. */
const answer = (id: string, params: unknown): ScriptedModel.Piece => {
  const json = JSON.stringify(params)
  const deltas = json.match(/.{1,30}/g) ?? []
  const parts: ReadonlyArray<Response.StreamPartEncoded> = [
    { type: "tool-params-start", id, name: "final_answer" },
    ...deltas.map((delta) => ({ type: "tool-params-delta" as const, id, delta })),
    { type: "tool-params-end", id },
    { type: "tool-call", id, name: "final_answer", params }
  ]
  return ScriptedModel.parts(parts)
}

const model = ScriptedModel.layer([
  answer("a", { city: "Oslo", nights: 0, stops: [] }),
  answer("b", { city: "Oslo", nights: 2, stops: [{ name: "Opera", at: "2026-06-01T10:00:00.000Z" }] })
])

const program = Agent.stream(planner, { prompt: "Two nights in Oslo, please" }).pipe(
  Stream.runForEach((part) => {
    switch (part.type) {
      case "output-partial":
        return Console.log("so far  ", JSON.stringify(part.value))
      case "tool-result":
        return Console.log(part.isFailure ? "refused " : "accepted", part.encodedResult)
      case "run-end": {
        const { stopReason, value } = part.result
        return Console.log(stopReason, `${value.nights} nights in ${value.city}, first stop at`, value.stops[0].at)
      }
      default:
        return Effect.void
    }
  }),
  Effect.provide(model)
)

Effect.runPromise(program)
