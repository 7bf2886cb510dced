/**
 * The source text of a test that does what a run did, with a scripted model and tools that give the same results.
 *
 * @since 0.1.0
 */

import type * as Schema from "effect/Schema"
import type * as AgentRun from "../../AgentRun.ts"
import type * as Copied from "./copied.ts"

type Json = Schema.Json

type Part = AgentRun.PartEncoded

const width = 100

const keyOf = (key: string): string =>
  key === "__proto__" ? `["__proto__"]` : /^[A-Za-z_$][\w$]*$/.test(key) ? key : JSON.stringify(key)

/** A value as an expression. A long one has a line for each of its elements. */
const literal = (value: Json, indent: string): string => {
  if (typeof value !== "object" || value === null) return JSON.stringify(value)
  const inner = `${indent}  `
  const entries: ReadonlyArray<readonly [string, Json]> = Array.isArray(value)
    ? value.map((element) => ["", element])
    : Object.entries(value as Readonly<Record<string, Json>>).map(([key, element]) => [`${keyOf(key)}: `, element])
  const [open, close] = Array.isArray(value) ? ["[", "]"] : ["{", "}"]
  if (entries.length === 0) return `${open}${close}`
  const space = open === "{" ? " " : ""
  const flat = `${open}${space}${
    entries.map(([key, element]) => key + literal(element, inner)).join(", ")
  }${space}${close}`
  return flat.length + indent.length <= width && !flat.includes("\n")
    ? flat
    : list(entries.map(([key, element]) => key + literal(element, inner)), indent, open, close)
}

const list = (elements: ReadonlyArray<string>, indent: string, open: string, close: string): string =>
  `${open}\n${elements.map((element) => `${indent}  ${element}`).join(",\n")}\n${indent}${close}`

// -----------------------------------------------------------------------------
// the script
// -----------------------------------------------------------------------------

type Deltas = { readonly type: "text" | "reasoning"; readonly id: Json; readonly deltas: Array<Json>; isOpen: boolean }

type Piece = Deltas | { readonly type: "calls"; readonly calls: Array<Json> } | {
  readonly type: "parts"
  readonly parts: Array<Part>
}

const hasMore = (part: Part, ...keys: ReadonlyArray<string>): boolean =>
  Object.keys(part).some((key) => key !== "type" && !keys.includes(key))

const startOf = (part: Part): Deltas | undefined =>
  (part.type === "text-start" || part.type === "reasoning-start") && !hasMore(part, "id")
    ? { type: part.type === "text-start" ? "text" : "reasoning", id: part.id, deltas: [], isOpen: true }
    : undefined

/** Whether a part only says how the next one came, or what the test does not read. */
const isLeftOut = ({ type }: Part): boolean => type.startsWith("tool-params-") || type === "response-metadata"

/** A text is one piece if nothing else has come in its middle, and it has no metadata. */
const piecesOf = (parts: ReadonlyArray<Part>): ReadonlyArray<Piece> => {
  const pieces: Array<Piece> = []
  const plain = (part: Part) => {
    const last = pieces[pieces.length - 1]
    if (last?.type === "parts") last.parts.push(part)
    else pieces.push({ type: "parts", parts: [part] })
  }
  for (const [index, part] of parts.entries()) {
    if (isLeftOut(part)) continue
    const last = pieces[pieces.length - 1]
    const open = last?.type === "text" || last?.type === "reasoning" ? last : undefined
    const start = isSimple(parts.slice(index)) ? startOf(part) : undefined
    if (start !== undefined) pieces.push(start)
    else if (open?.isOpen === true && part.type === `${open.type}-delta`) open.deltas.push(part.delta)
    else if (open?.isOpen === true && part.type === `${open.type}-end`) open.isOpen = false
    else if (part.type === "tool-call" && !hasMore(part, "id", "name", "params")) {
      const { id, name, params } = part
      if (last?.type === "calls") last.calls.push({ id, name, params })
      else pieces.push({ type: "calls", calls: [{ id, name, params }] })
    } else plain(part)
  }
  return pieces
}

