import { mkdtemp } from 'node:fs/promises';
import { once } from 'node:events';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunId } from '@plumbline/shared/run';
import type { ErrorBody } from '@plumbline/shared/http';
import { HubClient } from '../support/hub-client.js';
import { HubProcess } from '../support/hub-process.js';
import { manyMetrics, storeLongRun } from '../support/long-run.js';
import { peakMb } from '../support/process-memory.js';

/** The hub's configured ceiling, and the tolerance above it: an allocator returns memory late. */
const [ceilingMb, marginMb] = [512, 64];
const steps = 20_000;
const names = manyMetrics(100);

describe('readers of a run of two million values', () => {
  let hub: HubProcess;
  let client: HubClient;
  let runId: RunId;
  let deleted: RunId;

  beforeAll(async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'plumbline-reads-'));
    const metrics = () => Object.fromEntries(names.map((name) => [name, Math.random()]));
    runId = await storeLongRun(dataDir, { runId: 'long', steps, metrics });
    deleted = await storeLongRun(dataDir, { runId: 'to-delete', steps: 10_000, metrics });
    hub = await HubProcess.start({ dataDir, env: { PLUMBLINE_MEMORY_MB: String(ceilingMb) } });
    client = await HubClient.open(hub);
  });
  afterAll(async () => {
    client.close();
    await hub.remove();
  });

  it('are answered or told when to retry, sixteen at a time, while the hub stays under its ceiling', async () => {
    const answers = await Promise.all(
      Array.from({ length: 16 }, () => read(`${hub.url}/api/runs/${runId}/windows?everySteps=1`)),
    );
    const whole = answers.filter(({ status }) => status === 200);
    expect(whole.length).toBeGreaterThan(0);
    for (const { end, values } of whole) {
      expect(end).toBe(']}}}');
      // Six columns of each metric, and of the steps' wall times.
      expect(values).toBe(6 * steps * (names.length + 1));
    }
    for (const { status, retryAfter, end } of answers.filter(({ status }) => status !== 200)) {
      expect([status, Number(retryAfter)]).toEqual([503, expect.any(Number)]);
      expect(Number(retryAfter)).toBeGreaterThan(0);
      expect((JSON.parse(end) as ErrorBody).error).toMatchObject({
        code: 'rate_limited',
        message: expect.stringMatching(/[Tt]ry again/),
      });
    }
    const { status } = await read(`${hub.url}/api/runs/${runId}/findings`);
    expect(status).toBe(200);
    expect(peakMb(hub.processId)).toBeLessThan(ceilingMb + marginMb);
  });

  it('are ended by a deletion of the run that they export, whether they read or not', async () => {
    const socket = connect(hub.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(`GET /api/runs/${deleted}/export HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
    await once(socket, 'readable');
    expect(await deletion()).toBe('deleted');
    socket.destroy();
    expect((await fetch(`${hub.url}/api/runs/${deleted}`)).status).toBe(404);
  });

  /** The hub's answer to a deletion. */
  async function deletion(): Promise<string> {
    const headers = { cookie: client.cookie };
    const answer = await fetch(`${hub.url}/api/runs/${deleted}`, { method: 'DELETE', headers });
    return answer.ok ? 'deleted' : ((await answer.json()) as ErrorBody).error.message;
  }
});

interface Read {
  status: number;
  retryAfter: string | null;
  /** All of a short answer, or the last four characters of a long one. */
  end: string;
  /** The count of numbers in it. */
  values: number;
}

/** Reads an answer without keeping it. */
async function read(url: string): Promise<Read> {
  const answer = await fetch(url);
  let [text, values, length] = ['', 0, 0];
  const decoder = new TextDecoder();
  for await (const piece of answer.body as unknown as AsyncIterable<Uint8Array>) {
    // A column of n numbers has n - 1 commas within its brackets; those between columns and metrics follow a `]` or `}`.
    for (let i = 0; i < piece.length; i++) if (piece[i] === 44) values++;
    text = (text + decoder.decode(piece)).slice(-2000);
    length += piece.length;
  }
  const isLong = length > 2000;
  return {
    ...{ status: answer.status, retryAfter: answer.headers.get('retry-after') },
    ...{ end: isLong ? text.slice(-4) : text },
    // Of m series, 6 columns each: one comma after `runId`, m - 1 between series, 5 m between columns, n - 1 within.
    values: values - 1 - 100 - 5 * 101 + 6 * 101,
  };
}
