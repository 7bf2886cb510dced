/**
 * The updates of a task as the parts of a run.
 *
 * An artifact may grow, may be sent again as a whole, and is in every snapshot of its task. Each part of it is told once.
 *
 * @since 0.1.0
 */
import * as Sdk from "@a2a-js/sdk"
import * as Prompt from "effect/ai/Prompt"
import * as Response from "effect/ai/Response"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as AgentRun from "../../AgentRun.ts"
import type * as Approval from "../../Approval.ts"
import * as Json from "../../internal/words/json.ts"
import * as PartsOf from "../../internal/words/responseParts.ts"
import { StepBuilder, type StreamPart } from "../../internal/words/stepBuilder.ts"
import * as Usage from "../../internal/words/usage.ts"
import * as A2aError from "../A2aError.ts"
import * as Approvals from "./approvals.ts"
import * as Parts from "./parts.ts"

/** The longest text of another agent in a failure. */
const maximumDescription = 1000

/**
 * The names of a run.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunNames {
  readonly agent: string
  readonly runId: string
  readonly parentRunId: string | undefined
  readonly session: string | undefined
}

/**
 * How a task has ended, as far as a run is concerned.
 *
 * @category models
 * @since 0.1.0
 */
export type End =
  | { readonly _tag: "Completed"; readonly stopReason: AgentRun.StopReason }
  | { readonly _tag: "Failed"; readonly reason: A2aError.A2aErrorReason }
  | { readonly _tag: "Canceled" }

/** An artifact, as far as it was told: its text, and the number of its files and addresses. */
interface Known {
  text: string
  files: number
}

/**
 * A task that is read.
 *
 * @category models
 * @since 0.1.0
 */
export class Reading {
  /** The id of the task, once it is known. */
  taskId: string | undefined
  contextId: string | undefined = undefined
  end: End | undefined = undefined
  private readonly names: RunNames
  private readonly prompt: ReadonlyArray<Prompt.Message>
  private out: Array<AgentRun.Part> = []
  private readonly known = new Map<string, Known>()
  private readonly messages = new Set<string>()
  /** A snapshot that waits. It may be older than the message that goes on with the task. */
  private waiting: Sdk.Task | undefined = undefined
  /** What an agent of this package has said beyond the protocol at last. */
  private told: unknown = undefined
  private usage: AgentRun.Usage = AgentRun.emptyUsage
  private stopReason: string | undefined = undefined
  private approvals: ReadonlyArray<Approval.Approval> = []
  private value: unknown = undefined
  private readonly steps: Array<AgentRun.Step> = []
  private readonly transcript: Array<Prompt.Message> = []
  private builder = new StepBuilder()
  private step = 0
  /** How often the step has begun again, and the artifacts that it has told. */
  private restarts = 0
  private readonly stepArtifacts = new Set<string>()
  private texts = 0
  private open: { readonly id: string; readonly artifactId: string } | undefined = undefined

  constructor(names: RunNames, prompt: ReadonlyArray<Prompt.Message>, taskId: string | undefined) {
    this.names = names
    this.prompt = prompt
    this.taskId = taskId
    const { agent, parentRunId, runId, session } = names
    const start: AgentRun.RunStart = { type: "run-start", agent, runId, session }
    this.out.push(parentRunId === undefined ? start : { ...start, parentRunId }, { type: "step-start", index: 0 })
  }

  /** Returns the parts that have come since the last time. */
  take(): Array<AgentRun.Part> {
    const { out } = this
    this.out = []
    return out
  }

  /** What is in the task was told in a run before this one. */
  skip({ artifacts, history, status }: Sdk.Task): void {
    for (const { artifactId, parts } of artifacts) {
      this.known.set(artifactId, { text: textOf(parts), files: parts.filter(isFile).length })
    }
    for (const { messageId } of history) this.messages.add(messageId)
    if (status?.message !== undefined) this.messages.add(status.message.messageId)
  }

  add({ payload }: Sdk.StreamResponse): void {
    if (this.end !== undefined) return
    switch (payload?.$case) {
      case "task":
        return this.snapshot(payload.value)
      case "message":
        this.say(payload.value)
        return this.complete("stop")
      case "artifactUpdate":
        return this.isOther(payload.value) ? this.invalid(otherTask) : this.artifactUpdate(payload.value)
      case "statusUpdate": {
        if (this.isOther(payload.value)) return this.invalid(otherTask)
        this.metadata(payload.value)
        return this.status(payload.value.status)
      }
      default:
        return this.invalid("an update of no known kind")
    }
  }

