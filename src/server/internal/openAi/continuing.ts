/**
 * Responses as runs: new conversations, and those that go on.
 *
 * @since 0.1.0
 */

import * as Prompt from "effect/ai/Prompt"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Agent from "../../../Agent.ts"
import type * as Approval from "../../../Approval.ts"
import * as Session from "../../../Session.ts"
import * as Steering from "../../../Steering.ts"
import type * as AgentApi from "../../AgentApi.ts"
import * as ClientTools from "../../ClientTools.ts"
import type * as RunHub from "../../RunHub.ts"
import type * as OwnedRuns from "../ownedRuns.ts"
import * as Conversation from "./conversation.ts"
import * as Failures from "./failures.ts"
import * as Instructing from "./instructing.ts"
import * as Kept from "./kept.ts"
import type * as ResponseParts from "./responseParts.ts"
import * as ResponseRequest from "./responseRequest.ts"
import type * as Served from "./served.ts"
import type * as Tools from "./tools.ts"
import * as Unapproved from "./unapproved.ts"
import * as Words from "./words.ts"

/**
 * A run that has begun for a response.
 *
 * @category models
 * @since 0.1.0
 */
export interface Started {
  readonly run: OwnedRuns.OwnedRun
  readonly previous: string | undefined
  readonly earlier: ReadonlyMap<string, ResponseParts.EarlierCall>
}

/**
 * Starts the run of a request.
 *
 * @category running
 * @since 0.1.0
 */
export const start = <R, Request>(
  served: Served.Served<R, Request>,
  owner: string,
  request: ResponseRequest.ResponseRequest,
  equipped: Tools.Equipped<R>,
  options: RunHub.StartOptions
): Effect.Effect<Started, Failures.Failure, Request | Scope.Scope> =>
  Effect.gen(function*() {
    const { items, reference } = ResponseRequest.newItems(request.input)
    const previous = request.previous_response_id ??
      (reference === undefined ? undefined : ResponseRequest.responseOf(reference.id))
    if (previous === undefined && reference !== undefined) return yield* Effect.fail(unknownItem(reference))
    const before = previous === undefined ? undefined : yield* find(served, owner, previous)
    const isKept = request.store !== false
    const own = yield* Kept.token
    const instruct = (instructions: ReadonlyArray<string>) =>
      Instructing.withInstructions(served, equipped.agent, [request.instructions ?? "", ...instructions])
    const { model } = request
    const told = { previous, earlier: new Map<string, ResponseParts.EarlierCall>() }

    if (!isKept) {
      const { instructions, messages } = yield* conversationOf(items, equipped, before !== undefined)
      const history = before === undefined ? [] : Session.close(before.session.history.content)
      const agent = instruct(instructions)
      const runId = Kept.toText({ conversation: yield* Kept.token, own })
      const run = yield* served.runs.start(
        served.approvals === "deny" ? Unapproved.denying(agent, Words.isAnswerable) : agent,
        owner,
        { prompt: Prompt.fromMessages([...history, ...messages]), runId },
        options
      ).pipe(Effect.mapError(Failures.ofRun))
      return { ...told, run }
    }

    const answers = items.filter(([item]) => isAnswer(item))
    if (before === undefined || answers.length === 0) {
      const { instructions, messages } = yield* conversationOf(items, equipped, before !== undefined)
      const place = yield* placeAfter(served, owner, before)
      const runId = Kept.toText({ conversation: place.conversation, own })
      const agent = Agent.withProvider(
        instruct(instructions),
        Kept.provider({ id: own, model, base: place.base }, before?.id.own)
      )
      const input = { prompt: Prompt.fromMessages(messages), session: Kept.sessionOf(place.conversation), runId }
      const run = yield* Effect.mapError(served.runs.start(agent, owner, input, options), Failures.ofRun)
      return { ...told, run }
    }

    if (before.place !== "last") return yield* Effect.fail(goneOn)
    // another agent may have a tool of this name
    if (before.model !== model) return yield* Effect.fail(otherAgent(before.model))
    const { approvals, history, version } = before.session
    const given = yield* Effect.fromResult(toAnswers(before.id, approvals, answers))
    const { instructions, messages } = yield* conversationOf(items.filter(([item]) => !isAnswer(item)), equipped, true)
    const steering = yield* Steering.make
    // what else the client says comes after the results
    for (const message of messages) if (message.role === "user") yield* steering.send(message)
    const agent = Agent.withProvider(
      instruct(instructions),
      Kept.provider({ id: own, model, base: version }, before.id.own)
    )
    const runId = Kept.toText({ conversation: before.id.conversation, own })
    const run = yield* served.runs.answer(
      agent,
      owner,
      Kept.sessionOf(before.id.conversation),
      given,
      { runId, steering },
      options
    ).pipe(Effect.mapError((failure) => Failures.ofRun(failure)))
    return { run, previous, earlier: earlierCalls(before.id, history, approvals) }
  })

/** A response that the owner has, and its conversation. */
interface Before extends Kept.Found {
  readonly id: Kept.Id
  readonly session: OwnedRuns.OwnedSession
}

const find = <R, Request>(
  { runs }: Served.Served<R, Request>,
  owner: string,
  previous: string
): Effect.Effect<Before, Failures.Failure> =>
  Effect.gen(function*() {
    const id = Kept.fromText(previous)
    if (id === undefined) return yield* Effect.fail(unknownPrevious(previous))
    const session = yield* Effect.mapError(runs.session(owner, Kept.sessionOf(id.conversation)), Failures.ofRun)
    const found = Kept.find(session.state, id.own)
    if (found !== undefined) return { ...found, id, session }
    return yield* Effect.fail(session.running?.live.runId === previous ? stillRunning : unknownPrevious(previous))
  })

