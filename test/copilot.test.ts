import { assert, describe, layer } from "@effect/vitest"
import { Deferred, Effect, type Exit, Fiber, Schema, Stream } from "effect"
import { Prompt, Tool, Toolkit } from "effect/ai"
import { Agent, AgentRun, AgentTool, ContextProvider, Middleware, SessionStore, ToolLoop } from "../src/index.ts"
import * as CopilotAgent from "../src/copilot/CopilotAgent.ts"
import * as CopilotRuntime from "../src/copilot/CopilotRuntime.ts"
import { Cassette, ScriptedModel } from "../src/testing/index.ts"
import * as Copilot from "./fixtures/copilot.ts"
import { Boom, collectAll, hanging, type Log, logged, showExit, showPrompt, types } from "./utils.ts"

/** The usage of an answer in words. */
const answerUsage = {
  inputTokens: { uncached: 8, total: 10, cacheRead: 2, cacheWrite: 0 },
  outputTokens: { total: 5, text: 4, reasoning: 1 }
}

/** The usage of calls of tools. */
const callsUsage = {
  inputTokens: { uncached: 18, total: 20, cacheRead: 2, cacheWrite: 0 },
  outputTokens: { total: 7, text: 6, reasoning: 1 }
}

const systemOf = ({ body }: Copilot.Request): string =>
  String(body.messages.find(({ role }) => role === "system")?.content)

const exact: CopilotAgent.Settings = { systemMessage: { mode: "replace", content: "You are exact." } }

