/**
 * The requests that a server has not answered completely.
 *
 * @since 0.1.0
 */

import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as HttpServer from "effect/http/HttpServer"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"

/**
 * @category models
 * @since 0.1.0
 */
export class OpenRequests {
  private readonly fibers = new Set<Fiber.Fiber<unknown, unknown>>()
  private readonly isIdle = Latch.makeUnsafe(true)

  /**
   * Returns a server layer whose requests are seen here, if its `HttpServer` comes from outside. A request that was cut
   * has lost its connection.
   */
  watch<A, E, R>(server: Layer.Layer<A, E, R>): Layer.Layer<A, E, R> {
    return Layer.unwrap(Effect.contextWith((context: Context.Context<never>) => {
      const http = Context.getOrUndefined(context, HttpServer.HttpServer)
      if (http === undefined) return Effect.succeed(server)
      const watched = HttpServer.make({
        address: http.address,
        serve: (effect, middleware) => {
          const seen = Effect.withFiber<any, unknown, any>((fiber) => {
            this.see(fiber)
            return effect
          })
          return middleware === undefined ? http.serve(seen) : http.serve(seen, middleware)
        }
      })
      // the server that is replaced is one that the layer asks for
      return Effect.succeed(Layer.provide(server, Layer.succeed(HttpServer.HttpServer, watched)) as typeof server)
    }))
  }

  private see(fiber: Fiber.Fiber<unknown, unknown>): void {
    this.fibers.add(fiber)
    this.isIdle.closeUnsafe()
    fiber.addObserver(() => {
      this.fibers.delete(fiber)
      if (this.fibers.size === 0) this.isIdle.openUnsafe()
    })
  }

  /** Waits for the end of all requests, and cuts those that have not ended in this time. */
  end(within: Duration.Duration): Effect.Effect<void> {
    return Effect.andThen(
      Effect.timeoutOption(Effect.interruptible(this.isIdle.await), within),
      Effect.sync(() => {
        for (const fiber of this.fibers) fiber.interruptUnsafe()
      })
    )
  }
}
