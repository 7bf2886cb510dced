/**
 * What steers a run passes the guardrails of its input before the model call that has it first: what `Steering` sends, and
 * the prompt that another run hands over.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Schema, Stream } from "effect"
import { AiError, Prompt, Tool, Toolkit } from "effect/ai"
import { TestClock } from "effect/testing"
import { Agent, AgentRun, Approval, Guardrail, SessionHistory, SessionStore, Steering } from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { nodeSdk } from "./fixtures/telemetry.ts"
import { showExit, showPrompt } from "./utils.ts"

const { delay, layer: script, step, text, toolCalls } = ScriptedModel

const overloaded = AiError.make({ module: "test", method: "run", reason: new AiError.RateLimitError({}) })

type Verdict = "trip" | "replace"

/** Refuses a bomb, and writes down all that it looks at. */
const guards = (verdict: Verdict, after: Effect.Effect<void> = Effect.void) => {
  const seen: Array<string> = []
  const check = (input: Guardrail.Input) =>
    Effect.suspend(() => {
      seen.push(`${showPrompt(input.prompt).join()} of ${input.request.transcript.length}: ${input.text}`)
      return Effect.map(input.request.steps.length === 0 ? Effect.void : after, () => input.text.includes("bomb"))
    })
  const refusal = verdict === "trip" ? Guardrail.trip("bomb") : Guardrail.replace("I do not do that.")
  return {
    seen,
    before: Guardrail.inputBefore(
      "g",
      (input) => Effect.map(check(input), (isBad) => isBad ? refusal : Guardrail.pass)
    ),
    beside: Guardrail.input(
      "g",
      (input) => Effect.map(check(input), (isBad) => isBad ? Guardrail.trip("bomb") : Guardrail.pass)
    )
  }
}

const note = "user: [refused by the guardrail `g`]"

/** A run that is sent the message while its model says the first answer. */
const steered = <E, R>(agent: Agent.Agent<any, E, R, any, any>, message: string) =>
  Effect.map(Steering.make, (steering) => {
    let isSent = false
    const send = Effect.suspend(() => {
      if (isSent) return Effect.void
      isSent = true
      return steering.send(message)
    })
    const stream = Agent.stream(agent, { prompt: "hi", session: "s", steering })
    return { steering, stream: Stream.tap(stream, (part) => part.type === "text-end" ? send : Effect.void) }
  })

const agentWith = (middleware: ReturnType<typeof guards>["before"], keep: SessionHistory.Keep = "always") =>
  Agent.make("agent", { middleware: [middleware], providers: [SessionHistory.make({ keep, whenHeld: "steer" })] })

const asked = Effect.flatMap(
  ScriptedModel.ScriptedModel,
  ({ requests }) => Effect.map(requests, (all) => all.map(({ prompt }) => showPrompt(prompt).at(-1)))
)

const history = Effect.flatMap(
  SessionStore.SessionStore,
  (store) => Effect.map(store.load("s"), (session) => showPrompt(session.history))
)

const model = (...steps: ReadonlyArray<ScriptedModel.Step>) => Layer.merge(script(steps), SessionStore.layerMemory)

const keeps: ReadonlyArray<SessionHistory.Keep> = ["completed", "every-step", "always"]

