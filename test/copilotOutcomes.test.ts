import { CopilotClient, RuntimeConnection } from "@github/copilot-sdk"
import { assert, describe, it as test, layer } from "@effect/vitest"
import { Cause, Context, Deferred, Effect, Exit, Fiber, Queue, type Scope, Stream } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { TestClock } from "effect/testing"
import { readdirSync, readFileSync } from "node:fs"
import { Agent, AgentRun } from "../src/index.ts"
import * as CopilotAgent from "../src/copilot/CopilotAgent.ts"
import * as CopilotError from "../src/copilot/CopilotError.ts"
import * as CopilotRuntime from "../src/copilot/CopilotRuntime.ts"
import { heartbeat, watch } from "../src/copilot/internal/processExit.ts"
import * as Copilot from "./fixtures/copilot.ts"
import { exporters, lines, runs, spanNamed } from "./fixtures/telemetry.ts"
import { Boom, collectAll, type Log, logged, showCause, showExit, types } from "./utils.ts"

const agentAt = (server: Copilot.ModelServer, log: Log, options?: { readonly retries?: number }) =>
  CopilotAgent.make("copilot", {
    description: "Works elsewhere",
    model: "test-model",
    provider: Copilot.providerAt(server.url),
    providers: [logged("p1", log), logged("p2", log)],
    ...options
  })

const begun = ["p1 before", "p2 before"]

/** The real runtime, with what is asked of it written down. */
const writingDown = (asked: Log) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.provideServiceEffect(
    effect,
    CopilotRuntime.CopilotRuntime,
    Effect.map(CopilotRuntime.CopilotRuntime, (runtime) => ({
      ...runtime,
      open: (request: CopilotRuntime.SessionRequest) =>
        Effect.map(runtime.open(request), (opened): CopilotRuntime.OpenSession => ({
          ...opened,
          call: (operation, f) => {
            asked.push(operation)
            return opened.call(operation, f)
          }
        }))
    }))
  )

const untilText = <A extends { readonly type: string }, E, R>(stream: Stream.Stream<A, E, R>) =>
  Stream.takeUntil(stream, ({ type }) => type === "text-delta")

