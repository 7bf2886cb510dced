/**
 * Instructions that a client gives.
 *
 * @since 0.1.0
 */

import * as Effect from "effect/Effect"
import * as Agent from "../../../Agent.ts"
import * as ContextProvider from "../../../ContextProvider.ts"
import type * as Served from "./served.ts"

/**
 * Returns the agent with these instructions after its own, if the server lets its clients instruct it.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withInstructions = <R>(
  { systemMessages }: Pick<Served.Served<R, never>, "systemMessages">,
  agent: Agent.Agent<any, any, R, any, any>,
  instructions: ReadonlyArray<string>
): Agent.Agent<any, any, R, any, any> => {
  const said = instructions.filter((text) => text.trim() !== "")
  return systemMessages === "ignore" || said.length === 0
    ? agent
    : Agent.withProvider(
      agent,
      ContextProvider.make("openai-system-messages", {
        beforeRun: () => Effect.succeed({ instructions: said.join("\n\n") })
      })
    )
}
