/**
 * What a server on the machine of its user refuses.
 *
 * @since 0.1.0
 */

import * as Redacted from "effect/Redacted"
// its options
import type * as LocalServer from "../LocalServer.ts"

/**
 * Returns the status that a request is refused with, or `undefined` if it is let through.
 *
 * @category guards
 * @since 0.1.0
 */
export const refusal = (
  headers: Readonly<Record<string, string | undefined>>,
  options: LocalServer.Options
): number | undefined => {
  const { authorization, host, origin } = headers
  const { hosts = [], origins = [], token } = options
  const named = host === undefined ? undefined : hostOf(`http://${host}`)
  if (named === undefined || !(loopback.has(named.hostname) || hosts.includes(named.hostname))) return 421
  // a browser sends `null` for a page that has none
  if (origin !== undefined && !origins.includes(origin) && hostOf(origin)?.host !== named.host) return 403
  return token === undefined || isToken(authorization, Redacted.value(token)) ? undefined : 401
}

const loopback: ReadonlySet<string> = new Set(["localhost", "127.0.0.1", "[::1]"])

/** Only an address that has nothing but a host. */
const hostOf = (address: string): URL | undefined => {
  if (!URL.canParse(address)) return undefined
  const url = new URL(address)
  return url.pathname === "/" && url.search === "" && url.hash === "" && url.username === "" && url.password === ""
    ? url
    : undefined
}

/** Takes as long for a token that is nearly right as for any other. */
const isToken = (authorization: string | undefined, token: string): boolean => {
  const given = authorization !== undefined && /^bearer /i.test(authorization) ? authorization.slice(7) : ""
  let difference = given.length ^ token.length
  for (let index = 0; index < token.length; index++) difference |= given.charCodeAt(index) ^ token.charCodeAt(index)
  return token !== "" && difference === 0
}
