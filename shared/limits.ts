/*
 * The limits of the trainer protocol; PROTOCOL.md has them as a table. The limits on one client of the hub are in
 * server/access/limits.ts, those of requests in request-limits.ts.
 */

/** Events in one batch. */
export const maxEventsPerBatch = 1000;
/**
 * Bytes of one message. The longest is a `run_started`: with 50,000 parameters, each in a group of its own, and names of
 * 46 characters it has about 27 MB (see `ModelInfo`).
 */
export const maxMessageBytes = 32 * 1024 * 1024;
/** The number of an event, from 1. */
export const maxSeq = 999_999_999;
/** An optimizer step, and a stage. */
export const maxStep = 2 ** 32 - 1;
/** Times are epoch milliseconds from 2000 up to 2200. */
export const [minWallTimeMs, maxWallTimeMs] = [Date.UTC(2000), Date.UTC(2200)];
/** Problems in one acknowledgement. */
export const maxProblems = 20;

/** Characters of the handshake's token, and of a run's secret. */
export const maxTokenTextLength = 200;
export const [minSecretLength, maxSecretLength] = [22, 200];
/** Capabilities in a handshake, and kinds of commands in an attach. */
export const maxListedWords = 100;
/**
 * Characters of a short name: of a task or a recipe and its label, a block, a projection, a capability, a kind of command;
 * of a trainer's backend and version.
 */
export const maxWordLength = 80;
/** Characters of a line: the name of a run or a model, a trainer's device and host, a digest, why a trainer is busy. */
export const maxLineLength = 200;
/** How long a trainer may say that it is busy. */
export const maxBusyMs = 3_600_000;

/** Characters of `settings` as JSON, and levels. */
export const maxSettingsLength = 64_000;
export const maxSettingsDepth = 12;
/** Tags of a run, and characters of one. */
export const maxTags = 50;
export const maxTagLength = 80;
/** Characters of a run's notes. */
export const maxNotesLength = 20_000;
export const maxTasks = 200;
export const maxStages = 1000;

/** Tensors of a model, and with that groups: a mixture of 128 experts in 48 layers has about 19,000. */
export const maxParameters = 50_000;
export const maxParameterNameLength = 300;
/** A group's name is part of a metric's name (`drift/<group>`). */
export const maxGroupNameLength = 190;
/** Dimensions of a tensor. */
export const maxDimensions = 8;
/** The number of a layer, and of an expert. */
export const maxLayer = 100_000;
export const maxExpert = 1_000_000;
export const maxRecipes = 100;
/** Characters of a selection's pattern, and of the name of a group in a selection. */
export const maxPatternLength = 200;

/** Values in one event, and entries of a baseline: the drift of every group of the largest model, and room for others. */
export const maxMetricsPerEvent = 55_000;
/** Series of a run; their numbers are below this. */
export const maxSeries = 100_000;
/** Characters of a series' name, label and unit. */
export const maxMetricNameLength = 200;
export const maxLabelLength = 120;
export const maxUnitLength = 20;

/** Characters of the reason why a run was paused, stopped or failed, or a command failed. */
export const maxReasonLength = 4000;
/** Entries of the `before` and `after` of a command; characters of a name and of a text in them. */
export const maxChanges = 1000;
export const maxChangeNameLength = 200;
export const maxChangeTextLength = 20_000;
export const maxLearningRate = 1;
/** Tasks of an evaluation, and questions of one task. */
export const maxEvaluatedTasks = 1000;
export const maxQuestions = 2000;

/** Tokens of a `token_shift`, and characters of one. */
export const maxShiftedTokens = 200;
export const maxTokenLength = 200;
/** The id of a token in the model's vocabulary. */
export const maxTokenId = 2 ** 32 - 1;
/** A probability: slightly above 1 is rounding. */
export const maxProbability = 1.001;
/** Examples of an `examples` event, and bytes of them all as JSON in UTF-8. */
export const maxExamples = 200;
export const maxExamplesBytes = 2_000_000;
/** Bytes of a picture, before base64. */
export const maxPictureBytes = 65_536;
/** Characters of an example's id, and of its prompt and answers. */
export const maxExampleIdLength = 200;
export const maxAnswerLength = 20_000;

/** Guard rules of a run, actions of one, characters of its name and of a webhook's address. */
export const maxRules = 50;
export const maxRuleActions = 10;
export const maxRuleNameLength = 60;
export const maxWebhookLength = 500;
/** Values in a rule's window, and values in a row past its limit. */
export const maxRuleValues = 1000;

/** Sentences in each list of `trainer.energy`, and characters of one. */
export const maxBasisSentences = 16;
export const maxBasisLength = 400;
/** Emissions of electricity in g CO2e/kWh. */
export const maxGridIntensity = 3000;
export const maxPowerUsageEffectiveness = 5;
