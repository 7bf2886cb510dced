// deepagents: LangChain's agent with a to-do list, a file system and sub-agents around every run
process.env.LANGCHAIN_CALLBACKS_BACKGROUND ??= "false" // see the adapter of LangChain
const { createDeepAgent } = await import("deepagents")
const { tool } = await import("langchain")
import { BaseChatModel } from "@langchain/core/language_models/chat_models"
import { AIMessage, AIMessageChunk } from "@langchain/core/messages"
import { ChatGenerationChunk } from "@langchain/core/outputs"
import { z } from "zod"
import { cases, mock } from "../../lib/langchain.mjs"
import { add } from "../../lib/work.mjs"

const Mock = mock({ AIMessage, AIMessageChunk, BaseChatModel, ChatGenerationChunk })
const tools = [tool(async (i) => add(i), { name: "add", description: "add", schema: z.object({ a: z.number(), b: z.number() }) })]

export default {
  name: "deepagents",
  async setup({ otel }) {
    if (otel) return null // as LangChain
    return cases(Object.fromEntries(["text", "deltas", "tools"].map((k) => [k, createDeepAgent({ model: new Mock(k), tools: k === "tools" ? tools : [] })])))
  }
}
