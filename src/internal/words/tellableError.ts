/**
 * The errors of models, as models and people at other ends of a wire may read them.
 *
 * @since 0.1.0
 */
import * as AiError from "effect/ai/AiError"

/**
 * Returns what may be told of the error of a model: all but the headers and the body of the provider's answer, what
 * caused it, and what may be a key in an address. Redacted headers too would be plain text in JSON.
 *
 * @category conversions
 * @since 0.1.0
 */
export const of = (error: AiError.AiError): AiError.AiError => {
  const { method, module, reason } = error
  const told = toReason(reason)
  return told === reason ? error : AiError.make({ module, method, reason: told })
}

const toReason = (reason: AiError.AiErrorReason): AiError.AiErrorReason => {
  const schema = AiError.AiErrorReason.members.find((member) => reason instanceof member)
  const { cause, http, ...fields } = { cause: undefined, http: undefined, ...reason }
  const isNetwork = reason._tag === "NetworkError"
  if (schema === undefined || (cause === undefined && http === undefined && !isNetwork)) return reason
  // the fields are those of a reason of this schema
  return schema.make({ ...fields, ...isNetwork && { url: addressOf(reason.url) } } as never)
}

/** Who asks, and what is asked for, may be secret: `https://user:password@host/path?key=...` */
const addressOf = (url: string): string => url.replace(/[?#].*$/s, "").replace(/\/\/[^/]*@/, "//")
