import { Router, type RequestHandler } from 'express';
import { SessionRequest, type SessionInfo } from '@plumbline/shared/http';
import { howToControl, linkCommand } from '../access/how-to-control.js';
import { sessionLifeMs, type Sessions } from '../access/sessions.js';
import { sameSecret } from '../access/trainer-token.js';
import { Refusal } from '../run/refusal.js';
import { limited } from './rate-limit.js';

/** GET, POST and DELETE /api/session: may this browser control; a link's token for a cookie; giving it up. */
export function sessionRoutes({ sessions }: { sessions: Sessions }): Router {
  return Router()
    .get('/session', (request, response) => {
      const mayControl = sessions.mayControl(request.headers.cookie);
      response.json((mayControl ? { mayControl } : readOnly(sessions)) satisfies SessionInfo);
    })
    .post('/session', limited(30), (request, response) => {
      const id = sessions.open(SessionRequest.parse(request.body).token);
      if (id === null)
        throw new Refusal(
          'unauthorized',
          "This link was used already, is more than a day old, or never was one of this hub's; " +
            `${linkCommand(sessions.dataDir)} prints a new one.`,
        );
      response.cookie(sessions.cookieName, id, {
        httpOnly: true,
        sameSite: 'strict',
        secure: request.secure,
        maxAge: sessionLifeMs,
        path: '/',
      });
      response.json({ mayControl: true } satisfies SessionInfo);
    })
    .delete('/session', (request, response) => {
      sessions.close(request.headers.cookie);
      response.clearCookie(sessions.cookieName, { path: '/' });
      response.json(readOnly(sessions) satisfies SessionInfo);
    });
}

const readOnly = ({ dataDir }: Sessions): SessionInfo => ({ mayControl: false, howToControl: howToControl(dataDir) });

/** Lets browsers with a session pass, and programs that show the trainer token as `Authorization: Bearer`. */
export function mayOperate(sessions: Sessions, token: string): RequestHandler {
  return (request, response, next) => {
    const [, given] = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '') ?? [];
    if (given === undefined) return mayControl(sessions)(request, response, next);
    next(
      sameSecret(given, token)
        ? undefined
        : new Refusal('unauthorized', "The token is wrong; it is in the hub's data folder, trainer-token."),
    );
  };
}

/** Lets only browsers with a session pass. */
export function mayControl(sessions: Sessions): RequestHandler {
  return (request, _response, next) => {
    next(
      sessions.mayControl(request.headers.cookie)
        ? undefined
        : new Refusal('forbidden', howToControl(sessions.dataDir)),
    );
  };
}
