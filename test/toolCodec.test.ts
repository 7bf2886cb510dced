/**
 * What a tool is offered as, what its calls are decoded with, and what its results are encoded with: one codec, whatever
 * way the tool came into the run.
 */
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Duration, Effect, Exit, Layer, Option, Redacted, Schema, Stream } from "effect"
import { LanguageModel, type Response, Tool, Toolkit } from "effect/ai"
import type { JsonSchema } from "effect"
import {
  Agent,
  AgentError,
  AgentOutput,
  type AgentRun,
  ContextProvider,
  DirectLanguageModel,
  Middleware
} from "../src/index.ts"
import * as ToolHandler from "../src/internal/tool/handler.ts"
import * as ToolCodec from "../src/internal/model/toolCodec.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { Boom, constructors, showCause } from "./utils.ts"

const { text, toolCalls } = ScriptedModel

type AnyTool = Tool.Any & Tool.Tool<string, any, never>

/** The ways by which a tool comes into a run: its handler in the context, a toolkit resolved elsewhere, or a provider. */
const ways = ["context", "resolved", "contributed"] as const

interface Ran {
  readonly exit: Exit.Exit<AgentRun.Result, unknown>
  readonly results: ReadonlyArray<Response.ToolResultPart<string, unknown, unknown>>
  readonly offered: ReadonlyArray<JsonSchema.JsonSchema>
  readonly received: ReadonlyArray<unknown>
}

const run = Effect.fnUntraced(function*(
  tool: AnyTool,
  params: unknown,
  handler: (params: any, context: any) => Effect.Effect<any, any>,
  way: typeof ways[number] = "context",
  construct: typeof constructors[number][1] = LanguageModel.make
) {
  const kit = Toolkit.make(tool)
  const received: Array<unknown> = []
  const handlers = {
    [tool.name]: (params: unknown, context: unknown) =>
      Effect.suspend(() => {
        received.push(params)
        return handler(params, context)
      })
  }
  const resolved = yield* Effect.flatMap(kit.toHandlers(handlers as never), (context) => Effect.provide(kit, context))
  const agent: Agent.Agent<any, unknown, LanguageModel.LanguageModel> = Agent.make("agent", {
    ...(way === "context" ? { toolkit: kit } : way === "resolved" ? { toolkit: Effect.succeed(resolved) } : undefined),
    ...(way === "contributed"
      ? {
        providers: [ContextProvider.make("kit", { beforeRun: () => Effect.succeed({ toolkit: resolved as never }) })]
      }
      : undefined)
  }) as never
  const offered: Array<JsonSchema.JsonSchema> = []
  let asked = 0
  const model = Layer.effect(
    LanguageModel.LanguageModel,
    construct({
      generateText: () => Effect.die("streams"),
      streamText: ({ tools }) => {
        for (const tool of tools) offered.push(Tool.getJsonSchema(tool))
        const parts: Array<Response.StreamPartEncoded> = asked++ === 0
          ? [{ type: "tool-call", id: "c", name: tool.name, params, providerExecuted: false }]
          : []
        return Stream.fromArray<Response.StreamPartEncoded>([...parts, {
          type: "finish",
          reason: asked === 1 ? "tool-calls" : "stop",
          usage: { inputTokens: {}, outputTokens: {} } as never
        }])
      }
    })
  )
  const results: Array<Response.ToolResultPart<string, unknown, unknown>> = []
  const exit = yield* Agent.stream(agent, { prompt: "go" }).pipe(
    Stream.tap((part) =>
      Effect.sync(() => {
        if (part.type === "tool-result") results.push(part)
      })
    ),
    Stream.runFold(
      (): AgentRun.Result | undefined => undefined,
      (last, part) => part.type === "run-end" ? part.result : last
    ),
    Effect.provide(Layer.mergeAll(model, kit.toLayer(handlers as never))),
    Effect.exit
  )
  return { exit, results, offered, received } as Ran
})

const failure = (exit: Exit.Exit<unknown, unknown>): string =>
  Exit.isFailure(exit) ? showCause(exit.cause) : "Completed"

class Place extends Schema.Class<Place>("Place")({
  name: Schema.String,
  at: Schema.Date,
  note: Schema.optional(Schema.String),
  size: Schema.optionalKey(Schema.FiniteFromString)
}) {}

interface Tree {
  readonly v: number
  readonly kid?: Tree
}
const Tree = Schema.Struct({
  // @effect-diagnostics-next-line schemaNumber:off
  v: Schema.Number,
  kid: Schema.optionalKey(Schema.suspend((): Schema.Codec<Tree> => Tree))
}).annotate({ identifier: "Tree" })

