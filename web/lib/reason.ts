/** A reason as it is shown: what happened in a sentence, what else is said of it, and the lines of a log that follow. */
export interface SplitReason {
  headline: string;
  more: string;
  log: string;
}

/** Takes a reason apart; lines after the first are a log's. */
export function splitReason(reason: string): SplitReason {
  const [first = '', ...lines] = reason.trim().split('\n');
  const end = /[.!?](?=\s|$)/.exec(first)?.index ?? first.length - 1;
  return { headline: first.slice(0, end + 1), more: first.slice(end + 1).trim(), log: lines.join('\n').trim() };
}
