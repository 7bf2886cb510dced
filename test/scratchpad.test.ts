import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { readdirSync } from "node:fs"
import { join } from "node:path"

const folder = join(import.meta.dirname, "..", "scratchpad")

/** What each program says last. */
const lastLines: Record<string, string> = {
  "a2a.ts": "the editor: old.txt is gone. (approval-required, then stop)",
  "ag-ui.ts": "success",
  "agent-tool.ts": "own: 250 in, 46 out; with the agents it called: 290 in, 54 out",
  "approval.ts": "One of two is paid.",
  "background.ts": "Galdhøpiggen is 2469 m high. Nobody knows its age in time.",
  "budget-account.ts": "acme: Hello. (1 of 3 calls)",
  "budget.ts": "The budget `article` is exceeded: 4 of 4 model-calls are used",
  "compaction.ts": "stored: 14 messages, 180 tokens",
  "durable.ts": "7 calls, 7 records",
  "fallback.ts": "Yes, says the second model. (2 steps)",
  "graph.ts": "web done ×1, archive done ×1, draft done ×2, words done ×2, editor done ×2, publish done ×1",
  "guardrail.ts": "  Guardrail `on-topic` has stopped the run at its input: { topic: 'poetry' }",
  "handoff.ts": "repairs has the conversation now",
  "mcp.ts": "You climb Galdhøpiggen, and sleep at Spiterstulen.",
  "openai.ts": "\"Let me look.\\n\\nIt rains in Oslo.\", 10 tokens",
  "orchestration.ts": "group chat: [\"writer: It is the best.\",\"lawyer: Is it?\"]",
  "output.ts": "output 2 nights in Oslo, first stop at 2026-06-01T10:00:00.000Z",
  "parts.ts": "The same result.",
  "plan.ts": "Steinar Sulheim climbed it first, in 1850.",
  "rpc.ts": "the lead: 2469 m. (30 tokens in all three calls)",
  "server.ts": "It is gone.",
  "steering.ts": "stopped after 2 steps",
  "ui-messages.ts": "assistant: step-start \"I will clean up.\" tool-remove step-start \"All clean\""
}

const run = (file: string) =>
  new Promise<{ readonly code: unknown; readonly stderr: string; readonly lastLine: string | undefined }>((resolve) =>
    execFile(
      process.execPath,
      [join(folder, file)],
      { timeout: 110_000 },
      (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : error.code, stderr, lastLine: stdout.trimEnd().split("\n").at(-1) })
    )
  )

describe("the programs in scratchpad", () => {
  const files = readdirSync(folder).filter((file) => file.endsWith(".ts"))

  it("are all here", () => {
    assert.deepStrictEqual(files.toSorted(), Object.keys(lastLines))
  })

  it.concurrent.each(files)("%s runs to its end", async (file) => {
    assert.deepStrictEqual(await run(file), { code: 0, stderr: "", lastLine: lastLines[file] })
  }, 120_000)
})
