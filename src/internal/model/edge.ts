/**
 * The edge between a model and everything that is around it: what every model call of a run passes first, before all
 * middleware, whatever the model was made with.
 *
 * Here a response that was cut or that ended in an error becomes a failure of its call, the ids of tool calls become
 * different from one another, JSON that is nested too deeply ends where everybody can hold it, counts of tokens become
 * counts, and what a call costs is told, also when nobody reads it to its end.
 *
 * @since 0.1.0
 */
import * as AiError from "effect/ai/AiError"
import * as Model from "effect/ai/Model"
import type * as Response from "effect/ai/Response"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pull from "effect/Pull"
import * as AgentRun from "../../AgentRun.ts"
import type * as Middleware from "../../Middleware.ts"
import * as Json from "../words/json.ts"
import * as Parts from "../words/responseParts.ts"
import type { StreamPart } from "../words/stepBuilder.ts"
import * as Text from "../words/text.ts"
import * as Usage from "../words/usage.ts"
import { CallIds, TakenIds } from "./callIds.ts"
import { type Accountant, type CallReport, type Cost, type Entry, Report } from "./spending.ts"

type StreamParts = readonly [StreamPart, ...Array<StreamPart>]

/** Who answers. */
interface Names {
  readonly provider?: string
  readonly model?: string
}

type PartsPull<E> = Pull.Pull<StreamParts, E>

/**
 * What the model calls of a run have cost, and of its step in progress.
 *
 * @category models
 * @since 0.1.0
 */
export class Tally {
  /** Of all steps. */
  usage: AgentRun.Usage = AgentRun.emptyUsage
  /** Those who keep an account of it. */
  readonly accountants: ReadonlyArray<Accountant>
  private step: AgentRun.Usage = AgentRun.emptyUsage
  /** What calls of the step have cost that another attempt of the run has made. */
  private replayed: AgentRun.Usage = AgentRun.emptyUsage
  private calls = 0
  private named: { readonly context: Context.Context<never>; readonly names: Names | undefined } | undefined = undefined

  constructor(accountants: ReadonlyArray<Accountant>) {
    this.accountants = accountants
  }

  begin(): void {
    this.calls++
  }

  /** The provider and the model that a context names. The calls of a run are made in one, most often. */
  namesIn(context: Context.Context<never>): Names | undefined {
    if (this.named?.context !== context) {
      const provider = Context.getOrUndefined(context, Model.ProviderName)
      const model = Context.getOrUndefined(context, Model.ModelName)
      const names = provider === undefined && model === undefined
        ? undefined
        : { ...provider !== undefined && { provider }, ...model !== undefined && { model } }
      this.named = { context, names }
    }
    return this.named.names
  }

  change(before: AgentRun.Usage, after: AgentRun.Usage, isReplayed: boolean): void {
    this.usage = Usage.change(this.usage, before, after)
    this.step = Usage.change(this.step, before, after)
    if (isReplayed) this.replayed = Usage.change(this.replayed, before, after)
  }

  /** What the step has cost: `said` of its parts, when a middleware has answered without a model. */
  stepUsage(said: AgentRun.Usage): AgentRun.Usage {
    return this.calls === 0 ? said : this.step
  }

  /** What of it this attempt of the run has spent. */
  liveUsage(said: AgentRun.Usage): AgentRun.Usage {
    const usage = this.stepUsage(said)
    return this.replayed === AgentRun.emptyUsage ? usage : Usage.change(usage, this.replayed, AgentRun.emptyUsage)
  }

  /** What the run has cost, with the step in progress. */
  usageWith(said: AgentRun.Usage): AgentRun.Usage {
    return this.calls === 0 ? Usage.add(this.usage, said) : this.usage
  }

  /** Ends the step, and returns what it has cost. */
  endStep(said: AgentRun.Usage): AgentRun.Usage {
    const usage = this.stepUsage(said)
    this.usage = this.usageWith(said)
    this.step = AgentRun.emptyUsage
    this.replayed = AgentRun.emptyUsage
    this.calls = 0
    return usage
  }
}

/**
 * What the model calls of one step have in common: one, or as many as its middleware makes.
 *
 * @category models
 * @since 0.1.0
 */
export class Edge {
  readonly tally: Tally
  private readonly prompts: Text.WellFormedPrompts
  private taken: TakenIds | undefined = undefined
  /** The last call that has finished: a middleware may make many, or none. */
  answered: EdgeCall | undefined = undefined
  private readonly onCall: ((context: Context.Context<never>) => void) | undefined

