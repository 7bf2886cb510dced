/**
 * How an `afterRun` fails its run with an error of its own type.
 *
 * @since 0.1.0
 */

/**
 * What an `afterRun` fails with to make `error` the failure of the run; otherwise it is `AfterRunFailed`. The error has
 * to be among those of the provider, and to carry the result.
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
