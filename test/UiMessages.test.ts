import { assert, describe, it } from "@effect/vitest"
import {
  parseJsonEventStream,
  readUIMessageStream,
  safeValidateUIMessages,
  type UIMessageChunk,
  uiMessageChunkSchema
} from "ai"
import { Arbitrary, Cause, Effect, Random, Schema, Stream } from "effect"
import { Prompt } from "effect/ai"
import { Agent, type AgentRun, Approval, SessionHistory, SessionStore } from "../src/index.ts"
import { UiMessages } from "../src/server/index.ts"
import { approvals, type Message, show } from "./fixtures/chatServer.ts"
import * as EveryPart from "./fixtures/everyPart.ts"
import * as HostedApprovals from "./fixtures/hostedApprovals.ts"

/** What the AI SDK makes of a stream: the message and its errors. It checks the schema of each chunk as its client does. */
const read = (chunks: ReadonlyArray<UiMessages.Chunk>, message?: Message) =>
  Effect.promise(async () => {
    const errors: Array<string> = []
    const text = chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join("") + "data: [DONE]\n\n"
    const parsed = parseJsonEventStream({ stream: new Blob([text]).stream(), schema: uiMessageChunkSchema })
    const stream = parsed.pipeThrough(
      new TransformStream<any, UIMessageChunk>({
        transform(result, controller) {
          if (result.success) controller.enqueue(result.value)
          else errors.push(String(result.error))
        }
      })
    )
    let last: Message | undefined
    const messages = readUIMessageStream<Message>({
      stream,
      onError: (error) => errors.push(String(error)),
      ...(message !== undefined && { message: structuredClone(message) })
    })
    for await (const snapshot of messages) last = snapshot
    return { errors, message: last! }
  })

const collect = (parts: Stream.Stream<AgentRun.Part, unknown, any>, options?: UiMessages.MessageOptions) =>
  Stream.runCollect(UiMessages.fromParts(parts, options))

const ends = (chunks: ReadonlyArray<UiMessages.Chunk>) =>
  chunks.flatMap(({ type }) => type === "finish" || type === "error" ? [type] : [])

/** A message as a stored conversation has it. The last step is empty if a run has ended after calls. */
const storable = (message: Message) =>
  message.parts.slice(0, message.parts.at(-1)?.type === "step-start" ? -1 : undefined).flatMap(({ ...part }: any) => {
    if (part.type.startsWith("data-") || part.type.startsWith("source-")) return []
    if (part.type === "reasoning") delete part.id
    return [JSON.parse(JSON.stringify(part))]
  })

const validate = (messages: ReadonlyArray<UiMessages.Message>) =>
  Effect.promise(async () => {
    const result = await safeValidateUIMessages({ messages: JSON.parse(JSON.stringify(messages)) })
    return result.success ? [] : [String(result.error)]
  })

const runOf = (everyPart: ReturnType<typeof EveryPart.make>, word: string, session?: string) =>
  Agent.stream((word === "reports" ? everyPart.reporter : everyPart.agent) as typeof everyPart.agent, {
    prompt: word,
    session
  })

