/** Runs that are opened first and read later, in a scope and behind a server. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Deferred, Effect, Exit, Fiber, Layer, Queue, type Scope, Stream } from "effect"
import { IdGenerator } from "effect/ai"
import { HttpEffect, HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import { createServer, request as httpRequest } from "node:http"
import { Agent, AgentRun, ContextProvider } from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { Boom, type Log, logged, showCause, types } from "./utils.ts"

const { text } = ScriptedModel
const input = { prompt: "hi" }
const agentOf = (log: Log) => Agent.make("agent", { providers: [logged("p", log)] })
const scripted = ScriptedModel.layer([text(["a", "b"])])
const abortable = () => new AbortController()
const slow = ScriptedModel.layer([[text("a"), ScriptedModel.hang]])

describe("Agent.open", () => {
  it.effect("begins the run: its providers, no model call", () =>
    Effect.gen(function*() {
      const log: Log = []
      const { opened } = yield* ScriptedModel.ScriptedModel
      const { parts, start } = yield* Agent.open(agentOf(log), { ...input, runId: "r", session: "s" })
      assert.deepStrictEqual(start, { type: "run-start", agent: "agent", runId: "r", session: "s" })
      assert.deepStrictEqual(log, ["p before"])
      assert.strictEqual(yield* opened, 0)
      const all = yield* Stream.runCollect(parts)
      assert.strictEqual(all[0], start)
      const stream = yield* Stream.runCollect(Agent.stream(agentOf([]), input))
      assert.deepStrictEqual(types(all), types(stream))
      assert.deepStrictEqual(log, ["p before", "p after \"ab\"", "p end: Completed \"ab\""])
    }).pipe(Effect.scoped, Effect.provide(ScriptedModel.layer([text(["a", "b"]), text(["a", "b"])]))))

  it.effect("the fold of its parts is the result of the run, with one id", () =>
    Effect.gen(function*() {
      const { parts, start } = yield* Agent.open(Agent.make("agent"), input)
      const result = yield* AgentRun.fold(parts)
      assert.deepStrictEqual([result.text, result.runId], ["ab", start.runId])
      assert.strictEqual(start.runId, "id-1")
    }).pipe(
      Effect.scoped,
      Effect.provide(scripted),
      Effect.provideServiceEffect(
        IdGenerator.IdGenerator,
        Effect.sync(() => {
          let n = 0
          return { generateId: () => Effect.sync(() => `id-${++n}`) }
        })
      )
    ))

  it.effect("what fails before the first part is its failure, and nothing is left open", () =>
    Effect.gen(function*() {
      const log: Log = []
      const failing = ContextProvider.make("q", { beforeRun: () => Effect.fail(new Boom({ of: "q" })) })
      const error = yield* Effect.flip(Agent.open(agentOf(log), { ...input, providers: [failing] }))
      assert.deepStrictEqual(error, new Boom({ of: "q" }))
      assert.deepStrictEqual(log, ["p before", "p end: Failed Fail Boom(q) after \"\""])
      const layered = Agent.make("agent").pipe(
        Agent.provide(Layer.effectDiscard(Effect.fail(new Boom({ of: "layer" }))))
      )
      assert.deepStrictEqual(yield* Effect.flip(Agent.open(layered, input)), new Boom({ of: "layer" }))
    }).pipe(Effect.scoped, Effect.provide(scripted)))

  it.effect("what fails later is in the parts", () =>
    Effect.gen(function*() {
      const log: Log = []
      const { parts } = yield* Agent.open(agentOf(log), input)
      const exit = yield* Effect.exit(Stream.runDrain(parts))
      assert.strictEqual(Exit.isFailure(exit) && showCause(exit.cause), "Die boom")
      assert.strictEqual(log.at(-1), "p end: Failed Die boom after \"a\"")
    }).pipe(
      Effect.scoped,
      Effect.provide(ScriptedModel.layer([[text("a"), ScriptedModel.die(new Error("boom"))]]))
    ))

  it.effect("interrupted while it opens, the run is interrupted", () =>
    Effect.gen(function*() {
      const log: Log = []
      const reached = yield* Deferred.make<void>()
      const waiting = ContextProvider.make("q", {
        beforeRun: () => Effect.andThen(Deferred.succeed(reached, undefined), Effect.never)
      })
      const fiber = yield* Effect.forkChild(Agent.open(agentOf(log), { ...input, providers: [waiting] }))
      yield* Deferred.await(reached)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(log, ["p before", "p end: Interrupted after \"\""])
    }).pipe(Effect.scoped, Effect.provide(scripted)))

  describe("ends with its scope", () => {
    const open = (log: Log) => Effect.provide(Agent.open(agentOf(log), input), slow)

    it.effect("abandoned, when the parts were never read", () =>
      Effect.gen(function*() {
        const log: Log = []
        yield* Effect.scoped(Effect.andThen(open(log), Effect.sync(() => log.push("not read"))))
        assert.deepStrictEqual(log, ["p before", "not read", "p end: Abandoned after \"\""])
      }))

    it.effect("abandoned, when the owner fails", () =>
      Effect.gen(function*() {
        const log: Log = []
        yield* Effect.exit(Effect.scoped(Effect.andThen(open(log), Effect.fail("the owner's"))))
        assert.deepStrictEqual(log, ["p before", "p end: Abandoned after \"\""])
      }))

    it.effect("interrupted, when the owner is", () =>
      Effect.gen(function*() {
        const log: Log = []
        const reached = yield* Deferred.make<void>()
        const fiber = yield* open(log).pipe(
          Effect.andThen(Deferred.succeed(reached, undefined)),
          Effect.andThen(Effect.never),
          Effect.scoped,
          Effect.forkChild
        )
        yield* Deferred.await(reached)
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual(log, ["p before", "p end: Interrupted after \"\""])
      }))

    it.effect("with nothing left to read", () =>
      Effect.gen(function*() {
        const { parts } = yield* Effect.scoped(open([]))
        const exit = yield* Effect.exit(Stream.runDrain(parts))
        assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      }))

    it.effect("a fiber that still reads ends with it", () =>
      Effect.gen(function*() {
        const log: Log = []
        const heard = yield* Queue.unbounded<string>()
        const fiber = yield* Effect.scoped(Effect.gen(function*() {
          const { parts } = yield* open(log)
          const fiber = yield* Stream.runForEach(parts, (part) => Queue.offer(heard, part.type)).pipe(
            Effect.forkDetach
          )
          while ((yield* Queue.take(heard)) !== "text-delta");
          return fiber
        }))
        assert.deepStrictEqual(log, ["p before", "p end: Abandoned after \"a\""])
        const exit = yield* Fiber.await(fiber)
        assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      }))
  })

  describe("ends with who reads its parts, before its scope", () => {
    const reading = (
      log: Log,
      read: (parts: Stream.Stream<AgentRun.Part, unknown>) => Effect.Effect<unknown, unknown>
    ) =>
      Effect.scoped(Effect.gen(function*() {
        const { parts } = yield* Effect.provide(Agent.open(agentOf(log), input), slow)
        yield* read(parts)
        log.push("still in the scope")
      }))

    it.effect("abandoned, when that one leaves", () =>
      Effect.gen(function*() {
        const log: Log = []
        yield* reading(log, (parts) => Stream.runDrain(Stream.takeUntil(parts, (part) => part.type === "text-delta")))
        assert.deepStrictEqual(log, ["p before", "p end: Abandoned after \"a\"", "still in the scope"])
      }))

    it.effect("abandoned, when that one fails", () =>
      Effect.gen(function*() {
        const log: Log = []
        yield* reading(log, (parts) => Effect.exit(Stream.runForEach(parts, () => Effect.fail("the reader's"))))
        assert.deepStrictEqual(log, ["p before", "p end: Abandoned after \"\"", "still in the scope"])
      }))

    it.effect("interrupted, when that one is", () =>
      Effect.gen(function*() {
        const log: Log = []
        yield* reading(log, (parts) =>
          Effect.gen(function*() {
            const heard = yield* Deferred.make<void>()
            const fiber = yield* parts.pipe(
              Stream.runForEach((part) =>
                part.type === "text-delta" ? Deferred.succeed(heard, undefined) : Effect.void
              ),
              Effect.forkChild
            )
            yield* Deferred.await(heard)
            yield* Fiber.interrupt(fiber)
          }))
        assert.deepStrictEqual(log, ["p before", "p end: Interrupted after \"a\"", "still in the scope"])
      }))

    it.effect("and no second one reads them", () =>
      Effect.gen(function*() {
        const { parts } = yield* Agent.open(Agent.make("agent"), input)
        yield* Stream.runDrain(parts)
        const exit = yield* Effect.exit(Stream.runDrain(parts))
        assert.strictEqual(Exit.isFailure(exit) && showCause(exit.cause), "Die The parts of an open run are read once")
      }).pipe(Effect.scoped, Effect.provide(scripted)))
  })

  it.effect("opens a program, also one that has no first part of its own", () =>
    Effect.gen(function*() {
      const inner = Agent.make("inner")
      const program = Agent.fromStream("program", { stream: (input) => Agent.stream(inner, input) })
      const opened = yield* Agent.open(program, { ...input, runId: "r" })
      assert.deepStrictEqual(opened.start, { type: "run-start", agent: "inner", runId: "r", session: undefined })
      assert.strictEqual((yield* AgentRun.fold(opened.parts)).text, "ab")
      const empty = yield* Agent.open(Agent.fromStream("empty", { stream: () => Stream.empty }), {
        ...input,
        runId: "e"
      })
      assert.deepStrictEqual(empty.start, { type: "run-start", agent: "empty", runId: "e", session: undefined })
      assert.deepStrictEqual(yield* Stream.runCollect(empty.parts), [])
    }).pipe(Effect.scoped, Effect.provide(scripted)))

  it.effect("its parts have the services of the caller, whoever reads them", () =>
    Effect.gen(function*() {
      class Name extends Context.Service<Name, string>()("test/Name") {}
      const seen: Array<string> = []
      const see = Effect.map(Name, (name) => void seen.push(name))
      const asks = ContextProvider.make("asks", { beforeRun: () => see, afterRun: () => see })
      const { parts } = yield* Effect.provideService(
        Agent.open(Agent.make("agent", { providers: [asks] }), input),
        Name,
        "caller"
      )
      yield* Effect.provideService(Stream.runDrain(parts), Name, "reader")
      assert.deepStrictEqual(seen, ["caller", "caller"])
    }).pipe(Effect.scoped, Effect.provide(scripted)))
})

describe("a run behind a server", () => {
  type App = (
    log: Log
  ) => Effect.Effect<HttpServerResponse.HttpServerResponse, never, HttpServerRequest.HttpServerRequest | Scope.Scope>

  const body = (parts: Stream.Stream<AgentRun.Part, unknown>) =>
    HttpServerResponse.stream(
      Stream.encodeText(Stream.map(parts, (part) => part.type === "text-delta" ? part.delta : `<${part.type}>`))
    )

  /** Runs a server, calls it, and gives what the client has got and how the run has ended. */
  const call = Effect.fnUntraced(function*(
    app: App,
    client: (url: string, log: Log) => Effect.Effect<string>,
    serve: (app: ReturnType<App>) => Layer.Layer<never, never, HttpServer.HttpServer> = (app) => HttpServer.serve(app)
  ) {
    const log: Log = []
    const ended = yield* Deferred.make<void>()
    const telling = Effect.andThen(
      Effect.addFinalizer(() => Deferred.succeed(ended, undefined)),
      Effect.suspend(() => app(log))
    )
    const layer = Layer.provideMerge(
      serve(telling),
      NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })
    )
    const context = yield* Layer.build(layer)
    const { address } = Context.get(context, HttpServer.HttpServer)
    const url = "port" in address ? `http://127.0.0.1:${address.port}/` : ""
    const got = yield* client(url, log)
    yield* Deferred.await(ended)
    return { got, log }
  })

  /** Reads the answer, up to a text when there is one, and hangs up then. */
  const reading = (upTo?: string) => (url: string): Effect.Effect<string> =>
    Effect.callback<string>((resume) => {
      const request = httpRequest(url, (response) => {
        let got = `${response.statusCode} `
        const done = () => resume(Effect.succeed(got))
        response.setEncoding("utf8")
        response.on("data", (data: string) => {
          got += data
          if (upTo !== undefined && got.includes(upTo)) {
            request.destroy()
            done()
          }
        })
        response.on("end", done)
        response.on("error", done)
      })
      request.on("error", () => resume(Effect.succeed("no answer")))
      request.end()
    })

  it.live("completes when the client reads to the end", () =>
    Effect.gen(function*() {
      const { got, log } = yield* call(
        (log) =>
          Agent.open(agentOf(log), input).pipe(
            Effect.orDie,
            Effect.map(({ parts }) => body(parts)),
            Effect.provide(scripted)
          ),
        reading()
      )
      assert.strictEqual(
        got,
        "200 <run-start><step-start><text-start>ab<text-end><finish><step-end><run-end>"
      )
      assert.strictEqual(log.at(-1), "p end: Completed \"ab\"")
    }).pipe(Effect.scoped))

  it.live("is interrupted when the client hangs up", () =>
    Effect.gen(function*() {
      const { got, log } = yield* call(
        (log) =>
          Agent.open(agentOf(log), input).pipe(
            Effect.orDie,
            Effect.map(({ parts }) => body(parts)),
            Effect.provide(slow)
          ),
        reading("a")
      )
      assert.include(got, "200 <run-start>")
      assert.strictEqual(log.at(-1), "p end: Interrupted after \"a\"")
    }).pipe(Effect.scoped))

  it.live("is interrupted when the client hangs up before anybody reads the parts", () =>
    Effect.gen(function*() {
      for (const wait of [Effect.uninterruptible, Effect.interruptible]) {
        const gone = yield* Deferred.make<void>()
        const begun = yield* Deferred.make<void>()
        const hangingUp = (url: string) =>
          Effect.gen(function*() {
            const request = httpRequest(url)
            request.on("error", () => undefined)
            request.end()
            yield* Deferred.await(begun)
            request.destroy()
            return ""
          })
        const { log } = yield* call(
          (log) =>
            Effect.gen(function*() {
              const { parts } = yield* Effect.orDie(Agent.open(agentOf(log), input))
              const response = NodeHttpServerRequest.toServerResponse(yield* HttpServerRequest.HttpServerRequest)
              // when the server knows it too
              response.on("close", () => setImmediate(() => Deferred.doneUnsafe(gone, Exit.void)))
              yield* Deferred.succeed(begun, undefined)
              yield* wait(Deferred.await(gone))
              return body(parts)
            }).pipe(Effect.provide(slow)),
          hangingUp
        )
        assert.deepStrictEqual(log, ["p before", "p end: Interrupted after \"\""])
      }
    }).pipe(Effect.scoped))

  it.live("is abandoned when the handler answers without it", () =>
    Effect.gen(function*() {
      const { got, log } = yield* call(
        (log) =>
          Agent.open(agentOf(log), input).pipe(
            Effect.orDie,
            Effect.as(HttpServerResponse.text("no")),
            Effect.provide(slow)
          ),
        reading()
      )
      assert.strictEqual(got, "200 no")
      assert.strictEqual(log.at(-1), "p end: Abandoned after \"\"")
    }).pipe(Effect.scoped))

  it.live("answers with a status when it cannot begin, and cuts the answer when it fails later", () =>
    Effect.gen(function*() {
      const failing = ContextProvider.make("q", { beforeRun: () => Effect.fail(new Boom({ of: "q" })) })
      const refused = yield* call(
        (log) =>
          Agent.open(agentOf(log), { ...input, providers: [failing] }).pipe(
            Effect.map(({ parts }) => body(parts)),
            Effect.catchTag("Boom", ({ of }) => Effect.succeed(HttpServerResponse.text(of, { status: 503 }))),
            Effect.orDie,
            Effect.provide(scripted)
          ),
        reading()
      )
      assert.strictEqual(refused.got, "503 q")
      assert.strictEqual(refused.log.at(-1), "p end: Failed Fail Boom(q) after \"\"")
      const cut = yield* call(
        (log) =>
          Agent.open(agentOf(log), input).pipe(
            Effect.orDie,
            Effect.map(({ parts }) => body(parts)),
            Effect.provide(ScriptedModel.layer([[text("a"), ScriptedModel.die(new Error("boom"))]]))
          ),
        reading()
      )
      assert.notInclude(cut.got, "run-end")
      assert.strictEqual(cut.log.at(-1), "p end: Failed Die boom after \"a\"")
    }).pipe(Effect.scoped))

  it.live("is interrupted behind a router whose layer has a scope of its own", () =>
    Effect.gen(function*() {
      const { log } = yield* call(
        (log) =>
          Agent.open(agentOf(log), input).pipe(
            Effect.orDie,
            Effect.map(({ parts }) => body(parts)),
            Effect.provide(slow)
          ),
        reading("a"),
        (app) => HttpRouter.serve(HttpRouter.add("GET", "/", app), { disableLogger: true, disableListenLog: true })
      )
      assert.strictEqual(log.at(-1), "p end: Interrupted after \"a\"")
    }).pipe(Effect.scoped))

  it.live("is interrupted behind a web handler, by the signal and by the body", () =>
    Effect.gen(function*() {
      for (const hangUp of ["signal", "cancel"] as const) {
        const log: Log = []
        const ended = yield* Deferred.make<void>()
        const app = Effect.andThen(
          Effect.addFinalizer(() => Deferred.succeed(ended, undefined)),
          Agent.open(agentOf(log), input).pipe(
            Effect.orDie,
            Effect.map(({ parts }) => body(parts)),
            Effect.provide(slow)
          )
        )
        const controller = abortable()
        const request = new Request("http://localhost/", { signal: controller.signal })
        const response = yield* Effect.promise(() => HttpEffect.toWebHandler(app)(request))
        const reader = response.body!.getReader()
        let got = ""
        while (!got.includes("a")) {
          const { value } = yield* Effect.promise(() => reader.read())
          got += new TextDecoder().decode(value).replaceAll(/<[^>]*>/g, "")
        }
        if (hangUp === "signal") controller.abort()
        else yield* Effect.promise(() => reader.cancel())
        yield* Deferred.await(ended)
        assert.strictEqual(log.at(-1), "p end: Interrupted after \"a\"", hangUp)
      }
    }))
})
