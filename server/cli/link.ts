import type { Command } from 'commander';
import { Sessions } from '../access/sessions.js';
import { readConfig } from '../config.js';
import { hubUrl } from '../hub-address.js';

/** `plumbline link`: prints a new one-time link that lets a browser control runs. */
export function addLinkCommand(program: Command, say: (line: string) => void): void {
  program
    .command('link')
    .description('print a new one-time link that lets a browser control runs')
    .option('--data-dir <folder>', 'data folder of the hub')
    .action(({ dataDir }: { dataDir?: string }) => {
      const config = readConfig({ PLUMBLINE_DATA_DIR: dataDir });
      const url = demandHubUrl(config.dataDir);
      say(linkTo(config.publicUrl ?? url, new Sessions(config.accessDir ?? config.dataDir)));
    });
}

/** A new link, for one browser. */
export const linkTo = (url: string, sessions: Sessions): string => `${url}/?token=${sessions.createLink()}`;

/** The address of the hub that runs on a data folder. @throws Error when none does */
export function demandHubUrl(dataDir: string): string {
  const url = hubUrl(dataDir);
  if (url === null)
    throw new Error(`No hub runs on ${dataDir}. Start one with npm start, or name its folder with --data-dir.`);
  return url;
}
