import { resolve } from 'node:path';
import { defaultDataDir } from '../config.js';

/** Prints a new one-time link, typed where the hub was started: with the hub's data folder where that is not the default. */
export function linkCommand(dataDir: string): string {
  const folder = /^[\w./-]+$/.test(dataDir) ? dataDir : `'${dataDir.replaceAll("'", `'\\''`)}'`;
  return `npm run plumbline -- link${dataDir === resolve(defaultDataDir) ? '' : ` --data-dir ${folder}`}`;
}

/* Answers for anybody who asks: they name no folder of the hub's machine. */

/** Where a new link comes from. */
export const newLink =
  '`npm run plumbline -- link` prints a new one on the machine of the hub, with the --data-dir that the hub was started with.';

/** The answer to a browser without a session that tries to change something. */
export const howToControl = `This browser may only watch. Open the link that npm start printed; ${newLink}`;

/** The answer to a browser without a session where watching needs one. */
export const howToWatch = `This hub shows its runs to browsers that opened one of its links. Open the link that npm start printed; ${newLink}`;

/** The answer to a program without credentials. */
export const howToShowToken =
  "Show the hub's trainer token, as `Authorization: Bearer`; it is the file trainer-token in the hub's data folder.";
