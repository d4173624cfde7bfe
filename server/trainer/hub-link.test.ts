import { createServer, type Server as HttpServer } from 'node:http';
import { once } from 'node:events';
import { createServer as createTcpServer, type AddressInfo } from 'node:net';
import { Server } from 'socket.io';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WebSocketServer } from 'ws';
import { CommandId, type Command } from '@plumbline/shared/command';
import { RunDescription } from '@plumbline/shared/run-description';
import { RunId } from '@plumbline/shared/run';
import type { ErrorCode, HubToTrainer, TrainerToHub } from '@plumbline/shared/socket';
import type { WireEvent } from '@plumbline/shared/wire-event';
import { HubLink } from './hub-link.js';

const runId = RunId.parse('run-1');
const run = RunDescription.parse({ name: 'test' });
const quick = { retryMs: 20, answerMs: 300 };

/** A minimal hub on a real Socket.IO server that stores in memory and misbehaves on demand. */
class ScriptedHub {
  stored: WireEvent[] = [];
  /** Answers for the next batches; then it behaves again. */
  script: ('silence' | 'store_then_silence' | 'disconnect' | ErrorCode | { code: ErrorCode; retry: boolean })[] = [];
  attaches = 0;
  /** The number of attaches to refuse for now. */
  refusedAttaches = 0;
  secrets: (string | undefined)[] = [];
  /** The number of attaches to leave unanswered. */
  deafAttaches = 0;
  io!: Server<TrainerToHub, HubToTrainer>;
  #http!: HttpServer;
  port = 0;

