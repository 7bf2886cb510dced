/**
 * What each tenant may spend. The accounts are kept in the database, so that all processes of the service share them.
 */
import { Config, Effect, Layer, LayerMap } from "effect"
import { Budget, BudgetAccount } from "../../src/index.ts"

const limits = Config.all({
  tokens: Config.Int("TENANT_TOKENS").pipe(Config.withDefault(1_000_000)),
  refill: Config.Duration("TENANT_REFILL").pipe(Config.withDefault("1 day"))
})

export class Tenants extends LayerMap.Service<Tenants>()("backend/Tenants", {
  lookup: (tenant: string) =>
    Layer.unwrap(Effect.map(limits, ({ refill, tokens }) =>
      BudgetAccount.layer(Budget.make({ name: tenant, tokens }), {
        id: `tenant:${tenant}`,
        refill,
        // a run in progress may finish: an answer that was half paid for helps nobody
        refuse: "run"
      }))),
  idleTimeToLive: "1 hour"
}) {}