/** Whether the text that begins here comes in one piece. The last text of an answer that was cut has no end. */
const isSimple = (parts: ReadonlyArray<Part>): boolean => {
  const [start] = parts
  const name = start.type.replace(/-start$/, "")
  const end = parts.findIndex((part, index) => index > 0 && part.type !== `${name}-delta`)
  const last = parts[end]
  const deltas = parts.slice(1, end === -1 ? undefined : end)
  return deltas.every((part) => part.id === start.id && !hasMore(part, "id", "delta")) && (
    last === undefined || (last.type === `${name}-end` && last.id === start.id && !hasMore(last, "id"))
  )
}

const call = (name: string, argument: string): string => `ScriptedModel.${name}(${argument})`

const callEach = (name: string, elements: ReadonlyArray<Json>, indent: string): string => {
  const flat = call(name, elements.map((each) => literal(each, indent)).join(", "))
  return elements.length < 2 || flat.length + indent.length <= width && !flat.includes("\n")
    ? flat
    : `ScriptedModel.${name}${list(elements.map((each) => literal(each, `${indent}  `)), indent, "(", ")")}`
}

const countsOf = (usage: Json): readonly [Json, Json] => {
  const { inputTokens, outputTokens } = (usage ?? {}) as Readonly<
    Record<string, Readonly<Record<string, Json>> | undefined>
  >
  return [inputTokens?.total ?? 0, outputTokens?.total ?? 0]
}

const writePiece = (piece: Piece, indent: string): ReadonlyArray<string> => {
  switch (piece.type) {
    case "text":
    case "reasoning":
      return [call(piece.type, literal(piece.deltas.length === 1 ? piece.deltas[0] : piece.deltas, indent))]
    case "calls":
      return [callEach("toolCalls", piece.calls, indent)]
    case "parts": {
      const [first] = piece.parts
      if (first.type !== "finish") return [call("parts", literal(piece.parts as ReadonlyArray<Json>, indent))]
      const [input, output] = countsOf(first.usage)
      return [
        call("finish", `${JSON.stringify(first.reason)}, ${call("usage", `${String(input)}, ${String(output)}`)}`)
      ]
    }
  }
}

/** A script adds this finish by itself. */
const isDefault = (finish: string, pieces: ReadonlyArray<Piece>): boolean => {
  const reason = pieces.some(({ type }) => type === "calls") ? "tool-calls" : "stop"
  return finish === call("finish", `"${reason}", ${call("usage", "10, 5")}`)
}

const writeStep = ({ isWhole, parts }: Copied.ModelCall, indent: string): string => {
  const inner = `${indent}  `
  const found = piecesOf(parts)
  const written = found.flatMap((piece) => writePiece(piece, inner)).filter((piece) => !isDefault(piece, found))
  // an answer without any piece has a finish of its own
  const pieces = isWhole ? written.length === 0 ? [call("parts", "[]")] : written : [...written, "ScriptedModel.hang"]
  const flat = `[${pieces.join(", ")}]`
  return flat.length + indent.length <= width && !flat.includes("\n") ? flat : list(pieces, indent, "[", "]")
}

// -----------------------------------------------------------------------------
// the test
// -----------------------------------------------------------------------------

type Call = { readonly id: string; readonly name: string; readonly params: Json }

/** The calls that the run has to answer itself. */
const callsOf = ({ parts }: Copied.ModelCall): ReadonlyArray<Call> =>
  parts.flatMap(({ id, name, params, providerExecuted, type }) =>
    type === "tool-call" && providerExecuted !== true ? [{ id: String(id), name: String(name), params }] : []
  )

/** The ids of calls are unique within their step, and have to be unique in the whole test. */
const withUniqueIds = (calls: ReadonlyArray<Copied.ModelCall>): ReadonlyArray<Copied.ModelCall> => {
  const used = new Set<string>()
  return calls.map((step, index) => {
    const ids = new Map(
      callsOf(step).map(({ id }) => [id, used.has(id) ? `${id} of step ${index + 1}` : id])
    )
    for (const id of ids.values()) used.add(id)
    const rename = (part: Part): Part =>
      typeof part.id === "string" && (part.type === "tool-call" || part.type === "tool-result")
        ? { ...part, id: ids.get(part.id) ?? part.id }
        : part
    return { ...step, parts: step.parts.map(rename), results: step.results.map(rename) }
  })
}

