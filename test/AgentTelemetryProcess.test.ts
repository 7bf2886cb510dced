import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { collector, lines, spansOf } from "./fixtures/telemetry.ts"

const fixture = fileURLToPath(new URL("fixtures/telemetryProcess.ts", import.meta.url))

/** Runs the fixture in an environment that asks for telemetry in every way there is. */
const runProcess = (url: string, ...args: ReadonlyArray<string>) =>
  Effect.callback<{ readonly code: number | null; readonly lines: ReadonlyArray<string> }>((resume) => {
    const child = spawn(process.execPath, [fixture, ...args], {
      stdio: ["ignore", "pipe", "inherit"],
      env: {
        ...process.env,
        ENABLE_INSTRUMENTATION: "true",
        ENABLE_SENSITIVE_DATA: "true",
        OTEL_SERVICE_NAME: "process",
        OTEL_EXPORTER_OTLP_ENDPOINT: url,
        OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
        OTEL_TRACES_EXPORTER: "otlp",
        OTEL_METRICS_EXPORTER: "otlp",
        OTEL_LOGS_EXPORTER: "otlp",
        OTEL_BSP_SCHEDULE_DELAY: "10",
        OTEL_SEMCONV_STABILITY_OPT_IN: "gen_ai_latest_experimental",
        OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT: "SPAN_ONLY"
      }
    })
    let out = ""
    child.stdout.on("data", (data: Buffer) => out += data.toString("utf8"))
    child.on("close", (code) => resume(Effect.succeed({ code, lines: out.trim().split("\n") })))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

const outcomes = [
  "afterRun",
  "finalizer Completed",
  "finalizer Failed",
  "caught RateLimitError",
  "finalizer Abandoned",
  "finalizer Interrupted"
]

describe("AgentTelemetry, in a process whose environment asks for telemetry", () => {
  it.live("does nothing without its layer", () =>
    Effect.gen(function*() {
      const { bodies, url } = yield* collector
      assert.deepStrictEqual(yield* runProcess(url), { code: 0, lines: outcomes })
      assert.deepStrictEqual(bodies, [])
    }).pipe(Effect.scoped))

  it.live("exports with its layer, and the runs end as they do without", () =>
    Effect.gen(function*() {
      const { bodies, url } = yield* collector
      assert.deepStrictEqual(yield* runProcess(url, "traced"), { code: 0, lines: outcomes })
      const spans = spansOf(bodies)
      assert.deepStrictEqual(lines({ spans }), [
        "chat small (client) OK stop < invoke_agent completes",
        "invoke_agent completes (internal) OK stop",
        "chat small (client) ERROR RateLimitError error < invoke_agent fails",
        "invoke_agent fails (internal) ERROR RateLimitError error",
        "chat small (client) ERROR cancelled error < invoke_agent leaves",
        "invoke_agent leaves (internal) ERROR cancelled error",
        "chat small (client) ERROR cancelled error < invoke_agent interrupts",
        "invoke_agent interrupts (internal) ERROR cancelled error"
      ])
      // the variable is read through `Config`, whose default is the environment
      assert.include(String(spans[1].attributes["gen_ai.input.messages"]), "canary-e90c")
      assert.isTrue(bodies.some(({ path }) => path === "/v1/metrics"))
    }).pipe(Effect.scoped))
})
