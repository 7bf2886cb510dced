import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js"
import { Arbitrary, Context, Deferred, Duration, Effect, Exit, Fiber, Layer, Logger, Schema, Stream } from "effect"
import { McpClient, McpProtocol, McpSchema, McpServer, Prompt, Tool, Toolkit } from "effect/ai"
import { FetchHttpClient } from "effect/http"
import { ChildProcess } from "effect/process"
import { TestClock } from "effect/testing"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { Agent, AgentRun, Approval, SessionHistory, SessionStore, ToolLoop } from "../src/index.ts"
import { toAccepted } from "../src/mcp/internal/names.ts"
import { McpToolkit } from "../src/mcp/index.ts"
import { toFailure, toResult } from "../src/mcp/internal/results.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import {
  add,
  answer,
  everything,
  everythingOverHttp,
  program,
  readOnly,
  register,
  revisions,
  serve,
  text,
  told
} from "./fixtures/mcp.ts"
import { changing } from "./fixtures/mcpSdkChanging.ts"

const script = ScriptedModel.layer
const calls = (...names: ReadonlyArray<string>) =>
  script([...names.map((name) => ScriptedModel.toolCalls({ name, params: {} })), ScriptedModel.text("done")])
const agent = Agent.make("agent", { toolkit: McpToolkit.toolkit })
const go = Agent.run(agent, { prompt: "go" })
const free = { needsApproval: () => false } as const

const { AudioContent, BlobResourceContents, CallToolResult, EmbeddedResource, ImageContent, ResourceLink } = McpSchema
const bytes = new Uint8Array([1, 2, 3])
const blob = (uri: string, mimeType?: string) =>
  EmbeddedResource.make({ type: "resource", resource: BlobResourceContents.make({ uri, mimeType, blob: bytes }) })

