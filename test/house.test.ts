import { assert, describe, it } from "@effect/vitest"
import { execFileSync } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { floors, subpaths, wings } from "./house/floors.ts"
import { checkFile, checkTogether, importsOf, type Source } from "./house/rules.ts"

const root = join(import.meta.dirname, "..")

const sources: ReadonlyArray<Source> = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
  .map((path) => path.replaceAll("\\", "/"))
  .filter((path) => path.endsWith(".ts"))
  .sort()
  .map((path) => ({ path, text: readFileSync(join(root, "src", path), "utf8") }))

describe("src", () => {
  it.each(sources)("$path keeps the rules of the house", (source) => {
    assert.deepStrictEqual(checkFile(source), [])
  })

  it("has no import cycle at run time", () => {
    assert.deepStrictEqual(checkTogether(sources), [])
  })

  it("exports every public module from the barrel, and only those", () => {
    const exported = importsOf(sources.find((_) => _.path === "index.ts")!).map((_) => _.specifier)
    const rooms = sources.map((_) => _.path).filter((path) => !path.includes("/") && path !== "index.ts")
    assert.deepStrictEqual(exported, rooms.map((path) => `./${path}`))
  })

  it("has a room on disk for every entry of the table", () => {
    const paths = sources.map((_) => _.path)
    const wanted = [
      ...floors.flatMap((_) => _.rooms).map((room) => `${room}.ts`),
      ...Object.keys(subpaths).map((folder) => `${folder}/index.ts`)
    ]
    assert.deepStrictEqual(wanted.filter((path) => !paths.includes(path)), [])
    const empty = wings.filter((wing) => !paths.some((path) => path.startsWith(`internal/${wing}/`)))
    assert.deepStrictEqual(empty, [])
  })
})

describe("the compiler", () => {
  it("is TypeScript 7 with the Effect diagnostics", () => {
    const version = execFileSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "--version"], {
      encoding: "utf8"
    })
    assert.match(version, /Version 7\..*effect-tsgo/)
  })
})

describe("the lock file", () => {
  const { packages } = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as {
    readonly packages: Readonly<Record<string, { readonly optionalDependencies?: Readonly<Record<string, string>> }>>
  }

  it("names the optional packages of every platform, without which npm ci refuses it", () => {
    const optional = Object.values(packages).flatMap((_) => Object.keys(_.optionalDependencies ?? {}))
    assert.isNotEmpty(optional)
    assert.deepStrictEqual(optional.filter((name) => packages[`node_modules/${name}`] === undefined), [])
  })

  it("pins every dependency exactly", () => {
    const { devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
    const ranges = Object.entries<string>(devDependencies).filter(([, version]) =>
      !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)
    )
    assert.deepStrictEqual(ranges, [])
  })
})

