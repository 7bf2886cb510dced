/**
 * Asks the person at the terminal before a tool is called that writes.
 */
import * as Effect from "effect/Effect"
import * as Stdio from "effect/Stdio"
import * as Terminal from "effect/Terminal"
import * as Approval from "../../src/Approval.ts"
import * as Screen from "./Screen.ts"
import * as Text from "./Text.ts"

/** Without a terminal on standard input there is nobody to ask, so the call is denied. */
export const ask = Effect.fnUntraced(function*(approval: Approval.Approval) {
  const screen = yield* Screen.Screen
  const stdio = yield* Stdio.Stdio
  const tool = Text.oneLine(approval.tool)
  if (!(yield* stdio.stdinIsTerminal)) {
    yield* screen.notice(`${tool} was not allowed: there is nobody to ask, standard input is not a terminal\n`)
    return Approval.deny(approval, "There is nobody to ask: standard input is not a terminal")
  }
  const terminal = yield* Terminal.Terminal
  // Escaped, not replaced, so that the user sees exactly what will run
  const params = Text.escaped(JSON.stringify(approval.params, undefined, 2) ?? "")
  yield* screen.notice(`${tool} wants to write:\n${params}\nAllow it? y, n, or n and why: `)
  // a user who ends the program here has not answered
  const line = (yield* Effect.catchTag(terminal.readLine, "QuitError", () => Effect.interrupt)).trim()
  if (/^y(es)?$/i.test(line)) return Approval.approve(approval)
  const reason = line.replace(/^no?\b[\s,:]*/i, "")
  return Approval.deny(approval, reason === "" ? "The user said no" : reason)
})
