/**
 * The run contract at the other end of a wire: each case runs here, and then as a remote agent over HTTP and over effect's
 * Rpc (HTTP, WebSocket, in the process). Its parts, its result and its providers are the same.
 */
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Deferred, Effect, Exit, Fiber, Layer, Logger, Option, Schema, Stream } from "effect"
import { AiError, LanguageModel, Tool, Toolkit } from "effect/ai"
import {
  Agent,
  AgentRun,
  AgentTool,
  Approval,
  Budget,
  ContextProvider,
  SessionHistory,
  SessionStore,
  StopCondition
} from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { type Wire, Wires, wires } from "./fixtures/remoteWires.ts"
import { Boom, type Log, logged, showExit, types } from "./utils.ts"

const { fail, finish, hang, step, text, usage } = ScriptedModel

const rateLimit = fail(new AiError.RateLimitError({}))

const parameters = Schema.Struct({ n: Schema.Int })
const tool = <const Name extends string>(name: Name, options?: { readonly failureMode: "return" }) =>
  Tool.make(name, { parameters, success: Schema.String, failure: Boom, ...options })
const toolkit = Toolkit.make(
  tool("ok"),
  tool("counts"),
  tool("returns", { failureMode: "return" }),
  tool("fails"),
  tool("dies"),
  tool("hangs"),
  Tool.make("asks", { parameters, success: Schema.String, needsApproval: true })
)

const calls = (...names: ReadonlyArray<string>) =>
  ScriptedModel.toolCalls(
    ...names.map((name, n) => ({
      id: `${name}-${n}`,
      name: name === "bad" ? "ok" : name,
      params: name === "bad" ? { n: "x" } : { n }
    }))
  )

type Parts = Stream.Stream<AgentRun.Part, unknown, Agent.Services<ReturnType<typeof agentOf>["agent"]>>

interface Case {
  readonly name: string
  readonly script: ReadonlyArray<ScriptedModel.Step>
  readonly providers?: (log: Log) => ReadonlyArray<ContextProvider.ContextProvider<unknown>>
  readonly stopWhen?: ReadonlyArray<StopCondition.StopCondition>
  readonly input?: Partial<Agent.Input>
  /** Reads the parts, and leaves. Default: reads them to the end. */
  readonly leave?: (parts: Parts) => Parts
  /** Interrupts the reader after this many parts. */
  readonly interruptAfter?: number
  /** How the run ends for its reader, here and remote, if its end is seen. */
  readonly ends?: readonly [here: string, remote: string]
}

const two = (log: Log) => [logged("p1", log), logged("p2", log)]

/** An agent with everything that is begun and ended in its runs. */
const agentOf = ({ name: _, providers = two, script, stopWhen }: Case) => {
  const log: Log = []
  const noted = <E>(name: string, effect: Effect.Effect<string, E>) =>
    Effect.suspend(() => {
      log.push(`${name} runs`)
      return effect
    }).pipe(Effect.onInterrupt(() => Effect.sync(() => log.push(`${name} interrupted`))))
  const handlers = toolkit.toLayer({
    ok: () => noted("ok", Effect.succeed("fine")),
    counts: (_, { preliminary }) => noted("counts", Effect.as(Effect.orDie(preliminary("half")), "whole")),
    returns: () => noted("returns", new Boom({ of: "returned" })),
    fails: () => noted("fails", new Boom({ of: "tool" })),
    dies: () => noted("dies", Effect.andThen(Effect.yieldNow, Effect.die("bug"))),
    hangs: (_, { preliminary }) => noted("hangs", Effect.andThen(Effect.orDie(preliminary("on")), Effect.never)),
    asks: ({ n }) => noted(`asks ${n}`, Effect.succeed("asked"))
  })
  const agent = Agent.make("agent", {
    toolkit,
    providers: [SessionHistory.provider, ...providers(log) as ReadonlyArray<ContextProvider.ContextProvider<Boom>>],
    stopWhen
  })
  return { agent, handlers, log, script: [...script, text("the end")] }
}

let runs = 0

