import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Deferred, Effect, Exit, Fiber, Layer, Schema, Stream } from "effect"
import { LanguageModel, Prompt, Tool, Toolkit } from "effect/ai"
import * as SqlClient from "effect/sql/SqlClient"
import { TestClock } from "effect/testing"
import {
  Agent,
  AgentError,
  AgentRun,
  AgentTool,
  Approval,
  ContextProvider,
  Middleware,
  Session,
  SessionHistory,
  SessionStore
} from "../src/index.ts"
import { SqliteClient, SqliteSessionStore } from "../src/sqlite/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { inFolder, texts } from "./fixtures/sessions.ts"

const { layer: script, text, toolCalls } = ScriptedModel

const other = Agent.make("other", { providers: [SessionHistory.provider] })

const again = (session = "s") => Agent.run(other, { prompt: "again", session })

const inUse = (holder: "caller" | "other") =>
  new Session.SessionError({ sessionId: "s", reason: new Session.SessionInUse({ holder }) })

const Ask = Tool.make("ask", {
  parameters: Schema.Struct({}),
  success: Schema.String,
  failure: Schema.Unknown as Schema.Codec<unknown>
})
const toolkit = Toolkit.make(Ask)
const asks = toolCalls({ name: "ask", params: {} })
const asksAgent = toolCalls({ name: "ask", params: { prompt: "x" } })
const oks = Array.from({ length: 6 }, () => text("ok"))

/** Handlers that run agents: what those need is in the context of the run. */
const asking = <E, R>(ask: Effect.Effect<unknown, E, R>) =>
  toolkit.toLayer({ ask: () => Effect.as(ask, "asked") as Effect.Effect<string> })

const store = SessionStore.SessionStore

/** The services of the test, and nothing that a run has added. */
const servicesOf = (context: Context.Context<any>) =>
  Context.pick(SessionStore.SessionStore, LanguageModel.LanguageModel)(context)

