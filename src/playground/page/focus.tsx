/** The focus: who works with the keyboard does not lose it when what has it goes away. */

const places = "a[href],button:not(.danger,:disabled),input:not(:disabled),select,textarea,summary,[tabindex]"

const isUsable = (element: Element): boolean =>
  element.isConnected && element.checkVisibility() && !element.matches(":disabled")

/** The first place for the focus in an element, which may be the element itself. Nothing that is done by mistake. */
const firstIn = (node: Node | null | undefined): HTMLElement | undefined =>
  node instanceof HTMLElement
    ? [node, ...node.querySelectorAll<HTMLElement>(places)].find((one) => one.matches(places) && isUsable(one))
    : undefined

/** What has the focus, and what it stands in. */
let around: ReadonlyArray<Element> = []

const ancestors = (element: Element | null): ReadonlyArray<Element> =>
  element === null ? [] : [element, ...ancestors(element.parentElement)]

/** The place for the focus that is nearest to the one that has gone. */
const nearest = (records: ReadonlyArray<MutationRecord>): HTMLElement | undefined => {
  const gone = around.findLast((element) => !isUsable(element))!
  // a drawer gives it back to its button
  if (gone.matches("aside")) return firstIn(document.querySelector(gone.matches(".left") ? ".for-left" : ".for-right"))
  const removal = records.find(({ removedNodes }) =>
    Array.from(removedNodes).some((node) => around.includes(node as never))
  )
  const beside = removal === undefined ? [gone.nextElementSibling, gone.previousElementSibling] : [
    ...records.flatMap(({ addedNodes, target }) => target === removal.target ? Array.from(addedNodes) : []),
    removal.nextSibling,
    removal.previousSibling
  ]
  for (const node of [...beside, ...around.filter(isUsable), document.getElementById("message")]) {
    const found = firstIn(node)
    if (found !== undefined) return found
  }
  return undefined
}

export const keepFocus = (root: HTMLElement): void => {
  root.addEventListener("focusin", ({ target }) => around = ancestors(target as Element))
  // who points at something else wants nothing back
  addEventListener("pointerdown", () => around = [], true)
  new MutationObserver((records) => {
    const [own] = around
    if (own === undefined || isUsable(own)) return
    if (document.activeElement === document.body || document.activeElement === own) nearest(records)?.focus()
  }).observe(root, {
    childList: true,
    subtree: true,
    attributes: true,
    attributeFilter: ["hidden", "disabled", "data-drawer"]
  })
}

/** The drawer that lies over the conversation. In a wide window there is none. */
const overlay = (): Element | undefined =>
  Array.from(document.querySelectorAll("aside")).find((aside) =>
    getComputedStyle(aside).position === "fixed" && aside.checkVisibility()
  )

/** Whether a drawer lies over the conversation. */
export const hasOverlay = (): boolean => overlay() !== undefined

/** A drawer that opens has the focus. */
export const enterOverlay = (): void => {
  const drawer = overlay()
  if (drawer === undefined || drawer.contains(document.activeElement)) return
  firstIn(drawer.querySelector("[aria-selected=true]") ?? drawer)?.focus()
}
