/** Any run as the updates of a task, and those as the parts of a run again. */
import type { StreamResponse } from "@a2a-js/sdk"
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Schema, Stream } from "effect"
import { Response } from "effect/ai"
import { Reading } from "../src/a2a/internal/reading.ts"
import { TaskState } from "../src/a2a/internal/taskState.ts"
import { A2aServer } from "../src/a2a/index.ts"
import type { AgentRun } from "../src/index.ts"
import { artifactsOf, folded, stateOf } from "./fixtures/a2a.ts"

const Short = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 }))

const Said = Schema.Union([
  Schema.Struct({ type: Schema.tag("text"), deltas: Schema.Array(Schema.String).check(Schema.isMaxLength(4)) }),
  Schema.Struct({ type: Schema.tag("texts"), first: Schema.String, second: Schema.String, rest: Schema.String }),
  Schema.Struct({ type: Schema.tag("file"), bytes: Schema.Array(Short).check(Schema.isMaxLength(3)) }),
  Schema.Struct({ type: Schema.tag("source"), path: Short }),
  Schema.Struct({ type: Schema.tag("partial"), value: Schema.Array(Schema.Int).check(Schema.isMaxLength(3)) }),
  Schema.Struct({ type: Schema.tag("silent"), text: Schema.String })
])

const Run = Schema.Struct({
  steps: Schema.Array(Schema.Array(Said).check(Schema.isMaxLength(4))).check(Schema.isBetweenLength(1, 4)),
  end: Schema.Literals(["completes", "completes", "value", "approval", "fails", "interrupted", "cut"]),
  /** The process of the agent may end after so many parts of a step, and another one makes the step again. */
  restarts: Schema.Struct({
    step: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 7 })),
    after: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 9 })),
    said: Schema.Array(Said).check(Schema.isMaxLength(4))
  }),
  /** How many parts come at once. */
  together: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 7 })),
  /** When a second reader comes, as a share of the updates. */
  joins: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100 }))
})

const name = { taskId: "task", contextId: "context", runId: "run" }

const partsOf = (said: typeof Said.Type, id: string): ReadonlyArray<AgentRun.Part> => {
  const text = (id: string, ...deltas: ReadonlyArray<string>) => [
    Response.makePart("text-start", { id }),
    ...deltas.map((delta) => Response.makePart("text-delta", { id, delta }))
  ]
  const end = (id: string) => Response.makePart("text-end", { id })
  switch (said.type) {
    case "text":
      return [...text(id, ...said.deltas), end(id)]
    case "texts":
      // two at the same time
      return [
        ...text(`${id}a`, said.first),
        ...text(`${id}b`, said.second),
        Response.makePart("text-delta", { id: `${id}a`, delta: said.rest }),
        end(`${id}b`),
        end(`${id}a`)
      ]
    case "file":
      return [Response.makePart("file", { mediaType: "image/png", data: new Uint8Array(said.bytes) })]
    case "source": {
      const url = new URL(`https://example.com/${said.path}`)
      return [Response.makePart("source", { ...{ sourceType: "url", id, url, title: id } as const })]
    }
    case "partial":
      return [{ type: "output-partial", value: said.value }]
    case "silent":
      return [
        Response.makePart("reasoning-start", { id }),
        Response.makePart("reasoning-delta", { id, delta: said.text }),
        Response.makePart("reasoning-end", { id }),
        Response.makePart("tool-call", { id, name: "secret", params: { secret: said.text }, providerExecuted: false })
      ]
  }
}

const textOf = (said: ReadonlyArray<typeof Said.Type>): string =>
  said.map((one) =>
    one.type === "text" ? one.deltas.join("") : one.type === "texts" ? one.first + one.second + one.rest : ""
  ).join("")

/** The units of a text in any order: texts that are written at the same time are told as they come. */
const letters = (text: string): string => text.split("").sort().join("")

const approval = { approvalId: "a", toolCallId: "c", tool: "remove", params: { file: "x" }, path: [] }

const usage: AgentRun.Usage = {
  inputTokens: { total: 3, uncached: undefined, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: 2, text: undefined, reasoning: undefined }
}

const updatesOf = (
  { end, restarts, steps, together }: typeof Run.Type
): Effect.Effect<ReadonlyArray<StreamResponse>> => {
  const parts: Array<AgentRun.Part> = [{ type: "run-start", agent: "agent", runId: "run", session: undefined }]
  for (const [index, said] of steps.entries()) {
    const all = (said: ReadonlyArray<typeof Said.Type>) => said.flatMap((one, place) => partsOf(one, `${place}`))
    parts.push({ type: "step-start", index })
    if (restarts.step === index) {
      parts.push(...all(restarts.said).slice(0, restarts.after), { type: "step-start", index, restarted: true })
    }
    parts.push(...all(said), { type: "step-end", step: {} as never })
  }
  const result = {
    value: end === "value" ? { points: [1] } : undefined,
    approvals: end === "approval" ? [approval] : [],
    stopReason: end === "approval" ? "approval-required" : "stop",
    totalUsage: usage
  }
  if (/completes|value|approval/.test(end)) parts.push({ type: "run-end", result: result as never })
  const all = Stream.rechunk(Stream.fromIterable(parts), together)
  const ended: Stream.Stream<AgentRun.Part, string> = end === "fails"
    ? Stream.concat(all, Stream.fail("secret"))
    : end === "interrupted"
    ? Stream.concat(all, Stream.fromEffect(Effect.interrupt))
    : all
  return Stream.runCollect(A2aServer.fromParts(ended, name))
}

