/** Agents behind the A2A protocol, with the real client of its SDK, over loopback. */
import type { StreamResponse, Task } from "@a2a-js/sdk"
import type { Client } from "@a2a-js/sdk/client"
import { InMemoryTaskStore, ServerCallContext, type TaskStore } from "@a2a-js/sdk/server"
import { jsonRpcHandler } from "@a2a-js/sdk/server/express"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import express from "express"
import type { AddressInfo } from "node:net"
import { A2aServer } from "../src/a2a/index.ts"
import { RunHub } from "../src/server/index.ts"
import {
  artifactsOf,
  clientAs,
  collect,
  folded,
  listen,
  message,
  serve,
  short,
  slow,
  stateOf,
  taskOf
} from "./fixtures/a2a.ts"
import { completing, make, secret, words } from "./fixtures/everyPart.ts"

const send = (client: Client, ...params: Parameters<typeof message>) =>
  Effect.map(Effect.promise(() => client.sendMessage(message(...params))), taskOf)

const stream = (client: Client, ...params: Parameters<typeof message>) =>
  collect(client.sendMessageStream(message(...params)))

const get = (client: Client, id: string, historyLength?: number) =>
  Effect.promise(() => client.getTask({ tenant: "", id, historyLength }))

const cancel = (client: Client, id: string) =>
  Effect.promise(() => client.cancelTask({ tenant: "", id, metadata: undefined }))

const subscribe = (client: Client, id: string) => client.resubscribeTask({ tenant: "", id })

/** The error that the SDK makes of a refusal: its name, and its message. */
const refusalOf = (request: () => Promise<unknown> | AsyncIterable<unknown>) =>
  Effect.promise(async () => {
    try {
      const answer = request()
      if (Symbol.asyncIterator in answer) { for await (const _ of answer); }
      else await answer
      return "accepted"
    } catch (error) {
      const { message, name } = error as Error
      return `${name}: ${message}`
    }
  })

const stateOfTask = ({ status }: Task): string => stateOf(status?.state)

const approvalsOf = ({ status }: Task): ReadonlyArray<{ readonly approvalId: string; readonly tool: string }> => {
  const data = status?.message?.parts.find(({ content }) => content?.$case === "data")
  return data?.content?.value.approvals ?? []
}

const answers = (given: ReadonlyArray<object>) => [{ data: { answers: given } }]

/** How the run of a word ends. */
const endOf = (word: string): string =>
  /^(removes|cleans)/.test(word) ? "INPUT_REQUIRED" : /^(fails|dies)/.test(word) ? "FAILED" : "COMPLETED"

/** Reads a stream until it has given some updates. */
const reading = (updates: AsyncGenerator<StreamResponse, void, undefined>, count: number) =>
  Effect.promise(async () => {
    const seen: Array<StreamResponse> = []
    while (seen.length < count) {
      const next = await updates.next()
      if (next.done === true) break
      seen.push(next.value)
    }
    return seen
  })

/** The updates with each text in one line: how many deltas it came in depends on when they were read. */
const told = (updates: ReadonlyArray<StreamResponse>): ReadonlyArray<string> => {
  const lines: Array<string> = []
  for (const line of updates.map(short)) {
    const last = lines.at(-1)
    if (line.startsWith("+text ") && last?.startsWith("text ")) {
      lines[lines.length - 1] = last + line.slice("+text ".length)
    } else lines.push(line)
  }
  return lines
}

