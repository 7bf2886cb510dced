/**
 * Graphs of agents and effects, as data.
 *
 * A node runs when the nodes that it comes after have run, beside all others that can run then, and has their values. A
 * graph is a value, its nodes and edges are a `Graph` of effect; `toAgent` makes an agent of it, whose program runs the
 * nodes, and `toMermaid` a diagram, also of where a run is.
 *
 * **Example** (Two researchers, a writer, and an editor that may send the text back)
 *
 * ```ts
 * import { Console, Effect, Schema } from "effect"
 * import { Agent } from "effect-agents"
 * import { AgentGraph } from "effect-agents/orchestration"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const article = AgentGraph.make("article")
 *   .effect("sources", { success: Schema.Array(Schema.String), run: () => Effect.succeed(["a book", "a letter"]) })
 *   .agent("outline", Agent.make("planner"))
 *   .agent("draft", Agent.make("writer"), {
 *     after: ["sources", "outline"],
 *     prompt: ({ outline, sources }) => `Write "${outline}" from ${sources.join(" and ")}`
 *   })
 *   .effect("words", {
 *     after: ["draft"],
 *     success: Schema.Int,
 *     run: ({ draft }) => Effect.succeed(draft.split(" ").length)
 *   })
 *
 * const program = Effect.gen(function*() {
 *   const { value } = yield* Agent.run(AgentGraph.toAgent(article), { prompt: "Galdhøpiggen" })
 *   yield* Console.log(value)
 *   yield* Console.log(AgentGraph.toMermaid(article))
 * })
 *
 * const model = ScriptedModel.layer([ScriptedModel.text("First climbs"), ScriptedModel.text("It was in 1850")])
 *
 * Effect.runPromise(Effect.provide(program, model))
 * // => 4
 * // => flowchart TD
 * // =>   0["sources"]
 * // =>   1("outline")
 * // =>   2("draft")
 * // =>   3["words"]
 * // =>   0 --> 2
 * // =>   1 --> 2
 * // =>   2 --> 3
 * ```
 *
 * A node that comes after others runs if one of them has run, with the values of those that have, and if all of its
 * conditions (`when`) hold. Otherwise it is skipped. A condition on the value of a node that was skipped does not hold.
 *
 * When a node fails the run fails, and the nodes beside it are interrupted first. At most `ToolLoop.ToolConcurrency` nodes
 * run at the same time.
 *
 * Edges go from earlier nodes to later ones, so a graph ends. A `loop` goes back: the nodes between are run again, so
 * often at most, before the nodes after them.
 *
 * Each run of a node is a tool call of the program, with the name of the node: its value is in the transcript, and with a
 * `SessionHistory` of `"every-step"` saved before any other node has it. A run that goes on (`Agent.resume`,
 * `Agent.continue`) runs only the nodes that have no value yet: one that has failed runs again, and conditions are asked again. A graph that is added to
 * another one (`add`) is a part of it: what has run of it does not run again either.
 *
 * @since 0.1.0
 */

import type * as AiError from "effect/ai/AiError"
import type * as Prompt from "effect/ai/Prompt"
import { dual } from "effect/Function"
import * as Graph from "effect/Graph"
import { pipeArguments } from "effect/Pipeable"
import type * as Agent from "../Agent.ts"
import type * as AgentError from "../AgentError.ts"
import type * as AgentRun from "../AgentRun.ts"
import type * as Program from "../Program.ts"
import * as Edit from "./internal/graphEdit.ts"
import {
  type AgentGraph,
  type AgentNode,
  type Any,
  type Edge,
  type EffectNode,
  type Known,
  type Loop,
  type Names,
  type Node,
  type State,
  TypeId,
  type Value
} from "./internal/graphModels.ts"
import * as Plan from "./internal/graphPlan.ts"
import * as Run from "./internal/graphRun.ts"
import * as GraphState from "./internal/graphState.ts"
import type * as Orchestration from "./Orchestration.ts"

export * from "./internal/graphModels.ts"

// -----------------------------------------------------------------------------
// Constructors
// -----------------------------------------------------------------------------

const Proto = {
  [TypeId]: TypeId,
  pipe() {
    return pipeArguments(this, arguments)
  },
  agent(
    this: Any,
    name: string,
    agent: Agent.Any,
    { prompt, ...position }: Edit.Position & Pick<AgentNode, "prompt"> = {}
  ) {
    return withNode(this, { kind: "agent", name, agent, prompt }, position)
  },
  effect(this: Any, name: string, options: Edit.Position & Omit<EffectNode, "kind" | "name" | "scope">) {
    const { after, when, ...effect } = options
    return withNode(this, { ...effect, kind: "effect", name }, { after, when })
  },
  add(this: Any, name: string, inner: Any, position: Edit.Position = {}) {
    return fromParts(this.name, Edit.withGraph(this.name, this.graph, name, inner, position), this.starts)
  },
  loop(this: Any, from: string, to: string, loop: Loop) {
    return fromParts(this.name, Edit.withLoop(this.name, this.graph, from, to, loop), this.starts)
  }
}

