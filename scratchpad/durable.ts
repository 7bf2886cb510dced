/**
 * An execution that outlives its processes: this program starts a process that pays three bills, kills it after the first
 * payment, kills the next one in the middle of an answer of the model, and lets a third one go on. Each bill is paid once.
 * Only the call of the model that was in progress is made again, and the reader is told. At the end it shows which process
 * has made which call, and which it took from its record.
 *
 * `node scratchpad/durable.ts`
 */
import { Console, Effect, Layer, Schema, Stream } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { SqlClient } from "effect/sql"
import { spawn } from "node:child_process"
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Durable, SqliteRunner } from "../src/durable/index.ts"
import { Agent } from "../src/index.ts"
import { SqliteClient } from "../src/sqlite/index.ts"
import { ScriptedModel } from "../src/testing/index.ts"

/** The file of a process that works; without it this is the one that kills. */
const [filename] = process.argv.slice(2)

// --- the agent: it pays one bill a step

const Pay = Tool.make("pay", { parameters: Schema.Struct({ bill: Schema.Int }), success: Schema.String })
const toolkit = Toolkit.make(Pay)
const cashier = Durable.make(Agent.make("cashier", { toolkit }), { version: 1 })

/** Writes down that a call is made, under the name that its record will have. */
const made = (call: string) => appendFileSync(`${filename}.log`, `${process.pid} ${call}\n`)

const model = ScriptedModel.model(
  Array.from({ length: 10 }, () =>
    ScriptedModel.step(({ prompt }) => {
      const bill = prompt.content.filter(({ role }) => role === "tool").length + 1
      made(`model/${bill - 1}`)
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
  pay: ({ bill }) => {
    made(`tool/${bill - 1}/pay-${bill}`)
    return Effect.as(Console.log(`  (the tool pays bill ${bill})`), "paid")
  }
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

// --- what was repeated

/** The names of the calls that have a record, in order, as the engine keeps them. */
const recordsIn = (filename: string) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ readonly name: string }>`
      SELECT json_extract(payload, '$.name') AS name FROM cluster_messages
      WHERE tag = 'activity' AND processed = 1 ORDER BY rowid`
    return rows.map(({ name }) => name)
  }).pipe(Effect.provide(SqliteClient.layer({ filename })))

/** A row for each call, a column for each process. */
const picture = (filename: string) =>
  Effect.gen(function*() {
    const records = yield* recordsIn(filename)
    const log = readFileSync(`${filename}.log`, "utf8").trim().split("\n").map((line) => line.split(" "))
    const processes = [...new Set(log.map(([pid]) => pid))]
    const again: Array<string> = []
    const rows = records.map((call) => {
      const makers = processes.map((pid) => log.some((line) => line[0] === pid && line[1] === call))
      const last = makers.lastIndexOf(true)
      if (makers.indexOf(true) !== last) again.push(call)
      return [
        call,
        ...makers.map((isMaker, index) =>
          index > last ? "record" : !isMaker ? "" : index < last ? "cut" : again.includes(call) ? "made again" : "made"
        )
      ]
    })
    const lines = [["", ...processes.map((_, index) => `process ${index + 1}`)], ...rows]
    for (const cells of lines) yield* Console.log(cells.map((cell) => cell.padEnd(16)).join("").trimEnd())
    yield* Console.log(
      `made again, because its process was killed while it was made: ${again.join(", ")}; all others were made once`
    )
    yield* Console.log(`${rows.length} calls, ${records.length} records`)
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
  yield* Console.log("")
  yield* picture(filename)
})

await Effect.runPromise(filename === undefined ? Effect.scoped(show) : worker(filename))
process.exit(0)
