import { pino, type DestinationStream, type LevelWithSilent, type Logger } from 'pino';
import { hasEnded } from '@plumbline/shared/run';
import type { PublishWatch } from '../cluster/publish-watch.js';
import type { RunRegistry } from '../run/registry.js';
import type { LiveFeed } from '../socket/live-feed.js';
import type { FrontDoor } from '../socket/front-door.js';
import { StoreInUseError } from '../store/event-store.js';
import { Repeats } from './repeats.js';
import type { StoreWatch } from './store-watch.js';

const secrets = ['token', 'cookie', 'authorization', 'password', 'auth'];

/** JSON lines, on standard error unless told otherwise. Nothing here logs a secret; if something does, it is struck out. */
export function createLog(level: LevelWithSilent, destination: DestinationStream = pino.destination(2)): Logger {
  const paths = secrets.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);
  return pino({ level, redact: { paths, censor: '[secret]' } }, plain(destination));
}

/**
 * JSON escapes the control characters below U+0020 only. The others, which a terminal may obey too, and those that turn
 * the direction of text are escaped here: what a client sends changes no terminal that shows the log.
 */
const plain = (destination: DestinationStream): DestinationStream => ({
  write: (line) => destination.write(line.replace(unseen, escaped)),
});
const unseen = /[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** Writes down a fault of the hub. Whatever was thrown, the line says what it is. */
export function logFault(log: Logger, fault: unknown): void {
  const err = fault instanceof Error ? fault : new Error(`${JSON.stringify(fault) ?? String(fault)} was thrown`);
  log.error({ err }, err.message || err.name);
}

/** Writes down what happens to runs, commands, clients and the store. */
export function logEvents(
  log: Logger,
  runs: RunRegistry,
  feed: LiveFeed,
  storeWatch: StoreWatch,
  door: FrontDoor,
): void {
  const of = (runId: string | null) => log.child({ runId });
  const repeats = new Repeats();

  runs.on('attached', (run) => of(run.runId).info({ lastSeq: run.lastSeq }, 'trainer attached'));
  runs.on('run', (run, before) => {
    if (before?.trainerConnected && !run.trainerConnected) of(run.runId).info('trainer detached');
    if (before?.state === run.state) return;
    const { state, reason, lastStep: step } = run;
    of(run.runId).info({ state, step, ...(reason && { reason }) }, hasEnded(state) ? 'run ended' : `run ${state}`);
  });
  runs.on('deleted', ({ runId }, by) => of(runId).info(by === null ? {} : { by }, 'run deleted'));
  runs.on('cleared', (runId, bytes) => of(runId).info({ bytes }, 'folder of a deleted run removed'));
  runs.on('refused', (runId, { code, message }) => {
    // A hub on its way down refuses as it should.
    const level = code === 'draining' ? 'info' : 'warn';
    repeats.write(`events ${runId} ${code}`, (times) =>
      of(runId)[level]({ code, reason: message, ...times }, 'events refused'),
    );
  });
  runs.on('command', (record) => {
    const { commandId, runId, author, action, state, step, reason } = record;
    const verb = state === 'pending' ? 'given' : state;
    log
      .child({ runId, commandId })
      .info({ author, kind: action.kind, state, step, ...(reason && { reason }) }, `command ${verb}`);
  });
  door.on('refused', (reason, address) =>
    repeats.write(`connection ${address} ${reason}`, (times) =>
      log.info({ address, reason, ...times }, 'connection refused'),
    ),
  );
  feed.on('lagging', ({ runId, ...client }) => of(runId).warn(client, 'dashboard cannot keep up, left out for now'));
  storeWatch.on('failed', (operation, err) => {
    // Ends the start of a hub, which says so in one sentence.
    if (err instanceof StoreInUseError) return;
    // Whatever is asked of a damaged store fails with the same words.
    repeats.write(`store ${err instanceof Error ? err.message : String(err)}`, (times) =>
      log.error({ operation, err, ...times }, 'store failed'),
    );
  });
}

/** Writes down when live data stop reaching the browsers at other hubs, and when they do again. */
export function logPublishing(log: Logger, watch: PublishWatch): void {
  watch.on('began', (err) => log.error({ err }, 'Redis does not take live data for browsers at other hubs'));
  watch.on('ended', (lost) => log.warn({ lost }, 'Redis takes live data again'));
}
