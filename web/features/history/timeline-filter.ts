import { formatStep } from '../../charts/format';
import { entryKinds, type EntryKind, type TimelineEntry } from './timeline';

/** The filter's words for each kind, in display order. */
export const kindWords: Record<EntryKind, { name: string; says: string }> = {
  command: { name: 'Commands', says: 'Commands of people and of guard rules' },
  stage: { name: 'Stages', says: 'Stages and evaluations' },
  checkpoint: { name: 'Checkpoints', says: 'Saved and removed checkpoints; the number counts saved ones' },
  run: { name: 'Run', says: 'Start and end of the run' },
};

/** The hidden kinds as stored: `checkpoint run`. Unknown words hide nothing. */
export const readHidden = (stored: string | null): ReadonlySet<EntryKind> =>
  new Set(entryKinds.filter((kind) => stored?.split(' ').includes(kind)));
export const writeHidden = (hidden: ReadonlySet<EntryKind>): string => [...hidden].join(' ');

/** Counts the entries of each kind; of checkpoints, only the saved ones. */
export function countKinds(entries: readonly TimelineEntry[]): Record<EntryKind, number> {
  const counts = { command: 0, stage: 0, checkpoint: 0, run: 0 };
  for (const { kind, automatic } of entries) if (automatic !== 'removed') counts[kind]++;
  return counts;
}

/** Consecutive automatic checkpoints in one line. */
export interface CheckpointFold {
  /** The oldest one's id, so that it stays while newer checkpoints join. */
  id: string;
  title: string;
  /** `steps 40 to 520`: the steps of the saved ones, if any. */
  steps: string;
  detail: string;
  /** In the order of the timeline, two or more. */
  entries: readonly TimelineEntry[];
}
export const isFold = (line: TimelineEntry | CheckpointFold): line is CheckpointFold => 'entries' in line;

/** The lines of a timeline without the hidden kinds, in its order. Checkpoints that are then consecutive are folded. */
export function timelineLines(
  entries: readonly TimelineEntry[],
  hidden: ReadonlySet<EntryKind>,
): (TimelineEntry | CheckpointFold)[] {
  const lines: (TimelineEntry | CheckpointFold)[] = [];
  let successive: TimelineEntry[] = [];
  const endFold = (): void => {
    if (successive.length > 1) lines.push(foldOf(successive));
    else lines.push(...successive);
    successive = [];
  };
  for (const entry of entries) {
    if (hidden.has(entry.kind)) continue;
    if (entry.automatic) successive.push(entry);
    else {
      endFold();
      lines.push(entry);
    }
  }
  endFold();
  return lines;
}

function foldOf(entries: readonly TimelineEntry[]): CheckpointFold {
  const saved = entries.filter(({ automatic }) => automatic === 'saved');
  const removed = entries.length - saved.length;
  const steps = (saved.length > 0 ? saved : entries).map(({ step }) => step ?? 0);
  const title = removed === entries.length ? `${removed} checkpoints removed` : savedWords(saved.length);
  const [first, last] = [Math.min(...steps), Math.max(...steps)];
  return {
    id: `fold ${entries.at(-1)!.id}`,
    title,
    steps: first === last ? `step ${formatStep(first)}` : `steps ${formatStep(first)} to ${formatStep(last)}`,
    detail: saved.length > 0 && removed > 0 ? `${removed} removed, to make room for later ones` : '',
    entries,
  };
}

const savedWords = (count: number): string => (count === 1 ? 'Checkpoint saved' : `${count} checkpoints`);