describe("UiMessages", () => {
  describe("fromParts", () => {
    it.effect("every run is a stream that the AI SDK accepts, with one end", () => {
      const everyPart = EveryPart.make()
      return Effect.gen(function*() {
        for (const word of EveryPart.words) {
          const parts = word === "hangs"
            ? Stream.concat(Stream.take(runOf(everyPart, word), 4), Stream.fail(new Error(EveryPart.secret)))
            : runOf(everyPart, word)
          const chunks = yield* collect(parts)
          const { errors, message } = yield* read(chunks)
          const isError = /^(fails|dies|hangs)/.test(word)
          assert.deepStrictEqual(ends(chunks), [isError ? "error" : "finish"], word)
          assert.strictEqual(errors.length, isError ? 1 : 0, `${word}: ${errors.join()}`)
          assert.notInclude(JSON.stringify(chunks), EveryPart.secret, word)
          if (message.parts.length > 0) assert.deepStrictEqual(yield* validate([message as any]), [], word)
        }
      }).pipe(Effect.provide(everyPart.layer))
    })

    it.effect("each kind of part is what the wire has a word for", () => {
      const everyPart = EveryPart.make()
      const shown = Effect.fnUntraced(function*(word: string) {
        const { message } = yield* read(yield* collect(runOf(everyPart, word)))
        return { message, parts: show(message) }
      })
      return Effect.gen(function*() {
        const weather = yield* shown("weather")
        assert.deepStrictEqual(weather.parts, [
          "(look it up)",
          "Let me look. ",
          "tool-get_weather output-available",
          "Done."
        ])
        const { agent, model, runId, stopReason, usage } = weather.message.metadata!
        assert.deepStrictEqual({ agent, model, stopReason }, {
          agent: "assistant",
          model: undefined,
          stopReason: "stop"
        })
        assert.strictEqual(weather.message.id, runId)
        assert.strictEqual(usage?.inputTokens.total, 20)

        const sources = yield* shown("sources")
        assert.deepStrictEqual(sources.parts, ["source-url", "source-document", "file", "see the sources"])
        assert.strictEqual(sources.message.metadata?.model, "model-1")
        assert.deepInclude(sources.message.parts[3], {
          type: "file",
          mediaType: "image/png",
          url: "data:image/png;base64,iVBORw0KGgo="
        })

        for (
          const [word, text] of [
            ["breaks", "{\"why\":\"it is broken\"}"],
            ["wrong params", "Invalid parameters for tool 'get_weather': Missing key\n  at [\"city\"]"]
          ] as const
        ) {
          const { message } = yield* shown(word)
          assert.deepInclude(message.parts[1], { state: "output-error", errorText: text })
        }

        const report = yield* collect(runOf(everyPart, "reports"))
        assert.deepStrictEqual(report.flatMap((chunk) => chunk.type === "data-output" ? [chunk.data] : []), [
          { title: "A" },
          { title: "A", points: [1] },
          { title: "A", points: [1, 2] },
          { title: "A", points: [1, 2] }
        ])
        const { message: reported } = yield* read(report)
        assert.lengthOf(reported.parts.filter(({ type }) => type === "data-output"), 1)
        assert.deepStrictEqual((yield* shown("is cut")).message.metadata?.stopReason, "length")

        const { message } = yield* shown("researches")
        const nested: any = message.parts.find(({ type }) => type === "data-agent")
        const { parentRunId, path, status, text } = nested.data as UiMessages.AgentData
        assert.deepStrictEqual({ parentRunId, path, status, text }, {
          parentRunId: message.metadata?.runId,
          path: ["researcher"],
          status: "completed",
          text: "I am"
        })
      }).pipe(Effect.provide(everyPart.layer))
    })

    it.effect("the chunks of a nested run are a message of their own", () => {
      const everyPart = EveryPart.make()
      return Effect.gen(function*() {
        const chunks = yield* collect(runOf(everyPart, "researches"))
        const nested = chunks.flatMap((chunk) => chunk.type === "data-agent-chunk" ? [chunk.data.chunk] : [])
        const { errors, message } = yield* read(nested)
        assert.deepStrictEqual([errors, show(message)], [[], ["(I think, so)", "I am"]])
      }).pipe(Effect.provide(everyPart.layer))
    })

    it.effect("preliminary results come before the result", () => {
      const everyPart = EveryPart.make()
      return Effect.gen(function*() {
        const chunks = yield* collect(runOf(everyPart, "counts"))
        const outputs = chunks.flatMap((chunk) =>
          chunk.type === "tool-output-available" ? [[chunk.output, chunk.preliminary]] : []
        )
        assert.deepStrictEqual(outputs, [
          [{ counted: 1 }, true],
          [{ counted: 2 }, true],
          [{ counted: 3 }, undefined]
        ])
      }).pipe(Effect.provide(everyPart.layer))
    })

    it.effect("the four outcomes are told apart, and close what is open", () => {
      const everyPart = EveryPart.make()
      const parts = Stream.take(runOf(everyPart, "weather"), 14)
      const message = Effect.fnUntraced(function*(end: Stream.Stream<never, unknown>) {
        const chunks = yield* collect(Stream.concat(parts, end))
        const { errors, message } = yield* read(chunks)
        return { end: chunks.slice(-2).map(({ type }) => type), errors, shown: show(message), message }
      })
      return Effect.gen(function*() {
        assert.deepStrictEqual((yield* collect(runOf(everyPart, "reasons"))).at(-1)?.type, "finish")

        const failed = yield* message(Stream.die(new Error(EveryPart.secret)))
        assert.deepStrictEqual(failed.end, ["message-metadata", "error"])
        assert.deepStrictEqual(failed.shown, ["(look it up)", "Let me look. ", "tool-get_weather output-error"])
        assert.deepStrictEqual(failed.message.metadata?.error, { code: "internal", retryable: false })
        assert.lengthOf(failed.errors, 1)

        const stopped = yield* message(Stream.failCause(Cause.interrupt()))
        assert.deepStrictEqual(stopped.end, ["abort", "finish"])
        assert.deepStrictEqual(stopped.errors, [])
        assert.deepInclude(stopped.message.parts.at(-1), { errorText: "The run was stopped." })

        // a consumer that leaves early is not told anything; a stream that was cut is told to be one
        const cut = yield* message(Stream.empty)
        assert.deepStrictEqual(cut.end, ["message-metadata", "error"])
      }).pipe(Effect.provide(everyPart.layer))
    })

    it.effect("a value that is not JSON is a failure, and never a stream without an end", () =>
      Effect.gen(function*() {
        const call: any = {
          type: "tool-call",
          id: "1",
          name: "x",
          params: { n: 1n },
          providerExecuted: false,
          metadata: {}
        }
        const start: AgentRun.Part = { type: "run-start", agent: "a", runId: "r", session: undefined }
        const chunks = yield* collect(Stream.make(start, { type: "step-start", index: 0 } as const, call))
        assert.deepStrictEqual(chunks.map(({ type }) => type), ["start", "message-metadata", "error"])
      }))

    it.effect("a message to the run is a part of its message", () =>
      Effect.gen(function*() {
        const message = Prompt.userMessage({
          content: [
            Prompt.textPart({ text: "blue ones" }),
            Prompt.filePart({ mediaType: "text/plain", data: new Uint8Array([104, 105]) })
          ]
        })
        const parts = Stream.make<[AgentRun.Part, ...Array<AgentRun.Part>]>(
          { type: "run-start", agent: "a", runId: "r", session: undefined },
          { type: "step-start", index: 0 },
          { type: "steering", message },
          { type: "steering", message }
        )
        const { message: shown } = yield* read(yield* collect(parts))
        const content = [
          { type: "text", text: "blue ones" },
          { type: "file", mediaType: "text/plain", url: "data:text/plain;base64,aGk=" }
        ]
        assert.deepStrictEqual(shown.parts as unknown, [
          { type: "step-start" },
          { type: "steering-message", id: "r:0", parts: content },
          { type: "steering-message", id: "r:1", parts: content }
        ])
      }))

    it.effect("a step that begins again is in the message once, with what the user has said in it", () => {
      const everyPart = EveryPart.make()
      return Effect.gen(function*() {
        for (const word of ["weather", "removes", "sources", "reports", "researches"]) {
          const parts = yield* Stream.runCollect(runOf(everyPart, word))
          const steering: AgentRun.Part = {
            type: "steering",
            message: Prompt.userMessage({ content: [Prompt.textPart({ text: "also" })] })
          }
          const first = parts.findIndex(({ type }) => type === "step-start")
          const finish = parts.findIndex(({ type }) => type === "finish")
          const told = [...parts.slice(0, first + 1), steering]
          const plain = yield* read(yield* collect(Stream.fromIterable([...told, ...parts.slice(first + 1)])))
          for (let cut = first + 1; cut <= finish; cut++) {
            const again: AgentRun.Part = { type: "step-start", index: 0, restarted: true }
            const cutParts = [...told, ...parts.slice(first + 1, cut), again, ...parts.slice(first + 1)]
            const { errors, message } = yield* read(yield* collect(Stream.fromIterable(cutParts)))
            assert.deepStrictEqual(errors, [], `${word} ${cut}`)
            assert.deepStrictEqual(message, plain.message, `${word} ${cut}`)
          }
        }
      }).pipe(Effect.provide(everyPart.layer))
    })

    it.effect("an address that is no web page is not a link", () =>
      Effect.gen(function*() {
        const source: any = {
          type: "source",
          sourceType: "url",
          id: "1",
          url: new URL("javascript:alert(1)"),
          title: "x"
        }
        const chunks = yield* collect(Stream.make({ type: "step-start", index: 0 } as const, source))
        assert.notInclude(JSON.stringify(chunks), "javascript")
      }))

    // which parts come, in which order and how often, is up to middleware; here it is up to chance
    const Mutation = Schema.Struct({
      seed: Schema.Int,
      drop: Schema.Literals([0, 0.1, 0.5]),
      double: Schema.Literals([0, 0.1]),
      swap: Schema.Literals([0, 0.2]),
      group: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 8 })),
      end: Schema.Literals(["none", "fails", "dies", "interrupted"])
    })
    const ending = {
      none: Stream.empty,
      fails: Stream.fail("x"),
      dies: Stream.die("x"),
      interrupted: Stream.failCause(Cause.interrupt())
    }

    it.effect.prop(
      "whatever the parts are, the AI SDK accepts the stream, and it has one end",
      { mutation: Arbitrary.schema(Mutation) },
      ({ mutation: { double, drop, end, group, seed, swap } }) => {
        const everyPart = EveryPart.make()
        return Effect.gen(function*() {
          const parts: Array<AgentRun.Part> = []
          for (const _ of [1, 2]) {
            const word = yield* Random.choice(EveryPart.completing)
            for (const part of yield* Stream.runCollect(runOf(everyPart, word!))) {
              if ((yield* Random.next) < drop) continue
              const at = (yield* Random.next) < swap ? yield* Random.nextIntBetween(0, parts.length + 1) : parts.length
              parts.splice(at, 0, part)
              if ((yield* Random.next) < double) parts.push(part)
            }
          }
          const stream = Stream.concat(Stream.rechunk(Stream.fromIterable(parts), group), ending[end])
          const chunks = yield* collect(stream)
          const [last, ...others] = ends(chunks)
          const { errors } = yield* read(chunks)
          assert.deepStrictEqual(others, [])
          assert.lengthOf(errors, last === "error" ? 1 : 0, errors.join())
        }).pipe(Random.withSeed(String(seed)), Effect.provide(everyPart.layer))
      },
      { arbitrary: { runs: 60, seed: "ui" } }
    )
  })

  describe("fromHistory", () => {
    const sessions = Effect.fnUntraced(function*(id: string) {
      const store = yield* SessionStore.SessionStore
      return (yield* store.load(id)).history
    })

    it.effect("a stored run is the message that was streamed", () => {
      const everyPart = EveryPart.make()
      return Effect.gen(function*() {
        for (const word of EveryPart.completing) {
          const { message } = yield* read(yield* collect(runOf(everyPart, word, word)))
          const messages = UiMessages.fromHistory(yield* sessions(word))
          assert.deepStrictEqual(messages.map(({ id, role }) => [id, role]), [
            ["message-0", "user"],
            ["message-1", "assistant"]
          ])
          // the model reads no file that it has made
          const streamed = storable(message).filter(({ type }) => type !== "file")
          assert.deepStrictEqual(storable(messages[1] as Message).filter(({ type }) => type !== "file"), streamed, word)
          assert.deepStrictEqual(yield* validate(messages), [], word)
        }
      }).pipe(Effect.provide(everyPart.layer))
    })

    const decide = [
      ["removes", () => ({ approve: true })],
      ["removes", () => ({ approve: false, reason: "not this one" })],
      ["removes", () => ({ approve: true, params: { file: "other.txt" } })],
      ["removes two", (index: number) => ({ approve: index === 0 })],
      ["cleans", () => ({ approve: true })],
      ["cleans", () => ({ approve: true, params: { file: "other.txt" } })],
      ["cleans", () => ({ approve: false, reason: "not this one" })]
    ] as const

    it.effect("a run that goes on with answers goes on with the message, for a page that has it and for one that has not", () => {
      const everyPart = EveryPart.make()
      return Effect.gen(function*() {
        let session = 0
        for (const [word, answer] of decide) {
          const id = `s${session++}`
          const asked = (yield* read(yield* collect(runOf(everyPart, word, id)))).message
          const before = yield* sessions(id)
          const continues = UiMessages.fromHistory(before).at(-1)!
          assert.deepStrictEqual(storable(continues as Message), storable(asked))
          assert.deepStrictEqual(yield* validate([continues]), [])

          const answers = Approval.pending(before).map((approval, index) => {
            const { approve, params, reason } = { params: undefined, reason: undefined, ...answer(index) }
            return approve ? Approval.approve(approval, params && { params }) : Approval.deny(approval, reason)
          })
          assert.deepStrictEqual(approvals(asked), answers.map(({ approval }) => approval.approvalId))
          const parts = Agent.resumeStream(everyPart.agent, { session: id }, answers)
          const chunks = yield* collect(parts, { continues, answers })

          const here = yield* read(chunks, continues as Message)
          const anew = yield* read([...UiMessages.toChunks(continues), ...chunks])
          assert.deepStrictEqual([...here.errors, ...anew.errors], [], word)
          assert.deepStrictEqual(anew.message.id, continues.id)
          assert.deepStrictEqual(storable(anew.message), storable(here.message))
          const after = UiMessages.fromHistory(yield* sessions(id))
          assert.lengthOf(after, 2)
          assert.deepStrictEqual(yield* validate(after), [])
          // what a nested call has returned is in the conversation of its agent
          const known = (parts: ReadonlyArray<any>) =>
            parts.filter(({ approval, toolCallId }) => toolCallId === undefined || toolCallId !== approval?.id)
          assert.deepStrictEqual(known(storable(after[1] as Message)), known(storable(here.message)), word)
          const states = (message: Message) =>
            message.parts.flatMap((part) => part.type === "tool-remove_file" ? [part.state] : [])
          for (const state of states(here.message)) assert.include(["output-available", "output-denied"], state)
        }
        assert.deepStrictEqual(everyPart.done, [
          "remove old.txt",
          "remove other.txt",
          "remove a.txt",
          "remove old.txt",
          "remove other.txt"
        ])
      }).pipe(Effect.provide(everyPart.layer))
    })

    it.effect("a call that a provider asks for is approved or denied like any other", () =>
      Effect.gen(function*() {
        const clerk = Agent.withProvider(HostedApprovals.agent, SessionHistory.provider)
        for (const approved of [true, false]) {
          const { layer } = HostedApprovals.modelOf([
            [...HostedApprovals.asks(1), HostedApprovals.finish("tool-calls")],
            HostedApprovals.says("Done")
          ])
          yield* Effect.gen(function*() {
            const asked = yield* read(yield* collect(Agent.stream(clerk, { prompt: "Refund", session: "s" })))
            const before = yield* sessions("s")
            const continues = UiMessages.fromHistory(before).at(-1)!
            assert.deepStrictEqual(storable(continues as Message), storable(asked.message))
            assert.deepStrictEqual(show(asked.message).slice(1), ["tool-mcp.refund approval-requested"])
            const [approval] = Approval.pending(before)
            const answers = [approved ? Approval.approve(approval) : Approval.deny(approval, "no")]
            const chunks = yield* collect(Agent.resumeStream(clerk, { session: "s" }, answers), { continues, answers })
            const { errors, message } = yield* read([...UiMessages.toChunks(continues), ...chunks])
            assert.deepStrictEqual(errors, [])
            const state = approved ? "approval-responded" : "output-denied"
            assert.deepStrictEqual(show(message).slice(1), [`tool-mcp.refund ${state}`, "Done"])
            const after = UiMessages.fromHistory(yield* sessions("s"))
            assert.deepStrictEqual(storable(after.at(-1) as Message), storable(message))
            assert.deepStrictEqual(yield* validate(after), [])
          }).pipe(Effect.provide([layer, SessionStore.layerMemory]))
        }
      }))

    it.effect("files, steering messages and messages of others have a place", () =>
      Effect.gen(function*() {
        const file = (data: Uint8Array | URL | string) =>
          Prompt.filePart({ mediaType: "text/plain", fileName: "a.txt", data })
        const history = Prompt.fromMessages([
          Prompt.makeMessage("system", { content: "be kind" }),
          Prompt.userMessage({
            content: [
              file(new Uint8Array([1, 2])),
              file("AQI="),
              file(new URL("data:text/plain,hello")),
              file(new URL("https://example.com/a.txt"))
            ]
          }),
          Prompt.userMessage({ content: [Prompt.textPart({ text: "and?" })] }),
          Prompt.assistantMessage({ content: [Prompt.textPart({ text: "yes" })] })
        ])
        const messages = UiMessages.fromHistory(history)
        assert.deepStrictEqual(messages.map(({ id, role }) => [id, role]), [
          ["message-1", "user"],
          ["message-2", "user"],
          ["message-3", "assistant"]
        ])
        assert.deepStrictEqual(messages[0].parts.map((part) => "url" in part ? part.url : ""), [
          "data:text/plain;base64,AQI=",
          "data:text/plain;base64,AQI=",
          "data:text/plain;base64,aGVsbG8=",
          "https://example.com/a.txt"
        ])
        assert.deepStrictEqual(yield* validate(messages), [])
      }))
  })
})
