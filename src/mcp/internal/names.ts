/**
 * Names of tools that model providers accept: letters, digits, `_` and `-`, a letter or `_` at the beginning, and at most
 * 64 characters.
 *
 * @since 0.1.0
 */

import * as Hash from "effect/Hash"

/**
 * The longest name of a tool that providers accept, in characters.
 *
 * @category constants
 * @since 0.1.0
 */
export const maximumLength = 64

/**
 * A name that somebody wants for a tool, and what the tool is, which no other tool is.
 *
 * @category models
 * @since 0.1.0
 */
export interface Wanted {
  readonly name: string
  readonly identity: string
}

/**
 * Returns the names as providers accept them, all different. A name stays as it is if it can. Another one gets `_` in
 * the place of what is not accepted. If it is too long, or not the only one, it ends with a hash of the tool's identity.
 * The order of the tools does not matter.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toAccepted = (wanted: ReadonlyArray<Wanted>): ReadonlyArray<string> => {
  const plain = wanted.map(({ name }) => toPlain(name))
  const counts = countOf(plain)
  const exact = countOf(wanted.map(({ name }) => name))
  const names = wanted.map(({ name }, index) => {
    const own = plain[index]
    if (own.length > maximumLength || reserved.has(own)) return undefined
    return (own === name ? exact.get(own) === 1 : counts.get(own) === 1) ? own : undefined
  })
  const taken = new Set(names)
  const others = [...wanted.keys()].filter((index) => names[index] === undefined)
  others.sort((a, b) => wanted[a].identity < wanted[b].identity ? -1 : 1)
  for (const index of others) {
    let name = hashed(plain[index], wanted[index].identity)
    for (let again = 2; taken.has(name); again++) name = hashed(plain[index], `${wanted[index].identity} ${again}`)
    taken.add(name)
    names[index] = name
  }
  return names as ReadonlyArray<string>
}

/** As the key of an object it would be no key. */
const reserved: ReadonlySet<string> = new Set(["__proto__"])

const toPlain = (name: string): string => {
  const plain = name.replaceAll(/[^a-zA-Z0-9_-]/gu, "_")
  return /^[a-zA-Z_]/.test(plain) ? plain : `_${plain}`
}

const hashed = (plain: string, identity: string): string => {
  const hash = (Hash.string(identity) >>> 0).toString(16).padStart(8, "0")
  return `${plain.slice(0, maximumLength - hash.length - 1)}_${hash}`
}

const countOf = (names: ReadonlyArray<string>): ReadonlyMap<string, number> => {
  const counts = new Map<string, number>()
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1)
  return counts
}
