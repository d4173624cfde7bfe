import type { RequestHandler } from 'express';
import { rateLimit } from 'express-rate-limit';
import { Refusal } from '../run/refusal.js';

/** At most so many requests a minute from one address. */
export function limited(perMinute: number): RequestHandler {
  return rateLimit({
    windowMs: 60_000,
    limit: perMinute,
    standardHeaders: 'draft-8',
    legacyHeaders: false,
    handler: (_request, _response, next) =>
      next(new Refusal('rate_limited', `More than ${perMinute} requests a minute; wait and try again.`)),
  });
}
