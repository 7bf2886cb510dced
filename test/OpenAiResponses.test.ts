/** Agents behind `/v1/responses`, with the clients that people use. */
import { createOpenAI } from "@ai-sdk/openai"
import { assert, describe, it } from "@effect/vitest"
import { generateText, jsonSchema, stepCountIs, streamText, tool } from "ai"
import { Effect } from "effect"
import OpenAI from "openai"
import { Agent, Approval, SessionHistory, SessionStore } from "../src/index.ts"
import { AiSdk } from "../src/ai-sdk/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import * as EveryPart from "./fixtures/everyPart.ts"
import { serve } from "./fixtures/openAiServer.ts"

type Response = OpenAI.Responses.Response
type Event = OpenAI.Responses.ResponseStreamEvent

const failing = (request: PromiseLike<unknown>): Effect.Effect<any> =>
  Effect.promise(() => Promise.resolve(request).then(() => assert.fail("it succeeds"), (error: unknown) => error))

const ask = (client: OpenAI, body: Partial<OpenAI.Responses.ResponseCreateParamsNonStreaming>) =>
  Effect.promise(() => client.responses.create({ model: "assistant", ...body }))

const refused = (client: OpenAI, body: Partial<OpenAI.Responses.ResponseCreateParamsNonStreaming>) =>
  failing(client.responses.create({ model: "assistant", ...body }))

/** All events of a stream, and the response that the client has put together from them. */
const stream = (client: OpenAI, body: Partial<OpenAI.Responses.ResponseCreateParamsNonStreaming>) =>
  Effect.promise(async () => {
    const events: Array<Event> = []
    const reading = client.responses.stream({ model: "assistant", ...body } as never)
    for await (const event of reading) events.push(event)
    return { events, response: await reading.finalResponse() }
  })

const kinds = ({ output }: Pick<Response, "output">) =>
  output.map((item) => "status" in item ? `${item.type} ${item.status}` : item.type)

const approvals = ({ output }: Response) => output.flatMap((item) => item.type === "mcp_approval_request" ? [item] : [])

const answer = (id: string, approve: boolean, reason?: string) => ({
  type: "mcp_approval_response" as const,
  approval_request_id: id,
  approve,
  ...reason !== undefined && { reason }
})

