/**
 * The run of a graph: a program whose calls are its nodes.
 *
 * @since 0.1.0
 */

import * as Tool from "effect/ai/Tool"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Graph from "effect/Graph"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type * as Agent from "../../Agent.ts"
import * as AgentTool from "../../AgentTool.ts"
import { programOf } from "../../internal/program/agentOf.ts"
import * as Json from "../../internal/words/json.ts"
import * as Middleware from "../../Middleware.ts"
import * as Program from "../../Program.ts"
import type * as AgentGraph from "./graphModels.ts"
import type * as Plan from "./graphPlan.ts"
import * as Member from "./members.ts"

/** The nodes of a graph, by their names. */
type Nodes = ReadonlyMap<string, AgentGraph.Node>

/**
 * Creates the agent of a graph.
 *
 * @category constructors
 * @since 0.1.0
 */
export const toAgent = (
  name: string,
  graph: Graph.DirectedGraph<AgentGraph.Node, AgentGraph.Edge>,
  plan: Plan.Plan,
  description: string | undefined
): Agent.Any => {
  const nodes: Nodes = new Map(Array.from(graph, ([, node]) => [node.name, node]))
  const [end, ...others] = plan.ends
  const streamed = others.length === 0 && !plan.repeated.has(end!) ? end : undefined
  return programOf(name, {
    description,
    toolkit: AgentTool.toolkit(...[...nodes.values()].flatMap((node) => toolOf(node))),
    middleware: [beginning],
    run: (input: Program.Input, calls: Calls) =>
      Effect.flatMap(Running, (running) => {
        const run = new GraphRun({ nodes, plan, input, calls, running, streamed })
        return Effect.map(run.region(plan.region), () => run.value(plan.ends, ""))
      })
  } as Program.Options<any, any, any, any, any, any, any, any>, valueOf(nodes, plan))
}

type Calls = Readonly<
  Record<string, (params: unknown, options: Program.CallOptions<unknown>) => Effect.Effect<unknown, any>>
>

// -----------------------------------------------------------------------------
// The tools of the nodes
// -----------------------------------------------------------------------------

/** What the nodes of a run that are effects do now, by their names. */
interface Handlers {
  readonly current: Map<string, (params: unknown) => Effect.Effect<unknown, any, any>>
}

const Running = Context.Reference<Handlers>("effect-agents/orchestration/AgentGraph/Running", {
  defaultValue: () => ({ current: new Map() })
})

const beginning = Middleware.make("graph", {
  agent: (request, next) => Stream.suspend(() => Stream.provideService(next(request), Running, { current: new Map() }))
})

const toolOf = (node: AgentGraph.Node): ReadonlyArray<AgentTool.Any> => {
  switch (node.kind) {
    case "agent":
      return [Member.toolOf(node.name, node.agent)]
    case "effect": {
      const { approval, failure, name, success } = node
      const tool = Tool.make(name, {
        success,
        failure: failure ?? Schema.Never,
        failureMode: "error",
        parameters: approval?.parameters ?? Tool.EmptyParams,
        needsApproval: approval !== undefined
      })
      const handler = (params: unknown) =>
        Effect.flatMap(Running, ({ current }): Effect.Effect<unknown, any, any> => current.get(name)!(params))
      // it is called like the tool of an agent
      return [{ tool, handler } as unknown as AgentTool.Any]
    }
    case "graph":
      return []
  }
}

/** The schema of the value; undefined where a run may have none. */
const valueOf = (nodes: Nodes, { ends, incoming }: Plan.Plan): Schema.Constraint | undefined => {
  const schemaOf = (name: string): Schema.Constraint => {
    const node = nodes.get(name)!
    if (node.kind === "agent") return Member.valueOf(node.agent)
    if (node.kind === "effect") return node.success
    return schemaOfAll(node.ends, `${name}/`)
  }
  const schemaOfAll = (ends: ReadonlyArray<string>, scope: string): Schema.Constraint =>
    ends.length === 1
      ? schemaOf(ends[0]!)
      : Schema.Struct(
        Object.fromEntries(ends.map((end) => [end.slice(scope.length), Schema.optionalKey(schemaOf(end))]))
      )
  const isConditional = [...incoming.values()].some((edges) => edges.some(({ when }) => when !== undefined))
  return ends.length === 1 && isConditional ? undefined : schemaOfAll(ends, "")
}

// -----------------------------------------------------------------------------
// A run
// -----------------------------------------------------------------------------

interface Options {
  readonly nodes: Nodes
  readonly plan: Plan.Plan
  readonly input: Program.Input
  readonly calls: Calls
  readonly running: Handlers
  /** The node whose text is that of the run. */
  readonly streamed: string | undefined
}

/** What the nodes of one run have given so far. */
class GraphRun {
  private readonly options: Options
  private readonly values = new Map<string, unknown>()
  private readonly skipped = new Set<string>()
  /** How often a node has run. */
  private readonly runs = new Map<string, number>()
  /** What a loop tells the node that it goes back to. */
  private readonly feedback = new Map<string, { readonly from: string; readonly value: unknown }>()

  constructor(options: Options) {
    this.options = options
  }

