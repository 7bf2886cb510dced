/**
 * Tasks in memory, for each owner no more than a number.
 *
 * @since 0.1.0
 */
import type * as Sdk from "@a2a-js/sdk"
import type * as SdkServer from "@a2a-js/sdk/server"
import * as Parts from "./parts.ts"
import * as Requests from "./requests.ts"

/**
 * A store of tasks. If an owner has too many, those that were saved longest ago are forgotten, ended ones first.
 *
 * @category models
 * @since 0.1.0
 */
export class TaskMemory implements SdkServer.TaskStore {
  /** The tasks of each owner, in the order of saving. */
  private readonly owners = new Map<string, Map<string, Sdk.Task>>()
  private readonly maximum: number

  constructor(maximum: number) {
    this.maximum = maximum
  }

  load(taskId: string, context: SdkServer.ServerCallContext): Promise<Sdk.Task | undefined> {
    return Promise.resolve(this.owners.get(ownerOf(context))?.get(taskId))
  }

  save(task: Sdk.Task, context: SdkServer.ServerCallContext): Promise<void> {
    const owner = ownerOf(context)
    const tasks = this.owners.get(owner) ?? new Map<string, Sdk.Task>()
    tasks.delete(task.id)
    tasks.set(task.id, task)
    if (tasks.size > this.maximum) forgetOne(tasks, task.id)
    this.owners.set(owner, tasks)
    return Promise.resolve()
  }

  list(request: Sdk.ListTasksRequest, context: SdkServer.ServerCallContext): Promise<Sdk.ListTasksResponse> {
    const { contextId, pageSize = 50, pageToken, status, statusTimestampAfter } = request
    const after = statusTimestampAfter === undefined ? undefined : Date.parse(statusTimestampAfter)
    const found = Array.from(this.owners.get(ownerOf(context))?.values() ?? [])
      .filter((task) =>
        (contextId === "" || task.contextId === contextId) &&
        (status === 0 || task.status?.state === status) &&
        (after === undefined || Date.parse(task.status?.timestamp ?? "") > after)
      )
      // those that were saved last come first
      .reverse()
    const place = pageToken === "" ? 0 : found.findIndex(({ id }) => id === pageToken) + 1
    if (pageToken !== "" && place === 0) return Promise.reject(Requests.malformed("The page is not known."))
    const tasks = found.slice(place, place + pageSize)
    const hasMore = place + pageSize < found.length
    return Promise.resolve({
      tasks: request.includeArtifacts === true ? tasks : tasks.map((task) => ({ ...task, artifacts: [] })),
      nextPageToken: hasMore ? tasks.at(-1)?.id ?? "" : "",
      pageSize,
      totalSize: found.length
    })
  }
}

const ownerOf = ({ user }: SdkServer.ServerCallContext): string => user?.userName ?? ""

const forgetOne = (tasks: Map<string, Sdk.Task>, newest: string): void => {
  const others = Array.from(tasks.values()).filter(({ id }) => id !== newest)
  const oldest = others.find(({ status }) => Parts.isTerminal(status?.state)) ?? others[0]
  if (oldest !== undefined) tasks.delete(oldest.id)
}
