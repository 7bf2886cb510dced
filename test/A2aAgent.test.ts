/** Agents that are reached by the A2A protocol, over loopback: those of this package, and those of the SDK alone. */
import { TaskState } from "@a2a-js/sdk"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Option, Schema, Stream } from "effect"
import { Toolkit } from "effect/ai"
import { A2aAgent, A2aError } from "../src/a2a/index.ts"
import { Agent, AgentRun, AgentTool, Approval, Budget, SessionHistory } from "../src/index.ts"
import { ClientTools } from "../src/server/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { events, foreign, raw, serve, serveOne } from "./fixtures/a2a.ts"
import { secret, words } from "./fixtures/everyPart.ts"
import { types } from "./utils.ts"

const { TASK_STATE_COMPLETED, TASK_STATE_FAILED, TASK_STATE_INPUT_REQUIRED, TASK_STATE_REJECTED, TASK_STATE_WORKING } =
  TaskState

/** The end of a run in one line: its text and stop reason, or its failure. */
const ended = <E>(exit: Exit.Exit<AgentRun.Result, E>): string => {
  const end = AgentRun.outcome(exit)
  if (end._tag === "Completed") return `${end.result.stopReason}: ${end.result.text}`
  if (end._tag !== "Failed") return `${end._tag} after "${end.partial.text}"`
  const [reason] = end.cause.reasons
  const error: unknown = reason !== undefined && Cause.isFailReason(reason) ? reason.error : undefined
  return A2aError.isA2aError(error) ? `${error.reason._tag} after "${end.partial.text}"` : String(end.cause)
}

const run = <E, R>(agent: Agent.Agent<any, E, R, any, any>, prompt: string, session?: string) =>
  Effect.map(Effect.exit(Agent.run(agent, { prompt, session })), ended)

const hasText = (part: AgentRun.Part) => part.type === "text-delta"

