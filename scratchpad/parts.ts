/**
 * A run is opened, and its parts go as JSON to another process, which folds them to the same result.
 *
 * `node scratchpad/parts.ts`
 */
import { Console, Effect, Schema, Stream } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { spawn } from "node:child_process"
import { isDeepStrictEqual } from "node:util"
import { Agent, AgentRun } from "../src/index.ts"
import { ScriptedModel } from "../src/testing/index.ts"

const Trip = Schema.Struct({ start: Schema.Date, kronor: Schema.BigInt })
const toolkit = Toolkit.make(Tool.make("departure", { success: Schema.Struct({ at: Schema.Date }) }))
const handlers = toolkit.toLayer({ departure: () => Effect.succeed({ at: new Date("2026-06-01"), gate: "secret" }) })
const planner = Agent.make("planner", { toolkit, output: Trip })
const model = ScriptedModel.layer([
  ScriptedModel.toolCalls({ name: "departure", params: {} }),
  ScriptedModel.toolCalls({ name: "final_answer", params: { start: "2026-06-01T00:00:00.000Z", kronor: "1200" } })
])

const Line = Schema.fromJsonString(AgentRun.parts(toolkit, { output: Trip }))
const encode = Schema.encodeEffect(Line)
const read = (input: AsyncIterable<Uint8Array>) =>
  Stream.fromAsyncIterable(input, (cause) => cause).pipe(
    Stream.decodeText,
    Stream.splitLines,
    Stream.mapEffect((line) => Schema.decodeEffect(Line)(line)),
    AgentRun.fold
  )

const child = Effect.flatMap(
  read(process.stdin),
  (result) => Effect.flatMap(encode({ type: "run-end", result }), Console.log)
)

const parent = Effect.gen(function*() {
  const { stdin, stdout } = spawn(process.execPath, [import.meta.filename, "child"])
  const { parts } = yield* Agent.open(planner, { prompt: "Plan a trip" })
  const own = yield* AgentRun.fold(
    Stream.tap(parts, (part) => Effect.map(encode(part), (line) => stdin.write(`${line}\n`)))
  )
  stdin.end()
  const { value, ...folded } = yield* read(stdout)
  yield* Console.log("starts", value.start.toISOString(), `for ${value.kronor} kronor`)
  yield* Console.log(isDeepStrictEqual({ ...folded, value }, own) ? "The same result." : "Another result!")
}).pipe(Effect.scoped, Effect.provide([handlers, model]))

Effect.runPromise(process.argv[2] === "child" ? child : parent)
