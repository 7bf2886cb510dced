import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Layer, Redacted, Schema, Stream } from "effect"
import { IdGenerator, Prompt, Tool, Toolkit } from "effect/ai"
import {
  Agent,
  AgentError,
  AgentOutput,
  AgentRun,
  AgentTool,
  Approval,
  ApprovalSeal,
  ContextProvider,
  Middleware,
  Session,
  SessionHistory,
  SessionStore
} from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { childStep } from "./fixtures/approvals.ts"

const { layer: script, text, toolCalls } = ScriptedModel

/** What an agent is made of, what its model calls, and how a person answers. */
const Features = Schema.Struct({
  from: Schema.Literals(["session", "result of session", "result", "sealed"]),
  keep: Schema.Literals(["completed", "every-step", "always"]),
  providers: Schema.Literals(["none", "before", "after", "around"]),
  middleware: Schema.Array(Schema.Literals(["rebuild run", "copy prompt", "copy result", "redact result"])).check(
    Schema.isMaxLength(2)
  ),
  output: Schema.Boolean,
  calls: Schema.NonEmptyArray(Schema.Literals(["look", "remove", "ask", "ask twice", "hosted"])).check(
    Schema.isMaxLength(3)
  ),
  nested: Schema.Literals(["none", "own", "parent"]),
  answers: Schema.NonEmptyArray(Schema.Literals(["approve", "edit", "deny"])),
  together: Schema.Boolean,
  reversed: Schema.Boolean
})
type Features = typeof Features.Type

const copy = <A>(value: A): A => JSON.parse(JSON.stringify(value))
const copyPrompt = (prompt: Prompt.RawInput) =>
  Prompt.fromMessages(Prompt.make(prompt).content.map((message) => ({ ...message })))

const middlewares: Record<Features["middleware"][number], Middleware.Any> = {
  "rebuild run": Middleware.make("rebuild run", {
    agent: (request, next) =>
      Stream.map(
        next({ ...request, prompt: copyPrompt(request.prompt) }),
        (part) => part.type === "run-end" ? { ...part, result: { ...part.result } } : part
      )
  }),
  "copy prompt": Middleware.make("copy prompt", {
    model: (request, next) => next({ ...request, prompt: copyPrompt(request.prompt) })
  }),
  "copy result": Middleware.make("copy result", { tool: (request, next) => Stream.map(next(request), copy) }),
  "redact result": Middleware.make("redact result", {
    tool: (request, next) =>
      Stream.map(next(request), (result) => result.isFailure ? { ...result, encodedResult: "-" } : result)
  })
}

const Remove = Tool.make("remove", {
  parameters: Schema.Struct({ file: Schema.String }),
  success: Schema.String,
  needsApproval: true
})
const Look = Tool.make("look", { parameters: Schema.Struct({ file: Schema.String }), success: Schema.String })
const tools = Toolkit.make(Remove, Look)

const agentOf = ({ keep, middleware, nested, output, providers }: Features, keepsSession: boolean) => {
  const history = SessionHistory.make({ keep })
  const messages = (name: string) =>
    ContextProvider.make(name, {
      beforeRun: () => Effect.succeed({ messages: Prompt.make(`Context ${name}`).content })
    })
  const own = keepsSession ? [history] : []
  const all = {
    none: own,
    before: [messages("a"), ...own],
    after: [...own, messages("a")],
    around: [messages("a"), ...own, messages("b")]
  }[providers]
  const child = Agent.make("child", { toolkit: tools, providers: keepsSession ? [history] : [] })
  const ask = AgentTool.make(child, { name: "ask", session: nested })
  const toolkit = Toolkit.make(Remove, Look, ask.tool)
  const agent = Agent.make("top", {
    toolkit,
    providers: all as ReadonlyArray<typeof history>,
    middleware: middleware.map((name, index) => ({ ...middlewares[name], name: `${name} ${index}` })) as never,
    ...output && { output: AgentOutput.orWaiting(Schema.Struct({ ok: Schema.Boolean })) }
  })
  return { agent, delegating: Toolkit.make(ask.tool).toLayer({ ask: ask.handler }) }
}

const called = (kind: Exclude<Features["calls"][number], "hosted">, index: number): ScriptedModel.ToolCall =>
  kind === "look" || kind === "remove"
    ? { id: `c${index}`, name: kind, params: { file: `top-${index}` } }
    : { id: `c${index}`, name: "ask", params: { prompt: `child-${index}-${kind === "ask" ? 1 : 2}` } }

/** A call that the provider runs itself, and asks for before it does. */
const hosted = (index: number): ScriptedModel.Piece =>
  ScriptedModel.parts([
    {
      type: "tool-call",
      id: `h${index}`,
      name: "mcp.remove",
      params: { file: `hosted-${index}` },
      providerExecuted: true
    },
    { type: "tool-approval-request", approvalId: `mcpr_${index}`, toolCallId: `h${index}` }
  ])

const isHosted = (file: string) => file.startsWith("hosted-")

/** The files that a call asks to remove. */
const filesOf = (kind: Features["calls"][number], index: number): ReadonlyArray<string> =>
  ({
    look: [],
    remove: [`top-${index}`],
    hosted: [`hosted-${index}`],
    ask: [`child-${index}-0`],
    "ask twice": [`child-${index}-0`, `child-${index}-1`]
  })[kind]

