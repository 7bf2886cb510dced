/**
 * The input of a run, and who may refuse it: the prompt before the first model call, and what steers the run before each
 * later one.
 *
 * @since 0.1.0
 */

import type * as Prompt from "effect/ai/Prompt"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as AgentRun from "../../AgentRun.ts"
import type * as Middleware from "../../Middleware.ts"
import type { ModelBegins, ModelSpan } from "../telemetry/instrumentation.ts"
import * as Admission from "../words/admission.ts"
import * as ModelPlaces from "../words/modelPlaces.ts"
import * as Replacements from "../words/replacements.ts"
import * as Inbox from "./inbox.ts"
import type { Opened } from "./loopBody.ts"
import { type Parts, Steps } from "./steps.ts"

/**
 * Steps whose input guardrails check. How the model is asked is not its subject.
 *
 * @category models
 * @since 0.1.0
 */
export abstract class Checked extends Steps {
  protected readonly middleware: ReadonlyArray<Middleware.Middleware<unknown, never>>
  protected readonly modelPlaces: ReadonlyArray<Middleware.ModelPlace<any, any>>
  protected modelSpan: ModelSpan | undefined = undefined
  protected asked: ReadonlyArray<Prompt.Message> = []
  protected replacements: Replacements.Replacements | undefined = undefined
  /** The input, where its checks come before it is kept. */
  protected admission: Admission.Admission | undefined = undefined
  protected startFailure: Cause.Cause<unknown> | undefined = undefined
  /** Where the messages begin that came to the run after the model was asked last, when they are checked. */
  private addedFrom: number | undefined = undefined

  constructor(opened: Opened, own: ReadonlyArray<Prompt.Message>, waiting: ReadonlyArray<string> | undefined) {
    super(opened, own, waiting)
    const { contributions, options, run: { surroundings: { inherited } } } = opened
    this.middleware = contributions.middleware.length === 0 && inherited.length === 0
      ? options.middleware
      : [...options.middleware, ...contributions.middleware, ...inherited]
    this.modelPlaces = this.middleware.length === 0 ? [] : this.middleware.flatMap((m) => m.model ?? [])
  }

  /** Tells the providers that the run begins: at once, or when what checks its prompt has let it through. */
  begin(): Effect.Effect<void, unknown> | undefined {
    if (!this.isChecked()) {
      this.showInput(false)
      return this.contributions.atStart.length === 0 ? undefined : this.start()
    }
    const start = Effect.suspend(() => {
      if (this.replacements?.refused !== undefined) return Effect.void
      this.showInput(false)
      this.modelSpan?.onInput(this.asked)
      return this.start()
    })
    const onFailure = (cause: Cause.Cause<unknown>) =>
      Effect.sync(() => {
        if (!Cause.hasInterruptsOnly(cause)) this.startFailure = cause
      })
    // the run fails with it, whatever a middleware does about it
    this.admission = new Admission.Admission(Effect.orDie(Effect.tapCause(start, onFailure)))
    return undefined
  }

  private isChecked(): boolean {
    return this.modelPlaces.some((place) => ModelPlaces.purposeOf(place) === "checks-input")
  }

  /** Takes the messages that came to the run: before the first model call they are of its prompt. */
  protected takeAdded(): Parts | undefined {
    const from = this.messages.length
    const taken: Array<AgentRun.Part> | undefined = Inbox.takeInto(this.run, this.messages)
    if (taken === undefined) return undefined
    if (this.steps.length > 0 && this.isChecked()) this.addedFrom ??= from
    return taken as Parts
  }

  /** The model is about to be asked: what was added since it was asked last is admitted like a prompt. */
  protected checkAdded(): void {
    if (this.addedFrom === undefined) return
    const onAdmitted = Effect.sync(() => this.modelSpan?.onInput(this.asked))
    this.admission = new Admission.Admission(onAdmitted, this.messages.slice(this.addedFrom))
  }

  /** The model has been asked, and nobody has refused what was added. */
  protected endAdded(): void {
    if (this.addedFrom === undefined) return
    this.addedFrom = undefined
    this.admission = undefined
  }

  /** What was added and never let through is not kept: who sent it has it back. Returns whether there was any. */
  protected withhold(): boolean {
    const { addedFrom, admission } = this
    if (addedFrom === undefined || (admission?.added !== undefined && !admission.isPending)) return false
    Inbox.giveBack(this.run, this.messages.splice(addedFrom) as Array<Prompt.UserMessage>)
    return true
  }

  protected begins(): ModelBegins {
    if (this.modelPlaces.length === 0) return "at-once"
    return this.admission?.isPending === true ? "unchecked" : "when-asked"
  }

  /** Guardrails tell what they replace. */
  protected listening(context: Context.Context<never>): Context.Context<never> {
    if (this.modelPlaces.length === 0) return context
    this.replacements = { refused: undefined, isAnswered: false, text: undefined }
    return Context.add(
      Context.add(context, Replacements.Current, this.replacements),
      Admission.Current,
      this.admission
    )
  }

  /** What a guardrail has refused comes back to no model, and stays on no span. */
  protected refuseInput(): void {
    const { addedFrom, replacements } = this
    const refused = replacements?.refused
    if (replacements === undefined || refused === undefined) return
    const from = addedFrom ?? this.transcriptFrom
    const messages = this.messages.slice(from)
    for (let i = from; i < this.messages.length; i++) {
      this.messages[i] = Replacements.refuse(this.messages[i], refused)
    }
    replacements.refused = undefined
    this.admission?.refuse()
    if (addedFrom === undefined) {
      this.run.refuse(refused)
      this.showInput(true)
    } else if (!replacements.isAnswered) {
      Inbox.refuse(this.run, messages)
    }
    this.modelSpan?.onRefused(this.messages)
  }
}
