import { join } from "node:path"
import { defineConfig } from "vitest/config"
import { CountReporter } from "./test/count-reporter.ts"
import { SlowestFirst } from "./test/slowest-first.ts"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    reporters: ["default", new CountReporter()],
    // the machine that runs this has two cores, and some tests start processes
    maxConcurrency: 2,
    maxWorkers: 2,
    sequence: { sequencer: SlowestFirst },
    // a worker loads effect once, not once for each file; a test that changes the process puts it back
    isolate: false,
    // most of the time of a process that a test starts went into compiling effect: it is done once
    env: { NODE_COMPILE_CACHE: join(import.meta.dirname, "node_modules/.cache/node-compile-cache") },
    testTimeout: 60_000,
    typecheck: {
      enabled: true,
      include: ["test/types/**/*.tst.ts"],
      checker: "tsc",
      tsconfig: "tsconfig.json",
      ignoreSourceErrors: true
    }
  }
})
