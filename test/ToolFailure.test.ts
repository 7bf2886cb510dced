import { assert, describe, it, layer } from "@effect/vitest"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Fiber, Layer, Redacted, Schema, Stream } from "effect"
import { AiError, LanguageModel, McpClient, McpProtocol, type Prompt, Tool, Toolkit } from "effect/ai"
import { ChildProcess } from "effect/process"
import { Agent, AgentTool, Approval, ContextProvider, ToolFailure } from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { Boom, hanging, type Log, showExit } from "./utils.ts"

const { layer: script, text, toolCalls } = ScriptedModel

/** The failures that a tool of the tests may have, by the kind of their schema. */
class Opaque extends Error {
  readonly handle = Symbol("handle")
}

const failures: Record<string, readonly [failure: Failure, fails: unknown, json: unknown]> = {
  "an error with a schema": [Boom, new Boom({ of: "disk" }), { _tag: "Boom", of: "disk" }],
  "a value": [Schema.Struct({ at: Schema.Date }), { at: new Date(0) }, { at: "1970-01-01T00:00:00.000Z" }],
  "an instance of a class": [Schema.instanceOf(Opaque), new Opaque("no handle"), "no handle"],
  "an object that no JSON can be": [
    Schema.Struct({ [Symbol.for("key")]: Schema.String }),
    { [Symbol.for("key")]: "x" },
    "The tool failed"
  ],
  "what its schema does not describe": [Boom, { _tag: "Other" }, "Other"],
  "what no schema describes": [Schema.Never, new Error("unexpected"), "unexpected"],
  "nothing": [Schema.Undefined, undefined, null]
}

type Failure = Schema.Codec<any, any>

const toolkitOf = (failure: Failure) => Toolkit.make(Tool.make("work", { success: Schema.String, failure }))

type Kit = ReturnType<typeof toolkitOf>

type Returned = Effect.Effect<
  Toolkit.WithHandler<ToolFailure.ReturningAll<Toolkit.Tools<Kit>>>,
  never,
  Tool.HandlersFor<Toolkit.Tools<Kit>>
>

const forms: Record<string, (kit: Kit) => Returned> = {
  "a toolkit": (kit) => ToolFailure.returnToModel(kit),
  "an effect": (kit) => ToolFailure.returnToModel(Effect.map(kit, (self) => self)),
  "tools with handlers": (kit) => Effect.map(kit, (self) => ToolFailure.returnToModel(self))
}

/** The results of the calls of a run, as the model reads them: whether it failed, what it says, and its parts. */
const resultsOf = ({ content }: Prompt.Prompt) =>
  content.flatMap((message) =>
    message.role === "tool" ? message.content.filter((part) => part.type === "tool-result") : []
  )

const told = (prompt: Prompt.Prompt) => resultsOf(prompt).map(({ isFailure, result }) => [isFailure, result])

