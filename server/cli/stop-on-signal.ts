import { sayError } from '../terminal.js';

export interface SignalOptions {
  /** What is said at once. */
  words: string;
  close: () => Promise<void>;
  say: (line: string) => void;
  /** The process had not yet done what it was started for: it exits with 128 and the signal's number, as a shell expects. */
  isUnfinished?: boolean;
}

/**
 * A person or a service manager ends a process with a hub in it: the hub is closed, which tells its own trainers to save
 * and stop. A second signal leaves at once; trainers then go on by themselves, as after a crash.
 */
export function stopOnSignal({ words, close, say, isUnfinished = false }: SignalOptions): void {
  let stopping = false;
  const stop = async (_signal: NodeJS.Signals, number: number): Promise<void> => {
    if (stopping) process.exit(128 + number);
    stopping = true;
    say(words);
    try {
      await close();
      process.exit(isUnfinished ? 128 + number : 0);
    } catch (error) {
      sayError(error);
      process.exit(1);
    }
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
}
