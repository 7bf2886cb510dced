import { NodeFileSystem, NodePath } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Layer, Path, Stream } from "effect"
import * as Folder from "../scratchpad/ask/Folder.ts"
import * as FolderTools from "../scratchpad/ask/FolderTools.ts"

type Files = Record<string, string | Uint8Array | { readonly link: string }>

const parts = Layer.merge(NodeFileSystem.layer, NodePath.layer)

/** Two folders beside each other: `inside` is given to the tools, `outside` has a secret. */
const makeFolders = Effect.fnUntraced(function*(files: Files) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const base = yield* fs.makeTempDirectoryScoped({ prefix: "ask-" })
  const inside = path.join(base, "inside")
  yield* fs.makeDirectory(inside)
  yield* fs.makeDirectory(path.join(base, "outside"))
  yield* fs.writeFileString(path.join(base, "outside", "secret.txt"), "the secret\n")
  for (const [name, content] of Object.entries(files)) {
    const file = path.join(inside, name)
    yield* fs.makeDirectory(path.dirname(file), { recursive: true })
    if (typeof content === "string") yield* fs.writeFileString(file, content)
    else if (content instanceof Uint8Array) yield* fs.writeFile(file, content)
    else yield* fs.symlink(content.link, file)
  }
  return inside
})

type Name = "list_files" | "search_text" | "read_file"

/** Calls a tool as a model does, and gives its last result and how many came before. */
const call = Effect.fnUntraced(function*(files: Files, name: Name, params: object) {
  const inside = yield* makeFolders(files)
  const tools = FolderTools.layer.pipe(Layer.provide(Folder.layer(inside)))
  const results = yield* Effect.gen(function*() {
    const toolkit = yield* FolderTools.toolkit
    return yield* Stream.runCollect(yield* toolkit.handle(name, params as never))
  }).pipe(Effect.provide(tools))
  const last = results[results.length - 1]
  assert.isFalse(last.preliminary)
  return { isFailure: last.isFailure, result: last.encodedResult, inside, preliminary: results.slice(0, -1) }
})

const ok = (files: Files, name: Name, params: object) =>
  Effect.map(call(files, name, params), ({ isFailure, result }) => {
    assert.isFalse(isFailure, JSON.stringify(result))
    return String(result).split("\n")
  })

const refusal = (files: Files, name: Name, params: object) =>
  Effect.map(call(files, name, params), ({ isFailure, result }) => {
    assert.isTrue(isFailure, JSON.stringify(result))
    return result
  })

const outsideAdvice = "give a path that begins in the folder and has no `..`"