describe("the rules themselves", () => {
  const documented = "/** Words.\n * @since 0.1.0 */\n"
  const complaints = (path: string, body: string) => checkFile({ path, text: documented + body })

  it("accept a good module", () => {
    const body = `import * as Effect from "effect/Effect"
import type * as LanguageModel from "effect/ai/LanguageModel"
import { dual } from "effect/Function"
// the context of an agent
import type * as Agent from "./Agent.ts"
import * as Session from "./Session.ts"
/** Makes.
 * @category constructors
 * @since 0.1.0 */
export const make = (model: LanguageModel.Service, agent: Agent.Any) => Effect.succeed([dual, Session, model, agent])
`
    assert.deepStrictEqual(complaints("ContextProvider.ts", body), [])
  })

  const cases: ReadonlyArray<readonly [path: string, body: string, complaint: string]> = [
    ["Session.ts", `import * as E from "effect"`, `Session.ts:3: "effect" is a barrel`],
    ["Session.ts", `import * as Ai from "effect/ai"`, `Session.ts:3: "effect/ai" is a barrel`],
    ["Session.ts", `import * as Ai from "effect/http-api"`, `Session.ts:3: "effect/http-api" is a barrel`],
    ["Session.ts", `import * as All from "./index.ts"`, `Session.ts:3: "./index.ts" is a barrel`],
    ["Session.ts", `import * as Fs from "node:fs"`, `Session.ts:3: "node:fs" is not effect's nor ours`],
    ["testing/A.ts", `import * as S from "node:sqlite"`, `testing/A.ts:3: "node:sqlite" is not effect's nor ours`],
    ["Session.ts", `import * as T from "../test/x.ts"`, `Session.ts:3: "../test/x.ts" leaves src`],
    ["Agent.ts", `import * as S from "./Session"`, `Agent.ts:3: "./Session" has no .ts extension`],
    [
      "Agent.ts",
      `import { make } from "./Session.ts"`,
      `Agent.ts:3: "./Session.ts" is imported as a whole, as in import * as X`
    ],
    [
      "Session.ts",
      `import * as A from "./Agent.ts"`,
      `Session.ts:3: imports upward: Session (floor 0) -> Agent (floor 3)`
    ],
    [
      "Session.ts",
      `export {\n  make\n} from\n  "./Agent.ts"`,
      `Session.ts:3: imports upward: Session (floor 0) -> Agent (floor 3)`
    ],
    [
      "Session.ts",
      `import * as I from "./internal/run/state.ts"`,
      `Session.ts:3: imports upward: Session (floor 0) -> internal/run/state (wing run)`
    ],
    [
      "internal/run/state.ts",
      `import * as L from "../../ToolLoop.ts"`,
      `internal/run/state.ts:3: imports upward: internal/run/state (wing run) -> ToolLoop (floor 2)`
    ],
    [
      "Session.ts",
      `import type * as A from "./Agent.ts"`,
      `Session.ts:3: looks upward, and no comment above says why: Session (floor 0) -> Agent (floor 3)`
    ],
    [
      "internal/tool/gate.ts",
      `import * as L from "../run/loop.ts"`,
      `internal/tool/gate.ts:3: imports upward: internal/tool/gate (wing tool) -> internal/run/loop (wing run)`
    ],
    ["internal/x.ts", ``, `internal/x.ts: not in the table of rooms; choose its floor in test/house/floors.ts`],
    [
      "internal/misc/x.ts",
      ``,
      `internal/misc/x.ts: not in the table of rooms; choose its floor in test/house/floors.ts`
    ],
    ["Agent.ts", `import type * as S from "./sqlite/X.ts"`, `Agent.ts:3: the core imports the subpath sqlite`],
    ["otel/X.ts", `import * as S from "../sqlite/X.ts"`, `otel/X.ts:3: a subpath imports the subpath sqlite`],
    ["server/X.ts", `import * as A from "../a2a/X.ts"`, `server/X.ts:3: a subpath imports the subpath a2a`],
    ["Agent.ts", `const later = () => import("./Session.ts")`, `Agent.ts:3: import("./Session.ts") inside src`],
    ["Nowhere.ts", ``, `Nowhere.ts: not in the table of rooms; choose its floor in test/house/floors.ts`],
    ["misc/X.ts", ``, `misc/X.ts: not in the table of rooms; choose its floor in test/house/floors.ts`],
    ["Agent.ts", `const f = async () => 1`, `Agent.ts:3: async inside src`],
    ["Agent.ts", `const f = { async g() {} }`, `Agent.ts:3: async inside src`],
    ["Agent.ts", `const f = () => {\n  try { g() } finally { g() }\n}`, `Agent.ts:4: try inside src`],
    ["Middleware.ts", `const f = () => {\n  throw 1\n}`, `Middleware.ts:4: throw inside src`],
    ["Agent.ts", `const f = () => ({ get g() { return 1 } })`, `Agent.ts:3: accessor of an object literal inside src`],
    ["Agent.ts", `const now = Date.now()`, `Agent.ts:3: Date.now inside src`],
    ["Agent.ts", `const now = new Date()`, `Agent.ts:3: new Date() inside src`],
    ["Agent.ts", `const dice = Math.random()`, `Agent.ts:3: Math.random inside src`],
    ["Agent.ts", `console.log(1)`, `Agent.ts:3: console.log inside src`],
    ["Agent.ts", `const x = JSON.parse("1")`, `Agent.ts:3: JSON.parse inside src`],
    ["Agent.ts", `const x = process.env`, `Agent.ts:3: process.env inside src`],
    ["Agent.ts", `export const x = 1`, `Agent.ts:3: x has no @category and @since`],
    ["Agent.ts", `/** X.\n * @since 0.1.0 */\nexport class X {}`, `Agent.ts:5: X has no @category`],
    [
      "Agent.ts",
      `/** X.\n * @category x\n * @since 0.1.0 */\nexport interface X {\n  /** Y. */\n  readonly y?: 1\n}`,
      `Agent.ts:8: the option y has no comment with its default`
    ],
    ["Agent.ts", `const x = 1\n`.repeat(499), `Agent.ts: 501 lines, look for the second idea`]
  ]

  it.each(cases.map(([path, body, complaint]) => ({ path, body, complaint })))("say: $complaint", (_) => {
    const { body, complaint, path } = _
    assert.deepStrictEqual(complaints(path, body), [complaint])
  })

  it("take a docstring for granted nowhere but in overloads", () => {
    const doc = "/** F.\n * @category x\n * @since 0.1.0 */\n"
    const overloads = "export function f(x: string): void\nexport function f(x: number): void\nexport function f() {}\n"
    assert.deepStrictEqual(complaints("Agent.ts", doc + overloads), [])
    assert.deepStrictEqual(complaints("Agent.ts", doc + "export type f = 1\nexport const f = 1\n"), [
      "Agent.ts:7: f has no @category and @since"
    ])
    assert.deepStrictEqual(checkFile({ path: "Agent.ts", text: "const x = 1" }), [
      "Agent.ts:1: no module comment with @since"
    ])
  })

  it("find cycles of run-time imports, through any number of files, and none through types", () => {
    const file = (path: string, text: string): Source => ({ path, text })
    assert.deepStrictEqual(
      checkTogether([
        file("a.ts", `import * as b from "./b.ts"`),
        file("b.ts", `export * as c from "./internal/c.ts"`),
        file("internal/c.ts", `import { type A } from "../a.ts"`)
      ]),
      ["import cycle at run time: a.ts -> b.ts -> internal/c.ts -> a.ts"]
    )
    assert.deepStrictEqual(
      checkTogether([file("a.ts", `import * as b from "./b.ts"`), file("b.ts", `import type * as a from "./a.ts"`)]),
      []
    )
  })
})
