/** A command line, a setting or a file it names that cannot be meant; the message says what is wrong with it. */
export class UsageError extends Error {
  override name = 'UsageError';
}