describe("a run on a session that its own caller holds fails at once, and the session can be used afterwards", () => {
  const attempt = <E, R>(run: Effect.Effect<unknown, E, R>, errors: Array<unknown>) =>
    Effect.matchCause(run, {
      onFailure: (cause) => void errors.push(Cause.squash(cause)),
      onSuccess: () => void errors.push("it ran")
    })

  const places: Readonly<Record<string, (errors: Array<unknown>) => Effect.Effect<unknown, unknown, any>>> = {
    "a tool": (errors) =>
      Agent.run(Agent.make("a", { toolkit, providers: [SessionHistory.provider] }), { prompt: "hi", session: "s" })
        .pipe(
          Effect.provide(asking(attempt(again(), errors)))
        ),
    "a tool, with a time limit and another session in between": (errors) =>
      Agent.run(Agent.make("a", { toolkit, providers: [SessionHistory.provider] }), { prompt: "hi", session: "s" })
        .pipe(
          Effect.provide(asking(
            Effect.timeout(
              Agent.run(
                Agent.make("between", {
                  providers: [
                    SessionHistory.provider,
                    ContextProvider.make("p", { beforeRun: () => attempt(again(), errors) })
                  ]
                }),
                { prompt: "hi", session: "t" }
              ),
              "1 hour"
            )
          ))
        ),
    "a beforeRun": (errors) =>
      Agent.run(
        Agent.make("a", {
          providers: [
            SessionHistory.provider,
            ContextProvider.make("p", { beforeRun: () => attempt(again(), errors) })
          ]
        }),
        { prompt: "hi", session: "s" }
      ),
    "an afterRun": (errors) =>
      Agent.run(
        Agent.make("a", {
          providers: [
            SessionHistory.provider,
            ContextProvider.make("p", { beforeRun: () => Effect.void, afterRun: () => attempt(again(), errors) })
          ]
        }),
        { prompt: "hi", session: "s" }
      ),
    "a finalizer that runs before the session is left": (errors) =>
      Agent.run(
        Agent.make("a", {
          providers: [
            SessionHistory.provider,
            ContextProvider.make("p", {
              beforeRun: () =>
                Effect.flatMap(
                  Effect.context<any>(),
                  (context) => AgentRun.addFinalizer(() => Effect.provideContext(attempt(again(), errors), context))
                )
            })
          ]
        }),
        { prompt: "hi", session: "s" }
      ),
    "a middleware around the model": (errors) =>
      Agent.run(
        Agent.make("a", {
          providers: [SessionHistory.provider],
          middleware: [
            Middleware.make("m", {
              model: (request, next) => Stream.unwrap(Effect.as(attempt(again(), errors), next(request)))
            })
          ]
        }),
        { prompt: "hi", session: "s" }
      ),
    "a middleware around the run, between parts": (errors) =>
      Agent.run(
        Agent.make("a", {
          providers: [SessionHistory.provider],
          middleware: [
            Middleware.make("m", {
              agent: (request, next) =>
                Stream.tap(next(request), (part) => part.type === "run-start" ? attempt(again(), errors) : Effect.void)
            })
          ]
        }),
        { prompt: "hi", session: "s" }
      ),
    "a consumer, between parts": (errors) =>
      Stream.runForEach(
        Agent.stream(Agent.make("a", { providers: [SessionHistory.provider] }), { prompt: "hi", session: "s" }),
        (part) => part.type === "step-end" ? attempt(again(), errors) : Effect.void
      ),
    "a fiber that a consumer has forked between parts": (errors) =>
      Stream.runForEach(
        Agent.stream(Agent.make("a", { providers: [SessionHistory.provider] }), { prompt: "hi", session: "s" }),
        (part) =>
          part.type === "step-end"
            ? Effect.flatMap(
              Effect.forkChild(Effect.suspend(() =>
                Effect.forkChild(attempt(again(), errors)).pipe(
                  Effect.flatMap(Fiber.join)
                )
              )),
              Fiber.join
            )
            : Effect.void
      ),
    "a consumer with a time limit": (errors) =>
      Stream.runForEach(
        Agent.stream(Agent.make("a", { providers: [SessionHistory.provider] }), { prompt: "hi", session: "s" }),
        (part) => part.type === "step-end" ? Effect.timeout(attempt(again(), errors), "1 hour") : Effect.void
      ),
    "a consumer, in a runtime of its own": (errors) =>
      Effect.contextWith((context: Context.Context<any>) =>
        Stream.runForEach(
          Agent.stream(Agent.make("a", { providers: [SessionHistory.provider] }), { prompt: "hi", session: "s" }),
          (part) =>
            part.type === "step-end"
              ? Effect.promise(() => Effect.runPromise(Effect.provide(attempt(again(), errors), servicesOf(context))))
              : Effect.void
        )
      ),
    "a tool, in a runtime of its own": (errors) =>
      Effect.contextWith((context: Context.Context<any>) =>
        Agent.run(Agent.make("a", { toolkit, providers: [SessionHistory.provider] }), { prompt: "hi", session: "s" })
          .pipe(
            Effect.provide(asking(
              Effect.promise(() => Effect.runPromise(Effect.provide(attempt(again(), errors), servicesOf(context))))
            ))
          )
      ),
    "a tool, in a runtime of its own, with a middleware around the run": (errors) =>
      Effect.contextWith((context: Context.Context<any>) => {
        const around = Agent.withMiddleware(
          other,
          Middleware.make("around", { agent: (request, next) => next({ ...request }) })
        )
        const run = () => attempt(Agent.run(around, { prompt: "again", session: "s" }), errors)
        return Agent.run(Agent.make("a", { toolkit, providers: [SessionHistory.provider] }), {
          prompt: "hi",
          session: "s"
        }).pipe(
          Effect.provide(asking(
            Effect.promise(() => Effect.runPromise(Effect.provide(run(), servicesOf(context))))
          ))
        )
      }),
    "a tool, in a runtime of its own, that goes on with a result": (errors) =>
      Effect.contextWith((context: Context.Context<any>) => {
        const result: AgentRun.Result = {
          agent: "other",
          runId: "r",
          session: "s",
          text: "",
          value: undefined,
          usage: AgentRun.emptyUsage,
          totalUsage: AgentRun.emptyUsage,
          steps: [],
          stopReason: "approval-required",
          approvals: [],
          transcript: Prompt.empty
        }
        const denied = Approval.deny({ approvalId: "a", toolCallId: "c", tool: "t", params: {}, path: [] })
        const run = () => attempt(Stream.runDrain(Agent.resumeStream(other, { result }, [denied])), errors)
        return Agent.run(Agent.make("a", { toolkit, providers: [SessionHistory.provider] }), {
          prompt: "hi",
          session: "s"
        }).pipe(
          Effect.provide(asking(
            Effect.promise(() => Effect.runPromise(Effect.provide(run(), servicesOf(context))))
          ))
        )
      }),
    "an agent that is a tool": (errors) => {
      const nested = Agent.make("nested", {
        providers: [ContextProvider.make("p", { beforeRun: () => attempt(again(), errors) })]
      })
      return Agent.run(
        Agent.make("a", {
          toolkit: AgentTool.toolkit(AgentTool.make(nested, { name: "ask" })),
          providers: [SessionHistory.provider]
        }),
        { prompt: "hi", session: "s" }
      )
    },
    "who has taken its turn by hand": (errors) =>
      Effect.scoped(Effect.andThen(Effect.flatMap(store, (store) => store.serialize("s")), attempt(again(), errors)))
  }

  for (const [place, run] of Object.entries(places)) {
    it.effect(place, () =>
      Effect.gen(function*() {
        const errors: Array<unknown> = []
        yield* run(errors)
        assert.deepStrictEqual(errors, [inUse("caller")])
        yield* again()
      }).pipe(Effect.provide([
        script([
          ...place.includes("tool") ? [place === "an agent that is a tool" ? asksAgent : asks] : [],
          ...oks
        ]),
        SessionStore.layerMemory
      ])))
  }

  it.effect("two runs that want each other's session: the second is told, and both come to their end", () =>
    Effect.gen(function*() {
      const both = yield* Deferred.make<void>()
      let started = 0
      const agentOf = (name: string, wants: string) =>
        Agent.make(name, {
          providers: [
            SessionHistory.provider,
            ContextProvider.make("p", {
              beforeRun: () =>
                Effect.gen(function*() {
                  if (++started === 2) yield* Deferred.succeed(both, undefined)
                  yield* Deferred.await(both)
                  return yield* again(wants)
                }).pipe(Effect.asVoid)
            })
          ]
        })
      const exits = yield* Effect.all([
        Effect.exit(Agent.run(agentOf("one", "t"), { prompt: "hi", session: "s" })),
        Effect.exit(Agent.run(agentOf("two", "s"), { prompt: "hi", session: "t" }))
      ], { concurrency: 2 })
      assert.strictEqual(exits.filter(Exit.isSuccess).length, 1)
      const failed = exits.flatMap((exit) => Exit.isFailure(exit) ? [Cause.squash(exit.cause)] : [])
      assert.include(JSON.stringify(failed), "SessionInUse")
    }).pipe(Effect.provide([script(oks), SessionStore.layerMemory])))
})

