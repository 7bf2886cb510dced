/**
 * A service with an agent: start from it.
 *
 * `node scratchpad/backend/main.ts`, then for example
 *
 * ```
 * curl -N localhost:3000/agents/support/runs -H "authorization: Bearer ada" -H "content-type: application/json" \
 *   -d '{"prompt": "Refund o-1, please", "session": "chat"}'
 * ```
 *
 * The run asks for an approval, which has an `approvalId`. The answer continues the session:
 *
 * ```
 * curl -N localhost:3000/agents/support/sessions/chat/answers -H "authorization: Bearer ada" \
 *   -H "content-type: application/json" -d '{"answers": [{"approvalId": "id_...", "approved": true}]}'
 * ```
 *
 * | variable | what it is | default |
 * |---|---|---|
 * | `PORT` | where it listens | 3000 |
 * | `DATABASE_URL` | a PostgreSQL database; without it a file of SQLite | |
 * | `DATABASE_FILE` | that file | `backend.db` |
 * | `TOKENS` | who may use it: `token=user@tenant,...` | `ada=ada@acme,bob=bob@globex` |
 * | `TENANT_TOKENS`, `TENANT_REFILL` | what a tenant may spend, and in which time | 1000000 in `1 day` |
 * | `OPENAI_API_KEY`, `MODEL` | the model; without a key one that is offline | |
 * | `OTEL_EXPORTER_OTLP_ENDPOINT` | where traces, logs and metrics go | nowhere |
 * | `GRACE` | how long runs in progress may go on when the process is told to end | `10 seconds` |
 */
import { NodeRuntime } from "@effect/platform-node"
import { ConfigProvider, Layer } from "effect"
import { Main } from "./server.ts"

const environment = ConfigProvider.orElse(
  ConfigProvider.fromEnv(),
  ConfigProvider.fromUnknown({ TOKENS: "ada=ada@acme,bob=bob@globex" })
)

NodeRuntime.runMain(Layer.launch(Layer.provide(Main, ConfigProvider.layer(environment))))
