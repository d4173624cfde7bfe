import type { Command } from '@plumbline/shared/command';
import { maxMessageBytes } from '@plumbline/shared/limits';
import { cleaned } from '@plumbline/shared/plain-text';
import { hasEnded, type RunId } from '@plumbline/shared/run';
import { Attach, protocolVersion, TrainerAuth, Busy, hubCapabilities } from '@plumbline/shared/socket';
import { z } from 'zod';
import { sameSecret } from '../access/trainer-token.js';
import type { Appended } from '../run/event-intake.js';
import { Refusal, toWireError } from '../run/refusal.js';
import { eachEvent, type ReadBatch } from '../run/read-events.js';
import type { RunRegistry } from '../run/registry.js';
import type { Attached } from '../run/run.js';
import type { TrainerLink } from '../run/liveness.js';
import { SequenceGapError } from '../store/event-store.js';
import { Turn } from '../turn.js';
import type { FrontDoor } from './front-door.js';
import { answer, connectError, type TrainerNamespace, type TrainerSocket } from './socket-server.js';
import { packetLength, tooLarge } from './tolerant-parser.js';
import { Unanswered } from './unanswered.js';

export interface TrainerParts {
  runs: RunRegistry;
  token: string;
  door: FrontDoor;
  /** How long a trainer has to say that it has queued a command: as long as a step may block it. */
  silenceMs: number;
  onError: (error: unknown) => void;
}

/** Namespace `/trainer`: who shows the token may attach a run and send its events. */
export function serveTrainers(namespace: TrainerNamespace, parts: TrainerParts): void {
  const { token, door } = parts;
  namespace.use((socket, next) => {
    const refusal = refusedTrainer(socket.handshake.auth, token);
    if (refusal) {
      door.emit('refused', refusal.message, door.callerOf(socket.conn).address);
      return next(connectError(refusal));
    }
    const full = door.admit(socket.conn, 'trainer');
    next(full === null ? undefined : connectError(new Refusal('rate_limited', full)));
  });
  namespace.on('connection', (socket) => serveTrainer(socket, parts));
}

function serveTrainer(socket: TrainerSocket, { runs, silenceMs, onError }: TrainerParts): void {
  let attached: RunId | null = null;
  const link: TrainerLink = {
    send: async (command: Command) => {
      await socket.timeout(silenceMs).emitWithAck('command', command);
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

  async function attach(message: unknown): Promise<Attached> {
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
    const answer = await runs.attach(given, link);
    attached = given.runId;
    // The connection may have gone while the run was read.
    if (!socket.connected) runs.detach(attached, link);
    return answer;
  }

  socket.on('busy', (message, ack) =>
    answer(ack ?? (() => undefined), onError, () =>
      bounded(message, async () => {
        const busy = Busy.parse(message);
        if (attached === null) throw new Refusal('not_found', 'Attach a run before saying what its trainer does.');
        await runs.busy(attached, link, cleaned(busy));
        return {};
      }),
    ),
  );

  socket.on(tooLarge, (ack) => {
    const refusal = new Refusal(
      'too_large',
      `A message holds at most ${maxMessageBytes / 2 ** 20} MiB: send the batch in parts.`,
    );
    runs.refused(attached, toWireError(refusal));
    ack?.({ ok: false, error: toWireError(refusal) });
  });

  socket.on('events', (message, ack) => {
    if (typeof ack !== 'function') return;
    bounded(message, () => append(message))
      .then((appended) => ack({ ok: true, ...appended }))
      .catch((error: unknown) => {
        const wireError = toWireError(error);
        runs.refused(attached, wireError);
        if (wireError.code === 'internal' || wireError.code === 'store_failed') onError(error);
        ack({ ok: false, error: wireError, ...(error instanceof SequenceGapError && { lastSeq: error.lastSeq }) });
      });
  });

  // Batches are read in the order they came in.
  let reading: Promise<unknown> = Promise.resolve();
  async function append(message: unknown): Promise<Appended> {
    const runId = attached;
    if (runId === null) throw new Refusal('not_found', 'Attach a run before sending its events.');
    const read = reading.then(() => inTurns(message));
    reading = read.catch(() => undefined);
    const { events, problems } = await read;
    return runs.append(runId, events, problems);
  }

  socket.on('disconnect', () => {
    if (attached !== null) runs.detach(attached, link);
  });
}

/** Characters of JSON that take some milliseconds to read. */
const longPacket = 500_000;

/** The events of a batch, read in turns of the event loop. */
async function inTurns(message: unknown): Promise<ReadBatch> {
  const turn = new Turn();
  // Its JSON has just been read in this turn.
  if (packetLength(message) > longPacket) await turn.next();
  const batch: ReadBatch = { events: [], problems: [] };
  for (const event of eachEvent(message, batch.problems)) {
    batch.events.push(event);
    if (turn.isOver) await turn.next();
  }
  return batch;
}

const Shown = z.object({ token: z.string() });

/** Why a trainer that shows this may not connect; `null` when it may. */
function refusedTrainer(shown: unknown, token: string): Refusal | null {
  const given = Shown.safeParse(shown);
  if (!given.success || !sameSecret(given.data.token, token))
    return new Refusal(
      'unauthorized',
      "The trainer token is wrong; it is the file trainer-token in the hub's data folder.",
    );
  const auth = TrainerAuth.safeParse(shown);
  if (!auth.success) {
    // What came before there were versions says none.
    const isUnsaid = typeof shown === 'object' && shown !== null && !('protocol' in shown);
    if (isUnsaid) return new Refusal('protocol_too_old', `${thisHub}, and this trainer says none: update the trainer.`);
    return toRefusal(auth.error);
  }
  const { protocol, capabilities } = auth.data;
  if (protocol < protocolVersion)
    return new Refusal('protocol_too_old', `${thisHub}, and this trainer ${protocol}: update the trainer.`);
  if (protocol > protocolVersion)
    return new Refusal('protocol_too_new', `${thisHub}, and this trainer ${protocol}: update the hub.`);
  const missing = capabilities.filter((one) => !(hubCapabilities as readonly string[]).includes(one));
  if (missing.length === 0) return null;
  return new Refusal(
    'capability_missing',
    `This hub does not have ${missing.join(', ')}, which this trainer needs: update the hub, or let the trainer do ` +
      `without. The hub has ${hubCapabilities.join(', ')}.`,
  );
}

const thisHub = `This hub speaks trainer protocol ${protocolVersion}`;
const toRefusal = (error: unknown): Refusal => {
  const { code, message } = toWireError(error);
  return new Refusal(code, message);
};
