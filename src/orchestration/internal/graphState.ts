/**
 * The state of a graph's run, as its parts or its transcript tell it.
 *
 * @since 0.1.0
 */

import type * as Prompt from "effect/ai/Prompt"
import * as Graph from "effect/Graph"
import * as Predicate from "effect/Predicate"
import type * as AgentRun from "../../AgentRun.ts"
import * as ProgramCall from "../../internal/words/programCall.ts"
import type * as AgentGraph from "./graphModels.ts"

/**
 * Returns the state of a graph of which nothing has run.
 *
 * @category constructors
 * @since 0.1.0
 */
export const initial = (graph: Iterable<readonly [Graph.NodeIndex, AgentGraph.Node]>): AgentGraph.State => ({
  nodes: Object.fromEntries(Array.from(graph, ([, { name }]) => [name, { status: "pending", runs: 0 }])),
  calls: {}
})

/** The state with another status of a node, which begins once more if it says so. A node of another name changes nothing. */
const set = (state: AgentGraph.State, name: string, status: AgentGraph.Status, begins = 0): AgentGraph.State => {
  const node = Object.hasOwn(state.nodes, name) ? state.nodes[name] : undefined
  if (node === undefined) return state
  return { ...state, nodes: withGroups({ ...state.nodes, [name]: { status, runs: node.runs + begins } }) }
}

const begin = (state: AgentGraph.State, id: string, name: string): AgentGraph.State => {
  const next = set(state, name, "running", 1)
  return next === state ? state : { ...next, calls: { ...next.calls, [id]: name } }
}

const wait = (state: AgentGraph.State, id: string): AgentGraph.State =>
  Object.hasOwn(state.calls, id) ? set(state, state.calls[id]!, "waiting") : state

/** The run has ended: what has not run was skipped. */
const end = (state: AgentGraph.State): AgentGraph.State => ({
  ...state,
  nodes: withGroups(Object.fromEntries(
    Object.entries(state.nodes).map(([name, node]) => [name, node.status === "pending" ? skipped : node])
  ))
})

const skipped: AgentGraph.NodeState = { status: "skipped", runs: 0 }

/** Of what a graph in a graph consists, the first of these that there is: it is done when all of it is over. */
const order: ReadonlyArray<AgentGraph.Status> = ["failed", "waiting", "running", "interrupted", "pending", "done"]

const withGroups = (nodes: AgentGraph.State["nodes"]): AgentGraph.State["nodes"] => {
  const names = Object.keys(nodes)
  const groups = new Map<string, Array<string>>()
  for (const name of names) {
    const parent = name.slice(0, Math.max(name.lastIndexOf("/"), 0))
    if (parent === "" || !Object.hasOwn(nodes, parent)) continue
    const own = groups.get(parent)
    if (own === undefined) groups.set(parent, [name])
    else own.push(name)
  }
  if (groups.size === 0) return nodes
  const all = { ...nodes }
  // the inner ones first
  for (const [group, own] of [...groups].sort(([self], [that]) => that.length - self.length)) {
    const statuses = own.map((name) => all[name]!.status)
    const begun = statuses.some((status) => status !== "pending" && status !== "skipped")
    const status = order.find((status) => statuses.includes(status)) ?? "skipped"
    all[group] = {
      status: begun && status === "pending" ? "running" : status,
      runs: Math.max(...own.map((name) => all[name]!.runs))
    }
  }
  return all
}

/**
 * Returns the state after a part of the run.
 *
 * @category accessors
 * @since 0.1.0
 */
export const reduce = <Name extends string>(
  state: AgentGraph.State<Name>,
  part: AgentRun.Part
): AgentGraph.State<Name> =>
  // the names stay
  afterPart(state as AgentGraph.State, part) as AgentGraph.State<Name>

const afterPart = (state: AgentGraph.State, part: AgentRun.Part): AgentGraph.State => {
  switch (part.type) {
    case "tool-call":
      return begin(state, part.id, part.name)
    case "tool-approval-request":
      return wait(state, part.toolCallId)
    case "tool-result":
      return part.preliminary ? state : set(state, part.name, statusOf(part.isFailure, part.encodedResult))
    case "run-end":
      return part.result.approvals.length > 0 ? state : end(state)
    default:
      return state
  }
}

const statusOf = (isFailure: boolean, said: unknown): AgentGraph.Status => {
  if (!isFailure) return "done"
  return Predicate.hasProperty(said, "type") && said.type === "execution-interrupted" ? "interrupted" : "failed"
}

/**
 * Returns the state that a transcript tells, or the history of a session: that of the last run in it.
 *
 * @category accessors
 * @since 0.1.0
 */
