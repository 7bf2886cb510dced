/**
 * Tasks in memory, of all owners together no more than a number.
 *
 * @since 0.1.0
 */
import type * as Sdk from "@a2a-js/sdk"
import type * as SdkServer from "@a2a-js/sdk/server"
import * as Parts from "./parts.ts"
import * as Requests from "./requests.ts"

interface Kept {
  readonly owner: string
  readonly task: Sdk.Task
}

/**
 * A store of tasks. If there are too many, those that were saved longest ago are forgotten, ended ones first.
 *
 * @category models
 * @since 0.1.0
 */
export class TaskMemory implements SdkServer.TaskStore {
  /** In the order of saving. */
  private readonly kept = new Map<string, Kept>()
  private readonly maximum: number

  constructor(maximum: number) {
    this.maximum = maximum
  }

  load(taskId: string, context: SdkServer.ServerCallContext): Promise<Sdk.Task | undefined> {
    return Promise.resolve(this.kept.get(keyOf(ownerOf(context), taskId))?.task)
  }

  save(task: Sdk.Task, context: SdkServer.ServerCallContext): Promise<void> {
    const owner = ownerOf(context)
    const key = keyOf(owner, task.id)
    this.kept.delete(key)
    this.kept.set(key, { owner, task })
    if (this.kept.size > this.maximum) this.forgetOne()
    return Promise.resolve()
  }

  private forgetOne(): void {
    let oldest: string | undefined = undefined
    for (const [key, { task }] of this.kept) {
      oldest ??= key
      if (!Parts.isTerminal(task.status?.state)) continue
      this.kept.delete(key)
      return
    }
    if (oldest !== undefined) this.kept.delete(oldest)
  }

  list(request: Sdk.ListTasksRequest, context: SdkServer.ServerCallContext): Promise<Sdk.ListTasksResponse> {
    const { contextId, pageSize = 50, pageToken, status, statusTimestampAfter } = request
    const owner = ownerOf(context)
    const after = statusTimestampAfter === undefined ? undefined : Date.parse(statusTimestampAfter)
    const found = Array.from(this.kept.values())
      .filter(({ owner: of, task }) =>
        of === owner &&
        (contextId === "" || task.contextId === contextId) &&
        (status === 0 || task.status?.state === status) &&
        (after === undefined || Date.parse(task.status?.timestamp ?? "") > after)
      )
      .map(({ task }) => task)
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

const keyOf = (owner: string, taskId: string): string => JSON.stringify([owner, taskId])
