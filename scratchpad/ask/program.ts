/**
 * The command line: an agent that answers questions about a folder.
 */
import * as NodeTerminal from "@effect/platform-node/NodeTerminal"
import * as Argument from "effect/cli/Argument"
import * as CliConfig from "effect/cli/CliConfig"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import type * as PlatformError from "effect/PlatformError"
import * as Schema from "effect/Schema"
import * as Stdio from "effect/Stdio"
import * as Terminal from "effect/Terminal"
import * as Agent from "../../src/Agent.ts"
import type * as AgentRun from "../../src/AgentRun.ts"
import * as AgentTelemetry from "../../src/AgentTelemetry.ts"
import * as SessionStore from "../../src/SessionStore.ts"
import * as Consent from "./Consent.ts"
import * as Folder from "./Folder.ts"
import * as FolderAgent from "./FolderAgent.ts"
import * as FolderTools from "./FolderTools.ts"
import * as Models from "./Models.ts"
import * as Otlp from "./Otlp.ts"
import * as Piped from "./Piped.ts"
import * as Question from "./Question.ts"
import * as Screen from "./Screen.ts"
import * as Sessions from "./Sessions.ts"
import * as SpanRecorder from "./SpanRecorder.ts"
import * as Style from "./Style.ts"
import * as Text from "./Text.ts"

/** Ends the program with exit code 1, after the reason was printed. */
export class Reported extends Schema.Error<Reported>("ask/program/Reported")({ _tag: Schema.tag("Reported") }) {}

const version = "0.1.0"

const defaultQuestion = "What is this folder about?"

/**
 * The whole program. `select` returns the model for the flags. The program fails after it has printed the reason, and
 * is interrupted when the run was.
 */
export const program = <E>(select: Select<E>) =>
  Command.make("ask", flags, (input) => ask(input, select)).pipe(
    Command.withDescription(
      "Answers questions about the current folder, with an agent that lists, searches and reads its files. " +
        "It may write a note into the folder if you allow it. " +
        "Without a question, in a terminal, it is a chat; /help shows its commands. " +
        "With a question the answer is printed as it comes, then how the run ended, and its trace. " +
        "Text from standard input goes with the question, or is the question. " +
        "Exit code: 0 completed, 1 failed, 130 interrupted (Ctrl-C), 143 terminated."
    ),
    Command.withExamples([
      { command: `npm start -- "where is the tool loop?"`, description: "Ask about this folder" },
      {
        command: `npm start -- --session work "where is the tool loop?"`,
        description: "Keep the conversation; a later question with the same name continues it"
      },
      { command: `git diff | npm start -- "what has changed?"`, description: "Ask about the output of a program" },
      { command: `npm start -- --folder ../other "list the markdown files"`, description: "Ask about another folder" },
      { command: `npm start -- --spans spans.json "what is this?"`, description: "Keep the trace as OTLP JSON" },
      {
        command: `npm start -- --base-url http://127.0.0.1:11434/v1 --model qwen3 "what is this?"`,
        description: "Use a model of Ollama; OPENAI_API_KEY and similar variables choose a provider"
      }
    ]),
    Command.run({ version }),
    Effect.provide(CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version] })),
    Effect.tapCause((cause) => {
      const failure = cause.reasons.find((reason) => reason._tag !== "Interrupt")
      const error = failure?._tag === "Fail" ? failure.error : undefined
      const isSaid = failure === undefined || error instanceof Reported || CliError.isCliError(error)
      return isSaid ? Effect.void : Console.error(Screen.messageOf(cause))
    }),
    Effect.provide(Logger.layer([logger]))
  )

/** Log messages quote foreign names and texts, so they do not belong into the answer. */
const logger = Logger.withConsoleError(Logger.map(Logger.formatLogFmt, Text.oneLine))

