/**
 * The whole service, from its environment.
 */
import { NodeHttpServer } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { Config, Duration, Effect, Layer } from "effect"
import { FetchHttpClient, HttpRouter } from "effect/http"
import { Otlp } from "effect/observability"
import { createServer } from "node:http"
import { AgentTelemetry } from "../../src/index.ts"
import { RunHub } from "../../src/server/index.ts"
import { SqlBudgetStore, SqlSessionStore } from "../../src/sql/index.ts"
import { SqliteClient } from "../../src/sqlite/index.ts"
import { ToolkitLive } from "./agent.ts"
import { ChatLive } from "./chat.ts"
import { Orders } from "./domain.ts"
import { ApiLive, Sessions } from "./http.ts"
import { ModelLive } from "./model.ts"
import { Tenants } from "./tenants.ts"

const DatabaseLive = Layer.unwrap(Effect.gen(function*() {
  const { file, url } = yield* Config.all({
    url: Config.Redacted("DATABASE_URL").pipe(Config.option),
    file: Config.String("DATABASE_FILE").pipe(Config.withDefault("backend.db"))
  })
  return url._tag === "Some" ? PgClient.layer({ url: url.value }) : SqliteClient.layer({ filename: file })
}))

const TelemetryLive = Layer.unwrap(Effect.gen(function*() {
  const url = yield* Config.String("OTEL_EXPORTER_OTLP_ENDPOINT").pipe(Config.option)
  if (url._tag === "None") return Layer.empty
  const exports = Otlp.layerJson({ baseUrl: url.value, resource: { serviceName: "backend" } })
  return Layer.provideMerge(AgentTelemetry.layer(), Layer.provide(exports, FetchHttpClient.layer))
}))

/** Listens until its scope closes. */
export const Main = Layer.unwrap(Effect.gen(function*() {
  const { grace, port } = yield* Config.all({
    port: Config.Int("PORT").pipe(Config.withDefault(3000)),
    grace: Config.Duration("GRACE").pipe(Config.withDefault(Duration.seconds(10)))
  })
  return RunHub.closeBefore(HttpRouter.serve(Layer.merge(ApiLive, ChatLive), { disableLogger: true })).pipe(
    Layer.provide([Sessions.layer, RunHub.layer({ grace })]),
    Layer.provide([Tenants.layer, ToolkitLive, ModelLive, SqlSessionStore.layer]),
    Layer.provide([Orders.layer, SqlBudgetStore.layer]),
    Layer.provide(DatabaseLive),
    Layer.provideMerge(NodeHttpServer.layer(createServer, { port, host: "127.0.0.1", gracefulShutdownTimeout: grace })),
    // last, so that it also sees how the others end
    Layer.provide(TelemetryLive)
  )
}))
