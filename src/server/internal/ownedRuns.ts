/**
 * The runs of a hub as their owners reach them. All wires of this subpath start, find and stop runs here, so that a run
 * that one wire has started can be joined over another.
 *
 * @since 0.1.0
 */
import type * as Tool from "effect/ai/Tool"
import * as Prompt from "effect/ai/Prompt"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Agent from "../../Agent.ts"
import type * as AgentError from "../../AgentError.ts"
import * as AgentRun from "../../AgentRun.ts"
import * as Approval from "../../Approval.ts"
import * as Rewound from "../../internal/session/rewound.ts"
import { PartCodec } from "../../internal/wire/parts.ts"
import * as RunId from "../../internal/words/runId.ts"
import type * as Session from "../../Session.ts"
import * as SessionStore from "../../SessionStore.ts"
import * as AgentApi from "../AgentApi.ts"
import * as ClientTools from "../ClientTools.ts"
import * as RunHub from "../RunHub.ts"
import * as CrossSite from "./crossSite.ts"
import { Described } from "./described.ts"
import * as FailureDetails from "./failureDetails.ts"
import { failed } from "./failures.ts"
import * as Forgetting from "./forgetting.ts"
import * as Sessions from "./sessions.ts"

interface Options extends Omit<RunHub.StartOptions, "owner"> {
  /** Called for an expected failure of one of the agents. */
  readonly describe?: ((error: any) => AgentError.Description | undefined) | undefined
  /** Whether clients learn everything about failures. Default: `"public"`. */
  readonly failures?: Sessions.Failures | undefined
}

/**
 * The options of one run.
 *
 * - `keep`: how long its session is kept (`AgentApi.Keep`).
 * - `rewind`: the version of its session that the run goes on from. The versions after it are forgotten with the first
 *   save of the run, and not before.
 *
 * @category options
 * @since 0.1.0
 */
export interface StartOptions extends RunHub.StartOptions {
  readonly keep?: typeof AgentApi.Keep.Type | undefined
  readonly rewind?: number | undefined
}

/**
 * A run for its owner. `parts` shows the parts as the owner may see them (`Sessions.shown`); its failure is the one that
 * the owner may see. The stream of a run that was interrupted is interrupted.
 *
 * @category models
 * @since 0.1.0
 */
export interface OwnedRun {
  readonly live: RunHub.Live
  readonly parts: RunHub.Live<AgentRun.Part, Described>["parts"]
}

/**
 * The conversation of an owner. `running` is the run that works on it.
 *
 * @category models
 * @since 0.1.0
 */
export interface OwnedSession {
  readonly history: Prompt.Prompt
  readonly state: Session.State
  readonly version: number
  readonly approvals: ReadonlyArray<Approval.Approval>
  readonly running: OwnedRun | undefined
}

/**
 * Creates the runs of owners. Agents use the services of the layer that is built with them. `Request` are those that
 * each request brings; it may replace the others with its own, too.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <R, Request = never>(
  /** With `whenLeft` absent, a run that its last client leaves is stopped. */
  options: Options = {}
): Effect.Effect<OwnedRuns<R, Request>, never, Exclude<R, Request> | RunHub.RunHub | SessionStore.SessionStore> =>
  Effect.map(
    Effect.context<Exclude<R, Request> | RunHub.RunHub | SessionStore.SessionStore>(),
    // the scope of the layer would hold every run until the server ends
    (context) => new OwnedRuns(options, Context.omit(Scope.Scope)(context) as typeof context)
  )

/**
 * @category models
 * @since 0.1.0
 */
export class OwnedRuns<R, Request = never> {
  private readonly options: Options
  private readonly context: Context.Context<Exclude<R, Request> | RunHub.RunHub | SessionStore.SessionStore>
  private readonly hub: RunHub.RunHub["Service"]
  private readonly store: SessionStore.SessionStore["Service"]
  /** The origins that the layer of the wire was built with. */
  readonly trusted: ReadonlyArray<string>
  /** The runs that are beginning, by owner and id. */
  private readonly beginnings = new Map<string, Fiber.Fiber<unknown, unknown>>()