/** Runs a case, and waits until everything has ended: here, or at the other end of a wire. */
const play = Effect.fnUntraced(function*(given: Case, wire: Wire | undefined) {
  const { hub, remote, store } = yield* Wires
  const { agent, handlers, log, script } = agentOf(given)
  const scripted = yield* ScriptedModel.make(script)
  const services = yield* Layer.build(handlers)
  return yield* Effect.gen(function*() {
    const there = wire === undefined ? undefined : yield* remote(wire, agent)
    const runId = `run_${String(++runs).padStart(8, "0")}`
    const input: Agent.Input = { prompt: "hi", runId, ...given.input }
    const stream: Parts = there === undefined ? Agent.stream(agent, input) : Agent.stream(there, input)
    const parts: Array<AgentRun.Part> = []
    const reached = yield* Deferred.make<void>()
    const left = given.leave === undefined ? stream : given.leave(stream)
    const fiber = yield* Stream.runForEach(left, (part) =>
      Effect.suspend(() => {
        parts.push(part)
        return parts.length === given.interruptAfter
          ? Effect.andThen(Deferred.succeed(reached, undefined), Effect.never)
          : Effect.void
      })).pipe(Effect.forkChild({ startImmediately: true }))
    if (given.interruptAfter !== undefined) {
      yield* Deferred.await(reached)
      yield* Fiber.interrupt(fiber)
    }
    const exit = yield* Fiber.await(fiber)
    const live = yield* hub.get(runId)
    if (live !== undefined) yield* live.exit
    const end = parts.at(-1)
    return {
      parts,
      end: Exit.isFailure(exit)
        ? showExit(exit)
        : end?.type === "run-end"
        ? showExit(Exit.succeed(end.result))
        : "left",
      log,
      opened: yield* scripted.script.opened,
      closed: (yield* scripted.script.closed).length
    }
  }).pipe(
    Effect.provideContext(services as never),
    Effect.provide(Logger.layer([])),
    Effect.provideService(LanguageModel.LanguageModel, scripted.languageModel),
    Effect.provideService(SessionStore.SessionStore, store)
  )
}, Effect.scoped)

/** A consumer that goes away is an interrupt at the other end. */
const interrupted = (log: Log): Log => log.map((line) => line.replace("end: Abandoned", "end: Interrupted"))

/** The ids of a run and of its approvals are its own. */
const plain = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value).replace(/run_\d{8}/g, "run").replace(/"approvalId":"[^"]*"/g, "\"approvalId\":\"a\"")
  )

const failedHere = "Failed Fail AiError.RateLimitError after"
const failedThere = "Failed Fail RunFailed after"

