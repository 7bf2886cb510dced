import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type Example, examplesOf, expectedOutput, fromSources } from "./docs/examples.ts"
import type { Ran } from "./docs/runner.ts"
import { subpaths } from "./house/floors.ts"

const root = join(import.meta.dirname, "..")

// inside the package, so that `effect` resolves; not in node_modules, where node strips no types
const folder = join(root, ".tsbuild", "docs")

const documents = [
  ...["README.md", "AGENTS.md"].filter((file) => existsSync(join(root, file))),
  ...readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts"))
    .sort()
    .map((path) => `src/${path}`)
]

const examples = documents.flatMap((file) => examplesOf(file, readFileSync(join(root, file), "utf8")))

const nameOf = (example: Example): string => `${example.file.replace(/\W+/g, "-")}-${example.line}.ts`

const execute = (args: ReadonlyArray<string>) =>
  new Promise<string>((resolve) => {
    execFile(
      process.execPath,
      args,
      { cwd: root, timeout: 120_000, maxBuffer: 1 << 24 },
      (_, stdout, stderr) => resolve(stdout + stderr)
    )
  })

const linesOf = (text: string): Array<string> => text.split("\n").map((_) => _.trimEnd()).filter((_) => _ !== "")

const write = (name: string, code: string): void => {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, name), fromSources(code, "../../src", Object.keys(subpaths)))
}

const typeCheck = async (): Promise<ReadonlyArray<string>> => {
  writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({ extends: "../../tsconfig.json", include: ["*.ts"], exclude: [] })
  )
  return linesOf(await execute(["node_modules/typescript/bin/tsc", "-p", folder, "--pretty", "false"]))
}

const runAll = async (): Promise<ReadonlyMap<string, Ran>> => {
  const files = examples.filter((_) => _.run).map((_) => join(folder, nameOf(_)))
  const lines = linesOf(await execute([join(import.meta.dirname, "docs/runner.ts"), ...files]))
  const ran = lines.map((line): Ran => JSON.parse(line))
  return new Map(ran.map((each) => [each.file, each]))
}

beforeAll(() => rmSync(folder, { recursive: true, force: true }))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe("the examples in the documentation", () => {
  let complaints: ReadonlyArray<string> = []
  let ran: ReadonlyMap<string, Ran> = new Map()

  beforeAll(async () => {
    for (const example of examples) write(nameOf(example), example.code)
    // planted, so that a compiler that checks nothing is noticed
    write("planted.ts", `export const wrong: string = 1\n`)
    ;[complaints, ran] = await Promise.all([typeCheck(), runAll()])
  }, 120_000)

  it("begin the documentation of every public module", () => {
    const without = documents.filter((file) => {
      if (!file.startsWith("src/") || /\/internal\/|\/index\.ts$/.test(file)) return false
      const text = readFileSync(join(root, file), "utf8")
      return examplesOf(file, text.slice(0, text.indexOf("*/") + 2)).length === 0
    })
    assert.deepStrictEqual(without, [])
  })

  it("are type-checked", () => {
    assert.lengthOf(complaints.filter((_) => _.includes("planted.ts") && _.includes("TS2322")), 1)
  })

  it.each(examples)("$file:$line", (example) => {
    assert.deepStrictEqual(complaints.filter((_) => _.includes(nameOf(example))), [])
    if (!example.run) return
    const { code, stderr, stdout } = ran.get(join(folder, nameOf(example)))!
    const expected = expectedOutput(example.code)
    assert.deepStrictEqual({ stdout: linesOf(stdout), stderr, code }, { stdout: expected, stderr: "", code: 0 })
    assert.isNotEmpty(expected, "an example says what it prints, as in `console.log(1 + 1) // => 2`")
  })
})

describe("examplesOf", () => {
  const fence = "```"

  it("takes whole programs out of docstrings", () => {
    const text = `/**
 * Adds.
 *
 * ${fence}ts
 * const f = () => {
 *   return 1
 * }
 *
 * console.log(f()) // => 1
 * ${fence}
 *
 * ${fence}json
 * { "not": "ours" }
 * ${fence}
 *
 * @since 0.1.0
 */
export const text = "${fence}ts"
  /**
   * ${fence}ts no-run
   * fetch("x")
   * ${fence}
   */
`
    assert.deepStrictEqual(examplesOf("src/X.ts", text), [
      {
        file: "src/X.ts",
        line: 4,
        code: "const f = () => {\n  return 1\n}\n\nconsole.log(f()) // => 1\n",
        run: true
      },
      { file: "src/X.ts", line: 20, code: `fetch("x")\n`, run: false }
    ])
  })

  it("takes them out of Markdown and leaves other fences", () => {
    const text = `# A\n\n${fence}bash\nnpm ci\n${fence}\n\n${fence}ts\nimport "x"\n${fence}\n`
    assert.deepStrictEqual(examplesOf("README.md", text), [{
      file: "README.md",
      line: 7,
      code: `import "x"\n`,
      run: true
    }])
  })
})

describe("expectedOutput", () => {
  it("is the comments with an arrow, in order", () => {
    const code =
      `console.log(1) // => 1\n// a remark\nconsole.log("a\\nb")\n// => a\n// => b\nconst url = "http://=>"\n`
    assert.deepStrictEqual(expectedOutput(code), ["1", "a", "b"])
  })
})

describe("fromSources", () => {
  it("replaces the package's name, its modules and its subpaths", () => {
    const code = `import { Agent } from "effect-agents"\nimport * as Run from "effect-agents/AgentRun"
import { ScriptedModel } from "effect-agents/testing"\nimport "effect"\n`
    assert.strictEqual(
      fromSources(code, "../src", ["testing"]),
      `import { Agent } from "../src/index.ts"\nimport * as Run from "../src/AgentRun.ts"
import { ScriptedModel } from "../src/testing/index.ts"\nimport "effect"\n`
    )
  })
})
