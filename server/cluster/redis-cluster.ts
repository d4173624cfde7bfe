import { randomUUID } from 'node:crypto';
import type { CommandRecord, GivenCommand } from '@plumbline/shared/command';
import { hasEnded, type RunId } from '@plumbline/shared/run';
import type { WireError } from '@plumbline/shared/socket';
import type { Cluster, ClusterHandlers, DeletedOne, Progress, ToldRun } from '../run/cluster.js';
import { Refusal, toWireError } from '../run/refusal.js';
import type { RedisClient } from './redis-client.js';

/*
 * Hubs find each other through one Redis.
 *   plumbline:run:<id>      the hub that holds the run; it renews the key, which lives for `leaseMs`
 *   plumbline:hubs          channel of all hubs: changed and deleted runs, progress, who took which run
 *   plumbline:hub:<hub id>  channel of one hub: requests to it, and answers to its requests
 * Redis holds nothing that has to last: if it comes back empty, the hubs write the keys of their runs again within a
 * second. While Redis is away, each hub keeps serving the trainers and browsers that are connected to it.
 */
const renewMs = 500;
const leaseMs = 2500;
/**
 * A run is orphaned after this many checks in a row without a holder. If Redis comes back empty, every holder renews its
 * keys within one check.
 */
const checksWithoutHolder = 3;
/** The longest wait for the answer of another hub. */
const answerMs = 10_000;
const keyOf = (runId: RunId): string => `plumbline:run:${runId}`;
const everybody = 'plumbline:hubs';
const channelOf = (hub: string): string => `plumbline:hub:${hub}`;

/**
 * Renews this hub's keys, takes free ones, and those of runs whose trainer is connected here. Returns the other holder that
 * each key had, or an empty text; and Redis's clock in epoch milliseconds.
 */
const renewScript = `
  local others = {}
  for i, key in ipairs(KEYS) do
    local holder = redis.call('GET', key)
    local is_other = holder and holder ~= ARGV[1]
    if not is_other or ARGV[2 + i] == '1' then redis.call('SET', key, ARGV[1], 'PX', ARGV[2]) end
    others[i] = is_other and holder or ''
  end
  local time = redis.call('TIME')
  return {others, time[1] * 1000 + math.floor(time[2] / 1000)}`;

type Broadcast =
  | ({ kind: 'run' } & ToldRun)
  | { kind: 'deleted'; run: DeletedOne }
  | { kind: 'progress'; progress: Progress[] }
  /** `claimedMs`: when the trainer connected to the hub that says this, or somewhat before, by Redis's clock. */
  | { kind: 'taken'; runId: RunId; claimedMs: number };
type Ask =
  { kind: 'command'; command: GivenCommand; author: string } | { kind: 'trainer_lost'; runId: RunId; reason: string };
type Direct =
  | { kind: 'ask'; id: string; ask: Ask }
  | { kind: 'answer'; id: string; record: CommandRecord | null; error: WireError | null };
type FromHub<T> = T & { hub: string };

interface Waiting {
  resolve: (record: CommandRecord | null) => void;
  reject: (error: unknown) => void;
}

/** The connection to the other hubs, through Redis. */
export class RedisCluster implements Cluster {
  readonly id = `hub-${randomUUID().slice(0, 8)}`;
  readonly #waiting = new Map<string, Waiting>();
  #subscriber: RedisClient | null = null;
  #handlers: ClusterHandlers | null = null;
  #timer: NodeJS.Timeout | null = null;
  /** Running runs of other hubs, as far as this hub knows, with the number of checks in a row without a holder. */
  readonly #elsewhere = new Map<RunId, { checks: number }>();
  /** The last messages about runs that ended or were deleted while Redis was away. */
  readonly #untold = new Map<RunId, Broadcast>();
  /** When the trainers of runs connected here, on the clock of `performance.now()`. */
  readonly #claimedMs = new Map<RunId, number>();
  /** How far Redis's clock is ahead of that one, as of the last answer: at least and at most. */
  #aheadMs: { least: number; most: number } | null = null;
  #closed = false;

  constructor(
    readonly client: RedisClient,
    readonly onError: (error: unknown) => void,
  ) {}

