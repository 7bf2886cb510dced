/**
 * Requests that a page of another site makes a browser send, with the cookies of its user. All wires of this subpath
 * refuse them here.
 *
 * A browser sends a request that only says what a form could say (a `POST` without JSON and without a header of its own)
 * before it asks the server. It asks first (`HttpRouter.cors` answers) for every other method, for JSON, and for a request
 * with a token. So only the first kind has to be refused: where its page is of another origin than the server. A
 * WebSocket is opened without asking, so one with cookies is refused, too.
 *
 * @since 0.1.0
 */

/**
 * Returns whether a page of another origin may have sent this request without the consent of the server.
 *
 * @category guards
 * @since 0.1.0
 */
export const isForged = ({ headers, method }: {
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly method: string
}): boolean => {
  const isSocket = headers.upgrade?.toLowerCase() === "websocket"
  if (isSocket) return hasLogin(headers) && isForeign(headers)
  return method === "POST" && !isAsked(headers) && isForeign(headers)
}

/** A browser sends these only after the server has agreed. A login with `Basic` it sends by itself. */
const isAsked = (headers: Readonly<Record<string, string | undefined>>): boolean =>
  /^application\/(\w+\+)?json\s*(;|$)/i.test(headers["content-type"] ?? "") ||
  /^bearer /i.test(headers.authorization ?? "") ||
  headers["x-requested-with"] !== undefined

const hasLogin = ({ authorization, cookie }: Readonly<Record<string, string | undefined>>): boolean =>
  cookie !== undefined || authorization !== undefined

/** Browsers say where a request comes from. What says nothing is no browser, or one that is older than these headers. */
const isForeign = (headers: Readonly<Record<string, string | undefined>>): boolean => {
  const { host, origin, "sec-fetch-site": site } = headers
  if (site !== undefined) return site !== "same-origin" && site !== "none"
  return origin !== undefined && (!URL.canParse(origin) || new URL(origin).host !== host?.toLowerCase())
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
  message: "A page of another site has sent this request. Send it as JSON (`content-type: application/json`)."
} as const
