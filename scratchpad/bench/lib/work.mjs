// The same work for every peer. An adapter translates this script into its own mock-model protocol.
export const PROMPT = "Say hello."
export const TEXT = "Hello from the mock model."
export const DELTA = "tok "
export const DELTAS = 10_000
export const TOOL = "add"
export const TOOL_STEPS = 10
export const toolInput = (step) => ({ a: step, b: 1 })      // step = 0..9
export const USAGE = { input: 10, output: 5 }
// kind: "text" | "deltas" | "pulls" | "arrays" (deltas in other shapes, where a peer has them) | "tools";  done = number of tool results already in the prompt
// -> what the model must answer on this step
export const counters = { model: 0, tools: 0 }
export const answer = (kind, done) => {
  counters.model++
  return kind === "tools" && done < TOOL_STEPS
    ? { tool: { id: `call_${done}`, name: TOOL, input: toolInput(done) } }
    : kind === "deltas" || kind === "pulls" || kind === "arrays"
    ? { delta: DELTA, n: DELTAS }
    : { delta: TEXT, n: 1 }
}
export const fullText = (a) => (a.n === 1 ? a.delta : a.delta.repeat(a.n))
// the tool's body, shared by all peers (after the peer validated its input)
export const add = ({ a, b }) => { counters.tools++; if (typeof a !== "number" || b !== 1) throw new Error("bad tool input"); return String(a + b) }
