/**
 * Where a part stands in an execution. An attempt that begins again tells most parts a second time; by their places it is
 * known which of them are in the log already.
 *
 * @since 0.1.0
 */

/**
 * A part as JSON.
 *
 * @category models
 * @since 0.1.0
 */
export interface Encoded {
  readonly type: string
  readonly [key: string]: unknown
}

/** One run of the execution: the run itself, or one that is nested in it. */
interface Run {
  step: number
  /** Whether the model call of the step has ended. */
  hasAnswered: boolean
  /** How many messages the step was told. */
  told: number
}

/**
 * What has to be logged of the parts of an attempt. First `read` is called with the whole log, then `rewind` once, and
 * then `tell` with each part of the attempt, which returns what has to be added to the log.
 *
 * @category models
 * @since 0.1.0
 */
export class Places {
  /** The places of single parts that are in the log. */
  private readonly logged = new Set<string>()
  /** The steps whose model call is in the log with some of its parts, but not with its end. */
  private readonly cut = new Set<string>()
  private readonly runs = new Map<string, Run>()
  private segment = 0

  read(part: Encoded): void {
    this.enter(part, (place, step) => {
      if (place === undefined) this.cut.add(step)
      else this.logged.add(place)
      if (place === `${step}/finish`) this.cut.delete(step)
      // the call begins again: what came before does not count
      if (place === `${step}/step-start`) this.cut.delete(step)
    })
  }

  rewind(): void {
    this.runs.clear()
    this.segment = 0
  }

  tell(part: Encoded): ReadonlyArray<Encoded> {
    return this.enter(part, (place, step, own) => {
      if (place !== undefined) {
        if (this.logged.has(place)) return []
        this.logged.add(place)
        return [part]
      }
      if (this.logged.has(`${step}/finish`)) return isOfModel(own) ? [] : [part]
      if (!this.cut.delete(step)) return [part]
      const index = this.runs.get(runOf(step))!.step
      return [within(part, { type: "step-start", index, restarted: true }), part]
    })
  }

  /** `place` is `undefined` for parts that come in any number: those of a model call, and preliminary results. */
  private enter<A>(part: Encoded, visit: (place: string | undefined, step: string, own: Encoded) => A): A {
    let own = part
    let key = `${this.segment}/`
    while (own.type === "agent-part") {
      key += `${String(own["toolCallId"])}/${String(own["runId"])}/`
      own = own["part"] as Encoded
    }
    let run = this.runs.get(key)
    if (run === undefined) this.runs.set(key, run = { step: 0, hasAnswered: false, told: 0 })
    if (own.type === "step-start") {
      run.step = Number(own["index"])
      run.hasAnswered = false
      run.told = 0
    }
    const step = `${key}${run.step}`
    const visited = visit(this.placeOf(own, key, step, run), step, own)
    if (own.type === "finish") run.hasAnswered = true
    // the next run of the execution has places of its own
    if (own === part && own.type === "run-end") this.segment++
    return visited
  }

  private placeOf(own: Encoded, key: string, step: string, run: Run): string | undefined {
    switch (own.type) {
      case "run-start":
      case "run-end":
        return `${key}${own.type}`
      case "step-start":
      case "step-end":
      case "finish":
        return `${step}/${own.type}`
      case "tool-approval-request":
        return `${step}/approval/${String(own["approvalId"])}`
      case "steering":
        return `${step}/steering/${run.told++}`
      case "tool-result":
        // those of the provider are part of the model call
        return own["preliminary"] === true || !run.hasAnswered ? undefined : `${step}/result/${String(own["id"])}`
      default:
        return undefined
    }
  }
}

const isOfModel = (own: Encoded): boolean => own.type !== "tool-result"

const runOf = (step: string): string => step.slice(0, step.lastIndexOf("/") + 1)

/** Returns the same part with another one inside. */
const within = (part: Encoded, inner: Encoded): Encoded =>
  part.type === "agent-part" ? { ...part, part: within(part["part"] as Encoded, inner) } : inner