describe("ToolFailure", () => {
  for (const [form, returned] of Object.entries(forms)) {
    describe(form, () => {
      for (const [name, [failure, fails, json]] of Object.entries(failures)) {
        it.effect(`tells the model ${name}`, () => {
          const kit = toolkitOf(failure)
          const agent = Agent.make("agent", { toolkit: returned(kit) })
          return Effect.gen(function*() {
            const result = yield* Agent.run(agent, { prompt: "go" })
            assert.deepStrictEqual([result.text, told(result.transcript)], ["done", [[true, json]]])
          }).pipe(
            Effect.provide([
              kit.toLayer({ work: () => Effect.fail(fails) as never }),
              script([toolCalls({ name: "work", params: {} }), text("done")])
            ])
          )
        })
      }

      it.effect("tells the model of effect's own loop too", () => {
        const kit = toolkitOf(Boom)
        return Effect.gen(function*() {
          const toolkit = yield* returned(kit)
          const response = yield* LanguageModel.generateText({ prompt: "go", toolkit })
          const results = response.toolResults.map(({ encodedResult, isFailure }) => [isFailure, encodedResult])
          assert.deepStrictEqual(results, [[true, { _tag: "Boom", of: "disk" }]])
        }).pipe(
          Effect.provide([
            kit.toLayer({ work: () => Effect.fail(new Boom({ of: "disk" })) }),
            script([toolCalls({ name: "work", params: {} })])
          ])
        )
      })

      it.effect("leaves defects what they are, also beside a failure", () => {
        const kit = toolkitOf(Boom)
        const agent = Agent.make("agent", { toolkit: returned(kit) })
        const failAndDie = Effect.fail(new Boom({ of: "disk" })).pipe(Effect.ensuring(Effect.die("broken")))
        return Effect.gen(function*() {
          for (const work of [Effect.die("broken"), failAndDie]) {
            const exit = yield* Effect.exit(Agent.run(agent, { prompt: "go" })).pipe(
              Effect.provide([
                kit.toLayer({ work: () => work }),
                script([toolCalls({ name: "work", params: {} }), text("done")])
              ])
            )
            assert.include(showExit(exit), "Die broken")
          }
        })
      })

      it.effect("gives up a result that is not JSON", () => {
        const kit = Toolkit.make(Tool.make("work", { success: Schema.Unknown, failure: Boom }))
        const agent = Agent.make("agent", { toolkit: returned(kit as never as Kit) })
        return Effect.gen(function*() {
          const exit = yield* Effect.exit(Agent.run(agent, { prompt: "go" }))
          assert.strictEqual(showExit(exit), `Failed Fail AiError.ToolResultEncodingError after ""`)
        }).pipe(
          Effect.provide([
            kit.toLayer({ work: () => Effect.succeed(() => "a function") }),
            script([toolCalls({ name: "work", params: {} }), text("done")])
          ])
        )
      })

      it.effect("interrupts a tool with its run", () => {
        const kit = toolkitOf(Boom)
        const log: Log = []
        const agent = Agent.make("agent", { toolkit: returned(kit) })
        return Effect.gen(function*() {
          const fiber = yield* Effect.forkChild(Agent.run(agent, { prompt: "go" }))
          while (log.length === 0) yield* Effect.yieldNow
          yield* Fiber.interrupt(fiber)
          assert.deepStrictEqual(log, ["work runs", "work interrupted"])
          assert.strictEqual(showExit(yield* Fiber.await(fiber)), `Interrupted after ""`)
        }).pipe(
          Effect.provide([
            kit.toLayer({ work: () => hanging("work", log) }),
            script([toolCalls({ name: "work", params: {} })])
          ])
        )
      })
    })
  }

  it("is the same for the same tools, so that a model can cache by identity", () => {
    const tools: Toolkit.WithHandler<{}> = { tools: {}, handle: () => Effect.die("none") }
    assert.strictEqual(ToolFailure.returnToModel(tools), ToolFailure.returnToModel(tools))
  })

  it.effect("reads a failure back as the one codec wrote it", () =>
    Effect.gen(function*() {
      const kit = ToolFailure.returnToModel(toolkitOf(Boom))
      const decode = Schema.decodeUnknownEffect(Schema.toCodecJson(kit.tools.work.failureSchema))
      assert.deepStrictEqual(yield* decode({ _tag: "Boom", of: "disk" }), new Boom({ of: "disk" }))
      const told = yield* decode("unexpected")
      assert.isTrue(ToolFailure.isToolFailure(told))
      assert.deepStrictEqual(told, { _tag: "ToolFailure", message: "unexpected", error: undefined })
    }))

  it.effect("returns the failure of an agent, and what it waits for is asked", () => {
    const remove = Toolkit.make(Tool.make("remove", { success: Schema.String, failure: Boom, needsApproval: true }))
    const child = Agent.make("child", { toolkit: remove })
    const toolkit = ToolFailure.returnToModel(AgentTool.toolkit(AgentTool.make(child, { name: "ask" })))
    const agent = Agent.make("parent", { toolkit })
    return Effect.gen(function*() {
      const asked = yield* Agent.run(agent, { prompt: "go" })
      assert.deepStrictEqual(asked.approvals.map(({ path, tool }) => [path, tool]), [[["child"], "remove"]])
      const result = yield* Agent.resume(agent, { result: asked }, asked.approvals.map((one) => Approval.approve(one)))
      assert.deepStrictEqual([result.text, told(result.transcript)], ["done", [
        [true, { agent: "child", message: "of disk" }]
      ]])
    }).pipe(
      Effect.provide([
        remove.toLayer({
          remove: () => Effect.fail(Object.assign(new Boom({ of: "disk" }), { message: "of disk" }))
        }),
        script([
          toolCalls({ name: "ask", params: { prompt: "remove it" } }),
          toolCalls({ name: "remove", params: {} }),
          text("done")
        ])
      ])
    )
  })

  it.effect("tells nothing of what the provider of a model has sent when a tool fails with its error", () =>
    Effect.gen(function*() {
      const headers = { "set-cookie": "secret", authorization: Redacted.make("secret") }
      const url = "https://user:secret@a.test/v1?key=secret"
      const reasons: ReadonlyArray<AiError.AiErrorReason> = [
        new AiError.InternalProviderError({
          description: "overloaded",
          http: { response: { status: 500, headers }, body: "secret" }
        }),
        new AiError.NetworkError({ reason: "TransportError", method: "POST", url, cause: new Error("secret") })
      ]
      for (const reason of reasons) {
        const error = AiError.make({ module: "m", method: "x", reason })
        const fails = Effect.fail(error)
        const model = Effect.map(ScriptedModel.make([ScriptedModel.fail(error)]), (made) => made.languageModel)
        const Returns = Tool.make("work", { success: Schema.String, failure: AiError.AiError, failureMode: "return" })
        const own = Toolkit.make(Returns)
        const returned = ToolFailure.returnToModel(toolkitOf(Schema.Unknown))
        const sub = ToolFailure.returnToModel(
          AgentTool.toolkit(AgentTool.make(Agent.make("sub", { model }), { name: "work" }))
        )
        const transcriptOf = <E>(agent: Agent.Agent<any, E, LanguageModel.LanguageModel>, params: object) =>
          Effect.map(
            Effect.provide(
              Agent.run(agent, { prompt: "go" }),
              script([toolCalls({ name: "work", params }), text("done")])
            ),
            (result) => result.transcript
          )
        const transcripts = [
          yield* transcriptOf(
            Agent.make("a", { toolkit: Effect.provide(own, own.toLayer({ work: () => fails })) }),
            {}
          ),
          yield* transcriptOf(
            Agent.make("a", { toolkit: Effect.provide(returned, returned.toLayer({ work: () => fails })) }),
            {}
          ),
          yield* transcriptOf(Agent.make("a", { toolkit: sub }), { prompt: "?" })
        ]
        for (const transcript of transcripts) {
          const [answered] = resultsOf(transcript)
          assert.isTrue(answered.isFailure)
          assert.include(JSON.stringify(answered.result), reason._tag)
          assert.notInclude(JSON.stringify(transcript), "secret")
        }
      }
    }))

  it.effect("tells the model that a tool failed whose error cannot say why", () =>
    Effect.gen(function*() {
      class Silent extends Error {
        override get message(): string {
          throw new Error("no message")
        }
      }
      const kit = ToolFailure.returnToModel(toolkitOf(Schema.Never))
      const { transcript } = yield* Agent.run(Agent.make("a", { toolkit: kit }), { prompt: "go" }).pipe(
        Effect.provide([
          script([toolCalls({ name: "work", params: {} }), text("done")]),
          kit.toLayer({ work: () => Effect.fail(new Silent() as never) })
        ])
      )
      assert.deepStrictEqual(told(transcript), [[true, "The tool failed"]])
    }))

  describe("a failure that throws when it is read", () => {
    const boom = () => {
      throw new Error("not readable")
    }
    const traps = { get: boom, has: boom, getPrototypeOf: boom, ownKeys: boom, getOwnPropertyDescriptor: boom }
    const revoked = Proxy.revocable({}, {})
    revoked.revoke()
    const getters = { get: boom, enumerable: true }
    const hostile: Record<string, unknown> = {
      "a proxy": new Proxy({}, traps),
      "a proxy of a function": new Proxy(() => {}, traps),
      "a revoked proxy": revoked.proxy,
      "an object with getters": Object.defineProperties({}, { _tag: getters, message: getters, toJSON: getters }),
      "an error with getters": Object.defineProperties(new Error(), {
        message: getters,
        name: getters,
        cause: getters
      }),
      "an object that says it is the error of a model": {
        "~effect/ai/AiError": true,
        _tag: "AiError",
        reason: undefined
      }
    }
    const toldAs: Record<string, unknown> = {
      "an object that says it is the error of a model": "AiError"
    }
    for (const [name, error] of Object.entries(hostile)) {
      for (const [what, failure] of [["any", Schema.Unknown], ["one of its own", Boom]] as const) {
        it.effect(`is told as a failure: ${name}, of a tool with ${what}`, () =>
          Effect.gen(function*() {
            const kit = ToolFailure.returnToModel(Toolkit.make(Tool.make("work", { success: Schema.String, failure })))
            const { text, transcript } = yield* Agent.run(Agent.make("a", { toolkit: kit }), { prompt: "go" }).pipe(
              Effect.provide([
                script([toolCalls({ name: "work", params: {} }), ScriptedModel.text("done")]),
                kit.toLayer({ work: () => Effect.fail(error as never) })
              ])
            )
            assert.strictEqual(text, "done")
            assert.deepStrictEqual(told(transcript), [[true, toldAs[name] ?? "The tool failed"]])
          }))
      }

      it.effect(`is no JSON of a tool that returns its failures: ${name}`, () =>
        Effect.gen(function*() {
          const kit = Toolkit.make(
            Tool.make("work", { success: Schema.String, failure: Schema.Unknown, failureMode: "return" })
          )
          const exit = yield* Effect.exit(Agent.run(Agent.make("a", { toolkit: kit }), { prompt: "go" })).pipe(
            Effect.provide([
              script([toolCalls({ name: "work", params: {} }), ScriptedModel.text("done")]),
              kit.toLayer({ work: () => Effect.fail(error) })
            ])
          )
          assert.strictEqual(showExit(exit), "Failed Fail AiError.ToolResultEncodingError after \"\"")
        }))
    }
  })

  it.effect("works for tools that a provider contributes", () => {
    const kit = toolkitOf(Boom)
    const provider = ContextProvider.make("tools", {
      beforeRun: () => Effect.map(kit, (tools) => ({ toolkit: ToolFailure.returnToModel(tools) }))
    })
    return Effect.gen(function*() {
      const result = yield* Agent.run(Agent.make("agent", { providers: [provider] }), { prompt: "go" })
      assert.deepStrictEqual(told(result.transcript), [[true, { _tag: "Boom", of: "disk" }]])
    }).pipe(
      Effect.provide([
        kit.toLayer({ work: () => Effect.fail(new Boom({ of: "disk" })) }),
        script([toolCalls({ name: "work", params: {} }), text("done")])
      ])
    )
  })

  describe("McpClient.toolkit", () => {
    const server = McpClient.layerStdio({
      name: "test",
      version: "1",
      command: ChildProcess.make(process.execPath, [`${import.meta.dirname}/fixtures/mcpServer.ts`]),
      protocol: McpProtocol.v2025_11_25
    }).pipe(Layer.provide(NodeServices.layer))

    const toolkit = Effect.flatMap(McpClient.McpClient, (client) => McpClient.toolkit(client, "mcp_"))
    const agent = Agent.make("agent", { toolkit: ToolFailure.returnToModel(toolkit) })

    const files = [
      "the map",
      ["image/png", undefined, new Uint8Array([1, 2, 3])],
      ["application/pdf", "file:///a.pdf", new Uint8Array([4])]
    ]

    const expected: Record<string, readonly [isFailure: boolean, json: unknown, output?: unknown]> = {
      echo: [false, `{"city":"Oslo"}`],
      structured: [false, `{"a":1}`],
      says_error: [true, "disk full\n[image/png]"],
      says_nothing: [true, "The tool failed"],
      refuses: [true, "city is required"],
      rpc_error: [true, "Internal error (code -32603)"],
      picture: [false, "the map\n[image/png]\n[file:///a.pdf, application/pdf]", files]
    }

    layer(server, { excludeTestServices: true })((it) => {
      for (const [name, [isFailure, json, output]] of Object.entries(expected)) {
        it.effect(`tells the model how ${name} ended, and goes on`, () =>
          Effect.gen(function*() {
            const result = yield* Agent.run(agent, { prompt: "go" })
            assert.deepStrictEqual([result.text, told(result.transcript)], ["done", [[isFailure, json]]])
            const requests = yield* (yield* ScriptedModel.ScriptedModel).requests
            const files = resultsOf(requests[1].prompt).map(({ modelOutput }) =>
              modelOutput?.map((part) => part.type === "text" ? part.text : [part.mediaType, part.fileName, part.data])
            )
            assert.deepStrictEqual(files, [output])
          }).pipe(Effect.provide(script([toolCalls({ name: `mcp_${name}`, params: { city: "Oslo" } }), text("done")]))))
      }

      it.effect("ends a call that hangs when the run is left early", () =>
        Effect.gen(function*() {
          const parts = yield* Agent.stream(agent, { prompt: "go" }).pipe(
            Stream.takeUntil((part) => part.type === "tool-call"),
            Stream.runCollect
          )
          assert.strictEqual(parts.at(-1)?.type, "tool-call")
        }).pipe(Effect.provide(script([toolCalls({ name: "mcp_hang", params: {} }), text("done")]))))
    })

    it.live("tells the model that the server is gone", () =>
      Effect.gen(function*() {
        const { text, transcript } = yield* Agent.run(agent, { prompt: "go" })
        assert.deepStrictEqual([text, told(transcript)], ["done", [[true, "MCP server closed stdout"]]])
      }).pipe(
        Effect.provide([script([toolCalls({ name: "mcp_crash", params: {} }), text("done")]), server])
      ))
  })
})
