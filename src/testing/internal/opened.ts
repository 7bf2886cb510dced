/**
 * An opened cassette: finds the recorded answers to requests, and records those that are missing.
 *
 * @since 0.1.0
 */
import * as AiError from "effect/ai/AiError"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type * as Scope from "effect/Scope"
import type * as Cassette from "../Cassette.ts"
import * as Address from "./address.ts"
import * as Explain from "./explain.ts"
import * as Tape from "./tape.ts"
import * as TapeFile from "./tapeFile.ts"
import * as Turns from "./turns.ts"

/**
 * A call that is being recorded.
 *
 * @category models
 * @since 0.1.0
 */
export class Recorder {
  private readonly arrived: Array<Tape.Arrived> = []
  readonly write: (arrived: ReadonlyArray<Tape.Arrived>, end: Tape.End) => Effect.Effect<void, AiError.AiError>
  private begin: number | undefined
  private isEnded = false

  constructor(write: Recorder["write"]) {
    this.write = write
  }

  /** The model is asked for parts. */
  readonly ask = Effect.map(Clock.currentTimeMillis, (now) => {
    this.begin = now
  })

  readonly add = (parts: Tape.Arrived["parts"]): Effect.Effect<void> =>
    Effect.map(this.waited, (after) => {
      this.arrived.push({ ...after, parts })
      this.begin = undefined
    })

  /** The first end counts. It is written before anybody hears of it, and wholly. */
  readonly end = (end: Tape.End): Effect.Effect<void, AiError.AiError> =>
    Effect.uninterruptible(Effect.suspend(() => {
      if (this.isEnded) return Effect.void
      this.isEnded = true
      return Effect.flatMap(this.waited, (after) => this.write(this.arrived, { ...after, ...end }))
    }))

  private readonly waited = Effect.map(
    Clock.currentTimeMillis,
    (now) => this.begin !== undefined && now > this.begin ? { after: now - this.begin } : {}
  )
}

/**
 * A request was recorded, or is to be recorded.
 *
 * @category models
 * @since 0.1.0
 */
export type Found =
  | { readonly _tag: "Recorded"; readonly entry: Tape.Entry }
  | { readonly _tag: "Missing"; readonly recorder: Recorder }

/**
 * @category models
 * @since 0.1.0
 */
export interface Opened<R> {
  readonly path: string
  readonly timing: "recorded" | "none"
  readonly find: (request: R) => Effect.Effect<Found, AiError.AiError>
}

/**
 * Opens a cassette for the requests of these methods. It is closed with the scope.
 *
 * @category constructors
 * @since 0.1.0
 */
export const open = Effect.fnUntraced(function*<R extends Tape.Request>(
  options: Cassette.Options<Cassette.Mode, R>,
  methods: ReadonlyArray<R["method"]>
): Effect.fn.Return<Opened<R>, TapeFile.Failure, FileSystem.FileSystem | Scope.Scope> {
  const { normalise, onUnused, path } = options
  const fs = yield* FileSystem.FileSystem
  const mode = options.mode === "auto" && (yield* isCI(options)) ? "replay" : options.mode
  const writer = new TapeFile.Writer(fs, path)
  const all = mode === "replay" ? yield* TapeFile.read(fs, path) : Array.from((yield* writer.read).values())
  const own = all.filter(({ request }) => methods.includes(request.method as R["method"]))
  // a call that was interrupted is made again where it can be made
  const isUsable = ({ end }: Tape.Entry) => mode === "replay" || (mode === "auto" && end.end !== "interrupted")
  const recorded = new Map(own.filter(isUsable).map((entry) => [Tape.keyOf(entry), entry]))
  const turns = own.filter((entry) => "turn" in entry.request && isUsable(entry))
  const unused = new Map(own.map((entry) => [Tape.keyOf(entry), entry]))
  const counts = new Map<string, number>()

  const found = (entry: Tape.Entry): Effect.Effect<Found> => {
    unused.delete(Tape.keyOf(entry))
    return Effect.succeed({ _tag: "Recorded", entry })
  }

  const writeTo = (request: R, key: string, nth: number): Recorder["write"] => (arrived, end) =>
    Tape.makeEntry(request, key, nth, arrived, end).pipe(
      Effect.flatMap((entry) =>
        writer.change((entries) => {
          const before = mode === "auto" ? entries.get(Tape.keyOf(entry)) : undefined
          // another process was faster
          if (before === undefined || before.end.end === "interrupted") entries.set(Tape.keyOf(entry), entry)
        })
      ),
      Effect.catch(({ message }) => failed(request.method, `The call could not be recorded: ${message}`))
    )

  const takeTurn = (request: Tape.Request): Tape.Entry | undefined => {
    const found = turns.length > 0 && "prompt" in request ? Turns.longest(turns, request) : undefined
    if (found !== undefined) turns.splice(turns.indexOf(found), 1)
    return found
  }

  if (onUnused !== undefined) {
    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        const left = Array.from(unused.values())
        if (left.length === 0) return Effect.void
        return onUnused({
          path,
          calls: left.map(({ call, nth, request }) => ({ call, nth, request })),
          remove: writer.change((entries) => {
            // another process may have recorded the same request meanwhile
            for (const entry of left) {
              if (entries.get(Tape.keyOf(entry))?.text === entry.text) entries.delete(Tape.keyOf(entry))
            }
          })
        })
      })
    )
  }

  return {
    path,
    timing: options.timing ?? "none",
    find: (made) =>
      Effect.suspend(() => {
        const request = normalise === undefined ? made : normalise(made)
        const key = Address.textOf(request)
        const nth = (counts.get(key) ?? 0) + 1
        const name = Tape.keyOf({ key, nth })
        const same = recorded.get(name)
        const copied = same === undefined ? takeTurn(request) : undefined
        if (copied !== undefined) return found(copied)
        counts.set(key, nth)
        if (same !== undefined) return found(same)
        if (mode === "replay") {
          return failed(request.method, `${Explain.explain(own, request, key)} (\`${path}\`)`)
        }
        unused.delete(name)
        const missing: Found = { _tag: "Missing", recorder: new Recorder(writeTo(request, key, nth)) }
        if (mode === "record") return Effect.succeed(missing)
        // another layer or process may have recorded it meanwhile
        return Effect.matchEffect(writer.read, {
          onSuccess: (entries) => {
            const entry = entries.get(name)
            return entry !== undefined && isUsable(entry) ? found(entry) : Effect.succeed(missing)
          },
          onFailure: ({ message }) => failed(request.method, message)
        })
      })
  }
})

const isCI = ({ isCI }: { readonly isCI?: boolean | undefined }): Effect.Effect<boolean> =>
  isCI !== undefined ? Effect.succeed(isCI) : Effect.orDie(
    Effect.map(
      Config.withDefault(Config.String("CI"), ""),
      (value) => value !== "" && value !== "0" && value.toLowerCase() !== "false"
    )
  )

/**
 * Fails a call because of its cassette.
 *
 * @category errors
 * @since 0.1.0
 */
export const failed = (method: string, description: string): Effect.Effect<never, AiError.AiError> =>
  Effect.fail(AiError.make({ module: "Cassette", method, reason: new AiError.InvalidRequestError({ description }) }))
