import type { Socket } from 'node:net';
import type { RequestHandler } from 'express';

/**
 * How long a reader may read almost nothing while data waits for it. Not shorter: a slow receiver with megabytes in its
 * kernel's buffer makes room in bursts, seconds apart.
 */
export const stalledMs = 20_000;
/** Bytes that it has to read in that time. */
const leastBytes = 64 * 1024;

/**
 * Disconnects readers that do not read, which releases the data that waits for them and what they hold (a run, a place in
 * the queue). It happens between one and two times `intervalMs` after a reader stopped.
 */
export function cutOffStalledReaders(intervalMs = stalledMs): RequestHandler {
  return (request, response, next) => {
    let handedOver = 0;
    let taken = 0;
    const look = (): void => {
      const { socket } = response;
      // Waits behind another answer on the same connection.
      if (!socket) return;
      const takenNow = bytesTaken(socket);
      // Data has waited since the last check, and little of it was read.
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
    // An answer behind another one on its connection gets no close event of its own.
    request.socket.once('close', stop);
    next();
  };
}

/**
 * Bytes that the kernel has accepted for a connection. Node reports only completed writes; the handle knows the progress of
 * a large one, and Node's own timeouts use it too.
 */
function bytesTaken(socket: Socket): number {
  const { _handle: handle } = socket as { _handle?: { bytesWritten: number; writeQueueSize: number } | null };
  return handle ? handle.bytesWritten - handle.writeQueueSize : socket.bytesWritten - socket.writableLength;
}
