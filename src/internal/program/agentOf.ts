/**
 * Makes an agent from a program.
 *
 * @since 0.1.0
 */

import type * as Schema from "effect/Schema"
// this makes agents, whose types are in that module
import type * as Agent from "../../Agent.ts"
import type * as Program from "../../Program.ts"
import { fromBody, toolkitOf, toolsOf } from "../run/agentOf.ts"
import * as LoopBody from "../run/loopBody.ts"
import * as Body from "./body.ts"

/**
 * Creates an agent whose tools are called by a program. The schema is that of the program's value, if it is known.
 *
 * @category constructors
 * @since 0.1.0
 */
export const programOf = (
  name: string,
  options: Program.Options<any, any, any, any, any, any, any, any>,
  value?: Schema.Constraint
): Agent.Agent<any, any, any, any> => {
  const { description, middleware = [], providers = [], run, toolkit } = options
  const loop = { instructions: undefined, toolkit: toolkitOf(name, toolkit), stopWhen: [] }
  return fromBody({ name, description }, { middleware, providers, value }, (middleware, providers) => ({
    name,
    description,
    remote: false,
    providers,
    // the services of the program are in the type of the agent, and are captured when a run begins
    body: LoopBody.body({ ...loop, middleware }, Body.make(run as Body.Run))
  }), toolkit === undefined ? undefined : toolsOf(toolkit))
}
