import type { ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { io, type Socket } from 'socket.io-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CommandRecord } from '@plumbline/shared/command';
import type { RunSummary } from '@plumbline/shared/run';
import { protocolVersion, type HubToTrainer, type TrainerToHub } from '@plumbline/shared/socket';
import { HubApi } from '../../server/hub-api.js';
import { eventually } from '../support/eventually.js';
import { freePort, HubProcess } from '../support/hub-process.js';
import { Plumbline, plumbline, startReplay, type Said } from '../support/plumbline.js';
import { saved } from '../support/ruled-runs.js';
import { aRunId, attachment, finished, started, stepped } from '../support/test-hub.js';

/*
 * The command line against a real hub and a replay trainer, in processes of their own.
 */

let hub: HubProcess;
let api: HubApi;
let folder: string;
const trainers: ChildProcess[] = [];

beforeAll(async () => {
  hub = await HubProcess.start({ env: { PLUMBLINE_TRAINER_GRACE_MS: '5000' } });
  api = new HubApi(hub.url);
  folder = mkdtempSync(join(tmpdir(), 'plumbline-cli-'));
});
afterAll(async () => {
  for (const trainer of trainers) trainer.kill('SIGKILL');
  await hub.remove();
  rmSync(folder, { recursive: true });
});

const token = (): string => hub.trainerToken;
/** A run with some steps that continues until it is stopped. */
async function newRun(name: string, stepMs = 40): Promise<{ run: RunSummary; trainer: ChildProcess }> {
  const trainer = startReplay(hub, token(), { name, stepMs });
  trainers.push(trainer);
  // Terminal control characters are removed from names.
  const kept = name.replace('\u001b', '\uFFFD');
  const run = await eventually(
    async () =>
      (await api.runs()).find(({ description, lastStep }) => description.name === kept && lastStep > 6) ?? null,
  );
  return { run, trainer };
}
/** A command at the hub of the data folder. */
const at = (...args: string[]): Promise<Said> => plumbline(...args, '--data-dir', hub.dataDir);
/** A command that must succeed. */
async function done(...args: string[]): Promise<string> {
  const { code, output, errors } = await at(...args);
  expect(code, errors).toBe(0);
  return output;
}
const json = async <T>(...args: string[]): Promise<T> => JSON.parse(await done(...args, '--json')) as T;

describe('a run from the command line', () => {
  let run: RunSummary;
  let trainer: ChildProcess;
  beforeAll(async () => {
    ({ run, trainer } = await newRun('steered \u001b[31mred'));
  });
  const log = (): Promise<CommandRecord[]> => api.commands(run.runId);

  it('is listed, by state and up to a limit, for people and for programs', async () => {
    const output = await done('runs');
    expect(output).toMatch(/^RUN +STATE +STEP +LAST VALUES +NAME\n/);
    expect(output).toMatch(
      new RegExp(`${run.runId} +running +\\d+ +loss [\\d.]+ nats {2}held-out [\\d.]+ % +steered �\\[31mred\\n`),
    );
    expect(output).not.toContain('\u001b');
    const [listed] = await json<(RunSummary & { last: Record<string, number> })[]>('runs', '--state', 'running,paused');
    expect(listed).toMatchObject({ runId: run.runId, description: { name: 'steered \uFFFD[31mred' } });
    expect(listed!.last['train/loss']).toBeGreaterThan(0);
    expect(await json('runs', '--state', 'failed')).toEqual([]);
    expect((await at('runs', '--state', 'lost')).code).toBe(2);
    expect((await at('runs', '--limit', '0')).code).toBe(2);
  });

  it('is steered: each command says what it changed and at which step, and the log names the command line as author', async () => {
    // By a prefix of its id.
    const text = run.runId.slice(0, -2);
    expect(await done('pause', text)).toMatch(/^pause: applied at step \d+: state running → paused\n$/);
    const again = await at('pause', text);
    expect([again.code, again.output]).toEqual([1, '']);
    expect(again.errors).toBe('pause: rejected: The run is paused already.\n');
    const { step } = await json<CommandRecord>('checkpoint', text);
    expect(await done('step', text)).toBe(`step once: applied at step ${step}: step ${step} → ${step! + 1}\n`);
    const lowered = `set learning rate: applied at step ${step! + 1}: learning rate 0.001 → 0.0003\n`;
    expect(await done('lr', text, '3e-4')).toBe(lowered);
    expect(await done('lr', text, '3e-4')).toMatch(/: nothing changed\n$/);
    const refused = await at('lr', text, '7');
    expect([refused.code, refused.errors]).toEqual([2, expect.stringMatching(/above 1 destroys any model/)]);
    // The replay trainer has none.
    const restored = await at('restore', text, `step-${step}`);
    expect([restored.code, restored.errors]).toEqual([1, expect.stringContaining('A replay keeps no checkpoints.')]);
    expect((await at('restore', text)).code).toBe(2);
    expect(await done('resume', text)).toMatch(/^resume: applied at step \d+: state paused → running\n$/);
    const records = await log();
    expect(new Set(records.map(({ author }) => author))).toEqual(new Set(['cli']));
    expect(records.map(({ action: { kind }, state }) => `${kind} ${state}`)).toEqual([
      ...['pause applied', 'pause rejected', 'save_checkpoint applied', 'step_once applied'],
      ...['set_learning_rate applied', 'set_learning_rate applied', 'restore_checkpoint failed', 'resume applied'],
    ]);
  });

  it('is frozen by recipe, groups or pattern, after a preview that changes nothing', async () => {
    const before = (await log()).length;
    expect(await done('freeze', run.runId, '--recipe', 'sa_proj', '--preview')).toBe(
      'sa_proj: 147,456 of 294,912 parameters (50.0 %) in 16 tensors; 0 newly trained, 14 newly frozen\n',
    );
    const preview = await json<{ trainable: string[]; newlyFrozen: string[] }>(
      ...['freeze', run.runId, '--pattern', 'language_model.layers.0.*', '--preview'],
    );
    expect(preview.trainable).toHaveLength(7);
    expect(preview.newlyFrozen).toHaveLength(23);
    expect(await log()).toHaveLength(before);
    expect(await done('freeze', run.runId, '--recipe', 'sa_proj')).toMatch(
      /selection full → sa_proj, trainable 30 → 16\n$/,
    );
    const groups = 'language_model.layers.0.self_attn.q_proj,language_model.layers.1.self_attn.q_proj';
    expect(await done('freeze', run.runId, '--groups', groups)).toContain(
      'in 2 tensors; 0 newly trained, 14 newly frozen',
    );
    for (const [code, ...args] of [
      [2, '--groups', 'nothing.of.it'],
      [2, '--pattern', 'experts.*'],
      [2],
      [2, '--recipe', 'all'],
      [2, '--recipe', 'full', '--pattern', '*'],
    ] as const)
      expect((await at('freeze', run.runId, ...args)).code, args.join(' ')).toBe(code);
    expect(await log()).toHaveLength(before + 2);
  });

  it('is guarded by rules that are set from a file, printed as read, and cleared', async () => {
    const path = join(folder, 'rules.yaml');
    const rule =
      '- name: drift\n  metric: shift/kl\n  condition: {kind: threshold, side: above, value: 50}\n  actions: [{kind: pause}]\n';
    writeFileSync(path, rule);
    expect(await done('rules', run.runId)).toBe(`${run.runId} has no guard rules.\n`);
    expect(await done('rules', run.runId, '--set', path)).toMatch(/^set rules: applied at step \d+: added drift\n$/);
    expect(await done('rules', run.runId)).toMatch(/drift +shift\/kl above 50 +pause +0 +armed\n/);
    const printed = join(folder, 'rules.json');
    writeFileSync(printed, await done('rules', run.runId, '--json'));
    expect(await done('rules', run.runId, '--set', printed)).toMatch(/: nothing changed\n$/);
    writeFileSync(path, rule.replace('above', 'beside'));
    const wrong = await at('rules', run.runId, '--set', path);
    expect([wrong.code, wrong.errors]).toEqual([2, expect.stringMatching(/rules\.yaml: 0\.condition/)]);
    writeFileSync(path, rule.replace('metric:', 'metrc:'));
    const misspelt = await at('rules', run.runId, '--set', path);
    expect([misspelt.code, misspelt.errors]).toEqual([2, expect.stringContaining('did you mean "metric"?')]);
    writeFileSync(path, rule.replace('shift/kl', 'shift/lk'));
    const waits = await at('rules', run.runId, '--set', path);
    expect([waits.code, waits.errors]).toEqual([
      0,
      'Warning: the rule "drift": This run has had no value of “shift/lk” so far: did you mean shift/kl?\n',
    ]);
    expect((await at('rules', run.runId)).errors).toContain('no value of “shift/lk”');
    expect((await at('rules', run.runId, '--set', printed)).errors).toBe('');
    expect(await done('rules', run.runId, '--clear')).toMatch(/: removed drift\n$/);
    expect((await at('rules', run.runId, '--clear', '--set', path)).code).toBe(2);
  });

  it('is shown with all its facts', async () => {
    const output = await done('show', run.runId);
    for (const part of [
      /^run +replay-\w+ {2}steered �\[31mred$/m,
      /^tasks +Counting$/m,
      /^steps +[\d,]+$/m,
      /^settings +tasks counting; recipe full; method\.kind fine_tuning; learningRate 0\.001; .*; schedule cosine/m,
      /^trains +2 groups: [\d,]+ of 294,912 parameters$/m,
      /^last values +loss [\d.]+ nats {2}lr 0\.0003 {2}held-out [\d.]+ %/m,
      /^checkpoints +step-\d+ \(elsewhere\)$/m,
      / cli {2}set rules: applied at step \d+: removed drift$/m,
    ])
      expect(output).toMatch(part);
    const shown = await json<{ last: object; commands: CommandRecord[] }>('show', run.runId);
    expect(Object.keys(shown.last).filter((name) => name.startsWith('drift/'))).not.toEqual([]);
    expect(shown.commands).toEqual(await log());
    const groups = await done('show', run.runId, '--groups');
    expect(groups).toMatch(/^sa_proj +16 +147,456$/m);
    expect(groups).toMatch(/^language_model\.layers\.0\.self_attn\.q_proj +language +\d+ +[\d,]+ +trained$/m);
    const model = await json<{ groups: { name: string; trained: boolean }[] }>('show', run.runId, '--groups');
    expect(model.groups.filter(({ trained }) => trained)).toHaveLength(2);
  });

  it('is found by a unique prefix of its id only', async () => {
    const { run: other } = await newRun('other');
    const both = await at('pause', 'replay-');
    expect([both.code, both.errors]).toEqual([
      1,
      expect.stringMatching(/beginning of several runs: replay-.*, replay-/),
    ]);
    const none = await at('pause', 'nothing');
    expect([none.code, none.errors]).toEqual([1, expect.stringMatching(/There is no run nothing at/)]);
    expect(await done('stop', other.runId)).toMatch(/^stop: applied/);
  });

  it('is steered at another hub with its token, and only watched without', async () => {
    const path = join(folder, 'token');
    writeFileSync(path, `${token()}\n`);
    const elsewhere = (...args: string[]) => plumbline(...args, '--hub', `${hub.url}/`);
    expect((await elsewhere('checkpoint', run.runId, '--token-file', path)).code).toBe(0);
    expect((await elsewhere('show', run.runId)).code).toBe(0);
    const [before, bare] = [(await log()).length, await elsewhere('pause', run.runId)];
    expect([bare.code, bare.errors]).toEqual([1, expect.stringMatching(/Show the hub's trainer token/)]);
    writeFileSync(path, 'x'.repeat(43));
    const wrong = await elsewhere('pause', run.runId, '--token-file', path);
    expect([wrong.code, wrong.errors]).toEqual([1, expect.stringMatching(/The token is wrong/)]);
    expect((await plumbline('pause', run.runId, '--hub', 'here')).code).toBe(2);
    expect((await plumbline('runs', '--hub', 'http://127.0.0.1:9')).code).toBe(1);
    expect(await log()).toHaveLength(before);
  });

  it('takes a command once, even if the hub is killed during the wait', async () => {
    trainer.kill('SIGSTOP');
    const waiting = new Plumbline('lr', run.runId, '2e-4', '--data-dir', hub.dataDir);
    await eventually(async () => (await log()).find(({ state }) => state === 'pending') ?? null);
    await hub.kill();
    await hub.start();
    trainer.kill('SIGCONT');
    const { code, output, errors } = await waiting.ended;
    expect([code, output], errors).toEqual([0, expect.stringMatching(/learning rate 0.0003 → 0.0002\n$/)]);
    const given = (await log()).filter(
      ({ action }) => action.kind === 'set_learning_rate' && action.learningRate === 2e-4,
    );
    expect(given).toHaveLength(1);
  });

  it('takes a command without waiting for its end', async () => {
    trainer.kill('SIGSTOP');
    expect(await done('pause', run.runId, '--no-wait')).toMatch(/^pause: given, as [\w-]+\n$/);
    trainer.kill('SIGCONT');
    await eventually(async () => ((await api.run(run.runId)).state === 'paused' ? true : null));
  });
});

describe('an ended run', () => {
  it('is shown, exported and deleted by a prefix of its id, at another hub too', async () => {
    const { run } = await newRun('ended', 20);
    await done('stop', run.runId);
    const text = run.runId.slice(0, -1);
    const elsewhere = ['--hub', hub.url];
    const whole = await done('findings', run.runId);
    expect(await done('findings', text)).toBe(whole);
    expect(await plumbline('findings', text, ...elsewhere)).toEqual({ code: 0, output: whole, errors: '' });
    const [here, there] = [join(folder, 'here.jsonl'), join(folder, 'there.jsonl')];
    expect(await done('export', text, '--out', here)).toContain(`Exported ${run.runId} to ${here}`);
    expect((await plumbline('export', text, '--out', there, ...elsewhere)).code).toBe(0);
    expect(readFileSync(there, 'utf8')).toBe(readFileSync(here, 'utf8'));
    // Deletion needs a session from a link, not the address alone.
    const bare = await plumbline('delete', text, '--yes', ...elsewhere);
    expect([bare.code, bare.errors]).toEqual([2, expect.stringMatching(/needs the one-time link/)]);
    const link = (await done('link')).trim();
    const deleted = await plumbline('delete', text, '--yes', '--hub', link);
    expect([deleted.code, deleted.output], deleted.errors).toEqual([
      0,
      expect.stringContaining(`Deleted ${run.runId}`),
    ]);
    expect((await at('delete', text, '--yes')).errors).toMatch(/There is no run .* Nothing was deleted/);
  });
});

describe('wrong usage exits with 2 and says what to do', () => {
  const wrong = async (...args: string[]): Promise<string> => {
    const { code, errors } = await plumbline(...args);
    expect([code, errors]).toEqual([2, expect.not.stringMatching(/ENOENT|EISDIR|EACCES|at .*\.js/)]);
    return errors;
  };
  const train = (...args: string[]) =>
    wrong('train', '--hub', hub.url, '--token-file', join(hub.dataDir, 'trainer-token'), ...args);

  it('settings', async () => {
    expect(await wrong('start', '--port', 'x')).toBe('--port cannot be "x": it has to be a number.\n');
  });
  it('the settings of a run', async () => {
    expect(await train('--config', '{"learningrate": 1}')).toContain('did you mean "learningRate"?');
    expect(await train('--config', '{')).toContain('--config is no JSON');
    expect(await train('--config', '[1]')).toContain('--config takes a JSON object');
    expect(await train('--config', '{"steps": -1}')).toContain('--config: steps:');
  });
  it('named files', async () => {
    const none = join(folder, 'none');
    const token = 'It is the file trainer-token in the hub';
    expect(await wrong('train', '--hub', hub.url, '--token-file', none)).toMatch(
      new RegExp(`the hub's trainer token cannot be read: ${none} is not there\\. ${token}`),
    );
    expect(await wrong('runs', '--hub', hub.url, '--token-file', folder)).toContain(
      `${folder} is a folder, not a file`,
    );
    expect(await wrong('study', none)).toContain(`${none} is not there. docs/study has some.`);
  });
  it('an invalid address', async () => {
    expect(await wrong('train', '--hub', 'nonsense', '--token-file', join(hub.dataDir, 'trainer-token'))).toContain(
      '--hub takes an address',
    );
  });
});

it('a stopped training continues from a checkpoint, as a new segment of its run', async () => {
  const dataDir = join(folder, 'trained-here');
  const where = ['--hub', hub.url, '--token-file', join(hub.dataDir, 'trainer-token'), '--data-dir', dataDir];
  const config = { name: 'resumed', steps: 12, checkpointEverySteps: 4, probeEverySteps: 6 };
  const training = new Plumbline('train', ...where, '--config', JSON.stringify(config));
  const find = async () => (await api.runs()).find(({ description }) => description.name === 'resumed') ?? null;
  const { runId } = await eventually(async () => {
    const run = await find();
    return run && run.lastStep >= 5 ? run : null;
  });
  training.child.kill('SIGINT');
  expect((await training.ended).code).toBe(0);
  const nowhere = await plumbline('train', ...where.slice(0, 4), '--data-dir', folder, '--resume', runId);
  expect([nowhere.code, nowhere.errors]).toEqual([
    1,
    expect.stringMatching(/^No checkpoint of .* is in .*on the machine that trained it/),
  ]);
  const resumed = await plumbline('train', ...where, '--resume', runId.slice(0, -1), '--checkpoint', 'step-000004');
  expect(resumed.output).toContain(`Going on with ${runId} from step-000004`);
  expect(resumed.code, resumed.errors).toBe(0);
  expect(await api.run(runId)).toMatchObject({
    ...{ state: 'finished', lastStep: 12, segments: [{ seq: expect.any(Number), fromStep: 4 }] },
  });
  const { series } = await api.history(runId, '&metric=train/loss');
  expect(series['train/loss']!.steps).toEqual(Array.from({ length: 12 }, (_, index) => index + 1));
  const told = (await done('watch', runId, '--from', '0', '--json'))
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { seq: number; type: string });
  expect(told.map(({ seq }) => seq)).toEqual(told.map(({ seq }) => seq).sort((a, b) => a - b));
  expect(told.map(({ type }) => type)).toContain('segment_started');
  const over = await plumbline('train', ...where, '--resume', runId);
  expect([over.code, over.errors]).toEqual([1, expect.stringMatching(/at the last of its 12 steps/)]);
});

it('a run with settings beyond those of this version is not continued: the message names the setting', async () => {
  const dataDir = join(folder, 'trained-otherwise');
  const attach = attachment(aRunId());
  const { runId, run } = attach;
  const trainer: Socket<HubToTrainer, TrainerToHub> = io(`${hub.url}/trainer`, {
    auth: { token: token(), protocol: protocolVersion },
  });
  await trainer.emitWithAck('attach', { ...attach, run: { ...run, settings: { ...run.settings, steps: 2_000_000 } } });
  const events = [started(), stepped(2), saved(3, 2), finished(4)];
  expect(await trainer.emitWithAck('events', { events })).toEqual({ ok: true, lastSeq: 4 });
  trainer.disconnect();
  mkdirSync(join(dataDir, 'runs', runId, 'checkpoints', 'step-2'), { recursive: true });
  const where = ['--hub', hub.url, '--token-file', join(hub.dataDir, 'trainer-token'), '--data-dir', dataDir];
  const resumed = await plumbline('train', ...where, '--resume', runId);
  expect([resumed.code, resumed.errors]).toEqual([
    1,
    expect.stringMatching(
      /^.* has settings that this version cannot train with: steps: .*Start a new run instead\.\n$/,
    ),
  ]);
});

describe('a model from the command line', () => {
  const sizes = {
    ...{ hidden_size: 64, intermediate_size: 96, num_hidden_layers: 3, num_attention_heads: 4, num_key_value_heads: 2 },
    ...{ vocab_size: 1000, rms_norm_eps: 1e-6, tie_word_embeddings: true, max_position_embeddings: 128 },
  };
  const inspect = (config: string, ...options: string[]): Promise<Said> => {
    const model = mkdtempSync(join(folder, 'model-'));
    writeFileSync(join(model, 'config.json'), config);
    return plumbline('model', 'inspect', model, ...options);
  };

  it('shows its family, parts, recipes and the memory that each takes', async () => {
    const { code, output } = await inspect(JSON.stringify({ model_type: 'qwen2', ...sizes }), '--batch', '4');
    expect(code).toBe(0);
    // 1000 x 64; of each layer q 4,160, k and v 2,080 each, o 4,096, the MLP 18,432, norms 128; and the last norm of 64.
    expect(output).toContain('family qwen2, 157.0 k parameters');
    expect(output).toContain('Parts: embedding 64.0 k, language 93.0 k');
    expect(output).toMatch(/^sa_proj +37\.2 k +1 MB .* fits$/m);
  });

  it.each([
    ['of an unknown family', '{"model_type":"mamba"}', /model_type is mamba; this trainer knows llama, qwen2, llava/],
    ['without a family', '{}', /has no model_type/],
    ['with a wrong field', JSON.stringify({ model_type: 'llama', ...sizes, hidden_size: 'wide' }), /hidden_size/],
    ['that is damaged', '{"model_type":', /is not JSON/],
  ])('says what is wrong with a config.json %s', async (_, config, reason) => {
    const { code, errors } = await inspect(config);
    expect(code).toBe(1);
    expect(errors).toMatch(reason);
    expect(errors).not.toMatch(/ at .*\.js:/);
  });
});

it('training reports at once that no hub answers, and Ctrl-C ends it', async () => {
  const path = join(folder, 'token');
  writeFileSync(path, 'x'.repeat(43));
  const url = `http://127.0.0.1:${await freePort()}`;
  const training = new Plumbline('train', '--hub', url, '--token-file', path, '--data-dir', folder);
  await eventually(() => (training.errors.includes('Trying again') ? true : null));
  training.child.kill('SIGINT');
  const { code, errors } = await training.ended;
  expect(code).toBe(1);
  expect(errors).toMatch(
    new RegExp(`^No hub answers at ${url} \\(.*ECONNREFUSED.*\\)\\. Trying again; Ctrl-C ends it\\.\n`),
  );
  expect(errors).toMatch(/\nEnded before a hub had answered; nothing was trained\.\n$/);
});

describe('watching a run', () => {
  it('prints each event once and in order, across a killed hub, until the run ends', async () => {
    const { run } = await newRun('watched', 20);
    const watching = new Plumbline('watch', run.runId, '--from', '0', '--json', '--data-dir', hub.dataDir);
    await eventually(() => (watching.lines.length > 10 ? true : null));
    await hub.kill();
    await eventually(() => (watching.errors.includes('Trying again') ? true : null));
    await hub.start();
    const there = watching.lines.length;
    await eventually(() => (watching.lines.length > there + 5 ? true : null));
    await done('stop', run.runId);
    const { code, output } = await watching.ended;
    expect(code).toBe(0);
    const told = output
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { seq: number; type: string });
    const { lastSeq, state } = await api.run(run.runId);
    expect(state).toBe('stopped');
    expect(told.map(({ seq }) => seq)).toEqual(Array.from({ length: lastSeq }, (_, index) => index + 1));
    expect(told.at(-1)!.type).toBe('run_stopped');
    // From a step on, in the format for people.
    const words = await done('watch', run.runId, '--from', '5');
    expect(words).toMatch(
      /^step {6}5 {2}loss [\d.]+ nats {2}lr [\d.]+\nstep {6}5 {2}declares \d+ series: shift\/kl, .*\nstep {6}5 {2}.*held-out [\d.]+ %/,
    );
    expect(words).toMatch(/\nstep +\d+ {2}stop by cli applied: state running → stopped\nstep +\d+ {2}.*\n/);
    expect(words).toMatch(/stopped: Stopped by a command\.\n$/);
  });

  it('exits with 0 at Ctrl-C and when its reader closes', async () => {
    const { run } = await newRun('left');
    const interrupted = new Plumbline('watch', run.runId, '--data-dir', hub.dataDir);
    await eventually(() => (interrupted.lines.length > 0 ? true : null));
    interrupted.child.kill('SIGINT');
    expect(await interrupted.ended).toMatchObject({ code: 0, errors: '' });
    const unread = new Plumbline('watch', run.runId, '--data-dir', hub.dataDir);
    await eventually(() => (unread.lines.length > 0 ? true : null));
    unread.child.stdout.destroy();
    expect(await unread.ended).toMatchObject({ code: 0, errors: '' });
    await done('stop', run.runId);
  });

  it('fails with a failed run, and gives the hub’s reason if the trainer died before it could send one', async () => {
    const { run, trainer } = await newRun('lost');
    const watching = new Plumbline('watch', run.runId, '--json', '--metric', 'train/loss', '--data-dir', hub.dataDir);
    await eventually(() => (watching.lines.length > 0 ? true : null));
    expect(Object.keys((JSON.parse(watching.lines[0]!) as { metrics: object }).metrics)).toEqual(['train/loss']);
    trainer.kill('SIGKILL');
    const { code, output } = await watching.ended;
    expect(code).toBe(1);
    expect(JSON.parse(output.trimEnd().split('\n').at(-1)!)).toMatchObject({ type: 'run_failed', seq: null });
  });
});
