import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Exit, Fiber, Layer, Schema, Stream } from "effect"
import { AiError, Prompt, Tool, Toolkit } from "effect/ai"
import {
  Agent,
  AgentOutput,
  AgentRun,
  AgentTool,
  Approval,
  Compaction,
  ContextProvider,
  Session,
  SessionHistory,
  SessionStore,
  Steering
} from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"

const { fail, hang, layer: script, step, text, toolCalls } = ScriptedModel

/** What a run is made of, what its model says, and how it ends. */
const Features = Schema.Struct({
  keep: Schema.Literals(["completed", "every-step", "always"]),
  end: Schema.Literals(["completes", "fails", "is interrupted", "is left"]),
  steers: Schema.Boolean,
  compacts: Schema.Boolean,
  output: Schema.Boolean,
  nested: Schema.Literals(["none", "own"]),
  extra: Schema.Literals(["none", "before", "after"]),
  said: Schema.Array(Schema.Literals(["look", "talk and look", "ask"])).check(Schema.isMaxLength(3)),
  last: Schema.Literals(["nothing", "pay", "no output"])
})
type Features = typeof Features.Type

const parameters = Schema.Struct({ n: Schema.Int })
const Look = Tool.make("look", { parameters, success: Schema.String })
const Pay = Tool.make("pay", { parameters, success: Schema.String, needsApproval: true })
const overloaded = AiError.make({ module: "test", method: "test", reason: new AiError.RateLimitError({}) })

const call = (name: string, id: string) => ({ name, id, params: { n: 1 } })

const finish: ScriptedModel.Step = ({ tools }) =>
  tools.includes("final_answer") ? toolCalls({ name: "final_answer", params: { ok: true } }) : text("done")

const stepsOf = ({ end, last, output, said }: Features): ReadonlyArray<ScriptedModel.Step> => {
  const steps = said.flatMap((what, index): ReadonlyArray<ScriptedModel.Step> => {
    const look = call("look", `look-${index}`)
    if (what === "look") return [toolCalls(look)]
    if (what === "talk and look") return [step(text("let me see"), toolCalls(look, call("look", `more-${index}`)))]
    return [
      toolCalls({ name: "ask", id: `ask-${index}`, params: { prompt: "look" } }),
      toolCalls(call("look", `child-${index}`)),
      text("child done")
    ]
  })
  if (last === "no output" && output) steps.push(text("no output"))
  if (last === "pay") return [...steps, toolCalls(call("pay", "pay"), call("look", "beside"))]
  if (end === "fails") steps.push(step(text("partial"), fail(overloaded)))
  if (end === "is interrupted" || end === "is left") steps.push(step(text("partial"), hang))
  return steps
}

const agentOf = ({ compacts, extra, keep, nested, output }: Features, onEnd: (outcome: AgentRun.Outcome) => void) => {
  const history = SessionHistory.make({ keep })
  const context = ContextProvider.make("context", {
    beforeRun: () => Effect.succeed({ messages: Prompt.make("context").content, everyStep: () => Effect.void })
  })
  const spy = ContextProvider.make("spy", {
    beforeRun: () =>
      Effect.as(AgentRun.addFinalizer((exit) => Effect.sync(() => onEnd(AgentRun.outcome(exit)))), undefined)
  })
  const compaction = Compaction.make({
    maxTokens: 220,
    strategies: [Compaction.collapseToolResults({ keep: 0 }), Compaction.dropOldest]
  })
  const child = Agent.make("child", { toolkit: Toolkit.make(Look), providers: [history] })
  const ask = AgentTool.make(child, { name: "ask", session: nested })
  const agent = Agent.make("top", {
    toolkit: Toolkit.make(Look, Pay, ask.tool),
    providers: [
      ...extra === "before" ? [context] : [],
      history,
      spy,
      ...extra === "after" ? [context] : [],
      ...compacts ? [compaction] : []
    ],
    ...output && { output: AgentOutput.orWaiting(Schema.Struct({ ok: Schema.Boolean })) }
  })
  return { agent, asking: Toolkit.make(ask.tool).toLayer({ ask: ask.handler }) }
}

