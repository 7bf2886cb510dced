import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { join } from "node:path"
import type { Page } from "playwright-core"
import { build } from "vite"
import * as Browser from "./fixtures/browser.ts"
import * as ChatServer from "./fixtures/chatServer.ts"
import * as EveryPart from "./fixtures/everyPart.ts"

const style = `
  body { font: 16px sans-serif; margin: 2em; } article { margin: 1em 0; padding: .5em 1em; border-radius: 8px; }
  .user { background: #e8f0ff; } .assistant { background: #f4f4f4; } .tool { border-left: 3px solid #888; padding-left: 8px; }
  .error, #error { color: #b00; } img { width: 32px; height: 32px; border: 1px solid #888; } .reasoning { color: #777; }
`

/** The page of the fixtures, as a browser reads it. */
const bundle = Effect.cached(Effect.promise(async () => {
  const built = await build({
    configFile: false,
    logLevel: "error",
    define: { "process.env.NODE_ENV": JSON.stringify("production") },
    build: {
      write: false,
      target: "es2022",
      rollupOptions: { input: join(import.meta.dirname, "fixtures/chatPage.ts") }
    }
  })
  const [output] = "output" in built ? built.output : []
  return output!.code
}))

const html = `<!doctype html><meta charset="utf-8"><title>chat</title><style>${style}</style>
<div id="app"></div><script type="module" src="/page.js"></script>`

const pageRoutes = (code: string) =>
  Layer.mergeAll(
    HttpRouter.add("GET", "/", HttpServerResponse.text(html, { contentType: "text/html" })),
    HttpRouter.add("GET", "/page.js", HttpServerResponse.text(code, { contentType: "text/javascript" })),
    HttpRouter.add("GET", "/favicon.ico", HttpServerResponse.empty())
  )

const ready = (page: Page) => page.locator("main[data-status=ready]").waitFor()

const say = async (page: Page, text: string) => {
  await page.locator("input[name=text]").fill(text)
  await page.getByText("Send").click()
}

const ask = async (page: Page, text: string) => {
  const count = await page.locator(".assistant").count()
  await say(page, text)
  await page.locator(".assistant").nth(count).waitFor()
  await ready(page)
}

/** The texts and tools of the last message. */
const shown = (page: Page) =>
  page.locator(".assistant").last().locator(".text, .tool").evaluateAll((all: ReadonlyArray<any>) =>
    all.map((element) =>
      element.className === "text" ? element.textContent : `${element.dataset.tool} ${element.dataset.state}`
    )
  )

