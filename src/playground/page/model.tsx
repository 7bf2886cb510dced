/** What the page knows of a conversation: the parts of its runs, folded. Nothing here touches the document. */

export type Json = any

/** A part as JSON, with the time at which it arrived. */
export interface Seen {
  readonly at: number
  readonly part: Json
}

export interface TextBlock {
  readonly kind: "text" | "reasoning"
  readonly id: string
  text: string
  done: boolean
}

export interface CallBlock {
  readonly kind: "call"
  readonly id: string
  readonly name: string
  written: string
  params: Json
  state: "writing" | "running" | "waiting" | "done" | "failed" | "denied"
  preliminary: boolean
  result: Json
  /** What its tool has failed with. */
  failure: Details | undefined
  nested: Array<Frame>
  span: Span | undefined
}

export type Block =
  | TextBlock
  | CallBlock
  | { readonly kind: "steering"; readonly text: string }
  | { readonly kind: "source"; readonly title: string; readonly url: string | undefined }
  | { readonly kind: "file"; readonly mediaType: string; readonly name: string | undefined; readonly url: string }
  | { readonly kind: "output"; value: Json }
  | { readonly kind: "failure"; readonly failure: Failure }

export interface Failure {
  readonly code: string
  readonly message: string
  readonly retryable: boolean
  readonly details?: ReadonlyArray<Details>
}

/** A failure or a defect as it was: its tag and that of its reason, its message, and its fields. */
export interface Details {
  readonly tags: ReadonlyArray<string>
  readonly message: string
  readonly isDefect: boolean
  readonly data: Json
}

/** A line of the waterfall. */
export interface Span {
  readonly kind: "run" | "model" | "tool" | "wait"
  name: string
  readonly start: number
  end: number | undefined
  state: "open" | "done" | "failed" | "stopped"
  input: number | undefined
  output: number | undefined
  cached: number | undefined
  readonly children: Array<Span>
}

/** A run in a conversation: that of the agent, or one nested in a call. */
export interface Frame {
  readonly agent: string
  readonly blocks: Array<Block>
  readonly calls: Map<string, CallBlock>
  readonly span: Span | undefined
  model: Span | undefined
  state: "working" | "finished" | "failed" | "stopped"
}

export interface Attachment {
  readonly mediaType: string
  readonly fileName: string
  readonly data: string
}

/** What a user has said, and the runs that answer it: the first, and those that go on after approvals. */
export class Turn {
  readonly text: string
  readonly files: ReadonlyArray<Attachment>
  state: "running" | "waiting" | "done" | "failed" | "stopped" = "running"
  readonly root: Frame
  readonly parts: Array<Seen> = []
  approvals: ReadonlyArray<Json> = []
  stopReason: string | undefined
  usage: { input: number; output: number; cached: number } | undefined
  firstText: number | undefined
  runId: string | undefined
  /** Its runs: the first, and those that went on with answers. */
  runIds: Array<string> = []
  failure: Failure | undefined
  /** How many messages the session has before it, and how many its runs have added. */
  readonly before: number
  added = 0
  /** A turn of an earlier day has no times. */
  readonly timed: boolean
  private readonly frames = new Map<string, Frame>()
  private wait: Span | undefined
  private readonly earlier: ReadonlyArray<Turn>

  constructor(
    text: string,
    files: ReadonlyArray<Attachment>,
    at: number | undefined,
    earlier: ReadonlyArray<Turn>,
    before: number
  ) {
    this.before = before
    this.text = text
    this.files = files
    this.timed = at !== undefined
    this.earlier = earlier
    this.root = frame("", at === undefined ? undefined : span("run", "run", at))
  }

  /** A run begins: the first, or one that goes on with answers. */
  resume(at: number): void {
    this.state = "running"
    this.failure = undefined
    this.approvals = []
    if (this.wait !== undefined) close(this.wait, at, "done")
    if (this.root.span !== undefined) {
      this.root.span.end = undefined
      this.root.span.state = "open"
    }
  }

  add(part: Json, at: number): void {
    this.parts.push({ at, part })
    this.fold(this.root, part, at)
  }

