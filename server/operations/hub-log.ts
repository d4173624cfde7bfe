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

/** A log of JSON lines, by default on standard error. No line should contain a secret; one that does is censored. */
export function createLog(level: LevelWithSilent, destination: DestinationStream = pino.destination(2)): Logger {
  const paths = secrets.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);
  return pino({ level, redact: { paths, censor: '[secret]' } }, plain(destination));
}

/**
 * Escapes the control characters that JSON does not escape, from U+007F on, and those that change the direction of text.
 * So a client's text cannot control a terminal that shows the log.
 */
const plain = (destination: DestinationStream): DestinationStream => ({
  write: (line) => destination.write(line.replace(unseen, escaped)),
});
const unseen = /[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** Logs a fault of the hub. The line names whatever was thrown, also if it is no Error. */
export function logFault(log: Logger, fault: unknown): void {
  const err = fault instanceof Error ? fault : new Error(`${JSON.stringify(fault) ?? String(fault)} was thrown`);
  log.error({ err }, err.message || err.name);
}

/** Logs what happens to runs, commands, clients and the store. */
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
    // A stopping hub refuses as intended.
    const level = code === 'draining' ? 'info' : 'warn';
    repeats.write(`events ${runId} ${code}`, (times) =>
      of(runId)[level]({ code, reason: message, ...times }, 'events refused'),
    );
  });
  runs.on('attachRefused', (runId, { code, message }) => {
    const level = code === 'draining' ? 'info' : 'warn';
    repeats.write(`attach ${runId} ${code}`, (times) =>
      of(runId)[level]({ code, reason: message, ...times }, 'attach refused'),
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
  feed.on('left_out', (what) =>
    repeats.write('left out', (times) =>
      log.warn({ ...what, ...times }, 'selections of series cost too much, left out of live data for up to a second'),
    ),
  );
  feed.on('cut', (what) =>
    repeats.write('cut', (times) =>
      log.warn({ ...what, ...times }, 'dashboards do not read what they were sent, connections cut'),
    ),
  );
  storeWatch.on('failed', (operation, err) => {
    // This error ends the start of the hub, which reports it.
    if (err instanceof StoreInUseError) return;
    // Every call to a damaged store fails with the same message.
    repeats.write(`store ${err instanceof Error ? err.message : String(err)}`, (times) =>
      log.error({ operation, err, ...times }, 'store failed'),
    );
  });
}

/** Logs when live data stops reaching browsers at other hubs, and when it reaches them again. */
export function logPublishing(log: Logger, watch: PublishWatch): void {
  watch.on('began', (err) => log.error({ err }, 'Redis does not take live data for browsers at other hubs'));
  watch.on('ended', (lost) => log.warn({ lost }, 'Redis takes live data again'));
}
