/** The conversation: what was said, what the agent did, and what it asks. */
import { Component } from "preact"
import { useLayoutEffect, useRef, useState } from "preact/hooks"
import { Link, Markdown } from "./markdown.tsx"
import {
  addressOf,
  type Block,
  type CallBlock,
  type Details,
  type Failure,
  type Frame,
  type Json,
  type Turn
} from "./model.tsx"
import { Icon } from "./icon.tsx"
import { answer, branch, type Chat, chat, knownOf, look, ms, once, seen, show } from "./state.tsx"

const longest = 20_000
const texts = new WeakMap<object, string>()

/** A value as text. That of an object is written once, however often it is drawn. */
const written = (value: Json): string => {
  if (typeof value === "string") return value
  if (typeof value !== "object" || value === null) return String(value)
  const text = texts.get(value) ?? JSON.stringify(value, null, 2)
  texts.set(value, text)
  return text
}

const oneLine = (value: Json): string => {
  const text = written(value).slice(0, 2000).replace(/\s+/g, " ")
  return text.length > 200 ? `${text.slice(0, 200)}…` : text
}

export const Value = ({ label, value }: { label: string; value: Json }) => {
  const text = written(value)
  const [whole, setWhole] = useState(false)
  const cut = !whole && text.length > longest
  return (
    <div class="value">
      <div class="label">{label}</div>
      <pre tabIndex={0}>{cut ? text.slice(0, longest) : text.slice(0, 50 * longest)}</pre>
      {cut && <button onClick={() => setWhole(true)}>Show all {text.length.toLocaleString()} characters</button>}
    </div>
  )
}

const words = {
  writing: "writing arguments",
  running: "running",
  waiting: "needs approval",
  done: "done",
  failed: "failed",
  denied: "denied"
}

/** Drawn again when one of its own properties has changed: the call itself stays the same object. */
const Call = ({ call, state }: { call: CallBlock; state: string; written: number; params: Json; result: Json }) => {
  const [shown, setShown] = useState(false)
  return (
    <details
      class={`call ${call.state}`}
      data-tool={call.name}
      data-state={call.state}
      onToggle={(event) => setShown(event.currentTarget.open)}
    >
      <summary>
        <i class="dot" />
        <b>{call.name}</b>
        <code class="brief">{oneLine(call.params ?? call.written)}</code>
        <span class="state">{[words[call.state], ...call.failure?.tags.slice(-1) ?? []].join(" · ")}</span>
      </summary>
      {shown && <Value label="Arguments" value={call.params ?? call.written} />}
      {shown && call.result !== undefined && (
        <Value label={call.preliminary ? "Preliminary result" : "Result"} value={call.result} />
      )}
      {shown && call.failure !== undefined && state === "failed" && <Reasons details={[call.failure]} />}
    </details>
  )
}

const Nested = ({ own }: { own: Frame }) => (
  <details class={`nested ${own.state}`} open>
    <summary>
      {own.agent}
      <span class="state">{own.state}</span>
    </summary>
    <Blocks blocks={own.blocks} />
  </details>
)

export const Problem = ({ failure, isTold = false }: { failure: Failure; isTold?: boolean }) => (
  <div class="failure" {...!isTold && { role: "alert" }}>
    <b>{failure.code}</b> {failure.message}
    <Reasons details={failure.details ?? []} />
  </div>
)

/** Failures as they were: the tag, that of the reason, the message, and the fields when they are asked for. */
const Reasons = ({ details }: { details: ReadonlyArray<Details> }) => (
  <>{details.map((one, key) => <Reason key={key} of={one} />)}</>
)

const Reason = ({ of }: { of: Details }) => {
  const [shown, setShown] = useState(false)
  return (
    <details class="reason" onToggle={(event) => setShown(event.currentTarget.open)}>
      <summary>
        <span>
          <code>{[...of.isDefect ? ["defect"] : [], ...of.tags].join(" › ")}</code> {of.message}
        </span>
      </summary>
      {shown && <Value label="Fields" value={of.data} />}
    </details>
  )
}

