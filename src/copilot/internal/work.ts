/**
 * The body of a run whose work is done by the runtime.
 *
 * closed -> opening -> open
 *
 * The runtime pushes its events, and the run pulls them as parts. If the run ends before the runtime is idle, it stops
 * the runtime's work once, and removes its prompt from the session, so that a run that did not complete leaves nothing.
 *
 * @since 0.1.0
 */
import type * as Sdk from "@github/copilot-sdk"
import * as Prompt from "effect/ai/Prompt"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import * as AgentError from "../../AgentError.ts"
import type * as AgentRun from "../../AgentRun.ts"
import * as Contributions from "../../internal/run/contributions.ts"
import type * as Lifecycle from "../../internal/run/lifecycle.ts"
import * as Opening from "../../internal/run/opening.ts"
import { compose } from "../../internal/run/step.ts"
import type * as ToolHandler from "../../internal/tool/handler.ts"
import type * as Middleware from "../../Middleware.ts"
import * as Session from "../../Session.ts"
import * as CopilotError from "../CopilotError.ts"
import * as CopilotRuntime from "../CopilotRuntime.ts"
import { findMarks, type Mark, rewind, systemText, toMessage, withMark } from "./conversation.ts"
import { callFailed, sessionFailed } from "./failures.ts"
import { declare } from "./offeredTools.ts"
import { Reply, toUsage } from "./reply.ts"
import { check, configOf } from "./sessionConfig.ts"
import { ToolAnswers } from "./toolAnswers.ts"
import type { PartPull } from "../../internal/words/partPull.ts"

/**
 * What the body needs to know about an agent.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly model: string
  readonly provider: Sdk.ProviderConfig | undefined
  readonly instructions: string | undefined
  readonly toolkit: Opening.Own
  readonly middleware: ReadonlyArray<Middleware.Middleware<unknown, never>>
  readonly permissions: (request: Sdk.PermissionRequest) => Effect.Effect<Sdk.PermissionRequestResult, unknown>
  readonly missing: "create" | "fail"
  readonly retries: number
  readonly settings: Partial<Sdk.SessionConfig>
}

/**
 * Creates the body of a run.
 *
 * @category constructors
 * @since 0.1.0
 */
export const body = (options: Options) =>
(
  run: Lifecycle.Run,
  contributions: Contributions.Contributions
): Lifecycle.Body | Effect.Effect<Lifecycle.Body, unknown> => {
  const open = (own: ToolHandler.WithHandler | undefined): Effect.Effect<Lifecycle.Body, unknown> => {
    const toolkit = Result.flatMap(Opening.toolkitsOf(own, contributions), Opening.merged)
    if (Result.isFailure(toolkit)) return Exit.fail(run.error(toolkit.failure))
    if (run.continues === true) {
      const description = "an agent that runs elsewhere goes on with a message only"
      return Exit.fail(run.error(new AgentError.NothingToContinue({ description })))
    }
    const refusal = Opening.refusalOf(run.prompt)
    if (refusal !== undefined) return Exit.fail(run.error(refusal))
    const work = new Work(run, options, contributions, toolkit.success)
    return Effect.as(work.start(), work)
  }
  return Opening.withOwn(options.toolkit, run.context, open)
}

interface Told {
  readonly text: string
  readonly messages: ReadonlyArray<Prompt.Message>
}