describe("OpenAiApi, responses", () => {
  it.live("a response has the items of a run, in order", () =>
    Effect.gen(function*() {
      const { client } = yield* serve()
      const { completed_at, created_at, id, output, output_text, usage, ...response } = yield* ask(client(), {
        input: "weather",
        metadata: { a: "b" }
      })
      assert.match(id, /^resp_[A-Za-z0-9]+_[A-Za-z0-9]+$/)
      assert.isTrue(Math.abs(Date.now() / 1000 - created_at) < 60 && completed_at! >= created_at)
      assert.deepStrictEqual(response as unknown, {
        object: "response",
        status: "completed",
        background: false,
        error: null,
        incomplete_details: null,
        instructions: null,
        max_output_tokens: null,
        metadata: { a: "b" },
        model: "assistant",
        parallel_tool_calls: true,
        previous_response_id: null,
        store: true,
        temperature: null,
        text: { format: { type: "text" } },
        tool_choice: "auto",
        tools: [],
        top_p: null,
        truncation: "disabled",
        access_programs: null
      })
      const stem = id.replace("resp_", "")
      const message = (index: number, text: string) => ({
        type: "message",
        id: `msg_${stem}_${index}`,
        role: "assistant",
        status: "completed",
        content: [{ type: "output_text", text, annotations: [] }]
      })
      assert.deepStrictEqual(output as unknown, [
        {
          type: "reasoning",
          id: `rs_${stem}_0`,
          status: "completed",
          summary: [{ type: "summary_text", text: "look it up" }]
        },
        message(1, "Let me look. "),
        {
          type: "mcp_call",
          id: `mcp_${stem}_2`,
          server_label: "assistant",
          name: "get_weather",
          arguments: "{\"city\":\"Oslo\"}",
          approval_request_id: null,
          status: "completed",
          // what the schema of the tool does not have is not told
          output: "{\"temperature\":4,\"city\":\"Oslo\"}",
          error: null
        },
        message(3, "Done.")
      ])
      assert.strictEqual(output_text, "Let me look. Done.")
      assert.deepStrictEqual(usage, {
        input_tokens: 20,
        input_tokens_details: { cached_tokens: 0, cache_write_tokens: 0 },
        output_tokens: 10,
        output_tokens_details: { reasoning_tokens: 0 },
        total_tokens: 30
      })
    }).pipe(Effect.scoped))

  it.live("the events of a stream are numbered, and add up to the response, for every kind of run", () =>
    Effect.gen(function*() {
      const { client } = yield* serve()
      const ann = client()
      for (const word of EveryPart.completing) {
        const whole = yield* ask(ann, { input: word })
        const { events, response } = yield* stream(ann, { input: word })
        assert.deepStrictEqual(kinds(response), kinds(whole), word)
        assert.deepStrictEqual(response.output_text, whole.output_text)
        assert.deepStrictEqual([response.status, response.usage], [whole.status, whole.usage])
        assert.deepStrictEqual(
          events.map((event) => "sequence_number" in event ? event.sequence_number : -1),
          events.map((_, index) => index)
        )
        const ends = events.filter(({ type }) => /^response\.(completed|incomplete|failed)$/.test(type))
        assert.deepStrictEqual(ends, events.slice(-1))
      }
      const { response } = yield* stream(ann, { input: "is cut" })
      assert.deepStrictEqual([response.status, response.incomplete_details], [
        "incomplete",
        { reason: "max_output_tokens" }
      ])
      const sources = yield* ask(ann, { input: "sources" })
      assert.deepStrictEqual(sources.output.flatMap((item) => item.type === "message" ? item.content : []) as unknown, [
        {
          type: "output_text",
          text: "see the sources",
          annotations: [
            { type: "url_citation", start_index: 0, end_index: 0, title: "A", url: "https://example.com/a" },
            { type: "file_citation", file_id: "s2", filename: "d.pdf", index: 0 }
          ]
        }
      ])
    }).pipe(Effect.scoped))

  it.live("the four outcomes have names of their own, and reveal nothing", () =>
    Effect.gen(function*() {
      const { client, ended, hub, outcomes, post } = yield* serve()
      const ann = client()
      const dead = yield* refused(ann, { input: "dies" })
      assert.instanceOf(dead, OpenAI.InternalServerError)
      assert.deepStrictEqual([dead.code, dead.headers.get("x-should-retry")], ["server_error", "false"])
      const failed = yield* stream(ann, { input: "fails" })
      assert.deepStrictEqual(
        [failed.response.status, failed.response.error, kinds(failed.response), failed.response.output_text],
        [
          "failed",
          { code: "rate_limit_exceeded", message: "The model gets too many requests. Try again later." },
          ["message incomplete"],
          "in the middle"
        ]
      )
      const raw = yield* Effect.flatMap(
        post("/responses", { model: "assistant", input: "dies", stream: true }),
        (response) => Effect.promise(() => response.text())
      )
      assert.isFalse(raw.includes(EveryPart.secret), raw)
      assert.match(raw, /event: response\.failed\ndata: .*\n\n$/)
      assert.deepStrictEqual(outcomes.splice(0), ["Failed", "Failed", "Failed"])
      // left by the client
      const left = yield* Effect.promise(() =>
        ann.responses.create({ model: "assistant", input: "hangs", stream: true })
      )
      yield* Effect.promise(async () => {
        for await (const event of left) {
          if (event.type === "response.output_text.delta" && event.delta === "middle") break
        }
      })
      const before = performance.now()
      left.controller.abort()
      yield* ended
      assert.isBelow(performance.now() - before, 200)
      // stopped from elsewhere
      const run = Effect.runForkWith(yield* Effect.context<never>())
      const events: Array<Event> = []
      yield* Effect.promise(async () => {
        for await (const event of await ann.responses.create({ model: "assistant", input: "hangs", stream: true })) {
          events.push(event)
          if (event.type === "response.output_text.delta" && event.delta === "middle") {
            run(Effect.flatMap(hub.running, Effect.forEach(({ stop }) => stop)))
          }
        }
      })
      const last = events.at(-1)!
      assert.strictEqual(last.type, "response.incomplete")
      assert.strictEqual("response" in last ? last.response.status : "", "cancelled")
      assert.deepStrictEqual(outcomes, ["Interrupted", "Interrupted"])
    }).pipe(Effect.scoped))

  it.live("a conversation goes on with the id of its last response, and branches with that of an earlier one", () =>
    Effect.gen(function*() {
      const roles = ScriptedModel.model(Array.from({ length: 20 }, () =>
        ScriptedModel.step(({ prompt }) => [
          ScriptedModel.text(
            prompt.content.flatMap(({ content, role }) =>
              role === "user" ? content.map((part) => part.type === "text" ? part.text : "") : []
            ).join("")
          )
        ])))
      const { client, services } = yield* serve({ agent: (agent) => Agent.provide(agent, roles) })
      const ann = client()
      const next = (input: string, previous?: Response) =>
        ask(ann, { input, previous_response_id: previous?.id ?? null })
      const a = yield* next("a")
      const ab = yield* next("b", a)
      const abc = yield* next("c", ab)
      assert.deepStrictEqual([a, ab, abc].map(({ output_text }) => output_text), ["a", "ab", "abc"])
      assert.strictEqual(abc.previous_response_id, ab.id)
      const abx = yield* next("x", ab)
      const abxy = yield* next("y", abx)
      const ay = yield* next("y", a)
      const abcd = yield* next("d", abc)
      assert.deepStrictEqual([abx, abxy, ay, abcd].map(({ output_text }) => output_text), ["abx", "abxy", "ay", "abcd"])
      // a branch that does not begin leaves no copy
      assert.strictEqual((yield* refused(ann, { input: "", previous_response_id: a.id })).code, "invalid_prompt")
      const { sessions } = yield* Effect.flatMap(SessionStore.SessionStore, (store) => store.list()).pipe(
        Effect.provide(services)
      )
      assert.strictEqual(sessions.length, 3)
      assert.isTrue(sessions.every(({ id }) => id.startsWith("ann/resp_")))
      // what is not stored can see, but adds nothing
      const seen = yield* ask(ann, { input: "z", previous_response_id: abcd.id, store: false })
      assert.deepStrictEqual(seen.output_text, "abcdz")
      assert.strictEqual((yield* next("e", abcd)).output_text, "abcde")
      const unstored = yield* refused(ann, { input: "z", previous_response_id: seen.id })
      assert.strictEqual(unstored.code, "previous_response_not_found")
    }).pipe(Effect.scoped))

  it.live("ids of others, and ids that nobody has, are not found", () =>
    Effect.gen(function*() {
      const { client, post } = yield* serve()
      const ann = client()
      const first = yield* ask(ann, { input: "reasons" })
      const failedRun = yield* stream(ann, { input: "fails" })
      const [, conversation, own] = first.id.split("_")
      for (
        const [owner, id] of [
          ["bob", first.id],
          ["an", first.id],
          ["ann/x", first.id],
          ["ann", "resp_1"],
          ["ann", `resp_${own}_${conversation}`],
          ["ann", `resp_${conversation}_${conversation}`],
          ["ann", `resp_../ann/${conversation}_${own}`],
          ["ann", failedRun.response.id],
          ["ann", "__proto__"]
        ] as const
      ) {
        const error = yield* refused(client(owner), { input: "x", previous_response_id: id })
        assert.deepStrictEqual(
          [error.status, error.code, error.param],
          [400, "previous_response_not_found", "previous_response_id"],
          id
        )
        if (id === failedRun.response.id || id.includes("/")) continue
        for (const request of [client(owner).responses.retrieve(id), client(owner).responses.cancel(id)]) {
          assert.strictEqual((yield* failing(request)).status, owner === "ann" && id === first.id ? 200 : 404)
        }
      }
      const item = `msg_${conversation}_${own}_1`
      for (const id of [item, "msg_1", "x"]) {
        const response = yield* post("/responses", {
          model: "assistant",
          input: [{ type: "item_reference", id }, { role: "user", content: "x" }]
        }, { headers: { authorization: "Bearer bob", "content-type": "application/json" } })
        assert.isTrue(response.status === 400 || response.status === 404)
      }
    }).pipe(Effect.scoped))

  it.live("a response that the hub has forgotten is told from its conversation", () =>
    Effect.gen(function*() {
      const { client } = yield* serve({ keep: 0 })
      const ann = client()
      const retrieved = (id: string) => Effect.promise(() => ann.responses.retrieve(id))
      const same = Effect.fnUntraced(function*(response: Response) {
        const found = yield* retrieved(response.id)
        const { completed_at, ...rest } = found
        const { completed_at: at, ...expected } = response
        assert.deepStrictEqual(rest, expected)
        assert.isTrue(Math.abs(completed_at! - at!) <= 1)
        return response
      })
      for (const input of ["weather", "reasons", "is cut", "researches", "breaks", "reports"]) {
        yield* same(yield* ask(ann, { input, metadata: { a: "b" } }))
      }
      const asked = yield* same(yield* ask(ann, { input: "removes two" }))
      const [a, b] = approvals(asked)
      const half = yield* same(yield* ask(ann, { previous_response_id: asked.id, input: [answer(a!.id, true)] }))
      const [again] = approvals(half)
      const rest = yield* same(
        yield* ask(ann, {
          previous_response_id: half.id,
          input: [answer(again!.id, false, "keep it"), { role: "user", content: "and hello" }]
        })
      )
      // what comes later changes nothing of what was told
      yield* same(asked)
      yield* same(half)
      const branch = yield* same(yield* ask(ann, { previous_response_id: rest.id, input: "weather" }))
      yield* same(yield* ask(ann, { previous_response_id: rest.id, input: "reasons" }))
      const streamed = yield* Effect.promise(async () => {
        const events: Array<Event> = []
        for await (const event of await ann.responses.retrieve(branch.id, { stream: true })) events.push(event)
        return events
      })
      assert.strictEqual(streamed.at(-1)?.type, "response.completed")

      const inputs = (id: string, query: OpenAI.Responses.InputItemListParams = {}) =>
        Effect.promise(async () => {
          const items: Array<any> = []
          for await (const item of ann.responses.inputItems.list(id, { order: "asc", ...query })) items.push(item)
          return items
        })
      const items = yield* inputs(rest.id)
      assert.deepStrictEqual(items.map(({ type }) => type), [
        "message",
        ...asked.output.map(({ type }) => type),
        "mcp_approval_response",
        ...half.output.map(({ type }) => type),
        "mcp_approval_response",
        "message"
      ])
      assert.deepStrictEqual(items[0].content, [{ type: "input_text", text: "removes two" }])
      assert.deepStrictEqual(
        items.filter(({ type }) => type === "mcp_approval_response").map((item) => ({ ...item, id: "" })),
        [
          { ...answer(a!.id, true), id: "", reason: null },
          { ...answer(again!.id, false, "keep it"), id: "" }
        ]
      )
      assert.deepStrictEqual(b!.type, "mcp_approval_request")
      assert.strictEqual(new Set(items.map(({ id }) => id)).size, items.length)
      // page after page, from either end
      assert.deepStrictEqual(yield* inputs(rest.id, { limit: 2 }), items)
      assert.deepStrictEqual(yield* inputs(rest.id, { limit: 3, order: "desc" }), items.toReversed())
      for (const query of [{ limit: 0 }, { limit: 101 }, { after: "msg_x" }, { order: "up" as never }]) {
        const refusal = yield* failing(ann.responses.inputItems.list(rest.id, query))
        assert.deepStrictEqual([refusal.status, refusal.code, refusal.param], [
          400,
          "invalid_value",
          Object.keys(query)[0]
        ])
      }
      const bob = client("bob")
      for (
        const request of [
          bob.responses.retrieve(rest.id),
          bob.responses.inputItems.list(rest.id),
          bob.responses.delete(rest.id)
        ]
      ) {
        const unknown = yield* failing(request)
        assert.instanceOf(unknown, OpenAI.NotFoundError)
        assert.match(unknown.message, /^404 Response with id 'resp_\w+' not found\.$/)
      }
    }).pipe(Effect.scoped))

  it.live("a response that was deleted is not found, nothing goes on with it, and those after it stay", () =>
    Effect.gen(function*() {
      for (const keep of ["1 minute", "0 seconds"] as const) {
        const { client, services } = yield* serve({ keep })
        const ann = client()
        const first = yield* ask(ann, { input: "weather" })
        const second = yield* ask(ann, { input: "reasons", previous_response_id: first.id })
        const third = yield* ask(ann, { input: "hello", previous_response_id: second.id })
        const deleted = (id: string) => Effect.promise(() => ann.responses.delete(id))
        assert.deepStrictEqual((yield* deleted(second.id)) as unknown, {
          id: second.id,
          object: "response",
          deleted: true
        })
        for (const request of [ann.responses.retrieve(second.id), ann.responses.delete(second.id)]) {
          assert.instanceOf(yield* failing(request), OpenAI.NotFoundError)
        }
        // as the API of OpenAI refuses it
        const gone = yield* refused(ann, { input: "x", previous_response_id: second.id })
        assert.instanceOf(gone, OpenAI.BadRequestError)
        assert.deepStrictEqual([gone.code, gone.param], ["previous_response_not_found", "previous_response_id"])
        assert.strictEqual(
          (yield* Effect.promise(() => ann.responses.retrieve(third.id))).output_text,
          third.output_text
        )
        const branch = yield* ask(ann, { input: "b", previous_response_id: first.id })
        assert.strictEqual(branch.output_text, "You said: b")
        const fourth = yield* ask(ann, { input: "c", previous_response_id: third.id })
        const sessions = Effect.map(
          Effect.flatMap(SessionStore.SessionStore, (store) => store.list()).pipe(Effect.provide(services)),
          ({ sessions }) => sessions.length
        )
        assert.strictEqual(yield* sessions, 2)
        for (const { id } of [first, third, fourth]) yield* deleted(id)
        assert.strictEqual(yield* sessions, 1)
        // what goes on with it would lose its conversation
        const before = yield* ask(ann, { input: "hello" })
        const after = yield* ask(ann, { input: "hangs", background: true, previous_response_id: before.id })
        const inUse = yield* failing(ann.responses.delete(before.id))
        assert.instanceOf(inUse, OpenAI.ConflictError)
        assert.deepStrictEqual([inUse.code, inUse.headers.get("x-should-retry")], ["session_in_use", "true"])
        yield* Effect.promise(() => ann.responses.cancel(after.id))
        yield* deleted(before.id)
        // one in progress is stopped
        const running = yield* ask(ann, { input: "hangs", background: true })
        yield* deleted(running.id)
        assert.instanceOf(yield* failing(ann.responses.retrieve(running.id)), OpenAI.NotFoundError)
      }
    }).pipe(Effect.scoped))

  it.live("approvals are answered in the next response, and once", () =>
    Effect.gen(function*() {
      const { client, done } = yield* serve()
      const ann = client()
      const asked = yield* ask(ann, { input: "removes two" })
      assert.deepStrictEqual(kinds(asked), ["mcp_call completed", "mcp_approval_request", "mcp_approval_request"])
      const [a, b] = approvals(asked)
      assert.deepStrictEqual([a!.name, a!.arguments, b!.arguments, a!.server_label], [
        "remove_file",
        "{\"file\":\"a.txt\"}",
        "{\"file\":\"b.txt\"}",
        "assistant"
      ])
      // one of two: the other goes on waiting
      const half = yield* ask(ann, { previous_response_id: asked.id, input: [answer(a!.id, true)] })
      assert.deepStrictEqual(kinds(half), ["mcp_call completed", "mcp_approval_request"])
      assert.deepStrictEqual(half.output[0] as unknown, {
        type: "mcp_call",
        id: `mcp_${half.id.replace("resp_", "")}_0`,
        server_label: "assistant",
        name: "remove_file",
        arguments: "{\"file\":\"a.txt\"}",
        approval_request_id: a!.id,
        status: "completed",
        output: "{\"removed\":\"a.txt\"}",
        error: null
      })
      const [again] = approvals(half)
      const rest = yield* ask(ann, {
        previous_response_id: half.id,
        input: [answer(again!.id, false, "keep it"), { role: "user", content: "and hello" }]
      })
      assert.deepStrictEqual([kinds(rest), rest.output_text], [
        ["mcp_call failed", "message completed"],
        "You said: and hello"
      ])
      assert.deepStrictEqual(done, ["remove a.txt"])
      for (
        const [previous, items, status, code] of [
          [asked.id, [answer(a!.id, true)], 409, "approval_expired"],
          [half.id, [answer(again!.id, true)], 409, "approval_expired"],
          [rest.id, [answer(again!.id, true)], 404, "approval_unknown"],
          [rest.id, [answer("x", true)], 404, "approval_unknown"]
        ] as const
      ) {
        const error = yield* refused(ann, { previous_response_id: previous, input: [...items] })
        assert.deepStrictEqual([error.status, error.code], [status, code])
      }
      // another agent may have another tool of this name
      const other = yield* refused(ann, {
        model: "other/agent",
        previous_response_id: rest.id,
        input: [answer("x", true)]
      })
      assert.deepStrictEqual([other.status, other.param], [400, "model"])
      const unstored = yield* refused(ann, {
        previous_response_id: rest.id,
        store: false,
        input: [answer("x", true)]
      })
      assert.deepStrictEqual([unstored.status, unstored.param], [400, "store"])
      const twice = yield* ask(ann, { input: "removes" })
      const [only] = approvals(twice)
      const doubled = yield* refused(ann, {
        previous_response_id: twice.id,
        input: [answer(only!.id, true), answer(only!.id, false)]
      })
      assert.deepStrictEqual([doubled.status, doubled.code], [409, "approval_answered"])
      const stranger = yield* refused(client("bob"), {
        previous_response_id: twice.id,
        input: [answer(only!.id, true)]
      })
      assert.strictEqual(stranger.code, "previous_response_not_found")
      assert.deepStrictEqual(done, ["remove a.txt"])
      // an approval of an agent that was called
      const nested = yield* ask(ann, { input: "cleans" })
      const [inner] = approvals(nested)
      assert.strictEqual(inner!.server_label, "assistant/cleaner")
      const cleaned = yield* ask(ann, { previous_response_id: nested.id, input: [answer(inner!.id, true)] })
      assert.deepStrictEqual([kinds(cleaned), cleaned.output_text], [
        ["mcp_call completed", "message completed"],
        "Done."
      ])
      assert.deepStrictEqual(done, ["remove a.txt", "remove old.txt"])
    }).pipe(Effect.scoped))

  it.live("without a store nobody can approve, and the input is the conversation", () =>
    Effect.gen(function*() {
      const { client, done } = yield* serve()
      const denied = yield* ask(client(), { input: "removes", store: false })
      assert.deepStrictEqual([denied.output_text, done], ["I remove it. Done.", []])
      const strict = yield* serve({ approvals: "fail" })
      const error = yield* refused(strict.client(), { input: "removes", store: false })
      assert.deepStrictEqual([error.status, error.code], [422, "approval_required"])
      const { response } = yield* stream(strict.client(), { input: "removes", store: false })
      assert.deepStrictEqual([response.status, response.error?.code], ["failed", "invalid_prompt"])
      const whole = yield* ask(client(), {
        store: false,
        input: [
          { role: "user", content: "weather" },
          ...denied.output as Array<OpenAI.Responses.ResponseInputItem>,
          { role: "user", content: "reasons" }
        ]
      })
      assert.strictEqual(whole.output_text, "I am")
    }).pipe(Effect.scoped))

  it.live("a tool of the client is called by the agent, and answered by the client alone", () =>
    Effect.gen(function*() {
      const painter = ScriptedModel.model(Array.from({ length: 40 }, () =>
        ScriptedModel.step(({ prompt }) => {
          const last = prompt.content.at(-1)
          return last?.role === "tool"
            ? [ScriptedModel.text(JSON.stringify(last.content.map((part) =>
              part.type === "tool-result" ? part.result : 0
            )))]
            : [
              ScriptedModel.text("I paint. "),
              ScriptedModel.toolCalls(
                { name: "get_weather", params: { city: "Oslo" }, id: "w1" },
                { name: "set_color", params: { color: "red" }, id: "s1" },
                { name: "remove_file", params: { file: "x" }, id: "r1" }
              )
            ]
        })))
      const { client, done, url } = yield* serve({ agent: (agent) => Agent.provide(agent, painter) })
      const ann = client()
      const tools: Array<OpenAI.Responses.Tool> = [
        { type: "function", name: "set_color", parameters: { type: "object", properties: {} }, strict: false }
      ]
      const called = yield* ask(ann, { input: "paint", tools })
      assert.deepStrictEqual(kinds(called), [
        "message completed",
        "mcp_call completed",
        "function_call completed",
        "mcp_approval_request"
      ])
      const call = called.output[2] as OpenAI.Responses.ResponseFunctionToolCall
      assert.deepStrictEqual([call.call_id, call.name, call.arguments], ["s1", "set_color", "{\"color\":\"red\"}"])
      const output = (call_id: string, output: string) => ({ type: "function_call_output" as const, call_id, output })
      // neither the call of the agent's own tool, nor the one that waits for an approval, is the client's
      for (const id of ["w1", "r1", "nothing"]) {
        const forged = yield* refused(ann, { previous_response_id: called.id, tools, input: [output(id, "{}")] })
        assert.deepStrictEqual([forged.status, forged.code], [404, "call_unknown"])
      }
      const [asked] = approvals(called)
      const answered = yield* ask(ann, {
        previous_response_id: called.id,
        tools,
        input: [output("s1", "{\"ok\":1}"), answer(asked!.id, true)]
      })
      assert.deepStrictEqual(kinds(answered), ["mcp_call completed", "message completed"])
      assert.strictEqual(answered.output_text, "[{\"temperature\":4,\"city\":\"Oslo\"},{\"ok\":1},{\"removed\":\"x\"}]")
      assert.deepStrictEqual(done, ["remove x"])
      for (
        const [given, param] of [
          [{ tools: [{ type: "function", name: "remove_file", parameters: {} }] }, "tools"],
          [{ tools: [{ type: "function", name: "no spaces" }] }, "tools[0].name"],
          [{ tools: [{ type: "web_search" }] }, "tools[0].type"],
          [{ tools, tool_choice: "required" }, "tool_choice"],
          [{ conversation: "conv_1" }, "conversation"],
          [{ text: { format: { type: "json_object" } } }, "text"]
        ] as const
      ) {
        const error = yield* refused(ann, { input: "paint", ...given as {} })
        assert.deepStrictEqual([error.status, error.param], [400, param])
      }
      const paint = {
        set_color: tool({
          inputSchema: jsonSchema<{ readonly color: string }>({
            type: "object",
            properties: { color: { type: "string" } }
          }),
          execute: async ({ color }) => ({ painted: color })
        })
      }
      const openai = createOpenAI({ baseURL: `${url}/v1`, apiKey: "ann" })
      // chat completions deny what needs an approval; responses leave it waiting
      const chat = yield* Effect.promise(() =>
        generateText({ model: openai.chat("assistant"), prompt: "paint", tools: paint, stopWhen: stepCountIs(3) })
      )
      assert.deepStrictEqual([chat.text, chat.steps.length], ["[{\"painted\":\"red\"}]", 2])
      const runner = ann.chat.completions.runTools({
        model: "assistant",
        messages: [{ role: "user", content: "paint" }],
        stream: true,
        tools: [{
          type: "function",
          function: {
            name: "set_color",
            description: "Paints",
            parse: JSON.parse,
            parameters: { type: "object", properties: { color: { type: "string" } } },
            function: ({ color }: { readonly color: string }) => JSON.stringify({ painted: color })
          }
        }]
      })
      assert.strictEqual(yield* Effect.promise(() => runner.finalContent()), "[{\"painted\":\"red\"}]")
    }).pipe(Effect.scoped))

  it.live("a response in the background goes on without its client, is followed, and cancelled", () =>
    Effect.gen(function*() {
      const { client, outcomes } = yield* serve()
      const ann = client()
      const begun = yield* ask(ann, { input: "hangs", background: true })
      assert.deepStrictEqual([begun.status, begun.output, begun.background], ["in_progress", [], true])
      assert.strictEqual((yield* Effect.promise(() => ann.responses.retrieve(begun.id))).status, "in_progress")
      const busy = yield* refused(ann, { input: "x", previous_response_id: begun.id })
      assert.deepStrictEqual([busy.status, busy.code], [409, "response_in_progress"])
      const following = yield* Effect.promise(() =>
        ann.responses.retrieve(begun.id, { stream: true, starting_after: 2 })
      )
      const seen: Array<number> = []
      yield* Effect.promise(async () => {
        for await (const event of following) {
          seen.push(event.sequence_number)
          if (event.type === "response.output_text.delta" && event.delta === "middle") break
        }
      })
      assert.deepStrictEqual(seen, [3, 4, 5])
      assert.deepStrictEqual(outcomes, [])
      const cancelled = yield* Effect.promise(() => ann.responses.cancel(begun.id))
      assert.deepStrictEqual([cancelled.status, kinds(cancelled)], ["cancelled", ["message incomplete"]])
      assert.deepStrictEqual(outcomes, ["Interrupted"])
      const ended = yield* ask(ann, { input: "reasons" })
      const { output_text: _, ...again } = yield* Effect.promise(() => ann.responses.cancel(ended.id))
      assert.deepStrictEqual([again.status, kinds(again)], ["completed", kinds(ended)])
    }).pipe(Effect.scoped))
})

