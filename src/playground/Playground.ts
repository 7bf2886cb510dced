/**
 * A page on which people talk to agents and see how they work: the conversation, the tool calls, approvals, nested agents,
 * the times and tokens of each run, its parts, and the sessions.
 *
 * The page is one HTML document without other files. It sends requests to the server that it came from, and to no other
 * host. It is made for a server on the machine of its user: a request that names another host is answered with 421,
 * one of a page with another origin with 403, and one without the token with 401. Only the document itself needs no
 * token. Open it with the token in the fragment: `/playground#token=...`. Whoever has the token sees failures and defects
 * as they are, with their fields.
 *
 * **Example** (The page of one agent)
 *
 * ```ts
 * import { Effect, Layer, Redacted } from "effect"
 * import { HttpRouter, HttpServer } from "effect/http"
 * import { Agent, SessionHistory } from "effect-agents"
 * import { Playground } from "effect-agents/playground"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const assistant = Agent.make("assistant", { providers: [SessionHistory.provider] })
 *
 * const { handler } = HttpRouter.toWebHandler(
 *   Playground.layer({ agents: [assistant], token: Redacted.make("t0ken") }).pipe(
 *     Layer.provide([ScriptedModel.layer([ScriptedModel.text("Hello!")]), HttpServer.layerServices])
 *   ),
 *   { disableLogger: true }
 * )
 *
 * const program = Effect.gen(function*() {
 *   const get = (path: string, host: string) =>
 *     Effect.promise(() => handler(new Request(`http://localhost${path}`, { headers: { host } })))
 *   const answers = [
 *     yield* get("/playground", "localhost"),
 *     yield* get("/playground", "evil.example"),
 *     yield* get("/playground/api/agents", "localhost")
 *   ]
 *   console.log(answers.map(({ status }) => status).join(" "))
 * })
 *
 * Effect.runPromise(program)
 * // => 200 421 401
 * ```
 *
 * @since 0.1.0
 */

import * as Tool from "effect/ai/Tool"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import type * as Etag from "effect/http/Etag"
import type * as HttpPlatform from "effect/http/HttpPlatform"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import type * as Path from "effect/Path"
import type * as WorkflowEngine from "effect/workflow/WorkflowEngine"
import * as Agent from "../Agent.ts"
import type * as Budget from "../Budget.ts"
import type * as Durable from "../durable/Durable.ts"
import * as DurableHub from "../durable/DurableHub.ts"
import type * as ExecutionStore from "../durable/ExecutionStore.ts"
import * as ToolCodec from "../internal/model/toolCodec.ts"
import type * as AgentGraph from "../orchestration/AgentGraph.ts"
import * as AgentApi from "../server/AgentApi.ts"
import * as AgentHttp from "../server/AgentHttp.ts"
import * as Local from "../server/internal/local.ts"
import * as Sessions from "../server/internal/sessions.ts"
import type * as LocalServer from "../server/LocalServer.ts"
import * as RunHub from "../server/RunHub.ts"
import * as SessionStore from "../SessionStore.ts"
import * as PageApi from "./internal/api.ts"
import * as Graphs from "./internal/graphs.ts"
import * as JournaledRuns from "./internal/journaledRuns.ts"
import * as Page from "./internal/page.ts"
import * as RunJournal from "./RunJournal.ts"

/**
 * The agents of a page, and who may use it.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options<out R, out E = never, out D extends Durable.Any = never> extends LocalServer.Options {
  /**
   * The agents that the page offers, the first at the beginning. An agent without `SessionHistory` remembers nothing of
   * the conversation.
   */
  readonly agents: readonly [Agent.Agent<any, any, R, any, any>, ...Array<Agent.Agent<any, any, R, any, any>>]
  /** The store of the sessions. Those of the page are apart from all others in it. Default: in memory. */
  readonly sessions?: Layer.Layer<SessionStore.SessionStore, E> | undefined
  /**
   * Where the runs of the sessions are kept, so that they are seen after a restart: `RunJournal.layer()` over the database
   * of the sessions, for example. Default: in memory.
   */
  readonly journal?: Layer.Layer<RunJournal.RunJournal, E> | undefined
  /** The prices of tokens, one for all models or a function that knows them. Default: no costs are shown. */
  readonly prices?: Budget.Price | Budget.Prices | undefined
  /** The graphs of those agents that were made from one, found by the name. Default: none. */
  readonly graphs?: ReadonlyArray<AgentGraph.Any> | undefined
  /**
   * Durable agents whose executions the page shows, found by the name of an agent of `agents`, which is best made with
   * `DurableHub.agent`. Executions that work when the page begins are joined. Default: none.
   */
  readonly executions?: ReadonlyArray<D> | undefined
  /** The path of the page. Default: `/playground`. */
  readonly path?: `/${string}` | undefined
}

