/** A wrong command line, setting or named file; the message says what is wrong with it. */
export class UsageError extends Error {
  override name = 'UsageError';
}