const at = new Date("2026-01-01T00:00:00.000Z")

/** A schema, the JSON that a model writes for it, and the value. */
const kinds: Record<string, readonly [schema: Schema.Top, json: unknown, value: unknown]> = {
  "Date": [Schema.Date, "2026-01-01T00:00:00.000Z", at],
  "DateTime": [Schema.DateTimeUtc, "2026-01-01T00:00:00.000Z", DateTime.makeUnsafe(at)],
  "BigInt": [Schema.BigInt, "12", 12n],
  "URL": [Schema.URL, "http://a/b", new URL("http://a/b")],
  "Duration": [Schema.Duration, { _tag: "Millis", value: 5 }, Duration.millis(5)],
  "bytes": [Schema.Uint8Array, "AQI=", new Uint8Array([1, 2])],
  "Set": [Schema.ReadonlySet(Schema.Date), ["2026-01-01T00:00:00.000Z"], new Set([at])],
  "Map": [Schema.ReadonlyMap(Schema.String, Schema.BigInt), [["a", "1"]], new Map([["a", 1n]])],
  "Option": [Schema.Option(Schema.Date), { _tag: "Some", value: "2026-01-01T00:00:00.000Z" }, Option.some(at)],
  "Redacted": [Schema.Redacted(Schema.String), "x", Redacted.make("x")],
  // @effect-diagnostics-next-line schemaNumber:off
  "infinity": [Schema.Number, "-Infinity", -Infinity],
  "a class": [Place, { name: "x", at: "2026-01-01T00:00:00.000Z", size: "4" }, new Place({ name: "x", at, size: 4 })],
  "recursion": [Tree, { v: 1, kid: { v: "NaN" } }, { v: 1, kid: { v: NaN } }],
  "a transformation": [Schema.FiniteFromString, "1.5", 1.5],
  "a tuple": [Schema.Tuple([Schema.Date, Schema.Int]), ["2026-01-01T00:00:00.000Z", 1], [at, 1]],
  "a record": [Schema.Record(Schema.String, Schema.Date), { a: "2026-01-01T00:00:00.000Z" }, { a: at }]
}

describe("the codec of a tool", () => {
  for (const [kind, [schema, json, value]] of Object.entries(kinds)) {
    it.effect(`takes and gives ${kind}, whatever way the tool came and whatever made the model`, () =>
      Effect.gen(function*() {
        const Parameters = Schema.Struct({ value: schema })
        const tool = Tool.make("take", { parameters: Parameters, success: Parameters }) as AnyTool
        for (const way of ways) {
          for (const [, construct] of constructors) {
            const ran = yield* run(tool, { value: json }, (params) => Effect.succeed(params), way, construct)
            assert.strictEqual(failure(ran.exit), "Completed")
            assert.deepStrictEqual(ran.received, [{ value }])
            assert.deepStrictEqual(ran.results.map(({ encodedResult }) => encodedResult), [{ value: json }])
            assert.deepStrictEqual(ran.results.map(({ result }) => result), [{ value }])
          }
        }
      }))
  }

  it.effect("counts null as absent where an optional key does not admit it, at any depth", () =>
    Effect.gen(function*() {
      const Inner = Schema.Struct({ x: Schema.optionalKey(Schema.BigInt) })
      const Parameters = Schema.Struct({
        optional: Schema.optional(Schema.Int),
        key: Schema.optionalKey(Schema.Date),
        mutable: Schema.mutableKey(Schema.optionalKey(Schema.Duration)),
        defaulted: Schema.Int.pipe(Schema.withDecodingDefaultKey(Effect.succeed(3))),
        fallback: Schema.Int.pipe(Schema.withDecodingDefault(Effect.succeed(4))),
        option: Schema.OptionFromOptionalKey(Schema.String),
        admits: Schema.optional(Schema.NullOr(Schema.String)),
        anything: Schema.optional(Schema.Unknown),
        set: Schema.optionalKey(Schema.ReadonlySet(Inner)),
        maybe: Schema.Option(Inner),
        list: Schema.Array(Inner),
        place: Place
      })
      const tool = Tool.make("take", { parameters: Parameters }) as AnyTool
      const nulls = ["optional", "key", "mutable", "defaulted", "fallback", "option", "admits", "anything"]
      const params = {
        ...Object.fromEntries(nulls.map((key) => [key, null])),
        set: [{ x: null }],
        maybe: { _tag: "Some", value: { x: null } },
        list: [{ x: null }, { x: "5" }],
        place: { name: "x", at: "2026-01-01T00:00:00.000Z", note: null, size: null }
      }
      for (const way of ways) {
        const { received } = yield* run(tool, params, () => Effect.void, way)
        assert.deepStrictEqual(received, [{
          defaulted: 3,
          fallback: 4,
          option: Option.none(),
          admits: null,
          anything: null,
          set: new Set([{}]),
          maybe: Option.some({}),
          list: [{}, { x: 5n }],
          place: new Place({ name: "x", at })
        }])
      }
    }))

  it.effect("leaves undefined out where a key is optional, and gives null for a result that is nothing", () =>
    Effect.gen(function*() {
      const Success = Schema.Struct({ a: Schema.optional(Schema.Date), b: Schema.optional(Schema.Unknown) })
      const some = Tool.make("take", { success: Success }) as AnyTool
      const nothing = Tool.make("take") as AnyTool
      for (const way of ways) {
        const left = yield* run(some, {}, () => Effect.succeed({ a: undefined, b: undefined }), way)
        assert.deepStrictEqual(left.results.map(({ encodedResult }) => encodedResult), [{}])
        const none = yield* run(nothing, {}, () => Effect.void, way)
        assert.deepStrictEqual(none.results.map(({ encodedResult, result }) => [encodedResult, result]), [[
          null,
          undefined
        ]])
      }
    }))

  it.effect("encodes a returned failure too", () =>
    Effect.gen(function*() {
      const tool = Tool.make("take", {
        failure: Schema.Struct({ since: Schema.Date, left: Schema.BigInt }),
        failureMode: "return"
      }) as AnyTool
      for (const way of ways) {
        const { results } = yield* run(tool, {}, () => Effect.fail({ since: at, left: 2n }), way)
        assert.deepStrictEqual(results.map(({ encodedResult, isFailure }) => [encodedResult, isFailure]), [[
          { since: "2026-01-01T00:00:00.000Z", left: "2" },
          true
        ]])
      }
    }))
})

