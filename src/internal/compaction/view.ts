/**
 * The part of a growing conversation that the model sees, kept within the budget.
 *
 * @since 0.1.0
 */
import type * as AiError from "effect/ai/AiError"
import * as IdGenerator from "effect/ai/IdGenerator"
import * as Prompt from "effect/ai/Prompt"
import type * as Tokenizer from "effect/ai/Tokenizer"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as AgentRun from "../../AgentRun.ts"
// the view is the inside of that module
import type * as Compaction from "../../Compaction.ts"
import { isSame } from "../words/json.ts"
import * as Tokens from "./tokens.ts"

type Messages = ReadonlyArray<Prompt.Message>

/**
 * Counts the tokens of messages, each message once.
 *
 * @category counting
 * @since 0.1.0
 */
export class Counter {
  private readonly tokenizer: Tokenizer.Service | undefined
  private readonly known = new WeakMap<Prompt.Message, number>()

  constructor(tokenizer: Tokenizer.Service | undefined) {
    this.tokenizer = tokenizer
  }

  readonly each = (messages: Messages): Effect.Effect<ReadonlyArray<number>, AiError.AiError> =>
    Effect.forEach(messages, (message) => this.one(message))

  readonly all = (messages: Messages): Effect.Effect<number, AiError.AiError> =>
    Effect.map(this.each(messages), (tokens) => tokens.reduce((sum, n) => sum + n, 0))

  private one(message: Prompt.Message): Effect.Effect<number, AiError.AiError> {
    const known = this.known.get(message)
    if (known !== undefined) return Effect.succeed(known)
    const counted = this.tokenizer === undefined
      ? Effect.succeed(Tokens.ofMessage(message))
      : Effect.map(this.tokenizer.tokenize(Prompt.fromMessages([message])), (tokens) => tokens.length)
    return Effect.tap(counted, (tokens) => Effect.sync(() => this.known.set(message, tokens)))
  }
}

/**
 * The conversation so far, the messages of it that are shown, and their tokens.
 *
 * @category models
 * @since 0.1.0
 */
export interface View {
  readonly source: Messages
  readonly shown: Messages
  readonly tokens: number
}

/**
 * The view of an empty conversation.
 *
 * @category models
 * @since 0.1.0
 */
export const empty: View = { source: [], shown: [], tokens: 0 }

/**
 * Returns the view of a conversation that continues the one of the given view, or `undefined` if it is another
 * conversation. Messages are compared by content, because a middleware may have copied them. The view then shows the
 * copies.
 *
 * @category combinators
 * @since 0.1.0
 */
export const continued = (view: View, messages: Messages): View | undefined => {
  const { shown, source } = view
  if (source.length > messages.length) return undefined
  let copies: Map<Prompt.Message, Prompt.Message> | undefined
  for (const [index, message] of source.entries()) {
    const copy = messages[index]!
    if (copy === message) continue
    if (!isSame(message, copy)) return undefined
    copies ??= new Map()
    copies.set(message, copy)
  }
  return copies === undefined
    ? view
    : {
      ...view,
      source: messages.slice(0, source.length),
      shown: shown.map((message) => copies.get(message) ?? message)
    }
}

/**
 * The limits of compaction.
 *
 * @category models
 * @since 0.1.0
 */
export interface Budget {
  readonly maxTokens: number
  readonly targetTokens: number
}

/**
 * Returns the view with the new messages. If every strategy is `replayed`, the conversation is compacted at the places
 * where the model was called before. A conversation that is loaded again then shows the same prefix as before.
 *
 * @category combinators
 * @since 0.1.0
 */
export const extend = Effect.fnUntraced(function*<E, R>(
  view: View,
  messages: Messages,
  strategies: ReadonlyArray<Compaction.Strategy<E, R>>,
  budget: Budget,
  counter: Counter
) {
  const replays = strategies.every((strategy) => strategy.replayed)
  const added = yield* counter.each(messages.slice(view.source.length))
  let shown = view.shown.slice()
  let tokens = view.tokens
  const used: Array<string> = []
  for (let index = view.source.length; index < messages.length; index++) {
    shown.push(messages[index]!)
    tokens += added[index - view.source.length]!
    if (replays && tokens > budget.maxTokens && messages[index + 1]?.role === "assistant") {
      const compacted = yield* compact(shown, tokens, strategies, budget, counter)
      shown = compacted.messages.slice()
      tokens = compacted.tokens
      used.push(...compacted.used)
    }
  }
  return { shown, tokens, used, tokensBefore: added.reduce((sum, n) => sum + n, view.tokens) }
})

/**
 * Applies the strategies in their order until the messages fit.
 *
 * @category combinators
 * @since 0.1.0
 */
export const compact = Effect.fnUntraced(function*<E, R>(
  messages: Messages,
  tokens: number,
  strategies: ReadonlyArray<Compaction.Strategy<E, R>>,
  budget: Budget,
  counter: Counter
) {
  const ids = Option.getOrElse(
    yield* Effect.serviceOption(IdGenerator.IdGenerator),
    () => IdGenerator.defaultIdGenerator
  )
  const used: Array<string> = []
  let usage = AgentRun.emptyUsage
  let current = { messages, tokens }
  for (const strategy of strategies) {
    if (current.tokens <= budget.maxTokens) break
    const next = yield* strategy.apply({
      ...current,
      ...budget,
      count: counter.each,
      generateId: ids.generateId(),
      addUsage: (spent) => {
        usage = AgentRun.addUsage(usage, spent)
      }
    })
    if (next === current.messages) continue
    used.push(strategy.name)
    current = { messages: next, tokens: yield* counter.all(next) }
  }
  return { ...current, used, usage }
})
