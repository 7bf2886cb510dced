/**
 * The edge between a model and everything around it. Every model call of a run passes it first, before all middleware,
 * however the model was made.
 *
 * At the edge a response that was cut or that ended in an error becomes a failure of its call, the ids of tool calls
 * become unique, JSON that is nested too deeply is cut, numbers of tokens are corrected, and the usage of a call is
 * reported, even if nobody reads the call to its end.
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
import { type Accountant, type CallReport, type Cost, type Entry, type Kept, Report } from "./spending.ts"

type StreamParts = readonly [StreamPart, ...Array<StreamPart>]

/** The provider and the model that answer. */
interface Names {
  readonly provider?: string
  readonly model?: string
}

type PartsPull<E> = Pull.Pull<StreamParts, E>

/**
 * The usage of the model calls of a run, and of its current step.
 *
 * @category models
 * @since 0.1.0
 */
export class Tally {
  /** The usage of all steps. */
  usage: AgentRun.Usage = AgentRun.emptyUsage
  /** The accountants that receive it. */
  readonly accountants: ReadonlyArray<Accountant>
  private step: AgentRun.Usage = AgentRun.emptyUsage
  /** The usage of calls in this step that another attempt of the run has made. */
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

  /** The usage of the step. `said` is the usage in its parts, for a middleware that has answered without a model. */
  stepUsage(said: AgentRun.Usage): AgentRun.Usage {
    return this.calls === 0 ? said : this.step
  }

  /** The usage of the step in this attempt of the run. */
  liveUsage(said: AgentRun.Usage): AgentRun.Usage {
    const usage = this.stepUsage(said)
    return this.replayed === AgentRun.emptyUsage ? usage : Usage.change(usage, this.replayed, AgentRun.emptyUsage)
  }

  /** The usage of the run, including the current step. */
  usageWith(said: AgentRun.Usage): AgentRun.Usage {
    return this.calls === 0 ? Usage.add(this.usage, said) : this.usage
  }

  /** Ends the step, and returns its usage. */
  endStep(said: { readonly usage: AgentRun.Usage }): AgentRun.Usage {
    const isSaid = this.calls === 0
    const usage = isSaid ? said.usage : this.step
    if (isSaid) this.usage = Usage.add(this.usage, usage)
    this.step = AgentRun.emptyUsage
    this.replayed = AgentRun.emptyUsage
    this.calls = 0
    return usage
  }
}

/**
 * What the model calls of one step have in common. A step has one call, or as many as its middleware makes.
 *
 * @category models
 * @since 0.1.0
 */
export class Edge {
  readonly tally: Tally
  private readonly prompts: Text.WellFormedPrompts
  private taken: TakenIds | undefined = undefined
  /** The last call that has finished. A middleware may make many calls, or none. */
  answered: EdgeCall | undefined = undefined
  private readonly onCall: ((context: Context.Context<never>) => void) | undefined

  /** `prompts` are those of the run. `onCall` receives the context of each call. */
  constructor(
    tally: Tally,
    prompts = new Text.WellFormedPrompts(),
    onCall?: (context: Context.Context<never>) => void
  ) {
    this.tally = tally
    this.prompts = prompts
    this.onCall = onCall
  }

  /** The request in well-formed text, because servers refuse half of a surrogate pair, and UTF-8 loses it. */
  outgoing(request: Middleware.ModelRequest): Middleware.ModelRequest {
    const prompt = this.prompts.of(request.prompt)
    return prompt === request.prompt ? request : { ...request, prompt }
  }

  /** Creates a call in a context. The call may never be made. */
  prepare(context: Context.Context<never>): EdgeCall {
    return new EdgeCall(this, context)
  }

  /** Records that the call is made. */
  begin(call: EdgeCall): EdgeCall {
    this.tally.begin()
    this.onCall?.(call.context)
    call.begin()
    return call
  }

  /** It belongs to the run, like the prompts. */
  get kept(): Kept {
    return this.prompts.kept
  }

  /** The ids of the calls in the step. Most model calls call no tool. */
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
  /** The usage in its `finish` parts. */
  private finished: AgentRun.Usage = AgentRun.emptyUsage
  /** The usage that was reported to everybody. */
  private told: AgentRun.Usage = AgentRun.emptyUsage
  private modelTold: string | undefined = undefined
  private modelId: string | undefined = undefined
  /** Why it finished with the reason `error`, if the provider has reported that. */
  private error: AiError.AiError | undefined = undefined
  private isReplayed = false
  /** The accountants that receive the usage only when the call has ended. */
  private entries: Map<Accountant, Entry> | undefined = undefined

  constructor(edge: Edge, context: Context.Context<never>) {
    this.edge = edge
    this.context = context
  }

  get kept(): Kept {
    return this.edge.kept
  }

  /** The context in which the provider is called. */
  provide<R>(context: Context.Context<R>): Context.Context<R> {
    return Context.add(context, Report, this)
  }

  begin(): void {
    for (const accountant of this.edge.tally.accountants) {
      const entry = accountant.begin?.(this.context)
      if (entry !== undefined) (this.entries ??= new Map()).set(accountant, entry)
    }
  }

  /** Writes the usage of a call that was left. Returns `undefined` if no accountant waits for it. */
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

  /** Returns the parts as everything behind the edge sees them. Most often it is the same array. */
  onParts(parts: StreamParts): StreamParts {
    let out: [StreamPart, ...Array<StreamPart>] | undefined
    for (let i = 0; i < parts.length; i++) {
      const part = parts[i]
      if (part.metadata === Parts.empty && isText(part)) continue
      // the parts after an error do not count
      if (part.type === "error") break
      const seen = shallow(this.onPart(part))
      if (seen !== part) (out ??= parts.slice() as [StreamPart, ...Array<StreamPart>])[i] = seen
    }
    return out ?? parts
  }

  /** The failure of a response that ended incomplete. */
  onDone(): AiError.AiError | undefined {
    if (this.finishReason === undefined) return cut()
    return this.finishReason === "error" ? this.error ?? finishedWithError() : undefined
  }

  /** The pull of the parts as everything behind the edge sees them. It fails if the model reports an error. */
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

/** Most parts are of these types, and need no work. */
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

/** As with a broken connection, the next response may be complete. */
const cut = () =>
  failure(
    new AiError.InternalProviderError({ description: "The response ended before the model said why it stopped" })
  )

/** It is not known whether the next response may be different. */
const finishedWithError = () =>
  failure(new AiError.UnknownError({ description: "The model finished with reason `error`" }))

/**
 * The failure of a model that reports an error in its parts.
 *
 * @category errors
 * @since 0.1.0
 */
export const promote = (part: Response.ErrorPart): AiError.AiError => {
  const { error } = part
  // a provider may report any JSON; JSON that looks like an error is not one
  if (error instanceof Error && AiError.isAiError(error)) return error
  const description = error instanceof Error
    ? error.message
    : typeof error === "string"
    ? error
    : "The model reported an error in its response"
  return failure(new AiError.UnknownError({ description }))
}
