import type { Command } from '@plumbline/shared/command';
import { hasEnded, type RunId } from '@plumbline/shared/run';
import { Attach, protocolVersion, TrainerAuth, type ErrorCode } from '@plumbline/shared/socket';
import { EventBatch, maxEventsPerBatch } from '@plumbline/shared/trainer-event';
import { sameSecret } from '../access/trainer-token.js';
import { Refusal, toWireError } from '../run/refusal.js';
import type { RunService } from '../run/run-service.js';
import type { TrainerLink } from '../run/trainer-links.js';
import { SequenceGapError } from '../store/event-store.js';
import { answer, type TrainerNamespace, type TrainerSocket } from './socket-server.js';

/** How long a trainer has to say that it has queued a command; one step of a slow backend blocks it for seconds. */
const confirmMs = 50_000;

/** Namespace `/trainer`: who shows the token may attach a run and send its events. */
export function serveTrainers(
  namespace: TrainerNamespace,
  runs: RunService,
  token: string,
  onError: (error: unknown) => void,
): void {
  namespace.use((socket, next) => {
    const auth = TrainerAuth.safeParse(socket.handshake.auth);
    if (!auth.success || !sameSecret(auth.data.token, token))
      return next(
        refused('unauthorized', "The trainer token is wrong; it is in the hub's data folder, trainer-token."),
      );
    if (auth.data.protocol !== protocolVersion)
      return next(
        refused(
          'unsupported',
          `This hub speaks trainer protocol ${protocolVersion}, not ${auth.data.protocol}: update the older of the two.`,
        ),
      );
    next();
  });
  namespace.on('connection', (socket) => serveTrainer(socket, runs, onError));
}

function serveTrainer(socket: TrainerSocket, runs: RunService, onError: (error: unknown) => void): void {
  let attached: RunId | null = null;
  const link: TrainerLink = {
    send: async (command: Command) => {
      await socket.timeout(confirmMs).emitWithAck('command', command);
    },
    close: () => socket.disconnect(true),
  };

  socket.on('attach', (message, ack) =>
    answer(ack, onError, async () => {
      const attach = Attach.parse(message);
      if (attached !== null && attached !== attach.runId) {
        // None where it was deleted.
        const current = runs.known.find((run) => run.runId === attached);
        if (current && !hasEnded(current.state))
          throw new Refusal('conflict', `This connection holds the run ${attached}, which has not ended.`);
        runs.detach(attached, link);
      }
      const lastSeq = await runs.attach(attach, link);
      attached = attach.runId;
      // The connection may have gone while the run was read.
      if (!socket.connected) runs.detach(attached, link);
      return { lastSeq };
    }),
  );

  socket.on('events', (message, ack) => {
    if (typeof ack !== 'function') return;
    append(message)
      .then((lastSeq) => ack({ ok: true, lastSeq }))
      .catch((error: unknown) => {
        const wireError = toWireError(error);
        runs.emit('refused', attached, wireError);
        if (wireError.code === 'internal' || wireError.code === 'store_failed') onError(error);
        ack({ ok: false, error: wireError, ...(error instanceof SequenceGapError && { lastSeq: error.lastSeq }) });
      });
  });

  async function append(message: unknown): Promise<number> {
    if (attached === null) throw new Refusal('not_found', 'Attach a run before sending its events.');
    if (countEvents(message) > maxEventsPerBatch)
      throw new Refusal('too_large', `A batch holds at most ${maxEventsPerBatch} events; send it in parts.`);
    return runs.append(attached, EventBatch.parse(message).events);
  }

  socket.on('disconnect', () => {
    if (attached !== null) runs.detach(attached, link);
  });
}

function countEvents(message: unknown): number {
  if (typeof message !== 'object' || message === null || !('events' in message)) return 0;
  return Array.isArray(message.events) ? message.events.length : 0;
}

/** A refusal of a connection: `connect_error` at the other end carries it as `data`. */
function refused(code: ErrorCode, message: string): Error {
  return Object.assign(new Error(message), { data: { code, message } });
}
