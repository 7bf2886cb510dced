/**
 * Graphs as the page draws them.
 *
 * @since 0.1.0
 */

import * as Graph from "effect/Graph"
import type * as AgentGraph from "../../orchestration/AgentGraph.ts"

/**
 * A graph as JSON: its nodes by their place, and the edges between them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Picture {
  readonly nodes: ReadonlyArray<{ readonly name: string; readonly kind: string }>
  readonly edges: ReadonlyArray<{
    readonly from: number
    readonly to: number
    readonly isConditional: boolean
    readonly loop: number | undefined
  }>
}

/**
 * Returns a graph as the page draws it.
 *
 * @category conversions
 * @since 0.1.0
 */
export const pictureOf = ({ graph }: AgentGraph.Any): Picture => {
  const nodes = Array.from(graph)
  const places = new Map(nodes.map(([index], place) => [index, place]))
  return {
    nodes: nodes.map(([, { kind, name }]) => ({ name, kind })),
    edges: Graph.toSnapshot(graph).edges.map(({ data, source, target }) => ({
      from: places.get(source)!,
      to: places.get(target)!,
      isConditional: data.when !== undefined,
      loop: data.loop?.times
    }))
  }
}
