/**
 * The rooms of `src`, from the ground up. A room imports lower floors only; an `import type` that looks up has a comment
 * above it that says why.
 *
 * A new module goes into this table first: choose the lowest floor it can stand on.
 */
export const floors: ReadonlyArray<{ readonly name: string; readonly rooms: ReadonlyArray<string> }> = [
  { name: "words", rooms: ["AgentError", "AgentRun", "Approval", "Program", "Session"] },
  {
    name: "seams",
    rooms: [
      "ContextProvider",
      "Middleware",
      "SessionStore",
      "BudgetStore",
      "StopCondition",
      "DirectLanguageModel",
      "AgentOutput",
      "Steering",
      "Journal"
    ]
  },
  { name: "engine", rooms: ["ToolLoop", "AgentTelemetry"] },
  { name: "agent", rooms: ["Agent"] },
  {
    name: "made of the seams",
    rooms: [
      "SessionHistory",
      "SessionState",
      "Guardrail",
      "Compaction",
      "AgentTool",
      "Budget",
      "BudgetAccount",
      "ModelFallback",
      "ApprovalSeal",
      "ToolFailure"
    ]
  }
]

/**
 * The folders that are subpath exports, with what each may import beside `effect/*` and the core. The core imports none
 * of them, and they do not import one another, unless `foundations` says so.
 */
export const subpaths: Readonly<Record<string, ReadonlyArray<string>>> = {
  testing: [],
  orchestration: [],
  durable: [],
  server: [],
  mcp: [],
  playground: [
    "node:child_process",
    "node:fs",
    "node:http",
    "node:net",
    "node:os",
    "node:path",
    "node:stream",
    "node:stream/promises",
    "node:stream/web",
    "node:url"
  ],
  evals: [],
  sql: [],
  prices: ["@pydantic/genai-prices"],
  sqlite: ["node:sqlite"],
  otel: ["@effect/opentelemetry/", "@opentelemetry/"],
  "ai-sdk": ["@ai-sdk/provider"],
  copilot: ["@github/copilot-sdk", "node:fs/promises"],
  a2a: ["@a2a-js/", "node:buffer"]
}

/** The subpaths that a subpath stands on. */
export const foundations: Readonly<Record<string, ReadonlyArray<string>>> = {
  // the runs of an owner are found, answered and masked in one place for all wires
  a2a: ["server"],
  // the sessions of an owner have one name on all wires
  mcp: ["server"],
  // the page reads the runs of the server and executions, draws graphs, and copies runs as tests
  playground: ["server", "durable", "orchestration", "testing"],
  // cases are made from the calls of a cassette
  evals: ["testing"],
  // the engine's runner on one machine keeps its records in a SQLite file; the wires serve its runs
  durable: ["sqlite", "server"]
}

/** The floor that `internal` stands on: it imports this floor and lower, and is imported from above. */
export const internalAbove = 1

/**
 * The wings of `internal`, from the ground up: a wing imports itself and lower wings only; an `import type` may
 * look up with a reason.
 * A file lies in the wing of its subject.
 */
export const wings: ReadonlyArray<string> = [
  "words",
  "session",
  "model",
  "tool",
  "wire",
  "approval",
  "telemetry",
  "output",
  "journal",
  "run",
  "program",
  "guardrail",
  "compaction",
  "budget"
]

/** Rooms that may import `internal` although they stand below it. */
export const internalUsers: ReadonlyArray<string> = [
  "DirectLanguageModel",
  "AgentError",
  "AgentRun",
  "AgentOutput",
  "Approval",
  "SessionStore",
  "Journal"
]

/** Files of `internal` whose exports a public module exports: they are documented like its own. */
export const exportedInternals: ReadonlyArray<string> = [
  "internal/wire/typed.ts",
  "internal/run/given.ts",
  "server/internal/sessionModels.ts",
  "server/internal/openAi/chatModels.ts",
  "server/internal/openAi/responseModels.ts",
  "orchestration/internal/models.ts",
  "orchestration/internal/groupChat.ts",
  "orchestration/internal/plan.ts",
  "orchestration/internal/graphModels.ts",
  "mcp/internal/connection.ts",
  "mcp/internal/results.ts"
]

/** Optional properties that are no options: what a run says, not what it is given. */
export const withoutDefault: ReadonlyArray<string> = [
  "RunStart.parentRunId",
  "StepStart.restarted",
  "ApprovalRequest.approval",
  "AgentTool.toolCallId"
]

/** Constructs that a file may use although `src` as a whole may not, each with its reason. */
export const exceptions: ReadonlyArray<{ readonly file: string; readonly construct: string; readonly reason: string }> =
  [
    {
      file: "evals/Eval.ts",
      construct: "throw",
      reason: "two cases with one id, and two scorers with one name, are rejected when the experiment is made"
    },
    {
      file: "internal/run/agentOf.ts",
      construct: "throw",
      reason: "two providers of one name, and a tool that cannot be offered, are rejected when the agent is made"
    },
    {
      file: "orchestration/internal/bounds.ts",
      construct: "throw",
      reason: "an orchestration of nothing, or with a bound that is none, is rejected when the agent is made"
    },
    {
      file: "orchestration/Handoff.ts",
      construct: "throw",
      reason: "routes to nobody, and tools with the names of transfers, are rejected when the agent is made"
    },
    {
      file: "orchestration/internal/graphPlan.ts",
      construct: "throw",
      reason: "a graph that cannot run is rejected when it is made"
    },
    {
      file: "internal/model/pump.ts",
      construct: "async",
      reason: "a fiber that waits for each element costs more than all that is done with it"
    }
  ]

/** A module longer than this has a second idea in it. */
export const maximumLines = 500
