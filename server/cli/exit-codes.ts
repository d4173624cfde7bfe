/** What every `plumbline` command leaves with. */
export const exitCodes = {
  done: 0,
  /** The hub refused, the command failed, or something went wrong. */
  failed: 1,
  /** The command line is not one that `plumbline` knows. */
  usage: 2,
} as const;

/** A command line that cannot be meant; the message says what is wrong with it. */
export class UsageError extends Error {
  override name = 'UsageError';
}
