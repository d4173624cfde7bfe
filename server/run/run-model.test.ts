import fc from 'fast-check';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { CommandId, type CommandRecord } from '@plumbline/shared/command';
import { hasEnded, type RunId } from '@plumbline/shared/run';
import { isLastWord, type TrainerEvent } from '@plumbline/shared/trainer-event';
import type { WireEvent } from '@plumbline/shared/wire-event';
import { MemoryStore } from '../../test/support/memory-store.js';
import { aRunId, attachment, finished, started, stepped, silentLink } from '../../test/support/test-hub.js';
import { SequenceGapError, StoreUnavailableError, type EventStore } from '../store/event-store.js';
import type { StoredEvent } from '../store/protocol-1.js';
import { Refusal } from './refusal.js';
import { RunRegistry } from './registry.js';

/*
 * Random interleavings of all that happens to a run, with a store whose answers come late, in any order, or not at all. Each
 * call is made while those before may still be under way. PLUMBLINE_MODEL_SEED and PLUMBLINE_MODEL_RUNS ask for others.
 */
const seed = Number(process.env['PLUMBLINE_MODEL_SEED'] ?? 7);
const numRuns = Number(process.env['PLUMBLINE_MODEL_RUNS'] ?? 60);
const folder = mkdtempSync(join(tmpdir(), 'plumbline-model-'));
afterAll(() => rmSync(folder, { recursive: true }));

const writes = ['createRun', 'updateRun', 'append', 'putCommand', 'deleteRun'] as const;
const reads = [
  'run',
  'controlEvents',
  'commands',
  'command',
  'eachControlEvents',
  'events',
  'lastSeq',
  'deletedRuns',
] as const;

type Action =
  | { kind: 'attach'; connection: number; secret: string; takes: string[] | undefined }
  /** A trainer that goes on with the run once it has ended, all of it written. */
  | { kind: 'resume'; connection: number; secret: string }
  | { kind: 'detach'; connection: number }
  | {
      kind: 'append';
      /** One of several that a trainer may have had: each sends its own batches, whether it holds the run or not. */
      connection: number | 'holder';
      from: 'next' | 'repeat' | 'gap';
      steps: 'on' | 'back' | 'segment';
      events: number;
      ends: boolean;
    }
  | { kind: 'command'; id: number; asks: 'pause' | 'evaluate_now' | 'stop' | 'end_run' }
  | { kind: 'lost' }
  | { kind: 'delete' }
  /** The next call fails, before or after it has taken effect. */
  | { kind: 'failure'; of: (typeof writes)[number] | (typeof reads)[number]; isDone: boolean }
  /** All that is under way is done with. */
  | { kind: 'calm' };

const weighted = (weight: number, arbitrary: fc.Arbitrary<Action>) => ({ weight, arbitrary });
const just = <T extends string>(...values: T[]): fc.Arbitrary<T> => fc.constantFrom(...values);
const common = [
  weighted(
    6,
    fc.record({
      ...{ kind: just('attach'), connection: fc.nat(2), secret: fc.constantFrom('a', 'a', 'a', 'b') },
      takes: fc.constantFrom(undefined, undefined, ['stop']),
    }),
  ),
  weighted(3, fc.record({ kind: just('resume'), connection: fc.nat(2), secret: fc.constantFrom('a', 'a', 'b') })),
  weighted(2, fc.record({ kind: just('detach'), connection: fc.nat(2) })),
  weighted(
    13,
    fc.record({
      ...{ kind: just('append'), connection: fc.constantFrom<'holder' | number>('holder', 'holder', 0, 1, 2) },
      from: just('next', 'next', 'next', 'repeat', 'gap'),
      steps: just('on', 'on', 'on', 'back', 'segment', 'segment'),
      ...{ events: fc.integer({ min: 1, max: 3 }), ends: fc.constantFrom(false, false, false, false, true) },
    }),
  ),
  weighted(
    4,
    fc.record({ kind: just('command'), id: fc.nat(4), asks: just('pause', 'evaluate_now', 'stop', 'end_run') }),
  ),
  weighted(1, fc.record({ kind: just('lost') })),
  weighted(3, fc.record({ kind: just('calm') })),
];
const failures = weighted(
  3,
  fc.record({ kind: just('failure'), of: fc.constantFrom(...writes, ...reads), isDone: fc.boolean() }),
);
const deletes = weighted(2, fc.record({ kind: just('delete') }));
const actionsOf = (...options: ReturnType<typeof weighted>[]) =>
  fc.array(fc.oneof(...options), { minLength: 5, maxLength: 40, size: 'max' });

