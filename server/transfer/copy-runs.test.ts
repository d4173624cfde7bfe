import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { RunId } from '@plumbline/shared/run';
import { held, keep, sampleRun } from '../../test/support/sample-run.js';
import { EmbeddedStore } from '../store/embedded-store.js';
import { copyRuns } from './copy-runs.js';

const runA = sampleRun('run-a');
const runB = sampleRun('run-b', 20);
let folder: string;
let source: EmbeddedStore;
let target: EmbeddedStore;
let said: string[];
const copy = (...ids: RunId[]) => copyRuns(source, target, ids, (line) => said.push(line));

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'plumbline-copy-'));
  source = new EmbeddedStore(join(folder, 'source.duckdb'));
  target = new EmbeddedStore(join(folder, 'target.duckdb'));
  said = [];
  await keep(runA, source);
  await keep(runB, source);
});
afterEach(async () => {
  await source.close();
  await target.close();
  rmSync(folder, { recursive: true });
});

it('copies all runs or the named ones, and reports each', async () => {
  expect(await copy(runB.run.runId)).toEqual([]);
  expect((await target.runs()).map(({ runId }) => runId)).toEqual(['run-b']);
  expect(await copy()).toEqual([]);
  expect(await held(target, runA.run.runId)).toEqual(runA);
  expect(await held(target, runB.run.runId)).toEqual(runB);
  expect(said).toEqual([
    expect.stringMatching(/^run-b: (\d+) of \1 events$/),
    expect.stringMatching(/^run-b: copied, \d+ events, sha256:/),
    expect.stringMatching(/^run-a: (\d+) of \1 events$/),
    expect.stringMatching(/^run-a: copied/),
    'run-b: already there with the same digest',
  ]);
});

it('resumes after an interruption: until then the run says that it is incomplete', async () => {
  let appends = 0;
  const limited = new Proxy(target, {
    get: (store, name: keyof EmbeddedStore) => {
      if (name === 'append' && ++appends > 1) return () => Promise.reject(new Error('The cable is out.'));
      const member = store[name];
      return typeof member === 'function' ? member.bind(store) : member;
    },
  });
  await expect(copyRuns(source, limited, [runA.run.runId], () => undefined)).rejects.toThrow('The cable is out.');
  expect(await target.runs()).toMatchObject([
    { runId: 'run-a', lastSeq: 1000, state: 'failed', reason: expect.stringContaining('has not arrived whole') },
  ]);
  await copy(runA.run.runId);
  expect(await held(target, runA.run.runId)).toEqual(runA);
});

it('updates a run that has grown since', async () => {
  const { runId } = runA.run;
  const early = { ...runA.run, state: 'running' as const, endedMs: null };
  await target.createRun(early);
  await target.append(runId, runA.events.slice(0, 1000));
  await target.putCommand({ ...runA.commands[0]!, state: 'pending', endedMs: null });
  expect(await copy(runId)).toEqual([]);
  expect(await held(target, runId)).toEqual(runA);
});

it('refuses a target with another run under the id, leaves it unchanged, and copies the others', async () => {
  const other = sampleRun('run-a', 30);
  await keep(other, target);
  expect(await copy()).toEqual(['run-a']);
  expect(said).toContainEqual(expect.stringMatching(/^run-a: NOT COPIED. The target holds other events/));
  expect(await held(target, runA.run.runId)).toEqual(other);
  expect(await held(target, runB.run.runId)).toEqual(runB);
});

it('refuses a target that is ahead, and a run that the source does not have', async () => {
  await target.createRun(runB.run);
  await target.append(runB.run.runId, runA.events.slice(0, 100));
  expect(await copy(runB.run.runId, RunId.parse('nowhere'))).toEqual(['run-b', 'nowhere']);
  expect(said).toEqual([expect.stringMatching(/more than the 30/), expect.stringMatching(/There is no run nowhere/)]);
});

it('fails when the target does not store the events, and the run says so', async () => {
  await target.putCommand({ ...runB.commands[0]!, commandId: 'one-too-many' as never });
  expect(await copy(runB.run.runId)).toEqual(['run-b']);
  expect(said.at(-1)).toMatch(/does not read back as it was written: its digest is sha256:/);
  expect(await target.runs()).toMatchObject([{ runId: 'run-b', reason: expect.stringContaining('not arrived whole') }]);
});

it('refuses a target whose run of that id was made at another time', async () => {
  const other = { ...runB.run, createdMs: 99 };
  await target.createRun(other);
  expect(await copy(runB.run.runId)).toEqual(['run-b']);
  expect(said).toEqual([expect.stringMatching(/another run under the id run-b/)]);
  expect(await held(target, runB.run.runId)).toEqual({ run: other, events: [], commands: [] });
});
