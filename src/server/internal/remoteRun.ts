/**
 * The runs of an agent on another machine, over any wire.
 *
 * @since 0.1.0
 */

import * as Prompt from "effect/ai/Prompt"
import type * as Tool from "effect/ai/Tool"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Agent from "../../Agent.ts"
import * as AgentRun from "../../AgentRun.ts"
import type * as Approval from "../../Approval.ts"
import { Seen } from "../../internal/run/seen.ts"
import * as Received from "../../internal/words/received.ts"
import * as FileData from "../../internal/words/fileData.ts"
import type * as Steering from "../../Steering.ts"
import * as AgentApi from "../AgentApi.ts"
// the options are documented where the user reads them
import type * as RemoteAgent from "../RemoteAgent.ts"
import { invalidRequest, invalidResponse, lost, unsupported } from "./remoteFailures.ts"
import { RemoteUsage } from "./remoteUsage.ts"

/**
 * The calls of a client. Their failures are those of the agent.
 *
 * @category models
 * @since 0.1.0
 */
export interface Calls<out Part, out E> {
  readonly run: (request: AgentApi.RunRequest) => Stream.Stream<Part, E>
  readonly answer: (session: string, request: AgentApi.AnswerRequest) => Stream.Stream<Part, E>
  readonly join: (runId: string) => Stream.Stream<Part, E>
  readonly steer: (runId: string, message: AgentApi.Message) => Effect.Effect<void, unknown>
}

/**
 * Creates the agent whose runs are those of the calls.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <Tools extends Record<string, Tool.Any>, A, P, E>(
  name: string,
  calls: Calls<AgentRun.Part<Tools, A, P>, E>,
  options: RemoteAgent.Options = {}
): Agent.Agent<Tools, E | AgentApi.RunFailed, never, A, P> =>
  Agent.fromStream(name, {
    description: options.description,
    stream: (input): Stream.Stream<AgentRun.Part<Tools, A, P>, E | AgentApi.RunFailed> => {
      const { steering } = input
      const session = sessionOf(input)
      const received = Stream.unwrap(
        Effect.map(request(input, session), (asked) => sendOrJoin(calls, asked, options))
      )
      const run = Stream.unwrap(Effect.map(Effect.context<never>(), (context) => {
        const usage = new RemoteUsage(context)
        const seen = new Seen(input.prompt, input.runId)
        let state: "before" | "in" | "after" = "before"
        const parts = Stream.mapEffect(received, (part) => {
          const isFirst = state === "before"
          // the parts of another run, or of another protocol, cannot be trusted
          if (state === "after" || isFirst !== isStart(part, input.runId)) return Effect.fail(invalidResponse)
          state = usage.see(part) ? "after" : "in"
          const own = session.isOwn ? withoutSession(part, session.id) : part
          seen.add([own])
          return Effect.succeed(own)
        })
        // a stream without an end was cut
        const whole = Stream.concat(parts, Stream.suspend(() => state === "after" ? Stream.empty : Stream.fail(lost)))
        return whole.pipe(
          Stream.catchCause((cause) => Stream.failCause(withPartial(cause, seen.partial()))),
          Stream.ensuring(Effect.sync(() => usage.end()))
        )
      }))
      return steering === undefined ? run : steered(run, calls, input, steering)
    }
  })

/** The run at the other end has a partial result, which only its parts tell here. */
const withPartial = <E>(cause: Cause.Cause<E>, partial: AgentRun.Partial): Cause.Cause<E> => {
  const exit = AgentRun.toExit(
    Cause.hasInterruptsOnly(cause)
      ? { _tag: "Interrupted", cause: cause as Cause.Cause<never>, partial }
      : { _tag: "Failed", cause, partial }
  )
  return Exit.isFailure(exit) ? exit.cause : cause
}

type Asked =
  & { readonly session: string; readonly keep: "waiting" | undefined; readonly runId: string }
  & (
    | { readonly _tag: "Run"; readonly prompt: AgentApi.Message }
    | { readonly _tag: "Answer"; readonly answers: AgentApi.AnswerRequest["answers"] }
  )

const send = <Part, E>(calls: Calls<Part, E>, asked: Asked): Stream.Stream<Part, E> => {
  const { keep, runId, session } = asked
  return asked._tag === "Run"
    ? calls.run({ prompt: asked.prompt, session, runId, keep })
    : calls.answer(session, { answers: asked.answers, runId, keep })
}

const sendOrJoin = <Part, E>(
  calls: Calls<Part, E>,
  asked: Asked,
  { whenExists }: RemoteAgent.Options
): Stream.Stream<Part, E> => {
  const sent = send(calls, asked)
  if (whenExists !== "join") return sent
  return Stream.catchIf(sent, isRunExists, () => calls.join(asked.runId))
}

const isRunExists = (error: unknown): boolean => error instanceof AgentApi.RunFailed && error.code === "run-exists"

const isStart = (part: AgentRun.Part, runId: string): boolean => part.type === "run-start" && part.runId === runId

