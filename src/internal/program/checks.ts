/**
 * The guards of a program as a whole: checks of its prompt before it runs, checks of its answer before it is emitted,
 * and limits of its time.
 *
 * In a middleware these are functions around a model call. Here the program takes the place of the model.
 *
 * @since 0.1.0
 */

import type * as LanguageModel from "effect/ai/LanguageModel"
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import * as Middleware from "../../Middleware.ts"
import * as ModelPlaces from "../words/modelPlaces.ts"
import * as Replacements from "../words/replacements.ts"
import * as Parts from "../words/responseParts.ts"
import { StepBuilder, type StreamPart } from "../words/stepBuilder.ts"

type Place = Middleware.ModelPlace<any, any>

/**
 * What has passed the checks: text, up to the point where one of them stopped it.
 *
 * - `failure`: why it was stopped.
 * - `refused`: the guardrail that has refused the prompt.
 * - `isReplaced`: whether the text differs from the one that was checked.
 *
 * @category models
 * @since 0.1.0
 */
export interface Checked {
  readonly text: string
  readonly failure: Cause.Cause<unknown> | undefined
  readonly refused: string | undefined
  readonly isReplaced: boolean
}

/**
 * The guards of one run of a program.
 *
 * @category models
 * @since 0.1.0
 */
export class Checks {
  private readonly places: ReadonlyArray<Place>
  private readonly context: Context.Context<never>

  constructor(middleware: ReadonlyArray<Middleware.Middleware<unknown, never>>, context: Context.Context<never>) {
    this.places = middleware.flatMap(({ model }) =>
      model === undefined || ModelPlaces.purposeOf(model) === undefined ? [] : model
    )
    this.context = context
  }

  get ofInput(): boolean {
    return this.has("checks-input")
  }

  get ofOutput(): boolean {
    return this.has("checks-output")
  }

  private has(purpose: ModelPlaces.Purpose): boolean {
    return this.places.some((place) => ModelPlaces.purposeOf(place) === purpose)
  }

  private of(...purposes: ReadonlyArray<ModelPlaces.Purpose>): ReadonlyArray<Place> {
    return this.places.filter((place) => purposes.includes(ModelPlaces.purposeOf(place)!))
  }

  /** Checks the prompt. The resulting text is a guardrail's answer, which replaces the program's. */
  input(request: Middleware.ModelRequest): Effect.Effect<Checked> {
    // the answer of a guardrail passes the output checks around it
    return this.through(this.of("checks-input", "checks-output"), { ...request, steps: [] }, [])
  }

  /** Checks the answer of the program. */
  output(request: Middleware.ModelRequest, text: string): Effect.Effect<Checked> {
    const parts = [Parts.textStart("answer"), Parts.textDelta("answer", text), Parts.textEnd("answer")]
    return this.through(this.of("checks-output"), request, parts)
  }

  private through(
    places: ReadonlyArray<Place>,
    request: Middleware.ModelRequest,
    parts: ReadonlyArray<StreamPart>
  ): Effect.Effect<Checked> {
    const replacements: Replacements.Replacements = { refused: undefined, isAnswered: false, text: undefined }
    const builder = new StepBuilder()
    const checked = Middleware.compose(places, () => Stream.fromIterable(parts))(request)
    const running = Stream.runForEach(checked, (part) => Effect.sync(() => builder.add(part)))
    // a check needs no model of the run, although the type of its place says so
    const context = Context.add(this.context, Replacements.Current, replacements) as Context.Context<
      LanguageModel.LanguageModel
    >
    return Effect.map(Effect.exit(Effect.updateContext(running, () => context)), (exit) => ({
      text: builder.text(),
      failure: Exit.isFailure(exit) ? exit.cause : undefined,
      refused: replacements.refused,
      isReplaced: replacements.isAnswered || replacements.text !== undefined
    }))
  }

  /** Ends the program when a limit is reached. */
  limit<E, R>(program: Effect.Effect<unknown, E, R>, request: () => Middleware.ModelRequest): Effect.Effect<
    unknown,
    unknown,
    R
  > {
    const places = this.of("limits")
    if (places.length === 0) return program
    return Effect.suspend(() => {
      let value: unknown
      const running = Effect.map(program, (given) => void (value = given))
      const limited = Middleware.compose(places, () => Stream.fromEffectDrain(running))(request())
      return Effect.map(Stream.runDrain(limited), () => value)
    })
  }
}
