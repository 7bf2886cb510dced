import { describe, expectTypeOf, it } from "vitest"

describe("type tests", () => {
  it("tells equal types from assignable ones", () => {
    expectTypeOf<"a">().toEqualTypeOf<"a">()
    expectTypeOf<"a">().toExtend<string>()
    // @ts-expect-error "a" is assignable to string, not equal to it
    expectTypeOf<"a">().toEqualTypeOf<string>()
  })
})