const Blocks = ({ blocks }: { blocks: ReadonlyArray<Block> }) => (
  <>
    {blocks.map((block, key) => {
      switch (block.kind) {
        case "text":
          return <Markdown key={key} text={block.text} done={block.done} />
        case "reasoning":
          return (
            <details key={key} class="reasoning">
              <summary>{block.done ? "Reasoning" : "Reasoning…"}</summary>
              <p>{block.text}</p>
            </details>
          )
        case "call":
          return (
            <div key={key}>
              <Call
                call={block}
                state={block.state}
                written={block.written.length}
                params={block.params}
                result={block.result}
              />
              {block.nested.map((own, index) => <Nested key={index} own={own} />)}
            </div>
          )
        case "steering":
          return <div key={key} class="said steering">{block.text}</div>
        case "source":
          return (
            <div key={key} class="source">
              Source: <Link href={block.url ?? ""}>{block.title}</Link>
            </div>
          )
        case "file":
          return isImage(block.mediaType) && block.url.startsWith("data:")
            ? <img key={key} src={block.url} alt={block.name ?? "image of the answer"} />
            : (
              <a key={key} class="file" href={block.url} download={block.name ?? "file"}>
                {block.name ?? block.mediaType}
              </a>
            )
        case "output":
          return <Value key={key} label="Output" value={block.value} />
        case "failure":
          return <Problem key={key} failure={block.failure} />
      }
    })}
  </>
)

const Approvals = ({ own, turn }: { own: Chat; turn: Turn }) => {
  const [answers, setAnswers] = useState<Record<string, Json>>({})
  const [refused, setRefused] = useState<Failure | undefined>(undefined)
  const sending = useRef(false)
  const give = (id: string, given: Json) => {
    if (sending.current) return
    const next = { ...answers, [id]: { approvalId: id, ...given } }
    const all = turn.approvals.map(({ approvalId }) => next[approvalId])
    if (all.some((one) => one === undefined)) return setAnswers(next)
    // the last one stays where it is until it is taken
    sending.current = true
    setRefused(undefined)
    void answer(own, turn, all).then((failure) => {
      sending.current = false
      setRefused(failure)
      setAnswers({})
    })
  }
  return (
    <>
      {turn.approvals.map((approval) => (
        <div key={approval.approvalId} hidden={answers[approval.approvalId] !== undefined}>
          <Approval
            approval={approval}
            give={(given) =>
              give(approval.approvalId, given)}
          />
        </div>
      ))}
      {refused !== undefined && <Problem failure={refused} />}
    </>
  )
}

export const Approval = ({ approval, give }: { approval: Json; give: (answer: Json) => void }) => {
  const inClient = approval.runsIn === "client"
  const original = inClient ? "" : written(approval.params)
  const [text, setText] = useState(original)
  const [reason, setReason] = useState("")
  const [bad, setBad] = useState("")
  const approve = () => {
    let value: Json
    try {
      value = JSON.parse(text)
    } catch (error) {
      setBad(`This is no JSON: ${(error as Error).message}`)
      return
    }
    give(inClient ? { approved: true, result: value } : { approved: true, ...(text !== original && { params: value }) })
  }
  const name = [...approval.path, approval.tool].join(" › ")
  return (
    <div class="approval" role="group" aria-label={`Approval of ${approval.tool}`}>
      <h3>
        {inClient
          ? (
            <>
              Give the result of <b>{name}</b>
            </>
          )
          : (
            <>
              <b>{name}</b> asks for your approval
            </>
          )}
      </h3>
      {inClient && <Value label="Arguments" value={approval.params} />}
      <label>
        {inClient ? "Result as JSON" : "Arguments, which you may edit"}
        <textarea
          class="mono"
          rows={Math.min(12, original.split("\n").length + 1)}
          value={text}
          spellcheck={false}
          onInput={(event) => {
            setText(event.currentTarget.value)
            setBad("")
          }}
        />
      </label>
      {bad !== "" && <div class="failure" role="alert">{bad}</div>}
      <div class="row">
        <button class="primary" onClick={once(approve)}>
          {inClient ? "Give result" : text === original ? "Approve" : "Approve with edits"}
        </button>
        <input
          aria-label="Reason for a denial"
          placeholder="Reason (optional)"
          value={reason}
          onInput={(event) => setReason(event.currentTarget.value)}
        />
        <button class="danger" onClick={once(() => give({ approved: false, ...(reason !== "" && { reason }) }))}>
          Deny
        </button>
      </div>
    </div>
  )
}

const isImage = (mediaType: string): boolean => /^image\/(png|jpeg|gif|webp)$/.test(mediaType)

