/**
 * Reads files and folders of any kind safely: it follows no link, does not wait for a pipe or a device, and reads no
 * more than the limit.
 *
 * The calls block. A search reads hundreds of small files, and moving each operation to another thread would cost ten
 * times as much as the operation.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Fs from "node:fs"

/** A file or folder was not read. */
export class Unreadable extends Schema.Error<Unreadable>("ask/Disk/Unreadable")({
  _tag: Schema.tag("Unreadable"),
  reason: Schema.Literals(["missing", "denied", "not-regular", "too-big", "failed"]),
  /** What is wrong, as a text. */
  problem: Schema.String
}) {
  override get message(): string {
    return this.problem
  }
}

/** Returns the bytes of a regular file of at most `limit` bytes. */
export const readFile = (path: string, limit: number): Effect.Effect<Uint8Array, Unreadable> =>
  Effect.suspend(() => {
    let descriptor: number | undefined
    try {
      // Without `O_NONBLOCK`, opening a pipe waits for somebody who writes into it
      descriptor = Fs.openSync(path, constant("O_RDONLY") | constant("O_NOFOLLOW") | constant("O_NONBLOCK"))
      const stats = Fs.fstatSync(descriptor)
      if (!stats.isFile()) return notRegular
      if (stats.size > limit) return tooBig(stats.size, limit)
      // A file that grows, or that does not know its size, is read up to the limit too
      let buffer = new Uint8Array(stats.size + 1)
      let length = 0
      while (true) {
        const count = Fs.readSync(descriptor, buffer, length, buffer.length - length, null)
        if (count === 0) return Effect.succeed(buffer.subarray(0, length))
        length += count
        if (length > limit) return tooBig(length, limit)
        if (length < buffer.length) continue
        const larger = new Uint8Array(Math.min(2 * length + chunk, limit + 1))
        larger.set(buffer)
        buffer = larger
      }
    } catch (error) {
      return unreadable(error as NodeJS.ErrnoException)
    } finally {
      if (descriptor !== undefined) Fs.closeSync(descriptor)
    }
  })

const chunk = 4096

/** Returns the entries of a folder, in no order. */
export const readFolder = (path: string): Effect.Effect<ReadonlyArray<Fs.Dirent>, Unreadable> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(Fs.readdirSync(path, { withFileTypes: true }))
    } catch (error) {
      return unreadable(error as NodeJS.ErrnoException)
    }
  })

// Windows has neither such links nor pipes with a path
const constant = (name: "O_RDONLY" | "O_NOFOLLOW" | "O_NONBLOCK"): number => Fs.constants[name] ?? 0

const notRegular = new Unreadable({ reason: "not-regular", problem: "not a regular file" })

const unreadable = ({ code }: NodeJS.ErrnoException): Unreadable => {
  switch (code) {
    case "ENOENT":
    case "ENOTDIR":
      return new Unreadable({ reason: "missing", problem: "there is no such file or folder" })
    case "EACCES":
    case "EPERM":
      return new Unreadable({ reason: "denied", problem: "no permission to use it" })
    case "ELOOP":
    case "EISDIR":
    // a socket, and a device without a driver
    case "ENXIO":
    case "ENODEV":
      return notRegular
    default:
      return new Unreadable({ reason: "failed", problem: `it cannot be read (${code})` })
  }
}

const tooBig = (size: number, limit: number): Unreadable =>
  new Unreadable({
    reason: "too-big",
    problem: `too big to read (${megabytes(size)} MB, the limit is ${megabytes(limit).replace(/\.0$/, "")} MB)`
  })

const megabytes = (bytes: number): string => (bytes / 1024 / 1024).toFixed(bytes < 1024 * 1024 ? 2 : 1)
