import { json, Router, type Request, type RequestHandler } from 'express';
import { SessionRequest, type SessionInfo } from '@plumbline/shared/http';
import { howToControl, howToShowToken, howToWatch, newLink } from '../access/how-to-control.js';
import { bearerToken } from '../access/caller.js';
import { mayWatch, type WatchSetting } from '../access/may-watch.js';
import { sessionLifeMs, type Sessions } from '../access/sessions.js';
import { sameSecret } from '../access/trainer-token.js';
import { Refusal } from '../run/refusal.js';
import { callerOf } from './request-budget.js';

export interface SessionParts {
  sessions: Sessions;
  watch: WatchSetting;
}

/**
 * GET /api/session: what this browser may do. POST: exchanges a link's token for a cookie. DELETE: ends the session.
 * Without a rate limit, so that a valid link opens a session however many wrong ones came before: nobody guesses 256 bits,
 * and checking a token costs no more than refusing the request.
 */
export function sessionRoutes({ sessions, watch }: SessionParts): Router {
  const isShown = mayWatch(watch, 'address');
  const withoutSession = (): SessionInfo => ({
    mayControl: false,
    mayWatch: isShown,
    howToControl: isShown ? howToControl : howToWatch,
  });
  return Router()
    .get('/session', (request, response) => {
      const mayControl = sessions.mayControl(request.headers.cookie);
      response.json((mayControl ? withSession : withoutSession()) satisfies SessionInfo);
    })
    .post('/session', json({ limit: maxLinkBytes }), (request, response) => {
      const id = sessions.open(SessionRequest.parse(request.body).token);
      if (id === null)
        throw new Refusal(
          'unauthorized',
          "This link was used already, is more than a day old, or never was one of this hub's; " + newLink,
        );
      response.cookie(sessions.cookieName, id, {
        httpOnly: true,
        sameSite: 'strict',
        secure: request.secure,
        maxAge: sessionLifeMs,
        path: '/',
      });
      response.json(withSession satisfies SessionInfo);
    })
    .delete('/session', (request, response) => {
      sessions.close(request.headers.cookie);
      response.clearCookie(sessions.cookieName, { path: '/' });
      response.json(withoutSession() satisfies SessionInfo);
    });
}

const withSession: SessionInfo = { mayControl: true, mayWatch: true };
/** Body limit: a link's token and some room. */
const maxLinkBytes = 1024;

/** Admits browsers with a session, and programs that send the trainer token as `Authorization: Bearer`. */
export function mayOperate(sessions: Sessions, token: string): RequestHandler {
  return (request, response, next) => {
    const given = bearerToken(request);
    if (given !== null) return next(sameSecret(given, token) ? undefined : wrongToken());
    if (sessions.mayControl(request.headers.cookie)) return next();
    next(new Refusal('forbidden', isBrowser(request) ? howToControl : howToShowToken));
  };
}

const wrongToken = (): Refusal =>
  new Refusal('unauthorized', "The token is wrong; the right one is the file trainer-token in the hub's data folder.");

/** Admits those who may watch. */
export function onlyWatchers({ watch }: SessionParts): RequestHandler {
  return (request, response, next) => {
    if (mayWatch(watch, callerOf(response).kind)) return next();
    if (bearerToken(request) !== null) return next(wrongToken());
    next(new Refusal('unauthorized', isBrowser(request) ? howToWatch : howToShowToken));
  };
}

/** Admits sessions only. */
export function mayControl(sessions: Sessions): RequestHandler {
  return (request, _response, next) => {
    if (sessions.mayControl(request.headers.cookie)) return next();
    next(
      new Refusal(
        'forbidden',
        isBrowser(request)
          ? howToControl
          : "This takes a session; the trainer token is not enough. POST /api/session gives one for a link's token; " +
              newLink,
      ),
    );
  };
}

/** Whether a request comes from a browser: other programs do not send an origin. */
const isBrowser = ({ headers }: Request): boolean =>
  headers.origin !== undefined || headers['sec-fetch-site'] !== undefined;
