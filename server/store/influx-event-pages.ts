import type { RunId } from '@plumbline/shared/run';
import type { MetricEvent } from '@plumbline/shared/trainer-event';
import { parseInTurns } from '../parse-in-turns.js';
import { Turn } from '../turn.js';
import type { InfluxClient } from './influx-client.js';
import { eventMeasurement, positionAt } from './influx-lines.js';
import {
  pointsOf,
  queryEvents,
  queryLargeText,
  type ControlText,
  type Extent,
  type LargePlace,
} from './influx-queries.js';
import type { StoredEvent } from './protocol-1.js';

/** Limit of one page of `events` in characters, roughly and not counting its first events. */
const maxPageLength = 2 * 2 ** 20;
/** Events in the first query of a run, when their sizes are unknown. */
const eventsPerFirstQuery = 50;
/** An event whose text is not read or not parsed yet. */
type FoundEvent = MetricEvent | LargePlace | ControlText;
/** Approximate length of an event as JSON, without the text of a large one. */
const lengthOf = (event: FoundEvent): number =>
  'text' in event ? event.text.length : 'metrics' in event ? 100 + 40 * Object.keys(event.metrics).length : 100;

/** Reads the events of runs page by page. */
export class EventPages {
  /** Where the last page ended. */
  #last: { runId: RunId; nextSeq: number; step: number; eventLength: number } | null = null;

  constructor(readonly client: InfluxClient) {}

  /** Forgets where the last page ended. */
  forget(): void {
    this.#last = null;
  }

  /**
   * Events from a number on: fewer than `limit` where they are large.
   * @param extent the part of the run that is in InfluxDB
   * @throws ReadAbandonedError after `signal`
   */
  async read(
    runId: RunId,
    extent: Extent,
    fromSeq: number,
    limit: number,
    signal?: AbortSignal,
  ): Promise<StoredEvent[]> {
    const { lastSeq } = extent;
    const events: FoundEvent[] = [];
    const before = this.#last?.runId === runId && this.#last.nextSeq === fromSeq ? this.#last : null;
    // The event after the last page is probably near, and so is the first event.
    let next = Math.max(1, fromSeq);
    let step = before?.step ?? 0;
    if (!before && next > 1) {
      const place = await this.#placeOf(runId, extent, next, signal);
      if (!place) return [];
      ({ seq: next, step } = place);
    }
    // Most steps have one event, so `limit` steps make about one page. Fewer steps where events are large, by the size of
    // the first few.
    let eventLength = before?.eventLength ?? maxPageLength / eventsPerFirstQuery;
    let length = 0;
    while (events.length < limit && length < maxPageLength && step <= extent.lastStep) {
      const steps = Math.max(1, Math.min(limit, Math.floor((maxPageLength - length) / eventLength)));
      const found = await queryEvents(this.client, runId, extent, { fromStep: step, toStep: step + steps }, signal);
      // Skips events of other segments in between.
      const following = found.filter(({ seq }) => {
        const follows = seq === next && seq <= lastSeq;
        if (follows) next++;
        return follows;
      });
      events.push(...following);
      length = following.reduce((sum, event) => sum + lengthOf(event), length);
      if (events.length > 0) eventLength = length / events.length;
      step += steps;
      // Looks for the next event where steps are far apart or a segment begins.
      if (following.length >= steps / 2) continue;
      const place = next > lastSeq ? null : await this.#placeOf(runId, extent, next, signal);
      if (!place) break;
      ({ seq: next, step } = place);
    }
    const page = await this.#whole(runId, extent, events.slice(0, limit), signal);
    const last = page.at(-1);
    this.#last = last ? { runId, nextSeq: last.seq + 1, step: last.step, eventLength } : null;
    return page;
  }

  /** Reads the texts of large events, parses all texts, and ends the page when large events reach its limit. */
  async #whole(
    runId: RunId,
    extent: Extent,
    events: readonly FoundEvent[],
    signal: AbortSignal | undefined,
  ): Promise<StoredEvent[]> {
    const whole: StoredEvent[] = [];
    const turn = new Turn();
    const parse = async (text: string): Promise<StoredEvent> => (await parseInTurns(text, turn)) as StoredEvent;
    let bytes = 0;
    for (const event of events) {
      if (bytes > maxPageLength) break;
      if ('bytes' in event) {
        whole.push(await parse(await queryLargeText(this.client, runId, extent, event, signal)));
        bytes += event.bytes;
      } else whole.push('text' in event ? await parse(event.text) : event);
    }
    return whole;
  }

  /** Position of an event, or of the next one in InfluxDB. */
  async #placeOf(
    runId: RunId,
    extent: Extent,
    seq: number,
    signal: AbortSignal | undefined,
  ): Promise<{ seq: number; step: number } | null> {
    let place: { seq: number; step: number } | null = null;
    const points = pointsOf(this.client.options.bucket, runId, extent, {});
    if (points === null) return null;
    await this.client.query(
      `${points} |> filter(fn: (r) => r._measurement == "${eventMeasurement}" and r._field == "seq")
  |> filter(fn: (r) => r._value >= ${seq}) |> min()`,
      (row) => {
        const found = positionAt(extent.baseSecond, row('_time'));
        if (place === null || found.seq < place.seq) place = found;
      },
      signal,
    );
    return place;
  }
}
