/** A reason in parts: a sentence on what happened, further text, and the log lines that follow. */
export interface SplitReason {
  headline: string;
  more: string;
  log: string;
}

/** Splits a reason. The lines after the first are log lines. */
export function splitReason(reason: string): SplitReason {
  const [first = '', ...lines] = reason.trim().split('\n');
  const end = /[.!?](?=\s|$)/.exec(first)?.index ?? first.length - 1;
  return { headline: first.slice(0, end + 1), more: first.slice(end + 1).trim(), log: lines.join('\n').trim() };
}
