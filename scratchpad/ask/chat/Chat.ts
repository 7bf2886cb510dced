/**
 * A conversation in a terminal.
 *
 * One loop takes keys, parts of the run and ticks of a clock from one queue, changes the state, and draws. The run is a
 * fiber of its own, so the user can type, interrupt it, or look at the tool calls while it goes on.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Terminal from "effect/Terminal"
import type * as AgentRun from "../../../src/AgentRun.ts"
import type * as Approval from "../../../src/Approval.ts"
import * as Steering from "../../../src/Steering.ts"
import * as Interrupts from "../Interrupts.ts"
import * as Screen from "../Screen.ts"
import type * as Style from "../Style.ts"
import * as Text from "../Text.ts"
import * as Answer from "./Answer.ts"
import * as Commands from "./Commands.ts"
import * as Consent from "./Consent.ts"
import type * as Conversation from "./Conversation.ts"
import * as Editor from "./Editor.ts"
import * as Live from "./Live.ts"
import * as Pager from "./Pager.ts"
import * as View from "./View.ts"

/** The options of a chat. */
export interface Options {
  readonly conversation: Conversation.Conversation
  readonly heading: ReadonlyArray<string>
  readonly style: Style.Style
  /** Called after each answer, for example to write its spans. */
  readonly afterAnswer: Effect.Effect<void, unknown>
}

type Event =
  | { readonly _tag: "Key"; readonly input: Terminal.UserInput }
  | { readonly _tag: "Resized"; readonly size: Terminal.Size }
  | { readonly _tag: "Part"; readonly part: AgentRun.Part }
  | { readonly _tag: "Ended"; readonly outcome: AgentRun.Outcome }
  | { readonly _tag: "Done"; readonly outcome: Commands.Outcome }
  | { readonly _tag: "Tick" }
  | { readonly _tag: "Closed" }

/** The state. Only the loop changes it. */
interface Chat extends Options {
  readonly send: (event: Event) => Effect.Effect<void>
  /** Writes to the terminal. When nobody sees it any more, the chat is over. */
  readonly write: (text: string) => Effect.Effect<void>
  readonly unguarded: Effect.Effect<void, never, Scope.Scope>
  readonly live: ReturnType<typeof Live.make>
  size: Pager.Size
  editor: Editor.Editor
  /** The fiber of a run or a command. */
  working: { readonly fiber: Fiber.Fiber<void>; readonly since: number; isEnding: boolean } | undefined
  answer: Answer.Answer | undefined
  steering: Steering.Steering
  /** The calls that wait for the user, and the answers so far. */
  asking: {
    readonly result: AgentRun.Result
    readonly waiting: ReadonlyArray<Approval.Approval>
    readonly answers: ReadonlyArray<Approval.Answer>
  } | undefined
  consent: Consent.Consent | undefined
  /** Whether the user was writing when the question came, and is not yet at it: the keys are none of its answers. */
  isWriting: boolean
  /** When the last key of a paste came. */
  pastedAt: number
  folded: ReadonlyArray<Answer.Folded>
  pager: Pager.Pager | undefined
  hint: string
  /** Whether one more Ctrl-C leaves. */
  isLeaving: boolean
  isOver: boolean
  /** The lines to print. */
  readonly printed: Array<string>
  /** Whether the last of them was blank. */
  isBlank: boolean
  since: number
  drawnAt: number
}

/** A paste comes at once. A Ctrl-C that comes so many milliseconds after it was pressed, though the paste has no end. */
const endOfPaste = 200

/** So many tool calls and thoughts are remembered for the page of Ctrl-O. */
const maxFolded = 200