const flags = {
  question: Argument.String("question").pipe(
    Argument.withDescription(`What you want to know. Default: "${defaultQuestion}"`),
    Argument.variadic()
  ),
  folder: Flag.String("folder").pipe(
    Flag.withMetavar("DIR"),
    Flag.withDescription("The folder to ask about. Nothing outside of it is read. Default: the current folder"),
    Flag.withDefault(".")
  ),
  includeIgnored: Flag.Boolean("include-ignored").pipe(
    Flag.withDescription(
      "Also show files that .gitignore excludes, and .git, node_modules and dist. Default: they are refused"
    ),
    Flag.withDefault(false)
  ),
  includeSecrets: Flag.Boolean("include-secrets").pipe(
    Flag.withDescription(
      "Also read files whose names suggest secrets: .env, *.pem, id_rsa, credentials and similar. " +
        "Default: they are refused"
    ),
    Flag.withDefault(false)
  ),
  session: Flag.String("session").pipe(
    Flag.withMetavar("NAME"),
    Flag.withDescription("Keep the conversation under this name, and continue it"),
    Flag.filter((name) => name.trim() !== "", () => "a session needs a name"),
    Flag.optional
  ),
  sessionFile: Flag.String("session-file").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription(
      "The SQLite file for sessions. Default: $XDG_STATE_HOME/effect-agents/sessions.sqlite, " +
        "or ~/.local/state/effect-agents/sessions.sqlite. Without --session the name is `default`"
    ),
    Flag.optional
  ),
  ...Models.flags,
  json: Flag.Boolean("json").pipe(
    Flag.withDescription(
      "Print each part of the run as a line of JSON, and nothing else. Nobody is asked for approvals"
    ),
    Flag.withDefault(false)
  ),
  spans: Flag.String("spans").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription(
      "Write the spans and metrics of the run to this file as OTLP JSON, however the run ends. " +
        "In a chat they are those of the last answer"
    ),
    Flag.optional
  ),
  trace: Flag.Boolean("trace").pipe(
    Flag.withDescription(
      "Show the trace of the run as a picture at its end. Default: it is shown; --no-trace hides it"
    ),
    Flag.withDefault(true)
  )
}

interface Input extends Models.Input {
  readonly question: ReadonlyArray<string>
  readonly folder: string
  readonly includeIgnored: boolean
  readonly includeSecrets: boolean
  readonly session: Option.Option<string>
  readonly sessionFile: Option.Option<string>
  readonly json: boolean
  readonly spans: Option.Option<string>
  readonly trace: boolean
}

/** Returns the model for the flags that name one. */
type Select<E> = (input: Models.Input) => Effect.Effect<FolderAgent.Model, E>

const ask = Effect.fnUntraced(function*<E>(input: Input, select: Select<E>) {
  const model = yield* select(input)
  const session = Option.getOrUndefined(Option.orElse(input.session, () => Option.as(input.sessionFile, "default")))
  if (Option.isSome(input.spans)) yield* checkWritable(input.spans.value)
  const question = input.question.join(" ").trim()
  const inFolder = Effect.provide(FolderTools.layer.pipe(Layer.provideMerge(Folder.layer(input.folder, input))))
  if (question === "" && !input.json && (yield* isChat)) {
    return yield* inFolder(chat({ ...input, session }, model, select))
  }
  const piped = yield* Piped.read
  const asked = question !== "" ? Question.make(question, piped) : Question.make(piped === "" ? defaultQuestion : piped)
  return yield* inFolder(once({ ...input, session }, asked, model)).pipe(
    Effect.provide([
      session === undefined ? SessionStore.layerMemory : Sessions.layer(Option.getOrUndefined(input.sessionFile)),
      input.json ? Screen.layerJson : Screen.layer,
      AgentTelemetry.layer().pipe(Layer.provideMerge(SpanRecorder.layer)),
      model.layer
    ])
  )
})

type Settled = Omit<Input, "session"> & { readonly session: string | undefined }

/** Whether a person sits at a terminal that can move its cursor. */
const isChat = Effect.gen(function*() {
  const stdio = yield* Stdio.Stdio
  const terminal = yield* Config.withDefault(Config.String("TERM"), "")
  return (yield* stdio.stdinIsTerminal) && (yield* stdio.stdoutIsTerminal) && terminal !== "dumb"
})

