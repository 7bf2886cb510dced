import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Schema, Stream } from "effect"
import { AiError, type LanguageModel, type Response, Tool, Toolkit } from "effect/ai"
import { TestClock } from "effect/testing"
import { expectTypeOf } from "vitest"
import { outcome } from "../src/AgentRun.ts"
import {
  Agent,
  type AgentError,
  AgentRun,
  Guardrail,
  type Middleware,
  SessionHistory,
  SessionStore
} from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { Boom, collectAll, hanging, type Log, logged, showPrompt, types } from "./utils.ts"

const { delay, fail, finish, hang, layer: script, parts, reasoning, step, text, toolCalls, usage } = ScriptedModel

const { pass, refuse, replace, trip } = Guardrail

const overloaded = AiError.make({ module: "test", method: "test", reason: new AiError.RateLimitError({}) })

/** An effect that takes a while and writes down whether it was interrupted. */
const slow = <A>(name: string, seconds: number, log: Log, value: A): Effect.Effect<A> =>
  Effect.as(Effect.sleep(`${seconds} seconds`), value).pipe(
    Effect.onExit((exit) => Effect.sync(() => log.push(`${name} ${Exit.isSuccess(exit) ? "done" : "interrupted"}`)))
  )

const agentWith = (log: Log, ...middleware: ReadonlyArray<Middleware.Middleware<any, LanguageModel.LanguageModel>>) =>
  Agent.make("agent", { middleware, providers: [logged("p", log), SessionHistory.provider] })

const input = { prompt: "hi", session: "s" }

const savedVersion = Effect.map(
  Effect.flatMap(SessionStore.SessionStore, (store) => store.load("s")),
  (session) => session.version
)

const closed = Effect.flatMap(
  ScriptedModel.ScriptedModel,
  (script) =>
    Effect.map(
      script.closed,
      (exits) =>
        exits.map((exit) => Exit.isSuccess(exit) ? "success" : Exit.hasInterrupts(exit) ? "interrupted" : "failure")
    )
)

const model = (...steps: ReadonlyArray<ScriptedModel.Step>) => Layer.merge(script(steps), SessionStore.layerMemory)

/** The model that gives every step's parts in one array. */
const inOneArray = (...steps: ReadonlyArray<ScriptedModel.Step>) =>
  Layer.merge(script(steps, { chunking: "all" }), SessionStore.layerMemory)

/** What a run that fails with a trip leaves: the trip, the text and the usage until then. */
const tripOf = (exit: Exit.Exit<unknown, unknown>) => {
  const end = outcome(exit as Exit.Exit<AgentRun.Result, unknown>)
  if (end._tag !== "Failed") return end._tag
  const [reason] = end.cause.reasons
  const error = reason?._tag === "Fail" ? reason.error : reason
  return error instanceof Guardrail.GuardrailTripped
    ? {
      trip: [error.guardrail, error.place, error.info],
      text: end.partial.text,
      usage: [end.partial.usage.inputTokens.total, end.partial.usage.outputTokens.total],
      steps: end.partial.steps.length
    }
    : error
}

