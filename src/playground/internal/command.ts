/**
 * `effect-agents playground ./agents.ts`: the page of the agents that a module exports.
 *
 * @since 0.1.0
 */

import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpEffect from "effect/http/HttpEffect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { execFile } from "node:child_process"
import { existsSync, statSync } from "node:fs"
import { resolve } from "node:path"
import { pathToFileURL } from "node:url"
import * as Agent from "../../Agent.ts"
import * as Durable from "../../durable/Durable.ts"
import * as DurableHub from "../../durable/DurableHub.ts"
import * as AgentGraph from "../../orchestration/AgentGraph.ts"
import * as Playground from "../Playground.ts"
import * as NodeServer from "./nodeServer.ts"

const help = `effect-agents playground <module> [--port <number>] [--no-open]

Opens a page with the agents that a module exports.

  <module>          a file such as ./agents.ts; Node runs TypeScript without types
  --port <number>   the port of the server (default: a free one)
  --no-open         only prints the address

What the module exports:

  any name          an agent, a durable agent, a graph of agents, or an array of these
  layer             a Layer with what the agents need: a model, the handlers of their tools
  playground        further options of Playground.layer: sessions, journal, prices, path
`

/**
 * The command cannot do what it was asked for.
 *
 * @category errors
 * @since 0.1.0
 */
export class CommandError extends Schema.Error<CommandError>("effect-agents/playground/CommandError")({
  _tag: Schema.tag("CommandError"),
  problem: Schema.Literals(["usage", "no-file", "not-loaded", "no-agents", "same-name", "not-served"]),
  description: Schema.String
}) {
  override get message(): string {
    // it may quote what the module and its layers say
    return this.description.replace(unprintable, "\uFFFD")
  }
}

/** Control characters but line breaks and tabs, and those that turn the direction of a text. */
const unprintable = /(?![\n\t])[\p{Cc}\p{Bidi_Control}]/gu

const failed = (problem: CommandError["problem"], description: string) => new CommandError({ problem, description })

/**
 * Runs the command. It serves the page until the scope closes.
 *
 * @category running
 * @since 0.1.0
 */
export const run = (args: ReadonlyArray<string>): Effect.Effect<void, CommandError, Scope.Scope> =>
  Effect.gen(function*() {
    if (args.length === 0 || args.includes("--help") || args.includes("-h")) return yield* Console.log(help)
    const given = yield* read(args)
    const found = yield* load(given.file)
    const token = Redacted.make(`${SecureRandom.uuidV4Unsafe()}${SecureRandom.uuidV4Unsafe()}`.replaceAll("-", ""))
    const origin = yield* serve(found, token, given.port)
    const { path = "/playground" } = found.options
    const address = `${origin}${path}#token=${Redacted.value(token)}`
    yield* Console.log(
      `The playground of ${found.agents.map(({ name }) => `\`${name}\``).join(", ")}:\n\n  ${address}\n`
    )
    if (given.opens) yield* open(address)
    return yield* Effect.never
  })

// -----------------------------------------------------------------------------
// Arguments
// -----------------------------------------------------------------------------

interface Given {
  readonly file: string
  readonly port: number
  readonly opens: boolean
}

const read = (args: ReadonlyArray<string>): Effect.Effect<Given, CommandError> => {
  const [command, ...rest] = args
  if (command !== "playground") return Effect.fail(failed("usage", `There is no command \`${command}\`.\n\n${help}`))
  let file: string | undefined
  let port = 0
  let opens = true
  for (let index = 0; index < rest.length; index++) {
    const arg = rest[index]!
    if (arg === "--no-open") opens = false
    else if (arg === "--port" || arg.startsWith("--port=")) {
      const text = arg === "--port" ? rest[++index] : arg.slice("--port=".length)
      port = Number(text)
      if (text === undefined || !/^\d+$/.test(text) || port > 65_535) {
        return Effect.fail(failed("usage", `\`--port\` needs a number from 0 to 65535, not \`${text ?? ""}\`.`))
      }
    } else if (arg.startsWith("-") || file !== undefined) {
      return Effect.fail(failed("usage", `\`${arg}\` is not understood.\n\n${help}`))
    } else file = arg
  }
  return file === undefined
    ? Effect.fail(failed("usage", `Which module? For example: effect-agents playground ./agents.ts`))
    : Effect.succeed({ file, port, opens })
}

// -----------------------------------------------------------------------------
// The module
// -----------------------------------------------------------------------------

interface Found {
  readonly agents: readonly [Agent.Any, ...Array<Agent.Any>]
  readonly graphs: ReadonlyArray<AgentGraph.Any>
  readonly executions: ReadonlyArray<Durable.Any>
  readonly layer: Layer.Layer<any, any, any>
  readonly options: Pick<Playground.Options<unknown>, "path">
}

