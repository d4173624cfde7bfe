import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** A process on one side of a benchmark: it answers each line with one line of JSON. */
export interface Contender<Answer> {
  name: string;
  device: string;
  ask(line: string): Promise<Answer>;
  end(): void;
}

/** Starts a side; undefined, with the reason on standard error, if it cannot run. */
export async function startContender<Answer>(
  name: string,
  command: string,
  args: string[],
): Promise<Contender<Answer> | undefined> {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => (errors = (errors + chunk.toString()).slice(-2000)));
  child.on('error', (error) => (errors += error.message));
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const answer = async <T>(): Promise<T | undefined> => {
    for (;;) {
      const { value, done } = await lines.next();
      if (done) return undefined;
      if (value.startsWith('{')) return JSON.parse(value) as T;
    }
  };
  const hello = await answer<{ device: string }>();
  if (!hello) {
    console.error(`${name} cannot run here: ${/^.*Error: .*(?:\n(?!\s*at ).+)*/m.exec(errors)?.[0] ?? errors}`);
    return undefined;
  }
  return {
    name,
    device: hello.device,
    async ask(line) {
      child.stdin.write(line + '\n');
      const answered = await answer<Answer>();
      if (!answered) throw new Error(`${name} ended:\n${errors}`);
      return answered;
    },
    end: () => child.kill(),
  };
}

export const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