describe("the schema that is offered", () => {
  const offeredOf = (tool: Tool.Any) => ToolCodec.of(tool).jsonSchema
  const empty = { type: "object", properties: {}, additionalProperties: false }
  const named = { type: "object", properties: { a: { type: "string" } }, required: ["a"], additionalProperties: true }
  const Named = Schema.Struct({ a: Schema.String })

  const roots: Record<string, readonly [Tool.Any, unknown]> = {
    "no parameters": [Tool.make("t"), empty],
    "an empty struct": [Tool.make("t", { parameters: Schema.Struct({}) }), empty],
    "an identifier": [Tool.make("t", { parameters: Named.annotate({ identifier: "Named" }) }), named],
    "a nullable object": [Tool.make("t", { parameters: Schema.NullOr(Named) }), named],
    "anything": [Tool.dynamic("t"), { type: "object", properties: {} }],
    "a record": [
      Tool.make("t", { parameters: Schema.Record(Schema.String, Schema.String) }),
      { type: "object", properties: {}, additionalProperties: { type: "string" } }
    ],
    "an object of a server, without properties": [
      Tool.dynamic("t", { parameters: { type: "object" } }),
      { type: "object", properties: {} }
    ],
    "a reference of a server": [
      Tool.dynamic("t", { parameters: { $ref: "#/definitions/T", definitions: { T: named, U: {} } } }),
      named
    ],
    "rules of a server beside the properties": [
      Tool.dynamic("t", {
        parameters: { ...named, description: "d", anyOf: [{ required: ["a"] }, { required: ["b"] }] }
      }),
      {
        ...named,
        description: "d\nThe arguments also have to match the JSON schema " +
          "{\"anyOf\":[{\"required\":[\"a\"]},{\"required\":[\"b\"]}]}"
      }
    ],
    "a strict tool": [
      Tool.make("t", { parameters: Schema.Struct({ q: Schema.String, n: Schema.optionalKey(Schema.Boolean) }) })
        .annotate(Tool.Strict, true),
      {
        type: "object",
        properties: { q: { type: "string" }, n: { anyOf: [{ type: "boolean" }, { type: "null" }] } },
        required: ["q", "n"],
        additionalProperties: false
      }
    ],
    "a strict tool without parameters": [
      Tool.make("t", { parameters: Schema.Struct({}) }).annotate(Tool.Strict, true),
      empty
    ]
  }
  for (const [what, [tool, schema]] of Object.entries(roots)) {
    it.effect(`is an object for ${what}, and the tool of every model says so`, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(offeredOf(tool), schema)
        assert.deepStrictEqual(Tool.getJsonSchema(ToolCodec.of(tool).offered), schema)
        for (const [, construct] of constructors) {
          const { offered } = yield* run(tool as AnyTool, { a: "x" }, () => Effect.succeed(null), "context", construct)
          assert.deepStrictEqual(offered[0], schema)
        }
      }))
  }

  it("keeps the definitions that a recursive root refers to", () => {
    const { $defs, ...root } = offeredOf(Tool.make("t", { parameters: Tree }))
    assert.deepStrictEqual([root.type, root.properties, Object.keys($defs as object)], [
      "object",
      {
        v: { anyOf: [{ type: "number" }, { type: "string", enum: ["Infinity", "-Infinity", "NaN"] }] },
        kid: { $ref: "#/$defs/Tree" }
      },
      ["Tree"]
    ])
  })

  const unofferable: Record<string, Tool.Any> = {
    "a union of objects": Tool.make("wide", {
      parameters: Schema.Union([Named, Schema.Struct({ b: Schema.Int })])
    }),
    "a string": Tool.make("wide", { parameters: Schema.String }),
    "a server's union": Tool.dynamic("wide", { parameters: { anyOf: [named, { type: "object", required: ["b"] }] } }),
    "a strict record": Tool.make("wide", { parameters: Schema.Record(Schema.String, Schema.Int) })
      .annotate(Tool.Strict, true),
    "a key that is a symbol": Tool.make("wide", { parameters: Schema.Struct({ [Symbol.for("a")]: Schema.Int }) })
  }
  for (const [what, tool] of Object.entries(unofferable)) {
    it.effect(`does not exist for ${what}: the agent is refused, and so is a run that gets the tool later`, () =>
      Effect.gen(function*() {
        assert.throws(() => Agent.make("agent", { toolkit: Toolkit.make(tool) }), /Agent `agent` .* tool `wide`/)
        for (const way of ["resolved", "contributed"] as const) {
          const { exit } = yield* run(tool as AnyTool, {}, () => Effect.void, way)
          const error = Exit.isFailure(exit) ? Option.getOrUndefined(Exit.findErrorOption(exit)) : undefined
          assert.isTrue(AgentError.isAgentError(error) && error.reason._tag === "InvalidTool", failure(exit))
          assert.include(String((error as Error).message), "`wide`")
        }
      }))
  }
})

