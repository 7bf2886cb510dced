// node --expose-gc peers/vercel/serving.mjs: `streamText` of the AI SDK behind express, driven over IPC by lib/serving.mjs.
import { streamText } from "ai"
import express from "express"
import { answering, deltasOf } from "../../lib/servedWork.mjs"

const usage = {
  inputTokens: { total: 10, noCache: 10, cacheRead: 0, cacheWrite: 0 },
  outputTokens: { total: 5, text: 5, reasoning: 0 }
}
const model = {
  specificationVersion: "v4",
  provider: "mock",
  modelId: "mock",
  supportedUrls: {},
  doGenerate: () => Promise.reject(new Error("not used")),
  doStream: async ({ prompt }) => {
    const deltas = deltasOf(prompt.at(-1).content.map(({ text }) => text).join(""))
    let isBegun = false
    return {
      stream: new ReadableStream({
        async pull(controller) {
          if (!isBegun) {
            isBegun = true
            controller.enqueue({ type: "stream-start", warnings: [] })
            return controller.enqueue({ type: "text-start", id: "t" })
          }
          const { done, value } = await deltas.next()
          if (!done) return controller.enqueue({ type: "text-delta", id: "t", delta: value })
          controller.enqueue({ type: "text-end", id: "t" })
          controller.enqueue({ type: "finish", finishReason: { unified: "stop", raw: "stop" }, usage })
          controller.close()
        }
      })
    }
  }
}

const app = express()
app.use(express.json())
app.post("/chat", (request, response) => {
  const stopped = new AbortController()
  response.on("close", () => stopped.abort())
  streamText({ model, prompt: request.body.prompt, abortSignal: stopped.signal }).pipeUIMessageStreamToResponse(response)
})
const server = app.listen(0, "127.0.0.1", () => answering(server.address().port))
