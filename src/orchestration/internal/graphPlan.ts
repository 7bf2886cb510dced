/**
 * The plan of a graph: in which order its nodes may run, and which of them a loop runs again. A graph that has none is
 * refused.
 *
 * @since 0.1.0
 */

import * as Graph from "effect/Graph"
import * as Option from "effect/Option"
import { type Edge, InvalidGraph, type Loop } from "./graphModels.ts"

/**
 * Refuses a graph.
 *
 * @category errors
 * @since 0.1.0
 */
export const refuse = (
  graph: string,
  problem: InvalidGraph["problem"],
  nodes: ReadonlyArray<string>,
  description: string
): never => {
  throw new InvalidGraph({ graph, problem, nodes, description })
}

/**
 * An edge that leads to a node.
 *
 * @category models
 * @since 0.1.0
 */
export interface Incoming {
  readonly from: string
  readonly when: Edge["when"]
}

/**
 * What runs as one: a node, or a loop with all that it runs again.
 *
 * @category models
 * @since 0.1.0
 */
export type Unit =
  | { readonly _tag: "Node"; readonly name: string }
  | {
    readonly _tag: "Loop"
    readonly from: string
    readonly to: ReadonlyArray<string>
    readonly loop: Loop
    readonly body: Region
  }

/**
 * Units that run as soon as those that they wait for have run.
 *
 * @category models
 * @since 0.1.0
 */
export type Region = ReadonlyArray<{ readonly unit: Unit; readonly after: ReadonlyArray<Unit> }>

/**
 * How a graph runs.
 *
 * @category models
 * @since 0.1.0
 */
export interface Plan {
  readonly region: Region
  readonly incoming: ReadonlyMap<string, ReadonlyArray<Incoming>>
  /** The nodes from which no edge leads on, in their order. */
  readonly ends: ReadonlyArray<string>
  /** The nodes that a loop runs again. */
  readonly repeated: ReadonlySet<string>
}

interface Named {
  readonly name: string
  readonly ends?: ReadonlyArray<string>
}

interface Back {
  readonly from: string
  /** The nodes that begin again. */
  readonly to: ReadonlyArray<string>
  readonly loop: Loop
  readonly body: ReadonlySet<string>
}

/**
 * Creates the plan of a graph. Without `starts` these are all nodes that no edge leads to.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  name: string,
  graph: Graph.DirectedGraph<Named, Edge>,
  starts?: ReadonlyArray<string> | undefined
): Plan => {
  const names = namesOf(name, graph)
  const { edges } = Graph.toSnapshot(graph)
  const forward = Graph.mutate(graph, (mutable) => {
    Graph.filterEdges(mutable, ({ loop }) => loop === undefined)
  })
  const cycle = Graph.findCycle(forward)
  if (Option.isSome(cycle)) {
    const path = [...new Set(cycle.value.path)].map((index) => names.get(index)!)
    return refuse(name, "unbounded-cycle", path, `no loop bounds the cycle of ${listed(path)}`)
  }
  const incoming = new Map([...names.values()].map((node) => [node, new Array<Incoming>()]))
  const inner = new Set<string>()
  for (const { data: { loop, when }, source, target } of edges) {
    if (loop !== undefined) continue
    incoming.get(names.get(target)!)!.push({ from: names.get(source)!, when })
    inner.add(names.get(source)!)
  }
  checkStarts(name, forward, names, incoming, starts)
  const backs = edges.flatMap(({ data: { loop }, source, target }) =>
    loop === undefined ? [] : toBack(name, forward, names, incoming, { data: loop, source, target })
  )
  checkNested(name, backs)
  return {
    region: regionOf(new Set(names.values()), backs, incoming),
    incoming,
    ends: [...names.values()].filter((node) => !inner.has(node)),
    repeated: new Set(backs.flatMap(({ body }) => [...body]))
  }
}

type Names = ReadonlyMap<Graph.NodeIndex, string>

type Forward = Graph.DirectedGraph<Named, Edge>

const listed = (nodes: Iterable<string>): string => Array.from(nodes, (node) => `\`${node}\``).join(", ")

const namesOf = (graph: string, nodes: Iterable<readonly [Graph.NodeIndex, Named]>): Names => {
  const names = new Map<Graph.NodeIndex, string>()
  const seen = new Set<string>()
  for (const [index, { name }] of nodes) {
    if (seen.has(name)) return refuse(graph, "duplicate-name", [name], `two of its nodes have the name \`${name}\``)
    seen.add(name)
    names.set(index, name)
  }
  for (const [, { ends = [], name }] of nodes) {
    const stranger = ends.find((end) => !seen.has(end))
    if (stranger === undefined) continue
    return refuse(
      graph,
      "unknown-node",
      [stranger],
      `\`${name}\` has the value of \`${stranger}\`, which is none of its nodes`
    )
  }
  return names
}

const checkStarts = (
  graph: string,
  forward: Forward,
  names: Names,
  incoming: Plan["incoming"],
  given: ReadonlyArray<string> | undefined
): void => {
  const indexes = new Map([...names].map(([index, node]) => [node, index]))
  const starts = given ?? [...incoming].flatMap(([node, edges]) => edges.length === 0 ? node : [])
  const stranger = starts.find((node) => !indexes.has(node))
  if (stranger !== undefined) {
    return refuse(graph, "unknown-node", [stranger], `it starts with \`${stranger}\`, which is none of its nodes`)
  }
  if (starts.length === 0) return refuse(graph, "no-start", [], "no node can run first")
  const waiting = starts.find((node) => incoming.get(node)!.length > 0)
  if (waiting !== undefined) {
    const description = `it starts with \`${waiting}\`, which waits for ${
      listed(incoming.get(waiting)!.map(({ from }) => from))
    }`
    return refuse(graph, "no-start", [waiting], description)
  }
  const reached = new Set(starts.flatMap((node) => [...Graph.unweightedDistances(forward, indexes.get(node)!).keys()]))
  const missed = [...names].flatMap(([index, node]) => reached.has(index) ? [] : node)
  if (missed.length > 0) refuse(graph, "unreachable-node", missed, `no path leads to ${listed(missed)} from its start`)
}

// -----------------------------------------------------------------------------
// Loops
// -----------------------------------------------------------------------------

/**
 * What a loop runs again: what is on the paths from where it goes to where it comes from. It goes to an inner graph where
 * that begins.
 */
