import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunListResponse } from '@plumbline/shared/run-list';
import type { StudyRun } from '../../server/analysis/study-run.js';
import { readResults } from '../../server/study/study-results.js';
import { eventually } from '../support/eventually.js';
import { HubClient } from '../support/hub-client.js';

/*
 * `plumbline study` as a user runs it: a process of its own with the real hub and real trainers.
 */
const spec = `
name: trial
seeds: [1]
config: { tasks: [counting, clock], steps: 40, batchSize: 2, warmupSteps: 2, probeEverySteps: 20, checkpointEverySteps: 5, evaluationQuestions: 4 }
variants:
  full: {}
  frozen: { from: { variant: full, step: 60 }, config: { recipe: sa_proj } }
`;

describe('a study', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'plumbline-study-'));
    await writeFile(join(folder, 'study.yaml'), spec);
  });
  afterAll(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));

  function start(
    name: string,
    ...flags: string[]
  ): { process: ChildProcess; output: () => string; ended: Promise<number | null> } {
    let said = '';
    const child = spawn(
      process.execPath,
      [
        'server/dist/cli.js',
        'study',
        join(folder, 'study.yaml'),
        '--data-dir',
        join(folder, name),
        '--out',
        join(folder, `${name}-report`),
        ...flags,
      ],
      { env: { ...process.env, PLUMBLINE_PORT: '0', PLUMBLINE_TRAINER_GRACE_MS: '1000' } },
    );
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (said += data.toString()));
    return { process: child, output: () => said, ended: new Promise((resolve) => child.once('exit', resolve)) };
  }
  const results = async (name: string): Promise<StudyRun[]> =>
    (await readResults(join(folder, `${name}-report`, 'runs.json'))).runs;

  it('runs all variants and writes a report', async () => {
    const study = start('whole');
    expect(await study.ended, study.output()).toBe(0);
    const files = await readdir(join(folder, 'whole-report'));
    expect(files).toEqual(
      expect.arrayContaining(['report.md', 'report.html', 'results.csv', 'results.json', 'runs.json', 'trade-off.svg']),
    );
    const [full, frozen] = await results('whole');
    expect(full!.evaluations.map(({ stage }) => stage)).toEqual([null, 0, 1]);
    // A branch has its parent's past, followed by its own steps.
    expect(frozen!.evaluations.slice(0, 2)).toEqual(full!.evaluations.slice(0, 2));
    expect(frozen!.interventions).toMatchObject([{ step: 60, author: 'study' }]);
    const loss = (run: StudyRun): number[] => Array.from(run.series['train/loss']!.values);
    expect(loss(full!)).toHaveLength(80);
    expect(loss(frozen!)).toHaveLength(80);
    expect(loss(frozen!).slice(0, 60)).toEqual(loss(full!).slice(0, 60));
    expect(loss(frozen!).slice(61)).not.toEqual(loss(full!).slice(61));
    const report = await readFile(join(folder, 'whole-report', 'report.md'), 'utf8');
    expect(report).toContain('frozen, seed 1: step 60, study: branched from full');
    expect(report).toMatch(/Made by `npm run plumbline -- study \S+study.yaml --out \S+whole-report`/);
    expect(await readFile(join(folder, 'whole-report', 'results.csv'), 'utf8')).toMatch(
      /^full,full,1,base,counting,target,4,/m,
    );
  });

  it('resumes after it was killed with its trainer, and reaches the same results', async () => {
    const first = start('killed');
    const progressed = async (): Promise<boolean> => {
      const runs = await readdir(join(folder, 'killed', 'runs')).catch(() => []);
      for (const run of runs)
        if ((await readdir(join(folder, 'killed', 'runs', run, 'checkpoints')).catch(() => [])).length > 3) return true;
      return false;
    };
    while (!(await progressed())) {
      expect(first.process.exitCode, first.output()).toBeNull();
      await sleep(50);
    }
    const [url] = /http:\/\/[\d.:]+/.exec(first.output())!;
    const { runs } = (await (await fetch(`${url}/api/runs`)).json()) as RunListResponse;
    const orphan = runs[0]!.trainer!.processId;
    // Its hub dies with it; the trainer survives, but cannot reach the hub.
    first.process.kill('SIGKILL');
    await first.ended;

    const second = start('killed');
    expect(await second.ended, second.output()).toBe(0);
    process.kill(orphan, 'SIGKILL');
    expect(second.output()).toMatch(/trial\/full\/s1 (goes on from|is done)/);
    const [whole, killed] = [await results('whole'), await results('killed')];
    killed.forEach((run, index) => {
      expect(run.evaluations.map(({ stage, right }) => ({ stage, right }))).toEqual(
        whole[index]!.evaluations.map(({ stage, right }) => ({ stage, right })),
      );
      expect(run.series['train/loss']).toEqual(whole[index]!.series['train/loss']);
    });
  });

  it('resumes after a signal with the selection that a user had made by then', async () => {
    await writeFile(join(folder, 'study.yaml'), spec.replace(/ {2}frozen:.*\n/, ''));
    const first = start('steered');
    const [url, token] = await eventually(() => /(http:.*)\/\?token=(\S+)/.exec(first.output())?.slice(1) ?? null);
    const person = await HubClient.open({ url: url!, token: token! });
    const runId = await person.until('the run', async () => (await person.runs())[0]?.runId);
    await person.step(runId, 3);
    const selection = { kind: 'recipe', recipe: 'sa_proj' } as const;
    const { step } = await person.commandEnd(runId, { kind: 'set_trainable', selection });
    await person.commandEnd(runId, { kind: 'set_learning_rate', learningRate: 0.0005 });
    await person.step(runId, step! + 10);
    person.close();
    first.process.kill('SIGTERM');
    expect(await first.ended, first.output()).toBe(128 + 15);
    expect(first.output()).toMatch(/the same command goes on where it was/i);

    const second = start('steered');
    expect(await second.ended, second.output()).toBe(0);
    expect(second.output()).toContain('trial/full/s1 goes on from step');
    const [{ series, interventions, runId: last }] = (await results('steered')) as [StudyRun];
    expect(last).not.toBe(runId);
    const of = (metric: string): number[] => Array.from(series[metric]!.values);
    const trained = of('train/trainable_parameters');
    expect(trained).toHaveLength(80);
    expect(trained.slice(0, step!)).toEqual(Array(step!).fill(trained[0]));
    expect(trained[step!]).toBeLessThan(trained[0]!);
    expect(trained.slice(step!)).toEqual(Array(80 - step!).fill(trained[step!]));
    // The cosine schedule scales the rate that was set, half of the study's.
    expect(Math.max(...of('train/learning_rate').slice(40))).toBeLessThanOrEqual(0.0005);
    expect(interventions.map(({ what }) => what)).toEqual(['trains sa_proj', 'learning rate 0.0005']);
    const joules = of('energy/joules');
    expect(joules).toEqual(joules.toSorted((a, b) => a - b));
  });

  it('reports complete variants, and fails naming missing ones and ones with other questions', async () => {
    await writeFile(join(folder, 'study.yaml'), `${spec}  mlp: { config: { recipe: mlp } }\n`);
    const study = start('whole', '--report-only');
    expect(await study.ended).toBe(1);
    expect(study.output()).toMatch(
      /1 of 3 runs are missing, and their variants in the report:\s+trial\/mlp\/s1: no results/,
    );
    expect(await readFile(join(folder, 'whole-report', 'report.md'), 'utf8')).toContain('2 variants, seeds 1');

    await writeFile(join(folder, 'study.yaml'), spec.replace('evaluationQuestions: 4', '$&, evaluationSeed: 7'));
    const drawnAnew = start('whole', '--report-only');
    expect(await drawnAnew.ended).toBe(1);
    expect(drawnAnew.output()).toMatch(/questions drawn with evaluationSeed \d+, the study draws them with 7/);

    await writeFile(join(folder, 'study.yaml'), `${spec}  mlp: { config: { recipe: mlp } }\nreference: mlp\n`);
    const without = start('whole', '--report-only');
    expect(await without.ended).toBe(1);
    expect(without.output()).toMatch(/there is no report without all of mlp, the reference/);
  });

  it('refuses settings that differ from those of the existing runs', async () => {
    await writeFile(join(folder, 'study.yaml'), spec.replace('batchSize: 2', 'batchSize: 3'));
    const study = start('whole');
    expect(await study.ended).toBe(1);
    expect(study.output()).toMatch(/another batchSize.*Give the study another name/s);
  });
});
