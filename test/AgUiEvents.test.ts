/** The parts of a run as events of AG-UI: whatever happens, the verifier of the real client accepts them. */
import { assert, describe, it } from "@effect/vitest"
import { HttpAgent } from "@ag-ui/client"
import { Arbitrary, Cause, Effect, Layer, Schema, Stream } from "effect"
import { AiError } from "effect/ai"
import { Agent, type AgentRun, AgentTool } from "../src/index.ts"
import { AgUi } from "../src/server/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { run } from "./fixtures/agUiServer.ts"
import * as EveryPart from "./fixtures/everyPart.ts"

const { text, toolCalls } = ScriptedModel

const partsOf = (word: string, agent: (made: ReturnType<typeof EveryPart.make>) => Agent.Any = ({ agent }) => agent) =>
  Effect.suspend(() => {
    const made = EveryPart.make()
    const parts: Array<AgentRun.Part> = []
    return Agent.stream(agent(made) as typeof made.agent, { prompt: word }).pipe(
      Stream.runForEach((part) => Effect.sync(() => void parts.push(part))),
      Effect.exit,
      Effect.as(parts),
      Effect.provide(made.layer)
    )
  })

const eventsOf = (parts: Stream.Stream<AgentRun.Part, unknown>, options?: Partial<AgUi.PartsOptions>) =>
  Stream.runCollect(AgUi.fromParts(parts, { threadId: "t", runId: "run-of-client", ...options }))

/** Reads events as a client does. */
const read = (events: ReadonlyArray<AgUi.Event>) =>
  Effect.suspend(() => {
    const agent = new HttpAgent({
      url: "http://localhost",
      threadId: "t",
      fetch: () =>
        Promise.resolve(
          new globalThis.Response(events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join(""), {
            headers: { "content-type": "text/event-stream" }
          })
        )
    })
    return Effect.map(run(agent, { runId: "run-of-client" }), (seen) => ({ ...seen, agent }))
  })

const typesOf = (events: ReadonlyArray<AgUi.Event>) => events.map(({ type }) => type)

const isTerminal = ({ type }: AgUi.Event) => type === "RUN_FINISHED" || type === "RUN_ERROR"

/** What is open at the end of these events, by kind and id. */
const openAtEnd = (events: ReadonlyArray<AgUi.Event>): ReadonlyArray<string> => {
  const open = new Set<string>()
  for (const event of events as ReadonlyArray<any>) {
    const id = event.messageId ?? event.toolCallId ?? event.stepName ?? event.subagentRunId
    const key = (kind: string) => `${kind} ${id} ${event.subagentRunId ?? ""}`
    const begun = /^(TEXT_MESSAGE|REASONING_MESSAGE|REASONING|TOOL_CALL)_START$|^(STEP|SUBAGENT)_STARTED$/.exec(
      event.type
    )
    const ended =
      /^(TEXT_MESSAGE|REASONING_MESSAGE|REASONING|TOOL_CALL)_END$|^(STEP)_FINISHED$|^(SUBAGENT)_(?:FINISHED|ERROR)$/
        .exec(
          event.type
        )
    if (begun !== null) open.add(key((begun[1] ?? begun[2])!))
    if (ended !== null) open.delete(key((ended[1] ?? ended[2] ?? ended[3])!))
  }
  return [...open]
}