/** Runs the chat until the user leaves. */
export const run = Effect.fnUntraced(function*(options: Options) {
  const terminal = yield* Terminal.Terminal
  const events = yield* Queue.bounded<Event>(512)
  const self: Chat = {
    ...options,
    send: (event) => Effect.asVoid(Queue.offer(events, event)),
    write: (text) => terminal.display(text).pipe(Effect.catch(() => Effect.interrupt)),
    unguarded: yield* Interrupts.Unguarded,
    live: Live.make(),
    size: sizeOf({ columns: yield* terminal.columns, rows: yield* terminal.rows }),
    editor: Editor.make(yield* said(options.conversation)),
    working: undefined,
    answer: undefined,
    steering: yield* Steering.make,
    asking: undefined,
    consent: undefined,
    isWriting: false,
    pastedAt: 0,
    folded: [],
    pager: undefined,
    hint: "",
    isLeaving: false,
    isOver: false,
    printed: [...options.heading, ""],
    isBlank: true,
    since: 0,
    drawnAt: 0
  }
  yield* Effect.addFinalizer(() => Effect.ignore(terminal.display(left(self))))
  yield* self.write(pasteOn)
  const keys = yield* terminal.readInput
  const sizes = yield* terminal.size
  yield* Effect.forkScoped(
    Effect.ensuring(
      Effect.ignore(Effect.forever(Effect.flatMap(
        Queue.takeAll(keys),
        (inputs) => Queue.offerAll(events, inputs.map((input): Event => ({ _tag: "Key", input })))
      ))),
      self.send({ _tag: "Closed" })
    )
  )
  yield* Effect.forkScoped(
    Effect.ignore(Effect.forever(Effect.flatMap(Queue.take(sizes), (size) => self.send({ _tag: "Resized", size }))))
  )
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(
    Effect.sleep(View.tick),
    Effect.suspend(() => self.working === undefined ? Effect.void : self.send({ _tag: "Tick" }))
  )))
  yield* draw(self)
  const turn = Effect.flatMap(Queue.takeAll(events), (batch) => take(self, batch))
  yield* Effect.ensuring(
    Effect.whileLoop({ while: () => !self.isOver, body: () => turn, step: () => {} }),
    // Nothing waits for this loop any more
    Queue.shutdown(events)
  )
}, Effect.scoped)

/** A terminal that does not know its size has the usual one. */
const sizeOf = ({ columns, rows }: Pager.Size): Pager.Size => ({ columns: columns || 80, rows: rows || 24 })

/** The questions of the session, for the history of the editor. */
const said = (conversation: Conversation.Conversation) =>
  Effect.orElseSucceed(Effect.map(conversation.history, Commands.questions), (): ReadonlyArray<string> => [])

const take = Effect.fnUntraced(function*(self: Chat, batch: ReadonlyArray<Event>) {
  for (const event of batch) {
    yield* handle(self, event)
    if (self.isOver) break
  }
  // Parts, and the characters of a paste, come faster than anybody reads
  const isPasting = editing(self).paste !== undefined
  const isUrgent = self.isOver || !isPasting && batch.some(({ _tag }) => _tag !== "Part")
  if (isUrgent || (yield* Clock.currentTimeMillis) - self.drawnAt >= View.tick) yield* draw(self)
})

const handle = Effect.fnUntraced(function*(self: Chat, event: Event) {
  switch (event._tag) {
    case "Key":
      return yield* pressed(self, event.input)
    case "Part":
      return self.answer?.part(event.part, View.shape(self))
    case "Ended":
      return yield* ended(self, event.outcome)
    case "Done":
      self.working = undefined
      if (event.outcome === "leave") self.isOver = true
      else print(self, [...event.outcome, ""])
      return
    case "Resized":
      self.size = sizeOf(event.size)
      return
    case "Closed":
      self.isOver = true
  }
})

/** Of several blank lines one is printed. */
const print = (self: Chat, lines: ReadonlyArray<string>): void => {
  for (const line of lines) {
    if (line === "" && self.isBlank) continue
    self.printed.push(line)
    self.isBlank = line === ""
  }
}

/** The blank lines of an answer stay: they may be in code. */
const printAnswer = (self: Chat, answer: Answer.Answer): void => {
  const lines = answer.take(View.shape(self))
  if (lines.length === 0) return
  self.printed.push(...lines)
  self.isBlank = lines.at(-1) === ""
}

const draw = Effect.fnUntraced(function*(self: Chat) {
  self.drawnAt = yield* Clock.currentTimeMillis
  if (self.pager !== undefined) return yield* self.write(Pager.draw(self.pager, self.size, self.style))
  if (self.answer !== undefined) printAnswer(self, self.answer)
  const frame = View.frame(self, self.drawnAt)
  yield* self.write(self.live.draw(self.printed.splice(0), frame, self.size.columns))
})

// -----------------------------------------------------------------------------
// Keys
// -----------------------------------------------------------------------------

