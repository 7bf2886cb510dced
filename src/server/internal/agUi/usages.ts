/**
 * What the models of a run have used, as AG-UI counts it.
 *
 * @since 0.1.0
 */
import * as AgentRun from "../../../AgentRun.ts"
import type * as Models from "./models.ts"

interface Counted {
  readonly provider: string | undefined
  readonly model: string | undefined
  readonly usage: AgentRun.Usage
}

/**
 * The usage of each model of a run and of the runs nested in it, from their steps.
 *
 * @category models
 * @since 0.1.0
 */
export class Usages {
  private readonly models = new Map<string, Counted>()

  add({ model, provider, usage }: AgentRun.Step): void {
    const key = JSON.stringify([provider, model])
    const before = this.models.get(key)?.usage ?? AgentRun.emptyUsage
    this.models.set(key, { provider, model, usage: AgentRun.addUsage(before, usage) })
  }

  /** What the steps have told. */
  get all(): Array<Models.TokenUsage> {
    return [...this.models.values()].flatMap(toTokenUsage)
  }

  /** The same, if that is all that the result counts. Otherwise the sum, which has the model if there is only one. */
  ofResult({ totalUsage }: AgentRun.Result): Array<Models.TokenUsage> {
    const counted = [...this.models.values()]
    const sum = counted.reduce((sum, { usage }) => AgentRun.addUsage(sum, usage), AgentRun.emptyUsage)
    if (isSame(sum, totalUsage)) return this.all
    const [only, other] = counted
    return toTokenUsage({
      provider: other === undefined ? only?.provider : undefined,
      model: other === undefined ? only?.model : undefined,
      usage: totalUsage
    })
  }
}

const isSame = (self: AgentRun.Usage, that: AgentRun.Usage): boolean =>
  self.inputTokens.total === that.inputTokens.total && self.outputTokens.total === that.outputTokens.total

const toTokenUsage = ({ model, provider, usage }: Counted): Array<Models.TokenUsage> => {
  const { inputTokens, outputTokens } = usage
  const counts = defined({
    inputTokens: inputTokens.total,
    outputTokens: outputTokens.total,
    reasoningTokens: outputTokens.reasoning,
    cachedInputTokens: inputTokens.cacheRead,
    cacheWriteInputTokens: inputTokens.cacheWrite
  })
  return Object.keys(counts).length === 0 ? [] : [{ ...defined({ provider, model }), ...counts }]
}

type Defined<A> = { [K in keyof A]?: Exclude<A[K], undefined> }

const defined = <A extends object>(fields: A): Defined<A> =>
  // what is left is what has a value
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Defined<A>