describe("a strict tool", () => {
  it.effect("takes the form that it offers, and the plain one", () =>
    Effect.gen(function*() {
      const tool = Tool.make("take", {
        parameters: Schema.Struct({
          pair: Schema.Tuple([Schema.String, Schema.Date]),
          rest: Schema.optional(Schema.Record(Schema.String, Schema.BigInt))
        })
      }).annotate(Tool.Strict, true) as unknown as AnyTool
      const strict = { pair: { "0": "a", "1": "2026-01-01T00:00:00.000Z" }, rest: [{ "0": "k", "1": "5" }] }
      const plain = { pair: ["a", "2026-01-01T00:00:00.000Z"] }
      const seen = [
        ...(yield* run(tool, strict, () => Effect.void)).received,
        ...(yield* run(tool, { pair: strict.pair, rest: null }, () => Effect.void)).received,
        ...(yield* run(tool, plain, () => Effect.void)).received
      ]
      assert.deepStrictEqual(seen, [{ pair: ["a", at], rest: { k: 5n } }, { pair: ["a", at] }, { pair: ["a", at] }])
    }))
})

describe("a result that is no JSON", () => {
  const cyclic: Record<string, unknown> = {}
  cyclic.self = cyclic
  let deep: unknown = 1
  for (let i = 0; i < 20_000; i++) deep = { deep }
  const values: Record<string, unknown> = {
    "a bigint": { n: 5n },
    "a cycle": cyclic,
    "a toJSON that throws": {
      toJSON() {
        throw new Error("no")
      }
    },
    "a symbol": [Symbol("x")],
    "a function": { f: () => 1 },
    undefined,
    "undefined inside": { a: [undefined] },
    NaN,
    "a map": new Map([["a", 1]]),
    "20,000 levels": deep
  }
  const tools: Record<string, Tool.Any> = {
    "Schema.Unknown": Tool.make("odd", { success: Schema.Unknown }),
    "Schema.Any": Tool.make("odd", { success: Schema.Any }),
    "Tool.dynamic": Tool.dynamic("odd", { parameters: { type: "object" } }),
    "a failure": Tool.make("odd", { failure: Schema.Unknown, failureMode: "return" })
  }
  for (const [what, value] of Object.entries(values)) {
    for (const [kind, tool] of Object.entries(tools)) {
      it.effect(`fails the run at the tool: ${what} as ${kind}`, () =>
        Effect.gen(function*() {
          for (const way of ways) {
            const handler = () => kind === "a failure" ? Effect.fail(value) : Effect.succeed(value)
            const { exit, results } = yield* run(tool as AnyTool, {}, handler, way)
            assert.strictEqual(failure(exit), "Fail AiError.ToolResultEncodingError")
            assert.deepStrictEqual(results, [])
            // the error itself can be stored and sent
            const error = Exit.isFailure(exit) ? Option.getOrThrow(Exit.findErrorOption(exit)) as any : undefined
            assert.strictEqual(typeof error.reason.toolResult, "string")
          }
        }))
    }
  }

  it.effect("is one of a recursive schema too", () =>
    Effect.gen(function*() {
      const tool = Tool.make("odd", { success: Tree }) as AnyTool
      const kid: any = { v: 1 }
      kid.kid = kid
      const { exit } = yield* run(tool, {}, () => Effect.succeed(kid))
      assert.strictEqual(failure(exit), "Fail AiError.ToolResultEncodingError")
    }))

  it.effect("fails the run when it is a preliminary one, although the handler goes on", () =>
    Effect.gen(function*() {
      const tool = Tool.make("odd", { success: Schema.Unknown }) as AnyTool
      for (const way of ways) {
        const ran = yield* run(tool, {}, (_, { preliminary }) =>
          preliminary({ n: 5n }).pipe(
            Effect.catchCause(() => Effect.void),
            Effect.as("fine")
          ), way)
        assert.strictEqual(failure(ran.exit), "Fail AiError.ToolResultEncodingError")
        assert.deepStrictEqual(ran.results, [])
      }
    }))

  it.effect("fails the run when a middleware has made it", () =>
    Effect.gen(function*() {
      const tool = Tool.make("odd", { success: Schema.String })
      const kit = Toolkit.make(tool)
      const results = (encodedResult: unknown) =>
        Effect.gen(function*() {
          const changed = Middleware.make("changed", {
            tool: (request, next) => Stream.map(next(request), (result) => ({ ...result, encodedResult }))
          })
          const agent = Agent.make("agent", { toolkit: kit, middleware: [changed] })
          return yield* Effect.exit(Agent.run(agent, { prompt: "go" }))
        }).pipe(Effect.provide(Layer.merge(
          kit.toLayer({ odd: () => Effect.succeed("fine") }),
          ScriptedModel.layer([toolCalls({ name: "odd", params: {} }), text("ok")])
        )))
      assert.strictEqual(failure(yield* results({ at: 5n })), "Fail AiError.ToolResultEncodingError")
      assert.strictEqual(failure(yield* results(cyclic)), "Fail AiError.ToolResultEncodingError")
      const exit = yield* results({ at })
      assert.deepStrictEqual(
        Exit.isSuccess(exit) &&
          exit.value.transcript.content.flatMap(({ content, role }) => role === "tool" ? content : [])
            .map((part) => part.type === "tool-result" && part.result),
        [{ at: "2026-01-01T00:00:00.000Z" }]
      )
    }))

  it.effect("is what JSON.stringify makes of it where nothing is lost", () =>
    Effect.gen(function*() {
      const tool = Tool.make("odd", { success: Schema.Unknown }) as AnyTool
      const value = { at, url: new URL("http://a/b"), place: new Place({ name: "x", at }), ["__proto__x"]: 1 }
      for (const way of ways) {
        const { results } = yield* run(tool, {}, () => Effect.succeed(value), way)
        assert.deepStrictEqual(results[0].encodedResult, JSON.parse(JSON.stringify(value)))
      }
    }))
})

