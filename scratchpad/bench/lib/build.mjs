// Puts this package where the adapter's imports find it: built, with the package.json and the
// exports that a user gets. `effect` is found further up, in the node_modules of the package.
import { execFileSync } from "node:child_process"
import { cpSync, existsSync, mkdirSync, rmSync } from "node:fs"
import { join, resolve } from "node:path"

export const ourFolder = (bench) => join(bench, "peers/ours/node_modules/effect-agents")

export const buildOurs = (bench) => {
  const root = resolve(bench, "../..")
  const target = ourFolder(bench)
  rmSync(target, { recursive: true, force: true })
  mkdirSync(target, { recursive: true })
  for (const file of ["package.json", "README.md", "LICENSE", "CHANGELOG.md"]) {
    if (existsSync(join(root, file))) cpSync(join(root, file), join(target, file))
  }
  execFileSync("npx", ["tsc", "-p", "tsconfig.build.json", "--outDir", join(target, "dist")], {
    cwd: root,
    stdio: ["ignore", 2, 2]
  })
}
