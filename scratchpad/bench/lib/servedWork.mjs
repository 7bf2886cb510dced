// The work of the servers of lib/serving.mjs, and what they answer to it.
//
// A prompt is "<id> <deltas> <bytes>". Each delta says whose it is, so that a client sees one that is lost, doubled, or of
// another run. All runs wait behind a gate after their first delta until it opens.

let gate = Promise.resolve()
let open = () => {}
let begun = 0

export const deltaOf = (id, index, bytes) => `${id}:${index} `.padEnd(bytes, ".")

export async function* deltasOf(prompt) {
  const [id, deltas, bytes] = prompt.split(" ")
  yield deltaOf(id, 0, Number(bytes))
  begun++
  await gate
  for (let index = 1; index < Number(deltas); index++) yield deltaOf(id, index, Number(bytes))
}

/** Answers the questions of the driver; `more` are those of one server alone. */
export const answering = (port, more = {}) => {
  const questions = {
    close: () => {
      begun = 0
      gate = new Promise((resolve) => (open = resolve))
    },
    open: () => open(),
    begun: () => begun,
    cpu: () => {
      const { system, user } = process.threadCpuUsage()
      return system + user
    },
    heap: () => {
      for (let i = 0; i < 3; i++) globalThis.gc()
      const { arrayBuffers, external, heapUsed } = process.memoryUsage()
      return heapUsed + Math.max(external, arrayBuffers)
    },
    ...more
  }
  process.on("message", async ({ ask, ...options }) => {
    try {
      process.send({ answer: await questions[ask](options) })
    } catch (error) {
      process.send({ error: String(error?.stack ?? error) })
    }
  })
  process.on("disconnect", () => process.exit())
  process.send({ answer: { port } })
}