  fail(failure: Failure | undefined, at: number): void {
    this.state = failure === undefined ? "stopped" : "failed"
    this.failure = failure
    if (failure !== undefined) this.root.blocks.push({ kind: "failure", failure })
    finish(this.root, at, failure === undefined ? "stopped" : "failed")
    for (const own of this.frames.values()) {
      if (own.state === "working") finish(own, at, failure === undefined ? "stopped" : "failed")
    }
  }

  /** The call of this turn, or of one before it. */
  private call(own: Frame, id: string): CallBlock | undefined {
    const known = own.calls.get(id)
    if (known !== undefined || own !== this.root) return known
    for (let index = this.earlier.length - 1; index >= 0; index--) {
      const found = this.earlier[index].root.calls.get(id)
      if (found !== undefined) return found
    }
    return undefined
  }

  private nested(part: Json, at: number): Frame {
    const known = this.frames.get(part.runId)
    if (known !== undefined) return known
    const parent = this.frames.get(part.parentRunId) ?? this.root
    const call = this.call(parent, part.toolCallId)
    const made = frame(
      part.path.at(-1) ?? "agent",
      this.timed ? span("run", part.path.at(-1) ?? "agent", at) : undefined
    )
    this.frames.set(part.runId, made)
    call?.nested.push(made)
    if (made.span !== undefined) (call?.span ?? parent.span)?.children.push(made.span)
    return made
  }

  private fold(own: Frame, part: Json, at: number): void {
    switch (part.type) {
      case "run-start":
        if (own === this.root) {
          this.runId = part.runId
          if (!this.runIds.includes(part.runId)) this.runIds.push(part.runId)
        }
        if (own.span !== undefined && own === this.root) own.span.name = part.agent
        return
      case "step-start":
        own.model = own.span === undefined ? undefined : span("model", `step ${part.index + 1}`, at)
        if (own.model !== undefined) own.span!.children.push(own.model)
        // the ids of texts begin again with each step
        for (const block of own.blocks) if (block.kind === "text" || block.kind === "reasoning") block.done = true
        return
      case "steering":
        own.blocks.push({ kind: "steering", text: textOf(part.message) })
        return
      case "text-start":
      case "reasoning-start":
        own.blocks.push({ kind: part.type === "text-start" ? "text" : "reasoning", id: part.id, text: "", done: false })
        return
      case "text-delta":
      case "reasoning-delta": {
        if (own === this.root && part.type === "text-delta") this.firstText ??= at
        const block = textIn(own, part.type === "text-delta" ? "text" : "reasoning", part.id)
        if (block !== undefined) block.text += part.delta
        return
      }
      case "text-end":
      case "reasoning-end": {
        const block = textIn(own, part.type === "text-end" ? "text" : "reasoning", part.id)
        if (block !== undefined) block.done = true
        return
      }
      case "tool-params-start":
        return this.begin(own, part.id, part.name)
      case "tool-params-delta": {
        const call = own.calls.get(part.id)
        if (call !== undefined) call.written += part.delta
        return
      }
      case "tool-call": {
        const written = own.calls.get(part.id)
        if (written?.state !== "writing") this.begin(own, part.id, part.name)
        const call = own.calls.get(part.id)!
        call.params = part.params
        call.state = "running"
        if (own.span !== undefined) {
          call.span = span("tool", part.name, at)
          own.span.children.push(call.span)
        }
        return
      }
      case "tool-approval-request": {
        const call = this.call(own, part.toolCallId)
        if (call !== undefined) {
          call.state = "waiting"
          if (call.span !== undefined) close(call.span, at, "stopped")
        }
        return
      }
      case "tool-result": {
        const call = this.call(own, part.id)
        if (call === undefined) return
        call.preliminary = part.preliminary === true
        call.result = part.encodedResult ?? part.result
        if (call.preliminary) return
        call.failure = part.metadata?.["effect-agents"]?.failure
        // a run that has failed tells no end
        for (const own of call.nested) {
          if (own.state === "working") finish(own, at, part.isFailure === true ? "failed" : "done")
        }
        call.state = part.isFailure !== true ? "done" : call.result?.type === "execution-denied" ? "denied" : "failed"
        if (call.span !== undefined) close(call.span, at, part.isFailure === true ? "failed" : "done")
        return
      }
      case "finish": {
        if (own.model === undefined) return
        close(own.model, at, "done")
        own.model.input = part.usage?.inputTokens?.total
        own.model.output = part.usage?.outputTokens?.total
        own.model.cached = part.usage?.inputTokens?.cacheRead
        return
      }
      case "source":
        own.blocks.push({
          kind: "source",
          title: part.title || part.fileName || part.url || part.id,
          url: part.sourceType === "url" ? part.url : undefined
        })
        return
      case "file":
        own.blocks.push({
          kind: "file",
          mediaType: part.mediaType,
          name: undefined,
          url: addressOf(part.mediaType, dataOf(part.data))
        })
        return
      case "output-partial": {
        const last = own.blocks.findLast((block) => block.kind === "output")
        if (last?.kind === "output") last.value = part.value
        else own.blocks.push({ kind: "output", value: part.value })
        return
      }
      case "error":
        own.blocks.push({
          kind: "failure",
          failure: {
            code: "error",
            message: String(part.error?.message ?? "The model has reported an error."),
            retryable: false,
            details: part.error?.details
          }
        })
        return
      case "agent-part":
        return this.fold(this.nested(part, at), part.part, at)
      case "run-end":
        return this.end(own, part.result, at)
    }
  }