/** What the user has said. It can be said again in other words, in a fork of the session. */
const Said = ({ own, state, turn }: { own: Chat; turn: Turn; state: Turn["state"] }) => {
  const [edited, setEdited] = useState<string | undefined>(undefined)
  const field = useRef<HTMLTextAreaElement>(null)
  useLayoutEffect(() => field.current?.focus(), [edited === undefined])
  const send = () => {
    if (edited === undefined || (edited.trim() === "" && turn.files.length === 0)) return
    setEdited(undefined)
    void branch(own, turn, edited)
  }
  if (edited !== undefined) {
    return (
      <div class="editing">
        <textarea
          aria-label="Edited message"
          rows={Math.min(8, Math.max(2, edited.split("\n").length))}
          value={edited}
          ref={field}
          onInput={(event) => setEdited(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === "Escape") {
              event.stopPropagation()
              setEdited(undefined)
            } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
              event.preventDefault()
              send()
            }
          }}
        />
        <div class="row">
          <span class="note">The session as it is stays. This goes on in a fork.</span>
          <button onClick={() => setEdited(undefined)}>Cancel</button>
          <button class="primary" onClick={send}>Send in a fork</button>
        </div>
      </div>
    )
  }
  return (
    <div class="saying">
      {state !== "running" && (
        <span class="actions">
          <button class="icon" aria-label="Edit and fork" title="Edit and fork" onClick={() => setEdited(turn.text)}>
            <Icon name="edit" />
          </button>
          <button class="icon" aria-label="Ask again" title="Ask again" onClick={() => void branch(own, turn)}>
            <Icon name="again" />
          </button>
        </span>
      )}
      <div class="said">
        {turn.text}
        {turn.files.map((file, key) => {
          const address = addressOf(file.mediaType, file.data)
          return isImage(file.mediaType) && address.startsWith("data:")
            ? <img key={key} src={address} alt={file.fileName} />
            : <span key={key} class="file">{file.fileName}</span>
        })}
      </div>
    </div>
  )
}

interface TurnProps {
  readonly own: Chat
  readonly turn: Turn
  readonly live: boolean
  /** What the journal says of its last run. */
  readonly known: Json
  readonly isInspected: boolean
}

/** Only the last turn is drawn again when parts come. */
export class TurnView extends Component<TurnProps> {
  override shouldComponentUpdate(next: TurnProps) {
    const { isInspected, known, live, turn } = this.props
    return next.live || live || next.turn !== turn || next.known !== known || next.isInspected !== isInspected
  }

  override render() {
    const { isInspected, live, own, turn } = this.props
    if (live) seen()
    return (
      <article data-state={turn.state}>
        {(turn.text !== "" || turn.files.length > 0) && <Said own={own} turn={turn} state={turn.state} />}
        <div class="answer">
          <Blocks blocks={turn.root.blocks} />
          {turn.state === "running" && (
            <div class="working" role="status">
              <i />
              <i />
              <i />
              <span>working</span>
            </div>
          )}
          {turn.state === "waiting" && live && <Approvals own={own} turn={turn} />}
          {turn.state === "stopped" && <div class="note">Stopped.</div>}
          {(turn.state === "failed" || turn.state === "stopped") && live &&
            <button onClick={() => void branch(own, turn)}>Retry</button>}
          {isParked(turn) && own === chat && <button onClick={() => show("executions")}>Show the executions</button>}
          {(turn.usage !== undefined || turn.runIds.length > 0 && turn.state !== "running") && (
            <button
              class="note"
              title="Show this run"
              aria-current={isInspected}
              onClick={() => look(own, turn)}
            >
              {turn.usage === undefined ? stored(turn) : summary(turn)}
            </button>
          )}
        </div>
      </article>
    )
  }
}

/** Whether its durable execution waits for somebody who lets it go on. */
const isParked = ({ failure }: Turn): boolean =>
  failure?.details?.some(({ tags }) => tags.includes("ExecutionParked")) === true

/** A turn of which the journal has the run. */
const stored = (turn: Turn): string => {
  const { cost, last } = knownOf(turn)
  return [
    "Show its run",
    ...last === undefined ? [] : [last.stopReason ?? last.outcome],
    ...last?.endedAt == null ? [] : [ms(last.endedAt - last.startedAt)],
    ...cost === undefined ? [] : [money(cost)]
  ].join(" · ")
}

const summary = (turn: Turn): string =>
  [
    turn.stopReason,
    `${turn.usage!.input.toLocaleString()} tokens in`,
    `${turn.usage!.output.toLocaleString()} out`,
    ...[knownOf(turn).cost].flatMap((cost) => cost === undefined ? [] : money(cost))
  ].join(" · ")

/** The currency is that of the prices. */
export const money = (cost: number): string =>
  cost.toLocaleString(undefined, { minimumFractionDigits: 2, maximumFractionDigits: cost < 0.1 ? 5 : 2 })
