import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { Outcome } from './cases.js';
import { tryHub, tryTrainer } from './play.js';

const usage = `npm run conformance -- --hub URL (--token TOKEN | --token-file PATH)   plays trainers against a hub
npm run conformance -- --trainer COMMAND                               plays a hub against a trainer
See PROTOCOL.md.`;

const { values } = parseArgs({
  options: {
    hub: { type: 'string' },
    token: { type: 'string' },
    'token-file': { type: 'string' },
    trainer: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
const { hub, trainer } = values;
const tokenFile = values['token-file'];
const token = values.token ?? (tokenFile === undefined ? undefined : readFileSync(tokenFile, 'utf8').trim());
const isUsable = hub === undefined ? trainer !== undefined : trainer === undefined && token !== undefined;
if (values.help || !isUsable) {
  console.error(usage);
  process.exit(values.help ? 0 : 2);
}

const tell = ({ name, state, says }: Outcome): void => console.log(`${state.padEnd(7)} ${name}: ${says}`);
/** The runs that the hub took. Deleting takes a session, and this program has the trainer token only. */
const left = new Set<string>();
const outcomes =
  hub !== undefined
    ? await tryHub({ url: hub.replace(/\/$/, ''), token: token!, took: (runId) => void left.add(runId) }, tell)
    : await tryTrainer(trainer!, tell);
const count = (state: Outcome['state']): number => outcomes.filter((outcome) => outcome.state === state).length;
const failed = outcomes.filter(({ state }) => state === 'failed').map(({ name }) => name);
if (left.size > 0)
  console.log(
    `${left.size} runs named Conformance are left in the hub. Delete them once they have ended, on its page or where it runs: ` +
      `npm run plumbline -- delete ${[...left].join(' ')}`,
  );
console.log(JSON.stringify({ passed: count('passed'), failed, skipped: count('skipped') }));
process.exit(failed.length > 0 ? 1 : 0);
