import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { io, type Socket } from 'socket.io-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Command } from '@plumbline/shared/command';
import { protocolVersion, type HubToTrainer, type TrainerToHub } from '@plumbline/shared/socket';
import type { Unnumbered } from '@plumbline/shared/trainer-event';
import type { StoredEvent } from '../../server/store/protocol-1.js';
import { HubClient } from '../support/hub-client.js';
import { HubProcess } from '../support/hub-process.js';
import { asSent, sampleRun } from '../support/sample-run.js';

const cli = fileURLToPath(new URL('../../server/dist/cli.js', import.meta.url));
const formats = ['jsonl', 'csv', 'parquet'] as const;

/** The built program, as users call it. */
const plumbline = (...args: string[]): Promise<{ code: number; out: string; err: string }> =>
  new Promise((resolve) =>
    execFile(process.execPath, [cli, ...args], (error, out, err) =>
      resolve({ code: error ? Number(error.code) : 0, out, err }),
    ),
  );

/** A run that a trainer sent through a hub, with commands of every outcome, exported and imported by the program. */
describe('moving a run', () => {
  const { run, events } = sampleRun('travels');
  const { runId } = run;
  /** One command is applied and one fails, beside those of the sample. */
  const total = events.length + 2;
  const folder = mkdtempSync(join(tmpdir(), 'plumbline-travel-'));
  const path = (name: string) => join(folder, name);
  let hub: HubProcess;
  let digest: string;
  let exported: string;

  beforeAll(async () => {
    hub = await HubProcess.start();
    const client = await HubClient.open(hub);
    const token = hub.trainerToken;
    const trainer: Socket<HubToTrainer, TrainerToHub> = io(`${hub.url}/trainer`, {
      auth: { token, protocol: protocolVersion },
    });
    let lastSeq = 0;
    const send = async (...said: Unnumbered<StoredEvent>[]): Promise<void> => {
      const numbered = said.map((event) => asSent({ ...event, seq: ++lastSeq } as StoredEvent));
      expect(await trainer.emitWithAck('events', { events: numbered })).toEqual({ ok: true, lastSeq });
    };
    const ends = (command: Command): Unnumbered<StoredEvent> =>
      command.action.kind === 'pause'
        ? {
            type: 'command_failed',
            step: 2500,
            wallTimeMs: 1_700_000_000_001,
            commandId: command.commandId,
            reason: 'Nein: „so“ \u2028 ✗',
          }
        : {
            type: 'command_applied',
            step: 2500,
            wallTimeMs: 1_700_000_000_001,
            commandId: command.commandId,
            before: { a: 1e-3 },
            after: {},
          };
    trainer.on('command', (command, ack) => {
      ack({ ok: true });
      if (command.action.kind !== 'evaluate_now') void send(ends(command));
    });
    await trainer.emitWithAck('attach', { runId, run: run.description, parent: null });
    const said = events.slice(0, -1);
    for (let from = 0; from < said.length; from += 1000) await send(...said.slice(from, from + 1000));
    const outcomes = [
      await client.commandEnd(runId, { kind: 'set_learning_rate', learningRate: 1e-4 }),
      await client.commandEnd(runId, { kind: 'pause' }),
      await client.commandEnd(runId, { kind: 'resume' }),
      await client.command(runId, { kind: 'evaluate_now' }),
    ];
    expect(outcomes.map(({ state }) => state)).toEqual(['applied', 'failed', 'rejected', 'pending']);
    await send({ type: 'run_finished', step: 2500, wallTimeMs: 1_700_000_000_002 });
    await client.state(runId, 'finished');
    trainer.disconnect();
    client.close();
  });
  afterAll(async () => {
    await hub?.remove();
    rmSync(folder, { recursive: true });
  });

  it('out of a running hub, through its REST API', async () => {
    const from = ['--data-dir', hub.dataDir];
    const answers = [];
    for (const format of formats)
      answers.push(await plumbline('export', runId, '--format', format, '--out', path(format), ...from));
    digest = /sha256:[0-9a-f]{64}/.exec(answers[0]!.out)![0];
    for (const { code, out, err } of answers)
      expect([code, out, err]).toEqual([
        0,
        expect.stringMatching(new RegExp(`${runId}.*${total} events, ${digest}`)),
        '',
      ]);
    expect(readdirSync(folder).sort()).toEqual([...formats].sort());
    exported = readFileSync(path('jsonl'), 'utf8');
    const lines = exported
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(
      lines
        .slice(2, 6)
        .map(({ state }) => state)
        .sort(),
    ).toEqual(['applied', 'failed', 'failed', 'rejected']);
    expect(lines.slice(6, 6 + events.length - 1)).toEqual(events.slice(0, -1));
  });

  it('not into a running hub: it says which one to stop', async () => {
    const { code, err } = await plumbline('import', path('jsonl'), '--data-dir', hub.dataDir);
    expect(code).toBe(1);
    expect(err).toMatch(new RegExp(`The hub at ${hub.url} has the store in .* open. Stop it first`));
  });

  it('a missing run is named, with and without a hub', async () => {
    const ask = () => plumbline('export', 'nowhere', '--out', path('nowhere'), '--data-dir', hub.dataDir);
    expect(await ask()).toMatchObject({
      ...{ code: 1, err: expect.stringMatching(new RegExp(`^There is no run nowhere at ${hub.url}\\.`)) },
    });
    await hub.kill();
    expect(await ask()).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^There is no run nowhere in .*--data-dir names another folder/),
    });
  });

  it('out of the store of a hub that crashed and left its address behind', async () => {
    const out = path('direct.jsonl');
    expect((await plumbline('export', runId, '--out', out, '--data-dir', hub.dataDir)).code).toBe(0);
    expect(readFileSync(out, 'utf8') === exported).toBe(true);
    const again = await plumbline('export', runId, '--out', out, '--data-dir', hub.dataDir);
    expect(again).toMatchObject({ code: 1, err: expect.stringContaining('is there already') });
  });

  it.each(formats)('into another data folder from %s, and out again as it was', async (format) => {
    const dataDir = path(`data-${format}`);
    const first = await plumbline('import', path(format), '--data-dir', dataDir);
    expect(first).toMatchObject({
      code: 0,
      err: '',
      out: expect.stringContaining(`Imported ${runId}: ${total} events, ${digest}`),
    });
    const second = await plumbline('import', path(format), '--data-dir', dataDir);
    expect(second).toMatchObject({ code: 0, out: `${runId} is already there with the same digest: nothing to do.\n` });
    const out = path(`back-${format}.jsonl`);
    expect((await plumbline('export', runId, '--out', out, '--data-dir', dataDir)).code).toBe(0);
    expect(readFileSync(out, 'utf8') === exported).toBe(true);
  });

  it('its findings are the same with and without a hub', async () => {
    const findings = (...more: string[]) => plumbline('findings', runId, '--data-dir', ...more);
    const told = await findings(path('data-jsonl'));
    expect(told).toMatchObject({ code: 0, err: '', out: expect.stringMatching(/^step +\d+ {2}\S/m) });
    await hub.start();
    expect(await findings(hub.dataDir)).toEqual(told);
    await hub.kill();
    expect(await plumbline('findings', 'nowhere', '--data-dir', hub.dataDir)).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^There is no run nowhere in .*--data-dir/),
    });
  });

  it('a hub shows the imported run', async () => {
    const { code } = await plumbline('import', path('parquet'), '--as', 'arrived', '--data-dir', hub.dataDir);
    expect(code).toBe(0);
    await hub.start();
    const client = await HubClient.open(hub);
    const [left, arrived] = [await client.run(runId), await client.run('arrived' as typeof runId)];
    // A revision orders one hub's messages about one run.
    expect(arrived).toEqual({ ...left, runId: 'arrived', revision: expect.any(Number) });
    const { series } = await client.history(arrived.runId);
    expect(series).toEqual((await client.history(runId)).series);
    expect(series['train/loss']!.values.slice(0, 3)).toEqual(['NaN', 'Infinity', '-Infinity']);
    const reasons = async (id: typeof runId) => (await client.commands(id)).map(({ reason }) => reason).sort();
    expect(await reasons(arrived.runId)).toEqual(await reasons(runId));
    client.close();
  });

  it('not from a truncated or edited file', async () => {
    const into = ['--data-dir', path('data-damaged')];
    truncateSync(path('jsonl'), exported.length >> 1);
    expect(await plumbline('import', path('jsonl'), ...into)).toMatchObject({
      code: 1,
      err: expect.stringContaining('was cut short'),
    });
    const points = join(path('csv'), 'points.csv');
    writeFileSync(points, readFileSync(points, 'utf8').replace(/(train\/loss),0\.\d/, '$1,7.5'));
    expect(await plumbline('import', path('csv'), ...into)).toMatchObject({
      code: 1,
      err: expect.stringMatching(/was changed after its export: its digest is sha256:/),
    });
    truncateSync(join(path('parquet'), 'points.parquet'), 5000);
    expect(await plumbline('import', path('parquet'), ...into)).toMatchObject({
      code: 1,
      err: expect.stringContaining('points.parquet cannot be read'),
    });
    const none = await plumbline('export', runId, ...into);
    expect(none).toMatchObject({ code: 1, err: expect.stringContaining('There is no run travels') });
  });

  it('is deleted through its hub after it was copied, and restored from its export', async () => {
    const from = ['--data-dir', hub.dataDir];
    const copy = path('kept.jsonl');
    expect((await plumbline('export', runId, '--out', copy, ...from)).code).toBe(0);
    // With an unused link.
    await hub.stop();
    await hub.start();
    const client = await HubClient.open(hub);
    const told = new Promise((resolve) => client.socket.once('run_deleted', resolve));
    await client.until('the connection', () => Promise.resolve(client.socket.connected || undefined));
    // There is no terminal here.
    expect(await plumbline('delete', runId, ...from)).toMatchObject({
      ...{ code: 1, out: expect.stringMatching(/^travels {2}.*, finished, [\d,]+ events\n$/) },
      err: 'Nothing was deleted, as nobody is there to ask. --yes deletes without asking.\n',
    });
    const { state, createdMs } = await client.run(runId);
    expect(state).toBe('finished');
    expect(await plumbline('delete', runId, 'nowhere', '--yes', ...from)).toMatchObject({
      ...{ code: 1, err: expect.stringMatching(/^There is no run nowhere in .* Nothing was deleted\.\n$/) },
    });
    const folders = join(hub.dataDir, 'runs', runId, 'checkpoints', 'step-1');
    mkdirSync(folders, { recursive: true });
    writeFileSync(join(folders, 'model.safetensors'), 'x'.repeat(2_500_000));
    expect(await plumbline('delete', runId, '--yes', ...from)).toMatchObject({
      ...{ code: 0, err: '' },
      out: expect.stringMatching(
        new RegExp(`^Deleted ${runId}: ${total.toLocaleString('en-US')} events, 2\\.5 MB of checkpoints and logs\\.`),
      ),
    });
    expect(await told).toEqual({ runId, createdMs });
    expect((await client.runs()).map((run) => run.runId)).toEqual(['arrived']);
    expect(readdirSync(join(hub.dataDir, 'runs'))).not.toContain(runId);
    client.close();

    await hub.stop();
    expect((await plumbline('import', copy, ...from)).code).toBe(0);
    const back = path('back-again.jsonl');
    expect((await plumbline('export', runId, '--out', back, ...from)).code).toBe(0);
    expect(readFileSync(back, 'utf8') === exported).toBe(true);
  });

  it('is deleted from the store without a hub', async () => {
    const from = ['--data-dir', hub.dataDir];
    const { out, err, code } = await plumbline('delete', runId, 'arrived', '--yes', ...from);
    expect([code, err, out.split('\n').filter((line) => line.startsWith('Deleted ')).length]).toEqual([0, '', 2]);
    expect((await plumbline('export', runId, ...from)).err).toContain(`There is no run ${runId} in `);
    expect((await plumbline('delete', runId, '--yes', ...from)).err).toMatch(/^There is no run travels in/);
    expect((await plumbline('delete', '../up', '--yes', ...from)).err).toBe(
      '../up: a run id is 3 to 64 of a-z 0-9 _ -.\n',
    );
    expect((await plumbline('delete', runId, '--data-dir', path('no-data'))).err).toMatch(/There are no runs in/);
  });

  it('explains wrong usage', async () => {
    expect((await plumbline('import', path('csv'), '--as', 'UPPER')).err).toMatch(/a run id is 3 to 64 of a-z/);
    expect((await plumbline('export', runId, '--format', 'xml')).err).toMatch(
      /Allowed choices are jsonl, parquet, csv/,
    );
    expect((await plumbline('export', runId, '--data-dir', path('no-data'))).err).toMatch(/There are no runs in/);
    const copy = ['copy', '--data-dir', hub.dataDir, '--from', 'embedded', '--to'];
    expect((await plumbline(...copy, 'embedded')).err).toMatch(/are both embedded/);
    expect((await plumbline(...copy, 'influx')).err).toMatch(/InfluxDB needs a token/);
  });
});
