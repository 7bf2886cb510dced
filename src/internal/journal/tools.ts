/**
 * A tool call in a journal.
 *
 * The part below all middleware is recorded: the rules and approvals of the call, its time limit, and the result of its
 * handler. A run nested in a call has records of its own.
 *
 * @since 0.1.0
 */

import * as AiError from "effect/ai/AiError"
import * as Prompt from "effect/ai/Prompt"
import * as Tool from "effect/ai/Tool"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as AgentRun from "../../AgentRun.ts"
import type * as Middleware from "../../Middleware.ts"
import { type Accountant, Accountants, type Cost, type Counts } from "../model/spending.ts"
import * as Gate from "../tool/gate.ts"
import * as JsonCodec from "../words/jsonCodec.ts"
import type { JournalError } from "../words/journalError.ts"
import { ParentRun } from "../words/parentRun.ts"
import * as Parts from "../words/responseParts.ts"
import * as Usage from "../words/usage.ts"
import { Recording } from "./recording.ts"
import * as Scope from "./scope.ts"

/**
 * One call, below its middleware.
 *
 * - `scope`, `name`: the place of its record.
 * - `waitsFor`: what the runs nested in it wait for, if they have interrupted it.
 * - `onSlow`: called with a handler that did not end in time and was interrupted.
 * - `onLive`: called with the context of the call when it is made. Returns the context in which it is made.
 *
 * @category models
 * @since 0.1.0
 */
export interface Call {
  readonly scope: Scope.Scope
  readonly name: string
  readonly request: Middleware.ToolRequest
  readonly tool: Tool.Any
  readonly timeout: Duration.Duration | undefined
  readonly waitsFor: () => ReadonlyArray<Prompt.ToolApprovalRequestPart> | undefined
  readonly onSlow: (fiber: Fiber.Fiber<unknown, unknown>) => void
  readonly onLive: (context: Context.Context<never>) => Context.Context<never>
}

const Record = Schema.Union([
  Schema.Struct({
    is: Schema.Literal("result"),
    isFailure: Schema.Boolean,
    encoded: Schema.Unknown,
    // what the run knows about a failure that is not the tool's own
    mark: Schema.optionalKey(Schema.Literals(["execution-denied", "execution-interrupted", "mistake"]))
  }),
  Schema.Struct({ is: Schema.Literal("waiting"), requests: Schema.Array(Prompt.ToolApprovalRequestPart) }),
  Schema.Struct({ is: Schema.Literal("failed"), of: Schema.Literals(["model", "tool"]), error: Schema.Unknown }),
  Schema.Struct({ is: Schema.Literal("interrupted") }),
  Schema.Struct({ is: Schema.Literal("left") })
])

type Record = typeof Record.Type

/** The usage of the runs that a handler has run itself. They are not run again. */
const Nested = Schema.Struct({
  usage: Schema.optionalKey(AgentRun.Usage),
  costs: Schema.optionalKey(Schema.Array(Schema.Struct({
    model: Schema.optionalKey(Schema.String),
    provider: Schema.optionalKey(Schema.String),
    usage: AgentRun.Usage
  }))),
  // for each of the accountants around the call
  counts: Schema.optionalKey(Schema.Array(Schema.Struct({ modelCalls: Schema.Int, toolCalls: Schema.Int })))
})

const Kept = JsonCodec.make<Kept, unknown, never, never>(Schema.Struct({ call: Record, nested: Nested }))

interface Kept {
  readonly call: Record
  readonly nested: typeof Nested.Type
}

const decodeAll = Schema.decodeUnknownEffect(Kept)

const encodeAll = Schema.encodeEffect(Kept)

/**
 * Runs a call, or takes its result from its record.
 *
 * @category running
 * @since 0.1.0
 */