/** What a reader of these updates has in the end. */
const read = (updates: ReadonlyArray<StreamResponse>) => {
  const reading = new Reading({ agent: "remote", runId: "r", parentRunId: undefined, session: undefined }, [], "task")
  const parts: Array<AgentRun.Part> = []
  for (const update of updates) {
    reading.add(update)
    parts.push(...reading.take())
  }
  reading.over()
  parts.push(...reading.take())
  const { end } = reading
  if (end?._tag === "Completed") parts.push(...reading.completed(end.stopReason, reading.json))
  const last = parts.at(-1)
  return { end, parts, result: last?.type === "run-end" ? last.result : undefined }
}

const states = {
  completes: "COMPLETED",
  value: "COMPLETED",
  approval: "INPUT_REQUIRED",
  fails: "FAILED",
  interrupted: "CANCELED",
  cut: "FAILED"
}

const begun = () => ({
  id: "task",
  contextId: "context",
  status: undefined,
  artifacts: [],
  history: [],
  metadata: undefined
})

describe("updates of a task", () => {
  it.effect.prop(
    "hold all that a run has said, for the store, for a reader and for one that comes later",
    { run: Arbitrary.schema(Run) },
    ({ run }) =>
      Effect.gen(function*() {
        const updates = yield* updatesOf(run)
        assert.notInclude(JSON.stringify(updates), "secret")
        // the stored task is what a client has
        const state = new TaskState(begun())
        const joins = Math.floor(updates.length * run.joins / 100)
        for (const update of updates.slice(0, joins)) state.add(update)
        const snapshot = state.snapshot()
        for (const update of updates.slice(joins)) state.add(update)
        const first: StreamResponse = { payload: { $case: "task", value: begun() } }
        const task = folded([first, ...updates])
        assert.deepStrictEqual(artifactsOf(state.snapshot()), artifactsOf(task))
        assert.deepStrictEqual(state.snapshot().status, task.status)
        assert.strictEqual(stateOf(task.status?.state), states[run.end])
        assert.isTrue(task.artifacts.every(({ parts }) => parts.length > 0), "an artifact has a part")
        // a reader has every word, in its step
        const { end, parts, result } = read([first, ...updates])
        const said = run.steps.map(textOf)
        if (result !== undefined) {
          assert.strictEqual(letters(result.text), letters(said.at(-1)!))
          assert.deepStrictEqual(
            result.steps.map(({ text }) => letters(text)).filter((text) => text !== ""),
            said.map(letters).filter((text) => text !== "")
          )
          const found = [
            result.totalUsage,
            result.stopReason,
            result.approvals.map(({ params, tool }) => [tool, params])
          ]
          assert.deepStrictEqual(
            found,
            [usage, ...run.end === "approval" ? ["approval-required", [["remove", { file: "x" }]]] : ["stop", []]]
          )
          if (run.end === "value") assert.deepStrictEqual(result.value, { points: [1] })
        } else assert.strictEqual(end?._tag, run.end === "interrupted" ? "Canceled" : "Failed")
        const opened = parts.filter(({ type }) => type === "text-start").length
        const closed = parts.filter(({ type }) => type === "text-end").length
        const isOnce = run.restarts.step >= run.steps.length
        if (isOnce) assert.isTrue(result === undefined ? opened - closed <= 1 : opened === closed)
        // one that comes later has every word once
        const later = read([{ payload: { $case: "task", value: snapshot } }, ...updates.slice(joins)])
        assert.deepStrictEqual(
          later.result?.steps.map(({ text }) => letters(text)),
          result?.steps.map(({ text }) => letters(text))
        )
        const bytes = (parts: ReadonlyArray<AgentRun.Part>) =>
          parts.flatMap((part) => part.type === "file" ? [[...part.data]] : [])
        if (isOnce) assert.deepStrictEqual(bytes(later.parts), bytes(parts))
        // and one that was there, and sees the task again
        const again = read([
          first,
          ...updates.slice(0, joins),
          { payload: { $case: "task", value: snapshot } },
          ...updates.slice(joins)
        ])
        assert.strictEqual(again.result?.text, result?.text)
        if (isOnce) assert.deepStrictEqual(bytes(again.parts), bytes(parts))
      }),
    { arbitrary: { runs: 150 } }
  )

  it.effect("take the time of the run: twenty thousand words are folded and read once each", () =>
    Effect.gen(function*() {
      const deltas = Array.from({ length: 20_000 }, (_, index) => `w${index} `)
      const restarts = { step: 1, after: 1, said: [] }
      const run = { steps: [[{ type: "text", deltas }]], end: "completes", restarts, together: 1, joins: 0 } as const
      const updates = yield* updatesOf(run)
      const state = new TaskState(begun())
      for (const update of updates) state.add(update)
      assert.deepStrictEqual(artifactsOf(state.snapshot()), [deltas.join("")])
      assert.strictEqual(state.snapshot().artifacts[0]?.parts.length, 1)
      assert.strictEqual(
        read([{ payload: { $case: "task", value: begun() } }, ...updates]).result?.text,
        deltas.join("")
      )
    }))
})
