// Runs behind HTTP as server-sent events: this package, and the AI SDK behind express, with the same deltas. The clients
// live in this process and check every delta of every run; each server lives in a process of its own.
import assert from "node:assert/strict"
import { fork } from "node:child_process"
import { connect } from "node:net"
import { Agent, request } from "node:http"
import { join } from "node:path"
import { deltaOf } from "./servedWork.mjs"

const servers = [
  {
    name: "effect-agents: AgentHttp, RunHub, keep-alive",
    file: "peers/ours/serving.mjs",
    path: "/agents/assistant/runs",
    isEnd: (part) => part.type === "run-end",
    finalOf: (part) => part.result.text
  },
  {
    name: "ai and express",
    file: "peers/vercel/serving.mjs",
    path: "/chat",
    isEnd: (part) => part.type === "finish",
    finalOf: () => undefined
  }
]

/** Milliseconds after which a server that says nothing is a failure: the benchmark ends in any case. */
const patience = 120_000

const start = async (bench, { file }) => {
  const child = fork(join(bench, file), [], {
    cwd: bench,
    execArgv: ["--expose-gc"],
    env: { ...process.env, NODE_NO_WARNINGS: "1" },
    stdio: ["ignore", "ignore", "inherit", "ipc"]
  })
  const reply = () =>
    new Promise((resolve, reject) => {
      const onExit = (code) => reject(new Error(`${file} exited with ${code}`))
      const late = setTimeout(() => reject(new Error(`${file} has not answered in ${patience / 1_000} seconds`)), patience)
      child.once("exit", onExit)
      child.once("message", ({ answer, error }) => {
        clearTimeout(late)
        child.off("exit", onExit)
        if (error === undefined) resolve(answer)
        else reject(new Error(error))
      })
    })
  const { port } = await reply()
  const ask = (ask, options = {}) => {
    child.send({ ask, ...options })
    return reply()
  }
  return { ask, port, stop: () => child.disconnect() }
}

const agent = new Agent({ keepAlive: false, maxSockets: Infinity })

/** One run, read to its end and checked: each delta once, in order, of this run; one end; nothing after it. */
const run = ({ isEnd, finalOf, path }, port, { bytes, deltas, id }) =>
  new Promise((resolve, reject) => {
    let index = 0
    let ends = 0
    let buffer = ""
    const onEvent = (event) => {
      const data = event.split("\n").find((line) => line.startsWith("data: "))?.slice(6)
      if (data === undefined || data === "[DONE]") return
      const part = JSON.parse(data)
      if (part.type === "text-delta") assert.equal(part.delta, deltaOf(id, index++, bytes))
      if (!isEnd(part)) return
      ends++
      const whole = Array.from({ length: deltas }, (_, index) => deltaOf(id, index, bytes)).join("")
      assert.equal(finalOf(part) ?? whole, whole)
    }
    const body = JSON.stringify({ prompt: `${id} ${deltas} ${bytes}` })
    const sent = request({
      host: "127.0.0.1",
      port,
      path,
      method: "POST",
      agent,
      headers: { "content-type": "application/json", "content-length": body.length }
    }, (response) => {
      response.setEncoding("utf8")
      response.on("data", (text) => {
        buffer += text
        const events = buffer.split("\n\n")
        buffer = events.pop()
        try {
          for (const event of events) onEvent(event)
        } catch (error) {
          reject(error)
        }
      })
      response.on("end", () => {
        try {
          assert.deepEqual({ id, status: response.statusCode, deltas: index, ends }, { id, status: 200, deltas, ends: 1 })
          resolve()
        } catch (error) {
          reject(error)
        }
      })
      response.on("error", reject)
    })
    sent.setTimeout(patience, () => sent.destroy(new Error(`${path}: nothing came in ${patience / 1_000} seconds`)))
    sent.on("error", reject).end(body)
  })

let runs = 0

/** So many runs, all of them open before any goes on. */
const atOnce = async (server, { ask, port }, { bytes = 0, count, deltas }) => {
  await ask("close")
  const all = Array.from({ length: count }, () => run(server, port, { bytes, deltas, id: `r${runs++}` }))
  const ended = Promise.all(all)
  ended.catch(() => {})
  while (await ask("begun") < count) await Promise.race([ended, new Promise((wake) => setTimeout(wake, 5))])
  const [cpu, begun] = [await ask("cpu"), performance.now()]
  await ask("open")
  await ended
  return { ms: performance.now() - begun, us: (await ask("cpu") - cpu) / (count * deltas) }
}

