/**
 * The prompts that runs in line for a session offer to the run that holds it.
 *
 * @since 0.1.0
 */
import type * as Prompt from "effect/ai/Prompt"
import * as Context from "effect/Context"

/**
 * A run in line for a session. While it waits it offers its messages to the run that holds the session. When it holds the
 * session itself, it takes those of the runs behind it.
 *
 * What is offered is `taken` by the holder and `kept` when the holder has saved it. When the holder ends in between, or has
 * `refused` it, it is `open` again after that.
 *
 * @category models
 * @since 0.1.0
 */
export class InLine {
  offer: "open" | "taken" | "refused" | "kept" = "open"
  /** Who waits behind it while it holds the session, in order; undefined is somebody who offers nothing. */
  behind: () => ReadonlyArray<InLine | undefined> = () => []
  readonly messages: ReadonlyArray<Prompt.UserMessage>
  /** Those whose prompts it has decided to go on with. */
  private promised: ReadonlyArray<InLine> = []

  /** Without messages it offers nothing. */
  constructor(messages: ReadonlyArray<Prompt.UserMessage>) {
    this.messages = messages
  }

  /** Returns whether something is offered. What was offered then is there to take, whoever leaves the line meanwhile. */
  promise(): boolean {
    this.promised = this.open()
    return this.promised.length > 0
  }

  /** Takes what is offered and returns it, in the order of the line. */
  take(): ReadonlyArray<Prompt.UserMessage> {
    const taken = [...new Set([...this.promised, ...this.open()])]
    this.promised = []
    for (const each of taken) each.offer = "taken"
    return taken.flatMap(({ messages }) => messages)
  }

  /** What was taken is saved: those who offered it have nothing more to do. */
  keep(): void {
    for (const each of this.offering()) if (each.offer === "taken") each.offer = "kept"
  }

  /** What was taken is not saved as it was offered. Returns what those have offered who offered some of it. */
  refuse(messages: ReadonlyArray<Prompt.Message>): ReadonlyArray<Prompt.Message> {
    const refused = this.offering().filter((each) =>
      each.offer === "taken" && each.messages.some((message) => messages.includes(message))
    )
    for (const each of refused) each.offer = "refused"
    return refused.flatMap((each) => each.messages)
  }

  private open(): ReadonlyArray<InLine> {
    return this.offering().filter(({ offer }) => offer === "open")
  }

  /** No prompt overtakes a run that offers none and was there before. */
  private offering(): ReadonlyArray<InLine> {
    const offering: Array<InLine> = []
    for (const each of this.behind()) {
      if (each === undefined || each.messages.length === 0) break
      offering.push(each)
    }
    return offering
  }
}

/**
 * The run that asks for its turn.
 *
 * @category services
 * @since 0.1.0
 */
export class Current extends Context.Service<Current, InLine>()("effect-agents/internal/InLine") {}
