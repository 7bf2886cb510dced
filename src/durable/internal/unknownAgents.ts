/**
 * What a process says of agents that it does not know.
 *
 * @since 0.1.0
 */

import * as Arr from "effect/Array"
import * as EntityAddress from "effect/cluster/EntityAddress"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as References from "effect/References"

/**
 * The engine finds the executions of an agent that it does not know again and again, and warns about each. With this
 * layer it says once for each agent that they wait.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<never> = Layer.effect(Logger.CurrentLoggers)(
  Effect.map(Logger.CurrentLoggers, (loggers) => new Set(Array.from(loggers, once)))
)

const once = (logger: Logger.Logger<unknown, unknown>): Logger.Logger<unknown, unknown> => {
  const told = new Set<string>()
  return Logger.make((options) => {
    if (!Arr.ensure(options.message).includes(warning)) return logger.log(options)
    const { address } = options.fiber.getRef(References.CurrentLogAnnotations)
    const type = address instanceof EntityAddress.EntityAddress ? address.entityType : ""
    if (told.has(type)) return undefined
    told.add(type)
    const agent = type.startsWith(prefix) ? type.slice(prefix.length) : type
    const message = `Executions of \`${agent}\` wait until the layer of this agent is built, here or in another process`
    return logger.log({ ...options, message: [message] })
  })
}

/** The words of the engine. */
const warning = "Could not find entity manager for address, retrying"

const prefix = "Workflow/agent/"
