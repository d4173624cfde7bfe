import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Runs one of the trainer's programs (`setup`, `doctor`, `merge`) with its words going to the terminal. The hub imports no
 * trainer code: a broken native backend must not be able to take it down.
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
    stdio: [input === undefined ? 'inherit' : 'pipe', 'inherit', 'inherit'],
  });
  child.stdin?.end(input);
  // It ends in its own time, saved; whoever started it waits for that.
  const pass = (signal: NodeJS.Signals): void => void child.kill(signal);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, pass);
  return await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => resolve(code ?? 1));
  }).finally(() => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, pass);
  });
}