/** Where a response without answers goes on: in its conversation, or in a copy of what that was. */
const placeAfter = <R, Request>(
  { runs }: Served.Served<R, Request>,
  owner: string,
  before: Before | undefined
): Effect.Effect<{ readonly conversation: string; readonly base: number }, Failures.Failure> =>
  Effect.gen(function*() {
    if (before === undefined) return { conversation: yield* Kept.token, base: 0 }
    const { id: { conversation }, place, session } = before
    if (place === "last") return { conversation, base: session.version }
    const to = yield* Kept.token
    yield* Effect.mapError(
      runs.fork(owner, Kept.sessionOf(conversation), { to: Kept.sessionOf(to), version: place }),
      Failures.ofRun
    )
    return { conversation: to, base: place }
  })

/** A conversation that is kept has what was said in it. A client adds what its user says. */
const conversationOf = <R>(
  items: ResponseRequest.New["items"],
  { isClientTool }: Tools.Equipped<R>,
  goesOn: boolean
): Effect.Effect<Conversation.Conversation, Failures.Failure> =>
  Effect.gen(function*() {
    // the calls are in the conversation, whatever the client says about them
    const news = goesOn ? items.filter(([{ type }]) => type !== "function_call") : items
    const said = yield* Effect.fromResult(ResponseRequest.toSaid(news))
    const forged = goesOn ? said.find(({ kind }) => kind !== "user" && kind !== "instructions") : undefined
    if (forged !== undefined) {
      return yield* Effect.fail(Failures.refused(onlyNew, { param: forged.param, code: "invalid_value" }))
    }
    return yield* Effect.fromResult(Conversation.make(said, isClientTool))
  })

const onlyNew =
  "With 'previous_response_id', the input has only what is new: messages of the user, outputs and approvals."

type Answer = Extract<
  ResponseRequest.New["items"][number][0],
  { readonly type: "function_call_output" | "mcp_approval_response" }
>

const isAnswer = (item: ResponseRequest.New["items"][number][0]): item is Answer =>
  item.type === "function_call_output" || item.type === "mcp_approval_response"

const toAnswers = (
  id: Kept.Id,
  approvals: ReadonlyArray<Approval.Approval>,
  items: ResponseRequest.New["items"]
): Result.Result<ReadonlyArray<AgentApi.Answer>, Failures.Failure> => {
  const returned: Array<ClientTools.Returned> = []
  const answers = new Map<string, AgentApi.Answer>()
  for (const [item, param] of items) {
    if (item.type === "function_call_output") {
      returned.push({ id: item.call_id, result: Words.toResult(ResponseRequest.textOf(item.output)) })
    } else if (item.type === "mcp_approval_response") {
      const approval = approvals.find((_, index) => Words.toApprovalItem(id, index) === item.approval_request_id)
      if (approval === undefined || Words.isOfClient(approval)) {
        return Result.fail(ResponseRequest.unknownApproval(item.approval_request_id, param))
      }
      const { approvalId } = approval
      if (answers.has(approvalId)) {
        return Result.fail(
          Failures.refused("The approval has two answers.", { status: 409, param, code: "approval_answered" })
        )
      }
      answers.set(approvalId, { approvalId, approved: item.approve, reason: item.reason ?? undefined })
    }
  }
  return Result.mapBoth(ClientTools.answersTo(approvals, returned), {
    onFailure: (failure) => Failures.ofRun(failure, "input"),
    onSuccess: (results) => [...answers.values(), ...results]
  })
}

/** The calls that were made, with the approvals that they waited for. */
const earlierCalls = (
  id: Kept.Id,
  history: Prompt.Prompt,
  approvals: ReadonlyArray<Approval.Approval>
): ReadonlyMap<string, ResponseParts.EarlierCall> => {
  const calls = new Map<string, ResponseParts.EarlierCall>()
  for (const message of history.content) {
    if (message.role !== "assistant") continue
    for (const part of message.content) {
      if (part.type === "tool-call") calls.set(part.id, { name: part.name, params: part.params })
      if (part.type !== "tool-approval-request") continue
      const index = approvals.findIndex(({ approvalId }) => approvalId === part.approvalId)
      const call = calls.get(part.toolCallId)
      if (index === -1 || call === undefined) continue
      const isOfClient = Words.isOfClient(approvals[index]!)
      calls.set(part.toolCallId, { ...call, approvalId: Words.toApprovalItem(id, index), isOfClient })
    }
  }
  return calls
}

const unknownItem = ({ id, param }: { readonly id: string; readonly param: string }): Failures.Failure =>
  Failures.refused(`Item with id '${Failures.shorten(id)}' not found.`, { status: 404, param })

const unknownPrevious = (id: string): Failures.Failure =>
  Failures.refused(`Previous response with id '${Failures.shorten(id)}' not found.`, {
    param: "previous_response_id",
    code: "previous_response_not_found"
  })

const stillRunning: Failures.Failure = {
  ...Failures.refused("The previous response is still in progress.", {
    status: 409,
    param: "previous_response_id",
    code: "response_in_progress"
  }),
  retryable: true
}

const otherAgent = (model: string): Failures.Failure =>
  Failures.refused(`The calls that wait are calls of the model \`${Failures.shorten(model)}\`.`, {
    param: "model",
    code: "invalid_value"
  })

const goneOn = Failures.refused(
  "The conversation has gone on since this response: nothing waits for an answer there.",
  {
    status: 409,
    param: "previous_response_id",
    code: "approval_expired"
  }
)
