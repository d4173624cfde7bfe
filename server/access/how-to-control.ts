import { resolve } from 'node:path';
import { defaultDataDir } from '../config.js';

/** Prints a new one-time link, typed where the hub was started: with the hub's data folder where that is not the default. */
export function linkCommand(dataDir: string): string {
  const folder = /^[\w./-]+$/.test(dataDir) ? dataDir : `'${dataDir.replaceAll("'", `'\\''`)}'`;
  return `npm run plumbline -- link${dataDir === resolve(defaultDataDir) ? '' : ` --data-dir ${folder}`}`;
}

/** What a browser without a session is told when it tries to change something. */
export const howToControl = (dataDir: string): string =>
  `This browser may only watch. Open the link that npm start printed; ${linkCommand(dataDir)} prints a new one.`;

/** What a browser without a session is told by a hub whose runs may not be watched without one. */
export const howToWatch = (dataDir: string): string =>
  `This hub shows its runs to browsers that opened one of its links. Open the link that npm start printed; ` +
  `${linkCommand(dataDir)} prints a new one. Programs show the trainer token as "Authorization: Bearer".`;
