import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Queue, Stream } from "effect"
import { AiError, LanguageModel, type Response } from "effect/ai"
import { HttpClient } from "effect/http"
import { createServer, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { Agent } from "../../src/index.ts"
import { constructors, type Log, logged } from "../utils.ts"

/** A server that says one word and then holds the line. */
const slowServer = (log: Log) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly url: string; readonly closed: Deferred.Deferred<void>; readonly close: () => void }>(
      (resume) => {
        const closed = Deferred.makeUnsafe<void>()
        const server = createServer((_request, response: ServerResponse) => {
          response.writeHead(200, { "content-type": "text/plain" })
          response.write("word")
          response.on("close", () => {
            log.push(response.writableFinished ? "server finished" : "server saw the close")
            Deferred.doneUnsafe(closed, Effect.void)
          })
        })
        server.listen(0, "127.0.0.1", () => {
          const { port } = server.address() as AddressInfo
          resume(Effect.succeed({
            url: `http://127.0.0.1:${port}/`,
            closed,
            close: () => {
              server.closeAllConnections()
              server.close()
            }
          }))
        })
      }
    ),
    ({ close }) => Effect.sync(close)
  )

/** A model that reads its words from a server, and waits in its release until the server has seen the close. */
const socketModel = Effect.fnUntraced(function*(
  via: typeof constructors[number][1],
  server: { readonly url: string; readonly closed: Deferred.Deferred<void> },
  log: Log
) {
  const client = yield* HttpClient.HttpClient
  return yield* via({
    generateText: () => Effect.succeed([]),
    streamText: () =>
      Stream.unwrap(Effect.gen(function*() {
        yield* Effect.addFinalizer(() =>
          Effect.andThen(Deferred.await(server.closed), Effect.sync(() => log.push("model released")))
        )
        const words = Stream.unwrap(Effect.map(client.get(server.url), (response) => response.stream)).pipe(
          Stream.decodeText(),
          Stream.mapError((error) =>
            AiError.make({
              module: "socket",
              method: "streamText",
              reason: new AiError.UnknownError({ description: error.message })
            })
          ),
          Stream.map((delta): Response.StreamPartEncoded => ({ type: "text-delta", id: "1", delta }))
        )
        return Stream.concat(Stream.succeed<Response.StreamPartEncoded>({ type: "text-start", id: "1" }), words)
      }))
  })
})

for (const [name, via] of constructors) {
  describe(`the request of a model of ${name}`, () => {
    const setUp = Effect.fnUntraced(function*(log: Log) {
      const server = yield* slowServer(log)
      const model = yield* socketModel(via, server, log)
      const heard = yield* Queue.unbounded<string>()
      const agent = Agent.make("agent", { providers: [logged("p1", log)] })
      const stream = Agent.stream(agent, { prompt: "hi" }).pipe(
        Stream.tap((part) => part.type === "text-delta" ? Queue.offer(heard, part.delta) : Effect.void),
        Stream.provideService(LanguageModel.LanguageModel, model)
      )
      return { stream, heard, closed: server.closed }
    })

    it.live("is aborted down to the socket when the run is interrupted, before the next statement", () =>
      Effect.gen(function*() {
        const log: Log = []
        const { heard, stream } = yield* setUp(log)
        const fiber = yield* Effect.forkChild(Stream.runDrain(stream))
        assert.strictEqual(yield* Queue.take(heard), "word")
        yield* Fiber.interrupt(fiber)
        log.push("next statement")
        assert.deepStrictEqual(log, [
          "p1 before",
          "server saw the close",
          "model released",
          "p1 end: Interrupted after \"word\"",
          "next statement"
        ])
      }).pipe(Effect.scoped, Effect.provide(NodeHttpClient.layerNodeHttp)))

    it.live("is aborted down to the socket when the consumer leaves early, before the next statement", () =>
      Effect.gen(function*() {
        const log: Log = []
        const { stream } = yield* setUp(log)
        yield* Stream.runDrain(Stream.takeUntil(stream, (part) => part.type === "text-delta"))
        log.push("next statement")
        assert.deepStrictEqual(log, [
          "p1 before",
          "server saw the close",
          "model released",
          "p1 end: Abandoned after \"word\"",
          "next statement"
        ])
      }).pipe(Effect.scoped, Effect.provide(NodeHttpClient.layerNodeHttp)))

    it.live("is aborted down to the socket when a provider's stream is left by a `break`", () =>
      Effect.gen(function*() {
        const log: Log = []
        const { stream } = yield* setUp(log)
        yield* Effect.promise(async () => {
          for await (const part of Stream.toAsyncIterable(stream)) {
            if (part.type === "text-delta") break
          }
        })
        log.push("next statement")
        assert.deepStrictEqual(log.slice(1), [
          "server saw the close",
          "model released",
          "p1 end: Abandoned after \"word\"",
          "next statement"
        ])
      }).pipe(Effect.scoped, Effect.provide(NodeHttpClient.layerNodeHttp)))
  })
}
