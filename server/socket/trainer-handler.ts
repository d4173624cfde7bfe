import { isDeepStrictEqual } from 'node:util';
import type { Command } from '@plumbline/shared/command';
import { cleaned } from '@plumbline/shared/plain-text';
import { hasEnded, type RunId, type RunSummary } from '@plumbline/shared/run';
import { Attach, protocolVersion, TrainerAuth } from '@plumbline/shared/socket';
import { sameSecret } from '../access/trainer-token.js';
import type { Appended } from '../run/event-intake.js';
import { Refusal, toWireError } from '../run/refusal.js';
import { readEvents } from '../run/read-events.js';
import type { RunRegistry } from '../run/registry.js';
import type { TrainerLink } from '../run/liveness.js';
import { SequenceGapError } from '../store/event-store.js';
import type { FrontDoor } from './front-door.js';

import { answer, connectError, type TrainerNamespace, type TrainerSocket } from './socket-server.js';

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

  // A connection holds one run: one attach is done with before the next begins.
  let attaching: Promise<unknown> = Promise.resolve();
  socket.on('attach', (message, ack) =>
    answer(ack, onError, () => {
      const next = attaching.then(() => attach(message));
      attaching = next.catch(() => undefined);
      return next;
    }),
  );

  async function attach(message: unknown): Promise<{ lastSeq: number; nextSeries: number }> {
    const parsed = Attach.parse(message);
    const given = cleanedAttach(parsed, runs.find(parsed.runId));
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

  socket.on('events', (message, ack) => {
    if (typeof ack !== 'function') return;
    append(message)
      .then((appended) => ack({ ok: true, ...appended }))
      .catch((error: unknown) => {
        const wireError = toWireError(error);
        runs.refused(attached, wireError);
        if (wireError.code === 'internal' || wireError.code === 'store_failed') onError(error);
        ack({ ok: false, error: wireError, ...(error instanceof SequenceGapError && { lastSeq: error.lastSeq }) });
      });
  });

  async function append(message: unknown): Promise<Appended> {
    if (attached === null) throw new Refusal('not_found', 'Attach a run before sending its events.');
    const { events, problems } = readEvents(message);
    return runs.append(attached, events, problems);
  }

  socket.on('disconnect', () => {
    if (attached !== null) runs.detach(attached, link);
  });
}

/** With a name that is plain text, if the run is new; one that was stored before keeps what it has. */
function cleanedAttach(attach: Attach, stored: Pick<RunSummary, 'config'> | null): Attach {
  return stored && isDeepStrictEqual(stored.config, attach.config)
    ? attach
    : { ...attach, config: cleaned(attach.config) };
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
