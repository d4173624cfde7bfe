import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { branchName, runsNamed } from '@plumbline/shared/branch-name';
import type { StartRunRequest } from '@plumbline/shared/built-in/start-run';
import { describeRun } from '@plumbline/shared/built-in/described-run';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { CheckpointId, type RunSummary } from '@plumbline/shared/run';
import { saved } from '../../test/support/ruled-runs.js';
import { aCommand, attachment, eventually, started, TestHub } from '../../test/support/test-hub.js';
import { HubAway, HubSession } from '../hub-api.js';
import { StudyRunner, type StudyOutcome } from './study-runner.js';
import { plan, StudySpec, type PlannedRun } from './study-spec.js';

/**
 * A trainer in a few lines that does as its variant is called, at the real hub. Training itself is tested with the real
 * trainer.
 */
const program = `
import { io } from ${JSON.stringify(import.meta.resolve('socket.io-client'))};
import { mkdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describeRun } from ${JSON.stringify(import.meta.resolve('@plumbline/shared/built-in/described-run'))};
let text = '';
for await (const chunk of process.stdin) text += chunk;
const { hubUrl, token, config, dataDir, ...launch } = JSON.parse(text);
let { runId, parent, secret } = launch, seq = 0, step = parent?.step ?? 0;
const does = config.name.split('/')[1];
const socket = io(hubUrl + '/trainer', { auth: { token, protocol: 2 }, transports: ['websocket'] });
const say = (event) => socket.emitWithAck('events', { events: [{ seq: ++seq, step, wallTimeMs: Date.now(), ...event }] });
const trainer = { backend: 'test', device: '', host: hostname(), processId: process.pid, version: '1' };
const begin = async () => {
  await socket.emitWithAck('attach', { runId, run: describeRun(config), parent, secret });
  await say({ type: 'run_started', trainer, model: { name: 'm', groups: [], parameters: [], recipes: [] }, baseline: {},
    selection: { kind: 'recipe', recipe: 'full' }, trainable: [] });
};
const save = (at) => {
  step = at;
  const checkpointId = 'step-' + at;
  mkdirSync(join(dataDir, 'runs', runId, 'checkpoints', checkpointId), { recursive: true });
  return say({ type: 'checkpoint_saved', checkpointId, bytes: 1, digest: 'd' });
};
const finish = async () => { step = config.steps; await say({ type: 'run_finished' }); process.exit(0); };
const stop = async (reason) => { await say({ type: 'run_stopped', reason }); process.exit(0); };
process.on('SIGTERM', () => stop('ended from outside'));
socket.on('command', async ({ commandId, action }, ack) => {
  ack({ ok: true });
  await say({ type: 'command_applied', commandId, before: {}, after: {} });
  if (action.kind === 'stop') return stop('stopped by a command');
  await say({ type: 'run_stopped', reason: 'continued' });
  // As slow as the disk may be.
  await new Promise((resolve) => setTimeout(resolve, 300));
  // Named as the built-in trainer names a branch.
  config.name += ', from step 10';
  [parent, runId, seq, step] = [{ runId, checkpointId: action.checkpointId, step: 10 }, action.branchRunId, 0, 10];
  await begin();
  await finish();
});
socket.once('connect', async () => {
  await begin();
  if (does === 'waits') return await save(10);
  if (does === 'dies' || (does === 'dies_once' && !parent)) { await save(10); process.exit(1); }
  if (does === 'dies_late' && !parent) { await save(10); await save(config.steps); process.exit(1); }
  await finish();
});
`;
const folder = mkdtempSync(join(tmpdir(), 'plumbline-study-trainer-'));
let hub: TestHub;
beforeAll(async () => {
  writeFileSync(join(folder, 'trainer.mjs'), program);
  hub = await TestHub.start({ trainerEntry: join(folder, 'trainer.mjs'), maxTrainers: 1 });
});
afterAll(async () => {
  await hub.remove();
  rmSync(folder, { recursive: true });
});

