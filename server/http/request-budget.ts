import type { RequestHandler, Response } from 'express';
import { CallerBudgets, type Caller } from '../access/caller.js';
import type { Budget } from '../access/limits.js';
import { Refusal } from '../run/refusal.js';

/** Answers 429 to a caller that has used up its budget. @param budgets one for all kinds of callers, or one per kind */
export function limited(budgets: Budget | Record<Caller['kind'], Budget>): RequestHandler {
  const limits = new CallerBudgets(
    'burst' in budgets ? { address: budgets, session: budgets, trainer: budgets } : budgets,
  );
  return (_request, response, next) => {
    const limit = limits.of(callerOf(response));
    if (limit.take()) return next();
    const seconds = Math.ceil(limit.waitSeconds);
    response.set('Retry-After', String(seconds));
    next(new Refusal('rate_limited', `Too many requests; try again in ${seconds} s.`));
  };
}

/** The caller of the request behind a response. */
export const callerOf = ({ locals }: Response): Caller => locals['caller'] as Caller;
