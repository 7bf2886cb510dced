import { assert, describe, it } from "@effect/vitest"
import { Ajv, type ValidateFunction } from "ajv"
import { Cause, ConfigProvider, Effect, Exit, Layer, Logger, Schema, Stream } from "effect"
import { AiError, LanguageModel, Prompt, Tool, Toolkit } from "effect/ai"
import * as Fs from "node:fs"
import { Agent, type AgentTelemetry, ContextProvider, Middleware } from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { type Exported, type Exporter, exporters, nodeSdk, spanNamed } from "./fixtures/telemetry.ts"

const { die, fail, parts, reasoning, step, text, toolCalls } = ScriptedModel

const canary = "canary-4b1d"

class Refused extends Schema.TaggedError<Refused>()("Refused", { why: Schema.String }) {}

const Echo = Tool.make("echo", {
  description: "Says it again",
  parameters: Schema.Struct({ text: Schema.String }),
  success: Schema.String
})
const Measure = Tool.make("measure", {
  parameters: Schema.Struct({ text: Schema.String }),
  success: Schema.Struct({ length: Schema.Int })
})
const Refuse = Tool.make("refuse", { failure: Refused, failureMode: "return" })
const Strict = Tool.make("strict", { failure: Refused })
const Broken = Tool.make("broken")
const toolkit = Toolkit.make(Echo, Measure, Refuse, Strict, Broken)

const handlers = toolkit.toLayer({
  echo: ({ text }) => Effect.annotateCurrentSpan({ looked: "up" }).pipe(Effect.as(text)),
  measure: ({ text }) => Effect.succeed({ length: text.length }),
  refuse: () => Effect.fail(new Refused({ why: canary })),
  strict: () => Effect.fail(new Refused({ why: canary })),
  broken: () => Effect.die(new TypeError(canary))
})

const agent = Agent.make("parrot", {
  instructions: `Say ${canary}.`,
  toolkit,
  providers: [
    ContextProvider.make("memory", {
      beforeRun: () =>
        Effect.succeed({
          instructions: `Remember ${canary}.`,
          messages: [Prompt.userMessage({ content: [Prompt.textPart({ text: `Earlier: ${canary}` })] })]
        })
    })
  ]
})

const model = (...steps: ReadonlyArray<ScriptedModel.Step>) =>
  Layer.merge(ScriptedModel.model(steps, { name: "small" }), handlers)

const run = (...steps: ReadonlyArray<ScriptedModel.Step>) =>
  Agent.run(agent, { prompt: `Say ${canary}`, session: "s-1" }).pipe(
    Effect.provide(model(...steps))
  )

const calls = toolCalls(
  { name: "echo", params: { text: canary }, id: "call-1" },
  { name: "measure", params: { text: canary }, id: "call-2" },
  { name: "refuse", params: {}, id: "call-3" },
  { name: "echo", params: { text: 1, other: canary }, id: "call-4" },
  { name: "nothing", params: { text: canary }, id: "call-5" }
)

const answer = step(reasoning(`Hm, ${canary}`), text(["You said ", canary]))