const cases: ReadonlyArray<Case> = [
  {
    name: "a run that completes: afterRun in reverse, finalizers with the result",
    script: [text(["a", "b"])],
    ends: ["Completed \"ab\"", "Completed \"ab\""]
  },
  {
    name: "a model that fails after three deltas",
    script: [step(text(["a", "b", "c"]), rateLimit)],
    ends: [`${failedHere} "abc"`, `${failedThere} "abc"`]
  },
  {
    name: "a model that fails at once",
    script: [rateLimit],
    ends: [`${failedHere} ""`, `${failedThere} ""`]
  },
  {
    name: "a defect of the model",
    script: [step(text("a"), ScriptedModel.die("bug"))],
    ends: ["Failed Die bug after \"a\"", `${failedThere} "a"`]
  },
  {
    name: "a model call without a finish part",
    script: [step(text("a"), ScriptedModel.end)],
    ends: ["Failed Fail AiError.InternalProviderError after \"a\"", `${failedThere} "a"`]
  },
  {
    name: "a model that interrupts itself",
    script: [step(text("a"), { _tag: "Cut", effect: Effect.interrupt })],
    ends: ["Interrupted after \"a\"", "Interrupted after \"a\""]
  },
  {
    name: "tools that give results, preliminary ones and failures that the model reads",
    script: [calls("ok", "counts", "returns", "bad", "ghost")],
    ends: ["Completed \"the end\"", "Completed \"the end\""]
  },
  {
    name: "a tool that fails the run",
    script: [calls("ok", "fails")],
    ends: ["Failed Fail Boom(tool) after \"\"", `${failedThere} ""`]
  },
  {
    name: "a defect of a tool interrupts its sibling first",
    script: [calls("hangs", "dies")],
    ends: ["Failed Die bug after \"\"", `${failedThere} ""`]
  },
  {
    name: "a finish reason that runs no tool",
    script: [[calls("ok"), finish("length")]],
    ends: ["Completed \"\"", "Completed \"\""]
  },
  {
    name: "a limit of steps, with the forced answer",
    script: [calls("ok"), calls("ok")],
    stopWhen: [StopCondition.stepCount(2)],
    ends: ["Completed \"the end\"", "Completed \"the end\""]
  },
  {
    name: "a second beforeRun that fails",
    script: [],
    providers: (log) => [logged("p1", log), logged("p2", log, { beforeRun: new Boom({ of: "before" }) })],
    ends: ["Failed Fail Boom(before) after \"\"", `${failedThere} ""`]
  },
  {
    name: "a second beforeRun that dies",
    script: [],
    providers: (log) => [logged("p1", log), logged("p2", log, { beforeRun: Effect.die("bug") })],
    ends: ["Failed Die bug after \"\"", `${failedThere} ""`]
  },
  {
    name: "an afterRun that fails, beside one that does not",
    script: [text("a")],
    providers: (log) => [logged("p1", log), logged("p2", log, { afterRun: Effect.fail("after") })],
    ends: ["Failed Fail AgentError.AfterRunFailed(p2) after \"a\"", `${failedThere} "a"`]
  },
  {
    name: "a best-effort afterRun that fails",
    script: [text("a")],
    providers: (log) => [
      logged("p1", log),
      ContextProvider.bestEffort(logged("p2", log, { afterRun: Effect.fail("after") }))
    ],
    ends: ["Completed \"a\"", "Completed \"a\""]
  },
  {
    name: "finalizers that fail and die change nothing",
    script: [text("a")],
    providers: (log) => [
      logged("p1", log),
      logged("p2", log, { finalizer: Effect.die("finalizer") }),
      logged("p3", log, { finalizer: new Boom({ of: "finalizer" }) })
    ],
    ends: ["Completed \"a\"", "Completed \"a\""]
  },
  {
    name: "a reader that takes all parts but run-end",
    script: [[text("a"), hang]],
    leave: Stream.take(4)
  },
  {
    name: "a reader that leaves at run-end",
    script: [text("a")],
    leave: Stream.takeUntil((part) => part.type === "run-end")
  },
  {
    name: "a reader that fails",
    script: [[text("a"), hang]],
    leave: Stream.tap((part) => part.type === "text-delta" ? Effect.fail("reader") : Effect.void)
  },
  {
    name: "a reader that fails while it handles run-end",
    script: [text("a")],
    leave: Stream.tap((part) => part.type === "run-end" ? Effect.fail("reader") : Effect.void)
  },
  {
    name: "a reader that dies",
    script: [[text("a"), hang]],
    leave: Stream.tap((part) => part.type === "text-delta" ? Effect.die("reader") : Effect.void)
  },
  {
    name: "a reader that is interrupted while the model answers",
    script: [[text("a"), hang]],
    interruptAfter: 4
  },
  {
    name: "a reader that leaves while two tools run: both are interrupted",
    script: [calls("hangs", "hangs")],
    leave: Stream.takeUntil((part) => part.type === "tool-result" && part.id === "hangs-1")
  }
]

/** A remote agent of a case, whose model has its script. */
const remoteOf = Effect.fnUntraced(function*(wire: Wire, given: Case) {
  const { remote, store } = yield* Wires
  const { agent, handlers, log, script } = agentOf(given)
  const scripted = yield* ScriptedModel.make(script)
  const there = yield* remote(wire, agent).pipe(
    Effect.provide(yield* Layer.build(handlers)),
    Effect.provideService(LanguageModel.LanguageModel, scripted.languageModel),
    Effect.provideService(SessionStore.SessionStore, store)
  )
  return { agent: there, log, requests: scripted.script.requests }
})

const Script = Schema.Struct({
  steps: Schema.Array(Schema.Struct({
    deltas: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 })),
    calls: Schema.Array(Schema.Literals(["ok", "ok", "counts", "returns", "bad", "ghost", "fails", "dies", "asks"]))
      .check(Schema.isMaxLength(3)),
    tokens: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 50 })),
    end: Schema.Literals(["finish", "finish", "finish", "fail", "length", "cut", "interrupt"])
  })).check(Schema.isMaxLength(3)),
  providers: Schema.Array(Schema.Literals(["fine", "fine", "before", "after", "best-effort", "finalizer"]))
    .check(Schema.isMaxLength(2)),
  limit: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 4 })),
  wire: Schema.Literals(wires)
})