/** What a run is by the order of the calls alone: what the owner has to make of it however the store behaves. */
class Model {
  exists = false;
  owner = '';
  lastSeq = 0;
  lastStep = 0;
  over: null | 'said' | 'lost' = null;

  /** The connection that holds the run. */
  connection: number | null = null;

  /** The connection has attached the run, which has ended, to go on with it. */
  isResuming = false;

  attach(connection: number, secret: string, newSegment = false): string {
    if (!this.exists) {
      this.exists = true;
      this.owner = secret;
    }
    if (this.owner !== secret) return 'forbidden';
    if (this.over === 'lost') this.over = null;
    this.connection = connection;
    this.isResuming = this.over === 'said' && newSegment;
    return `ok ${this.lastSeq}`;
  }
  detach(connection: number): void {
    if (this.connection !== connection) return;
    this.connection = null;
    this.isResuming = false;
  }
  lost(): void {
    if (!this.exists || this.over) return;
    this.over = 'lost';
    this.connection = null;
  }
  append(connection: number, events: readonly WireEvent[]): string {
    if (!this.exists) return 'not_found';
    const first = events.find(({ seq }) => seq > this.lastSeq);
    if (this.over && first && !(this.isResuming && first.type === 'segment_started')) return 'conflict';
    if (this.connection !== connection) return 'conflict';
    let [seq, step] = [this.lastSeq, this.lastStep];
    for (const event of events) {
      if (event.seq <= this.lastSeq) continue;
      if (event.seq !== ++seq) return 'gap';
      if (event.type === 'segment_started' ? event.fromStep > step : event.step < step) return 'invalid';
      step = event.step;
    }
    if (this.over && first) {
      this.over = null;
      this.isResuming = false;
    }
    if (events.some((event) => isLastWord(event) && event.seq > this.lastSeq)) this.over = 'said';
    [this.lastSeq, this.lastStep] = [seq, step];
    return `ok ${seq}`;
  }
}

/** One of the connections of a run's trainer: it numbers its events from where its attach says that the run stands. */
class Connection {
  readonly link = silentLink();
  /** Its attach was answered, and it has not gone since. */
  isAttached = false;
  /** How many of its attaches are not answered: it sends nothing meanwhile. */
  attaching = 0;
  seq = 0;
  step = 0;
  /** What it has sent since. */
  sent: WireEvent[] = [];

  takesUp(seq: number, step: number): void {
    [this.seq, this.step, this.sent] = [seq, step, []];
  }
}

/** A hub with one run, at which calls are made that nobody waits for. */
class World {
  readonly runId: RunId = aRunId();
  readonly memory = new MemoryStore();
  readonly runs: RunRegistry;
  readonly #failing = new Map<string, boolean[]>();
  readonly #underWay = new Set<Promise<unknown>>();
  readonly #connections = [0, 1, 2].map(() => new Connection());
  /** The connection whose attach was answered last. */
  #newest = 0;
  /** Tells all events apart that were ever sent. */
  #timeMs = 2000;
  /** Events as those who watch see them; anew after a deletion. */
  seen: TrainerEvent[] = [];
  /** How each command ended, as was told. */
  readonly ends = new Map<CommandId, CommandRecord[]>();
  readonly model = new Model();
  isDeleted = false;

  constructor(
    readonly scheduler: fc.Scheduler,
    /** Nothing fails and nothing is deleted: the model says what every call is answered. */
    readonly isCertain: boolean,
  ) {
    const store = new Proxy<EventStore>(this.memory, {
      get: (target, name: keyof EventStore) => {
        const member = Reflect.get(target, name, target) as unknown;
        if (typeof member !== 'function') return member;
        return (...args: unknown[]) => this.#call(name, () => member.apply(target, args) as Promise<unknown>);
      },
    });
    this.runs = new RunRegistry(store, {
      ...{ dataDir: folder, trainerGraceMs: 60_000, commandExpiryMs: 60_000, stopOverdueMs: 0, tryAgainMs: 1 },
      ...{ webhooks: { secret: null, hosts: [] }, onError: () => undefined },
    });
    this.runs.on('events', (_, events) => this.seen.push(...events));
    this.runs.on('deleted', () => {
      this.seen = [];
      this.ends.clear();
    });
    this.runs.on('command', (record) => {
      if (record.state === 'pending') return;
      this.ends.set(record.commandId, [...(this.ends.get(record.commandId) ?? []), record]);
    });
  }

