import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Cause, Effect, Redacted, Schema } from "effect"
import { AiError } from "effect/ai"
import { AgentError } from "../src/index.ts"
import * as FailureDetails from "../src/server/internal/failureDetails.ts"

class Broken extends Schema.Error<Broken>("test/Broken")({ _tag: Schema.tag("Broken"), where: Schema.String }) {}

describe("FailureDetails", () => {
  it("has the tags of a failure and of its reason, its message and its fields", () => {
    const agentError = AgentError.make("a", new AgentError.DepthExceeded({ maximum: 3 }))
    assert.deepStrictEqual(FailureDetails.of(agentError, false), {
      tags: ["AgentError", "DepthExceeded"],
      message: "Agent `a`: The agent was not run: agents may call agents no more than 3 deep",
      isDefect: false,
      data: {
        message: "Agent `a`: The agent was not run: agents may call agents no more than 3 deep",
        _tag: "AgentError",
        agent: "a",
        reason: {
          message: "The agent was not run: agents may call agents no more than 3 deep",
          _tag: "DepthExceeded",
          maximum: 3
        }
      }
    })
    const limited = new AiError.AiError({ module: "M", method: "m", reason: new AiError.RateLimitError({}) })
    assert.deepStrictEqual(FailureDetails.of(limited, false).tags, ["AiError", "RateLimitError"])
    const { data, isDefect, tags } = FailureDetails.of(new TypeError("no", { cause: new Broken({ where: "x" }) }), true)
    assert.deepStrictEqual([tags, isDefect], [["TypeError"], true])
    const { cause, stack } = data as { readonly cause: unknown; readonly stack: string }
    assert.deepStrictEqual(cause, { message: "", _tag: "Broken", where: "x" })
    assert.match(stack, /^TypeError: no\n/)
    assert.deepStrictEqual(FailureDetails.of("just a text", false), {
      tags: [],
      message: "just a text",
      isDefect: false,
      data: "just a text"
    })
  })

  it("has the failures and defects of a cause, and no interrupts", () => {
    const cause = Cause.combine(
      Cause.combine(Cause.interrupt(1), Cause.fail(new Broken({ where: "x" }))),
      Cause.die("gone")
    )
    assert.deepStrictEqual(
      FailureDetails.ofCause(cause).map(({ isDefect, tags }) => [tags, isDefect]),
      [[["Broken"], false], [[], true]]
    )
  })

  it("reads values that cannot be read, are hidden, or have no end", () => {
    const cyclic: Record<string, unknown> = { _tag: "Cyclic", date: new Date(0), at: new URL("http://a.example/") }
    cyclic["self"] = cyclic
    const throws = Object.defineProperty({ _tag: "Throws", seen: 1 }, "field", {
      enumerable: true,
      get() {
        throw new Error("no")
      }
    })
    let deep: object = {}
    for (let depth = 0; depth < 100_000; depth++) deep = { deep }
    const hostile = [
      cyclic,
      throws,
      deep,
      new Proxy({}, {
        get: () => {
          throw new Error("no")
        }
      }),
      { secret: Redacted.make("s3cret"), "__proto__\ud800": 1n, ["__proto__"]: Symbol("s"), f: () => {}, n: NaN },
      "x".repeat(20_000_000),
      Array.from({ length: 100_000 }, (_, index) => ({ index })),
      new Map([["a", new Set([new Uint8Array(3)])]]),
      undefined,
      null
    ]
    for (const value of hostile) {
      const details = FailureDetails.of(value, true)
      const text = JSON.stringify(Schema.encodeSync(FailureDetails.FailureDetails)(details))
      assert.isBelow(text.length, 60_000)
      assert.notInclude(text, "s3cret")
    }
    assert.deepStrictEqual(FailureDetails.of(throws, false).data, { _tag: "Throws", seen: 1, field: "[unreadable]" })
    const { at, date } = FailureDetails.of(cyclic, false).data as Record<string, unknown>
    assert.deepStrictEqual([at, date], ["http://a.example/", "1970-01-01T00:00:00.000Z"])
  })

  it.effect.prop(
    "gives JSON back as it is",
    { value: Arbitrary.schema(Schema.Json) },
    ({ value }) =>
      Effect.sync(() => {
        const text = JSON.stringify(value)
        // beyond these bounds it is cut
        if (text.length > 5000 || /\\ud[89a-f]/.test(text) || /\[{7}|(\{.*){7}/.test(text)) return
        assert.deepStrictEqual(JSON.parse(JSON.stringify(FailureDetails.of({ value }, false).data)), {
          value: JSON.parse(text)
        })
      })
  )
})
