import { afterAll, beforeAll, expect, it } from 'vitest';
import { TestHub } from '../support/test-hub.js';
import { PlayedTrainer } from './played-trainer.js';

let hub: TestHub;
beforeAll(async () => void (hub = await TestHub.start()));
afterAll(() => hub.remove());

it('a played trainer names the runs that the hub took, and no others', async () => {
  const taken: string[] = [];
  const subject = { url: hub.url, token: hub.token, took: (runId: string) => void taken.push(runId) };
  const [one, refused] = [new PlayedTrainer(subject), new PlayedTrainer(subject)];
  try {
    await one.started();
    const socket = await one.connect();
    if (typeof socket === 'string') throw new Error(socket);
    expect(await refused.ask(socket, 'attach', refused.attachment({ runId: 'not a run id' }))).toMatchObject({
      ok: false,
    });
    expect(taken).toEqual([one.runId]);
  } finally {
    one.close();
    refused.close();
  }
});
