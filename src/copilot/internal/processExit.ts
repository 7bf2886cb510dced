/**
 * Notices at once that the process of a runtime has ended.
 *
 * The SDK does not report it: after a crash its pending promises never settle, and its sessions are silent. The SDK's
 * client keeps the child process and the connection in private fields, which are read only here. If the SDK changes
 * them (a test notices that), `ping` remains: it fails on a dead connection, or never returns.
 *
 * @since 0.1.0
 */
import type * as Sdk from "@github/copilot-sdk"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as CopilotError from "../CopilotError.ts"

/**
 * What is known about the process of a client. `observed` is false if only a `ping` can find out that it has ended.
 *
 * @category models
 * @since 0.1.0
 */
export interface Watched {
  readonly processId: number | undefined
  readonly observed: boolean
}

/**
 * Calls `onExit` when the process of a started client ends, or its connection closes.
 *
 * @category running
 * @since 0.1.0
 */
export const watch = (
  client: Sdk.CopilotClient,
  onExit: (reason: CopilotError.RuntimeExited) => void
): Watched => {
  // cast to an object, because the fields are private to the type
  const fields: object = client
  const child = Predicate.hasProperty(fields, "cliProcess") ? fields.cliProcess : undefined
  const connection = Predicate.hasProperty(fields, "connection") ? fields.connection : undefined
  if (isChild(child)) {
    child.once("exit", (code, signal) => onExit(exited(code, signal)))
    if (child.exitCode !== null || child.signalCode !== null) onExit(exited(child.exitCode, child.signalCode))
    return { processId: child.pid, observed: true }
  }
  if (!isConnection(connection)) return { processId: undefined, observed: false }
  connection.onClose(() => onExit(new CopilotError.RuntimeExited({})))
  return { processId: undefined, observed: true }
}

/**
 * Pings until there is no answer.
 *
 * @category running
 * @since 0.1.0
 */
export const heartbeat = (client: Pick<Sdk.CopilotClient, "ping">): Effect.Effect<CopilotError.RuntimeExited> =>
  Effect.tryPromise({ try: () => client.ping(), catch: () => "closed" as const }).pipe(
    Effect.timeout("5 seconds"),
    Effect.delay("5 seconds"),
    Effect.forever,
    Effect.orElseSucceed(() => new CopilotError.RuntimeExited({}))
  )

const exited = (code: number | null, signal: string | null): CopilotError.RuntimeExited =>
  new CopilotError.RuntimeExited({
    ...(code === null ? undefined : { exitCode: code }),
    ...(signal === null ? undefined : { signal })
  })

interface Child {
  readonly pid: number | undefined
  readonly exitCode: number | null
  readonly signalCode: string | null
  readonly once: (name: "exit", listener: (code: number | null, signal: string | null) => void) => void
}

const isChild = (u: unknown): u is Child =>
  Predicate.hasProperty(u, "pid") && Predicate.hasProperty(u, "exitCode") && Predicate.hasProperty(u, "once") &&
  Predicate.isFunction(u.once)

const isConnection = (u: unknown): u is { readonly onClose: (listener: () => void) => void } =>
  Predicate.hasProperty(u, "onClose") && Predicate.isFunction(u.onClose)