layer(Copilot.runtime)("the outcome of a Copilot agent", (it) => {
  describe("when it completes", () => {
    it.effect("is Completed, after every afterRun", () =>
      Effect.gen(function*() {
        const log: Log = []
        const asked: Log = []
        const server = yield* Copilot.modelServer(Copilot.text("yes"))
        const exit = yield* Effect.exit(
          writingDown(asked)(Agent.run(agentAt(server, log), { prompt: "hi", session: "completes" }))
        )
        assert.strictEqual(showExit(exit), "Completed \"yes\"")
        assert.deepStrictEqual(log, [
          ...begun,
          "p2 after \"yes\"",
          "p1 after \"yes\"",
          "p2 end: Completed \"yes\"",
          "p1 end: Completed \"yes\""
        ])
        assert.deepStrictEqual(asked, ["send"])
      }))

    it.effect("nothing runs before the first pull, and no session is opened before the second", () =>
      Effect.gen(function*() {
        const log: Log = []
        const asked: Log = []
        const server = yield* Copilot.modelServer()
        const stream = Agent.stream(agentAt(server, log), { prompt: "hi" })
        assert.deepStrictEqual(log, [])
        yield* writingDown(asked)(Stream.runDrain(Stream.take(stream, 1)))
        assert.deepStrictEqual(log, [...begun, "p2 end: Abandoned after \"\"", "p1 end: Abandoned after \"\""])
        assert.deepStrictEqual(asked, [])
      }))
  })

  describe("when the model server breaks after some deltas", () => {
    const broken = Copilot.breaking("one", " two", " three")
    const brokenParts = [
      "run-start",
      "step-start",
      "text-start",
      "text-delta",
      "text-delta",
      "text-delta"
    ]
    const brokenLog = [
      ...begun,
      "p2 end: Failed Fail CopilotError.ModelFailed after \"one two three\"",
      "p1 end: Failed Fail CopilotError.ModelFailed after \"one two three\""
    ]

    it.effect("is Failed: typed, no afterRun, the work stopped once, and nothing is said twice", () =>
      Effect.gen(function*() {
        const log: Log = []
        const asked: Log = []
        const server = yield* Copilot.modelServer(broken)
        const { exit, parts } = yield* writingDown(asked)(
          collectAll(Agent.stream(agentAt(server, log), { prompt: "hi", session: "breaks" }))
        )
        assert.deepStrictEqual(types(parts), brokenParts)
        assert.strictEqual(Exit.isFailure(exit) && showCause(exit.cause), "Fail CopilotError.ModelFailed")
        assert.deepStrictEqual(log, brokenLog)
        assert.deepStrictEqual(asked, ["send", "abort", "truncate"])
        assert.lengthOf(server.requests, 1)
      }))

    it.effect("is caught by its reason, and asking again is another run", () =>
      Effect.gen(function*() {
        const log: Log = []
        const server = yield* Copilot.modelServer(broken, Copilot.text("yes"))
        const run = Agent.run(agentAt(server, log), { prompt: "hi" })
        const kind = yield* Effect.catchReason(run, "CopilotError", "ModelFailed", ({ kind }) => Effect.succeed(kind))
        assert.strictEqual(kind, "transport")
        assert.deepStrictEqual(log, brokenLog)
        assert.strictEqual(showExit(yield* Effect.exit(run)), "Completed \"yes\"")
        assert.lengthOf(log, 10)
      }))

    for (const exporter of exporters) {
      it.effect(`is an ended span with an error, exported by ${exporter.name}`, () =>
        Effect.gen(function*() {
          const log: Log = []
          const server = yield* Copilot.modelServer(broken)
          const context = yield* Effect.context<CopilotRuntime.CopilotRuntime>()
          const [exit, exported] = yield* exporter.run(
            Effect.provideContext(
              Agent.run(agentAt(server, log), { prompt: "hi", session: "traced", runId: "r-1" }),
              context
            )
          )
          assert.strictEqual(showExit(exit), "Failed Fail CopilotError.ModelFailed after \"one two three\"")
          assert.deepStrictEqual(log, brokenLog)
          assert.deepStrictEqual(lines(exported), ["invoke_agent copilot (client) ERROR ModelFailed error"])
          assert.deepStrictEqual(spanNamed(exported, "invoke_agent copilot").attributes, {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": "github.copilot",
            "gen_ai.request.model": "test-model",
            "gen_ai.agent.name": "copilot",
            "gen_ai.agent.description": "Works elsewhere",
            "gen_ai.conversation.id": "traced",
            "gen_ai.response.finish_reasons": ["error"],
            "effect_agents.outcome": "Failed",
            "effect_agents.run_id": "r-1",
            "error.type": "ModelFailed"
          })
          assert.notInclude(exported.text, "one two three")
        }))
    }

    it.effect("the environment of the process changes nothing", () => {
      const variables = {
        ENABLE_INSTRUMENTATION: "true",
        ENABLE_SENSITIVE_DATA: "true",
        OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9",
        OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT: "true"
      }
      const before = Object.keys(variables).map((key) => [key, process.env[key]] as const)
      return Effect.gen(function*() {
        Object.assign(process.env, variables)
        const log: Log = []
        const server = yield* Copilot.modelServer(broken)
        // the process of the runtime has the variables too
        const { exit, parts } = yield* collectAll(Agent.stream(agentAt(server, log), { prompt: "hi" })).pipe(
          Effect.provide(Copilot.runtime, { local: true })
        )
        assert.deepStrictEqual(types(parts), brokenParts)
        assert.strictEqual(Exit.isFailure(exit) && showCause(exit.cause), "Fail CopilotError.ModelFailed")
        assert.deepStrictEqual(log, brokenLog)
      }).pipe(Effect.ensuring(Effect.sync(() => {
        for (const [key, value] of before) {
          if (value === undefined) delete process.env[key]
          else process.env[key] = value
        }
      })))
    })

    it.effect("the run beside it completes", () =>
      Effect.gen(function*() {
        const failing = yield* Copilot.modelServer(broken)
        const completing = yield* Copilot.modelServer(Copilot.text("yes"))
        const exits = yield* Effect.forEach(
          [failing, completing],
          (server) => Effect.exit(Agent.run(agentAt(server, []), { prompt: "hi" })),
          { concurrency: 2 }
        )
        assert.deepStrictEqual(exits.map(showExit), [
          "Failed Fail CopilotError.ModelFailed after \"one two three\"",
          "Completed \"yes\""
        ])
      }))
  })

  describe("when the run is cut short", () => {
    it.effect("is Interrupted: the work is stopped once, down to the socket, before the next statement", () =>
      Effect.gen(function*() {
        const log: Log = []
        const asked: Log = []
        const server = yield* Copilot.modelServer(Copilot.hanging("one"))
        const heard = yield* Queue.unbounded<string>()
        const stream = Stream.tap(
          Agent.stream(agentAt(server, log), { prompt: "hi", session: "interrupted" }),
          (part) => part.type === "text-delta" ? Queue.offer(heard, part.delta) : Effect.void
        )
        const fiber = yield* Effect.forkChild(writingDown(asked)(Stream.runDrain(stream)))
        assert.strictEqual(yield* Queue.take(heard), "one")
        yield* Fiber.interrupt(fiber)
        log.push("next statement")
        assert.deepStrictEqual(log, [
          ...begun,
          "p2 end: Interrupted after \"one\"",
          "p1 end: Interrupted after \"one\"",
          "next statement"
        ])
        assert.deepStrictEqual(asked, ["send", "abort", "truncate"])
        assert.strictEqual(yield* Deferred.await(server.requests[0].closed), "cut")
      }))

    it.effect("is Abandoned when the consumer leaves", () =>
      Effect.gen(function*() {
        const log: Log = []
        const asked: Log = []
        const server = yield* Copilot.modelServer(Copilot.hanging("one"))
        const stream = Agent.stream(agentAt(server, log), { prompt: "hi", session: "abandoned" })
        yield* writingDown(asked)(Stream.runDrain(untilText(stream)))
        log.push("next statement")
        assert.deepStrictEqual(log, [
          ...begun,
          "p2 end: Abandoned after \"one\"",
          "p1 end: Abandoned after \"one\"",
          "next statement"
        ])
        assert.deepStrictEqual(asked, ["send", "abort", "truncate"])
        assert.strictEqual(yield* Deferred.await(server.requests[0].closed), "cut")
      }))

    it.effect("is Abandoned when the consumer's own code fails, and the error is the consumer's", () =>
      Effect.gen(function*() {
        const log: Log = []
        const server = yield* Copilot.modelServer(Copilot.hanging("one"))
        const stream = Agent.stream(agentAt(server, log), { prompt: "hi" })
        const exit = yield* Effect.exit(Stream.runForEach(
          stream,
          (part) => part.type === "text-delta" ? Effect.fail(new Boom({ of: "consumer" })) : Effect.void
        ))
        assert.strictEqual(Exit.isFailure(exit) && showCause(exit.cause), "Fail Boom(consumer)")
        assert.deepStrictEqual(log, [...begun, "p2 end: Abandoned after \"one\"", "p1 end: Abandoned after \"one\""])
      }))

    for (const exporter of exporters) {
      it.effect(`has its span ended as cancelled, exported by ${exporter.name}`, () =>
        Effect.gen(function*() {
          const server = yield* Copilot.modelServer(Copilot.hanging("one"))
          const context = yield* Effect.context<CopilotRuntime.CopilotRuntime>()
          const stream = Agent.stream(agentAt(server, []), { prompt: "hi" })
          const [, exported] = yield* exporter.run(Effect.provideContext(Stream.runDrain(untilText(stream)), context))
          assert.deepStrictEqual(lines(exported), ["invoke_agent copilot (client) ERROR cancelled error"])
        }))
    }

    it.effect("is Failed when somebody else stops the work", () =>
      Effect.gen(function*() {
        const runtime = yield* CopilotRuntime.CopilotRuntime
        const server = yield* Copilot.modelServer(Copilot.hanging("one"))
        const opened = yield* Deferred.make<CopilotRuntime.OpenSession>()
        const log: Log = []
        const stream = Stream.tap(
          Agent.stream(agentAt(server, log), { prompt: "hi" }),
          (part) =>
            part.type === "text-delta"
              ? Effect.flatMap(Deferred.await(opened), ({ session }) => Effect.promise(() => session.abort()))
              : Effect.void
        )
        const { exit } = yield* Effect.provideService(collectAll(stream), CopilotRuntime.CopilotRuntime, {
          ...runtime,
          open: (request) => Effect.tap(runtime.open(request), (open) => Deferred.succeed(opened, open))
        })
        assert.strictEqual(Exit.isFailure(exit) && showCause(exit.cause), "Fail CopilotError.WorkStopped")
        assert.strictEqual(log[3], "p1 end: Failed Fail CopilotError.WorkStopped after \"one\"")
      }))

    it.effect("waits for a runtime that does not answer as long as the budget, and records it", () =>
      Effect.gen(function*() {
        const log: Log = []
        const server = yield* Copilot.modelServer(Copilot.hanging("one"))
        const context = yield* Effect.context<CopilotRuntime.CopilotRuntime>()
        const { processId } = Context.get(context, CopilotRuntime.CopilotRuntime)
        const pid = yield* processId
        const stream = Stream.tap(
          Agent.stream(agentAt(server, log), { prompt: "hi" }),
          ({ type }) => Effect.sync(() => type === "text-delta" && process.kill(pid!, "SIGSTOP"))
        )
        const [exporter] = exporters
        const [, exported] = yield* exporter.run(
          runs(Stream.runDrain(untilText(stream))).pipe(
            Effect.provideService(AgentRun.FinalizationBudget, "3 seconds"),
            Effect.provideContext(context),
            Effect.ensuring(Effect.sync(() => process.kill(pid!, "SIGCONT")))
          )
        )
        assert.deepStrictEqual(log, [...begun, "p2 end: Abandoned after \"one\"", "p1 end: Abandoned after \"one\""])
        const span = spanNamed(exported, "invoke_agent copilot")
        assert.deepStrictEqual(
          span.events.filter(({ name }) => name === "effect_agents.finalizer_failed").map(({ attributes }) =>
            attributes
          ),
          [{ "effect_agents.finalizer": "copilot", "error.type": "timeout" }]
        )
      }))

    it.effect("has the consumer's interruption of the opening wait for the session, and closes it", () =>
      Effect.gen(function*() {
        const folder = yield* Copilot.temporaryFolder
        yield* Effect.gen(function*() {
          const runtime = yield* CopilotRuntime.CopilotRuntime
          const opening = yield* Deferred.make<void>()
          const server = yield* Copilot.modelServer()
          const run = Effect.provideService(
            Agent.run(agentAt(server, []), { prompt: "hi" }),
            CopilotRuntime.CopilotRuntime,
            {
              ...runtime,
              open: (request) => Effect.andThen(Deferred.succeed(opening, undefined), runtime.open(request))
            }
          )
          const fiber = yield* Effect.forkChild(run)
          yield* Deferred.await(opening)
          yield* Fiber.interrupt(fiber)
          assert.deepStrictEqual(sessionsIn(folder), [])
          assert.lengthOf(server.requests, 0)
        }).pipe(Effect.provide(CopilotRuntime.layer(Copilot.optionsIn(folder)), { local: true }))
      }))
  })

  describe("with telemetry", () => {
    for (const exporter of exporters) {
      it.effect(`is one span, with one for each tool, exported by ${exporter.name}`, () =>
        Effect.gen(function*() {
          const toolkit = Toolkit.make(Tool.make("look"))
          const server = yield* Copilot.modelServer(Copilot.calls(["a", "look", {}]), Copilot.text("canary answer"))
          const agent = CopilotAgent.make("copilot", {
            model: "test-model",
            provider: Copilot.providerAt(server.url),
            toolkit
          })
          const context = yield* Effect.context<CopilotRuntime.CopilotRuntime>()
          const [exit, exported] = yield* exporter.run(
            Agent.run(agent, { prompt: "canary prompt" }).pipe(
              Effect.provide(toolkit.toLayer({ look: () => Effect.void })),
              Effect.provideContext(context)
            )
          )
          assert.strictEqual(showExit(exit), "Completed \"canary answer\"")
          assert.deepStrictEqual(lines(exported), [
            `execute_tool look (internal) ${exporter.ok} < invoke_agent copilot`,
            `invoke_agent copilot (client) ${exporter.ok} stop`
          ])
          const { attributes } = spanNamed(exported, "invoke_agent copilot")
          assert.deepStrictEqual(
            [attributes["gen_ai.usage.input_tokens"], attributes["gen_ai.usage.output_tokens"]],
            [30, 12]
          )
          assert.deepStrictEqual(
            exported.metrics.map(({ name }) => name).filter((name) => name.includes("operation.duration")),
            ["gen_ai.client.operation.duration"]
          )
          assert.notInclude(exported.text, "canary")
        }))
    }
  })

  describe("with the telemetry of the runtime", () => {
    it.effect("has the runtime's spans in the trace of the run", () =>
      Effect.gen(function*() {
        const folder = yield* Copilot.temporaryFolder
        const filePath = `${folder}/spans.jsonl`
        const server = yield* Copilot.modelServer(Copilot.text("yes"))
        const [exporter] = exporters
        const [, exported] = yield* exporter.run(
          Agent.run(agentAt(server, []), { prompt: "hi" }).pipe(
            Effect.provide(
              CopilotRuntime.layer({ ...Copilot.optionsIn(folder), telemetry: { exporterType: "file", filePath } })
            )
          )
        )
        const own = spanNamed(exported, "invoke_agent copilot")
        const written = readFileSync(filePath, "utf8").split("\n").filter((line) => line !== "").map((line) =>
          JSON.parse(line) as { readonly name?: string; readonly traceId?: string; readonly parentSpanId?: string }
        )
        assert.deepStrictEqual(
          written.filter(({ name }) => name === "invoke_agent").map((
            { parentSpanId, traceId }
          ) => [traceId, parentSpanId]),
          [[own.traceId, own.id]]
        )
      }))
  })

  describe("when something is wrong from the beginning", () => {
    const failure = (run: Effect.Effect<unknown, unknown, CopilotRuntime.CopilotRuntime>) =>
      Effect.map(Effect.flip(run), (error) => {
        assert.isTrue(CopilotError.isCopilotError(error))
        const { reason } = error as CopilotError.CopilotError
        return reason
      })

    it.effect("a model that the provider does not have", () =>
      Effect.gen(function*() {
        const server = yield* Copilot.modelServer(Copilot.status(404, "The model `test-model` does not exist"))
        const reason = yield* failure(Agent.run(agentAt(server, []), { prompt: "hi" }))
        assert.isTrue(reason._tag === "ModelFailed")
        const { detail, kind, statusCode } = reason as CopilotError.ModelFailed
        assert.deepStrictEqual({ kind, statusCode, detail }, {
          kind: "query",
          statusCode: 404,
          detail: "The model `test-model` does not exist"
        })
      }))

    it.effect("a model without a name, and a provider without an address: nothing is asked", () =>
      Effect.gen(function*() {
        const provider = Copilot.providerAt("http://127.0.0.1:9/v1")
        const nameless = yield* failure(Agent.run(CopilotAgent.make("a", { model: " ", provider }), { prompt: "hi" }))
        assert.strictEqual(nameless.message, "`createSession` was rejected: the name of the model is empty")
        const nowhere = yield* failure(Agent.run(
          CopilotAgent.make("a", { model: "test-model", provider: { ...provider, baseUrl: "not a url" } }),
          { prompt: "hi" }
        ))
        assert.strictEqual(
          nowhere.message,
          "`createSession` was rejected: the `baseUrl` of the provider is not a URL: `not a url`"
        )
      }))

    it.effect("a provider that cannot be reached", () =>
      Effect.gen(function*() {
        const agent = CopilotAgent.make("copilot", {
          model: "test-model",
          provider: Copilot.providerAt("http://127.0.0.1:9/v1"),
          retries: 0
        })
        const reason = yield* failure(Agent.run(agent, { prompt: "hi" }))
        assert.isTrue(reason._tag === "ModelFailed" && reason.kind === "transport")
        assert.include(reason.message, "Connection refused")
      }))

    it.effect("a key that the provider does not accept, and it is in no message", () =>
      Effect.gen(function*() {
        const server = yield* Copilot.modelServer(Copilot.status(401, "bad key"))
        const reason = yield* failure(Agent.run(agentAt(server, [], { retries: 0 }), { prompt: "hi" }))
        assert.isTrue(reason._tag === "ModelFailed" && reason.statusCode === 401)
        assert.notInclude(JSON.stringify(reason) + reason.message, "canary-key")
      }))

    it.effect("what fails before its first part is tried again by the runtime", () =>
      Effect.gen(function*() {
        const server = yield* Copilot.modelServer(Copilot.status(401, "not yet"), Copilot.text("yes"))
        const exit = yield* Effect.exit(Agent.run(agentAt(server, []), { prompt: "hi" }))
        assert.strictEqual(showExit(exit), "Completed \"yes\"")
      }))
  })
})