class Work implements Lifecycle.Body {
  readonly opening: ReadonlyArray<AgentRun.Part> = [{ type: "step-start", index: 0 }]
  private readonly run: Lifecycle.Run
  private readonly options: Options
  private readonly contributions: Contributions.Contributions
  private readonly toolkit: ToolHandler.WithHandler | undefined
  private readonly answers: ToolAnswers
  private readonly instructions: string
  private readonly history: ReadonlyArray<Prompt.Message>
  private prompt: ReadonlyArray<Prompt.Message>
  private readonly scope = Scope.makeUnsafe()
  private readonly fibers = new Set<Fiber.Fiber<unknown, unknown>>()
  private readonly reply: Reply
  private phase: "closed" | "opening" | "open" | "telling" = "closed"
  private failure: Cause.Cause<unknown> | undefined = undefined
  private done = false
  /** The `step-end` of a step that may be the last one of the run. Only the last one is emitted with the mark. */
  private held: ReadonlyArray<AgentRun.Part> = []
  private stopped = false
  private wake: (() => void) | undefined = undefined
  /** Something has come since the last look: the fiber that is about to wait need not. */
  private hasNews = false
  // whether the runtime is working
  private working = false
  private opened: CopilotRuntime.OpenSession | undefined = undefined
  /** The messages that the runtime was sent after the prompt and has not read yet. */
  private telling: Array<Told> = []
  private halting = false
  /** How many messages of the prompt the providers know from the start, and how many steps they know. */
  private readonly told: number
  private toldSteps = 0
  private onIdle: (() => void) | undefined = undefined
  private mark: Mark | undefined = undefined
  private promptEvent: string | undefined = undefined
  private failedCalls = 0
  private lastFailure: CopilotError.ModelFailed | undefined = undefined

  constructor(
    run: Lifecycle.Run,
    options: Options,
    contributions: Contributions.Contributions,
    toolkit: ToolHandler.WithHandler | undefined
  ) {
    const { context, definition, session, span } = run
    this.run = run
    this.options = options
    this.contributions = contributions
    this.toolkit = toolkit
    const instructions = [options.instructions ?? [], contributions.instructions].flat().join("\n\n")
    const { history, prompt, system } = compose(instructions, contributions.messages, run.prompt.content)
    this.instructions = systemText(system)
    this.history = history
    this.prompt = prompt
    this.told = prompt.length
    this.answers = new ToolAnswers({
      agent: definition.name,
      session,
      toolkit,
      middleware: [...options.middleware, ...contributions.middleware].flatMap((m) => m.tool ?? []),
      context,
      parent: run,
      // the runtime waits for each result, so it cannot wait for an approval
      ask: undefined,
      startSpan: span === undefined ? undefined : (request) => span.startTool(request)
    }, {
      fork: (effect) => this.fork(effect),
      messages: () => [...this.history, ...this.prompt, ...this.reply.messages],
      onPart: (callId, part) => this.reply.addResult(callId, part),
      onFailure: (cause) => this.fail(cause),
      // the next call of the model may wait for this result
      beforeResult: () => this.tell("immediate")
    })
    this.reply = new Reply((tool) => Object.hasOwn(toolkit?.tools ?? {}, tool), () => this.signal())
    span?.onInput(this.instructions, [...history, ...prompt])
  }

  advance(): PartPull {
    switch (this.phase) {
      case "open":
        return this.drain()
      case "opening":
      case "telling":
        // the pull before this one was interrupted, and with it the opening, or a provider's work on a step
        return this.run.fail(Cause.interrupt())
      case "closed": {
        this.phase = "opening"
        // the runtime is in `R` of the agent, and so in the context of the run
        const context = Context.add(this.run.context, Scope.Scope, this.scope) as Context.Context<
          CopilotRuntime.CopilotRuntime | Scope.Scope
        >
        const open = Effect.provideContext(this.open(), context)
        return Effect.matchCauseEffect(open, {
          onFailure: (cause) => this.run.fail(cause),
          onSuccess: () => {
            this.phase = "open"
            return this.drain()
          }
        })
      }
    }
  }

