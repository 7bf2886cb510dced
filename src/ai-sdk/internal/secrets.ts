/**
 * Removes keys from the text of errors, logs and spans.
 *
 * @since 0.1.0
 */

import * as Base64 from "effect/encoding/Base64"
import * as Hex from "effect/encoding/Hex"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Text from "../../internal/words/text.ts"

const redacted = "<redacted>"

const keys: ReadonlyArray<readonly [RegExp, string]> = [
  [/\b(bearer|basic)\s+[\w.~+/=-]{6,}/gi, `$1 ${redacted}`],
  [/\b(sk|pk|rk|xai|gsk|hf|r8|nvapi|pplx|csk|ghp|gho|github_pat)[-_][\w*.-]{6,}/gi, redacted],
  [/\b(sk|pk|rk|xai|gsk|hf|r8|nvapi|pplx|csk|ghp|gho|github_pat)[-_](\.{3,}|…|\*{2,}|•{2,})[\w-]*/gi, redacted],
  [/\bAIza[\w-]{10,}/g, redacted],
  [/\b(api[-_ ]?key|token|secret|authorization)((?:\s+\w+){0,2}\s*[:=]\s*["']?)[^\s"',;]{6,}/gi, `$1$2${redacted}`],
  [/([?&](?:key|api[-_]?key|token|access_token|sig|signature)=)[^&\s"']+/gi, `$1${redacted}`],
  // a key that is already masked
  [/[\w+/=-]{4,}(\*{3,}|•{3,})[\w+/=-]*/g, redacted]
]

/**
 * Removes keys from a text: the given ones, in every form in which a server may repeat them, and also in part; and
 * texts that look like a key.
 *
 * @category redacting
 * @since 0.1.0
 */
export const redact = (text: string, secrets: Iterable<string>): string => {
  let out = Text.cut(text, 10_000)
  const known = [...secrets].filter((secret) => secret.length >= shortest)
  if (known.length > 0) out = withoutMasked(withoutForms(out, known), known)
  for (const [key, replacement] of keys) out = out.replace(key, replacement)
  return Text.shorten(Text.wellFormed(out), 2001)
}

const shortest = 6

/** This many characters of a key in a row count as a part of it. */
const pieceLength = 8

const withoutForms = (text: string, secrets: ReadonlyArray<string>): string => {
  const pieces = new Map<number, Set<string>>()
  const forms = secrets.flatMap((secret) => {
    const whole = Text.cut(secret, 4096)
    return [...formsOf(whole).map((form) => [form, pieceLength] as const), ...spelledOf(whole)]
  })
  for (const [form, most] of forms) {
    const length = Math.min(most, form.length)
    if (length < shortest) continue
    let known = pieces.get(length)
    if (known === undefined) pieces.set(length, known = new Set())
    const folded = fold(form)
    for (let i = 0; i + length <= folded.length; i++) known.add(folded.slice(i, i + length))
  }
  const folded = fold(text)
  const hidden = new Uint8Array(folded.length)
  for (let i = 0; i < folded.length; i++) {
    for (const [length, known] of pieces) if (known.has(folded.slice(i, i + length))) hidden.fill(1, i, i + length)
  }
  let out = ""
  for (let from = 0, to = 0; from < folded.length; from = to) {
    while (to < folded.length && hidden[to] === hidden[from]) to++
    out += hidden[from] === 1 ? redacted : text.slice(from, to)
  }
  return out
}

// Only ASCII, because other letters may change their length.
const fold = (text: string): string => text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())

const masked = /([\w+/=~-]{0,64})(\*{2,}|\.{3,}|…+|•{2,})([\w+/=~-]{0,64})/g

const withoutMasked = (text: string, secrets: ReadonlyArray<string>): string =>
  text.replace(
    masked,
    (whole, start: string, _mask, end: string) =>
      secrets.some((secret) =>
          (start.length >= 2 && fold(secret).startsWith(fold(start))) ||
          (end.length >= 2 && fold(secret).endsWith(fold(end)))
        )
        ? redacted
        : whole
  )

/** The forms of a secret in URLs, forms, headers, JSON and pages. */
const formsOf = (secret: string): ReadonlyArray<string> => {
  const text = Text.wellFormed(secret)
  const inUrl = encodeURIComponent(text)
  const inJson = JSON.stringify(text).slice(1, -1)
  const inBase64 = base64Of(text)
  return [
    text,
    inUrl,
    encodeURIComponent(inUrl),
    inUrl.replaceAll("%20", "+"),
    encodeURI(text),
    inJson,
    inJson.replaceAll("/", "\\/"),
    text.replace(/[^a-zA-Z0-9]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`),
    text.replace(/[&<>"'/=`]/g, (letter) => entities[letter] ?? letter),
    text.replace(/[^a-zA-Z0-9]/g, (letter) => `&#${letter.charCodeAt(0)};`),
    Hex.encode(text),
    ...inBase64,
    ...inBase64.map((form) => form.replaceAll("+", "-").replaceAll("/", "_")),
    ...inBase64.map((form) => encodeURIComponent(form))
  ]
}

/** A secret of which every letter is written in another way, and how long a part of it is that tells something. */
const spelledOf = (secret: string): ReadonlyArray<readonly [form: string, length: number]> => {
  const text = Text.wellFormed(secret)
  const bytes = Array.from(new TextEncoder().encode(text))
  const hex = bytes.map((byte) => byte.toString(16).padStart(2, "0"))
  const units = Array.from({ length: text.length }, (_, i) => text.charCodeAt(i))
  const inHex = units.map((unit) => unit.toString(16))
  return [
    [hex.map((byte) => `%${byte}`).join(""), pieceLength * 3],
    [hex.map((byte) => `\\x${byte}`).join(""), pieceLength * 4],
    [hex.join(" "), pieceLength * 3],
    [bytes.join(","), pieceLength * 4],
    [bytes.join(", "), pieceLength * 5],
    [inHex.map((unit) => `\\u${unit.padStart(4, "0")}`).join(""), pieceLength * 6],
    [inHex.map((unit) => `&#x${unit};`).join(""), pieceLength * 6],
    [units.map((unit) => `&#${unit};`).join(""), pieceLength * 6]
  ]
}

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  "\"": "&quot;",
  "'": "&#39;",
  "/": "&#x2F;",
  "=": "&#x3D;",
  "`": "&#x60;"
}

/** The base64 of a text at any position in the encoded text, as in `user:password`. */
const base64Of = (text: string): ReadonlyArray<string> =>
  ["", "u:", "u"].map((before) => {
    const encoded = Base64.encode(before + text)
    return encoded.slice(before === "" ? 0 : 4, -4) || encoded
  })

/**
 * Returns whether a header or a parameter with this name holds a key.
 *
 * @category guards
 * @since 0.1.0
 */
export const isSecret = (name: string): boolean =>
  /auth|key|token|secret|cookie|credential|password|signature|^sig$/i.test(name)

/**
 * Returns the secret values in headers.
 *
 * @category getters
 * @since 0.1.0
 */
export const ofHeaders = (headers: Readonly<Record<string, unknown>>): ReadonlyArray<string> =>
  Object.entries(headers).flatMap(([name, value]) => isSecret(name) && typeof value === "string" ? ofHeader(value) : [])

/** The value without its scheme, and the parts of a pair. */
const ofHeader = (value: string): ReadonlyArray<string> => {
  const [, scheme, rest] = /^(\w+)\s+(.+)$/.exec(value) ?? [undefined, "", value]
  if (scheme.toLowerCase() !== "basic") return [rest]
  const decoded = Base64.decodeString(rest)
  return Result.isSuccess(decoded) ? [rest, ...decoded.success.split(":").slice(1)] : [rest]
}

/**
 * Returns the secret values in a URL.
 *
 * @category getters
 * @since 0.1.0
 */
export const ofUrl = (url: URL): ReadonlyArray<string> => [
  ...(url.password === ""
    ? []
    : [Result.getOrElse(Result.try(() => decodeURIComponent(url.password)), () => url.password)]),
  ...[...url.searchParams].flatMap(([name, value]) => isSecret(name) ? [value] : [])
]

/**
 * Returns the values in the headers that a model was made with. By convention, the AI SDK's own packages return them
 * from `config.headers`. It is not called if that could request a key from somewhere else.
 *
 * @category getters
 * @since 0.1.0
 */
export const ofModel = (model: unknown): ReadonlyArray<string> => {
  const config = Predicate.hasProperty(model, "config") ? model.config : undefined
  const headers = Predicate.hasProperty(config, "headers") ? config.headers : undefined
  const isAsync = Object.prototype.toString.call(headers) === "[object AsyncFunction]"
  const made = typeof headers === "function" && !isAsync ? Result.try(() => headers()) : Result.succeed(headers)
  return Result.isSuccess(made) && Predicate.isObject(made.success) ? ofHeaders({ ...made.success }) : []
}

/**
 * Returns a URL without its credentials and its query, which may be a key, and without parts of its path that may be
 * one.
 *
 * @category redacting
 * @since 0.1.0
 */
export const safeUrl = (value: unknown, secrets: Iterable<string> = []): string | undefined => {
  if (typeof value !== "string" || !URL.canParse(value)) return undefined
  const url = new URL(value)
  const path = url.pathname.split("/").map((segment) => looksRandom(segment) ? redacted : segment).join("/")
  return redact(`${url.origin}${path}`, secrets)
}

/**
 * Whether a path segment is long, has letters and digits, and does not consist of words with dashes, as names of models
 * do.
 */
const looksRandom = (segment: string): boolean =>
  /^[\w+=%~-]{20,}$/.test(segment) && /\d/.test(segment) && /[a-z]/i.test(segment) &&
  !/^[a-zA-Z]+([-_][a-zA-Z0-9]{1,12})*$/.test(segment)
