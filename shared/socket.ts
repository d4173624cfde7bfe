import { z } from 'zod';
import {
  maxBusyMs,
  maxLineLength,
  maxListedWords,
  maxMetricNameLength,
  maxSecretLength,
  maxTokenTextLength,
  maxWordLength,
  minSecretLength,
} from './limits.js';
import type { LargeEventNotice } from './large-event.js';
import type { AskedCommand, Command, CommandRecord } from './command.js';
import type { ControlEvent, MetricEvent } from './trainer-event.js';
import type { EventBatch, EventProblem } from './wire-event.js';

import type { RuleState } from './rule.js';
import { RunId, RunParent, type RunProgress, type RunSummary } from './run.js';
import { RunDescription } from './run-description.js';

/**
 * Version of the trainer protocol. The hub refuses a trainer of another one and says which it speaks: one of version 1
 * does not say what its parameters are for.
 */
export const protocolVersion = 2;

/**
 * What this hub can do beside the core of the protocol: take word that a trainer will be busy, keep to the commands that
 * a trainer takes, take examples and token shifts, go on with a run as another segment.
 */
export const hubCapabilities = ['busy', 'commands', 'examples', 'segments', 'token_shift'] as const;

/** The handshake's `auth` on namespace `/trainer`. */
export const TrainerAuth = z.object({
  token: z.string().min(1).max(maxTokenTextLength),
  protocol: z.number().int(),
  /** Those of `hubCapabilities` that the trainer cannot do without: a hub that lacks one refuses it at once. */
  capabilities: z.array(z.string().min(1).max(maxWordLength)).max(maxListedWords).default([]),
});
export type TrainerAuth = z.infer<typeof TrainerAuth>;

/** What a run is known to belong to its trainer by; at least 128 random bits. */
export const TrainerSecret = z
  .string()
  .min(minSecretLength, `a secret is ${minSecretLength} to ${maxSecretLength} characters`)
  .max(maxSecretLength);

/** Every refusal: a code for programs, a message for people that says what to do. */
export const errorCodes = [
  'unauthorized',
  'forbidden',
  'not_found',
  'invalid',
  'conflict',
  'gap',
  'too_large',
  'rate_limited',
  'store_failed',
  'draining',
  'unsupported',
  'protocol_too_old',
  'protocol_too_new',
  'capability_missing',
  'internal',
] as const;
export type ErrorCode = (typeof errorCodes)[number];
export interface WireError {
  code: ErrorCode;
  message: string;
  /** Whether the same request may succeed later, unchanged. Absent in the answers of older hubs. */
  retry?: boolean;
}
export type Failure = { ok: false; error: WireError };
export type Result<T> = ({ ok: true } & T) | Failure;
export type Ack<T> = (result: Result<T>) => void;

/**
 * First word of a trainer on a connection. A run that the hub does not know is registered with this description
 * (a remote trainer brings its own run); one that it knows is gone on with.
 *
 * A run belongs to the trainer that opened it. The trainer makes a secret, sends it with its first attach and with every
 * later one, and keeps it for as long as it may come back; the hub keeps a digest of it with the run. The trainer makes
 * it, not the hub, so that it is not lost with an answer that does not arrive. An attach with another secret, or without
 * one, is refused as `forbidden`. A run that was opened without a secret, by an older trainer or before there were
 * secrets, is open to whoever holds the trainer token, until a trainer attaches with one.
 */
export const Attach = z.object({
  runId: RunId,
  run: RunDescription,
  /** The run must be known to the hub and have saved this checkpoint, when the branch is opened. */
  parent: RunParent.nullable(),
  secret: TrainerSecret.optional(),
  /** Up to which number the trainer was told that its events are durable, by whichever hub; 0 at the start. */
  acknowledgedSeq: z.number().int().nonnegative().default(0),
  /**
   * The run has ended, or was lost, and goes on: the trainer's next event is `segment_started`. Without it, a trainer of a
   * run that has ended is told how far it came, and has nothing more to say.
   */
  newSegment: z.boolean().default(false),
  /** Kinds of commands that the trainer takes; without it, all. The hub rejects others and offers them to nobody. */
  commands: z.array(z.string().min(1).max(maxWordLength)).max(maxListedWords).optional(),
});
export type Attach = z.infer<typeof Attach>;

