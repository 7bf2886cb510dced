/**
 * The final answer in a provider's own JSON mode.
 *
 * @since 0.1.0
 */
import type * as AiError from "effect/ai/AiError"
import type * as LanguageModel from "effect/ai/LanguageModel"
import type * as Response from "effect/ai/Response"
import * as Telemetry from "effect/ai/Telemetry"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import type * as AgentOutput from "../../AgentOutput.ts"
import type * as Middleware from "../../Middleware.ts"
import { AnswerTracer, type ModelCallTracer } from "../telemetry/instrumentation.ts"
import { type Accepted, decodeText, invalid, type Rejected, unwrap } from "./answer.ts"
import { find, isEmbedded } from "./find.ts"
import * as Json from "../words/json.ts"
import * as Parts from "../words/responseParts.ts"
import type { StreamPart } from "../words/stepBuilder.ts"

/**
 * The outcome of a call in JSON mode: the text of the model, and the value that the model's own codec has decoded from
 * it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Generated {
  readonly text: string
  readonly answer: Accepted | Rejected
}

/**
 * Creates the stream of a call in JSON mode. It has all parts at once.
 *
 * `LanguageModel.generateObject` loses the model's text and its usage if the answer does not decode. It calls the span
 * transformer before that, so the response is read there. A transformer that the model was built with is not called; a
 * transformer of the caller is.
 *
 * @category running
 * @since 0.1.0
 */
export const generateObject = (
  model: LanguageModel.LanguageModel,
  request: Middleware.ModelRequest,
  output: AgentOutput.Any,
  onGenerated: (generated: Generated) => void
): Stream.Stream<StreamPart, AiError.AiError> =>
  Stream.unwrap(Effect.contextWith((context: Context.Context<never>) => {
    let content: ReadonlyArray<Response.AllParts<any>> = []
    const outer = Option.getOrUndefined(Context.getOption(context, Telemetry.CurrentSpanTransformer))
    const done = (said: ReadonlyArray<Response.AllParts<any>>, answer: Accepted | Rejected) => {
      onGenerated({ text: textOf(said), answer })
      return Stream.fromArray(said.flatMap(toStreamParts))
    }
    // the services of its schema are in the type of the agent and in the context of the run
    const generate = model.generateObject as unknown as (options: {
      readonly prompt: Middleware.ModelRequest["prompt"]
      readonly schema: unknown
      readonly objectName: string
    }) => Effect.Effect<LanguageModel.GenerateObjectResponse<{}, unknown>, AiError.AiError>
    const tracer: ModelCallTracer = Context.get(context, Tracer.Tracer)
    return generate({ prompt: request.prompt, schema: output.codec, objectName: output.name }).pipe(
      Effect.provideService(Tracer.Tracer, tracer[AnswerTracer]?.() ?? tracer),
      Effect.provideService(Telemetry.CurrentSpanTransformer, (options) => {
        content = options.response
        outer?.(options)
      }),
      Effect.matchCauseEffect({
        onSuccess: (response) => {
          const said = content.length > 0 ? content : response.content
          const text = textOf(said)
          return Exit.succeed(
            done(said, isTooDeep(text) ? invalid(Json.tooDeep, text) : unwrap(output, response.value))
          )
        },
        onFailure: (cause) => {
          const error = Cause.findErrorOption(cause)
          const text = textOf(content)
          if (error._tag === "Some" && error.value.reason._tag === "StructuredOutputError") {
            const { description, responseText } = error.value.reason
            return Effect.map(decodeAgain(output, description, responseText), (answer) => done(content, answer))
          }
          // a value that is nested too deeply overflows the stack of the decoder
          return error._tag === "None" && isTooDeep(text)
            ? Exit.succeed(done(content, invalid(Json.tooDeep, text)))
            : Exit.failCause(cause)
        }
      })
    )
  }))

const isTooDeep = (text: string): boolean => text.length > 2 * Json.maximumDepth && find(text).some(Json.isTooDeep)

/**
 * The model's own codec has refused the whole text, but the answer may be in it. The codec reports only its first
 * issue. All issues are reported if that one is among them, because then the schema shown to the model has the same
 * form.
 */
const decodeAgain = (output: AgentOutput.Any, description: string, text: string): Effect.Effect<Accepted | Rejected> =>
  Effect.map(
    decodeText(output, text),
    (answer) =>
      answer._tag === "Accepted" || isEmbedded(text) || answer.message?.includes(description)
        ? answer
        : invalid(description, text)
  )

const textOf = (content: ReadonlyArray<Response.AllParts<any>>): string => {
  let text = ""
  for (const part of content) if (part.type === "text") text += part.text
  return text
}

const toStreamParts = (part: Response.AllParts<any>, index: number): ReadonlyArray<StreamPart> => {
  const id = `answer-${index}`
  switch (part.type) {
    case "text":
      return [Parts.textStart(id), Parts.textDelta(id, part.text), Parts.textEnd(id, part.metadata)]
    case "reasoning":
      return [Parts.reasoningStart(id), Parts.reasoningDelta(id, part.text), Parts.reasoningEnd(id, part.metadata)]
    default:
      // the other parts of a response are parts of a stream, too
      return [part as StreamPart]
  }
}