export const ofMessages = <Name extends string>(
  state: AgentGraph.State<Name>,
  messages: ReadonlyArray<Prompt.Message>
): AgentGraph.State<Name> => {
  const from = messages.findLastIndex(({ role }) => role === "user") + 1
  const last = messages.slice(from).reduce(
    (state, message) => message.role === "assistant" || message.role === "tool" ? afterMessage(state, message) : state,
    state as AgentGraph.State
  )
  // the names stay
  return last as AgentGraph.State<Name>
}

const afterMessage = (
  state: AgentGraph.State,
  { content, role }: Prompt.AssistantMessage | Prompt.ToolMessage
): AgentGraph.State => {
  // the answer is the only message of a program without calls
  if (role === "assistant" && content.every(({ type }) => type === "text")) return end(state)
  return (content as ReadonlyArray<Prompt.Part>).reduce((state, part) => {
    switch (part.type) {
      case "tool-call":
        return ProgramCall.callMarkOf(part) === undefined ? state : begin(state, part.id, part.name)
      case "tool-approval-request":
        return wait(state, part.toolCallId)
      case "tool-result":
        return Object.hasOwn(state.calls, part.id) ? set(state, part.name, ended(part)) : state
      default:
        return state
    }
  }, state)
}

const ended = (result: Prompt.ToolResultPart): AgentGraph.Status => {
  switch (ProgramCall.endOf(result)) {
    case "result":
    case "denied":
    case "failed":
      return result.isFailure ? "failed" : "done"
    default:
      return "interrupted"
  }
}

// -----------------------------------------------------------------------------
// Mermaid
// -----------------------------------------------------------------------------

const colors: Readonly<Record<AgentGraph.Status, string>> = {
  pending: "fill:#eeeeee,stroke:#999999",
  running: "fill:#cfe2ff,stroke:#0d6efd",
  waiting: "fill:#fff3cd,stroke:#ffc107",
  done: "fill:#d1e7dd,stroke:#198754",
  failed: "fill:#f8d7da,stroke:#dc3545",
  interrupted: "fill:#f8d7da,stroke:#6c757d",
  skipped: "fill:#ffffff,stroke:#cccccc,stroke-dasharray:4"
}

/**
 * Returns a graph as a flowchart of Mermaid, with the state of a run if there is one.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toMermaid = (
  graph: Graph.DirectedGraph<AgentGraph.Node, AgentGraph.Edge>,
  { direction, state }: {
    readonly direction: Graph.MermaidDirection
    readonly state: AgentGraph.State<never> | undefined
  }
): string => {
  const nodes = Array.from(graph)
  const states: Readonly<Record<string, AgentGraph.NodeState>> = state?.nodes ?? {}
  const flowchart = Graph.toMermaid(graph, {
    direction,
    nodeShape: ({ kind }) => kind === "agent" ? "rounded" : kind === "effect" ? "rectangle" : "subroutine",
    nodeLabel: ({ name, scope = "" }) => {
      const runs = states[name]?.runs ?? 0
      return runs > 1 ? `${name.slice(scope.length)} ×${runs}` : name.slice(scope.length)
    },
    edgeLabel: ({ loop, when }) => loop !== undefined ? `again, ${loop.times}× at most` : when !== undefined ? "if" : ""
  })
  const lines = [flowchart, ...groupsOf(nodes, "", "  ")]
  if (state === undefined) return lines.join("\n")
  const byStatus = Map.groupBy(nodes, ([, { name }]) => states[name]?.status ?? "pending")
  for (const [status, own] of byStatus) {
    lines.push(`  classDef ${status} ${colors[status]}`, `  class ${own.map(([index]) => index).join(",")} ${status}`)
  }
  return lines.join("\n")
}

type Indexed = ReadonlyArray<readonly [Graph.NodeIndex, AgentGraph.Node]>

/** A graph in a graph is drawn around its nodes. */
const groupsOf = (nodes: Indexed, scope: string, indent: string): ReadonlyArray<string> =>
  nodes.flatMap(([index, { kind, name, scope: own = "" }]) => {
    if (kind !== "graph" || own !== scope) return []
    const inner = nodes.filter(([, node]) => node.scope === `${name}/`).map(([index]) => `${indent}  ${index}`)
    return [
      `${indent}subgraph group${index}["${escaped(name.slice(scope.length))}"]`,
      ...inner,
      `${indent}  ${index}`,
      ...groupsOf(nodes, `${name}/`, `${indent}  `),
      `${indent}end`
    ]
  })

const escaped = (label: string): string => label.replace(/[^\w -]/gu, (character) => `#${character.codePointAt(0)};`)
