/**
 * Ends a test run with one plain line, `N passed, N failed`, for the programs that read it. Errors outside of a test
 * (a file that does not load, an unhandled rejection) count as failures.
 */
import type { Reporter, SerializedError, TestModule } from "vitest/node"

export class CountReporter implements Reporter {
  onTestRunEnd(modules: ReadonlyArray<TestModule>, unhandled: ReadonlyArray<SerializedError>) {
    let passed = 0
    let skipped = 0
    let failed = unhandled.length
    for (const module of modules) {
      failed += module.errors().length
      for (const test of module.children.allTests()) {
        const state = test.result().state
        if (state === "passed") passed++
        else if (state === "skipped") skipped++
        else failed++
      }
    }
    console.log(`${passed} passed, ${failed} failed${skipped === 0 ? "" : `, ${skipped} skipped`}`)
  }
}
