import { join } from 'node:path';
import type { Command } from 'commander';
import { readConfig } from '../config.js';
import { EmbeddedStore } from '../store/embedded-store.js';
import { storeFile } from '../store/open-store.js';
import { repairStore } from '../store/repair.js';
import { runningHub } from '../operations/running-hub.js';
import { exitCodes } from './exit-codes.js';

interface Flags {
  dataDir?: string;
  acceptLoss?: boolean;
  startEmpty?: boolean;
}

/** `plumbline repair`. */
export function addRepairCommand(program: Command, say: (line: string) => void): void {
  program
    .command('repair')
    .description('salvage a damaged store; the original files are kept')
    .option('--accept-loss', 'accept the losses: the hub no longer reports them')
    .option('--start-empty', 'if nothing can be saved, move the files aside and begin an empty store')
    .option('--data-dir <folder>', 'data folder of the hub, which has to be stopped')
    .action(async ({ dataDir, acceptLoss = false, startEmpty = false }: Flags) => {
      const config = readConfig({ PLUMBLINE_DATA_DIR: dataDir });
      if (config.store.kind === 'influx')
        throw new Error('Runs are in InfluxDB: repair them with its own tools. A damaged spool mends itself.');
      const url = await runningHub(config.dataDir);
      if (url !== null) throw new Error(`The hub at ${url} uses ${config.dataDir}. Stop it first, then do this again.`);
      const path = join(config.dataDir, storeFile);
      const { done, aside, losses } = await repairStore(path, { startEmpty });
      for (const line of done) say(line);
      if (aside !== null) say(`The original files and this report are in ${aside}.`);
      if (losses.length === 0) return say('No acknowledged data is lost.');
      say('Acknowledged data that is lost:');
      for (const line of losses) say(`  ${line}`);
      if (acceptLoss) {
        await accept(path);
        return say('The hub no longer reports these losses.');
      }
      say('The hub reports these losses until you run this with --accept-loss.');
      process.exitCode = exitCodes.failed;
    });
}

async function accept(path: string): Promise<void> {
  const store = new EmbeddedStore(path, { onProblem: () => undefined });
  try {
    await store.acceptLosses();
  } finally {
    await store.close();
  }
}