describe("McpToolkit", () => {
  describe("results", () => {
    const results: Record<string, readonly [sent: McpSchema.CallToolResult, seen: unknown]> = {
      text: [answer(text("a"), text("b")), [false, "a\nb"]],
      nothing: [answer(), [false, ""]],
      image: [
        answer(
          text("a map"),
          ImageContent.make({ type: "image", data: bytes, mimeType: "image/png" }),
          AudioContent.make({ type: "audio", data: bytes, mimeType: "audio/wav" }),
          blob("file:///a.pdf", "application/pdf"),
          blob("file:///b", "text/html\r\nx-evil: 1")
        ),
        ["a map", ["image/png", undefined, bytes], ["audio/wav", undefined, bytes], [
          "application/pdf",
          "file:///a.pdf",
          bytes
        ], ["application/octet-stream", "file:///b", bytes]]
      ],
      resources: [
        answer(
          ResourceLink.make({ type: "resource_link", uri: "file:///a.md", name: "a", description: "Notes" }),
          EmbeddedResource.make({
            type: "resource",
            resource: McpSchema.TextResourceContents.make({ uri: "file:///b.md", text: "# b" })
          })
        ),
        [false, "a: file:///a.md\nNotes\nfile:///b.md:\n# b"]
      ],
      error: [
        new CallToolResult({
          isError: true,
          content: [text("disk full"), ImageContent.make({ type: "image", data: bytes, mimeType: "image/png" })]
        }),
        [true, "disk full\n[image/png]"]
      ],
      silent: [new CallToolResult({ isError: true, content: [] }), [true, "The tool failed"]],
      lone: [answer(text("\ud800x")), [false, "\ufffdx"]]
    }

    for (const protocol of revisions) {
      it.live(`reach the model as they are (${protocol.protocolVersion})`, () =>
        Effect.gen(function*() {
          const registered = Object.entries(results).map(([name, [sent]]) =>
            [name, { handle: () => Effect.succeed(sent), tool: readOnly }] as const
          )
          const { layer } = yield* serve(
            register({
              ...Object.fromEntries(registered),
              refuses: { handle: () => Effect.fail(new McpSchema.InvalidParams({ message: "city is required" })) },
              dies: { handle: () => Effect.die("a secret of the server") }
            }),
            protocol
          )
          const names = [...Object.keys(results), "refuses", "dies", "gone"]
          const { outcome, seen } = yield* Effect.gen(function*() {
            const result = yield* go
            const seen = told(result.transcript).map((one: any) => one.length === 3 ? one[2] : one)
            return { outcome: result.text, seen }
          }).pipe(
            Effect.provide([McpToolkit.layer({ s: layer }, free), calls(...names.map((name) => `s__${name}`))])
          )
          assert.strictEqual(outcome, "done")
          const expected: Array<unknown> = Object.values(results).map(([, seen]) => seen)
          assert.deepStrictEqual(seen.slice(0, expected.length), expected)
          const [refuses, dies, gone] = seen.slice(expected.length) as Array<any>
          assert.deepStrictEqual(refuses[0], true)
          assert.include(refuses[1], "city is required")
          assert.deepStrictEqual(dies[0], true)
          assert.notInclude(dies[1], "secret")
          assert.deepStrictEqual([gone[0], JSON.stringify(gone[1]).includes("not found")], [true, true])
        }).pipe(Effect.scoped))
    }

    it.live("have the structured content of the server, for the program and the model", () =>
      Effect.gen(function*() {
        const structured = { a: [1, null], b: "x" }
        const { layer } = yield* serve(register({
          both: {
            handle: () => Effect.succeed(new CallToolResult({ content: [text("x")], structuredContent: structured }))
          },
          alone: { handle: () => Effect.succeed(new CallToolResult({ content: [], structuredContent: structured })) },
          deep: { handle: () => Effect.succeed(new CallToolResult({ content: [text("x")], structuredContent: deep })) }
        }))
        const result = yield* go.pipe(
          Effect.provide([McpToolkit.layer({ s: layer }, free), calls("s__both", "s__alone", "s__deep")])
        )
        const parts = result.transcript.content.flatMap((message) => message.role === "tool" ? message.content : [])
        const seen = parts.map((part) =>
          part.type === "tool-result" ? (part.result as any).structured ?? part.result : 0
        )
        assert.deepStrictEqual(seen, [structured, structured, "x"])
        assert.deepStrictEqual((told(result.transcript) as any).map((one: any) => one[2]), [
          ["x"],
          [JSON.stringify(structured)],
          undefined
        ])
      }).pipe(Effect.scoped))

    const deep = JSON.parse("{\"a\":".repeat(600) + "1" + "}".repeat(600))

    it.effect.prop("of any kind are within their bounds, and come back from JSON the same", {
      content: Arbitrary.array(Arbitrary.schema(McpSchema.ContentBlock), { maxLength: 6 }),
      structuredContent: Arbitrary.schema(Schema.Union([Schema.Undefined, Schema.Json])),
      maximumText: Arbitrary.schema(Schema.Literals([0, 1, 20, 1000])),
      maximumBytes: Arbitrary.schema(Schema.Literals([0, 2, 100]))
    }, ({ content, maximumBytes, maximumText, structuredContent }) =>
      Effect.gen(function*() {
        const result = new CallToolResult({ content, structuredContent })
        const made = toResult(result, { maximumText, maximumBytes })
        const failure = toFailure(result, { maximumText, maximumBytes })
        assert.isAtMost(failure.length, Math.max(maximumText, "The tool failed".length))
        const codec = Schema.toCodecJson(McpToolkit.Result)
        const json = JSON.parse(JSON.stringify(yield* Schema.encodeEffect(codec)(made)))
        assert.deepStrictEqual(yield* Schema.decodeEffect(codec)(json), made)
        const parts = typeof made === "string" ? [Prompt.textPart({ text: made })] : made.parts
        const note = "[6 more parts were left out]".length
        const text = parts.reduce((sum, part) => sum + (part.type === "text" ? part.text.length : 0), 0)
        assert.isAtMost(text, maximumText + note + 1)
        assert.isTrue(parts.every((part) => part.type === "file" || part.text.isWellFormed()))
        const bytes = parts.reduce(
          (sum, part) => sum + (part.type === "file" ? (part.data as Uint8Array).length : 0),
          0
        )
        assert.isAtMost(bytes, maximumBytes)
      }), { arbitrary: { runs: 300 } })

    it.live("are bounded, and say what was left out", () =>
      Effect.gen(function*() {
        const { layer } = yield* serve(register({
          long: { handle: () => Effect.succeed(answer(text("x".repeat(100)), text("y"))) },
          files: { handle: () => Effect.succeed(answer(blob("a:1", "a/b"), blob("a:2", "a/b"))) },
          many: { handle: () => Effect.succeed(answer(...Array.from({ length: 1000 }, () => text("")))) },
          error: {
            handle: () => Effect.succeed(new CallToolResult({ isError: true, content: [text("x".repeat(100))] }))
          },
          json: {
            handle: () => Effect.succeed(new CallToolResult({ content: [], structuredContent: { x: "x".repeat(100) } }))
          }
        }))
        const names = ["long", "files", "many", "error", "json"]
        const { transcript } = yield* go.pipe(Effect.provide([
          McpToolkit.layer({ s: layer }, { ...free, maximumText: 60, maximumBytes: 5 }),
          calls(...names.map((name) => `s__${name}`))
        ]))
        const cut = "… [the rest was left out]"
        assert.deepStrictEqual(told(transcript).map((one: any) => one[2] ?? one[1]), [
          "x".repeat(60 - cut.length) + cut + "\n[1 more parts were left out]",
          [["a/b", "a:1", bytes], "[a:2, a/b, left out because it has 3 bytes]"],
          "\n".repeat(60) + "[940 more parts were left out]",
          "x".repeat(60 - cut.length) + cut,
          "{\"x\":\"" + "x".repeat(60 - cut.length - 6) + cut
        ])
      }).pipe(Effect.scoped))

    it.effect("are in the session as they were in the run", () =>
      Effect.gen(function*() {
        const { layer } = yield* serve(register({
          image: { handle: () => Effect.succeed(results.image[0]) }
        }))
        const assistant = Agent.make("agent", { toolkit: McpToolkit.toolkit, providers: [SessionHistory.provider] })
        const { transcript } = yield* Agent.run(assistant, { prompt: "go", session: "s" }).pipe(
          Effect.provide([McpToolkit.layer({ s: layer }, free), calls("s__image")])
        )
        const { history } = yield* (yield* SessionStore.SessionStore).load("s")
        assert.deepStrictEqual(told(history), told(transcript))
        assert.deepStrictEqual((told(history) as any)[0][2], results.image[1])
      }).pipe(Effect.provide(SessionStore.layerMemory), Effect.scoped))
  })

  describe("names", () => {
    const Wanted = Arbitrary.schema(Schema.Union([
      Schema.String,
      Schema.Literals([
        "a",
        "a.b",
        "a/b",
        "a_b",
        "__proto__",
        "constructor",
        "",
        "1a",
        "é",
        "a".repeat(65),
        "a".repeat(70)
      ])
    ]))

    it.effect.prop("are accepted by providers, all different, and the same in any order", {
      wanted: Arbitrary.array(Wanted, { maxLength: 12 })
    }, ({ wanted }) =>
      Effect.sync(() => {
        const tools = wanted.map((name, index) => ({ name, identity: `${index}` }))
        const names = toAccepted(tools)
        assert.strictEqual(new Set(names).size, tools.length)
        for (const [index, name] of names.entries()) {
          assert.match(name, /^[a-zA-Z_][a-zA-Z0-9_-]{0,63}$/)
          assert.notStrictEqual(name, "__proto__")
          const { name: own } = tools[index]
          const isOnly = wanted.filter((other) => other === own).length === 1
          if (isOnly && own !== "__proto__" && /^[a-zA-Z_][a-zA-Z0-9_-]{0,63}$/.test(own)) assert.strictEqual(name, own)
        }
        assert.deepStrictEqual(toAccepted(tools.toReversed()).toReversed(), names)
      }))

    it("have a hash that is the same tomorrow", () => {
      const wanted = ["a.b", "a/b", "a_b", "x".repeat(80)].map((name) => ({ name, identity: name }))
      assert.deepStrictEqual(toAccepted(wanted), [
        "a_b_0b873fc8",
        "a_b_0b873fe9",
        "a_b",
        `${"x".repeat(55)}_fa4a7505`
      ])
    })

    it.live("tell servers apart, and are described", () =>
      Effect.gen(function*() {
        const one = yield* serve(register({
          "ns.tool/x": { handle: () => Effect.succeed(answer(text("1"))), tool: readOnly },
          y: { handle: () => Effect.succeed(answer(text("y"))), tool: { title: "Y", description: "d".repeat(9000) } },
          z: { handle: () => Effect.succeed(answer(text("z"))) }
        }))
        const two = yield* serve(register({ y: { handle: () => Effect.succeed(answer(text("2"))) } }))
        const servers = McpToolkit.layer({ one: one.layer, two: two.layer }, {
          ...free,
          include: ({ tool }) => tool !== "z",
          toName: (server, tool) => server === "two" ? tool : `${server}__${tool}`
        })
        yield* Effect.gen(function*() {
          const { transcript } = yield* go
          assert.deepStrictEqual(told(transcript), [[false, "1"], [false, "y"], [false, "2"]])
          const tools = yield* (yield* McpToolkit.McpToolkit).tools
          const unknown = { title: undefined, description: undefined }
          const untold = { isReadOnly: false, isDestructive: true, isIdempotent: false, isOpenWorld: true }
          assert.deepStrictEqual(tools, [
            { ...unknown, ...untold, server: "one", tool: "ns.tool/x", name: "one__ns_tool_x", isReadOnly: true },
            { ...untold, server: "one", tool: "y", name: "one__y", title: "Y", description: "d".repeat(9000) },
            { ...unknown, ...untold, server: "two", tool: "y", name: "y" }
          ])
          const { tools: offered } = yield* McpToolkit.toolkit
          assert.strictEqual(Tool.getDescription(offered.one__y)?.length, 8192)
          assert.isTrue(Context.get(offered.one__ns_tool_x.annotations, Tool.Readonly))
        }).pipe(Effect.provide([servers, calls("one__ns_tool_x", "one__y", "y")]))
      }).pipe(Effect.scoped))
  })

  describe("approvals", () => {
    const registered = (ran: Array<string>) => {
      const handle = (name: string) => () =>
        Effect.sync(() => {
          ran.push(name)
          return answer(text(name))
        })
      return register({ read: { handle: handle("read"), tool: readOnly }, write: { handle: handle("write") } })
    }

    it.live("are needed unless the tool only reads, and let the call run", () =>
      Effect.gen(function*() {
        const ran: Array<string> = []
        const { layer } = yield* serve(registered(ran))
        yield* Effect.gen(function*() {
          const result = yield* go
          assert.deepStrictEqual([result.approvals.map(({ tool }) => tool), ran], [["s__write"], ["read"]])
          const resumed = yield* Agent.resume(agent, { result }, [Approval.approve(result.approvals[0])])
          assert.deepStrictEqual([resumed.text, ran], ["done", ["read", "write"]])
        }).pipe(Effect.provide([McpToolkit.layer({ s: layer }), calls("s__read", "s__write")]))
      }).pipe(Effect.scoped))

    it.live("are what the program decides, which fails closed", () =>
      Effect.gen(function*() {
        const ran: Array<string> = []
        const { layer } = yield* serve(registered(ran))
        const asked: Array<unknown> = []
        const needsApproval = (tool: McpToolkit.ServerTool, params: unknown) => {
          asked.push([tool.tool, params])
          if (tool.tool === "read") throw new Error("no")
          return false
        }
        const result = yield* go.pipe(
          Effect.provide([McpToolkit.layer({ s: layer }, { needsApproval }), calls("s__write", "s__read")])
        )
        assert.deepStrictEqual([result.approvals.map(({ tool }) => tool), ran], [["s__read"], ["write"]])
        assert.deepStrictEqual(asked, [["write", {}], ["read", {}]])
      }).pipe(Effect.scoped))
  })

  describe("the end of a run", () => {
    for (const protocol of revisions) {
      for (const how of ["interrupted", "left early", "too slow", "timeout of the tool"] as const) {
        it.live(`cancels the request on the wire when it is ${how} (${protocol.protocolVersion})`, () =>
          Effect.gen(function*() {
            const begun = yield* Deferred.make<void>()
            const ended = yield* Deferred.make<string>()
            const hang = Deferred.succeed(begun, undefined).pipe(
              Effect.andThen(Effect.never),
              Effect.onExit((exit) => Deferred.succeed(ended, Exit.hasInterrupts(exit) ? "interrupted" : "ended"))
            )
            const { layer } = yield* serve(
              register({
                hang: { handle: () => hang },
                quick: { handle: () => Effect.as(Deferred.await(begun), answer()) }
              }),
              protocol
            )
            const options = how === "too slow" ? { ...free, timeout: 100 } : { ...free, timeout: Duration.infinity }
            const seen = yield* Effect.gen(function*() {
              switch (how) {
                case "interrupted": {
                  const fiber = yield* Effect.forkChild(go)
                  yield* Deferred.await(begun)
                  yield* Fiber.interrupt(fiber)
                  return "interrupted"
                }
                case "left early": {
                  yield* Agent.stream(agent, { prompt: "go" }).pipe(
                    Stream.takeUntil((part) => part.type === "tool-result"),
                    Stream.runDrain
                  )
                  return "left"
                }
                case "timeout of the tool":
                  return told((yield* Effect.provideService(go, ToolLoop.ToolTimeout, 100)).transcript)
                case "too slow":
                  return told((yield* go).transcript)
              }
            }).pipe(Effect.provide([
              McpToolkit.layer({ s: layer }, options),
              script([
                ScriptedModel.toolCalls(
                  { name: "s__hang", params: {} },
                  ...how === "left early" ? [{ name: "s__quick", params: {} }] : []
                ),
                ScriptedModel.text("done")
              ])
            ]))
            assert.strictEqual(yield* Deferred.await(ended), "interrupted")
            if (how === "too slow") {
              const message = "The MCP server `s` did not answer in time, and the call was cancelled"
              assert.deepStrictEqual(seen, [[true, message]])
            }
          }).pipe(Effect.scoped, Effect.timeout("5 seconds")))
      }
    }
  })

  describe("connections", () => {
    it.live("are opened by the first run, shared, and opened again when they were lost", () =>
      Effect.gen(function*() {
        const ran: Array<string> = []
        const served = yield* serve(register({
          write: { handle: () => Effect.sync(() => answer(text(`${ran.push("write")}`))) },
          read: { handle: () => Effect.sync(() => answer(text(`${ran.push("read")}`))), tool: readOnly }
        }))
        yield* Effect.gen(function*() {
          yield* McpToolkit.McpToolkit
          assert.deepStrictEqual(served.requests, [])
          yield* Effect.all([go, go], { concurrency: 2 })
          assert.strictEqual(served.requests.filter((method) => method === "initialize").length, 1)
        }).pipe(Effect.provide([
          McpToolkit.layer({ s: served.layer }, free),
          script([ScriptedModel.text("a"), ScriptedModel.text("b")])
        ]))
        // the layer has ended its session
        assert.strictEqual(served.requests.at(-1), "DELETE")
      }).pipe(Effect.scoped))

    it.live("are opened again by a call, which is repeated only if it may be", () =>
      Effect.gen(function*() {
        const ran: Array<string> = []
        const handle = (name: string) => () => Effect.sync(() => (ran.push(name), answer(text(name))))
        const served = yield* serve(register({
          write: { handle: handle("write") },
          read: { handle: handle("read"), tool: readOnly },
          put: { handle: handle("put"), tool: { annotations: { idempotentHint: true } } }
        }))
        yield* Effect.gen(function*() {
          const seen: Array<unknown> = []
          for (const name of ["write", "read", "put"]) {
            yield* served.restart
            const { transcript } = yield* go.pipe(Effect.provide(calls(`s__${name}`, `s__${name}`)))
            seen.push(told(transcript))
          }
          const unknown = "The connection to the MCP server `s` failed before it answered, and nobody knows whether " +
            "the call had an effect: MCP session expired"
          assert.deepStrictEqual(seen, [
            [[true, unknown], [false, "write"]],
            [[false, "read"], [false, "read"]],
            [[false, "put"], [false, "put"]]
          ])
          assert.deepStrictEqual(ran, ["write", "read", "read", "put", "put"])
        }).pipe(Effect.provide(
          Layer.effectDiscard(McpToolkit.toolkit).pipe(
            Layer.provideMerge(McpToolkit.layer({ s: served.layer }, { ...free, listFor: "1 hour" }))
          )
        ))
      }).pipe(Effect.scoped))

    for (const length of [4, 5000]) {
      const ends = length === 4 ? "succeeds" : "is lost later"
      it.live(`that one call has lost do not end another call, which ${ends}, and are opened once more`, () =>
        Effect.gen(function*() {
          const begun = yield* Deferred.make<void>()
          const released = yield* Deferred.make<void>()
          const slow = Deferred.succeed(begun, undefined).pipe(
            Effect.andThen(Deferred.await(released)),
            Effect.as(answer(text("x".repeat(length))))
          )
          const { layer, requests } = yield* serve(
            register({
              slow: { handle: () => slow },
              long: { handle: () => Effect.as(Deferred.await(begun), answer(text("x".repeat(5000)))) },
              quick: { handle: () => Effect.as(Deferred.succeed(released, undefined), answer(text("quick"))) }
            }),
            revisions[0],
            4000
          )
          const tooLong = /MCP response exceeds maxMessageBytes$/
          const [[[slowly, last]], [[isFailure, failed], quick]] = yield* Effect.gen(function*() {
            const results = yield* Effect.all([
              Effect.provide(go, calls("s__slow")),
              Effect.provide(go, calls("s__long", "s__quick"))
            ], { concurrency: 2 })
            yield* Effect.provide(go, calls("s__quick"))
            return results.map(({ transcript }) => told(transcript)) as any
          }).pipe(Effect.provide(McpToolkit.layer({ s: layer }, free)))
          assert.deepStrictEqual([isFailure, quick], [true, [false, "quick"]])
          assert.match(failed, tooLong)
          assert.strictEqual(slowly, length !== 4)
          assert.match(last, length === 4 ? /^xxxx$/ : tooLong)
          assert.strictEqual(requests.filter((method) => method === "initialize").length, 2)
        }).pipe(Effect.scoped))
    }

    it.live("that cannot be opened fail the run with a typed error, or leave out an optional server", () =>
      Effect.gen(function*() {
        const one = yield* serve(register({ a: { handle: () => Effect.succeed(answer(text("a"))) } }))
        const gone = program("-e", "process.exit(3)")
        const servers = { one: one.layer, gone }
        const exit = yield* go.pipe(Effect.provide([McpToolkit.layer(servers, free), calls("one__a")]), Effect.exit)
        const outcome = AgentRun.outcome(exit)
        assert.strictEqual(outcome._tag, "Failed")
        const error = Exit.findErrorOption(exit)
        if (error._tag === "None" || error.value._tag !== "ServerUnavailable") return assert.fail("not typed")
        assert.strictEqual(error.value.server, "gone")
        assert.match(error.value.message, /^The MCP server `gone` is not available: MCP /)
        const { transcript } = yield* go.pipe(
          Effect.provide([McpToolkit.layer(servers, { ...free, optional: ["gone"] }), calls("one__a")])
        )
        assert.deepStrictEqual(told(transcript), [[false, "a"]])
      }).pipe(Effect.provide(Logger.layer([])), Effect.scoped))

    it.live("do not outlive their scope", () =>
      Effect.gen(function*() {
        const served = yield* serve(register({ a: { handle: () => Effect.succeed(answer(text("a"))) } }))
        const { toolkit } = yield* Effect.scoped(McpToolkit.make({ s: served.layer }, free))
        const error = yield* Effect.flip(toolkit)
        assert.strictEqual(
          error.message,
          "The MCP server `s` is not available: the scope of its connection is closed"
        )
      }).pipe(Effect.scoped))
  })

  describe("lists", () => {
    it.live("are asked for by each run, and an unchanged one is the same toolkit", () =>
      Effect.gen(function*() {
        const registered = yield* Deferred.make<McpServer.McpServer["Service"]>()
        const handle = () => Effect.succeed(answer(text("a")))
        const served = yield* serve(Layer.merge(
          register({ a: { handle } }),
          Layer.effectDiscard(Effect.flatMap(McpServer.McpServer, (server) => Deferred.succeed(registered, server)))
        ))
        const { toolkit } = yield* McpToolkit.make({ s: served.layer }, free)
        const first = yield* toolkit
        assert.strictEqual(yield* toolkit, first)
        yield* add(yield* Deferred.await(registered), "b", handle)
        const second = yield* toolkit
        assert.deepStrictEqual([Object.keys(first.tools), Object.keys(second.tools)], [["s__a"], ["s__a", "s__b"]])
      }).pipe(Effect.scoped))

    it.effect("are used as long as the program says", () =>
      Effect.gen(function*() {
        const served = yield* serve(register({ a: { handle: () => Effect.succeed(answer(text("a"))) } }))
        const { toolkit } = yield* McpToolkit.make({ s: served.layer }, { ...free, listFor: "1 minute" })
        const listed = () => served.requests.filter((method) => method === "tools/list").length
        const counts: Array<number> = []
        for (const seconds of [0, 59, 1, 30]) {
          yield* TestClock.adjust(seconds * 1000)
          yield* toolkit
          counts.push(listed())
        }
        assert.deepStrictEqual(counts, [1, 1, 2, 2])
      }).pipe(Effect.scoped))
  })

  describe("a list that is used for long", () => {
    /** Calls the tool that adds one, and waits until the list is asked for again. */
    const grows = (toolkit: McpToolkit.McpToolkit["Service"]["toolkit"], grow: Effect.Effect<unknown, any>) =>
      Effect.gen(function*() {
        const before = yield* toolkit
        assert.strictEqual(yield* toolkit, before)
        yield* grow
        const after = yield* Effect.repeat(Effect.delay(toolkit, "5 millis"), {
          until: ({ tools }) => Object.keys(tools).length > Object.keys(before.tools).length
        }).pipe(Effect.timeout("5 seconds"))
        assert.strictEqual(yield* toolkit, after)
        return [Object.keys(before.tools), Object.keys(after.tools)]
      })
    const call = (kit: McpToolkit.McpToolkit["Service"]["toolkit"], name: string) =>
      Effect.flatMap(
        kit,
        (toolkit) => Effect.flatMap(toolkit.handle(name, {} as never, "c"), Stream.runDrain)
      ) as Effect.Effect<void, any>
    const forLong = { ...free, listFor: "1 hour" } as const

    it.live("is asked for again when a server on stdio says that it has changed", () =>
      Effect.gen(function*() {
        const s = McpClient.layerStdio({
          name: "test",
          version: "1",
          command: ChildProcess.make(process.execPath, [`${import.meta.dirname}/fixtures/mcpSdkChanging.ts`]),
          protocol: McpProtocol.v2025_11_25
        })
        const { toolkit } = yield* McpToolkit.make({ s }, forLong)
        for (
          const [before, after] of [[["s__grow"], ["s__grow", "s__grown-1"]], [["s__grow", "s__grown-1"], [
            "s__grow",
            "s__grown-1",
            "s__grown-2"
          ]]]
        ) {
          assert.deepStrictEqual(yield* grows(toolkit, call(toolkit, "s__grow")), [before, after])
        }
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

    it.live("is asked for again when a server over HTTP says that it has changed, beside its responses", () =>
      Effect.gen(function*() {
        const server = changing()
        const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: () => "session" })
        yield* Effect.promise(() => server.connect(transport as never))
        const http = yield* Effect.acquireRelease(
          Effect.callback<ReturnType<typeof createServer>>((resume) => {
            const http = createServer((request, response) => void transport.handleRequest(request, response))
            http.listen(0, "127.0.0.1", () => resume(Effect.succeed(http)))
          }),
          (http) =>
            Effect.promise(async () => {
              await server.close()
              http.closeAllConnections()
              http.close()
            })
        )
        const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}/mcp`
        const s = McpClient.layerHttp({ name: "test", version: "1", url, protocol: McpProtocol.v2025_11_25 })
        const { toolkit } = yield* McpToolkit.make({ s }, forLong)
        // what others have added
        const grow = Effect.sync(() =>
          server.registerTool("other", { annotations: { readOnlyHint: true } }, () => ({ content: [] }))
        )
        assert.deepStrictEqual(yield* grows(toolkit, grow), [["s__grow"], ["s__grow", "s__other"]])
      }).pipe(Effect.scoped, Effect.provide(FetchHttpClient.layer)))

    it.live("is asked for again when a server without sessions says that it has changed", () =>
      Effect.gen(function*() {
        const registered = yield* Deferred.make<McpServer.McpServer["Service"]>()
        const handle = () => Effect.succeed(answer(text("a")))
        const served = yield* serve(
          Layer.merge(
            register({ a: { handle } }),
            Layer.effectDiscard(Effect.flatMap(McpServer.McpServer, (server) => Deferred.succeed(registered, server)))
          ),
          McpProtocol.v2026_07_28
        )
        yield* Effect.gen(function*() {
          const { toolkit } = yield* McpToolkit.make({ s: served.open }, forLong)
          yield* toolkit
          yield* Effect.repeat(Effect.sleep("5 millis"), {
            until: () => served.requests.includes("subscriptions/listen")
          })
          yield* Effect.sleep("100 millis")
          const server = yield* Deferred.await(registered)
          assert.deepStrictEqual(yield* grows(toolkit, add(server, "b", handle)), [["s__a"], ["s__a", "s__b"]])
        }).pipe(Effect.provide(served.http))
      }).pipe(Effect.scoped))
  })

  describe("tools that no model can be offered", () => {
    it.live("are left out", () =>
      Effect.gen(function*() {
        const handle = () => Effect.succeed(answer(text("a")))
        const schema = (items: number) => ({
          type: "object" as const,
          properties: { a: JSON.parse("{\"items\":".repeat(items) + "{}" + "}".repeat(items)) }
        })
        const served = yield* serve(register({
          deep: { handle, tool: { inputSchema: schema(600) } },
          union: {
            handle,
            tool: { inputSchema: { type: "object", oneOf: [{ required: ["a"] }, { required: ["b"] }] } }
          },
          fine: { handle, tool: { inputSchema: schema(5) } }
        }))
        const { toolkit } = yield* McpToolkit.make({ s: served.layer }, free)
        const first = yield* toolkit
        assert.deepStrictEqual(Object.keys(first.tools), ["s__union", "s__fine"])
        assert.strictEqual(yield* toolkit, first)
      }).pipe(Effect.scoped))
  })

  describe("provider", () => {
    it.live("adds the tools to those of an agent", () =>
      Effect.gen(function*() {
        const served = yield* serve(register({ a: { handle: () => Effect.succeed(answer(text("a"))) } }))
        const own = Toolkit.make(Tool.make("own", { success: Schema.String }))
        const both = Agent.make("both", { toolkit: own, providers: [McpToolkit.provider] })
        const { transcript } = yield* Agent.run(both, { prompt: "go" }).pipe(Effect.provide([
          McpToolkit.layer({ s: served.layer }, free),
          own.toLayer({ own: () => Effect.succeed("o") }),
          calls("own", "s__a")
        ]))
        assert.deepStrictEqual(told(transcript), [[false, "o"], [false, "a"]])
      }).pipe(Effect.scoped))
  })

  describe("a server on stdio", () => {
    const fixture = program(`${import.meta.dirname}/fixtures/mcpServer.ts`)

    it.live(
      "is a process that ends with the layer, is replaced when it has died, and stops a call",
      () =>
        Effect.gen(function*() {
          const pids: Array<number> = []
          yield* Effect.gen(function*() {
            const { transcript } = yield* go.pipe(Effect.provide(calls("s__pid", "s__crash", "s__pid")))
            const [[, first], [isFailure, lost], [, second]] = told(transcript) as any
            pids.push(Number(first), Number(second))
            assert.notStrictEqual(first, second)
            assert.strictEqual(isFailure, true)
            assert.match(
              lost,
              /^The connection to the MCP server `s` failed before it answered, and nobody knows .*: MCP /
            )
            const fiber = yield* Effect.forkChild(go.pipe(Effect.provide(calls("s__hang"))))
            yield* Effect.sleep(100)
            yield* Fiber.interrupt(fiber)
            const { transcript: after } = yield* go.pipe(Effect.provide(calls("s__cancelled")))
            assert.deepStrictEqual(told(after), [[false, "1"]])
          }).pipe(Effect.provide(McpToolkit.layer({ s: fixture }, free)))
          assert.deepStrictEqual(pids.map(isAlive), [false, false])
        }).pipe(Effect.scoped),
      { timeout: 20_000 }
    )
  })

  describe("a server of the official SDK", () => {
    it.live("gets neither a model nor a person nor the folders of its client", () =>
      Effect.gen(function*() {
        const server = program(`${import.meta.dirname}/fixtures/mcpSdkServer.ts`)
        yield* Effect.gen(function*() {
          const { transcript } = yield* go
          const unsupported = (method: string) => [false, `MCP error -32601: Unsupported MCP method: ${method}`]
          assert.deepStrictEqual(told(transcript), [
            unsupported("sampling/createMessage"),
            unsupported("elicitation/create"),
            unsupported("roots/list")
          ])
          // a tool that is named twice is one tool
          const { tools } = yield* McpToolkit.toolkit
          assert.deepStrictEqual(Object.keys(tools), ["s__samples", "s__elicits", "s__roots", "s__twice"])
        }).pipe(Effect.provide([McpToolkit.layer({ s: server }, free), calls("s__samples", "s__elicits", "s__roots")]))
      }))
  })

  describe("server-everything", () => {
    const transports = {
      stdio: Effect.succeed(program(everything, "stdio")),
      http: Effect.map(
        everythingOverHttp,
        (url) =>
          McpClient.layerHttp({ name: "test", version: "1", url, protocol: McpProtocol.v2025_11_25 }).pipe(
            Layer.provide(FetchHttpClient.layer)
          )
      )
    }
    const asked: ReadonlyArray<readonly [tool: string, params: unknown, isFailure: boolean, seen: string]> = [
      ["echo", { message: "hi" }, false, "Echo: hi"],
      ["echo", { wrong: 1 }, true, "Invalid arguments for tool echo"],
      ["get-sum", { a: 1, b: 2 }, false, "The sum of 1 and 2 is 3"],
      ["get-tiny-image", {}, false, "image/png"],
      ["get-structured-content", { location: "Chicago" }, false, "\"structured\":{\"temperature\":36"],
      ["get-resource-links", { count: 2 }, false, "demo://resource/dynamic/text/2"],
      ["get-resource-reference", { resourceType: "Blob", resourceId: 1 }, false, "demo://resource/dynamic/blob/1"],
      ["trigger-long-running-operation", { duration: 0.1, steps: 2 }, false, "completed"],
      ["trigger-long-running-operation", { duration: 60, steps: 2 }, true, "did not answer in time"]
    ]

    for (const [transport, server] of Object.entries(transports)) {
      it.live(`gives an agent its tools over ${transport}`, () =>
        Effect.gen(function*() {
          const model = script([
            ...asked.map(([name, params]) => ScriptedModel.toolCalls({ name: `every__${name}`, params })),
            ScriptedModel.text("done")
          ])
          const options = { ...free, timeout: 500 }
          const { text, transcript } = yield* go.pipe(
            Effect.provide([McpToolkit.layer({ every: yield* server }, options), model])
          )
          assert.strictEqual(text, "done")
          const seen = told(transcript) as ReadonlyArray<readonly [boolean, unknown]>
          assert.deepStrictEqual(seen.map(([isFailure]) => isFailure), asked.map(([, , isFailure]) => isFailure))
          for (const [index, [, , , part]] of asked.entries()) assert.include(JSON.stringify(seen[index]), part)
        }).pipe(Effect.scoped), { timeout: 30_000 })
    }
  })
})

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
