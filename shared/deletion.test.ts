import { describe, expect, it } from 'vitest';
import { goneWords, planDeletion, whyNotDelete } from './deletion.js';
import { CheckpointId, RunId, type RunState, type RunSummary } from './run.js';

type Known = Pick<RunSummary, 'runId' | 'parent' | 'state' | 'createdMs'>;
const run = (id: string, parent: string | null = null, state: RunState = 'finished'): Known => ({
  runId: RunId.parse(id),
  state,
  createdMs: id.charCodeAt(0),
  parent: parent === null ? null : { runId: RunId.parse(parent), checkpointId: CheckpointId.parse('step-1'), step: 1 },
});
const planned = (chosen: string[], runs: Known[]) => {
  const { goes, stays } = planDeletion(
    chosen.map((id) => runs.find(({ runId }) => runId === id)!),
    runs,
  );
  return { goes: goes.map(({ runId }) => runId), stays: stays.map(({ run: { runId } }) => runId) };
};

describe('whether a run can be deleted', () => {
  it.each(['created', 'running', 'paused'] as const)('not while it is %s', (state) => {
    expect(whyNotDelete(run('aaa', null, state), [])).toBe(
      `The run aaa has not ended (${state}). Stop it first, then delete it.`,
    );
  });
  it.each(['finished', 'stopped', 'failed'] as const)('yes once it has %s', (state) => {
    expect(whyNotDelete(run('aaa', null, state), [run('aaa', null, state), run('bbb', 'ccc')])).toBeNull();
  });
  it('not while branches go on from it, which are named', () => {
    const runs = [run('aaa'), run('bbb', 'aaa'), run('ccc', 'aaa'), run('ddd', 'ccc')];
    expect(whyNotDelete(runs[0]!, runs)).toMatch(/has branches that go on from it: bbb, ccc\. Delete these first/);
    expect(whyNotDelete(runs[2]!, runs)).toMatch(/has a branch that goes on from it: ddd\. Delete that first/);
    expect(whyNotDelete(runs[1]!, runs)).toBeNull();
  });
  it('says of branches that go on still that they have to be stopped', () => {
    const runs = [run('aaa'), run('bbb', 'aaa', 'paused'), run('ccc', 'aaa')];
    expect(whyNotDelete(runs[0]!, runs.slice(0, 2))).toMatch(
      /on from it: bbb \(paused\)\. Stop and delete that first\./,
    );
    expect(whyNotDelete(runs[0]!, runs)).toMatch(/on from it: bbb \(paused\), ccc\. Stop and delete these first\./);
  });
  it('also where trainers say that they come from each other, or from themselves', () => {
    const circle = [run('aaa', 'bbb'), run('bbb', 'aaa'), run('ccc', 'ccc')];
    for (const each of circle) expect(whyNotDelete(each, circle)).toBeNull();
  });
});

describe('deleting several runs', () => {
  const runs = [run('aaa'), run('bbb', 'aaa'), run('ccc', 'bbb'), run('ddd'), run('eee', 'ddd', 'running')];
  it('begins with the branches, in whatever order they were chosen', () => {
    expect(planned(['aaa', 'bbb', 'ccc'], runs)).toEqual({ goes: ['ccc', 'bbb', 'aaa'], stays: [] });
    expect(planned(['bbb', 'ccc', 'aaa'], runs)).toEqual({ goes: ['ccc', 'bbb', 'aaa'], stays: [] });
  });
  it('goes on with the newest, in whatever order they were chosen', () => {
    const apart = [run('aaa'), run('bbb'), run('ccc')];
    for (const chosen of [
      ['aaa', 'bbb', 'ccc'],
      ['bbb', 'ccc', 'aaa'],
    ])
      expect(planned(chosen, apart).goes).toEqual(['ccc', 'bbb', 'aaa']);
  });
  it('leaves what others go on from, and deletes the rest', () => {
    expect(planned(['aaa', 'ccc', 'ddd', 'eee'], runs)).toEqual({ goes: ['ccc'], stays: ['eee', 'ddd', 'aaa'] });
  });
});

it('says what went', () => {
  expect(goneWords({ events: 6120, bytes: 12_400_000 })).toBe('6,120 events, 12.4 MB of checkpoints and logs');
  expect(goneWords({ events: 1, bytes: 0 })).toBe('1 event, no checkpoints or logs');
});