export const run = (
  call: Call,
  handled: Effect.Effect<Middleware.ToolResult, unknown>
): Effect.Effect<Middleware.ToolResult, unknown> =>
  Effect.contextWith((context: Context.Context<never>) => {
    const { name, request, scope, tool } = call
    let live: Exit.Exit<Middleware.ToolResult, unknown> | undefined
    const spent = new Spent(context)
    const ended = (exit: Exit.Exit<Middleware.ToolResult, unknown>): Effect.Effect<Record, unknown> => {
      live = exit
      if (Exit.isSuccess(exit)) return Effect.succeed(recordOf(exit.value))
      const requests = call.waitsFor()
      if (requests !== undefined) return Effect.succeed({ is: "waiting", requests })
      const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
      return error === undefined
        ? Effect.failCause(exit.cause as Cause.Cause<never>)
        // a failure that does not fit the schema ends the call like a defect, and is not recorded
        : Effect.catchCause(failedOf(tool, error), () => Effect.failCause(exit.cause))
    }
    const write = (call: Record) => Effect.orDie(encodeAll({ call, nested: spent.nested() }))
    const execute = Effect.suspend(() => {
      const own = spent.watch(call.onLive(context))
      const inTime = call.timeout === undefined ? handled : within(call, call.timeout, handled, own)
      return Effect.flatMap(Effect.exit(Effect.updateContext(inTime, (_: Context.Context<never>) => own)), ended)
    })
    const recording = new Recording(scope, {
      name,
      kind: `a call of ${request.name}`,
      // a failure that cannot be recorded is a failure of the caller
      execute: Effect.flatMap(execute, write) as Effect.Effect<unknown>,
      interrupted: Effect.suspend(() => write(waitingOr(call, { is: "interrupted" }))),
      left: Effect.suspend(() => write({ is: "left" }))
    }, context)
    return Effect.flatMap(recording.recorded, ({ isLive, value }): Effect.Effect<Middleware.ToolResult, unknown> => {
      if (isLive) return live ?? Effect.interrupt
      return Effect.flatMap(
        Effect.catchTag(decodeAll(value), "SchemaError", ({ message }) => broken(call, message)),
        ({ call: record, nested }) => {
          spent.tell(nested)
          return replay(call, record)
        }
      )
    })
  })

const waitingOr = (call: Call, record: Record): Record => {
  const requests = call.waitsFor()
  return requests === undefined ? record : { is: "waiting", requests }
}

const broken = ({ name, scope }: Call, message: string): Effect.Effect<never, JournalError> =>
  scope.broken(Scope.invalid(name, `it does not decode: ${message}`))

/** Interrupts a tool that does not end in time, answers its call, and does not wait for it. */
const within = (
  { onSlow, request }: Call,
  timeout: Duration.Duration,
  handled: Effect.Effect<Middleware.ToolResult, unknown>,
  context: Context.Context<never>
): Effect.Effect<Middleware.ToolResult, unknown> =>
  Effect.suspend(() => {
    const fiber = Effect.runForkWith(context)(handled)
    const slow = Effect.map(Effect.sleep(timeout), () => {
      onSlow(fiber)
      fiber.interruptUnsafe()
      return Gate.tooSlow(request, timeout)
    })
    return Effect.onInterrupt(
      Effect.flatten(Effect.raceFirst(Fiber.await(fiber), Effect.map(slow, Exit.succeed))),
      () => Fiber.interrupt(fiber)
    )
  })

const recordOf = (result: Middleware.ToolResult): Record => {
  const requests = Gate.requestsOf(result)
  if (requests !== undefined) return { is: "waiting", requests }
  const { encodedResult, isFailure } = result
  const mark = Gate.executionFailureOf(result) ?? (Gate.wasExecuted(result) ? undefined : "mistake")
  return { is: "result", isFailure, encoded: encodedResult ?? null, ...mark !== undefined && { mark } }
}

const failedOf = (tool: Tool.Any, error: unknown): Effect.Effect<Record, unknown> => {
  const of = AiError.isAiError(error) ? "model" : "tool"
  return Effect.map(
    Schema.encodeUnknownEffect(failureCodec(tool, of))(error),
    (error): Record => ({ is: "failed", of, error })
  )
}

// the services of its schemas are in the context of the run
const failureCodec = (tool: Tool.Any, of: "model" | "tool"): Schema.Codec<unknown, unknown> =>
  of === "model" ? AiErrors : codecOf(tool.failureSchema)

const codecOf = (schema: Schema.Top): Schema.Codec<unknown, unknown> =>
  JsonCodec.make(schema as Schema.Codec<unknown, unknown>)

const AiErrors: Schema.Codec<unknown, unknown> = JsonCodec.make<unknown, unknown, never, never>(AiError.AiError)

