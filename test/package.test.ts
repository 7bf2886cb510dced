import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { execFileSync, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { subpaths } from "./house/floors.ts"
import { importsOf } from "./house/rules.ts"

const root = join(import.meta.dirname, "..")

const sources = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
  .map((path) => path.replaceAll("\\", "/"))
  .filter((path) => path.endsWith(".ts"))
  .map((path) => path.slice(0, -".ts".length))

const rooms = sources.filter((path) => !path.includes("/") && path !== "index").sort()

const effect = realpathSync(join(root, "node_modules/effect"))

/** An empty project beside nothing: our tarball and `effect` are all that it has. */
const project = mkdtempSync(join(tmpdir(), "effect-agents-package-"))

/** Runs a program of the project and returns what it printed as JSON. */
const run = (name: string, code: string): unknown => {
  writeFileSync(join(project, name), code)
  const { status, stderr, stdout } = spawnSync(process.execPath, [name], { cwd: project, encoding: "utf8" })
  assert.deepStrictEqual({ status, stderr }, { status: 0, stderr: "" })
  return JSON.parse(stdout)
}

/** Type-checks a file of the project and returns the compiler's complaints. */
const check = (name: string, code: string, options: object = {}): string => {
  writeFileSync(join(project, name), code)
  writeFileSync(
    join(project, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: {
        target: "ES2023",
        module: "NodeNext",
        lib: ["ES2024", "DOM", "DOM.Iterable", "DOM.AsyncIterable"],
        types: [],
        strict: true,
        exactOptionalPropertyTypes: true,
        noEmit: true,
        ...options
      },
      files: [name]
    })
  )
  return spawnSync(process.execPath, [
    join(root, "node_modules/typescript/bin/tsc"),
    "-p",
    project,
    "--pretty",
    "false"
  ], {
    cwd: project,
    encoding: "utf8"
  }).stdout
}

const npm = (...args: ReadonlyArray<string>): string => {
  const { status, stderr, stdout } = spawnSync("npm", args, { cwd: root, encoding: "utf8" })
  assert.strictEqual(status, 0, `npm ${args.join(" ")}\n${stdout}\n${stderr}`)
  return stdout
}

let packed: ReadonlyArray<string> = []

beforeAll(() => {
  npm("run", "build")
  // the build was made above; `prepare` would patch the compiler under the feet of the tests that use it
  const [tarball] = JSON.parse(npm("pack", "--json", "--ignore-scripts", "--pack-destination", project))
  packed = tarball.files.map((_: { readonly path: string }) => _.path).sort()
  const modules = join(project, "node_modules")
  mkdirSync(join(modules, "effect-agents"), { recursive: true })
  execFileSync("tar", ["-xzf", tarball.filename, "-C", join(modules, "effect-agents"), "--strip-components=1"], {
    cwd: project
  })
  symlinkSync(effect, join(modules, "effect"), "dir")
  writeFileSync(join(project, "package.json"), JSON.stringify({ name: "project", private: true, type: "module" }))
}, 180_000)

afterAll(() => rmSync(project, { recursive: true, force: true }))

