import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { aRunId, attachment, started, TestHub } from '../../test/support/test-hub.js';
import { eventually } from '../../test/support/eventually.js';
import { rawWebSocket } from '../../test/support/raw-websocket.js';
import { protocolVersion } from '@plumbline/shared/socket';
import { withQuotedNumbers } from './tolerant-parser.js';

describe('numbers that are not finite', () => {
  it.each([
    ['[NaN,-Infinity, Infinity]', '["NaN","-Infinity", "Infinity"]'],
    ['{"NaN":"NaN, -Infinity","a\\"NaN":NaN}', '{"NaN":"NaN, -Infinity","a\\"NaN":"NaN"}'],
    ['["\\\\",NaN]', '["\\\\","NaN"]'],
    ['["an open NaN', '["an open NaN'],
    ['{"loss":2.5}', '{"loss":2.5}'],
  ])('%s', (text, quoted) => expect(withQuotedNumbers(text)).toBe(quoted));

  it('are looked for once in a text of megabytes, with or without an end', () => {
    const long = `["${'\\"x'.repeat(2_000_000)}",NaN]`;
    expect(withQuotedNumbers(long).endsWith(',"NaN"]')).toBe(true);
    // A search that began anew at each quote would not come to an end.
    const open = `[NaN,"${'\\"'.repeat(4_000_000)}`;
    expect(withQuotedNumbers(open)).toBe(`["NaN"${open.slice(4)}`);
  });
});

describe('a trainer that writes a bare NaN', () => {
  let hub: TestHub;
  beforeAll(async () => {
    hub = await TestHub.start();
  });
  afterAll(() => hub.remove());

  it('is answered, and its value is stored', async () => {
    const runId = aRunId();
    const socket = await rawWebSocket(hub.url);
    const auth = { token: hub.token, protocol: protocolVersion };
    const answered = (text: string) => eventually(() => (socket.text().includes(text) ? true : null));
    socket.send(`40/trainer,${JSON.stringify(auth)}`);
    await answered('40/trainer,');
    socket.send(`42/trainer,1["attach",${JSON.stringify(attachment(runId))}]`);
    await answered('43/trainer,1[{"ok":true');
    const step = (seq: number, loss: string) =>
      `{"type":"step_completed","seq":${seq},"step":${seq - 1},"stage":0,"wallTimeMs":1700000000000,"series":[0],"values":[${loss}]}`;
    socket.send(
      `42/trainer,2["events",{"events":[${JSON.stringify(started())},${step(2, 'NaN')},${step(3, '-Infinity')}]}]`,
    );
    await answered('43/trainer,2[{"ok":true,"lastSeq":3}]');
    const { series } = await hub.hub.runs.store.history(runId, { maxPoints: 100 });
    expect([...series.get('train/loss')!.values]).toEqual([NaN, -Infinity]);
    socket.socket.destroy();
  });
});
