/**
 * Records the runs of a trial: how each of them ended, and all that it had done by then.
 *
 * It stands where telemetry stands, and passes everything on to the telemetry of the program, if there is some. So a
 * task may do with its runs whatever it likes; a run that is interrupted, or whose result the task throws away, is
 * recorded like any other.
 *
 * @since 0.1.0
 */

import * as Context from "effect/Context"
import type * as Prompt from "effect/ai/Prompt"
import type * as Cause from "effect/Cause"
import type * as AgentRun from "../../AgentRun.ts"
import type * as Middleware from "../../Middleware.ts"
import {
  Instrumentation,
  type ModelBegins,
  type ModelSpan,
  type RunInfo,
  type RunSpan,
  type ToolSpan
} from "../../internal/telemetry/instrumentation.ts"
import type * as Trial from "../Trial.ts"

/** The recorder of the runs that a run is nested in. */
const Within = Context.Reference<Recorder | undefined>("effect-agents/evals/internal/Within", {
  defaultValue: () => undefined
})

/**
 * @category models
 * @since 0.1.0
 */
export class Recorder {
  private readonly begun: Array<Trial.Run | undefined> = []
  /** Whether telemetry may export what the runs have said. */
  capturesContent = false

  /** The runs that have ended, in the order of their beginnings. */
  runs(): ReadonlyArray<Trial.Run> {
    return this.begun.filter((run) => run !== undefined)
  }

  /** The context in which runs are recorded. */
  readonly provide = <R>(context: Context.Context<R>): Context.Context<R> => {
    const telemetry = Context.getOrUndefined(context as Context.Context<never>, Instrumentation)
    return Context.add(
      context,
      Instrumentation,
      Instrumentation.of({
        startRun: (info, context) => {
          const index = this.begun.push(undefined) - 1
          const nested = Context.get(context, Within) === this
          const within = Context.add(context, Within, this)
          const span = telemetry?.startRun(info, within)
          if (span?.capturesContent === true) this.capturesContent = true
          return new RecordedRun(within, span, (outcome) => {
            this.begun[index] = { agent: info.agent, runId: idOf(info, outcome), nested, outcome }
          })
        }
      })
    ) as Context.Context<R>
  }
}

const idOf = (info: RunInfo, outcome: AgentRun.Outcome): string =>
  outcome._tag === "Completed" ? outcome.result.runId : outcome.partial.runId ?? info.runId

class RecordedRun implements RunSpan {
  readonly context: Context.Context<never>
  readonly capturesContent: boolean
  private readonly span: RunSpan | undefined
  private readonly onEnd: (outcome: AgentRun.Outcome) => void

  constructor(
    context: Context.Context<never>,
    span: RunSpan | undefined,
    onEnd: (outcome: AgentRun.Outcome) => void
  ) {
    this.context = span?.context ?? context
    this.capturesContent = span?.capturesContent ?? true
    this.span = span
    this.onEnd = onEnd
  }

  onInput(instructions: string, messages: ReadonlyArray<Prompt.Message>): void {
    this.span?.onInput(instructions, messages)
  }

  onRefused(instructions: string, messages: ReadonlyArray<Prompt.Message>): void {
    this.span?.onRefused(instructions, messages)
  }

  startModel(request: Middleware.ModelRequest, begins: ModelBegins): ModelSpan {
    return this.span?.startModel(request, begins) ?? noModelSpan(this.context)
  }

  startTool(request: Middleware.ToolRequest): ToolSpan {
    return this.span?.startTool(request) ?? { context: this.context, end: nothing }
  }

  onFinalizerFailure(name: string, cause: Cause.Cause<unknown> | undefined): void {
    this.span?.onFinalizerFailure(name, cause)
  }

  end(outcome: AgentRun.Outcome): void {
    this.span?.end(outcome)
    this.onEnd(outcome)
  }
}

const nothing = () => {}

const noModelSpan = (context: Context.Context<never>): ModelSpan => ({
  context,
  current: undefined,
  onCall: nothing,
  onParts: nothing,
  onInput: nothing,
  onRefused: nothing,
  end: nothing
})
