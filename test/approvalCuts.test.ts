/**
 * A run that goes on with answers, and is cut: interrupted after any number of steps of its fiber, left at any part, or
 * failed by its store, its model, its tool or its provider. Whatever happens, a call that was approved runs at most once, and
 * the session has either all of the answers or none of them.
 */
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Exit, Fiber, Layer, Schema, Stream } from "effect"
import { AiError, type Prompt, Tool, Toolkit } from "effect/ai"
import {
  Agent,
  AgentError,
  AgentRun,
  AgentTool,
  Approval,
  ContextProvider,
  Session,
  SessionHistory,
  SessionStore
} from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { childStep } from "./fixtures/approvals.ts"

const { layer: script, text, toolCalls } = ScriptedModel

const Cut = Schema.Union([
  Schema.Struct({
    how: Schema.Literal("interrupt"),
    after: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 90 }))
  }),
  Schema.Struct({
    how: Schema.Literal("leave"),
    after: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 9 }))
  }),
  Schema.Struct({
    how: Schema.Literals(["save fails", "save fails after it has written"]),
    after: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 }))
  }),
  Schema.Struct({
    how: Schema.Literals(["tool fails", "tool dies", "model fails", "afterRun fails", "nothing"]),
    after: Schema.Literal(0)
  })
])

const Features = Schema.Struct({
  from: Schema.Literals(["session", "result"]),
  keep: Schema.Literals(["completed", "every-step", "always"]),
  nested: Schema.Literals(["none", "own", "parent"]),
  calls: Schema.NonEmptyArray(Schema.Literals(["look", "remove", "ask", "ask twice"])).check(Schema.isMaxLength(3)),
  answers: Schema.NonEmptyArray(Schema.Literals(["approve", "edit", "deny", "missing"])),
  cut: Cut
})
type Features = typeof Features.Type

const Remove = Tool.make("remove", {
  parameters: Schema.Struct({ file: Schema.String }),
  success: Schema.String,
  failure: Schema.String,
  needsApproval: true
})
const Look = Tool.make("look", { parameters: Schema.Struct({ file: Schema.String }), success: Schema.String })
const tools = Toolkit.make(Remove, Look)

const called = (kind: Features["calls"][number], index: number): ScriptedModel.ToolCall =>
  kind === "look" || kind === "remove"
    ? { id: `c${index}`, name: kind, params: { file: `top-${index}` } }
    : { id: `c${index}`, name: "ask", params: { prompt: `child-${index}-${kind === "ask" ? 1 : 2}` } }

/** What happens to the run that is cut; afterwards nothing does. */
interface Weather {
  cut: Features["cut"] | undefined
  saves: number
}

const unavailable = AiError.make({ module: "test", method: "run", reason: new AiError.RateLimitError({}) })

/** Each call in the prompt has one result, in the order of the calls. */
const assertClosed = (prompt: Prompt.Prompt) => {
  const { content } = prompt
  assert.strictEqual(Session.close(content), content)
}

const model = ({ calls }: Features, weather: Weather): ScriptedModel.Step => ({ prompt, tools }) => {
  assertClosed(prompt)
  if (weather.cut?.how === "model fails") return [text("well"), ScriptedModel.fail(unavailable)]
  const last = prompt.content.at(-1)!
  const asked = prompt.content.flatMap((message) =>
    message.role === "user" ? message.content.flatMap((part) => part.type === "text" ? part.text : []) : []
  )
  if (asked.at(-1) === "go on") return text("went on")
  if (tools.includes("ask")) return last.role === "tool" ? text("done") : toolCalls(...calls.map(called))
  return childStep(asked, last.role === "tool")
}

/** A store whose saves take a while, and fail when it is their turn. */
const storeOf = (weather: Weather) =>
  Layer.effect(SessionStore.SessionStore)(Effect.map(SessionStore.SessionStore, (store) => {
    const failing = (id: string) =>
      new Session.SessionError({
        sessionId: id,
        reason: new Session.SessionStoreUnavailable({ operation: "save", cause: new Error("full") })
      })
    return {
      ...store,
      save: Effect.fnUntraced(function*(session: Session.Session, change: SessionStore.Change) {
        const { cut } = weather
        const isTurn = cut !== undefined && weather.saves++ === cut.after
        yield* Effect.yieldNow
        if (isTurn && cut.how === "save fails") return yield* failing(session.id)
        const saved = yield* store.save(session, change)
        yield* Effect.yieldNow
        if (isTurn && cut.how === "save fails after it has written") return yield* failing(session.id)
        return saved
      })
    }
  })).pipe(Layer.provide(SessionStore.layerMemory))