const chat = Effect.fnUntraced(function*<E>(input: Settled, model: FolderAgent.Model, select: Select<E>) {
  const folder = yield* Folder.Folder
  const services = yield* Effect.context<FileSystem.FileSystem>()
  // Loaded here, because one question needs none of it
  const [Chat, Conversation] = yield* Effect.promise(() =>
    Promise.all([import("./chat/Chat.ts"), import("./chat/Conversation.ts")])
  )
  const conversation = yield* Conversation.make({
    model,
    select: (name) => select({ ...input, model: Option.some(name) }),
    session: input.session,
    sessionFile: Option.getOrUndefined(input.sessionFile)
  })
  const noColor = yield* Config.withDefault(Config.String("NO_COLOR"), "")
  const style = noColor === "" ? Style.colours : Style.plain
  yield* Chat.run({
    conversation,
    style,
    heading: [
      style.bold("Ask about this folder."),
      style.dim(Text.oneLine(inHome(folder.root, yield* Config.withDefault(Config.String("HOME"), "")))),
      style.dim(Text.oneLine(model.title))
    ],
    afterAnswer: Effect.suspend(() => {
      const recorder = conversation.recorder()
      return recorder === undefined ? Effect.void : Effect.provide(keepSpans(input, recorder), services)
    })
  }).pipe(
    // The keys that end the input of effect's own terminal mean something here
    Effect.provide(Layer.effect(Terminal.Terminal, NodeTerminal.make(() => false)))
  )
}, Effect.scoped)

/** The folder of the user is `~`, as in a shell. */
const inHome = (path: string, home: string): string =>
  home !== "" && `${path}/`.startsWith(`${home}/`) ? `~${path.slice(home.length)}` : path

const once = Effect.fnUntraced(function*(
  input: Settled,
  question: Question.Question,
  model: FolderAgent.Model
) {
  const screen = yield* Screen.Screen
  const folder = yield* Folder.Folder
  const agent = FolderAgent.make("completed")
  yield* screen.heading([
    question.text,
    `folder ${folder.root} · ${model.title}${input.session === undefined ? "" : ` · session ${input.session}`}`
  ])
  /** Continues a run that waits for approvals when the user has answered. */
  const answered = Effect.fnUntraced(function*(outcome: AgentRun.Outcome) {
    let last = outcome
    while (last._tag === "Completed" && last.result.approvals.length > 0) {
      const { result } = last
      const answers = yield* Effect.exit(Effect.interruptible(Effect.forEach(result.approvals, Consent.ask)))
      if (Exit.isFailure(answers)) break
      last = yield* FolderAgent.run(agent, (agent) => Agent.resumeStream(agent, { result }, answers.value), screen.part)
    }
    return last
  })

  // However the run ends, its end is still reported
  return yield* Effect.uninterruptible(Effect.gen(function*() {
    const { prompt } = question
    const { session } = input
    const first = yield* FolderAgent.run(agent, (agent) => Agent.stream(agent, { prompt, session }), screen.part)
    const outcome = yield* answered(first)
    yield* screen.outcome(outcome)
    const recorder = yield* SpanRecorder.SpanRecorder
    if (input.trace) yield* screen.trace(yield* recorder.spans, yield* Clock.currentTimeNanos)
    yield* keepSpans(input, recorder)
    if (outcome._tag === "Failed") return yield* new Reported()
    if (outcome._tag !== "Completed") return yield* Effect.interrupt
  }))
})

const keepSpans = Effect.fnUntraced(function*(input: Settled, recorder: SpanRecorder.SpanRecorder["Service"]) {
  if (Option.isNone(input.spans)) return
  const spans = yield* recorder.spans
  const metrics = yield* recorder.metrics
  yield* writeFile(
    input.spans.value,
    Otlp.encode({ serviceName: "effect-agents-ask", serviceVersion: version, spans, metrics })
  )
})

// Checked before the run, not after it
const checkWritable = Effect.fnUntraced(function*(file: string) {
  const fs = yield* FileSystem.FileSystem
  yield* Effect.scoped(Effect.mapError(fs.open(file, { flag: "a" }), (error) => unwritable(file, error)))
})

const writeFile = Effect.fnUntraced(function*(file: string, text: string) {
  const fs = yield* FileSystem.FileSystem
  yield* Effect.mapError(fs.writeFileString(file, text), (error) => unwritable(file, error))
})

const unwritable = (file: string, error: PlatformError.PlatformError) => {
  const reason = error.reason._tag === "BadResource" ? "it is a folder" : Folder.reasonOf(error, "file or folder")
  return new Sessions.FileUnusable({ file, problem: `it cannot be written (${reason})` })
}