const replay = (call: Call, record: Record): Effect.Effect<Middleware.ToolResult, unknown> => {
  const { request, tool } = call
  switch (record.is) {
    case "waiting":
      return Effect.succeed(Gate.waiting(request, record.requests))
    case "interrupted":
      return Effect.interrupt
    case "left":
      // the code that left the call before leaves it again
      return Effect.never
    case "failed":
      return Effect.matchEffect(Schema.decodeUnknownEffect(failureCodec(tool, record.of))(record.error), {
        onFailure: ({ message }) => broken(call, message),
        onSuccess: Effect.fail
      })
    case "result": {
      const { encoded, isFailure, mark } = record
      if (mark !== undefined) return Effect.succeed(Gate.remark(resultOf(request, encoded, encoded, true), mark))
      const schema = isFailure ? Tool.failureResultSchema(tool) : tool.successSchema
      return Effect.matchEffect(Schema.decodeUnknownEffect(codecOf(schema))(encoded), {
        onFailure: ({ message }) => broken(call, message),
        onSuccess: (result) => Effect.sync(() => resultOf(request, result, encoded, isFailure, tool))
      })
    }
  }
}

const resultOf = (
  { id, name }: Middleware.ToolRequest,
  result: unknown,
  encodedResult: unknown,
  isFailure: boolean,
  tool?: Tool.Any
): Middleware.ToolResult =>
  Parts.toolResult({
    id,
    name,
    result,
    encodedResult,
    isFailure,
    preliminary: false,
    modelOutput: isFailure ? undefined : tool?.toModelOutput?.(result)
  })

/** The usage of the runs that the handler of a call runs itself. */
class Spent {
  private readonly parent: ParentRun["Service"] | undefined
  private readonly accountants: ReadonlyArray<Accountant>
  private usage: AgentRun.Usage = Usage.empty
  private readonly costs: Array<Pick<Cost, "model" | "provider"> & { usage: AgentRun.Usage }> = []
  private readonly counts: Array<{ modelCalls: number; toolCalls: number }>

  constructor(context: Context.Context<never>) {
    this.parent = Context.getOrUndefined(context, ParentRun)
    this.accountants = Context.get(context, Accountants)
    this.counts = this.accountants.map(() => ({ modelCalls: 0, toolCalls: 0 }))
  }

  watch(context: Context.Context<never>): Context.Context<never> {
    const { accountants, parent } = this
    const watched = accountants.length === 0
      ? context
      : Context.add(context, Accountants, [...accountants, {
        spend: (cost) => this.add(cost),
        onCounts: (by, counts) => this.count(by, counts)
      }])
    return parent === undefined ? watched : Context.add(watched, ParentRun, {
      ...parent,
      addNestedUsage: (usage) => {
        this.usage = Usage.add(this.usage, usage)
        parent.addNestedUsage(usage)
      }
    })
  }

  private add({ after, before, model, modelBefore, provider }: Cost): void {
    if (before !== Usage.empty) this.change(modelBefore, provider, before, Usage.empty)
    this.change(model, provider, Usage.empty, after)
  }

  private count(by: Accountant, { modelCalls = 0, toolCalls = 0 }: Counts): void {
    // an account that was opened in the call has ended with it
    const counts = this.counts[this.accountants.indexOf(by)]
    if (counts === undefined) return
    counts.modelCalls += modelCalls
    counts.toolCalls += toolCalls
  }

  private change(
    model: string | undefined,
    provider: string | undefined,
    before: AgentRun.Usage,
    after: AgentRun.Usage
  ): void {
    const known = this.costs.find((cost) => cost.model === model && cost.provider === provider)
    if (known !== undefined) known.usage = Usage.change(known.usage, before, after)
    else this.costs.push({ model, provider, usage: Usage.change(Usage.empty, before, after) })
  }

  nested(): typeof Nested.Type {
    const costs = this.costs.map(({ model, provider, usage }) => ({
      ...model !== undefined && { model },
      ...provider !== undefined && { provider },
      usage
    }))
    return {
      ...this.usage !== Usage.empty && { usage: this.usage },
      ...costs.length > 0 && { costs },
      ...this.counts.some(isAny) && { counts: this.counts }
    }
  }

  /** The usage from the first time that the call was made counts again. */
  tell({ costs = [], counts = [], usage }: typeof Nested.Type): void {
    if (usage !== undefined) this.parent?.addNestedUsage(usage)
    for (const { model, provider, usage } of costs) {
      const cost = { before: Usage.empty, after: usage, model, modelBefore: undefined, provider, isReplayed: true }
      for (const accountant of this.accountants) accountant.spend(cost)
    }
    counts.forEach((counts, index) => {
      const by = this.accountants[index]
      if (by === undefined || !isAny(counts)) return
      by.restore?.(counts)
      for (const accountant of this.accountants) accountant.onCounts?.(by, counts)
    })
  }
}

const isAny = ({ modelCalls, toolCalls }: Required<Counts>): boolean => modelCalls !== 0 || toolCalls !== 0
