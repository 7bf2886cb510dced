/**
 * Tells a client how a run proceeds, if it wants to know.
 *
 * @since 0.1.0
 */

import type * as McpSchema from "effect/ai/McpSchema"
import type * as McpServer from "effect/ai/McpServer"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Predicate from "effect/Predicate"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import type * as AgentRun from "../../AgentRun.ts"
import * as Text from "../../internal/words/text.ts"

/**
 * Receives the parts of a run. It never waits for the client; `end` gives it a second to be sent what is left.
 *
 * @category models
 * @since 0.1.0
 */
export interface Progress {
  readonly see: (parts: ReadonlyArray<AgentRun.Part>) => void
  readonly end: Effect.Effect<void>
}

const none: Progress = { see: () => {}, end: Effect.void }

/** The number of messages that a slow client may be behind; older ones are left out. */
const maximumWaiting = 16

/** How much new text is worth a message, and how long a message may be, in UTF-16 units. */
const worthTelling = 200
const maximumMessage = 300

/**
 * Creates the progress of a request. A client that did not ask for it costs nothing.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  server: McpServer.McpServer["Service"],
  { requestMetadata }: McpSchema.McpRequestContext["Service"]
): Effect.Effect<Progress, never, Scope.Scope> =>
  Effect.gen(function*() {
    const token = Predicate.hasProperty(requestMetadata, "progressToken") ? requestMetadata.progressToken : undefined
    if (!Predicate.isString(token) && !Predicate.isNumber(token)) return none
    const messages = yield* Queue.sliding<string, Cause.Done>(maximumWaiting)
    let progress = 0
    const sending = yield* Queue.take(messages).pipe(
      Effect.flatMap((message) =>
        server.notifications["notifications/progress"]({ progressToken: token, progress: ++progress, message })
      ),
      Effect.forever,
      Effect.ignore,
      Effect.forkScoped
    )
    const tell = (message: string) => {
      Queue.offerUnsafe(messages, Text.wellFormed(message))
    }
    // the end of the text of a step, and how much of it was not told yet
    let text = ""
    let untold = 0
    const see = (part: AgentRun.Part) => {
      switch (part.type) {
        case "step-start":
          text = ""
          untold = 0
          return
        case "text-delta":
          text = (text + part.delta).slice(-2 * maximumMessage)
          untold += part.delta.length
          if (untold < worthTelling) return
          untold = 0
          return tell(Text.cutStart(text, maximumMessage))
        case "tool-call":
          return tell(`Calls the tool ${Text.shorten(part.name, maximumMessage)}`)
        case "step-end":
          return tell(`Step ${part.step.index + 1} is done`)
      }
    }
    return {
      see: (parts) => parts.forEach(see),
      end: Effect.andThen(Queue.end(messages), Effect.timeoutOption(Fiber.await(sending), "1 second"))
    }
  })