  private drain(): PartPull {
    this.hasNews = false
    // the model has finished, so the run goes on only if messages wait
    if (this.done) this.goOn()
    const { failure, reply: { steps } } = this
    const parts = [...this.held, ...this.reply.take()]
    const isDecided = this.done || failure !== undefined
    const at = isDecided ? parts.length : findLast(parts)
    this.held = parts.slice(at)
    const [first, ...rest] = parts.slice(0, at)
    if (first !== undefined) {
      const ended = this.held.length === 0 ? steps.length : steps.length - 1
      return this.tellProviders(ended, () => Exit.succeed([first, ...rest] as const))
    }
    if (failure !== undefined) return this.run.fail(failure)
    return this.done ? this.complete() : Effect.flatMap(this.wait, () => this.drain())
  }

  private readonly wait = Effect.callback<void>((resume) => {
    if (this.hasNews) resume(Effect.void)
    else this.wake = () => resume(Effect.void)
  })

  private signal(): void {
    this.hasNews = true
    const wake = this.wake
    this.wake = undefined
    wake?.()
  }

  private complete(): PartPull {
    const { spent, steps, text } = this.reply
    return this.run.complete({
      text,
      usage: spent,
      steps,
      stopReason: this.halting ? "stopped" : steps[steps.length - 1]?.finishReason ?? "stop",
      transcript: Prompt.fromMessages(this.transcript())
    })
  }

  /** The messages of the run. After the work is done they contain the mark. */
  private transcript(): ReadonlyArray<Prompt.Message> {
    const transcript = [...this.prompt, ...this.reply.messages]
    return this.mark === undefined || !this.done ? transcript : withMark(transcript, this.mark)
  }

  // --- what the providers are told ----------------------------------------------

  /** Tells the providers that the run begins. */
  start(): Effect.Effect<void, unknown> {
    const started = { request: this.run.request(), transcript: this.transcript() }
    return Effect.provideContext(Contributions.callAll(this.contributions.atStart, started), this.run.context)
  }

  /** Tells the providers about this many steps before the run goes on. */
  private tellProviders(steps: number, then: () => PartPull): PartPull {
    const { everyStep } = this.contributions
    const from = this.toldSteps
    if (from >= steps || everyStep.length === 0) return then()
    const transcript = this.transcript()
    const end = (count: number) => count === 0 ? this.told : this.prompt.length + this.reply.ends[count - 1]
    const finished = this.reply.steps.slice(from, steps).map((step, index) => ({
      request: this.run.request(),
      step,
      messages: transcript.slice(end(from + index), end(from + index + 1)),
      transcript: transcript.slice(0, end(from + index + 1))
    }))
    this.toldSteps = steps
    this.phase = "telling"
    const telling = Effect.forEach(finished, (step) => Contributions.callAll(everyStep, step), { discard: true })
    return Effect.matchCauseEffect(Effect.provideContext(telling, this.run.context), {
      onFailure: (cause) => this.run.fail(cause),
      onSuccess: () => {
        this.phase = "open"
        return then()
      }
    })
  }

  private fail(cause: Cause.Cause<unknown>): void {
    if (this.stopped || this.done) return
    this.failure ??= cause
    this.signal()
  }

  private failWith(reason: CopilotError.CopilotErrorReason): void {
    this.fail(Cause.fail(CopilotError.make(reason)))
  }

  // --- opening ----------------------------------------------------------------