  start(handlers: ClusterHandlers): void {
    this.#handlers = handlers;
    const tick = async () => {
      await this.#listen()
        .then(() => this.#renew(handlers))
        .catch(this.onError);
      if (!this.#closed) this.#timer = setTimeout(tick, renewMs).unref();
    };
    void tick();
  }

  async holder(runId: RunId): Promise<string | null> {
    const holder = await this.#redis(() => this.client.get(keyOf(runId)));
    return holder === null || holder === this.id ? null : holder;
  }

  async claim(runId: RunId): Promise<void> {
    this.#elsewhere.delete(runId);
    this.#claimedMs.set(runId, performance.now());
    // The trainer is connected here, so the run is this hub's even if Redis is away. The next renewal writes the key, and
    // tells another hub that still holds the run.
    await this.#claimAll([{ runId, connected: true }])
      .then(() => this.#tellTaken(runId))
      .catch(this.onError);
  }

  async claimIfFree(runId: RunId): Promise<boolean> {
    const [other] = await this.#claimAll([{ runId, connected: false }]);
    if (other !== '') this.#isElsewhere(runId);
    return other === '';
  }

  async #tellTaken(runId: RunId): Promise<void> {
    const claimedMs = this.#claimedMs.get(runId);
    if (claimedMs !== undefined && this.#aheadMs)
      await this.#publish(everybody, { kind: 'taken', runId, claimedMs: claimedMs + this.#aheadMs.least });
  }

  /** Whether the run's trainer connected here after that time by Redis's clock, as far as is known. */
  #isClaimedAfter(runId: RunId, atMs: number): boolean {
    const claimedMs = this.#claimedMs.get(runId);
    return claimedMs !== undefined && this.#aheadMs !== null && claimedMs + this.#aheadMs.most >= atMs;
  }

  tell(told: ToldRun): void {
    const { runId, state } = told.run;
    // An ended run is no longer held, so no progress of it follows: this is its last message.
    this.#tell(runId, { kind: 'run', ...told }, hasEnded(state));
  }

  tellDeleted({ runId, createdMs }: DeletedOne): void {
    this.#elsewhere.delete(runId);
    this.#claimedMs.delete(runId);
    this.#tell(runId, { kind: 'deleted', run: { runId, createdMs } }, true);
  }

  /** @param isLast whether no message about the run follows; such a message is sent again once Redis is back */
  #tell(runId: RunId, message: Broadcast, isLast: boolean): void {
    if (!this.client.isReady && isLast) this.#untold.set(runId, message);
    else void this.#publish(everybody, message);
  }

  async forward(hub: string, command: GivenCommand, author: string): Promise<CommandRecord> {
    const record = await this.#ask(hub, { kind: 'command', command, author });
    if (!record)
      throw new Refusal(
        'internal',
        'The hub that holds this run returned no record of the command. Try again: the same command counts once.',
      );
    return record;
  }

  async forwardLost(hub: string, runId: RunId, reason: string): Promise<void> {
    await this.#ask(hub, { kind: 'trainer_lost', runId, reason });
  }

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer) clearTimeout(this.#timer);
    const held = this.#handlers?.held() ?? [];
    // Other hubs can take the runs at once, without a wait for the leases to end.
    if (this.client.isReady && held.length > 0)
      await Promise.all(
        held.map(({ runId }) =>
          this.client.eval("if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end", {
            keys: [keyOf(runId)],
            arguments: [this.id],
          }),
        ),
      ).catch(this.onError);
    if (this.#subscriber?.isOpen) this.#subscriber.destroy();
    this.client.destroy();
  }

  /** Subscribes to both channels once. The client itself subscribes again after a lost connection. */
  async #listen(): Promise<void> {
    if (this.#subscriber) return;
    const subscriber = this.client.duplicate();
    // The other connection to the same Redis reports errors.
    subscriber.on('error', () => undefined);
    this.#subscriber = subscriber;
    try {
      await subscriber.connect();
      await subscriber.subscribe(everybody, (text) => this.#heard(JSON.parse(text) as FromHub<Broadcast>));
      await subscriber.subscribe(channelOf(this.id), (text) => this.#toldDirectly(JSON.parse(text) as FromHub<Direct>));
    } catch (error) {
      // Redis went away in between: the next attempt begins anew.
      this.#subscriber = null;
      if (subscriber.isOpen) subscriber.destroy();
      throw error;
    }
  }

  async #renew(handlers: ClusterHandlers): Promise<void> {
    const held = handlers.held();
    const others = await this.#claimAll(held);
    for (const [i, { runId, connected }] of held.entries()) {
      if (others[i] === '') continue;
      // The other hub has a connection of the trainer too, and has not heard of this one, or this one is dead.
      if (connected) void this.#tellTaken(runId);
      // `#taken` asks again: the trainer may have connected here meanwhile.
      else await this.#taken(runId);
    }
    const mine = held.filter(({ connected }, i) => connected || others[i] === '');
    if (mine.length > 0) void this.#publish(everybody, { kind: 'progress', progress: mine.map((run) => run.progress) });
    if (this.client.isReady) {
      for (const message of this.#untold.values()) void this.#publish(everybody, message);
      this.#untold.clear();
    }
    if (this.#elsewhere.size === 0) return;
    const watched = [...this.#elsewhere];
    const holders = await this.client.mGet(watched.map(([runId]) => keyOf(runId)));
    watched.forEach(([, entry], i) => (entry.checks = holders[i] === null ? entry.checks + 1 : 0));
    const orphans = watched.flatMap(([runId, { checks }]) => (checks >= checksWithoutHolder ? [runId] : []));
    for (const runId of orphans) this.#elsewhere.delete(runId);
    if (orphans.length > 0) handlers.onOrphaned(orphans);
  }

  /** @returns the other holder that each run had, or ''. This hub holds it now if there was none, or it is connected here. */
  async #claimAll(runs: { runId: RunId; connected: boolean }[]): Promise<string[]> {
    if (runs.length === 0) return [];
    const askedMs = performance.now();
    const answer = await this.#redis(() =>
      this.client.eval(renewScript, {
        keys: runs.map(({ runId }) => keyOf(runId)),
        arguments: [this.id, String(leaseMs), ...runs.map(({ connected }) => (connected ? '1' : '0'))],
      }),
    );
    const [others, redisMs] = answer as [string[], number];
    this.#aheadMs = { least: redisMs - performance.now(), most: redisMs - askedMs };
    return others;
  }

  #heard(message: FromHub<Broadcast>): void {
    if (message.hub === this.id || !this.#handlers) return;
    switch (message.kind) {
      case 'run':
        if (hasEnded(message.run.state)) this.#elsewhere.delete(message.run.runId);
        else this.#isElsewhere(message.run.runId);
        return this.#handlers.onRun(message);
      case 'deleted':
        this.#elsewhere.delete(message.run.runId);
        this.#claimedMs.delete(message.run.runId);
        return this.#handlers.onDeleted(message.run);
      case 'progress':
        for (const { runId } of message.progress) this.#isElsewhere(runId);
        return this.#handlers.onProgress(message.progress);
      case 'taken':
        // The hub that the trainer connected to last holds the run.
        if (this.#isClaimedAfter(message.runId, message.claimedMs)) return;
        return void this.#taken(message.runId).catch(this.onError);
    }
  }

  /** Gives up a run that another hub holds. Asks Redis first: the trainer may have come back here since. */
  async #taken(runId: RunId): Promise<void> {
    if ((await this.holder(runId)) === null) return;
    this.#claimedMs.delete(runId);
    this.#isElsewhere(runId);
    this.#handlers?.onTaken(runId);
  }

  #isElsewhere(runId: RunId): void {
    if (!this.#elsewhere.has(runId)) this.#elsewhere.set(runId, { checks: 0 });
  }

  #toldDirectly(message: FromHub<Direct>): void {
    if (message.kind === 'ask') return void this.#answer(message).catch(this.onError);
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (message.error)
      waiting?.reject(new Refusal(message.error.code, message.error.message, { retry: message.error.retry }));
    else waiting?.resolve(message.record);
  }

  async #answer({ hub, id, ask }: FromHub<Extract<Direct, { kind: 'ask' }>>): Promise<void> {
    const handlers = this.#handlers!;
    try {
      const record =
        ask.kind === 'command'
          ? await handlers.command(ask.command, ask.author)
          : await handlers.trainerLost(ask.runId, ask.reason).then(() => null);
      await this.#publish(channelOf(hub), { kind: 'answer', id, record, error: null });
    } catch (error) {
      await this.#publish(channelOf(hub), { kind: 'answer', id, record: null, error: toWireError(error) });
    }
  }

  #ask(hub: string, ask: Ask): Promise<CommandRecord | null> {
    const id = randomUUID();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(
          new Refusal(
            'internal',
            'The hub that holds this run does not answer. Try again: the same command counts once.',
          ),
        );
      }, answerMs);
      const settle =
        <T>(how: (value: T) => void) =>
        (value: T) => {
          clearTimeout(timer);
          how(value);
        };
      this.#waiting.set(id, { resolve: settle(resolve), reject: settle(reject) });
      void this.#publish(channelOf(hub), { kind: 'ask', id, ask });
    });
  }

  /** Publishes a message. A lost message is sent again later, or its receiver asks for it. */
  async #publish(channel: string, message: Broadcast | Direct): Promise<void> {
    if (!this.client.isReady) return;
    await this.client.publish(channel, JSON.stringify({ ...message, hub: this.id })).catch(this.onError);
  }

  async #redis<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw new Refusal(
        'internal',
        `The hubs cannot find each other: Redis does not answer (${error instanceof Error ? error.message : String(error)}). ` +
          'Try again once it does.',
      );
    }
  }
}