const play = Effect.fnUntraced(function*(features: Features) {
  const { answers: verdicts, cut, from, keep, nested } = features
  const keepsSession = from === "session"
  const weather: Weather = { cut: undefined, saves: 0 }
  const ran: Array<string> = []
  const ends: Array<string> = []
  let begun = 0
  const watching = ContextProvider.make("watching", {
    beforeRun: () =>
      Effect.suspend(() => {
        begun++
        return AgentRun.addFinalizer((exit) => Effect.sync(() => void ends.push(AgentRun.outcome(exit)._tag)))
      }),
    afterRun: () => weather.cut?.how === "afterRun fails" ? Effect.fail("afterRun") : Effect.void
  })
  const history = SessionHistory.make({ keep })
  const providers = keepsSession ? [history, watching] : [watching]
  const child = Agent.make("child", { toolkit: tools, providers: keepsSession ? [history] : [] })
  const ask = AgentTool.make(child, { name: "ask", session: nested })
  const agent = Agent.make("top", {
    toolkit: Toolkit.make(Remove, Look, ask.tool),
    providers: providers as ReadonlyArray<typeof history>
  })
  const handlers = tools.toLayer({
    remove: Effect.fnUntraced(function*({ file }) {
      ran.push(file)
      yield* Effect.yieldNow
      if (weather.cut?.how === "tool fails") return yield* Effect.fail("broken")
      if (weather.cut?.how === "tool dies") return yield* Effect.die("broken")
      yield* Effect.yieldNow
      return `no ${file}`
    }),
    look: ({ file }) => Effect.succeed(`saw ${file}`)
  })
  const layers = Layer.mergeAll(
    handlers,
    Toolkit.make(ask.tool).toLayer({ ask: ask.handler }),
    script(Array.from({ length: 200 }, () => model(features, weather))),
    storeOf(weather)
  )
  return yield* Effect.gen(function*() {
    const store = yield* SessionStore.SessionStore
    const load = Effect.map(store.load("s"), (session) => session.history)
    const first: AgentRun.Result = yield* Agent.run(agent, { prompt: "go", ...keepsSession && { session: "s" } })
    if (first.approvals.length === 0) return
    assert.deepStrictEqual(ends.splice(0), ["Completed"])
    const answers = first.approvals.flatMap((approval, index) => {
      const { file } = approval.params as { readonly file: string }
      switch (verdicts[index % verdicts.length]!) {
        case "approve":
          return [Approval.approve(approval)]
        case "edit":
          return [Approval.approve(approval, { params: { file: `${file} edited` } })]
        case "deny":
          return [Approval.deny(approval)]
        case "missing":
          return []
      }
    })
    if (answers.length === 0) return
    const waiting: Agent.Waiting = keepsSession ? { session: "s" } : { result: first }
    const before = first.approvals.map(({ approvalId }) => approvalId)
    const given = answers.map(({ approval }) => approval.approvalId)
    const allowed = answers.flatMap((answer) =>
      answer._tag === "Approve"
        ? [((answer.params ?? answer.approval.params) as { readonly file: string }).file]
        : []
    )

    // it is cut
    weather.cut = cut
    weather.saves = 0
    const parts: Array<AgentRun.Part> = []
    const stream = Stream.tap(
      Agent.resumeStream(agent, waiting, answers),
      (part) => Effect.andThen(Effect.sync(() => parts.push(part)), Effect.yieldNow)
    )
    const fiber = yield* Effect.forkChild(
      Stream.runDrain(cut.how === "leave" ? Stream.take(stream, cut.after) : stream)
    )
    if (cut.how === "interrupt") {
      for (let i = 0; i < cut.after; i++) yield* Effect.yieldNow
      yield* Fiber.interrupt(fiber)
    }
    const exit = yield* Fiber.await(fiber)
    weather.cut = undefined

    // it is finalized once, and told how it has ended
    assert.strictEqual(ends.length, begun - 1)
    const end = parts.at(-1)
    if (ends.length === 0) assert.strictEqual(cut.how, "interrupt")
    else if (end?.type === "run-end") assert.strictEqual(ends[0], "Completed")
    else if (cut.how === "leave") assert.include(["Abandoned", "Completed"], ends[0])
    else if (cut.how === "interrupt") assert.include(["Interrupted", "Completed"], ends[0])
    else assert.strictEqual(ends[0], "Failed")
    if (cut.how.includes("fails") && ends[0] === "Failed") assert.isTrue(Exit.isFailure(exit))

    // no call has run that was not approved, and none twice
    assert.strictEqual(new Set(ran).size, ran.length)
    assert.deepStrictEqual(ran.filter((file) => !allowed.includes(file)), [])

    // all of the answers are kept, or none
    const pendingNow = keepsSession ? Approval.pending(yield* load).map(({ approvalId }) => approvalId) : undefined
    const kept = pendingNow === undefined ? undefined : given.filter((id) => !pendingNow.includes(id))
    if (kept !== undefined) assert.include([0, given.length], kept.length)
    const again = yield* Effect.result(Agent.resume(agent, waiting, answers))
    if (again._tag === "Success") {
      // nothing of it had happened
      assert.include([undefined, 0], kept?.length)
    } else {
      const error = again.failure
      assert(AgentError.isAgentError(error) && error.reason._tag === "ApprovalRejected", String(error))
      assert.include(["answered", "unknown"], error.reason.problem)
      assert.include([undefined, given.length], kept?.length)
    }
    assert.strictEqual(new Set(ran).size, ran.length)
    assert.deepStrictEqual(ran.filter((file) => !allowed.includes(file)), [])
    if (again._tag === "Success") assert.deepStrictEqual(ran.toSorted(), allowed.toSorted())
    if (!keepsSession) return

    // what waited without an answer still waits or was closed, and the conversation goes on
    for (let round = 0; round < 6; round++) {
      const pending = Approval.pending(yield* load)
      assert.deepStrictEqual(pending.filter(({ approvalId }) => given.includes(approvalId)), [])
      if (pending.length === 0) break
      yield* Agent.resume(agent, { session: "s" }, pending.map((approval) => Approval.deny(approval)))
    }
    const { text } = yield* Agent.run(agent, { prompt: "go on", session: "s" })
    assert.strictEqual(text, "went on")
    assertClosed(yield* load)
    assert.strictEqual(new Set(ran).size, ran.length)
    return before
  }).pipe(Effect.provide(layers))
})

describe("a resumed run that is cut", () => {
  it.effect.prop(
    "runs no approved call twice, is finalized once, and leaves all of the answers or none",
    { features: Arbitrary.schema(Features) },
    ({ features }) => Effect.asVoid(play(features)),
    { timeout: 60_000, arbitrary: { runs: 80, seed: "cuts" } }
  )
})