  private begin(own: Frame, id: string, name: string): void {
    const call: CallBlock = {
      kind: "call",
      id,
      name,
      written: "",
      params: undefined,
      state: "writing",
      preliminary: false,
      result: undefined,
      failure: undefined,
      nested: [],
      span: undefined
    }
    own.blocks.push(call)
    own.calls.set(id, call)
  }

  private end(own: Frame, result: Json, at: number): void {
    finish(own, at, "done")
    const last = own.blocks.findLast((block) => block.kind === "output")
    if (last?.kind === "output" && result.value != null) last.value = result.value
    if (own !== this.root) return
    this.added += result.transcript?.content.length ?? 0
    const usage = usageOf(result.totalUsage ?? result.usage ?? {})!
    const before = this.usage ?? { input: 0, output: 0, cached: 0 }
    this.usage = {
      input: before.input + usage.input,
      output: before.output + usage.output,
      cached: before.cached + usage.cached
    }
    this.stopReason = result.stopReason
    this.settle(result.approvals ?? [], at)
  }

  /** What the turn waits for, if anything. */
  settle(approvals: ReadonlyArray<Json>, at: number): void {
    this.approvals = approvals
    this.state = approvals.length > 0 ? "waiting" : "done"
    if (approvals.length > 0 && this.root.span !== undefined) {
      this.wait = span("wait", "waits for approval", at)
      this.root.span.children.push(this.wait)
    }
  }
}

export const usageOf = (usage: Json): Turn["usage"] =>
  usage == null ? undefined : {
    input: usage.inputTokens?.total ?? 0,
    output: usage.outputTokens?.total ?? 0,
    cached: usage.inputTokens?.cacheRead ?? 0
  }

const frame = (agent: string, own: Span | undefined): Frame => ({
  agent,
  blocks: [],
  calls: new Map(),
  span: own,
  model: undefined,
  state: "working"
})

const span = (kind: Span["kind"], name: string, start: number): Span => ({
  kind,
  name,
  start,
  end: undefined,
  state: "open",
  input: undefined,
  output: undefined,
  cached: undefined,
  children: []
})

const close = (own: Span, at: number, state: Span["state"]): void => {
  if (own.end !== undefined) return
  own.end = at
  own.state = state
}

const finish = (own: Frame, at: number, state: Span["state"]): void => {
  own.state = state === "done" ? "finished" : state as "failed" | "stopped"
  for (const block of own.blocks) {
    if (block.kind === "text" || block.kind === "reasoning") block.done = true
    if (block.kind === "call" && (block.state === "running" || block.state === "writing") && state !== "done") {
      block.state = "failed"
      if (block.span !== undefined) close(block.span, at, state)
    }
  }
  if (own.model !== undefined) close(own.model, at, state)
  if (own.span !== undefined) close(own.span, at, state)
}

const textIn = (own: Frame, kind: TextBlock["kind"], id: string): TextBlock | undefined => {
  const found = own.blocks.findLast((block) => block.kind === kind && block.id === id && !block.done)
  return found as TextBlock | undefined
}

