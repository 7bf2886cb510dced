/**
 * What the tests of runs share: the two constructors of models, and providers and tools that keep a log.
 */
import { Cause, Effect, type Exit, Schema, type Scope, Stream } from "effect"
import { LanguageModel, type Prompt, Tool, Toolkit } from "effect/ai"
import { type AgentRun, ContextProvider, DirectLanguageModel } from "../src/index.ts"
import { outcome } from "../src/AgentRun.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"

/** The contract holds for models made by either. */
export const constructors = [
  ["LanguageModel", LanguageModel.make],
  ["DirectLanguageModel", DirectLanguageModel.make]
] as const

export type Constructor = typeof constructors[number][1]

export type Log = Array<string>

/** An error of a provider, a tool or a consumer in a test. */
export class Boom extends Schema.TaggedError<Boom>()("Boom", { of: Schema.String }) {}

/** The text of a cause: its reasons, typed errors by their tags. */
export const showCause = (cause: Cause.Cause<unknown>): string =>
  cause.reasons.map((reason) =>
    Cause.isFailReason(reason)
      ? `Fail ${showError(reason.error)}`
      : Cause.isDieReason(reason)
      ? `Die ${reason.defect instanceof Error ? reason.defect.message : String(reason.defect)}`
      : "Interrupt"
  ).join(" + ")

const showError = (error: unknown): string => {
  const { _tag, of, reason } = error as {
    readonly _tag?: string
    readonly of?: string
    readonly reason?: { readonly _tag: string; readonly provider?: string }
  }
  if (reason !== undefined) {
    return `${_tag}.${reason._tag}${reason.provider === undefined ? "" : `(${reason.provider})`}`
  }
  return of === undefined ? String(_tag ?? error) : `${_tag}(${of})`
}

/** The text of an outcome: its tag, its cause, and what there is of the answer. */
export const showExit = (exit: Exit.Exit<unknown, unknown>): string => {
  const end = outcome(exit as Exit.Exit<AgentRun.Result, unknown>)
  switch (end._tag) {
    case "Completed":
      return `Completed "${end.result.text}"`
    case "Failed":
      return `Failed ${showCause(end.cause)} after "${end.partial.text}"`
    default:
      return `${end._tag} after "${end.partial.text}"`
  }
}

/** A provider that writes down its `beforeRun`, its `afterRun` and how its finalizer saw the run end. */
export const logged = (name: string, log: Log, options: {
  readonly beforeRun?: Effect.Effect<unknown, Boom, Scope.Scope>
  readonly afterRun?: Effect.Effect<unknown, unknown>
  readonly finalizer?: Effect.Effect<unknown, Boom>
} = {}): ContextProvider.ContextProvider<Boom> =>
  ContextProvider.make(name, {
    beforeRun: () =>
      Effect.gen(function*() {
        log.push(`${name} before`)
        yield* Effect.addFinalizer((exit) =>
          Effect.suspend(() => {
            log.push(`${name} end: ${showExit(exit)}`)
            return (options.finalizer ?? Effect.void) as Effect.Effect<unknown>
          })
        )
        yield* options.beforeRun ?? Effect.void
        return {}
      }),
    afterRun: ({ result }) =>
      Effect.suspend(() => {
        log.push(`${name} after "${result.text}"`)
        return options.afterRun ?? Effect.void
      })
  })

/** A toolkit of tools without parameters, with one effect for each. */
export const tools = <const Names extends ReadonlyArray<string>>(...names: Names) =>
  Toolkit.make(...names.map((name) => Tool.make(name, { success: Schema.String, failure: Boom })))

/** A handler that never ends, and writes down that it was interrupted. */
export const hanging = (name: string, log: Log): Effect.Effect<never> =>
  Effect.suspend(() => {
    log.push(`${name} runs`)
    return Effect.never
  }).pipe(Effect.onInterrupt(() => Effect.sync(() => log.push(`${name} interrupted`))))

/** The model whose stream writes down that it was closed. */
export const calls = (...names: ReadonlyArray<string>): ScriptedModel.Piece =>
  ScriptedModel.toolCalls(...names.map((name) => ({ name, params: {}, id: `id-${name}` })))

export const types = (parts: Iterable<{ readonly type: string }>): Array<string> =>
  Array.from(parts, (part) => part.type)

/** The messages of a prompt in one line each. */
export const showPrompt = (prompt: Prompt.Prompt): Array<string> =>
  prompt.content.map((message) =>
    typeof message.content === "string"
      ? `${message.role}: ${message.content}`
      : `${message.role}: ${
        message.content.map((part) => {
          switch (part.type) {
            case "text":
            case "reasoning":
              return part.type === "text" ? part.text : `(${part.text})`
            case "tool-call":
              return `${part.name}#${part.id}(${JSON.stringify(part.params)})`
            case "tool-result":
              return `${part.name}#${part.id}${part.isFailure ? " failed" : ""} = ${JSON.stringify(part.result)}`
            default:
              return part.type
          }
        }).join(", ")
      }`
  )

/** Collects the parts until the stream ends in any way, and that end. */
export const collectAll = <A, E, R>(
  stream: Stream.Stream<A, E, R>
): Effect.Effect<{ readonly parts: ReadonlyArray<A>; readonly exit: Exit.Exit<void, E> }, never, R> =>
  Effect.suspend(() => {
    const parts: Array<A> = []
    return Stream.runForEach(stream, (part) => Effect.sync(() => void parts.push(part))).pipe(
      Effect.exit,
      Effect.map((exit) => ({ parts, exit }))
    )
  })
