/**
 * A task as the updates of its runs have left it.
 *
 * @since 0.1.0
 */
import type * as Sdk from "@a2a-js/sdk"

/** The largest number of messages in the history of a task, and their size in UTF-16 units and bytes together. */
const maximumMessages = 100
const maximumHistorySize = 4 * 1024 * 1024

/** A string that grows delta by delta keeps every delta, so some are joined at once. */
const piecesAtOnce = 512

/**
 * The state of a task. It takes each update once, in the time of the update alone.
 *
 * @category models
 * @since 0.1.0
 */
export class TaskState {
  private readonly task: Sdk.Task
  private readonly places = new Map<string, number>()
  /** The text that an artifact is growing by. */
  private open: { readonly artifact: Sdk.Artifact; pieces: Array<string> } | undefined = undefined

  /** The task itself stays as it is. */
  constructor(task: Sdk.Task) {
    this.task = copyOf(task)
    for (const [place, { artifactId }] of this.task.artifacts.entries()) this.places.set(artifactId, place)
  }

  get state(): Sdk.TaskState | undefined {
    return this.task.status?.state
  }

  /** Returns a copy. */
  snapshot(): Sdk.Task {
    this.join()
    return copyOf(this.task)
  }

  addMessage(message: Sdk.Message): void {
    const { history } = this.task
    history.push(message)
    let size = history.reduce((size, message) => size + sizeOf(message), 0)
    while (history.length > maximumMessages || (history.length > 0 && size > maximumHistorySize)) {
      size -= sizeOf(history.shift() as Sdk.Message)
    }
  }

  add({ payload }: Sdk.StreamResponse): void {
    switch (payload?.$case) {
      case "statusUpdate": {
        const { metadata, status } = payload.value
        this.task.status = status
        this.addMetadata(metadata)
        if (status?.message !== undefined) this.addMessage(status.message)
        return
      }
      case "artifactUpdate":
        return this.addArtifact(payload.value)
    }
  }

  private addMetadata(metadata: Sdk.Task["metadata"]): void {
    if (metadata !== undefined) this.task.metadata = { ...this.task.metadata, ...metadata }
  }

  private addArtifact({ append, artifact, lastChunk }: Sdk.TaskArtifactUpdateEvent): void {
    if (artifact === undefined) return
    const place = this.places.get(artifact.artifactId)
    const known = place === undefined ? undefined : this.task.artifacts[place]
    if (known === undefined) {
      this.places.set(artifact.artifactId, this.task.artifacts.length)
      this.task.artifacts.push(copyOfArtifact(artifact))
    } else if (append) {
      for (const part of artifact.parts) this.addPart(known, part)
    } else {
      this.join()
      this.task.artifacts[place as number] = copyOfArtifact(artifact)
    }
    if (lastChunk) this.join()
  }

  /** Texts that follow each other are one text. */
  private addPart(artifact: Sdk.Artifact, part: Sdk.Part): void {
    if (part.content?.$case !== "text" || artifact.parts.at(-1)?.content?.$case !== "text") {
      this.join()
      artifact.parts.push(copyOfPart(part))
      return
    }
    if (this.open?.artifact !== artifact) {
      this.join()
      this.open = { artifact, pieces: [] }
    }
    this.open.pieces.push(part.content.value)
    if (this.open.pieces.length >= piecesAtOnce) this.join()
  }

  private join(): void {
    const last = this.open?.artifact.parts.at(-1)?.content
    if (this.open !== undefined && last?.$case === "text") last.value += this.open.pieces.join("")
    this.open = undefined
  }
}

const copyOf = (task: Sdk.Task): Sdk.Task => ({
  ...task,
  artifacts: task.artifacts.map(copyOfArtifact),
  history: [...task.history]
})

const copyOfArtifact = (artifact: Sdk.Artifact): Sdk.Artifact => ({
  ...artifact,
  parts: artifact.parts.map(copyOfPart)
})

/** A text grows in place. */
const copyOfPart = (part: Sdk.Part): Sdk.Part =>
  part.content?.$case === "text" ? { ...part, content: { ...part.content } } : part

const sizeOf = ({ parts }: Sdk.Message): number => parts.reduce((size, part) => size + sizeOfPart(part), 0)

const sizeOfPart = ({ content }: Sdk.Part): number => {
  switch (content?.$case) {
    case "text":
    case "url":
    case "raw":
      return content.value.length
    case "data":
      return JSON.stringify(content.value)?.length ?? 0
    default:
      return 0
  }
}