/** The call with which an agent with an `output` has given its answer. The others of its step were not accepted. */
const answerOf = ({ calls, result }: Copied.Run): Call | undefined => {
  if (result?.stopReason !== "output") return undefined
  const last = calls[calls.length - 1]
  return callsOf(last).find(({ id }) =>
    last.results.some((result) => result.id === id && result.encodedResult === "Accepted")
  )
}

const promptOf = ({ prompt }: Copied.Run): Json => {
  if (prompt.length === 0) return "the prompt is not known"
  const [{ content, role }] = prompt
  const [part] = content
  return prompt.length === 1 && role === "user" && content.length === 1 && isText(part)
    ? part.text
    // a message is JSON
    : prompt as unknown as Json
}

const isText = (part: Json): part is { readonly text: string } =>
  typeof part === "object" && part !== null && "text" in part && "type" in part && part.type === "text"

const titleOf = (prompt: Json): string => {
  const text = typeof prompt === "string" ? prompt.replace(/\s+/g, " ").trim() : "a prompt of several messages"
  return Array.from(text).slice(0, 60).join("")
}

/** The conditions without which the agent of the test would go on, or stop too early. */
const conditionsOf = (
  { result, waiting }: Copied.Run,
  calls: ReadonlyArray<Copied.ModelCall>,
  answer: Call | undefined
): ReadonlyArray<string> => {
  const last = calls[calls.length - 1]
  const isStopped = result !== undefined && answer === undefined && last !== undefined && last.results.length > 0 &&
    !callsOf(last).some(({ id }) => waiting.has(id))
  const failed = calls.flatMap(({ results }) => results).filter(({ isFailure }) => isFailure === true).length
  return [
    ...isStopped
      ? [`StopCondition.when(${JSON.stringify(result.stopReason)}, ({ steps }) => steps.length === ${calls.length})`]
      : [],
    ...calls.length > 16 ? [`StopCondition.stepCount(${calls.length + 1})`] : [],
    ...failed >= 16 ? [`StopCondition.toolErrors(${failed + 1})`] : []
  ]
}

const writeTools = (run: Copied.Run, names: ReadonlyArray<string>): ReadonlyArray<string> => {
  if (names.length === 0) return []
  const given = run.calls.flatMap(({ results }) => results).filter(({ name }) => names.includes(String(name)))
  const results = given.map(({ encodedResult, id, isFailure }) =>
    `${keyOf(String(id))}: Effect.${isFailure === true ? "fail" : "succeed"}(${literal(encodedResult ?? null, "  ")})`
  )
  const waits = (name: string) =>
    run.calls.some((step) => callsOf(step).some((_) => _.name === name && run.waiting.has(_.id)))
  return [
    "// the results of the tool calls, as they were in the run",
    `const results: Record<string, Effect.Effect<Schema.Json, Schema.Json>> = ${list(results, "", "{", "}")}`,
    "",
    "const parameters = Schema.Record(Schema.String, Schema.Json)",
    "const options = { parameters, success: Schema.Json, failure: Schema.Json, failureMode: \"return\" } as const",
    `const toolkit = Toolkit.make(\n${
      names.map((name) =>
        waits(name)
          ? `  Tool.make(${
            JSON.stringify(name)
          }, {\n    ...options,\n    needsApproval: (_, { toolCallId }) => !Object.hasOwn(results, toolCallId)\n  })`
          : `  Tool.make(${JSON.stringify(name)}, options)`
      ).join(",\n")
    }\n)`,
    `const tools = toolkit.toLayer(${
      list(names.map((name) => `${keyOf(name)}: (_, { toolCallId }) => results[toolCallId ?? ""]`), "", "{", "}")
    })`,
    ""
  ]
}