const toCase = ({ limit, providers, steps }: typeof Script.Type): Case => ({
  name: "any",
  script: steps.map(({ calls: names, deltas, end, tokens }) => [
    text(Array.from({ length: deltas }, (_, index) => `d${index}`)),
    ...names.length === 0 ? [] : [calls(...names)],
    end === "fail"
      ? rateLimit
      : end === "cut"
      ? ScriptedModel.end
      : end === "interrupt"
      ? { _tag: "Cut", effect: Effect.interrupt }
      : finish(end === "length" ? "length" : names.length > 0 ? "tool-calls" : "stop", usage(tokens, 1))
  ]),
  stopWhen: [StopCondition.stepCount(limit)],
  providers: (log) =>
    providers.map((kind, index) => {
      const provider = logged(`p${index}`, log, {
        ...kind === "before" && { beforeRun: new Boom({ of: "before" }) },
        ...(kind === "after" || kind === "best-effort") && { afterRun: Effect.fail("after") },
        ...kind === "finalizer" && { finalizer: Effect.die("finalizer") }
      })
      return kind === "best-effort" ? ContextProvider.bestEffort(provider) : provider
    })
})

/** A failure loses its name on the way, and nothing else. */
const unnamed = (end: string) => end.replace(/^Failed .* after/, "Failed after")