/** Every model call of every run: what comes next follows from what was said. */
const model = ({ calls, output }: Features): ScriptedModel.Step => ({ prompt, tools }) => {
  const last = prompt.content.at(-1)!
  const asked = prompt.content.flatMap((message) =>
    message.role === "user" ? message.content.flatMap((part) => part.type === "text" ? part.text : []) : []
  )
  if (tools.includes("ask")) {
    if (last.role !== "tool") {
      const own = calls.flatMap((kind, index) => kind === "hosted" ? [] : [called(kind, index)])
      const theirs = calls.flatMap((kind, index) => kind === "hosted" ? [hosted(index)] : [])
      return [...theirs, ...own.length > 0 ? [toolCalls(...own)] : [ScriptedModel.finish("stop")]]
    }
    const answerTool = tools.find((name) => !["ask", "remove", "look"].includes(name))
    return output ? toolCalls({ name: answerTool ?? "none", params: { ok: true } }) : text("done")
  }
  return childStep(asked, last.role === "tool")
}

const Json = Schema.fromJsonString(Schema.toCodecJson(AgentRun.Result))

const play = Effect.fnUntraced(function*(features: Features) {
  const { answers: verdicts, from, reversed, together } = features
  const keepsSession = from === "session" || from === "result of session"
  const { agent, delegating } = agentOf(features, keepsSession)
  const ran: Array<string> = []
  const handlers = tools.toLayer({
    remove: ({ file }) => Effect.sync(() => (ran.push(file), `no ${file}`)),
    look: ({ file }) => Effect.succeed(`saw ${file}`)
  })
  let next = 0
  const ids = Layer.succeed(IdGenerator.IdGenerator)({ generateId: () => Effect.sync(() => `id-${++next}`) })
  const layers = Layer.mergeAll(
    handlers,
    delegating,
    script(Array.from({ length: 100 }, () => model(features))),
    SessionStore.layerMemory,
    ids,
    ApprovalSeal.layer({ key: Redacted.make("a key of the test") })
  )

  return yield* Effect.gen(function*() {
    const session = keepsSession ? "s" : undefined
    const place = (result: AgentRun.Result) =>
      from === "session" ?
        Effect.succeed({ session: "s" }) :
        from !== "sealed" ?
        Effect.succeed({ result }) :
        Effect.map(
          Effect.flatMap(ApprovalSeal.seal(agent, result), (sealed) =>
            Effect.flatMap(Schema.encodeEffect(Json)(sealed), (sent) => Schema.decodeEffect(Json)(sent))),
          (result) => ({ result: result as AgentRun.Result })
        )
    let result: AgentRun.Result = yield* Agent.run(agent, { prompt: "go", session })
    const given: Array<{ readonly waiting: Agent.Waiting; readonly answers: ReadonlyArray<Approval.Answer> }> = []
    const expected: Array<string> = []
    const asked = new Set<string>()
    const responses = new Map<string, boolean>()
    for (let round = 0; result.approvals.length > 0; round++) {
      assert.isBelow(round, 12)
      assert.strictEqual(result.stopReason, "approval-required")
      const pending = reversed ? result.approvals.toReversed() : result.approvals
      const answers = (together ? pending : pending.slice(0, 1)).map((approval, index) => {
        const verdict = verdicts[(round + index) % verdicts.length]!
        const { file } = approval.params as { readonly file: string }
        asked.add(file)
        if (isHosted(file)) {
          responses.set(approval.approvalId, verdict !== "deny")
          return verdict === "deny" ? Approval.deny(approval) : Approval.approve(approval)
        }
        if (verdict === "deny") return Approval.deny(approval)
        expected.push(verdict === "edit" ? `${file} edited` : file)
        return Approval.approve(approval, verdict === "edit" ? { params: { file: `${file} edited` } } : undefined)
      })
      const waiting = yield* place(result)
      given.push({ waiting, answers })
      result = yield* Agent.resume(agent, waiting, answers)
    }
    // every answer given once more changes nothing
    for (const { answers, waiting } of given) {
      const error = yield* Effect.flip(Agent.resume(agent, waiting, answers))
      assert(AgentError.isAgentError(error) && error.reason._tag === "ApprovalRejected")
      assert.strictEqual(error.reason.problem, "answered")
    }
    assert.deepStrictEqual(ran.toSorted(), expected.toSorted())
    // the provider is told each of its answers, once
    const { requests } = yield* ScriptedModel.ScriptedModel
    const last = (yield* requests).at(-1)!.prompt
    const responded = last.content.flatMap((message) =>
      message.role === "tool"
        ? message.content.flatMap((part) =>
          part.type === "tool-approval-response" ? [[part.approvalId, part.approved] as const] : []
        )
        : []
    )
    assert.deepStrictEqual(responded.toSorted(), [...responses].toSorted())
    assert.deepStrictEqual([...asked].toSorted(), features.calls.flatMap(filesOf).toSorted())
    assert.strictEqual(result.stopReason, features.output ? "output" : "stop")
    assert.strictEqual(Session.close(result.transcript.content), result.transcript.content)
    if (keepsSession) {
      const store = yield* SessionStore.SessionStore
      for (const id of ["s", "s/ask"]) {
        const { content } = (yield* store.load(id)).history
        assert.strictEqual(Session.close(content), content)
      }
    }
  }).pipe(Effect.provide(layers))
})

describe("approvals beside other features", () => {
  it.effect.prop(
    "run each approved call once and no other, and end with a closed transcript",
    { features: Arbitrary.schema(Features) },
    ({ features }) => play(features),
    { timeout: 120_000, arbitrary: { runs: 200, seed: "pairs" } }
  )
})
