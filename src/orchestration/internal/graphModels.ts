/**
 * The words of graphs: their nodes and edges, what is known of them, and where a run of them is.
 *
 * @since 0.1.0
 */

import type * as Effect from "effect/Effect"
import type * as Graph from "effect/Graph"
import type { Pipeable } from "effect/Pipeable"
import * as Schema from "effect/Schema"
import type * as Agent from "../../Agent.ts"
import type * as Program from "../../Program.ts"
import type * as Orchestration from "./models.ts"

/**
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: TypeId = "~effect-agents/orchestration/AgentGraph"

/**
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = "~effect-agents/orchestration/AgentGraph"

// -----------------------------------------------------------------------------
// Nodes and edges
// -----------------------------------------------------------------------------

/**
 * What a node is told beside the values of the nodes that it comes after: the input of the program, how often the node
 * has run before in this run, and what a `loop` has sent back to it.
 *
 * @category models
 * @since 0.1.0
 */
export interface NodeInput extends Program.Input {
  readonly run: number
  readonly feedback: unknown
}

interface NodeBase {
  readonly name: string
  /** What stands before the names of the nodes of an inner graph, as in `"inner/"`. Default: nothing. */
  readonly scope?: string | undefined
}

/**
 * A node that asks an agent.
 *
 * @category models
 * @since 0.1.0
 */
export interface AgentNode<out E = any, out R = any> extends NodeBase {
  readonly kind: "agent"
  readonly agent: Agent.Agent<any, E, R, any, any>
  /** Makes the prompt of the agent. Default: the conversation, and what the nodes before it have said. */
  readonly prompt?: ((values: any, input: NodeInput) => string) | undefined
}

/**
 * A node that runs an effect.
 *
 * @category models
 * @since 0.1.0
 */
export interface EffectNode<out E = any, out R = any> extends NodeBase {
  readonly kind: "effect"
  readonly success: Schema.Constraint
  /** The schema of what it fails with. Default: it does not fail. */
  readonly failure?: Schema.Constraint | undefined
  /** What a person is asked to allow before it runs. Default: nobody is asked. */
  readonly approval?: {
    readonly parameters: Schema.Constraint
    readonly params: (values: any, input: NodeInput) => unknown
  } | undefined
  readonly run: (values: any, input: NodeInput & { readonly params: any }) => Effect.Effect<unknown, E, R>
}

/**
 * A node that has the value of an inner graph, whose nodes are nodes of the graph.
 *
 * @category models
 * @since 0.1.0
 */
export interface GraphNode extends NodeBase {
  readonly kind: "graph"
  /** The names of the last nodes of the inner graph. */
  readonly ends: ReadonlyArray<string>
}

/**
 * A node of a graph.
 *
 * @category models
 * @since 0.1.0
 */
export type Node<E = any, R = any> = AgentNode<E, R> | EffectNode<E, R> | GraphNode

/**
 * An edge of a graph.
 *
 * @category models
 * @since 0.1.0
 */
export interface Edge {
  /** A condition without which the node does not run that it leads to. Default: there is none. */
  readonly when?: ((value: any) => boolean) | undefined
  /** How it goes back to a node that has run. Default: it goes on to one that has not. */
  readonly loop?: Loop | undefined
}

/**
 * How an edge goes back.
 *
 * @category models
 * @since 0.1.0
 */
export interface Loop<in Value = any> {
  /** How often it goes back in one run at most, or in one pass of the loop around it: a positive integer. */
  readonly times: number
  /** Whether it goes back, by the value of the node that it comes from. */
  readonly when: (value: Value) => boolean
  /** Makes what the node is told that it goes back to. Default: the value. */
  readonly feedback?: ((value: Value) => unknown) | undefined
}

// -----------------------------------------------------------------------------
// Graphs
// -----------------------------------------------------------------------------

/**
 * What is known of a node: the type of its value, and whether it may be skipped.
 *
 * @category models
 * @since 0.1.0
 */
export interface Known {
  readonly value: unknown
  readonly maybe: boolean
}

/**
 * A graph with these nodes, of which nothing comes after the `Ends`. Its nodes fail with `E` and need `R`.
 *
 * @category models
 * @since 0.1.0
 */
export interface AgentGraph<Nodes, Ends extends keyof Nodes, out E, out R> extends Pipeable {
  readonly [TypeId]: TypeId
  readonly name: string
  readonly graph: Graph.DirectedGraph<Node<E, R>, Edge>
  /** The nodes that run first; undefined if these are all that come after no other one. */
  readonly starts: ReadonlyArray<string> | undefined

