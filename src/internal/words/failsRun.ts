/**
 * Lets an `afterRun` fail its run with an error of its own type.
 *
 * @since 0.1.0
 */

/**
 * An `afterRun` that fails with this value makes `error` the failure of the run, instead of `AfterRunFailed`. The error
 * has to be one of the provider's errors, and has to carry the result.
 *
 * @category models
 * @since 0.1.0
 */
export class FailsRun {
  readonly error: unknown

  constructor(error: unknown) {
    this.error = error
  }
}
