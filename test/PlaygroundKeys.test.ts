import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { ExecutionStore } from "../src/durable/index.ts"
import * as Browser from "./fixtures/browser.ts"
import { choose, serve, token, turn, violations } from "./fixtures/playground.ts"

describe("Playground", () => {
  it.layer(Browser.TestBrowser.layer, { timeout: 60_000, excludeTestServices: true })("in a browser", (it) => {
    it.effect("is operated with the keys alone, and the focus is never lost", () =>
      Effect.gen(function*() {
        const { store, url } = yield* serve
        const { errors, page } = yield* Browser.open(`${url}/playground#token=${token}`)
        const { keyboard } = page
        const named = () =>
          page.evaluate(() => {
            const own = document.activeElement!
            return own.getAttribute("aria-label") ?? (own.id || own.textContent.slice(0, 50) || own.tagName)
          })
        /** Goes on with a key until a name has the focus. */
        const reach = async (name: string | RegExp, key = "Tab") => {
          const passed: Array<string> = []
          for (let count = 0; count < 80; count++) {
            await keyboard.press(key)
            const now = await named()
            passed.push(now)
            if (typeof name === "string" ? now === name : name.test(now)) return
          }
          assert.fail(`${name} is not reached: ${passed.join(" | ")}`)
        }
        const press = async (name: string | RegExp, key = "Tab") => {
          await reach(name, key)
          await keyboard.press("Enter")
        }
        const has = (selector: string) =>
          page.waitForFunction((selector) => document.activeElement!.matches(selector), selector, { timeout: 5000 })
            .catch(
              async () => assert.fail(`${selector} has not the focus, but ${await named()}`)
            )
        const write = async (text: string, state = "done") => {
          await keyboard.press("/")
          await keyboard.type(text)
          await keyboard.press("Enter")
          await turn(page, state).waitFor()
        }
        yield* Effect.promise(async () => {
          await page.setViewportSize({ width: 1400, height: 900 })
          await has("#message")
          await keyboard.type("weather")
          await keyboard.press("Enter")
          await turn(page, "done").waitFor()
          await page.locator(".runs button").waitFor()
          await press(/^get_weather/, "Shift+Tab")
          await page.locator(".call[open]").waitFor()

          // all that can be operated is reached, and is seen to have the focus
          const stops = await page.evaluate(() =>
            Array.from(
              document.querySelectorAll<HTMLElement>("a[href],button,input,select,textarea,summary,[tabindex]")
            )
              .filter((own) => own.tabIndex >= 0 && own.checkVisibility()).map((own, index) =>
                own.dataset.stop = `${index}`
              )
          )
          const seen = new Set<string | undefined>()
          for (let count = 0; count < stops.length + 1; count++) {
            await keyboard.press("Tab")
            const { isShown, stop } = await page.evaluate(() => {
              const own = document.activeElement as HTMLElement
              const shown = own.closest("form > textarea, .attach")?.parentElement?.closest("form") ?? own
              const { borderColor, outlineStyle } = getComputedStyle(shown)
              const accent = getComputedStyle(document.querySelector(".primary")!).borderColor
              return { stop: own.dataset.stop, isShown: outlineStyle !== "none" || borderColor === accent }
            })
            assert.isTrue(stop === undefined || isShown, `${await named()} is not seen to have the focus`)
            seen.add(stop)
          }
          assert.deepStrictEqual(stops.filter((stop) => !seen.has(stop)), [])

          // what has the focus goes away, and the focus stays near
          await keyboard.press("/")
          await press("Edit and fork", "Shift+Tab")
          await has("[aria-label='Edited message']")
          await keyboard.press("Escape")
          await has("[aria-label='Edit and fork']")
          await write("removes", "waiting")
          await press("Approve", "Shift+Tab")
          await turn(page, "done").waitFor()
          await has("article:last-child *")
          await press("Ask again", "Shift+Tab")
          await has(".log, .log *")
          await turn(page, "waiting").waitFor()
          await page.locator(".sessions .title").nth(1).waitFor()
          // the turn that the fork has inherited leads to its run after a reload
          await page.reload()
          await has("#message")
          await press(/^Show its run · stop/, "Shift+Tab")
          await page.locator(".waterfall", { hasText: "get_weather" }).waitFor()
          await press("Back to the last one")
          await has("#details, #details *")

          // sessions: arrow keys, rename, and no deletion by mistake
          await reach("Search sessions", "Shift+Tab")
          await keyboard.press("ArrowDown")
          await keyboard.press("ArrowDown")
          await has("li:nth-child(2) > .title")
          await keyboard.press("ArrowUp")
          await has("li:nth-child(1) > .title")
          await press("Rename weather")
          await has(".sessions input")
          await keyboard.type("The plan")
          await keyboard.press("Enter")
          await has(".sessions li:first-child *")
          await page.locator(".sessions .title", { hasText: "The plan" }).waitFor()
          assert.strictEqual(await page.locator("main > .failure").count(), 0)
          await press("Delete The plan")
          await has(".danger")
          await keyboard.press("Escape")
          await has(".sessions li:first-child *")
          await press("Delete The plan")
          await has(".danger")
          await keyboard.press("Enter")
          await page.locator(".sessions .title", { hasText: "The plan" }).waitFor({ state: "detached" })
          await has(".sessions *")

          // a key for a field stops no run
          await write("hangs", "running")
          await reach("Search sessions", "Shift+Tab")
          await keyboard.type("wea")
          await keyboard.press("Escape")
          await page.waitForFunction(() => document.querySelector<HTMLInputElement>("#search")!.value === "")
          await keyboard.press("/")
          assert.strictEqual(await turn(page, "running").count(), 1)
          await press("Stop")
          await turn(page, "stopped").waitFor()
          await has("#message")

          // drawers
          await page.setViewportSize({ width: 400, height: 800 })
          for (const [name, inside] of [["Sessions", ".left *"], ["Details", "[role=tab]"]] as const) {
            await press(name, "Shift+Tab")
            await has(inside)
            await keyboard.press("Escape")
            await page.waitForFunction(
              (name) => [document.activeElement!.ariaLabel, document.activeElement!.textContent].includes(name),
              name
            )
            await keyboard.press("/")
          }

          // executions: one that no process has begun, and one that has failed
          await page.setViewportSize({ width: 1400, height: 900 })
          await choose(page, "keeper")
        })
        yield* Effect.flatMap(
          ExecutionStore.created({ id: "6:keeper:later", agent: "keeper", version: 1, payload: "{}" }),
          store.create
        )
        yield* Effect.promise(async () => {
          await reach("New session")
          await write("fails", "failed")
          await reach("tab-run")
          await keyboard.press("End")
          const failed = page.locator("[data-status=failed]")
          assert.include(await failed.locator("pre").textContent(), "RateLimitError")
          const queued = page.locator("[data-status=queued]")
          assert.include(await queued.innerText(), "No process")
          assert.deepStrictEqual(await queued.getByRole("button").allTextContents(), ["Interrupt", "Delete"])
          assert.deepStrictEqual(await violations(page), [])
          await press("queued 1")
          await failed.waitFor({ state: "detached" })
          await press("Delete")
          assert.strictEqual(await named(), "Delete for good")
          await keyboard.press("Escape")
          assert.strictEqual(await named(), "Delete")
          await keyboard.press("Enter")
          await keyboard.press("Enter")
          await queued.waitFor({ state: "detached" })
          await has(".executions *")
        })
        assert.deepStrictEqual(errors, [])
      }))
  })
})
