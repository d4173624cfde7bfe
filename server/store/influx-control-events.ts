import type { RunId } from '@plumbline/shared/run';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import type { ControlEventOptions, TakeTexts } from './event-store.js';
import type { InfluxClient } from './influx-client.js';
import { eventMeasurement, instantOf, joined, positionAt } from './influx-lines.js';
import { from, pointsOf, queryRecords, type Extent } from './influx-queries.js';
import { upToDateText } from './protocol-1.js';

/** Bytes of control events per query, not counting the first one. */
const bytesPerQuery = 2 * 2 ** 20;

interface Place {
  step: number;
  seq: number;
  bytes: number;
}

/**
 * Cuts places into stretches in order of seq that one query can read: times are in order of steps, so a stretch ends
 * where the steps of a segment begin anew.
 * @returns the first and the last place of each
 */
function stretchesOf(places: Iterable<Place>): [first: Place, last: Place][] {
  const stretches: [Place, Place][] = [];
  let bytes = 0;
  for (const place of [...places].sort((a, b) => a.seq - b.seq)) {
    const stretch = stretches.at(-1);
    if (!stretch || place.step < stretch[1].step || bytes + place.bytes > bytesPerQuery) {
      stretches.push([place, place]);
      bytes = 0;
    } else stretch[1] = place;
    bytes += place.bytes;
  }
  return stretches;
}

/** Flux for the fields with the parts of control events, of some types or all. */
function controlFilter(types: readonly ControlEvent['type'][] | undefined): string {
  const ofTypes = types ? ` and (${types.map((type) => `r.kind == "${type}"`).join(' or ')})` : '';
  return `filter(fn: (r) => r._measurement == "${eventMeasurement}" and r._field =~ /^payload_/${ofTypes})`;
}

/** The control events of a run as texts, in order, some at a time. */
export async function eachControlText(
  client: InfluxClient,
  runId: RunId,
  extent: Extent,
  take: TakeTexts,
  { types, isOutline = false, signal }: ControlEventOptions = {},
): Promise<void> {
  const points = pointsOf(client.options.bucket, runId, extent, {});
  if (points === null) return;
  // Reads the positions and lengths first, then the contents in pages.
  const places = new Map<number, Place>();
  await client.query(
    `import "strings"
${points} |> ${controlFilter(types)}
  |> map(fn: (r) => ({_time: r._time, bytes: strings.strlen(v: r._value)}))`,
    (row) => {
      const { step, seq } = positionAt(extent.baseSecond, row('_time'));
      if (seq > extent.lastSeq) return;
      const bytes = (places.get(seq)?.bytes ?? 0) + Number(row('bytes'));
      places.set(seq, { step, seq, bytes });
    },
    signal,
  );
  const { baseSecond } = extent;
  for (const [first, last] of stretchesOf(places.values())) {
    const between = `start: ${instantOf(baseSecond, first.step, first.seq)}, stop: ${instantOf(baseSecond, last.step, last.seq + 1)}`;
    // The steps of other segments are in the same range of times.
    const ofStretch = `filter(fn: (r) => int(v: r._time) % 1000000000 >= ${first.seq} and int(v: r._time) % 1000000000 <= ${last.seq})`;
    const found = await queryRecords(
      client,
      `${from(client, between)} |> filter(fn: (r) => r.run == "${runId}") |> ${controlFilter(types)} |> ${ofStretch}`,
      signal,
    );
    const texts = found.map(({ time, fields }) => ({
      seq: positionAt(baseSecond, time).seq,
      text: upToDateText(joined('payload', fields, isOutline)),
    }));
    await take(texts.sort((a, b) => a.seq - b.seq).map(({ text }) => text));
  }
}
