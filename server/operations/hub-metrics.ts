import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { runStates } from '@plumbline/shared/run';
import { isMetricEvent } from '@plumbline/shared/trainer-event';
import type { PublishWatch } from '../cluster/publish-watch.js';
import type { RunRegistry } from '../run/registry.js';
import type { LiveFeed } from '../socket/live-feed.js';
import type { SpoolState } from '../store/event-store.js';
import type { StoreWatch } from './store-watch.js';

const prefix = 'plumbline_';

/**
 * The hub's metrics for Prometheus. It only listens to events; no other part of the hub uses it.
 * Labels have only known values (states, kinds, refusal codes, method names), never text from clients such as a run id.
 */
export class HubMetrics {
  /** The metrics of this hub alone; a process may run several hubs. */
  readonly registry = new Registry();

  constructor(runs: RunRegistry, storeWatch: StoreWatch) {
    collectDefaultMetrics({ register: this.registry, prefix });
    this.#measureStorage(runs, storeWatch);
    this.#measureRuns(runs);
    this.#measureCommands(runs);
  }

  #measureStorage(runs: RunRegistry, storeWatch: StoreWatch): void {
    const events = this.#counter('events_stored_total', 'Events from trainers that became durable.');
    const values = this.#counter('values_stored_total', 'Metric values in those events.');
    runs.on('events', (_runId, stored) => {
      events.inc(stored.length);
      values.inc(
        stored.reduce((sum, event) => sum + (isMetricEvent(event) ? Object.keys(event.metrics).length : 0), 0),
      );
    });

    const appends = new Histogram({
      name: `${prefix}append_duration_seconds`,
      help: 'From handing a batch to the store until it is durable.',
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers: [this.registry],
    });
    storeWatch.on('done', (method, seconds) => method === 'append' && appends.observe(seconds));

    const errors = this.#counter('store_errors_total', 'Failed calls to the store.', ['operation']);
    storeWatch.on('failed', (operation) => errors.inc({ operation }));

    const refused = this.#counter('batches_refused_total', 'Batches of events that the hub refused.', ['reason']);
    runs.on('refused', (_runId, { code }) => refused.inc({ reason: code }));
  }

  #measureRuns(runs: RunRegistry): void {
    this.#gauge(
      'runs',
      'Runs by state.',
      (gauge) => {
        for (const state of runStates) gauge.set({ state }, runs.known.filter((run) => run.state === state).length);
      },
      ['state'],
    );
    this.#gauge('trainers_connected', 'Runs whose trainer is connected.', (gauge) =>
      gauge.set(runs.known.filter((run) => run.trainerConnected).length),
    );
  }

  #measureCommands(runs: RunRegistry): void {
    const ended = this.#counter('commands_total', 'Commands that ended, by kind and end.', ['kind', 'state']);
    const durations = new Histogram({
      name: `${prefix}command_duration_seconds`,
      help: 'From the arrival of a command to its end, without rejected commands.',
      labelNames: ['kind'],
      buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
      registers: [this.registry],
    });
    runs.on('command', ({ action: { kind }, state, receivedMs, endedMs }) => {
      if (endedMs === null) return;
      ended.inc({ kind, state });
      if (state !== 'rejected') durations.observe({ kind }, (endedMs - receivedMs) / 1000);
    });
    this.#gauge('commands_open', 'Commands that have not ended.', (gauge) => gauge.set(runs.openCommands));
  }

  /** Adds the metrics of the live feed, which is built after the HTTP server that serves the metrics. */
  follow(feed: LiveFeed): void {
    this.#gauge('dashboards_connected', 'Connected dashboards.', (gauge) => gauge.set(feed.clients.connected));
    this.#gauge(
      'dashboards_lagging',
      'Connected dashboards that cannot keep up and get no live data for now.',
      (gauge) => gauge.set(feed.clients.lagging),
    );
    const sent = this.#counter('live_events_sent_total', 'Events sent live, counted once per watching dashboard.');
    feed.on('sent', (count) => sent.inc(count));
  }

  /** Adds the metrics of live data for browsers at other hubs. */
  followPublishing(watch: PublishWatch): void {
    const lost = this.#counter('live_messages_lost_total', 'Live messages for other hubs that Redis did not take.');
    watch.on('lost', () => lost.inc());
  }

  /** Adds the metrics of the spool, which holds records on disk until InfluxDB has them. */
  followSpool(read: () => Promise<SpoolState>): void {
    const gauges = {
      depth: ['spool_records', 'Records that wait on disk for InfluxDB.'],
      bytes: ['spool_bytes', 'Bytes of the spool on disk.'],
      ageMs: ['spool_age_milliseconds', 'How long the oldest waiting record has waited.'],
      retries: ['spool_retries', 'Repeated requests to InfluxDB since the start of the hub.'],
    } as const;
    for (const [key, [name, help]] of Object.entries(gauges) as [keyof typeof gauges, readonly [string, string]][])
      this.#gauge(name, help, async (gauge) => gauge.set((await read())[key]));
  }

  #counter<L extends string>(name: string, help: string, labelNames: L[] = []): Counter<L> {
    return new Counter({ name: prefix + name, help, labelNames, registers: [this.registry] });
  }

  /** A gauge that is read at each scrape. */
  #gauge(
    name: string,
    help: string,
    read: (gauge: Gauge<string>) => void | Promise<void>,
    labelNames: string[] = [],
  ): void {
    new Gauge({
      name: prefix + name,
      help,
      labelNames,
      registers: [this.registry],
      async collect() {
        await read(this);
      },
    });
  }
}
