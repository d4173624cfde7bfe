import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** What TensorFlow says of itself whenever it starts, whatever its log level: of no use to anybody. */
export const startUpNotice = /absl::InitializeLog|oneDNN custom operations/;

/**
 * Runs one of the trainer's programs (`setup`, `doctor`, `merge`) with its words going to the terminal, without
 * TensorFlow's start-up notice. The hub imports no trainer code: a broken native backend must not be able to take it down.
 * @param input what it reads from standard input, instead of the terminal
 * @returns its exit code, or `null` when there is no such program
 */
export async function runTrainerProgram(
  rootDir: string,
  name: string,
  args: string[] = [],
  input?: string,
): Promise<number | null> {
  const program = join(rootDir, 'server/dist/trainer', `${name}.js`);
  if (!existsSync(program)) return null;
  const child = spawn(process.execPath, [program, ...args], {
    cwd: rootDir,
    // What is given its input trains: it must outlive this process, which a pipe to it would not.
    stdio: input === undefined ? ['inherit', 'inherit', 'pipe'] : ['pipe', 'inherit', 'inherit'],
  });
  if (child.stderr)
    createInterface({ input: child.stderr }).on('line', (line) => {
      if (!startUpNotice.test(line)) process.stderr.write(`${line}\n`);
    });
  child.stdin?.end(input);
  // It ends in its own time, saved; whoever started it waits for that.
  const pass = (signal: NodeJS.Signals): void => void child.kill(signal);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, pass);
  return await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    // Once all that it said has been read.
    child.once('close', (code) => resolve(code ?? 1));
  }).finally(() => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, pass);
  });
}
