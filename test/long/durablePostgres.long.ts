/** The proofs about durable executions on several machines in their whole size: `npm run test:durable`. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, layer } from "@effect/vitest"
import { Array, Effect, Fiber, Layer, Random, Schedule, Stream } from "effect"
import { Durable } from "../../src/durable/index.ts"
import { Approval } from "../../src/index.ts"
import * as Fleet from "../fixtures/durableFleet.ts"
import * as Office from "../fixtures/durableOffice.ts"
import * as Postgres from "../fixtures/postgres.ts"

const Live = Layer.merge(Postgres.Server.layer, NodeFileSystem.layer)

const tuned = { lease: 4000, pace: 15 }

const named = (name: string, count: number) => Array.makeBy(count, (index) => `${name}${index}`)

const readEach = (ids: ReadonlyArray<string>, breaks: number) =>
  Effect.forEach(ids, (id) => Fleet.readWithBreaks(id, breaks), { concurrency: 20 })

layer(Live, { timeout: "10 minutes", excludeTestServices: true })("Durable, on several machines", (it) => {
  it.effect(
    "10 processes are killed under a load of 200 executions, of two processes and then of three",
    () =>
      Fleet.inFleet(tuned, (fleet) =>
        Effect.gen(function*() {
          const runners = yield* Effect.replicateEffect(fleet.runner, 2)
          const readers: Array<Fiber.Fiber<Fleet.Read, unknown>> = []
          const ids: Array<string> = []
          const kills: Array<Fleet.Kill> = []
          for (let n = 0; n < 10; n++) {
            const wave = named(`e${n}-`, 20)
            yield* Fleet.begin(wave)
            readers.push(yield* Effect.forkScoped(Fleet.readWithBreaks(wave[0]!, 20)))
            ids.push(...wave.slice(1))
            if (n === 5) runners.push(yield* fleet.runner)
            const [runner] = runners.splice(yield* Random.nextIntBetween(0, runners.length - 1), 1)
            kills.push(yield* Fleet.kill(fleet, runner!, 20))
            runners.push(yield* fleet.runner)
          }
          const broken = yield* Effect.forEach(readers, Fiber.join)
          assert.isTrue(broken.every(({ breaks }) => breaks === 20))
          const whole = yield* readEach(ids, 0)
          yield* Fleet.assertOutcomes([...broken, ...whole].map(({ parts }) => parts))
          const lines = yield* fleet.log
          const repeats = Fleet.assertInFlight(lines)
          const takeovers = kills.map((kill) => Fleet.takeover(lines, kill)).filter(({ count }) => count > 0)
          yield* Effect.log(`${kills.length} processes were killed, ${repeats} calls were in flight and made again`)
          yield* Effect.log(
            `the first and the last execution of each went on after ${
              takeovers.map(({ first, last }) => `${first} to ${last}`).join(", ")
            } ms`
          )
          assert.isAtLeast(takeovers.length, 5)
          // the processes have more to do than they can, so only the soonest tells how long the lease takes
          assert.isBelow(Math.min(...takeovers.map(({ first }) => first)), 8000)
        }).pipe(Random.withSeed("fleet"))),
    600_000
  )

  it.effect(
    "a process that is told to stop ends within two seconds, and nothing is made again",
    () =>
      Fleet.inFleet(tuned, (fleet) =>
        Effect.gen(function*() {
          const ids = named("e", 12)
          const [a] = yield* Effect.replicateEffect(fleet.runner, 2)
          yield* Fleet.begin(ids)
          yield* Fleet.busy(fleet, a!, 20)
          const before = Date.now()
          yield* a!.signal("SIGTERM")
          yield* a!.ended
          const took = Date.now() - before
          yield* Fleet.assertOutcomes((yield* readEach(ids, 0)).map(({ parts }) => parts))
          const lines = yield* fleet.log
          yield* Effect.log(
            `it ended after ${took} ms, others went on after`,
            Fleet.takeover(lines, { ...a!, at: before })
          )
          assert.strictEqual(Fleet.assertInFlight(lines), 0)
          assert.isBelow(took, 2000)
        })),
    240_000
  )

  it.effect(
    "a process that was frozen for longer than its lease writes nothing that counts, and works again",
    () =>
      Fleet.inFleet(tuned, (fleet) =>
        Effect.gen(function*() {
          const ids = named("e", 12)
          const [a] = yield* Effect.replicateEffect(fleet.runner, 2)
          yield* Fleet.begin(ids)
          const readers = yield* Effect.forkScoped(readEach(ids, 0))
          yield* Fleet.busy(fleet, a!, 20)
          yield* a!.signal("SIGSTOP")
          const frozen = { pid: a!.pid, at: Date.now() }
          yield* Fleet.until(fleet, (lines) => Fleet.takeover(lines, frozen).count > 0 ? true : undefined)
          yield* a!.signal("SIGCONT")
          yield* Fleet.assertOutcomes((yield* Fiber.join(readers)).map(({ parts }) => parts))
          yield* Effect.log("others went on after", Fleet.takeover(yield* fleet.log, frozen))
          const later = named("later", 12)
          yield* Fleet.begin(later)
          yield* Fleet.assertOutcomes((yield* readEach(later, 0)).map(({ parts }) => parts))
          const lines = yield* fleet.log
          assert.isTrue(lines.some(({ execution, pid }) => pid === a!.pid && execution.startsWith("later")))
        })),
    240_000
  )

  it.effect(
    "approvals are answered from another process than the three that work: nested, denied, edited, twice, wrong",
    () =>
      Fleet.inFleet(tuned, (fleet) =>
        Effect.gen(function*() {
          yield* Effect.replicateEffect(fleet.runner, 2)
          const ids = named("o", 6)
          yield* Effect.forEach(ids, (id) => Durable.start(Office.office, { id, prompt: "Pay all bills" }))
          const asked = yield* Effect.forEach(ids, (id) =>
            Effect.repeat(Durable.approvals(Office.office, id), {
              until: ({ length }) => length === 3,
              schedule: Schedule.spaced("50 millis")
            }))
          // whoever has asked does not have to be there any more
          yield* fleet.runner
          const answers = asked.map((approvals) => {
            const [own, second, third] = [1, 2, 3].map((amount) =>
              approvals.find(({ params }) => (params as { readonly amount: number }).amount === amount)!
            )
            return { own: own!, second: second!, third: third! }
          })
          yield* Effect.forEach(ids, (id, index) =>
            Effect.gen(function*() {
              const { own, second, third } = answers[index]!
              const refused = (answer: Approval.Answer) =>
                Effect.map(Effect.flip(Durable.answer(Office.office, id, [answer])), (error) =>
                  error._tag === "AnswerRefused" ? error.problem : error._tag)
              assert.deepStrictEqual(second.path, ["clerk"])
              assert.strictEqual(
                yield* refused(Approval.approve(own, { params: { amount: "much" } })),
                "invalid-params"
              )
              assert.strictEqual(yield* refused(Approval.approve({ ...own, approvalId: "none" })), "unknown")
              yield* Durable.answer(Office.office, id, [Approval.approve(own, { params: { amount: 10 } })])
              yield* Durable.answer(Office.office, id, [Approval.approve(own, { params: { amount: 10 } })])
              assert.strictEqual(yield* refused(Approval.approve(own)), "answered")
              yield* Durable.answer(Office.office, id, [Approval.deny(second, "no money"), Approval.approve(third)])
            }), { concurrency: "unbounded" })
          const texts = yield* Effect.forEach(ids, (id) =>
            Durable.result(Office.office, id))
          yield* Effect.log(texts[0]!.text)
          const lines = yield* fleet.log
          for (const [index, id] of ids.entries()) {
            const paid = lines.filter(({ event, execution }) =>
              execution === id && event.startsWith("begin office tool ")
            )
            assert.deepStrictEqual(paid.map(({ event }) => event.split(" ")[3]).sort(), ["10", "3"])
            assert.strictEqual(texts[index]!.text, texts[0]!.text)
            assert.include(texts[index]!.text, "no money")
          }
        })),
    240_000
  )

  it.effect(
    "a reader in another process gets each part, and how soon is printed",
    () =>
      Fleet.inFleet(tuned, (fleet) =>
        Effect.gen(function*() {
          yield* fleet.runner
          yield* Durable.start(Office.ticker, { id: "t", prompt: "Go" })
          const delays: Array<number> = []
          yield* Stream.runForEach(Durable.attach(Office.ticker, "t"), ({ part }) =>
            Effect.sync(() => {
              if (part.type === "text-delta") delays.push(Date.now() - Number(part.delta))
            }))
          assert.strictEqual(delays.length, 60)
          delays.sort((a, b) => a - b)
          yield* Effect.log(`from the model to a reader in another process: ${delays[30]} ms, p95 ${delays[56]} ms`)
        })),
    120_000
  )
})
