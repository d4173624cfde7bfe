import { setTimeout as sleep } from 'node:timers/promises';
import type { Attack } from './attack.js';
import { firstOf } from './attack.js';
import { BusyTrainer } from './busy-trainer.js';
import { neither } from './hostile-trainer.js';
import { inLanes, RawSocket } from './raw-clients.js';
import type { Victim } from './victim.js';

/* Strangers who watch one busy run, each by a selection of series of its own. */

const namespace = '/dashboard';
const watchers = 250;
const seriesOfRun = Array.from({ length: 215 }, (_, i) => `drift/language_model.layers.${i}.mlp.up_proj`);
/** The groups of a mixture of experts. */
const groupsOfMixture = Array.from(
  { length: 18_624 },
  (_, i) => `drift/model.layers.${i % 48}.mlp.experts.${Math.floor(i / 48)}.up_proj`,
);
const busyMs = 8000;
const stepsPerBatch = 10;

interface Watchers {
  series: (watcher: number) => readonly string[];
  /** The series of the run, each with a value in every step. */
  ofRun?: readonly string[];
  /** If absent, the trainer sends as fast as it is acknowledged. */
  valuesPerSecond?: number;
  isReading?: boolean;
}

const watchedBy = (
  what: string,
  { series, ofRun = seriesOfRun, valuesPerSecond = Infinity, isReading = true }: Watchers,
): Attack => ({
  name: `watchers: ${watchers} of one run, each with ${what}`,
  run: async (victim: Victim) => {
    const trainer = await BusyTrainer.start(victim, ofRun);
    const { runId } = trainer;
    const sockets = await inLanes(watchers, 25, async () => {
      const socket = await RawSocket.open(victim.port);
      await socket.join(namespace);
      return socket;
    });
    const watch = (i: number) => sockets[i]!.ask(namespace, 'watch', JSON.stringify({ runId, series: series(i) }));
    const replies = await inLanes(watchers, 25, watch);
    if (!isReading) for (const { ws } of sockets) ws.pause();
    let fault: string | null = null;
    const steps = Math.min(stepsPerBatch, Math.ceil(valuesPerSecond / 10 / ofRun.length));
    for (const endMs = performance.now() + busyMs; !fault && performance.now() < endMs;) {
      const nextMs = performance.now() + (1000 * steps * ofRun.length) / valuesPerSecond;
      fault = await trainer.send(steps);
      await sleep(Math.max(0, nextMs - performance.now()));
    }
    sockets.forEach((socket) => socket.close());
    trainer.close();
    return firstOf(...replies.map(neither), fault);
  },
});

const ofItsOwn = (watcher: number): readonly string[] => ['drift/*', `own/${watcher}`];

export const watcherAttacks: Attack[] = [
  watchedBy('500 groups of its own that there are not', {
    series: (watcher) => Array.from({ length: 500 }, (_, i) => `none/${watcher}/${i}/*`),
  }),
  watchedBy('20 groups of its own that there are not', {
    series: (watcher) => Array.from({ length: 20 }, (_, i) => `none/${watcher}/${i}/*`),
  }),
  watchedBy('all series but one', {
    series: (watcher) => seriesOfRun.filter((_, i) => i !== watcher % seriesOfRun.length),
  }),
  watchedBy('all 215 series and a name of its own, at 20,000 values a second', {
    ...{ series: ofItsOwn, valuesPerSecond: 20_000 },
  }),
  watchedBy('all 18,624 groups of a mixture and a name of its own', {
    ...{ series: ofItsOwn, ofRun: groupsOfMixture, valuesPerSecond: 20_000 },
  }),
  watchedBy('all 18,624 groups of a mixture and a name of its own, none of which reads', {
    ...{ series: ofItsOwn, ofRun: groupsOfMixture, valuesPerSecond: 20_000, isReading: false },
  }),
];