/**
 * What the HTTP API needs of its server. Every layer of a server provides it.
 *
 * @category models
 * @since 0.1.0
 */
export type Platform = Etag.Generator | FileSystem.FileSystem | HttpPlatform.HttpPlatform | Path.Path

/**
 * What the executions of durable agents need, if there are any.
 *
 * @category models
 * @since 0.1.0
 */
export type Engine<D> = [D] extends [never] ? never : ExecutionStore.ExecutionStore | WorkflowEngine.WorkflowEngine

/**
 * What reading the executions of durable agents fails with, if there are any.
 *
 * @category models
 * @since 0.1.0
 */
export type EngineError<D> = [D] extends [never] ? never : ExecutionStore.ExecutionStoreError

/**
 * Creates the layer that adds the page to a router. A run goes on when the page is closed or loaded again. When the layer is
 * released, runs in progress have a second to end by themselves, and their ends are written to the journal.
 *
 * A server waits for a page that reads a run before it releases the layer: with `NodeHttpServer` the option
 * `gracefulShutdownTimeout` says how long.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <R, E = never, D extends Durable.Any = never>(
  options: Options<R, E, D>
): Layer.Layer<
  never,
  E | EngineError<D>,
  HttpRouter.HttpRouter | Platform | Exclude<R, SessionStore.SessionStore | RunHub.RunHub> | Engine<D>
> => {
  const { agents, executions = [], graphs = [], journal = RunJournal.layerMemory(), path = "/playground" } = options
  const { sessions = SessionStore.layerMemory } = options
  const api = `${path}/api` as const
  const descriptions = agents.map((agent) => ({
    ...description(agent),
    graph: graphs.filter(({ name }) => name === agent.name).map(Graphs.pictureOf)[0],
    hasExecutions: executions.some((durable) => durable.agent.name === agent.name)
  }))
  const hub = Layer.provide(JournaledRuns.layer(options.prices), RunHub.layer({ grace: "1 second" }))
  return Layer.mergeAll(
    page(path, options),
    described(descriptions, `${api}/agents`, options),
    ...agents.map((agent, index) => served(agent, index, api, options)),
    ...agents.flatMap((agent, index) =>
      executions.filter((durable) => durable.agent.name === agent.name).slice(0, 1).map((durable) =>
        executed(durable, index, api, options)
      )
    )
  ).pipe(
    Layer.provide(hub),
    Layer.provide([sessions, journal])
    // the compiler does not see that there is no engine without executions
  ) as Layer.Layer<
    never,
    E | EngineError<D>,
    HttpRouter.HttpRouter | Platform | Exclude<R, SessionStore.SessionStore | RunHub.RunHub> | Engine<D>
  >
}

/** The document says nothing about the agents, so everybody on this machine may read it. */
const page = (path: `/${string}`, { hosts, origins }: LocalServer.Options) =>
  HttpRouter.add("GET", path, (request) => {
    const status = Local.refusal(request.headers, { hosts, origins })
    return Effect.succeed(
      status === undefined
        ? HttpServerResponse.text(Page.html, { contentType: "text/html; charset=utf-8", headers: pageHeaders })
        : HttpServerResponse.empty({ status })
    )
  })

const pageHeaders = {
  "cache-control": "no-store",
  "content-security-policy": Page.policy,
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff"
}

const guarded = (options: LocalServer.Options, owner: string) =>
  HttpRouter.middleware<{ provides: AgentApi.Owner }>()((handler) =>
    Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers }) => {
      const status = Local.refusal(headers, options)
      return status === undefined
        ? Effect.provideService(handler, AgentApi.Owner, { id: owner })
        : Effect.succeed(HttpServerResponse.empty({ status }))
    })
  ).layer