/** What can be seen of a run that has not completed: its texts, or else its calls. */
const writeCut = (calls: ReadonlyArray<Copied.ModelCall>, run: string): ReadonlyArray<string> => {
  const parts = calls.flatMap(({ parts }) => parts)
  const deltas = parts.filter(({ type }) => type === "text-delta")
  const seen = deltas.length > 0 ? deltas : parts.filter(({ type }) => type === "tool-call")
  if (seen.length === 0) {
    return [`const parts = yield* Stream.runCollect(Stream.take(${run}, 1))`, "assert.strictEqual(parts.length, 1)"]
  }
  const [type, key] = deltas.length > 0 ? ["text-delta", "delta"] : ["tool-call", "name"]
  return [
    "// the run did not complete: these parts have come",
    `const parts = yield* ${run}.pipe(`,
    `  Stream.filter((part) => part.type === "${type}"),`,
    `  Stream.take(${seen.length}),`,
    "  Stream.runCollect",
    ")",
    `assert.deepStrictEqual(parts.map((part) => part.${key}), ${literal(seen.map((part) => part[key]), "    ")})`
  ]
}

/**
 * Returns the source text of a test of this run.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toTest = (copied: Copied.Run): string => {
  const run = { ...copied, calls: withUniqueIds(copied.calls) }
  const answer = answerOf(run)
  const isRejected = ({ results }: Copied.ModelCall) =>
    results.some(({ isFailure, name }) => name === answer?.name && isFailure === true)
  const calls = run.calls.filter((step) => !isRejected(step))
  const names = [...new Set(calls.flatMap(callsOf).map(({ name }) => name))].filter((name) => name !== answer?.name)
  const prompt = promptOf(run)
  const { result } = run
  const conditions = conditionsOf(run, calls, answer)
  const options = [
    ...names.length === 0 ? [] : ["toolkit"],
    ...answer === undefined ? [] : [
      `output: AgentOutput.tool(Schema.Record(Schema.String, Schema.Json), { name: ${JSON.stringify(answer.name)} })`
    ],
    ...conditions.length === 0 ? [] : [`stopWhen: [${conditions.join(", ")}]`]
  ]
  const given = `(agent, { prompt: ${literal(prompt, "    ")} })`
  const body = result === undefined ? writeCut(calls, `Agent.stream${given}`) : [
    `const result = yield* Agent.run${given}`,
    `assert.strictEqual(result.text, ${JSON.stringify(result.text)})`,
    ...answer === undefined ? [] : [`assert.deepStrictEqual(result.value, ${literal(answer.params, "    ")})`],
    "yield* ScriptedModel.assertDone"
  ]
  const effect = [
    "Effect",
    ...names.length > 0 || answer !== undefined ? ["Schema"] : [],
    ...result === undefined ? ["Stream"] : []
  ]
  const ours = [
    "Agent",
    ...answer === undefined ? [] : ["AgentOutput"],
    ...conditions.length === 0 ? [] : ["StopCondition"]
  ]
  return [
    "import { assert, it } from \"@effect/vitest\"",
    `import { ${effect.join(", ")} } from "effect"`,
    ...names.length === 0 ? [] : ["import { Tool, Toolkit } from \"effect/ai\""],
    `import { ${ours.join(", ")} } from "effect-agents"`,
    "import { ScriptedModel } from \"effect-agents/testing\"",
    "",
    ...writeTools({ ...run, calls }, names),
    "// put your own agent in its place",
    `const agent = Agent.make(${JSON.stringify(run.agent || "agent")}${
      options.length === 0 ? "" : `, { ${options.join(", ")} }`
    })`,
    "",
    `const model = ScriptedModel.layer(${list(calls.map((step) => writeStep(step, "  ")), "", "[", "]")})`,
    "",
    `it.effect(${JSON.stringify(`answers: ${titleOf(prompt)}`)}, () =>`,
    "  Effect.gen(function*() {",
    ...body.map((line) => `    ${line}`),
    `  }).pipe(Effect.provide(${names.length === 0 ? "model" : "[model, tools]"})))`,
    ""
  ].join("\n")
}
