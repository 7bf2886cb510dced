/**
 * Many users at once: `node scratchpad/backend/load.ts [clients] [runs of each]`, while the service runs.
 *
 * Each run has a prompt of its own, and its answer must be that of its own prompt, once: a lost, doubled or mixed final
 * answer is counted. The service answers with its offline model, a word every 10 ms.
 */
import { Array, Clock, Console, Data, Effect, Order, Schema, Stream } from "effect"
import { Sse } from "effect/encoding"

const [clients = 200, runs = 5] = process.argv.slice(2).map(Number)
const url = process.env["URL"] ?? "http://127.0.0.1:3000"

const End = Schema.Struct({ type: Schema.tag("run-end"), result: Schema.Struct({ text: Schema.String }) })
const decode = Schema.decodeUnknownEffect(
  Schema.fromJsonString(Schema.Union([End, Schema.Struct({ type: Schema.String })]))
)

class Unreachable extends Data.TaggedError("Unreachable") {}

interface Measured {
  readonly isRight: boolean
  readonly finals: number
  readonly first: number
  readonly total: number
}

const run = Effect.fn(function*(prompt: string) {
  const begin = yield* Clock.currentTimeMillis
  const response = yield* Effect.tryPromise({
    catch: () => new Unreachable(),
    try: (signal) =>
      fetch(`${url}/agents/support/runs`, {
        method: "POST",
        signal,
        headers: { authorization: "Bearer ada", "content-type": "application/json" },
        body: JSON.stringify({ prompt })
      })
  })
  if (!response.ok || response.body === null) {
    const text = yield* Effect.promise(() => response.text())
    return yield* Effect.die(new Error(`${response.status} ${text}`))
  }
  const body = response.body
  let first = 0
  const texts: Array<string> = []
  yield* Stream.fromReadableStream({ evaluate: () => body, onError: () => new Unreachable() }).pipe(
    Stream.decodeText(),
    Stream.pipeThroughChannel(Sse.decode()),
    Stream.runForEach(Effect.fnUntraced(function*({ data }) {
      if (first === 0) first = yield* Clock.currentTimeMillis
      const part = yield* decode(data)
      if ("result" in part) texts.push(part.result.text)
    }))
  )
  const end = yield* Clock.currentTimeMillis
  const isRight = texts.length === 1 && texts[0]!.includes(`${prompt}.`)
  return { isRight, finals: texts.length, first: first - begin, total: end - begin } satisfies Measured
})

const quantile = (numbers: ReadonlyArray<number>, part: number): number =>
  Array.sort(numbers, Order.Number)[Math.floor((numbers.length - 1) * part)] ?? 0

const program = Effect.gen(function*() {
  const begin = yield* Clock.currentTimeMillis
  const measured = yield* Effect.forEach(
    Array.range(1, clients),
    (client) => Effect.forEach(Array.range(1, runs), (n) => run(`client ${client} asks for the time ${n}`)),
    { concurrency: "unbounded" }
  ).pipe(Effect.map(Array.flatten))
  const seconds = ((yield* Clock.currentTimeMillis) - begin) / 1000
  const times = (name: "first" | "total") => {
    const all = measured.map((one) => one[name])
    return `${quantile(all, 0.5)} / ${quantile(all, 0.95)} / ${quantile(all, 1)} ms`
  }
  yield* Console.log(`runs             ${measured.length} in ${seconds.toFixed(1)} s, ${clients} at once`)
  yield* Console.log(`lost             ${measured.filter(({ finals }) => finals === 0).length}`)
  yield* Console.log(`doubled          ${measured.filter(({ finals }) => finals > 1).length}`)
  yield* Console.log(`mixed            ${measured.filter(({ finals, isRight }) => finals === 1 && !isRight).length}`)
  yield* Console.log(`first part       ${times("first")} (half, 95 %, all)`)
  yield* Console.log(`whole answer     ${times("total")}`)
})

const unreachable = Console.error(`There is no service at ${url}. Start it with: node scratchpad/backend/main.ts`)

Effect.runPromise(Effect.catchTag(program, "Unreachable", () => unreachable))
