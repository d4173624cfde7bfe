/** Exit codes of all `plumbline` commands; README.md explains them. */
export const exitCodes = {
  done: 0,
  /** The hub refused or does not answer, the command failed, or something went wrong. */
  failed: 1,
  /** The command line, a setting or a named file is wrong: repeating the command does not help. */
  usage: 2,
} as const;