describe("runs on one session", () => {
  it.effect("a run that a consumer has forked before waits in line while the consumer pulls", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const going = yield* Deferred.make<void>()
      let forked: Fiber.Fiber<unknown, unknown> | undefined
      const model = script([ScriptedModel.step(ScriptedModel.delay("1 second"), text("one")), text("two")])
      const run = Stream.runForEach(
        Agent.stream(other, { prompt: "hi", session: "s" }),
        (part) =>
          Effect.gen(function*() {
            seen.push(part.type)
            if (part.type !== "run-start") return
            const next = Effect.andThen(Deferred.await(going), Effect.suspend(() => again()))
            forked = yield* Effect.forkChild(Effect.tap(next, ({ text }) => Effect.sync(() => void seen.push(text))))
          })
      ).pipe(Effect.andThen(Effect.suspend(() => Fiber.join(forked!))))
      const fiber = yield* Effect.forkChild(Effect.provide(run, model))
      yield* Effect.repeat(Effect.yieldNow, { times: 20 })
      yield* Deferred.succeed(going, undefined)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(seen.slice(-2), ["run-end", "two"])
    }).pipe(Effect.provide(SessionStore.layerMemory)))

  it.effect("a fiber that has consumed a run begins another one on its session", () =>
    Effect.gen(function*() {
      yield* again()
      yield* Stream.runDrain(Stream.take(Agent.stream(other, { prompt: "hi", session: "s" }), 2))
      yield* Effect.flatMap(Effect.forkChild(again()), Fiber.join)
      yield* again()
    }).pipe(Effect.provide([script(oks), SessionStore.layerMemory])))

  it.effect("with `reject` the second fails typed while the first works, and runs when that has ended", () =>
    Effect.gen(function*() {
      const rejecting = Agent.make("r", { providers: [SessionHistory.make({ whenHeld: "reject" })] })
      const parts: Array<unknown> = []
      const first = yield* Effect.forkChild(
        Stream.runForEach(Agent.stream(other, { prompt: "hi", session: "s" }), (part) =>
          Effect.suspend(() => {
            parts.push(part.type)
            return part.type === "run-start" ? Effect.never : Effect.void
          })),
        { startImmediately: true }
      )
      const error = yield* Effect.flip(Agent.run(rejecting, { prompt: "hi", session: "s" }))
      assert.deepStrictEqual(error, inUse("other"))
      yield* Agent.run(rejecting, { prompt: "hi", session: "t" })
      yield* Fiber.interrupt(first)
      yield* Agent.run(rejecting, { prompt: "hi", session: "s" })
      assert.deepStrictEqual(parts, ["run-start"])
    }).pipe(Effect.provide([script(oks), SessionStore.layerMemory])))

  it.effect("who is interrupted in the moment its turn comes leaves it to the next", () =>
    Effect.gen(function*() {
      const sessions = yield* store
      const hold = (gate: Deferred.Deferred<void>) =>
        Effect.scoped(Effect.andThen(sessions.serialize("s"), Deferred.await(gate)))
      for (let round = 0; round < 5; round++) {
        const gate = yield* Deferred.make<void>()
        const first = yield* Effect.forkChild(hold(gate), { startImmediately: true })
        const waiters = yield* Effect.forEach([1, 2, 3], () =>
          Effect.forkChild(Effect.scoped(sessions.serialize("s")), { startImmediately: true }))
        yield* Deferred.succeed(gate, undefined)
        yield* Effect.repeat(Effect.yieldNow, { times: round })
        yield* Fiber.interruptAll(waiters)
        yield* Fiber.join(first)
        yield* Effect.scoped(sessions.serialize("s", { whenHeld: "reject" }))
      }
    }).pipe(Effect.provide(SessionStore.layerMemory)))

  it.effect("a user cannot name the session of a tool's agent", () =>
    Effect.gen(function*() {
      const research = Agent.make("research", { providers: [SessionHistory.provider] })
      const lead = Agent.make("lead", {
        toolkit: AgentTool.toolkit(AgentTool.make(research, { session: "own" })),
        providers: [SessionHistory.provider]
      })
      yield* Agent.run(lead, { prompt: "my secret is 4711", session: "alice" })
      const own = AgentTool.ownSession("alice", "research")
      const sessions = yield* store
      assert.deepStrictEqual(texts(yield* sessions.load(own)), ["4711"])
      for (const agent of [lead, research]) {
        const error = yield* Effect.flip(Agent.run(agent, { prompt: "what do you know?", session: own }))
        assert.deepStrictEqual(error, AgentError.make(agent.name, new AgentError.InvalidSession({ session: own })))
      }
      yield* Agent.run(lead, { prompt: "what do you know?", session: "alice/research" })
      const { requests } = yield* ScriptedModel.ScriptedModel
      assert.strictEqual((yield* requests).at(-1)!.prompt.content.length, 1)
      assert.notStrictEqual(AgentTool.ownSession("a/b", "c"), AgentTool.ownSession("a", "b/c"))
      assert.notStrictEqual(
        AgentTool.ownSession("a", "c/1:b"),
        AgentTool.ownSession(AgentTool.ownSession("a", "b"), "c")
      )
    }).pipe(Effect.provide([
      script([
        toolCalls({ name: "research", params: { prompt: "4711" } }),
        text("noted"),
        text("ok"),
        text("nothing")
      ]),
      SessionStore.layerMemory
    ])))
})

