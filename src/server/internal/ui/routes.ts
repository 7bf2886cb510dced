/**
 * The requests of a page that talks to an agent.
 *
 * @since 0.1.0
 */

import type * as Tool from "effect/ai/Tool"
import * as Prompt from "effect/ai/Prompt"
import * as ByteSize from "effect/ByteSize"
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Agent from "../../../Agent.ts"
import * as AgentError from "../../../AgentError.ts"
import type * as Approval from "../../../Approval.ts"
import * as Waiting from "../../../internal/approval/waiting.ts"
import * as RunId from "../../../internal/words/runId.ts"
import * as AgentApi from "../../AgentApi.ts"
import * as ClientTools from "../../ClientTools.ts"
import type * as RunHub from "../../RunHub.ts"
import * as CrossSite from "../crossSite.ts"
import { failed } from "../failures.ts"
import * as OwnedRuns from "../ownedRuns.ts"
import * as Sse from "../sse.ts"
import * as History from "./history.ts"
import * as Marks from "./marks.ts"
import * as Request from "./request.ts"
import * as UiStream from "./stream.ts"
// the options are documented where the user reads them
import type * as UiMessages from "../../UiMessages.ts"
import type * as Wire from "./wire.ts"

/**
 * What is known about a run that a page has started. `question` is the message of the user, and `before` the number of
 * messages that the conversation has before it.
 */
interface Known {
  readonly before?: number | undefined
  readonly question?: Wire.Message | undefined
  readonly continues?: Wire.Message | undefined
  readonly answers?: ReadonlyArray<Approval.Answer> | undefined
}

/** `rewind` says whether the version before the message is not the last one. */
interface Place {
  readonly before: number
  readonly version: number
  readonly rewind: boolean
}

const defaultMaximum = ByteSize.fromInputUnsafe("20 MiB")

type Answered<R> = Effect.Effect<HttpServerResponse.HttpServerResponse, AgentApi.RunFailed, R>

/**
 * The routes of one agent.
 *
 * @category models
 * @since 0.1.0
 */
export class Routes<Tools extends Record<string, Tool.Any>, E, R, A, P, Request> {
  private readonly agent: Agent.Agent<Tools, E, R, A, P>
  private readonly options: UiMessages.Options<Context.Key<any, any>, E>
  private readonly runs: OwnedRuns.OwnedRuns<R, Request>
  private readonly maximum: ByteSize.ByteSize
  /** As long as the hub knows the run. */
  private readonly known = new WeakMap<RunHub.Live, Known>()

  constructor(
    agent: Agent.Agent<Tools, E, R, A, P>,
    options: UiMessages.Options<Context.Key<any, any>, E>,
    runs: OwnedRuns.OwnedRuns<R, Request>
  ) {
    this.agent = agent
    this.options = options
    this.runs = runs
    const { maximumBody } = options
    this.maximum = maximumBody === undefined ? defaultMaximum : ByteSize.fromInputUnsafe(maximumBody)
  }

  readonly all = [
    HttpRouter.route("POST", "/", this.told(() => this.send)),
    HttpRouter.route("GET", "/:chat/stream", this.told(() => this.join)),
    HttpRouter.route("POST", "/:chat/stop", this.told(() => this.stop)),
    HttpRouter.route("GET", "/:chat/messages", this.told(() => this.messages)),
    HttpRouter.route("DELETE", "/:chat", this.told(() => this.forget))
  ] as const

  private told<Asks>(
    answer: () => Answered<Asks>
  ): Effect.Effect<HttpServerResponse.HttpServerResponse, never, Asks | HttpServerRequest.HttpServerRequest> {
    const checked = Effect.flatMap(
      HttpServerRequest.HttpServerRequest,
      (request) => Effect.flatMap(CrossSite.check(request, crossSite, this.runs.trusted), answer)
    )
    return checked.pipe(
      Effect.catch(({ code, message, retryable, status }) =>
        Effect.succeed(HttpServerResponse.jsonUnsafe({ code, message, retryable }, { status }))
      )
    )
  }

  private readonly send = Effect.gen({ self: this }, function*() {
    const { id: owner } = yield* AgentApi.Owner
    const request = yield* Request.read(this.maximum)
    return yield* request._tag === "Prompt" ? this.prompt(owner, request) : this.answer(owner, request)
  })