const described = (descriptions: unknown, path: `/${string}`, options: LocalServer.Options) =>
  HttpRouter.add("GET", path, HttpServerResponse.jsonUnsafe(descriptions)).pipe(
    Layer.provide(guarded(options, "playground"))
  )

const description = (agent: Agent.Any) => {
  const tools = Agent.tools(agent as Agent.Agent<Record<string, Tool.Any>, unknown, unknown>)
  return {
    name: agent.name,
    description: agent.description,
    tools: tools === undefined ? undefined : Object.values(tools).map((tool) => ({
      name: tool.name,
      description: Tool.getDescription(tool as Tool.Any),
      parameters: ToolCodec.of(tool).jsonSchema,
      approval: tool.needsApproval !== undefined && tool.needsApproval !== false
    }))
  }
}

/** An agent sees the sessions that it has made. */
const ownerOf = (agent: Agent.Any): string => `playground/${agent.name}`

/** The routes of an agent. They have its place and not its name, because a name may be any text. */
const served = <R>(
  agent: Agent.Agent<any, any, R, any, any>,
  index: number,
  api: `/${string}`,
  options: LocalServer.Options
) => {
  const name = String(index)
  const Api = HttpApi.make(`playground-${name}`).add(AgentApi.group(name)).prefix(api)
  const RunsApi = HttpApi.make(`playground-runs-${name}`).add(PageApi.runs(name)).prefix(api)
  const handlers = HttpApiBuilder.group(
    Api,
    name,
    Effect.fnUntraced(function*(handlers) {
      const journal = yield* RunJournal.RunJournal
      const all = yield* AgentHttp.handlers(agent, { whenLeft: "continue", failures: "detailed" })
      const store = yield* SessionStore.SessionStore
      const keyOf = (session: string) => Sessions.prefixOf(ownerOf(agent)) + session
      return handlers.handleAll({
        ...all,
        // the turns that a fork begins with lead to the runs that they are of
        fork: (request) =>
          Effect.andThen(
            all.fork(request),
            Effect.ignore(Effect.flatMap(store.load(keyOf(request.payload.to)), ({ history, id }) =>
              journal.fork(keyOf(request.params.session), { to: id, length: history.content.length })))
          ),
        // the runs of a session go with it
        forget: (request) =>
          Effect.andThen(
            all.forget(request),
            Effect.ignore(journal.remove(keyOf(request.params.session)))
          )
      })
    })
  )
  const runs = HttpApiBuilder.group(
    RunsApi,
    `runs-${name}`,
    Effect.fnUntraced(function*(handlers) {
      return handlers.handleAll(yield* PageApi.runHandlers)
    })
  )
  return Layer.merge(
    HttpApiBuilder.layer(Api).pipe(Layer.provide(handlers)),
    HttpApiBuilder.layer(RunsApi).pipe(Layer.provide(runs))
  ).pipe(
    Layer.provide(AgentHttp.layerBodyLimit()),
    Layer.provide(guarded(options, ownerOf(agent)))
    // for a type that is not known the compiler does not see that nothing else is left
  ) as Layer.Layer<
    never,
    never,
    HttpRouter.HttpRouter | Platform | RunHub.RunHub | RunJournal.RunJournal | SessionStore.SessionStore | R
  >
}

/** The routes of a durable agent's executions. */
const executed = (durable: Durable.Any, index: number, api: `/${string}`, options: LocalServer.Options) => {
  const name = String(index)
  const Api = HttpApi.make(`playground-executions-${name}`).add(PageApi.executions(name)).prefix(api)
  const handlers = HttpApiBuilder.group(
    Api,
    `executions-${name}`,
    Effect.fnUntraced(function*(handlers) {
      return handlers.handleAll(yield* PageApi.executionHandlers(durable))
    })
  )
  return Layer.merge(
    HttpApiBuilder.layer(Api).pipe(
      Layer.provide(handlers),
      Layer.provide(AgentHttp.layerBodyLimit()),
      Layer.provide(guarded(options, ownerOf(durable.agent)))
    ),
    DurableHub.layer(durable)
  )
}
