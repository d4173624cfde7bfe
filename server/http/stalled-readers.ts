import type { Socket } from 'node:net';
import type { RequestHandler, Response } from 'express';

/**
 * How long a reader may read almost nothing while data waits for it. Not shorter: a slow receiver with megabytes in its
 * kernel's buffer makes room in bursts, seconds apart.
 */
export const stalledMs = 20_000;
/** Bytes that it has to read in that time. */
const leastBytes = 64 * 1024;
/** Bytes that it has to read each second while others wait for its place, over half of that time. */
const leastBytesPerSecond = 64 * 1024;
/** How often a reader is looked at in that time. */
const looks = 4;

/** Bytes of a connection at one moment. */
interface Sample {
  /** Written by the hub. */
  written: number;
  /** Taken by the reader. */
  taken: number;
}

/** Says whether others wait for the place that an answer's reader has. */
export function haveOthersWait(response: Response, isAwaited: () => boolean): void {
  response.locals['isAwaited'] = isAwaited;
}

/**
 * Disconnects readers that do not read, which releases the data that waits for them and what they hold (a run, a place in
 * the queue). It happens between one and one and a quarter times `intervalMs` after a reader stopped. While others wait
 * for its place, a reader that has data waiting has to read faster: 64 kB a second.
 */
export function cutOffStalledReaders(intervalMs = stalledMs): RequestHandler {
  return (request, response, next) => {
    /** The newest last. */
    const samples: Sample[] = [];
    const look = (): void => {
      const { socket } = response;
      // Waits behind another answer on the same connection.
      if (!socket) return;
      const now: Sample = { written: socket.bytesWritten, taken: bytesTaken(socket) };
      const [first, half] = [samples.at(-looks), samples.at(-looks / 2)];
      // Data has waited all the time, and little of it was read.
      const isStalled = first && first.written > now.taken && now.taken - first.taken < leastBytes;
      const isSlow =
        half &&
        half.written > half.taken &&
        now.written > now.taken &&
        now.taken - half.taken < (leastBytesPerSecond * intervalMs) / 2000;
      const isAwaited = response.locals['isAwaited'] as (() => boolean) | undefined;
      if (isStalled || (isSlow && isAwaited?.())) socket.destroy();
      samples.push(now);
      if (samples.length > looks) samples.shift();
    };
    const timer = setInterval(look, intervalMs / looks).unref();
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
