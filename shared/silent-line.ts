/** The part of a Socket.IO client's socket that is needed here. */
interface Line {
  /** Whether it is connected, or connects by itself. */
  readonly active: boolean;
  readonly io: {
    on(event: 'open' | 'reconnect_attempt', listener: () => void): unknown;
    readonly engine: { on(event: 'packet', listener: () => void): unknown };
  };
  disconnect(): unknown;
  connect(): unknown;
}

/** How often to look for silence. */
export const lookMs = 250;

/**
 * Leaves a line on which the hub is silent: Socket.IO would wait 20 s for a new connection and two minutes for the next
 * ping. The hub pings every second. A line counts from the first attempt to connect: its other end may vanish before the
 * connection is made, before the namespace is joined, or later.
 * Only time in which this program could have read counts, as a step of training may block it for longer than any silence.
 * @param onSilent called between leaving the line and connecting again
 * @returns call this every `lookMs`
 */
export function silenceOf(socket: Line, silenceMs: number, onSilent: () => void): () => void {
  let silentMs = 0;
  const heard = (): void => void (silentMs = 0);
  socket.io.on('reconnect_attempt', heard);
  socket.io.on('open', () => {
    heard();
    const { engine } = socket.io;
    // A connection that was left stays open until what it still had to send is sent.
    engine.on('packet', () => {
      if (engine === socket.io.engine) heard();
    });
  });
  return () => {
    silentMs = socket.active ? silentMs + lookMs : 0;
    if (silentMs <= silenceMs) return;
    heard();
    socket.disconnect();
    onSilent();
    socket.connect();
  };
}
