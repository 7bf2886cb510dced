/**
 * The errors of models, in a form that models and remote readers may see.
 *
 * @since 0.1.0
 */
import * as AiError from "effect/ai/AiError"

/**
 * Returns the public part of a model's error. It leaves out the headers and body of the provider's answer, the cause,
 * and the parts of an address that may hold a key. Redacted headers are left out too, because JSON would show them as
 * plain text.
 *
 * @category conversions
 * @since 0.1.0
 */
export const of = (error: AiError.AiError): AiError.AiError => {
  const { method, module, reason } = error
  // it says that it is one, and is not
  if (!AiError.isAiErrorReason(reason)) return error
  const told = toReason(reason)
  return told === reason ? error : AiError.make({ module, method, reason: told })
}

const toReason = (reason: AiError.AiErrorReason): AiError.AiErrorReason => {
  const schema = AiError.AiErrorReason.members.find((member) => reason instanceof member)
  const { cause, http, ...fields } = { cause: undefined, http: undefined, ...reason }
  const isNetwork = reason._tag === "NetworkError"
  if (schema === undefined || (cause === undefined && http === undefined && !isNetwork)) return reason
  // the fields are those of a reason with this schema
  return schema.make({ ...fields, ...isNetwork && { url: addressOf(reason.url) } } as never)
}

/** The user and the query of an address may be secret: `https://user:password@host/path?key=...` */
const addressOf = (url: string): string => url.replace(/[?#].*$/s, "").replace(/\/\/[^/]*@/, "//")