  private readonly open = Effect.fnUntraced(function*(this: Work) {
    const runtime = yield* CopilotRuntime.CopilotRuntime
    yield* check(this.options)
    const marks = findMarks(this.history, this.run.session)
    const opened = yield* runtime.open({
      id: this.run.session,
      missing: marks.length === 0 ? this.options.missing : "fail",
      config: configOf(this.options, {
        mode: runtime.mode,
        instructions: this.instructions,
        tools: declare(this.toolkit, this.answers.answer),
        onEvent: this.onEvent,
        onPermissionRequest: this.permit
      })
    })
    const { session } = opened
    const untold = yield* rewind(opened, marks, this.history)
    yield* Effect.addFinalizer((exit) => Exit.isSuccess(exit) ? Effect.void : this.withdraw(opened))
    yield* Effect.forkScoped(Effect.onExit(opened.exited, (exit) =>
      Effect.sync(() => {
        if (Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)) this.fail(exit.cause)
      })))
    this.working = true
    this.opened = opened
    this.prompt = [...this.prompt, ...this.takeMessages()]
    const message = toMessage(untold, this.prompt)
    const span = Context.getOrUndefined(this.run.context, Tracer.ParentSpan)
    const promptId = yield* opened.call("send", () => opened.inTrace(span, () => session.send(message)))
    if (opened.kept) this.mark = { sessionId: session.sessionId, promptId }
  })

  // --- what the runtime tells -------------------------------------------------

  /** The SDK swallows exceptions of this function. */
  private readonly onEvent = (event: Sdk.SessionEvent): void => {
    const exit = Effect.runSyncExit(Effect.sync(() => this.handle(event)))
    if (Exit.isFailure(exit)) this.fail(exit.cause)
  }

  private handle(event: Sdk.SessionEvent): void {
    if (event.agentId !== undefined) {
      if (event.type === "assistant.usage") this.run.addNestedUsage(toUsage(event.data))
      return
    }
    switch (event.type) {
      case "user.message":
        return this.userMessage(event)
      case "session.idle":
        return this.idle(event.data.aborted === true)
      case "model.call_failure":
        return event.data.source === "top_level" ? this.callFailed(callFailed(event.data)) : undefined
      case "session.error": {
        // the runtime goes on with another model
        if (event.data.eligibleForAutoSwitch === true) return
        return this.failWith(sessionFailed(event.data, this.lastFailure))
      }
      case "session.shutdown":
        return this.failWith(new CopilotError.WorkStopped({ description: "its session was closed" }))
      case "assistant.message": {
        this.failedCalls = 0
        this.lastFailure = undefined
      }
    }
    if (this.stopped || this.halting) return
    this.reply.add(event)
    if (event.type === "assistant.turn_end") this.betweenSteps()
  }

  /** The runtime would try again, and repeat parts that the consumer has already seen. */
  private callFailed(failure: CopilotError.ModelFailed): void {
    this.lastFailure = failure
    this.failedCalls++
    if (this.reply.begun || this.failedCalls > this.options.retries) this.failWith(failure)
  }

  private idle(aborted: boolean): void {
    // the runtime has not read the last messages yet
    if (!this.working || (this.telling.length > 0 && !aborted)) return
    this.working = false
    this.onIdle?.()
    if (aborted && !this.halting) this.failWith(new CopilotError.WorkStopped({ description: "it was aborted" }))
    if (this.failure === undefined) this.done = true
    this.signal()
  }

  // --- what the runtime is told meanwhile ---------------------------------------

  /** A step has ended. After a step with tool calls another one follows, unless the caller has asked to stop. */
  private betweenSteps(): void {
    const { steps } = this.reply
    if ((steps[steps.length - 1]?.toolCalls ?? []).length === 0) return
    if (this.run.steering?.inbox.isStopping !== true) return this.tell("immediate")
    const { call, session } = this.opened!
    this.halting = true
    this.ask(call("abort", () => session.abort()))
  }

  /** The model has finished. The run goes on while messages wait for it. */
  private goOn(): void {
    const { steps } = this.reply
    const reason = steps[steps.length - 1]?.finishReason
    if (this.halting || reason === "length" || reason === "content-filter") return
    this.tell("enqueue")
    this.done = !this.working
  }

  /** The messages that the caller has sent since the last time, if the run may still take them. */
  private takeMessages(): ReadonlyArray<Prompt.Message> {
    const inbox = this.run.steering?.inbox
    if (inbox === undefined || inbox.isStopping || this.stopped) return []
    const { messages } = inbox
    inbox.messages = []
    return messages
  }

  private tell(mode: "enqueue" | "immediate"): void {
    const messages = this.takeMessages()
    if (messages.length === 0) return
    const { call, session } = this.opened!
    const message = toMessage([], messages)
    this.working = true
    this.telling.push({ text: message.prompt, messages })
    this.ask(call("send", () => session.send({ ...message, mode })))
  }

  private ask(effect: Effect.Effect<unknown, unknown>): void {
    this.fork(Effect.matchCause(effect, { onSuccess: () => {}, onFailure: (cause) => this.fail(cause) }))
  }

  /** The runtime has read the prompt, or a message that was sent after it. From now on it is in the session. */
  private userMessage({ data, id }: Extract<Sdk.SessionEvent, { readonly type: "user.message" }>): void {
    if (!this.working) return
    if (this.promptEvent === undefined) {
      this.promptEvent = id
      return
    }
    const index = this.telling.findIndex(({ text }) => text === data.content)
    if (index === -1) return
    const [{ messages }] = this.telling.splice(index, 1)
    this.reply.addMessages(messages)
    if (this.mark !== undefined && data.messageId !== undefined) {
      this.mark = { ...this.mark, promptId: data.messageId }
    }
  }

  // --- what the runtime asks --------------------------------------------------

  /** Without a decision the request stays open, because the run has failed and the work is stopped. */
  private readonly permit: Sdk.PermissionHandler = (request) =>
    new Promise((resolve) => {
      const decide = Effect.suspend(() => this.options.permissions(request))
      this.fork(Effect.matchCause(decide, {
        onSuccess: resolve,
        onFailure: (cause) => {
          resolve({ kind: "no-result" })
          this.fail(cause)
        }
      }))
    })

  private fork<A>(effect: Effect.Effect<A, unknown>): Fiber.Fiber<A, unknown> {
    const fiber = Effect.runForkWith(this.run.context)(effect)
    this.fibers.add(fiber)
    fiber.addObserver(() => this.fibers.delete(fiber))
    return fiber
  }

  // --- the end ----------------------------------------------------------------

  stop(exit: Exit.Exit<unknown, unknown>): Effect.Effect<unknown> {
    this.stopped = true
    // a request to stop this run must not stop the next one
    if (this.run.steering !== undefined) this.run.steering.inbox.isStopping = false
    const session = Scope.close(this.scope, exit)
    return this.fibers.size === 0
      ? session
      : Effect.all([session, Fiber.interruptAll([...this.fibers])], { concurrency: 2, discard: true })
  }

  /** Stops the work, waits until it has stopped, and removes the prompt and everything after it from the session. */
  private withdraw({ call, exited, kept, session }: CopilotRuntime.OpenSession): Effect.Effect<void> {
    const abort = Effect.andThen(
      call("abort", () => session.abort()),
      Effect.raceFirst(
        Effect.callback<void>((resume) => {
          if (!this.working) return resume(Effect.void)
          this.onIdle = () => resume(Effect.void)
        }),
        exited
      )
    )
    const truncate = Effect.suspend(() => {
      const eventId = this.promptEvent
      return !kept || eventId === undefined
        ? Effect.void
        : Effect.asVoid(call("truncate", () => session.rpc.history.truncate({ eventId })))
    })
    return Effect.suspend(() => this.working ? Effect.andThen(abort, truncate) : truncate).pipe(
      // a runtime that has ended does no work
      Effect.catchReason("CopilotError", "RuntimeExited", () => Effect.void),
      Effect.orDie
    )
  }

  partial(): Omit<AgentRun.Partial, "runId" | "totalUsage"> {
    const { cut, spent, steps, text } = this.reply
    const transcript = Prompt.fromMessages(Session.close([...this.transcript(), ...cut]))
    return { text, usage: spent, steps, transcript }
  }
}

/** The place for the end of a step that may be the last one of its run; after the parts if nothing marks it. */
const findLast = (parts: ReadonlyArray<AgentRun.Part>): number => {
  const last = parts.at(-1)
  return last?.type === "step-end" && last.step.toolCalls.length === 0 ? parts.length - 1 : parts.length
}