/** The messages as they are stored. */
const encode = (messages: ReadonlyArray<Prompt.Message>) =>
  messages.map((message) => Schema.encodeSync(Schema.toCodecJson(Prompt.Message))(message))

const before = Prompt.make([{ role: "user", content: "old" }, { role: "assistant", content: "answer" }]).content

const play = Effect.fnUntraced(function*(features: Features) {
  const { end, keep, last, steers } = features
  let outcome: AgentRun.Outcome | undefined
  const { agent, asking } = agentOf(features, (first) => outcome ??= first)
  const steps = stepsOf(features)
  const layers = Layer.mergeAll(
    script([...steps, ...Array.from({ length: 10 }, () => finish)]),
    Toolkit.make(Look, Pay).toLayer({ look: () => Effect.succeed("seen"), pay: () => Effect.succeed("paid") }),
    asking,
    SessionStore.layerMemory
  )
  return yield* Effect.gen(function*() {
    const store = yield* SessionStore.SessionStore
    const model = yield* ScriptedModel.ScriptedModel
    const stored = Effect.map(store.load("s"), ({ history }) => history)
    const isClosed = (messages: ReadonlyArray<Prompt.Message>) => Session.close(messages) === messages
    yield* store.save(yield* store.load("s"), { append: before })
    const steering = yield* Steering.make
    if (steers) yield* steering.send("steered")

    const run = Agent.stream(agent, { prompt: "go", session: "s", steering })
    const leaving = end === "is left"
      ? Stream.takeUntil(run, (part) => part.type === "text-delta" && part.delta.includes("partial"))
      : run
    const fiber = yield* Effect.forkChild(Stream.runDrain(leaving))
    for (let turn = 0; turn < 3000 && fiber.pollUnsafe() === undefined; turn++) {
      if (end === "is interrupted" && (yield* model.requests).length >= steps.length && turn > 1000) break
      yield* Effect.yieldNow
    }
    yield* Fiber.interrupt(fiber)

    // what is stored is what the choice says of the run's transcript
    const history = yield* stored
    assert.deepStrictEqual(encode(history.content.slice(0, 2)), encode(before))
    const own = history.content.slice(2)
    assert.isDefined(outcome)
    const { content } = outcome._tag === "Completed" ? outcome.result.transcript : outcome.partial.transcript
    const whole = encode(content)
    if (outcome._tag === "Completed" || keep === "always") assert.deepStrictEqual(encode(own), whole)
    else if (keep === "completed") assert.deepStrictEqual(own, [])
    else assert.deepStrictEqual(encode(own), whole.slice(0, own.length))
    if (keep !== "always") assert.isFalse(own.some(AgentRun.isCut))

    // the conversation can always go on
    const waiting = Approval.pending(history)
    assert.strictEqual(waiting.length > 0, outcome._tag === "Completed" && last === "pay")
    if (waiting.length > 0) {
      yield* Agent.resume(agent, { session: "s" }, waiting.map((approval) => Approval.approve(approval)))
    } else assert.isTrue(isClosed(history.content))
    const message = (yield* stored).content.at(-1)!
    const continued = yield* Effect.exit(Agent.continue(agent, { session: "s" }))
    assert.strictEqual(Exit.isSuccess(continued), message.role !== "assistant" || AgentRun.isCut(message))
    yield* Agent.run(agent, { prompt: "next", session: "s" })
    assert.isTrue(isClosed((yield* stored).content))
    for (const { prompt } of yield* model.requests) {
      assert.isTrue(isClosed(prompt.content))
      assert.notInclude(JSON.stringify(prompt), "tool-approval")
    }
  }).pipe(Effect.provide(layers))
})

describe("SessionHistory beside other features", () => {
  it.effect.prop(
    "stores what it promises of each run, and a conversation that goes on",
    { features: Arbitrary.schema(Features) },
    ({ features }) => play(features),
    { timeout: 120_000, arbitrary: { runs: 150, seed: "history" } }
  )
})
