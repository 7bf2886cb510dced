import type { FileSystem, Layer, PlatformError } from "effect"
import { Schema } from "effect"
import { type EmbeddingModel, type LanguageModel, Tool, Toolkit } from "effect/ai"
import { describe, expectTypeOf, it } from "vitest"
import { Cassette } from "../../src/testing/index.ts"

type Failure = Cassette.InvalidCassette | PlatformError.PlatformError

const path = "a.jsonl"

describe("Cassette", () => {
  it("needs the model that it records, and none to replay", () => {
    expectTypeOf(Cassette.layer({ path, mode: "replay" })).toEqualTypeOf<
      Layer.Layer<LanguageModel.LanguageModel, Failure, FileSystem.FileSystem>
    >()
    expectTypeOf(Cassette.layer({ path, mode: "auto" })).toEqualTypeOf<
      Layer.Layer<LanguageModel.LanguageModel, Failure, FileSystem.FileSystem | LanguageModel.LanguageModel>
    >()
    expectTypeOf(Cassette.layer({ path, mode: "record" as Cassette.Mode })).toEqualTypeOf<
      Layer.Layer<LanguageModel.LanguageModel, Failure, FileSystem.FileSystem | LanguageModel.LanguageModel>
    >()
    expectTypeOf(Cassette.layerEmbeddingModel({ path, mode: "record" })).toEqualTypeOf<
      Layer.Layer<EmbeddingModel.EmbeddingModel, Failure, FileSystem.FileSystem | EmbeddingModel.EmbeddingModel>
    >()
  })

  it("has the handlers of a toolkit", () => {
    const a = Tool.make("a", { parameters: Schema.Struct({}) })
    const b = Tool.make("b", { parameters: Schema.Struct({}) })
    const toolkit = Toolkit.make(a, b)
    expectTypeOf(Cassette.layerTools(toolkit, { path, mode: "replay" })).toEqualTypeOf<
      Layer.Layer<Tool.Handler<"a"> | Tool.Handler<"b">, Failure, FileSystem.FileSystem>
    >()
    expectTypeOf(Cassette.layerTools(toolkit, { path, mode: "auto" })).toEqualTypeOf<
      Layer.Layer<
        Tool.Handler<"a"> | Tool.Handler<"b">,
        Failure,
        FileSystem.FileSystem | Tool.Handler<"a"> | Tool.Handler<"b">
      >
    >()
  })

  it("has one object of options for all of its layers", () => {
    const options = { path, mode: "replay", normalise: Cassette.replaceText(/a/g, "b") } as const
    expectTypeOf(Cassette.layer(options)).toExtend<
      Layer.Layer<LanguageModel.LanguageModel, Failure, FileSystem.FileSystem>
    >()
    expectTypeOf(Cassette.layerEmbeddingModel(options)).toExtend<
      Layer.Layer<EmbeddingModel.EmbeddingModel, Failure, FileSystem.FileSystem>
    >()
  })

  it("normalises the requests of its layer", () => {
    Cassette.layer({ path, mode: "replay", normalise: (request) => ({ ...request, prompt: [] }) })
    Cassette.layerEmbeddingModel({
      path,
      mode: "replay",
      // @ts-expect-error an embedding has no prompt
      normalise: (request) => ({ ...request, inputs: [request.prompt] })
    })
  })
})
