/**
 * Runs that survive the death of their process.
 *
 * `Durable` makes an agent durable and works with its executions. `SqliteRunner` is all that one machine needs, and
 * `SqlRunner` shares the executions of a PostgreSQL database between any number of them.
 * `ExecutionStore` has the tables, for any other engine of `effect/workflow`.
 *
 * **What is done once, and what may be done twice**
 *
 * - Once: a call with a record. `run-end`, and each number of a reader. The answer to an approval.
 * - Once, as the store sees it: the save of a session. A process that dies between the save and its record leaves its mark
 *   in the session, and the next one accepts it.
 * - Exactly once, if it uses the database of the engine: with `transactions: ["session", "afterRun"]` each save and each
 *   `afterRun` is one transaction with its record, and `Durable.transaction` does the same for an effect of a tool. What a
 *   killed process has written in one is not there.
 * - At least once: a model call, a tool call or an `afterRun` that was in progress when its process ended, up to all calls
 *   of one step that ran in parallel. A tool that pays or sends should pass the id of its call on as an idempotency key.
 * - Whole again: an agent that is a function to a stream, such as one of `Agent.fromStream`, one of
 *   `effect-agents/copilot` or one in another process. It has no records inside, so after the death of its process its run
 *   begins again. As a tool of a durable agent it is one call with one record: that is the way to use it.
 * - Not at all: a defect is not retried. It parks the execution, and the calls beside it are interrupted. A run that
 *   interrupts itself has ended: its execution is interrupted.
 *
 * With `synchronous: "NORMAL"`, the default of `SqliteRunner`, a loss of power may lose the last records. The death of the
 * process loses none.
 *
 * **Operations**
 *
 * - Deploying: on SIGTERM close the scope of the layer. What is in progress is interrupted, and its finalizers see
 *   `AgentRun.isSuspended`. The next process continues the execution.
 * - Versions: an execution is continued only by the version that has started it. Raise `version` when the names, the order
 *   or the schemas of calls change; a change of a text or of a prompt needs none, because recorded calls are not made
 *   again. An execution that meets another version is parked. Let a process of the old version finish it with `resume`, or
 *   `remove` it.
 * - Many machines: a process that does not know an agent leaves its executions alone until one that knows it takes over
 *   their share, so roll out a new agent before anybody starts it. `SqlRunner` says how soon others go on after a death.
 * - Parked executions: `Durable.list` has their status and their cause. An execution whose process dies
 *   `maximumAttempts` times before anything is recorded is parked, too.
 * - Retention: nothing is deleted by itself. Call `Durable.purge` on a schedule. It deletes the rows of an execution in all
 *   tables, also in those of the engine; the file of SQLite keeps its size for what comes next.
 * - Sizes: about 70 KB for a run of six steps. A record takes 2 to 5 ms on SQLite and 7 to 24 ms on PostgreSQL, a replayed
 *   call 1.3 ms (effect 4.1.0, 2 shared cores). Two runners on one SQLite file are refused with `RunnerExists`.
 *
 * **Beside other systems**
 *
 * - Temporal: a service with workers. Workflow code has to be deterministic, and a change of it needs a patch or the
 *   versioning of workers (https://docs.temporal.io/docs/node/versioning). It is the choice for many languages and
 *   teams. Here there is no service, and the agent stays an `Effect` with its typed failures and services.
 * - Restate: a server keeps the journal and calls the code again through its SDK
 *   (https://docs.restate.dev/concepts/durable_execution). Here the journal is in a database that the program has already.
 * - DBOS: a library over PostgreSQL that keeps the result of each step
 *   (https://docs.dbos.dev/typescript/programming-guide). It is the nearest relative. Its steps are promises that are named
 *   by hand; here the model calls, tool calls, sessions and approvals of an agent are the steps.
 * - Inngest: it calls functions, and keeps the results of `step.run`
 *   (https://www.inngest.com/docs/learn/how-functions-are-executed). It is the choice for functions without a server.
 * - Vercel Workflow: directives that a compiler reads, on managed queues and storage
 *   (https://vercel.com/docs/workflow). It is the choice for a program that runs there.
 *
 * @since 0.1.0
 */

/**
 * @since 0.1.0
 */
export * as Durable from "./Durable.ts"

/**
 * @since 0.1.0
 */
export * as DurableHub from "./DurableHub.ts"

/**
 * @since 0.1.0
 */
export * as ExecutionStore from "./ExecutionStore.ts"

/**
 * @since 0.1.0
 */
export * as SqlRunner from "./SqlRunner.ts"

/**
 * @since 0.1.0
 */
export * as SqliteRunner from "./SqliteRunner.ts"