/**
 * A trainer is about to do what blocks its process, so that its hub will hear nothing: loading, writing a checkpoint, a
 * long step. Should the connection break meanwhile, the run waits that long before the grace period begins. It is over
 * with the next events or the next attach.
 */
export const Busy = z.object({
  forMs: z
    .number()
    .int()
    .positive()
    .max(maxBusyMs, `a trainer is busy for at most ${maxBusyMs / 60_000} minutes`),
  /** For people: `writing a checkpoint`. */
  why: z.string().trim().min(1).max(maxLineLength),
});
export type Busy = z.infer<typeof Busy>;

export interface TrainerToHub {
  /** Answered with the highest number stored, and the number from which on none stands for a series yet. */
  attach: (attach: z.input<typeof Attach>, ack: Ack<{ lastSeq: number; nextSeries: number }>) => void;
  /** The acknowledgement may be left out: it says only whether the hub has understood. */
  busy: (busy: Busy, ack?: Ack<object>) => void;
  /**
   * Answered once the events are durable, with the highest number stored. On `gap` the trainer resends from `lastSeq + 1`.
   * The first few `problems`, where there are any, say what was left out of events that were taken.
   */
  events: (
    batch: EventBatch,
    ack: (result: { ok: true; lastSeq: number; problems?: EventProblem[] } | (Failure & { lastSeq?: number })) => void,
  ) => void;
}
export interface HubToTrainer {
  /** Acknowledged when the trainer has queued it; its outcome comes as an event. Repeats of an id are ignored. */
  command: (command: Command, ack: (result: { ok: true }) => void) => void;
}

/** Names that one connection watches of one run, at most. */
export const maxWatchedNames = 500;
/** Names of series, or the beginnings of names with `*` behind them: `drift/*` is a group, `*` is all. */
export const SeriesNames = z
  .array(
    z
      .string()
      .min(1)
      .max(maxMetricNameLength + 1),
  )
  .max(maxWatchedNames, `at most ${maxWatchedNames} names; a beginning with * behind it names a group`);

export const Watch = z.object({
  runId: RunId,
  /** The series that are sent live; without it all. It replaces what the connection watched of this run before. */
  series: SeriesNames.optional(),
});
export type Watch = z.infer<typeof Watch>;
/** Ends a watch. */
export const Unwatch = z.object({ runId: RunId });
export type Unwatch = z.infer<typeof Unwatch>;

export interface DashboardToHub {
  /**
   * Joins the run's room: from the answer on, every event above `lastSeq` comes live, with the values of the watched
   * series; history up to it is at the REST API.
   */
  watch: (watch: Watch, ack: Ack<{ run: RunSummary; lastSeq: number }>) => void;
  unwatch: (watch: Unwatch) => void;
  command: (command: AskedCommand, ack: Ack<{ record: CommandRecord }>) => void;
}

/** Metric events of one run with consecutive numbers apart from control events, which come on their own; those without a value of a watched series are left out. */
export interface MetricBatch {
  runId: RunId;
  /** All events of the run in (fromSeq, toSeq] are in this batch or were control events: a jump in fromSeq is a gap. */
  fromSeq: number;
  toSeq: number;
  events: MetricEvent[];
}
export interface HubToDashboard {
  metrics: (batch: MetricBatch) => void;
  /** A control event, or word that a large one is there: its content is at the REST API. */
  control: (message: { runId: RunId; event: ControlEvent | LargeEventNotice }) => void;
  /** A run appeared or changed; sent to everybody. Two summaries of a run may come out of order: see `revision`. */
  run: (run: RunSummary) => void;
  /** How far a run has come; sent to everybody about once a second, less often where there are many runs. */
  progress: (progress: RunProgress) => void;
  /**
   * A run was deleted: nothing is stored of it any more. Sent to everybody. A `run` with the same `createdMs` that comes
   * after it, by way of another hub, is late; one with another is a later run under the id.
   */
  run_deleted: (message: Pick<RunSummary, 'runId' | 'createdMs'>) => void;
  command: (record: CommandRecord) => void;
  /** The rules of a run are others, or stand differently: one has fired, or is armed again. */
  rules: (message: { runId: RunId; rules: RuleState[] }) => void;
  /** This client could not keep up and live data was left out: fetch history again from here. */
  lagged: (message: { runId: RunId; lastSeq: number }) => void;
}