describe("UiMessages in a browser", () => {
  it.layer(Browser.TestBrowser.layer, { timeout: 60_000, excludeTestServices: true })("useChat", (it) => {
    const code = Effect.runSync(bundle)

    it.effect("shows every kind of part, asks for approvals, and sends files", () =>
      Effect.gen(function*() {
        const { agent, done, layer } = EveryPart.make()
        const server = yield* ChatServer.serve(agent, layer, {}, pageRoutes(yield* code))
        const { errors, page } = yield* Browser.open(`${server.url}/?id=parts`)
        const last = page.locator(".assistant").last()
        yield* Effect.promise(async () => {
          await ready(page)
          await ask(page, "weather")
          assert.strictEqual(await last.locator(".reasoning").innerText(), "look it up")
          assert.deepStrictEqual(await shown(page), ["Let me look. ", "get_weather output-available", "Done."])
          assert.strictEqual(await last.locator(".output").innerText(), "{\"temperature\":4,\"city\":\"Oslo\"}")

          await ask(page, "sources")
          assert.strictEqual(await last.locator(".source").getAttribute("href"), "https://example.com/a")
          assert.strictEqual(
            await last.locator("img.file").getAttribute("src"),
            "data:image/png;base64,iVBORw0KGgo="
          )

          await ask(page, "researches")
          assert.include(await last.locator(".data-agent").innerText(), "\"status\":\"completed\",\"text\":\"I am\"")
          assert.isAbove(Number(await page.locator("main").getAttribute("data-transient")), 5)

          await page.locator("input[name=files]").setInputFiles({
            name: "a.txt",
            mimeType: "text/plain",
            buffer: Buffer.from("hi")
          })
          await ask(page, "look")
          assert.deepStrictEqual(await shown(page), ["You said: look"])
          assert.strictEqual(
            await page.locator(".user").last().locator(".file").innerText(),
            "a.txt data:text/plain;base64,aGk="
          )
          await page.locator("input[name=files]").setInputFiles([])

          await ask(page, "removes")
          await page.reload()
          await ready(page)
          assert.deepStrictEqual(await page.locator(".user").allInnerTexts(), [
            "weather",
            "sources",
            "researches",
            "a.txt data:text/plain;base64,aGk=\nlook",
            "removes"
          ])
          await page.getByText("Approve").click()
          await last.locator(".text", { hasText: "Done." }).waitFor()
          await ready(page)
          assert.deepStrictEqual(await shown(page), ["I remove it. ", "remove_file output-available", "Done."])

          await ask(page, "cleans")
          await page.getByText("Deny").click()
          await last.locator(".text", { hasText: "Done." }).waitFor()
          await ready(page)
          assert.deepStrictEqual(await shown(page), [
            "cleaner output-available",
            "remove_file output-denied",
            "Done."
          ])

          await say(page, "fails")
          await page.locator("main[data-status=error]").waitFor()
          assert.strictEqual(
            await page.locator("#error").innerText(),
            "The model gets too many requests. Try again later."
          )
          assert.deepStrictEqual(errors, [])
        })
        assert.deepStrictEqual(done, ["remove old.txt"])
      }).pipe(Effect.scoped))

    it.effect("shows preliminary results, joins a run after a reload, in two browsers", () =>
      Effect.gen(function*() {
        const fixture = ChatServer.waiting({ keep: "always" })
        const server = yield* ChatServer.serve(fixture.agent, fixture.layer, {}, pageRoutes(yield* code))
        const one = yield* Browser.open(`${server.url}/?id=c`)
        yield* Effect.promise(() => ready(one.page).then(() => say(one.page, "wait")))
        yield* fixture.begun
        yield* Effect.promise(() => one.page.locator(".preliminary").waitFor())
        const two = yield* Browser.open(`${server.url}/?id=c`)
        yield* Effect.promise(async () => {
          await one.page.reload()
          for (const { page } of [one, two]) {
            await page.locator("main[data-status=streaming] .preliminary").waitFor()
            assert.deepStrictEqual(await page.locator(".preliminary").innerText(), "\"waiting\"")
          }
        })
        yield* fixture.goOn
        yield* Effect.promise(async () => {
          for (const { page } of [one, two]) {
            await ready(page)
            assert.deepStrictEqual(await shown(page), ["one two ", "wait output-available", "three"])
            assert.strictEqual(await page.locator("article").count(), 2)
          }
        })
      }).pipe(Effect.scoped))

    it.effect("stops a run for everybody, and leaves one to the others", () =>
      Effect.gen(function*() {
        const fixture = ChatServer.waiting({ keep: "always" })
        const server = yield* ChatServer.serve(fixture.agent, fixture.layer, {}, pageRoutes(yield* code))
        const one = yield* Browser.open(`${server.url}/?id=c`)
        yield* Effect.promise(() => ready(one.page).then(() => say(one.page, "wait")))
        yield* fixture.begun
        const two = yield* Browser.open(`${server.url}/?id=c`)
        yield* Effect.promise(async () => {
          await two.page.locator("main[data-status=streaming] .preliminary").waitFor()
          await one.page.getByText("Leave").click()
          await ready(one.page)
          assert.deepStrictEqual(await shown(two.page), ["one two ", "wait output-available"])
          await two.page.getByText("Stop").click()
          await ready(two.page)
          assert.deepStrictEqual(await shown(two.page), ["one two ", "wait output-error"])
          await one.page.reload()
          await ready(one.page)
          assert.deepStrictEqual(await shown(one.page), ["one two ", "wait output-error"])
          await ask(one.page, "go on")
          assert.deepStrictEqual(await shown(one.page), ["2 go on"])
          assert.deepStrictEqual([...one.errors, ...two.errors], [])
        })
      }).pipe(Effect.scoped))
  })
})
