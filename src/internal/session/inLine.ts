/**
 * The prompts that runs in the line for a session offer to the run that holds it.
 *
 * @since 0.1.0
 */
import type * as Prompt from "effect/ai/Prompt"
import * as Context from "effect/Context"

/**
 * A run in the line for a session. While it waits, it offers its messages to the run that holds the session. When it
 * holds the session itself, it takes the messages of the runs behind it.
 *
 * An offer is `taken` by the holder, and `kept` when the holder has saved it. If the holder ends in between, or has
 * `refused` it, it is `open` again afterwards.
 *
 * @category models
 * @since 0.1.0
 */
export class InLine {
  offer: "open" | "taken" | "refused" | "kept" = "open"
  /** The runs behind it while it holds the session, in order; `undefined` stands for one that offers nothing. */
  behind: () => ReadonlyArray<InLine | undefined> = () => []
  readonly messages: ReadonlyArray<Prompt.UserMessage>
  /** The runs whose prompts it has decided to take. */
  private promised: ReadonlyArray<InLine> = []

  /** Without messages it offers nothing. */
  constructor(messages: ReadonlyArray<Prompt.UserMessage>) {
    this.messages = messages
  }

  /** Returns whether something is offered. That offer can then be taken, even if a run leaves the line meanwhile. */
  promise(): boolean {
    this.promised = this.open()
    return this.promised.length > 0
  }

  /** Takes the offered messages, and returns them in the order of the line. */
  take(): ReadonlyArray<Prompt.UserMessage> {
    const taken = [...new Set([...this.promised, ...this.open()])]
    this.promised = []
    for (const each of taken) each.offer = "taken"
    return taken.flatMap(({ messages }) => messages)
  }

  /** The taken messages are saved, so the runs that offered them are done. */
  keep(): void {
    for (const each of this.offering()) if (each.offer === "taken") each.offer = "kept"
  }

  /**
   * The taken messages are not saved as they were offered. Returns all messages of the runs that offered some of these.
   */
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

  /** No prompt overtakes a run further ahead that offers none. */
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
 * The run that waits for its turn.
 *
 * @category services
 * @since 0.1.0
 */
export class Current extends Context.Service<Current, InLine>()("effect-agents/internal/InLine") {}