const fromParts = (name: string, graph: Any["graph"], starts: Any["starts"]): Any =>
  Object.assign(Object.create(Proto), { name, graph, starts })

const withNode = ({ graph, name, starts }: Any, node: Node, position: Edit.Position): Any =>
  fromParts(name, Edit.withNode(name, graph, node, position), starts)

/**
 * Creates a graph without nodes.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (name: string): AgentGraph<{}, never, never, never> =>
  fromParts(name, Graph.directed(), undefined) as AgentGraph<{}, never, never, never>

/**
 * Creates a graph of a `Graph` of effect, which somebody has read from a file or built by a rule. The values of its nodes
 * are unknown. It throws `InvalidGraph`.
 *
 * **Example** (What runs in a cycle is refused)
 *
 * ```ts
 * import { Effect, Graph, Schema } from "effect"
 * import { AgentGraph } from "effect-agents/orchestration"
 *
 * const node = (name: string): AgentGraph.Node<never, never> => ({
 *   kind: "effect",
 *   name,
 *   success: Schema.String,
 *   run: () => Effect.succeed(name)
 * })
 *
 * const cyclic = Graph.directed<AgentGraph.Node<never, never>, AgentGraph.Edge>((mutable) => {
 *   const a = Graph.addNode(mutable, node("a"))
 *   const b = Graph.addNode(mutable, node("b"))
 *   Graph.addEdge(mutable, a, b, {})
 *   Graph.addEdge(mutable, b, a, {})
 * })
 *
 * try {
 *   AgentGraph.fromGraph("cyclic", cyclic)
 * } catch (error) {
 *   console.log(String(error instanceof AgentGraph.InvalidGraph && error.message))
 * }
 * // => The graph `cyclic` is not valid: no loop bounds the cycle of `a`, `b`
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromGraph = <E, R>(
  name: string,
  graph: Graph.DirectedGraph<Node<E, R>, Edge>,
  options: {
    /** The nodes that run first. Default: all that no edge leads to. */
    readonly starts?: ReadonlyArray<string> | undefined
  } = {}
): AgentGraph<Readonly<Record<string, Known>>, string, E, R> => {
  Plan.make(name, graph, options.starts)
  // what its nodes fail with and need is in their types
  return fromParts(name, graph, options.starts) as AgentGraph<Readonly<Record<string, Known>>, string, E, R>
}

// -----------------------------------------------------------------------------
// Running
// -----------------------------------------------------------------------------

/**
 * Creates the agent of a graph. Its value is that of the last node, or those of the last nodes by their names. The text of
 * an agent that is the last node is streamed as the text of the run, if no loop runs it again. It throws `InvalidGraph`.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toAgent = <Nodes, Ends extends keyof Nodes, E, R>(
  self: AgentGraph<Nodes, Ends, E, R>,
  options: Orchestration.Options = {}
): Agent.Agent<
  any,
  E | AgentError.AgentError | AiError.AiError | Program.NotExecuted,
  R,
  Value<Nodes, Ends> | undefined
> =>
  Run.toAgent(self.name, self.graph, Plan.make(self.name, self.graph, self.starts), options.description) as Agent.Agent<
    any,
    any,
    R,
    any
  >

// -----------------------------------------------------------------------------
// The state of a run
// -----------------------------------------------------------------------------

/**
 * Returns the state of a graph of which nothing has run.
 *
 * @category state
 * @since 0.1.0
 */
export const initial = <Nodes>(self: AgentGraph<Nodes, any, any, any>): State<Names<Nodes>> =>
  // its nodes are those of the type
  GraphState.initial(self.graph) as unknown as State<Names<Nodes>>

/**
 * Returns the state after a part of the run: `Stream.scan` shows it live. For a run that goes on it begins with what
 * `ofHistory` says of the run before.
 *
 * @category state
 * @since 0.1.0
 */
export const reduce: {
  (part: AgentRun.Part): <Name extends string>(self: State<Name>) => State<Name>
  <Name extends string>(self: State<Name>, part: AgentRun.Part): State<Name>
} = dual(2, GraphState.reduce)

/**
 * Returns the state that a transcript of the graph's agent tells, or the history of its session: that of the last run.
 *
 * @category state
 * @since 0.1.0
 */
export const ofHistory = <Nodes>(
  self: AgentGraph<Nodes, any, any, any>,
  history: Prompt.Prompt
): State<Names<Nodes>> => GraphState.ofMessages(initial(self), history.content)

/**
 * Returns the graph as a flowchart of Mermaid: agents are rounded, graphs in it have a frame, and edges say when they are
 * taken. With the state of a run the nodes have its colors.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toMermaid = (self: Any, options: {
  /** Where a run of the graph is. Default: the nodes have no colors. */
  readonly state?: State<never> | undefined
  /** In which direction it is drawn. Default: `"TD"`, from the top down. */
  readonly direction?: Graph.MermaidDirection | undefined
} = {}): string => GraphState.toMermaid(self.graph, { direction: options.direction ?? "TD", state: options.state })
