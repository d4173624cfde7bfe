import type { RunId } from '@plumbline/shared/run';
import { checkpointsOf, checkpointTypes } from '@plumbline/shared/segments';
import type { CheckpointSaved, ControlEvent } from '@plumbline/shared/trainer-event';
import type { EventStore } from '../store/event-store.js';
import { parseInTurns } from '../parse-in-turns.js';
import { Turn } from '../turn.js';

/*
 * Long texts of `run_started` are mostly parameters and recipes, which the hub stores and serves but does not use. Parsing
 * those of 50,000 parameters costs 100 ms. Quotes in a string are escaped, so none of these marks can be part of a name.
 */
const parametersBegin = '"parameters":[';
const modelEnd = ']},"baseline":{';
/** Shorter texts are parsed whole. */
const longText = 100_000;

/**
 * Parses a stored control event. The model of a long one comes without parameters and recipes.
 * @param turn of the caller
 */
export async function outlineOf(text: string, turn: Turn): Promise<ControlEvent> {
  if (turn.isOver) await turn.next();
  const begin = text.length < longText ? -1 : text.indexOf(parametersBegin);
  const end = begin < 0 ? -1 : text.indexOf(modelEnd, begin);
  const shortened = end < 0 ? text : `${text.slice(0, begin)}"parameters":[],"recipes":[${text.slice(end)}`;
  return (await parseInTurns(shortened, turn)) as ControlEvent;
}

/**
 * Takes stored control events as outlines, one by one, and yields the event loop between slices.
 * @param take may wait where an event is long
 */
export function outlines(
  take: (event: ControlEvent, text: string) => void | Promise<void>,
): (texts: readonly string[]) => Promise<void> {
  const turn = new Turn();
  return async (texts) => {
    for (const text of texts) await take(await outlineOf(text, turn), text);
  };
}

/**
 * The outlines of a run's control events, in order. Holds all of them in memory.
 * @param types only events of these types
 * @returns also the event number up to which the events are complete
 */
export async function controlEventsOf(
  store: Pick<EventStore, 'eachControlEvents'>,
  runId: RunId,
  options: { types?: readonly ControlEvent['type'][]; signal?: AbortSignal } = {},
): Promise<{ lastSeq: number; events: ControlEvent[] }> {
  const events: ControlEvent[] = [];
  const take = outlines((event) => void events.push(event));
  const { lastSeq } = await store.eachControlEvents(runId, take, options);
  return { lastSeq, events };
}

/** The checkpoints that a stored run can restore, in the order of saving. */
export async function storedCheckpoints(
  store: Pick<EventStore, 'eachControlEvents'>,
  runId: RunId,
  signal?: AbortSignal,
): Promise<CheckpointSaved[]> {
  const options = { types: checkpointTypes, ...(signal && { signal }) };
  return checkpointsOf((await controlEventsOf(store, runId, options)).events);
}