  /** Nothing comes any more. A task that has not ended, and does not wait, was left behind. */
  over(): void {
    if (this.end !== undefined) return
    if (this.waiting?.status !== undefined) {
      this.metadata(this.waiting)
      return this.waits(this.waiting.status)
    }
    const { taskId } = this
    this.fail(new A2aError.ConnectionLost(taskId === undefined ? {} : { taskId }))
  }

  fail(reason: A2aError.A2aErrorReason): void {
    this.end ??= { _tag: "Failed", reason }
  }

  private invalid(description: string): void {
    this.fail(new A2aError.InvalidResponse({ description }))
  }

  private isOther({ taskId }: { readonly taskId: string }): boolean {
    return taskId !== this.taskId
  }

  // --- the task ---------------------------------------------------------------

  private snapshot(task: Sdk.Task): void {
    if (this.taskId !== undefined && this.taskId !== task.id) return this.invalid(otherTask)
    this.taskId = task.id
    this.contextId = task.contextId
    for (const artifact of task.artifacts) this.artifact(artifact)
    const { status } = task
    if (status !== undefined && isWaiting(status.state)) {
      this.waiting = task
      return
    }
    // until then they are those of a run before this one
    if (Parts.isTerminal(status?.state)) this.metadata(task)
    this.status(status)
  }

  private status(status: Sdk.TaskStatus | undefined): void {
    if (status === undefined) return
    this.waiting = undefined
    switch (status.state) {
      case Sdk.TaskState.TASK_STATE_COMPLETED: {
        if (status.message !== undefined) this.say(status.message)
        return this.complete(this.stopReason ?? "stop")
      }
      case Sdk.TaskState.TASK_STATE_CANCELED:
        this.end ??= { _tag: "Canceled" }
        return
      case Sdk.TaskState.TASK_STATE_FAILED:
      case Sdk.TaskState.TASK_STATE_REJECTED:
        return this.fail(this.failure(status))
      case Sdk.TaskState.TASK_STATE_INPUT_REQUIRED:
      case Sdk.TaskState.TASK_STATE_AUTH_REQUIRED:
        return this.waits(status)
      default:
        return status.message === undefined ? undefined : this.note(status.message)
    }
  }

  private waits({ message, state }: Sdk.TaskStatus): void {
    const approvals = Approvals.fromParts(message?.parts ?? [], this.taskId ?? "")
    if (approvals.length > 0) {
      this.ask(approvals)
      return this.complete("approval-required")
    }
    if (message !== undefined) this.say(message)
    this.complete(state === Sdk.TaskState.TASK_STATE_AUTH_REQUIRED ? "auth-required" : "input-required")
  }

  private ask(approvals: ReadonlyArray<Approval.Approval>): void {
    this.close()
    this.approvals = approvals
    const called = new Set<string>()
    for (const approval of approvals) {
      const { approvalId, params, tool, toolCallId } = approval
      if (!called.has(toolCallId)) this.push(PartsOf.toolCall(toolCallId, tool, params, false))
      called.add(toolCallId)
      this.out.push({ ...Response.makePart("tool-approval-request", { approvalId, toolCallId }), approval })
    }
  }

  private failure({ message, state }: Sdk.TaskStatus): A2aError.TaskFailed {
    const described = decodeFailure(this.told)
    return new A2aError.TaskFailed({
      taskId: this.taskId ?? "",
      state: state === Sdk.TaskState.TASK_STATE_REJECTED ? "rejected" : "failed",
      description: textOf(message?.parts ?? []).slice(0, maximumDescription),
      ...Option.getOrUndefined(described)
    })
  }

  /** What agents of this package say beyond the protocol. */
  private metadata(from: Pick<Sdk.Task, "metadata">): void {
    const told = this.told = from.metadata?.[Parts.metadataKey]
    if (!Predicate.isObject(told)) return
    // the last step may have told nothing else
    this.atStep(from)
    this.usage = Option.match(decodeUsage(told), {
      onNone: () => this.usage,
      onSome: ({ usage }) => Usage.clean(usage)
    })
    this.stopReason = Option.getOrUndefined(decodeStopReason(told))?.stopReason ?? this.stopReason
  }

  // --- artifacts --------------------------------------------------------------