  /** `prompts` are those of the run; `onCall` is told of the context of each call. */
  constructor(
    tally: Tally,
    prompts = new Text.WellFormedPrompts(),
    onCall?: (context: Context.Context<never>) => void
  ) {
    this.tally = tally
    this.prompts = prompts
    this.onCall = onCall
  }

  /** The request as it leaves: half of a surrogate pair is refused by servers, and lost by those who write UTF-8. */
  outgoing(request: Middleware.ModelRequest): Middleware.ModelRequest {
    const prompt = this.prompts.of(request.prompt)
    return prompt === request.prompt ? request : { ...request, prompt }
  }

  /** Creates a call in a context, which may not be made. */
  prepare(context: Context.Context<never>): EdgeCall {
    return new EdgeCall(this, context)
  }

  /** The call is made. */
  begin(call: EdgeCall): EdgeCall {
    this.tally.begin()
    this.onCall?.(call.context)
    call.begin()
    return call
  }

  /** The ids of the step. Most calls of a model call no tool. */
  get ids(): TakenIds {
    return this.taken ??= new TakenIds()
  }
}

/**
 * One model call, at the edge.
 *
 * @category models
 * @since 0.1.0
 */
export class EdgeCall implements CallReport {
  readonly context: Context.Context<never>
  private readonly edge: Edge
  private ids: CallIds | undefined = undefined
  private finishReason: Response.FinishReason | undefined = undefined
  /** What its `finish` parts say. */
  private finished: AgentRun.Usage = AgentRun.emptyUsage
  /** What everybody was told. */
  private told: AgentRun.Usage = AgentRun.emptyUsage
  private modelTold: string | undefined = undefined
  private modelId: string | undefined = undefined
  /** Why it finished with the reason `error`, when the provider has said it. */
  private error: AiError.AiError | undefined = undefined
  private isReplayed = false
  /** Those who are told what it has cost when it has ended, and nothing before. */
  private entries: Map<Accountant, Entry> | undefined = undefined

  constructor(edge: Edge, context: Context.Context<never>) {
    this.edge = edge
    this.context = context
  }

  /** The context that the provider is called in. */
  provide<R>(context: Context.Context<R>): Context.Context<R> {
    return Context.add(context, Report, this)
  }

  begin(): void {
    for (const accountant of this.edge.tally.accountants) {
      const entry = accountant.begin?.(this.context)
      if (entry !== undefined) (this.entries ??= new Map()).set(accountant, entry)
    }
  }

  /** Writes what was known of the call when it was left; undefined when there is nobody who waits for that. */
  get left(): Effect.Effect<void> | undefined {
    return this.entries && Effect.suspend(() => this.write(({ cut }, cost) => cut(cost)))
  }

  private write(how: (entry: Entry, cost: Cost) => Effect.Effect<void>): Effect.Effect<void> {
    const { entries } = this
    if (entries === undefined) return Effect.void
    this.entries = undefined
    const cost = { ...this.cost(), before: Usage.empty, modelBefore: undefined }
    return Effect.forEach([...entries.values()], (entry) => how(entry, cost), { discard: true })
  }

  usage(usage: AgentRun.Usage): void {
    if (this.finishReason === undefined) this.tell(Usage.clean(usage))
  }

  failure(error: AiError.AiError): void {
    this.error = error
  }

  replayed(): void {
    this.isReplayed = true
  }

  /** Returns the parts as everything behind the edge sees them: the same array, most often. */
  onParts(parts: StreamParts): StreamParts {
    let out: [StreamPart, ...Array<StreamPart>] | undefined
    for (let i = 0; i < parts.length; i++) {
      const part = parts[i]
      if (part.metadata === Parts.empty && isText(part)) continue
      // nothing counts that comes after it
      if (part.type === "error") break
      const seen = shallow(this.onPart(part))
      if (seen !== part) (out ??= parts.slice() as [StreamPart, ...Array<StreamPart>])[i] = seen
    }
    return out ?? parts
  }

  /** The failure of a response that has ended, when it was not whole. */
  onDone(): AiError.AiError | undefined {
    if (this.finishReason === undefined) return cut()
    return this.finishReason === "error" ? this.error ?? finishedWithError() : undefined
  }

