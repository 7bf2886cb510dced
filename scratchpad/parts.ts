/**
 * The parts of a run as JSON, one on each line. Another process reads them, and folds them to the same result.
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
const linesOf = (input: NodeJS.ReadableStream) =>
  Stream.fromAsyncIterable(input as AsyncIterable<Uint8Array>, (cause) => cause).pipe(
    Stream.decodeText,
    Stream.splitLines
  )
const read = (input: NodeJS.ReadableStream) =>
  AgentRun.fold(Stream.mapEffect(linesOf(input), (line) => Schema.decodeEffect(Line)(line)))

const child = Effect.gen(function*() {
  yield* Console.log(yield* encode({ type: "run-end", result: yield* read(process.stdin) }))
})

const parent = Effect.gen(function*() {
  const { stdin, stdout } = spawn(process.execPath, [import.meta.filename, "child"])
  const told = Stream.tap(
    Agent.stream(planner, { prompt: "Plan a trip" }),
    (part) => Effect.map(encode(part), (line) => void stdin.write(`${line}\n`))
  )
  const own = yield* AgentRun.fold(told)
  stdin.end()
  const folded = yield* read(stdout)
  yield* Console.log("starts", folded.value.start.toISOString(), `for ${folded.value.kronor} kronor`)
  yield* Console.log(isDeepStrictEqual(folded, own) ? "The same result." : "Another result!")
}).pipe(Effect.provide([handlers, model]))

Effect.runPromise(process.argv[2] === "child" ? child : parent)