describe("the tarball", () => {
  it("holds the sources, compiled and as they are, with types and maps, the documents, and nothing else", () => {
    const compiled = sources.flatMap((path) =>
      [".d.ts", ".d.ts.map", ".js", ".js.map"].map((end) => `dist/${path}${end}`)
    )
    const examples = readdirSync(join(root, "scratchpad")).filter((file) => file.endsWith(".ts"))
    assert.deepStrictEqual(
      packed,
      [
        "CHANGELOG.md",
        "LICENSE",
        "README.md",
        "bin/effect-agents.mjs",
        "package.json",
        "scratchpad/bench/README.md",
        "scratchpad/bench/RESULTS.md",
        "scratchpad/bench/results.svg",
        ...examples.map((file) => `scratchpad/${file}`),
        ...readdirSync(join(root, "scratchpad/backend")).map((file) => `scratchpad/backend/${file}`),
        ...sources.map((path) => `src/${path}.ts`),
        ...compiled
      ].sort()
    )
  })

  it("has the documentation of every module and every export in its declarations", () => {
    const flat = (text: string) => text.replace(/^[ \t]+/gm, "")
    const lost = sources.flatMap((path) => {
      const source = readFileSync(join(root, `src/${path}.ts`), "utf8")
      const declarations = flat(readFileSync(join(project, `node_modules/effect-agents/dist/${path}.d.ts`), "utf8"))
      const docs = [...source.matchAll(/\/\*\*(?:(?!\*\/)[\s\S])*\*\/(?=\s*export\s)/g)].map(([doc]) => doc)
      // A blank line after the comment of a module keeps it when the import below is not needed by the declarations
      const module = /^\/\*\*[\s\S]*?\*\//.exec(source)?.[0] ?? `${path} has no comment`
      return [module, ...docs].filter((doc) => !declarations.includes(flat(doc))).map((doc) =>
        `${path}: ${doc.slice(0, 80)}`
      )
    })
    assert.deepStrictEqual(lost, [])
  })

  it("leads from every declaration to its source", () => {
    for (const path of sources) {
      const file = join(project, `node_modules/effect-agents/dist/${path}.d.ts.map`)
      const map: { readonly sources: ReadonlyArray<string> } = JSON.parse(readFileSync(file, "utf8"))
      assert.deepStrictEqual(
        map.sources.map((source) => join(file, "..", source)),
        [join(project, `node_modules/effect-agents/src/${path}.ts`)]
      )
    }
  })

  it("holds what its README points to", () => {
    const readme = readFileSync(join(project, "node_modules/effect-agents/README.md"), "utf8")
    const targets = [...readme.matchAll(/\]\(([^)\s]+)\)|`((?:scratchpad|src|test)\/[\w./-]+)`/g)].map((
      [, link, path]
    ) => (link ?? path!).replace(/#.*$/, ""))
    const missing = targets.filter((target) => target !== "" && !/^https?:/.test(target) && !packed.includes(target))
    assert.deepStrictEqual(missing, [])
    assert.isAbove(targets.length, 5)
  })

  it("says that it runs where it is tested", () => {
    const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
    assert.strictEqual(manifest.engines.node, `>=${manifest.devDependencies.node}`)
  })

  it("has source maps that carry the sources", () => {
    const map = JSON.parse(readFileSync(join(project, "node_modules/effect-agents/dist/Session.js.map"), "utf8"))
    assert.deepStrictEqual(map.sourcesContent, [readFileSync(join(root, "src/Session.ts"), "utf8")])
  })

  it("requires nothing but effect", () => {
    const manifest = JSON.parse(readFileSync(join(project, "node_modules/effect-agents/package.json"), "utf8"))
    const required = Object.keys(manifest.peerDependencies).filter((_) => !manifest.peerDependenciesMeta[_]?.optional)
    assert.deepStrictEqual([manifest.dependencies, required], [undefined, ["effect"]])
  })
})

