/**
 * The question whether a tool may be called: yes, no and why, or with other arguments. It is a function of keys, like
 * the `Editor`.
 */
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Terminal from "effect/Terminal"
import * as Approval from "../../../src/Approval.ts"
import * as FolderTools from "../FolderTools.ts"
import type * as Style from "../Style.ts"
import * as Text from "../Text.ts"
import * as Editor from "./Editor.ts"

/** A call that waits for an answer, and what the user is typing. */
export interface Consent {
  readonly approval: Approval.Approval
  readonly asks: "choice" | "reason" | "arguments"
  readonly editor: Editor.Editor
  /** What is wrong with the arguments. */
  readonly problem: string
}

/** Begins to ask about a call. */
export const make = (approval: Approval.Approval): Consent => ({
  approval,
  asks: "choice",
  editor: Editor.make(),
  problem: ""
})

/** Arguments as a text in which nothing is hidden. */
export const json = (params: unknown): string => Text.escaped(JSON.stringify(params, undefined, 2) ?? "")

/** What the user is asked. Everything that will run is shown, and nothing in it is hidden. */
export const request = ({ params, path, tool }: Approval.Approval, style: Style.Style): ReadonlyArray<string> => [
  `${style.yellow("?")} ${style.bold([...path, tool].map(Text.oneLine).join(" › "))} wants to be called with`,
  ...json(params).split("\n").map((line) => `  ${line}`)
]

/** The label before what is typed, or the whole question if nothing is. */
export const label = ({ asks }: Consent, style: Style.Style): string => {
  const key = (name: string, means: string) => `${style.bold(name)} ${means}`
  switch (asks) {
    case "choice":
      return `Allow it?  ${
        [key("y", "yes"), key("n", "no"), key("e", "edit the arguments"), key("Ctrl-C", "not now")].join(" · ")
      }`
    case "reason":
      return "Why not? "
    case "arguments":
      return "The arguments: "
  }
}

/** Returns the answer that a key completes, or how the question goes on. */
export const press = (self: Consent, input: Terminal.UserInput): Consent | Approval.Answer => {
  const { approval, asks, editor } = self
  const { key } = input
  if (asks === "choice") {
    switch (Option.getOrElse(input.input, () => "").toLowerCase()) {
      case "y":
        return Approval.approve(approval)
      case "n":
        return { ...self, asks: "reason" }
      case "e":
        return { ...self, asks: "arguments", editor: Editor.set(editor, json(approval.params)) }
      default:
        return self
    }
  }
  if (key.name === "escape") return make(approval)
  if (key.name !== "return" || key.meta || editor.paste !== undefined) {
    return { ...self, editor: Editor.press(editor, input), problem: "" }
  }
  if (asks === "reason") {
    const reason = editor.text.trim()
    return Approval.deny(approval, reason === "" ? "The user said no" : reason)
  }
  const params = parse(editor.text, approval)
  return typeof params === "string" ? { ...self, problem: params } : Approval.approve(approval, params)
}

/** Returns the arguments, or what is wrong with them. */
const parse = (text: string, { path, tool }: Approval.Approval): { readonly params: unknown } | string => {
  const params = Schema.decodeExit(Schema.fromJsonString(Schema.Unknown))(text)
  if (Exit.isFailure(params)) return "This is not JSON."
  // A tool of another agent is checked when it is called
  const known = path.length === 0
    ? (FolderTools.toolkit.tools as Record<string, { readonly parametersSchema: Schema.Top }>)[tool]
    : undefined
  if (known === undefined) return { params: params.value }
  const decoded = Schema.decodeUnknownExit(known.parametersSchema as Schema.Codec<unknown>)(params.value)
  if (Exit.isSuccess(decoded)) return { params: params.value }
  const reason = decoded.cause.reasons.find((reason) => reason._tag === "Fail")
  return reason === undefined ? "These arguments do not fit." : Text.oneLine(String(reason.error))
}
