/**
 * The sessions that the suite for session stores saves.
 *
 * @since 0.1.0
 */
import * as Prompt from "effect/ai/Prompt"
import * as Session from "../../Session.ts"

/**
 * Ids that something could confuse: a path, a file system, SQL, UTF-8, an object, or the escapes of a store.
 *
 * @category samples
 * @since 0.1.0
 */
export const oddIds: ReadonlyArray<string> = [
  "",
  ".",
  "..",
  "../outside",
  "/absolute",
  "a/b",
  "a\\b",
  "a",
  "A",
  "a.head",
  "a~",
  "a~2f",
  "a%2Fb",
  "a\nb",
  "a'b",
  "a;--",
  "a%",
  "a*",
  "日本",
  "😀",
  "\ud800",
  "\ud801",
  "a\ud83d",
  "a\ude00",
  "\ufffd",
  "\ufffd\ufffd",
  "~ud800",
  "~utf16:d800",
  "é",
  "e\u0301",
  "ﬁ",
  "fi",
  "a\0",
  "a\0b",
  "a ",
  "a.",
  "CON",
  "__proto__",
  "constructor",
  "user",
  "USER",
  "uſer",
  "l".repeat(150),
  "l".repeat(255),
  "l".repeat(256),
  "L".repeat(100),
  "あ".repeat(90),
  `${"long".repeat(5000)}a`,
  `${"long".repeat(5000)}b`
]

/**
 * A user message.
 *
 * @category samples
 * @since 0.1.0
 */
export const text = (text: string): Prompt.Message => Prompt.userMessage({ content: [Prompt.textPart({ text })] })

/**
 * A state with every kind of JSON.
 *
 * @category samples
 * @since 0.1.0
 */
export const everyState: Session.State = {
  notes: ["a", 1, null, { deep: [true] }],
  "odd name/ä": "",
  ["__proto__"]: { polluted: true }
}

/**
 * Messages with every kind of part.
 *
 * @category samples
 * @since 0.1.0
 */
export const everyMessage: ReadonlyArray<Prompt.Message> = [
  Prompt.systemMessage({ content: "Be brief. 日本 😀 \u0000 \ud800", options: { provider: { cache: true } } }),
  Prompt.userMessage({
    content: [
      Prompt.textPart({ text: "look at these" }),
      Prompt.filePart({ mediaType: "text/plain", fileName: "a.txt", data: "inline" }),
      Prompt.filePart({ mediaType: "image/png", data: new Uint8Array([0, 1, 254, 255]) }),
      Prompt.filePart({ mediaType: "image/png", data: new URL("https://example.com/a.png?b=c") })
    ]
  }),
  Prompt.assistantMessage({
    content: [
      Prompt.reasoningPart({ text: "hm", options: { provider: { signature: "s" } } }),
      Prompt.textPart({ text: "" }),
      Prompt.toolCallPart({
        id: "c1",
        name: "read",
        params: { path: "a", deep: [null, 1.5] },
        providerExecuted: false
      }),
      Prompt.toolCallPart({ id: "c2", name: "search", params: "raw", providerExecuted: true }),
      Prompt.toolResultPart({ id: "c2", name: "search", isFailure: false, result: [], providerExecuted: true }),
      Prompt.toolCallPart({ id: "c3", name: "delete", params: {}, providerExecuted: false }),
      Prompt.toolApprovalRequestPart({ approvalId: "a1", toolCallId: "c3" })
    ]
  }),
  Prompt.toolMessage({
    content: [
      Prompt.toolResultPart({
        id: "c1",
        name: "read",
        isFailure: false,
        result: { lines: 3 },
        modelOutput: [Prompt.textPart({ text: "3 lines" })],
        providerExecuted: false
      }),
      Prompt.toolApprovalResponsePart({ approvalId: "a1", approved: false, reason: "no" }),
      Session.interruptedResult({ id: "c3", name: "delete" })
    ]
  })
]