/** A server accepts the input of a user, or answers to the approvals of a session. It has everything else itself. */
const request = (
  { answers, continues, prompt, runId }: Agent.ProgramInput,
  session: OwnSession
): Effect.Effect<Asked, AgentApi.RunFailed> => {
  if (continues === true) return Effect.fail(unsupported)
  const { id, isOwn } = session
  if (id === undefined) return Effect.fail(unsupported)
  if (!isRunId(runId) || !isSessionId(id)) return Effect.fail(invalidRequest)
  const to = { session: id, keep: isOwn ? "waiting" as const : undefined, runId }
  if (answers !== undefined) {
    const [first, ...rest] = answers.map(answer)
    return first === undefined || rest.length >= AgentApi.maximumAnswers
      ? Effect.fail(unsupported)
      : Effect.succeed({ ...to, _tag: "Answer", answers: [first, ...rest] })
  }
  const messages = Prompt.make(prompt).content
  const users = messages.filter((message) => message.role === "user")
  const message = messageOf(users.flatMap(({ content }) => content))
  return message === undefined || users.length < messages.length || !isMessage(message)
    ? Effect.fail(unsupported)
    : Effect.succeed({ ...to, _tag: "Run", prompt: message })
}

/** The session of a run on the server. A run that was given none has one of its own there, as long as it waits. */
interface OwnSession {
  /** Unknown if the run continues a conversation that no run of this agent has left. */
  readonly id: string | undefined
  readonly isOwn: boolean
}

const sessionOf = ({ answers, prompt, runId, session }: Agent.ProgramInput): OwnSession => {
  if (session !== undefined) return { id: session, isOwn: false }
  if (answers === undefined) return { id: runId, isOwn: true }
  return { id: Prompt.make(prompt).content.flatMap(marksOf).at(-1)?.session, isOwn: true }
}

/** The key of the mark in the options of a message. Model providers read the options that have their own name. */
const optionsKey = "effect-agents/server/RemoteAgent"

const Mark = Schema.Struct({ session: Schema.String })
const isMark = Schema.is(Mark)
const marksOf = ({ options }: Prompt.Message): ReadonlyArray<typeof Mark.Type> => {
  const mark: unknown = options[optionsKey]
  return isMark(mark) ? [mark] : []
}

/** The caller knows nothing of this session. Whoever continues the run has its conversation, which says what it is. */
const withoutSession = <Part extends AgentRun.Part>(part: Part, session: string | undefined): Part => {
  if (part.type === "run-start") return { ...part, session: undefined }
  if (part.type !== "run-end") return part
  const { approvals, transcript } = part.result
  const result = { ...part.result, session: undefined }
  const last = transcript.content.at(-1)
  if (approvals.length === 0 || last === undefined || session === undefined) return { ...part, result }
  const marked = { ...last, options: { ...last.options, [optionsKey]: { session } } } as Prompt.Message
  const content = [...transcript.content.slice(0, -1), marked]
  return { ...part, result: { ...result, transcript: Received.mark(Prompt.fromMessages(content)) } }
}

const isRunId = Schema.is(AgentApi.RunId)
const isSessionId = Schema.is(AgentApi.SessionId)
const isMessage = Schema.is(AgentApi.Message)

const answer = (given: Approval.Answer): AgentApi.Answer => {
  const { approvalId } = given.approval
  if (given._tag === "Deny") return { approvalId, approved: false, reason: given.reason }
  // parameters and results are JSON, and the server decodes them
  if (given._tag === "Result") {
    return { approvalId, approved: true, ...given.isFailure ? { failure: String(given.result) } : resultOf(given) }
  }
  return { approvalId, approved: true, ...given.params !== undefined && { params: given.params as Schema.Json } }
}

const resultOf = ({ result }: { readonly result: unknown }) => ({ result: (result ?? null) as Schema.Json })

type Parts = Exclude<AgentApi.Message, string>

const messageOf = (content: ReadonlyArray<Prompt.UserMessagePart>): Parts | undefined => {
  const [first, ...rest] = content.flatMap((part): ReadonlyArray<Parts[number]> => {
    if (part.type === "text") return [{ type: "text", text: part.text }]
    const data = dataOf(part.data)
    return data === undefined ? [] : [{ type: "file", mediaType: part.mediaType, fileName: part.fileName, data }]
  })
  return first === undefined || rest.length + 1 < content.length ? undefined : [first, ...rest]
}

const dataOf = (data: Prompt.FilePart["data"]): Uint8Array | URL | undefined => {
  const read = FileData.read(data)
  if (read._tag === "Url") return read.url
  return typeof read.data === "string" ? Result.getOrUndefined(Base64.decode(read.data)) : read.data
}

const steered = <Part, E>(
  parts: Stream.Stream<Part, E>,
  calls: Calls<unknown, unknown>,
  { runId }: Agent.ProgramInput,
  { inbox }: Steering.Steering
): Stream.Stream<Part, E> => {
  const sendOn = Effect.suspend(() => {
    const [message] = inbox.messages
    const payload = message === undefined ? undefined : messageOf(message.content)
    if (payload === undefined || !isMessage(payload)) return Effect.void
    return Effect.andThen(
      calls.steer(runId, payload),
      Effect.sync(() => {
        inbox.messages = inbox.messages.filter((_) => _ !== message)
      })
    )
  })
  // a handle does not report new messages
  const watch = Effect.forever(Effect.andThen(
    Effect.sleep("100 millis"),
    // messages that the server does not accept stay in the handle, and the parts tell how the run goes on
    Effect.suspend(() => inbox.messages.length === 0 ? Effect.void : Effect.ignore(sendOn))
  ))
  return Stream.scoped(Stream.unwrap(Effect.as(Effect.forkScoped(watch), parts)))
}
