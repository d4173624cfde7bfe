import { resolve } from 'node:path';
import type { Command } from 'commander';
import { rootDir } from '../config.js';
import { buildDashboard } from '../prepare/dashboard-build.js';
import { runTrainerProgram } from '../prepare/trainer-program.js';
import { sayError } from '../terminal.js';

/** `plumbline setup`, `build`, `doctor` and `merge`, which run programs of the trainer and the dashboard. */
export function addPrepareCommands(program: Command, say: (line: string) => void): void {
  program
    .command('setup')
    .description('set up the fastest training backend that this machine supports')
    .option('--gpu', 'set up the backend for NVIDIA GPUs even if this machine shows none')
    .action(({ gpu }: { gpu?: true }) => runBuilt('setup', gpu ? ['--gpu'] : []));
  program
    .command('build')
    .description('build the dashboard; `start` does it too when the build is stale')
    .action(async () => {
      if (!(await buildDashboard(rootDir, say))) process.exitCode = 1;
    });
  program
    .command('doctor')
    .description('print which training backend is used, why better ones are not, and how to get them')
    .option('--json', 'for programs')
    .action(({ json }: { json?: true }) => runBuilt('doctor', json ? ['--json'] : []));
  program
    .command('merge')
    .description(
      "write a checkpoint as a plain model: LoRA's adapters merged in, as safetensors with config and tokenizer",
    )
    .argument('<checkpoint>', 'folder of the checkpoint, e.g. .plumbline/runs/RUN/checkpoints/step-000400')
    .argument('<out>', 'folder to write, new')
    .action((checkpoint: string, out: string) => runBuilt('merge', [resolve(checkpoint), resolve(out)]));
}

/** Runs a program of the trainer, and takes over its exit code. */
export async function runBuilt(
  name: 'setup' | 'doctor' | 'merge' | 'fetch-model' | 'inspect-model',
  args: string[],
): Promise<void> {
  const code = await runTrainerProgram(rootDir, name, args);
  if (code === null) sayError(`The trainer's ${name} is not built. Run: npm run build`);
  process.exitCode = code ?? 1;
}
