import { assert, describe, it } from "@effect/vitest"
import { execFile, spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const fixtures = join(import.meta.dirname, "fixtures")
const suite = join(import.meta.dirname, "../node_modules/@modelcontextprotocol/conformance/dist/index.js")

describe("the conformance tests of MCP", () => {
  it("pass on a server of agents, but for what it does not have", async () => {
    const folder = mkdtempSync(join(tmpdir(), "mcp-conformance-"))
    const server = spawn(process.execPath, [join(fixtures, "mcpConformance.ts")])
    try {
      const url = await new Promise<string>((resolve, reject) => {
        server.stdout.once("data", (data) => resolve(String(data).trim()))
        server.once("exit", (code) => reject(new Error(`the server ended with ${code}`)))
      })
      const expected = join(fixtures, "mcp-conformance.yml")
      const args = [suite, "server", "--url", url, "--expected-failures", expected, "-o", folder]
      const { code, stdout } = await new Promise<{ readonly code: unknown; readonly stdout: string }>((resolve) =>
        execFile(
          process.execPath,
          args,
          { cwd: folder, timeout: 100_000 },
          (error, stdout) => resolve({ code: error === null ? 0 : error.code, stdout })
        )
      )
      assert.match(stdout, /✓ tools-call-with-progress: 1 passed, 0 failed/)
      assert.strictEqual(code, 0, stdout)
    } finally {
      server.kill()
      rmSync(folder, { recursive: true, force: true })
    }
  }, 120_000)
})
