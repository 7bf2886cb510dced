// The scripted model of LangChain and of what is built on it. Each peer has a copy of `@langchain/core` of its own,
// whose classes it passes in.
import { answer, fullText, PROMPT, USAGE } from "./work.mjs"

const usage_metadata = { input_tokens: USAGE.input, output_tokens: USAGE.output, total_tokens: USAGE.input + USAGE.output }
const done = (messages) => messages.filter((m) => m.getType() === "tool").length

export const mock = ({ AIMessage, AIMessageChunk, BaseChatModel, ChatGenerationChunk }) =>
  class Mock extends BaseChatModel {
    constructor(kind) { super({}); this.kind = kind }
    _llmType() { return "mock" }
    bindTools() { return this }
    async _generate(messages) {
      const a = answer(this.kind, done(messages))
      const message = new AIMessage(a.tool ? { content: "", tool_calls: [{ id: a.tool.id, name: a.tool.name, args: a.tool.input, type: "tool_call" }], usage_metadata } : { content: fullText(a), usage_metadata })
      return { generations: [{ text: "", message }] }
    }
    async *_streamResponseChunks(messages, _options, runManager) {
      const a = answer(this.kind, done(messages))
      const chunk = (text, message) => new ChatGenerationChunk({ text, message })
      if (a.tool) yield chunk("", new AIMessageChunk({ content: "", tool_call_chunks: [{ index: 0, id: a.tool.id, name: a.tool.name, args: JSON.stringify(a.tool.input), type: "tool_call_chunk" }], usage_metadata }))
      else for (let i = 0; i < a.n; i++) {
        const c = chunk(a.delta, new AIMessageChunk({ content: a.delta, ...(i === a.n - 1 ? { usage_metadata } : {}) }))
        yield c
        await runManager?.handleLLMNewToken(a.delta, undefined, undefined, undefined, undefined, { chunk: c })
      }
    }
  }

/** The cases of an agent for each kind of work. */
export const cases = (agents) => {
  const input = () => ({ messages: [{ role: "user", content: PROMPT }] })
  const stream = async (kind) => {
    let deltas = 0, text = ""
    for await (const [c] of await agents[kind].stream(input(), { streamMode: "messages", recursionLimit: 100 }))
      if (c.getType() === "ai" && c.content) { deltas++; text += c.content }
    return { deltas, text }
  }
  return { text: async () => ({ text: (await agents.text.invoke(input())).messages.at(-1).content }), stream, tools: () => stream("tools") }
}