  /** A call of the store: done when the scheduler says so, answered when it says so again, if it is. */
  async #call(name: string, work: () => Promise<unknown>): Promise<unknown> {
    await this.scheduler.schedule(Promise.resolve(), `${name} begins`);
    const isDone = this.#failing.get(name)?.shift();
    if (isDone === false) throw new StoreUnavailableError(`${name} fails.`);
    const answer = await work();
    await this.scheduler.schedule(Promise.resolve(), `${name} is answered`);
    if (isDone) throw new StoreUnavailableError(`${name} fails, done.`);
    return answer;
  }

  /** Makes a call, and checks what becomes of it in its time. */
  #expect(call: Promise<unknown>, check: (answer: string) => void | Promise<void>): void {
    const checked = call
      .then(
        (answer) => `ok ${String(answer)}`,
        (error: unknown) => {
          if (error instanceof SequenceGapError) return 'gap';
          if (error instanceof Refusal) return error.code;
          if (error instanceof StoreUnavailableError) return 'store_failed';
          throw error;
        },
      )
      .then(check)
      .finally(() => this.#underWay.delete(checked));
    checked.catch(() => undefined);
    this.#underWay.add(checked);
    this.#all.push(checked);
  }
  readonly #all: Promise<void>[] = [];

  act(action: Action): void | Promise<void> {
    const { runs, runId, model } = this;
    switch (action.kind) {
      case 'attach':
        return this.#attach(action.connection, action.secret, { commands: action.takes });
      case 'resume':
        return this.calm().then(() => this.#attach(action.connection, action.secret, { newSegment: true }));
      case 'detach': {
        const connection = this.#connections[action.connection]!;
        // What was never attached is not detached either.
        if (!this.isCertain && !connection.isAttached) return;
        connection.isAttached = false;
        model.detach(action.connection);
        runs.detach(runId, connection.link);
        return this.#expect(Promise.resolve(), () => undefined);
      }
      case 'append': {
        const holder = this.isCertain ? (model.connection ?? 0) : this.#newest;
        const index = action.connection === 'holder' ? holder : action.connection;
        const connection = this.#connections[index]!;
        if (!this.isCertain && connection.attaching > 0) return;
        const events = this.#batch(connection, action);
        const expected = model.append(index, events);
        return this.#expect(
          runs.append(runId, connection.link, events).then(({ lastSeq }) => lastSeq),
          async (answer) => {
            if (this.isCertain) expect(answer).toBe(expected);
            if (!answer.startsWith('ok') || this.isDeleted) return;
            // Acknowledged is durable, and it is what this connection has sent.
            expect(await this.memory.lastSeq(runId)).toBeGreaterThanOrEqual(Number(answer.slice(3)));
            const stored = await this.memory.events(runId, events[0]!.seq, events.length);
            expect(stored.map(essence)).toEqual(events.map(essence));
          },
        );
      }
      case 'command': {
        const command = { commandId: CommandId.parse(`command-${action.id}`), runId, action: { kind: action.asks } };
        return this.#expect(runs.command(command, 'somebody'), () => undefined);
      }
      case 'lost':
        model.lost();
        return this.#expect(runs.trainerLost(runId, 'The process ended.'), () => undefined);
      case 'delete':
        return this.#expect(runs.delete(runId, 'somebody'), (answer) => {
          if (!answer.startsWith('ok')) return;
          this.isDeleted = true;
          for (const connection of this.#connections) connection.takesUp(0, 0);
        });
      case 'failure':
        this.#failing.set(action.of, [...(this.#failing.get(action.of) ?? []), action.isDone]);
        return;
      case 'calm':
        return this.calm();
    }
  }

  #attach(index: number, secret: string, given: { newSegment?: boolean; commands?: string[] | undefined }): void {
    const { runs, runId, model } = this;
    const connection = this.#connections[index]!;
    const expected = model.attach(index, secret, given.newSegment);
    if (this.isCertain && expected.startsWith('ok')) connection.takesUp(model.lastSeq, model.lastStep);
    connection.attaching++;
    const attach = { ...attachment(runId), ...given, secret: `the secret of trainer ${secret}` };
    this.#expect(
      runs.attach(attach, connection.link).then(({ lastSeq }) => lastSeq),
      async (answer) => {
        if (this.isCertain) expect(answer).toBe(expected);
        connection.attaching--;
        if (!answer.startsWith('ok')) return;
        connection.isAttached = true;
        this.#newest = index;
        if (this.isCertain) return;
        const lastSeq = Number(answer.slice(3));
        connection.takesUp(lastSeq, (await this.memory.events(runId, lastSeq, 1)).at(-1)?.step ?? 0);
      },
    );
  }

  #batch(connection: Connection, { from, steps, events, ends }: Extract<Action, { kind: 'append' }>): WireEvent[] {
    if (from === 'repeat' && connection.sent.length > 0) return connection.sent.slice(-events - 1);
    const first = connection.seq + (from === 'gap' ? 2 : 1);
    const step = steps === 'on' ? connection.step : Math.max(0, connection.step - 5);
    const batch = Array.from({ length: events }, (_, i): WireEvent => {
      const [seq, wallTimeMs] = [first + i, this.#timeMs++];
      if (steps === 'segment' && i === 0) return { type: 'segment_started', seq, step, fromStep: step, wallTimeMs };
      if (ends && i === events - 1) return { ...finished(seq), step: step + i, wallTimeMs };
      return seq === 1 ? { ...started(), wallTimeMs } : { ...stepped(seq), step: step + i, wallTimeMs };
    });
    // What it knows to be wrong is not sent again.
    if (from === 'gap' || (steps === 'back' && step < connection.step)) return batch;
    connection.sent.push(...batch);
    [connection.seq, connection.step] = [batch.at(-1)!.seq, batch.at(-1)!.step];
    return batch;
  }

  /** Lets all that was begun come to its end. */
  async calm(): Promise<void> {
    const begun = [...this.#underWay];
    for (let quiet = 0; quiet < 3;) {
      await this.scheduler.waitIdle();
      await sleep(begun.some((call) => this.#underWay.has(call)) ? 1 : 2);
      const isQuiet = this.scheduler.count() === 0 && begun.every((call) => !this.#underWay.has(call));
      quiet = isQuiet ? quiet + 1 : 0;
    }
  }

  /** What has to be so once nothing is under way. */
  async check(): Promise<void> {
    this.#failing.clear();
    await this.calm();
    await Promise.all(this.#all);
    // The batch that comes again has what could not be written down.
    const known = this.runs.find(this.runId);
    const stored = await this.memory.events(this.runId, 1, 10_000);
    const { trainerConnected } = known ?? {};
    // Of one that the hub has given up, nothing comes again.
    const isOver = stored.findLastIndex(isLastWord) > stored.findLastIndex(isSegment);
    if (known && stored.length > 0 && (isOver || !hasEnded(known.state))) {
      const [{ link }] = this.#connections as [Connection];
      for (const secret of ['a', 'b']) {
        const attach = { ...attachment(this.runId), secret: `the secret of trainer ${secret}` };
        const attached = this.runs.attach(attach, link).catch(() => null);
        await this.calm();
        if ((await attached) === null) continue;
        const again = this.runs.append(this.runId, link, stored as WireEvent[]).catch(() => 0);
        await this.calm();
        await again;
        await this.calm();
      }
      this.#connections[0]!.isAttached = true;
    }
    // The next command carries out what was written although that failed.
    if (known) {
      const commandId = CommandId.parse('command-last');
      const last = this.runs
        .command({ commandId, runId: this.runId, action: { kind: 'evaluate_now' } }, 'somebody')
        .catch(() => undefined);
      await this.calm();
      await last;
      await this.calm();
    }
    const run = this.runs.find(this.runId);
    const record = await this.memory.run(this.runId);
    expect(stored.map(({ seq }) => seq)).toEqual(stored.map((_, i) => i + 1));
    for (const [i, event] of stored.entries()) {
      if (event.type === 'segment_started') expect(event.step).toBe(event.fromStep);
      else expect(event.step).toBeGreaterThanOrEqual(stored[i - 1]?.step ?? 0);
      // What follows a last word begins a segment.
      if (isLastWord(event)) expect(stored[i + 1]?.type ?? 'segment_started').toBe('segment_started');
    }
    if (!run) {
      // A creation that failed may be stored all the same, until its trainer comes again.
      expect(stored).toEqual([]);
      return;
    }
    expect(this.seen).toEqual(stored);
    expect(run).toMatchObject({ lastSeq: stored.length, lastStep: stored.at(-1)?.step ?? 0 });
    expect(record).toMatchObject({ state: run.state, reason: run.reason });
    const [end, segment] = [stored.findLastIndex(isLastWord), stored.findLastIndex(isSegment)];
    if (end > segment) expect(run.state).toBe('finished');
    expect(run.segments ?? []).toEqual(stored.filter(isSegment).map(({ seq, fromStep }) => ({ seq, fromStep })));
    if (record) expect(record.segments).toEqual(run.segments);
    for (const command of await this.memory.commands(this.runId)) {
      if (command.action.kind === 'end_run' && command.state === 'applied')
        expect(hasEnded(run.state), 'the run that it ends has ended').toBe(true);
      if (hasEnded(run.state)) expect(command).not.toMatchObject({ state: 'pending' });
      const ends = this.ends.get(command.commandId) ?? [];
      // One that was written although that failed is told of by nobody.
      expect(ends.length).toBeLessThanOrEqual(command.state === 'pending' ? 0 : 1);
      if (this.isCertain && command.state !== 'pending') expect(ends).toHaveLength(1);
      if (ends[0]) expect(ends[0]).toEqual(command);
    }
    if (this.isCertain) {
      const { lastSeq, connection } = this.model;
      expect({ lastSeq: run.lastSeq, trainerConnected }).toEqual({ lastSeq, trainerConnected: connection !== null });
    }
    // Whatever failed: a connection whose attach was not answered well holds nothing.
    for (const { isAttached, link } of this.#connections) if (isAttached) this.runs.detach(this.runId, link);
    await this.calm();
    expect(this.runs.find(this.runId)).toMatchObject({ trainerConnected: false });
  }
}

/** What tells an event from all others. */
const essence = ({ seq, type, wallTimeMs }: StoredEvent | WireEvent) => ({ seq, type, wallTimeMs });

const isSegment = (event: StoredEvent): event is Extract<TrainerEvent, { type: 'segment_started' }> =>
  event.type === 'segment_started';

async function play(scheduler: fc.Scheduler, actions: Action[], isCertain: boolean): Promise<void> {
  const world = new World(scheduler, isCertain);
  const loading = world.runs.load();
  await world.calm();
  await loading;
  try {
    for (const action of actions) {
      await world.act(action);
      // As far as it comes without the store.
      for (let i = 0; i < 20; i++) await Promise.resolve();
      // The store answers some of what it was asked, in any order.
      if (scheduler.count() > 2) await scheduler.waitOne();
    }
    await world.check();
  } finally {
    world.runs.close();
  }
}
const path = process.env['PLUMBLINE_MODEL_PATH'];
const options = { seed, numRuns, ...(path !== undefined && { path }) };

describe('whatever is asked of a run, in whatever order the store answers', () => {
  it('each call is answered as the order of the calls has it', async () => {
    const actions = actionsOf(...common.filter(({ weight }) => weight !== 4));
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), actions, (scheduler, given) => play(scheduler, given, true)),
      options,
    );
  });

  it('what is acknowledged is kept once, and the record says what is, though the store fails', async () => {
    const actions = actionsOf(...common, failures);
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), actions, (scheduler, given) => play(scheduler, given, false)),
      options,
    );
  });

  it('nothing of a run comes back that was deleted', async () => {
    const actions = actionsOf(...common, failures, deletes);
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), actions, (scheduler, given) => play(scheduler, given, false)),
      options,
    );
  });
});
