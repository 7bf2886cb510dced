import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import { execFile } from "node:child_process"
import { request } from "node:http"
import { join } from "node:path"
import { promisify } from "node:util"
import { html } from "../src/playground/internal/page.ts"
import * as Browser from "./fixtures/browser.ts"
import { ask, choose, deltas, png, say, serve, token, turn, violations, wireTo } from "./fixtures/playground.ts"

const root = join(import.meta.dirname, "..")

describe("Playground", () => {
  it("has the page that its sources give, of at most 120 kB", { timeout: 30_000 }, async () => {
    const script = join(root, "src/playground/page/build.mjs")
    const { stdout } = await promisify(execFile)(process.execPath, [script, "--check"])
    assert.match(stdout, /^the same, \d+\n$/)
    assert.isBelow(Buffer.byteLength(html), 120_000)
  })

  it.layer(Browser.TestBrowser.layer, { timeout: 60_000, excludeTestServices: true })("in a browser", (it) => {
    it.effect("refuses other hosts, other origins and requests without the token", () =>
      Effect.gen(function*() {
        const { url } = yield* serve
        const status = (path: string, headers: Record<string, string>, method = "GET") =>
          Effect.promise(() =>
            new Promise<number | undefined>((resolve, reject) => {
              request(`${url}${path}`, { headers, method }, (response) => {
                response.resume()
                resolve(response.statusCode)
              }).on("error", reject).end()
            })
          )
        const authorization = `Bearer ${token}`
        const paths = [
          ["/playground", "GET"],
          ["/playground/api/agents", "GET"],
          ["/playground/api/agents/0/sessions", "GET"],
          ["/playground/api/agents/0/sessions/a/fork", "POST"],
          ["/playground/api/agents/0/runs", "POST"]
        ] as const
        for (const [path, method] of paths) {
          assert.strictEqual(yield* status(path, { host: "evil.example", authorization }, method), 421, path)
          assert.strictEqual(
            yield* status(path, { origin: "https://evil.example", authorization }, method),
            403,
            path
          )
          assert.strictEqual(yield* status(path, {}, method), path === "/playground" ? 200 : 401, path)
        }
        const response = yield* Effect.promise(() => fetch(`${url}/playground`))
        const policy = response.headers.get("content-security-policy") ?? ""
        assert.match(policy, /^default-src 'none';.*script-src 'sha256-[^']+'; style-src 'sha256-[^']+'/)
        assert.notInclude(policy, "unsafe")
        const { errors, page } = yield* Browser.open(`${url}/playground`)
        yield* Effect.promise(() => page.getByText("This page needs a token").waitFor())
        assert.lengthOf(errors, 1)
      }))

    it.effect("shows what an agent does, and its buttons work", () =>
      Effect.gen(function*() {
        const { done, go, url } = yield* serve
        const { errors, page } = yield* Browser.open(`${url}/playground#token=${token}`)
        const foreign: Array<string> = []
        page.on("request", (request) => {
          if (!request.url().startsWith(`${url}/playground`) && !request.url().startsWith("data:")) {
            foreign.push(request.url())
          }
        })
        yield* Effect.promise(async () => {
          await page.setViewportSize({ width: 1400, height: 900 })
          await page.locator(".welcome").waitFor()
          assert.strictEqual(new URL(page.url()).hash, "")

          await ask(page, "weather")
          assert.strictEqual(await page.locator(".reasoning p").textContent(), "look it up")
          const call = page.locator(".call[data-tool=get_weather]")
          assert.strictEqual(await call.getAttribute("data-state"), "done")
          await call.locator("summary").click()
          assert.deepStrictEqual((await call.locator("pre").allTextContents()).map((text) => JSON.parse(text)), [
            { city: "Oslo" },
            { temperature: 4, city: "Oslo" }
          ])
          assert.deepStrictEqual(
            await page.locator(".waterfall .name").allTextContents(),
            ["assistant", "step 1", "get_weather", "step 2"]
          )

          // markup stays text
          const markup =
            "<img src=https://evil.example/a onerror=alert(1)><script>alert(2)</script> **bold** ![x](https://evil.example/b) [y](javascript:alert(3))"
          await ask(page, markup)
          const answer = page.locator("article:last-child .md")
          assert.include(await answer.textContent(), "<script>alert(2)</script>")
          assert.strictEqual(await answer.locator("img, script, a[href^=javascript]").count(), 0)
          assert.strictEqual(await answer.locator("strong").textContent(), "bold")

          await ask(page, "counts")
          await ask(page, "sources")
          assert.strictEqual(await page.locator(".source a").first().getAttribute("href"), "https://example.com/a")
          await ask(page, "researches")
          assert.match(await page.locator(".nested").innerText(), /researcher[^]*I am/)

          // approvals: with other arguments, and denied
          await ask(page, "removes", "waiting")
          const edited = page.locator(".approval textarea")
          await edited.fill("{")
          await page.getByRole("button", { name: "Approve with edits" }).click()
          await page.getByText("This is no JSON").waitFor()
          await edited.fill("{\"file\":3}")
          await page.getByRole("button", { name: "Approve with edits" }).click()
          await page.getByText("These are no arguments of remove_file").waitFor()
          assert.deepStrictEqual(done, [])
          await edited.fill("{\"file\":\"new.txt\"}")
          await page.getByRole("button", { name: "Approve with edits" }).click()
          await turn(page, "done").waitFor()
          assert.deepStrictEqual(done, ["remove new.txt"])
          assert.include(await page.locator(".waterfall .name").allTextContents(), "waits for approval")
          // a double click is the approval of one call, though the next one takes its place
          await ask(page, "removes two", "waiting")
          await page.getByRole("button", { name: "Approve" }).first().dblclick()
          assert.strictEqual(await page.locator(".approval:visible").count(), 1)
          await page.getByRole("button", { name: "Deny" }).click()
          await turn(page, "done").waitFor()
          assert.deepStrictEqual(done.splice(1), ["remove a.txt"])
          await ask(page, "cleans", "waiting")
          await page.getByLabel("Reason for a denial").fill("keep it")
          await page.getByRole("button", { name: "Deny" }).click()
          await turn(page, "done").waitFor()
          assert.deepStrictEqual(done, ["remove new.txt"])

          // failures, stop, retry
          await ask(page, "fails", "failed")
          const failure = page.locator("article:last-child .failure")
          assert.match(
            await failure.innerText(),
            /^rate-limited The model gets too many requests\. Try again later\.\s+AiError › RateLimitError .*Rate limit exceeded/
          )
          await failure.locator("summary").click()
          assert.strictEqual(JSON.parse(await failure.locator("pre").innerText()).reason._tag, "RateLimitError")
          assert.include(await page.locator(".right .failure").innerText(), "AiError › RateLimitError")
          await page.getByRole("button", { name: "Retry" }).click()
          await turn(page, "failed").waitFor()
          // a defect, too; and what it says stays text
          await ask(page, "dies", "failed")
          assert.match(
            await failure.innerText(),
            /^internal Something went wrong\.\s+defect › Error <img src=x> s3cret$/
          )
          assert.strictEqual(await page.locator("img[src=x]").count(), 0)
          await say(page, "hangs")
          await page.getByText("in the middle").last().waitFor()
          // a page that is loaded again joins the run
          await page.reload()
          await turn(page, "running").getByText("in the middle").waitFor()
          assert.strictEqual(await page.locator("article:last-child .said").textContent(), "hangs")
          await page.getByRole("button", { name: "Stop", exact: true }).click()
          await turn(page, "stopped").waitFor()

          // details
          const selected = page.locator("[role=tab][aria-selected=true]")
          const tabs: Array<string> = []
          await page.getByRole("tab", { name: "Run" }).focus()
          for (const key of ["ArrowRight", "End", "ArrowRight", "ArrowLeft", "Home"]) {
            await page.keyboard.press(key)
            tabs.push(await selected.innerText())
            assert.isTrue(await selected.evaluate((tab) => tab === document.activeElement && tab.tabIndex === 0))
          }
          assert.deepStrictEqual(tabs, ["Parts", "Agent", "Run", "Agent", "Run"])
          assert.strictEqual(await page.locator("[role=tab][tabindex='0']").count(), 1)
          await page.getByRole("tab", { name: "Agent" }).click()
          await page.getByText("asks first").waitFor()
          await page.getByRole("tab", { name: "Parts" }).click()
          await page.locator(".parts summary", { hasText: "run-start" }).click()
          assert.include(await page.locator(".parts pre").textContent(), "\"type\": \"run-start\"")
          await page.getByRole("tab", { name: "Run" }).click()
          for (const theme of ["light", "dark"]) {
            await page.locator(".theme select").selectOption(theme)
            assert.deepStrictEqual(await violations(page), [], theme)
          }

          // sessions
          const titles = page.locator(".sessions .title")
          assert.deepStrictEqual(await titles.allTextContents(), ["weather"])
          await page.getByRole("button", { name: "Fork weather" }).click()
          await titles.nth(1).waitFor()
          await page.getByRole("button", { name: "Rename weather" }).first().click()
          await page.getByLabel("Title of weather").fill("The plan")
          await page.keyboard.press("Enter")
          await page.locator(".sessions .open .title", { hasText: "The plan" }).waitFor()
          await page.getByRole("button", { name: "New session" }).click()
          await ask(page, "reasons")
          await titles.nth(2).waitFor()
          await page.getByLabel("Search sessions").fill("reas")
          await titles.nth(1).waitFor({ state: "detached" })
          assert.deepStrictEqual(await titles.allTextContents(), ["reasons"])
          await page.getByRole("button", { name: "Delete reasons" }).click()
          await page.keyboard.press("Tab")
          await page.getByRole("button", { name: "Delete reasons" }).click()
          await page.getByRole("button", { name: "Delete for good" }).click()
          await page.getByText("No session has these words").waitFor()
          await page.getByLabel("Search sessions").fill("")
          await titles.nth(1).waitFor()
          await titles.first().click()
          await page.locator("article").nth(5).waitFor()

          // another question in the place of the third, in a fork
          const said = page.locator("article .said")
          await page.getByRole("button", { name: "Edit and fork" }).nth(2).click()
          await page.getByRole("button", { name: "Cancel" }).click()
          await page.getByRole("button", { name: "Edit and fork" }).nth(2).click()
          await page.getByLabel("Edited message").fill("who are you?")
          await page.getByRole("button", { name: "Send in a fork" }).click()
          await page.locator("article:nth-child(3):last-child[data-state=done]").waitFor()
          assert.deepStrictEqual(await said.allTextContents(), ["weather", markup, "who are you?"])
          await titles.nth(2).waitFor()
          await page.getByRole("button", { name: "Ask again" }).nth(1).click()
          await page.locator("article:nth-child(2):last-child[data-state=done]").waitFor()
          assert.deepStrictEqual(await said.allTextContents(), ["weather", markup])
          await titles.nth(3).waitFor()
          // what was there before the fork still is
          await titles.nth(2).click()
          await page.locator("article").nth(5).waitFor()

          // other agents: partial output, steering
          await choose(page, "reporter")
          await ask(page, "reports")
          assert.deepStrictEqual(JSON.parse(await page.locator(".answer > .value pre").textContent() ?? ""), {
            title: "A",
            points: [1, 2]
          })
          await choose(page, "patient")
          await say(page, "sleep")
          await page.locator(".call[data-state=running]").waitFor()
          // a message that is not taken comes back
          const refused = JSON.stringify({ code: "not-running", message: "The run has ended.", retryable: false })
          await page.route("**/messages", (route) => route.fulfill({ status: 422, body: refused }), { times: 1 })
          await say(page, "and hurry")
          await page.getByText("The run has ended.").waitFor()
          await page.waitForFunction(() => document.querySelector("textarea")!.value === "and hurry")
          await say(page, "and wake up")
          await page.waitForFunction(() => document.querySelector("textarea")!.value === "")
        })
        // the message has arrived when the list of requests is quiet
        yield* Effect.promise(() => page.waitForLoadState("networkidle"))
        yield* Deferred.succeed(go, undefined)
        yield* Effect.promise(async () => {
          await turn(page, "done").waitFor()
          assert.strictEqual(await page.locator(".steering").textContent(), "and wake up")
          assert.strictEqual(await page.locator(".call").getAttribute("data-state"), "done")

          // a narrow window
          await page.setViewportSize({ width: 400, height: 800 })
          assert.isFalse(await page.locator("aside.left").isVisible())
          await page.getByRole("button", { name: "Sessions" }).click()
          assert.isTrue(await page.locator("aside.left").isVisible())
          await page.keyboard.press("Escape")
          await page.getByRole("button", { name: "Details" }).click()
          assert.isTrue(await page.locator("aside.right").isVisible())
          assert.deepStrictEqual(await violations(page), [])
          assert.isAtMost(await page.evaluate(() => document.documentElement.scrollWidth), 400)
        })
        assert.deepStrictEqual(foreign, [])
        // wrong arguments were tried
        assert.deepStrictEqual(errors.filter((error) => !error.includes("422")), [])
      }))

    it.effect("shows the runs of a session, graphs, executions, and two agents side by side", () =>
      Effect.gen(function*() {
        const { url } = yield* serve
        const { context, errors, page } = yield* Browser.open(`${url}/playground#token=${token}`)
        const tab = (name: string) => page.getByRole("tab", { name }).click()
        yield* Effect.promise(async () => {
          await context.grantPermissions(["clipboard-read", "clipboard-write"])
          await page.setViewportSize({ width: 1400, height: 900 })
          await ask(page, "weather")
          await ask(page, "counts")
          const runs = page.locator(".runs button")
          await runs.nth(1).waitFor()
          await page.locator(".facts", { hasText: "Cost" }).getByText("0.021").waitFor()
          await page.getByRole("button", { name: "Copy as test" }).click()
          await page.getByText("Copied").waitFor()
          assert.include(await page.evaluate(() => navigator.clipboard.readText()), "counts")
          await page.getByRole("button", { name: "Copy as cassette" }).click()
          await page.waitForFunction(async () => (await navigator.clipboard.readText()).startsWith("{\"cassette\":1}"))
          // the page that is loaded again knows the turns, and the journal has their times
          await page.reload()
          await page.getByText("stored without its times").waitFor()
          const waterfall = page.locator(".waterfall .name")
          // each turn leads to its run
          const weather = page.locator("article").first().getByRole("button", { name: /^Show its run · stop · .*0\.0/ })
          await weather.click()
          await page.getByText("An earlier run").waitFor()
          assert.deepStrictEqual(await waterfall.allTextContents(), ["assistant", "step 1", "get_weather", "step 2"])
          assert.strictEqual(await weather.getAttribute("aria-current"), "true")
          await runs.nth(0).click()
          await page.locator(".waterfall", { hasText: "count_slowly" }).waitFor()
          await runs.nth(1).click()
          await page.locator(".waterfall", { hasText: "get_weather" }).waitFor()
          await tab("Graph")
          await page.locator(".node.done[data-node=get_weather]").waitFor()
          await page.getByRole("button", { name: "Back to the last one" }).click()
          await page.getByRole("button", { name: "New session" }).click()

          await choose(page, "article")
          const node = (name: string, state: string) => page.locator(`.node.${state}[data-node=${name}]`)
          await node("draft", "pending").waitFor()
          await ask(page, "mountains", "waiting")
          for (const name of ["web", "archive", "draft"]) await node(name, "done").waitFor()
          await node("publish", "waiting").waitFor()
          assert.strictEqual(await page.locator(".edge").count(), 5)
          assert.strictEqual(await page.locator(".edge.maybe").count(), 1)
          assert.deepStrictEqual(await violations(page), [])
          await page.getByRole("button", { name: "Approve" }).click()
          await node("publish", "done").waitFor()
          await node("never", "skipped").waitFor()

          await choose(page, "keeper")
          await ask(page, "removes", "waiting")
          await tab("Executions")
          const execution = (state: string) => page.locator(`[data-status=${state}]`)
          await execution("waiting").locator("summary").click()
          await execution("waiting").locator("textarea").fill("{\"file\":3}")
          await execution("waiting").getByRole("button", { name: "Approve" }).click()
          await page.getByText("approval-invalid").waitFor()
          assert.deepStrictEqual(await violations(page), [])
          await execution("waiting").locator("textarea").fill("{\"file\":\"b.txt\"}")
          await execution("waiting").getByRole("button", { name: "Approve" }).click()
          await execution("completed").waitFor()
          await page.getByRole("button", { name: "New session" }).click()
          await say(page, "dies")
          await execution("parked").waitFor()
          await turn(page, "failed").getByText(/ExecutionParked[^]*<img src=x> s3cret/).waitFor()
          await tab("Run")
          await page.getByRole("button", { name: "Show the executions" }).click()
          await page.getByRole("button", { name: /^parked 1$/ }).click()
          assert.include(await execution("parked").locator("pre").textContent(), "s3cret")
          await execution("parked").getByRole("button", { name: "Resume" }).click()
          await execution("parked").getByRole("button", { name: "Interrupt" }).click()
          await page.getByRole("button", { name: /^ended 2$/ }).click()
          // a double click asks, and does nothing
          await execution("completed").getByRole("button", { name: "Delete" }).dblclick()
          await page.getByRole("button", { name: "Delete for good" }).click()
          await page.getByRole("button", { name: /^ended 1$/ }).waitFor()
          await page.getByRole("button", { name: "Refresh" }).click()
          await page.getByRole("button", { name: "Purge all that have ended" }).click()
          await page.getByRole("button", { name: "Purge all that have ended for good" }).click()
          await page.getByText("No executions.").waitFor()

          await choose(page, "assistant")
          await page.getByRole("button", { name: "Compare" }).click()
          await page.getByLabel("Agent beside it").selectOption({ label: "keeper" })
          await say(page, "which of you?")
          const answers = page.locator("article[data-state=done] .answer .md")
          await answers.nth(1).waitFor()
          assert.deepStrictEqual(await answers.allTextContents(), [
            "You said: which of you?",
            "You said: which of you?"
          ])
          assert.deepStrictEqual(await violations(page), [])
          await page.locator("article .note").last().click()
          assert.deepStrictEqual(await waterfall.allTextContents(), ["keeper", "step 1"])
          // both conversations are there again
          await page.reload()
          await answers.nth(1).waitFor()
          assert.strictEqual(await page.getByLabel("Agent beside it").locator("option:checked").innerText(), "keeper")
          await page.locator(".lane").nth(1).getByRole("button", { name: /^Show its run/ }).click()
          await page.locator(".waterfall", { hasText: "keeper" }).waitFor()
          await page.getByRole("button", { name: "Copy as test" }).click()
          await page.getByText("Copied").waitFor()
          await page.getByRole("button", { name: "Close the comparison" }).click()
          assert.strictEqual(await page.locator(".lane").count(), 1)
        })
        // a status of 422 is one of the things that were tried
        assert.deepStrictEqual(errors.filter((error) => !error.includes("422")), [])
      }))

    it.effect("sends files, gives the results of tools of the client, and joins a run again", () =>
      Effect.gen(function*() {
        const { go, url } = yield* serve
        const wire = yield* wireTo(url)
        const { context, page } = yield* Browser.open(`${wire.url}/playground#token=${token}`)
        yield* Effect.promise(async () => {
          await page.setViewportSize({ width: 1400, height: 900 })
          await page.locator(".welcome").waitFor()
          await choose(page, "receiver")
          // an image that is pasted, a file that is dropped, and one that is chosen
          const give = (
            type: "paste" | "drop",
            name: string,
            mediaType: string,
            bytes: ReadonlyArray<number> | number
          ) =>
            page.evaluate(([type, name, mediaType, bytes]) => {
              const data = new DataTransfer()
              data.items.add(
                new File(
                  [typeof bytes === "number" ? new Uint8Array(bytes) : new Uint8Array(bytes as Array<number>)],
                  name as string,
                  { type: mediaType as string }
                )
              )
              const options = { bubbles: true, cancelable: true }
              // a file may be dropped anywhere
              document.querySelector(type === "paste" ? "#message" : ".log")!.dispatchEvent(
                type === "paste"
                  ? new ClipboardEvent("paste", { ...options, clipboardData: data })
                  : new DragEvent("drop", { ...options, dataTransfer: data })
              )
            }, [type, name, mediaType, bytes] as const)
          await give("paste", "dot.png", "image/png", png)
          await give("drop", "a.txt", "text/plain", [104, 105])
          await page.locator("input[type=file]").setInputFiles({
            name: "b.csv",
            mimeType: "text/csv",
            buffer: Buffer.from("1,2,3")
          })
          await page.getByRole("button", { name: "Remove b.csv" }).waitFor()
          await page.getByRole("button", { name: "Remove a.txt" }).click()
          await ask(page, "look")
          assert.strictEqual(
            await page.locator("article .md").innerText(),
            `look, dot.png image/png ${png.length}, b.csv text/csv 5`
          )
          await page.waitForFunction(() => document.querySelector<HTMLImageElement>(".said img")!.naturalWidth === 1)
          // files come back from the store, and go into a fork with the message
          await page.locator(".sessions .title").click()
          await page.waitForFunction(() => document.querySelector<HTMLImageElement>(".said img")?.naturalWidth === 1)
          // two clicks are one fork
          await page.getByRole("button", { name: "Ask again" }).dblclick()
          await page.locator(".sessions .title").nth(1).waitFor()
          await turn(page, "done").getByText("dot.png image/png").waitFor()
          assert.deepStrictEqual(
            [await page.locator("article").count(), await page.locator(".sessions .title").count()],
            [1, 2]
          )
          // a session that cannot be read leaves what is shown
          await page.route("**/sessions/*", (route) => route.abort(), { times: 1 })
          await page.locator(".sessions .title").nth(1).click()
          await page.locator("main > .failure").getByText("The server does not answer.").waitFor()
          await turn(page, "done").getByText("dot.png image/png").waitFor()
          // a block that is too long for Markdown is shown as it is, and what comes after it as Markdown
          const line = "clay pots ".repeat(6000)
          await ask(page, `# A\n\n${line}\n\n**end**`)
          const shown = page.locator("article:last-child .md")
          assert.include(await shown.evaluate((own) => own.textContent), line)
          assert.deepStrictEqual(await shown.locator("h3, strong").allTextContents(), ["A", "end"])
          await give("drop", "large.bin", "", 12_000_001)
          await page.getByText("large.bin is larger than 12 MB").waitFor()

          await choose(page, "painter")
          await ask(page, "blue", "waiting")
          await page.getByText("Give the result of paint").waitFor()
          const result = page.getByLabel("Result as JSON")
          await result.fill("{\"is\":1}")
          await page.getByRole("button", { name: "Give result" }).click()
          await page.locator(".answer .failure").waitFor()
          await result.fill("{\"was\":\"white\"}")
          await page.getByRole("button", { name: "Give result" }).click()
          await turn(page, "done").getByText("It was white.").waitFor()

          // somebody else may answer first
          await ask(page, "blue", "waiting")
          const other = await context.newPage()
          await other.goto(`${wire.url}/playground#token=${token}`)
          await choose(other, "painter")
          await other.locator(".sessions .title").first().click()
          await turn(other, "waiting").waitFor()
          await other.getByRole("button", { name: "Deny" }).click()
          await turn(other, "done").waitFor()
          await other.close()
          await result.fill("{\"was\":\"white\"}")
          await page.getByRole("button", { name: "Give result" }).click()
          await page.locator("main > .failure").getByText("approval-unknown").waitFor()
          await page.locator("article:nth-child(2) .call[data-state=denied]").waitFor()
          await turn(page, "done").getByText("?").waitFor()

          await choose(page, "patient")
          await say(page, "sleep")
          await page.locator(".call[data-state=running]").waitFor()
          wire.cut()
        })
        yield* Deferred.succeed(go, undefined)
        yield* Effect.promise(async () => {
          await turn(page, "done").getByText("Good morning.").waitFor()
          assert.strictEqual(await page.locator(".call").count(), 1)
          assert.strictEqual(await page.locator(".answer .failure").count(), 0)
        })
      }))

    it.effect("does not freeze while 20,000 deltas come, nor with a result of 20 MB", () =>
      Effect.gen(function*() {
        const { url } = yield* serve
        const { page } = yield* Browser.open(`${url}/playground#token=${token}`)
        const longest = yield* Effect.promise(async () => {
          await page.locator(".welcome").waitFor()
          await choose(page, "storyteller")
          const browser = page.context().browser()!
          await browser.startTracing(page, { categories: ["toplevel"] })
          await ask(page, "a story")
          assert.include(await page.locator("article .md").textContent(), `w${deltas - 1}.`)
          await choose(page, "hoarder")
          await ask(page, "all of it")
          await page.locator(".call summary").click()
          await page.getByText(/^Show all 20,000,000 characters$/).waitFor()
          const { traceEvents } = JSON.parse((await browser.stopTracing()).toString())
          // in microseconds of the processor, so that other tests that run now do not count
          const tasks: ReadonlyArray<number> = traceEvents.flatMap(({ name, tdur }: any) =>
            name.endsWith("RunTask") && tdur !== undefined ? tdur / 1000 : []
          )
          assert.isAbove(tasks.length, 100)
          return tasks.reduce((most, task) => Math.max(most, task), 0)
        })
        assert.isBelow(longest, 300)
      }))
  })
})
