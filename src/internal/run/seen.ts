/**
 * The partial result of a run whose life is somewhere else, by the parts that were seen of it.
 *
 * @since 0.1.0
 */
import * as Prompt from "effect/ai/Prompt"
import * as Result from "effect/Result"
import * as AgentRun from "../../AgentRun.ts"
import type * as Middleware from "../../Middleware.ts"
import * as Session from "../../Session.ts"
import { StepBuilder, type StreamPart } from "../words/stepBuilder.ts"
import * as Cut from "./cut.ts"
import * as Partial from "./partial.ts"
import { toMessages } from "./step.ts"

/**
 * A run of a function that returns a stream of parts. Its parts are what it says; nothing else is known of it.
 *
 * @category models
 * @since 0.1.0
 */
export class Seen {
  private readonly prompt: Prompt.RawInput
  private runId: string | undefined
  private readonly steps: Array<AgentRun.Step> = []
  private readonly messages: Array<Prompt.Message> = []
  private nested: AgentRun.Usage = AgentRun.emptyUsage
  private builder: StepBuilder | undefined = undefined
  private results = new Map<string, Middleware.ToolResult>()

  constructor(prompt: Prompt.RawInput, runId: string | undefined) {
    this.prompt = prompt
    this.runId = runId
  }

  /** Adds the next parts. The function is the user's: parts that cannot be read are left out. */
  add(parts: ReadonlyArray<AgentRun.Part>): void {
    for (const part of parts) Result.try(() => this.addOne(part))
  }

  private addOne(part: AgentRun.Part): void {
    switch (part.type) {
      case "run-start":
        this.runId = part.runId
        return
      case "step-start":
        this.begin()
        return
      case "step-end":
        return this.end(part.step)
      case "steering":
        this.messages.push(part.message)
        return
      case "agent-part":
        if (part.path.length === 1 && part.part.type === "run-end") {
          this.nested = AgentRun.addUsage(this.nested, part.part.result.totalUsage)
        }
        return
      case "run-end":
      case "output-partial":
      case "tool-approval-request":
        return
      case "tool-result":
        if (!part.providerExecuted) {
          if (!part.preliminary) this.results.set(part.id, part as Middleware.ToolResult)
          return
        }
    }
    // whatever else a model says
    const builder = this.builder ?? this.begin()
    builder.add(part as StreamPart)
  }

  private begin(): StepBuilder {
    this.results = new Map()
    return this.builder = new StepBuilder()
  }

  private end(step: AgentRun.Step): void {
    const { builder, results } = this
    this.steps.push(step)
    this.builder = undefined
    if (builder === undefined) return
    const answered = (builder.calls ?? []).flatMap(({ id }) => results.get(id) ?? [])
    this.messages.push(...toMessages(builder, answered))
  }

  /** What there is of the run. */
  partial(): AgentRun.Partial {
    const { builder, messages, nested, results, runId, steps } = this
    const { transcript } = Partial.beforeBody(runId, Prompt.make(this.prompt), nested)
    const cut = builder === undefined ? [] : Cut.toMessages(builder, ({ id }) => results.get(id))
    const usage = steps.map((step) => step.usage).concat(builder?.usage ?? []).reduce(
      AgentRun.addUsage,
      AgentRun.emptyUsage
    )
    return {
      runId,
      text: builder?.text() ?? steps[steps.length - 1]?.text ?? "",
      usage,
      totalUsage: AgentRun.addUsage(usage, nested),
      steps: [...steps],
      transcript: Prompt.fromMessages(Session.close([...transcript.content, ...messages, ...cut]))
    }
  }
}