  /** The pull of the parts as everything behind the edge sees them. It fails where the model reports an error. */
  pull<E>(upstream: PartsPull<E>): PartsPull<E | AiError.AiError> {
    let failure: Exit.Exit<never, AiError.AiError> | undefined
    const next = Effect.suspend((): PartsPull<E | AiError.AiError> => failure ?? upstream)
    return Effect.matchCauseEffect(next, {
      onFailure: (cause): PartsPull<E | AiError.AiError> => {
        const error = Pull.isDoneCause(cause) ? this.onDone() : undefined
        const end = error === undefined ? Exit.failCause(cause) : Exit.fail(error)
        if (this.entries === undefined || Cause.hasInterruptsOnly(cause)) return end
        return Effect.andThen(this.write((entry, cost) => entry.end(cost)), end)
      },
      onSuccess: (given) => {
        const parts = this.onParts(given)
        const error = parts.find((part) => part.type === "error")
        if (error === undefined) return Exit.succeed(parts)
        failure = Exit.fail(promote(error))
        const before = parts.slice(0, parts.indexOf(error))
        return Arr.isArrayNonEmpty(before) ? Exit.succeed(before) : failure
      }
    })
  }

  private onPart(part: StreamPart): StreamPart {
    switch (part.type) {
      case "response-metadata": {
        this.modelId = part.modelId ?? this.modelId
        return part
      }
      case "finish": {
        this.finishReason = part.reason
        this.edge.answered = this
        const usage = Usage.clean(part.usage)
        this.finished = Usage.add(this.finished, usage)
        this.tell(this.finished)
        return usage === part.usage ? part : { ...part, usage: Parts.usage(usage) ?? part.usage }
      }
      case "tool-params-start":
      case "tool-params-delta":
      case "tool-params-end":
      case "tool-call":
      case "tool-result":
      case "tool-approval-request":
        return (this.ids ??= new CallIds(this.edge.ids)).rename(part)
      default:
        return part
    }
  }

  /** Who answers: the provider that the context names, and the model that says so itself or that the context names. */
  names(): Names | undefined {
    const named = this.edge.tally.namesIn(this.context)
    return this.modelId === undefined || this.modelId === named?.model ? named : { ...named, model: this.modelId }
  }

  private tell(after: AgentRun.Usage): void {
    const { edge: { tally }, modelTold: modelBefore, told: before } = this
    const { accountants } = tally
    this.told = after
    tally.change(before, after, this.isReplayed)
    if (accountants.length === 0) return
    const cost = { ...this.cost(), before, modelBefore }
    this.modelTold = cost.model
    for (const accountant of accountants) {
      if (this.entries?.has(accountant) !== true) accountant.spend(cost)
    }
  }

  private cost(): Pick<Cost, "after" | "model" | "provider" | "isReplayed"> {
    const { isReplayed, told: after } = this
    const { model, provider } = this.names() ?? {}
    return { after, model, provider, isReplayed }
  }
}

/** Most parts are these, and there is nothing to see to. */
const isText = ({ type }: StreamPart): boolean =>
  type === "text-delta" || type === "reasoning-delta" || type === "text-start" || type === "text-end"

/** The part with JSON that the run, its consumer and the wire can hold. */
const shallow = (part: StreamPart): StreamPart => {
  if (part.type === "error") return part
  const metadata = part.metadata === Parts.empty ? part.metadata : Json.shallow(part.metadata)
  switch (part.type) {
    case "tool-call": {
      const params = Json.shallow(part.params)
      return params === part.params && metadata === part.metadata ? part : { ...part, params, metadata }
    }
    case "tool-result": {
      const [result, encodedResult] = [Json.shallow(part.result), Json.shallow(part.encodedResult)]
      const isSame = result === part.result && encodedResult === part.encodedResult && metadata === part.metadata
      return isSame ? part : { ...part, result, encodedResult, metadata }
    }
    default:
      return metadata === part.metadata ? part : { ...part, metadata }
  }
}

// =============================================================================
// Failures
// =============================================================================

const failure = (reason: AiError.AiErrorReason): AiError.AiError =>
  AiError.make({ module: "LanguageModel", method: "streamText", reason })

/** As with a connection that breaks, the next response may be whole. */
const cut = () =>
  failure(
    new AiError.InternalProviderError({ description: "The response ended before the model said why it stopped" })
  )

/** Whether the next response may be another one is not known. */
const finishedWithError = () =>
  failure(new AiError.UnknownError({ description: "The model finished with reason `error`" }))

/**
 * The failure of a model that reports an error within its parts.
 *
 * @category errors
 * @since 0.1.0
 */
export const promote = (part: Response.ErrorPart): AiError.AiError => {
  const { error } = part
  // a provider may report any JSON, also one with the marks of an error
  if (error instanceof Error && AiError.isAiError(error)) return error
  const description = error instanceof Error
    ? error.message
    : typeof error === "string"
    ? error
    : "The model reported an error in its response"
  return failure(new AiError.UnknownError({ description }))
}