describe("AgUi.fromParts", () => {
  it.effect("tells every part of a run", () =>
    Effect.gen(function*() {
      const events = yield* eventsOf(Stream.fromIterable(yield* partsOf("weather")))
      assert.deepStrictEqual(events, [
        { type: "RUN_STARTED", threadId: "t", runId: "run-of-client", protocolVersion: "1.0" },
        { type: "STEP_STARTED", stepName: "step-0" },
        { type: "REASONING_START", messageId: "run-of-client-0" },
        { type: "REASONING_MESSAGE_START", messageId: "run-of-client-0", role: "reasoning" },
        { type: "REASONING_MESSAGE_CONTENT", messageId: "run-of-client-0", delta: "look it up" },
        { type: "REASONING_MESSAGE_END", messageId: "run-of-client-0" },
        { type: "REASONING_END", messageId: "run-of-client-0" },
        { type: "TEXT_MESSAGE_START", messageId: "run-of-client-1", role: "assistant" },
        { type: "TEXT_MESSAGE_CONTENT", messageId: "run-of-client-1", delta: "Let me look. " },
        { type: "TEXT_MESSAGE_END", messageId: "run-of-client-1" },
        ...callEvents(idOf(events)),
        {
          type: "TOOL_CALL_RESULT",
          messageId: "run-of-client-2",
          toolCallId: idOf(events),
          role: "tool",
          content: "{\"temperature\":4,\"city\":\"Oslo\"}"
        },
        { type: "STEP_FINISHED", stepName: "step-0" },
        { type: "STEP_STARTED", stepName: "step-1" },
        { type: "TEXT_MESSAGE_START", messageId: "run-of-client-3", role: "assistant" },
        { type: "TEXT_MESSAGE_CONTENT", messageId: "run-of-client-3", delta: "Done" },
        { type: "TEXT_MESSAGE_CONTENT", messageId: "run-of-client-3", delta: "." },
        { type: "TEXT_MESSAGE_END", messageId: "run-of-client-3" },
        { type: "STEP_FINISHED", stepName: "step-1" },
        {
          type: "RUN_FINISHED",
          threadId: "t",
          runId: "run-of-client",
          outcome: { type: "success" },
          usage: [{ provider: "scripted", model: "every-part", inputTokens: 20, outputTokens: 10 }],
          metadata: { stopReason: "stop" }
        }
      ])
    }))

  const idOf = (events: ReadonlyArray<AgUi.Event>): string => {
    const start = events.find(({ type }) => type === "TOOL_CALL_START")
    return start !== undefined && "toolCallId" in start ? start.toolCallId : ""
  }

  const callEvents = (toolCallId: string): ReadonlyArray<AgUi.Event> => [
    { type: "TOOL_CALL_START", toolCallId, toolCallName: "get_weather", parentMessageId: "run-of-client-1" },
    { type: "TOOL_CALL_ARGS", toolCallId, delta: "{\"city\":" },
    { type: "TOOL_CALL_ARGS", toolCallId, delta: "\"Oslo\"}" },
    { type: "TOOL_CALL_END", toolCallId }
  ]

  it.effect("tells preliminary results, sources, files and the value of an output", () =>
    Effect.gen(function*() {
      const custom = (events: ReadonlyArray<AgUi.Event>) =>
        events.flatMap((event) => event.type === "CUSTOM" ? [[event.name, event.value]] : [])
      const counts = yield* eventsOf(Stream.fromIterable(yield* partsOf("counts")))
      const toolCallId = idOf(counts)
      assert.deepStrictEqual(custom(counts), [
        ["tool-progress", { toolCallId, result: { counted: 1 } }],
        ["tool-progress", { toolCallId, result: { counted: 2 } }]
      ])
      assert.deepStrictEqual(custom(yield* eventsOf(Stream.fromIterable(yield* partsOf("sources")))), [
        ["source", { sourceType: "url", id: "s1", url: "https://example.com/a", title: "A" }],
        ["source", {
          sourceType: "document",
          id: "s2",
          mediaType: "application/pdf",
          title: "Document",
          fileName: "d.pdf"
        }],
        ["file", { mediaType: "image/png", data: "iVBORw0KGgo=" }]
      ])
      const reports = yield* eventsOf(
        Stream.fromIterable(yield* partsOf("reports", ({ reporter }) => reporter)),
        { state: { mine: 1, output: 0 } }
      )
      assert.deepStrictEqual(
        reports.flatMap((event) => event.type === "STATE_SNAPSHOT" ? [event.snapshot] : []),
        [
          { mine: 1, output: { title: "A" } },
          { mine: 1, output: { title: "A", points: [1] } },
          { mine: 1, output: { title: "A", points: [1, 2] } },
          { mine: 1, output: { title: "A", points: [1, 2] } }
        ]
      )
      const { agent, events } = yield* read(reports)
      assert.deepStrictEqual(events.at(-1).result, { title: "A", points: [1, 2] })
      assert.deepStrictEqual(agent.state, { mine: 1, output: { title: "A", points: [1, 2] } })
    }))

  it.effect("a model that uses its ids again gets others, in a run and in a conversation", () =>
    Effect.gen(function*() {
      const inner = Agent.make("inner", { toolkit: EveryPart.toolkit })
      const script = ScriptedModel.layer([
        toolCalls({ name: "get_weather", params: { city: "A" }, id: "call" }),
        toolCalls({ name: "get_weather", params: { city: "B" }, id: "call" }),
        ScriptedModel.parts(["0", "0"].flatMap((id) => [
          { type: "text-start", id },
          { type: "text-delta", id, delta: "text" },
          { type: "text-end", id }
        ])) as never
      ])
      const { layer } = EveryPart.make()
      const parts: Array<AgentRun.Part> = []
      yield* Agent.stream(inner, { prompt: "go" }).pipe(
        Stream.runForEach((part) => Effect.sync(() => void parts.push(part))),
        Effect.provide(Layer.provideMerge(script, layer))
      )
      const events = yield* eventsOf(Stream.fromIterable(parts), { knownCalls: ["x", "call", "call~2"] })
      const { newMessages, threw } = yield* read(events)
      assert.isUndefined(threw)
      assert.deepStrictEqual(
        newMessages.map(({ content, toolCallId, toolCalls }) =>
          toolCallId ?? toolCalls?.map(({ id }: any) => id) ?? content
        ),
        [["call~3"], "call~3", ["call~4"], "call~4", "text", "text"]
      )
    }))

  it.effect("runs of agents in agents are told with the run that they are of, also when they wait or fail", () =>
    Effect.gen(function*() {
      const leaf = AgentTool.make(Agent.make("leaf", { toolkit: EveryPart.toolkit }), { name: "leaf" })
      const middle = AgentTool.make(Agent.make("middle", { toolkit: AgentTool.toolkit(leaf) }), { name: "middle" })
      const top = Agent.make("top", { toolkit: AgentTool.toolkit(middle) })
      const ask = (name: string, id: string) => toolCalls({ name, params: { prompt: "go" }, id })
      const collected = (...steps: ReadonlyArray<ScriptedModel.Step>) =>
        Effect.gen(function*() {
          const parts: Array<AgentRun.Part> = []
          const exit = yield* Agent.stream(top, { prompt: "go" }).pipe(
            Stream.runForEach((part) => Effect.sync(() => void parts.push(part))),
            Effect.provide(Layer.provideMerge(ScriptedModel.layer(steps), EveryPart.make().layer)),
            Effect.exit
          )
          const stream = exit._tag === "Success"
            ? Stream.fromIterable(parts)
            : Stream.concat(Stream.fromIterable(parts), Stream.failCause(exit.cause))
          const events = yield* eventsOf(stream, { tools: Agent.tools(top)! })
          const seen = yield* read(events)
          assert.isUndefined(seen.threw)
          return { ...seen, events }
        })
      const waits = yield* collected(
        ask("middle", "same"),
        ask("leaf", "same"),
        toolCalls({ name: "remove_file", params: { file: "a" }, id: "same" })
      )
      const started = waits.events.flatMap((event) => event.type === "SUBAGENT_STARTED" ? [event] : [])
      const [first, second] = started.map(({ subagentRunId }) => subagentRunId)
      assert.deepStrictEqual(started, [
        { type: "SUBAGENT_STARTED", subagentRunId: first, name: "middle", parentToolCallId: "same" },
        {
          type: "SUBAGENT_STARTED",
          subagentRunId: second,
          name: "leaf",
          parentToolCallId: "same~2",
          parentSubagentRunId: first
        }
      ] as never)
      const { outcome } = waits.events.at(-1)! as Extract<AgUi.Event, { type: "RUN_FINISHED" }>
      const [interrupt] = outcome.type === "interrupt" ? outcome.interrupts : []
      assert.deepStrictEqual(
        [interrupt?.toolCallId, interrupt?.subagentRunId, (interrupt!.responseSchema as any).properties.editedArgs],
        ["same~3", second, {
          type: "object",
          properties: { file: { type: "string" } },
          required: ["file"],
          additionalProperties: true
        }]
      )
      assert.deepStrictEqual(
        waits.events.flatMap((event) =>
          event.type === "SUBAGENT_FINISHED" ? [[event.subagentRunId, event.outcome]] : []
        ),
        [second, first].map((id) => [id, { type: "suspended" as const, interruptIds: [interrupt!.id] }] as any)
      )
      const fails = yield* collected(
        ask("middle", "m"),
        [text("I ask"), ask("leaf", "l")],
        [text(["half", " of"]), ScriptedModel.fail(new AiError.RateLimitError({}))],
        text("never")
      )
      assert.deepStrictEqual(openAtEnd(fails.events), [])
      const errors = fails.events.flatMap((event) => event.type === "SUBAGENT_ERROR" ? [event.code] : [])
      assert.deepStrictEqual(errors, ["failed", "failed"])
    }))

  it.effect("a run that is cut, fails or is interrupted at any part is whole for a client, with one end", () =>
    Effect.gen(function*() {
      const words = ["weather", "cleans", "researches", "counts", "removes two", "sources"]
      for (const word of words) {
        const parts = yield* partsOf(word)
        for (let length = 0; length <= parts.length; length += 5) {
          const begun = Stream.fromIterable(parts.slice(0, length))
          const ends: ReadonlyArray<readonly [Stream.Stream<AgentRun.Part, unknown>, string, string | undefined]> = [
            [begun, "RUN_ERROR", "failed"],
            [
              Stream.concat(
                begun,
                Stream.fail(
                  new AiError.AiError({
                    module: "m",
                    method: "m",
                    reason: new AiError.RateLimitError({})
                  })
                )
              ),
              "RUN_ERROR",
              "rate-limited"
            ],
            [Stream.concat(begun, Stream.die(new Error(EveryPart.secret))), "RUN_ERROR", "internal"],
            [Stream.concat(begun, Stream.failCause(Cause.interrupt(1))), "RUN_FINISHED", undefined]
          ]
          for (const [stream, type, code] of ends) {
            const events = yield* eventsOf(stream)
            const terminal = events.filter(isTerminal)
            assert.strictEqual(terminal.length, 1)
            const end = events.at(-1)! as any
            assert.strictEqual(end, terminal[0])
            if (length < parts.length) {
              assert.deepStrictEqual([end.type, end.code], [type, code])
              if (type === "RUN_FINISHED") assert.deepStrictEqual(end.outcome, { type: "cancelled" })
            }
            assert.notInclude(JSON.stringify(events), EveryPart.secret)
            assert.deepStrictEqual(openAtEnd(events), [])
            const { newMessages, threw } = yield* read(events)
            assert.isUndefined(threw)
            // every call has a result, unless it waits
            if (length < parts.length) assert.deepStrictEqual(unanswered(newMessages), [])
          }
        }
      }
    }))

  const unanswered = (messages: ReadonlyArray<any>): ReadonlyArray<string> => {
    const results = new Set(messages.map(({ toolCallId }) => toolCallId))
    return messages.flatMap(({ toolCalls = [] }) => toolCalls.map(({ id }: any) => id)).filter((id) => !results.has(id))
  }

  /** Parts that were lost, doubled or moved, of several runs at once. */
  const Mutation = Schema.Struct({
    words: Schema.Array(
      Schema.Literals(["weather", "cleans", "researches", "counts", "removes two", "sources", "breaks"])
    )
      .check(Schema.isMinLength(1), Schema.isMaxLength(3)),
    changes: Schema.Array(Schema.Struct({
      kind: Schema.Literals(["drop", "double", "move", "rename"]),
      at: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60 })),
      to: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60 }))
    })).check(Schema.isMaxLength(12)),
    end: Schema.Literals(["end", "fail", "interrupt"])
  })

  const everything = Effect.runSync(Effect.cached(Effect.map(
    Effect.forEach(
      ["weather", "cleans", "researches", "counts", "removes two", "sources", "breaks"],
      (word) => Effect.map(partsOf(word), (parts) => [word, parts] as const)
    ),
    (all): ReadonlyMap<string, ReadonlyArray<AgentRun.Part>> => new Map(all)
  )))

  it.effect.prop(
    "no order of parts makes a client refuse the stream, or see two ends",
    { mutation: Arbitrary.schema(Mutation) },
    ({ mutation: { changes, end, words } }) =>
      Effect.gen(function*() {
        const all = yield* everything
        const parts = words.flatMap((word) => [...all.get(word)!])
        for (const { at, kind, to } of changes) {
          const index = at % parts.length
          const part = parts[index]!
          if (kind === "drop" && parts.length > 1) parts.splice(index, 1)
          if (kind === "double") parts.splice(to % parts.length, 0, part)
          if (kind === "move") parts.splice(to % parts.length, 0, ...parts.splice(index, 1))
          if (kind === "rename" && "id" in part) parts[index] = { ...part, id: "0" } as AgentRun.Part
        }
        const begun: Stream.Stream<AgentRun.Part, unknown> = Stream.fromIterable(parts)
        const events = yield* eventsOf(
          end === "end"
            ? begun
            : Stream.concat(begun, Stream.failCause(end === "fail" ? Cause.fail("x") : Cause.interrupt(1)))
        )
        assert.strictEqual(events.filter(isTerminal).length, 1)
        assert.isTrue(isTerminal(events.at(-1)!))
        assert.deepStrictEqual(openAtEnd(events), [])
        const { threw } = yield* read(events)
        assert.isUndefined(threw)
      }),
    { arbitrary: { runs: 80, seed: "ag-ui" } }
  )

  it.effect("a step that begins again takes back what it has told", () =>
    Effect.gen(function*() {
      const parts = yield* partsOf("weather")
      const call = parts.findIndex(({ type }) => type === "tool-call")
      const again = parts.findIndex(({ type }) => type === "step-start")
      const events = yield* eventsOf(Stream.fromIterable<AgentRun.Part>([
        ...parts.slice(0, call + 1),
        { type: "step-start", index: 0, restarted: true },
        ...parts.slice(again + 1)
      ]))
      const id = idOf(events)
      const restarted = events.flatMap((event) => event.type === "CUSTOM" ? [event.value] : [])
      assert.deepStrictEqual(restarted, [{ messageIds: ["run-of-client-0", "run-of-client-1"], toolCallIds: [id] }])
      const { newMessages, threw } = yield* read(events)
      assert.deepStrictEqual([threw, unanswered(newMessages)], [undefined, []])
      const results = newMessages.flatMap(({ toolCallId }) => toolCallId ?? [])
      assert.deepStrictEqual(results, [id, `${id}~2`])
    }))

  it.effect("what comes after the end is not told", () =>
    Effect.gen(function*() {
      const parts = yield* partsOf("reasons")
      const late = Stream.concat(Stream.fromIterable([...parts, ...parts]), Stream.fail("late"))
      const events = yield* eventsOf(late)
      assert.deepStrictEqual(typesOf(events), typesOf(yield* eventsOf(Stream.fromIterable(parts))))
    }))
})
