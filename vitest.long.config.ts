import { mergeConfig } from "vitest/config"
import config from "./vitest.config.ts"

/** Proofs that take minutes, in their whole size. */
export default mergeConfig({ ...config, test: { ...config.test, include: [], typecheck: { enabled: false } } }, {
  test: { include: ["test/long/**/*.long.ts"] }
})