/** Readers that take the head of the response and nothing more. Returns when their sockets are full. */
const paused = async ({ path }, { port }, { bytes, count, deltas }) => {
  const sockets = await Promise.all(Array.from({ length: count }, () =>
    new Promise((resolve, reject) => {
      const body = JSON.stringify({ prompt: `p${runs++} ${deltas} ${bytes}` })
      const socket = connect(port, "127.0.0.1", () =>
        socket.write(
          `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
        ))
      socket.once("data", () => resolve(socket.pause())).once("error", reject)
    })))
  return () => sockets.forEach((socket) => socket.destroy())
}

const median = (xs) => [...xs].sort((a, b) => a - b)[xs.length >> 1]
const number = (x) => Math.abs(x) >= 100 ? x.toFixed(0) : x.toFixed(1)
const range = (xs) => `${number(median(xs))} [${number(Math.min(...xs))}-${number(Math.max(...xs))}]`
const settle = () => new Promise((wake) => setTimeout(wake, 1_500))

export const serving = async (bench, { log, quick }) => {
  const [runsAtOnce, deltas, rounds] = quick ? [200, 20, 3] : [1_000, 20, 3]
  const live = []
  for (const server of servers) {
    log(`serving: ${server.name}`)
    live.push({ server, process: await start(bench, server), one: [], many: [] })
  }
  const [{ process: ours }] = live
  const pipeline = await ours.ask("pipeline", { rounds: quick ? 3 : 7 })

  for (const { process, server } of live) await atOnce(server, process, { count: 50, deltas: 200 })
  for (let round = 0; round < rounds; round++) {
    for (const { many, one, process, server } of live) {
      one.push(await atOnce(server, process, { count: 1, deltas: 5_000 }))
      many.push(await atOnce(server, process, { count: runsAtOnce, deltas }))
    }
  }

  const still = { bytes: 2_000, count: 100, deltas: 500 }
  for (const each of live) {
    log(`serving: readers that stop, ${each.server.name}`)
    const { process, server } = each
    const beside = () => atOnce(server, process, { count: 100, deltas: 100 })
    each.alone = [await beside(), await beside(), await beside()]
    await settle()
    const before = await process.ask("heap")
    await process.ask("close")
    await process.ask("open")
    const leave = await paused(server, process, still)
    await settle()
    each.held = (await process.ask("heap") - before) / still.count
    each.beside = [await beside(), await beside(), await beside()]
    await settle()
    each.heldLater = (await process.ask("heap") - before) / still.count
    leave()
    await settle()
    await settle()
    each.left = (await process.ask("heap") - before) / still.count
  }
  for (const { process } of live) process.stop()

  return [
    {
      title: "A delta on its way to a client",
      note: "The time that the main thread works for one of 10,000 deltas, from the model to the bytes of a response, in the process and without a socket; median [min-max].",
      head: ["", "one by one, µs", "in arrays of 64, µs"],
      rows: Object.entries(pipeline).map(([name, times]) => [name, ...times.map(range)])
    },
    {
      title: `${runsAtOnce.toLocaleString("en-US")} runs at once as server-sent events`,
      note: `Over sockets of this machine, the clients in another process. All runs are open before any goes on. Every delta, every end and every final text is checked: none was lost, doubled or of another run. ${deltas} deltas in each run, ${rounds} rounds in turn; the time that the server's main thread works, median [min-max].`,
      head: ["", "µs a delta, one run of 5,000", `µs a delta, ${runsAtOnce} runs`, "until all have ended, ms"],
      rows: live.map(({ many, one, server }) => [
        server.name,
        range(one.map(({ us }) => us)),
        range(many.map(({ us }) => us)),
        range(many.map(({ ms }) => ms))
      ])
    },
    {
      title: "100 readers that stop reading",
      note: `Each has a run of ${still.deltas.toLocaleString("en-US")} deltas of ${still.bytes} bytes. Held: the heap and the buffers of the server for one of them, right away, after 300 other runs, and when they have gone. Beside: 100 other runs at once.`,
      head: ["", "held, kB", "later, kB", "when gone, kB", "beside, ms", "without them, ms"],
      rows: live.map(({ alone, beside, held, heldLater, left, server }) => [
        server.name,
        ...[held, heldLater, left].map((bytes) => number(bytes / 1_000)),
        range(beside.map(({ ms }) => ms)),
        range(alone.map(({ ms }) => ms))
      ])
    }
  ]
}