describe("the command `effect-agents`", { timeout: 60_000 }, () => {
  const start = (...args: ReadonlyArray<string>) => {
    const manifest = JSON.parse(readFileSync(join(project, "node_modules/effect-agents/package.json"), "utf8"))
    const bin = join("node_modules/effect-agents", manifest.bin["effect-agents"])
    return spawn(process.execPath, [bin, ...args], { cwd: project })
  }

  const ended = async (...args: ReadonlyArray<string>) => {
    const child = start(...args)
    let [said, complained] = ["", ""]
    child.stdout.on("data", (data) => said += data)
    child.stderr.on("data", (data) => complained += data)
    const [code] = await once(child, "close")
    return { code, said, complained }
  }

  it("serves the agents that a module of TypeScript exports", async () => {
    writeFileSync(
      join(project, "agents.ts"),
      `import { Effect, Schema } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { Layer } from "effect"
import { Agent, SessionHistory } from "effect-agents"
import { AgentGraph } from "effect-agents/orchestration"
import { ScriptedModel } from "effect-agents/testing"

const toolkit = Toolkit.make(Tool.make("add", { parameters: Schema.Struct({ a: Schema.Int }), success: Schema.Int }))
export const assistant = Agent.make("assistant", { toolkit, providers: [SessionHistory.provider] })
export const others: Array<Agent.Any> = [Agent.make("other")]
export const flow = AgentGraph.make("flow").agent("first", Agent.make("first"))
export const version: number = 1
export const layer = Layer.merge(
  toolkit.toLayer({ add: ({ a }) => Effect.succeed(a + 1) }),
  ScriptedModel.layer([ScriptedModel.toolCalls({ name: "add", params: { a: 1 } }), ScriptedModel.text("It is two.")])
)
export const playground = { prices: { input: 1, output: 1 } }
`
    )
    const child = start("playground", "./agents.ts", "--no-open")
    try {
      let said = ""
      while (!said.includes("#token=")) said += (await once(child.stdout, "data"))[0]
      const [, address = "", token = ""] = /(http:\S+)\/playground#token=(\w{60,})\n/.exec(said) ?? []
      const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" }
      const send = (path: string, body?: object) =>
        fetch(`${address}/playground${path}`, {
          headers,
          ...(body !== undefined && { method: "POST", body: JSON.stringify(body) })
        })
      assert.include(await (await send("")).text(), "<title>effect-agents playground</title>")
      assert.strictEqual((await fetch(`${address}/playground/api/agents`)).status, 401)
      const agents = await (await send("/api/agents")).json() as ReadonlyArray<{ readonly name: string }>
      assert.deepStrictEqual(agents.map(({ name }) => name), ["assistant", "other", "flow"])
      const run = await send("/api/agents/0/runs", { prompt: "1 + 1?", session: "s" })
      assert.include(await run.text(), "It is two.")
      // a request that its client leaves hurts nobody
      const leaving = new AbortController()
      await Promise.allSettled([
        fetch(`${address}/playground/api/agents`, { headers, signal: leaving.signal }),
        Promise.resolve().then(() => leaving.abort())
      ])
      assert.strictEqual((await send("/api/agents/0/sessions/s")).status, 200)
      child.kill("SIGINT")
      assert.strictEqual((await once(child, "close"))[0], 130)
    } finally {
      child.kill("SIGKILL")
    }
  })

  it("says what is wrong: no agent, a syntax error, an error of the module, a layer, a command", async () => {
    const files = {
      "nothing.ts": "export const answer = 42\n",
      "broken.ts": "export const answer = \nexport const b = 2\n",
      "throws.ts": "export const answer = 42\nthrow new Error(\"no key\")\n",
      "waits.ts": "export const answer = await new Promise(() => {})\n",
      "dies.ts": `import { Effect, Layer } from "effect"
import { Agent } from "effect-agents"
export const assistant = Agent.make("assistant")
export const layer = Layer.effectDiscard(Effect.die(new Error("no database")))
`
    }
    for (const [name, text] of Object.entries(files)) writeFileSync(join(project, name), text)
    const cases: ReadonlyArray<readonly [ReadonlyArray<string>, number, RegExp]> = [
      [["playground", "nothing.ts"], 1, /^`nothing\.ts` exports no agent\. It exports `answer`\./],
      [["playground", "broken.ts"], 1, /`broken\.ts` cannot be loaded\.[^]*(Syntax|Expression expected|Unexpected)/],
      [["playground", "throws.ts"], 1, /`throws\.ts` cannot be loaded\.\n\nError: no key\n {4}at .*throws\.ts:2/],
      [["playground", "waits.ts"], 1, /it waits for something that never comes/],
      [["playground", "dies.ts", "--no-open"], 1, /The layers of the module cannot be built\.[^]*no database/],
      [["other"], 2, /^There is no command `other`/]
    ]
    await Promise.all(cases.map(async ([args, status, expected]) => {
      const { code, complained, said } = await ended(...args)
      assert.deepStrictEqual([code, said], [status, ""], args.join(" "))
      assert.match(complained, expected)
    }))
    const { code, said } = await ended("--help")
    assert.strictEqual(code, 0)
    assert.match(said, /^effect-agents playground <module>/)
  })
})

