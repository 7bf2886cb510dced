/** Markdown as nodes. The text never becomes HTML: what `marked` takes for HTML is shown as the text that it is. */
import { Lexer, type Token } from "marked"
import type { ComponentChildren, VNode } from "preact"
import { Component, h } from "preact"

const safe = (href: string): string | undefined => /^(https?:|mailto:)/i.test(href) ? href : undefined

export const Link = ({ children, href }: { href: string; children: ComponentChildren }) =>
  safe(href) === undefined
    ? <span>{children}</span>
    : <a href={safe(href)} target="_blank" rel="noreferrer noopener">{children}</a>

const nodes = (tokens: ReadonlyArray<Token> | undefined): ComponentChildren => tokens?.map(node)

const unescape = (text: string): string => text.replace(/&(amp|lt|gt|quot|#39);/g, (_, name: string) => entities[name])
const entities: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: "\"", "#39": "'" }

const node = (token: any, key: number): ComponentChildren => {
  switch (token.type) {
    case "space":
    case "def":
      return null
    case "heading":
      return h(`h${Math.min(6, token.depth + 2)}`, { key }, nodes(token.tokens))
    case "paragraph":
      return <p key={key}>{nodes(token.tokens)}</p>
    case "text":
      return token.tokens === undefined ? unescape(token.text) : nodes(token.tokens)
    case "escape":
      return token.text
    case "strong":
    case "em":
    case "del":
      return h(token.type, { key }, nodes(token.tokens))
    case "codespan":
      return <code key={key}>{token.text}</code>
    case "code":
      return <pre key={key} tabIndex={0}><code>{token.text}</code></pre>
    case "link":
      return <Link key={key} href={token.href}>{nodes(token.tokens)}</Link>
    // an image would be a request to another host
    case "image":
      return <Link key={key} href={token.href}>{`image: ${token.text || token.href}`}</Link>
    case "list":
      return h(
        token.ordered ? "ol" : "ul",
        { key, ...(token.ordered && token.start !== 1 && { start: token.start }) },
        token.items.map((item: any, index: number) => (
          <li key={index}>
            {item.task && (
              <input type="checkbox" disabled checked={item.checked} aria-label={item.checked ? "done" : "to do"} />
            )}
            {nodes(item.tokens)}
          </li>
        ))
      )
    case "blockquote":
      return <blockquote key={key}>{nodes(token.tokens)}</blockquote>
    case "table":
      return (
        <div class="table" key={key} tabIndex={0}>
          <table>
            <thead>
              <tr>{token.header.map((cell: any, index: number) => <th key={index}>{nodes(cell.tokens)}</th>)}</tr>
            </thead>
            <tbody>
              {token.rows.map((row: any, index: number) => (
                <tr key={index}>
                  {row.map((cell: any, column: number) => <td key={column}>{nodes(cell.tokens)}</td>)}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )
    case "plain":
      return <div key={key} class="plain">{token.raw}</div>
    case "br":
      return <br key={key} />
    case "hr":
      return <hr key={key} />
    default:
      return token.raw
  }
}

/** A block of a text is drawn again only if its source has changed. */
class Block extends Component<{ token: Token }> {
  override shouldComponentUpdate(next: { token: Token }) {
    return next.token.raw !== this.props.token.raw
  }
  override render(): VNode {
    return <>{node(this.props.token, 0)}</>
  }
}

/** Longer blocks are shown as they are, in pieces: only the last one grows. */
const longest = 50_000
const piece = 4000

/** The place of the first block that is longer. */
const longBlock = (text: string): readonly [from: number, to: number] | undefined => {
  for (let from = 0; text.length - from > longest;) {
    const end = text.indexOf("\n\n", from)
    const to = end < 0 ? text.length : end
    if (to - from > longest) return [from, to]
    from = to + 2
  }
  return undefined
}

const plain = (text: string): Array<Token> => {
  const pieces: Array<Token> = []
  for (let from = 0; from < text.length;) {
    const space = text.lastIndexOf(" ", from + piece)
    const cut = from + piece + (/[\ud800-\udbff]/.test(text[from + piece - 1] ?? "") ? 1 : 0)
    const to = text.length <= cut ? text.length : space > from ? space + 1 : cut
    pieces.push({ type: "plain", raw: text.slice(from, to) } as never)
    from = to
  }
  return pieces
}

const lex = (text: string): Array<Token> => Lexer.lex(text, { gfm: true, breaks: true })

/** A text that grows is read again from its last block on, so the time for a text is in proportion to its length. */
export class Markdown extends Component<{ text: string; done: boolean }> {
  private settled: Array<Token> = []
  private tail: Array<Token> = []
  private read = 0
  private seen = ""

  override shouldComponentUpdate(next: { text: string; done: boolean }) {
    return next.text !== this.props.text || next.done !== this.props.done
  }

  private lex(text: string): void {
    if (!text.startsWith(this.seen.slice(0, 64)) || text.length < this.seen.length) {
      this.settled = []
      this.read = 0
    }
    this.seen = text
    let rest = text.slice(this.read)
    for (let long = longBlock(rest); long !== undefined; long = longBlock(rest)) {
      const [from, to] = long
      this.settled.push(...lex(rest.slice(0, from)))
      this.tail = plain(rest.slice(from, to))
      if (to === rest.length) {
        this.read += from
        return
      }
      this.settled.push(...this.tail)
      this.read += to
      rest = rest.slice(to)
    }
    const tokens = lex(rest)
    const open = tokens.findLastIndex(({ type }) => type !== "space")
    const ready = tokens.slice(0, Math.max(0, open))
    const length = ready.reduce((sum, { raw }) => sum + raw.length, 0)
    // the lexer may have changed line ends or tabs: then its lengths say nothing
    if (ready.length > 0 && rest.startsWith(ready.map(({ raw }) => raw).join(""))) {
      this.settled.push(...ready)
      this.read += length
      this.tail = tokens.slice(ready.length)
    } else this.tail = tokens
  }

  override render(): VNode {
    if (this.seen !== this.props.text) this.lex(this.props.text)
    const all = [...this.settled, ...this.tail].filter(({ type }) => type !== "space")
    return (
      <div class={this.props.done ? "md" : "md writing"}>
        {all.map((token, index) => <Block key={index} token={token} />)}
      </div>
    )
  }
}
