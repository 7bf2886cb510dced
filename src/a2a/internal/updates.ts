/**
 * The parts of a run as updates of a task.
 *
 * @since 0.1.0
 */
import * as Sdk from "@a2a-js/sdk"
import type * as Response from "effect/ai/Response"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as AgentRun from "../../AgentRun.ts"
import * as Approval from "../../Approval.ts"
import * as Fields from "../../internal/words/fields.ts"
import * as Json from "../../internal/words/json.ts"
import * as AgentApi from "../../server/AgentApi.ts"
import * as Valued from "../../server/internal/valued.ts"
import * as Parts from "./parts.ts"

/**
 * The names of a task, and of the run that works on it.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunName extends Parts.TaskName {
  readonly runId: string
}

/**
 * Returns the updates of a run. The last one tells how the run has ended. The stream never fails.
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromParts = <E, R>(
  parts: Stream.Stream<AgentRun.Part, E, R>,
  name: RunName
): Stream.Stream<Sdk.StreamResponse, never, R> =>
  Stream.unwrap(Effect.map(Clock.clockWith(Effect.succeed), (clock) => {
    const updates = new Updates(name, () => new Date(clock.currentTimeMillisUnsafe()).toISOString())
    const told = Stream.transformPull(Valued.asJson(parts), (upstream) => {
      // an array of parts without a word in the protocol is no array of updates
      const next: Pull.Pull<Arr.NonEmptyReadonlyArray<Sdk.StreamResponse>, E, void, R> = Effect.flatMap(
        upstream,
        (parts) => {
          const some = updates.tell(parts)
          return Arr.isReadonlyArrayNonEmpty(some) ? Effect.succeed(some) : next
        }
      )
      return Effect.succeed(next)
    })
    return told.pipe(
      Stream.concat(Stream.suspend(() => updates.hasEnded ? Stream.empty : Stream.succeed(updates.broken))),
      Stream.catchCause((cause) => Stream.sync(() => updates.failure(cause)))
    )
  }))

/** What is said of a completed run. `value` is missing for an agent without an output. */
const Told = Schema.Struct({
  value: Fields.AnyAnswer,
  approvals: Schema.Array(Approval.Approval),
  stopReason: Schema.String,
  usage: AgentRun.Usage
})

const encodeTold = Schema.encodeUnknownResult(Told)

class Updates {
  hasEnded = false
  private readonly name: RunName
  private readonly now: () => string
  private out: Array<Sdk.StreamResponse> = []
  private artifacts = 0
  /** The number of artifacts before the step, and the largest number with all that it has told. */
  private stepBegins = 0
  private replaceable = 0
  /** How often the step has begun again. */
  private restarts = 0
  private step = 0
  /** The text that is being written, by its id in the step. */
  private readonly texts = new Map<string, { readonly artifactId: string; hasBegun: boolean }>()
  /** The length of what the step has written, and what it was when a partial value was told. */
  private written = 0
  private toldAt = 0

  constructor(name: RunName, now: () => string) {
    this.name = name
    this.now = now
  }

  tell(parts: ReadonlyArray<AgentRun.Part>): ReadonlyArray<Sdk.StreamResponse> {
    for (const part of parts) this.part(part)
    const { out } = this
    this.out = []
    return out
  }

  private part(part: AgentRun.Part): void {
    switch (part.type) {
      case "run-start":
        this.status(Sdk.TaskState.TASK_STATE_WORKING)
        return
      case "step-start":
        // an artifact that is told again replaces the one of its name
        if (part.restarted === true) {
          this.artifacts = this.stepBegins
          this.restarts++
        } else {
          this.replaceable = this.stepBegins = this.artifacts
          this.restarts = 0
        }
        this.step = part.index
        this.texts.clear()
        this.written = this.toldAt = 0
        return
      case "step-end":
        return this.emptyRest()
      case "text-start":
        this.texts.set(part.id, { artifactId: this.nextArtifact(), hasBegun: false })
        return
      case "tool-params-delta":
        // an output may be written as the parameters of a tool
        this.written += part.delta.length
        return
      case "text-delta":
        return this.textDelta(part)
      case "text-end":
        return this.textEnd(part.id)
      case "file":
        return this.whole("file", Parts.raw(part.data, part.mediaType))
      case "source":
        // a document has no address, and the protocol has no word for it
        return part.sourceType === "url" ? this.whole(part.title, Parts.url(part.url.href)) : undefined
      case "output-partial":
        return this.partial(part.value)
      case "run-end":
        return this.end(part.result)
    }
  }

  private textDelta({ delta, id }: Response.TextDeltaPart): void {
    const text = this.texts.get(id)
    if (text === undefined || delta === "") return
    this.written += delta.length
    const last = this.out.at(-1)?.payload
    // deltas that come together are told together
    if (
      last?.$case === "artifactUpdate" && last.value.artifact?.artifactId === text.artifactId && !last.value.lastChunk
    ) {
      const [part] = last.value.artifact.parts
      if (part?.content?.$case === "text") part.content.value += delta
      return
    }
    this.artifact(text.artifactId, "text", Parts.text(delta), { append: text.hasBegun, lastChunk: false })
    text.hasBegun = true
  }

