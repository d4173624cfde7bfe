import type { RunId } from '@plumbline/shared/run';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import type { EventStore } from '../store/event-store.js';
import { inTurns } from '../turn.js';

/*
 * Long texts of `run_started` are mostly parameters and recipes, which the hub stores and serves but does not use. Parsing
 * those of 50,000 parameters would block the event loop for 100 ms. Quotes in a string are escaped, so none of these
 * marks can be part of a name.
 */
const parametersBegin = '"parameters":[';
const modelEnd = ']},"baseline":{';
/** Shorter texts are parsed whole. */
const longText = 100_000;

/** Parses a stored control event. The model of a long one comes without parameters and recipes. */
export function outlineOf(text: string): ControlEvent {
  const begin = text.length < longText ? -1 : text.indexOf(parametersBegin);
  const end = begin < 0 ? -1 : text.indexOf(modelEnd, begin);
  const shortened = end < 0 ? text : `${text.slice(0, begin)}"parameters":[],"recipes":[${text.slice(end)}`;
  return JSON.parse(shortened) as ControlEvent;
}

/**
 * The outlines of a run's control events, in order. Holds all of them in memory.
 * @param types only events of these types
 * @returns also the event number up to which the events are complete
 */
export async function controlEventsOf(
  store: Pick<EventStore, 'eachControlEvents'>,
  runId: RunId,
  { types, signal }: { types?: readonly ControlEvent['type'][]; signal?: AbortSignal } = {},
): Promise<{ lastSeq: number; events: ControlEvent[] }> {
  const events: ControlEvent[] = [];
  const take = inTurns((text: string) => void events.push(outlineOf(text)));
  const { lastSeq } = await store.eachControlEvents(runId, take, {
    ...(types && { types }),
    ...(signal && { signal }),
  });
  return { lastSeq, events };
}