describe("AgentTelemetry, content", () => {
  describe.each(exporters)("off, exported by $name", (exporter: Exporter) => {
    /** How the run ended, and everything that was exported: it must not have the canary in it. */
    const ending = Effect.fnUntraced(function*(program: Effect.Effect<unknown, unknown>, spans: number) {
      const [exit, exported] = yield* exporter.run(program, { captureContent: false })
      assert.strictEqual(exported.spans.length, spans)
      assert.notInclude(exported.text, canary)
      return exit
    })

    it.effect("is nowhere in what a run exports", () =>
      Effect.gen(function*() {
        assert.isTrue(Exit.isSuccess(yield* ending(run(calls, answer), 8)))
      }))

    it.effect("is nowhere when the model fails, in its parts or beside them", () =>
      Effect.gen(function*() {
        const error = new AiError.InvalidRequestError({ description: canary })
        assert.isTrue(Exit.isFailure(yield* ending(run(step(text(canary), fail(error))), 2)))
        assert.isTrue(Exit.isFailure(yield* ending(run(step(parts([{ type: "error", error: canary }]))), 2)))
        assert.isTrue(Exit.isFailure(yield* ending(run(step(text(canary), die(new Error(canary)))), 2)))
        assert.isTrue(Exit.isFailure(yield* ending(run(step(text(canary), die(canary))), 2)))
      }))

    it.effect("is nowhere when a tool fails the run", () =>
      Effect.gen(function*() {
        assert.isTrue(Exit.isFailure(yield* ending(run(toolCalls({ name: "strict", params: {} })), 3)))
        assert.isTrue(Exit.isFailure(yield* ending(run(toolCalls({ name: "broken", params: {} })), 3)))
      }))

    it.effect("is nowhere when the consumer leaves or fails", () =>
      Effect.gen(function*() {
        const stream = Agent.stream(agent, { prompt: canary })
        const provided = Effect.provide(model(text([canary, canary])), { local: true })
        yield* ending(stream.pipe(Stream.take(5), Stream.runDrain, provided), 2)
        const failing = Stream.runForEach(stream, (part) =>
          part.type === "text-delta" ? Effect.fail(new Refused({ why: canary })) : Effect.void)
        yield* ending(provided(failing), 2)
      }))

    it.effect("is nowhere when the handlers are behind `Toolkit.handle`, which writes arguments on the current span", () =>
      Effect.gen(function*() {
        const contributed = ContextProvider.make("tools", {
          beforeRun: () => Effect.map(Effect.provide(toolkit, handlers), (toolkit) => ({ toolkit }))
        })
        const program = Agent.run(Agent.make("parrot", { providers: [contributed] }), { prompt: canary }).pipe(
          Effect.provide(ScriptedModel.layer([calls, answer]))
        )
        const [, exported] = yield* exporter.run(program, { captureContent: false })
        assert.strictEqual(exported.spans.length, 8)
        assert.notInclude(exported.text, canary)
        const tools = exported.spans.filter((span) => span.name === "execute_tool echo")
        assert.strictEqual(tools.length, 2)
        for (const { attributes } of tools) {
          assert.notProperty(attributes, "tool")
          assert.notProperty(attributes, "parameters")
        }
        assert.isTrue(tools.some(({ attributes }) => attributes.looked === "up"))
      }))

    it.effect("is nowhere on the spans when a finalizer dies, which is logged on the span of the run", () =>
      Effect.gen(function*() {
        const fragile = ContextProvider.make("fragile", {
          beforeRun: () => Effect.as(Effect.addFinalizer(() => Effect.die(new TypeError(canary))), {})
        })
        const program = Agent.run(Agent.make("parrot", { providers: [fragile] }), { prompt: canary }).pipe(
          // the log itself is not telemetry: it has the cause
          Effect.provide(Layer.merge(model(text("hi")), Logger.layer([Logger.tracerLogger])))
        )
        const [exit, exported] = yield* exporter.run(program, { captureContent: false })
        assert.isTrue(Exit.isSuccess(exit))
        assert.notInclude(exported.text, canary)
        const { events, status } = spanNamed(exported, "invoke_agent parrot")
        assert.strictEqual(status, exporter.ok)
        assert.deepStrictEqual(events[0], {
          name: "effect_agents.finalizer_failed",
          attributes: { "effect_agents.finalizer": "fragile", "error.type": "TypeError" }
        })
        assert.deepStrictEqual(events.map(({ name }) => name), [
          "effect_agents.finalizer_failed",
          "The finalizer of `fragile` failed"
        ])
      }))

    it.effect("is nowhere when a provider writes it on its span", () =>
      Effect.gen(function*() {
        const provider = Layer.effect(
          LanguageModel.LanguageModel,
          LanguageModel.make({
            generateText: () => Effect.succeed([]),
            streamText: ({ span }) => {
              span.attribute("gen_ai.input.messages", canary)
              return Stream.fromIterable(
                [
                  { type: "finish", reason: "stop", usage: { inputTokens: {}, outputTokens: {} } }
                ] as const
              )
            }
          })
        )
        const program = Agent.run(Agent.make("parrot"), { prompt: canary }).pipe(Effect.provide(provider))
        assert.isTrue(Exit.isSuccess(yield* ending(program, 2)))
      }))
  })

  describe.each(exporters)("on, exported by $name", (exporter: Exporter) => {
    it.effect("is JSON that is valid against the schemas of the conventions", () =>
      Effect.gen(function*() {
        const [, exported] = yield* exporter.run(run(calls, answer), { captureContent: true })
        const found = validated(exported)
        assert.deepStrictEqual(found, {
          "gen_ai.system_instructions": 3,
          "gen_ai.input.messages": 3,
          "gen_ai.output.messages": 3,
          "gen_ai.tool.definitions": 2,
          "gen_ai.tool.call.arguments": 5,
          "gen_ai.tool.call.result": 2
        })
      }))

    it.effect("says what was said", () =>
      Effect.gen(function*() {
        const [, exported] = yield* exporter.run(run(calls, answer), { captureContent: true })
        const run1 = spanNamed(exported, "invoke_agent parrot").attributes
        assert.deepStrictEqual(json(run1["gen_ai.system_instructions"]), [
          { type: "text", content: `Say ${canary}.\n\nRemember ${canary}.` }
        ])
        assert.deepStrictEqual(json(run1["gen_ai.input.messages"]), [
          { role: "user", parts: [{ type: "text", content: `Earlier: ${canary}` }] },
          { role: "user", parts: [{ type: "text", content: `Say ${canary}` }] }
        ])
        const said = [{
          role: "assistant",
          parts: [
            { type: "reasoning", content: `Hm, ${canary}` },
            { type: "text", content: `You said ${canary}` }
          ],
          finish_reason: "stop"
        }]
        assert.deepStrictEqual(json(run1["gen_ai.output.messages"]), said)
        const [first, second] = exported.spans.filter((span) => span.name === "chat small").map((span) =>
          span.attributes
        )
        assert.deepStrictEqual(json(second["gen_ai.output.messages"]), said)
        assert.deepStrictEqual(json(first["gen_ai.output.messages"])[0].parts[0], {
          type: "tool_call",
          id: "call-1",
          name: "echo",
          arguments: { text: canary }
        })
        const messages = json(second["gen_ai.input.messages"])
        assert.deepStrictEqual(messages.map(({ role }: any) => role), ["user", "user", "assistant", "tool"])
        assert.deepStrictEqual(messages[3].parts[1], {
          type: "tool_call_response",
          id: "call-2",
          response: { length: canary.length }
        })
        assert.deepStrictEqual(json(first["gen_ai.tool.definitions"])[0], {
          type: "function",
          name: "echo",
          description: "Says it again",
          parameters: Tool.getJsonSchema(Echo)
        })
        const tool = (id: string) =>
          exported.spans.find((span) => span.attributes["gen_ai.tool.call.id"] === id)!.attributes
        assert.deepStrictEqual(json(tool("call-1")["gen_ai.tool.call.arguments"]), { text: canary })
        assert.deepStrictEqual(json(tool("call-1")["gen_ai.tool.call.result"]), { result: canary })
        assert.deepStrictEqual(json(tool("call-2")["gen_ai.tool.call.result"]), { length: canary.length })
        // what failed has no result
        assert.notProperty(tool("call-3"), "gen_ai.tool.call.result")
        assert.notProperty(tool("call-4"), "gen_ai.tool.call.result")
        // causes, messages and stacks stay out all the same
        assert.notInclude(JSON.stringify(exported.spans.map((span) => span.message)), canary)
      }))
  })

  it.effect("is cut in long strings, and stays valid", () =>
    Effect.gen(function*() {
      const long = "word ".repeat(40) + "\u{1F600}"
      const program = Agent.run(agent, { prompt: long }).pipe(
        Effect.provide(model(toolCalls({ name: "echo", params: { text: long } }), text("x".repeat(63) + "\u{1F600}")))
      )
      const [exit, exported] = yield* nodeSdk.run(program, { captureContent: true, maxContentLength: 64 })
      assert.isTrue(Exit.isSuccess(exit))
      assert.strictEqual(validated(exported)["gen_ai.output.messages"], 3)
      const { attributes } = spanNamed(exported, "invoke_agent parrot")
      assert.strictEqual(json(attributes["gen_ai.input.messages"])[1].parts[0].content, long.slice(0, 64))
      // not half of a character
      assert.strictEqual(json(attributes["gen_ai.output.messages"])[0].parts[0].content, "x".repeat(63))
      const tool = spanNamed(exported, "execute_tool echo").attributes
      assert.deepStrictEqual(json(tool["gen_ai.tool.call.arguments"]), { text: long.slice(0, 64) })
    }))

  it.effect("covers files, approvals and the provider's own tools", () =>
    Effect.gen(function*() {
      const prompt = Prompt.fromMessages([
        Prompt.systemMessage({ content: "One." }),
        Prompt.userMessage({
          content: [
            Prompt.filePart({ mediaType: "image/png", data: new Uint8Array([1, 2, 3]) }),
            Prompt.filePart({ mediaType: "application/pdf", data: new URL("https://example.org/a.pdf") }),
            Prompt.filePart({ mediaType: "audio/wav", data: "data:audio/wav;base64,AQID", fileName: "a.wav" })
          ]
        }),
        Prompt.assistantMessage({
          content: [
            Prompt.toolCallPart({ id: "1", name: "web", params: { q: "x" }, providerExecuted: true }),
            Prompt.toolResultPart({ id: "1", name: "web", isFailure: false, result: ["y"], providerExecuted: true }),
            Prompt.toolCallPart({ id: "2", name: "echo", params: { text: "x" }, providerExecuted: false }),
            Prompt.toolApprovalRequestPart({ approvalId: "a", toolCallId: "2" })
          ]
        }),
        Prompt.toolMessage({ content: [Prompt.toolApprovalResponsePart({ approvalId: "a", approved: true })] })
      ])
      // what the model makes of the prompt is its own affair
      const other = Middleware.make("other", {
        model: (request, next) => next({ ...request, prompt: Prompt.make("hi") })
      })
      const program = Agent.run(Agent.make("parrot", { middleware: [other] }), { prompt }).pipe(
        Effect.provide(ScriptedModel.layer([ScriptedModel.text("ok")]))
      )
      const [, exported] = yield* nodeSdk.run(program, { captureContent: true })
      validated(exported)
      const { attributes } = spanNamed(exported, "chat")
      assert.deepStrictEqual(json(attributes["gen_ai.system_instructions"]), [{ type: "text", content: "One." }])
      // what was asked and answered the model does not see
      const sent = String(attributes["gen_ai.input.messages"])
      assert.include(sent, "execution-interrupted")
      assert.notInclude(sent, "approval")
      const agent = spanNamed(exported, "invoke_agent parrot").attributes
      assert.deepStrictEqual(json(agent["gen_ai.input.messages"]), [
        {
          role: "user",
          parts: [
            { type: "blob", mime_type: "image/png", modality: "image", content: "AQID" },
            { type: "uri", mime_type: "application/pdf", modality: "document", uri: "https://example.org/a.pdf" },
            { type: "blob", mime_type: "audio/wav", modality: "audio", name: "a.wav", content: "AQID" }
          ]
        },
        {
          role: "assistant",
          parts: [
            {
              type: "server_tool_call",
              id: "1",
              name: "web",
              server_tool_call: { type: "web", arguments: { q: "x" } }
            },
            {
              type: "server_tool_call_response",
              id: "1",
              server_tool_call_response: { type: "web", response: ["y"] }
            },
            // a prompt asks for no approval and answers none
            { type: "tool_call", id: "2", name: "echo", arguments: { text: "x" } }
          ]
        },
        {
          role: "tool",
          parts: [
            // a prompt is closed before it is sent
            {
              type: "tool_call_response",
              id: "2",
              response: {
                type: "execution-interrupted",
                reason: "The run ended before this tool call had a result"
              }
            }
          ]
        }
      ])
    }))

  it.effect("has no result of a call that fails because its result has no JSON", () =>
    Effect.gen(function*() {
      const Odd = Tool.make("odd", { success: Schema.Unknown })
      const cyclic: Record<string, unknown> = { size: BigInt(1) }
      cyclic.self = cyclic
      const program = Agent.run(Agent.make("parrot", { toolkit: Toolkit.make(Odd) }), { prompt: "hi" }).pipe(
        Effect.provide(Layer.merge(
          Toolkit.make(Odd).toLayer({ odd: () => Effect.succeed(cyclic) }),
          ScriptedModel.layer([toolCalls({ name: "odd", params: {} }), text("done")])
        ))
      )
      const [exit, exported] = yield* nodeSdk.run(program, { captureContent: true })
      const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
      assert.strictEqual(AiError.isAiError(error) && error.reason._tag, "ToolResultEncodingError")
      const { attributes } = spanNamed(exported, "execute_tool odd")
      assert.deepStrictEqual(json(attributes["gen_ai.tool.call.arguments"]), {})
      assert.notProperty(attributes, "gen_ai.tool.call.result")
    }))

  describe("the variable", () => {
    const captured = (value: string | undefined, options?: AgentTelemetry.Options) =>
      Effect.gen(function*() {
        const messages: Array<unknown> = []
        const logger = Logger.layer([Logger.make(({ message }) => void messages.push(message))])
        const env = value === undefined ? {} : { OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT: value }
        const program = Agent.run(Agent.make("parrot"), { prompt: canary }).pipe(
          Effect.provide(ScriptedModel.layer([text("hi")]))
        )
        const [, exported] = yield* nodeSdk.run(program, options).pipe(
          Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown(env)),
          Effect.provide(logger)
        )
        return [exported.text.includes(canary), messages.length] as const
      })

    it.effect.each(
      [
        [undefined, false],
        ["", false],
        ["NO_CONTENT", false],
        ["EVENT_ONLY", false],
        ["false", false],
        ["SPAN_ONLY", true],
        ["span_and_event", true],
        ["true", true]
      ] as const
    )("%s captures: %s", ([value, expected]) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* captured(value), [expected, 0])
      }))

    it.effect("with another value captures nothing and warns; the option decides before it", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* captured("SPANS"), [false, 1])
        assert.deepStrictEqual(yield* captured("SPANS", { captureContent: true }), [true, 0])
        assert.deepStrictEqual(yield* captured("true", { captureContent: false }), [false, 0])
      }))
  })
})

