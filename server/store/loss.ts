/** Acknowledged data of one run that is gone. */
export interface Loss {
  runId: string;
  /** The run's record is gone, and with it the run. */
  isGone: boolean;
  /** The run was deleted and is back. */
  isBack: boolean;
  /** Range of missing event numbers, both included; null where none is missing. */
  events: { from: number; to: number } | null;
  /** Number of missing command records. */
  commands: number;
  /** The last step that is left; null where nothing is left. */
  lastStep: number | null;
  /** Time of discovery, epoch milliseconds. */
  foundMs: number;
}

/** Describes a loss in one sentence, with the run and the numbers. */
export function describeLoss({ runId, isGone, isBack, events, commands, lastStep }: Loss): string {
  if (isBack) return `Run ${runId} was deleted and is back: the record of its deletion is gone.`;
  const parts = [
    ...(events ? [events.from === events.to ? `event ${events.from}` : `events ${events.from} to ${events.to}`] : []),
    ...(commands > 0 ? [`${commands} command record${commands === 1 ? '' : 's'}`] : []),
  ];
  const what = parts.join(' and ');
  const isOne = (events ? events.to - events.from + 1 : 0) + commands === 1;
  if (isGone)
    return what === ''
      ? `Run ${runId} is gone. It had no events yet.`
      : `Run ${runId} is gone, with ${what} that ${isOne ? 'was' : 'were'} acknowledged.`;
  return `Run ${runId}: ${what} that ${isOne ? 'was acknowledged is' : 'were acknowledged are'} gone. The run now ends at step ${lastStep ?? 0}.`;
}