  /**
   * Returns the graph with a node that asks an agent. Its value is that of the agent, or its text. Without a `prompt` it
   * is told the conversation, and what the nodes before it have said; if a loop comes back to it, its last answer and the
   * `feedback` too.
   */
  readonly agent: <
    const Name extends string,
    A extends Agent.Any,
    After extends Names<Nodes> = never,
    When extends After = never
  >(
    name: Name & New<Name, Nodes>,
    agent: A,
    options?: Position<Nodes, After, When> & {
      /** Makes the prompt of the agent. Default: the conversation, and what the nodes before it have said. */
      readonly prompt?: ((values: Values<Nodes, NoInfer<After>, NoInfer<When>>, input: NodeInput) => string) | undefined
    }
  ) => With<Nodes, Ends, E | Agent.Error<A>, R | Agent.Services<A>, Name, Orchestration.Value<A>, After, When>

  /** Returns the graph with a node that runs an effect. Its value is kept by the schema. */
  readonly effect: <
    const Name extends string,
    S extends Schema.Codec<any, any>,
    After extends Names<Nodes> = never,
    When extends After = never,
    F extends Schema.Codec<any, any> = Schema.Never,
    P extends Schema.Codec<any, any> = Schema.Never,
    R1 = never
  >(
    name: Name & New<Name, Nodes>,
    options: Position<Nodes, After, When> & {
      /** The schema of the value. */
      readonly success: S
      /** The schema of what it fails with. Default: it does not fail. */
      readonly failure?: F | undefined
      /** What a person is asked to allow before it runs, and may edit: `params` are what runs. Default: nobody is asked. */
      readonly approval?: {
        readonly parameters: P
        readonly params: (values: Values<Nodes, NoInfer<After>, NoInfer<When>>, input: NodeInput) => P["Type"]
      } | undefined
      /** What it runs. */
      readonly run: (
        values: Values<Nodes, NoInfer<After>, NoInfer<When>>,
        input: NodeInput & { readonly params: P["Type"] }
      ) => Effect.Effect<S["Type"], F["Type"], R1>
    }
  ) => With<Nodes, Ends, E | F["Type"], R | R1, Name, S["Type"], After, When>

  /**
   * Returns the graph with the nodes of another one. The node of this name has the value of that graph; the names of its
   * nodes have the name before them, as in `inner/draft`.
   */
  readonly add: <
    const Name extends string,
    Inner,
    InnerEnds extends keyof Inner,
    E1,
    R1,
    After extends Names<Nodes> = never,
    When extends After = never
  >(
    name: Name & New<Name, Nodes>,
    graph: AgentGraph<Inner, InnerEnds, E1, R1>,
    options?: Position<Nodes, After, When>
  ) => With<Nodes, Ends, E | E1, R | R1, Name, Value<Inner, InnerEnds>, After, When, AllMaybe<Inner, InnerEnds>>

  /**
   * Returns the graph with an edge that goes back from one node to an earlier one, or to itself, while `when` holds. All
   * nodes between them are run again. Loops are within one another or have no node in common.
   */
  readonly loop: <From extends Names<Nodes>>(
    from: From,
    to: Names<Nodes>,
    loop: Loop<ValueIn<Nodes, From>>
  ) => AgentGraph<Nodes, Ends, E, R>
}

/**
 * Any graph.
 *
 * @category models
 * @since 0.1.0
 */
export interface Any {
  readonly [TypeId]: TypeId
  readonly name: string
  readonly graph: Graph.DirectedGraph<Node, Edge>
  readonly starts: ReadonlyArray<string> | undefined
}

/**
 * The names of the nodes of a graph.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Names<Nodes> = Extract<keyof Nodes, string>

/**
 * A name that no node has yet, and that has no slash.
 *
 * @category utility types
 * @since 0.1.0
 */
export type New<Name extends string, Nodes> = Name extends keyof Nodes ? "a name that no other node has"
  : Name extends `${string}/${string}` ? "a name without a slash"
  : unknown

/**
 * The value of a node.
 *
 * @category utility types
 * @since 0.1.0
 */
export type ValueIn<Nodes, Name extends keyof Nodes> = Nodes[Name] extends { readonly value: infer V } ? V : never

type MaybeIn<Nodes, Name extends keyof Nodes> = Nodes[Name] extends { readonly maybe: false } ? false : true

type IsUnion<T, U = T> = [T] extends [never] ? false : T extends unknown ? [U] extends [T] ? false : true : never