  constructor(
    options: Options,
    context: Context.Context<Exclude<R, Request> | RunHub.RunHub | SessionStore.SessionStore>
  ) {
    this.options = options
    this.context = context
    this.hub = Context.get(context, RunHub.RunHub)
    this.store = Context.get(context, SessionStore.SessionStore)
    this.trusted = Context.get(context, CrossSite.TrustedOrigins)
  }

  /**
   * Starts a run, whose session is one of the owner's. The scope counts as a reader until it closes, because a client
   * that leaves before the response begins has left too. An interrupt before the first part ends the run.
   */
  start<Tools extends Record<string, Tool.Any>, E, A, P>(
    agent: Agent.Agent<Tools, E, R, A, P>,
    owner: string,
    given: Agent.Input,
    options: StartOptions = {}
  ): Effect.Effect<OwnedRun, AgentApi.RunFailed, Request | Scope.Scope> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.gen({ self: this }, function*() {
        const runId = given.runId ?? (yield* RunId.next)
        const session = given.session === undefined ? undefined : Sessions.prefixOf(owner) + given.session
        const { keep, rewind, ...own } = options
        const started = keep === "waiting" && session !== undefined
          ? Forgetting.afterRun(agent, session, this.store, this.hub)
          : agent
        const starting = this.hub.start(started, { ...given, runId, session }, {
          ...this.options,
          ...own,
          whenLeft: own.whenLeft ?? this.options.whenLeft ?? "stop",
          owner
        }).pipe(
          Effect.updateContext((request: Context.Context<Request>) =>
            // what the layer does not have, the request has
            this.rewound(Context.merge(this.context, request), session, rewind) as Context.Context<R>
          )
        )
        // a run that begins has its own fiber, so that stopping it leaves the request alive to answer
        const beginning = yield* Effect.forkChild(starting, { startImmediately: true })
        const key = Sessions.prefixOf(owner) + runId
        if (!this.beginnings.has(key)) this.beginnings.set(key, beginning)
        const begun = Effect.onInterrupt(restore(Fiber.join(beginning)), () =>
          Effect.andThen(
            Fiber.interrupt(beginning),
            Effect.suspend(() => {
              // a run that has begun all the same has lost its first reader
              const exit = beginning.pollUnsafe()
              return exit !== undefined && Exit.isSuccess(exit) ? Effect.scoped(exit.value.hold) : Effect.void
            })
          ))
        const live = yield* this.told(begun).pipe(
          Effect.ensuring(Effect.sync(() => {
            if (this.beginnings.get(key) === beginning) {
              this.beginnings.delete(key)
            }
          }))
        )
        yield* live.hold
        return this.shownTo(owner, live)
      })
    )
  }

  private rewound<S>(
    context: Context.Context<S>,
    session: string | undefined,
    version: number | undefined
  ): Context.Context<S> {
    if (session === undefined || version === undefined) return context
    const rewind = { session, version }
    return Context.mergeAll(
      context,
      Context.make(SessionStore.SessionStore, Rewound.wrap(this.store, rewind)),
      Context.make(Rewound.Current, rewind)
    )
  }

  /** Starts a run that continues a session with answers, each found by the id of an approval that the session waits for. */
  answer<Tools extends Record<string, Tool.Any>, E, A, P>(
    agent: Agent.Agent<Tools, E, R, A, P>,
    owner: string,
    session: string,
    answers: ReadonlyArray<AgentApi.Answer>,
    input?: Partial<Agent.Input>,
    options?: StartOptions
  ): Effect.Effect<OwnedRun, AgentApi.RunFailed, Request | Scope.Scope> {
    return Effect.gen({ self: this }, function*() {
      const { approvals } = yield* this.session(owner, session)
      const answering = yield* answersTo(approvals, answers)
      yield* checkParams(agent, answering)
      const given = { prompt: Prompt.empty, ...input, session, answers: answering }
      // an answer that is sent twice must not stop the call that it has approved
      const { whenBusy } = this.options
      const careful = whenBusy === "replace" ? { whenBusy: "refuse" as const } : undefined
      return yield* this.start(agent, owner, given, { ...options, ...careful })
    })
  }

  /** Returns a run of the owner that the hub has not forgotten. With `agent`, a run of another agent does not exist. */
  find(owner: string, runId: string, agent?: string): Effect.Effect<OwnedRun, AgentApi.RunFailed> {
    return Effect.flatMap(
      this.hub.get(runId),
      (live) =>
        live === undefined || live.owner !== owner || agent !== undefined && live.start.agent !== agent
          ? runUnknown
          : Effect.succeed(this.shownTo(owner, live))
    )
  }

  /** Interrupts a run of the owner, also one that is beginning, and returns when it has ended. */
  stop(owner: string, runId: string, agent?: string): Effect.Effect<void, AgentApi.RunFailed> {
    return Effect.gen({ self: this }, function*() {
      const beginning = this.beginnings.get(Sessions.prefixOf(owner) + runId)
      if (beginning !== undefined) yield* Fiber.interrupt(beginning)
      const found = yield* Effect.result(this.find(owner, runId, agent))
      if (Result.isSuccess(found)) return yield* found.success.live.stop
      if (beginning === undefined) return yield* found.failure
    })
  }

  /** Sends a message to a run that works. */
  steer(
    owner: string,
    runId: string,
    message: AgentApi.Message,
    agent?: string
  ): Effect.Effect<void, AgentApi.RunFailed> {
    return Effect.gen({ self: this }, function*() {
      const { live } = yield* this.find(owner, runId, agent)
      if (!(yield* this.isRunning(live))) return yield* runEnded
      if ((yield* live.steering.unread).length >= AgentApi.maximumUnread) return yield* tooManyMessages
      yield* live.steering.send(AgentApi.toUserMessage(message))
    })
  }

  /** Returns a session of the owner. One that was never saved has version 0. */
  session(owner: string, id: string): Effect.Effect<OwnedSession, AgentApi.RunFailed> {
    return Effect.gen({ self: this }, function*() {
      const session = Sessions.prefixOf(owner) + id
      const { history, state, version } = yield* this.told(this.store.load(session))
      const live = yield* this.hub.ofSession(session)
      const running = live !== undefined && (yield* this.isRunning(live)) ? this.shownTo(owner, live) : undefined
      return { history, state, version, approvals: Approval.pending(history), running }
    })
  }

  /** Interrupts the runs that work on a session of the owner, also those that are beginning. */
  stopSession(owner: string, id: string): Effect.Effect<void> {
    return this.hub.stopSession(Sessions.prefixOf(owner) + id)
  }

  /** Fails if no run is started any more. A request that stops one run for another asks this before. */
  readonly open: Effect.Effect<void, AgentApi.RunFailed> = Effect.suspend(() =>
    Effect.flatMap(this.hub.isClosing, (isClosing) => isClosing ? unavailable : Effect.void)
  )

  /** Creates another session of the owner from what a session was at a version. One that was never saved does not exist. */
  fork(owner: string, id: string, options: SessionStore.ForkOptions): Effect.Effect<void, AgentApi.RunFailed> {
    const prefix = Sessions.prefixOf(owner)
    return Effect.asVoid(Effect.andThen(
      this.saved(owner, id),
      this.told(this.store.fork(prefix + id, { ...options, to: prefix + options.to }))
    ))
  }

  /** Gives a session of the owner a title. A run that works on it keeps its turn, so there must be none. */
  rename(owner: string, id: string, title: string): Effect.Effect<void, AgentApi.RunFailed> {
    const turn = this.told(this.store.serialize(Sessions.prefixOf(owner) + id, { whenHeld: "reject" }))
    const renamed = Effect.flatMap(
      this.saved(owner, id),
      (session) => this.told(this.store.save(session, { append: [], title }))
    )
    return Effect.asVoid(Effect.scoped(Effect.andThen(turn, renamed)))
  }

  private saved(owner: string, id: string): Effect.Effect<Session.Session, AgentApi.RunFailed> {
    return Effect.filterOrElse(
      this.told(this.store.load(Sessions.prefixOf(owner) + id)),
      ({ version }) => version > 0,
      () => sessionUnknown
    )
  }

  /** Saves entries of the state of a session of the owner. The other entries stay. */
  setState(owner: string, id: string, state: Session.State): Effect.Effect<void, AgentApi.RunFailed> {
    const saved = Effect.flatMap(
      this.store.load(Sessions.prefixOf(owner) + id),
      (session) => this.store.save(session, { append: [], state })
    )
    return Effect.asVoid(this.told(saved))
  }

  /** Returns a session of the owner as a client sees it. One that was never saved and has no run does not exist. */
  view(owner: string, id: string): Effect.Effect<AgentApi.SessionView, AgentApi.RunFailed> {
    return Effect.flatMap(
      this.session(owner, id),
      ({ approvals, history, running, version }) =>
        version === 0 && running === undefined
          ? sessionUnknown
          : Effect.succeed({
            id,
            version,
            messages: Sessions.shownMessages(history.content),
            approvals,
            runId: running?.live.runId
          })
    )
  }

  /**
   * Returns a page of the sessions that the owner has, those that were saved last first. A session that was never saved
   * is in no list.
   */
  sessions(
    owner: string,
    { cursor, limit, search }: AgentApi.SessionQuery
  ): Effect.Effect<AgentApi.SessionPage, AgentApi.RunFailed> {
    return Effect.gen({ self: this }, function*() {
      const prefix = Sessions.prefixOf(owner)
      const wanted = search?.trim().toLowerCase() ?? ""
      // a store of somebody else may know no prefixes
      const isFound = ({ id, title = "" }: SessionStore.Summary) =>
        id.startsWith(prefix) && (wanted === "" || title.toLowerCase().includes(wanted))
      let page: SessionStore.Page = { sessions: [], next: cursor }
      let found: ReadonlyArray<SessionStore.Summary> = []
      let read = 0
      do {
        page = yield* this.told(this.store.list({ prefix, cursor: page.next, pageSize: limit }))
        found = page.sessions.filter(isFound)
      } while (wanted !== "" && found.length === 0 && page.next !== undefined && ++read < mostPages)
      const running = new Map((yield* this.hub.running).map(({ runId, start }) => [start.session, runId]))
      return {
        sessions: found.map((summary) => ({
          ...summary,
          id: summary.id.slice(prefix.length),
          runId: running.get(summary.id)
        })),
        next: page.next
      }
    })
  }

  /**
   * Deletes a session of the owner, also for the agents behind its tools. The runs that work on it are stopped first,
   * because they would still save it.
   */
  forget(owner: string, id: string, agent?: Agent.Any): Effect.Effect<void, AgentApi.RunFailed> {
    const session = Sessions.prefixOf(owner) + id
    return Effect.andThen(this.hub.stopSession(session), this.told(Forgetting.remove(this.store, session, agent)))
  }

  private shownTo(owner: string, live: RunHub.Live): OwnedRun {
    const prefix = Sessions.prefixOf(owner)
    return {
      live,
      parts: (options) =>
        live.parts(options).pipe(
          Stream.map(({ part, seq }) => ({ seq, part: Sessions.shown(part, prefix, this.options.failures) })),
          Stream.catchCause((cause) =>
            Stream.failCause(
              Cause.hasInterruptsOnly(cause) ? Cause.interrupt() : Cause.fail(new Described(this.describe(cause)))
            )
          )
        )
    }
  }

  /** The failure that a client receives. An interrupt of the run is one, too; an interrupt of the request reaches nobody. */
  private told<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, AgentApi.RunFailed, R> {
    return Effect.catchCause(self, (cause) => Effect.fail(refusedBy(cause) ?? this.describe(cause)))
  }

  private describe(cause: Cause.Cause<unknown>): AgentApi.RunFailed {
    const described = this.publicOf(cause)
    if (this.options.failures !== "detailed") return described
    const { code, message, retryable, status } = described
    return new AgentApi.RunFailed({ code, message, retryable, status, details: FailureDetails.ofCause(cause) })
  }

  private publicOf(cause: Cause.Cause<unknown>): AgentApi.RunFailed {
    const failure = Cause.hasDies(cause) ? undefined : cause.reasons.find(Cause.isFailReason)
    const own = failure === undefined ? undefined : this.options.describe?.(failure.error)
    if (own === undefined) return ClientTools.refusalOf(cause) ?? AgentApi.describe(cause)
    return new AgentApi.RunFailed({ ...own, status: AgentApi.statuses.includes(own.status) ? own.status : 500 })
  }

  isRunning(live: RunHub.Live): Effect.Effect<boolean> {
    return Effect.map(this.hub.running, (running) => running.includes(live))
  }
}

