import { Example, ShiftedToken, type LargeEvent } from '@plumbline/shared/large-event';
import { maxEventsPerBatch, maxExamples, maxProblems, maxShiftedTokens } from '@plumbline/shared/limits';
import { cleaned } from '@plumbline/shared/plain-text';
import { SeriesDeclaration } from '@plumbline/shared/series';
import { TrainerEvent, type ControlEvent } from '@plumbline/shared/trainer-event';
import {
  isWireMetricEvent,
  WallTimeMs,
  WireMetricEvent,
  type EventProblem,
  type WireEvent,
} from '@plumbline/shared/wire-event';
import { z, ZodError, type ZodType } from 'zod';
import { Refusal } from './refusal.js';

/** Replaces zod's own words for a wrong type: `missing: a number is required`. */
const plainWords = {
  error: ({ code, expected, input }: { code?: string; expected?: unknown; input?: unknown }): string | undefined => {
    if (code !== 'invalid_type') return undefined;
    const what = expected === 'int' ? 'whole number' : String(expected);
    const required = `${/^[aeiou]/.test(what) ? 'an' : 'a'} ${what} is required`;
    return input === undefined ? `missing: ${required}` : required;
  },
};

const EventsUnread = z.object({ events: z.array(z.unknown()).min(1) });
const Numbered = z.object({ seq: z.number(), type: z.string() });
const Declaring = z.object({
  seq: z.number(),
  type: z.enum(['run_started', 'series_declared']),
  series: z.array(z.unknown()),
});
const BareDeclaration = SeriesDeclaration.pick({ number: true, name: true });
/** Lists in which one broken entry costs no other. */
const Listing = z.union([
  z.object({ seq: z.number(), type: z.literal('examples'), examples: z.array(z.unknown()).max(maxExamples) }),
  z.object({ seq: z.number(), type: z.literal('token_shift'), tokens: z.array(z.unknown()).max(maxShiftedTokens) }),
]);
const Told = z.object({ wallTimeMs: WallTimeMs });

/** A parsed batch: its events and the omissions from them. */
export interface ReadBatch {
  events: WireEvent[];
  problems: EventProblem[];
}

/** Parses a whole batch; see `eachEvent`. */
export function readEvents(message: unknown): ReadBatch {
  const problems: EventProblem[] = [];
  return { events: [...eachEvent(message, problems)], problems };
}

/**
 * Parses the events of a batch one by one and cleans their texts, so that an odd character loses nothing. It leaves out broken
 * declarations, examples and tokens, and adds them to the problems. The first event with another fault ends the parsing:
 * collecting all faults would take seconds.
 * @param problems receives the omissions
 * @throws Refusal `too_large`, or ZodError that names the event
 */
export function* eachEvent(message: unknown, problems: EventProblem[]): Generator<WireEvent> {
  const { events } = z.object({ events: z.unknown() }).parse(message);
  if (Array.isArray(events) && events.length > maxEventsPerBatch)
    throw new Refusal('too_large', `A batch holds at most ${maxEventsPerBatch} events; send it in parts.`);
  for (const [index, event] of EventsUnread.parse(message).events.entries()) yield read(event, index, problems);
}

function read(given: unknown, index: number, problems: EventProblem[]): WireEvent {
  const parse = <T>(schema: ZodType<T>, data: unknown): T => {
    const parsed = schema.safeParse(data, plainWords);
    if (parsed.success) return parsed.data;
    const [first] = parsed.error.issues;
    throw new ZodError([{ ...first!, path: ['events', index, ...first!.path], message: at(given, first!.message) }]);
  };
  if (isMetricEvent(given)) return parse(WireMetricEvent, given);
  const event = parse(TrainerEvent, withoutBroken(given, problems));
  parse(Told, event);
  return cleaned(event as ControlEvent | LargeEvent);
}

/** Removes the broken entries from an event's list. */
function withoutBroken(given: unknown, problems: EventProblem[]): unknown {
  const declaring = Declaring.safeParse(given);
  if (declaring.success) return { ...(given as object), series: readDeclarations(declaring.data, problems) };
  const listing = Listing.safeParse(given);
  if (!listing.success) return given;
  return listing.data.type === 'examples'
    ? { ...(given as object), examples: readExamples(listing.data, problems) }
    : { ...(given as object), tokens: readTokens(listing.data, problems) };
}

const isMetricEvent = (given: unknown): boolean =>
  typeof given === 'object' && given !== null && 'type' in given && isWireMetricEvent(given as WireEvent);

/** Adds the event to a fault. */
function at(given: unknown, message: string): string {
  const numbered = Numbered.safeParse(given);
  if (!numbered.success) return message;
  const { seq, type } = numbered.data;
  return `event ${seq} (${type.slice(0, 40)}): ${message}`;
}

/** The valid declarations; a broken label, unit or other optional field is left out. */
function readDeclarations({ seq, series }: z.infer<typeof Declaring>, problems: EventProblem[]): SeriesDeclaration[] {
  return series.flatMap((given) => {
    // The small part first: most broken declarations fail there, and each failure costs time.
    const bare = BareDeclaration.safeParse(given, plainWords);
    const whole = bare.success ? SeriesDeclaration.safeParse(given, plainWords) : bare;
    if (whole.success) return [whole.data];
    if (problems.length < maxProblems) {
      const [{ path, message } = { path: [], message: '' }] = whole.error.issues;
      const of = path.length > 0 ? `its ${path.join('.')}: ` : '';
      const remedy = bare.success ? 'it is declared without that' : 'it is not declared, and its values are left out';
      problems.push({ seq, series: nameOf(given), problem: `${of}${message}; ${remedy}` });
    }
    return bare.success ? [bare.data] : [];
  });
}

/** The valid examples; if only its picture is broken, an example is kept without it. */
function readExamples({ seq, examples }: { seq: number; examples: unknown[] }, problems: EventProblem[]): Example[] {
  return examples.flatMap((given, index) => {
    const whole = Example.safeParse(given, plainWords);
    if (whole.success) return [whole.data];
    const bare = Example.omit({ picture: true }).safeParse(given);
    const remedy = bare.success ? 'it is stored without its picture' : 'it is left out';
    leftOut(problems, seq, `example ${index}`, whole.error, remedy);
    return bare.success ? [bare.data] : [];
  });
}

function readTokens({ seq, tokens }: { seq: number; tokens: unknown[] }, problems: EventProblem[]): ShiftedToken[] {
  return tokens.flatMap((given, index) => {
    const token = ShiftedToken.safeParse(given, plainWords);
    if (token.success) return [token.data];
    leftOut(problems, seq, `token ${index}`, token.error, 'it is left out');
    return [];
  });
}

function leftOut(problems: EventProblem[], seq: number, entry: string, { issues }: ZodError, remedy: string): void {
  if (problems.length >= maxProblems) return;
  const { path, message } = issues[0]!;
  problems.push({ seq, series: null, problem: `${[entry, ...path].join('.')}: ${message}; ${remedy}` });
}

function nameOf(given: unknown): string | null {
  const named = z.object({ name: z.string() }).safeParse(given);
  return named.success ? cleaned(named.data.name.slice(0, 80)) : null;
}
