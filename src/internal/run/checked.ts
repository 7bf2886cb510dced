/**
 * The input of a run, and the guardrails that may refuse it: the prompt before the first model call, and messages that
 * steer the run before each later one.
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

const none: ReadonlyArray<never> = []

/**
 * Steps whose input is checked by guardrails. Subclasses call the model.
 *
 * @category models
 * @since 0.1.0
 */
export abstract class Checked extends Steps {
  protected readonly middleware: ReadonlyArray<Middleware.Middleware<unknown, never>>
  protected readonly modelPlaces: ReadonlyArray<Middleware.ModelPlace<any, any>>
  protected modelSpan: ModelSpan | undefined = undefined
  protected asked: ReadonlyArray<Prompt.Message> = none
  protected replacements: Replacements.Replacements | undefined = undefined
  /** The input, if it is checked before it is saved. */
  protected admission: Admission.Admission | undefined = undefined
  protected startFailure: Cause.Cause<unknown> | undefined = undefined
  /** The index of the first message that was added since the last model call, if these messages are checked. */
  private addedFrom: number | undefined = undefined

  constructor(opened: Opened, own: ReadonlyArray<Prompt.Message>, waiting: ReadonlyArray<string> | undefined) {
    super(opened, own, waiting)
    const { contributions, options, run: { surroundings: { inherited } } } = opened
    this.middleware = contributions.middleware.length === 0 && inherited.length === 0
      ? options.middleware
      : [...options.middleware, ...contributions.middleware, ...inherited]
    this.modelPlaces = this.middleware.length === 0 ? none : this.middleware.flatMap((m) => m.model ?? [])
  }

  /** Tells the providers that the run begins: at once, or when the checks have let its prompt through. */
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
    // the run fails with this failure, even if a middleware catches it
    this.admission = new Admission.Admission(Effect.orDie(Effect.tapCause(start, onFailure)))
    return undefined
  }

  private isChecked(): boolean {
    return this.modelPlaces.some((place) => ModelPlaces.purposeOf(place) === "checks-input")
  }

  /** Takes the added messages. Before the first model call they belong to the prompt. */
  protected takeAdded(): Parts | undefined {
    const from = this.messages.length
    const taken: Array<AgentRun.Part> | undefined = Inbox.takeInto(this.run, this.messages)
    if (taken === undefined) return undefined
    if (this.steps.length > 0 && this.isChecked()) this.addedFrom ??= from
    return taken as Parts
  }

  /** Called before a model call: the messages that were added since the last one are admitted like a prompt. */
  protected checkAdded(): void {
    if (this.addedFrom === undefined) return
    const onAdmitted = Effect.sync(() => this.modelSpan?.onInput(this.asked))
    this.admission = new Admission.Admission(onAdmitted, this.messages.slice(this.addedFrom))
  }

  /** Called after a model call in which nobody has refused the added messages. */
  protected endAdded(): void {
    if (this.addedFrom === undefined) return
    this.addedFrom = undefined
    this.admission = undefined
  }

  /**
   * Gives added messages that were never let through back to their senders, and does not save them. Returns whether
   * there were any.
   */
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

  /** Lets guardrails report what they replace. */
  protected listening(context: Context.Context<never>): Context.Context<never> {
    if (this.modelPlaces.length === 0) return context
    this.replacements = { refused: undefined, isAnswered: false, text: undefined }
    return Context.add(
      Context.add(context, Replacements.Current, this.replacements),
      Admission.Current,
      this.admission
    )
  }

  /** Removes a refused message from everything that a later model call or a span would show. */
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
