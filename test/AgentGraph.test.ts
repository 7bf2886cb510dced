import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Deferred, Effect, Exit, Fiber, Graph, Ref, Schema, Stream } from "effect"
import { Agent, type AgentRun, Approval, Budget, SessionHistory, SessionStore } from "../src/index.ts"
import { AgentGraph } from "../src/orchestration/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { collectAll, type Log, logged, showExit, showPrompt, types } from "./utils.ts"

class Broken extends Schema.TaggedError<Broken>()("Broken", { at: Schema.String }) {}

/** A node that writes down that it ran, and gives its name around the values that it has. */
const step = (log: Log, name: string, then: Effect.Effect<unknown, Broken> = Effect.void) => ({
  success: Schema.String,
  failure: Broken,
  run: (values: Readonly<Record<string, unknown>>, { feedback }: AgentGraph.NodeInput) =>
    Effect.suspend(() => {
      log.push(name)
      const inside = [...Object.values(values), ...feedback === undefined ? [] : [feedback]]
      return Effect.as(then, `${name}(${inside.join("+")})`)
    })
})

const gated = {
  approval: { parameters: Schema.Struct({ what: Schema.String }), params: () => ({ what: "this" }) }
}

/** a and c, b after a, join after b and c. */
const diamond = (log: Log, then: { readonly [name: string]: Effect.Effect<unknown, Broken> } = {}) =>
  AgentGraph.make("diamond")
    .effect("a", step(log, "a", then.a))
    .effect("c", step(log, "c", then.c))
    .effect("b", { ...step(log, "b", then.b), after: ["a"] })
    .effect("join", { ...step(log, "join", then.join), after: ["b", "c"] })

const remembering = Agent.withProvider(SessionHistory.providerEveryStep)
const history = Effect.flatMap(
  SessionStore.SessionStore,
  (store) => Effect.map(store.load("s"), ({ history }) => history)
)
const prompts = Effect.flatMap(
  ScriptedModel.ScriptedModel,
  ({ requests }) => Effect.map(requests, (all) => all.map(({ prompt }) => showPrompt(prompt)))
)
const approveAll = ({ approvals }: AgentRun.Result) => approvals.map((approval) => Approval.approve(approval))

