/**
 * Starts the test files that take longest first: one that starts last would leave the other workers idle at the end.
 */
import { basename } from "node:path"
import { BaseSequencer, type TestSpecification } from "vitest/node"

// those that take more than ten seconds on two cores, most of it in processes that they start; slowest first
const slowest = [
  "SessionProcesses",
  "ask",
  "package",
  "askChat",
  "scratchpad",
  "DurableProcesses",
  "Playground",
  "SessionStore",
  "SessionFiles",
  "SqlSessionStore",
  "docs",
  "DurablePostgres",
  "McpAgent",
  "ApprovalProcesses",
  "SqlBudgetStore",
  "copilotOutcomes",
  "McpToolkit",
  "DurableRetention",
  "DurableLeft",
  "backend"
]

const rank = ({ moduleId }: TestSpecification) => {
  const index = slowest.indexOf(basename(moduleId, ".test.ts"))
  return index === -1 ? slowest.length : index
}

export class SlowestFirst extends BaseSequencer {
  override async sort(files: Array<TestSpecification>) {
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b))
  }
}