  /** Runs the units of a region, each when those that it waits for have run. The first failure interrupts the others. */
  region(region: Plan.Region): Effect.Effect<void, any> {
    return Effect.suspend(() => {
      const done = new Map(region.map(({ unit }) => [unit, Deferred.makeUnsafe<void>()]))
      return Effect.forEach(
        region,
        ({ after, unit }) =>
          Effect.forEach(after, (other) => Deferred.await(done.get(other)!), { discard: true }).pipe(
            Effect.andThen(unit._tag === "Node" ? this.node(unit.name) : this.loop(unit, 0)),
            Effect.andThen(Effect.sync(() => Deferred.doneUnsafe(done.get(unit)!, Exit.void)))
          ),
        { concurrency: "unbounded", discard: true }
      )
    })
  }

  private loop(unit: Plan.Unit & { readonly _tag: "Loop" }, pass: number): Effect.Effect<void, any> {
    const { body, from, loop: { feedback, times, when }, to } = unit
    return Effect.flatMap(this.region(body), () => {
      if (pass === times || this.skipped.has(from)) return Effect.void
      const value = this.values.get(from)
      if (!when(value)) return Effect.void
      const said = { from, value: feedback === undefined ? value : feedback(value) }
      for (const node of to) this.feedback.set(node, said)
      return this.loop(unit, pass + 1)
    })
  }

  private node(name: string): Effect.Effect<void, any> {
    return Effect.suspend(() => {
      const incoming = this.options.plan.incoming.get(name)!
      const ran = incoming.flatMap(({ from }) => this.skipped.has(from) ? [] : from)
      const holds = incoming.every(({ from, when }) =>
        when === undefined || (!this.skipped.has(from) && when(this.values.get(from)))
      )
      if (!holds || (incoming.length > 0 && ran.length === 0)) {
        this.values.delete(name)
        this.skipped.add(name)
        return Effect.void
      }
      this.skipped.delete(name)
      return Effect.map(this.call(this.options.nodes.get(name)!, ran), (value) => void this.values.set(name, value))
    })
  }

  private call(node: AgentGraph.Node, before: ReadonlyArray<string>): Effect.Effect<unknown, any> {
    const { calls, input, running, streamed } = this.options
    const { name } = node
    const run = this.runs.get(name) ?? 0
    const feedback = this.feedback.get(name)
    this.runs.set(name, run + 1)
    this.feedback.delete(name)
    const options = { key: run === 0 ? name : `${name}#${run}`, answer: name === streamed && node.kind === "agent" }
    const told = { ...input, run, feedback: feedback?.value }
    const values = this.valuesFor(node, before)
    switch (node.kind) {
      case "graph":
        return Effect.sync(() => this.value(node.ends, `${name}/`))
      case "effect": {
        const params = node.approval === undefined ? {} : node.approval.params(values, told)
        return this.attempt((key) => {
          const attempt = { hasRun: false }
          running.current.set(name, (params) => {
            attempt.hasRun = true
            return node.run(values, { ...told, params })
          })
          return [attempt, calls[name]!(params, { ...options, key })]
        }, options.key)
      }
      case "agent": {
        if (node.prompt !== undefined) return calls[name]!({ prompt: node.prompt(values, told) }, options)
        if (before.length === 0 && feedback === undefined) return calls[name]!({}, options)
        return Effect.flatMap(this.turns(name, before, feedback), (turns) => calls[name]!({ turns }, options))
      }
    }
  }

  /** A failure that is kept of an earlier run is tried again. */
  private attempt(
    begin: (key: string) => readonly [{ readonly hasRun: boolean }, Effect.Effect<unknown, any>],
    key: string,
    number = 1
  ): Effect.Effect<unknown, any> {
    const [attempt, call] = begin(number === 1 ? key : `${key}~${number}`)
    return Effect.catchIf(
      call,
      (error) => !attempt.hasRun && !(error instanceof Program.NotExecuted),
      () => this.attempt(begin, key, number + 1)
    )
  }

  /** What was said to a node: what it waited for, and in another pass its last answer and what is said to that. */
  private turns(
    name: string,
    before: ReadonlyArray<string>,
    feedback: { readonly from: string; readonly value: unknown } | undefined
  ): Effect.Effect<ReadonlyArray<Member.Turn>> {
    const said = before.map((from) => [from, this.values.get(from)] as const)
    if (feedback !== undefined) said.push([name, this.values.get(name)], [feedback.from, feedback.value])
    return Effect.forEach(said, ([from, value]) => Effect.map(this.textOf(from, value), (text) => ({ from, text })))
  }

  private textOf(from: string, value: unknown): Effect.Effect<string> {
    const node = this.options.nodes.get(from)!
    // the feedback of a loop may be another value than that of its node
    if (node.kind === "graph" || value !== this.values.get(from)) return Effect.succeed(Json.toText(value))
    return Member.textOf(node.kind === "agent" ? Member.valueOf(node.agent) : node.success)(value)
  }

  /** The values by the names that the graph of the node has for them. */
  private valuesFor({ scope = "" }: AgentGraph.Node, before: ReadonlyArray<string>): Readonly<Record<string, unknown>> {
    const own = before.filter((from) => from.startsWith(scope))
    return Object.fromEntries(own.map((from) => [from.slice(scope.length), this.values.get(from)]))
  }

  /** The value of the last node of a graph, or of the last nodes by their names. */
  value(ends: ReadonlyArray<string>, scope: string): unknown {
    if (ends.length === 1) return this.values.get(ends[0]!)
    const ran = ends.filter((end) => !this.skipped.has(end))
    return Object.fromEntries(ran.map((end) => [end.slice(scope.length), this.values.get(end)]))
  }
}