const load = Effect.fnUntraced(function*(file: string): Effect.fn.Return<Found, CommandError> {
  const path = resolve(file)
  if (!existsSync(path) || !statSync(path).isFile()) return yield* failed("no-file", `There is no file \`${path}\`.`)
  const module: Record<string, unknown> = yield* Effect.tryPromise({
    try: () => import(pathToFileURL(path).href),
    catch: (cause) => failed("not-loaded", `\`${file}\` cannot be loaded.\n\n${explain(cause)}`)
  })
  const { layer = Layer.empty, playground = {}, ...others } = module
  const agents = new Set<Agent.Any>()
  const graphs = new Set<AgentGraph.Any>()
  const executions = new Set<Durable.Any>()
  for (const value of Object.values(others).flat()) {
    if (Agent.isAgent(value)) agents.add(value)
    else if (Predicate.hasProperty(value, Durable.TypeId)) executions.add(value as unknown as Durable.Any)
    else if (Predicate.hasProperty(value, AgentGraph.TypeId)) graphs.add(value as unknown as AgentGraph.Any)
  }
  const hasName = (name: string) => Array.from(agents).some((agent) => agent.name === name)
  for (const durable of executions) if (!hasName(durable.agent.name)) agents.add(DurableHub.agent(durable))
  for (const graph of graphs) if (!hasName(graph.name)) agents.add(AgentGraph.toAgent(graph as never))
  const [first, ...rest] = agents
  if (first === undefined) {
    const names = Object.keys(module)
    const found = names.length === 0
      ? "It exports nothing."
      : `It exports ${names.map((name) => `\`${name}\``).join(", ")}.`
    return yield* failed(
      "no-agents",
      `\`${file}\` exports no agent. ${found}\n\nExport what \`Agent.make\` returns:\n\n` +
        `  export const assistant = Agent.make("assistant", { ... })`
    )
  }
  const names = Array.from(agents, ({ name }) => name)
  const same = names.find((name, index) => names.includes(name, index + 1))
  if (same !== undefined) {
    return yield* failed(
      "same-name",
      `\`${file}\` exports two agents with the name \`${same}\`, and they would share their sessions. Name them apart.`
    )
  }
  if (!Layer.isLayer(layer)) return yield* failed("not-loaded", `The export \`layer\` of \`${file}\` is not a Layer.`)
  return {
    agents: [first, ...rest],
    graphs: [...graphs],
    executions: [...executions],
    layer,
    options: Predicate.isObject(playground) ? playground : {}
  }
})

/** The place in the user's file, and what is wrong with it. */
const explain = (cause: unknown): string => {
  if (!(cause instanceof Error)) return String(cause)
  // of a syntax error the place stands before the message, and the frames after it are node's own
  const [said = "", ...frames] = (cause.stack ?? cause.message).split(/\n {4}at /)
  const own = frames.filter((frame) => !/node:|node_modules/.test(frame)).map((frame) => `\n    at ${frame}`)
  return `${said.trim()}${own.slice(0, 5).join("")}`
}

// -----------------------------------------------------------------------------
// The server
// -----------------------------------------------------------------------------

const serve = Effect.fnUntraced(function*(
  { agents, executions, graphs, layer, options }: Found,
  token: Redacted.Redacted,
  port: number
): Effect.fn.Return<string, CommandError, Scope.Scope> {
  const needed = executions.map((durable) => Durable.layer(durable))
  const page = Playground.layer({ graphs, executions, ...options, agents: agents as never, token })
  // what the agents need is known to the module alone
  const app = Layer.provide(
    Layer.mergeAll(page, ...needed),
    Layer.provideMerge(layer, HttpServer.layerServices)
  ) as Layer.Layer<
    never,
    unknown,
    HttpRouter.HttpRouter
  >
  const handled = yield* Effect.catchCause(
    HttpRouter.toHttpEffect(app),
    (cause) => failed("not-served", `The layers of the module cannot be built.\n\n${Cause.pretty(cause)}`)
  )
  // the page answers every failure of a handler itself
  const handler = HttpEffect.toWebHandler(handled as never)
  return yield* Effect.mapError(
    NodeServer.listen(handler, port),
    (error) => failed("not-served", `The server does not start: ${error.message}`)
  )
})

/** Opens the address in the browser of the user, if there is one. */
const open = (address: string): Effect.Effect<void> =>
  Effect.sync(() => {
    const [command, ...args] = openers[NodeServer.platform] ?? ["xdg-open"]
    execFile(command!, [...args, address], () => {})
  })

const openers: Readonly<Record<string, ReadonlyArray<string>>> = {
  darwin: ["open"],
  win32: ["rundll32", "url.dll,FileProtocolHandler"]
}
