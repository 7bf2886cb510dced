import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema, Stream } from "effect"
import { LanguageModel, type Prompt, Tool, Toolkit } from "effect/ai"
import { AiSdk } from "../src/ai-sdk/index.ts"
import { Agent, AgentTool, Approval, SessionHistory, SessionStore } from "../src/index.ts"
import { ScriptedModel } from "../src/testing/index.ts"
import { providerNames, providers, rawServer, recording, type Sent } from "./fixtures/ai-sdk.ts"
import { complaints } from "./fixtures/wireRules.ts"

const X = Schema.Struct({ x: Schema.String })
const Step = Tool.make("step", { parameters: X, success: Schema.String })
const Gate = Tool.make("gate", { parameters: X, success: Schema.String, needsApproval: true })
const member = AgentTool.make(Agent.make("member"), { name: "member", session: "parent" })
const kit = Toolkit.make(Step, Gate, member.tool)

/** What is wrong with the pairs of a prompt: every call has its result in the message right after it. */
const unpaired = ({ content }: Prompt.Prompt): ReadonlyArray<string> =>
  content.flatMap((message, index) => {
    if (message.role === "tool") return content[index - 1]?.role === "assistant" ? [] : [`${index}: results of nothing`]
    if (message.role !== "assistant") return []
    const next = content[index + 1]
    const calls = message.content.flatMap((part) => part.type === "tool-call" ? part.id : [])
    const results = next?.role === "tool"
      ? next.content.flatMap((part) => part.type === "tool-result" ? part.id : [])
      : []
    return calls.toSorted().join() === results.toSorted().join()
      ? []
      : [`${index}: calls ${calls.join()} have ${results.join()}`]
  })

describe("the transcript of a program", () => {
  it.effect(
    "pairs each call with its result, in whatever order they end, for every server of models",
    () =>
      Effect.gen(function*() {
        let state = 5
        const below = (n: number) => {
          state = (state * 1103515245 + 12345) & 0x7fffffff
          return (state >> 8) % n
        }
        let late = 0
        for (let round = 0; round < 12; round++) {
          const turns = new Map<string, number>()
          const work = ({ x }: { readonly x: string }) =>
            Effect.gen(function*() {
              for (let turn = turns.get(x) ?? 0; turn > 0; turn--) yield* Effect.yieldNow
              return x
            })
          const branches = Array.from({ length: 2 + below(3) }, (_, index) => {
            const x = `${index}`
            turns.set(x, below(60))
            return { x, shape: below(3) }
          })
          const agent = Agent.program("late", {
            toolkit: kit,
            providers: [SessionHistory.providerEveryStep],
            run: (_, call) => {
              const branch = ({ shape, x }: (typeof branches)[number]): Effect.Effect<string, unknown> =>
                Effect.flatMap(call.gate({ x }), () =>
                  shape === 0
                    ? Effect.succeed(x)
                    : shape === 1
                    ? call.member({ prompt: x })
                    : Effect.andThen(call.step({ x }), call.step({ x: `${x}!` })))
              // beside the gates something goes on that is made again in no run
              const beside = Effect.forEach(["p", "q"], (x) => call.step({ x }))
              return Effect.all([beside, ...branches.map(branch)], { concurrency: "unbounded" })
            }
          })
          yield* Effect.gen(function*() {
            let result = yield* Agent.run(agent, { prompt: "go", session: "s" })
            while (result.approvals.length > 0) {
              const chosen = result.approvals.filter((_, index) => index === 0 || below(2) === 0)
              const answers = chosen.map((one) =>
                below(3) === 0
                  ? Approval.approve(one, { params: { x: `${(one.params as typeof X.Type).x}` } })
                  : Approval.approve(one)
              )
              result = yield* Agent.resume(agent, { session: "s" }, answers)
            }
            const store = yield* SessionStore.SessionStore
            const { history } = yield* store.load("s")
            const stored = unpaired({ ...history, content: history.content.filter(({ role }) => role !== "user") })
            if (stored.length > 0) late++
            yield* Agent.run(Agent.make("reader", { providers: [SessionHistory.provider] }), {
              prompt: "and?",
              session: "s"
            })
            const { requests } = yield* ScriptedModel.ScriptedModel
            const asked = (yield* requests).map(({ prompt }) => prompt)
            for (const prompt of asked) assert.deepStrictEqual(unpaired(prompt), [], `round ${round}`)
            const last = asked.at(-1)!
            for (const api of round < 3 ? providerNames : []) {
              assert.deepStrictEqual(complaints(api, yield* bodyOf(api, last)), [], `round ${round} of ${api}`)
            }
          }).pipe(Effect.provide(Layer.mergeAll(
            kit.toLayer({ step: work, gate: work, member: member.handler }),
            ScriptedModel.layer(Array.from({ length: 20 }, () => ScriptedModel.text("said"))),
            SessionStore.layerMemory
          )))
        }
        assert.isAbove(late, 0)
      }),
    60_000
  )
})

/** The body of the request for a prompt. The server refuses it: what was sent is all that is looked at. */
const bodyOf = (name: (typeof providerNames)[number], prompt: Prompt.Prompt) =>
  Effect.scoped(Effect.gen(function*() {
    const url = yield* rawServer((request, response) => {
      request.resume().on("end", () => response.writeHead(422, { "content-type": "application/json" }).end("{}"))
    })
    const sent: Array<Sent> = []
    yield* LanguageModel.streamText({ prompt }).pipe(
      Stream.runDrain,
      Effect.exit,
      Effect.provide(AiSdk.layer(providers(url, recording(sent))[name]))
    )
    return sent[0].body
  }))
