import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(import.meta.url.replace(/test\/(dist\/)?attack\/[^/]+$/, ''));
/** A command that takes longer counts as hanging. */
const limitMs = 120_000;

/** The end of a command; its code is `null` if it hung and was killed. */
export interface CommandEnd {
  code: number | null;
  output: string;
}

/** Runs `plumbline …` like a person. */
export function plumbline(...args: string[]): Promise<CommandEnd> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['server/dist/cli.js', ...args], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), limitMs);
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => {
        if (output.length < 1_000_000) output += chunk.toString();
      });
    child.once('close', (code) => {
      clearTimeout(timer);
      resolve({ code, output });
    });
  });
}

/** Characters that a terminal would obey. */
export const obeyed = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/;

/** Checks a command's refusal: it must end with code 1 and a message for people, without a stack. Returns the fault. */
export function badRefusal({ code, output }: CommandEnd): string | null {
  if (code === null) return 'it hung, or was killed';
  if (code === 0) return 'it was taken';
  if (output.trim() === '') return `it ended with code ${code} and no message`;
  if (/\n {4}at |Invalid string length|Cannot read properties|is not a function|\[object /.test(output))
    return `it ended with ${JSON.stringify(output.slice(0, 160))}`;
  return null;
}
