import { assert, describe, it } from "@effect/vitest"
import { Glob as EffectGlob } from "effect"
import * as Glob from "../scratchpad/ask/Glob.ts"
import * as Ignore from "../scratchpad/ask/Ignore.ts"

const words = <A>(alphabet: ReadonlyArray<A>, length: number): ReadonlyArray<ReadonlyArray<A>> =>
  length === 0 ? [[]] : words(alphabet, length - 1).flatMap((word) => alphabet.map((letter) => [...word, letter]))

describe("Glob", () => {
  it("matches as effect's own Glob does, for all short patterns and paths", () => {
    const segments = ["a", "*", "**", "?b", "a*", "[ab]", "[!a]", "{a,bb}", ".a", ".*"]
    const names = ["a", "b", "bb", "ab", ".a"]
    const paths = [1, 2, 3].flatMap((length) => words(names, length)).map((path) => path.join("/"))
    const different: Array<string> = []
    for (const pattern of [1, 2, 3].flatMap((length) => words(segments, length)).map((parts) => parts.join("/"))) {
      for (const dot of [false, true]) {
        const ours = Glob.make(pattern, { dot })!
        const theirs = EffectGlob.make(pattern, { dot })
        for (const path of paths) {
          if (Glob.match(ours, path) !== EffectGlob.match(theirs, path)) different.push(`${pattern} ${path} ${dot}`)
        }
      }
    }
    assert.deepStrictEqual(different.slice(0, 20), [])
  })
})

describe("Ignore", () => {
  const cases: ReadonlyArray<readonly [rules: string, path: string, isFolder: boolean, ignored: boolean]> = [
    ["a", "x/a", false, true],
    ["/a", "x/a", false, false],
    ["x/a", "y/x/a", false, false],
    ["**/x/a", "y/x/a", false, true],
    ["a/", "a", false, false],
    ["a/", "x/a", true, true],
    ["a/**", "a", true, false],
    ["a/**", "a/b", false, true],
    ["a/**/b", "a/b", false, true],
    ["*.log\n!keep.log", "keep.log", false, false],
    ["!keep.log\n*.log", "keep.log", false, true],
    ["\\!a", "!a", false, true],
    ["\\#a", "#a", false, true],
    ["a  ", "a", false, true],
    ["a\\ ", "a ", false, true],
    ["{a,b}", "a", false, false],
    ["{a,b}", "{a,b}", false, true],
    [".*", ".hidden", false, true],
    ["*", ".hidden", false, true],
    ["a\r\nb", "b", false, true],
    [`${"*a".repeat(1000)}`, "aaaa", false, false]
  ]
  for (const [rules, path, isFolder, ignored] of cases) {
    it(`${JSON.stringify(rules).slice(0, 40)} and ${path}${isFolder ? "/" : ""}: ${ignored}`, () => {
      assert.strictEqual(Ignore.ignores(Ignore.parse(rules, ""), path, isFolder), ignored)
    })
  }
})