const pressed = Effect.fnUntraced(function*(self: Chat, input: Terminal.UserInput) {
  const { key } = input
  const isControlC = key.ctrl === true && key.name === "c"
  // Whatever a paste contains is text
  if (editing(self).paste !== undefined) {
    const now = yield* Clock.currentTimeMillis
    if (!isControlC || now - self.pastedAt < endOfPaste) {
      self.pastedAt = now
      return edit(self, input)
    }
  }
  // It is for the message also while a page is open: none of its characters is a key
  if (key.name === "paste-start") {
    self.pastedAt = yield* Clock.currentTimeMillis
    // Its first letter is no answer
    self.isWriting ||= self.consent?.asks === "choice"
    self.hint = ""
    return edit(self, input)
  }
  if (self.pager !== undefined) {
    self.pager = Pager.press(self.pager, input, self.size)
    return self.pager === undefined ? yield* self.write(alternateOff) : undefined
  }
  if (isControlC) return yield* controlC(self)
  self.isLeaving = false
  self.hint = ""
  if (key.ctrl && key.name === "l") return yield* self.write(self.live.clear())
  if (key.ctrl && key.name === "o") return yield* open(self)
  const { consent, editor } = self
  if (consent !== undefined && !self.isWriting) return yield* consented(self, Consent.press(consent, input))
  if (consent !== undefined) {
    if (key.name === "escape" || key.name === "return" && !key.meta) self.isWriting = false
    else edit(self, input)
    return
  }
  if (key.ctrl && key.name === "d" && editor.text === "") {
    if (self.working !== undefined) yield* interrupt(self, self.working)
    self.isOver = true
    return
  }
  if (key.name === "return" && !key.meta) return yield* submit(self)
  const [command] = key.name === "tab" ? Commands.matching(editor.text) : []
  self.editor = command === undefined ? Editor.press(editor, input) : Editor.set(editor, `/${command.name} `)
})

/** The editor that has the keys. */
const editing = ({ consent, editor, isWriting }: Chat): Editor.Editor =>
  consent === undefined || isWriting ? editor : consent.editor

const edit = (self: Chat, input: Terminal.UserInput): void => {
  const editor = Editor.press(editing(self), input)
  if (self.consent === undefined || self.isWriting) self.editor = editor
  else self.consent = { ...self.consent, editor, problem: "" }
}

/** The first one interrupts the answer, drops the question about a call, or drops the text. A second one leaves. */
const controlC = Effect.fnUntraced(function*(self: Chat) {
  if (self.working !== undefined) return yield* interrupt(self, self.working)
  if (self.consent !== undefined) {
    self.answer?.end(View.shape(self))
    if (self.answer !== undefined) printAnswer(self, self.answer)
    print(self, [""])
    self.answer = self.asking = self.consent = undefined
    self.isWriting = false
  } else if (self.isLeaving && self.editor.text === "") {
    self.isOver = true
    return
  }
  self.editor = { ...Editor.set(self.editor, ""), paste: undefined }
  self.isLeaving = true
  self.hint = "Ctrl-C again leaves."
})

/** From here on the next Ctrl-C ends the process, even if a tool or a finalizer does not end. */
const interrupt = Effect.fnUntraced(function*(self: Chat, working: NonNullable<Chat["working"]>) {
  if (working.isEnding) {
    // Both came before the terminal was told to end the process at the second one
    self.isOver = true
    return
  }
  working.isEnding = true
  self.hint = "Ctrl-C again leaves at once."
  const scope = yield* Scope.make()
  yield* Scope.provide(self.unguarded, scope)
  yield* draw(self)
  yield* self.write(pasteOff)
  const guarded = Effect.andThen(Scope.close(scope, Exit.void), self.write(pasteOn))
  yield* Effect.forkScoped(Effect.ensuring(Fiber.interrupt(working.fiber), guarded))
})

const open = Effect.fnUntraced(function*(self: Chat) {
  const folded = [...self.folded, ...self.answer?.folded ?? []]
  if (folded.length === 0) {
    self.hint = "No tool was called yet, and there is no reasoning."
    return
  }
  yield* self.write(alternateOn)
  self.pager = Pager.make((columns) => Answer.opened(folded, { columns, style: self.style }))
})

const submit = Effect.fnUntraced(function*(self: Chat) {
  const text = self.editor.text.trim()
  if (text === "") return
  const isCommand = Commands.isCommand(text)
  if (self.working !== undefined && isCommand) {
    self.hint = "Commands work when the answer has ended; Ctrl-C interrupts it."
    return
  }
  self.editor = Editor.submit(self.editor)
  if (self.working !== undefined) {
    yield* self.steering.send(text)
    self.hint = "The model reads it before its next step."
    return
  }
  return yield* (isCommand ? command(self, text) : ask(self, text))
})

// -----------------------------------------------------------------------------
// Questions
// -----------------------------------------------------------------------------

const started = Effect.fnUntraced(function*(self: Chat, work: Effect.Effect<void>) {
  const since = yield* Clock.currentTimeMillis
  // However it ends, its end is told
  self.working = { fiber: yield* Effect.forkScoped(Effect.uninterruptible(work)), since, isEnding: false }
})