const sessionsIn = (folder: string): ReadonlyArray<string> =>
  readdirSync(folder).includes("session-state") ? readdirSync(`${folder}/session-state`) : []

describe("CopilotRuntime", () => {
  describe("layer", () => {
    const starting = (options: CopilotRuntime.Options) =>
      Effect.map(Effect.flip(Effect.scoped(CopilotRuntime.make(options))), ({ reason }) => reason._tag)

    const cases = [
      ["a file that is not there", RuntimeConnection.forStdio({ path: "/nowhere/copilot" })],
      ["a file that is no program", RuntimeConnection.forStdio({ path: import.meta.filename })],
      ["a program that is not the runtime", RuntimeConnection.forStdio({ path: "/bin/true" })]
    ] as const

    for (const [what, connection] of cases) {
      test.effect(`fails, typed, when the runtime is ${what}`, () =>
        Effect.gen(function*() {
          const folder = yield* Copilot.temporaryFolder
          assert.strictEqual(yield* starting({ ...Copilot.optionsIn(folder), connection }), "RuntimeUnavailable")
        }))
    }

    test.effect("fails, typed, when nobody listens where the runtime should be", () =>
      Effect.gen(function*() {
        assert.strictEqual(
          yield* starting({ connection: RuntimeConnection.forUri("127.0.0.1:9") }),
          "RuntimeUnavailable"
        )
      }))

    test.effect("fails, typed, with options that the SDK refuses", () =>
      Effect.gen(function*() {
        assert.strictEqual(yield* starting({ mode: "empty" }), "RuntimeUnavailable")
      }))

    test.effect("ends the process with its scope", () =>
      Effect.gen(function*() {
        const folder = yield* Copilot.temporaryFolder
        const processId = yield* Effect.scoped(
          Effect.flatMap(CopilotRuntime.make(Copilot.optionsIn(folder)), ({ processId }) => processId)
        )
        assert.isDefined(processId)
        assert.throws(() => process.kill(processId!, 0), /ESRCH/)
      }))
  })

  describe("a process that serves many runs", () => {
    const kinds = [
      [Copilot.text("yes"), "Completed \"yes\""],
      [Copilot.breaking("one"), "Failed Fail CopilotError.ModelFailed after \"one\""],
      [Copilot.hanging("one"), "Abandoned after \"one\""],
      [Copilot.status(404, "gone"), "Failed Fail CopilotError.ModelFailed after \"\""],
      [Copilot.hanging("one", " two"), "Interrupted after \"one two\""]
    ] as const

    const oneOf = Effect.fnUntraced(function*(index: number) {
      const log: Log = []
      const [reply, expected] = kinds[index % kinds.length]
      const server = yield* Copilot.modelServer(reply)
      const heard = yield* Deferred.make<void>()
      const stream = Agent.stream(agentAt(server, log), { prompt: "hi" }).pipe(
        Stream.tap((part) =>
          part.type === "text-delta" && part.delta === " two" ? Deferred.succeed(heard, undefined) : Effect.void
        )
      )
      if (expected.startsWith("Interrupted")) {
        const fiber = yield* Effect.forkChild(Stream.runDrain(stream))
        yield* Deferred.await(heard)
        yield* Fiber.interrupt(fiber)
      } else if (expected.startsWith("Abandoned")) yield* Stream.runDrain(untilText(stream))
      else yield* Effect.exit(Stream.runDrain(stream))
      const [request] = server.requests
      return {
        ends: log.filter((line) => line.includes(" end: ")),
        expected: [`p2 end: ${expected}`, `p1 end: ${expected}`],
        requests: server.requests.length,
        socket: yield* Deferred.await(request.closed)
      }
    })

    test.effect("ends each in exactly one outcome, and keeps nothing of them", () =>
      Effect.gen(function*() {
        const folder = yield* Copilot.temporaryFolder
        yield* Effect.gen(function*() {
          const runs = yield* Effect.forEach(Array.from({ length: 40 }, (_, index) => index), oneOf, { concurrency: 8 })
          for (const { ends, expected, requests } of runs) assert.deepStrictEqual([ends, requests], [expected, 1])
          assert.deepStrictEqual(sessionsIn(folder), [])
        }).pipe(Effect.provide(CopilotRuntime.layer(Copilot.optionsIn(folder)), { local: true }))
      }))
  })

  describe("a process that is killed in the middle of an answer", () => {
    const kill = Effect.gen(function*() {
      const { processId } = yield* CopilotRuntime.CopilotRuntime
      const pid = yield* processId
      assert.isDefined(pid)
      process.kill(pid!, "SIGKILL")
      return pid
    })

    test.effect("is a typed failure of its runs, and the next run has another process", () =>
      Effect.gen(function*() {
        const log: Log = []
        const server = yield* Copilot.modelServer(Copilot.hanging("one"), Copilot.text("yes"))
        const agent = agentAt(server, log)
        const { exit, parts } = yield* collectAll(Stream.tap(
          Agent.stream(agent, { prompt: "hi", session: "killed" }),
          (part) => part.type === "text-delta" ? kill : Effect.void
        ))
        assert.deepStrictEqual(types(parts).slice(0, 4), ["run-start", "step-start", "text-start", "text-delta"])
        assert.deepStrictEqual(log, [
          ...begun,
          "p2 end: Failed Fail CopilotError.RuntimeExited after \"one\"",
          "p1 end: Failed Fail CopilotError.RuntimeExited after \"one\""
        ])
        assert.include(
          Exit.isFailure(exit) ? String(Cause.squash(exit.cause)) : "",
          "the Copilot runtime was ended by SIGKILL"
        )
        const { text } = yield* Agent.run(agent, { prompt: "again" })
        assert.strictEqual(text, "yes")
      }).pipe(Effect.provide(Copilot.runtime, { local: true })))

    test.effect("fails a run that waits for a tool, and the tool is interrupted", () =>
      Effect.gen(function*() {
        const log: Log = []
        const toolkit = Toolkit.make(Tool.make("wait"))
        const server = yield* Copilot.modelServer(Copilot.calls(["a", "wait", {}]))
        const agent = CopilotAgent.make("copilot", {
          model: "test-model",
          provider: Copilot.providerAt(server.url),
          toolkit
        })
        const { processId } = yield* CopilotRuntime.CopilotRuntime
        const pid = yield* processId
        const wait = Effect.suspend(() => {
          process.kill(pid!, "SIGKILL")
          return Effect.never
        })
        const exit = yield* Effect.exit(
          Effect.provide(
            Agent.run(agent, { prompt: "hi" }),
            toolkit.toLayer({
              wait: () => Effect.onInterrupt(wait, () => Effect.sync(() => log.push("interrupted")))
            })
          )
        )
        assert.strictEqual(showExit(exit), "Failed Fail CopilotError.RuntimeExited after \"\"")
        assert.deepStrictEqual(log, ["interrupted"])
      }).pipe(Effect.provide(Copilot.runtime, { local: true })))
  })

  describe("processExit", () => {
    const client: Effect.Effect<CopilotClient, never, Scope.Scope> = Effect.flatMap(
      Copilot.temporaryFolder,
      (folder) =>
        Effect.acquireRelease(
          Effect.promise(async () => {
            const client = new CopilotClient(Copilot.optionsIn(folder))
            await client.start()
            return client
          }),
          (client) => Effect.promise(() => client.forceStop())
        )
    )

    test.effect("finds the process of a client of this version of the SDK", () =>
      Effect.gen(function*() {
        const exited = yield* Deferred.make<CopilotError.RuntimeExited>()
        const { observed, processId } = watch(yield* client, (reason) =>
          Deferred.doneUnsafe(exited, Effect.succeed(reason)))
        assert.isTrue(observed)
        process.kill(processId!, "SIGKILL")
        assert.strictEqual((yield* Deferred.await(exited)).signal, "SIGKILL")
      }))

    test.effect("without that, asking finds out", () =>
      Effect.gen(function*() {
        const killed = yield* client
        const exited = yield* Deferred.make<void>()
        const { processId } = watch(killed, () => Deferred.doneUnsafe(exited, Effect.void))
        process.kill(processId!, "SIGKILL")
        yield* Deferred.await(exited)
        const beating = yield* Effect.forkChild(heartbeat(killed))
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual((yield* Fiber.join(beating))._tag, "RuntimeExited")
      }))
  })
})