describe("OpenAiApi, responses as a model of others", () => {
  it.live("the AI SDK has a conversation, with approvals and tools of its own", () =>
    Effect.gen(function*() {
      const { client, done, url } = yield* serve()
      const model = createOpenAI({ baseURL: `${url}/v1`, apiKey: "ann" }).responses("assistant")
      const first = yield* Effect.promise(() => generateText({ model, prompt: "weather" }))
      assert.deepStrictEqual(first.content.map(({ type }) => type), [
        "reasoning",
        "text",
        "tool-call",
        "tool-result",
        "text"
      ])
      assert.deepStrictEqual([first.text, first.reasoningText, first.usage.totalTokens], [
        "Let me look. Done.",
        "look it up",
        30
      ])
      const user = { role: "user" as const, content: "weather" }
      const second = yield* Effect.promise(() =>
        generateText({ model, messages: [user, ...first.response.messages, { role: "user", content: "removes" }] })
      )
      const request = second.content.find((part) => part.type === "tool-approval-request")!
      const third = yield* Effect.promise(() =>
        generateText({
          model,
          messages: [
            user,
            ...first.response.messages,
            { role: "user", content: "removes" },
            ...second.response.messages,
            {
              role: "tool",
              content: [{
                type: "tool-approval-response",
                approvalId: request.approvalId,
                approved: true,
                providerExecuted: true
              }]
            }
          ]
        })
      )
      assert.deepStrictEqual([third.text, done], ["Done.", ["remove old.txt"]])
      const types: Array<string> = []
      const failed = streamText({ model, prompt: "fails", maxRetries: 0, onError: () => {} })
      yield* Effect.promise(async () => {
        for await (const part of failed.stream) types.push(part.type)
        assert.strictEqual(await failed.finishReason, "error")
      })
      assert.include(types, "error")
      const other = yield* ask(client("bob"), { input: "reasons" })
      const stolen = yield* failing(generateText({
        model,
        maxRetries: 0,
        providerOptions: { openai: { previousResponseId: other.id } },
        prompt: "reasons"
      }))
      assert.strictEqual(stolen.statusCode, 400)
    }).pipe(Effect.scoped))

  it.live("an agent is the model of an agent", () =>
    Effect.gen(function*() {
      const { outcomes, url } = yield* serve()
      const { responses } = createOpenAI({ baseURL: `${url}/v1`, apiKey: "ann" })
      const outer = Agent.make("outer", { model: AiSdk.model(responses("assistant")) })
      const { stopReason, text, usage } = yield* Agent.run(outer, { prompt: "weather" })
      assert.deepStrictEqual([text, stopReason, usage.inputTokens.total], ["Let me look. Done.", "stop", 20])
      const failed = yield* Effect.flip(Agent.run(outer, { prompt: "dies" }))
      assert.strictEqual(failed._tag, "AiError")
      assert.deepStrictEqual(outcomes, ["Completed", "Failed"])
    }).pipe(Effect.scoped))

  it.live("an approval goes through an agent to the agent that is its model", () =>
    Effect.gen(function*() {
      const { done, url } = yield* serve()
      const { responses } = createOpenAI({ baseURL: `${url}/v1`, apiKey: "ann" })
      const outer = Agent.make("outer", {
        model: AiSdk.model(responses("assistant")),
        providers: [SessionHistory.provider]
      })
      const asked = yield* Agent.run(outer, { prompt: "removes", session: "chat" })
      assert.deepStrictEqual(asked.approvals.map(({ params, tool }) => [tool, params]), [
        ["mcp.remove_file", { file: "old.txt" }]
      ])
      assert.deepStrictEqual(done, [])
      const answers = asked.approvals.map((approval) => Approval.approve(approval))
      const { text } = yield* Agent.resume(outer, { session: "chat" }, answers)
      assert.deepStrictEqual([text, done], ["Done.", ["remove old.txt"]])
      assert.strictEqual((yield* Agent.run(outer, { prompt: "more", session: "chat" })).text, "You said: more")
    }).pipe(Effect.provide(SessionStore.layerMemory), Effect.scoped))
})
