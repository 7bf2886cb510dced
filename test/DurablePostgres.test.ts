/** Durable executions that several processes share over PostgreSQL. In their whole size: `npm run test:durable`. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, layer } from "@effect/vitest"
import { Array, Effect, Fiber, Layer } from "effect"
import * as Fleet from "./fixtures/durableFleet.ts"
import * as Postgres from "./fixtures/postgres.ts"

const Live = Layer.merge(Postgres.Server.layer, NodeFileSystem.layer)

layer(Live, { timeout: "5 minutes", excludeTestServices: true })("Durable, on several machines", (it) => {
  it.effect(
    "two of three processes are killed under load: each execution ends once, as if nothing had been",
    () =>
      Fleet.inFleet({ lease: 4000, pace: 15 }, (fleet) =>
        Effect.gen(function*() {
          const ids = Array.makeBy(12, (index) => `e${index}`)
          const [a, b] = yield* Effect.all([fleet.runner, fleet.runner], { concurrency: 2 })
          yield* Fleet.begin(ids)
          const readers = yield* Effect.forkScoped(
            Effect.forEach(ids, (id) => Fleet.readWithBreaks(id, 20), { concurrency: "unbounded" })
          )
          const first = yield* Fleet.kill(fleet, a, 20)
          // the others give it a share of their executions
          const c = yield* fleet.runner
          yield* Fleet.busy(fleet, c, 10)
          const second = yield* Fleet.kill(fleet, b, 20)
          const read = yield* Fiber.join(readers)
          yield* Fleet.assertOutcomes(read.map(({ parts }) => parts))
          const lines = yield* fleet.log
          Fleet.assertInFlight(lines)
          assert.isAbove(Fleet.takeover(lines, first).count + Fleet.takeover(lines, second).count, 0)
          assert.isTrue(read.every(({ breaks }) => breaks === 20))
        })),
    300_000
  )
})
