import { NodeFileSystem, NodePath } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Layer, Logger, Path, Stream } from "effect"
import { execFileSync } from "node:child_process"
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

    describe("files that are not what they seem", () => {
      const special = Effect.fnUntraced(function*(make: string) {
        const inside = yield* makeFolders({ "a.txt": "the needle" })
        yield* Effect.sync(() => execFileSync("sh", ["-c", make], { cwd: inside }))
        return inside
      })
      const inFolder = <A, E>(inside: string, use: (folder: Folder.Folder["Service"]) => Effect.Effect<A, E>) =>
        Effect.flatMap(Folder.Folder, use).pipe(Effect.provide(Folder.layer(inside)))

      for (
        const [title, make] of [
          ["a pipe", "mkfifo X"],
          ["a link to a pipe", "mkfifo p && ln -s p X"],
          ["a link to a device", "ln -s /dev/zero X"],
          ["a folder", "mkdir X"],
          [
            "a socket",
            "node -e 'require(\"net\").createServer().listen(\"X\", () => process.kill(process.pid, 9))'; test -S X"
          ]
        ] as const
      ) {
        it.effect(`a .gitignore, a README and a file that is ${title}: nobody waits for it`, () =>
          Effect.gen(function*() {
            for (const name of [".gitignore", "README.md", "x.txt"]) {
              const inside = yield* special(make.replaceAll("X", name))
              yield* inFolder(inside, (folder) =>
                Effect.gen(function*() {
                  const entries = yield* Stream.runCollect(folder.walk("."))
                  assert.include(entries.map((entry) => entry.path), "a.txt")
                  const error = yield* Effect.flip(folder.lines(name))
                  assert.match(error.problem, /folder|not a regular file|symbolic link/)
                }))
            }
          }))
      }

      it.effect("reads no more of a .gitignore than its limit, and says that its rules do not count", () =>
        Effect.gen(function*() {
          const logged: Array<unknown> = []
          const logger = Logger.make(({ message }) => void logged.push(message))
          const inside = yield* makeFolders({ ".gitignore": "*.txt\n".repeat(20_000), "a.txt": "a" })
          const paths = yield* inFolder(
            inside,
            (folder) => Effect.andThen(Stream.runCollect(folder.walk(".")), Stream.runCollect(folder.walk(".")))
          ).pipe(
            Effect.provide(Logger.layer([logger]))
          )
          assert.deepStrictEqual(paths.map((entry) => entry.path), [".gitignore", "a.txt"])
          assert.deepStrictEqual(logged.flat(), [
            "The rules of .gitignore do not count: too big to read (0.11 MB, the limit is 0.06 MB)"
          ])
        }))
    })

    describe("what is ignored", () => {
      const files: Files = {
        ".gitignore": "build/\n*.log\n",
        "build/x.txt": "needle",
        "a.log": "needle",
        ".git/config": "needle",
        "sub/.git": "gitdir: needle",
        "node_modules/m/i.js": "needle",
        "src/.gitignore": "/gen\n",
        "src/gen/y.ts": "needle",
        "src/a.ts": "needle",
        "to-build": { link: "build" },
        "to-log.txt": { link: "a.log" }
      }
      const ignored = [
        "build/x.txt",
        "build//x.txt",
        "build",
        "a.log",
        ".git/config",
        ".git",
        "sub/.git",
        "src/gen/y.ts"
      ]

      it.effect("is refused by every tool, also by another name", () =>
        Effect.gen(function*() {
          for (const path of [...ignored, "node_modules/m/i.js", "to-build/x.txt", "to-log.txt"]) {
            const expected = {
              _tag: "Refused",
              path,
              problem: "ignored by git",
              advice: "the user can allow it with --include-ignored"
            }
            assert.deepStrictEqual(yield* refusal(files, "read_file", { path }), expected)
            assert.deepStrictEqual(yield* refusal(files, "search_text", { path, query: "needle" }), expected)
            assert.deepStrictEqual(yield* refusal(files, "list_files", { path }), expected)
          }
          assert.deepStrictEqual(yield* ok(files, "search_text", { query: "needle" }), ["src/a.ts:1: needle"])
        }))

      it.effect("is there for a user who asks for it", () =>
        Effect.gen(function*() {
          const inside = yield* makeFolders(files)
          const found = yield* Effect.gen(function*() {
            const folder = yield* Folder.Folder
            const entries = yield* Stream.runCollect(folder.walk("."))
            return { paths: entries.map((entry) => entry.path), line: yield* folder.lines("to-build/x.txt") }
          }).pipe(Effect.provide(Folder.layer(inside, { includeIgnored: true })))
          for (const path of ["build/x.txt", "a.log", ".git/config", "node_modules/m/i.js"]) {
            assert.include(found.paths, path)
          }
          assert.deepStrictEqual(found.line, ["needle"])
        }))
    })

    describe("what may be secret", () => {
      const secrets = [
        ".env",
        ".ENV.local",
        "prod.env",
        "deep/.env~",
        "server.pem",
        "server.key.bak",
        "id_rsa",
        "Id_Ed25519.old",
        ".ssh/config",
        ".aws/anything",
        "credentials",
        "google-credentials.json",
        "client_secret_1.json",
        "secrets.yaml",
        ".npmrc",
        ".netrc",
        "a.kdbx",
        "x.tfstate",
        "service-account.json"
      ]
      const files: Files = {
        ...Object.fromEntries(secrets.map((name) => [name, "needle"])),
        "notes.txt": { link: ".env" },
        "conf": { link: ".aws" },
        ".env.example": "needle",
        "id_rsa.pub": "needle",
        "Secrets.ts": "needle",
        "tokens.ts": "needle",
        "env.ts": "needle",
        "keyboard.md": "needle"
      }

      it.effect("is named, but not read and not searched", () =>
        Effect.gen(function*() {
          for (const path of [...secrets, "notes.txt", "conf/anything"]) {
            const expected = {
              _tag: "Refused",
              path,
              problem: "a file that may hold secrets",
              advice: "the user can allow it with --include-secrets"
            }
            assert.deepStrictEqual(yield* refusal(files, "read_file", { path }), expected)
            assert.deepStrictEqual(yield* refusal(files, "search_text", { path, query: "needle" }), expected)
          }
          assert.deepStrictEqual(yield* ok(files, "search_text", { query: "needle" }), [
            ".env.example:1: needle",
            "Secrets.ts:1: needle",
            "env.ts:1: needle",
            "id_rsa.pub:1: needle",
            "keyboard.md:1: needle",
            "tokens.ts:1: needle",
            `(${secrets.length} files not searched: the name says that it may hold secrets)`
          ])
          assert.include(yield* ok(files, "list_files", {}), "server.pem")
          assert.deepStrictEqual(yield* ok(files, "search_text", { query: "needle", path: "conf" }), [
            "No line matches needle (0 files searched)",
            "(1 file not searched: the name says that it may hold secrets)"
          ])
        }))

      it.effect("is read for a user who asks for it", () =>
        Effect.gen(function*() {
          const inside = yield* makeFolders(files)
          const lines = yield* Effect.flatMap(Folder.Folder, (folder) => folder.lines(".env")).pipe(
            Effect.provide(Folder.layer(inside, { includeSecrets: true }))
          )
          assert.deepStrictEqual(lines, ["needle"])
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

      it.effect("takes any glob in time that is proportional to the names, and refuses too many alternatives", () =>
        Effect.gen(function*() {
          const files = { [`${"a/".repeat(30)}${"a".repeat(200)}`]: "" }
          for (const glob of ["*a".repeat(100) + "b", "**/a/".repeat(40) + "b", "**/".repeat(100) + "b"]) {
            assert.deepStrictEqual(yield* ok(files, "list_files", { glob }), [`No file in . matches ${glob}`])
          }
          for (const glob of ["{a,b}".repeat(60), "{a,b}".repeat(7), "*a".repeat(500_000)]) {
            assert.deepInclude(yield* refusal(files, "list_files", { glob }), {
              problem: "a glob of more than 500 characters or 64 alternatives"
            })
          }
        }))

      it.effect("shows names in one line, without control characters", () =>
        Effect.gen(function*() {
          const name = "a\u001b[31m\u202e\u2028b\nc.txt"
          const shown = "a\ufffd[31m\ufffd\ufffdb c.txt"
          assert.deepStrictEqual(yield* ok({ [name]: "needle" }, "list_files", {}), [shown])
          assert.deepStrictEqual(yield* ok({ [name]: "needle" }, "search_text", { query: "needle" }), [
            `${shown}:1: needle`
          ])
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

      it.effect("refuses what is no expression of RE2, and what repeats too much", () =>
        Effect.gen(function*() {
          const files = { "a.txt": "aaaa" }
          for (
            const [query, problem] of [
              ["(", "not a regular expression (error parsing regexp: missing closing ): `(`)"],
              ["(a)\\1", "not a regular expression (error parsing regexp: invalid escape sequence: `\\1`)"],
              ["(?=a)", "not a regular expression (error parsing regexp: invalid or unsupported Perl syntax: `(?=`)"],
              ["((a{99}){10}){9}", "not a regular expression (error parsing regexp: invalid repeat count: `{9}`)"],
              ["(a{1000})(b{1000})", "a regular expression that repeats too much"]
            ] as const
          ) {
            const refused = yield* refusal(files, "search_text", { query, regex: true })
            assert.deepInclude(refused, { _tag: "Refused", path: query, problem })
          }
        }))

      it.effect("takes any expression in time that is proportional to the text", () =>
        Effect.gen(function*() {
          const files = { "a.txt": `${"a".repeat(999)}\n`.repeat(20) }
          const cases = ["(a+)+$", "((a+))+$", "(a|aa)*$", "a*a*a*a*a"]
          for (const query of cases) {
            const lines = yield* ok(files, "search_text", { query, regex: true, max_results: 1 })
            assert.strictEqual(lines[0], `a.txt:1: ${"a".repeat(199)}…`)
          }
          // Each of these keeps a backtracking engine busy until the end of the world
          const never = ["(a+)+b", "(a|a)".repeat(35) + "b", "a?".repeat(60) + "a".repeat(60) + "b", "(.*)*(.*)*x"]
          for (const query of never) {
            assert.deepStrictEqual(yield* ok(files, "search_text", { query, regex: true }), [
              `No line matches ${query} (1 file searched)`
            ])
          }
        }))

      it.effect("finds the same with and without a look at the whole text before", () =>
        Effect.gen(function*() {
          const text = "one two\nTWO one\n\n  end\n"
          for (
            const query of ["^two", "two$", "^$", "\\bone\\b", "o.t", "[^x]e", "\\s+end", "\\Aone", "one\\z", "(?i)TWO"]
          ) {
            const files = { "lf.txt": text, "crlf.txt": text.replaceAll("\n", "\r\n") }
            const lines = yield* ok(files, "search_text", { query, regex: true })
            const of = (name: string) =>
              lines.filter((line) => line.startsWith(name)).map((line) => line.split(":").slice(1))
            const flags = query === query.toLowerCase() ? "i" : ""
            const native = new RegExp(
              query.replace("\\A", "^").replace("\\z", "$").replace("(?i)", ""),
              query.startsWith("(?i)") ? "i" : flags
            )
            const expected = text.split("\n").slice(0, -1).flatMap((line, index) =>
              native.test(line) ? [[String(index + 1), ` ${line.trim()}`]] : []
            )
            assert.deepStrictEqual([of("lf"), of("crlf")], [expected, expected], query)
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
