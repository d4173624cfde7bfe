import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HubProcess } from '../support/hub-process.js';
import { PollingClient } from '../support/polling-client.js';

/** Messages of a client without session or token, to a hub in its own process whose memory is measured. */
let hub: HubProcess;
beforeEach(async () => {
  hub = await HubProcess.start();
});
afterEach(() => hub.remove());

const peakMemoryMb = (): number =>
  Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${hub.processId}/status`, 'utf8'))![1]) / 1024;
const isUp = async (): Promise<boolean> => (await fetch(`${hub.url}/healthz`)).ok;
/** Far above a hub's memory at its start, and far below that of an unlimited flood: 4.3 GB. */
const boundMb = 600;

describe('a polling body of 8 MB', () => {
  it.each([
    ['the default namespace', '40'],
    ['/dashboard', '40/dashboard,'],
    ['/trainer without the token', '40/trainer,'],
    ['unknown namespaces', '40/dashboard?x,'],
  ])('full of joins of %s is refused with a reason; the hub stays up and its memory stays bounded', async (_, join) => {
    const client = await PollingClient.open(hub.url);
    const joins = Array<string>(Math.floor(8_000_000 / (join.length + 1))).fill(join);
    const answer = await client.post(joins);
    expect([answer.status, await answer.text()]).toEqual([413, expect.stringContaining('at most 16384 bytes')]);
    expect(await isUp()).toBe(true);
    expect(peakMemoryMb()).toBeLessThan(boundMb);
  });
});
