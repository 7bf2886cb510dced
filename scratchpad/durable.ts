/**
 * An execution that outlives its processes: this program starts a process that pays three bills, kills it after the first
 * payment, kills the next one in the middle of an answer of the model, and lets a third one go on. Each bill is paid once.
 * Only the call of the model that was in progress is made again, and the reader is told.
 *
 * `node scratchpad/durable.ts`
 */
import { Console, Effect, Layer, Schema, Stream } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Durable, SqliteRunner } from "../src/durable/index.ts"
import { Agent } from "../src/index.ts"
import { ScriptedModel } from "../src/testing/index.ts"

// --- the agent: it pays one bill a step

const Pay = Tool.make("pay", { parameters: Schema.Struct({ bill: Schema.Int }), success: Schema.String })
const toolkit = Toolkit.make(Pay)
const cashier = Durable.make(Agent.make("cashier", { toolkit }), { version: 1 })

const model = ScriptedModel.model(
  Array.from({ length: 10 }, () =>
    ScriptedModel.step(({ prompt }) => {
      const bill = prompt.content.filter(({ role }) => role === "tool").length + 1
      return bill > 3
        ? [ScriptedModel.text("All three are paid.")]
        : [
          ScriptedModel.text([`I pay bill ${bill}, `, "as you wish. "], { every: "400 millis" }),
          ScriptedModel.toolCalls({ id: `pay-${bill}`, name: "pay", params: { bill } })
        ]
    })),
  { provider: "scripted", name: "cashier" }
)

const tools = toolkit.toLayer({
  pay: ({ bill }) => Effect.as(Console.log(`  (the tool pays bill ${bill})`), "paid")
})

// --- a process that works on it

const worker = (filename: string) =>
  Effect.gen(function*() {
    const execution = yield* Durable.start(cashier, { id: "bills", prompt: "Pay my bills" })
    yield* Stream.runForEach(Durable.attach(cashier, execution), ({ part, seq }) => {
      switch (part.type) {
        case "step-start":
          return Console.log(`  part ${seq}: step ${part.index}${part.restarted === true ? " begins again" : ""}`)
        case "text-delta":
          return Console.log(`  part ${seq}: ${JSON.stringify(part.delta)}`)
        case "tool-result":
          return Console.log(`  part ${seq}: ${part.id} is done`)
        case "run-end":
          return Console.log(`  the end: ${part.result.text}`)
        default:
          return Effect.void
      }
    })
  }).pipe(Effect.provide(
    Durable.layer(cashier).pipe(
      Layer.provideMerge(SqliteRunner.layer({ filename })),
      Layer.provide([model, tools])
    )
  ))

// --- the one that kills

/** Runs a process until its end, or until it says `word`, when it is killed. */
const processOf = (filename: string, word?: string) =>
  Effect.callback<void>((resume) => {
    const child = spawn(process.execPath, [import.meta.filename, filename], { stdio: ["ignore", "pipe", "inherit"] })
    child.stdout.on("data", (chunk: Buffer) => {
      const said = chunk.toString()
      process.stdout.write(said)
      if (word !== undefined && said.includes(word)) child.kill("SIGKILL")
    })
    child.on("close", () => resume(Effect.void))
  })

const show = Effect.gen(function*() {
  const folder = mkdtempSync(join(tmpdir(), "effect-agents-durable-"))
  yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(folder, { recursive: true, force: true })))
  const filename = join(folder, "executions.sqlite")
  yield* Console.log("the first process:")
  yield* processOf(filename, "pay-1 is done")
  yield* Console.log("  killed\nthe second process reads what was told before, and goes on:")
  yield* processOf(filename, "I pay bill 2, ")
  yield* Console.log("  killed\nthe third process:")
  yield* processOf(filename)
})

const [filename] = process.argv.slice(2)
await Effect.runPromise(filename === undefined ? Effect.scoped(show) : worker(filename))
process.exit(0)
