import type { Socket } from 'node:net';
import type { RequestHandler } from 'express';

/**
 * How long a reader may take nothing to speak of while something waits for it. Not shorter: a receiver that is slow with
 * megabytes in its kernel's buffer makes room for more in bursts, seconds apart.
 */
export const stalledMs = 20_000;
/** What it has to take in that time. */
const leastBytes = 64 * 1024;

/**
 * Cuts off readers that do not read: what waits for them and what they hold (a run, a place in the queue) is let go.
 * A reader is cut off between one and two times `intervalMs` after it stopped.
 */
export function cutOffStalledReaders(intervalMs = stalledMs): RequestHandler {
  return (request, response, next) => {
    let handedOver = 0;
    let taken = 0;
    const look = (): void => {
      const { socket } = response;
      // Behind another answer on the same connection.
      if (!socket) return;
      const takenNow = bytesTaken(socket);
      // Something has waited since the last look, and little of what waits was taken.
      if (handedOver > takenNow && takenNow - taken < leastBytes) socket.destroy();
      handedOver = socket.bytesWritten;
      taken = takenNow;
    };
    const timer = setInterval(look, intervalMs).unref();
    const stop = (): void => {
      clearInterval(timer);
      request.socket.off('close', stop);
    };
    response.once('close', stop);
    // An answer that waits behind another on its connection is told of no end.
    request.socket.once('close', stop);
    next();
  };
}

/**
 * Bytes that the kernel has taken for a connection. Node says of a write only that all of it was taken; how far a large
 * one has come its handle knows, which Node's own timeouts look at too.
 */
function bytesTaken(socket: Socket): number {
  const { _handle: handle } = socket as { _handle?: { bytesWritten: number; writeQueueSize: number } | null };
  return handle ? handle.bytesWritten - handle.writeQueueSize : socket.bytesWritten - socket.writableLength;
}
