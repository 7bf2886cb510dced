/** What a server may do with the bytes of a run: press them, cut them anywhere, or send them without an end. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { createServer, type ServerResponse } from "node:http"
import { createGzip } from "node:zlib"
import { Agent } from "../src/index.ts"
import { RemoteAgent } from "../src/server/index.ts"
import { serve } from "./fixtures/agentServer.ts"
import { types } from "./utils.ts"

const runId = "run_12345678"
const usage = { inputTokens: {}, outputTokens: {} }
const parts: ReadonlyArray<unknown> = [
  { type: "run-start", agent: "assistant", runId },
  { type: "step-start", index: 0 },
  { type: "text-start", id: "t" },
  { type: "text-delta", id: "t", delta: "Grüße 😀 aus Oslo" },
  {
    type: "run-end",
    result: {
      agent: "assistant",
      runId,
      text: "Grüße 😀 aus Oslo",
      value: null,
      usage,
      totalUsage: usage,
      steps: [],
      stopReason: "stop",
      transcript: { content: [] },
      approvals: []
    }
  }
]
const eventOf = (part: unknown, index: number) => `id: ${index}\ndata: ${JSON.stringify(part)}\n\n`

/** An agent behind a server that answers in its own way. */
const behind = (answer: (response: ServerResponse) => void) =>
  Effect.gen(function*() {
    const http = yield* Effect.acquireRelease(
      Effect.callback<ReturnType<typeof createServer>>((resume) => {
        const server = createServer((request, response) => {
          request.resume()
          answer(response)
        })
        server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
      }),
      (server) =>
        Effect.sync(() => {
          server.close()
          server.closeAllConnections()
        })
    )
    const address = http.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    const { client } = yield* serve({ script: [] })
    return RemoteAgent.make("assistant", yield* client("ann", `http://127.0.0.1:${port}`))
  })

describe("RemoteAgent", () => {
  it.live("reads a response that is pressed, part by part", () =>
    Effect.gen(function*() {
      let goOn = () => {}
      const agent = yield* behind((response) => {
        response.writeHead(200, { "content-type": "text/event-stream", "content-encoding": "gzip" })
        const gzip = createGzip()
        gzip.pipe(response)
        gzip.write(parts.slice(0, 4).map(eventOf).join(""))
        // what was written so far is on its way before the rest is known
        gzip.flush()
        goOn = () => gzip.end(eventOf(parts[4], 4))
      })
      const read = yield* Agent.stream(agent, { prompt: "hi", runId }).pipe(
        Stream.tap((part) => part.type === "text-delta" ? Effect.sync(() => goOn()) : Effect.void),
        Stream.runCollect
      )
      assert.deepStrictEqual(types(read), ["run-start", "step-start", "text-start", "text-delta", "run-end"])
    }).pipe(Effect.scoped))

  it.live("reads a response that is cut at every byte", () =>
    Effect.gen(function*() {
      const bytes = Buffer.from(parts.map(eventOf).join(""))
      const agent = yield* behind((response) => {
        response.writeHead(200, { "content-type": "text/event-stream" })
        let sent = 0
        const next = () => {
          if (sent === bytes.length) return void response.end()
          response.write(bytes.subarray(sent, ++sent), next)
        }
        next()
      })
      assert.strictEqual((yield* Agent.run(agent, { prompt: "hi", runId })).text, "Grüße 😀 aus Oslo")
    }).pipe(Effect.scoped))

  it.live("holds back a server without an end while its reader is slow, and stops it by leaving", () =>
    Effect.gen(function*() {
      let sent = 0
      let isFull = false
      let isLeft = false
      const agent = yield* behind((response) => {
        response.writeHead(200, { "content-type": "text/event-stream" })
        response.on("close", () => {
          isLeft = true
        })
        response.write(parts.slice(0, 3).map(eventOf).join(""))
        const more = () => {
          while (!isLeft) {
            const isTaken = response.write(
              eventOf({ type: "text-delta", id: "t", delta: "x".repeat(10_000) }, 3 + sent++)
            )
            if (!isTaken) {
              isFull = true
              return void response.once("drain", more)
            }
          }
        }
        more()
      })
      let read = 0
      yield* Agent.stream(agent, { prompt: "hi", runId }).pipe(
        Stream.tap(() =>
          ++read === 10
            // the sockets fill up, and nothing more is sent
            ? Effect.gen(function*() {
              let before = -1
              while (!isFull || before !== sent) {
                before = sent
                yield* Effect.sleep("50 millis")
              }
            })
            : Effect.void
        ),
        Stream.take(20),
        Stream.runDrain
      )
      assert.isBelow(sent, 5_000)
      while (!isLeft) yield* Effect.promise(() => new Promise(setImmediate))
    }).pipe(Effect.scoped))
})