  async start(): Promise<void> {
    this.#http = createServer();
    this.io = new Server(this.#http);
    this.io.of('/trainer').use((socket, next) => {
      next(socket.handshake.auth['token'] === 'right' ? undefined : new Error('The trainer token is wrong.'));
    });
    this.io.of('/trainer').on('connection', (socket) => {
      socket.on('attach', ({ secret }, ack) => {
        this.attaches++;
        this.secrets.push(secret);
        if (this.deafAttaches-- > 0) return;
        if (this.refusedAttaches-- > 0)
          return ack({ ok: false, error: { code: 'conflict', message: 'not now', retry: true } });
        ack({ ok: true, lastSeq: this.stored.length, nextSeries: 0 });
      });
      socket.on('events', ({ events }, ack) => {
        const word = this.script.shift();
        if (word === 'silence') return;
        if (word === 'disconnect') return void socket.conn.close();
        if (word && word !== 'store_then_silence') {
          const error = typeof word === 'string' ? { code: word } : word;
          return ack({ ok: false, error: { ...error, message: `scripted ${error.code}` } });
        }
        for (const event of events) {
          if (event.seq <= this.stored.length) continue;
          if (event.seq !== this.stored.length + 1)
            return ack({ ok: false, error: { code: 'gap', message: 'gap' }, lastSeq: this.stored.length });
          this.stored.push(event);
        }
        if (word !== 'store_then_silence') ack({ ok: true, lastSeq: this.stored.length });
      });
    });
    this.#http.listen(this.port, '127.0.0.1');
    await once(this.#http, 'listening');
    this.port = (this.#http.address() as { port: number }).port;
  }
  async stop(): Promise<void> {
    await this.io.close();
  }
}

describe('HubLink', () => {
  let hub: ScriptedHub;
  let link: HubLink;
  beforeEach(async () => {
    hub = new ScriptedHub();
    await hub.start();
  });
  afterEach(async () => {
    link?.close();
    await hub.stop();
  });
  const open = async (options = {}, token = 'right'): Promise<void> => {
    link = new HubLink(`http://127.0.0.1:${hub.port}`, token, { ...quick, ...options });
    await link.attach(runId, run, null);
  };
  const emit = (count: number): void => {
    for (let i = 0; i < count; i++)
      link.emit({ type: 'step_completed', stage: 0, step: i, wallTimeMs: 1_700_000_000_000, metrics: {} });
  };
  const allOnce = (count: number): void =>
    expect(hub.stored.map(({ seq }) => seq)).toEqual(Array.from({ length: count }, (_, i) => i + 1));

  it('numbers events without a gap and sends them in order', async () => {
    await open();
    emit(2500);
    expect(await link.flush()).toBe(true);
    allOnce(2500);
    expect(hub.stored.map(({ step }) => step)).toEqual(Array.from({ length: 2500 }, (_, i) => i));
  });

  it.each([
    'silence',
    'store_then_silence',
    'disconnect',
    'store_failed',
    'rate_limited',
    'draining',
    'gap',
    'not_found',
  ] as const)('loses nothing and sends nothing twice over %s', async (word) => {
    await open();
    hub.script = [word, word];
    emit(50);
    await link.flush();
    emit(50);
    await link.flush();
    allOnce(100);
  });

  it('continues at the hub’s position after a restart of the hub, with the events from meanwhile', async () => {
    await open();
    emit(10);
    await link.flush();
    await hub.stop();
    emit(10);
    expect(await link.flush(100)).toBe(false);
    await hub.start();
    expect(await link.flush()).toBe(true);
    allOnce(20);
    expect(hub.attaches).toBeGreaterThanOrEqual(2);
  });

  it('asks again when an attach gets no answer', async () => {
    hub.deafAttaches = 2;
    await open();
    expect(hub.attaches).toBe(3);
  });

  it('truncates a reason that is longer than events may carry', async () => {
    await open();
    link.emit({ type: 'run_failed', step: 1, wallTimeMs: 1_700_000_000_000, reason: 'x'.repeat(5000) });
    await link.flush();
    expect(hub.stored[0]).toMatchObject({ type: 'run_failed', reason: 'x'.repeat(4000) });
  });

  it('ends all waiting when it is given up', async () => {
    hub.deafAttaches = 1000;
    const opening = open();
    setTimeout(() => link.giveUp('told to end'), 50);
    await expect(opening).rejects.toThrow('told to end');
  });

  it('makes training wait when too much is unacknowledged, and continue afterwards', async () => {
    await open({ maxSpooledValues: 10 });
    hub.script = Array.from({ length: 20 }, () => 'store_failed' as const);
    emit(20);
    let free = false;
    const waited = link.room().then(() => (free = true));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(free).toBe(false);
    await waited;
    expect(hub.stored.length).toBeGreaterThan(0);
  });

  it('keeps a batch under its limit of values', async () => {
    await open({ maxBatchValues: 5 });
    const sizes: number[] = [];
    hub.io
      .of('/trainer')
      .sockets.forEach((socket) =>
        socket.prependAny((name, batch) => name === 'events' && sizes.push(batch.events.length)),
      );
    emit(40);
    await link.flush();
    allOnce(40);
    expect(sizes.length).toBeGreaterThan(0);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(5);
  });

  it('attaches again when the hub says that this may help, and ends when it says that it does not', async () => {
    await open();
    hub.script = [
      { code: 'conflict', retry: true },
      { code: 'internal', retry: true },
    ];
    emit(20);
    await link.flush();
    allOnce(20);
    expect(hub.attaches).toBe(2);
    hub.script = [{ code: 'store_failed', retry: false }];
    emit(1);
    await expect(link.flush()).rejects.toThrow(/scripted store_failed/);
  });

  it('attaches again after a temporary refusal, with its secret', async () => {
    hub.refusedAttaches = 2;
    link = new HubLink(`http://127.0.0.1:${hub.port}`, 'right', quick);
    await link.attach(runId, run, null, 'a secret of this trainer');
    expect(hub.attaches).toBe(3);
    expect(hub.secrets).toEqual(Array(3).fill('a secret of this trainer'));
  });

  it('counts the text of a model: its event is sent alone', async () => {
    await open({ maxBatchValues: 20, window: 1 });
    const batches: string[][] = [];
    hub.io
      .of('/trainer')
      .sockets.forEach((socket) =>
        socket.prependAny(
          (name, batch: { events: { type: string }[] }) =>
            name === 'events' && batches.push(batch.events.map(({ type }) => type)),
        ),
      );
    const names = ['a', 'b', 'c'];
    const at = { step: 0, wallTimeMs: 1_700_000_000_000 };
    const selection = { kind: 'recipe', recipe: 'all' } as const;
    const model = {
      name: 'm',
      groups: names.map((name) => ({ name, part: 'other' as const })),
      parameters: names.map((name) => ({ name, shape: [], size: 1, group: name })),
      recipes: [{ name: 'all', label: 'All', groups: names }],
    };
    const trainer = { backend: 'x', device: '', host: '', processId: 1, version: '' };
    // A link's first message contains the events present at once: the step.
    link.emit({ type: 'step_completed', ...at, stage: 0, metrics: {} });
    link.emit({ type: 'run_started', ...at, trainer, model, baseline: {}, selection, trainable: names });
    link.emit({ type: 'trainable_changed', ...at, selection, trainable: names });
    link.emit({ type: 'trainable_changed', ...at, selection, trainable: names });
    await link.flush();
    expect(batches).toEqual([['step_completed'], ['run_started'], ['trainable_changed', 'trainable_changed']]);
  });

  it('sends values by series number and declares a series before its first value', async () => {
    await open();
    const at = { step: 1, stage: 0, wallTimeMs: 1_700_000_000_000 };
    link.emit({ type: 'step_completed', ...at, metrics: { 'shift/kl': 'NaN', eval_loss: 2 } });
    link.emit({ type: 'probe_completed', ...at, metrics: { eval_loss: 3, ['__proto__']: 4 } });
    const { stage: _, ...when } = at;
    link.emit({ type: 'series_declared', ...when, series: [{ number: 9, name: 'lr' }] });
    link.emit({ type: 'step_completed', ...at, metrics: { lr: 5 } });
    await link.flush();
    expect(hub.stored).toMatchObject([
      {
        type: 'series_declared',
        series: [
          { number: 0, name: 'shift/kl', unit: 'nats', noiseFloor: 0.04 },
          { number: 1, name: 'eval_loss' },
        ],
      },
      { type: 'step_completed', seq: 2, series: [0, 1], values: ['NaN', 2] },
      { type: 'series_declared', seq: 3, series: [{ number: 2, name: '__proto__' }] },
      { type: 'probe_completed', seq: 4, series: [1, 2], values: [3, 4] },
      { type: 'series_declared', seq: 5, series: [{ number: 9, name: 'lr' }] },
      { type: 'step_completed', seq: 6, series: [9], values: [5] },
    ]);
  });

  it('says why when the token is wrong', async () => {
    await expect(open({}, 'wrong')).rejects.toThrow(/refused the connection: The trainer token is wrong/);
  });

  it('says why when the hub finds events invalid, and ends all waiting', async () => {
    await open();
    hub.script = ['invalid'];
    emit(1);
    await expect(link.flush()).rejects.toThrow(/scripted invalid/);
    await expect(link.room()).rejects.toThrow(/scripted invalid/);
    expect(link.failure?.message).toMatch(/scripted invalid/);
  });

  it('notices a hub whose store lost acknowledged events', async () => {
    await open();
    emit(5);
    await link.flush();
    hub.stored = [];
    hub.io.of('/trainer').sockets.forEach((socket) => socket.conn.close());
    await expect.poll(() => link.failure?.message).toMatch(/rolled back/);
  });

  it('delivers commands and confirms them', async () => {
    await open();
    const got: Command[] = [];
    link.onCommand((command) => got.push(command));
    const command: Command = { commandId: CommandId.parse('command-1'), runId, action: { kind: 'pause' } };
    const [socket] = [...hub.io.of('/trainer').sockets.values()];
    expect(await socket!.emitWithAck('command', command)).toEqual({ ok: true });
    expect(got).toEqual([command]);
  });

  it('numbers a second run from 1', async () => {
    await open();
    emit(3);
    await expect(link.attach(RunId.parse('run-2'), run, null)).rejects.toThrow(/still unacknowledged/);
    await link.flush();
    // A late answer to the first run's last batch, as can happen with a window of batches.
    hub.script = ['store_then_silence'];
    emit(1);
    emit(1);
    await link.flush();
    hub.stored = [];
    await link.attach(RunId.parse('run-2'), run, null);
    emit(2);
    await link.flush();
    allOnce(2);
  });
});

describe('HubLink on a line that falls silent', () => {
  const linkTo = (port: number): { link: HubLink; away: string[] } => {
    const away: string[] = [];
    const onAway = (cause: string): void => void away.push(cause);
    const link = new HubLink(`http://127.0.0.1:${port}`, 'right', { ...quick, silenceMs: 500, onAway });
    link.attach(runId, run, null).catch(() => undefined);
    return { link, away };
  };

  it('tries another one when the attempt to connect is not answered', async () => {
    let connections = 0;
    const server = createTcpServer((socket) => {
      connections++;
      socket.on('error', () => undefined).resume();
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { link, away } = linkTo((server.address() as AddressInfo).port);
    await expect.poll(() => connections, { timeout: 10_000 }).toBeGreaterThan(2);
    expect(away).toEqual(['nothing heard for 0.5 s']);
    link.giveUp('the test is over');
    link.close();
    server.close();
  });

  it('tries another one when it is silent before the namespace is joined', async () => {
    let connections = 0;
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    server.on('connection', (socket) => {
      connections++;
      socket.send(`0${JSON.stringify({ sid: 'a', upgrades: [], pingInterval: 1000, pingTimeout: 120_000 })}`);
    });
    await once(server, 'listening');
    const { link } = linkTo((server.address() as AddressInfo).port);
    await expect.poll(() => connections, { timeout: 10_000 }).toBeGreaterThan(2);
    link.giveUp('the test is over');
    link.close();
    server.close();
  });
});
