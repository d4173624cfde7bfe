/*
 * The limits of the trainer protocol: how much a trainer may say. What one client may take of a hub besides is in
 * server/access/limits.ts.
 */

/** Events in one batch. */
export const maxEventsPerBatch = 1000;
/**
 * Bytes of one message. The longest is a `run_started`: with 50,000 parameters, each in a group of its own, and names of
 * 46 characters it has about 27 MB (see `ModelInfo`).
 */
export const maxMessageBytes = 32 * 1024 * 1024;
/** Of an event, from 1. */
export const maxSeq = 999_999_999;
/** Of an optimizer step and of a stage. */
export const maxStep = 2 ** 32 - 1;
/** Times are epoch milliseconds from 2000 up to 2200. */
export const [minWallTimeMs, maxWallTimeMs] = [Date.UTC(2000), Date.UTC(2200)];
/** Values in one event, and entries of a baseline: the drift of every group of the largest model and what is measured beside it. */
export const maxMetricsPerEvent = 55_000;
/** Series that a run may declare; their numbers are below this. */
export const maxSeries = 100_000;
/** Characters of the name of a metric, of its label, and of its unit. */
export const maxMetricNameLength = 200;
export const maxLabelLength = 120;
export const maxUnitLength = 20;
/** Problems that one acknowledgement tells of. */
export const maxProblems = 20;
/** Characters of why a run was paused, stopped or failed, or a command failed. */
export const maxReasonLength = 4000;
/** Tokens of a `token_shift`, and characters of one. */
export const maxShiftedTokens = 200;
export const maxTokenLength = 200;
/** Examples of an `examples` event, and bytes of them all as JSON in UTF-8. */
export const maxExamples = 200;
export const maxExamplesBytes = 2_000_000;
/** Bytes of a picture, before it is base64. */
export const maxPictureBytes = 65_536;
/** Characters of an example's id, and of its prompt and answers. */
export const maxExampleIdLength = 200;
export const maxAnswerLength = 20_000;