describe("the tools of the main job", () => {
  it.layer(parts)((it) => {
    describe("confinement", () => {
      for (
        const [title, path] of [
          ["a parent", ".."],
          ["a file beside", "../outside/secret.txt"],
          ["a way out and in again", "src/../../inside/a.txt"],
          ["`..` that stays inside", "src/../a.txt"],
          ["an absolute path", "/etc/passwd"]
        ] as const
      ) {
        it.effect(`refuses ${title}`, () =>
          Effect.gen(function*() {
            const files = { "a.txt": "a", "src/b.txt": "b" }
            const expected = { _tag: "Refused", path, problem: "outside of the folder", advice: outsideAdvice }
            assert.deepStrictEqual(yield* refusal(files, "read_file", { path }), expected)
            assert.deepStrictEqual(yield* refusal(files, "list_files", { path }), expected)
            assert.deepStrictEqual(yield* refusal(files, "search_text", { path, query: "secret" }), expected)
          }))
      }

      it.effect("refuses a path with a NUL", () =>
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* refusal({ "a.txt": "a" }, "read_file", { path: "a.txt\0.md" }), {
            _tag: "Refused",
            path: "a.txt\\0.md",
            problem: "not a path",
            advice: "leave the NUL out"
          })
        }))

      it.effect("refuses links that lead out, also in the middle of a path, and tells nothing of what lies there", () =>
        Effect.gen(function*() {
          const files = { "out.txt": { link: "../outside/secret.txt" }, "out": { link: "../outside" } }
          for (const path of ["out.txt", "out/secret.txt", "out/nothing.txt", "out"]) {
            assert.deepStrictEqual(yield* refusal(files, "read_file", { path }), {
              _tag: "Refused",
              path,
              problem: "a symbolic link that leads out of the folder",
              advice: "choose another file"
            })
          }
        }))

      it.effect("refuses a folder whose name begins like the root's", () =>
        Effect.gen(function*() {
          const fs = yield* FileSystem.FileSystem
          const inside = yield* makeFolders({ "x": { link: "../inside-too/a.txt" } })
          yield* fs.makeDirectory(`${inside}-too`)
          yield* fs.writeFileString(`${inside}-too/a.txt`, "a")
          const error = yield* Folder.Folder.pipe(
            Effect.flatMap((folder) => folder.lines("x")),
            Effect.flip,
            Effect.provide(Folder.layer(inside))
          )
          assert.strictEqual(
            error.message,
            "x: a symbolic link that leads out of the folder; choose another file"
          )
        }))

      it.effect("reads through a link that stays inside, and an absolute path that does", () =>
        Effect.gen(function*() {
          const inside = yield* makeFolders({ "a/b.txt": "one\ntwo\n", "in.txt": { link: "a/b.txt" } })
          const lines = yield* Effect.gen(function*() {
            const folder = yield* Folder.Folder
            return [yield* folder.lines("in.txt"), yield* folder.lines(`${inside}/a/b.txt`)]
          }).pipe(Effect.provide(Folder.layer(inside)))
          assert.deepStrictEqual(lines, [["one", "two"], ["one", "two"]])
        }))

      it.effect("does not follow links when it lists and searches, also not loops and links to nowhere", () =>
        Effect.gen(function*() {
          const files: Files = {
            "a.txt": "the needle",
            "out": { link: "../outside" },
            "loop": { link: "." },
            "nowhere": { link: "missing" },
            "self": { link: "self" }
          }
          assert.deepStrictEqual(yield* ok(files, "list_files", { depth: 9 }), [
            "a.txt",
            "loop (link, not followed)",
            "nowhere (link, not followed)",
            "out (link, not followed)",
            "self (link, not followed)"
          ])
          assert.deepStrictEqual(yield* ok(files, "search_text", { query: "the" }), ["a.txt:1: the needle"])
          assert.deepStrictEqual(yield* refusal(files, "read_file", { path: "nowhere" }), {
            _tag: "Refused",
            path: "nowhere",
            problem: "there is no such file or folder",
            advice: "use list_files to see what there is"
          })
          const self = yield* call(files, "read_file", { path: "self" })
          assert.isTrue(self.isFailure)
        }))
    })

    describe("list_files", () => {
      const files = {
        "README.md": "# Title",
        "src/a.ts": "",
        "src/deep/b.ts": "",
        "src/deep/c.md": "",
        "node_modules/x/index.js": "",
        ".git/config": "",
        "dist/a.js": "",
        ".ci/run": ""
      }

      it.effect("lists two levels, without what nobody wrote", () =>
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* ok(files, "list_files", {}), [
            ".ci/",
            ".ci/run",
            "README.md",
            "src/",
            "src/a.ts",
            "src/deep/"
          ])
        }))

      it.effect("lists a folder, a depth, a glob, a number of entries", () =>
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* ok(files, "list_files", { path: "src", depth: 1 }), ["src/a.ts", "src/deep/"])
          assert.deepStrictEqual(yield* ok(files, "list_files", { glob: "*.ts" }), ["src/a.ts", "src/deep/b.ts"])
          assert.deepStrictEqual(yield* ok(files, "list_files", { glob: "src/**/*.md" }), ["src/deep/c.md"])
          assert.deepStrictEqual(yield* ok(files, "list_files", { glob: "*.zig" }), ["No file in . matches *.zig"])
          assert.deepStrictEqual(yield* ok(files, "list_files", { depth: 9, max_entries: 2 }), [
            ".ci/",
            "README.md",
            "(6 more entries not shown: give a path or a narrower glob)"
          ])
        }))

      it.effect("leaves out what a .gitignore excludes, also that of an inner folder", () =>
        Effect.gen(function*() {
          const ignoring = {
            ".gitignore": "# comment\n*.log\n!keep.log\n/only-top\nbuild/\n",
            "a.log": "",
            "keep.log": "",
            "only-top": "",
            "build/x.txt": "",
            "src/build": "a file",
            "src/only-top": "",
            "src/.gitignore": "private\n",
            "src/private/x.txt": "",
            "src/a.log": ""
          }
          const all = ["src/.gitignore", "src/build", "src/only-top"]
          assert.deepStrictEqual(yield* ok(ignoring, "list_files", { depth: 9 }), [
            ".gitignore",
            "keep.log",
            "src/",
            ...all
          ])
          assert.deepStrictEqual(yield* ok(ignoring, "list_files", { path: "src", depth: 9 }), all)
        }))

      it.effect("tells of an empty folder, and refuses a file", () =>
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* ok({}, "list_files", {}), [". is empty"])
          assert.deepStrictEqual(yield* refusal({ "a.txt": "a" }, "list_files", { path: "a.txt" }), {
            _tag: "Refused",
            path: "a.txt",
            problem: "not a folder",
            advice: "give a folder, or use read_file"
          })
        }))
    })

    describe("search_text", () => {
      it.effect("gives path, line number and line; capitals count only in a query with capitals", () =>
        Effect.gen(function*() {
          const files = { "a.txt": "one\r\n  Tool Loop\r\n", "b/c.ts": "tool loop\nToolLoop\n" }
          assert.deepStrictEqual(yield* ok(files, "search_text", { query: "tool loop" }), [
            "a.txt:2: Tool Loop",
            "b/c.ts:1: tool loop"
          ])
          assert.deepStrictEqual(yield* ok(files, "search_text", { query: "ToolLoop" }), ["b/c.ts:2: ToolLoop"])
          assert.deepStrictEqual(yield* ok(files, "search_text", { query: "tool loop", path: "b" }), [
            "b/c.ts:1: tool loop"
          ])
          assert.deepStrictEqual(yield* ok(files, "search_text", { query: "zebra" }), [
            "No line matches zebra (2 files searched)"
          ])
        }))

      it.effect("finds text in other scripts, whichever way it was composed", () =>
        Effect.gen(function*() {
          const files = { "ü/größe.txt": "Cafe\u0301\n漢字 🎉\n" }
          assert.deepStrictEqual(yield* ok(files, "search_text", { query: "café" }), ["ü/größe.txt:1: Cafe\u0301"])
          assert.deepStrictEqual(yield* ok(files, "search_text", { query: "字 🎉" }), ["ü/größe.txt:2: 漢字 🎉"])
        }))

      it.effect("takes a literal text literally, and a regular expression when asked", () =>
        Effect.gen(function*() {
          const files = { "a.txt": "a.b\naxb\n" }
          assert.deepStrictEqual(yield* ok(files, "search_text", { query: "a.b" }), ["a.txt:1: a.b"])
          assert.deepStrictEqual(yield* ok(files, "search_text", { query: "^a.b$", regex: true }), [
            "a.txt:1: a.b",
            "a.txt:2: axb"
          ])
        }))

      it.effect("refuses a bad expression, and ones that would take for ever", () =>
        Effect.gen(function*() {
          const files = { "a.txt": "aaaa" }
          const bad = yield* refusal(files, "search_text", { query: "(", regex: true })
          assert.match(
            JSON.stringify(bad),
            /"path":"\(","problem":"not a regular expression \(Invalid regular expression: /
          )
          for (const query of ["(a+)+$", "((a+))+$", "(a|aa)*$", "a*a*a*a*b"]) {
            assert.deepStrictEqual(yield* refusal(files, "search_text", { query, regex: true }), {
              _tag: "Refused",
              path: query,
              problem:
                "a regular expression that can take for ever: repetitions within a repetition, or more than three",
              advice: "use a simpler regular expression or a literal text"
            })
          }
        }))

      it.effect("is bounded, and says what it left out", () =>
        Effect.gen(function*() {
          const files = {
            "a.txt": "needle\nneedle\nneedle\n",
            "b.bin": new Uint8Array([110, 0, 101]),
            "c.txt": new Uint8Array(Folder.maxFileSize + 1).fill(97)
          }
          assert.deepStrictEqual(yield* ok(files, "search_text", { query: "needle", max_results: 2 }), [
            "a.txt:1: needle",
            "a.txt:2: needle",
            "(only the first 2 matching lines are shown: narrow the query or the path)"
          ])
          assert.deepStrictEqual(yield* ok(files, "search_text", { query: "needle" }), [
            "a.txt:1: needle",
            "a.txt:2: needle",
            "a.txt:3: needle",
            "(2 files not searched: binary, too big or not readable)"
          ])
        }))

      it.effect("shows its progress in a long search", () =>
        Effect.gen(function*() {
          const names = Array.from({ length: 120 }, (_, index) => `f${String(index).padStart(3, "0")}.txt`)
          const files = Object.fromEntries(names.map((name) => [name, "needle"]))
          const { preliminary } = yield* call(files, "search_text", { query: "needle", max_results: 200 })
          assert.deepStrictEqual(preliminary.map((result) => [result.preliminary, result.encodedResult]), [
            [true, "searched 50 files, 50 matching lines so far"],
            [true, "searched 100 files, 100 matching lines so far"]
          ])
        }))
    })

    describe("read_file", () => {
      it.effect("gives numbered lines, all or some", () =>
        Effect.gen(function*() {
          const files = { "a.txt": "\ufeffone\r\ntwo\nthree\n" }
          assert.deepStrictEqual(yield* ok(files, "read_file", { path: "./a.txt" }), [
            "a.txt, lines 1-3 of 3",
            "    1  one",
            "    2  two",
            "    3  three"
          ])
          assert.deepStrictEqual(yield* ok(files, "read_file", { path: "a.txt", from_line: 2, line_count: 1 }), [
            "a.txt, lines 2-2 of 3",
            "    2  two"
          ])
        }))

      for (
        const [title, content, problem, advice] of [
          [
            "a binary file",
            new Uint8Array([65, 0, 66]),
            "a binary file, or text that is not UTF-8",
            "choose a text file"
          ],
          ["Latin-1", new Uint8Array([0xe9, 0x65]), "a binary file, or text that is not UTF-8", "choose a text file"],
          [
            "a big file",
            new Uint8Array(3 * 1024 * 1024).fill(97),
            "too big to read (3.0 MB, the limit is 2 MB)",
            "choose a smaller file"
          ],
          ["a line that is not there", "one\n", "there is no line 7, the file has 1 line", "begin at an earlier line"]
        ] as const
      ) {
        it.effect(`refuses ${title}`, () =>
          Effect.gen(function*() {
            const result = yield* refusal({ "x.dat": content }, "read_file", { path: "x.dat", from_line: 7 })
            assert.deepStrictEqual(result, { _tag: "Refused", path: "x.dat", problem, advice })
          }))
      }

      it.effect("refuses a folder, and what is not there", () =>
        Effect.gen(function*() {
          const files = { "src/a.ts": "" }
          assert.deepStrictEqual(yield* refusal(files, "read_file", { path: "src" }), {
            _tag: "Refused",
            path: "src",
            problem: "this is a folder",
            advice: "use list_files to see what is in it"
          })
          assert.deepStrictEqual(yield* refusal(files, "read_file", { path: "src/b.ts" }), {
            _tag: "Refused",
            path: "src/b.ts",
            problem: "there is no such file or folder",
            advice: "use list_files to see what there is"
          })
          assert.deepStrictEqual(yield* ok(files, "read_file", { path: "src/a.ts" }), ["src/a.ts is empty"])
        }))
    })
  })
})