  private prompt(
    owner: string,
    { chat, message, messageId, replaces }: Extract<Request.Request, { readonly _tag: "Prompt" }>
  ): Answered<Request | Scope.Scope> {
    return Effect.gen({ self: this }, function*() {
      const session = yield* this.runs.session(owner, chat)
      // nothing is stopped for a message that cannot be answered
      const from = yield* this.placeOf(session, messageId, replaces)
      const { before, rewind, version } = (yield* this.ready(session))
        ? yield* Effect.flatMap(this.runs.session(owner, chat), (session) => this.placeOf(session, messageId, replaces))
        : from
      const runId = yield* RunId.next
      const prompt = Marks.add(AgentApi.toUserMessage(message), {
        id: messageId,
        answer: runId,
        version,
        length: before
      })
      const input = { prompt: Prompt.fromMessages([prompt]), session: chat, runId }
      const run = yield* (rewind
        // no run may come in between, and so add to what the message replaces
        ? this.runs.start(this.agent, owner, input, { whenBusy: this.replacing, rewind: version })
        : this.runs.start(this.agent, owner, input))
      const question: Wire.Message = { id: messageId, role: "user", parts: History.userParts(prompt) }
      return this.respond(run, { question, before })
    })
  }

  private get replacing(): "refuse" | "replace" {
    return this.options.whenBusy === "replace" ? "replace" : "refuse"
  }

  /** Where a message of the user belongs: at the end, or at the place of the message that it replaces. */
  private placeOf(
    { history, version }: OwnedRuns.OwnedSession,
    messageId: string,
    replaces: boolean
  ): Effect.Effect<Place, AgentApi.RunFailed> {
    const index = History.indexOf(history, messageId)
    if (index === undefined) return Effect.succeed({ before: history.content.length, version, rewind: false })
    if (!replaces) return messageKnown
    const mark = Marks.of(history.content[index])
    // another run may have added messages between the mark and the message
    const isExact = mark !== undefined && mark.length <= index &&
      history.content.slice(mark.length, index).every(({ role }) => role === "tool")
    return isExact ? Effect.succeed({ before: mark.length, version: mark.version, rewind: true }) : notReplaceable
  }

  /**
   * Stops a run that the message replaces, and returns whether there was one. A run that everybody has left only waits for
   * its end, and does not keep the user from going on. What it saves at its end comes before the message.
   */
  private ready({ running }: OwnedRuns.OwnedSession): Effect.Effect<boolean, AgentApi.RunFailed> {
    return Effect.gen({ self: this }, function*() {
      yield* this.runs.open
      if (running === undefined) return false
      const { isLeft, stop } = running.live
      if (this.replacing === "refuse" && (this.options.whenLeft === "continue" || !(yield* isLeft))) return false
      yield* stop
      return true
    })
  }

  private answer(
    owner: string,
    request: Extract<Request.Request, { readonly _tag: "Answers" }>
  ): Answered<Request | Scope.Scope> {
    const { chat, messageId } = request
    return Effect.gen({ self: this }, function*() {
      const { approvals, history } = yield* this.runs.session(owner, chat)
      // the message of a page may still have answers that were given before, and has the outputs of the server
      const approved = request.answers.filter((answer) =>
        approvals.some(({ approvalId }) => approvalId === answer.approvalId)
      )
      const returned = ClientTools.waiting(approvals).flatMap(({ approvalId, path, toolCallId }) => {
        const output = request.outputs.get(path.length === 0 ? toolCallId : approvalId)
        return output === undefined ? [] : [{ ...output, id: approvalId }]
      })
      const given = [...approved, ...yield* Effect.fromResult(ClientTools.answersTo(approvals, returned))]
      if (given.length === 0) return yield* this.notWaiting(history, request.answers[0]?.approvalId)
      const answers = yield* OwnedRuns.answersTo(approvals, given)
      const continues = History.lastMessage(history)
      const input = { prompt: Prompt.empty, session: chat, answers }
      // an answer that is sent twice must not stop the call that it has approved
      const whenBusy = this.options.whenBusy === "start" ? "start" : "refuse"
      const run = yield* this.runs.start(this.agent, owner, input, { whenBusy })
      this.known.set(run.live, { continues, answers })
      const here = continues && { ...continues, id: messageId }
      return this.toResponse(UiStream.fromParts(partsOf(run), { continues: here, answers }))
    })
  }