/** How many pages are searched for one request. */
const mostPages = 20

const refusedBy = (cause: Cause.Cause<unknown>): AgentApi.RunFailed | undefined => {
  const [reason] = cause.reasons
  if (reason === undefined || !Cause.isFailReason(reason) || !(reason.error instanceof RunHub.RunRefused)) {
    return undefined
  }
  switch (reason.error.problem) {
    case "closing":
      return unavailable
    case "run-exists":
      return failed("run-exists", 409, false, "There is a run with this id.")
    case "session-busy":
      return failed("session-in-use", 409, true, "Another run works on the conversation.")
  }
}

const unavailable = failed("unavailable", 503, true, "The agent is not available now.")
const runUnknown = Effect.fail(failed("run-unknown", 404, false, "The run is not known, or it ended a while ago."))
const sessionUnknown = Effect.fail(failed("session-not-found", 404, false, "The conversation is not known."))
const runEnded = Effect.fail(failed("run-ended", 409, false, "The run has ended."))
const tooManyMessages = Effect.fail(
  failed("too-many-messages", 429, true, "The run has not read the messages before this one yet.")
)
const approvalUnknown = Effect.fail(failed("approval-unknown", 404, false, "Nobody asked for this approval."))

/** Edited parameters have to be those of the tool, as far as the tool is known before the run. */
const checkParams = (
  agent: Agent.Any,
  answers: ReadonlyArray<Approval.Answer>
): Effect.Effect<void, AgentApi.RunFailed> => {
  const codec = new PartCodec(Agent.tools(agent) as Readonly<Record<string, Tool.Any>> | undefined)
  return Effect.forEach(answers, (answer) => {
    const { path, runsIn, tool: name } = answer.approval
    const params = answer._tag === "Approve" && runsIn === undefined ? answer.params : undefined
    const tool = params === undefined ? undefined : codec.toolOf(path, name)
    if (tool === undefined) return Effect.void
    const decoded = AgentRun.decodeParams(tool, { name, params }) as Effect.Effect<unknown, Schema.SchemaError>
    return Effect.mapError(
      decoded,
      // the client has the schema and the arguments
      ({ message }) =>
        failed("approval-invalid", 422, false, `These are no arguments of ${name}: ${message.slice(0, 2000)}`)
    )
  }, { discard: true })
}

/**
 * Returns the answers to approvals of a session. The session says which call an answer is for.
 *
 * @category constructors
 * @since 0.1.0
 */
export const answersTo = (
  pending: ReadonlyArray<Approval.Approval>,
  given: ReadonlyArray<AgentApi.Answer>
): Effect.Effect<ReadonlyArray<Approval.Answer>, AgentApi.RunFailed> =>
  Effect.forEach(given, ({ approvalId, approved, failure, params, reason, result }) => {
    const approval = pending.find((_) => _.approvalId === approvalId)
    if (approval === undefined) return approvalUnknown
    if (!approved) return Effect.succeed(Approval.deny(approval, reason))
    if (failure !== undefined) return Effect.succeed(Approval.giveFailure(approval, failure))
    if (result !== undefined) return Effect.succeed(Approval.giveResult(approval, result))
    return Effect.succeed(Approval.approve(approval, params === undefined ? undefined : { params }))
  })