  private textEnd(id: string): void {
    const text = this.texts.get(id)
    this.texts.delete(id)
    // an update has at least one part
    if (text?.hasBegun === true) {
      this.artifact(text.artifactId, "text", Parts.text(""), { append: true, lastChunk: true })
    }
  }

  /** Each partial value is told whole, so the more was written the fewer are told: together they are as long as the last. */
  private partial(value: unknown): void {
    if (this.written < 2 * this.toldAt || value === null) return
    this.toldAt = this.written
    this.output(value, false)
  }

  private output(value: unknown, lastChunk: boolean): void {
    this.artifact(`${this.name.runId}-output`, "output", Parts.data(value), { append: false, lastChunk })
  }

  private end(result: AgentRun.Result): void {
    const { approvals, stopReason, totalUsage: usage, value } = result
    const encoded = Result.try(() => encodeTold({ value, approvals, stopReason, usage }))
    const told = Result.isSuccess(encoded) && Result.isSuccess(encoded.success) ? encoded.success.success : undefined
    if (told === undefined || Json.isTooDeep(told)) {
      this.out.push(this.broken)
      return
    }
    if (told.value !== undefined && told.value !== null) this.output(told.value, true)
    const metadata = { stopReason, usage: told.usage, step: this.step }
    if (approvals.length === 0) return this.status(Sdk.TaskState.TASK_STATE_COMPLETED, undefined, metadata)
    const asked = [Parts.text(question(approvals)), Parts.data({ approvals: told.approvals })]
    this.status(Sdk.TaskState.TASK_STATE_INPUT_REQUIRED, asked, metadata)
  }

  failure(cause: Cause.Cause<unknown>): Sdk.StreamResponse {
    return Cause.hasInterruptsOnly(cause)
      ? this.toStatus(Sdk.TaskState.TASK_STATE_CANCELED)
      : toldFailure(this.name, AgentApi.describe(cause), this.now())
  }

  /** A run that ends without an end, or with one that cannot be told, is a mistake of the server. */
  get broken(): Sdk.StreamResponse {
    return this.failure(Cause.die("a run without an end"))
  }

  private nextArtifact(): string {
    const artifactId = `${this.name.runId}-${this.artifacts++}`
    this.replaceable = Math.max(this.replaceable, this.artifacts)
    return artifactId
  }

  /** A step that has begun again may have fewer artifacts than it had before. */
  private emptyRest(): void {
    while (this.artifacts < this.replaceable) this.whole("text", Parts.text(""))
  }

  private whole(name: string, part: Sdk.Part): void {
    this.artifact(this.nextArtifact(), name, part, { append: false, lastChunk: true })
  }

  private artifact(
    artifactId: string,
    name: string,
    part: Sdk.Part,
    how: { readonly append: boolean; readonly lastChunk: boolean }
  ): void {
    const { restarts, step } = this
    const metadata = { [Parts.metadataKey]: restarts === 0 ? { step } : { step, restarts } }
    this.out.push(Parts.artifactUpdate(this.name, { artifactId, name, parts: [part], metadata }, how))
  }

  private status(state: Sdk.TaskState, parts?: ReadonlyArray<Sdk.Part>, told?: object): void {
    this.out.push(this.toStatus(state, parts, told))
  }

  private toStatus(state: Sdk.TaskState, parts?: ReadonlyArray<Sdk.Part>, told?: object): Sdk.StreamResponse {
    this.hasEnded = state !== Sdk.TaskState.TASK_STATE_WORKING
    return toStatus(this.name, state, this.now(), parts, told)
  }
}

/** The approvals for a person who has no program for them. A call of a tool in the client waits for its result. */
const question = (approvals: ReadonlyArray<Approval.Approval>): string =>
  approvals.map(({ runsIn, tool }) => `${runsIn === "client" ? "Result" : "Approval"} needed: ${tool}`).join("\n")

const toStatus = (
  name: RunName,
  state: Sdk.TaskState,
  timestamp: string,
  parts?: ReadonlyArray<Sdk.Part>,
  told?: object
): Sdk.StreamResponse => {
  const message = parts === undefined
    ? undefined
    : Parts.message(Sdk.Role.ROLE_AGENT, `${name.runId}-end`, name, parts)
  return Parts.statusUpdate(
    name,
    { state, timestamp, message },
    told === undefined ? undefined : { [Parts.metadataKey]: told }
  )
}

/**
 * Returns the update that tells a failure in its public form. A failure that says that the run was interrupted is told
 * as such, and a run that was refused before it began as rejected.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toldFailure = (name: RunName, failure: AgentApi.RunFailed, timestamp: string): Sdk.StreamResponse => {
  const { code, message, retryable, status } = failure
  if (code === "interrupted") return toStatus(name, Sdk.TaskState.TASK_STATE_CANCELED, timestamp)
  const state = refusals.has(code) ? Sdk.TaskState.TASK_STATE_REJECTED : Sdk.TaskState.TASK_STATE_FAILED
  return toStatus(name, state, timestamp, [Parts.text(message)], { code, retryable, status })
}

/** The hub has started no run. */
const refusals: ReadonlySet<string> = new Set(["session-in-use", "run-exists"])
