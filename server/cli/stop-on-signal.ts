import { sayError } from '../terminal.js';

export interface SignalOptions {
  /** The message printed at once. */
  words: string;
  close: () => Promise<void>;
  say: (line: string) => void;
  /** The work is unfinished: the process exits with 128 plus the signal's number, as a shell expects. */
  isUnfinished?: boolean;
}

/**
 * Closes the hub of this process when a person or a service manager stops it; its trainers save and stop. A second signal
 * exits at once; trainers then continue by themselves, as after a crash.
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