layer(Copilot.runtime)("CopilotAgent", (it) => {
  describe("the parts of a run", () => {
    it.effect("are those of every agent, and the result is whole", () =>
      Effect.gen(function*() {
        const server = yield* Copilot.modelServer(Copilot.text("Hello", " world"))
        const agent = CopilotAgent.make("copilot", Copilot.base(server))
        const parts = yield* Stream.runCollect(Agent.stream(agent, { prompt: "Who is there?" }))
        assert.deepStrictEqual(types(parts), [
          "run-start",
          "step-start",
          "text-start",
          "text-delta",
          "text-delta",
          "text-end",
          "finish",
          "step-end",
          "run-end"
        ])
        const encoded = yield* Effect.forEach(parts, (part) => Schema.encodeEffect(AgentRun.parts())(part))
        assert.notInclude(Cassette.fromParts(encoded) + ScriptedModel.toTest(encoded), "canary-key")
        const end = parts[parts.length - 1]
        assert.isTrue(end.type === "run-end")
        const { agent: name, session, steps, stopReason, text, totalUsage, transcript, usage } =
          (end as AgentRun.RunEnd).result
        const step = {
          index: 0,
          text: "Hello world",
          finishReason: "stop",
          toolCalls: [],
          usage: answerUsage,
          model: "test-model"
        } as const
        assert.deepStrictEqual({ agent: name, session, text, usage, totalUsage, steps, stopReason }, {
          agent: "copilot",
          session: undefined,
          text: "Hello world",
          usage: answerUsage,
          totalUsage: answerUsage,
          steps: [step],
          stopReason: "stop"
        })
        assert.deepStrictEqual(showPrompt(transcript), ["user: Who is there?", "assistant: Hello world"])
        assert.deepStrictEqual(
          server.requests.map(({ authorization, body, url }) => [url, body.model, authorization]),
          [
            ["/v1/chat/completions", "test-model", "Bearer canary-key"]
          ]
        )
      }))

    it.effect("have the model's reasoning before its text", () =>
      Effect.gen(function*() {
        const server = yield* Copilot.modelServer(Copilot.reasoned(["Let me", " think"], "Yes"))
        const agent = CopilotAgent.make("copilot", Copilot.base(server))
        const parts = yield* Stream.runCollect(Agent.stream(agent, { prompt: "Well?" }))
        assert.deepStrictEqual(
          parts.flatMap((part) => "delta" in part ? `${part.type} ${part.delta}` : part.type),
          [
            "run-start",
            "step-start",
            "reasoning-start",
            "reasoning-delta Let me",
            "reasoning-delta  think",
            "reasoning-end",
            "text-start",
            "text-delta Yes",
            "text-end",
            "finish",
            "step-end",
            "run-end"
          ]
        )
      }))

    it.effect("run and stream give the same result", () =>
      Effect.gen(function*() {
        const server = yield* Copilot.modelServer(Copilot.text("same"), Copilot.text("same"))
        const agent = CopilotAgent.make("copilot", Copilot.base(server))
        const run = yield* Agent.run(agent, { prompt: "hi", runId: "run" })
        const folded = yield* AgentRun.fold(Agent.stream(agent, { prompt: "hi", runId: "run" }))
        assert.deepStrictEqual(run, folded)
      }))

    it.effect("stop for the reason that the model gave", () =>
      Effect.gen(function*() {
        const server = yield* Copilot.modelServer(Copilot.stopped("content_filter", "I"))
        const result = yield* Agent.run(CopilotAgent.make("copilot", Copilot.base(server)), { prompt: "hi" })
        assert.deepStrictEqual([result.stopReason, result.text], ["content-filter", "I"])
      }))

    it.effect("of two runs at once stay apart, in one process", () =>
      Effect.gen(function*() {
        const first = yield* Copilot.modelServer(Copilot.text("one"))
        const second = yield* Copilot.modelServer(Copilot.text("two"))
        const runs = yield* Effect.forEach(
          [first, second],
          (server) => Agent.run(CopilotAgent.make("copilot", Copilot.base(server)), { prompt: "hi" }),
          { concurrency: 2 }
        )
        assert.deepStrictEqual(runs.map(({ text }) => text), ["one", "two"])
      }))
  })

  describe("what the model is told", () => {
    it.effect("instructions of the agent, its providers and the prompt, after those of the settings", () =>
      Effect.gen(function*() {
        const server = yield* Copilot.modelServer(Copilot.text("ok"))
        const provider = ContextProvider.make("profile", {
          beforeRun: () =>
            Effect.succeed({
              instructions: "The user is Ada.",
              messages: [Prompt.userMessage({ content: [Prompt.textPart({ text: "I like tea." })] })]
            })
        })
        const agent = CopilotAgent.make("copilot", {
          ...Copilot.base(server),
          instructions: "Be brief.",
          settings: exact,
          providers: [provider]
        })
        yield* Agent.run(agent, {
          prompt: [{ role: "system", content: "Today is Monday." }, { role: "user", content: "What do I like?" }]
        })
        const [request] = server.requests
        assert.strictEqual(
          systemOf(request),
          "You are exact.\n\nBe brief.\n\nThe user is Ada.\n\nToday is Monday."
        )
        assert.deepStrictEqual(Copilot.conversation(request), [
          "user: <conversation>\nuser: I like tea.\n</conversation>\n\nWhat do I like?"
        ])
      }))

    it.effect("instructions, appended to the runtime's own message when the settings say nothing", () =>
      Effect.gen(function*() {
        const server = yield* Copilot.modelServer(Copilot.text("ok"))
        yield* Agent.run(
          CopilotAgent.make("copilot", { ...Copilot.base(server), instructions: "canary instruction" }),
          {
            prompt: "hi"
          }
        )
        const system = systemOf(server.requests[0])
        assert.include(system, "canary instruction")
        assert.isAbove(system.length, 1000)
      }))

    it.effect("a prompt that is a conversation, in words, and the last of it as what is asked", () =>
      Effect.gen(function*() {
        const server = yield* Copilot.modelServer(Copilot.text("ok"))
        const { transcript } = yield* Agent.run(CopilotAgent.make("copilot", Copilot.base(server)), {
          prompt: [
            { role: "user", content: "Where is Oslo?" },
            {
              role: "assistant",
              content: [{ type: "tool-call", id: "a", name: "map", params: { city: "Oslo" }, providerExecuted: false }]
            },
            {
              role: "tool",
              content: [{ type: "tool-result", id: "a", name: "map", isFailure: false, result: "in Norway" }]
            },
            { role: "user", content: "And Rome?" },
            { role: "user", content: "Be brief." }
          ]
        })
        assert.deepStrictEqual(Copilot.conversation(server.requests[0]), [
          [
            "user: <conversation>",
            "user: Where is Oslo?",
            `assistant: [called map with {"city":"Oslo"}]`,
            `tool: [map gave "in Norway"]`,
            "</conversation>",
            "",
            "And Rome?",
            "",
            "Be brief."
          ].join("\n")
        ])
        assert.deepStrictEqual(
          transcript.content.map(({ role }) => role),
          ["user", "assistant", "tool", "user", "user", "assistant"]
        )
      }))

    it.effect("files of the prompt", () =>
      Effect.gen(function*() {
        const server = yield* Copilot.modelServer(Copilot.text("ok"))
        yield* Agent.run(CopilotAgent.make("copilot", Copilot.base(server)), {
          prompt: [{
            role: "user",
            content: [
              { type: "text", text: "Read this." },
              {
                type: "file",
                mediaType: "text/plain",
                fileName: "note.txt",
                data: new TextEncoder().encode("canary in a file")
              }
            ]
          }]
        })
        assert.include(JSON.stringify(server.requests[0].body.messages), "canary in a file")
      }))

    it.effect("nothing, when there is no message to send", () =>
      Effect.gen(function*() {
        const server = yield* Copilot.modelServer()
        const exit = yield* Effect.exit(
          Agent.run(CopilotAgent.make("copilot", Copilot.base(server)), { prompt: [{ role: "system", content: "x" }] })
        )
        assert.strictEqual(showExit(exit), "Failed Fail AgentError.InvalidPrompt after \"\"")
        assert.lengthOf(server.requests, 0)
      }))
  })

  describe("the tools of the agent", () => {
    const Weather = Tool.make("get_weather", {
      description: "The weather of a city",
      parameters: Schema.Struct({ city: Schema.String }),
      success: Schema.Struct({ sky: Schema.String }),
      failure: Boom,
      failureMode: "return"
    })
    const Strict = Tool.make("strict", { success: Schema.String, failure: Boom })
    const toolkit = Toolkit.make(Weather, Strict)
    const handlers = (options: { readonly strict?: Effect.Effect<string, Boom> } = {}) =>
      toolkit.toLayer({
        get_weather: ({ city }, context) =>
          city === "Atlantis"
            ? Effect.fail(new Boom({ of: city }))
            : Effect.as(context.preliminary({ sky: "looking" }), { sky: `clear over ${city}` }),
        strict: () => options.strict ?? Effect.succeed("done")
      })

    const toolResults = ({ body }: Copilot.Request) =>
      body.messages.filter(({ role }) => role === "tool").map((message) =>
        `${message.tool_call_id}: ${message.content}`
      )

    it.effect("are offered, run by our rules, and in the transcript in call order", () =>
      Effect.gen(function*() {
        const server = yield* Copilot.modelServer(
          Copilot.calls(
            ["a", "get_weather", { city: "Oslo" }],
            ["b", "get_weather", { city: 7 }],
            ["c", "get_weather", { city: "Atlantis" }]
          ),
          Copilot.text("It is clear")
        )
        const agent = CopilotAgent.make("copilot", { ...Copilot.base(server), toolkit })
        const parts = yield* Stream.runCollect(Agent.stream(agent, { prompt: "Weather?" })).pipe(
          Effect.provide(handlers())
        )
        assert.deepStrictEqual(types(parts), [
          "run-start",
          "step-start",
          ...["a", "b", "c"].flatMap(() => ["tool-params-start", "tool-params-delta"]),
          ...["a", "b", "c"].flatMap(() => ["tool-params-end", "tool-call"]),
          "finish",
          "tool-result",
          "tool-result",
          "tool-result",
          "tool-result",
          "step-end",
          "step-start",
          "text-start",
          "text-delta",
          "text-end",
          "finish",
          "step-end",
          "run-end"
        ])
        const results = parts.flatMap((part) => part.type === "tool-result" ? [part] : [])
        assert.deepStrictEqual(
          results.map(({ id, isFailure, preliminary }) => [id, preliminary, isFailure]).sort(),
          [["a", false, false], ["a", true, false], ["b", false, true], ["c", false, true]]
        )
        const [first, second] = server.requests
        assert.deepStrictEqual(first.body.tools?.map(({ function: { name } }) => name), ["get_weather", "strict"])
        assert.deepStrictEqual(first.body.tools?.[0].function.parameters, Tool.getJsonSchema(Weather))
        const [a, b, c] = toolResults(second).sort()
        assert.deepStrictEqual([a, c], [
          `a: {"sky":"clear over Oslo"}`,
          `c: {"_tag":"Boom","of":"Atlantis"}`
        ])
        assert.match(b, /^b: .*get_weather/)
        const { result } = parts[parts.length - 1] as AgentRun.RunEnd
        assert.deepStrictEqual(result.steps[0], {
          index: 0,
          text: "",
          finishReason: "tool-calls",
          usage: callsUsage,
          model: "test-model",
          toolCalls: [
            { id: "a", name: "get_weather", params: { city: "Oslo" }, executed: true, isFailure: false },
            { id: "b", name: "get_weather", params: { city: 7 }, executed: false, isFailure: true },
            { id: "c", name: "get_weather", params: { city: "Atlantis" }, executed: true, isFailure: true }
          ]
        })
        assert.deepStrictEqual(result.usage, AgentRun.addUsage(callsUsage, answerUsage))
        assert.deepStrictEqual(
          showPrompt(result.transcript).map((line) => line.split(" = ")[0]),
          [
            "user: Weather?",
            `assistant: get_weather#a({"city":"Oslo"}), get_weather#b({"city":7}), get_weather#c({"city":"Atlantis"})`,
            "tool: get_weather#a",
            "assistant: It is clear"
          ]
        )
        const answered = result.transcript.content.flatMap((message) => message.role === "tool" ? message.content : [])
        assert.deepStrictEqual(answered.map((part) => part.type === "tool-result" && part.id), ["a", "b", "c"])
      }))

    it.effect("that do not exist are the runtime's to answer", () =>
      Effect.gen(function*() {
        const server = yield* Copilot.modelServer(Copilot.calls(["a", "nope", {}]), Copilot.text("Sorry"))
        const agent = CopilotAgent.make("copilot", { ...Copilot.base(server), toolkit })
        const result = yield* Effect.provide(Agent.run(agent, { prompt: "go" }), handlers())
        assert.deepStrictEqual(result.steps[0].toolCalls, [
          { id: "a", name: "nope", params: {}, executed: false, isFailure: true }
        ])
        assert.include(toolResults(server.requests[1])[0], "does not exist")
      }))

    it.effect("whose result is no JSON fail the run, also when a middleware has made it, and nothing waits for ever", () =>
      Effect.gen(function*() {
        const cyclic: Record<string, unknown> = {}
        cyclic.self = cyclic
        const kit = Toolkit.make(Tool.make("odd", { success: Schema.Unknown }))
        const made = Middleware.make("made", {
          tool: (request, next) => Stream.map(next(request), (result) => ({ ...result, encodedResult: { n: 5n } }))
        })
        for (const [value, middleware] of [[cyclic, []], [{ n: 5n }, []], ["fine", [made]]] as const) {
          const server = yield* Copilot.modelServer(Copilot.calls(["a", "odd", {}]), Copilot.text("never"))
          const agent = CopilotAgent.make("copilot", { ...Copilot.base(server), toolkit: kit, middleware })
          const exit = yield* Effect.exit(
            Effect.provide(Agent.run(agent, { prompt: "go" }), kit.toLayer({ odd: () => Effect.succeed(value) }))
          )
          assert.strictEqual(showExit(exit), "Failed Fail AiError.ToolResultEncodingError after \"\"")
          assert.strictEqual(server.requests.length, 1)
        }
      }))

    it.effect("whose failure mode is `error` fail the run with their own error, and the model is not asked again", () =>
      Effect.gen(function*() {
        const log: Log = []
        const server = yield* Copilot.modelServer(Copilot.calls(["a", "strict", {}]))
        const agent = CopilotAgent.make("copilot", { ...Copilot.base(server), toolkit, providers: [logged("p", log)] })
        const failed = yield* Agent.run(agent, { prompt: "go" }).pipe(
          Effect.provide(handlers({ strict: Effect.fail(new Boom({ of: "strict" })) })),
          Effect.catchTag("Boom", ({ of }) => Effect.succeed(of))
        )
        assert.strictEqual(failed, "strict")
        assert.deepStrictEqual(log, ["p before", "p end: Failed Fail Boom(strict) after \"\""])
        assert.lengthOf(server.requests, 1)
      }))

    it.effect("that die fail the run", () =>
      Effect.gen(function*() {
        const server = yield* Copilot.modelServer(Copilot.calls(["a", "strict", {}]))
        const agent = CopilotAgent.make("copilot", { ...Copilot.base(server), toolkit })
        const exit = yield* Effect.exit(
          Effect.provide(Agent.run(agent, { prompt: "go" }), handlers({ strict: Effect.die(new Error("broken")) }))
        )
        assert.strictEqual(showExit(exit), "Failed Die broken after \"\"")
      }))

    it.effect("are interrupted with the run, before the consumer goes on", () =>
      Effect.gen(function*() {
        const log: Log = []
        const server = yield* Copilot.modelServer(Copilot.calls(["a", "strict", {}]))
        const agent = CopilotAgent.make("copilot", { ...Copilot.base(server), toolkit })
        const running = yield* Deferred.make<void>()
        const strict = Effect.andThen(Deferred.succeed(running, undefined), hanging("strict", log))
        const fiber = yield* Effect.forkChild(
          Effect.provide(Agent.run(agent, { prompt: "go" }), handlers({ strict }))
        )
        yield* Deferred.await(running)
        yield* Fiber.interrupt(fiber)
        log.push("next statement")
        assert.deepStrictEqual(log, ["strict runs", "strict interrupted", "next statement"])
        assert.lengthOf(server.requests, 1)
      }))

    it.effect("are reached through the middleware of the tool place, in the agent and put around it", () =>
      Effect.gen(function*() {
        const log: Log = []
        const noting = (name: string) =>
          Middleware.make(name, {
            tool: (request, next) => {
              log.push(`${name} ${request.name} ${JSON.stringify(request.params)}`)
              return next(request)
            }
          })
        const server = yield* Copilot.modelServer(
          Copilot.calls(["a", "get_weather", { city: "Oslo" }]),
          Copilot.text("ok")
        )
        const agent = CopilotAgent.make("copilot", { ...Copilot.base(server), toolkit, middleware: [noting("inner")] })
          .pipe(
            Agent.withMiddleware(noting("outer"))
          )
        const { text } = yield* Effect.provide(Agent.run(agent, { prompt: "go" }), handlers())
        assert.strictEqual(text, "ok")
        assert.deepStrictEqual(log, [
          `outer get_weather {"city":"Oslo"}`,
          `inner get_weather {"city":"Oslo"}`
        ])
      }))

    it.effect("that need an approval are denied: nobody could be asked while the runtime waits", () =>
      Effect.gen(function*() {
        const log: Log = []
        const guarded = Toolkit.make(Tool.make("guarded", { success: Schema.String, needsApproval: true }))
        const server = yield* Copilot.modelServer(Copilot.calls(["a", "guarded", {}]), Copilot.text("ok"))
        const agent = CopilotAgent.make("copilot", { ...Copilot.base(server), toolkit: guarded })
        const { steps } = yield* Effect.provide(
          Agent.run(agent, { prompt: "go" }),
          guarded.toLayer({ guarded: () => Effect.sync(() => (log.push("ran"), "x")) })
        )
        assert.deepStrictEqual(steps[0].toolCalls, [
          { id: "a", name: "guarded", params: {}, executed: false, isFailure: true }
        ])
        assert.deepStrictEqual(log, [])
      }))

    it.effect("run so many at once as the run allows", () =>
      Effect.gen(function*() {
        const log: Log = []
        const server = yield* Copilot.modelServer(
          Copilot.calls(["a", "get_weather", { city: "Oslo" }], ["b", "get_weather", { city: "Rome" }]),
          Copilot.text("ok")
        )
        const bothAsked = yield* Deferred.make<void>()
        let asked = 0
        const runtime = yield* CopilotRuntime.CopilotRuntime
        const counting: CopilotRuntime.CopilotRuntime["Service"] = {
          ...runtime,
          open: (request) =>
            runtime.open({
              ...request,
              config: {
                ...request.config,
                tools: (request.config.tools ?? []).map((tool) => ({
                  ...tool,
                  handler: (params, invocation) => {
                    if (++asked === 2) Deferred.doneUnsafe(bothAsked, Effect.void)
                    return tool.handler!(params, invocation)
                  }
                }))
              }
            })
        }
        const slowly = toolkit.toLayer({
          get_weather: ({ city }) =>
            Effect.gen(function*() {
              log.push(`${city} begins`)
              yield* Deferred.await(bothAsked)
              yield* Effect.yieldNow
              log.push(`${city} ends`)
              return { sky: "clear" }
            }),
          strict: () => Effect.succeed("")
        })
        yield* Agent.run(CopilotAgent.make("copilot", { ...Copilot.base(server), toolkit }), { prompt: "go" }).pipe(
          Effect.provideService(ToolLoop.ToolConcurrency, 1),
          Effect.provideService(CopilotRuntime.CopilotRuntime, counting),
          Effect.provide(slowly)
        )
        assert.deepStrictEqual(log.map((line) => line.split(" ")[1]), ["begins", "ends", "begins", "ends"])
      }))

    it.effect("may be other agents, whose parts and usage are the run's too", () =>
      Effect.gen(function*() {
        const server = yield* Copilot.modelServer(
          Copilot.calls(["a", "ask_helper", { prompt: "help" }]),
          Copilot.text("ok")
        )
        const helper = Agent.make("helper")
        const tool = AgentTool.make(helper, { name: "ask_helper" })
        const agent = CopilotAgent.make("copilot", { ...Copilot.base(server), toolkit: AgentTool.toolkit(tool) })
        const parts = yield* Stream.runCollect(Agent.stream(agent, { prompt: "go" })).pipe(
          Effect.provide(
            ScriptedModel.model([
              ScriptedModel.step(
                ScriptedModel.text("helped"),
                ScriptedModel.finish("stop", ScriptedModel.usage(100, 50))
              )
            ])
          )
        )
        const nested = parts.flatMap((part) => part.type === "agent-part" ? [part] : [])
        assert.deepStrictEqual(nested.map(({ path, toolCallId }) => [path.join(), toolCallId])[0], ["helper", "a"])
        assert.include(types(nested.map(({ part }) => part)), "text-delta")
        const { result } = parts[parts.length - 1] as AgentRun.RunEnd
        assert.deepStrictEqual([result.usage.inputTokens.total, result.totalUsage.inputTokens.total], [30, 130])
      }))

    it.effect("of a provider stand beside those of the agent, and must have other names", () =>
      Effect.gen(function*() {
        const server = yield* Copilot.modelServer(Copilot.text("ok"))
        const Extra = Toolkit.make(Tool.make("extra", { success: Schema.String }))
        const providing = <T extends Record<string, Tool.Any>>(kit: Toolkit.Toolkit<T>, handlers: any) =>
          ContextProvider.make("extra", {
            beforeRun: () => Effect.map(Effect.provide(kit, kit.toLayer(handlers)), (toolkit) => ({ toolkit }))
          })
        const agent = (provider: ContextProvider.ContextProvider<any, any>) =>
          CopilotAgent.make("copilot", { ...Copilot.base(server), toolkit, providers: [provider] })
        const run = (provider: ContextProvider.ContextProvider<any, any>) =>
          Effect.exit(Effect.provide(Agent.run(agent(provider), { prompt: "go" }), handlers())) as Effect.Effect<
            Exit.Exit<AgentRun.Result, unknown>,
            never,
            CopilotRuntime.CopilotRuntime
          >
        assert.strictEqual(
          showExit(yield* run(providing(Extra, { extra: () => Effect.succeed("x") }))),
          "Completed \"ok\""
        )
        assert.deepStrictEqual(
          server.requests[0].body.tools?.map(({ function: { name } }) => name),
          ["get_weather", "strict", "extra"]
        )
        assert.strictEqual(
          showExit(yield* run(providing(toolkit, {}))),
          "Failed Fail AgentError.DuplicateTool(extra) after \"\""
        )
        assert.lengthOf(server.requests, 1)
      }))
  })

  describe("the tools of the runtime", () => {
    const shell = Copilot.calls(["a", "bash", {
      command: "echo canary > made.txt && echo made",
      description: "make it"
    }])
    const settings: CopilotAgent.Settings = { availableTools: ["builtin:bash"] }

    it.effect("may do nothing that needs a permission, unless the agent says so", () =>
      Effect.gen(function*() {
        const server = yield* Copilot.modelServer(shell, Copilot.text("No"))
        const agent = CopilotAgent.make("copilot", { ...Copilot.base(server), settings })
        const { parts } = yield* collectAll(Agent.stream(agent, { prompt: "go" }))
        const result = parts.find((part) => part.type === "tool-result")
        assert.deepStrictEqual(
          result?.type === "tool-result" && [result.providerExecuted, result.isFailure, result.encodedResult],
          [true, true, "The user rejected this tool call. User feedback: This agent does not permit it"]
        )
        assert.include(String(server.requests[1].body.messages.at(-1)?.content), "This agent does not permit it")
      }))

    it.effect("are permitted by a handler with services and errors of its own", () =>
      Effect.gen(function*() {
        const asked: Array<string> = []
        const server = yield* Copilot.modelServer(shell, Copilot.text("Made"))
        const agent = CopilotAgent.make("copilot", {
          ...Copilot.base(server),
          settings,
          permissions: (request) =>
            Effect.map(SessionStore.SessionStore, () => {
              asked.push(request.kind === "shell" ? request.fullCommandText : request.kind)
              return CopilotAgent.approve
            })
        })
        const result = yield* Effect.provide(Agent.run(agent, { prompt: "go" }), SessionStore.layerMemory)
        assert.deepStrictEqual(asked, ["echo canary > made.txt && echo made"])
        assert.match(String(server.requests[1].body.messages.at(-1)?.content), /made/)
        assert.deepStrictEqual(
          result.steps[0].toolCalls.map(({ executed, isFailure, name }) => [name, executed, isFailure]),
          [
            ["bash", false, false]
          ]
        )
      }))

    it.effect("fail the run when the handler fails, and the model is not asked again", () =>
      Effect.gen(function*() {
        const server = yield* Copilot.modelServer(shell)
        const agent = CopilotAgent.make("copilot", {
          ...Copilot.base(server),
          settings,
          permissions: () => Effect.fail(new Boom({ of: "permissions" }))
        })
        const failed = yield* Agent.run(agent, { prompt: "go" }).pipe(
          Effect.catchTag("Boom", ({ of }) => Effect.succeed(of))
        )
        assert.strictEqual(failed, "permissions")
        assert.lengthOf(server.requests, 1)
      }))
  })

  describe("the sub-agents of the runtime", () => {
    it.effect("are a tool call of the run, and what they spend counts in the total", () =>
      Effect.gen(function*() {
        const task = { agent_type: "general-purpose", name: "sub", description: "help", prompt: "help", mode: "sync" }
        const server = yield* Copilot.modelServer(
          Copilot.calls(["a", "task", task]),
          Copilot.text("from the sub-agent"),
          Copilot.text("done")
        )
        const agent = CopilotAgent.make("copilot", {
          ...Copilot.base(server),
          settings: { availableTools: ["builtin:task"] }
        })
        const parts = yield* Stream.runCollect(Agent.stream(agent, { prompt: "go" }))
        assert.deepStrictEqual(parts.flatMap((part) => part.type === "text-delta" ? part.delta : []), ["done"])
        const { result } = parts[parts.length - 1] as AgentRun.RunEnd
        assert.deepStrictEqual(result.steps.map(({ toolCalls }) => toolCalls.map(({ name }) => name)), [["task"], []])
        assert.deepStrictEqual([result.usage.inputTokens.total, result.totalUsage.inputTokens.total], [30, 40])
      }))
  })

  describe("as a tool of another agent", () => {
    it.effect("answers its call, and its parts and usage are the caller's too", () =>
      Effect.gen(function*() {
        const server = yield* Copilot.modelServer(Copilot.text("from the runtime"))
        const copilot = CopilotAgent.make("copilot", { ...Copilot.base(server), description: "Knows code" })
        const caller = Agent.make("caller", { toolkit: AgentTool.toolkit(AgentTool.make(copilot, { name: "ask" })) })
        const parts = yield* Stream.runCollect(Agent.stream(caller, { prompt: "go" })).pipe(
          Effect.provide(ScriptedModel.model([
            ScriptedModel.toolCalls({ name: "ask", params: { prompt: "well?" }, id: "a" }),
            ScriptedModel.text("done")
          ]))
        )
        const result = parts.find((part) => part.type === "tool-result")
        assert.strictEqual(result?.type === "tool-result" && result.encodedResult, "from the runtime")
        assert.deepStrictEqual(
          parts.flatMap((part) =>
            part.type === "agent-part" && part.part.type === "text-delta" ? [part.path, part.part.delta] : []
          ),
          [["copilot"], "from the runtime"]
        )
      }))
  })

  describe("middleware of the agent place", () => {
    it.effect("is around the run, and may change the prompt", () =>
      Effect.gen(function*() {
        const server = yield* Copilot.modelServer(Copilot.text("ok"))
        const shouting = Middleware.make("shouting", {
          agent: (request, next) => next({ ...request, prompt: String(request.prompt).toUpperCase() })
        })
        const agent = Agent.withMiddleware(CopilotAgent.make("copilot", Copilot.base(server)), shouting)
        yield* Agent.run(agent, { prompt: "hear me" })
        assert.deepStrictEqual(Copilot.conversation(server.requests[0]), ["user: HEAR ME"])
      }))
  })
})
