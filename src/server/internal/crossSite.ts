/**
 * Requests that a page of another site makes a browser send, with the cookies of its user. All wires of this subpath
 * refuse them here.
 *
 * A browser sends a request that only says what a form could say (a `POST` without a body, or with a text, and without a
 * header of its own) before it asks the server. It asks first (`HttpRouter.cors` answers) for every other method, for JSON
 * and all other bodies of an application, and for a request with a token. So only the first kind has to be refused: where
 * its page is of another origin than the server. A WebSocket is opened without asking, so one with cookies is refused, too.
 *
 * @since 0.1.0
 */

import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

type Headers = Readonly<Record<string, string | undefined>>

interface Request {
  readonly headers: Headers
  readonly method: string
}

/**
 * The origins whose pages are not refused. It is documented where the user reads it, `AgentApi.TrustedOrigins`.
 *
 * @category references
 * @since 0.1.0
 */
export const TrustedOrigins = Context.Reference<ReadonlyArray<string>>("effect-agents/server/TrustedOrigins", {
  defaultValue: () => []
})

/**
 * Those that a local server has let through. Each request brings them, and `TrustedOrigins` may be those of a layer.
 *
 * @category references
 * @since 0.1.0
 */
export const LocalOrigins = Context.Reference<ReadonlyArray<string>>("effect-agents/server/LocalOrigins", {
  defaultValue: () => []
})

/**
 * Fails with the refusal of a request that is forged. `known` are the origins that the layer of a wire was built with,
 * which the context of a request may not have.
 *
 * @category guards
 * @since 0.1.0
 */
export const check = <E>(
  request: Request,
  refuse: Effect.Effect<never, E>,
  known: ReadonlyArray<string> = []
): Effect.Effect<void, E> =>
  Effect.withFiber((fiber) => {
    const trusted = [...known, ...fiber.getRef(TrustedOrigins), ...fiber.getRef(LocalOrigins)]
    return isForged(request, trusted) ? refuse : Effect.void
  })

/**
 * Returns whether a page of another origin may have sent this request without the consent of the server.
 *
 * @category guards
 * @since 0.1.0
 */
export const isForged = ({ headers, method }: Request, trusted: ReadonlyArray<string> = []): boolean => {
  const isSocket = headers.upgrade?.toLowerCase() === "websocket"
  if (isSocket ? !hasLogin(headers) : method !== "POST" || isAsked(headers)) return false
  return isForeign(headers) && !(headers.origin !== undefined && trusted.includes(headers.origin))
}

/** A browser sends these only after the server has agreed. A form and a report, and some logins, it sends by itself. */
const isAsked = (headers: Headers): boolean =>
  /^application\/(?!x-www-form-urlencoded|csp-report)/i.test(headers["content-type"] ?? "") ||
  /^(?!basic|digest|negotiate|ntlm)\S/i.test(headers.authorization ?? "") ||
  headers["x-requested-with"] !== undefined

const hasLogin = ({ authorization, cookie }: Headers): boolean => cookie !== undefined || authorization !== undefined

/**
 * Browsers say where a request comes from. What says nothing is no browser, or one that is older than these headers. For a
 * WebSocket, and for a server that has no TLS, they only say the origin, and a proxy may have changed the host.
 */
const isForeign = (headers: Headers): boolean => {
  const { host, origin, "sec-fetch-site": site, "x-forwarded-host": forwarded = "" } = headers
  if (site !== undefined) return site !== "same-origin" && site !== "none"
  if (origin === undefined) return false
  // no page can send `x-forwarded-host` before it has asked
  return ![host ?? "", ...forwarded.split(",")].some((host) => isHostOf(origin, host.trim()))
}

/** The port of a host may be the one that its protocol has anyway. */
const isHostOf = (origin: string, host: string): boolean => {
  if (host === "" || !URL.canParse(origin)) return false
  const { host: own, protocol } = new URL(origin)
  const address = `${protocol}//${host}`
  return URL.canParse(address) && new URL(address).host === own
}

/**
 * What is told about such a request.
 *
 * @category constants
 * @since 0.1.0
 */
export const refusal = {
  code: "cross-site",
  status: 403,
  retryable: false,
  message: "A page of another origin has sent this request. It has to be JSON (`content-type: application/json`), " +
    "to have a token (`authorization: Bearer`), or to come from an origin that the server trusts."
} as const
