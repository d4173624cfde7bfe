import { readFileSync } from 'node:fs';

/*
 * Preloaded into a program (`node --import`), its wall clock can be stepped while it runs: the file named in
 * STEPPING_CLOCK holds the milliseconds by which it is wrong. Timers and `performance.now` go on undisturbed, as they
 * do when somebody sets a machine's clock.
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
