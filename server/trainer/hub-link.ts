import { io, type Socket } from 'socket.io-client';
import { maxEventsPerBatch, maxReasonLength } from '@plumbline/shared/limits';
import { builtInDeclaration } from '@plumbline/shared/built-in/series';
import type { Command } from '@plumbline/shared/command';
import type { WireMetrics } from '@plumbline/shared/metric';
import type { RunId, RunParent } from '@plumbline/shared/run';
import type { RunDescription } from '@plumbline/shared/run-description';
import { lookMs, silenceOf } from '@plumbline/shared/silent-line';
import { protocolVersion, type HubToTrainer, type TrainerToHub, type WireError } from '@plumbline/shared/socket';
import type { TrainerEvent, Unnumbered, UnnumberedEvent } from '@plumbline/shared/trainer-event';
import { isWireMetricEvent, type WireEvent } from '@plumbline/shared/wire-event';

/** The hub refused for good, or was away for too long. Retrying does not help. */
export class HubLinkError extends Error {
  override name = 'HubLinkError';
}

export interface HubLinkOptions {
  /** The most unacknowledged metric values and names; beyond that training waits. */
  maxSpooledValues?: number;
  /**
   * Metric values and names per batch, so that a message stays well under the hub's limit. A larger event is sent
   * alone.
   */
  maxBatchValues?: number;
  /**
   * Batches in flight at once. More than one, because a step blocks the process: the answer to the previous batch is
   * read only after the step, and a command's outcome would wait for that whole step.
   */
  window?: number;
  /** The pause before a retry when the hub could not store events. */
  retryMs?: number;
  /** The time after which an unanswered batch is sent again. */
  answerMs?: number;
  /** The silence, pings included, after which a connection, or an attempt to make one, is given up for a new one. */
  silenceMs?: number;
  /** Called once each time the hub goes away, with the cause. The link retries by itself. */
  onAway?: (cause: string) => void;
  /** Called when a hub answers again. */
  onBack?: () => void;
}
const defaults = {
  ...{ maxSpooledValues: 2_000_000, maxBatchValues: 40_000, window: 4 },
  ...{ retryMs: 1000, answerMs: 30_000, silenceMs: 3000 },
  ...{ onAway: () => undefined, onBack: () => undefined },
};

/** Approximate characters on the wire of a value with its series number. */
const valueLength = 25;

/** The size of an event in values: those that it carries, or the number of values that is as long as its text. */
const valuesIn = (event: WireEvent): number =>
  1 + (isWireMetricEvent(event) ? event.values.length : Math.ceil(JSON.stringify(event).length / valueLength));

interface Spooled {
  event: WireEvent;
  values: number;
}

/**
 * A trainer's link to the hub. Events get a gap-free number within their run and stay in the spool until the hub has
 * stored them. They are sent in order, with a few batches in flight; after a break, sending resumes at the hub's
 * position. Nothing is ever dropped: when the spool is full, `room` makes training wait. The link reconnects for as
 * long as the process lives; an error that it cannot repair shows as `failure`.
 */
export class HubLink {
  readonly #socket: Socket<HubToTrainer, TrainerToHub>;
  readonly #options: Required<HubLinkOptions>;
  /** Unacknowledged events, ascending; the first has number #acknowledged + 1. */
  #spool: Spooled[] = [];
  #spooledValues = 0;
  #acknowledged = 0;
  #numbered = 0;
  /** Series numbers of the run, by name. */
  #numbers = new Map<string, number>();
  #nextNumber = 0;
  #baseline: WireMetrics = {};
  #run:
    { runId: RunId; run: RunDescription; parent: RunParent | null; newSegment: boolean; secret?: string } | undefined;
  #attached = false;
  /** The number of the spool's first events that were sent on this connection. */
  #sent = 0;
  #inFlight = 0;
  /** Counts rewinds: an answer to a message sent before the last rewind is obsolete. */
  #round = 0;
  /** The hub asked to wait before the next batch. */
  #holding = false;
  #failure: HubLinkError | undefined;
  /** No hub answers, and `onAway` was called. */
  #isAway = false;
  readonly #listening: NodeJS.Timeout;
  #changed: (() => void)[] = [];
  #onCommand: (command: Command) => void = () => undefined;

