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
  /** How long a trainer may take to acknowledge a command: a step may block it for this long. */
  silenceMs: number;
  onError: (error: unknown) => void;
}

/** Namespace `/trainer`: a client with the token may attach a run and send its events. */
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
  /** Handles a message, or refuses it if too much is unanswered. */
  async function bounded<T>(message: unknown, work: () => Promise<T>): Promise<T> {
    const answered = unanswered.take(packetLength(message));
    try {
      return await work();
    } finally {
      answered();
    }
  }

  // A connection holds one run, so attaches are handled one at a time.
  let attaching: Promise<unknown> = Promise.resolve();
  socket.on('attach', (message, ack) =>
    answer(ack, onError, () =>
      bounded(message, () => {
        const next = attaching.then(() => attach(message));
        attaching = next.catch(() => undefined);
        return next;
      }).catch((error: unknown) => {
        runs.emit(
          'attachRefused',
          Attach.pick({ runId: true }).safeParse(message).data?.runId ?? null,
          toWireError(error),
        );
        throw error;
      }),
    ),
  );

  async function attach(message: unknown): Promise<Attached> {
    const given = Attach.parse(message);
    // Nobody is there to receive an answer or commands.
    if (!socket.connected) throw new Refusal('internal', 'The connection is gone.');
    if (attached !== null && attached !== given.runId) {
      // Null if it was deleted.
      const current = runs.find(attached);
      if (current && !hasEnded(current.state))
        throw new Refusal('conflict', `This connection holds the run ${attached}, which has not ended.`);
      runs.detach(attached, link);
      attached = null;
    }
    const answer = await runs.attach(given, link);
    attached = given.runId;
    // The connection may have closed during the read of the run.
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

  // Batches are read in order of arrival.
  let reading: Promise<unknown> = Promise.resolve();
  async function append(message: unknown): Promise<Appended> {
    const runId = attached;
    if (runId === null) throw new Refusal('not_found', 'Attach a run before sending its events.');
    const read = reading.then(() => inTurns(message));
    reading = read.catch(() => undefined);
    const { events, problems } = await read;
    return runs.append(runId, link, events, problems);
  }

  socket.on('disconnect', () => {
    if (attached !== null) runs.detach(attached, link);
  });
}

/** The characters of JSON that take a few milliseconds to parse. */
const longPacket = 500_000;

/** Parses the events of a batch, and yields to the event loop in between. */
async function inTurns(message: unknown): Promise<ReadBatch> {
  const turn = new Turn();
  // Its JSON has just been parsed in this turn.
  if (packetLength(message) > longPacket) await turn.next();
  const batch: ReadBatch = { events: [], problems: [] };
  for (const event of eachEvent(message, batch.problems)) {
    batch.events.push(event);
    if (turn.isOver) await turn.next();
  }
  return batch;
}

const Shown = z.object({ token: z.string() });

/** Why a trainer with this handshake may not connect; null if it may. */
function refusedTrainer(shown: unknown, token: string): Refusal | null {
  const given = Shown.safeParse(shown);
  if (!given.success || !sameSecret(given.data.token, token))
    return new Refusal(
      'unauthorized',
      "The trainer token is wrong; it is the file trainer-token in the hub's data folder.",
    );
  const auth = TrainerAuth.safeParse(shown);
  if (!auth.success) {
    // The first trainers sent no version.
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