describe("Guardrail", () => {
  describe("what steers a run", () => {
    for (const place of ["before", "beside"] as const) {
      it.effect(`is checked ${place} the model call that has it first, once, and without what was checked before`, () =>
        Effect.gen(function*() {
          const { seen, ...guard } = guards("trip")
          const { stream } = yield* steered(agentWith(guard[place]), "fine")
          yield* Stream.runDrain(stream)
          assert.deepStrictEqual(seen, ["user: hi of 1: hi", "user: fine of 3: fine"])
          assert.deepStrictEqual(yield* history, ["user: hi", "assistant: one", "user: fine", "assistant: two"])
        }).pipe(Effect.provide(model(text("one"), text("two")))))

      for (const keep of keeps) {
        it.effect(`fails the run when a check ${place} it trips, and a note stays: ${keep}`, () =>
          Effect.gen(function*() {
            const agent = agentWith(guards("trip")[place], keep)
            const { steering, stream } = yield* steered(agent, "a bomb")
            const exit = yield* Effect.exit(AgentRun.fold(stream))
            assert.strictEqual(showExit(exit), "Failed Fail GuardrailTripped after \"\"")
            const outcome = AgentRun.outcome(exit)
            assert(outcome._tag === "Failed")
            assert.deepStrictEqual(showPrompt(outcome.partial.transcript).slice(0, 3), [
              "user: hi",
              "assistant: one",
              note
            ])
            assert.deepStrictEqual(yield* steering.unread, [])
            const kept = yield* history
            assert.notInclude(JSON.stringify(kept), "bomb")
            assert.strictEqual(kept.length > 0, keep !== "completed")
            if (place === "before") assert.deepStrictEqual(yield* asked, ["user: hi"])
          }).pipe(Effect.provide(model(text("one"), step(delay("1 second"), text("two"))))))
      }
    }

    for (const keep of keeps) {
      it.effect(`is answered by a replacement, and a note stays: ${keep}`, () =>
        Effect.gen(function*() {
          const { stream } = yield* steered(agentWith(guards("replace").before, keep), "a bomb")
          const result = yield* AgentRun.fold(stream)
          assert.deepStrictEqual([result.text, result.steps.length], ["I do not do that.", 2])
          assert.deepStrictEqual(yield* asked, ["user: hi"])
          const all = ["user: hi", "assistant: one", note, "assistant: I do not do that."]
          assert.deepStrictEqual(showPrompt(result.transcript), all)
          assert.deepStrictEqual(yield* history, all)
        }).pipe(Effect.provide(model(text("one")))))
    }

    for (const place of ["before", "beside"] as const) {
      for (const end of ["is interrupted", "fails", "is left"] as const) {
        it.effect(`is unread again when the run ${end} while a check ${place} the model runs`, () =>
          Effect.gen(function*() {
            const agent = agentWith(guards("trip", Effect.sleep("1 minute"))[place])
            const { steering, stream } = yield* steered(agent, "a bomb")
            const parts = Stream.runDrain(
              Stream.takeUntil(
                stream,
                (part) => end === "is left" && part.type === "text-delta" && part.delta === "two"
              )
            )
            const fiber = yield* Effect.forkChild(parts)
            yield* TestClock.adjust("2 seconds")
            if (end === "is interrupted" || place === "before") yield* Fiber.interrupt(fiber)
            assert.isTrue(Exit.isFailure(yield* Fiber.await(fiber)) || end === "is left")
            assert.deepStrictEqual(yield* history, ["user: hi", "assistant: one"])
            assert.deepStrictEqual(showPrompt(Prompt.fromMessages(yield* steering.unread)), ["user: a bomb"])
          }).pipe(Effect.provide(model(
            text("one"),
            end === "fails" ? step(text("two"), ScriptedModel.fail(overloaded)) : step(text("two"), ScriptedModel.hang)
          ))))
      }
    }

    it.effect("is on no span before it was let through, and never when it was refused", () =>
      Effect.gen(function*() {
        for (const place of ["before", "beside"] as const) {
          const layer = model(text("one"), text("two"))
          const { stream } = yield* steered(agentWith(guards("trip", Effect.sleep("1 second"))[place]), "a bomb")
          const run = Effect.gen(function*() {
            const fiber = yield* Effect.forkChild(Effect.exit(Stream.runDrain(stream)))
            yield* TestClock.adjust("5 seconds")
            assert.include(showExit(yield* Fiber.join(fiber)), "GuardrailTripped")
          })
          const [, exported] = yield* nodeSdk.run(Effect.provide(run, layer), { captureContent: true })
          assert.include(exported.text, "one")
          assert.notInclude(exported.text, "bomb")
        }
      }))
  })

  describe("a prompt that another run hands over", () => {
    const slow = (answer: string) => step(delay("1 second"), text(answer))

    for (const keep of keeps) {
      for (const place of ["before", "beside"] as const) {
        it.effect(`is refused by the run that takes it, and then by its own: ${keep}, ${place}`, () =>
          Effect.gen(function*() {
            const agent = agentWith(guards("trip")[place], keep)
            const fibers = yield* Effect.forEach(
              ["a", "a bomb", "b"],
              (prompt) =>
                Effect.forkChild(Effect.exit(Agent.run(agent, { prompt, session: "s" })), { startImmediately: true })
            )
            yield* Effect.repeat(TestClock.adjust("1 second"), { times: 8 })
            const exits = yield* Effect.forEach(fibers, (fiber) => Fiber.join(fiber))
            assert.deepStrictEqual(exits.slice(0, 2).map((exit) => showExit(exit).split(" after")[0]), [
              "Failed Fail GuardrailTripped",
              "Failed Fail GuardrailTripped"
            ])
            const kept = yield* history
            assert.notInclude(JSON.stringify(kept), "bomb")
            assert.strictEqual(Exit.isSuccess(exits[2]!), true)
          }).pipe(Effect.provide(model(...Array.from({ length: 8 }, (_, index) => slow(`answer ${index}`))))))
      }
    }

    it.effect("is answered in its place, and nobody asks again", () =>
      Effect.gen(function*() {
        const agent = agentWith(guards("replace").before)
        const fibers = yield* Effect.forEach(["a", "a bomb"], (prompt) =>
          Effect.forkChild(Agent.run(agent, { prompt, session: "s" }), { startImmediately: true }))
        yield* Effect.repeat(TestClock.adjust("1 second"), { times: 3 })
        const [first, second] = yield* Effect.forEach(fibers, (fiber) =>
          Fiber.join(fiber))
        assert.deepStrictEqual([first!.text, second!.stopReason], ["I do not do that.", "steered"])
        assert.deepStrictEqual(yield* history, ["user: a", "assistant: one", note, "assistant: I do not do that."])
      }).pipe(Effect.provide(model(slow("one")))))
  })

  describe("answers to approvals", () => {
    const Send = Tool.make("send", {
      parameters: Schema.Struct({ to: Schema.String }),
      success: Schema.String,
      needsApproval: true
    })
    const toolkit = Toolkit.make(Send)

    it.effect("are no input: the check of the input does not see them, that of the tool sees edited parameters", () =>
      Effect.gen(function*() {
        const { before, seen } = guards("trip")
        const params: Array<unknown> = []
        const agent = Agent.make("agent", {
          toolkit,
          middleware: [
            before,
            Guardrail.tool("t", {
              before: (request) =>
                Effect.sync(() => {
                  params.push(request.params)
                  return Guardrail.pass
                })
            })
          ],
          providers: [SessionHistory.provider]
        })
        const { approvals } = yield* Agent.run(agent, { prompt: "hi", session: "s" })
        const { text } = yield* Agent.resume(agent, { session: "s" }, [
          Approval.approve(approvals[0]!, { params: { to: "a bomb" } }),
          Approval.deny(approvals[1]!, "a bomb")
        ])
        assert.strictEqual(text, "done")
        assert.deepStrictEqual(seen, ["user: hi of 1: hi"])
        assert.deepStrictEqual(params.at(-1), { to: "a bomb" })
      }).pipe(
        Effect.provide([
          toolkit.toLayer({ send: ({ to }) => Effect.succeed(`sent to ${to}`) }),
          model(
            toolCalls({ name: "send", params: { to: "Ada" } }, { name: "send", params: { to: "Bob" } }),
            text("done")
          )
        ])
      ))
  })
})
