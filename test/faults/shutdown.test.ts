import { setTimeout as sleep } from 'node:timers/promises';
import { io, type Socket } from 'socket.io-client';
import { afterEach, describe, expect, it } from 'vitest';
import type { HistoryResponse } from '@plumbline/shared/http';
import type { RunId } from '@plumbline/shared/run';
import { protocolVersion, type HubToTrainer, type TrainerToHub } from '@plumbline/shared/socket';
import { eventually } from '../support/eventually.js';
import { HubClient } from '../support/hub-client.js';
import { HubProcess } from '../support/hub-process.js';
import { Ledger } from '../support/ledger.js';
import { aRunId, attachment, started, stepped } from '../support/test-hub.js';

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});
async function startHub(): Promise<HubProcess> {
  const hub = await HubProcess.start();
  cleanUps.push(() => hub.remove());
  return hub;
}

/** A foreign trainer that keeps four batches in flight until the hub goes. */
class LoadTrainer {
  readonly runId: RunId = aRunId();
  readonly #socket: Socket<HubToTrainer, TrainerToHub>;
  acknowledged = 0;
  refusals = new Set<string>();
  readonly gone: Promise<void>;
  #seq = 0;

  constructor(hub: HubProcess) {
    const token = hub.trainerToken;
    this.#socket = io(`${hub.url}/trainer`, {
      auth: { token, protocol: protocolVersion },
      transports: ['websocket'],
      forceNew: true,
      reconnection: false,
    });
    this.gone = new Promise((resolve) => this.#socket.once('disconnect', () => resolve()));
    cleanUps.push(() => this.#socket.disconnect());
  }

  async start(): Promise<void> {
    const answer = await this.#socket.emitWithAck('attach', attachment(this.runId));
    if (!answer.ok) throw new Error(answer.error.message);
    for (let i = 0; i < 4; i++) this.#next();
  }

  #next(): void {
    const events = Array.from({ length: 20 }, () => (this.#seq++ === 0 ? started() : stepped(this.#seq)));
    this.#socket.emit('events', { events }, (answer) => {
      if (answer.ok) {
        this.acknowledged = Math.max(this.acknowledged, answer.lastSeq);
        this.#next();
      } else this.refusals.add(answer.error.code);
    });
  }
}

describe('SIGTERM', () => {
  it('ends, in order, a hub whose output nobody reads any more and that ran on meanwhile', async () => {
    const hub = await startHub();
    hub.deafen();
    const trainer = new LoadTrainer(hub);
    await trainer.start();
    await eventually(() => (trainer.acknowledged > 100 ? true : null));
    expect(await hub.stop()).toBe(0);
  });

  it('under load: every acknowledged event is stored, every stored one was acknowledged, and the exit code is 0', async () => {
    const hub = await startHub();
    const trainers = [new LoadTrainer(hub), new LoadTrainer(hub), new LoadTrainer(hub)];
    await Promise.all(trainers.map((trainer) => trainer.start()));
    const client = await HubClient.open(hub);
    cleanUps.push(() => client.close());
    const ledgers = trainers.map(({ runId }) => new Ledger(client, runId));
    await client.until('load', async () =>
      trainers.every(({ acknowledged }) => acknowledged > 500) ? true : undefined,
    );

    expect(await hub.stop()).toBe(0);
    await Promise.all(trainers.map(({ gone }) => gone));
    for (const { refusals } of trainers) expect([...refusals].filter((code) => code !== 'draining')).toEqual([]);

    await hub.start();
    for (const [index, { runId, acknowledged }] of trainers.entries()) {
      const path = `/api/runs/${runId}/history?metric=train/loss&maxPoints=100000`;
      const { series, lastSeq } = (await (await fetch(hub.url + path)).json()) as HistoryResponse;
      expect(lastSeq).toBe(acknowledged);
      expect(series['train/loss']!.seqs).toEqual(Array.from({ length: lastSeq - 1 }, (_, i) => i + 2));
      expect(ledgers[index]!.values.size).toBeGreaterThan(0);
      expect(await ledgers[index]!.differences()).toEqual([]);
    }
  });

  it('lets built-in trainers save and report it', async () => {
    const hub = await startHub();
    const client = await HubClient.open(hub);
    cleanUps.push(() => client.close());
    const runId = await client.startRun({ steps: 100_000, batchSize: 4, probeEverySteps: 1000, warmupSteps: 0 });
    await client.step(runId, 3);
    expect(await hub.stop()).toBe(0);
    await hub.start();
    const run = await client.state(runId, 'stopped');
    const { events } = await client.controlEvents(runId);
    expect(events.slice(-2).map(({ type }) => type)).toEqual(['checkpoint_saved', 'run_stopped']);
    expect(run.lastSeq).toBe(events.at(-1)!.seq);
  });

  it('sent again, ends the hub at once although a trainer does not answer', async () => {
    const hub = await startHub();
    const client = await HubClient.open(hub);
    cleanUps.push(() => client.close());
    const runId = await client.startRun({ steps: 100_000, batchSize: 4, probeEverySteps: 1000, warmupSteps: 0 });
    const { trainer } = await client.step(runId, 1);
    process.kill(trainer!.processId, 'SIGSTOP');
    cleanUps.push(() => process.kill(trainer!.processId, 'SIGKILL'));
    const first = hub.stop();
    await client.until('the hub to be draining', async () =>
      (await fetch(`${hub.url}/readyz`)).status === 503 ? true : undefined,
    );
    await sleep(200);
    process.kill(hub.processId, 'SIGTERM');
    expect(await first).toBe(128 + 15);
    expect(hub.output).not.toContain('hub stopped');
  });
});
