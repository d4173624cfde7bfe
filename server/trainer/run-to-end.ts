import { spawn } from 'node:child_process';

/** A program could not be started, or failed. The message has the end of its error output. */
export class ProgramError extends Error {
  override name = 'ProgramError';
}

/**
 * Runs a program to its end.
 * @param options.signal ends it
 * @returns its standard output
 * @throws ProgramError, or the signal's reason
 */
export function runToEnd(
  command: string,
  args: readonly string[],
  { cwd, env, signal }: { cwd?: string; env?: Readonly<Record<string, string>>; signal?: AbortSignal } = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(cwd && { cwd }),
      ...(env && { env: { ...process.env, ...env } }),
      ...(signal && { signal }),
    });
    let output = '';
    let errors = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (errors = (errors + chunk.toString()).slice(-4000)));
    child.on('error', (error) => {
      // What was aborted is reported once it has ended: its files can then be removed.
      if (!signal?.aborted) reject(new ProgramError(`${command} could not be started: ${error.message}`));
    });
    child.on('close', (code) => {
      if (signal?.aborted) reject(signal.reason);
      else if (code === 0) resolve(output);
      else reject(new ProgramError(`${command} ended with ${code}:\n${errors.trim()}`));
    });
  });
}

/** Downloads wheels into a folder with pip, by its user's settings, without what they depend on. */
export async function pipDownload(
  requirements: readonly string[],
  folder: string,
  options?: Parameters<typeof runToEnd>[2],
): Promise<void> {
  const flags = ['--quiet', '--disable-pip-version-check', '--no-deps', '--only-binary', ':all:', '--dest', folder];
  await runToEnd('python3', ['-m', 'pip', 'download', ...flags, ...requirements], options);
}