describe("malformed arguments", () => {
  const tool = Tool.make("need", {
    parameters: Schema.Struct({ city: Schema.String, days: Schema.FiniteFromString, at: Schema.Date }),
    failure: Boom
  }) as AnyTool
  const told = Effect.fnUntraced(function*(params: unknown, way: typeof ways[number]) {
    const { exit, received, results } = yield* run(tool, params, () => Effect.void, way)
    assert.deepStrictEqual([failure(exit), received, results.map(({ isFailure }) => isFailure)], ["Completed", [], [
      true
    ]])
    return String(results[0].encodedResult)
  })

  for (const way of ways) {
    it.effect(`are shown with all that is wrong with them (${way})`, () =>
      Effect.gen(function*() {
        assert.strictEqual(
          yield* told({ city: 5, days: "soon" }, way),
          "Invalid parameters for tool 'need': Expected string\n  at [\"city\"]\nExpected a finite number\n  at [\"days\"]\n" +
            "Missing key\n  at [\"at\"]"
        )
        assert.strictEqual(
          yield* told("{\"city\": \"Os", way),
          "Invalid parameters for tool 'need': The arguments have to be a JSON object, and are no valid JSON " +
            "(Unterminated string in JSON at position 12 (line 1 column 13)). They were: {\"city\": \"Os"
        )
        assert.include(yield* told("{'city': 'Oslo'}", way), "They were: {'city': 'Oslo'}")
        assert.include(yield* told(["Oslo"], way), "They were: [\"Oslo\"]")
        assert.include(yield* told(7, way), "They were: 7")
        assert.include(yield* told(true, way), "They were: true")
        assert.include(yield* told(null, way), "They were: null\nMissing key")
        const huge = yield* told(`{"city": "${"x".repeat(1_000_000)}`, way)
        assert.include(huge, "1000010 characters in all")
        assert.isBelow(huge.length, 2_000)
      }))
  }

  it.effect("are refused by a tool that has a schema of a server too", () =>
    Effect.gen(function*() {
      const server = Tool.dynamic("need", { parameters: { type: "object" } }) as AnyTool
      const { received, results } = yield* run(server, "not json", () => Effect.succeed(1), "resolved")
      assert.deepStrictEqual(received, [])
      assert.include(String(results[0].encodedResult), "They were: not json")
      assert.deepStrictEqual((yield* run(server, null, () => Effect.succeed(1))).received, [{}])
    }))
})