describe("the contract of a remote run", () => {
  it.layer(Wires.layer, { excludeTestServices: true })((it) => {
    for (const given of cases) {
      it.effect(given.name, () =>
        Effect.gen(function*() {
          const here = yield* play(given, undefined)
          if (given.ends !== undefined) assert.strictEqual(here.end, given.ends[0])
          assert.strictEqual(here.closed, here.opened)
          for (const wire of wires) {
            const remote = yield* play(given, wire)
            assert.deepStrictEqual(types(remote.parts), types(here.parts), wire)
            assert.deepStrictEqual(plain(remote.parts), plain(here.parts), wire)
            if (given.ends !== undefined) assert.strictEqual(remote.end, given.ends[1], wire)
            assert.deepStrictEqual(remote.log, interrupted(here.log), wire)
            assert.deepStrictEqual([remote.opened, remote.closed], [here.opened, here.closed], wire)
          }
        }))
    }

    it.effect.prop(
      "any run has the parts, the result, the end and the providers that it has here",
      { script: Arbitrary.schema(Script) },
      ({ script }) =>
        Effect.gen(function*() {
          const given = toCase(script)
          const here = yield* play(given, undefined)
          const remote = yield* play(given, script.wire)
          assert.deepStrictEqual(plain(remote.parts), plain(here.parts))
          assert.strictEqual(unnamed(remote.end), unnamed(here.end))
          assert.deepStrictEqual(remote.log, here.log)
          const expected = here.parts.at(-1)
          if (expected?.type !== "run-end") return
          const result = yield* AgentRun.fold(Stream.fromIterable(remote.parts))
          assert.deepStrictEqual(result.totalUsage, expected.result.totalUsage)
          assert.deepStrictEqual(plain(result.transcript), plain(expected.result.transcript))
        }),
      { timeout: 60_000, arbitrary: { runs: 60, seed: "remote" } }
    )

    for (const wire of wires) {
      it.effect(`${wire}: nothing is sent until the stream is read, and each reading is a run of its own`, () =>
        Effect.gen(function*() {
          const { hub } = yield* Wires
          const { agent, log, requests } = yield* remoteOf(wire, { name: "", script: [text("a"), text("b")] })
          const stream = Agent.stream(agent, { prompt: "hi" })
          assert.deepStrictEqual([yield* hub.running, log], [[], []])
          const first = yield* AgentRun.fold(stream)
          const second = yield* AgentRun.fold(stream)
          assert.deepStrictEqual([first.text, second.text, (yield* requests).length], ["a", "b", 2])
          assert.notStrictEqual(first.runId, second.runId)
        }))

      it.effect(`${wire}: a ReadableStream that is cancelled interrupts the run`, () =>
        Effect.gen(function*() {
          const { hub } = yield* Wires
          const { agent, log } = yield* remoteOf(wire, { name: "", script: [[text("a"), hang]] })
          const stream = yield* Stream.toReadableStreamEffect(Agent.stream(agent, { prompt: "hi" }))
          const reader = stream.getReader()
          while ((yield* Effect.promise(() => reader.read())).value?.type !== "text-delta");
          const [live] = yield* hub.running
          yield* Effect.promise(() => reader.cancel())
          yield* live.exit
          assert.deepStrictEqual(log.slice(2), ["p2 end: Interrupted after \"a\"", "p1 end: Interrupted after \"a\""])
        }))

      it.effect(`${wire}: a budget counts each step once, also of a run that fails or is left`, () =>
        Effect.gen(function*() {
          const used = finish("tool-calls", usage(30, 12))
          const { agent } = yield* remoteOf(wire, {
            name: "",
            script: [
              [calls("ok"), used],
              [text("a"), finish("stop", usage(5, 3))],
              [calls("ok"), used],
              rateLimit,
              [calls("ok"), used],
              [text("b"), hang]
            ]
          })
          const spent = (read: (parts: Parts) => Parts) =>
            Effect.gen(function*() {
              const budget = Budget.make({ tokens: 1_000_000 })
              const parts = read(Agent.stream(agent, { prompt: "hi" }) as Parts) as Stream.Stream<AgentRun.Part>
              return yield* Effect.exit(Stream.runDrain(parts)).pipe(
                Effect.andThen(Budget.spent(budget)),
                Effect.map((spent) => Option.getOrUndefined(spent)?.tokens),
                Budget.provide(budget)
              )
            })
          assert.strictEqual(yield* spent((parts) => parts), 50)
          assert.strictEqual(yield* spent((parts) => parts), 42)
          assert.strictEqual(yield* spent(Stream.takeUntil((part) => part.type === "text-delta")), 42)
        }))

      it.effect(`${wire}: as a tool its usage is in the total of its caller once, beside its parts`, () =>
        Effect.gen(function*() {
          const { agent } = yield* remoteOf(wire, {
            name: "",
            script: [[calls("ok"), finish("tool-calls", usage(30, 12))], [text("found"), finish("stop", usage(5, 3))]]
          })
          const lead = Agent.make("lead", { toolkit: AgentTool.toolkit(AgentTool.make(agent)) })
          const parts = yield* Stream.runCollect(Agent.stream(lead, { prompt: "go" })).pipe(Effect.provide(
            ScriptedModel.layer([
              [
                ScriptedModel.toolCalls({ id: "c", name: "agent", params: { prompt: "look" } }),
                finish("tool-calls", usage(7, 1))
              ],
              [text("done"), finish("stop", usage(8, 1))]
            ])
          ))
          const { totalUsage, usage: own } = yield* AgentRun.fold(Stream.fromIterable(parts))
          assert.deepStrictEqual([own.inputTokens.total, totalUsage.inputTokens.total], [15, 50])
          assert.deepStrictEqual([own.outputTokens.total, totalUsage.outputTokens.total], [2, 17])
        }))

      it.effect(`${wire}: approvals are answered once: approved, edited, denied, forged`, () =>
        Effect.gen(function*() {
          const asks = calls("asks")
          const { agent, log } = yield* remoteOf(wire, {
            name: "",
            providers: () => [],
            script: [asks, text("done"), asks, text("edited"), asks, text("denied")]
          })
          const go = Effect.fnUntraced(function*(
            session: string,
            answer: (approval: Approval.Approval) => Approval.Answer
          ) {
            const id = `${wire} ${session}`
            const asked = yield* Agent.run(agent, { prompt: "go", session: id })
            assert.strictEqual(asked.stopReason, "approval-required")
            const forged = asked.approvals.map((approval) =>
              Approval.approve({ ...approval, approvalId: "other", params: { n: 9 } })
            )
            const refused = yield* Effect.flip(Agent.resume(agent, { session: id }, forged))
            const answers = asked.approvals.map(answer)
            const { text } = yield* Agent.resume(agent, { session: id }, answers)
            const again = yield* Effect.flip(Agent.resume(agent, { session: id }, answers))
            return [text, ...[refused, again].map((error) => error._tag === "RunFailed" && error.code)]
          })
          const unknown = ["approval-unknown", "approval-unknown"]
          // what a client says about a call beside its parameters is not looked at
          assert.deepStrictEqual(
            yield* go("one", (_) => Approval.approve({ ..._, params: { n: 7 }, tool: "dies" })),
            ["done", ...unknown]
          )
          assert.deepStrictEqual(
            yield* go("two", (_) => Approval.approve(_, { params: { n: 5 } })),
            ["edited", ...unknown]
          )
          assert.deepStrictEqual(yield* go("three", (_) => Approval.deny(_, "no")), ["denied", ...unknown])
          assert.deepStrictEqual(log, ["asks 0 runs", "asks 5 runs"])
        }))
    }
  })
})