  /** Why nobody waits for an answer, as the run would have said. */
  private notWaiting(history: Prompt.Prompt, approvalId: string | undefined): Effect.Effect<never, AgentApi.RunFailed> {
    if (approvalId === undefined) return callUnknown
    const problem = Waiting.statusOf(history.content, approvalId)
    const reason = new AgentError.ApprovalRejected({ approvalId, problem })
    const error = new AgentError.AgentError({ agent: this.agent.name, reason })
    return Effect.fail(AgentApi.describe(Cause.fail(error)))
  }

  private readonly join = Effect.gen({ self: this }, function*() {
    const { id: owner } = yield* AgentApi.Owner
    const { running } = yield* this.runs.session(owner, yield* chatOfPath)
    if (running === undefined || running.live.start.agent !== this.agent.name) {
      return HttpServerResponse.empty({ status: 204 })
    }
    return this.respond(running, this.known.get(running.live) ?? {})
  })

  private readonly stop = Effect.gen({ self: this }, function*() {
    const { id: owner } = yield* AgentApi.Owner
    yield* this.runs.stopSession(owner, yield* chatOfPath)
    return HttpServerResponse.empty({ status: 204 })
  })

  private readonly messages = Effect.gen({ self: this }, function*() {
    const { id: owner } = yield* AgentApi.Owner
    const { history, running } = yield* this.runs.session(owner, yield* chatOfPath)
    const { before, question } = (running && this.known.get(running.live)) ?? {}
    // most runs are saved when they end, and what they replace is there until then
    const isSaved = history.content.some((message) => Marks.of(message)?.answer === running?.live.runId)
    const messages = History.toMessages(isSaved ? history : Prompt.fromMessages(history.content.slice(0, before)))
    return HttpServerResponse.jsonUnsafe(
      question === undefined || messages.some(({ id }) => id === question.id) ? messages : [...messages, question]
    )
  })

  private readonly forget = Effect.gen({ self: this }, function*() {
    const { id: owner } = yield* AgentApi.Owner
    yield* this.runs.forget(owner, yield* chatOfPath, this.agent)
    return HttpServerResponse.empty({ status: 204 })
  })

  /** The whole message, for a page that has nothing of it. */
  private respond(run: OwnedRuns.OwnedRun, known: Known): HttpServerResponse.HttpServerResponse {
    this.known.set(run.live, known)
    const { answers, continues } = known
    const chunks = UiStream.fromParts(partsOf(run), { answers, continues })
    return this.toResponse(
      continues === undefined ? chunks : Stream.concat(Stream.fromIterable(History.toChunks(continues)), chunks)
    )
  }

  private toResponse(chunks: Stream.Stream<Wire.Chunk>): HttpServerResponse.HttpServerResponse {
    return Sse.response(Stream.concat(Sse.data(chunks), Stream.succeed("data: [DONE]\n\n")), {
      keepAlive: this.options.keepAlive,
      headers: { "x-vercel-ai-ui-message-stream": "v1" }
    })
  }
}

const partsOf = (run: OwnedRuns.OwnedRun) => Stream.map(run.parts(), ({ part }) => part)

const decodeChat = Schema.decodeUnknownEffect(AgentApi.SessionId)

const chatOfPath: Effect.Effect<string, AgentApi.RunFailed, HttpRouter.RouteContext> = Effect.flatMap(
  HttpRouter.params,
  ({ chat }) => Effect.mapError(decodeChat(chat), () => chatUnknown)
)

const crossSite = Effect.fail(new AgentApi.RunFailed(CrossSite.refusal))
const chatUnknown = failed("session-not-found", 404, false, "The conversation is not known.")
const callUnknown = Effect.fail(failed("call-unknown", 404, false, "No call waits for this result."))
const messageKnown = Effect.fail(
  failed("message-exists", 409, false, "The conversation has this message. It can be edited or answered again.")
)
const notReplaceable = Effect.fail(
  failed("message-not-replaceable", 409, false, "The conversation cannot be set back to this message.")
)