describe("Guardrail", () => {
  describe("input", () => {
    it.effect("checks beside the model call, and the run completes when it passes", () =>
      Effect.gen(function*() {
        const log: Log = []
        const guard = Guardrail.input("g", (seen) => {
          log.push(`check ${seen.text}, history ${showPrompt(seen.request.prompt).length}, ${showPrompt(seen.prompt)}`)
          return slow("check", 2, log, pass)
        })
        const fiber = yield* Effect.forkChild(
          Stream.runForEach(Agent.stream(agentWith(log, guard), input), (part) =>
            Effect.sync(() => log.push(part.type === "text-delta" ? part.delta : part.type)))
        )
        yield* TestClock.adjust("10 seconds")
        yield* Fiber.join(fiber)
        assert.deepStrictEqual(log, [
          "p before",
          "run-start",
          "step-start",
          "check hi, history 1, user: hi",
          "text-start",
          "a",
          "check done",
          "b",
          "text-end",
          "finish",
          "step-end",
          "p after \"ab\"",
          "run-end",
          "p end: Completed \"ab\""
        ])
        assert.strictEqual(yield* savedVersion, 1)
      }).pipe(Effect.provide(model(text(["a", "b"], { every: "1500 millis" })))))

    it.effect("a trip interrupts the model request, fails the run with what there was, and nothing is saved", () =>
      Effect.gen(function*() {
        const log: Log = []
        const guard = Guardrail.input("g", () => slow("check", 2, log, trip({ because: "of it" })))
        const fiber = yield* Effect.forkChild(collectAll(Agent.stream(agentWith(log, guard), input)))
        yield* TestClock.adjust("10 seconds")
        const end = yield* Fiber.join(fiber)
        assert.deepStrictEqual(types(end.parts), ["run-start", "step-start", "text-start", "text-delta"])
        assert.deepStrictEqual(tripOf(end.exit), {
          trip: ["g", "input", { because: "of it" }],
          text: "a",
          usage: [undefined, undefined],
          steps: 0
        })
        assert.deepStrictEqual(log, ["p before", "check done", "p end: Failed Fail GuardrailTripped after \"a\""])
        // while it was waiting for its second delta
        assert.deepStrictEqual(yield* closed, ["failure"])
        assert.strictEqual(yield* savedVersion, 0)
      }).pipe(Effect.provide(model(text(["a", "b"], { every: "1500 millis" })))))

    it.effect("a trip that comes after the model has ended has the usage, and no tool has run", () =>
      Effect.gen(function*() {
        const log: Log = []
        const toolkit = Toolkit.make(Tool.make("note", { success: Schema.String }))
        const guard = Guardrail.input("g", () => slow("check", 5, log, trip()))
        const agent = Agent.make("agent", { toolkit, middleware: [guard] })
        const handlers = toolkit.toLayer({ note: () => Effect.sync(() => `${log.push("note runs")}`) })
        const fiber = yield* Effect.forkChild(
          collectAll(Agent.stream(agent, input)).pipe(Effect.provide(handlers))
        )
        yield* TestClock.adjust("10 seconds")
        const end = yield* Fiber.join(fiber)
        assert.deepStrictEqual(types(end.parts), ["run-start", "step-start", "tool-call", "finish"])
        assert.deepStrictEqual(tripOf(end.exit), {
          trip: ["g", "input", undefined],
          text: "",
          usage: [7, 3],
          steps: 0
        })
        assert.deepStrictEqual(log, ["check done"])
      }).pipe(Effect.provide(model([toolCalls({ name: "note", params: {} }), finish("tool-calls", usage(7, 3))]))))

    it.effect("a trip that is there at once calls no model", () =>
      Effect.gen(function*() {
        const guard = Guardrail.input("g", () => Effect.succeed(trip("no")))
        const exit = yield* Effect.exit(Agent.run(agentWith([], guard), input))
        assert.deepStrictEqual(tripOf(exit), {
          trip: ["g", "input", "no"],
          text: "",
          usage: [undefined, undefined],
          steps: 0
        })
        const { requests } = yield* ScriptedModel.ScriptedModel
        assert.lengthOf(yield* requests, 0)
      }).pipe(Effect.provide(model(text("never")))))

    it.effect("a model that fails interrupts the check; the check's own failure is the run's", () =>
      Effect.gen(function*() {
        const log: Log = []
        const guard = Guardrail.input("g", () => slow("check", 5, log, pass))
        const fiber = yield* Effect.forkChild(Effect.exit(Agent.run(agentWith([], guard), input)))
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(tripOf(yield* Fiber.join(fiber)), overloaded)
        assert.deepStrictEqual(log, ["check interrupted"])

        const broken = Guardrail.input("g", () => Effect.fail(new Boom({ of: "check" })))
        assert.deepStrictEqual(
          tripOf(yield* Effect.exit(Agent.run(agentWith([], broken), input))),
          new Boom({ of: "check" })
        )
      }).pipe(Effect.provide(model(step(delay("1 second"), fail(overloaded)), text("never")))))

    it.effect("is asked once in a run of several steps, and again in the next run", () =>
      Effect.gen(function*() {
        let asked = 0
        const toolkit = Toolkit.make(Tool.make("note", { success: Schema.String }))
        const guard = Guardrail.input("g", () => Effect.sync(() => (asked++, pass)))
        const agent = Agent.make("agent", { toolkit, middleware: [guard] })
        const handlers = toolkit.toLayer({ note: () => Effect.succeed("noted") })
        const { steps } = yield* Effect.provide(Agent.run(agent, input), handlers)
        assert.deepStrictEqual([steps.length, asked], [2, 1])
        yield* Effect.provide(Agent.run(agent, input), handlers)
        assert.strictEqual(asked, 2)
      }).pipe(Effect.provide(model(toolCalls({ name: "note", params: {} }), text("b"), text("c")))))

    it.effect("of several, all run, the first trip wins and interrupts the others", () =>
      Effect.gen(function*() {
        const log: Log = []
        const fiber = yield* Effect.forkChild(Effect.exit(Agent.run(
          agentWith(
            [],
            Guardrail.input("a", () => slow("a", 3, log, trip("a"))),
            Guardrail.input("b", () => slow("b", 1, log, trip("b"))),
            Guardrail.input("c", () => slow("c", 2, log, pass))
          ),
          input
        )))
        yield* TestClock.adjust("5 seconds")
        assert.deepStrictEqual(tripOf(yield* Fiber.join(fiber)), {
          trip: ["b", "input", "b"],
          text: "",
          usage: [undefined, undefined],
          steps: 0
        })
        assert.deepStrictEqual(log.toSorted(), ["a interrupted", "b done", "c interrupted"])
        assert.deepStrictEqual(yield* closed, ["failure"])
      }).pipe(Effect.provide(model(hang))))

    it.effect("an interrupted run and one that is left interrupt the check and the model", () =>
      Effect.gen(function*() {
        const log: Log = []
        const guard = Guardrail.input("g", () => slow("check", 60, log, pass))
        const started = yield* Deferred.make<void>()
        const running = yield* Agent.stream(agentWith(log, guard), input).pipe(
          Stream.tap((part) => part.type === "text-delta" ? Deferred.succeed(started, undefined) : Effect.void),
          Stream.runDrain,
          Effect.forkChild
        )
        yield* Deferred.await(started)
        yield* Fiber.interrupt(running)
        yield* Agent.stream(agentWith(log, guard), input).pipe(
          Stream.takeUntil((part) => part.type === "text-delta"),
          Stream.runDrain
        )
        assert.deepStrictEqual(log, [
          "p before",
          "check interrupted",
          "p end: Interrupted after \"a\"",
          "p before",
          "check interrupted",
          "p end: Abandoned after \"a\""
        ])
        assert.deepStrictEqual(yield* closed, ["interrupted", "interrupted"])
        assert.strictEqual(yield* savedVersion, 0)
      }).pipe(Effect.provide(model(step(text("a"), hang), step(text("a"), hang)))))
  })

  describe("inputBefore", () => {
    it.effect("calls the model when the check has passed, and not at all when it tripped", () =>
      Effect.gen(function*() {
        const { requests } = yield* ScriptedModel.ScriptedModel
        const guard = Guardrail.inputBefore("g", ({ text }) => Effect.succeed(text === "hi" ? pass : trip(text)))
        const { text } = yield* Agent.run(agentWith([], guard), input)
        assert.strictEqual(text, "a")
        const exit = yield* Effect.exit(Agent.run(agentWith([], guard), { prompt: "ho", session: "s" }))
        assert.deepStrictEqual(tripOf(exit), {
          trip: ["g", "input", "ho"],
          text: "",
          usage: [undefined, undefined],
          steps: 0
        })
        assert.lengthOf(yield* requests, 1)
        assert.strictEqual(yield* savedVersion, 1)
      }).pipe(Effect.provide(model(text("a")))))

    it.effect("answers in the place of the model, without usage, and the answer is saved", () =>
      Effect.gen(function*() {
        const guard = Guardrail.inputBefore("g", () => Effect.succeed(replace("I must not say.")))
        const { parts } = yield* collectAll(Agent.stream(agentWith([], guard), input))
        assert.deepStrictEqual(types(parts), [
          "run-start",
          "step-start",
          "text-start",
          "text-delta",
          "text-end",
          "finish",
          "step-end",
          "run-end"
        ])
        const { requests } = yield* ScriptedModel.ScriptedModel
        assert.lengthOf(yield* requests, 0)
        const store = yield* SessionStore.SessionStore
        const { history } = yield* store.load("s")
        assert.deepStrictEqual(showPrompt(history), [
          "user: [refused by the guardrail `g`]",
          "assistant: I must not say."
        ])
      }).pipe(Effect.provide(model())))

    it.effect("an interrupted run and one that is left while it checks never call the model", () =>
      Effect.gen(function*() {
        const log: Log = []
        const guard = Guardrail.inputBefore("g", () => slow("check", 60, log, pass))
        const fiber = yield* Effect.forkChild(Agent.run(agentWith(log, guard), input))
        yield* TestClock.adjust("1 second")
        yield* Fiber.interrupt(fiber)
        yield* Stream.runDrain(Stream.take(Agent.stream(agentWith(log, guard), input), 2))
        assert.deepStrictEqual(log, [
          "p before",
          "check interrupted",
          "p end: Interrupted after \"\"",
          "p before",
          "p end: Abandoned after \"\""
        ])
        const { requests } = yield* ScriptedModel.ScriptedModel
        assert.lengthOf(yield* requests, 0)
      }).pipe(Effect.provide(model())))
  })

  describe("output", () => {
    const seen = (log: Log, verdict: (text: string) => Guardrail.Pass | Guardrail.Trip | Guardrail.Replace<string>) =>
      Guardrail.output("g", ({ before, step, text }) =>
        Effect.sync(() => {
          log.push(`${step}: ${JSON.stringify(before)} + ${JSON.stringify(text)}`)
          return verdict(text)
        }))

    /** The parts of the model, deltas with their text. */
    const said = (parts: ReadonlyArray<AgentRun.Part>) =>
      parts.map((part) => part.type === "text-delta" || part.type === "reasoning-delta" ? part.delta : part.type)
        .slice(2, -2)

    it.effect("lets sentences through when they are whole, and puts others in their place", () =>
      Effect.gen(function*() {
        const log: Log = []
        const guard = seen(log, (text) => text.startsWith("My key") ? replace("(no) ") : pass)
        const { parts } = yield* collectAll(Agent.stream(agentWith([], guard), input))
        assert.deepStrictEqual(said(parts), [
          "text-start",
          "Hel",
          "lo. ",
          "(no) ",
          "O",
          "k",
          "text-end",
          "finish"
        ])
        assert.deepStrictEqual(log, [
          `0: "" + "Hello. "`,
          `0: "Hello. " + "My key is 3.14. "`,
          `0: "Hello. (no) " + "Ok"`
        ])
        const store = yield* SessionStore.SessionStore
        const { history } = yield* store.load("s")
        assert.deepStrictEqual(showPrompt(history), ["user: hi", "assistant: Hello. (no) Ok"])
      }).pipe(Effect.provide(model(text(["Hel", "lo. My key", " is 3.", "14. O", "k"])))))

    it.effect("keeps the order of all other parts", () =>
      Effect.gen(function*() {
        const log: Log = []
        const toolkit = Toolkit.make(Tool.make("note", { success: Schema.String }))
        const agent = Agent.make("agent", { toolkit, middleware: [seen(log, () => pass)] })
        const { parts: all } = yield* collectAll(Agent.stream(agent, input)).pipe(
          Effect.provide(toolkit.toLayer({ note: () => Effect.succeed("noted") }))
        )
        assert.deepStrictEqual(said(all), [
          "reasoning-start",
          "hm",
          "reasoning-end",
          "text-start",
          "I no",
          "reasoning-start",
          "x",
          "reasoning-end",
          "te",
          "text-end",
          "tool-call",
          "finish",
          "tool-result",
          "step-end",
          "step-start",
          "text-start",
          "Done",
          "text-end",
          "finish"
        ])
        assert.deepStrictEqual(log, [`0: "" + "I note"`, `1: "" + "Done"`])
      }).pipe(Effect.provide(model(
        step(
          reasoning("hm"),
          parts([
            { type: "text-start", id: "t" },
            { type: "text-delta", id: "t", delta: "I no" },
            { type: "reasoning-start", id: "r" },
            { type: "reasoning-delta", id: "r", delta: "x" },
            { type: "reasoning-end", id: "r" },
            { type: "text-delta", id: "t", delta: "te" },
            { type: "text-end", id: "t" }
          ]),
          toolCalls({ name: "note", params: {} })
        ),
        text("Done")
      ))))

    it.effect("keeps arrays: one for one, whole when nothing is held", () =>
      Effect.gen(function*() {
        const sizes: Array<number> = []
        yield* Agent.stream(agentWith([], seen([], () => pass)), input).pipe(
          Stream.chunks,
          Stream.runForEach((chunk) => Effect.sync(() => sizes.push(chunk.length)))
        )
        // run-start and step-start, the model's, step-end, run-end
        assert.deepStrictEqual(sizes, [2, 7, 1, 1])
      }).pipe(Effect.provide(inOneArray(text(["One. ", "Two. ", "Thr", "ee."])))))

    it.effect("a trip fails the run after what was let through, with the usage if the model has told it", () =>
      Effect.gen(function*() {
        const log: Log = []
        const guard = seen([], (text) => text.startsWith("Bad") ? trip(text) : pass)
        const early = yield* collectAll(Agent.stream(agentWith(log, guard), input))
        assert.deepStrictEqual(
          early.parts.map((part) => part.type === "text-delta" ? part.delta : part.type),
          ["run-start", "step-start", "text-start", "Good. "]
        )
        const left = { trip: ["g", "output", "Bad. "], text: "Good. ", steps: 0 }
        assert.deepStrictEqual(tripOf(early.exit), { ...left, usage: [undefined, undefined] })
        assert.deepStrictEqual(log, ["p before", "p end: Failed Fail GuardrailTripped after \"Good. \""])
        assert.deepStrictEqual(yield* closed, ["failure"])
        assert.strictEqual(yield* savedVersion, 0)

        const late = yield* collectAll(Agent.stream(agentWith([], guard), input)).pipe(
          Effect.provide(inOneArray([text("Good. Bad. Good"), finish("stop", usage(7, 3))]))
        )
        assert.deepStrictEqual(types(late.parts), ["run-start", "step-start", "text-start", "text-delta", "finish"])
        assert.deepStrictEqual(tripOf(late.exit), { ...left, usage: [7, 3] })
      }).pipe(Effect.provide(model(text(["Good. Bad", ". G", "ood."])))))

    it.effect("does not show what a model had not finished when it failed", () =>
      Effect.gen(function*() {
        const log: Log = []
        const failed = yield* collectAll(Agent.stream(agentWith(log, seen(log, () => pass)), input))
        assert.deepStrictEqual(tripOf(failed.exit), overloaded)
        yield* collectAll(Agent.stream(agentWith(log, seen(log, () => pass)), input))
        assert.deepStrictEqual(log, [
          "p before",
          `0: "" + "One. "`,
          "p end: Failed Fail AiError.RateLimitError after \"One. \"",
          "p before",
          "p end: Failed Fail AiError.UnknownError after \"\""
        ])
      }).pipe(Effect.provide(model(
        step(text("One. Tw"), fail(overloaded)),
        parts([
          { type: "text-start", id: "t" },
          { type: "text-delta", id: "t", delta: "Tw" },
          { type: "error", error: "broken" }
        ])
      ))))

    it.effect("text without an end of its block is checked when the model ends", () =>
      Effect.gen(function*() {
        const log: Log = []
        const { text } = yield* Agent.run(agentWith([], seen(log, () => replace("x"))), input)
        assert.deepStrictEqual([text, log], ["x", [`0: "" + "open"`]])
      }).pipe(Effect.provide(model(
        step(parts([{ type: "text-delta", id: "t", delta: "open" }]), ScriptedModel.finish("stop"))
      ))))

    it.effect("an interrupted run and one that is left interrupt the check", () =>
      Effect.gen(function*() {
        const log: Log = []
        const guard = Guardrail.output("g", ({ text }) =>
          text === "One. " ? Effect.succeed(pass) : slow("check", 60, log, pass))
        const fiber = yield* Effect.forkChild(Agent.run(agentWith(log, guard), input))
        yield* TestClock.adjust("1 second")
        yield* Fiber.interrupt(fiber)
        yield* Agent.stream(agentWith(log, guard), input).pipe(
          Stream.takeUntil((part) =>
            part.type === "text-delta"
          ),
          Stream.runDrain
        )
        assert.deepStrictEqual(log, [
          "p before",
          "check interrupted",
          "p end: Interrupted after \"One. \"",
          "p before",
          "p end: Abandoned after \"One. \""
        ])
        assert.strictEqual(yield* savedVersion, 0)
      }).pipe(Effect.provide(model(text(["One. ", "Two. ", "C"]), text(["One. ", "Two. ", "C"])))))

    it.effect("sees the text as the result will have it, however blocks interleave", () =>
      Effect.gen(function*() {
        const log: Log = []
        const { parts: all } = yield* collectAll(
          Agent.stream(agentWith([], seen(log, (text) => replace(text.toUpperCase()))), input)
        )
        assert.deepStrictEqual(log, [`0: "" + "acb"`])
        assert.deepStrictEqual(
          all.flatMap((part) => part.type === "text-delta" ? [[part.id, part.delta]] : []),
          [["t", "ACB"]]
        )
      }).pipe(Effect.provide(model(parts([
        { type: "text-start", id: "t" },
        { type: "text-start", id: "u" },
        { type: "text-delta", id: "t", delta: "a" },
        { type: "text-delta", id: "u", delta: "b" },
        { type: "text-delta", id: "t", delta: "c" },
        { type: "finish", reason: "stop", usage: usage(1, 1) }
      ])))))

    /** The parts in their order, with the text of the deltas but not where one delta ends. */
    const flat = (parts: ReadonlyArray<{ readonly type: string; readonly delta?: unknown }>) =>
      parts.map((part) => part.type === "text-delta" ? part.delta : `<${part.type} ${part.delta ?? ""}>`).join("")

    const Written = Schema.Array(Schema.Tuple([
      Schema.Literals(["text", "text", "other block", "reasoning", "tool-params"]),
      Schema.Literals(["a", "B. ", ".", " C", "\n\n", "- ", "```\n", ""])
    ]))
    it.effect.prop("keeps all text and the order of all parts, whatever comes", {
      written: Written,
      whole: Schema.Boolean,
      inOne: Schema.Boolean
    }, ({ inOne, whole, written }) =>
      Effect.gen(function*() {
        const encoded = [
          { type: "text-start", id: "t" },
          { type: "text-start", id: "u" },
          { type: "reasoning-start", id: "r" },
          { type: "tool-params-start", id: "p", name: "note", providerExecuted: false },
          ...written.map(([kind, delta]) =>
            kind === "text" || kind === "other block"
              ? { type: "text-delta" as const, id: kind === "text" ? "t" : "u", delta }
              : kind === "reasoning"
              ? { type: "reasoning-delta" as const, id: "r", delta }
              : { type: "tool-params-delta" as const, id: "p", delta }
          ),
          { type: "tool-params-end", id: "p" },
          { type: "text-end", id: "t" },
          { type: "reasoning-end", id: "r" },
          { type: "text-end", id: "u" },
          { type: "finish", reason: "stop", usage: usage(1, 1) }
        ] satisfies ReadonlyArray<Response.StreamPartEncoded>
        const checked: Array<string> = []
        const guard = (whole ? Guardrail.outputWhole : Guardrail.output)("g", ({ text }) =>
          Effect.sync(() => {
            checked.push(text)
            return pass
          }))
        const { parts: shown } = yield* Effect.provide(
          collectAll(Agent.stream(Agent.make("agent", { middleware: [guard] }), input)),
          script([parts(encoded)], { chunking: inOne ? "all" : "one" })
        )
        assert.strictEqual(flat(shown.slice(2, -2)), flat(encoded))
        // in the order of the text of the step: block after block
        const deltas = ["t", "u"].flatMap((id) =>
          encoded.flatMap((part) => part.type === "text-delta" && part.id === id ? part.delta : [])
        ).join("")
        assert.strictEqual(checked.join("").replace(/\s/g, ""), deltas.replace(/\s/g, ""))
      }), { arbitrary: { runs: 200, seed: "whatever comes" } })

    /** Which block writes its next delta, or begins, or ends when it has no more. */
    const Blocks = Schema.Array(
      Schema.Array(Schema.Literals(["a", "B. ", ".", " C", "\n\n", "- ", "```\n", "", "sk-", "1"])).check(
        Schema.isMaxLength(5)
      )
    ).check(Schema.isMaxLength(4))
    const Order = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 })))

    it.effect.prop("any interleaving of blocks gives the checks and the text of blocks in a row", {
      blocks: Blocks,
      order: Order,
      whole: Schema.Boolean,
      inOne: Schema.Boolean,
      sameId: Schema.Boolean
    }, ({ blocks, inOne, order, sameId, whole }) =>
      Effect.gen(function*() {
        const write = (deltas: ReadonlyArray<string>, id: string): ReadonlyArray<Response.StreamPartEncoded> => [
          { type: "text-start", id },
          ...deltas.map((delta) => ({ type: "text-delta" as const, id, delta })),
          { type: "text-end", id }
        ]
        const end: Response.StreamPartEncoded = { type: "finish", reason: "stop", usage: usage(1, 1) }
        // the blocks begin in their order, wherever the rest of them comes
        const left = blocks.map((deltas, index) => [...write(deltas, `t${index}`)])
        const interleaved = left.flatMap((block) => block.splice(0, 1))
        for (const index of order) interleaved.push(...(left[index]?.splice(0, 1) ?? []))
        interleaved.push(...left.flat(), end)
        const inRow = [...blocks.flatMap((deltas, index) => write(deltas, sameId ? "t" : `t${index}`)), end]
        const run = (encoded: ReadonlyArray<Response.StreamPartEncoded>) =>
          Effect.gen(function*() {
            const log: Log = []
            const guard = (whole ? Guardrail.outputWhole : Guardrail.output)("g", ({ before, text }) =>
              Effect.sync(() => {
                log.push(`${JSON.stringify(before)} + ${JSON.stringify(text)}`)
                return text.includes("sk-") ? replace(text.replaceAll("sk-", "***!")) : pass
              }))
            const shown: Array<string> = []
            const { text } = yield* Agent.stream(Agent.make("agent", { middleware: [guard] }), input).pipe(
              Stream.tap((part) => Effect.sync(() => part.type === "text-delta" && shown.push(part.delta))),
              AgentRun.fold,
              Effect.provide(script([parts(encoded)], { chunking: inOne ? "all" : "one" }))
            )
            return { log, text, shown }
          })
        const one = yield* run(interleaved)
        const other = yield* run(inRow)
        assert.deepStrictEqual(one.log, other.log)
        assert.strictEqual(one.text, other.text)
        assert.notInclude(one.text, "sk-")
        assert.notInclude(one.shown.join(""), "sk-")
        // what the checks have seen and given is what the result says
        if (!one.text.includes("***!") && !whole) {
          const seen = one.log.map((line) => JSON.parse(line.slice(line.indexOf(" + ") + 3)) as string)
          assert.strictEqual(seen.join("").replace(/\s/g, ""), one.text.replace(/\s/g, ""))
        }
      }), { arbitrary: { runs: 300, seed: "interleaved" } })

    it.effect("a block that begins again under the id of one that is open ends that one", () =>
      Effect.gen(function*() {
        const log: Log = []
        const { text } = yield* Agent.run(agentWith([], seen(log, () => pass)), input)
        assert.deepStrictEqual([text, log], ["abc", [`0: "" + "abc"`]])
      }).pipe(Effect.provide(model(parts([
        { type: "text-start", id: "t" },
        { type: "text-delta", id: "t", delta: "a" },
        { type: "text-start", id: "t" },
        { type: "text-delta", id: "t", delta: "b" },
        { type: "text-delta", id: "t", delta: "c" },
        { type: "finish", reason: "stop", usage: usage(1, 1) }
      ])))))

    const between: Record<string, ReadonlyArray<Response.StreamPartEncoded>> = {
      "nothing": [],
      "reasoning": [{ type: "reasoning-start", id: "r" }, { type: "reasoning-end", id: "r" }],
      "arguments of a call": [
        { type: "tool-params-start", id: "p", name: "note", providerExecuted: false },
        { type: "tool-params-delta", id: "p", delta: "{}" },
        { type: "tool-params-end", id: "p" }
      ],
      "an empty block": [
        { type: "text-start", id: "e" },
        { type: "text-delta", id: "e", delta: "" },
        { type: "text-end", id: "e" }
      ]
    }
    for (const [name, encoded] of Object.entries(between)) {
      for (const id of ["t", "u"]) {
        it.effect(`a sentence goes on in the block after ${name}, with the id ${id}`, () =>
          Effect.gen(function*() {
            const log: Log = []
            const { parts: all } = yield* collectAll(
              Agent.stream(
                agentWith([], seen(log, (text) => text.includes("sk-1") ? replace("***") : pass)),
                input
              )
            )
            assert.deepStrictEqual(log, [`0: "" + "Look: "`, `0: "Look: " + "a sk-1"`])
            assert.strictEqual(
              all.flatMap((part) => part.type === "text-delta" ? part.delta : []).join("|"),
              name === "an empty block" ? "Look: |***|" : "Look: |***"
            )
          }).pipe(Effect.provide(model(parts([
            { type: "text-start", id: "s" },
            { type: "text-delta", id: "s", delta: "Look: " },
            { type: "text-end", id: "s" },
            { type: "text-start", id: "t" },
            { type: "text-delta", id: "t", delta: "a s" },
            { type: "text-end", id: "t" },
            ...encoded,
            { type: "text-start", id },
            { type: "text-delta", id, delta: "k-1" },
            { type: "text-end", id },
            { type: "finish", reason: "stop", usage: usage(1, 1) }
          ])))))
      }
    }

    it.effect("holds any number of parts", () =>
      Effect.gen(function*() {
        const guard = Guardrail.outputWhole("g", () => Effect.succeed(pass))
        const { text } = yield* Agent.run(agentWith([], guard), input)
        assert.strictEqual(text.length, 300_000)
      }).pipe(Effect.provide(inOneArray(text(Array.from({ length: 300_000 }, () => "x"))))))

    it.effect("of several, text passes the last of the list first", () =>
      Effect.gen(function*() {
        const append = (letter: string) =>
          Guardrail.output(letter, ({ text }) => Effect.succeed(replace(text + letter)))
        const { text } = yield* Agent.run(agentWith([], append("a"), append("b")), input)
        assert.strictEqual(text, "xba")
      }).pipe(Effect.provide(model(text("x")))))
  })

  describe("outputWhole", () => {
    it.effect("shows nothing before all was said, then everything in order", () =>
      Effect.gen(function*() {
        const log: Log = []
        const guard = Guardrail.outputWhole("g", ({ text }) => Effect.sync(() => (log.push(`check ${text}`), pass)))
        yield* Agent.stream(agentWith([], guard), input).pipe(
          Stream.runForEach((part) => Effect.sync(() => log.push(part.type === "text-delta" ? part.delta : part.type)))
        )
        assert.deepStrictEqual(log, [
          "run-start",
          "step-start",
          "text-start",
          "check One. Two. Three.",
          "One. ",
          "Two. ",
          "text-end",
          "text-start",
          "Three.",
          "text-end",
          "finish",
          "step-end",
          "run-end"
        ])
      }).pipe(Effect.provide(model([text(["One. ", "Two. "]), text("Three.")]))))

    it.effect("puts one text in the place of all, or trips with the usage", () =>
      Effect.gen(function*() {
        const replaced = Guardrail.outputWhole("g", () => Effect.succeed(replace("other")))
        const { text } = yield* Agent.run(agentWith([], replaced), input)
        assert.strictEqual(text, "other")
        const tripped = Guardrail.outputWhole("g", ({ text }) => Effect.succeed(trip(text)))
        const { exit, parts } = yield* collectAll(Agent.stream(agentWith([], tripped), input))
        assert.deepStrictEqual(types(parts), ["run-start", "step-start", "text-start", "finish"])
        assert.deepStrictEqual(tripOf(exit), { trip: ["g", "output", "secret"], text: "", usage: [7, 3], steps: 0 })
      }).pipe(
        Effect.provide(model([text(["One. ", "Two. "]), text("Three.")], [text("secret"), finish("stop", usage(7, 3))]))
      ))
  })

  describe("tool", () => {
    const Add = Tool.make("add", { parameters: Schema.Struct({ a: Schema.FiniteFromString }), success: Schema.String })
    const Wait = Tool.make("wait", { success: Schema.String })
    const toolkit = Toolkit.make(Add, Wait)

    const runWith = (
      log: Log,
      ...middleware: ReadonlyArray<Middleware.Middleware<any, LanguageModel.LanguageModel>>
    ) => {
      const agent = Agent.make("agent", { toolkit, middleware, providers: [logged("p", log), SessionHistory.provider] })
      return collectAll(Agent.stream(agent, input)).pipe(
        Effect.provide(toolkit.toLayer({
          add: Effect.fnUntraced(function*({ a }, context) {
            log.push(`add ${a}`)
            yield* context.preliminary(`secret ${a}?`)
            return `secret ${a}`
          }),
          wait: () => hanging("wait", log)
        }))
      )
    }

    const add = (a: string) => toolCalls({ name: "add", params: { a }, id: "c" })

    const results = (parts: ReadonlyArray<AgentRun.Part>) =>
      parts.flatMap((part) =>
        part.type === "tool-result" ? [[part.preliminary, part.isFailure, part.encodedResult]] : []
      )

    const lastRequest = Effect.flatMap(
      ScriptedModel.ScriptedModel,
      (script) => Effect.map(script.requests, (requests) => showPrompt(requests.at(-1)!.prompt))
    )

    it.effect("before: sees raw arguments and puts others in their place, which are decoded", () =>
      Effect.gen(function*() {
        const log: Log = []
        const guard = Guardrail.tool("g", {
          before: ({ name, params }) =>
            Effect.sync(() => (log.push(`${name} ${JSON.stringify(params)}`), replace({ a: "2" })))
        })
        yield* runWith(log, guard)
        assert.deepStrictEqual(log.slice(1, 3), [`add {"a":"1"}`, "add 2"])
        assert.deepStrictEqual(yield* lastRequest, [
          "user: hi",
          `assistant: add#c({"a":"1"})`,
          `tool: add#c = "secret 2"`
        ])
      }).pipe(Effect.provide(model(add("1"), text("done")))))

    it.effect("before: a refusal is what the model reads, and the tool does not run", () =>
      Effect.gen(function*() {
        const log: Log = []
        const guard = Guardrail.tool("g", { before: () => Effect.succeed(refuse("not today")) })
        const { parts } = yield* runWith(log, guard)
        assert.deepStrictEqual(log, ["p before", "p after \"done\"", "p end: Completed \"done\""])
        assert.deepStrictEqual(results(parts), [[false, true, { type: "execution-denied", reason: "not today" }]])
        assert.deepStrictEqual(
          (yield* lastRequest).at(-1),
          `tool: add#c failed = {"type":"execution-denied","reason":"not today"}`
        )
      }).pipe(Effect.provide(model(add("1"), text("done")))))

    it.effect("before: a trip fails the run and interrupts the other tools", () =>
      Effect.gen(function*() {
        const log: Log = []
        const guard = Guardrail.tool("g", {
          tools: ["add"],
          before: ({ params }) => Effect.as(Effect.sleep("1 second"), trip(params))
        })
        const fiber = yield* Effect.forkChild(runWith(log, guard))
        yield* TestClock.adjust("1 second")
        const { exit } = yield* Fiber.join(fiber)
        assert.deepStrictEqual(tripOf(exit), { trip: ["g", "tool", { a: "1" }], text: "", usage: [10, 5], steps: 0 })
        assert.deepStrictEqual(log, [
          "p before",
          "wait runs",
          "wait interrupted",
          "p end: Failed Fail GuardrailTripped after \"\""
        ])
        assert.strictEqual(yield* savedVersion, 0)
      }).pipe(Effect.provide(model([toolCalls({ name: "wait", params: {} }), add("1")]))))

    it.effect("after: puts another value in the place of every result", () =>
      Effect.gen(function*() {
        const guard = Guardrail.tool("g", {
          after: ({ call, result }) =>
            Effect.succeed(replace(`${call.name} ${String(result.result).replace("secret", "***")}`))
        })
        const { parts } = yield* runWith([], guard)
        assert.deepStrictEqual(results(parts), [[true, false, "add *** 1?"], [false, false, "add *** 1"]])
        assert.deepStrictEqual((yield* lastRequest).at(-1), `tool: add#c = "add *** 1"`)
      }).pipe(Effect.provide(model(add("1"), text("done")))))

    it.effect("after: a refusal keeps the result from the model", () =>
      Effect.gen(function*() {
        const guard = Guardrail.tool("g", {
          after: ({ result }) => Effect.succeed(result.preliminary ? pass : refuse("not for you"))
        })
        const { parts } = yield* runWith([], guard)
        const denied = { type: "execution-denied", reason: "not for you" }
        assert.deepStrictEqual(results(parts), [[true, false, "secret 1?"], [false, true, denied]])
        assert.strictEqual((yield* lastRequest).at(-1), `tool: add#c failed = ${JSON.stringify(denied)}`)
      }).pipe(Effect.provide(model(add("1"), text("done")))))

    it.effect("after: a trip fails the run; the steps before it are in its partial", () =>
      Effect.gen(function*() {
        const log: Log = []
        const guard = Guardrail.tool("g", {
          after: ({ result }) =>
            Effect.succeed(result.preliminary || result.result === "secret 1" ? pass : trip(result.result))
        })
        const { exit } = yield* runWith(log, guard)
        assert.deepStrictEqual(tripOf(exit), { trip: ["g", "tool", "secret 2"], text: "", usage: [20, 10], steps: 1 })
        assert.strictEqual(yield* savedVersion, 0)
      }).pipe(Effect.provide(model(add("1"), add("2")))))

    it.effect("an interrupted run and one that is left interrupt the check, and the tool never runs", () =>
      Effect.gen(function*() {
        const log: Log = []
        const guard = Guardrail.tool("g", { before: () => slow("check", 60, log, pass) })
        const fiber = yield* Effect.forkChild(runWith(log, guard))
        yield* TestClock.adjust("1 second")
        yield* Fiber.interrupt(fiber)
        const agent = Agent.make("agent", { toolkit, middleware: [guard], providers: [logged("p", log)] })
        yield* Agent.stream(agent, input).pipe(
          Stream.takeUntil((part) => part.type === "tool-result"),
          Stream.runDrain,
          Effect.provide(toolkit.toLayer({ add: () => Effect.succeed("never"), wait: () => Effect.succeed("never") })),
          Effect.timeoutOption("1 second"),
          Effect.forkChild,
          Effect.tap(() => TestClock.adjust("1 second")),
          Effect.flatMap(Fiber.join)
        )
        assert.deepStrictEqual(log, [
          "p before",
          "check interrupted",
          "p end: Interrupted after \"\"",
          "p before",
          "check interrupted",
          "p end: Interrupted after \"\""
        ])
      }).pipe(Effect.provide(model(add("1"), add("1")))))

    it.effect("a run that is left after the result of one tool interrupts the check of the other", () =>
      Effect.gen(function*() {
        const log: Log = []
        const guard = Guardrail.tool("g", { tools: ["wait"], before: () => slow("check", 60, log, pass) })
        const agent = Agent.make("agent", { toolkit, middleware: [guard], providers: [logged("p", log)] })
        yield* Agent.stream(agent, input).pipe(
          Stream.takeUntil((part) => part.type === "tool-result"),
          Stream.runDrain,
          Effect.provide(toolkit.toLayer({ add: () => Effect.succeed("added"), wait: () => hanging("wait", log) }))
        )
        assert.deepStrictEqual(log, ["p before", "check interrupted", "p end: Abandoned after \"\""])
      }).pipe(Effect.provide(model([toolCalls({ name: "wait", params: {} }), add("1")]))))
  })

  it("shows its errors and services in the type of the agent", () => {
    const guards = [
      Guardrail.input("a", () => Effect.fail(new Boom({ of: "a" }))),
      Guardrail.output("b", () => Effect.as(SessionStore.SessionStore, pass)),
      Guardrail.tool("c", { before: () => Effect.succeed(pass) })
    ] as const
    const inline = Agent.make("agent", { middleware: [Guardrail.tool("c", { before: () => Effect.succeed(pass) })] })
    expectTypeOf<Agent.Services<typeof inline>>().toEqualTypeOf<LanguageModel.LanguageModel>()
    expectTypeOf<Agent.Error<typeof inline>>().toEqualTypeOf<
      AiError.AiError | AgentError.AgentError | Guardrail.GuardrailTripped
    >()
    const agent = Agent.make("agent", { middleware: guards })
    expectTypeOf<Agent.Error<typeof agent>>().toEqualTypeOf<
      AiError.AiError | AgentError.AgentError | Guardrail.GuardrailTripped | Boom
    >()
    expectTypeOf<Agent.Services<typeof agent>>().toEqualTypeOf<
      LanguageModel.LanguageModel | SessionStore.SessionStore
    >()
    assert.deepStrictEqual(guards.map((guard) => guard.name), ["a", "b", "c"])
  })

  it("an error names the guardrail and its place, not its info", () => {
    const error = new Guardrail.GuardrailTripped({ guardrail: "g", place: "output", info: "secret" })
    assert.strictEqual(error.message, "Guardrail `g` has stopped the run at its output")
  })
})
