/**
 * Asks the person behind a client for approvals: in the middle of a request where the protocol has sessions, and with
 * an answer that requires input where it has none.
 *
 * @since 0.1.0
 */

import * as McpSchema from "effect/ai/McpSchema"
import * as McpServer from "effect/ai/McpServer"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as AgentRun from "../../AgentRun.ts"
import * as Approval from "../../Approval.ts"
import * as Json from "../../internal/words/json.ts"
import * as Text from "../../internal/words/text.ts"

type Request = McpSchema.McpRequestContext["Service"]

/**
 * Returns whether the client can show a form to a person.
 *
 * @category guards
 * @since 0.1.0
 */
export const canAsk = ({ clientCapabilities: { elicitation } }: Request): boolean =>
  // a client that names no mode has forms
  elicitation !== undefined && (elicitation.form !== undefined || elicitation.url === undefined)

const Form = Schema.Struct({
  approve: Schema.Boolean.annotate({ title: "Approve", description: "Whether the call may run" })
})

/** Who approves a call sees all of it. */
const maximumShown = 10_000

const messageOf = (agent: string, { params, path, tool }: Approval.Approval): string | undefined => {
  // a character that turns the order of others is written as JSON writes it
  const shown = Json.toText(params).replaceAll(/[\p{Cf}\u2028\u2029]/gu, escape)
  const asking = path.at(-1) ?? agent
  return shown.length > maximumShown
    ? undefined
    : Text.wellFormed(`The agent ${asking} asks whether it may call the tool ${tool} with ${shown}`)
}

const escape = (character: string): string =>
  Array.from(
    { length: character.length },
    (_, index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, "0")}`
  ).join("")

const answerTo = (approval: Approval.Approval, isApproved: boolean): Approval.Answer =>
  isApproved ? Approval.approve(approval) : Approval.deny(approval, "A person has denied the call")

const tooLong = (approval: Approval.Approval): Approval.Answer =>
  Approval.deny(approval, "The parameters are too long to be shown to a person")

/**
 * Asks in the middle of the request, one approval after the other. What is no clear yes is a no. Returns nothing for a
 * protocol that has no sessions.
 *
 * @category asking
 * @since 0.1.0
 */
export const askNow = (
  agent: string,
  approvals: ReadonlyArray<Approval.Approval>
): Effect.Effect<ReadonlyArray<Approval.Answer> | undefined> =>
  Effect.contextWith((context: Context.Context<never>) => {
    const client = Context.getOption(context, McpSchema.McpServerClient)
    if (Option.isNone(client)) return Effect.undefined
    return Effect.forEach(approvals, (approval) => {
      const message = messageOf(agent, approval)
      if (message === undefined) return Effect.succeed(tooLong(approval))
      // a person who closes the form interrupts the effect
      return McpServer.elicit({ message, schema: Form }).pipe(
        Effect.provideService(McpSchema.McpServerClient, client.value),
        Effect.exit,
        Effect.map((exit) => answerTo(approval, Exit.isSuccess(exit) && exit.value.approve))
      )
    })
  })

/**
 * Returns whether there is an approval that a person can be shown.
 *
 * @category guards
 * @since 0.1.0
 */
export const isAskable = (agent: string, approvals: ReadonlyArray<Approval.Approval>): boolean =>
  approvals.some((approval) => messageOf(agent, approval) !== undefined)

/**
 * What a client is asked for, and what it has to send back.
 *
 * @category asking
 * @since 0.1.0
 */
export const askLater = (
  agent: string,
  approvals: ReadonlyArray<Approval.Approval>,
  requestState: string
): McpSchema.InputRequired => {
  const { schema } = Schema.toJsonSchemaDocument(Form)
  const inputRequests = approvals.flatMap((approval, index) => {
    const message = messageOf(agent, approval)
    if (message === undefined) return []
    const params = { mode: "form", message, requestedSchema: schema }
    return [[keyOf(index), { method: "elicitation/create", params } as const] as const]
  })
  return new McpSchema.InputRequired({ inputRequests: Object.fromEntries(inputRequests), requestState })
}

/**
 * Returns the answers of a client that was asked. What is no clear yes is a no.
 *
 * @category asking
 * @since 0.1.0
 */
export const answersOf = (
  agent: string,
  approvals: ReadonlyArray<Approval.Approval>,
  responses: Request["inputResponses"]
): ReadonlyArray<Approval.Answer> =>
  approvals.map((approval, index) => {
    if (messageOf(agent, approval) === undefined) return tooLong(approval)
    const response = responses !== undefined && Object.hasOwn(responses, keyOf(index)) ? responses[keyOf(index)] : {}
    return answerTo(approval, isYes(response))
  })

const keyOf = (index: number): string => `approval-${index + 1}`

const isYes = Schema.is(Schema.Struct({
  action: Schema.Literal("accept"),
  content: Schema.Struct({ approve: Schema.Literal(true) })
}))

// -----------------------------------------------------------------------------
// What waits for a client
// -----------------------------------------------------------------------------

/**
 * A run that waits for a client to come back.
 *
 * @category models
 * @since 0.1.0
 */
export interface Waiting {
  readonly owner: string | undefined
  readonly result: AgentRun.Result
  readonly rounds: number
}

const maximumWaiting = 1000
const keptFor = 60 * 60 * 1000

/**
 * The runs that wait for their clients, in this process. A client holds a random id and nothing else. A run waits for
 * an hour, and the oldest ones make room for others.
 *
 * @category models
 * @since 0.1.0
 */
export class WaitingRuns {
  private readonly runs = new Map<string, Waiting & { readonly until: number }>()

  /** Keeps a run, and returns the id that the client has to send back. */
  keep(waiting: Waiting): Effect.Effect<string> {
    return Effect.map(Clock.currentTimeMillis, (now) => {
      for (const [id, { until }] of this.runs) {
        if (until > now && this.runs.size < maximumWaiting) break
        this.runs.delete(id)
      }
      const id = SecureRandom.uuidV4Unsafe()
      this.runs.set(id, { ...waiting, until: now + keptFor })
      return id
    })
  }

  /** Returns the run, which then waits no more. Somebody else's run does not exist. */
  take(id: string, owner: string | undefined): Effect.Effect<Waiting | undefined> {
    return Effect.map(Clock.currentTimeMillis, (now) => {
      const waiting = this.runs.get(id)
      if (waiting === undefined || waiting.owner !== owner) return undefined
      this.runs.delete(id)
      return waiting.until > now ? waiting : undefined
    })
  }
}
