/** Many runs at once on real sockets: each client has its own run, whole, whatever the others do. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Stream } from "effect"
import { LanguageModel } from "effect/ai"
import { connect } from "node:net"
import { Agent, AgentRun, DirectLanguageModel, SessionStore } from "../src/index.ts"
import { Wires } from "./fixtures/remoteWires.ts"
import { types } from "./utils.ts"

const deltas = 20

const deltaOf = (id: string, index: number, bytes: number) => `${id}:${index} `.padEnd(bytes, ".")

/** Serves an agent whose answer to `<id> <deltas> <bytes>` says whose it is; it waits after its first delta. */
const serve = Effect.gen(function*() {
  const { remote, store } = yield* Wires
  let waiting = 0
  const gate = yield* Deferred.make<void>()
  const model = yield* DirectLanguageModel.make({
    generateText: () => Effect.die("not used"),
    streamText: ({ prompt }) => {
      const [message] = prompt.content
      const part = typeof message?.content === "string" ? undefined : message?.content[0]
      const [id = "", count = "", bytes = ""] = part?.type === "text" ? part.text.split(" ") : []
      const answer = Stream.range(0, Number(count) - 1).pipe(
        Stream.rechunk(1),
        Stream.mapEffect((index) => {
          if (index === 1) waiting++
          return Effect.as(index === 0 ? Effect.void : Deferred.await(gate), {
            type: "text-delta" as const,
            id: "t",
            delta: deltaOf(id, index, Number(bytes))
          })
        })
      )
      return Stream.succeed({ type: "text-start" as const, id: "t" }).pipe(
        Stream.concat(answer),
        Stream.concat(Stream.make(
          { type: "text-end" as const, id: "t" },
          {
            type: "finish" as const,
            reason: "stop" as const,
            usage: { inputTokens: { total: 1 }, outputTokens: { total: 1 } }
          } as never
        ))
      )
    }
  })
  const agent = yield* remote("HTTP", Agent.make("agent"), { whenLeft: "continue" }).pipe(
    Effect.provideService(LanguageModel.LanguageModel, model),
    Effect.provideService(SessionStore.SessionStore, store)
  )
  return { agent, gate, waiting: () => waiting }
})

const until = (condition: () => boolean) =>
  Effect.gen(function*() {
    while (!condition()) yield* Effect.promise(() => new Promise(setImmediate))
  })

describe("AgentHttp", () => {
  it.layer(Wires.layer, { excludeTestServices: true })((it) => {
    it.effect("50 clients at once each read their own run, once, beside five that read nothing", () =>
      Effect.gen(function*() {
        const { hub, url } = yield* Wires
        const { agent, gate, waiting } = yield* serve
        const paused = Array.from({ length: 5 }, (_, index) => `paused_run_${index}`)
        for (const runId of paused) {
          const body = JSON.stringify({ prompt: `${runId} 400 8000`, runId })
          const socket = yield* Effect.acquireRelease(
            Effect.sync(() => connect(Number(new URL(url).port), "127.0.0.1")),
            (socket) => Effect.sync(() => socket.destroy())
          )
          socket.pause().write(
            `POST /agents/agent/runs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ann\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
          )
        }
        const clients = yield* Effect.forkChild(
          Effect.forEach(Array.from({ length: 50 }, (_, n) => `r${n}`), (id) =>
            Effect.map(
              Stream.runCollect(Agent.stream(agent, { prompt: `${id} ${deltas} 0` })),
              (parts) => ({ id, parts })
            ), { concurrency: "unbounded" })
        )
        yield* until(() => waiting() === 55)
        yield* Deferred.succeed(gate, undefined)
        const all = yield* Fiber.join(clients)
        for (const { id, parts } of all) {
          const expected = Array.from({ length: deltas }, (_, index) => deltaOf(id, index, 0))
          assert.deepStrictEqual(
            parts.flatMap((part) => part.type === "text-delta" ? [part.delta] : []),
            expected
          )
          assert.deepStrictEqual(types(parts).filter((type) => type === "run-end"), ["run-end"])
          assert.strictEqual((yield* AgentRun.fold(Stream.fromIterable(parts))).text, expected.join(""))
        }
        // those that read nothing have held up none of their runs either
        for (const runId of paused) {
          const live = yield* hub.get(runId)
          assert.isTrue(Exit.isSuccess(yield* live!.exit))
        }
      }))
  })
})
