/**
 * How a graph gets more nodes and edges.
 *
 * @since 0.1.0
 */

import * as Graph from "effect/Graph"
import type { Edge, Loop, Node } from "./graphModels.ts"
import * as Plan from "./graphPlan.ts"

type Nodes = Graph.DirectedGraph<Node, Edge>

/**
 * What a node comes after, and under which conditions.
 *
 * @category models
 * @since 0.1.0
 */
export interface Position {
  readonly after?: ReadonlyArray<string> | undefined
  readonly when?: Readonly<Record<string, (value: any) => boolean>> | undefined
}

const indexes = (graph: Iterable<readonly [Graph.NodeIndex, Node]>): Map<string, Graph.NodeIndex> =>
  new Map(Array.from(graph, ([index, { name }]) => [name, index]))

const indexOf = (graph: string, known: ReadonlyMap<string, Graph.NodeIndex>, name: string): Graph.NodeIndex =>
  known.get(name) ?? Plan.refuse(graph, "unknown-node", [name], `it has no node \`${name}\``)

const checkNew = (graph: string, known: ReadonlyMap<string, Graph.NodeIndex>, name: string): void => {
  if (known.has(name)) Plan.refuse(graph, "duplicate-name", [name], `two of its nodes have the name \`${name}\``)
}

const predecessors = (
  graph: string,
  known: ReadonlyMap<string, Graph.NodeIndex>,
  { after = [], when = {} }: Position
): ReadonlyArray<readonly [Graph.NodeIndex, Edge]> => {
  const stranger = Object.keys(when).find((name) => !after.includes(name))
  if (stranger !== undefined) {
    Plan.refuse(graph, "unknown-node", [stranger], `a condition names \`${stranger}\`, and no edge comes from it`)
  }
  return [...new Set(after)].map((from) =>
    [indexOf(graph, known, from), { when: Object.hasOwn(when, from) ? when[from] : undefined }] as const
  )
}

/**
 * Returns the graph with one more node, after others.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withNode = (name: string, graph: Nodes, node: Node, position: Position): Nodes => {
  const known = indexes(graph)
  checkNew(name, known, node.name)
  const edges = predecessors(name, known, position)
  return Graph.mutate(graph, (mutable) => {
    const index = Graph.addNode(mutable, node)
    for (const [from, edge] of edges) Graph.addEdge(mutable, from, index, edge)
  })
}

/**
 * Returns the graph with the nodes of another one: those that run first in it come after others, and its last ones before
 * a node that has its value.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withGraph = (
  name: string,
  graph: Nodes,
  as: string,
  inner: { readonly name: string; readonly graph: Nodes; readonly starts: ReadonlyArray<string> | undefined },
  position: Position
): Nodes => {
  const known = indexes(graph)
  checkNew(name, known, as)
  const edges = predecessors(name, known, position)
  const { ends, incoming } = Plan.make(inner.name, inner.graph, inner.starts)
  const scope = `${as}/`
  const { edges: own } = Graph.toSnapshot(inner.graph)
  return Graph.mutate(graph, (mutable) => {
    const moved = new Map<Graph.NodeIndex, Graph.NodeIndex>()
    for (const [index, node] of inner.graph) {
      const added = Graph.addNode(mutable, rescoped(node, scope))
      moved.set(index, added)
      if (incoming.get(node.name)!.length === 0) {
        for (const [from, edge] of edges) Graph.addEdge(mutable, from, added, edge)
      }
    }
    for (const { data, source, target } of own) Graph.addEdge(mutable, moved.get(source)!, moved.get(target)!, data)
    const value = Graph.addNode(mutable, { kind: "graph", name: as, ends: ends.map((end) => scope + end) })
    const byName = indexes(inner.graph)
    for (const end of ends) Graph.addEdge(mutable, moved.get(byName.get(end)!)!, value, {})
  })
}

const rescoped = (node: Node, scope: string): Node => {
  const moved = { ...node, name: scope + node.name, scope: scope + (node.scope ?? "") }
  return moved.kind === "graph" ? { ...moved, ends: moved.ends.map((end) => scope + end) } : moved
}

/**
 * Returns the graph with an edge that goes back.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withLoop = (name: string, graph: Nodes, from: string, to: string, loop: Loop): Nodes => {
  const known = indexes(graph)
  const [source, target] = [indexOf(name, known, from), indexOf(name, known, to)]
  const next = Graph.mutate(graph, (mutable) => void Graph.addEdge(mutable, source, target, { loop }))
  Plan.make(name, next)
  return next
}
