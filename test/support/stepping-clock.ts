import { readFileSync } from 'node:fs';

/*
 * A preload (`node --import`) that steps a program's wall clock while it runs: the file named in STEPPING_CLOCK
 * contains the offset in milliseconds. Timers and `performance.now` are unaffected, as when somebody sets a machine's
 * clock.
 */
const path = process.env['STEPPING_CLOCK'];
if (path) {
  const RealDate = Date;
  let offsetMs = 0;
  const read = (): void => {
    try {
      offsetMs = Number(readFileSync(path, 'utf8')) || 0;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  };
  read();
  setInterval(read, 50).unref();
  class SteppingDate extends RealDate {
    constructor(...given: unknown[]) {
      if (given.length === 0) super(RealDate.now() + offsetMs);
      else super(...(given as [number]));
    }
    static override now(): number {
      return RealDate.now() + offsetMs;
    }
  }
  globalThis.Date = SteppingDate as DateConstructor;
}