describe("an output", () => {
  it.effect("is offered and decoded like the parameters of a tool, in both modes", () =>
    Effect.gen(function*() {
      const Answer = Schema.Struct({
        days: Schema.optionalKey(Schema.FiniteFromString),
        place: Schema.optional(Place),
        count: Schema.Int.pipe(Schema.withDecodingDefaultKey(Effect.succeed(1)))
      })
      const written = { days: null, place: { name: "x", at: "2026-01-01T00:00:00.000Z", size: null }, count: null }
      for (
        const [output, said] of [
          [AgentOutput.tool(Answer), toolCalls({ name: "final_answer", params: written })],
          [AgentOutput.json(Answer), text(JSON.stringify(written))]
        ] as const
      ) {
        const { value } = yield* Agent.run(Agent.make("agent", { output }), { prompt: "go" }).pipe(
          Effect.provide(ScriptedModel.layer([said]))
        )
        assert.deepStrictEqual(value, { place: new Place({ name: "x", at }), count: 1 })
      }
      assert.deepStrictEqual(
        [Place, Tree, Schema.Struct({}), Schema.NullOr(Place)].map((schema) =>
          AgentOutput.tool(schema as Schema.Codec<unknown>).isWrapped
        ),
        [false, false, false, true]
      )
    }))
})

describe("the loop by hand", () => {
  it.effect("offers and answers with the same codec", () =>
    Effect.gen(function*() {
      const Now = Tool.make("now", { parameters: Schema.Struct({ at: Schema.Date }), success: Schema.Date })
      const kit = Toolkit.make(Now)
      const program = Agent.run(Agent.make("agent", { toolkit: kit }), { prompt: "go" })
      const { transcript } = yield* program.pipe(Effect.provide(Layer.merge(
        kit.toLayer({ now: ({ at }) => Effect.succeed(new Date(at.getTime() + 1)) }),
        ScriptedModel.layer([toolCalls({ name: "now", params: { at: "2026-01-01T00:00:00.000Z" } }), text("ok")], {
          make: DirectLanguageModel.make
        } as never)
      )))
      const results = transcript.content.flatMap((message) =>
        message.role === "tool" ? message.content.map((part) => part.type === "tool-result" && part.result) : []
      )
      assert.deepStrictEqual(results, ["2026-01-01T00:00:00.001Z"])
      assert.strictEqual(ToolHandler.findRefusal([]), undefined)
    }))
})
