import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

/** The repository's folder, from the sources or their build. */
const root = fileURLToPath(import.meta.url.replace(/test\/(dist\/)?support\/[^/]+$/, ''));

export interface Said {
  code: number | null;
  output: string;
  errors: string;
}

/** The `plumbline` program in its own process. */
export class Plumbline {
  output = '';
  errors = '';
  readonly child: ChildProcessByStdio<null, Readable, Readable>;
  readonly ended: Promise<Said>;

  constructor(...args: string[]) {
    this.child = spawn(process.execPath, ['server/dist/cli.js', ...args], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    this.child.stderr.on('data', (chunk: Buffer) => (this.errors += chunk.toString()));
    this.ended = once(this.child, 'close').then(([code]: (number | null)[]) => ({
      ...{ code: code ?? null, output: this.output, errors: this.errors },
    }));
  }

  get lines(): string[] {
    return this.output.split('\n').slice(0, -1);
  }
}

/** Runs it to its end. */
export const plumbline = (...args: string[]): Promise<Said> => new Plumbline(...args).ended;

/** The replay trainer in its own process; `stepMs` is the duration of a step. */
export function startReplay(
  hub: { url: string },
  token: string,
  { name = 'Replay', steps = 100_000, stepMs = 40 } = {},
) {
  const given = { url: hub.url, token, name, steps, stepMs };
  return spawn(
    process.execPath,
    [
      'test/dist/support/replay-trainer.js',
      ...Object.entries(given).flatMap(([flag, value]) => [`--${flag}`, String(value)]),
    ],
    { cwd: root, stdio: 'ignore' },
  );
}
