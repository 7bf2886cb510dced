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
import * as Stored from "./stored.ts"
import type * as Served from "./served.ts"
import type * as Tools from "./tools.ts"
import * as Unapproved from "../unapproved.ts"
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
  options: RunHub.StartOptions,
  created: number
): Effect.Effect<Started, Failures.Failure, Request | Scope.Scope> =>
  Effect.gen(function*() {
    const { items, reference } = ResponseRequest.newItems(request.input)
    const previous = request.previous_response_id ??
      (reference === undefined ? undefined : ResponseRequest.responseOf(reference.id))
    if (previous === undefined && reference !== undefined) return yield* Effect.fail(unknownItem(reference))
    const before = previous === undefined ? undefined : yield* find(served, owner, previous)
    const own = yield* Kept.token
    const asked = { served, owner, request, equipped, options, items, own, created, previous }
    const isAnswering = before !== undefined && items.some(([item]) => isAnswer(item))
    if (request.store === false) {
      if (isAnswering) return yield* Effect.fail(unkeptAnswer)
      return { previous, earlier: new Map(), run: yield* unkept(asked, before) }
    }
    if (isAnswering) {
      const { id, session: { approvals, history } } = before
      const earlier = Stored.earlierCalls(id, history.content, approvals)
      return { previous, earlier, run: yield* answering(asked, before) }
    }
    return { previous, earlier: new Map(), run: yield* next(asked, before) }
  })

/** A request, and the part of the id that its response has. */
interface Asked<R, Request> {
  readonly served: Served.Served<R, Request>
  readonly owner: string
  readonly request: ResponseRequest.ResponseRequest
  readonly equipped: Tools.Equipped<R>
  readonly options: RunHub.StartOptions
  readonly items: ResponseRequest.New["items"]
  readonly own: string
  readonly created: number
  readonly previous: string | undefined
}

type Run<Request> = Effect.Effect<OwnedRuns.OwnedRun, Failures.Failure, Request | Scope.Scope>

/** The response as its conversation keeps it. */
const keptOf = <R, Request>(
  { created, own, previous, request: { metadata, model } }: Asked<R, Request>,
  base: number,
  { history }: Pick<OwnedRuns.OwnedSession, "history">
): Kept.Kept => ({
  id: own,
  model,
  base,
  from: history.content.length,
  created,
  ...previous !== undefined && { previous },
  ...metadata != null && { metadata }
})

/** A run that nothing is kept of. It sees the conversation before, if there is one. */
const unkept = <R, Request>(asked: Asked<R, Request>, before: Before | undefined): Run<Request> =>
  Effect.gen(function*() {
    const { items, options, own, owner, served } = asked
    const { instructions, messages } = yield* conversationOf(asked, items, before !== undefined)
    const history = before === undefined ? [] : Session.close(before.session.history.content)
    const agent = instructed(asked, instructions)
    const run = served.runs.start(
      served.approvals === "deny" ? Unapproved.denying(agent, Words.isAnswerable) : agent,
      owner,
      {
        prompt: Prompt.fromMessages([...history, ...messages]),
        runId: Kept.toText({ conversation: yield* Kept.token, own })
      },
      options
    )
    return yield* Effect.mapError(run, Failures.ofRun)
  })

/** A run that begins a conversation, or goes on with one: where it is, or with a copy of what it was. */
const next = <R, Request>(asked: Asked<R, Request>, before: Before | undefined): Run<Request> =>
  Effect.gen(function*() {
    const { items, options, own, owner, served: { runs } } = asked
    const { instructions, messages } = yield* conversationOf(asked, items, before !== undefined)
    const place = before?.place ?? "last"
    const conversation = before === undefined || place !== "last" ? yield* Kept.token : before.id.conversation
    const session = Kept.sessionOf(conversation)
    if (before !== undefined && place !== "last") {
      const copied = runs.fork(owner, Kept.sessionOf(before.id.conversation), { to: session, version: place })
      yield* Effect.mapError(copied, Failures.ofRun)
    }
    const base = place === "last" ? before?.session.version ?? 0 : place
    const known = place === "last"
      ? before?.session
      : yield* Effect.mapError(runs.session(owner, session), Failures.ofRun)
    const kept = keptOf(asked, base, known ?? { history: Prompt.empty })
    const run = runs.start(
      Agent.withProvider(instructed(asked, instructions), Kept.provider(kept, before?.id.own)),
      owner,
      { prompt: Prompt.fromMessages(messages), session, runId: Kept.toText({ conversation, own }) },
      options
    )
    // nobody knows the copy
    const begun = place === "last" ? run : Effect.onError(run, () => Effect.ignore(runs.forget(owner, session)))
    return yield* Effect.mapError(begun, Failures.ofRun)
  })

/** A run that goes on with answers to what the conversation waits for. */
const answering = <R, Request>(asked: Asked<R, Request>, before: Before): Run<Request> =>
  Effect.gen(function*() {
    const { items, options, own, owner, request: { model }, served } = asked
    const { id, place, session: { approvals, version } } = before
    if (place !== "last") return yield* Effect.fail(goneOn)
    // another agent may have a tool of this name
    if (before.model !== model) return yield* Effect.fail(otherAgent(before.model))
    const answers = yield* Effect.fromResult(toAnswers(id, approvals, items.filter(([item]) => isAnswer(item))))
    const { instructions, messages } = yield* conversationOf(asked, items.filter(([item]) => !isAnswer(item)), true)
    const steering = yield* Steering.make
    // what else the client says comes after the results
    for (const message of messages) if (message.role === "user") yield* steering.send(message)
    const run = served.runs.answer(
      Agent.withProvider(
        instructed(asked, instructions),
        Kept.provider(keptOf(asked, version, before.session), id.own)
      ),
      owner,
      Kept.sessionOf(id.conversation),
      answers,
      { runId: Kept.toText({ conversation: id.conversation, own }), steering },
      options
    )
    return yield* Effect.mapError(run, Failures.ofRun)
  })

const instructed = <R, Request>(
  { equipped, request, served }: Asked<R, Request>,
  instructions: ReadonlyArray<string>
): Agent.Agent<any, any, R, any, any> =>
  Instructing.withInstructions(served, equipped.agent, [request.instructions ?? "", ...instructions])

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

/** A conversation that is kept has what was said in it. A client adds what its user says. */
const conversationOf = <R, Request>(
  { equipped: { isClientTool } }: Asked<R, Request>,
  items: ResponseRequest.New["items"],
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

const unkeptAnswer = Failures.refused("An answer to what a stored response waits for has to be stored, too.", {
  param: "store",
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