describe("A2aAgent", () => {
  describe("with an agent of this package", () => {
    it.live("a run of any kind ends as it does at home, with the same text, usage, approvals and stop reason", () =>
      Effect.gen(function*() {
        const { agent, client, layer } = yield* serve()
        const remote = A2aAgent.make("remote", yield* client("ann"))
        for (const word of words.filter((word) => word !== "hangs" && word !== "reports")) {
          const far = yield* Effect.exit(Agent.run(remote, { prompt: word }))
          const home = yield* Effect.provide(Effect.exit(Agent.run(agent, { prompt: word, session: word })), layer)
          assert.notInclude(JSON.stringify([far, Exit.isFailure(far) && Cause.pretty(far.cause)]), secret)
          if (Exit.isFailure(home) || Exit.isFailure(far)) {
            assert.strictEqual(ended(far).split(" ")[0], "TaskFailed", word)
            assert.strictEqual(AgentRun.outcome(far)._tag, AgentRun.outcome(home)._tag, word)
            assert.strictEqual(
              AgentRun.outcome(far)._tag === "Failed" && textOf(far),
              AgentRun.outcome(home)._tag === "Failed" && textOf(home),
              word
            )
            continue
          }
          const asked = ({ approvals }: AgentRun.Result) =>
            approvals.map(({ params, path, tool }) => ({ params, path, tool }))
          assert.deepStrictEqual(
            [far.value.text, far.value.stopReason, far.value.totalUsage, asked(far.value)],
            [home.value.text, home.value.stopReason, home.value.totalUsage, asked(home.value)],
            word
          )
        }
      }).pipe(Effect.scoped))

    it.live("its parts have the order of a run, with a step for each step that says something", () =>
      Effect.gen(function*() {
        const { client } = yield* serve()
        const remote = A2aAgent.make("remote", yield* client("ann"))
        const parts = yield* Stream.runCollect(Agent.stream(remote, { prompt: "weather", session: "chat" }))
        // how many deltas a text comes in depends on when they were read
        const isAgain = (index: number) => hasText(parts[index]!) && index > 0 && hasText(parts[index - 1]!)
        assert.deepStrictEqual(types(parts.filter((_, index) => !isAgain(index))), [
          "run-start",
          "step-start",
          "text-start",
          "text-delta",
          "text-end",
          "finish",
          "step-end",
          "step-start",
          "text-start",
          "text-delta",
          "text-end",
          "finish",
          "step-end",
          "run-end"
        ])
        const { runId, session, steps, text, transcript } = yield* AgentRun.fold(Stream.fromIterable(parts))
        assert.deepStrictEqual([parts[0], text, session, steps.map(({ text }) => text)], [
          { type: "run-start", agent: "remote", runId, session: "chat" },
          "Done.",
          "chat",
          ["Let me look. ", "Done."]
        ])
        assert.deepStrictEqual(transcript.content.map(({ role }) => role), ["user", "assistant", "assistant"])
        const sources = yield* Stream.runCollect(Agent.stream(remote, { prompt: "sources" }))
        const found = sources.flatMap((part) =>
          part.type === "file" ? [part.mediaType, [...part.data]] : part.type === "source" ? [part.title] : []
        )
        assert.deepStrictEqual(found, ["A", "image/png", [137, 80, 78, 71, 13, 10, 26, 10]])
      }).pipe(Effect.scoped))

    it.live("the value is decoded by the output, and its partial values come before it", () =>
      Effect.gen(function*() {
        const { reporter } = yield* serve()
        const output = Schema.Struct({ title: Schema.String, points: Schema.Array(Schema.Int) })
        const client = yield* reporter
        const parts = yield* Stream.runCollect(
          Agent.stream(A2aAgent.make("remote", client, { output }), { prompt: "reports" })
        )
        const { text, value } = yield* AgentRun.fold(Stream.fromIterable(parts))
        assert.deepStrictEqual([text, value], ["", { title: "A", points: [1, 2] }])
        assert.isAbove(parts.filter(({ type }) => type === "output-partial").length, 0)
        const plain = yield* Agent.run(A2aAgent.make("remote", client), { prompt: "reports" })
        assert.deepStrictEqual([plain.text, plain.value], ["{\"title\":\"A\",\"points\":[1,2]}", value])
        const other = A2aAgent.make("remote", client, { output: Schema.Struct({ name: Schema.String }) })
        assert.strictEqual(yield* run(other, "reports"), "InvalidResponse after \"\"")
      }).pipe(Effect.scoped))

    it.live("approvals are answered by `resume`, once, with changed parameters and from another process", () =>
      Effect.gen(function*() {
        const { client, done } = yield* serve()
        const remote = A2aAgent.make("remote", yield* client("ann"))
        const asked = yield* Agent.run(remote, { prompt: "removes two", session: "chat" })
        assert.strictEqual(asked.stopReason, "approval-required")
        // JSON, as another process has it
        const approvals = yield* Schema.decodeUnknownEffect(Schema.toCodecJson(Schema.Array(Approval.Approval)))(
          JSON.parse(JSON.stringify(asked.approvals))
        )
        const [a, b] = approvals
        const again = A2aAgent.make("again", yield* client("ann"))
        const answered = yield* Agent.resume(again, { session: "chat" }, [
          Approval.approve(a!, { params: { file: "other.txt" } }),
          Approval.deny(b!, "it is needed")
        ])
        assert.deepStrictEqual([answered.text, answered.stopReason, done], ["Done.", "stop", ["remove other.txt"]])
        const twice = yield* Effect.exit(Agent.resume(remote, { result: asked }, [Approval.approve(a!)]))
        assert.strictEqual(ended(twice), "RequestRefused after \"\"")
        const forged = { ...a!, approvalId: a!.approvalId.replace(/[^/]+$/, "forged") }
        const next = yield* Agent.run(remote, { prompt: "removes" })
        for (
          const approval of [
            { ...forged, approvalId: "no task" },
            { ...forged, approvalId: next.approvals[0]!.approvalId + "x" },
            { ...forged, approvalId: "%/x" }
          ]
        ) {
          const exit = yield* Effect.exit(Agent.resume(remote, { session: "chat" }, [Approval.approve(approval)]))
          assert.match(ended(exit), /^(InvalidInput|RequestRefused) after ""$/)
        }
        assert.deepStrictEqual(done, ["remove other.txt"])
      }).pipe(Effect.scoped))

    it.live("as a tool it asks through its caller, and its usage is its caller's", () =>
      Effect.gen(function*() {
        const { client, done } = yield* serve()
        const remote = A2aAgent.make("remote", yield* client("ann"), { description: "Removes files" })
        const lead = Agent.make("lead", { toolkit: AgentTool.toolkit(AgentTool.make(remote, { name: "ask" })) })
        const program = Effect.gen(function*() {
          const asked = yield* Agent.run(lead, { prompt: "Clean up" })
          assert.deepStrictEqual(
            asked.approvals.map(({ params, path, tool }) => [tool, params, path]),
            [["remove_file", { file: "old.txt" }, ["remote"]]]
          )
          assert.strictEqual(asked.totalUsage.inputTokens.total, 20)
          const answered = yield* Agent.resume(lead, { result: asked }, asked.approvals.map((_) => Approval.approve(_)))
          assert.deepStrictEqual([answered.text, done], ["It is clean", ["remove old.txt"]])
        })
        yield* Effect.provide(
          program,
          ScriptedModel.layer([
            ScriptedModel.toolCalls({ name: "ask", params: { prompt: "removes" } }),
            ScriptedModel.text("It is clean")
          ])
        )
      }).pipe(Effect.scoped))

    it.live("a call that runs in the client gets its result by `resume`", () =>
      Effect.gen(function*() {
        const toolkit = Toolkit.make(ClientTools.make("set_color", {
          parameters: Schema.Struct({ color: Schema.String }),
          success: Schema.Struct({ before: Schema.String })
        }))
        const { step, text, toolCalls } = ScriptedModel
        const painter = Agent.make("painter", {
          providers: [SessionHistory.provider],
          model: ScriptedModel.layer([step(({ prompt }) =>
            prompt.content.at(-1)?.role === "tool"
              ? [text("It is blue")]
              : [toolCalls({ name: "set_color", params: { color: "blue" } })]
          )]),
          toolkit: Effect.provide(toolkit, toolkit.toLayer({ set_color: ClientTools.handler }))
        })
        const remote = A2aAgent.make("remote", yield* serveOne(painter))
        const asked = yield* Agent.run(remote, { prompt: "Blue, please" })
        assert.deepStrictEqual(asked.approvals.map(({ runsIn, tool }) => [tool, runsIn]), [["set_color", "client"]])
        const [call] = asked.approvals
        const wrong = yield* Effect.exit(Agent.resume(remote, { result: asked }, [Approval.giveResult(call!, 7)]))
        assert.strictEqual(ended(wrong), "RequestRefused after \"\"")
        const given = yield* Agent.resume(remote, { result: asked }, [Approval.giveResult(call!, { before: "white" })])
        assert.strictEqual(given.text, "It is blue")
      }).pipe(Effect.scoped))

    it.live("an interrupt and a consumer that leaves cancel the task before they give control back", () =>
      Effect.gen(function*() {
        const { client, hub } = yield* serve()
        const remote = A2aAgent.make("remote", yield* client("ann"))
        const running = Effect.repeat(hub.running, { until: ({ length }) => length > 0 })
        const fiber = yield* Effect.forkChild(Agent.run(remote, { prompt: "hangs" }))
        yield* running
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual(yield* hub.running, [])
        const left = Agent.stream(remote, { prompt: "hangs" }).pipe(Stream.filter(hasText), Stream.take(1))
        assert.strictEqual((yield* Stream.runCollect(left)).length, 1)
        assert.deepStrictEqual(yield* hub.running, [])
        // before anything has come
        const first = Agent.stream(remote, { prompt: "hangs" }).pipe(Stream.take(1))
        assert.deepStrictEqual(types(yield* Stream.runCollect(first)), ["run-start"])
        assert.deepStrictEqual(yield* hub.running, [])
      }).pipe(Effect.scoped))

    it.live("a task that is canceled elsewhere is an interrupt", () =>
      Effect.gen(function*() {
        const { client, hub } = yield* serve()
        const ann = yield* client("ann")
        const remote = A2aAgent.make("remote", ann, {
          onTask: ({ taskId }) =>
            Effect.asVoid(Effect.forkDetach(Effect.andThen(
              Effect.sleep("50 millis"),
              Effect.promise(() => ann.cancelTask({ tenant: "", id: taskId, metadata: undefined }))
            )))
        })
        assert.strictEqual(yield* run(remote, "hangs"), "Interrupted after \"in the middle\"")
        assert.deepStrictEqual(yield* hub.running, [])
      }).pipe(Effect.scoped))

    it.live("a task that is left goes on where that is asked for, and is joined from its beginning", () =>
      Effect.gen(function*() {
        const { client, hub } = yield* serve()
        const ann = yield* client("ann")
        let id = ""
        const onTask = ({ taskId }: { readonly taskId: string }) => Effect.sync(() => void (id = taskId))
        const remote = A2aAgent.make("remote", ann, { whenLeft: "continue", onTask })
        yield* Stream.runDrain(Agent.stream(remote, { prompt: "hangs" }).pipe(Stream.filter(hasText), Stream.take(1)))
        assert.strictEqual((yield* hub.running).length, 1)
        const joined = yield* A2aAgent.join("remote", ann, id).pipe(
          Stream.takeUntil(hasText),
          Stream.runCollect
        )
        const words = joined.flatMap((part) => part.type === "text-delta" ? part.delta : [])
        assert.strictEqual(words.join(""), "in the middle")
        assert.strictEqual((yield* hub.running).length, 1, "a reader that leaves it changes nothing")
        const cancelled = A2aAgent.join("remote", ann, id, { whenLeft: "cancel" })
        yield* Stream.runDrain(Stream.take(cancelled, 1))
        assert.deepStrictEqual(yield* hub.running, [])
        const task = yield* Agent.run(A2aAgent.make("remote", ann, { onTask }), { prompt: "weather" })
        const again = yield* AgentRun.fold(A2aAgent.join("remote", ann, id))
        assert.deepStrictEqual([again.text, again.totalUsage], [task.text, task.totalUsage])
      }).pipe(Effect.scoped))

    it.live("a budget counts it, and somebody else's task does not exist", () =>
      Effect.gen(function*() {
        const { client } = yield* serve()
        const budget = Budget.make({ tokens: 1000 })
        const remote = A2aAgent.make("remote", yield* client("ann"))
        const spent = yield* Agent.run(remote, { prompt: "weather" }).pipe(
          Effect.andThen(Budget.spent(budget)),
          Budget.provide(budget)
        )
        assert.strictEqual(Option.getOrThrow(spent).tokens, 30)
        const exit = yield* Effect.exit(AgentRun.fold(A2aAgent.join("remote", yield* client("bob"), "run_x")))
        assert.strictEqual(ended(exit), "RequestRefused after \"\"")
      }).pipe(Effect.scoped))
  })

  describe("with an agent of somebody else", () => {
    const talkative = foreign(async (said, { artifact, canceled, isNew, message, status, task }) => {
      if (said === "message") return message("Just this")
      task()
      status(TASK_STATE_WORKING, "Let me think")
      switch (said) {
        case "status":
          return status(TASK_STATE_COMPLETED, "All done")
        case "both":
          artifact("a", [{ text: "A report" }])
          return status(TASK_STATE_COMPLETED, "See the report")
        case "grows":
          artifact("a", [{ text: "Hel" }], { lastChunk: false })
          artifact("a", [{ text: "lo" }], { append: true })
          artifact("b", [{ data: { n: 1 } }, { url: "https://example.com" }])
          return status(TASK_STATE_COMPLETED)
        case "repeats":
          artifact("a", [{ text: "Hel" }], { lastChunk: false })
          artifact("a", [{ text: "Hello" }], { lastChunk: false })
          artifact("a", [{ text: "Hello!" }])
          return status(TASK_STATE_COMPLETED)
        case "fails":
          artifact("a", [{ text: "in the middle" }])
          return status(TASK_STATE_FAILED, "It broke")
        case "rejects":
          return status(TASK_STATE_REJECTED, "I do not do that")
        case "throws":
          throw new Error("broken")
        case "json":
          artifact("a", [{ data: { n: 1 } }])
          return status(TASK_STATE_COMPLETED)
        case "waits":
          artifact("a", [{ text: "in the middle" }], { lastChunk: false })
          return canceled
        case "asks":
          return status(TASK_STATE_INPUT_REQUIRED, "Which city?")
        default:
          artifact("a", [{ text: isNew ? `You said ${said}` : `Rain in ${said}` }])
          return status(TASK_STATE_COMPLETED)
      }
    })

    it.live("everything that it says in the words of the protocol is told", () =>
      Effect.gen(function*() {
        const { url } = yield* talkative
        const remote = yield* A2aAgent.discover(url)
        assert.deepStrictEqual([remote.name, remote.description], ["foreign", "Somebody else"])
        const all = yield* Effect.forEach(
          ["message", "status", "both", "grows", "repeats", "fails", "rejects", "throws", "json", "else"],
          (said) => run(remote, said)
        )
        assert.deepStrictEqual(all, [
          "stop: Just this",
          "stop: All done",
          "stop: A report\n\nSee the report",
          "stop: Hello",
          "stop: Hello!",
          "TaskFailed after \"in the middle\"",
          "TaskFailed after \"\"",
          "TaskFailed after \"\"",
          "stop: {\"n\":1}",
          "stop: You said else"
        ])
        const parts = yield* Stream.runCollect(Agent.stream(remote, { prompt: "grows" }))
        assert.deepStrictEqual(types(parts), [
          "run-start",
          "step-start",
          "reasoning-start",
          "reasoning-delta",
          "reasoning-end",
          "text-start",
          "text-delta",
          "text-delta",
          "text-end",
          "source",
          "finish",
          "step-end",
          "run-end"
        ])
        const { totalUsage, value } = yield* AgentRun.fold(Stream.fromIterable(parts))
        assert.deepStrictEqual([value, totalUsage], [{ n: 1 }, AgentRun.emptyUsage])
      }).pipe(Effect.scoped))

    it.live("a question ends the run, and the next message of the conversation answers it", () =>
      Effect.gen(function*() {
        const { url } = yield* talkative
        const remote = A2aAgent.make("remote", A2aAgent.connect(url))
        assert.strictEqual(yield* run(remote, "asks", "chat"), "input-required: Which city?")
        assert.strictEqual(yield* run(remote, "Oslo", "chat"), "stop: Rain in Oslo")
        assert.strictEqual(yield* run(remote, "Rome", "chat"), "stop: You said Rome")
        assert.strictEqual(yield* run(remote, "Oslo"), "stop: You said Oslo")
      }).pipe(Effect.scoped))

    it.live("an interrupt cancels its task, and an agent that does not stream is read at its end", () =>
      Effect.gen(function*() {
        const { canceledTasks, url } = yield* talkative
        const remote = A2aAgent.make("remote", A2aAgent.connect(url))
        const left = Agent.stream(remote, { prompt: "waits" }).pipe(Stream.filter(hasText), Stream.take(1))
        yield* Stream.runDrain(left)
        assert.strictEqual(canceledTasks.length, 1)
        const blocking = yield* foreign((said, { artifact, status, task }) => {
          task()
          artifact("a", [{ text: said }])
          status(said === "asks" ? TASK_STATE_INPUT_REQUIRED : TASK_STATE_COMPLETED, said === "asks" ? "What?" : "End")
        }, { streaming: false })
        const plain = A2aAgent.make("plain", A2aAgent.connect(blocking.url))
        assert.strictEqual(yield* run(plain, "hello"), "stop: hello\n\nEnd")
        assert.strictEqual(yield* run(plain, "asks", "chat"), "input-required: asks\n\nWhat?")
        assert.strictEqual(yield* run(plain, "and now", "chat"), "stop: and now\n\nEnd")
      }).pipe(Effect.scoped))

    it.live("a program may call it like any other agent", () =>
      Effect.gen(function*() {
        const { url } = yield* talkative
        const both = Agent.program("both", {
          toolkit: AgentTool.toolkit({ ask: A2aAgent.make("remote", A2aAgent.connect(url)) }),
          run: (_, call) =>
            Effect.gen(function*() {
              return `${yield* call.ask({ prompt: "status" })}, ${yield* call.ask({ prompt: "message" })}`
            })
        })
        assert.strictEqual((yield* Agent.run(both, { prompt: "go" })).value, "All done, Just this")
      }).pipe(Effect.scoped))
  })

  describe("with a server that breaks the protocol", () => {
    const task = (id: string, state: string, more: object = {}) => ({
      task: { id, contextId: "c", status: { state }, artifacts: [], history: [], ...more }
    })
    const update = (taskId: string, state: string, more: object = {}) => ({
      statusUpdate: { taskId, contextId: "c", status: { state, ...more } }
    })
    const text = (taskId: string, text: string) => ({
      artifactUpdate: { taskId, contextId: "c", artifact: { artifactId: "a", parts: [{ text }] }, append: true }
    })

    it.live("every answer is a typed failure that says what is known", () =>
      Effect.gen(function*() {
        const answers: Record<string, (id: unknown) => ReturnType<Parameters<typeof raw>[0]>> = {
          cut: (id) => ({ body: events(id, task("t", "TASK_STATE_WORKING"), text("t", "half")), cut: true }),
          "just ends": (id) => ({ body: events(id, task("t", "TASK_STATE_WORKING"), text("t", "half")) }),
          nothing: () => ({ body: "" }),
          "not JSON": () => ({ body: "data: {\n\n" }),
          html: () => ({ body: "<html>", type: "text/html" }),
          unauthorized: () => ({ status: 401, body: "who are you?", type: "text/plain" }),
          busy: () => ({ status: 503, body: "", type: "text/plain" }),
          "an error": (id) => ({
            body: JSON.stringify({ jsonrpc: "2.0", id, error: { code: -32001, message: "no" } }),
            type: "application/json"
          }),
          "an error later": (id) => ({
            body: `${events(id, task("t", "TASK_STATE_WORKING"))}data: ${
              JSON.stringify({ jsonrpc: "2.0", id, error: { code: -32603, message: "no" } })
            }\n\n`
          }),
          "another task": (id) => ({
            body: events(id, task("t", "TASK_STATE_WORKING"), update("u", "TASK_STATE_COMPLETED"))
          }),
          "no task": (id) => ({ body: events(id, update("t", "TASK_STATE_COMPLETED")) }),
          "another kind": (id) => ({ body: events(id, { surprise: {} }) }),
          "null": (id) => ({ body: events(id, null) }),
          deep: (id) => ({
            body: events(
              id,
              task("t", "TASK_STATE_COMPLETED", {
                artifacts: [{ artifactId: "a", parts: [{ data: "deep" }] }]
              })
            ).replace("\"deep\"", "[".repeat(600) + "]".repeat(600))
          }),
          "a bad address": (id) => ({
            body: events(
              id,
              task("t", "TASK_STATE_COMPLETED", {
                artifacts: [{ artifactId: "a", parts: [{ url: "no url" }] }]
              })
            )
          }),
          "a false usage": (id) => ({
            body: events(id, {
              task: {
                ...task("t", "TASK_STATE_COMPLETED").task,
                metadata: { "effect-agents": { usage: { inputTokens: { total: -5 }, outputTokens: {} } } }
              }
            })
          })
        }
        const told: Record<string, string> = {}
        for (const [kind, answer] of Object.entries(answers)) {
          const { client } = yield* raw((_, id) => answer(id))
          told[kind] = yield* run(A2aAgent.make("remote", client), "hello")
        }
        assert.deepStrictEqual(told, {
          cut: "ConnectionLost after \"half\"",
          "just ends": "ConnectionLost after \"half\"",
          nothing: "ConnectionLost after \"\"",
          "not JSON": "InvalidResponse after \"\"",
          html: "InvalidResponse after \"\"",
          unauthorized: "RequestRefused after \"\"",
          busy: "RequestRefused after \"\"",
          "an error": "RequestRefused after \"\"",
          "an error later": "RequestRefused after \"\"",
          "another task": "InvalidResponse after \"\"",
          "no task": "InvalidResponse after \"\"",
          "another kind": "InvalidResponse after \"\"",
          null: "InvalidResponse after \"\"",
          deep: "InvalidResponse after \"\"",
          "a bad address": "InvalidResponse after \"\"",
          "a false usage": "stop: "
        })
      }).pipe(Effect.scoped))

    it.live("a lost connection has the id of the task, and a refusal its status; there may be no server at all", () =>
      Effect.gen(function*() {
        const lost = yield* raw((_, id) => ({ body: events(id, task("t", "TASK_STATE_WORKING")), cut: true }))
        const error = yield* Effect.flip(Agent.run(A2aAgent.make("remote", lost.client), { prompt: "x" }))
        assert.strictEqual(error.reason._tag === "ConnectionLost" && error.reason.taskId, "t")
        assert.deepStrictEqual(lost.asked, ["SendStreamingMessage"], "it may go on")
        const refusing = yield* raw(() => ({ status: 401, body: secret, type: "text/plain" }))
        const refused = yield* Effect.flip(Agent.run(A2aAgent.make("remote", refusing.client), { prompt: "x" }))
        assert.strictEqual(
          refused.message,
          "the agent refused the request (HTTP_401): The agent answered with the status 401."
        )
        const nobody = A2aAgent.make("remote", A2aAgent.connect("http://127.0.0.1:9"))
        assert.strictEqual(yield* run(nobody, "x"), "ConnectionLost after \"\"")
      }).pipe(Effect.scoped))

    it.live("an agent that does not answer a cancel is not awaited for longer than the budget", () =>
      Effect.gen(function*() {
        const silent = yield* raw((method, id) =>
          method === "CancelTask" ? undefined : {
            body: events(id, task("t", "TASK_STATE_WORKING"), text("t", "half")),
            open: true
          }
        )
        const remote = A2aAgent.make("remote", silent.client)
        const left = Agent.stream(remote, { prompt: "x" }).pipe(Stream.filter(hasText), Stream.take(1), Stream.runDrain)
        const told = yield* Effect.timeoutOption(
          Effect.provideService(left, AgentRun.FinalizationBudget, "50 millis"),
          "5 seconds"
        )
        assert.isTrue(Option.isSome(told))
        assert.strictEqual(silent.asked[0], "SendStreamingMessage")
      }).pipe(Effect.scoped))

    it.live("what cannot be sent is refused before anything is asked", () =>
      Effect.gen(function*() {
        const { asked, client } = yield* raw((_, id) => ({ body: events(id, task("t", "TASK_STATE_COMPLETED")) }))
        const remote = A2aAgent.make("remote", client)
        const inputs: ReadonlyArray<Agent.Input> = [
          { prompt: [] },
          { prompt: [{ role: "assistant", content: [{ type: "text", text: "I said so" }] }] },
          { prompt: [{ role: "user", content: [{ type: "file", mediaType: "image/png", data: "no base64!" }] }] },
          { prompt: [], answers: [] },
          { prompt: [], session: "s", continues: true }
        ]
        for (const input of inputs) {
          assert.strictEqual(ended(yield* Effect.exit(Agent.run(remote, input))), "InvalidInput after \"\"")
        }
        assert.deepStrictEqual(asked, [])
      }).pipe(Effect.scoped))
  })
})

/** The text of a run that failed. */
const textOf = (exit: Exit.Exit<AgentRun.Result, unknown>): string => {
  const end = AgentRun.outcome(exit)
  return end._tag === "Completed" ? end.result.text : end.partial.text
}