describe("in an empty project with only effect beside it", { timeout: 120_000 }, () => {
  it("every module comes from the barrel and from its own path, and is the same", () => {
    const program = `import * as barrel from "effect-agents"
const same = {}
for (const name of ${JSON.stringify(rooms)}) same[name] = barrel[name] === await import("effect-agents/" + name)
console.log(JSON.stringify({ names: Object.keys(barrel), same }))
`
    assert.deepStrictEqual(run("rooms.js", program), {
      names: rooms,
      same: Object.fromEntries(rooms.map((name) => [name, true]))
    })
  })

  it("the core loads nothing but itself and effect", () => {
    const program = `import { registerHooks } from "node:module"
const loaded = new Set()
registerHooks({ load: (url, context, next) => (loaded.add(url), next(url, context)) })
await import("effect-agents")
console.log(JSON.stringify([...loaded]))
`
    const loaded = run("loaded.js", program) as ReadonlyArray<string>
    const own = `file://${realpathSync(project)}/node_modules/effect-agents/dist/`
    assert.isAbove(loaded.filter((url) => url.startsWith(own)).length, rooms.length)
    assert.deepStrictEqual(
      loaded.filter((url) => !url.startsWith(own) && !url.startsWith(`file://${effect}/dist/`)),
      []
    )
  })

  it("internal modules are out of reach", () => {
    const internal = sources.filter((path) => path.split("/").includes("internal"))
    assert.isNotEmpty(internal)
    const program = `const loaded = []
for (const path of ${JSON.stringify([...internal, "index", "dist/index.js"])}) {
  await import("effect-agents/" + path).then(() => loaded.push(path), () => {})
}
console.log(JSON.stringify(loaded))
`
    assert.deepStrictEqual(run("internal.js", program), [])
  })

  it.each(Object.entries(subpaths))("the subpath %s loads, when its optional packages are there", (
    subpath,
    packages
  ) => {
    const optional = packages.filter((_) => !_.startsWith("node:"))
    const program = `const result = await import("effect-agents/${subpath}").then(
  (module) => ({ empty: Object.keys(module).length === 0 }),
  (error) => ({ code: error.code, missing: /Cannot find package '([^']+)'/.exec(error.message)?.[1] })
)
console.log(JSON.stringify(result))
`
    // Of some packages only the types are used: without them the subpath loads all the same.
    const atRunTime = sources.filter((path) => path.startsWith(`${subpath}/`)).flatMap((path) =>
      importsOf({ path: `${path}.ts`, text: readFileSync(join(root, "src", `${path}.ts`), "utf8") })
    ).filter(({ runtime }) => runtime)
    if (optional.some((_) => atRunTime.some(({ specifier }) => specifier.startsWith(_)))) {
      const result = run(`${subpath}.js`, program) as { readonly code?: string; readonly missing?: string }
      assert.strictEqual(result.code, "ERR_MODULE_NOT_FOUND")
      assert.isTrue(optional.some((_) => `${result.missing}/`.startsWith(_)), JSON.stringify(result))
    }
    const scopes = optional.map((_) => _.split("/")[0]!)
    for (const scope of scopes) {
      symlinkSync(join(root, "node_modules", scope), join(project, "node_modules", scope), "dir")
    }
    const loaded = run(`${subpath}.js`, program)
    for (const scope of scopes) rmSync(join(project, "node_modules", scope))
    assert.deepStrictEqual(loaded, { empty: false })
  })

  it("the types of every module are found and sound, without anything else installed", () => {
    const program = rooms.map((name) => `import * as ${name} from "effect-agents/${name}"`).join("\n") +
      `\nimport * as barrel from "effect-agents"\n` +
      rooms.map((name) => `export const same${name}: typeof ${name} = barrel.${name}\n`).join("")
    assert.strictEqual(check("rooms.ts", program), "")
    // so that a compiler that checks nothing is noticed
    assert.include(check("wrong.ts", `import * as barrel from "effect-agents"\nbarrel.Nothing\n`), "TS2339")
  })

  it("a run whose parts go to another process as JSON has the same result there", () => {
    const program = readFileSync(join(root, "scratchpad/parts.ts"), "utf8")
      .replace("../src/index.ts", "effect-agents")
      .replace("../src/testing/index.ts", "effect-agents/testing")
    writeFileSync(join(project, "parts.ts"), program)
    const { status, stderr, stdout } = spawnSync(process.execPath, ["parts.ts"], { cwd: project, encoding: "utf8" })
    assert.deepStrictEqual({ status, stderr, last: stdout.trimEnd().split("\n").at(-1) }, {
      status: 0,
      stderr: "",
      last: "The same result."
    })
  })

  it("an agent with a tool, a session in SQLite and a scripted model type-checks and runs", () => {
    const program = `import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { Agent, SessionHistory, SessionStore } from "effect-agents"
import type * as AgentRun from "effect-agents/AgentRun"
import { SqliteSessionStore } from "effect-agents/sqlite"
import { ScriptedModel } from "effect-agents/testing"

const Weather = Tool.make("get_weather", {
  parameters: Schema.Struct({ city: Schema.String }),
  success: Schema.String
})
const toolkit = Toolkit.make(Weather)
const assistant = Agent.make("assistant", { toolkit, providers: [SessionHistory.provider] })

const result: Effect.Effect<AgentRun.Result, unknown, Agent.Services<typeof assistant>> = Agent.run(assistant, {
  prompt: "Will it rain in Oslo?",
  session: "user-7"
})
const program = Effect.gen(function*() {
  const { steps, text } = yield* result
  const sessions = yield* SessionStore.SessionStore
  const { history, version } = yield* sessions.load("user-7")
  return { text, steps: steps.length, version, roles: history.content.map((message) => message.role) }
})

const layer = Layer.mergeAll(
  SqliteSessionStore.layerFile({ filename: "sessions.db" }),
  toolkit.toLayer({ get_weather: ({ city }) => Effect.succeed("rain in " + city) }),
  ScriptedModel.layer([
    ScriptedModel.toolCalls({ name: "get_weather", params: { city: "Oslo" } }),
    ScriptedModel.text(["Yes, ", "take a coat."])
  ])
)
Effect.runPromise(Effect.provide(program, layer)).then((_) => console.log(JSON.stringify(_)))
`
    assert.strictEqual(check("agent.ts", program), "")
    const roles = ["user", "assistant", "tool", "assistant"]
    assert.deepStrictEqual([run("agent.ts", program), run("agent.ts", program)], [
      { text: "Yes, take a coat.", steps: 2, version: 1, roles },
      { text: "Yes, take a coat.", steps: 2, version: 2, roles: [...roles, ...roles] }
    ])
  })
})
