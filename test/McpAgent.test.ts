import { assert, describe, it } from "@effect/vitest"
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js"
import type { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js"
import { Deferred, Effect, Exit, Fiber, Layer, Logger, Schema } from "effect"
import { McpClient, McpProtocol, type McpSchema, McpServer, Response, Tool, Toolkit } from "effect/ai"
import { FetchHttpClient } from "effect/http"
import { TestClock } from "effect/testing"
import { Agent, AgentRun, ContextProvider, SessionHistory, SessionStore } from "../src/index.ts"
import { McpAgent, McpToolkit } from "../src/mcp/index.ts"
import { WaitingRuns } from "../src/mcp/internal/asking.ts"
import { make as makeProgress } from "../src/mcp/internal/progress.ts"
import { prefixOf } from "../src/server/internal/sessions.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import * as EveryPart from "./fixtures/everyPart.ts"
import { told } from "./fixtures/mcp.ts"
import { connect, post, serve, sessionful, User } from "./fixtures/mcpAgents.ts"
import { showExit } from "./utils.ts"

const script = ScriptedModel.layer
const { die, text, toolCalls } = ScriptedModel

const call = (
  client: Effect.Success<ReturnType<typeof connect>>,
  args: Record<string, unknown> = { prompt: "go" },
  options?: Parameters<typeof client.callTool>[2]
) =>
  Effect.promise((signal) => client.callTool({ name: "assistant", arguments: args }, undefined, { signal, ...options }))

/** Before the revision of 2025-11-25 arguments that do not fit are an error of the protocol. */
const refused = (client: Effect.Success<ReturnType<typeof connect>>, args: Record<string, unknown>) =>
  Effect.promise(() =>
    client.callTool({ name: "assistant", arguments: args }).catch(({ code, message }) => ({
      isError: code === -32602,
      message,
      _meta: undefined
    }))
  )

const kit = Toolkit.make(Tool.make("rm", {
  parameters: Schema.Struct({ file: Schema.String }),
  success: Schema.String,
  needsApproval: true
}))
const remover = (removed: Array<string>) =>
  kit.toLayer({ rm: ({ file }) => Effect.sync(() => `${removed.push(file)} removed`) })
const cleaner = Agent.make("assistant", { toolkit: kit })
const rm = (file: string) => toolCalls({ name: "rm", params: { file } })

/** Writes down how each run ends. */
const watched = (outcomes: Array<string>) =>
  ContextProvider.make("watched", {
    beforeRun: () =>
      Effect.addFinalizer((exit) =>
        Effect.sync(() => outcomes.push(AgentRun.outcome(exit as Exit.Exit<AgentRun.Result>)._tag))
      )
  })

describe("McpAgent", () => {
  for (const protocol of sessionful) {
    describe(`a client of the official SDK (${protocol.protocolVersion})`, () => {
      const serving = <R>(
        registrations: Parameters<typeof serve<R>>[0],
        services: Parameters<typeof serve<R>>[1]
      ) => serve(registrations, services, [protocol])

      it.live("finds an agent, and reads its answer and how it proceeds", () =>
        Effect.gen(function*() {
          const agent = Agent.make("my assistant", { description: "Says things", toolkit: kit })
          const url = yield* serving(
            McpAgent.layer(agent, { title: "Assistant", annotations: { readOnlyHint: true } }),
            Layer.merge(script([text(["one ", "two"])]), remover([]))
          )
          const client = yield* connect(url)
          const { tools } = yield* Effect.promise(() => client.listTools())
          assert.deepStrictEqual(
            tools.map(({ annotations, description, inputSchema, name, title }) => ({
              name,
              title,
              description,
              readOnly: annotations?.readOnlyHint,
              keys: Object.keys(inputSchema.properties ?? {}),
              required: inputSchema.required
            })),
            [{
              name: "my_assistant",
              title: "Assistant",
              description: "Says things",
              readOnly: true,
              keys: ["prompt"],
              required: ["prompt"]
            }]
          )
          const progress: Array<unknown> = []
          const answer = yield* Effect.promise(() =>
            client.callTool({ name: "my_assistant", arguments: { prompt: "go" } }, undefined, {
              onprogress: ({ message, progress: at }) => progress.push([at, message])
            })
          )
          assert.deepStrictEqual(answer, {
            _meta: { "effect-agents/stop-reason": "stop" },
            isError: false,
            content: [{ type: "text", text: "one two" }]
          })
          assert.deepStrictEqual(progress, [[1, "Step 1 is done"]])
        }).pipe(Effect.scoped))

      it.live("reads nothing of a failure", () =>
        Effect.gen(function*() {
          const outcomes: Array<string> = []
          class Secret extends Schema.TaggedError<Secret>()("Secret", { secret: Schema.String }) {}
          const failing = ContextProvider.make("failing", {
            beforeRun: ({ prompt }) =>
              JSON.stringify(prompt).includes("fail") ? Effect.fail(new Secret({ secret: "s3cret" })) : Effect.void
          })
          const agent = Agent.make("assistant", { providers: [watched(outcomes), failing] })
          const url = yield* serving(McpAgent.layer(agent), script([die("s3cret")]))
          const client = yield* connect(url)
          const answers = [
            yield* call(client, { prompt: "fail" }),
            yield* call(client, { prompt: "die" }),
            yield* refused(client, {}),
            yield* refused(client, { prompt: "" }),
            yield* refused(client, { prompt: "x".repeat(1_000_001) })
          ]
          assert.deepStrictEqual(answers.map(({ _meta, isError }) => [isError, _meta?.["effect-agents/code"]]), [
            [true, "failed"],
            [true, "internal"],
            [true, undefined],
            [true, undefined],
            [true, undefined]
          ])
          assert.notInclude(JSON.stringify(answers), "s3cret")
          assert.notInclude(JSON.stringify(answers), "xxxxxxxxxx")
          assert.deepStrictEqual(outcomes, ["Failed", "Failed"])
        }).pipe(Effect.provide(Logger.layer([])), Effect.scoped))

      const leaving = {
        "cancels the request": (_client, running) => Fiber.interrupt(running),
        "closes its connection": (client) => Effect.promise(() => client.close()),
        "ends its session": ({ transport }) =>
          Effect.promise(() => (transport as StreamableHTTPClientTransport).terminateSession())
      } satisfies Record<
        string,
        (
          client: Effect.Success<ReturnType<typeof connect>>,
          running: Fiber.Fiber<unknown>
        ) => Effect.Effect<unknown>
      >

      it.live.each(Object.entries(leaving))("interrupts a run when it %s", ([, leave]) =>
        Effect.gen(function*() {
          const outcomes: Array<string> = []
          const begun = yield* Deferred.make<void>()
          const ended = yield* Deferred.make<void>()
          const provider = ContextProvider.make("begun", {
            beforeRun: () => Effect.addFinalizer(() => Deferred.succeed(ended, undefined))
          })
          const agent = Agent.make("assistant", { providers: [provider, watched(outcomes)] })
          const url = yield* serving(
            McpAgent.layer(agent),
            script([ScriptedModel.step(() => {
              Deferred.doneUnsafe(begun, Exit.void)
              return ScriptedModel.hang
            })])
          )
          const client = yield* connect(url)
          const fiber = yield* Effect.forkChild(call(client))
          yield* Deferred.await(begun)
          yield* leave(client, fiber)
          yield* Deferred.await(ended).pipe(Effect.timeout("200 millis"))
          assert.deepStrictEqual(outcomes, ["Interrupted"])
        }).pipe(Effect.scoped))

      const decisions = {
        "says yes": [() => ({ action: "accept", content: { approve: true } }), true],
        "says no": [() => ({ action: "accept", content: { approve: false } }), false],
        "declines": [() => ({ action: "decline" }), false],
        "closes the form": [() => ({ action: "cancel" }), false],
        "sends nonsense": [() => ({ action: "accept", content: { approve: "yes" } }), false],
        "has a broken client": [() => Promise.reject(new Error("no")), false]
      } as const

      for (const [what, [person, isApproved]] of Object.entries(decisions)) {
        it.live(`has a person that is asked for approvals, and ${what}`, () =>
          Effect.gen(function*() {
            const removed: Array<string> = []
            const asked: Array<string> = []
            const url = yield* serving(
              McpAgent.layer(cleaner),
              Layer.merge(script([[rm("a")], text("done")]), remover(removed))
            )
            const client = yield* connect(url, {
              person: (message) => {
                asked.push(message)
                return person()
              }
            })
            const { content } = yield* call(client)
            assert.deepStrictEqual(content, [{ type: "text", text: "done" }])
            assert.deepStrictEqual(asked, [
              "The agent assistant asks whether it may call the tool rm with {\"file\":\"a\"}"
            ])
            assert.deepStrictEqual(removed, isApproved ? ["a"] : [])
          }).pipe(Effect.scoped))
      }

      for (const unanswered of ["deny", "fail"] as const) {
        it.live(`has nobody to ask, so what needs an approval is a ${unanswered}`, () =>
          Effect.gen(function*() {
            const removed: Array<string> = []
            const url = yield* serving(
              McpAgent.layer(cleaner, { unanswered }),
              Layer.merge(script([rm("a"), text("I may not")]), remover(removed))
            )
            const { _meta, content, isError } = yield* call(yield* connect(url))
            assert.deepStrictEqual(
              [isError, (content as any)[0].text, _meta],
              unanswered === "deny"
                ? [false, "I may not", { "effect-agents/stop-reason": "stop" }]
                : [true, "The agent needs an approval, and nobody can be asked for it", {
                  "effect-agents/stop-reason": "approval-required",
                  "effect-agents/code": "approval-required"
                }]
            )
            assert.deepStrictEqual(removed, [])
          }).pipe(Effect.scoped))
      }

      it.live("reads structured content that fits its schema", () =>
        Effect.gen(function*() {
          const output = Schema.Struct({ city: Schema.String, at: Schema.DateFromString })
          const object = Agent.make("object", { output })
          const list = Agent.make("list", { output: Schema.Array(Schema.Int) })
          const url = yield* serving(
            Layer.merge(McpAgent.layer(object, { output }), McpAgent.layer(list, { output: Schema.Array(Schema.Int) })),
            script([
              ({ tools: [name] }) => toolCalls({ name, params: { city: "Oslo", at: "2026-01-01T00:00:00.000Z" } }),
              ({ tools: [name] }) => toolCalls({ name, params: { value: [1, 2] } })
            ])
          )
          const client = yield* connect(url)
          // the client refuses what does not fit
          yield* Effect.promise(() => client.listTools())
          const ask = (name: string) => Effect.promise(() => client.callTool({ name, arguments: { prompt: name } }))
          const first = yield* ask("object")
          const second = yield* ask("list")
          assert.deepStrictEqual([first.structuredContent, second.structuredContent], [
            { city: "Oslo", at: "2026-01-01T00:00:00.000Z" },
            { value: [1, 2] }
          ])
          assert.deepStrictEqual(second.content, [{ type: "text", text: "{\"value\":[1,2]}" }])
        }).pipe(Effect.scoped))

      it.live("has sessions of its own, and none of others", () =>
        Effect.gen(function*() {
          const agent = Agent.make("assistant", { providers: [SessionHistory.provider] })
          const said = ScriptedModel.step(({ prompt }) => text(`${prompt.content.length}`))
          const store = SessionStore.layerMemory
          const url = yield* serving(
            McpAgent.layer(agent, { owner: Effect.map(User, ({ id }) => id) }),
            Layer.merge(script([said, said, said, said, said]), store)
          )
          const ann = yield* connect(url, { user: "ann/x" })
          const bob = yield* connect(url, { user: "ann" })
          const counts: Array<unknown> = []
          for (
            const [client, session] of [[ann, "s"], [ann, "s"], [bob, "x/s"], [bob, "s"], [ann, undefined]] as const
          ) {
            const { content } = yield* call(client, { prompt: "go", ...session !== undefined && { session } })
            counts.push((content as any)[0].text)
          }
          assert.deepStrictEqual(counts, ["1", "3", "1", "1", "1"])
        }).pipe(Effect.scoped))
    })
  }

  it("names sessions as the servers of HTTP do", () => {
    for (const owner of ["ann", "a/b", "a%b", "%2F", "effect-agents"]) {
      assert.strictEqual(McpAgent.sessionId(owner, "s"), `${prefixOf(owner)}s`)
    }
  })

  describe("a client of the revision without sessions", () => {
    const args = { name: "assistant", arguments: { prompt: "go" } }
    const accept = { "approval-1": { action: "accept", content: { approve: true } } }

    it.live("is asked with an answer that requires input, and comes back", () =>
      Effect.gen(function*() {
        const removed: Array<string> = []
        const owner = Effect.map(User, ({ id }) => id)
        const url = yield* serve(
          McpAgent.layer(cleaner, { owner }),
          Layer.merge(script([rm("a"), rm("b"), text("done")]), remover(removed))
        )
        const first = (yield* post(url, args, { user: "ann" })).result
        assert.strictEqual(first.resultType, "input_required")
        assert.deepStrictEqual(first.inputRequests["approval-1"].method, "elicitation/create")
        assert.include(first.inputRequests["approval-1"].params.message, "the tool rm with {\"file\":\"a\"}")
        const answer = { ...args, requestState: first.requestState, inputResponses: accept }

        // somebody else's run does not exist, and neither does one that nobody began
        for (const [user, state] of [["bob", first.requestState], ["ann", "made up"]]) {
          const refused = yield* post(url, { ...answer, requestState: state }, { user })
          assert.isTrue(refused.error !== undefined || refused.result.isError, JSON.stringify(refused))
        }
        assert.deepStrictEqual(removed, [])

        const second = (yield* post(url, answer, { user: "ann" })).result
        assert.deepStrictEqual(removed, ["a"])
        assert.strictEqual(second.resultType, "input_required")
        assert.notStrictEqual(second.requestState, first.requestState)

        // an answer is given once
        const twice = yield* post(url, answer, { user: "ann" })
        assert.isTrue(twice.error !== undefined || twice.result.isError, JSON.stringify(twice))

        // what is no clear yes is a no
        const third = yield* post(url, { ...answer, requestState: second.requestState, inputResponses: {} }, {
          user: "ann"
        })
        assert.deepStrictEqual(third.result.content, [{ type: "text", text: "done" }])
        assert.deepStrictEqual(removed, ["a"])
      }).pipe(Effect.scoped))

    it.live("interrupts the run when it goes away", () =>
      Effect.gen(function*() {
        const outcomes: Array<string> = []
        const begun = yield* Deferred.make<void>()
        const url = yield* serve(
          McpAgent.layer(Agent.make("assistant", { providers: [watched(outcomes)] })),
          script([ScriptedModel.step(() => {
            Deferred.doneUnsafe(begun, Exit.void)
            return ScriptedModel.hang
          })])
        )
        const fiber = yield* Effect.forkChild(post(url, args))
        yield* Deferred.await(begun)
        yield* Fiber.interrupt(fiber)
        yield* Effect.sleep(1).pipe(Effect.repeat({ until: () => outcomes.length > 0 }), Effect.timeout("200 millis"))
        assert.deepStrictEqual(outcomes, ["Interrupted"])
      }).pipe(Effect.scoped))
  })

  describe("options", () => {
    it.live("give the tool parameters of its own, from which the prompt is made", () =>
      Effect.gen(function*() {
        const parameters = Schema.Struct({ city: Schema.String, at: Schema.DateFromString })
        const owner = Effect.map(User, ({ id }) => id)
        const agent = Agent.make("assistant", { providers: [SessionHistory.provider] })
        const said = ScriptedModel.step(({ prompt }) => text(JSON.stringify(prompt.content.at(-1)?.content)))
        const url = yield* serve(
          McpAgent.layer(agent, {
            name: "rain",
            parameters,
            prompt: ({ at, city }) => `${city} in ${at.getUTCFullYear()}`,
            owner
          }),
          Layer.merge(script([said]), SessionStore.layerMemory)
        )
        const client = yield* connect(url, { user: "ann" })
        const { tools: [{ inputSchema }] } = yield* Effect.promise(() => client.listTools())
        assert.deepStrictEqual(Object.keys(inputSchema.properties ?? {}), ["city", "at", "session"])
        const given = { city: "Oslo", at: "2026-01-01T00:00:00.000Z", session: "s" }
        const answer = yield* Effect.promise(() => client.callTool({ name: "rain", arguments: given }))
        assert.include(JSON.stringify(answer.content), "Oslo in 2026")
        for (
          const wrong of [{ ...given, session: "" }, { ...given, session: "x".repeat(101) }, { ...given, at: "?" }]
        ) {
          const refused = yield* Effect.promise(() => client.callTool({ name: "rain", arguments: wrong }))
          assert.isTrue(refused.isError)
        }
      }).pipe(Effect.scoped))

    it.effect("refuse parameters that are no object", () =>
      Effect.gen(function*() {
        const layer = McpAgent.layer(Agent.make("assistant"), {
          parameters: Schema.Array(Schema.String),
          prompt: () => "go"
        })
        const exit = yield* Layer.build(layer).pipe(
          Effect.provide([McpServer.McpServer.layer, script([])]),
          Effect.exit
        )
        assert.match(showExit(exit), /The tool `assistant` cannot be offered: its parameters have to be an object/)
      }).pipe(Effect.scoped))
  })

  describe("files", () => {
    it.live("of the last message are in the answer", () =>
      Effect.gen(function*() {
        const file = (mediaType: string, data: string, fileName?: string) => ({
          type: "file" as const,
          mediaType,
          data,
          ...fileName !== undefined && { fileName }
        })
        const url = yield* serve(
          McpAgent.layer(Agent.make("assistant")),
          script([[
            text("here"),
            ScriptedModel.parts([file("image/png", "AQID"), file("audio/wav", "AQID"), file("application/pdf", "AQID")])
          ]])
        )
        const { content } = yield* call(yield* connect(url))
        assert.deepStrictEqual(content, [
          { type: "text", text: "here" },
          { type: "image", data: "AQID", mimeType: "image/png" },
          { type: "audio", data: "AQID", mimeType: "audio/wav" },
          { type: "resource", resource: { uri: "file:///4", mimeType: "application/pdf", blob: "AQID" } }
        ])
      }).pipe(Effect.scoped))
  })

  describe("progress", () => {
    const send = (deliver: Effect.Effect<void>, sent: Array<unknown>) => {
      const progress = (payload: unknown) => Effect.andThen(Effect.sync(() => sent.push(payload)), deliver)
      return { notifications: { "notifications/progress": progress } } as unknown as McpServer.McpServer["Service"]
    }
    const request = { requestMetadata: { progressToken: 7 } } as unknown as McpSchema.McpRequestContext["Service"]
    const parts = (count: number) =>
      Array.from({ length: count }, (_, index) =>
        Response.makePart("tool-call", {
          id: `${index}`,
          name: `t${index}`,
          params: {},
          providerExecuted: false
        })) as unknown as ReadonlyArray<AgentRun.Part>

    it.effect("never waits for a client that does not read, and is given up after a second", () =>
      Effect.gen(function*() {
        const sent: Array<unknown> = []
        const progress = yield* makeProgress(send(Effect.never, sent), request)
        progress.see(parts(1000))
        const ending = yield* Effect.forkChild(progress.end, { startImmediately: true })
        yield* TestClock.adjust(999)
        assert.isUndefined(ending.pollUnsafe())
        yield* TestClock.adjust(1)
        yield* Fiber.join(ending)
        assert.strictEqual(sent.length, 1)
      }).pipe(Effect.scoped))

    it.effect("counts up, and leaves out what a slow client has missed", () =>
      Effect.gen(function*() {
        const sent: Array<any> = []
        const progress = yield* makeProgress(send(Effect.void, sent), request)
        progress.see(parts(100))
        yield* progress.end
        assert.deepStrictEqual(sent.map(({ message, progress }) => [progress, message]).slice(-2), [
          [sent.length - 1, "Calls the tool t98"],
          [sent.length, "Calls the tool t99"]
        ])
        assert.isAtMost(sent.length, 17)
      }).pipe(Effect.scoped))
  })

  describe("bounds", () => {
    it.live("end a model that asks for the same approval for ever", () =>
      Effect.gen(function*() {
        const removed: Array<string> = []
        const url = yield* serve(
          McpAgent.layer(cleaner),
          Layer.merge(script(Array.from({ length: 40 }, () => rm("a"))), remover(removed))
        )
        const { isError } = yield* call(yield* connect(url))
        assert.deepStrictEqual([isError, removed], [true, []])
      }).pipe(Effect.scoped))

    it.live("deny a call whose parameters nobody could read", () =>
      Effect.gen(function*() {
        const removed: Array<string> = []
        const url = yield* serve(
          McpAgent.layer(cleaner),
          Layer.merge(script([rm("a".repeat(20_000)), text("done")]), remover(removed))
        )
        const asked: Array<string> = []
        const person = (message: string) => (asked.push(message), { action: "accept", content: { approve: true } })
        const { content } = yield* call(yield* connect(url, { person }))
        assert.deepStrictEqual([content, asked, removed], [[{ type: "text", text: "done" }], [], []])
      }).pipe(Effect.scoped))

    it.live("ask nobody who has no sessions either, if nothing can be shown", () =>
      Effect.gen(function*() {
        const removed: Array<string> = []
        const url = yield* serve(
          McpAgent.layer(cleaner),
          Layer.merge(script([rm("a".repeat(20_000)), text("done")]), remover(removed))
        )
        const { result } = yield* post(url, { name: "assistant", arguments: { prompt: "go" } })
        assert.deepStrictEqual([result.content, removed], [[{ type: "text", text: "done" }], []])
      }).pipe(Effect.scoped))

    it.live("show characters that hide others", () =>
      Effect.gen(function*() {
        const url = yield* serve(
          McpAgent.layer(cleaner),
          Layer.merge(script([rm("a\u202etxt.exe\u{e0041}"), text("done")]), remover([]))
        )
        const asked: Array<string> = []
        yield* call(yield* connect(url, { person: (message) => (asked.push(message), { action: "decline" }) }))
        assert.include(asked[0], String.raw`{"file":"a\u202etxt.exe\udb40\udc41"}`)
      }).pipe(Effect.scoped))

    it.effect("let runs wait for an hour, and only so many", () =>
      Effect.gen(function*() {
        const runs = new WaitingRuns()
        const waiting = { owner: "ann", result: {} as AgentRun.Result, rounds: 0 }
        const first = yield* runs.keep(waiting)
        yield* TestClock.adjust("59 minutes")
        assert.isDefined(yield* runs.take(first, "ann"))
        const second = yield* runs.keep(waiting)
        assert.isUndefined(yield* runs.take(second, "bob"))
        yield* TestClock.adjust("60 minutes")
        assert.isUndefined(yield* runs.take(second, "ann"))
        const oldest = yield* runs.keep(waiting)
        for (let index = 0; index < 1000; index++) yield* runs.keep(waiting)
        assert.isUndefined(yield* runs.take(oldest, "ann"))
      }))
  })

  describe("on stdio", () => {
    it("answers a client of the official SDK, which cancels, and ends with it", async () => {
      const transport = new StdioClientTransport({
        command: process.execPath,
        args: [`${import.meta.dirname}/fixtures/mcpAgentProgram.ts`],
        stderr: "pipe"
      })
      const outcomes: Array<string> = []
      const ended = new Promise<void>((resolve) =>
        transport.stderr!.on("data", (data) => {
          outcomes.push(...String(data).trim().split("\n"))
          if (outcomes.length === 2) resolve()
        })
      )
      const client = new Client({ name: "test", version: "1" })
      await client.connect(transport)
      const { pid } = transport
      try {
        const ask = (signal?: AbortSignal) =>
          client.callTool({ name: "assistant", arguments: { prompt: "go" } }, undefined, { ...signal && { signal } })
        assert.deepStrictEqual((await ask()).content, [{ type: "text", text: "hello" }])
        const controller = new AbortController()
        const cancelled = ask(controller.signal).catch((error) => error)
        // a request after it, so that it has begun
        await client.listTools()
        controller.abort()
        assert.instanceOf(await cancelled, Error)
        await ended
        assert.deepStrictEqual(outcomes, ["Completed", "Interrupted"])
      } finally {
        await client.close()
      }
      assert.throws(() => process.kill(pid!, 0))
    }, 20_000)
  })

  describe("a run of any kind", () => {
    const codes: Record<string, string> = { "fails": "rate-limited", "fails at once": "rate-limited", dies: "internal" }

    for (const protocol of [...sessionful, McpProtocol.v2026_07_28]) {
      it.live(`ends with what happened, and tells no secret (${protocol.protocolVersion})`, () =>
        Effect.gen(function*() {
          const { agent, done, layer, reporter } = EveryPart.make()
          const owner = Effect.map(User, ({ id }) => id)
          const output = Schema.Struct({ title: Schema.String, points: Schema.Array(Schema.Int) })
          const url = yield* serve(
            Layer.merge(McpAgent.layer(agent, { owner }), McpAgent.layer(reporter, { output, owner })),
            layer,
            [protocol]
          )
          const isModern = protocol === McpProtocol.v2026_07_28
          const person = () => ({ action: "accept", content: { approve: true } })
          const client = isModern ? undefined : yield* connect(url, { person, user: "ann" })
          const progress: Array<unknown> = []
          for (const word of EveryPart.words) {
            if (word === "hangs") continue
            const params = {
              name: word === "reports" ? "reporter" : "assistant",
              arguments: { prompt: word, session: word }
            }
            let answer: any
            if (client === undefined) {
              answer = (yield* post(url, params, { user: "ann" })).result
              while (answer.resultType === "input_required") {
                const { inputRequests, requestState } = answer
                const inputResponses = Object.fromEntries(Object.keys(inputRequests).map((key) => [key, person()]))
                answer = (yield* post(url, { ...params, requestState, inputResponses }, { user: "ann" })).result
              }
            } else {
              answer = yield* Effect.promise(() =>
                client.callTool(params, undefined, { onprogress: (told) => progress.push(told) })
              )
            }
            assert.deepStrictEqual(
              [word, answer.isError, answer._meta["effect-agents/code"]],
              [word, codes[word] !== undefined, codes[word]]
            )
            assert.notInclude(JSON.stringify(answer), EveryPart.secret)
            if (word === "reports") {
              assert.deepStrictEqual(answer.structuredContent, { title: "A", points: [1, 2] })
            }
            if (word === "sources") {
              assert.deepStrictEqual(answer.content, [
                { type: "text", text: "see the sources" },
                { type: "image", data: "iVBORw0KGgo=", mimeType: "image/png" },
                { type: "resource_link", uri: "https://example.com/a", name: "A" }
              ])
            }
          }
          assert.notInclude(JSON.stringify(progress), EveryPart.secret)
          assert.deepStrictEqual(done.toSorted(), [
            "remove a.txt",
            "remove b.txt",
            "remove old.txt",
            "remove old.txt"
          ])
        }).pipe(Effect.provide(Logger.layer([])), Effect.scoped))
    }
  })

  describe("with McpToolkit", () => {
    for (const protocol of [McpProtocol.v2025_11_25, McpProtocol.v2026_07_28]) {
      it.live(`is an agent as a tool of an agent elsewhere (${protocol.protocolVersion})`, () =>
        Effect.gen(function*() {
          const outcomes: Array<string> = []
          const begun = yield* Deferred.make<void>()
          const url = yield* serve(
            McpAgent.layer(Agent.make("assistant", { description: "Helps", providers: [watched(outcomes)] })),
            script([
              text("2469 m"),
              die("s3cret"),
              ScriptedModel.step(() => {
                Deferred.doneUnsafe(begun, Exit.void)
                return ScriptedModel.hang
              })
            ])
          )
          const client = McpClient.layerHttp({ name: "test", version: "1", url, protocol }).pipe(
            Layer.provide(FetchHttpClient.layer)
          )
          const lead = Agent.make("lead", { toolkit: McpToolkit.toolkit })
          const ask = toolCalls({ name: "far__assistant", params: { prompt: "How high?" } })
          yield* Effect.gen(function*() {
            const { transcript } = yield* Agent.run(lead, { prompt: "go" })
            assert.deepStrictEqual(told(transcript), [[false, "2469 m"], [true, "Something went wrong."]])
            const fiber = yield* Effect.forkChild(Agent.run(lead, { prompt: "go" }))
            yield* Deferred.await(begun)
            yield* Fiber.interrupt(fiber)
            yield* Effect.sleep(1).pipe(Effect.repeat({ until: () => outcomes.length === 3 }), Effect.timeout(200))
            assert.deepStrictEqual(outcomes, ["Completed", "Failed", "Interrupted"])
          }).pipe(Effect.provide([
            McpToolkit.layer({ far: client }, { needsApproval: () => false }),
            script([ask, ask, text("done"), ask])
          ]))
        }).pipe(
          Effect.provide(Logger.layer([])),
          Effect.scoped
        ))
    }
  })
})
