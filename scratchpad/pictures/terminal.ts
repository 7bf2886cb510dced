/**
 * Draws README's picture of the chat: `node scratchpad/pictures/terminal.ts`.
 *
 * The chat runs in a real pty, in a folder with a small project. The emulator that tests use keeps what is on the
 * screen, with its colours, and this program writes it as `terminal.svg`.
 */
import type { IBufferCell } from "@xterm/headless"
import { Effect } from "effect"
import { cpSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as TestTerminal from "../../test/fixtures/terminal.ts"

const columns = 96
const rows = 31

/** The numbers of the picture, in pixels. */
const cell = { width: 8.4, height: 18 }
const edge = 14

const colours = {
  background: "#161b22",
  text: "#d6deeb",
  palette: ["#3b4252", "#ef6b73", "#8fce7a", "#e6c35c", "#6ca8f0", "#c58fe6", "#5fc8d2", "#d6deeb"]
}

type Emulator = TestTerminal.TestTerminal["emulator"]

const escaped = (text: string): string => text.replace(/[&<>]/g, (sign) => `&#${sign.charCodeAt(0)};`)

/** The words of a line with their places. The cells of a word have the same style. */
const wordsOf = (emulator: Emulator, row: number) => {
  const words: Array<{ readonly from: number; readonly style: string; text: string; to: number }> = []
  const { active } = emulator.buffer
  const line = active.getLine(active.viewportY + row)
  for (let column = 0; column < emulator.cols; column++) {
    const at = line?.getCell(column)
    if (at === undefined || at.getChars().trim() === "") continue
    const style = styleOf(at)
    const last = words.at(-1)
    if (last?.style === style && last.to === column) {
      last.text += at.getChars()
      last.to += at.getWidth()
    } else {
      words.push({ from: column, style, text: at.getChars(), to: column + at.getWidth() })
    }
  }
  return words
}

const styleOf = (at: IBufferCell): string =>
  [
    ...(at.isFgPalette() ? [`fill="${colours.palette[at.getFgColor() % 8]}"`] : []),
    ...(at.isBold() !== 0 ? [`font-weight="bold"`] : []),
    ...(at.isDim() !== 0 ? [`opacity="0.6"`] : []),
    ...(at.isItalic() !== 0 ? [`font-style="italic"`] : []),
    ...(at.isUnderline() !== 0 ? [`text-decoration="underline"`] : [])
  ].join(" ")

const toSvg = (emulator: Emulator): string => {
  const width = Math.ceil(columns * cell.width + 2 * edge)
  const height = rows * cell.height + 2 * edge
  const texts = Array.from({ length: rows }, (_, row) =>
    wordsOf(emulator, row).map(({ from, style, text, to }) => {
      const x = (edge + from * cell.width).toFixed(1)
      const y = edge + row * cell.height + 13
      return `<text x="${x}" y="${y}" textLength="${((to - from) * cell.width).toFixed(1)}" ${style}>${
        escaped(text)
      }</text>`
    }))
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" ` +
    `fill="${colours.text}" font-size="14" ` +
    `font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, DejaVu Sans Mono, monospace">`,
    `<rect width="100%" height="100%" rx="10" fill="${colours.background}"/>`,
    ...texts.flat(),
    "</svg>\n"
  ].join("\n")
}

const root = join(import.meta.dirname, "../..")

const program = Effect.gen(function*() {
  const home = yield* Effect.acquireRelease(
    Effect.sync(() => realpathSync(mkdtempSync(join(tmpdir(), "effect-agents-")))),
    (home) => Effect.sync(() => rmSync(home, { recursive: true }))
  )
  const folder = join(home, "effect-agents")
  for (const name of ["README.md", "src/AgentRun.ts", "src/Budget.ts", "src/Approval.ts", "src/Session.ts"]) {
    cpSync(join(root, name), join(folder, name))
  }
  const chat = yield* TestTerminal.open({
    args: [join(root, "scratchpad/ask/main.ts")],
    cwd: folder,
    env: { PATH: process.env["PATH"] ?? "", HOME: home, TERM: "xterm-256color" },
    columns,
    rows
  })
  yield* chat.see("/help")
  yield* chat.type("where is addUsage?\r")
  yield* chat.see("tokens in")
  yield* chat.type("take a note: usages are added field by field\r")
  yield* chat.see("Allow it?")
  writeFileSync(join(import.meta.dirname, "terminal.svg"), toSvg(chat.emulator))
}).pipe(Effect.scoped)

await Effect.runPromise(program)