describe("the last save of a run", () => {
  const slow = (
    how: (
      save: Effect.Effect<Session.Session, Session.SessionError>
    ) => Effect.Effect<Session.Session, Session.SessionError>
  ) =>
    Layer.effect(store)(
      Effect.map(store, (sessions) =>
        store.of({ ...sessions, save: (session, change) => how(sessions.save(session, change)) }))
    ).pipe(Layer.provide(SessionStore.layerMemory))

  /** How the run ends that has 2 seconds for its save, and the version that is stored. */
  const run = (layer: Layer.Layer<SessionStore.SessionStore>) =>
    Effect.gen(function*() {
      const running = yield* Effect.forkChild(
        again().pipe(
          Effect.map((result) => result.text),
          Effect.catchReason("SessionError", "SessionStoreUnavailable", (reason, { result }) =>
            Effect.succeed(`${(reason.cause as Error).message}: ${result?.text}`)),
          Effect.catchReason("AgentError", "AfterRunFailed", ({ cause, result }) =>
            Effect.succeed(`${(cause as Error).message}: ${result.text}`)),
          Effect.provideService(AgentRun.FinalizationBudget, "2 seconds")
        )
      )
      for (let second = 0; second < 5; second++) {
        yield* TestClock.adjust("1 second")
      }
      const end = yield* Fiber.join(running)
      const { version } = yield* Effect.flatMap(store, (sessions) =>
        sessions.load("s"))
      return [end, version]
    }).pipe(Effect.provide([script([text("done")]), layer]))

  it.effect("that is saved although it overran its budget completes the run", () =>
    Effect.gen(function*() {
      const late = yield* run(slow((save) => Effect.uninterruptible(Effect.tap(save, Effect.sleep("3 seconds")))))
      assert.deepStrictEqual(late, ["done", 1])
      // the store loses its answer
      const lost = yield* run(slow((save) => Effect.andThen(save, Effect.never)))
      assert.deepStrictEqual(lost, ["done", 1])
    }))

  it.effect("that was interrupted before it saved fails the run, and says that nothing was written", () =>
    Effect.gen(function*() {
      const never = yield* run(slow(() => Effect.never))
      assert.deepStrictEqual(never, ["the save took too long and was interrupted; nothing was written: done", 0])
    }))

  it.effect("that cannot be interrupted is not awaited for ever, and claims nothing", () =>
    Effect.gen(function*() {
      const stuck = yield* run(slow(() => Effect.uninterruptible(Effect.never)))
      assert.deepStrictEqual(stuck, ["it took longer than 2s, and what it has done is not known: done", 0])
    }))

  it.live("that waits for the lock of a database is interrupted, and nothing is written afterwards", () =>
    inFolder((folder) =>
      Effect.gen(function*() {
        const filename = `${folder}/s.db`
        const locks = yield* Layer.build(SqliteClient.layer({ filename }))
        const failed = yield* Effect.gen(function*() {
          const sql = yield* Effect.provide(Effect.service(SqlClient.SqlClient), locks)
          return yield* sql.withTransaction(Effect.flip(
            Effect.provideService(again(), AgentRun.FinalizationBudget, "100 millis")
          ))
        })
        assert(failed instanceof Session.SessionError)
        assert.include(failed.message, "nothing was written")
        yield* Effect.sleep("50 millis")
        assert.strictEqual((yield* Effect.flatMap(store, (sessions) => sessions.load("s"))).version, 0)
        yield* again()
      }).pipe(
        Effect.provide([
          script([text("done"), text("done")]),
          SqliteSessionStore.layerFile({ filename: `${folder}/s.db` })
        ])
      )
    ))

  it.effect("that is lost to somebody else is caught by its reason, as every other one", () =>
    Effect.gen(function*() {
      const sessions = yield* store
      const overtaken = Agent.make("a", {
        providers: [
          SessionHistory.provider,
          ContextProvider.make("p", {
            beforeRun: () => Effect.void,
            afterRun: () => sessions.save(Session.empty("s"), { append: [] })
          })
        ]
      })
      const caught = yield* Agent.run(overtaken, { prompt: "hi", session: "s" }).pipe(
        Effect.asVoid,
        Effect.catchReason("SessionError", "SessionConflict", (reason, { result }) =>
          Effect.succeed([reason.expectedVersion, reason.actualVersion, result?.text]))
      )
      assert.deepStrictEqual(caught, [0, 1, "paid for"])
    }).pipe(Effect.provide([script([text("paid for")]), SessionStore.layerMemory])))
})
