import { afterAll, beforeAll, expect, it } from 'vitest';
import { aCommand, aRunId, eventually, started, stepped, TestHub } from '../../test/support/test-hub.js';

let hub: TestHub;
beforeAll(async () => {
  hub = await TestHub.start();
});
afterAll(() => hub.remove());

const scrape = async () => {
  const answer = await fetch(`${hub.url}/metrics`);
  expect(answer.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
  return answer.text();
};
/** The value of a line such as `plumbline_runs{state="running"}`. */
const valueOf = (text: string, series: string) => {
  const line = text.split('\n').find((candidate) => candidate.startsWith(`plumbline_${series} `));
  return line === undefined ? undefined : Number(line.split(' ').at(-1));
};

it('counts events, commands and clients, and names no run', async () => {
  const runId = aRunId();
  const trainer = await hub.attached(runId);
  const dashboard = hub.dashboard(await hub.cookie());
  await dashboard.emitWithAck('watch', { runId });
  await trainer.emitWithAck('events', { events: [started(), stepped(2), stepped(3, { 'a/b': 1, 'b/c': 2 })] });
  await trainer.emitWithAck('events', { events: [stepped(9)] });
  await trainer.emitWithAck('events', { events: [] });
  const command = aCommand(runId, { kind: 'pause' });
  trainer.on('command', (_command, ack) => ack({ ok: true }));
  await dashboard.emitWithAck('command', command);
  await dashboard.emitWithAck('command', aCommand(runId, { kind: 'resume' }));
  await dashboard.emitWithAck('command', aCommand(runId, { kind: 'step_once' }));
  const { commandId } = command;
  const applied = {
    type: 'command_applied',
    seq: 4,
    step: 3,
    wallTimeMs: 1_700_000_000_001,
    commandId,
    before: {},
    after: {},
  } as const;
  await trainer.emitWithAck('events', { events: [applied] });
  await dashboard.emitWithAck('command', aCommand(runId, { kind: 'stop' }));

  const text = await eventually(async () => {
    const page = await scrape();
    return valueOf(page, 'live_events_sent_total') === 4 ? page : null;
  });
  const expected: Record<string, number> = {
    events_stored_total: 4,
    values_stored_total: 3,
    append_duration_seconds_count: 2,
    'batches_refused_total{reason="gap"}': 1,
    'batches_refused_total{reason="invalid"}': 1,
    'runs{state="running"}': 1,
    'runs{state="failed"}': 0,
    trainers_connected: 1,
    dashboards_connected: 1,
    dashboards_lagging: 0,
    'commands_total{kind="pause",state="applied"}': 1,
    'command_duration_seconds_count{kind="pause"}': 1,
    'commands_total{kind="step_once",state="rejected"}': 1,
    commands_open: 2,
  };
  expect(Object.fromEntries(Object.keys(expected).map((series) => [series, valueOf(text, series)]))).toEqual(expected);
  expect(valueOf(text, 'process_resident_memory_bytes')).toBeGreaterThan(1e6);
  expect(text).not.toContain(runId);
});

it('counts the failures of the store by operation', async () => {
  const runId = aRunId();
  const trainer = await hub.attached(runId);
  await hub.hub.runs.store.close();
  await trainer.emitWithAck('events', { events: [started()] });
  const text = await scrape();
  expect(valueOf(text, 'store_errors_total{operation="append"}')).toBe(1);
  expect(valueOf(text, 'batches_refused_total{reason="store_failed"}')).toBe(1);
});

it('belongs to one hub: a second hub starts at zero', async () => {
  const other = await TestHub.start();
  const text = await (await fetch(`${other.url}/metrics`)).text();
  expect(valueOf(text, 'events_stored_total')).toBe(0);
  await other.remove();
});