describe("AgentGraph", () => {
  describe("a run", () => {
    it.effect("runs a node when those before it have run, beside all others", () =>
      Effect.gen(function*() {
        const log: Log = []
        // b runs while c waits for it
        const [first, second] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        const graph = diamond(log, { b: Deferred.succeed(first, undefined), c: Deferred.await(first), a: Effect.void })
          .effect("late", { ...step(log, "late", Deferred.succeed(second, undefined)), after: ["b"] })
          .effect("all", { ...step(log, "all", Deferred.await(second)), after: ["join", "late"] })
        const { value } = yield* Agent.run(AgentGraph.toAgent(graph), { prompt: "go" })
        assert.strictEqual(value, "all(join(b(a())+c())+late(b(a())))")
        assert.deepStrictEqual(log.toSorted(), ["a", "all", "b", "c", "join", "late"])
      }))

    it.effect("tells agents the conversation and what was said before them, and streams the text of the last one", () =>
      Effect.gen(function*() {
        const graph = AgentGraph.make("talk")
          .agent("facts", Agent.make("f", { output: Schema.Struct({ height: Schema.Int }) }))
          .agent("draft", Agent.make("d"))
          .agent("end", Agent.make("e"), { after: ["facts", "draft"] })
        const { parts } = yield* collectAll(Agent.stream(AgentGraph.toAgent(graph), { prompt: "how high?" }))
        const { result } = parts[parts.length - 1] as AgentRun.RunEnd
        assert.deepStrictEqual([result.value, result.text], ["2469 m", "2469 m"])
        assert.deepStrictEqual(parts.flatMap((part) => part.type === "text-delta" ? part.delta : []), ["2469", " m"])
        const asked = yield* prompts
        assert.deepStrictEqual([asked[0], asked[1]], [["user: how high?"], ["user: how high?"]])
        assert.deepStrictEqual(asked[2], [
          "user: how high?",
          "user: facts: {\"height\":2469}",
          "user: draft: It is high."
        ])
      }).pipe(Effect.provide(ScriptedModel.layer([
        ScriptedModel.step(({ tools }) => answer(tools)),
        ScriptedModel.step(({ tools }) => answer(tools)),
        ScriptedModel.text(["2469", " m"])
      ]))))

    it.effect("skips a node of which a condition does not hold, also on a node that was skipped", () =>
      Effect.gen(function*() {
        const log: Log = []
        const graph = AgentGraph.make("guards")
          .effect("draft", step(log, "draft"))
          .effect("editor", { after: ["draft"], success: Schema.Boolean, run: () => Effect.succeed(false) })
          .effect("publish", { ...step(log, "publish"), after: ["draft", "editor"], when: { editor: (good) => good } })
          .effect("tell", { ...step(log, "tell"), after: ["draft", "publish"], when: { publish: () => true } })
          .effect("end", { ...step(log, "end"), after: ["draft", "publish", "tell"] })
        const { value } = yield* Agent.run(AgentGraph.toAgent(graph), { prompt: "go" })
        assert.strictEqual(value, "end(draft())")
        assert.deepStrictEqual(log, ["draft", "end"])
      }))

    it.effect("runs one of two branches, and what comes after either", () =>
      Effect.gen(function*() {
        const log: Log = []
        const graph = (isGood: boolean) =>
          AgentGraph.make("choice")
            .effect("judge", { success: Schema.Boolean, run: () => Effect.succeed(isGood) })
            .effect("publish", { ...step(log, "publish"), after: ["judge"], when: { judge: (good) => good } })
            .effect("reject", { ...step(log, "reject"), after: ["judge"], when: { judge: (good) => !good } })
            .effect("letter", { ...step(log, "letter"), after: ["reject"] })
            .effect("end", { ...step(log, "end"), after: ["publish", "letter"] })
        const good = yield* Agent.run(AgentGraph.toAgent(graph(true)), { prompt: "go" })
        const bad = yield* Agent.run(AgentGraph.toAgent(graph(false)), { prompt: "go" })
        assert.deepStrictEqual([good.value, bad.value], ["end(publish(true))", "end(letter(reject(false)))"])
        assert.deepStrictEqual(log, ["publish", "end", "reject", "letter", "end"])
      }))

    it.effect("has the values of its last nodes by their names, of those that have run", () =>
      Effect.gen(function*() {
        const graph = AgentGraph.make("ends")
          .effect("a", step([], "a"))
          .effect("b", { ...step([], "b"), after: ["a"] })
          .effect("c", { ...step([], "c"), after: ["a"], when: { a: () => false } })
        const { text, value } = yield* Agent.run(AgentGraph.toAgent(graph), { prompt: "go" })
        assert.deepStrictEqual(value, { b: "b(a())" } as typeof value)
        assert.strictEqual(text, "{\"b\":\"b(a())\"}")
      }))

    it.effect("runs the nodes of a loop again while its condition holds, so often at most, and those after it once", () =>
      Effect.gen(function*() {
        const log: Log = []
        const graph = (good: number) =>
          AgentGraph.make("loop")
            .effect("plan", step(log, "plan"))
            .effect("draft", { ...step(log, "draft"), after: ["plan"] })
            .effect("words", { ...step(log, "words"), after: ["draft"] })
            .effect("check", {
              after: ["draft", "words"],
              success: Schema.Int,
              run: (_, { run }) => Effect.sync(() => (log.push("check"), run))
            })
            .effect("publish", { ...step(log, "publish"), after: ["draft", "check"] })
            .loop("check", "draft", { times: 2, when: (run) => run < good, feedback: (run) => `again ${run}` })
        const { value } = yield* Agent.run(AgentGraph.toAgent(graph(1)), { prompt: "go" })
        assert.strictEqual(value, "publish(draft(plan()+again 0)+1)")
        assert.deepStrictEqual(log.splice(0), ["plan", "draft", "words", "check", "draft", "words", "check", "publish"])
        yield* Agent.run(AgentGraph.toAgent(graph(99)), { prompt: "go" })
        assert.deepStrictEqual(log.filter((name) => name === "check").length, 3)
        assert.deepStrictEqual(log.filter((name) => name === "publish").length, 1)
      }))

    it.effect("runs an inner graph again from its beginning, where a loop goes to it", () =>
      Effect.gen(function*() {
        const log: Log = []
        const inner = AgentGraph.make("inner")
          .effect("x", step(log, "x"))
          .effect("y", { ...step(log, "y"), after: ["x"] })
          .effect("z", step(log, "z"))
        const graph = AgentGraph.make("loop")
          .effect("plan", step(log, "plan"))
          .add("inner", inner, { after: ["plan"] })
          .effect("check", { after: ["inner"], success: Schema.Int, run: (_, { run }) => Effect.succeed(run) })
          .effect("end", {
            after: ["inner", "check"],
            success: Schema.String,
            run: ({ inner }) => Effect.succeed(`${inner.y} ${inner.z}`)
          })
          .loop("check", "inner", { times: 2, when: (run) => run === 0, feedback: () => "again" })
        const { value } = yield* Agent.run(AgentGraph.toAgent(graph), { prompt: "go" })
        assert.strictEqual(value, "y(x(again)) z(again)")
        assert.deepStrictEqual(log, ["plan", "x", "z", "y", "x", "z", "y"])
      }))

    it.effect("has loops within loops, and tells an agent that runs again its last answer and what was said to it", () =>
      Effect.gen(function*() {
        const judging = (name: string, good: number) => ({
          success: Schema.String,
          run: (_: unknown, { run }: AgentGraph.NodeInput) => Effect.succeed(run < good ? `${name} ${run}` : "good")
        })
        const graph = AgentGraph.make("nested")
          .agent("write", Agent.make("writer"))
          .effect("inner", { ...judging("inner", 1), after: ["write"] })
          .effect("outer", { ...judging("outer", 1), after: ["inner"] })
          .loop("inner", "write", { times: 3, when: (said) => said !== "good" })
          .loop("outer", "write", { times: 3, when: (said) => said !== "good" })
        const { value } = yield* Agent.run(AgentGraph.toAgent(graph), { prompt: "go" })
        assert.strictEqual(value, "good")
        assert.deepStrictEqual(yield* prompts, [
          ["user: go"],
          ["user: go", "assistant: one", "user: inner: inner 0"],
          ["user: go", "assistant: two", "user: outer: outer 0"]
        ])
      }).pipe(Effect.provide(ScriptedModel.layer(["one", "two", "three"].map((said) => ScriptedModel.text(said))))))

    it.effect("keeps to its budget", () =>
      Effect.gen(function*() {
        const graph = AgentGraph.make("costly").agent("a", Agent.make("a")).agent("b", Agent.make("b"), {
          after: ["a"]
        })
        const budget = Budget.middleware(Budget.orFail(Budget.make({ modelCalls: 1 })))
        const agent = AgentGraph.toAgent(graph).pipe(Agent.withMiddleware(budget))
        const error = yield* Effect.flip(Agent.run(agent, { prompt: "go" }))
        assert.strictEqual(error._tag, "BudgetExceeded")
      }).pipe(Effect.provide(ScriptedModel.layer([ScriptedModel.text("a"), ScriptedModel.text("b")]))))
  })

  describe("failures", () => {
    it.effect("sibling of a failing node goes on: it is interrupted, and has ended before the run fails", () =>
      Effect.gen(function*() {
        const log: Log = []
        const begun = yield* Deferred.make<void>()
        const graph = diamond(log, {
          b: Effect.andThen(Deferred.await(begun), Effect.fail(new Broken({ at: "b" }))),
          c: Effect.andThen(Deferred.succeed(begun, undefined), Effect.never).pipe(
            Effect.onInterrupt(() => Effect.andThen(Effect.yieldNow, Effect.sync(() => log.push("c interrupted"))))
          )
        })
        const exit = yield* Effect.exit(Agent.run(AgentGraph.toAgent(graph), { prompt: "go" }))
        assert.deepStrictEqual(showExit(exit), "Failed Fail Broken after \"\"")
        assert.deepStrictEqual(log, ["a", "c", "b", "c interrupted"])
      }))

    it.effect("a condition that throws fails the run", () =>
      Effect.gen(function*() {
        const graph = AgentGraph.make("throws").effect("a", step([], "a")).effect("b", {
          ...step([], "b"),
          after: ["a"],
          when: {
            a: () => {
              throw new Error("no idea")
            }
          }
        })
        const exit = yield* Effect.exit(Agent.run(AgentGraph.toAgent(graph), { prompt: "go" }))
        assert.strictEqual(showExit(exit), "Failed Die no idea after \"\"")
      }))

    it.effect("interrupted and abandoned, everything of it has ended", () =>
      Effect.gen(function*() {
        for (const how of ["interrupt", "take"] as const) {
          const log: Log = []
          const begun = yield* Deferred.make<void>()
          const hang = Effect.andThen(Deferred.succeed(begun, undefined), Effect.never).pipe(
            Effect.onInterrupt(() => Effect.sync(() => log.push("join interrupted")))
          )
          const agent = AgentGraph.toAgent(diamond([], { join: hang })).pipe(Agent.withProvider(logged("graph", log)))
          const parts = Agent.stream(agent, { prompt: "go" })
          if (how === "take") {
            yield* Stream.runDrain(Stream.takeUntil(parts, (part) => part.type === "tool-call" && part.name === "join"))
          } else {
            const fiber = yield* Effect.forkChild(Stream.runDrain(parts))
            yield* Deferred.await(begun)
            yield* Fiber.interrupt(fiber)
          }
          const end = how === "take" ? "Abandoned" : "Interrupted"
          const ended = log.filter((line) => line !== "join interrupted")
          assert.deepStrictEqual(ended, ["graph before", `graph end: ${end} after ""`])
        }
      }))

    it.effect.prop("cancelled anywhere it leaves nothing running, and what was saved does not run again", {
      at: Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 24 }))),
      how: Arbitrary.schema(Schema.Literals(["take", "interrupt"]))
    }, ({ at, how }) =>
      Effect.gen(function*() {
        const log: Log = []
        let running = 0
        const slow = Effect.sync(() => void running++).pipe(
          Effect.andThen(Effect.yieldNow),
          Effect.andThen(Effect.yieldNow),
          Effect.ensuring(Effect.sync(() => void running--))
        )
        const agent = remembering(AgentGraph.toAgent(diamond(log, { a: slow, b: slow, c: slow, join: slow })))
        const parts = Agent.stream(agent, { prompt: "go", session: "s" })
        if (how === "take") yield* Stream.runDrain(Stream.take(parts, at))
        else {
          let seen = 0
          const reached = yield* Deferred.make<void>()
          const counting = Stream.runForEach(parts, () =>
            ++seen >= at ? Effect.andThen(Deferred.succeed(reached, undefined), Effect.yieldNow) : Effect.yieldNow)
          const fiber = yield* Effect.forkChild(Effect.ensuring(counting, Deferred.succeed(reached, undefined)))
          if (at > 0) {
            yield* Deferred.await(reached)
          }
          yield* Fiber.interrupt(fiber)
        }
        assert.strictEqual(running, 0)
        const saved = (yield* history).content
        const kept = saved.flatMap((message) =>
          message.role === "tool"
            ? message.content.flatMap((part) =>
              part.type === "tool-result" && !part.isFailure ? part.name : []
            )
            : []
        )
        log.splice(0)
        const isOver = saved.length === 0 || saved[saved.length - 1].role === "assistant"
        if (isOver) return
        const { value } = yield* Agent.continue(agent, { session: "s" })
        assert.strictEqual(value, "join(b(a())+c())")
        assert.deepStrictEqual(log.toSorted(), ["a", "b", "c", "join"].filter((name) => !kept.includes(name)))
      }).pipe(Effect.provide(SessionStore.layerMemory)), { arbitrary: { runs: 25, seed: "graph" } })
  })

  describe("a run that goes on", () => {
    it.effect("resume re-executes finished nodes: only what has no value runs", () =>
      Effect.gen(function*() {
        const log: Log = []
        const graph = diamond(log)
          .effect("gate", { ...step(log, "gate"), ...gated, after: ["join"] })
          .effect("end", { ...step(log, "end"), after: ["gate"] })
        const agent = AgentGraph.toAgent(graph)
        const waiting = yield* Agent.run(agent, { prompt: "go" })
        assert.deepStrictEqual(waiting.approvals.map(({ params, tool }) => [tool, params]), [["gate", {
          what: "this"
        }]])
        const { value } = yield* Agent.resume(agent, { result: waiting }, approveAll(waiting))
        assert.strictEqual(value, "end(gate(join(b(a())+c())))")
        assert.deepStrictEqual(log.toSorted(), ["a", "b", "c", "end", "gate", "join"])
      }))

    it.effect("fan-in is lost on resume: it runs once, with the values of all branches, answered one by one", () =>
      Effect.gen(function*() {
        const log: Log = []
        const graph = AgentGraph.make("fan")
          .effect("left", { ...step(log, "left"), ...gated })
          .effect("right", { ...step(log, "right"), ...gated })
          .effect("middle", step(log, "middle"))
          .effect("after", { ...step(log, "after"), after: ["left"] })
          .effect("join", { ...step(log, "join"), after: ["after", "middle", "right"] })
        const agent = remembering(AgentGraph.toAgent(graph))
        const first = yield* Agent.run(agent, { prompt: "go", session: "s" })
        assert.strictEqual(first.approvals.length, 2)
        const second = yield* Agent.resume(agent, { session: "s" }, [Approval.approve(first.approvals[0])])
        assert.deepStrictEqual(second.approvals, [first.approvals[1]])
        const third = yield* Agent.resume(agent, { session: "s" }, [Approval.approve(first.approvals[1])])
        assert.strictEqual(third.value, "join(after(left())+middle()+right())")
        assert.deepStrictEqual(log, ["middle", "left", "after", "right", "join"])
      }).pipe(Effect.provide(SessionStore.layerMemory)))

    it.effect("approvals of an agent are answered from the top, with edited parameters too", () =>
      Effect.gen(function*() {
        const graph = AgentGraph.make("inputs")
          .effect("name", {
            success: Schema.String,
            approval: { parameters: Schema.Struct({ name: Schema.String }), params: () => ({ name: "?" }) },
            run: (_, { params }) => Effect.succeed(params.name)
          })
          .effect("greeting", { ...step([], "hello"), after: ["name"] })
        const agent = AgentGraph.toAgent(graph)
        const waiting = yield* Agent.run(agent, { prompt: "go" })
        const answer = Approval.approve(waiting.approvals[0], { params: { name: "Ada" } })
        assert.strictEqual((yield* Agent.resume(agent, { result: waiting }, [answer])).value, "hello(Ada)")
      }))

    const outer = (log: Log, then?: Effect.Effect<unknown, Broken>) => {
      const inner = AgentGraph.make("inner")
        .effect("one", step(log, "one"))
        .effect("two", { ...step(log, "two", then), after: ["one"] })
        .effect("gate", { ...step(log, "gate"), ...gated, after: ["two"] })
      return AgentGraph.make("outer")
        .effect("first", step(log, "first"))
        .add("inner", inner, { after: ["first"] })
        .effect("last", { ...step(log, "last"), after: ["inner"] })
    }

    it.effect("subgraph restarts: what has run of it does not run again, after an approval and after a failure", () =>
      Effect.gen(function*() {
        const log: Log = []
        const fails = yield* Ref.make(true)
        const then = Effect.flatMap(
          Ref.getAndSet(fails, false),
          (fails) => fails ? Effect.fail(new Broken({ at: "two" })) : Effect.void
        )
        const agent = remembering(AgentGraph.toAgent(outer(log, then)))
        assert.isTrue(Exit.isFailure(yield* Effect.exit(Agent.run(agent, { prompt: "go", session: "s" }))))
        const waiting = yield* Agent.continue(agent, { session: "s" })
        assert.strictEqual(waiting.stopReason, "approval-required")
        const { value } = yield* Agent.resume(agent, { session: "s" }, approveAll(waiting))
        assert.strictEqual(value, "last(gate(two(one())))")
        assert.deepStrictEqual(log, ["first", "one", "two", "two", "gate", "last"])
      }).pipe(Effect.provide(SessionStore.layerMemory)))

    it.effect("a graph that is the agent of a node goes on after an approval too", () =>
      Effect.gen(function*() {
        const log: Log = []
        const graph = AgentGraph.make("around")
          .agent("outer", AgentGraph.toAgent(outer(log)))
          .effect("end", { ...step(log, "end"), after: ["outer"] })
        const agent = AgentGraph.toAgent(graph)
        const waiting = yield* Agent.run(agent, { prompt: "go" })
        assert.deepStrictEqual(waiting.approvals.map(({ path, tool }) => [path, tool]), [[["outer"], "inner/gate"]])
        const { value } = yield* Agent.resume(agent, { result: waiting }, approveAll(waiting))
        assert.strictEqual(value, "end(last(gate(two(one()))))")
        assert.deepStrictEqual(log, ["first", "one", "two", "gate", "last", "end"])
      }))

    it.effect("loops go on in the pass that they were in", () =>
      Effect.gen(function*() {
        const log: Log = []
        const graph = AgentGraph.make("passes")
          .effect("draft", step(log, "draft"))
          .effect("review", {
            after: ["draft"],
            success: Schema.Literals(["again", "good"]),
            approval: {
              parameters: Schema.Struct({ verdict: Schema.Literals(["again", "good"]) }),
              params: () => ({ verdict: "good" as const })
            },
            run: (_, { params }) => Effect.succeed(params.verdict)
          })
          .loop("review", "draft", { times: 5, when: (verdict) => verdict === "again" })
        const agent = remembering(AgentGraph.toAgent(graph))
        let result: AgentRun.Result = yield* Agent.run(agent, { prompt: "go", session: "s" })
        for (const verdict of ["again", "again", "good"]) {
          result = yield* Agent.resume(agent, { session: "s" }, [
            Approval.approve(result.approvals[0], { params: { verdict } })
          ])
        }
        assert.strictEqual(result.value, "good")
        assert.deepStrictEqual(log, ["draft", "draft", "draft"])
        const { nodes } = AgentGraph.ofHistory(graph, yield* history)
        assert.deepStrictEqual(nodes, { draft: { status: "done", runs: 3 }, review: { status: "done", runs: 3 } })
      }).pipe(Effect.provide(SessionStore.layerMemory)))
  })

  describe("is refused", () => {
    const refusal = (make: () => unknown): unknown => {
      try {
        return make()
      } catch (error) {
        return error instanceof AgentGraph.InvalidGraph ? [error.problem, error.nodes, error.message] : error
      }
    }
    const withoutTypes = (graph: unknown) =>
      graph as {
        readonly [Method in "agent" | "effect" | "add"]: (name: string, ...options: ReadonlyArray<unknown>) => unknown
      }
    const node = (name: string): AgentGraph.Node<never, never> => ({
      kind: "effect",
      name,
      success: Schema.String,
      run: () => Effect.succeed(name)
    })
    const graphOf = (names: ReadonlyArray<string>, edges: ReadonlyArray<readonly [number, number, AgentGraph.Edge?]>) =>
      Graph.directed<AgentGraph.Node<never, never>, AgentGraph.Edge>((mutable) => {
        for (const name of names) Graph.addNode(mutable, node(name))
        for (const [from, to, edge = {}] of edges) Graph.addEdge(mutable, from, to, edge)
      })
    const is = (said: string) => `The graph \`g\` is not valid: ${said}`
    const made = (names: ReadonlyArray<string>, edges: Parameters<typeof graphOf>[1], starts?: ReadonlyArray<string>) =>
      refusal(() => AgentGraph.fromGraph("g", graphOf(names, edges), { starts }))
    const back: AgentGraph.Edge = { loop: { times: 1, when: () => true } }

    it("with an unknown node", () => {
      const untyped = withoutTypes(AgentGraph.make("g").effect("a", step([], "a")))
      assert.deepStrictEqual(refusal(() => untyped.effect("b", { ...step([], "b"), after: ["x"] })), [
        "unknown-node",
        ["x"],
        is("it has no node `x`")
      ])
      assert.deepStrictEqual(
        refusal(() => untyped.effect("b", { ...step([], "b"), after: ["a"], when: { x: () => true } })),
        ["unknown-node", ["x"], is("a condition names `x`, and no edge comes from it")]
      )
      assert.deepStrictEqual(made(["a"], [], ["x"]), [
        "unknown-node",
        ["x"],
        is("it starts with `x`, which is none of its nodes")
      ])
    })

    it("with two nodes of one name", () => {
      const untyped = withoutTypes(AgentGraph.make("g").effect("a", step([], "a")))
      const expected = ["duplicate-name", ["a"], is("two of its nodes have the name `a`")]
      assert.deepStrictEqual(refusal(() => untyped.agent("a", Agent.make("a"))), expected)
      assert.deepStrictEqual(refusal(() => untyped.add("a", AgentGraph.make("i").effect("x", step([], "x")))), expected)
      assert.deepStrictEqual(made(["a", "a"], []), expected)
    })

    it("with a cycle that no loop bounds", () => {
      assert.deepStrictEqual(made(["a", "b", "c"], [[0, 1], [1, 2], [2, 1]]), [
        "unbounded-cycle",
        ["b", "c"],
        is("no loop bounds the cycle of `b`, `c`")
      ])
      assert.instanceOf(AgentGraph.fromGraph("g", graphOf(["a", "b", "c"], [[0, 1], [1, 2], [2, 1, back]])), Object)
    })

    it("without a start", () => {
      const expected = ["no-start", [], is("no node can run first")]
      assert.deepStrictEqual(refusal(() => AgentGraph.toAgent(AgentGraph.make("g"))), expected)
      assert.deepStrictEqual(made(["a"], [], []), expected)
      assert.deepStrictEqual(made(["a", "b"], [[0, 1]], ["b"]), [
        "no-start",
        ["b"],
        is("it starts with `b`, which waits for `a`")
      ])
    })

    it("with a node that no path leads to", () => {
      assert.deepStrictEqual(made(["a", "b", "c", "d"], [[0, 1], [2, 3]], ["a"]), [
        "unreachable-node",
        ["c", "d"],
        is("no path leads to `c`, `d` from its start")
      ])
    })

    it("with a loop that is none", () => {
      const problem = (made: unknown) => (made as ReadonlyArray<unknown>)[2]
      assert.strictEqual(
        problem(made(["a", "b"], [[0, 1], [0, 1, back]])),
        is("its loop from `a` to `b` closes no cycle: no path leads from `b` to `a`")
      )
      assert.strictEqual(
        problem(made(["a", "b"], [[0, 1], [1, 0, { loop: { times: 0, when: () => true } }]])),
        is("its loop from `b` to `a` has `times` of 0, and no positive integer")
      )
      assert.strictEqual(
        problem(made(["a", "b", "c"], [[0, 1], [1, 2], [1, 0, back], [2, 1, back]])),
        is("its loops from `b` to `a` and from `c` to `b` overlap")
      )
    })
  })

  describe("the state of a run", () => {
    const graph = AgentGraph.make("shown")
      .effect("a", step([], "a"))
      .effect("gate", { ...step([], "gate"), ...gated, after: ["a"] })
      .effect("never", { ...step([], "never"), after: ["a"], when: { a: () => false } })
    const statuses = (state: AgentGraph.State<"a" | "gate" | "never">) =>
      [state.nodes.a, state.nodes.gate, state.nodes.never].map(({ status }) => status)

    it.effect("is folded from its parts, live and of a run that goes on, and the same from its transcript", () =>
      Effect.gen(function*() {
        const agent = remembering(AgentGraph.toAgent(graph))
        const states = yield* Agent.stream(agent, { prompt: "go", session: "s" }).pipe(
          Stream.scan(() => AgentGraph.initial(graph), AgentGraph.reduce),
          Stream.map((state) => statuses(state).join()),
          Stream.changes,
          Stream.runCollect
        )
        assert.deepStrictEqual(states, [
          "pending,pending,pending",
          "running,pending,pending",
          "done,pending,pending",
          "done,running,pending",
          "done,waiting,pending"
        ])
        const stored = AgentGraph.ofHistory(graph, yield* history)
        assert.deepStrictEqual(statuses(stored), ["done", "waiting", "pending"])
        const asked = (yield* history).content.flatMap((message) =>
          message.role === "assistant"
            ? message.content.flatMap((part) => part.type === "tool-approval-request" ? part.approvalId : [])
            : []
        )
        const approval = {
          approvalId: asked[0],
          toolCallId: Object.keys(stored.calls)[1],
          tool: "gate",
          params: { what: "this" },
          path: []
        }
        const rest = yield* Agent.resumeStream(agent, { session: "s" }, [Approval.deny(approval, "no")]).pipe(
          Stream.scan(() => stored, AgentGraph.reduce),
          Stream.runCollect,
          Effect.flip
        )
        assert.strictEqual(rest._tag, "NotExecuted")
      }).pipe(Effect.provide(SessionStore.layerMemory)))

    it.effect("says what has failed and what was interrupted", () =>
      Effect.gen(function*() {
        const failing = diamond([], {
          b: Effect.fail(new Broken({ at: "b" })),
          c: Effect.never
        })
        const agent = AgentGraph.toAgent(failing).pipe(Agent.withProvider(SessionHistory.make({ keep: "always" })))
        let state = AgentGraph.initial(failing)
        const { parts } = yield* collectAll(Agent.stream(agent, { prompt: "go", session: "s" }))
        for (const part of parts) state = AgentGraph.reduce(state, part)
        const of = (state: AgentGraph.State<"a" | "b" | "c" | "join">) =>
          [state.nodes.a, state.nodes.b, state.nodes.c, state.nodes.join].map(({ status }) => status)
        assert.deepStrictEqual(of(state), ["done", "failed", "interrupted", "pending"])
        assert.deepStrictEqual(of(AgentGraph.ofHistory(failing, yield* history)), of(state))
        assert.include(types(parts), "tool-result")
      }).pipe(Effect.provide(SessionStore.layerMemory)))
  })

  describe("toMermaid", () => {
    const inner = AgentGraph.make("inner").effect("x", step([], "x")).agent("y\"]; end", Agent.make("y"), {
      after: ["x"]
    })
    const graph = AgentGraph.make("drawn")
      .effect("a", step([], "a"))
      .add("inner", inner, { after: ["a"], when: { a: () => true } })
      .agent("check", Agent.make("check"), { after: ["inner"] })
      .loop("check", "inner", { times: 2, when: () => false })

    it("draws nodes, conditions, loops and inner graphs", () => {
      assert.deepStrictEqual(AgentGraph.toMermaid(graph, { direction: "LR" }).split("\n"), [
        "flowchart LR",
        "  0[\"a\"]",
        "  1[\"x\"]",
        "  2(\"y#quot;#93;; end\")",
        "  3[[\"inner\"]]",
        "  4(\"check\")",
        "  0 -->|\"if\"| 1",
        "  1 --> 2",
        "  2 --> 3",
        "  3 --> 4",
        "  4 -->|\"again, 2× at most\"| 3",
        "  subgraph group3[\"inner\"]",
        "    1",
        "    2",
        "    3",
        "  end"
      ])
    })

    it.effect("is a flowchart whatever the names are, and every node of it has one state", () =>
      Effect.gen(function*() {
        const agent = AgentGraph.toAgent(graph)
        let state = AgentGraph.initial(graph)
        yield* Stream.runForEach(Agent.stream(agent, { prompt: "go" }), (part) =>
          Effect.sync(() => {
            state = AgentGraph.reduce(state, part)
            assertFlowchart(AgentGraph.toMermaid(graph, { state }), 5)
          }))
        const drawn = AgentGraph.toMermaid(graph, { state }).split("\n")
        assert.deepStrictEqual(drawn.filter((line) => line.startsWith("  class ")), ["  class 0,1,2,3,4 done"])
        assert.isTrue(drawn.includes("  classDef done fill:#d1e7dd,stroke:#198754"))
      }).pipe(Effect.provide(ScriptedModel.layer([ScriptedModel.text("y"), ScriptedModel.text("fine")]))))
  })
})

