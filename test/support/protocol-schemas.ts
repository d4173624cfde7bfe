import { z } from 'zod';
import { Command } from '@plumbline/shared/command';
import { maxEventsPerBatch, maxMetricsPerEvent } from '@plumbline/shared/limits';
import { WireNumber } from '@plumbline/shared/metric';
import { Attach, Busy, TrainerAuth } from '@plumbline/shared/socket';
import { isMetricEvent, TrainerEvent } from '@plumbline/shared/trainer-event';
import { WallTimeMs, WireMetricEvent } from '@plumbline/shared/wire-event';

const otherEvents = TrainerEvent.options
  .filter(({ shape }) => !isMetricEvent({ type: shape.type.value }))
  .map((event) => event.extend({ wallTimeMs: WallTimeMs }));

/** The messages between trainer and hub, by the names of their files in shared/schemas. */
const messages = {
  /** The handshake's `auth`. */
  auth: TrainerAuth,
  attach: Attach,
  events: z.object({
    events: z
      .array(z.union([WireMetricEvent, ...otherEvents]))
      .min(1)
      .max(maxEventsPerBatch),
  }),
  busy: Busy,
  command: Command,
};
export type MessageName = keyof typeof messages;
export const messageNames = Object.keys(messages) as MessageName[];

/** The hub reads columns entry by entry, so that one wrong value costs no other. Zod knows only that they are lists. */
const columns: Record<string, object> = {
  series: { type: 'array', items: { type: 'integer' }, maxItems: maxMetricsPerEvent },
  values: { type: 'array', items: z.toJSONSchema(WireNumber), maxItems: maxMetricsPerEvent },
};

/**
 * The JSON Schema (2020-12) of a message as its sender writes it. It lacks zod's refinements: that names are unique, that
 * series and values have the same length, and that references between lists are valid.
 */
export function messageSchema(name: MessageName): object {
  return z.toJSONSchema(messages[name], {
    io: 'input',
    unrepresentable: 'any',
    override({ zodSchema, jsonSchema, path }) {
      const column = zodSchema._zod.def.type === 'custom' ? columns[String(path.at(-1))] : undefined;
      Object.assign(jsonSchema, column);
      for (const part of Object.values(jsonSchema))
        if (part && typeof part === 'object' && '$schema' in part) delete part.$schema;
    },
  });
}