/** A study of one seed whose first variant is the reference. */
const study = (name: string, variants: Record<string, object>, seed = 1): StudySpec => {
  const config = { tasks: ['counting'], steps: 100, evaluationQuestions: 1 };
  return StudySpec.parse({ name, seeds: [seed], reference: Object.keys(variants)[0], config, variants });
};
async function bringToEnd(
  name: string,
  variants: Record<string, object>,
  session?: HubSession,
  seed?: number,
): Promise<StudyOutcome & { notes: string[] }> {
  const spec = study(name, variants, seed);
  const notes: string[] = [];
  const options = { jobs: 1, pollMs: 20, onNote: (note: string) => void notes.push(note) };
  const runner = new StudyRunner(session ?? (await open(HubSession)), name, plan(spec), options);
  return { ...(await runner.run()), notes };
}
const open = async <S extends HubSession>(Session: new (url: string, cookie: string) => S): Promise<S> =>
  new Session(hub.url, await hub.cookie());
/** The hub's runs of a planned name and their branches, oldest first. */
const runsOf = async (name: string): Promise<RunSummary[]> => runsNamed(await hub.hub.runs.list(), name).reverse();
const waitingRun = (name: string): Promise<RunSummary> =>
  eventually(async () => {
    const run = (await runsOf(name)).at(-1);
    return run?.lastSeq === 2 ? run : null;
  });

