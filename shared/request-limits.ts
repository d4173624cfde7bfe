/* The limits of requests for runs, series and history, and of watching them. */

/** The most values of a history or of windows, over all series. A larger request is `invalid`: ask in parts. */
export const maxAnswerValues = 4_000_000;

/** Most values of a small answer, which does not wait for large ones. The dashboard asks for no more at a time. */
export const smallAnswerValues = 50_000;

/** The fewest points of a thinned series: its ends, its extremes and the first value that is not finite. */
export const fewestThinnedPoints = 5;

/** The most names of one run that one connection watches. */
export const maxWatchedNames = 500;

/** The most prefixes among them: the hub compares each with every series of the run. */
export const maxWatchedPrefixes = 20;

/** The most runs in one answer of GET /api/runs. */
export const maxListedRuns = 1000;

/** The most runs in one request for families. */
export const maxFamilies = 200;