  private artifactUpdate({ append, artifact, lastChunk }: Sdk.TaskArtifactUpdateEvent): void {
    if (artifact === undefined) return this.invalid("an update without its artifact")
    const { artifactId, name, parts } = artifact
    if (append && this.known.has(artifactId)) {
      this.atStep(artifact)
      this.tell(artifactId, name, parts)
    } else this.artifact(artifact)
    if (lastChunk) {
      if (this.open?.artifactId === artifactId) this.close()
    } else if (parts.some(isData)) this.out.push({ type: "output-partial", value: this.value })
  }

  /** The whole of an artifact. What was told of it is not told again, and cannot be taken back. */
  private artifact(artifact: Sdk.Artifact): void {
    const { artifactId, name, parts } = artifact
    // JSON is replaced where it is, by that of a later step
    if (!parts.every(isData) && !this.atStep(artifact)) return
    const { files, text } = this.knownOf(artifactId)
    const all = textOf(parts)
    const isLonger = all.startsWith(text)
    if (!isLonger) {
      this.close()
      this.known.set(artifactId, { text: "", files })
    }
    const rest = isLonger ? all.slice(text.length) : all
    const others = parts.filter((part) => part.content?.$case !== "text")
    const toTell = [
      ...rest === "" ? [] : [Parts.text(rest)],
      ...others.filter(isData),
      ...others.filter(isFile).slice(files)
    ]
    this.tell(artifactId, name, toTell)
  }

  private knownOf(artifactId: string): Known {
    const known = this.known.get(artifactId) ?? { text: "", files: 0 }
    this.known.set(artifactId, known)
    return known
  }

  private tell(artifactId: string, name: string, parts: ReadonlyArray<Sdk.Part>): void {
    const known = this.knownOf(artifactId)
    this.stepArtifacts.add(artifactId)
    for (const part of parts) {
      const { content, mediaType } = part
      if (isFile(part)) {
        known.files++
        this.close()
      }
      switch (content?.$case) {
        case "text":
          known.text += content.value
          this.text(artifactId, content.value)
          break
        case "raw": {
          const data = new Uint8Array(content.value)
          this.push(Response.makePart("file", { mediaType: mediaType === "" ? unknownType : mediaType, data }))
          break
        }
        case "url":
          this.address(artifactId, name, content.value)
          break
        case "data":
          if (Json.isTooDeep(content.value)) return this.invalid(Json.tooDeep)
          this.value = content.value
      }
    }
  }

  private address(id: string, title: string, href: string): void {
    if (!URL.canParse(href)) return this.invalid("an address that is none")
    // the constructor of effect knows the fields of both kinds of sources only
    const source = { sourceType: "url", id, url: new URL(href), title } as const
    this.out.push(Response.makePart("source", source))
  }

  /** Agents of this package number the steps of a run. Returns whether the artifact counts. */
  private atStep({ metadata }: Pick<Sdk.Artifact, "metadata">): boolean {
    const told: unknown = metadata?.[Parts.metadataKey]
    const step = Predicate.hasProperty(told, "step") ? told.step : undefined
    if (!Predicate.isNumber(step)) return true
    const restarts = Predicate.hasProperty(told, "restarts") && Predicate.isNumber(told.restarts) ? told.restarts : 0
    // what the step has told before it began again stays in a task until it is replaced
    if (step === this.step && restarts < this.restarts) return false
    if (step === this.step && restarts > this.restarts) this.beginAgain(restarts)
    if (step <= this.step) return true
    this.step = step
    this.restarts = restarts
    this.stepArtifacts.clear()
    // the first step of a run has a number, too
    if (this.builder.content().length > 0) {
      this.endStep("unknown", AgentRun.emptyUsage)
      this.out.push({ type: "step-start", index: this.steps.length })
    }
    return true
  }

  /** The process of the agent has ended, and another one makes the step from its beginning. */
  private beginAgain(restarts: number): void {
    this.restarts = restarts
    for (const artifactId of this.stepArtifacts) this.known.set(artifactId, { text: "", files: 0 })
    this.stepArtifacts.clear()
    this.open = undefined
    this.builder = new StepBuilder()
    this.out.push({ type: "step-start", index: this.steps.length, restarted: true })
  }

  // --- messages ---------------------------------------------------------------

  /** A message that belongs to the answer. */
  private say({ messageId, parts }: Sdk.Message): void {
    if (this.messages.has(messageId)) return
    this.messages.add(messageId)
    this.close()
    const isFirst = this.builder.text() === ""
    this.tell(`message ${messageId}`, "", isFirst ? parts : [Parts.text("\n\n"), ...parts])
    this.close()
  }

