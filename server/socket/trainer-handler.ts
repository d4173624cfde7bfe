import type { Command } from '@plumbline/shared/command';
import { cleaned } from '@plumbline/shared/plain-text';
import { hasEnded, type RunId } from '@plumbline/shared/run';
import { Attach, protocolVersion, TrainerAuth } from '@plumbline/shared/socket';
import { isMetricEvent, maxEventsPerBatch, TrainerEvent } from '@plumbline/shared/trainer-event';
import { z, ZodError } from 'zod';
import { sameSecret } from '../access/trainer-token.js';
import { Refusal, toWireError } from '../run/refusal.js';
import type { RunRegistry } from '../run/registry.js';
import type { TrainerLink } from '../run/liveness.js';
import { SequenceGapError } from '../store/event-store.js';
import { Turn } from '../turn.js';
import type { FrontDoor } from './front-door.js';
import { answer, connectError, type TrainerNamespace, type TrainerSocket } from './socket-server.js';
import { packetLength } from './tolerant-parser.js';
import { Unanswered } from './unanswered.js';

/** How long a trainer has to say that it has queued a command; one step of a slow backend blocks it for seconds. */
const confirmMs = 50_000;

/** Namespace `/trainer`: who shows the token may attach a run and send its events. */
export function serveTrainers(
  namespace: TrainerNamespace,
  runs: RunRegistry,
  token: string,
  door: FrontDoor,
  onError: (error: unknown) => void,
): void {
  namespace.use((socket, next) => {
    const refusal = refusedTrainer(socket.handshake.auth, token);
    if (refusal) {
      door.emit('refused', refusal.message, door.callerOf(socket.conn).address);
      return next(connectError(refusal));
    }
    const full = door.admit(socket.conn, 'trainer');
    next(full === null ? undefined : connectError(new Refusal('rate_limited', full)));
  });
  namespace.on('connection', (socket) => serveTrainer(socket, runs, onError));
}

function serveTrainer(socket: TrainerSocket, runs: RunRegistry, onError: (error: unknown) => void): void {
  let attached: RunId | null = null;
  const link: TrainerLink = {
    send: async (command: Command) => {
      await socket.timeout(confirmMs).emitWithAck('command', command);
    },
    close: () => socket.disconnect(true),
  };

  const unanswered = new Unanswered();
  /** Does what a message asks, which is refused when too much is unanswered. */
  async function bounded<T>(message: unknown, work: () => Promise<T>): Promise<T> {
    const answered = unanswered.take(packetLength(message));
    try {
      return await work();
    } finally {
      answered();
    }
  }

  // A connection holds one run: one attach is done with before the next begins.
  let attaching: Promise<unknown> = Promise.resolve();
  socket.on('attach', (message, ack) =>
    answer(ack, onError, () =>
      bounded(message, () => {
        const next = attaching.then(() => attach(message));
        attaching = next.catch(() => undefined);
        return next;
      }),
    ),
  );

  async function attach(message: unknown): Promise<{ lastSeq: number }> {
    const given = Attach.parse(message);
    // Nobody is there to be answered, or to be sent commands.
    if (!socket.connected) throw new Refusal('internal', 'The connection is gone.');
    if (attached !== null && attached !== given.runId) {
      // None where it was deleted.
      const current = runs.find(attached);
      if (current && !hasEnded(current.state))
        throw new Refusal('conflict', `This connection holds the run ${attached}, which has not ended.`);
      runs.detach(attached, link);
      attached = null;
    }
    const lastSeq = await runs.attach(given, link);
    attached = given.runId;
    // The connection may have gone while the run was read.
    if (!socket.connected) runs.detach(attached, link);
    return { lastSeq };
  }

  socket.on('events', (message, ack) => {
    if (typeof ack !== 'function') return;
    bounded(message, () => append(message))
      .then((lastSeq) => ack({ ok: true, lastSeq }))
      .catch((error: unknown) => {
        const wireError = toWireError(error);
        runs.emit('refused', attached, wireError);
        if (wireError.code === 'internal' || wireError.code === 'store_failed') onError(error);
        ack({ ok: false, error: wireError, ...(error instanceof SequenceGapError && { lastSeq: error.lastSeq }) });
      });
  });

  // Batches are read in the order they came in.
  let reading: Promise<unknown> = Promise.resolve();
  async function append(message: unknown): Promise<number> {
    const runId = attached;
    if (runId === null) throw new Refusal('not_found', 'Attach a run before sending its events.');
    if (countEvents(message) > maxEventsPerBatch)
      throw new Refusal('too_large', `A batch holds at most ${maxEventsPerBatch} events; send it in parts.`);
    const read = reading.then(() => eventsOf(message));
    reading = read.catch(() => undefined);
    return runs.append(runId, await read);
  }

  socket.on('disconnect', () => {
    if (attached !== null) runs.detach(attached, link);
  });
}

/** Characters of JSON that take some milliseconds to read. */
const longPacket = 500_000;
const EventsUnread = z.object({ events: z.array(z.unknown()).min(1) });

/**
 * The events of a batch, their texts cleaned: a trainer must not lose what it has to say for an odd character. One that
 * is broken ends the reading, as the faults of all of them would take seconds to collect.
 */
async function eventsOf(message: unknown): Promise<TrainerEvent[]> {
  const { events } = EventsUnread.parse(message);
  const turn = new Turn();
  // Its JSON has just been read in this turn.
  if (packetLength(message) > longPacket) await turn.next();
  const read: TrainerEvent[] = [];
  for (const [index, event] of events.entries()) {
    const parsed = TrainerEvent.safeParse(event);
    if (!parsed.success) {
      const [first] = parsed.error.issues;
      throw new ZodError([{ ...first!, path: ['events', index, ...first!.path] }]);
    }
    read.push(isMetricEvent(parsed.data) ? parsed.data : cleaned(parsed.data));
    if (turn.isOver) await turn.next();
  }
  return read;
}

function countEvents(message: unknown): number {
  if (typeof message !== 'object' || message === null || !('events' in message)) return 0;
  return Array.isArray(message.events) ? message.events.length : 0;
}

/** Why a trainer that shows this may not connect; `null` when it may. */
function refusedTrainer(shown: unknown, token: string): Refusal | null {
  const auth = TrainerAuth.safeParse(shown);
  if (!auth.success || !sameSecret(auth.data.token, token))
    return new Refusal('unauthorized', "The trainer token is wrong; it is in the hub's data folder, trainer-token.");
  if (auth.data.protocol === protocolVersion) return null;
  return new Refusal(
    'unsupported',
    `This hub speaks trainer protocol ${protocolVersion}, not ${auth.data.protocol}: update the older of the two.`,
  );
}
