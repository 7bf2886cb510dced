/**
 * The parts, messages and updates of the A2A protocol, as its SDK wants them: every field is present.
 *
 * @since 0.1.0
 */
import * as Sdk from "@a2a-js/sdk"
import * as NodeBuffer from "node:buffer"

/**
 * Creates a part with text.
 *
 * @category constructors
 * @since 0.1.0
 */
export const text = (value: string): Sdk.Part => ({
  content: { $case: "text", value },
  mediaType: "text/plain",
  filename: "",
  metadata: undefined
})

/**
 * Creates a part with JSON.
 *
 * @category constructors
 * @since 0.1.0
 */
export const data = (value: unknown): Sdk.Part => ({
  content: { $case: "data", value },
  mediaType: "application/json",
  filename: "",
  metadata: undefined
})

/**
 * Creates a part with the bytes of a file.
 *
 * @category constructors
 * @since 0.1.0
 */
export const raw = (bytes: Uint8Array, mediaType: string, filename: string = ""): Sdk.Part => ({
  // the SDK wants a `Buffer`: this one shares the memory of the bytes
  content: { $case: "raw", value: NodeBuffer.Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength) },
  mediaType,
  filename,
  metadata: undefined
})

/**
 * Creates a part with an address.
 *
 * @category constructors
 * @since 0.1.0
 */
export const url = (href: string, mediaType: string = "", filename: string = ""): Sdk.Part => ({
  content: { $case: "url", value: href },
  mediaType,
  filename,
  metadata: undefined
})

/**
 * The names of a task and of its conversation.
 *
 * @category models
 * @since 0.1.0
 */
export interface TaskName {
  readonly taskId: string
  readonly contextId: string
}

/**
 * Creates a message.
 *
 * @category constructors
 * @since 0.1.0
 */
export const message = (
  role: Sdk.Role,
  messageId: string,
  { contextId, taskId }: TaskName,
  parts: ReadonlyArray<Sdk.Part>
): Sdk.Message => ({
  messageId,
  taskId,
  contextId,
  role,
  parts: [...parts],
  metadata: undefined,
  extensions: [],
  referenceTaskIds: []
})

/**
 * Creates the update of a task's status.
 *
 * @category constructors
 * @since 0.1.0
 */
export const statusUpdate = (
  { contextId, taskId }: TaskName,
  status: Sdk.TaskStatus,
  metadata: Sdk.Task["metadata"]
): Sdk.StreamResponse => ({
  payload: { $case: "statusUpdate", value: { taskId, contextId, status, metadata } }
})

/**
 * Creates the update of an artifact.
 *
 * @category constructors
 * @since 0.1.0
 */
export const artifactUpdate = (
  { contextId, taskId }: TaskName,
  artifact: Pick<Sdk.Artifact, "artifactId" | "name" | "parts" | "metadata">,
  how: { readonly append: boolean; readonly lastChunk: boolean }
): Sdk.StreamResponse => ({
  payload: {
    $case: "artifactUpdate",
    value: {
      taskId,
      contextId,
      artifact: { ...artifact, description: "", extensions: [] },
      ...how,
      metadata: undefined
    }
  }
})

/**
 * The key of the metadata that this package adds to what the protocol says.
 *
 * @category constants
 * @since 0.1.0
 */
export const metadataKey = "effect-agents"

/**
 * Returns whether a task in this state has ended for good.
 *
 * @category guards
 * @since 0.1.0
 */
export const isTerminal = (state: Sdk.TaskState | undefined): boolean => state !== undefined && terminal.has(state)

const terminal: ReadonlySet<Sdk.TaskState> = new Set([
  Sdk.TaskState.TASK_STATE_COMPLETED,
  Sdk.TaskState.TASK_STATE_FAILED,
  Sdk.TaskState.TASK_STATE_CANCELED,
  Sdk.TaskState.TASK_STATE_REJECTED
])
