import { describe, expect, it } from 'vitest';
import { CommandRecord } from '@plumbline/shared/command';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import { timeline, type EntryKind, type TimelineEntry } from './timeline';
import { countKinds, isFold, readHidden, timelineLines, writeHidden } from './timeline-filter';

let seq = 0;
const at = (step: number): { seq: number; step: number; wallTimeMs: number } => ({
  ...{ seq: ++seq, step, wallTimeMs: 1000 + seq },
});
const saved = (step: number, name = `step-${step}`): ControlEvent => ({
  ...{ ...at(step), type: 'checkpoint_saved', checkpointId: name as never, bytes: 2_500_000, digest: 'x' },
});
const removed = (step: number): ControlEvent => ({
  ...{ ...at(step), type: 'checkpoint_removed', checkpointId: 'step-1' as never },
});
const stage = (step: number): ControlEvent => ({
  ...{ ...at(step), type: 'stage_started', stage: 1, task: 'clock', steps: 100 },
});
const evaluated = (step: number): ControlEvent => ({
  ...{ ...at(step), type: 'evaluation_completed', stage: 0, weight: null, right: { clock: '01' } },
});
const finished = (step: number): ControlEvent => ({ ...at(step), type: 'run_finished' });
const pause = (step: number): CommandRecord =>
  CommandRecord.parse({
    ...{ commandId: `command-${step}`, runId: 'run-1', action: { kind: 'pause' }, author: 'rule:Bias' },
    ...{ state: 'applied', receivedMs: at(step).wallTimeMs, endedMs: 1, step, before: null, after: null, reason: '' },
  });

const entriesOf = (...told: (ControlEvent | CommandRecord)[]): TimelineEntry[] =>
  timeline(
    told.filter((each) => 'commandId' in each && 'action' in each),
    told.filter((each): each is ControlEvent => 'seq' in each),
    null,
  );
const lineWords = (entries: readonly TimelineEntry[], ...hidden: EntryKind[]): string[] =>
  timelineLines(entries, new Set(hidden)).map((line) =>
    isFold(line)
      ? [line.title, line.steps, line.detail].filter(Boolean).join(', ')
      : `${line.title}, step ${line.step ?? '–'}`,
  );

describe('timelineLines', () => {
  it('folds consecutive automatic checkpoints, and keeps a single one as it is', () => {
    const entries = entriesOf(saved(40), saved(60), saved(1520), stage(1520), saved(1540), finished(1540));
    expect(lineWords(entries)).toEqual([
      'Finished, step 1540',
      'Checkpoint saved, step 1540',
      'Stage 2: clock, step 1520',
      '3 checkpoints, steps 40 to 1,520',
    ]);
  });

  it('folds removed and saved checkpoints together, and counts each', () => {
    const entries = entriesOf(saved(40), saved(60), removed(60), saved(80), removed(80));
    expect(lineWords(entries)).toEqual(['3 checkpoints, steps 40 to 80, 2 removed, to make room for later ones']);
    expect(lineWords(entriesOf(saved(60), removed(60)))).toEqual([
      'Checkpoint saved, step 60, 1 removed, to make room for later ones',
    ]);
    expect(lineWords(entriesOf(removed(60), removed(80)))).toEqual(['2 checkpoints removed, steps 60 to 80']);
  });

  it('never folds a requested checkpoint, nor across it', () => {
    const entries = entriesOf(saved(20), saved(40), saved(50, 'saved-000050'), saved(60), saved(80));
    expect(lineWords(entries)).toEqual([
      '2 checkpoints, steps 60 to 80',
      'Checkpoint saved, step 50',
      '2 checkpoints, steps 20 to 40',
    ]);
  });

  it('hides kinds, and folds the entries that are then consecutive', () => {
    const entries = entriesOf(saved(20), pause(30), saved(40), stage(40), evaluated(40), saved(60), finished(60));
    expect(lineWords(entries, 'command', 'stage')).toEqual(['Finished, step 60', '3 checkpoints, steps 20 to 60']);
    expect(lineWords(entries, 'checkpoint', 'run')).toEqual([
      'Evaluated after stage 1, step 40',
      'Stage 2: clock, step 40',
      'Pause, step 30',
    ]);
    expect(lineWords(entries, 'command', 'stage', 'checkpoint', 'run')).toEqual([]);
  });

  it('keeps all entries of a fold, and its id while newer ones join', () => {
    const first = [saved(20), saved(40)];
    const before = timelineLines(entriesOf(...first), new Set())[0]!;
    const after = timelineLines(entriesOf(...first, saved(60)), new Set())[0]!;
    if (!isFold(before) || !isFold(after)) throw new Error('not folded');
    expect(after.id).toBe(before.id);
    expect(after.entries.map(({ step }) => step)).toEqual([60, 40, 20]);
  });
});

describe('countKinds', () => {
  it('counts every entry under one kind, folded or not, and only the saved checkpoints, as the lines do', () => {
    const entries = entriesOf(saved(20), saved(25), removed(25), pause(30), stage(40), evaluated(40), finished(60));
    expect(countKinds(entries)).toEqual({ command: 1, stage: 2, checkpoint: 2, run: 1 });
    expect(lineWords(entries)).toContainEqual(expect.stringMatching(/^2 checkpoints, /));
  });
});

describe('readHidden', () => {
  it('reads what was written', () => {
    const hidden = new Set<EntryKind>(['command', 'run']);
    expect(readHidden(writeHidden(hidden))).toEqual(hidden);
    expect(readHidden(writeHidden(new Set()))).toEqual(new Set());
  });
  it('hides nothing without stored kinds, or for unknown ones', () => {
    expect(readHidden(null)).toEqual(new Set());
    expect(readHidden('everything run ')).toEqual(new Set(['run']));
  });
});