  /** A message about the work. */
  private note({ messageId, parts }: Sdk.Message): void {
    const text = textOf(parts)
    if (this.messages.has(messageId) || text === "") return
    this.messages.add(messageId)
    this.close()
    const id = this.nextId()
    this.push(PartsOf.reasoningStart(id))
    this.push(PartsOf.reasoningDelta(id, text))
    this.push(PartsOf.reasoningEnd(id))
  }

  private text(artifactId: string, delta: string): void {
    if (delta === "") return
    if (this.open?.artifactId !== artifactId) {
      this.close()
      this.open = { id: this.nextId(), artifactId }
      this.push(PartsOf.textStart(this.open.id))
    }
    this.push(PartsOf.textDelta(this.open.id, delta))
  }

  private close(): void {
    if (this.open === undefined) return
    this.push(PartsOf.textEnd(this.open.id))
    this.open = undefined
  }

  private nextId(): string {
    return String(this.texts++)
  }

  private push(part: StreamPart): void {
    this.builder.add(part)
    this.out.push(part)
  }

  // --- the end ----------------------------------------------------------------

  private complete(stopReason: AgentRun.StopReason): void {
    this.end ??= { _tag: "Completed", stopReason }
  }

  private endStep(reason: Response.FinishReason, usage: AgentRun.Usage): void {
    this.close()
    this.push(PartsOf.finish(reason, new Response.Usage(usage)))
    const { approvals, builder } = this
    const step: AgentRun.Step = {
      index: this.steps.length,
      text: builder.text(),
      finishReason: reason,
      toolCalls: (builder.calls ?? []).map(({ id, name, params }) => ({
        id,
        name,
        params,
        executed: false,
        isFailure: false
      })),
      usage
    }
    const content = [...builder.content(), ...Approvals.toRequests(approvals)]
    if (content.length > 0) this.transcript.push(PartsOf.assistantMessage(content))
    this.steps.push(step)
    this.out.push({ type: "step-end", step })
    this.builder = new StepBuilder()
  }

  /** The last JSON of the task. */
  get json(): unknown {
    return this.value
  }

  /** Returns the last parts of a run that completes with this value. */
  completed(stopReason: AgentRun.StopReason, value: unknown): ReadonlyArray<AgentRun.Part> {
    const { approvals, names: { agent, runId, session }, usage } = this
    this.endStep(approvals.length > 0 ? "tool-calls" : isFinishReason(stopReason) ? stopReason : "stop", usage)
    const { steps } = this
    const result: AgentRun.Result = {
      agent,
      runId,
      session,
      text: steps[steps.length - 1]?.text ?? "",
      value,
      usage,
      totalUsage: usage,
      steps,
      stopReason,
      approvals,
      transcript: Prompt.fromMessages([...this.prompt, ...this.transcript])
    }
    return [...this.take(), { type: "run-end", result }]
  }

  /** An answer of JSON alone is its text, too. */
  jsonAsText(): void {
    if (this.builder.text() !== "" || this.value === undefined) return
    this.text("json", JSON.stringify(this.value))
  }
}

const isWaiting = (state: Sdk.TaskState): boolean =>
  state === Sdk.TaskState.TASK_STATE_INPUT_REQUIRED || state === Sdk.TaskState.TASK_STATE_AUTH_REQUIRED

const isFile = ({ content }: Sdk.Part): boolean => content?.$case === "raw" || content?.$case === "url"

const isData = ({ content }: Sdk.Part): boolean => content?.$case === "data"

const textOf = (parts: ReadonlyArray<Sdk.Part>): string =>
  parts.map(({ content }) => content?.$case === "text" ? content.value : "").join("")

const unknownType = "application/octet-stream"

const otherTask = "an update of another task"

const isFinishReason = Schema.is(Response.FinishReason)

const decodeUsage = Schema.decodeUnknownOption(Schema.Struct({ usage: AgentRun.Usage }))

const decodeStopReason = Schema.decodeUnknownOption(
  Schema.Struct({ stopReason: Schema.String.check(Schema.isMaxLength(100)) })
)

const decodeFailure = Schema.decodeUnknownOption(
  Schema.Struct({ code: Schema.String.check(Schema.isMaxLength(100)), retryable: Schema.Boolean })
)