const command = Effect.fnUntraced(function*(self: Chat, text: string) {
  print(self, [self.style.dim(`❯ ${Text.oneLine(text)}`)])
  const options = View.shape(self)
  const done = Effect.exit(Effect.interruptible(Commands.run(self.conversation, text, options)))
  yield* started(
    self,
    Effect.flatMap(done, (exit) =>
      self.send({
        _tag: "Done",
        outcome: Exit.isSuccess(exit) ? exit.value : [self.style.red(Screen.messageOf(exit.cause))]
      }))
  )
})

const emit = (self: Chat): Conversation.Emit => (part) => self.send({ _tag: "Part", part })

const reported = (self: Chat, running: Effect.Effect<AgentRun.Outcome>) =>
  Effect.flatMap(running, (outcome) => self.send({ _tag: "Ended", outcome }))

const ask = Effect.fnUntraced(function*(self: Chat, question: string) {
  const { conversation, style } = self
  print(self, [...Answer.said(question, View.shape(self)), ""])
  if (conversation.spent().left === 0) {
    return print(self, [style.yellow("The budget is used up."), "/budget 20000 gives more, /budget off ends it.", ""])
  }
  self.since = yield* Clock.currentTimeMillis
  self.answer = Answer.make()
  self.steering = yield* Steering.make
  yield* started(self, reported(self, conversation.ask(question, self.steering, emit(self))))
})

const ended = Effect.fnUntraced(function*(self: Chat, outcome: AgentRun.Outcome) {
  const { answer, conversation, style } = self
  const options = View.shape(self)
  self.working = undefined
  self.hint = ""
  if (outcome._tag === "Completed" && outcome.result.approvals.length > 0) {
    self.asking = { result: outcome.result, waiting: outcome.result.approvals, answers: [] }
    self.isWriting = self.editor.text !== "" || self.editor.paste !== undefined
    return askNext(self)
  }
  if (answer !== undefined) {
    answer.end(options)
    printAnswer(self, answer)
    self.folded = [...self.folded, ...answer.folded].slice(-maxFolded)
  }
  self.answer = undefined
  const seconds = ((yield* Clock.currentTimeMillis) - self.since) / 1000
  const closing = View.closing(outcome, conversation.spent(), seconds, style)
  print(self, ["", ...closing.flatMap((line) => Text.wrap(line, options.columns)), ""])
  if (outcome._tag === "Interrupted") {
    self.isLeaving = true
    self.hint = "Ctrl-C again leaves."
  }
  const kept = yield* Effect.exit(self.afterAnswer)
  if (Exit.isFailure(kept)) print(self, [style.red(Screen.messageOf(kept.cause)), ""])
  // What came too late for the run is the next question
  const unread = textOf(yield* self.steering.unread)
  if (unread === "") return
  if (outcome._tag === "Completed") return yield* ask(self, unread)
  self.editor = Editor.set(self.editor, [unread, self.editor.text].filter((text) => text !== "").join("\n"))
})

const textOf = (messages: Effect.Success<Steering.Steering["unread"]>): string =>
  messages.flatMap(({ content }) => content.flatMap((part) => part.type === "text" ? [part.text] : [])).join("\n")

// -----------------------------------------------------------------------------
// Approvals
// -----------------------------------------------------------------------------

const askNext = (self: Chat): void => {
  const next = self.asking?.waiting[0]
  if (next === undefined) return
  if (self.answer !== undefined) printAnswer(self, self.answer)
  print(self, ["", ...Consent.request(next, self.style), ""])
  self.consent = Consent.make(next)
}

const consented = Effect.fnUntraced(function*(self: Chat, next: Consent.Consent | Approval.Answer) {
  if (!("_tag" in next)) {
    self.consent = next
    return
  }
  const { asking } = self
  if (asking === undefined) return
  print(self, [...View.decided(next, self.style), ""])
  self.consent = undefined
  const answers = [...asking.answers, next]
  self.asking = { ...asking, waiting: asking.waiting.slice(1), answers }
  if (self.asking.waiting.length > 0) return askNext(self)
  self.asking = undefined
  yield* started(self, reported(self, self.conversation.answer(asking.result, answers, emit(self))))
})

// -----------------------------------------------------------------------------
// The terminal
// -----------------------------------------------------------------------------

const left = (self: Chat): string =>
  `${self.pager === undefined ? "" : alternateOff}${self.live.close(self.size.columns)}${pasteOff}`

// A paste comes between two marks, so that its line breaks do not end the text
const pasteOn = "\x1b[?2004h"
const pasteOff = "\x1b[?2004l"
const alternateOn = "\x1b[?1049h"
const alternateOff = "\x1b[?1049l"