describe('a study', () => {
  it('goes on with a run that died as its last checkpoint was, and says so once', async () => {
    const { finished, problems, notes } = await bringToEnd('a', { dies_once: {} });
    const [died, last] = (await runsOf('a/dies_once/s1')) as [RunSummary, RunSummary];
    expect(last.parent).toEqual({ runId: died.runId, checkpointId: 'step-10', step: 10, goesOn: true });
    expect(finished).toEqual(new Map([['a/dies_once/s1', last.runId]]));
    expect(problems.size).toBe(0);
    expect(notes).toEqual([expect.stringMatching(/ended at step 10 [\s\S]*it goes on/)]);
  });

  it('starts a branch under its own settings', async () => {
    const { finished } = await bringToEnd('b', { dies_once: {}, branch: { from: { variant: 'dies_once', step: 10 } } });
    expect(finished.size).toBe(2);
    const [died] = await runsOf('b/dies_once/s1');
    const [branch] = await runsOf('b/branch/s1');
    expect(branch!.parent).toEqual({ runId: died!.runId, checkpointId: 'step-10', step: 10 });
  });

  it('gives up a run that dies again and again, and finishes the others', async () => {
    const variants = { dies: {}, branch: { from: { variant: 'dies', step: 10 } }, steady: {} };
    const { finished, problems } = await bringToEnd('c', variants);
    expect([...finished.keys()]).toEqual(['c/steady/s1']);
    expect(problems.get('c/dies/s1')).toMatch(/ended 3 times before its time/);
    expect(problems.get('c/branch/s1')).toMatch(/c\/dies\/s1, which it branches from: /);
    expect(await runsOf('c/dies/s1')).toHaveLength(3);
  });

  it('waits for a free trainer as long as it takes', async () => {
    let asked = 0;
    let other: RunSummary;
    class Busy extends HubSession {
      override async start(request: StartRunRequest): Promise<RunSummary> {
        if (!request.from) return super.start(request);
        asked++;
        if (asked === 1) {
          other = await hub.hub.supervisor.start({ config: RunConfig.parse({ name: 'other/waits' }) });
          await hub.until(other.runId, ({ lastSeq }) => lastSeq === 2);
        }
        if (asked === 6) {
          await hub.hub.runs.command(aCommand(other.runId, { kind: 'stop' }), 'test');
          await eventually(() => (hub.hub.runs.livingProcesses.has(other.runId) ? null : true));
        }
        return super.start(request);
      }
    }
    const { finished, notes } = await bringToEnd('d', { dies_once: {} }, await open(Busy));
    expect(asked).toBe(6);
    expect([...finished.keys()]).toEqual(['d/dies_once/s1']);
    expect(notes).toHaveLength(1);
  });

  it('passes over a checkpoint that leaves nothing to train', async () => {
    const { finished } = await bringToEnd('e', { dies_late: {} });
    expect(finished.size).toBe(1);
    expect((await runsOf('e/dies_late/s1'))[1]!.parent).toMatchObject({ checkpointId: 'step-10' });
  });

  it('follows a run that goes back to a checkpoint', async () => {
    const bringing = bringToEnd('f', { waits: {} });
    const { runId } = await waitingRun('f/waits/s1');
    const checkpointId = CheckpointId.parse('step-10');
    await hub.hub.runs.command(aCommand(runId, { kind: 'restore_checkpoint', checkpointId }), 'test');
    const { finished } = await bringing;
    const runs = await runsOf('f/waits/s1');
    expect(runs).toMatchObject([{ runId }, { parent: { runId } }]);
    expect(finished.get('f/waits/s1')).toBe(runs[1]!.runId);
  });

  it('does not take another seed’s branch for its own, where names are as long as they may be', async () => {
    const [name, variant] = ['k'.repeat(31), 'v'.repeat(31)];
    const [{ config }] = plan(study(name, { [variant]: {} }, 1)) as [PlannedRun];
    const { runs } = hub.hub;
    const { runId } = await runs.create(describeRun(config), null);
    const trainer = hub.trainer();
    await trainer.emitWithAck('attach', { ...attachment(runId), run: describeRun(config) });
    await trainer.emitWithAck('events', { events: [started(), saved(2, 1000)] });
    const parent = { runId, checkpointId: CheckpointId.parse('step-1000'), step: 1000, goesOn: true };
    const branch = await runs.create(describeRun({ ...config, name: branchName(config.name, 1000) }), parent);
    for (const one of [runId, branch.runId]) await runs.trainerLost(one, 'a test');
    const { finished, notes } = await bringToEnd(name, { [variant]: {} }, undefined, 2);
    expect([...finished.keys()]).toEqual([`${name}/${variant}/s2`]);
    expect(notes).toEqual([]);
  });

  it('does not start again what a command has stopped', async () => {
    const bringing = bringToEnd('g', { waits: {} });
    const { runId } = await waitingRun('g/waits/s1');
    await hub.hub.runs.command(aCommand(runId, { kind: 'stop' }), 'test');
    for (const { finished, problems } of [await bringing, await bringToEnd('g', { waits: {} })]) {
      expect(finished.size).toBe(0);
      expect(problems.get('g/waits/s1')).toMatch(/stopped by a command at step 10\..*start a run with its name/);
    }
    expect(await runsOf('g/waits/s1')).toHaveLength(1);
  });

  it.each(['before the hub had started the run', 'after it'])(
    'finds out whether an answer was lost %s',
    async (when) => {
      const name = when.startsWith('after') ? 'h' : 'i';
      let isFirst = true;
      class Losing extends HubSession {
        override async start(request: StartRunRequest): Promise<RunSummary> {
          if (!isFirst) return super.start(request);
          isFirst = false;
          if (name === 'h') await super.start(request);
          throw new HubAway(hub.url, new TypeError('fetch failed'));
        }
      }
      const { finished } = await bringToEnd(name, { steady: {} }, await open(Losing));
      expect(finished.size).toBe(1);
      expect(await runsOf(`${name}/steady/s1`)).toHaveLength(1);
    },
  );

  it('takes a mistake in a program for no hub that is away', async () => {
    class Mistaken extends HubSession {
      override runs(): Promise<never> {
        return Promise.reject(new TypeError('x is not a function'));
      }
    }
    await expect(bringToEnd('j', { steady: {} }, await open(Mistaken))).rejects.toThrow('x is not a function');
  });
});

describe('a session with a hub', () => {
  it('says that nothing answers there', async () => {
    await expect(new HubSession('http://127.0.0.1:1', '').runs()).rejects.toThrow(HubAway);
  });
});