/** The base64 or the address of a file. A store says which it is. */
const dataOf = (data: Json): string => typeof data === "string" ? data : data?.base64 ?? data?.href ?? ""

/** Where the browser finds a file. */
export const addressOf = (mediaType: string, data: string): string =>
  /^(https?|data):/i.test(data) ? data : `data:${mediaType};base64,${data}`

/** A run as it was told to the journal, and those that went on with answers. */
export const turnOfRuns = (runs: ReadonlyArray<{ readonly run: Json; readonly parts: ReadonlyArray<Json> }>): Turn => {
  const [first] = runs
  const turn = new Turn(first.run.prompt ?? "", [], first.run.startedAt, [], 0)
  for (const { parts, run } of runs) {
    if (run !== first.run) turn.resume(run.startedAt)
    for (const { at, part } of parts) turn.add(part, at)
    // one that has failed at once has no parts
    if (!turn.runIds.includes(run.runId)) turn.runIds.push(run.runId)
    turn.runId = run.runId
    const last = run.endedAt ?? parts.at(-1)?.at ?? run.startedAt
    if (run.outcome === "failed") turn.fail(run.failure ?? undefined, last)
    else if (run.outcome === "interrupted") turn.fail(undefined, last)
    else if (run.outcome === "lost") turn.fail(lost, last)
  }
  return turn
}

export const lost: Failure = {
  code: "lost",
  message: "The server has stopped before the run has ended. This is what it had.",
  retryable: true
}

const plain = (text: string): string => text.replace(/\s+/g, " ").trim().slice(0, 1900)

/** Finds the runs of the turns that were stored, the last first: each began where the session had so many messages. */
export const link = (turns: ReadonlyArray<Turn>, runs: ReadonlyArray<Json>): void => {
  turns.forEach((turn, index) => {
    if (turn.timed) return
    const end = turns[index + 1]?.before ?? Infinity
    // those that went on with answers have no prompt
    const own = runs.filter(({ before, prompt }) =>
      prompt == null
        ? before > turn.before && before < end
        : before === turn.before && plain(prompt) === plain(turn.text)
    ).reverse()
    // what was tried before was not stored
    turn.runIds = own.slice(Math.max(0, own.findLastIndex(({ prompt }) => prompt != null))).map(({ runId }) => runId)
  })
}

/** The texts of a message. */
export const textOf = (message: Json): string =>
  typeof message?.content === "string"
    ? message.content
    : (message?.content ?? []).filter((part: Json) => part.type === "text").map((part: Json) => part.text).join("\n")

/** The turns of a conversation that was stored. */
export const turnsOf = (messages: ReadonlyArray<Json>, approvals: ReadonlyArray<Json>): Array<Turn> => {
  const turns: Array<Turn> = []
  let open: Turn | undefined
  for (const [before, message] of messages.entries()) {
    if (message.role === "system") continue
    if (message.role === "user") {
      const files = typeof message.content === "string"
        ? []
        : message.content.filter((part: Json) => part.type === "file")
      open = new Turn(
        textOf(message),
        files.map((file: Json) => ({
          mediaType: file.mediaType,
          fileName: file.fileName ?? file.mediaType,
          data: dataOf(file.data)
        })),
        undefined,
        turns.slice(),
        before
      )
      open.state = "done"
      turns.push(open)
      continue
    }
    if (open === undefined) {
      open = new Turn("", [], undefined, [], before)
      open.state = "done"
      turns.push(open)
    }
    const own = open
    const content: ReadonlyArray<Json> = typeof message.content === "string"
      ? [{ type: "text", text: message.content }]
      : message.content
    content.forEach((part, index) => {
      const id = `stored-${index}`
      if (part.type === "text" || part.type === "reasoning") {
        for (const type of ["start", "delta", "end"]) own.add({ type: `${part.type}-${type}`, id, delta: part.text }, 0)
      } else own.add(part.type === "tool-result" ? { ...part, encodedResult: part.result } : part, 0)
    })
    own.parts.length = 0
  }
  if (open !== undefined && approvals.length > 0) open.settle(approvals, 0)
  return turns
}