// -----------------------------------------------------------------------------
// schemas
// -----------------------------------------------------------------------------

const json = (value: unknown): any => JSON.parse(String(value))

const schemaOf = (name: string): any =>
  JSON.parse(Fs.readFileSync(new URL(`fixtures/genai-schemas/gen-ai-${name}.json`, import.meta.url), "utf8"))

const ajv = new Ajv({ strict: false, formats: { binary: true } })

/** The definition of each known type of part: the schema's `GenericPart` would take one that is wrong. */
const partDefinitions = (schema: any): ReadonlyMap<string, ValidateFunction> =>
  new Map(
    Object.values<any>(schema.$defs ?? {}).flatMap((definition) =>
      definition.properties?.type?.const === undefined
        ? []
        : [[definition.properties.type.const, ajv.compile({ ...definition, $defs: schema.$defs })] as const]
    )
  )

const validators = new Map(
  [
    "system-instructions",
    "input-messages",
    "output-messages",
    "tool-definitions",
    "tool-call-arguments",
    "tool-call-result"
  ]
    .map((name) => {
      const schema = schemaOf(name)
      const attribute = `gen_ai.${name === "system-instructions" ? "system_instructions" : name.replaceAll("-", ".")}`
      return [attribute, { validate: ajv.compile(schema), parts: partDefinitions(schema) }] as const
    })
)

/** Validates every content attribute of an export, and tells how many there were of each. */
const validated = ({ spans }: Exported): Record<string, number> => {
  const counts: Record<string, number> = {}
  for (const { attributes } of spans) {
    for (const [attribute, { parts, validate }] of validators) {
      if (attributes[attribute] === undefined) continue
      counts[attribute] = (counts[attribute] ?? 0) + 1
      const value = json(attributes[attribute])
      assert.isTrue(validate(value), `${attribute}: ${ajv.errorsText(validate.errors)}`)
      const typed: ReadonlyArray<any> = Array.isArray(value) ? value.flatMap((one) => one.parts ?? one) : []
      for (const part of typed) {
        const definition = parts.get(part.type)
        if (definition === undefined) assert.match(part.type, /^tool_approval_/)
        else assert.isTrue(definition(part), `${attribute}, ${part.type}: ${ajv.errorsText(definition.errors)}`)
      }
    }
  }
  return counts
}
