/** What every `plumbline` command leaves with; the table in README.md says when. */
export const exitCodes = {
  done: 0,
  /** The hub refused or does not answer, the command failed, or something went wrong. */
  failed: 1,
  /** The command line, a setting or a file that it names is wrong: the same again comes to the same. */
  usage: 2,
} as const;
