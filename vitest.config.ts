import { defineConfig } from "vitest/config"
import { CountReporter } from "./test/count-reporter.ts"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    reporters: ["default", new CountReporter()],
    // the machine that runs this has two cores, and some tests start processes
    maxConcurrency: 2,
    testTimeout: 30_000,
    typecheck: {
      enabled: true,
      include: ["test/types/**/*.tst.ts"],
      checker: "tsc",
      tsconfig: "tsconfig.json",
      ignoreSourceErrors: true
    }
  }
})