describe("A2aServer", () => {
  it.live("a client sees each kind of run, and the stored task is what it has seen", () =>
    Effect.gen(function*() {
      const { client } = yield* serve()
      const ann = yield* client("ann")
      for (const word of words.filter((word) => word !== "hangs" && word !== "reports")) {
        const updates = yield* stream(ann, word)
        const seen = updates.map(short)
        assert.deepStrictEqual([seen[0], seen[1]], ["task SUBMITTED", "WORKING"], word)
        const states = updates.flatMap(({ payload }) => payload?.$case === "statusUpdate" ? [short({ payload })] : [])
        assert.deepStrictEqual(states, ["WORKING", endOf(word)], word)
        assert.strictEqual(seen.at(-1), endOf(word), word)
        const task = folded(updates)
        const stored = yield* get(ann, task.id)
        assert.deepStrictEqual(artifactsOf(stored), artifactsOf(task), word)
        assert.deepStrictEqual(stored.status, task.status, word)
        assert.notInclude(JSON.stringify([updates, stored]), secret, word)
      }
    }).pipe(Effect.scoped))

  it.live("the artifacts of a run are its texts, files and sources", () =>
    Effect.gen(function*() {
      const { client, reporter } = yield* serve()
      const ann = yield* client("ann")
      assert.deepStrictEqual(told(yield* stream(ann, "weather")), [
        "task SUBMITTED",
        "WORKING",
        "text Let me look. .",
        "text Done..",
        "COMPLETED"
      ])
      const sources = yield* stream(ann, "sources")
      assert.deepStrictEqual(sources.slice(2, -1).map(short), [
        "A https://example.com/a.",
        "file iVBORw0KGgo=.",
        "text see the sources",
        "+text ."
      ])
      assert.deepStrictEqual((yield* stream(yield* reporter, "reports")).slice(2).map(short), [
        "output {\"title\":\"A\"}",
        "output {\"title\":\"A\",\"points\":[1,2]}",
        "output {\"title\":\"A\",\"points\":[1,2]}.",
        "COMPLETED"
      ])
      const { artifacts, metadata } = folded(yield* stream(ann, "weather"))
      assert.deepStrictEqual(artifacts.map(({ metadata }) => metadata), [
        { "effect-agents": { step: 0 } },
        { "effect-agents": { step: 1 } }
      ])
      assert.isUndefined(metadata)
    }).pipe(Effect.scoped))

  it.live("a failure is told by its public description, and nothing else", () =>
    Effect.gen(function*() {
      const { client } = yield* serve()
      const ann = yield* client("ann")
      const told = yield* Effect.forEach(["fails", "fails at once", "dies"], (word) =>
        Effect.map(send(ann, word), ({ metadata, status }) => [
          status?.message?.parts.map(({ content }) =>
            content?.value
          ),
          metadata
        ]))
      const limited = [["The model gets too many requests. Try again later."], {
        "effect-agents": { code: "rate-limited", retryable: true, status: 429 }
      }]
      assert.deepStrictEqual(told, [limited, limited, [["Something went wrong."], {
        "effect-agents": { code: "internal", retryable: false, status: 500 }
      }]])
    }).pipe(Effect.scoped))

  it.live("a blocking request waits for the end, and one that returns at once is completed without a reader", () =>
    Effect.gen(function*() {
      const { client, hub } = yield* serve()
      const ann = yield* client("ann")
      const task = yield* send(ann, "weather", { contextId: "chat" })
      assert.deepStrictEqual([stateOfTask(task), task.contextId, artifactsOf(task)], [
        "COMPLETED",
        "chat",
        ["Let me look. ", "Done."]
      ])
      assert.deepStrictEqual(task.metadata, {
        "effect-agents": {
          stopReason: "stop",
          usage: { inputTokens: { total: 20 }, outputTokens: { total: 10 } },
          step: 1
        }
      })
      const hanging = yield* send(ann, "hangs", { returnImmediately: true })
      assert.include(["SUBMITTED", "WORKING"], stateOfTask(hanging))
      yield* cancel(ann, hanging.id)
      const begun = yield* send(ann, "weather", { returnImmediately: true })
      yield* Effect.flatMap(hub.get(begun.id), (run) => run?.exit ?? Effect.void)
      yield* Effect.repeat(get(ann, begun.id), { until: (task) => stateOfTask(task) === "COMPLETED" })
      assert.deepStrictEqual(artifactsOf(yield* get(ann, begun.id)), ["Let me look. ", "Done."])
    }).pipe(Effect.scoped))

  it.live("the messages of one context are one conversation, and an owner has contexts of its own", () =>
    Effect.gen(function*() {
      const { client } = yield* serve()
      const [ann, bob] = [yield* client("ann"), yield* client("bob")]
      const first = yield* send(ann, "hello", { contextId: "chat" })
      const second = yield* send(ann, "again", { contextId: "chat" })
      const other = yield* send(bob, "hello", { contextId: "chat" })
      assert.notStrictEqual(first.id, second.id)
      for (const id of [first.id, second.id]) {
        assert.deepStrictEqual(
          yield* Effect.forEach([
            () => bob.getTask({ tenant: "", id }),
            () => bob.cancelTask({ tenant: "", id, metadata: undefined }),
            () => bob.sendMessage(message("mine?", { taskId: id })),
            () => bob.sendMessageStream(message("mine?", { taskId: id })),
            () => subscribe(bob, id)
          ], refusalOf),
          Array(5).fill("TaskNotFoundError: The task is not known.")
        )
      }
      const list = (client: Client, pageSize: number, pageToken = "") =>
        Effect.promise(() =>
          client.listTasks({ tenant: "", contextId: "chat", status: 0, pageSize, pageToken } as never)
        )
      const page = yield* list(ann, 1)
      const next = yield* list(ann, 1, page.nextPageToken)
      assert.deepStrictEqual(
        [page.tasks.map(({ id }) => id), next.tasks.map(({ id }) => id), page.totalSize, next.nextPageToken],
        [[second.id], [first.id], 2, ""]
      )
      assert.deepStrictEqual((yield* list(bob, 50)).tasks.map(({ id }) => id), [other.id])
    }).pipe(Effect.scoped))

  it.live("approvals are answered by the next message of the task: one approved, one denied, one edited", () =>
    Effect.gen(function*() {
      const { client, done } = yield* serve()
      const ann = yield* client("ann")
      const waiting = yield* send(ann, "removes two")
      const [a, b] = approvalsOf(waiting)
      const { contextId, id: taskId } = waiting
      const seen = yield* stream(
        ann,
        answers([
          { approvalId: a!.approvalId, approved: true, params: { file: "other.txt" } },
          { approvalId: b!.approvalId, approved: false, reason: "it is needed" }
        ]),
        { taskId, contextId }
      )
      assert.deepStrictEqual(told(seen), ["task INPUT_REQUIRED", "WORKING", "text Done..", "COMPLETED"])
      assert.deepStrictEqual(done, ["remove other.txt"])
      const nested = yield* send(ann, "cleans")
      const [approval] = approvalsOf(nested)
      const cleaned = yield* send(ann, answers([{ approvalId: approval!.approvalId, approved: true }]), {
        taskId: nested.id
      })
      assert.deepStrictEqual([stateOfTask(cleaned), done], ["COMPLETED", ["remove other.txt", "remove old.txt"]])
      assert.deepStrictEqual(cleaned.history.length, 3)
    }).pipe(Effect.scoped))

  it.live("wrong answers are refused, and the task waits as before", () =>
    Effect.gen(function*() {
      const { client, done } = yield* serve()
      const ann = yield* client("ann")
      const { id: taskId, ...waiting } = yield* send(ann, "removes")
      const [{ approvalId } = { approvalId: "" }] = approvalsOf({ id: taskId, ...waiting })
      const to = (parts: Parameters<typeof message>[0]) => () => ann.sendMessage(message(parts, { taskId }))
      const given = (answer: object) => to(answers([{ approvalId, approved: true, ...answer }]))
      assert.deepStrictEqual(
        yield* Effect.forEach([
          given({ approvalId: "forged" }),
          given({ params: { file: 3 } }),
          given({ approved: "yes" }),
          to(answers([])),
          to([...answers([{ approvalId, approved: true }]), { text: "and more" }]),
          () => ann.sendMessageStream(message(answers([{ approvalId: "x", approved: true }]), { taskId }))
        ], refusalOf),
        [
          "RequestMalformedError: Nobody asked for this approval.",
          "RequestMalformedError: These are no arguments of remove_file: Expected string\n  at [\"file\"]",
          "RequestMalformedError: The answers could not be read.",
          "RequestMalformedError: The answers could not be read.",
          "RequestMalformedError: A message has either answers or a prompt.",
          "RequestMalformedError: Nobody asked for this approval."
        ]
      )
      const after = yield* get(ann, taskId)
      assert.deepStrictEqual([stateOfTask(after), after.history.length, done], ["INPUT_REQUIRED", 2, []])
      // both at once: one is taken, and nothing runs twice
      const both = yield* Effect.forEach([given({}), given({})], refusalOf, { concurrency: 2 })
      assert.deepStrictEqual(both.map((_) => _.split(":")[0]).sort(), ["UnsupportedOperationError", "accepted"])
      assert.deepStrictEqual(done, ["remove old.txt"])
      assert.strictEqual(yield* refusalOf(given({})), "UnsupportedOperationError: The task has ended.")
      // a message without answers goes on without the call
      const other = yield* send(ann, "removes")
      const gone = yield* send(ann, "hello", { taskId: other.id })
      assert.deepStrictEqual([stateOfTask(gone), artifactsOf(gone), done.length], [
        "COMPLETED",
        ["I remove it. ", "You said: hello"],
        1
      ])
    }).pipe(Effect.scoped))

  it.live("a task that is canceled ends its run: while it works, and while it waits", () =>
    Effect.gen(function*() {
      const { client, hub } = yield* serve()
      const ann = yield* client("ann")
      const updates = ann.sendMessageStream(message("hangs"))
      const seen = yield* reading(updates, 3)
      const { id } = folded(seen)
      assert.strictEqual(stateOfTask(yield* cancel(ann, id)), "CANCELED")
      assert.deepStrictEqual(yield* hub.running, [])
      const rest = yield* collect(updates)
      assert.deepStrictEqual(told([...seen, ...rest]), [
        "task SUBMITTED",
        "WORKING",
        "text in the middle",
        "CANCELED"
      ])
      assert.strictEqual(stateOfTask(yield* cancel(ann, id)), "CANCELED", "again")
      const waiting = yield* send(ann, "removes")
      assert.strictEqual(stateOfTask(yield* cancel(ann, waiting.id)), "CANCELED")
      const completed = yield* send(ann, "hello")
      assert.strictEqual(
        yield* refusalOf(() => ann.cancelTask({ tenant: "", id: completed.id, metadata: undefined })),
        "TaskNotCancelableError: The task has ended."
      )
      assert.strictEqual(
        yield* refusalOf(() => subscribe(ann, completed.id)),
        "UnsupportedOperationError: The task has ended."
      )
    }).pipe(Effect.scoped))

  it.live("a message that comes while its task is canceled runs nothing, whichever of the two the store keeps waiting", () =>
    Effect.gen(function*() {
      const inner = new InMemoryTaskStore()
      // how long the next loads and saves take, in milliseconds
      const loads: Array<number> = []
      const saves: Array<number> = []
      const pause = (millis = 0) => new Promise((resolve) => setTimeout(resolve, millis))
      const store: TaskStore = {
        load: async (id, context) => {
          const task = structuredClone(await inner.load(id, context))
          await pause(loads.shift())
          return task
        },
        save: async (task, context) => {
          await pause(saves.shift())
          await inner.save(task, context)
        },
        list: (params, context) => inner.list(params, context)
      }
      const { client, done } = yield* serve({ store })
      const ann = yield* client("ann")
      const outcome = (request: () => Promise<unknown>) => Effect.map(refusalOf(request), (_) => _.split(":")[0]!)
      const both = (slow: { readonly loads?: number; readonly saves?: number }, order: "cancel" | "message") =>
        Effect.gen(function*() {
          const { id, ...task } = yield* send(ann, "removes")
          const given = approvalsOf({ id, ...task }).map(({ approvalId }) => ({ approvalId, approved: true }))
          const requests = {
            cancel: outcome(() => ann.cancelTask({ tenant: "", id, metadata: undefined })),
            message: outcome(() => ann.sendMessage(message(answers(given), { taskId: id })))
          }
          if (slow.loads !== undefined) loads.push(slow.loads)
          if (slow.saves !== undefined) saves.push(slow.saves)
          const first = yield* Effect.forkChild(requests[order], { startImmediately: true })
          yield* Effect.sleep("20 millis")
          const second = yield* requests[order === "cancel" ? "message" : "cancel"]
          return [yield* Fiber.join(first), second, stateOfTask(yield* get(ann, id))]
        })
      const refused = "UnsupportedOperationError"
      assert.deepStrictEqual(yield* both({ loads: 60 }, "message"), [refused, "accepted", "CANCELED"])
      assert.deepStrictEqual(yield* both({ loads: 60 }, "cancel"), ["accepted", refused, "CANCELED"])
      assert.deepStrictEqual(yield* both({ saves: 60 }, "cancel"), ["accepted", refused, "CANCELED"])
      assert.deepStrictEqual(done, [])
    }).pipe(Effect.scoped))

  it.live("a client that leaves and comes back has every word once; two read one task", () =>
    Effect.gen(function*() {
      const { client, hub } = yield* serve()
      const ann = yield* client("ann")
      // the connection is closed with the scope
      const { id } = yield* Effect.scoped(Effect.flatMap(Effect.abortSignal, (signal) =>
        Effect.map(reading(ann.sendMessageStream(message("hangs"), { signal }), 3), folded)))
      assert.strictEqual((yield* hub.running).length, 1, "it goes on")
      const [one, two] = [subscribe(ann, id), subscribe(ann, id)]
      const [seen] = yield* Effect.all([reading(one, 1), reading(two, 1)])
      assert.deepStrictEqual([seen.map(short), artifactsOf(folded(seen))], [["task WORKING"], ["in the middle"]])
      yield* cancel(ann, id)
      const rest = yield* Effect.all([collect(one), collect(two)])
      assert.deepStrictEqual(
        rest.map((updates) =>
          updates.map(short)
        ),
        [["CANCELED"], ["CANCELED"]]
      )
    }).pipe(Effect.scoped))

  it.live("a message to a task that works is one to its run", () =>
    Effect.gen(function*() {
      const { client, hub } = yield* serve()
      const ann = yield* client("ann")
      const task = yield* send(ann, "hangs", { returnImmediately: true })
      const same = yield* send(ann, "and this", { taskId: task.id, returnImmediately: true })
      assert.deepStrictEqual([same.id, same.history.length], [task.id, 2])
      const run = yield* hub.get(task.id)
      const unread = yield* run!.steering.unread
      assert.deepStrictEqual(unread.map(({ content }) => content.map((part) => part.type === "text" && part.text)), [
        ["and this"]
      ])
      assert.strictEqual(
        yield* refusalOf(() =>
          ann.sendMessage(message(answers([{ approvalId: "x", approved: true }]), { taskId: task.id }))
        ),
        "UnsupportedOperationError: The task does not wait for answers."
      )
      yield* cancel(ann, task.id)
    }).pipe(Effect.scoped))

  it.live("tasks of one context take turns, or are rejected where that is asked for", () =>
    Effect.gen(function*() {
      const { client } = yield* serve({ whenBusy: "refuse" })
      const ann = yield* client("ann")
      const first = yield* send(ann, "hangs", { contextId: "chat", returnImmediately: true })
      const second = yield* send(ann, "hello", { contextId: "chat" })
      assert.deepStrictEqual(
        [stateOfTask(second), second.status?.message?.parts[0]?.content?.value],
        ["REJECTED", "Another run works on the conversation."]
      )
      yield* cancel(ann, first.id)
      const other = yield* Effect.flatMap(serve(), ({ client }) => client("ann"))
      const holder = yield* send(other, "hangs", { contextId: "chat", returnImmediately: true })
      const waits = yield* send(other, "hello", { contextId: "chat", returnImmediately: true })
      // it has not begun, and ends all the same
      const begins = yield* send(other, "hello", { contextId: "chat", returnImmediately: true })
      assert.strictEqual(stateOfTask(yield* cancel(other, begins.id)), "CANCELED")
      yield* cancel(other, holder.id)
      yield* Effect.repeat(get(other, waits.id), { until: (task) => stateOfTask(task) === "COMPLETED" })
    }).pipe(Effect.scoped))

  it.live("requests are bounded and checked before anything runs", () =>
    Effect.gen(function*() {
      const { client, hub, post } = yield* serve({ maximumBody: "20 KiB" })
      const ann = yield* client("ann")
      const to = (...params: Parameters<typeof message>) => () => ann.sendMessage(message(...params))
      assert.deepStrictEqual(
        yield* Effect.forEach([
          to([]),
          to(""),
          to(Array.from({ length: 101 }, () => ({ text: "x" }))),
          to([{ url: "file:///etc/passwd" }]),
          to([{ url: "no url" }]),
          to([{ raw: new Uint8Array([1]), mediaType: "text/plain\r\nx: y" }]),
          to("x", { contextId: "x".repeat(101) }),
          to("x", { contextId: ".." }),
          to("x", { messageId: "x".repeat(300) }),
          to("x", { taskId: "nobody's" }),
          () => ann.getTask({ tenant: "", id: " " })
        ], refusalOf),
        [
          ...Array(6).fill(
            "RequestMalformedError: The parts of the message could not be read, there are none, or they are too large."
          ),
          "RequestMalformedError: The `contextId` needs between 1 and 100 characters that a path of a URL can hold.",
          "RequestMalformedError: The `contextId` needs between 1 and 100 characters that a path of a URL can hold.",
          "RequestMalformedError: A message needs a `messageId` of at most 255 characters.",
          "TaskNotFoundError: The task is not known.",
          "RequestMalformedError: A task needs an id."
        ]
      )
      const rpc = (params: unknown) => JSON.stringify({ jsonrpc: "2.0", id: "7", method: "SendMessage", params })
      const deep = "[".repeat(600) + "]".repeat(600)
      const bodies: ReadonlyArray<readonly [string, Record<string, string>?]> = [
        [rpc({ message: { messageId: "1", parts: [{ text: "x".repeat(30_000) }] } })],
        [rpc({}), { "content-type": "text/plain" }],
        [rpc({}), { authorization: "" }],
        [rpc({}), { "a2a-version": "0.3" }],
        ["{"],
        ["null"],
        ["[]"],
        [rpc({ message: { messageId: "1", parts: [{ data: "deep" }] } }).replace("\"deep\"", deep)],
        [rpc({}).replace("\"7\"", deep.replaceAll("[", "[[[[[[[[[[").replaceAll("]", "]]]]]]]]]]"))],
        [rpc({ message: { messageId: "1", parts: [{ text: "x" }], taskId: "__proto__" } })]
      ]
      const told = yield* Effect.forEach(bodies, ([body, headers]) =>
        Effect.flatMap(post(body, headers), (response) =>
          Effect.promise(async () => {
            const text = await response.text()
            return text === "" ? response.status : [response.status, JSON.parse(text).id, JSON.parse(text).error.code]
          })))
      assert.deepStrictEqual(told, [
        413,
        415,
        401,
        [200, "7", -32009],
        [200, null, -32700],
        [200, null, -32600],
        [
          200,
          null,
          -32600
        ],
        [200, "7", -32602],
        [200, null, -32600],
        [200, "7", -32001]
      ])
      assert.deepStrictEqual(yield* hub.running, [])
    }).pipe(Effect.scoped))

  it.live("JSON and files are a part of the prompt, and history has as many messages as were asked for", () =>
    Effect.gen(function*() {
      const { client } = yield* serve()
      const ann = yield* client("ann")
      const task = yield* send(ann, [
        { data: { city: "Oslo" } },
        { raw: new Uint8Array([1, 2]), mediaType: "image/png", filename: "a.png" },
        { url: "https://example.com/a.png" }
      ])
      assert.deepStrictEqual(artifactsOf(task), ["You said: {\"city\":\"Oslo\"}"])
      const [kept] = task.history
      assert.deepStrictEqual(kept?.parts.map(({ content, filename }) => [content?.$case, filename]), [
        ["data", ""],
        ["raw", "a.png"],
        ["url", ""]
      ])
      assert.deepStrictEqual((yield* get(ann, task.id, 0)).history, [])
      assert.strictEqual((yield* get(ann, task.id, 5)).history.length, 1)
    }).pipe(Effect.scoped))

  it.live("when the server ends its tasks are canceled and stored, also in a slow store", () =>
    Effect.gen(function*() {
      const store = new InMemoryTaskStore()
      const scope = yield* Scope.make()
      const { client } = yield* Scope.provide(serve({ grace: 0, store: slow(store) }), scope)
      const ann = yield* client("ann")
      const task = yield* send(ann, "hangs", { returnImmediately: true })
      yield* Scope.close(scope, Exit.void)
      const context = new ServerCallContext({ user: { isAuthenticated: true, userName: "ann" } })
      const stored = yield* Effect.promise(() => store.load(task.id, context))
      assert.strictEqual(stateOf(stored?.status?.state), "CANCELED")
    }).pipe(Effect.scoped))

  it.live("the SDK's own transport asks the same handler, whose owner is the user of the request", () =>
    Effect.gen(function*() {
      const { agent, layer } = make()
      const services = yield* Layer.build(Layer.merge(RunHub.layer({ grace: 0 }), layer))
      const owner = ({ user }: ServerCallContext) => user?.isAuthenticated === true ? user.userName : undefined
      const requestHandler = yield* Effect.provideContext(
        A2aServer.requestHandler(agent, { owner, grace: 0 }),
        services
      )
      const app = express()
      app.use(
        "/agents/assistant/a2a",
        jsonRpcHandler({
          requestHandler,
          userBuilder: (request) => {
            const [, userName = ""] = /^Bearer (.+)$/.exec(request.headers.authorization ?? "") ?? []
            return Promise.resolve({ isAuthenticated: userName !== "nobody", userName })
          }
        })
      )
      const http = yield* listen(app)
      const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`
      app.get("/.well-known/agent-card.json", (_, response) => {
        response.json(A2aServer.card(agent, { baseUrl: url }))
      })
      const ann = yield* clientAs(url, "ann")
      const seen = yield* stream(ann, "weather")
      assert.strictEqual(short(seen.at(-1)!), "COMPLETED")
      assert.deepStrictEqual(artifactsOf(yield* get(ann, folded(seen).id)), ["Let me look. ", "Done."])
      const nobody = yield* clientAs(url, "nobody")
      assert.strictEqual(
        yield* refusalOf(() => nobody.sendMessage(message("hello"))),
        "RequestMalformedError: The sender of the request is not known."
      )
    }).pipe(Effect.scoped))

  it.live("runs of any kind side by side: each ends once, stored as seen, and nobody sees another's", () =>
    Effect.gen(function*() {
      const { client, hub } = yield* serve({ store: slow(new InMemoryTaskStore()) })
      const owners = yield* Effect.forEach(["ann", "bob", "an", "ann/x"], (owner) => client(owner))
      yield* Effect.forEach(
        Array.from({ length: 32 }, (_, index) => index),
        (index) =>
          Effect.gen(function*() {
            const word = completing.filter((word) => word !== "reports")[index % (completing.length - 1)]!
            const client = owners[index % owners.length]!
            const updates = yield* stream(client, word, { contextId: `chat-${index % 7}-${index}` })
            assert.strictEqual(short(updates.at(-1)!), endOf(word))
            const task = folded(updates)
            const stored = yield* get(client, task.id)
            assert.deepStrictEqual([artifactsOf(stored), stored.status], [artifactsOf(task), task.status])
          }),
        { concurrency: 20, discard: true }
      )
      assert.deepStrictEqual(yield* hub.running, [])
    }).pipe(Effect.scoped))

  it.effect("a run is told in the time of its parts, and its last update says how it has ended", () =>
    Effect.gen(function*() {
      const { agent, layer } = make()
      const name = { taskId: "t", contextId: "c", runId: "r" }
      const { stream } = agent
      for (const word of words) {
        const told = A2aServer.fromParts(stream({ prompt: word, session: word }), name).pipe(
          Stream.map(short),
          Stream.runCollect,
          Effect.provide(layer)
        )
        if (word !== "hangs") {
          assert.strictEqual((yield* told).at(-1), endOf(word))
          continue
        }
        const fiber = yield* Effect.forkChild(told, { startImmediately: true })
        assert.isTrue(Exit.isFailure(yield* Effect.andThen(Fiber.interrupt(fiber), Fiber.await(fiber))))
      }
      const cut = A2aServer.fromParts(Stream.succeed({ type: "step-start", index: 0 } as const), name)
      assert.deepStrictEqual((yield* Stream.runCollect(cut)).map(short), ["FAILED"])
      const interrupted = A2aServer.fromParts(Stream.fromEffect(Effect.interrupt), name)
      assert.deepStrictEqual((yield* Stream.runCollect(interrupted)).map(short), ["CANCELED"])
    }))
})