/**
 * The values that a node has of those that it comes after. Of several those may be `undefined` that may be skipped, unless
 * the node has a condition on them.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Values<Nodes, After extends keyof Nodes, When> = {
  readonly [K in After]: K extends When ? ValueIn<Nodes, K>
    : IsUnion<After> extends true ? MaybeIn<Nodes, K> extends true ? ValueIn<Nodes, K> | undefined : ValueIn<Nodes, K>
    : ValueIn<Nodes, K>
}

/**
 * The value of a graph: that of its last node, or those of its last nodes by their names.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Value<Nodes, Ends extends keyof Nodes> = IsUnion<Ends> extends true
  ? { readonly [K in Ends]: MaybeIn<Nodes, K> extends true ? ValueIn<Nodes, K> | undefined : ValueIn<Nodes, K> }
  : { readonly [K in Ends]: MaybeIn<Nodes, K> extends true ? ValueIn<Nodes, K> | undefined : ValueIn<Nodes, K> }[Ends]

/**
 * Where a node stands: the nodes before it, and its conditions.
 *
 * @category models
 * @since 0.1.0
 */
export interface Position<Nodes, After extends keyof Nodes, When extends After> {
  /** The nodes that have to run before. Default: none, and it runs first. */
  readonly after?: ReadonlyArray<After> | undefined
  /** Conditions on the values of these nodes, without which it does not run. Default: it runs. */
  readonly when?: { readonly [K in When]: (value: ValueIn<Nodes, K>) => boolean } | undefined
}

/**
 * A graph with one more node.
 *
 * @category utility types
 * @since 0.1.0
 */
export type With<
  Nodes,
  Ends extends keyof Nodes,
  E,
  R,
  Name extends string,
  V,
  After extends keyof Nodes,
  When,
  InnerMaybe = false
> = AgentGraph<
  & Nodes
  & {
    readonly [N in Name]: {
      readonly value: V
      readonly maybe: InnerMaybe extends true ? true : Maybe<Nodes, After, When>
    }
  },
  Exclude<Ends, After> | Name,
  E,
  R
>

/** Whether each of these nodes may be skipped. */
type AllMaybe<Nodes, Names extends keyof Nodes> = false extends (Names extends unknown ? MaybeIn<Nodes, Names> : never)
  ? false
  : true

/** A node without conditions runs if one of those before it does. */
type Maybe<Nodes, After extends keyof Nodes, When> = [When] extends [never]
  ? [After] extends [never] ? false : AllMaybe<Nodes, After>
  : true

// -----------------------------------------------------------------------------
// State
// -----------------------------------------------------------------------------

/**
 * How far a node has come.
 *
 * - `pending`: it has not run yet.
 * - `running`: it runs, or its process has ended while it ran.
 * - `waiting`: it waits for an approval.
 * - `done`, `failed`, `interrupted`: how it has ended. A call that was denied has failed.
 * - `skipped`: the run has ended without it.
 *
 * @category models
 * @since 0.1.0
 */
export type Status = "pending" | "running" | "waiting" | "done" | "failed" | "interrupted" | "skipped"

/**
 * How far a node has come, and how often it has begun.
 *
 * @category models
 * @since 0.1.0
 */
export interface NodeState {
  readonly status: Status
  readonly runs: number
}

/**
 * Where a run of a graph is: the state of each node by its name. `calls` are the names by the ids of the calls.
 *
 * @category models
 * @since 0.1.0
 */
export interface State<Name extends string = string> {
  readonly nodes: { readonly [N in Name]: NodeState }
  readonly calls: Readonly<Record<string, string>>
}

// -----------------------------------------------------------------------------
// Errors
// -----------------------------------------------------------------------------

/**
 * A graph was not made, or is no agent. It is thrown, as a mistake of the program that makes the graph.
 *
 * - `duplicate-name`: two of its nodes have one name.
 * - `unknown-node`: an edge or a start names a node that it does not have.
 * - `no-start`: no node can run first.
 * - `unreachable-node`: no path leads to the node from a start.
 * - `unbounded-cycle`: the nodes wait for one another; a `loop` is bounded.
 * - `invalid-loop`: it closes no cycle, its bound is no positive integer, or it overlaps with another loop.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidGraph extends Schema.Error<InvalidGraph>("effect-agents/orchestration/InvalidGraph")({
  _tag: Schema.tag("InvalidGraph"),
  graph: Schema.String,
  problem: Schema.Literals([
    "duplicate-name",
    "unknown-node",
    "no-start",
    "unreachable-node",
    "unbounded-cycle",
    "invalid-loop"
  ]),
  nodes: Schema.Array(Schema.String),
  description: Schema.String
}) {
  override get message(): string {
    return `The graph \`${this.graph}\` is not valid: ${this.description}`
  }
}
