import { Worker } from 'node:worker_threads';
import { protocolVersion, type Attach, type Busy } from '@plumbline/shared/socket';
import type { z } from 'zod';

/**
 * A trainer in its own thread whose event loop can be blocked, like a process by a long step: meanwhile it reads
 * nothing, answers no ping and runs no timer.
 */
export class BlockedTrainer {
  /** The number of its connections. */
  connections = 0;
  private constructor(readonly worker: Worker) {}

  /** Attaches the run, again on every connection. */
  static async start(url: string, token: string, attach: z.input<typeof Attach>): Promise<BlockedTrainer> {
    const worker = new Worker(program, {
      eval: true,
      workerData: { url: `${url}/trainer`, auth: { token, protocol: protocolVersion }, attach },
    });
    const trainer = new BlockedTrainer(worker);
    worker.on('message', (word) => {
      if (word === 'attached') trainer.connections++;
    });
    await trainer.#said('attached');
    return trainer;
  }

  /** Sends events; resolves with the hub's answer. */
  async send(events: object[]): Promise<unknown> {
    this.worker.postMessage({ events });
    return this.#said('answer');
  }

  /** Blocks for `ms`, after a `busy` message if one is given. */
  async block(ms: number, busy?: Busy): Promise<void> {
    this.worker.postMessage({ block: ms, busy });
    await this.#said('awake');
  }

  async close(): Promise<void> {
    await this.worker.terminate();
  }

  #said(kind: string): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const listen = (word: unknown): void => {
        const isAnswer = typeof word === 'object' && kind === 'answer';
        if (word !== kind && !isAnswer) return;
        this.worker.off('message', listen);
        resolve(word);
      };
      this.worker.on('message', listen);
      this.worker.once('error', reject);
    });
  }
}

const program = `
const { parentPort, workerData: { url, auth, attach } } = require('node:worker_threads');
const { io } = require('socket.io-client');
const socket = io(url, { auth, transports: ['websocket'], reconnectionDelay: 50, reconnectionDelayMax: 100 });
let attached;
socket.on('connect', () => {
  attached = socket.emitWithAck('attach', attach).then((answer) => answer.ok && parentPort.postMessage('attached'));
});
parentPort.on('message', async ({ events, block, busy }) => {
  await attached;
  if (events) return parentPort.postMessage(await socket.emitWithAck('events', { events }));
  if (busy) await socket.emitWithAck('busy', busy);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, block);
  parentPort.postMessage('awake');
});
`;