const answer = (tools: ReadonlyArray<string>): ScriptedModel.Piece =>
  tools.includes("final_answer")
    ? ScriptedModel.toolCalls({ name: "final_answer", params: { height: 2469 } })
    : ScriptedModel.text("It is high.")

/** The lines of the flowcharts of Mermaid that are drawn here, as its grammar has them. */
const assertFlowchart = (diagram: string, count: number): void => {
  const [head, ...lines] = diagram.split("\n").map((line) => line.trim())
  assert.match(head, /^flowchart (TD|LR)$/)
  const label = String.raw`"[^"\[\](){}|<>]*"`
  const nodes = new Set<string>()
  const defined = new Set<string>()
  const classed: Array<string> = []
  let depth = 0
  for (const line of lines) {
    const node = new RegExp(String.raw`^(\d+)(\[${label}\]|\(${label}\)|\[\[${label}\]\])$`).exec(line)
    const edge = new RegExp(String.raw`^(\d+) -->(\|${label}\|)? (\d+)$`).exec(line)
    const classes = /^class (\d+(?:,\d+)*) (\w+)$/.exec(line)
    const definition = /^classDef (\w+) (\w[\w-]*:#?\w+)(,\w[\w-]*:#?\w+)*$/.exec(line)
    if (node !== null) nodes.add(node[1])
    else if (edge !== null) assert(nodes.has(edge[1]) && nodes.has(edge[3]), line)
    else if (definition !== null) defined.add(definition[1])
    else if (classes !== null) {
      assert(defined.has(classes[2]), line)
      classed.push(...classes[1].split(","))
    } else if (new RegExp(String.raw`^subgraph \w+\[${label}\]$`).test(line)) depth++
    else if (line === "end") depth--
    else assert(depth > 0 && nodes.has(line), line)
  }
  assert.strictEqual(depth, 0)
  assert.strictEqual(nodes.size, count)
  assert.deepStrictEqual(classed.toSorted(), [...nodes].toSorted())
}