const toBack = (
  graph: string,
  forward: Forward,
  names: Names,
  incoming: Plan["incoming"],
  { data: loop, source, target }: Graph.Edge<Loop>
): Back => {
  const [from, to] = [names.get(source)!, names.get(target)!]
  if (!Number.isSafeInteger(loop.times) || loop.times < 1) {
    const description = `its loop from \`${from}\` to \`${to}\` has \`times\` of ${loop.times}, and no positive integer`
    return refuse(graph, "invalid-loop", [from, to], description)
  }
  const inside = (node: string) => node.startsWith(`${to}/`)
  const group = [...names].flatMap(([index, node]) => inside(node) ? index : [])
  const after = new Set([target, ...group].flatMap((index) => [...Graph.unweightedDistances(forward, index).keys()]))
  const before = Graph.unweightedDistances(forward, source, { direction: "incoming" })
  if (!after.has(source)) {
    const description =
      `its loop from \`${from}\` to \`${to}\` closes no cycle: no path leads from \`${to}\` to \`${from}\``
    return refuse(graph, "invalid-loop", [from, to], description)
  }
  return {
    from,
    to: group.length === 0
      ? [to]
      : group.map((index) => names.get(index)!).filter((node) => !incoming.get(node)!.some(({ from }) => inside(from))),
    loop,
    body: new Set([...after].filter((node) => before.has(node)).map((node) => names.get(node)!))
  }
}

const isWithin = (inner: Back, outer: Back): boolean =>
  inner.body.size < outer.body.size && [...inner.body].every((node) => outer.body.has(node))

/** A loop is within another one, or has nothing to do with it. */
const checkNested = (graph: string, backs: ReadonlyArray<Back>): void => {
  backs.forEach((one, index) => {
    const other = backs.slice(index + 1).find((other) =>
      !isWithin(one, other) && !isWithin(other, one) && [...one.body].some((node) => other.body.has(node))
    )
    if (other === undefined) return
    const loops = [one, other].map(({ from, to }) => `from \`${from}\` to ${listed(to)}`).join(" and ")
    refuse(graph, "invalid-loop", [one.from, ...one.to, other.from, ...other.to], `its loops ${loops} overlap`)
  })
}

/** The units of some nodes: loops that are within no other one of these, and the nodes that are in no loop. */
const regionOf = (nodes: ReadonlySet<string>, backs: ReadonlyArray<Back>, incoming: Plan["incoming"]): Region => {
  const outermost = backs.filter((one) => !backs.some((other) => isWithin(one, other)))
  const unitOf = new Map<string, Unit>()
  for (const back of outermost) {
    const { body, from, loop, to } = back
    const region = regionOf(body, backs.filter((other) => isWithin(other, back)), incoming)
    const unit: Unit = { _tag: "Loop", from, to, loop, body: region }
    for (const node of body) unitOf.set(node, unit)
  }
  for (const name of nodes) if (!unitOf.has(name)) unitOf.set(name, { _tag: "Node", name })
  const after = new Map([...unitOf.values()].map((unit) => [unit, new Set<Unit>()]))
  for (const [node, unit] of unitOf) {
    for (const { from } of incoming.get(node)!) {
      const other = unitOf.get(from)
      if (other !== undefined && other !== unit) after.get(unit)!.add(other)
    }
  }
  return [...after].map(([unit, others]) => ({ unit, after: [...others] }))
}