  constructor(hubUrl: string, token: string, options: HubLinkOptions = {}) {
    this.#options = { ...defaults, ...options };
    this.#socket = io(`${hubUrl}/trainer`, {
      auth: { token, protocol: protocolVersion },
      // With the token in its first request, a trainer gets a reserved place, however many others connect.
      extraHeaders: { authorization: `Bearer ${token}` },
      reconnectionDelay: 200,
      reconnectionDelayMax: 1000,
      transports: ['websocket'],
    });
    this.#socket.on('connect', () => {
      if (this.#isAway) this.#options.onBack();
      this.#isAway = false;
      void this.#attach();
    });
    this.#socket.on('disconnect', (reason) => {
      this.#attached = false;
      if (reason === 'io server disconnect')
        this.#fail('The hub closed the connection: another trainer resumed this run, or a person ended it.');
    });
    this.#socket.on('connect_error', (error) => {
      // An active socket reconnects by itself; one that the hub's middleware refused does not.
      if (!this.#socket.active) return this.#fail(`The hub refused the connection: ${error.message}`);
      this.#away(causeOf(error));
    });
    this.#socket.on('command', (command, ack) => {
      this.#onCommand(command);
      ack({ ok: true });
    });
    const { silenceMs } = this.#options;
    const listen = silenceOf(this.#socket, silenceMs, () => this.#away(`nothing heard for ${silenceMs / 1000} s`));
    this.#listening = setInterval(listen, lookMs).unref();
  }

  /** The reason why the link is lost for good, or undefined. */
  get failure(): HubLinkError | undefined {
    return this.#failure;
  }
  /** The unacknowledged events, in wire form. */
  get unacknowledged(): readonly WireEvent[] {
    return this.#spool.map(({ event }) => event);
  }

  /**
   * Registers the handler of commands for the current run, in arrival order. The hub repeats commands whose outcome it
   * has not seen.
   */
  onCommand(handler: (command: Command) => void): void {
    this.#onCommand = handler;
  }

  /**
   * Attaches to a run; later events belong to it. Resolves when the hub knows the run. The events of an earlier run
   * must be flushed first.
   * @param secret the proof that the run belongs to this trainer; see Attach
   * @param newSegment the run has ended and continues: `segment_started` is its next event
   * @throws HubLinkError
   */
  async attach(
    runId: RunId,
    run: RunDescription,
    parent: RunParent | null,
    secret?: string,
    newSegment = false,
  ): Promise<void> {
    if (this.#spool.length > 0) throw new Error('Events of the previous run are still unacknowledged.');
    this.#run = { runId, run, parent, newSegment, ...(secret !== undefined && { secret }) };
    this.#numbered = this.#acknowledged = this.#sent = this.#nextNumber = 0;
    this.#numbers = new Map();
    this.#baseline = {};
    this.#attached = false;
    if (this.#socket.connected) void this.#attach();
    await this.#until(() => this.#attached);
  }

  /**
   * Numbers an event and queues it, after a declaration of its undeclared series if there are any. Truncates a reason
   * that is longer than events may carry.
   */
  emit(event: UnnumberedEvent): void {
    if ('baseline' in event) this.#baseline = event.baseline;
    if ('series' in event)
      for (const { number, name } of event.series ?? []) {
        this.#numbers.set(name, number);
        this.#nextNumber = Math.max(this.#nextNumber, number + 1);
      }
    if ('metrics' in event) {
      const { metrics, ...rest } = event;
      this.#declare(Object.keys(metrics), event);
      const series = Object.keys(metrics).map((name) => this.#numbers.get(name)!);
      this.#queue({ ...rest, series, values: Object.values(metrics) });
    } else if ('reason' in event) this.#queue({ ...event, reason: event.reason.slice(0, maxReasonLength) });
    else this.#queue(event);
    this.#pump();
  }

  #declare(names: readonly string[], { step, wallTimeMs }: Pick<TrainerEvent, 'step' | 'wallTimeMs'>): void {
    const fresh = names.filter((name) => !this.#numbers.has(name));
    for (const name of fresh) this.#numbers.set(name, this.#nextNumber++);
    if (fresh.length === 0) return;
    const series = fresh.map((name) => ({
      number: this.#numbers.get(name)!,
      ...builtInDeclaration(name, this.#baseline),
    }));
    this.#queue({ type: 'series_declared', step, wallTimeMs, series });
  }

  #queue(unnumbered: Unnumbered<WireEvent>): void {
    const event = { ...unnumbered, seq: ++this.#numbered } as WireEvent;
    const values = valuesIn(event);
    this.#spool.push({ event, values });
    this.#spooledValues += values;
  }

  /** Waits until the spool has room. @throws HubLinkError when the link is lost */
  async room(): Promise<void> {
    // Nobody would see training on a lost link.
    if (this.#failure) throw this.#failure;
    await this.#until(() => this.#spooledValues <= this.#options.maxSpooledValues);
  }

  /** Waits until the hub has stored everything. @returns false if it has not within `limitMs` */
  async flush(limitMs = Infinity): Promise<boolean> {
    let late = false;
    const end = (): void => {
      late = true;
      this.#tell();
    };
    const timer = Number.isFinite(limitMs) ? setTimeout(end, limitMs) : undefined;
    await this.#until(() => this.#spool.length === 0 || late).finally(() => clearTimeout(timer));
    return this.#spool.length === 0;
  }

  /** Ends all waiting: the link counts as lost, for the given reason. */
  giveUp(reason: string): void {
    this.#fail(reason);
  }

  close(): void {
    clearInterval(this.#listening);
    this.#socket.disconnect();
  }

  #away(cause: string): void {
    if (!this.#isAway) this.#options.onAway(cause);
    this.#isAway = true;
  }

  async #attach(): Promise<void> {
    const run = this.#run;
    if (!run || !this.#socket.connected) return;
    const acknowledgedSeq = this.#acknowledged;
    const answer = await this.#ask((socket) => socket.emitWithAck('attach', { ...run, acknowledgedSeq }));
    // A disconnect or a newer run makes this answer void; whoever caused it attaches again.
    if (run !== this.#run || !this.#socket.connected) return;
    if (!answer) setTimeout(() => void this.#attach(), this.#options.retryMs);
    else if (answer.ok) {
      // Compared with the position at the request: more may have been acknowledged while the answer was on its way.
      if (answer.lastSeq < acknowledgedSeq)
        return this.#fail(
          `The hub has events up to ${answer.lastSeq}, but had acknowledged ${acknowledgedSeq}: its store was rolled back. ` +
            'Restore the store, or branch from the last checkpoint.',
        );
      this.#acknowledge(answer.lastSeq);
      if (this.#numbers.size === 0) this.#nextNumber = answer.nextSeries;
      this.#round++;
      this.#sent = 0;
      this.#attached = true;
      this.#tell();
      this.#pump();
    } else if (canRetry(answer.error)) {
      setTimeout(() => void this.#attach(), this.#options.retryMs);
    } else this.#fail(`The hub refused the run: ${answer.error.message}`);
  }

  /** Sends unsent events as far as the window allows. */
  #pump(): void {
    while (
      this.#attached &&
      !this.#holding &&
      this.#inFlight < this.#options.window &&
      this.#sent < this.#spool.length
    ) {
      const batch = this.#batch();
      this.#sent += batch.length;
      void this.#send(batch);
    }
  }

  async #send(events: WireEvent[]): Promise<void> {
    const round = this.#round;
    const run = this.#run;
    this.#inFlight++;
    const answer = await this.#ask((socket) => socket.emitWithAck('events', { events }));
    this.#inFlight--;
    // The answer belongs to a run that was left for a branch; its numbers mean nothing in the current run.
    if (run !== this.#run) return this.#pump();
    if (answer?.ok) {
      for (const { seq, series, problem } of answer.problems ?? [])
        console.error(`The hub left ${series ?? 'a part'} of event ${seq} out: ${problem}`);
      this.#acknowledge(answer.lastSeq);
    }
    // Events sent before a disconnect or a rewind are sent again anyway; their refusal is ignored.
    else if (round === this.#round) await this.#recover(answer?.error);
    this.#pump();
  }

  /** Rewinds to the last acknowledged event, after a pause if the hub asked for one or did not answer. */
  async #recover(error: WireError | undefined): Promise<void> {
    this.#round++;
    if (error && mustAttach(error)) {
      // The hub's position differs from ours: attaching again returns it.
      this.#attached = false;
      await this.#wait();
      return this.#attach();
    }
    if (error && !canRetry(error)) return this.#fail(`The hub refused events: ${error.message}`);
    this.#holding = true;
    await this.#wait();
    this.#holding = false;
    this.#sent = 0;
  }

  /** The next events to send, within the limit of one message. */
  #batch(): WireEvent[] {
    let values = 0;
    let end = this.#sent;
    while (end < this.#spool.length && end - this.#sent < maxEventsPerBatch) {
      values += this.#spool[end]!.values;
      if (end > this.#sent && values > this.#options.maxBatchValues) break;
      end++;
    }
    return this.#spool.slice(this.#sent, end).map(({ event }) => event);
  }

  #acknowledge(lastSeq: number): void {
    const done = Math.min(this.#spool.length, Math.max(0, lastSeq - this.#acknowledged));
    for (const { values } of this.#spool.splice(0, done)) this.#spooledValues -= values;
    this.#sent = Math.max(0, this.#sent - done);
    this.#acknowledged = Math.max(this.#acknowledged, lastSeq);
    // A process that resumes a run continues the hub's numbering.
    this.#numbered = Math.max(this.#numbered, lastSeq);
    this.#tell();
  }

  /** The answer, or undefined when the connection broke or stayed silent. */
  async #ask<T>(
    send: (socket: { emitWithAck: Socket<HubToTrainer, TrainerToHub>['emitWithAck'] }) => Promise<T>,
  ): Promise<T | undefined> {
    try {
      return await send(this.#socket.timeout(this.#options.answerMs) as never);
    } catch {
      // The only rejection is "no answer": the events are still in the spool and are sent again.
      return undefined;
    }
  }

  #wait(): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, this.#options.retryMs));
  }

  #fail(message: string): void {
    this.#failure ??= new HubLinkError(message);
    this.#attached = false;
    clearInterval(this.#listening);
    this.#socket.disconnect();
    this.#tell();
  }

  #tell(): void {
    const waiting = this.#changed;
    this.#changed = [];
    for (const wake of waiting) wake();
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.#failure) throw this.#failure;
      await new Promise<void>((resolve) => this.#changed.push(resolve));
    }
  }
}

/** The cause of a failed connection; Socket.IO wraps the system's error in its own. */
function causeOf(error: Error): string {
  const { description } = error as { description?: { message?: string; error?: { message?: string } } };
  return description?.error?.message || description?.message || error.message;
}

/** Whether a retry may help, as the hub says; older hubs do not say it. */
const canRetry = ({ code, retry }: WireError): boolean =>
  retry ?? ['store_failed', 'rate_limited', 'draining', 'internal'].includes(code);

/** Refusals after which only a new attach helps: another hub may own the run by now. */
const mustAttach = ({ code, retry }: WireError): boolean =>
  code === 'gap' || code === 'not_found' || (code === 'conflict' && retry === true);
