/**
 * A process that runs the examples named in its arguments, one after the other: `node runner.ts <file>...`.
 *
 * An example is over when a process of its own would end: when nothing is left in the event loop. Then a line says how
 * it went. They share the modules that they load, which is what a process for each would spend its time on.
 */
import { writeSync } from "node:fs"
import { pathToFileURL } from "node:url"

/** How an example went, as a process of its own would have told it. */
export interface Ran {
  readonly file: string
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

const files = process.argv.slice(2)
const written = { stdout: "", stderr: "" }
let code: number | undefined

for (const name of ["stdout", "stderr"] as const) {
  process[name].write = (chunk: string | Uint8Array) => {
    written[name] += typeof chunk === "string" ? chunk : new TextDecoder().decode(chunk)
    return true
  }
}

const fail = (error: unknown) => {
  written.stderr += `${error instanceof Error ? error.stack : error}\n`
  code = 1
}

let running: string | undefined

const next = () => {
  running = files.shift()
  if (running === undefined) return process.exit()
  // as Node says it, when the loop is empty and a module still waits
  code = 13
  import(pathToFileURL(running).href).then(() => code = 0, fail)
}

const tell = () => {
  const ran: Ran = { file: running!, code: Number(process.exitCode ?? code), ...written }
  writeSync(1, `${JSON.stringify(ran)}\n`)
  process.exitCode = undefined
  written.stdout = ""
  written.stderr = ""
}

process.on("uncaughtException", fail)
process.on("beforeExit", () => {
  if (running !== undefined) tell()
  // an import alone does not keep the loop alive
  setImmediate(next)
})
// an example that ends the process ends the others too: what it said tells which one it was
process.on("exit", () => {
  if (running !== undefined) tell()
})
